"""Area data: what offices report a week of communes, sub-zones or the province, from a table or from annexes.

A number of an area is an observation of that area. Where the parcels are the areas it is a survey of them; of a field
inside it says nothing that could be a label.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import NoDataError, SchemaError
from rs_forecast.schema import (
    AREAS,
    PARCEL,
    SURVEYS,
    Field,
    Problem,
    check_areas,
    check_surveys,
    day,
    describe,
    drop_rows,
)
from rs_forecast.sources._area_cells import interval, week_of
from rs_forecast.sources._notation import Notation, iso_days
from rs_forecast.sources._paths import input_file
from rs_forecast.sources._pest_names import PestNames
from rs_forecast.sources._survey_places import area_codes
from rs_forecast.sources._tables import mark_synthetic, parse_cells, raw_cells
from rs_forecast.sources.bulletin import read_annex, warn_of_sums
from rs_forecast.sources.communes import Communes

AREA_MEASURES = tuple(f.name for f in AREAS if f.kind == "number")
"""What a pest's event may be declared on, besides the density that the catalogue counts: ``infested_ha >= 20``."""

_KEY = ["place", "week", "pest", "stage", "known_at"]
_TYPES = {"text": "str", "day": "datetime64[us]", "number": "float64"}
_MEND = "mend the rows in the file"


def _as_given(field: Field) -> Field:
    """Return what a cell of a file may hold."""
    if field.name == "week":
        return replace(field, kind="text")
    return replace(field, required=False, nullable=True) if field.name == "known_at" else field


_INPUT = (
    *(_as_given(field) for field in AREAS),
    Field(name="common", kind="text", doc="common density, such as 1000-2000", required=False, nullable=True),
)


def read_areas(
    path: str | os.PathLike[str] | None,
    *,
    layout: Literal["areas", "annex"] = "areas",
    delay_days: int = 7,
    place: str | None = None,
    columns: Mapping[str, str] | None = None,
    pests: Mapping[str, Pest] = PESTS,
    today: Any = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    communes: Communes | None = None,
    part: str = "areas",
) -> pd.DataFrame:
    """Read area data: a table (``place``, ``week``, ``pest``, then any of ``schema.AREAS``), or annexes.

    ``week`` is written 2026-W12, Tuần 12 năm 2026, or as a day of it; ``common`` may hold an interval.

    Parameters
    ----------
    delay_days
        Days from the Sunday of a week to the office, for rows without ``known_at`` [days].
    date_order, decimal, thousands
        How the file writes days (``"dmy"``, ``"mdy"``) and numbers, where it is not 2026-03-02 and 1054.5; of an annex
        only its numbers are asked, for its week stands in words.
    place
        Area of annexes that do not say theirs.
    communes
        By which names and old codes are read as codes of today.
    part
        Table of the config that messages name.

    Returns
    -------
    DataFrame
        Columns of ``schema.AREAS``, sorted. ``attrs["known_at_assumed"]`` counts rows whose ``known_at`` is assumed.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, or lacks a column.
    NoDataError
        No row can be used.

    Warns
    -----
    DataWarning
        Names each row left out, and parts that do not add up.
    """
    if layout == "annex":
        table = read_annex(
            path, place=place, pests=pests, decimal=decimal, thousands=thousands, delay_days=delay_days, today=today,
            part=part,
        )  # fmt: skip
        problems: list[Problem] = []
        assumed, source = len(table), Path(str(path)).name
    else:
        notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
        table, problems, source = _plain(path, columns, encoding, notation, pests, today, part)
        assumed = int(table["known_at"].isna().sum())
        sunday = table["week"] + pd.Timedelta(days=6 + delay_days)
        table["known_at"] = table["known_at"].fillna(sunday).astype("datetime64[us]")
    if communes is not None:
        table["place"] = area_codes(table, communes, source)
    problems += _contrary(table)
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {_MEND}")
    table = drop_rows(table, problems, source, _MEND).drop_duplicates()
    table = table.sort_values(_KEY).reset_index(drop=True)
    check_areas(table, source)
    table.attrs = {"known_at_assumed": assumed, "delay_days": delay_days}
    return mark_synthetic(table, table["distribution"].unique())


