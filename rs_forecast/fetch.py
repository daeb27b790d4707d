"""Download the imagery that a config names and the store lacks: plan first, then scenes side by side."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd

from rs_forecast import schema
from rs_forecast.catalog import BANDS, PROVIDERS
from rs_forecast.catalog.bands import SCL
from rs_forecast.config import Config
from rs_forecast.errors import (
    BusyError,
    ConfigError,
    DataWarning,
    NoDataError,
    OutputError,
    SourceError,
    listing,
    noted,
)
from rs_forecast.inputs import Tell, config_parcels, report_progress, scenes_folder
from rs_forecast.sources.archive import Fetched, SceneArchive
from rs_forecast.sources.order import Download, Order

_MOST_ROWS = 60


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What was planned, and what came of it."""

    status: str
    """``planned``, ``complete``, ``later`` (the provider says so), ``unwritten`` (the disk is full, or may not be
    written), ``incomplete`` or ``nothing``."""
    source: str
    folder: str
    scenes: tuple[Mapping[str, Any], ...]
    """A row each: ``scene_id tile date size units state``; size [bytes] and processing units are estimates."""
    fetched: Fetched
    warnings: tuple[str, ...]
    units_estimated: float | None = None
    """Processing units of what was missing, as planned; None where the provider counts none."""
    units_spent: float | None = None
    """Processing units as the provider counted them, those of scenes that then failed too; None if it told none."""

    @property
    def exit_code(self) -> int:
        """0 all there or planned, 3 some cannot be had or used, 4 none, 75 the provider says later, 1 disk full."""
        codes = {"planned": 0, "complete": 0, "incomplete": 3, "nothing": 4, "later": 75, "unwritten": 1}
        return codes[self.status]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "exit_code": self.exit_code}

    def plan(self) -> str:
        """Return the plan as a table."""
        todo = [row for row in self.scenes if row["state"] == "missing"]
        lines = [f"{'date':<12}{'tile':<8}{'MB':>8}{'units':>9}  {'state':<12}scene"]
        lines += [
            f"{row['date']:<12}{row['tile']:<8}{row['size'] / 1e6:>8.1f}{row['units']:>9.2f}  {row['state']:<12}"
            f"{row['scene_id']}"
            for row in self.scenes[:_MOST_ROWS]
        ]
        if len(self.scenes) > _MOST_ROWS:
            lines.append(f"and {len(self.scenes) - _MOST_ROWS} more; --json lists them all")
        size, units = (sum(row[name] for row in todo) for name in ("size", "units"))
        cost = f"about {size / 1e6:.1f} MB" + (
            "" if self.units_estimated is None else f", {units:.2f} processing units"
        )
        lines.append(f"{len(self.scenes)} scenes, {len(todo)} to download: {cost}")
        return "\n".join(lines)

    def result(self) -> str:
        """Return what was done, as text."""
        done = self.fetched
        lines = [f"{'new':<12}{len(done.new):>5}   {done.bytes / 1e6:.1f} MB", f"{'there':<12}{len(done.kept):>5}"]
        for name in ("failed", "later", "unwritten", "quarantined"):
            reasons: Mapping[str, str] = getattr(done, name)
            lines += [f"{name:<12}{len(reasons):>5}"] if reasons else []
            lines += [f"  {scene}: {reason}" for scene, reason in reasons.items()]
        if done.evicted:
            lines.append(f"{'evicted':<12}{len(done.evicted):>5}   {listing(done.evicted)}")
        if self.units_spent is not None:
            planned = "" if self.units_estimated is None else f", {self.units_estimated:.2f} estimated"
            lines.append(f"{'units':<12}{self.units_spent:>8.2f} spent{planned}")
        lines += [done.shortage] if done.shortage else []
        return "\n".join([*lines, f"{self.status}: {self.folder}"])


