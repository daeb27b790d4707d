"""Crops: what was sown on which parcel and when, one row a crop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.errors import NoDataError
from rs_forecast.schema import CROPS, PARCEL, Problem, check_crops, day, describe, drop_rows
from rs_forecast.sources._crop_names import catalogue_crops
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._tables import as_spelled, mark_synthetic, read_table, unknown_names

_INPUT = tuple(replace(f, required=False, nullable=True) if f.name == "known_at" else f for f in CROPS)
_NAMES = [field.name for field in CROPS]
_MEND = "mend the rows in the file"


def read_crops(
    path: str | os.PathLike[str],
    parcels: gpd.GeoDataFrame,
    *,
    today: object = None,
    delay_days: int = 7,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    date_order: str | None = None,
) -> pd.DataFrame:
    """Read a table of crops (CSV, XLSX).

    A row without ``known_at`` is taken as known ``delay_days`` after sowing. Its harvest could not be known then: such
    a crop gives two rows, one without harvest from that day on, one with it from ``delay_days`` after harvest on; the
    newest known row of a parcel and sowing date holds.

    Parameters
    ----------
    today
        No date may be later; by default today in UTC.
    delay_days
        Assumed delay of the office's knowledge [days].
    columns
        Our name -> the file's name.
    date_order
        How the file writes days (``"dmy"``, ``"mdy"``), where it is not 2026-03-02.

    Returns
    -------
    DataFrame
        Columns of ``schema.CROPS``, sorted by parcel, sowing date and ``known_at``. ``attrs["known_at_assumed"]``
        counts rows whose ``known_at`` is assumed, ``attrs["delay_days"]`` says how.

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
    notation = Notation(date_order=date_order)
    table, problems, source = read_table(
        path, _INPUT, what="crops", columns=columns, encoding=encoding, notation=notation
    )
    table = table.reindex(columns=_NAMES)
    table = table.astype({f.name: "str" if f.kind == "text" else "datetime64[us]" for f in CROPS})
    table["crop"] = catalogue_crops(table["crop"])
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    table[PARCEL] = as_spelled(table[PARCEL], parcels[PARCEL])
    problems += unknown_names(table[PARCEL], "a parcel_id of the parcels", parcels[PARCEL])
    problems += _order_problems(table, now)
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {_MEND}")
    table = _known(drop_rows(table, problems, source, _MEND), delay_days)
    check_crops(table, source)
    return mark_synthetic(table, [*table["season"].unique(), *table["variety"].unique()])


def _order_problems(table: pd.DataFrame, now: pd.Timestamp) -> list[Problem]:
    """Return dates after today, and dates before what they follow."""
    today = f"a day not after today, {now:%Y-%m-%d}"
    problems = [
        Problem(row, name, found, today)
        for name in ("sown", "harvested")
        for row, found in table.loc[table[name] > now, name].items()
    ]
    for later, earlier in (("harvested", "sown"), ("known_at", "sown"), ("known_at", "harvested")):
        wrong = table[table[later] < table[earlier]]
        problems += [
            Problem(row, later, found, f"a day not before {earlier}, {before:%Y-%m-%d}")
            for row, found, before in zip(wrong.index, wrong[later], wrong[earlier], strict=True)
        ]
    return problems


def _known(table: pd.DataFrame, delay_days: int) -> pd.DataFrame:
    delay = np.timedelta64(delay_days, "D")
    open_ = table["known_at"].isna()
    given, assumed = table[~open_], table[open_]
    sowing = assumed.assign(known_at=assumed["sown"] + delay, harvested=np.datetime64("NaT", "us"))
    harvest = assumed[assumed["harvested"].notna()]
    harvest = harvest.assign(known_at=harvest["harvested"] + delay)
    types: dict[str, Any] = {"harvested": "datetime64[us]", "known_at": "datetime64[us]"}
    parts = [part.astype(types) for part in (given, sowing, harvest) if len(part)]
    out = pd.concat(parts).sort_values([PARCEL, "sown", "known_at", "season", "crop", "variety"])
    out = out.drop_duplicates().reset_index(drop=True)
    out.attrs = {"known_at_assumed": len(sowing) + len(harvest), "delay_days": delay_days}
    return out
