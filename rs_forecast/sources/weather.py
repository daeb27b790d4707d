"""Weather: daily rows per site (station, grid cell or parcel), and which site serves which parcel."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.catalog import PROVIDERS
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, listing
from rs_forecast.schema import PARCEL, WEATHER, WEATHER_VARIABLES, Field, Problem, day, describe, drop_rows
from rs_forecast.sources._hourly import HOURLY_VARIABLES, Stamps, hourly_units, hours_in_range, to_daily, utc_times
from rs_forecast.sources._hourly_grids import Reading
from rs_forecast.sources._netcdf import read_grids
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._one_place import joined
from rs_forecast.sources._sites import Weather, finish, in_range, nearest_site, no_weather, refuse_swapped, weigh
from rs_forecast.sources._spread_sites import Interpolate, serve
from rs_forecast.sources._tables import LAT, LON, as_spelled, mark_synthetic, nearest, read_table, unknown_names

__all__ = ["Weather", "get_weather", "read_weather_csv", "read_weather_netcdf", "to_daily"]

_DATE = next(f for f in WEATHER if f.name == "date")
_KNOWN = replace(next(f for f in WEATHER if f.name == "known_at"), required=False, nullable=True)
_STATION = Field(name="station", kind="text", doc="name of the station", required=False)
_PARCEL = Field(name=PARCEL, kind="text", doc="the parcel", required=False)
_TIME = Field(name="time", kind="text", doc="the hour", required=False)
_ELEVATION = Field(
    name="elevation", kind="number", doc="height of the station above the sea", unit="m", low=-450, high=9000,
    required=False, nullable=True,
)  # fmt: skip
_ROW_FIELDS = (_DATE, _TIME, _KNOWN, _STATION, _PARCEL, LON, LAT, _ELEVATION)
_PLACE = ("lon", "lat", "elevation")
REACH_DAYS = 46
"""Days ahead that a forecast may be of: those of the longest sub-seasonal ones."""
_NONE = "none"
_HOUR_RULE = "a time such as 2026-03-02 13:00 that is there in the zone"


def get_weather(
    parcels: gpd.GeoDataFrame,
    start: object = None,
    end: object = None,
    source: str = "csv",
    path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Weather:
    """Return the weather of ``parcels`` from a source of the catalog.

    Parameters
    ----------
    parcels
        Table of :func:`rs_forecast.read_parcels`.
    start, end
        First and last day; by default all there is.
    source
        Name of a weather source (``csv``, ``netcdf``), or ``none``.
    path
        File or folder, for sources that are files.
    **options
        Passed to the source's reader, such as ``latency_days`` or ``encoding``; None is its default.

    Returns
    -------
    Weather
        ``rows`` (``schema.WEATHER``: site, date, known_at, variables) and ``weights`` (parcel_id, site, weight).

    Raises
    ------
    ConfigError
        There is no such source, or it has no such option.
    """
    if source == _NONE:
        return no_weather()
    known = [p.name for p in PROVIDERS.values() if p.kind == "weather"]
    if source not in known:
        raise ConfigError(
            f"weather: there is no source {source!r}{nearest(source, known)} Allowed are {listing([*known, _NONE], 20)}"
        )
    provider = PROVIDERS[source]
    module, _, name = provider.opener.partition(":")
    opener = getattr(importlib.import_module(module), name)
    allowed = [p for p, v in inspect.signature(opener).parameters.items() if v.kind is v.KEYWORD_ONLY]
    wrong = [option for option in options if option not in allowed]
    if wrong:
        raise ConfigError(
            f"weather: source {source!r} has no option {wrong[0]!r}{nearest(wrong[0], allowed)} "
            f"Allowed are {listing(allowed, 20)}"
        )
    given = {option: value for option, value in options.items() if value is not None}
    weather: Weather = opener(path, parcels, start=start, end=end, **({"latency_days": provider.latency_days} | given))
    return weather


def read_weather_csv(
    path: str | os.PathLike[str] | None,
    parcels: gpd.GeoDataFrame,
    *,
    start: object = None,
    end: object = None,
    latency_days: int = 1,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    units: Mapping[str, str] | None = None,
    interpolate: Interpolate = "nearest",
    accumulated: Sequence[str] = (),
    stamps: Stamps = "end",
    timezone: str = "UTC",
    day_timezone: str = "UTC",
    wet_rh: float | None = None,
    today: object = None,
) -> Weather:
    """Read weather per station or per parcel (CSV, XLSX), daily or hourly.

    Columns are ``date``; ``station`` with ``lon``, ``lat`` [degrees, WGS 84], or ``parcel_id``; any of
    ``schema.WEATHER_VARIABLES``; and ``known_at``, else taken as ``date`` + ``latency_days``. Each parcel takes its
    nearest station, or with ``interpolate="idw"`` several; one station alone needs no ``lon``, ``lat``. Stations that
    follow one another at one place are one, and named. A row whose
    ``known_at`` is before its ``date`` is a forecast. ``date_order`` (``"dmy"``, ``"mdy"``), ``decimal`` and
    ``thousands`` say how the file writes days and numbers, where it is not 2026-03-02 and 1054.5.

    With ``time`` in place of ``date`` rows are hourly, and variables ``temp dewpoint rh rain wind wind_u wind_v
    radiation sunshine wet``; :func:`to_daily` makes days of them.

    A cell that cannot be (a text, -999, a minimum above its maximum) is missing, a row without day or site, or of a day
    that no forecast reaches, is left out, rows of one day that disagree are left out, and days that are missing stay
    so: each named in a warning.

    Parameters
    ----------
    units
        The unit of columns that are in another than ours, such as ``{"temp_mean": "K"}``.
    interpolate
        ``nearest`` or ``idw``, inverse distance squared: :func:`rs_forecast.sources._spread_sites.serve`.
    accumulated, stamps, day_timezone, wet_rh
        Of hourly rows: see :func:`to_daily`, whose ``timezone`` is ``day_timezone``.
    timezone
        The zone that times without an offset are in.
    today
        By default today in UTC.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, lacks a column, or has a column in another unit.
    ConfigError
        A unit, time zone or way of interpolation is not known.
    NoDataError
        No value is left, or none in the days asked for.
    """
    fields = (*_ROW_FIELDS, *WEATHER_VARIABLES, *HOURLY_VARIABLES)
    notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
    table, problems, source = read_table(
        path,
        fields,
        what="weather",
        columns=columns,
        encoding=encoding,
        notation=notation,
        one_of=("date", "time"),
    )
    hourly = "date" not in table
    names = [field.name for field in (HOURLY_VARIABLES if hourly else WEATHER_VARIABLES)]
    key = _site_column(table, source, names)
    # parse failures of variables are cells; range failures are found again
    cells = [p for p in problems if p.column in names and isinstance(p.found, str)]
    variables = {field.name for field in (*HOURLY_VARIABLES, *WEATHER_VARIABLES)}
    rows_lost = [p for p in problems if p.column not in (*variables, *_PLACE)]
    if key == PARCEL:
        table[PARCEL] = as_spelled(table[PARCEL], parcels[PARCEL])
        rows_lost += unknown_names(table[PARCEL], "a parcel_id of the parcels", parcels[PARCEL])
    else:
        refuse_swapped(table, source)
        rows_lost += [p for p in problems if p.column in _PLACE]
    if hourly:
        table["time"] = utc_times(table["time"], timezone)
        rows_lost += [Problem(row, "time", None, _HOUR_RULE) for row in table.index[table["time"].isna()]]
    else:
        rows_lost += _out_of_reach(table, today)
    table = _usable(table, rows_lost, source)
    table = hourly_units(joined(table, source) if key == "station" else table, units or {}, source, names)
    rows = table.rename(columns={key: "site"})
    if hourly:
        rows = _one_an_hour(hours_in_range(rows, source, accumulated, cells), names, source)
        rows = to_daily(
            rows[["site", "time", *(name for name in names if name in rows)]],
            timezone=day_timezone, accumulated=accumulated, stamps=stamps, wet_rh=wet_rh, source=source,
        )  # fmt: skip
    rows = in_range(rows, source, cells if not hourly else [], grid=hourly)
    if key == PARCEL:
        weights = weigh(parcels[PARCEL], parcels[PARCEL])
    else:
        rows, weights = serve(rows, _stations(table, source), parcels, source, interpolate)
    known_at = rows["date"] + np.timedelta64(latency_days, "D")
    rows["known_at"] = rows["known_at"].fillna(known_at) if "known_at" in rows else known_at
    weather = finish(rows, weights, source, start, end)
    return _marked(weather, weather.rows["site"].unique())


def read_weather_netcdf(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    parcels: gpd.GeoDataFrame,
    *,
    start: object = None,
    end: object = None,
    latency_days: int = 7,
    accumulated: Sequence[str] | None = None,
    stamps: Stamps = "end",
    day_timezone: str = "UTC",
    wet_rh: float | None = None,
) -> Weather:
    """Read weather grids (NetCDF files, Zarr stores), daily or hourly, each parcel taking its nearest cell.

    ``path`` is a file or store, several, or a folder, whose files without weather are passed over. Dims are ``time``
    (or ``timestamp``, ``valid_time``) and ``y, x`` or ``lat, lon``. Values are converted by their declared ``units``;
    one without is refused. Values of cells without a parcel are not read.

    Days have the names of AgERA5 and its kin, or ours; ``rh_mean`` is derived from ``vapour_pressure`` or
    ``dewpoint_temperature`` where it is absent. Hours have those of ERA5 (``t2m d2m tp ssrd u10 v10``, or in words), or
    ours; :func:`to_daily` makes days of them.

    Parameters
    ----------
    accumulated
        Of hourly ``rain`` and ``radiation``, those that run from 00 UTC, as both do in ERA5-Land; none for ERA5 on
        single levels. Files do not tell, so where there are such sums it must be given.
    stamps, day_timezone, wet_rh
        Of hours: see :func:`to_daily`, whose ``timezone`` is ``day_timezone``.

    Raises
    ------
    SourceError
        A path cannot be read, or no file holds weather.
    SchemaError
        A unit is missing or unknown, the grid has no CRS, values are neither daily nor hourly, or a sum is not what
        it is said to be.
    ConfigError
        ``accumulated`` is due and not given, or there is no such time zone.
    """
    west, south, east, north = parcels.to_crs(4326).total_bounds
    grids = read_grids(path, (west, south, east, north))
    weights = nearest_site(parcels, grids.sites, grids.source)
    wanted = set(weights["site"])
    reading = Reading(accumulated=accumulated, stamps=stamps, timezone=day_timezone, wet_rh=wet_rh)
    rows = grids.rows_of(wanted, reading)
    rows = in_range(rows, grids.source, [], grid=True).assign(known_at=rows["date"] + np.timedelta64(latency_days, "D"))
    weather = finish(rows, weights, grids.source, start, end)
    return _marked(weather, grids.texts)


def _site_column(table: pd.DataFrame, source: str, names: Sequence[str]) -> str:
    found = [name for name in (PARCEL, "station") if name in table]
    if not set(names) & set(table.columns):
        raise SchemaError(
            f"{source}: no weather column; allowed are {listing(names, 20)}. Rename the columns, or map them"
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise SchemaError(f"{source}: it has both parcel_id and station; a row is of one of them: delete one column")
    raise SchemaError(
        f"{source}: no column says where; allowed is station (with lon, lat if there are several), or parcel_id. "
        "Add a column station with the same name on every row if there is one station"
    )


def _out_of_reach(table: pd.DataFrame, today: object) -> list[Problem]:
    """Return a problem for each row of a day that nobody can have known of."""
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    made = table["known_at"].fillna(now) if "known_at" in table else pd.Series(now, index=table.index)
    forecast = table["known_at"].notna() if "known_at" in table else pd.Series(data=False, index=table.index)
    last = made.where(made <= now, now) + pd.to_timedelta(np.where(forecast, REACH_DAYS, 0), unit="D")
    late = table["date"] > last
    rule = f"a day up to today, {now:%Y-%m-%d}, or a forecast: up to {REACH_DAYS} days after the known_at of its row"
    return [Problem(row, "date", found, rule) for row, found in table.loc[late, "date"].items()]


def _one_an_hour(rows: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """Drop rows that repeat an hour with equal values; leave out, and name, all rows of an hour that disagree."""
    there = [name for name in names if name in rows]
    rows = rows[~rows.duplicated(["site", "time", *there])]
    twice = rows.duplicated(["site", "time"], keep=False)
    if twice.any():
        first = rows.loc[twice].sort_values(["site", "time"]).iloc[0]
        warnings.warn(
            DataWarning(
                f"{source}: {int(twice.sum())} rows give an hour more than once with different values, the first "
                f"{first['site']} at {first['time']:%Y-%m-%d %H:%M} UTC. All left out; keep the right one"
            ),
            stacklevel=3,
        )
    return rows[~twice]


def _usable(table: pd.DataFrame, problems: list[Problem], source: str) -> pd.DataFrame:
    mend = "mend the rows in the file"
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {mend}")
    return drop_rows(table, problems, source, mend)


def _stations(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return ``site, lon, lat, elevation`` of each station; lon and lat are missing where there is but one."""
    sites = table.reindex(columns=["station", *_PLACE]).drop_duplicates().rename(columns={"station": "site"})
    names = sites["site"].unique()
    placed = sites.dropna(subset=["lon", "lat"])
    moved = placed.loc[placed["site"].duplicated(), "site"].unique()
    if len(moved):
        at = placed[placed["site"] == moved[0]]
        # of the same lon, lat it is the elevation that differs
        spots = listing((f"{x:g}, {y:g}" for x, y in zip(at["lon"], at["lat"], strict=True)), sep=" and ")
        raise SchemaError(
            f"{source}: station {moved[0]} stands at {spots}; give it one lon, lat, elevation, or two names"
        )
    nowhere = sorted(set(names) - set(placed["site"]))
    if nowhere and len(names) > 1:
        raise SchemaError(
            f"{source}: station {listing(nowhere)} has no lon, lat; with {len(names)} stations each needs them, so "
            "that a parcel can take its nearest"
        )
    return sites.drop_duplicates("site") if nowhere else placed


def _marked(weather: Weather, texts: object) -> Weather:
    for table in weather:
        mark_synthetic(table, list(texts))  # type: ignore[call-overload]
    return weather