def fetch(
    config: Config,
    *,
    start: Any,
    end: Any = None,
    dry_run: bool = False,
    again: bool = False,
    tell: Tell | None = None,
    planned: Any = None,
) -> FetchReport:
    """Download the scenes from ``start`` to ``end`` (today) that the store lacks.

    Parameters
    ----------
    dry_run
        Stop when the plan stands: nothing is downloaded or written.
    again
        Also scenes that were evicted for the budget or are in quarantine.
    planned
        Called with the report of the plan before the downloads begin.

    Raises
    ------
    ConfigError
        The config names no source to download from, or the days are not right.
    NoDataError
        The provider has no scene of these days over the parcels.
    BusyError
        The provider says later before anything could be planned, or another fetch is at work.
    """
    first, last = asked_days(config, start, end)
    meter = _Meter()
    plan_scenes, download = _provider(config, meter)
    archive = SceneArchive(scenes_folder(config))
    with noted() as notes:
        parcels = config_parcels(config)
        orders = plan_scenes(parcels, first, last, bands_of(config))
        plan = _plan(config, archive, orders, again)
        if not orders:
            raise NoDataError(
                f"{config.imagery.source}: has no scene over the parcels from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
            )
        done = Fetched()
        if not dry_run:
            if planned is not None:
                planned(plan)
            done = archive.obtain(
                orders,
                download,
                seen=config.today,
                latency_days=config.imagery.latency_days,
                workers=config.imagery.workers,
                again=again,
                budget=_budget(config),
                progress=lambda count, of: report_progress(tell, "downloads", count, of),
            )
    return _report(
        plan, done, notes, planned_only=dry_run, spent=meter.total if plan.units_estimated else plan.units_estimated
    )


def keep_up(config: Config, issued: pd.Timestamp, *, tell: Tell | None = None) -> list[str]:
    """Download the newest scenes before a run as of ``issued``; return what it must do without, in words.

    Asked for are scenes of the last ``[run] fetch_days`` days that the store lacks, if the config's source is one to
    download from; for an issue date that is older than these, none. A scene that cannot be had is named in a warning;
    only where the provider gave none at all is something missing.

    Raises
    ------
    ConfigError
        The source cannot be asked as the config has it, for want of credentials for instance.
    OutputError
        The disk is full: what the run would make has no room either.
    """
    start = issued - pd.Timedelta(days=config.run.fetch_days - 1)
    if config.imagery.source not in downloaded() or (schema.day(config.today) - issued).days >= config.run.fetch_days:
        return []
    try:
        report = fetch(config, start=start, end=issued, tell=tell)
    except NoDataError as err:
        _say(str(err))
        return []
    except (SourceError, BusyError) as err:
        return [f"no new imagery: {err}"]
    done = report.fetched
    if done.shortage:
        raise OutputError(done.shortage)
    for note in report.warnings:
        _say(note)
    for scene, reason in {**done.failed, **done.later, **done.quarantined}.items():
        _say(f"imagery: {scene}: {reason}")
    lost = report.status == "nothing" or (report.status == "later" and not (done.new or done.kept))
    return [f"no new imagery: none of {len(report.scenes)} scenes came"] if lost else []


def import_scenes(config: Config, folder: str | Path, *, tell: Tell | None = None) -> FetchReport:
    """Copy the scenes that a store filled elsewhere has and this one lacks.

    Raises
    ------
    ConfigError
        The config names no source to download from, or the store is of another.
    NoDataError
        There is no scene in ``folder``.
    """
    _provider(config, _Meter())
    archive = SceneArchive(scenes_folder(config))
    with noted() as notes:
        _refuse_other_source(config.imagery.source, folder)
        done = archive.import_archive(
            folder,
            budget=_budget(config),
            progress=lambda count, of: report_progress(tell, "copies", count, of),
        )
    plan = FetchReport(
        status="planned",
        source=str(folder),
        folder=str(archive.folder),
        scenes=(),
        fetched=Fetched(),
        warnings=(),
    )
    return _report(plan, done, notes, planned_only=False)


def bands_of(config: Config) -> tuple[str, ...]:
    """Return the bands that the config's indices need, and the scene classification, in the catalogue's order."""
    used = {band for name in config.imagery.indices for band in config.all_indices[name].parsed.names} | {SCL}
    return tuple(band for band in BANDS if band in used)


def downloaded() -> list[str]:
    """Return the sources of imagery that are downloaded before they are read."""
    return [row.name for row in PROVIDERS.values() if row.fetcher]


