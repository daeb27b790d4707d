"""The ways in which offices hold surveys, turned into one: cells under our names, one row a visit and pest.

The index of such cells says where a row is: its number in the file, and which, where several come from one row.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rs_forecast.catalog import Pest
from rs_forecast.errors import ConfigError, DataWarning, SchemaError, listing, suggest
from rs_forecast.schema import SURVEYS, Problem
from rs_forecast.sources._pest_names import PestNames, split_unit
from rs_forecast.sources._tables import as_text, raw_cells

PLAIN = (*(field.name for field in SURVEYS), "lon", "lat")
"""Columns of our long table that are no pests."""
UNNAMED = re.compile(r"Unnamed: (\d+)")
"""What a sheet's column is called that has no heading."""


def long_cells(file: Path, encoding: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the cells of a table that has one row a visit and pest already."""
    raw, problems = raw_cells(file, "surveys", encoding)
    return _without_unnamed(raw, file.name), problems


def wide_cells(
    file: Path, encoding: str | None, columns: Mapping[str, str], pests: Mapping[str, Pest], units: Mapping[str, str]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the cells of a table with a pest a column, one row a visit.

    Units come from the row below the header if it holds nothing but units, from brackets in a heading, from ``units``,
    else from the catalogue. An empty cell says nothing; a zero is a finding.
    """
    raw, problems = raw_cells(file, "surveys", encoding)
    raw = renamed(_without_unnamed(raw, file.name), columns, file.name)
    return melted(raw, pests, units, file.name), problems


def melted(raw: pd.DataFrame, pests: Mapping[str, Pest], units: Mapping[str, str], name: str) -> pd.DataFrame:
    """Return cells with a pest a column as one row a visit and pest; columns that are neither are named."""
    known = PestNames(pests)
    raw = raw.drop(columns=[c for c in ("pest", "value", "unit") if c in raw])
    found = _pest_columns(raw, known, name)
    raw, row_units = _units_row(raw, found)
    declared = _declared_units(units, known)
    fixed = raw[[c for c in raw.columns if c in PLAIN]]
    parts = []
    for column, pest in found.items():
        cells = raw[column][as_text(raw[column]).notna().to_numpy()]
        unit = row_units.get(column) or split_unit(column)[1] or declared.get(pest) or pests[pest].unit
        part = fixed.loc[cells.index].assign(pest=pest, value=cells, unit=unit)
        parts.append(part.set_axis([f"{row} ({column})" for row in cells.index]))
    return pd.concat(parts)


def renamed(raw: pd.DataFrame, columns: Mapping[str, str], name: str) -> pd.DataFrame:
    """Return ``raw`` with the columns that are declared under our names."""
    for ours, theirs in columns.items():
        if theirs not in raw.columns:
            raise SchemaError(
                f'{name}: it has no column "{theirs}" for {ours}{suggest(theirs, map(str, raw.columns)) or "."} '
                f"Found: {listing(raw.columns, 20)}. Mend [surveys.columns]"
            )
    back = {theirs: ours for ours, theirs in columns.items()}
    return raw.drop(columns=[c for c in columns if c in raw.columns and c not in back]).rename(columns=back)


def _pest_columns(raw: pd.DataFrame, known: PestNames, name: str) -> dict[str, str]:
    """Return column -> pest; name those that are no pest, refuse two of one."""
    others = [str(c) for c in raw.columns if c not in PLAIN]
    found = {c: pest for c in others if (pest := known.find(split_unit(c)[0])) is not None}
    strange = [c for c in others if c not in found]
    if not found:
        raise SchemaError(
            f"{name}: no column is named as a pest, and layout is wide. Found: {listing(others, 20)}. Name the columns "
            'as pests, or map them: [surveys] columns = { brown_planthopper = "YOURS" }'
        )
    if strange:
        said = listing((f"{c!r}, allowed is {known.rule(split_unit(c)[0])}" for c in strange), 10, "; ")
        text = (
            f"{name}: columns are left out that are no pest of ours: {said}. Map them under [surveys.columns], or not"
        )
        warnings.warn(DataWarning(text), stacklevel=5)
    for pest in set(found.values()):
        same = [column for column, of in found.items() if of == pest]
        exact = [column for column in same if column == pest]
        if len(same) > 1 and len(exact) != 1:
            raise SchemaError(
                f"{name}: columns {listing(map(repr, same))} are all {pest}. Keep one, or say which: "
                f"[surveys] columns = {{ {pest} = {same[0]!r} }}"
            )
        for column in same if exact else []:
            if column != pest:
                del found[column]
    return found


def _units_row(raw: pd.DataFrame, found: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the table without a first row that holds units alone, and the units by column."""
    if raw.empty:
        return raw, {}
    texts = as_text(raw.iloc[0].astype(object))
    fixed = [c for c in raw.columns if c in PLAIN]
    given = texts[list(found)].dropna()
    if given.empty or texts[fixed].notna().any() or any(re.search(r"^[-+]?[\d.,]", cell) for cell in given):
        return raw, {}
    return raw.iloc[1:], {str(column): str(unit) for column, unit in given.items()}


def _declared_units(units: Mapping[str, str], known: PestNames) -> dict[str, str]:
    """Return pest -> unit as declared, pests by any of their names."""
    out = {}
    for text, unit in units.items():
        pest = known.find(text)
        if pest is None:
            raise ConfigError(f"[surveys] units: found {text!r}, allowed is {known.rule(text)}")
        out[pest] = unit
    return out


def _without_unnamed(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the table without columns that have no heading; what stands in them is named, for it may be misplaced."""
    nameless = [c for c in raw.columns if c == "" or UNNAMED.fullmatch(str(c))]
    filled = {c: as_text(raw[c]).dropna() for c in nameless}
    said = [f"column {_letter(raw, c)}, row {t.index[0]}: found {t.iloc[0]!r}" for c, t in filled.items() if len(t)]
    if said:
        text = (
            f"{name}: cells stand in columns without a heading and are left out: {listing(said, sep='; ')}. A heading "
            "merged over two columns, or a cell put in moves the rest of a row: unmerge it, or give the column its name"
        )
        warnings.warn(DataWarning(text), stacklevel=5)
    return raw.drop(columns=nameless)


def _letter(raw: pd.DataFrame, column: str) -> str:
    """Return what a spreadsheet calls a column."""
    number = list(raw.columns).index(column)
    head = chr(ord("A") + number // 26 - 1) if number >= 26 else ""
    return head + chr(ord("A") + number % 26)
