"""Weather from NASA POWER and Open-Meteo: one request a grid cell, not a parcel, and no settled day twice."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import geopandas as gpd
import pandas as pd

from rs_forecast.catalog import PROVIDERS
from rs_forecast.errors import BusyError, ConfigError, DataWarning, NoDataError, SourceError, listing
from rs_forecast.schema import day
from rs_forecast.sources._open_meteo import OPEN_METEO
from rs_forecast.sources._power import POWER
from rs_forecast.sources._sites import Weather, finish, in_range
from rs_forecast.sources._stac_http import Patience
from rs_forecast.sources._weather_http import Client
from rs_forecast.sources._weather_service import Cell, Days, Service
from rs_forecast.sources._weather_shelf import Shelf, kept_rows

SERVICES: dict[str, Service] = {service.name: service for service in (POWER, OPEN_METEO)}
_FAILED_ON_END = 3
"""Requests in a row that fail, after which the others are not tried."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What came of a plan."""

    cells: tuple[str, ...] = ()
    """Cells that came."""
    rows: int = 0
    """Rows that are new."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cells that did not come, and why."""
    later: bool = False
    """Whether the service says that the same may pass later."""


def get_power(
    path: str | os.PathLike[str] | None,
    parcels: gpd.GeoDataFrame,
    *,
    start: object = None,
    end: object = None,
    latency_days: int = 7,
    url: str | None = None,
    allow_hosts: Sequence[str] = (),
    offline: bool = False,
    today: object = None,
    patience: Patience | None = None,
) -> Weather:
    """Return daily weather of NASA POWER, per cell of 0.5 degrees; days are those of UTC.

    ``path`` is a folder that keeps what came; without one nothing is kept. ``offline`` asks for nothing and returns
    what is kept. Radiation comes some days after the rest; its gap is filled when it has come.

    Raises
    ------
    ConfigError
        ``start`` is missing.
    SourceError, BusyError, NoDataError
        No cell came, and nothing is kept.
    """
    where = _Where(POWER, path, latency_days, url, tuple(allow_hosts), patience or Patience())
    return _get(where, parcels, start, end, today, "UTC", offline=offline)


def get_open_meteo(
    path: str | os.PathLike[str] | None,
    parcels: gpd.GeoDataFrame,
    *,
    start: object = None,
    end: object = None,
    latency_days: int = 1,
    url: str | None = None,
    allow_hosts: Sequence[str] = (),
    offline: bool = False,
    today: object = None,
    patience: Patience | None = None,
    day_timezone: str = "UTC",
) -> Weather:
    """Return daily weather of Open-Meteo, per cell of 0.1 degrees: archive, newest days, and forecasts of 15 days.

    As :func:`get_power`; days are those of ``day_timezone``. A forecast is known from the day it was fetched, so an
    archive of them grows in ``path`` from the first fetch on.
    """
    where = _Where(OPEN_METEO, path, latency_days, url, tuple(allow_hosts), patience or Patience())
    return _get(where, parcels, start, end, today, day_timezone, offline=offline)


def plan(
    shelf: Shelf, cells: Sequence[Cell], start: pd.Timestamp, end: pd.Timestamp, today: pd.Timestamp
) -> list[tuple[Cell, Days]]:
    """Return the cells that lack days, with the days to ask for; a forecast is asked for each time."""
    service = shelf.service
    first = max(start, day(service.first_day))
    last = min(end, today) + (pd.Timedelta(days=service.ahead_days) if end >= today else pd.Timedelta(0))
    if first > last:
        return []
    todo = [(cell, shelf.lacking(cell, Days(first, last), today)) for cell in cells]
    return [(cell, days) for cell, days in todo if days is not None]


