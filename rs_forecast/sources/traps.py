"""Light traps: what each caught, in how many nights, and when the office knew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import NoDataError, listing
from rs_forecast.schema import TRAPS, Problem, check_traps, day, describe, drop_rows
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._tables import mark_synthetic, read_table, unknown_names

_OPTIONAL = frozenset({"known_at", "nights", "working"})
_INPUT = tuple(replace(f, required=False, nullable=True, allowed=()) if f.name in _OPTIONAL else f for f in TRAPS)
_TYPES = {"text": "str", "day": "datetime64[us]", "number": "float64"}
_KEY = ["trap_id", "pest", "date", "known_at"]
_YES = frozenset({"yes", "y", "true", "1", "có", "co"})
_NO = frozenset({"no", "n", "false", "0", "không", "khong"})
_MEND = "mend the rows in the file"


def read_traps(
    path: str | os.PathLike[str],
    *,
    delay_days: int = 7,
    columns: Mapping[str, str] | None = None,
    pests: Mapping[str, Pest] | None = None,
    today: object = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
) -> pd.DataFrame:
    """Read light-trap counts (CSV, XLSX, or GeoJSON points), one row a trap, day and pest.

    Columns are ``trap_id``, ``lon``, ``lat``, ``date`` (the trap was emptied), ``pest``, ``count``; and if there,
    ``nights`` (1 where empty), ``working`` (yes or no; yes where empty) and ``known_at``. A zero is a finding. A trap
    that did not work, or had no night, says nothing: its count becomes missing, whatever was written.

    Parameters
    ----------
    delay_days
        Days from the trap to the office, for rows without ``known_at`` [days].
    columns
        Our name -> the file's name.
    pests
        Known pests by name; by default the catalog's.
    today
        No day may be later; by default today in UTC.
    date_order, decimal, thousands
        How the file writes days (``"dmy"``, ``"mdy"``) and numbers, where it is not 2026-03-02 and 1054.5.

    Returns
    -------
    DataFrame
        Columns of ``schema.TRAPS``, sorted by trap, pest, date and ``known_at``. ``attrs["known_at_assumed"]`` counts
        rows whose ``known_at`` is assumed, ``attrs["delay_days"]`` says how, ``attrs["synthetic"]`` marks simulated
        rows.

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
    notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
    table, problems, source = read_table(
        path, _INPUT, what="traps", columns=columns, encoding=encoding, notation=notation
    )
    table = table.reindex(columns=[f.name for f in TRAPS]).astype({f.name: _TYPES[f.kind] for f in TRAPS})
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    words = table["working"].str.lower()
    problems += [
        Problem(row, "working", found, "yes or no")
        for row, found in table.loc[words.notna() & ~words.isin(_YES | _NO), "working"].items()
    ]
    table["working"] = np.where(words.isin(_NO), "no", "yes")
    table["working"] = table["working"].astype("str")
    table["nights"] = table["nights"].fillna(1.0)
    problems += unknown_names(table["pest"], "a known pest", list(PESTS if pests is None else pests))
    problems += _date_problems(table, now) + _count_problems(table)
    table, assumed = _known(table, delay_days)
    problems += _twice_problems(table, problems) + _place_problems(table)
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {_MEND}")
    table = drop_rows(table, problems, source, _MEND)
    count = int(assumed[table.index].sum())
    table = table.drop_duplicates().sort_values(_KEY).reset_index(drop=True)
    table.attrs = {"known_at_assumed": count, "delay_days": delay_days}
    check_traps(table, source)
    return mark_synthetic(table, table["trap_id"].unique())


def _date_problems(table: pd.DataFrame, now: pd.Timestamp) -> list[Problem]:
    future = table.loc[table["date"] > now, "date"]
    problems = [Problem(row, "date", found, f"a day not after today, {now:%Y-%m-%d}") for row, found in future.items()]
    early = table[table["known_at"] < table["date"]]
    return problems + [
        Problem(row, "known_at", found, f"a day not before the trap was emptied, {emptied:%Y-%m-%d}")
        for row, found, emptied in zip(early.index, early["known_at"], early["date"], strict=True)
    ]


def _count_problems(table: pd.DataFrame) -> list[Problem]:
    """Blank counts of traps that say nothing; return the empty counts of those that should say something."""
    idle = (table["working"] == "no") | (table["nights"] == 0)
    table["count"] = table["count"].mask(idle)
    empty = table.index[~idle & table["count"].isna()]
    rule = "a number of at least 0; for a trap that did not work, working = no"
    return [Problem(row, "count", None, rule) for row in empty]


def _known(table: pd.DataFrame, delay_days: int) -> tuple[pd.DataFrame, pd.Series]:
    assumed = table["known_at"].isna()
    known_at = table["known_at"].fillna(table["date"] + np.timedelta64(delay_days, "D")).astype("datetime64[us]")
    return table.assign(known_at=known_at), assumed


def _twice_problems(table: pd.DataFrame, problems: list[Problem]) -> list[Problem]:
    """Return rows of one trap, pest and day, known at once, that disagree; equal ones count as one."""
    good = table.drop(index=list({p.row for p in problems} & set(table.index))).drop_duplicates()
    twice = good[good.duplicated(_KEY, keep=False)]
    return [Problem(row, "count", found, "one row a trap, pest and day") for row, found in twice["count"].items()]


def _place_problems(table: pd.DataFrame) -> list[Problem]:
    """Return rows that put a trap elsewhere than most of its rows do."""
    place = pd.Series(list(zip(table["lon"], table["lat"], strict=True)), index=table.index)
    place = place[table["lon"].notna() & table["lat"].notna() & table["trap_id"].notna()]
    usual = place.groupby(table["trap_id"].reindex(place.index)).agg(lambda spots: spots.mode().iloc[0])
    wanted = table["trap_id"].reindex(place.index).map(usual)
    return [
        Problem(
            row,
            "lon, lat",
            listing(place[row]),
            f"the place of its other rows, {listing(wanted[row])}; or another name",
        )
        for row in place.index[(place != wanted).to_numpy()]
    ]