def areas_as_surveys(areas: pd.DataFrame, parcels: gpd.GeoDataFrame, pests: Mapping[str, Pest]) -> pd.DataFrame:
    """Return area data as surveys of parcels that are the areas: a row a place, week and pest, dated on its Monday.

    A pest whose event is on hectares gets them, summed over stages of the crop; one whose event is on a density or rate
    the highest found, else the upper end of the common interval.

    Raises
    ------
    NoDataError
        No place is a parcel: of fields, area data are no labels.
    """
    here = areas[areas["place"].isin(set(parcels[PARCEL]))]
    if here.empty:
        raise NoDataError(
            f"area data: none of {len(areas)} rows is of a parcel ({areas['place'].iloc[0]!r} is not among "
            f"{parcels[PARCEL].iloc[0]!r} ...). Where the parcels are communes or sub-zones, their ids must be the "
            "places'; where they are fields, area data are no labels of them: name surveys of fields under [surveys], "
            "and these under [areas]"
        )
    parts = []
    for name, rows in here.groupby("pest"):
        pest = pests[str(name)]
        by = rows.groupby(["place", "week", "known_at"])
        if pest.measure in AREA_MEASURES:
            how: Any = "max" if pest.measure in ("low", "high", "peak") else lambda v: v.sum(min_count=1)
            value = by[pest.measure].agg(how)
        else:
            value = by[["peak", "high"]].max().pipe(lambda t: t["peak"].fillna(t["high"]))
        parts.append(value.dropna().rename("value").reset_index().assign(pest=name, unit=pest.unit))
    table = pd.concat(parts).rename(columns={"place": PARCEL, "week": "date"})
    table["method"] = "area report" + (" (SYNTHETIC)" if areas.attrs.get("synthetic") else "")
    table = pd.DataFrame(table.reindex(columns=[f.name for f in SURVEYS])).astype(
        {f.name: _TYPES[f.kind] for f in SURVEYS}
    )
    if table.empty:
        raise NoDataError(
            "area data: no row has the value that an event is declared on; see that event and unit of [pests.NAME] are "
            'such as "infested_ha >= 20" and "ha"'
        )
    table = table.sort_values([PARCEL, "date", "pest", "known_at"]).reset_index(drop=True)
    check_surveys(table, "area data")
    table.attrs = dict(areas.attrs)
    return table


def _plain(
    path: Any,
    columns: Mapping[str, str] | None,
    encoding: str | None,
    notation: Notation,
    pests: Mapping[str, Pest],
    today: Any,
    part: str,
) -> tuple[pd.DataFrame, list[Problem], str]:
    """Return the rows of a table, with those that are wrong."""
    file = input_file(path, part)
    raw, problems = raw_cells(file, part, encoding)
    table, problems = parse_cells(raw, problems, _INPUT, file.name, part, columns or {}, notation)
    table = table.reindex(columns=list(dict.fromkeys([*(f.name for f in AREAS), "common"])))
    table = table.astype({f.name: _TYPES[f.kind] for f in _INPUT})
    table["pest"], strange = PestNames(pests).resolve(table["pest"])
    weeks, wrong = _each(iso_days(table["week"], notation).fillna(table["week"]), "week", week_of, (SchemaError,))
    table["week"] = weeks.astype("datetime64[us]")
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    late = table["week"][table["week"] > now]
    wrong += [Problem(row, "week", found, f"a week not after today, {now:%Y-%m-%d}") for row, found in late.items()]
    ends, odd = _each(table["common"], "common", lambda text: interval(text, notation), (ValueError,))
    for name, at in (("low", 0), ("high", 1)):
        given = ends.map(lambda pair, at=at: pair[at] if isinstance(pair, tuple) else np.nan).astype("float64")
        table[name] = table[name].fillna(given)
    early = table["known_at"][table["known_at"] < table["week"]]
    wrong += [Problem(row, "known_at", found, "a day not before the week") for row, found in early.items()]
    warn_of_sums(table, file.name)
    return table.drop(columns="common"), problems + strange + wrong + odd, file.name


def _each(
    cells: pd.Series, column: str, read: Any, errors: tuple[type[Exception], ...]
) -> tuple[pd.Series, list[Problem]]:
    """Return what ``read`` makes of each text, missing where it cannot, and why."""
    made, problems = {}, []
    for row, text in cells.dropna().items():
        try:
            made[row] = read(text)
        except errors as err:
            problems.append(Problem(row, column, text, str(err).partition("allowed is ")[2] or str(err)))
    return pd.Series(made, dtype=object).reindex(cells.index), problems


def _contrary(table: pd.DataFrame) -> list[Problem]:
    """Name rows that say different things of one place, week, pest and stage."""
    rows = table.drop_duplicates()
    twice = rows[rows.duplicated(_KEY, keep=False) & rows[["place", "week", "pest"]].notna().all(axis=1)]
    problems = []
    for _, same in twice.groupby(_KEY, dropna=False):
        first, *_ = same.index
        for row in same.index:
            other = same.index[1] if row == first else first
            rule = f"one row a place, week, pest and stage; row {other} is of the same. Keep the right one"
            problems.append(Problem(row, "place", same.loc[row, "place"], rule))
    return problems
