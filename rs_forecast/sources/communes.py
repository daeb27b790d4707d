"""Communes: codes and names with the days they hold, and which commune of today an old one has become.

Vietnam's communes were merged in 2025, and some new ones bear the code or the name of one that went into them. So
neither is a key by itself: a code or a name means a commune only together with a day.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_forecast.errors import DataWarning, NoDataError, SchemaError, listing, suggest
from rs_forecast.schema import PARCEL, ROW, Field, Problem, day, describe, drop_rows
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._paths import VECTOR_FORMATS, input_file
from rs_forecast.sources._tables import parse_cells, read_table
from rs_forecast.sources._vectors import read_vector
from rs_forecast.sources._vietnamese import match_key, unmarked_twin

COMMUNES = (
    Field(name="code", kind="text", doc="official code"),
    Field(name="name", kind="text", doc="name, with or without xã, phường, thị trấn"),
    Field(name="valid_from", kind="day", doc="first day", required=False, nullable=True),
    Field(name="valid_to", kind="day", doc="last day; empty while it exists", required=False, nullable=True),
    Field(
        name="successor_code", kind="text", doc="code of the commune it became part of", required=False, nullable=True
    ),
    Field(name="parent", kind="text", doc="district or province", required=False, nullable=True),
)
"""Columns of the table. A commune that was split has a row for each successor."""

_TABLES = (".csv", ".txt", ".tsv", ".xlsx")
_KIND = re.compile(r"(?:xã|phường|thị trấn|đặc khu|x\.|p\.|tt\.?|tx\.?|tp\.?) ?(?=\S)")
_FIRST, _LAST = pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01")
_MEND = "mend the rows in the file"


@dataclass(frozen=True, kw_only=True, eq=False)
class Communes:
    """The communes of a region, now and before."""

    table: pd.DataFrame
    """Columns of :data:`COMMUNES`; an open ``valid_from`` or ``valid_to`` is NaT."""
    source: str
    """Name of the file."""

    def resolve(self, text: str, at: Any, *, parent: str | None = None) -> str:
        """Return today's code of the commune that ``text``, a code or a name, meant on the day ``at``.

        A code or name that ended before ``at`` is understood too, if none of that day bears it: people go on using it.

        Parameters
        ----------
        parent
            District or province, where a name is there more than once.

        Raises
        ------
        SchemaError
            There is no such commune, several bear the name, or it was split among several.
        """
        on = day(at)
        rows = self._bearing(text, parent)
        if rows.empty:
            raise SchemaError(f"{self.source}: there is no commune {text!r}{self._near(text)}")
        begun = rows[rows["valid_from"].fillna(_FIRST) <= on]
        there = begun[begun["valid_to"].fillna(_LAST) >= on]
        if there.empty:
            there = begun[begun["valid_to"] == begun["valid_to"].max()]
        if there.empty:
            first = rows["valid_from"].min()
            raise SchemaError(f"{self.source}: the commune {text!r} begins on {first:%Y-%m-%d}, after {on:%Y-%m-%d}")
        codes = sorted({code for row in there.index for code in self._today(row)})
        if len(codes) > 1:
            choices = listing((self._called(code) for code in codes), 10)
            split = len(set(there["code"])) == 1
            how = "it was split; give the code of the one that is meant" if split else "give its code, or its parent"
            raise SchemaError(f"{self.source}: {text!r} on {on:%Y-%m-%d} may be {choices}: {how}")
        return codes[0]

    def _bearing(self, text: str, parent: str | None) -> pd.DataFrame:
        """Return the rows with that code, else with that name, else with that name but for the kind of commune."""
        wanted, bare = match_key(text), _KIND.sub("", match_key(text), count=1)
        keys = self.table["name"].map(match_key)
        rows = self.table[self.table["code"] == text.strip()]
        for same in (keys == wanted, keys.str.replace(_KIND, "", n=1, regex=True) == bare):
            if not rows.empty:
                break
            rows = self.table[same]
        if parent is not None:
            rows = rows[rows["parent"].fillna("").map(match_key) == match_key(parent)]
        return rows

    def _today(self, row: Any) -> set[str]:
        """Return the codes of those that a row has become, followed to their ends."""
        ends: set[str] = set()
        open_rows = [row]
        while open_rows:  # ends: each successor begins later than what it follows
            number = open_rows.pop()
            code, last, successor = (self.table[name][number] for name in ("code", "valid_to", "successor_code"))
            if pd.isna(successor):
                ends.add(str(code))
            else:
                open_rows += list(_successors(self.table, str(successor), last).index)
        return ends

    def _near(self, text: str) -> str:
        twin = unmarked_twin(text, self.table["name"])
        if twin is not None:
            return f'; did you mean "{twin}"? Its marks differ'
        return suggest(text, [*self.table["name"], *self.table["code"]]) or "; add it to the file"

    def _called(self, code: str) -> str:
        rows = self.table[self.table["code"] == code]
        newest = rows.sort_values("valid_from", na_position="first").iloc[-1]
        of = "" if pd.isna(newest["parent"]) else f", {newest['parent']}"
        return f"{code} ({newest['name']}{of})"


def read_communes(
    path: str | os.PathLike[str] | None, *, encoding: str | None = None, date_order: str | None = None
) -> Communes:
    """Read a table of communes, or the attributes of a layer of them: ``code``, ``name``, and if it has them the rest.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, or lacks ``code`` or ``name``.
    NoDataError
        No row can be used.

    Warns
    -----
    DataWarning
        Names each row left out, and why: a day that is none, a successor that is not there when it should begin.
    """
    file = input_file(path, "communes")
    notation = Notation(date_order=date_order)
    if file.suffix.lower() in _TABLES or file.suffix.lower() not in VECTOR_FORMATS:
        table, problems, name = read_table(file, COMMUNES, what="communes", encoding=encoding, notation=notation)
    else:
        frame, _ = read_vector(file, "communes", encoding=encoding)
        raw = pd.DataFrame(frame.drop(columns="geometry")).set_axis(pd.RangeIndex(2, len(frame) + 2, name=ROW))
        table, problems = parse_cells(raw, [], COMMUNES, file.name, "communes", {}, notation)
        name = file.name
    table = table.reindex(columns=[field.name for field in COMMUNES])
    table = table.astype({f.name: "str" if f.kind == "text" else "datetime64[us]" for f in COMMUNES})
    problems += _order_problems(table)
    while lost := _orphans(table.drop(index=list({p.row for p in problems} & set(table.index)))):
        problems += lost
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, name)}. No row is left; {_MEND}")
    return Communes(table=drop_rows(table, problems, name, _MEND).drop_duplicates(), source=name)


def in_todays_communes(parcels: gpd.GeoDataFrame, communes: Communes, at: Any) -> gpd.GeoDataFrame:
    """Return ``parcels`` with codes of today in ``commune_code``; old ones, and what cannot be told, in a warning."""
    if "commune_code" not in parcels.columns:
        return parcels
    codes = parcels["commune_code"]
    moved, unknown = _resolved(codes.dropna().unique(), at, communes)
    if unknown:
        text = f"commune_code of {_share(codes, unknown)} stays as it is: {listing(unknown.values(), sep='; ')}"
        warnings.warn(DataWarning(text), stacklevel=2)
    if not moved:
        return parcels
    pairs = listing(f"{old} -> {new}" for old, new in moved.items())
    text = f"commune_code of {_share(codes, moved)} is an old one, and read as of today by {communes.source}: {pairs}"
    warnings.warn(DataWarning(text), stacklevel=2)
    out = parcels.assign(commune_code=codes.replace(moved))
    out.attrs = parcels.attrs
    return out


def in_current_communes(table: pd.DataFrame, known: pd.Series, communes: Communes, source: str) -> pd.Series:
    """Return ``parcel_id`` of dated rows; an unknown one that meant a commune on its day as the code of today.

    Where parcels are communes their ids are codes, and an old code or name of one is no unknown parcel.
    """
    ids = table[PARCEL].copy()
    codes = set(known)
    strange = table[ids.notna() & ~ids.isin(codes) & table["date"].notna()]
    moved: dict[str, str] = {}
    for text, date in strange[[PARCEL, "date"]].drop_duplicates().itertuples(index=False):
        found, _ = _resolved([text], date, communes)
        if found.get(text) in codes:
            rows = strange.index[(strange[PARCEL] == text) & (strange["date"] == date)]
            ids.loc[rows] = moved[text] = found[text]
    if moved:
        pairs = listing(f"{old} -> {new}" for old, new in moved.items())
        text = f"{source}: old communes are read as those of today, by {communes.source}: {pairs}"
        warnings.warn(DataWarning(text), stacklevel=3)
    return ids


def _resolved(texts: Any, at: Any, communes: Communes) -> tuple[dict[str, str], dict[str, str]]:
    """Return text -> code where they differ, and text -> why where it cannot be told."""
    moved, unknown = {}, {}
    for text in sorted(map(str, texts)):
        try:
            code = communes.resolve(text, at)
        except SchemaError as err:
            unknown[text] = str(err)
            continue
        if code != text:
            moved[text] = code
    return moved, unknown


def _share(codes: pd.Series, among: dict[str, str]) -> str:
    return f"{int(codes.isin(set(among)).sum())} of {len(codes)} parcels"


def _order_problems(table: pd.DataFrame) -> list[Problem]:
    wrong = table[table["valid_to"] < table["valid_from"]]
    problems = [
        Problem(row, "valid_to", found, "a day not before valid_from") for row, found in wrong["valid_to"].items()
    ]
    endless = table[table["successor_code"].notna() & table["valid_to"].isna()]
    return problems + [
        Problem(row, "valid_to", None, "the last day, where there is a successor") for row in endless.index
    ]


def _orphans(table: pd.DataFrame) -> list[Problem]:
    """Return rows whose successor does not begin after them."""
    followed = table[table["successor_code"].notna() & table["valid_to"].notna()]
    rule = "the code of a row that begins after valid_to"
    return [
        Problem(row, "successor_code", code, rule)
        for row, code, last in zip(followed.index, followed["successor_code"], followed["valid_to"], strict=True)
        if _successors(table, code, last).empty
    ]


def _successors(table: pd.DataFrame, code: str, last: pd.Timestamp) -> pd.DataFrame:
    """Return the rows of a code in the period that begins first after ``last``."""
    rows: pd.DataFrame = table[(table["code"] == code) & (table["valid_from"] > last)]
    first: pd.DataFrame = rows[rows["valid_from"] == rows["valid_from"].min()]
    return first
