"""How an office writes days and numbers: declared a source, never guessed cell by cell.

02/03/2026 is two days, and 1.054 two numbers, until somebody says which. What is declared is obeyed; what is not
declared and cannot be told is refused or named.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rs_forecast.errors import ConfigError, DataWarning, SchemaError
from rs_forecast.schema import Field, Problem
from rs_forecast.sources._vietnamese import without_marks

ORDERS = {"dmy": ("day", "month"), "mdy": ("month", "day")}
_DECIMALS = (".", ",")
_THOUSANDS = (".", ",", " ", "'")

_SLASHED = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})((?:[T ].*)?)", re.ASCII)
_GROUPED = r"[-+]?\d{1,3}(?:\.\d{3})+"
_DOTTED = r"[-+]?\d*\.\d+"
_WHOLE = r"[-+]?[1-9]\d*"
_SAMPLE = 1000
_WITH_COMMA = r"[-+]?\d[\d.]*(?:,\d+)+(?:\.\d+)?"
_WEEK = re.compile(r"(?:tuan(?: thu)?\s*:?\s*)?(\d{1,2})\s*(?:/|-|,|nam|,\s*nam)\s*(\d{4})", re.ASCII)
MISSING = frozenset({"na", "n/a", "#n/a", "nan", "null"})
"""Words for a missing number or day."""

_NO_BREAK = str.maketrans("\u00a0\u202f\u2009", "   ")


@dataclass(frozen=True, kw_only=True)
class Notation:
    """What is declared of a source; None is undeclared.

    Raises
    ------
    ConfigError
        A value is not allowed, or one sign would be both.
    """

    date_order: str | None = None
    """``dmy`` or ``mdy``: of days with slashes, dots or hyphens and the year last. 2026-03-02 is always read."""
    decimal: str | None = None
    thousands: str | None = None

    def __post_init__(self) -> None:
        """Check what is declared."""
        allowed = {"date_order": tuple(ORDERS), "decimal": _DECIMALS, "thousands": _THOUSANDS}
        for name, values in allowed.items():
            found = getattr(self, name)
            if found is not None and found not in values:
                raise ConfigError(f"{name}: found {found!r}, allowed are {', '.join(map(repr, values))}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            other = "," if self.thousands == "." else "."
            said = "is declared as both signs" if self.decimal else "is the decimal sign unless another is declared"
            raise ConfigError(f'thousands: {self.thousands!r} {said}; set decimal = "{other}" too')

    @property
    def numbers(self) -> bool:
        """Whether anything is declared of numbers."""
        return self.decimal is not None or self.thousands is not None


def plain_cells(
    table: pd.DataFrame, fields: Sequence[Field], notation: Notation, name: str, part: str
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return ``table`` with texts of days as 2026-03-02 and of numbers with a decimal point alone, as declared.

    Cells that are no text (numbers and days of Excel) stay. A text that breaks what is declared is emptied and named.

    Raises
    ------
    SchemaError
        Nothing is declared of numbers, and cells of one column contradict each other.
    """
    out, problems = table.copy(), []
    for field in fields:
        if field.name not in out.columns or field.kind == "text":
            continue
        cells = out[field.name]
        if field.kind == "day":
            made, rule = iso_days(cells, notation), f"{field.rule}, or {_day_rule(notation, part)}"
            lost = made.isna() & cells.notna() if notation.date_order else _slashed(cells)
        elif notation.numbers:
            made, rule = _numbers(cells, notation), f"{field.rule}, written {_number_rule(notation)}"
            lost = made.isna() & cells.notna()
        else:
            _refuse_contradiction(cells, field.name, name, part)
            continue
        problems += [Problem(row, field.name, cells[row], rule) for row in cells.index[lost]]
        out[field.name] = made.mask(lost)
    return out, problems


def parse_week(text: str) -> tuple[int, int]:
    """Return ISO year and week of words such as ``Tuần 12 năm 2026``, ``tuần thứ 5, năm 2026`` or ``12 năm 2026``.

    Raises
    ------
    SchemaError
        There is no such week in them, or the year has not so many.
    """
    plain = without_marks(unicodedata.normalize("NFC", text.translate(_NO_BREAK))).strip()
    found = _WEEK.fullmatch(plain)
    if found is None:
        raise SchemaError(f"found {text!r} where a week is due; write it as 'Tuần 12 năm 2026'")
    week, year = int(found[1]), int(found[2])
    last = pd.Timestamp(year, 12, 28).isocalendar().week  # always in the last ISO week
    if not 1 <= week <= last:
        raise SchemaError(f"found week {week} of {year}, allowed is 1 to {last} (ISO weeks, Monday to Sunday)")
    return year, week


