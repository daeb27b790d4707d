"""Cells that may not stay as they are: found, told in words, left out."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rs_forecast.errors import DataWarning, SchemaError, listing, suggest
from rs_forecast.schema._days import days
from rs_forecast.schema._fields import Field

if TYPE_CHECKING:
    import pandera.pandas as pa


class Problem(NamedTuple):
    """One cell that may not stay as it is."""

    row: Hashable
    column: str
    found: object
    rule: str


def parse_columns(table: pd.DataFrame, fields: Sequence[Field]) -> tuple[pd.DataFrame, list[Problem]]:
    """Turn text cells into what ``fields`` say, and name each cell that cannot be turned.

    Columns that no field names are kept as they are. A cell that is empty stays empty here; whether it may is for
    :func:`find_problems` to say.
    """
    out = table.copy()
    problems: list[Problem] = []
    for field in fields:
        if field.name not in out.columns:
            continue
        raw = out[field.name]
        if field.kind == "day":
            parsed: pd.Series = days(raw)
        elif field.kind == "number":
            parsed = pd.to_numeric(raw, errors="coerce").astype("float64")
        else:
            parsed = raw.astype("str").where(raw.notna(), None).astype("str")
        lost = parsed.isna() & raw.notna()
        problems += [Problem(row, field.name, raw.loc[row], field.rule) for row in raw.index[lost]]
        out[field.name] = parsed
    return out, problems


def find_problems(table: pd.DataFrame, fields: Sequence[Field], source: str) -> list[Problem]:
    """Return each cell of ``table`` that breaks its field's rule.

    Raises
    ------
    SchemaError
        A required column is missing, or a column has another type than its field.
    """
    missing = [f.name for f in fields if f.required and f.name not in table.columns]
    if missing:
        near = suggest(missing[0], map(str, table.columns)) or "."
        raise SchemaError(
            f"{source}: column {listing(missing)} is missing{near} Found: {listing(table.columns, 20)}. "
            f"Rename the column, or map it in the config"
        )
    if all(_is_clean(table[field.name], field) for field in fields if field.name in table.columns):
        return []
    import pandera.pandas as pa

    try:
        _pandera(tuple(fields)).validate(_as_texts(table, fields), lazy=True)
    except pa.errors.SchemaErrors as err:
        return _problems(err.failure_cases, fields, source)
    return []


def drop_rows(table: pd.DataFrame, problems: Sequence[Problem], source: str, mend: str) -> pd.DataFrame:
    """Leave out the rows that ``problems`` name, with one :class:`DataWarning` that says which and why."""
    if not problems:
        return table
    warnings.warn(DataWarning(f"{describe(problems, source)}. Left out; {mend}"), stacklevel=3)
    return table.drop(index=list({p.row for p in problems} & set(table.index)))


def describe(problems: Sequence[Problem], source: str) -> str:
    """Return the problems in words: file, row, column, what was found, what is allowed."""
    first: dict[tuple[Hashable, str], Problem] = {}
    for p in problems:
        first.setdefault((p.row, p.column), p)
    items = [
        f"row {p.row}, column {p.column}: found {shown(p.found)}, allowed is {p.rule}"
        for p in sorted(first.values(), key=lambda p: str(p.row).zfill(12))
    ]
    return f"{source}: {listing(items, sep='; ')}"


def _is_clean(values: pd.Series, field: Field) -> bool:
    """Whether a column is as its field says, by a look that costs little; what is not is judged with care after."""
    if not field.nullable and values.hasnans:
        return False
    if field.kind == "day":
        return bool(values.dtype == "datetime64[us]")
    if field.kind == "text":
        names = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
        return bool(names.dtype == "str") and (not field.allowed or bool(names.dropna().isin(field.allowed).all()))
    if values.dtype.kind not in "fiu":
        return False
    numbers = values.dropna().to_numpy() if values.hasnans else values.to_numpy()
    if not len(numbers):
        return True
    low, high = numbers.min(), numbers.max()
    in_range = (field.low is None or low >= field.low) and (field.high is None or high <= field.high)
    return bool(in_range and np.isfinite(low) and np.isfinite(high))


def _as_texts(table: pd.DataFrame, fields: Sequence[Field]) -> pd.DataFrame:
    """Return the columns that ``fields`` name, categories of texts as the texts themselves."""
    found = [field for field in fields if field.name in table.columns]
    texts = [f.name for f in found if f.kind == "text" and isinstance(table[f.name].dtype, pd.CategoricalDtype)]
    return pd.DataFrame(table[[field.name for field in found]]).astype(dict.fromkeys(texts, "str"))


def _problems(cases: pd.DataFrame, fields: Sequence[Field], source: str) -> list[Problem]:
    rules = {field.name: field.rule for field in fields}
    wrong_type = cases[cases["index"].isna()]
    if len(wrong_type):
        case = wrong_type.iloc[0]
        column = case["column"] if case["column"] in rules else case["failure_case"]
        raise SchemaError(f"{source}: column {column} holds {case['failure_case']}, allowed is {rules.get(column)}")
    return [
        Problem(row, column, found, rules[column])
        for row, column, found in zip(cases["index"], cases["column"], cases["failure_case"], strict=True)
    ]


@cache
def _pandera(fields: tuple[Field, ...]) -> pa.DataFrameSchema:
    import pandera.pandas as pa

    types: dict[str, Any] = {"text": "str", "day": "datetime64[us]", "number": float}

    def column(field: Field) -> pa.Column:
        checks = []
        if field.low is not None:
            checks.append(pa.Check.ge(field.low))
        if field.high is not None:
            checks.append(pa.Check.le(field.high))
        if field.allowed:
            checks.append(pa.Check.isin(field.allowed))
        if field.kind == "number":
            checks.append(pa.Check(np.isfinite, name="finite"))
        return pa.Column(
            types[field.kind], checks, nullable=field.nullable, required=field.required, coerce=field.kind == "number"
        )

    return pa.DataFrameSchema({field.name: column(field) for field in fields})


def shown(value: Any) -> str:
    """Return a cell in words."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return "nothing" if pd.api.types.is_scalar(value) and pd.isna(value) else repr(value)
