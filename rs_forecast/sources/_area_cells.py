"""Cells of area reports: intervals such as ``1000- 2000``, weeks, and parts that should add up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from rs_forecast.errors import SchemaError
from rs_forecast.schema import day
from rs_forecast.sources._notation import MISSING, Notation, monday_of, parse_week
from rs_forecast.sources._vietnamese import without_marks

PARTS = ("light_ha", "medium_ha", "heavy_ha")
"""What ``infested_ha`` is the sum of."""

_RANGE = re.compile(r"(?P<low>[\d.,' ]*\d)\s*(?:-|–|—|÷|~|đến|den|to)\s*(?P<high>\d[\d.,' ]*)")
_NO_BREAK = str.maketrans("\u00a0\u202f\u2009", "   ")
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_WEEK_IN_TEXT = re.compile(r"\d{1,2}\s*[,/-]?\s*nam\s*:?\s*\d{4}")
_ISO_WEEK = re.compile(r"(\d{4})-?W(\d{1,2})", re.IGNORECASE)
_SLIPS = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)
_NEAR = 0.01
"""Share of a total within which parts add up once one slip is mended."""


def number(cell: Any, notation: Notation) -> float | None:
    """Return a cell as a number, None if it is empty.

    Raises
    ------
    ValueError
        It is no number as declared, or may be two; the text says what is allowed.
    """
    if not isinstance(cell, str):
        return None if cell is None or pd.isna(cell) else float(cell)
    text = cell.translate(_NO_BREAK).strip()
    if not text or text in ("-", "–") or text.lower() in MISSING:
        return None
    if not notation.numbers and _GROUPED.fullmatch(text):
        raise ValueError(
            "a number that can be read in one way; declare thousands and decimal: is it "
            f"{re.sub('[.,]', '', text)} or {text.replace(',', '.')}?"
        )
    group, point = re.escape(notation.thousands or ""), re.escape(notation.decimal or ".")
    whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if group else r"\d+"
    if not re.fullmatch(rf"-?{whole}(?:{point}\d+)?", text):
        signs = f"decimal {notation.decimal or '.'!r}" + (
            f" and thousands {group and notation.thousands!r}" * bool(group)
        )
        raise ValueError(f"a number, with {signs}")
    return float(text.replace(notation.thousands or "", "").replace(notation.decimal or ".", "."))


def interval(cell: Any, notation: Notation) -> tuple[float | None, float | None]:
    """Return the ends of ``1000- 2000``; of a single number, that number twice.

    Raises
    ------
    ValueError
        An end is no number, or they fall.
    """
    found = _RANGE.fullmatch(cell.translate(_NO_BREAK).strip()) if isinstance(cell, str) else None
    if found is None:
        value = number(cell, notation)
        return value, value
    low, high = number(found["low"].strip(), notation), number(found["high"].strip(), notation)
    if low is not None and high is not None and low > high:
        raise ValueError("an interval whose first number is the smaller")
    return low, high


def find_week(text: str) -> pd.Timestamp | None:
    """Return the Monday of the week that a title names, such as ``... Tuần 12 năm 2026 (16/3-22/3)``, else None.

    Raises
    ------
    SchemaError
        It names a week that its year has not.
    """
    found = _WEEK_IN_TEXT.search(without_marks(text.translate(_NO_BREAK)))
    return None if found is None else monday_of(*parse_week(found[0].replace(":", " ")))


def week_of(text: str) -> pd.Timestamp:
    """Return the Monday of ``2026-W12``, ``Tuần 12 năm 2026``, or of the week a day lies in.

    Raises
    ------
    SchemaError
        It is none of them.
    """
    iso = _ISO_WEEK.fullmatch(text.strip())
    if iso:
        return monday_of(*parse_week(f"{iso[2]} nam {iso[1]}"))
    titled = find_week(text)
    if titled is not None:
        return titled
    try:
        found = day(text)
    except SchemaError as err:
        raise SchemaError(
            f"found {text!r}, allowed is a week such as 2026-W12, or a day of it such as 2026-03-16; 16/03/2026 where "
            'date_order = "dmy" is declared'
        ) from err
    return found - pd.Timedelta(days=found.day_of_week)


def sum_gap(parts: Mapping[str, float], total: float) -> str | None:
    """Return in words how parts miss the total they are stated to have, and which number likely slipped; else None."""
    known = {name: value for name, value in parts.items() if not pd.isna(value)}
    found = sum(known.values())
    if pd.isna(total) or len(known) < len(parts) or abs(found - total) <= max(0.2, 0.001 * total):
        return None
    said = f"{' + '.join(f'{name} {value:.10g}' for name, value in known.items())} is {found:.10g}, not {total:.10g}"
    slips = [
        (abs(found - value + value * by - total), name, value, value * by)
        for name, value in known.items()
        for by in _SLIPS
        if value
    ]
    slips += [(abs(found - total * by), "the total", total, total * by) for by in _SLIPS]
    slips.sort()
    if slips and slips[0][0] <= _NEAR * max(total, found) and slips[0][0] * 10 <= abs(found - total):
        gap, name, value, mended = slips[0]
        left = f", and leaves {gap:.10g}" if gap > max(0.2, 0.001 * total) else ""
        said += f"; likely a sign slipped in {name}: {value:.10g} for {mended:.10g}, which would make it add up{left}"
    return said
