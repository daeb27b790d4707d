"""Weather: daily rows per site (station, grid cell or parcel), and which site serves which parcel."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.catalog import PROVIDERS
from rs_forecast.errors import ConfigError, NoDataError, SchemaError, listing
from rs_forecast.schema import PARCEL, WEATHER, WEATHER_NAMES, WEATHER_VARIABLES, Field, Problem, describe, drop_rows
from rs_forecast.sources._netcdf import read_grids
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._sites import Weather, finish, in_range, nearest_site, no_weather, weigh
from rs_forecast.sources._tables import LAT, LON, as_spelled, mark_synthetic, nearest, read_table, unknown_names

__all__ = ["Weather", "get_weather", "read_weather_csv", "read_weather_netcdf"]

_DATE = next(f for f in WEATHER if f.name == "date")
_KNOWN = replace(next(f for f in WEATHER if f.name == "known_at"), required=False, nullable=True)
_STATION = Field(name="station", kind="text", doc="name of the station", required=False)
_PARCEL = Field(name=PARCEL, kind="text", doc="the parcel", required=False)
_ROW_FIELDS = (_DATE, _KNOWN, _STATION, _PARCEL, LON, LAT)
_NONE = "none"


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
) -> Weather:
    """Read daily weather per station or per parcel (CSV, XLSX).

    Columns are ``date``; ``station`` with ``lon``, ``lat`` [degrees, WGS 84], or ``parcel_id``; any of
    ``schema.WEATHER_VARIABLES``; and ``known_at``, else taken as ``date`` + ``latency_days``. Each parcel takes its
    nearest station; one station alone needs no ``lon``, ``lat``. ``date_order`` (``"dmy"``, ``"mdy"``), ``decimal`` and
    ``thousands`` say how the file writes days and numbers, where it is not 2026-03-02 and 1054.5.

    A cell that cannot be (a text, -999, a minimum above its maximum) is missing, a row without day or site is left
    out, rows of one day that disagree are left out, and days that are missing stay so: each named in a warning.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, lacks a column, or has a column in another unit.
    NoDataError
        No value is left, or none in the days asked for.
    """
    fields = (*_ROW_FIELDS, *WEATHER_VARIABLES)
    notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
    table, problems, source = read_table(
        path, fields, what="weather", columns=columns, encoding=encoding, notation=notation
    )
    key = _site_column(table, source)
    # parse failures of variables are cells; range failures are found again by in_range
    cells = [p for p in problems if p.column in WEATHER_NAMES and isinstance(p.found, str)]
    rows_lost = [p for p in problems if p.column not in (*WEATHER_NAMES, "lon", "lat")]
    if key == PARCEL:
        table[PARCEL] = as_spelled(table[PARCEL], parcels[PARCEL])
        rows_lost += unknown_names(table[PARCEL], "a parcel_id of the parcels", parcels[PARCEL])
    else:
        rows_lost += [p for p in problems if p.column in ("lon", "lat")]
    table = _usable(table, rows_lost, source)
    table = in_range(table, source, cells)
    weights = weigh(parcels[PARCEL], parcels[PARCEL]) if key == PARCEL else _station_weights(table, parcels, source)
    rows = table.rename(columns={key: "site"})
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
) -> Weather:
    """Read daily weather grids (NetCDF; AgERA5 names and units), each parcel taking its nearest cell.

    ``path`` is a file, several, or a folder, whose files without weather are passed over. Dims are ``time`` (or
    ``timestamp``, ``valid_time``) and ``y, x`` or ``lat, lon``. Values are converted by their declared ``units``; one
    without is refused. ``rh_mean`` is derived from ``vapour_pressure`` or ``dewpoint_temperature`` where it is absent.

    Raises
    ------
    SourceError
        A path cannot be read, or no file holds weather.
    SchemaError
        A unit is missing or unknown, the grid has no CRS, or values are not daily.
    """
    grids = read_grids(path)
    weights = nearest_site(parcels, grids.sites, grids.source)
    wanted = set(weights["site"])
    rows = grids.rows_of(wanted)
    rows = in_range(rows, grids.source, [], grid=True).assign(known_at=rows["date"] + np.timedelta64(latency_days, "D"))
    weather = finish(rows, weights, grids.source, start, end)
    return _marked(weather, grids.texts)


def _site_column(table: pd.DataFrame, source: str) -> str:
    found = [name for name in (PARCEL, "station") if name in table]
    if not set(WEATHER_NAMES) & set(table.columns):
        raise SchemaError(
            f"{source}: no weather column; allowed are {listing(WEATHER_NAMES, 20)}. Rename the columns, or map them"
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise SchemaError(f"{source}: it has both parcel_id and station; a row is of one of them: delete one column")
    raise SchemaError(
        f"{source}: no column says where; allowed is station (with lon, lat if there are several), or parcel_id. "
        "Add a column station with the same name on every row if there is one station"
    )


def _usable(table: pd.DataFrame, problems: list[Problem], source: str) -> pd.DataFrame:
    mend = "mend the rows in the file"
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {mend}")
    return drop_rows(table, problems, source, mend)


def _station_weights(table: pd.DataFrame, parcels: gpd.GeoDataFrame, source: str) -> pd.DataFrame:
    sites = table.reindex(columns=["station", "lon", "lat"]).drop_duplicates().rename(columns={"station": "site"})
    names = sites["site"].unique()
    sites = sites.dropna(subset=["lon", "lat"])
    moved = sites.loc[sites["site"].duplicated(), "site"].unique()
    if len(moved):
        at = sites[sites["site"] == moved[0]]
        spots = listing((f"{x:g}, {y:g}" for x, y in zip(at["lon"], at["lat"], strict=True)), sep=" and ")
        raise SchemaError(f"{source}: station {moved[0]} stands at {spots}; give it one lon, lat, or two names")
    nowhere = sorted(set(names) - set(sites["site"]))
    if nowhere and len(names) > 1:
        raise SchemaError(
            f"{source}: station {listing(nowhere)} has no lon, lat; with {len(names)} stations each needs them, so "
            "that a parcel can take its nearest"
        )
    if nowhere:
        return weigh(parcels[PARCEL], str(names[0]))
    return nearest_site(parcels, sites, source)


def _marked(weather: Weather, texts: object) -> Weather:
    for table in weather:
        mark_synthetic(table, list(texts))  # type: ignore[call-overload]
    return weather