def _say(text: str) -> None:
    warnings.warn(DataWarning(text), stacklevel=3)


def _budget(config: Config) -> float | None:
    """Return the bytes that the store may hold."""
    return None if config.imagery.budget_gb is None else config.imagery.budget_gb * 1e9


def _refuse_other_source(source: str, folder: str | Path) -> None:
    """Raise ConfigError if a store was filled from another source; scenes of STAC carry their catalogue's name."""
    hub = "sentinelhub"
    others = {
        record.provider for record in SceneArchive(folder).records() if (record.provider == hub) != (source == hub)
    }
    if others:
        raise ConfigError(
            f'fetch: {folder} holds scenes of {listing(sorted(others))}, [imagery] source is "{source}"; copy a '
            "store of that source, or change the config"
        )


class _Meter:
    """Adds up what the downloads, which run side by side, are told that they cost."""

    def __init__(self) -> None:
        self.total: float | None = None
        self._lock = Lock()

    def __call__(self, units: float) -> None:
        """Count the processing units of one request."""
        with self._lock:
            self.total = (self.total or 0.0) + units


def _provider(config: Config, meter: _Meter) -> tuple[Callable[..., list[Order]], Download]:
    """Return how the config's source plans and downloads; ``meter`` is told what that costs, where it is counted."""
    part = config.imagery
    if part.source not in downloaded():
        raise ConfigError(
            f'[imagery] source = "{part.source}" is not downloaded; sources to fetch from are {", ".join(downloaded())}'
        )
    module = importlib.import_module(PROVIDERS[part.source].fetcher)
    service: dict[str, Any]
    counted: dict[str, Any] = {}
    if part.source == "stac":
        service = {"catalogue": module.find_catalogue(part.url or "", part.collection or "", part.allow_hosts)}
    else:
        given = {name: getattr(part, name) for name in ("base_url", "token_url", "collection")}
        service = {"hub": module.Hub(**{name: value for name, value in given.items() if value is not None})}
        counted = {"spent": meter}
    return partial(module.plan, **service), partial(module.download, **service, **counted)


def asked_days(config: Config, start: Any, end: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last day (today) to fetch; ConfigError if they are not in order, or to come."""
    today = schema.day(config.today)
    first, last = schema.day(start), today if end is None else schema.day(end)
    if last > today:
        raise ConfigError(f"end: found {last:%Y-%m-%d}, allowed is a day up to today, {today:%Y-%m-%d}")
    if first > last:
        raise ConfigError(f"start: found {first:%Y-%m-%d}, allowed is a day up to the end, {last:%Y-%m-%d}")
    return first, last


def _plan(config: Config, archive: SceneArchive, orders: Sequence[Order], again: bool) -> FetchReport:
    states = archive.states(orders, again=again)
    rows = [
        {
            "scene_id": order.scene_id,
            "tile": order.tile,
            "date": f"{order.date:%Y-%m-%d}",
            "size": order.size,
            "units": order.units,
            "state": state,
        }
        for order, state in states
    ]
    return FetchReport(
        status="planned",
        source=config.imagery.source,
        folder=str(archive.folder),
        scenes=tuple(sorted(rows, key=lambda row: (row["date"], row["tile"], row["scene_id"]))),
        fetched=Fetched(),
        warnings=(),
        units_estimated=_estimated(orders, rows),
    )


def _estimated(orders: Sequence[Order], rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the units of what is missing; None where no order costs any."""
    if not any(order.units for order in orders):
        return None
    return float(sum(row["units"] for row in rows if row["state"] == "missing"))


def _report(
    plan: FetchReport, done: Fetched, notes: Sequence[str], *, planned_only: bool, spent: float | None = None
) -> FetchReport:
    there = len(done.kept) + len(set(done.new) - done.quarantined.keys())
    if planned_only:
        status = "planned"
    elif done.unwritten:
        status = "unwritten"
    elif done.later:
        status = "later"
    elif not there:
        status = "nothing"
    else:
        status = "incomplete" if done.failed or done.quarantined else "complete"
    return replace(plan, status=status, fetched=done, warnings=tuple(notes), units_spent=spent)
