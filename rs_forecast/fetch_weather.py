"""Download the weather that a config names and the shelf lacks: plan first, then cell by cell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from rs_forecast import schema
from rs_forecast.config import Config
from rs_forecast.errors import BusyError, DataWarning, NoDataError, SourceError, listing
from rs_forecast.inputs import Tell, config_parcels, report_progress, weather_folder
from rs_forecast.sources._stac_http import Patience
from rs_forecast.sources._weather_shelf import Shelf
from rs_forecast.sources.weather_services import SERVICES, Brought, bring, plan, shelf_of


@dataclass(frozen=True, kw_only=True)
class WeatherReport:
    """What weather was planned to be fetched, and what came of it."""

    status: str
    """``planned``, ``complete``, ``later`` (the service says so), ``incomplete`` or ``nothing``."""
    source: str
    folder: str
    cells: tuple[Mapping[str, Any], ...]
    """A row each cell that lacks days: ``site first last days``."""
    brought: Brought

    @property
    def exit_code(self) -> int:
        """As of imagery: 0 all there or planned, 3 some cells did not come, 4 none, 75 the service says later."""
        return {"planned": 0, "complete": 0, "incomplete": 3, "nothing": 4, "later": 75}[self.status]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "exit_code": self.exit_code}

    def plan(self) -> str:
        """Return the plan in a line."""
        if not self.cells:
            return f"weather of {self.source}: nothing to fetch"
        first, last = min(row["first"] for row in self.cells), max(row["last"] for row in self.cells)
        days = sum(row["days"] for row in self.cells)
        return f"weather of {self.source}: {len(self.cells)} cells, {days} days of cells, {first} to {last}"

    def result(self) -> str:
        """Return what was done, as text."""
        done = self.brought
        lines = [f"weather     {len(done.cells):>5} cells, {done.rows} new rows"]
        lines += [f"  failed    {len(done.failed):>5} cells: {next(iter(done.failed.values()))}"] if done.failed else []
        return "\n".join([*lines, f"{self.status}: {self.folder}"])


def has_service(config: Config) -> bool:
    """Whether the config's weather is downloaded before it is read."""
    return config.weather.source in SERVICES


def fetch_weather(
    config: Config,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    dry_run: bool = False,
    tell: Tell | None = None,
    patience: Patience | None = None,
) -> WeatherReport:
    """Download the weather from ``start`` to ``end`` that the workspace lacks, and forecasts if ``end`` is today.

    Days that are there and settled are not asked for again; recent ones are. A ``dry_run`` asks and writes nothing.
    """
    today = schema.day(config.today)
    shelf = _shelf(config)
    cells, _ = shelf.service.cells(config_parcels(config))
    todo = plan(shelf, cells, start, end, today)
    rows = tuple(
        {"site": c.site, "first": f"{d.first:%Y-%m-%d}", "last": f"{d.last:%Y-%m-%d}", "days": d.number}
        for c, d in todo
    )
    done = Brought()
    if todo and not dry_run:
        done = bring(
            shelf,
            todo,
            today=today,
            allow_hosts=config.weather.allow_hosts,
            timezone=config.region.timezone,
            patience=patience,
            progress=lambda count, of: report_progress(tell, "weather", count, of),
        )
    status = "planned" if dry_run else _status(done)
    return WeatherReport(
        status=status, source=config.weather.source, folder=str(shelf.folder), cells=rows, brought=done
    )


def keep_weather(config: Config, issued: pd.Timestamp, *, tell: Tell | None = None) -> list[str]:
    """Bring the newest weather before a run as of ``issued``; return what it must do without, in words.

    The rules are those of :func:`rs_forecast.fetch.keep_up`: days of the last ``[run] fetch_days``, nothing for an
    issue date that is older than these, no trouble ends the run, and what did not come is named.

    Raises
    ------
    ConfigError
        The service cannot be asked as the config has it.
    """
    span = config.run.fetch_days
    today = schema.day(config.today)
    if not has_service(config) or (today - issued).days >= span:
        return []
    try:
        report = fetch_weather(config, start=issued - pd.Timedelta(days=span - 1), end=issued, tell=tell)
    except (SourceError, BusyError, NoDataError) as err:
        return [f"no new weather: {err}"]
    failed = report.brought.failed
    if not failed:
        return []
    said = next(iter(failed.values()))
    if not report.brought.cells:
        return [f"no new weather: none of {len(failed)} cells came: {said}"]
    text = f"weather: {len(failed)} of {len(report.cells)} cells did not come ({listing(failed)}): {said}"
    warnings.warn(DataWarning(text), stacklevel=2)
    return []


def _shelf(config: Config) -> Shelf:
    part = config.weather
    return shelf_of(part.source, weather_folder(config), part.latency_days, part.url)


def _status(done: Brought) -> str:
    if not done.failed:
        return "complete"
    if done.later:
        return "later"
    return "incomplete" if done.cells else "nothing"
