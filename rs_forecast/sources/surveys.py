"""Surveys: what was counted on a parcel on a day, and when the office knew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import NoDataError
from rs_forecast.schema import PARCEL, SURVEYS, Problem, check_surveys, day, describe, drop_rows
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._odk import odk_cells
from rs_forecast.sources._paths import input_file
from rs_forecast.sources._pest_names import PestNames
from rs_forecast.sources._survey_doors import long_cells, wide_cells
from rs_forecast.sources._survey_places import once, placed, require_place
from rs_forecast.sources._survey_rules import date_problems, in_units, one_value, with_codes
from rs_forecast.sources._tables import LAT, LON, as_spelled, mark_synthetic, parse_cells, unknown_names
from rs_forecast.sources.communes import Communes, in_current_communes

_OPTIONAL = frozenset({PARCEL, "known_at"})
_INPUT = tuple(replace(f, required=False, nullable=True) if f.name in _OPTIONAL else f for f in SURVEYS)
_NAMES = [field.name for field in SURVEYS]
_TYPES = {"text": "str", "day": "datetime64[us]", "number": "float64"}
Layout = Literal["long", "wide", "odk"]


class SurveyRows(NamedTuple):
    """Rows of a file, good or not; the index says where each is."""

    table: pd.DataFrame
    """Columns of ``schema.SURVEYS``, then ``lon`` and ``lat``."""
    problems: list[Problem]
    source: str
    """Name of the file."""


_MEND = "mend the rows in the file"


def read_surveys(
    path: str | os.PathLike[str],
    parcels: gpd.GeoDataFrame,
    *,
    delay_days: int = 7,
    columns: Mapping[str, str] | None = None,
    pests: Mapping[str, Pest] | None = None,
    today: object = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    communes: Communes | None = None,
    layout: Layout = "long",
    units: Mapping[str, str] | None = None,
    within_m: float = 0.0,
    timezone: str = "UTC",
) -> pd.DataFrame:
    """Read field surveys (CSV, XLSX, or GeoJSON points), one row a parcel, day and pest.

    A zero is a finding and stays. A row by point goes to the parcel it lies in. Pests may be named as the catalogue
    does, in Vietnamese or by an abbreviation; a value in another unit is converted where the catalogue says how.

    Parameters
    ----------
    delay_days
        Days from a visit to the office, for rows without ``known_at`` [days].
    columns
        Our name -> the file's name.
    pests
        Known pests by name; by default the catalog's.
    today
        No visit may be later; by default today in UTC.
    date_order, decimal, thousands
        How the file writes days (``"dmy"``, ``"mdy"``) and numbers, where it is not 2026-03-02 and 1054.5.
    communes
        Under which old codes and names of communes count as those of today, where parcels are communes.
    layout
        ``"long"``: a row a visit and pest. ``"wide"``: a row a visit, a pest a column. ``"odk"``: an export of ODK
        Central, Briefcase or KoboToolbox, findings on a sheet or in a file of their own or not.
    units
        Pest -> unit of its column, for ``"wide"`` and ``"odk"``; by default the catalogue's.
    within_m
        How far outside every parcel a point may lie and still count for the nearest [m].
    timezone
        In which a submission of ``"odk"`` has its day.

    Returns
    -------
    DataFrame
        Columns of ``schema.SURVEYS``, sorted by parcel, date and pest. ``attrs["known_at_assumed"]`` counts rows whose
        ``known_at`` is assumed, ``attrs["delay_days"]`` says how, ``attrs["synthetic"]`` marks simulated rows.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, or lacks a column.
    NoDataError
        No row can be used.

    Warns
    -----
    DataWarning
        Names each row left out, and why.
    """
    rows = survey_rows(
        path, parcels, columns=columns, pests=pests, today=today, encoding=encoding, date_order=date_order,
        decimal=decimal, thousands=thousands, communes=communes, layout=layout, units=units, within_m=within_m,
        timezone=timezone,
    )  # fmt: skip
    table, problems, source = rows
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {_MEND}")
    table = _known(drop_rows(table[_NAMES], problems, source, _MEND), delay_days)
    check_surveys(table, source)
    return mark_synthetic(table, table["method"].unique())


def survey_rows(
    path: str | os.PathLike[str],
    parcels: gpd.GeoDataFrame | None,
    *,
    columns: Mapping[str, str] | None = None,
    pests: Mapping[str, Pest] | None = None,
    today: object = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    communes: Communes | None = None,
    layout: Layout = "long",
    units: Mapping[str, str] | None = None,
    within_m: float = 0.0,
    timezone: str = "UTC",
) -> SurveyRows:
    """Return every row of a file as :func:`read_surveys` understands it, good or not, and what is wrong with which.

    Without ``parcels`` places are not looked up. ``known_at`` is missing where the file does not say it.
    """
    notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
    file = input_file(path, "surveys")
    known = PESTS if pests is None else pests
    given, declared = dict(columns or {}), dict(units or {})
    if layout == "long":
        raw, problems = long_cells(file, encoding)
    elif layout == "wide":
        raw, problems = wide_cells(file, encoding, given, known, declared)
    else:
        raw, problems = odk_cells(file, encoding, given, known, declared, timezone)
    left = given if layout == "long" else {}
    table, problems = parse_cells(raw, problems, (*_INPUT, LON, LAT), file.name, "surveys", left, notation)
    require_place(table, file.name)
    problems = with_codes(problems)
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    if parcels is not None:
        table, lost = placed(table, parcels, within_m)
        problems = once(problems, lost, table)
    table = table.reindex(columns=[*_NAMES, "lon", "lat"])
    table = table.astype({f.name: _TYPES[f.kind] for f in (*SURVEYS, LON, LAT)})
    if parcels is not None:
        table[PARCEL] = as_spelled(table[PARCEL], parcels[PARCEL])
        if communes is not None:
            table[PARCEL] = in_current_communes(table, parcels[PARCEL], communes, file.name)
        problems += unknown_names(table[PARCEL], "a parcel_id of the parcels", parcels[PARCEL])
    table["pest"], strange = PestNames(known).resolve(table["pest"])
    table, foreign = in_units(table, known, file.name)
    table, contrary = one_value(table, table["lon"].astype("str") + " " + table["lat"].astype("str"))
    return SurveyRows(table, problems + strange + foreign + date_problems(table, now) + contrary, file.name)


def _known(table: pd.DataFrame, delay_days: int) -> pd.DataFrame:
    assumed = table["known_at"].isna()
    known_at = table["known_at"].fillna(table["date"] + np.timedelta64(delay_days, "D")).astype("datetime64[us]")
    out = table.assign(known_at=known_at)
    order = [PARCEL, "date", "pest", "known_at", *(n for n in _NAMES if n not in (PARCEL, "date", "pest", "known_at"))]
    out = out.sort_values(order).reset_index(drop=True)
    out.attrs = {"known_at_assumed": int(assumed.sum()), "delay_days": delay_days}
    return out