def monday_of(year: int, week: int) -> pd.Timestamp:
    """Return the Monday an ISO week begins on."""
    return pd.Timestamp.fromisocalendar(year, week, 1).as_unit("us")


def _texts(cells: pd.Series) -> pd.Series:
    """Return which cells are texts, as ``str``; the others missing."""
    if isinstance(cells.dtype, pd.StringDtype):
        return cells
    return cells.where(cells.map(lambda cell: isinstance(cell, str))).astype("str")


def _slashed(cells: pd.Series) -> pd.Series:
    return _texts(cells).str.strip().str.fullmatch(_SLASHED.pattern).fillna(value=False).astype(bool)


def iso_days(cells: pd.Series, notation: Notation) -> pd.Series:
    """Return the cells, days with slashes as ISO, None where there is no such day; undeclared, as they are."""
    order = notation.date_order
    if order is None:
        return cells

    def iso(cell: Any) -> Any:
        found = _SLASHED.fullmatch(cell.strip()) if isinstance(cell, str) else None
        if found is None:
            return cell
        first, second = int(found[1]), int(found[2])
        day, month = (first, second) if order == "dmy" else (second, first)
        try:
            return f"{dt.date(int(found[3]), month, day)}{found[4]}"
        except ValueError:  # no such day
            return None

    unique: Mapping[Any, Any] = {cell: iso(cell) for cell in cells.dropna().unique()}
    return cells.map(unique)


def _numbers(cells: pd.Series, notation: Notation) -> pd.Series:
    """Return the cells, texts of numbers with a decimal point alone; None where a text is none as declared."""
    decimal, group = re.escape(notation.decimal or "."), re.escape(notation.thousands or "")
    whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if group else r"\d+"
    shape = re.compile(rf"[-+]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][-+]?\d+)?", re.ASCII)

    def plain(cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        text = cell.translate(_NO_BREAK).strip()
        if not text or text.lower() in MISSING:
            return cell
        if not shape.fullmatch(text):
            return None
        return text.replace(notation.thousands or "", "").replace(notation.decimal or ".", ".")

    unique = {cell: plain(cell) for cell in cells.dropna().unique()}
    return cells.map(unique)


def _refuse_contradiction(cells: pd.Series, column: str, name: str, part: str) -> None:
    """Refuse 1.054 beside 1,054; name a column whose every point may be a sign of thousands."""
    texts = _texts(cells).dropna().str.strip()
    dotted = texts[texts.str.contains(".", regex=False)]
    if dotted.empty or not dotted.head(_SAMPLE).str.fullmatch(_GROUPED).all():
        return  # a number such as 26.5 says what the point is
    if dotted[~dotted.str.fullmatch(_GROUPED)].str.fullmatch(_DOTTED).any():
        return
    commas = texts[texts.str.fullmatch(_WITH_COMMA)]
    row, cell = dotted.index[0], dotted.iloc[0]
    if len(commas):
        raise SchemaError(
            f"{name}: column {column} writes numbers in two ways: row {row} {cell!r}, row {commas.index[0]} "
            f"{commas.iloc[0]!r}; no reading suits both for sure. Declare how numbers are written under [{part}]: "
            'decimal = "," and thousands = ".", or the other way round'
        )
    if texts.str.fullmatch(_WHOLE).any():
        text = (
            f"{name}: column {column}: {cell!r} (row {row}) is read with a decimal point, and every point in it may as "
            f'well part thousands. Declare decimal = "." under [{part}] if that is right, else decimal = "," and '
            'thousands = "."'
        )
        warnings.warn(DataWarning(text), stacklevel=4)


def _day_rule(notation: Notation, part: str) -> str:
    if notation.date_order is None:
        return f'declare date_order = "dmy" (day first) or "mdy" under [{part}]'
    first, second = ORDERS[notation.date_order]
    return f"{first}, {second} and four digits of the year, with slashes"


def _number_rule(notation: Notation) -> str:
    group = f" and {notation.thousands!r} between groups of three digits" if notation.thousands else ""
    return f"with decimal {notation.decimal or '.'!r}{group}"
