"""An office's own rows of the catalogue: ``pests.csv`` and ``levels.csv`` in a folder, with the columns of the rows.

A cell of several parts has them between semicolons: ``rầy nâu; RN``, and pairs with an equals sign: ``con/m2 = 1``. An
empty cell leaves what the row would have without it; a row of a known name stands in place of the catalogue's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rs_forecast.catalog.pests import Pest
from rs_forecast.catalog.thresholds import Level
from rs_forecast.errors import ConfigError, suggest

PESTS_FILE, LEVELS_FILE = "pests.csv", "levels.csv"
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_own_pests(folder: Path) -> tuple[Pest, ...]:
    """Return the pests of ``folder``, none where it has no ``pests.csv``.

    Raises
    ------
    ConfigError
        Neither file is there, or a row cannot be read; file, row, column, value and what is allowed are named.
    """
    return tuple(_made(Pest, _PEST_CELLS, file, row, cells) for file, row, cells in _rows(folder, PESTS_FILE, Pest))


def read_own_levels(folder: Path) -> tuple[Level, ...]:
    """Return the severity levels of ``folder``, none where it has no ``levels.csv``; see :func:`read_own_pests`."""
    return tuple(_made(Level, _LEVEL_CELLS, file, row, cells) for file, row, cells in _rows(folder, LEVELS_FILE, Level))


def _rows(folder: Path, name: str, kind: type) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Yield file, row number and cells that hold something of each row that is not blank."""
    if not any((folder / file).is_file() for file in (PESTS_FILE, LEVELS_FILE)):
        raise ConfigError(f"{folder}: neither {PESTS_FILE} nor {LEVELS_FILE} is there; name the folder that has them")
    if not (folder / name).is_file():
        return
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{folder / name}: cannot be read ({err}); save it as CSV (UTF-8)") from err
    head = text.split("\n", 1)[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",\t", key=head.count))
    header = [cell.strip() for cell in next(lines, [])]
    known = [field.name for field in fields(kind)]
    for column in header:
        if column not in known:
            said = suggest(column, known) or "."
            raise ConfigError(f"{name}, row 1: there is no column {column!r}{said} Allowed: {', '.join(known)}")
    for line in lines:
        cells = [cell.strip() for cell in line]
        if any(cells):
            if len(cells) > len(header):
                raise ConfigError(
                    f"{name}, row {lines.line_num}: found {len(cells)} cells, allowed are {len(header)} as in the "
                    "header; put a text with a comma in quotes"
                )
            yield name, lines.line_num, {k: v for k, v in zip(header, cells, strict=False) if v}


def _made[RowT](kind: type[RowT], readers: Mapping[str, Callable[[str], Any]], file: str, row: int, cells: Any) -> RowT:
    given: dict[str, Any] = {}
    for column, cell in cells.items():
        try:
            given[column] = readers.get(column, str)(cell)
        except ValueError as err:
            raise ConfigError(f"{file}, row {row}, column {column}: found {cell!r}, {err}") from err
    lacking = [column for column in _REQUIRED[kind] if column not in given]
    if lacking:
        raise ConfigError(f"{file}, row {row}: {', '.join(lacking)} must not be empty; fill it in")
    try:
        return kind(**given)
    except ConfigError as err:
        raise ConfigError(f"{file}, row {row}: {err}") from err


def _texts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _pairs(cell: str) -> tuple[tuple[str, float], ...]:
    pairs = []
    for part in _texts(cell):
        name, _, value = part.rpartition("=")
        if not name.strip():
            raise ValueError("allowed is such as 'con/m2 = 1; con/ha = 0.0001'")
        pairs.append((name.strip(), _number(value)))
    return tuple(pairs)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError as err:
        raise ValueError("allowed is a number, with a decimal point") from err


def _wholes(cell: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _texts(cell.replace("-", ";")))
    except ValueError as err:
        raise ValueError("allowed are whole numbers, such as 13; 83") from err


def _stages(cell: str) -> tuple[int, int]:
    ends = _wholes(cell)
    if len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError("allowed are a first and a last BBCH stage, such as 13; 83")
    return ends[0], ends[1]


def _days(cell: str) -> int:
    (days,) = _wholes(cell) if cell.isdecimal() else (0,)
    if days < 1:
        raise ValueError("allowed is a whole number of at least 1")
    return days


def _yes(cell: str) -> bool:
    if cell.lower() not in _YES:
        raise ValueError("allowed are yes and no")
    return _YES[cell.lower()]


def _severity(cell: str) -> str:
    if cell not in ("light", "medium", "heavy"):
        raise ValueError("allowed are light, medium, heavy")
    return cell


_PEST_CELLS: dict[str, Callable[[str], Any]] = {
    "stale_after_days": _days, "levels": _pairs, "units": _pairs, "aliases": _texts, "drivers": _texts,
    "stages": _stages, "horizons_weeks": _wholes, "verified": _yes,
}  # fmt: skip
_LEVEL_CELLS: dict[str, Callable[[str], Any]] = {"value": _number, "severity": _severity}
_REQUIRED: dict[type, tuple[str, ...]] = {
    Pest: ("name", "event", "unit", "doc"),
    Level: ("pest", "severity", "value", "unit", "source"),
}
