"""What a row of a survey may say: a known pest, a unit that is known to convert, days in order, one value."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Mapping

import pandas as pd

from rs_forecast.catalog import Pest
from rs_forecast.errors import DataWarning, listing
from rs_forecast.schema import PARCEL, Problem

_CODES = frozenset({-9999.0, -999.0, -99.0, -9.0, -1.0})
"""Numbers that programs write for "no value"."""


def in_units(table: pd.DataFrame, pests: Mapping[str, Pest], source: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Return ``table`` with values in each pest's own unit; a unit that the catalogue does not convert is named."""
    factors, problems = pd.Series(1.0, index=table.index), []
    mixed: list[str] = []
    for name, rows in table[table["pest"].isin(list(pests)) & table["unit"].notna()].groupby("pest"):
        pest = pests[str(name)]
        known = {unit: _factor(pest, str(unit)) for unit in rows["unit"].unique()}
        others = f", or {listing(dict(pest.units), 8)}" if pest.units else ""
        rule = f"{pest.unit}, the unit of {name}{others}; convert the values, or declare how under [pests.{name}] units"
        strange = rows.index[rows["unit"].map(known).isna().to_numpy()]
        problems += [Problem(row, "unit", table["unit"][row], rule) for row in strange]
        good = rows.index.difference(strange, sort=False)
        factors[good] = rows.loc[good, "unit"].map(known).astype(float)
        if len({factor for factor in known.values() if factor is not None}) > 1:
            counts = rows.loc[good, "unit"].value_counts()
            mixed.append(f"{name}: " + listing((f"{count} rows in {unit}" for unit, count in counts.items()), 8))
    if mixed:
        text = f"{source}: units are mixed, and converted as the catalogue says: {listing(mixed, sep='; ')}"
        warnings.warn(DataWarning(text), stacklevel=3)
    bad = {p.row for p in problems}
    units = table["pest"].map({name: pest.unit for name, pest in pests.items()}).where(table["unit"].notna())
    keep = table.index.isin(list(bad)) | units.isna().to_numpy()
    return table.assign(value=table["value"] * factors, unit=table["unit"].where(keep, units)), problems


def with_codes(problems: list[Problem]) -> list[Problem]:
    """Say of a number such as -999 that it looks like a code for "no value"."""
    hint = " (it looks like a code for no value: leave the cell empty)"
    return [
        p._replace(rule=p.rule + hint) if p.column == "value" and p.found in _CODES and hint not in p.rule else p
        for p in problems
    ]


def date_problems(table: pd.DataFrame, now: pd.Timestamp) -> list[Problem]:
    """Return visits to come, and days in an order that cannot be."""
    future = table.loc[table["date"] > now, "date"]
    problems = [Problem(row, "date", found, f"a day not after today, {now:%Y-%m-%d}") for row, found in future.items()]
    early = table[table["known_at"] < table["date"]]
    problems += [
        Problem(row, "known_at", found, f"a day not before the visit, {visit:%Y-%m-%d}")
        for row, found, visit in zip(early.index, early["known_at"], early["date"], strict=True)
    ]
    late = table[table["treated_on"] > table["date"]]
    return problems + [
        Problem(row, "treated_on", found, f"a day not after the visit, {visit:%Y-%m-%d}")
        for row, found, visit in zip(late.index, late["treated_on"], late["date"], strict=True)
    ]


def one_value(table: pd.DataFrame, place: pd.Series) -> tuple[pd.DataFrame, list[Problem]]:
    """Name rows that say different things of one parcel, day and pest; drop those that only repeat.

    ``place`` tells visits of one day apart: two points in a field are two visits. So do the method, and the day it was
    known: a value that was mended later is a row of its own.
    """
    key = table[[PARCEL, "date", "pest", "known_at", "method"]].assign(place=place)
    whole = key[[PARCEL, "date", "pest"]].notna().all(axis=1) & table["value"].notna()
    key = key[whole]
    repeat = table[whole].assign(place=place).duplicated()
    values = table.loc[whole, "value"]
    groups = key.groupby(list(key.columns), dropna=False, sort=False).ngroup()
    differing = values.groupby(groups).transform("nunique") > 1
    problems = []
    for _, rows in values[differing].groupby(groups[differing], sort=False):
        for row, value in rows.items():
            other, said = next((r, v) for r, v in rows.items() if v != value)
            rule = f"one value of a parcel, day and pest; row {other} says {said:g}. Keep the right one"
            problems.append(Problem(row, "value", value, rule))
    return table.drop(index=repeat.index[repeat]), problems


def unit_key(unit: str) -> str:
    """Return a key under which spellings of a unit meet: ``Con/m²`` and ``con / m2``."""
    return "".join(unicodedata.normalize("NFKC", unit).casefold().split())


def _factor(pest: Pest, unit: str) -> float | None:
    exact = pest.factor(unit)
    if exact is not None:
        return exact
    return {unit_key(u): factor for u, factor in ((pest.unit, 1.0), *pest.units)}.get(unit_key(unit))