def bring(
    shelf: Shelf,
    todo: Sequence[tuple[Cell, Days]],
    *,
    today: pd.Timestamp,
    allow_hosts: Sequence[str] = (),
    timezone: str = "UTC",
    patience: Patience | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Brought:
    """Ask for what a plan lacks and keep it, cell by cell; one that fails is named and the others go on.

    After three failures on end the rest is not tried. What is killed has kept all that came before.
    """
    client = Client(name=shelf.service.name, allow_hosts=tuple(allow_hosts), patience=patience or Patience())
    came: list[str] = []
    failed: dict[str, str] = {}
    rows, later, on_end, done = 0, False, 0, 0
    for cells, days in _batches(todo, shelf.service.together):
        done += len(cells)
        if on_end >= _FAILED_ON_END:
            failed |= {cell.site: "not tried, after others had failed" for cell in cells}
            continue
        try:
            found = shelf.service.ask(client, shelf.url, cells, days, today, timezone)
        except (SourceError, NoDataError, BusyError) as err:
            failed |= {cell.site: str(err) for cell in cells}
            later |= isinstance(err, BusyError)
            on_end += 1
        else:
            on_end = 0
            for cell in cells:
                rows += shelf.add(cell, found[cell.site], days, today)
                came.append(cell.site)
        if progress is not None:
            progress(done, len(todo))
    return Brought(cells=tuple(came), rows=rows, failed=failed, later=later)


def shelf_of(name: str, folder: Path | None, latency_days: int | None, url: str | None) -> Shelf:
    """Return the shelf of a service by its name."""
    service = SERVICES[name]
    late = PROVIDERS[name].latency_days if latency_days is None else latency_days
    return Shelf(folder=folder, service=service, url=url or service.url, latency_days=late)


@dataclass(frozen=True)
class _Where:
    service: Service
    path: str | os.PathLike[str] | None
    latency_days: int
    url: str | None
    allow_hosts: tuple[str, ...]
    patience: Patience


def _get(
    where: _Where, parcels: gpd.GeoDataFrame, start: object, end: object, today: object, timezone: str, *, offline: bool
) -> Weather:
    service = where.service
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    if start is None and not offline:
        raise ConfigError(f"{service.name}: give start, the first day; it has days since {service.first_day}")
    folder = None if where.path is None else Path(where.path)
    cells, weights = service.cells(parcels)
    if folder is None and not offline:
        with tempfile.TemporaryDirectory() as short:
            return _read(where, Path(short), cells, weights, (start, end), now, timezone, ask=True)
    return _read(where, folder, cells, weights, (start, end), now, timezone, ask=not offline)


def _read(
    where: _Where,
    folder: Path | None,
    cells: list[Cell],
    weights: pd.DataFrame,
    span: tuple[object, object],
    now: pd.Timestamp,
    timezone: str,
    *,
    ask: bool,
) -> Weather:
    service = where.service
    shelf = Shelf(folder=folder, service=service, url=where.url or service.url, latency_days=where.latency_days)
    done = Brought()
    if ask:
        until = now if span[1] is None else day(span[1])
        todo = plan(shelf, cells, day(span[0]), until, now)
        done = bring(
            shelf, todo, today=now, allow_hosts=where.allow_hosts, timezone=timezone, patience=where.patience
        )  # fmt: skip
    rows = kept_rows(shelf, cells)
    if rows[list(rows.columns.difference(["site", "date", "known_at"]))].isna().all(axis=None):
        if done.failed:
            why = next(iter(done.failed.values()))
            raise (BusyError if done.later else SourceError)(f"{service.name}: no cell came: {why}")
        raise NoDataError(
            f"{service.name}: no weather is kept in {folder}; call rs-forecast fetch CONFIG --start DAY first"
        )
    for said, sites in _by_reason(done.failed):
        text = f"{service.name}: {len(sites)} of {len(cells)} cells did not come ({listing(sites)}): {said}"
        warnings.warn(DataWarning(text), stacklevel=4)
    rows = in_range(rows, service.name, [], grid=True)
    last = None if span[1] is None or day(span[1]) >= now else span[1]  # up to today is with what is forecast
    return finish(rows, weights, service.name, span[0], last)


def _by_reason(failed: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for reason in dict.fromkeys(failed.values()):
        yield reason, [site for site, said in failed.items() if said == reason]


def _batches(todo: Sequence[tuple[Cell, Days]], together: int) -> Iterator[tuple[list[Cell], Days]]:
    """Yield cells that lack the same days, so many at a time."""
    for days, group in groupby(sorted(todo, key=lambda one: (one[1], one[0])), key=lambda one: one[1]):
        cells = [cell for cell, _ in group]
        for first in range(0, len(cells), together):
            yield cells[first : first + together], days
