"""The weekly annex of plant protection offices: twelve columns in Excel, a row a pest and stage.

Common density is an interval and the high one a maximum, neither is a mean. The numbers are of a whole area: they are
labels of it alone, and never of the fields in it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import DataWarning, NoDataError, SchemaError, SourceError, listing
from rs_forecast.schema import AREAS, Problem, describe
from rs_forecast.sources._area_cells import PARTS, find_week, interval, number, sum_gap
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._paths import input_file
from rs_forecast.sources._pest_names import PestNames
from rs_forecast.sources._tables import clean_text, excel_sheets
from rs_forecast.sources._vietnamese import without_marks

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("pest", "Đối tượng", r"doi tuong|dich hai|svgh|sinh vat|\bpest"),
    ("stage", "Giai đoạn sinh trưởng", r"giai doan|gdst|sinh truong|\bstage"),
    ("common", "Phổ biến", r"pho bien|\bcommon"),
    ("peak", "Cao", r"\bcao\b|\bhigh\b"),
    ("infested_ha", "Tổng số", r"\btong\b|\btotal infested"),
    ("light_ha", "Nhẹ", r"\bnhe\b|\blight"),
    ("medium_ha", "TB", r"\btb\b|trung binh|\bmedium"),
    ("heavy_ha", "Nặng", r"\bnang\b|\bheavy"),
    ("lost_ha", "Mất trắng", r"mat trang|\bloss|\blost"),
    ("last_year_ha", "Cùng kỳ năm trước", r"cung ky|last year"),
    ("treated_ha", "Phòng trừ", r"phong tru|phong chong|xu ly|\btreated"),
    ("distribution", "Phân bố", r"phan bo|\bdistribution"),
)
"""Our name, the heading that is written, and what is recognised as one, marks taken away."""

FIRST_ROW = 11
"""Row of the sheet that data begin in, where no heading says it."""

_ORDER = ("lost_ha", "last_year_ha", "treated_ha", "distribution", "common", "light_ha", "medium_ha", "heavy_ha",
          "peak", "infested_ha", "stage", "pest")  # fmt: skip
"""In which headings are looked for: a heading over several columns stands above the first of them."""
_PLACE = re.compile(r"\s*(?:don vi|dia phuong|dia ban|xa|phuong|dac khu|tinh|tieu vung|place)\s*:", re.IGNORECASE)
_GROUP = re.compile(r"\s*(?:nhom cay|cay trong|tong cong|tong so|cong)\b")
_NUMBERS = tuple(field.name for field in AREAS if field.kind == "number")
_HEAD_ROWS = 30
_KINDS = {"text": "str", "day": "datetime64[us]", "number": "float64"}


def read_annex(
    path: str | os.PathLike[str] | None,
    *,
    place: str | None = None,
    pests: Mapping[str, Pest] = PESTS,
    decimal: str | None = None,
    thousands: str | None = None,
    delay_days: int = 7,
    today: Any = None,
    part: str = "areas",
) -> pd.DataFrame:
    """Read an annex, or every annex of a folder: each sheet that names a week is one.

    Parameters
    ----------
    place
        Commune, sub-zone or province of sheets that do not say theirs (``Đơn vị: ...`` above the table).
    pests
        Known pests by name; by default the catalogue's.
    decimal, thousands
        How texts of numbers are written; a text that may be two numbers is refused until it is said.
    delay_days
        Days from the Sunday of the week to the office [days].
    today
        No week may begin later; by default today in UTC.
    part
        Table of the config that messages name.

    Returns
    -------
    DataFrame
        Columns of ``schema.AREAS``, places and pests as written where they are not known.

    Raises
    ------
    SourceError, SchemaError
        A file is no workbook, no sheet is an annex, or one does not say its place.
    NoDataError
        No row can be used.

    Warns
    -----
    DataWarning
        Names each row left out, and sums that do not hold.
    """
    notation = Notation(decimal=decimal, thousands=thousands)
    known = PestNames(pests)
    parts, problems = [], []
    for file in _files(path, part):
        sheets = excel_sheets(file, part, header=None)
        found = {name: _Sheet(cells, file.name, name, len(sheets) > 1) for name, cells in sheets.items()}
        annexes = {name: sheet for name, sheet in found.items() if sheet.week is not None}
        if not annexes:
            raise SchemaError(f"{file.name}: no sheet names its week; write it above the table as 'Tuần 12 năm 2026'")
        if len(annexes) < len(found):
            text = f"{file.name}: sheets {listing(n for n in found if n not in annexes)} name no week and are not read"
            warnings.warn(DataWarning(text), stacklevel=2)
        for sheet in annexes.values():
            rows, wrong = sheet.rows(place, known, notation, part)
            parts += rows
            problems += [p._replace(row=f"{sheet.where} {p.row}") for p in wrong]
    return _table(parts, problems, path, delay_days, today)


class _Sheet:
    """One sheet: where its week, place and columns are."""

    def __init__(self, cells: pd.DataFrame, file: str, name: str, several: bool) -> None:
        self.cells = cells.map(lambda cell: clean_text(cell) if isinstance(cell, str) else cell)
        self.where = f"{file}[{name}]" if several else file
        head = [str(c) for c in self.cells.head(_HEAD_ROWS).to_numpy().ravel() if isinstance(c, str)]
        try:
            weeks = [week for text in head if (week := find_week(text)) is not None]
        except SchemaError as err:
            raise SchemaError(f"{self.where}: {err}") from err
        self.week = weeks[0] if weeks else None
        places = [text.split(":", 1)[1].strip() for text in head if _PLACE.match(without_marks(text))]
        self.place = next((text for text in places if text), None)

    def rows(
        self, place: str | None, known: PestNames, notation: Notation, part: str
    ) -> tuple[list[dict[str, Any]], list[Problem]]:
        """Return what each row of data says, and what is wrong with those that are left out."""
        at = self.place or place
        if at is None:
            raise SchemaError(
                f"{self.where}: it does not say which area it is of; write 'Đơn vị: ...' above the table, or set "
                f'[{part}] place = "..."'
            )
        first, columns = self._columns()
        rows, problems = [], []
        for row in range(first, len(self.cells)):
            said = self._row(row, columns, known, notation)
            if isinstance(said, list):
                problems += said
            elif said is not None:
                rows.append({"place": at, "week": self.week, **said, "_where": f"{self.where} {row + 1}"})
        return rows, problems

    def _columns(self) -> tuple[int, dict[str, int]]:
        """Return the first row of data and our name -> number of the column."""
        for row in range(min(_HEAD_ROWS, len(self.cells))):
            pest = self._headings(row, row + 1).get("pest")
            if pest is None:
                continue
            first = row + 1
            while first < len(self.cells) and self._is_below_heading(first, pest):
                first += 1
            found = self._headings(row, first)
            lacking = [heading for name, heading, _ in COLUMNS if name not in found]
            if len(lacking) > len(COLUMNS) // 2:
                continue  # a title that speaks of pests
            if lacking:
                raise SchemaError(
                    f"{self.where}: no heading in row {row + 1} and below is {listing(lacking, 12)}; an annex has "
                    f"{listing((heading for _, heading, _ in COLUMNS), 12)}"
                )
            return first, found
        return self._by_place()

    def _by_place(self) -> tuple[int, dict[str, int]]:
        """Return the columns of a sheet without headings: those with anything in them, if they are twelve."""
        data = self.cells.iloc[FIRST_ROW - 1 :]
        filled = [i for i in range(data.shape[1]) if data.iloc[:, i].map(_is_filled).any()]
        if len(filled) != len(COLUMNS):
            raise SchemaError(
                f"{self.where}: no heading is there, and from row {FIRST_ROW} on {len(filled)} columns hold something; "
                f"an annex has {len(COLUMNS)}: {listing((heading for _, heading, _ in COLUMNS), 12)}"
            )
        return FIRST_ROW - 1, {name: i for (name, _, _), i in zip(COLUMNS, filled, strict=True)}

    def _headings(self, first: int, last: int) -> dict[str, int]:
        patterns = {name: pattern for name, _, pattern in COLUMNS}
        found: dict[str, int] = {}
        for i in range(self.cells.shape[1]):
            texts = [c for c in self.cells.iloc[first:last, i] if isinstance(c, str)]
            for text in map(without_marks, reversed(texts)):  # the lowest says most
                name = next((n for n in _ORDER if n not in found and re.search(patterns[n], text)), None)
                if name is not None:
                    found[name] = i
                    break
        return found

    def _is_below_heading(self, row: int, pest: int) -> bool:
        """Whether a row goes on with headings: texts alone, and none for the pest, whose heading is merged over it."""
        cells = [cell for cell in self.cells.iloc[row] if _is_filled(cell)]
        return bool(cells) and not _is_filled(self.cells.iloc[row, pest]) and all(isinstance(c, str) for c in cells)

    def _row(
        self, row: int, columns: Mapping[str, int], known: PestNames, notation: Notation
    ) -> dict[str, Any] | list[Problem] | None:
        """Return what a row says, what is wrong with it, or None where it is no row of data."""
        cells = self.cells.iloc[row]
        filled = [i for i in range(len(cells)) if _is_filled(cells.iloc[i])]
        text = cells.iloc[columns["pest"]]
        values = [i for i in filled if i in columns.values() and i != columns["pest"]]
        plain = without_marks(text) if isinstance(text, str) else ""
        first = cells.iloc[filled[0]] if filled else None
        if not values or _GROUP.match(plain) or (isinstance(first, str) and _GROUP.match(without_marks(first))):
            return None
        if _counts_up([cells.iloc[i] for i in filled]):
            return None  # the line that numbers the columns
        stray = [i for i in filled if i not in columns.values() and i > columns["pest"]]
        if stray:
            return self._nameless(row, stray, columns)
        pest = known.find(str(text)) if plain else None
        if pest is None:
            return [Problem(row + 1, "pest", text, known.rule(str(text)) if plain else "a pest")]
        return self._values(row, cells, columns, pest, notation)

    def _nameless(self, row: int, filled: list[int], columns: Mapping[str, int]) -> list[Problem]:
        i = next((i for i in filled if i not in columns.values()), filled[0])
        rule = "nothing where no heading is: a merged cell has moved the row; unmerge it"
        return [Problem(row + 1, _letter(i), clean_text(self.cells.iloc[row, i]), rule)]

    def _values(
        self, row: int, cells: pd.Series, columns: Mapping[str, int], pest: str, notation: Notation
    ) -> dict[str, Any] | list[Problem]:
        said: dict[str, Any] = {"pest": pest}
        problems = []
        for name, i in columns.items():
            if name == "pest":
                continue
            cell = cells.iloc[i]
            if name in ("stage", "distribution"):
                said[name] = clean_text(cell)
                continue
            try:
                if name == "common":
                    said["low"], said["high"] = interval(cell, notation)
                    found = [v for v in (said["low"], said["high"]) if v is not None]
                else:
                    said[name] = number(cell, notation)
                    found = [] if said[name] is None else [said[name]]
                if min(found, default=0) < 0:
                    raise ValueError("a number of at least 0; leave the cell empty where nothing is known")  # noqa: TRY301
            except ValueError as err:
                problems.append(Problem(row + 1, name, clean_text(cell), str(err)))
        return problems or said


def _files(path: str | os.PathLike[str] | None, part: str) -> list[Path]:
    if path is not None and Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*.xlsx") if not file.name.startswith("~$"))
        if not files:
            raise SourceError(f"{part}: {path} holds no .xlsx; name the folder of the annexes, or one of them")
        return files
    file = input_file(path, part)
    if file.suffix.lower() != ".xlsx":
        raise SourceError(f"{part}: {file.name} is no .xlsx; an annex is read from Excel (save an .xls anew)")
    return [file]


def _table(
    rows: list[dict[str, Any]], problems: list[Problem], path: object, delay_days: int, today: Any
) -> pd.DataFrame:
    source = Path(str(path)).name
    names = [field.name for field in AREAS]
    table = pd.DataFrame(rows, columns=[*names, "_where"])
    table = table.astype({f.name: _KINDS[f.kind] for f in AREAS})
    now = pd.Timestamp(today if today is not None else pd.Timestamp.now("UTC").date()).as_unit("us")
    late = table["week"] > now
    problems += [
        Problem(w, "week", found, f"a week not after today, {now:%Y-%m-%d}")
        for w, found in zip(table.loc[late, "_where"], table.loc[late, "week"], strict=True)
    ]
    table = table[~late]
    if table.empty:
        said = f"{describe(problems, source)}. " if problems else ""
        raise NoDataError(f"{said}{source}: no row of an annex can be used; mend the rows in the file")
    if problems:
        warnings.warn(DataWarning(f"{describe(problems, source)}. Left out; mend the rows in the file"), stacklevel=3)
    warn_of_sums(table, source)
    table["known_at"] = (table["week"] + pd.Timedelta(days=6 + delay_days)).astype("datetime64[us]")
    return table.drop(columns="_where").reset_index(drop=True)


def warn_of_sums(table: pd.DataFrame, source: str) -> None:
    """Name rows whose parts do not add up to the area that they are stated to be of; the row stays as it is."""
    said = []
    whole = table[table[["infested_ha", *PARTS]].notna().all(axis=1)]
    for where, row in zip(whole.get("_where", whole.index), whole.to_dict("records"), strict=True):
        gap = sum_gap({name: float(row[name]) for name in PARTS}, float(row["infested_ha"]))
        if gap:
            said.append(f"row {where}, {row['pest']}: {gap}")
    if said:
        text = f"{source}: parts do not add up: {listing(said, sep='; ')}. The rows are used as they are; mend the file"
        warnings.warn(DataWarning(text), stacklevel=3)


def _is_filled(cell: object) -> bool:
    return clean_text(cell) is not None


def _counts_up(cells: list[Any]) -> bool:
    """Whether cells are 1, 2, 3 ... as below headings."""
    texts = [re.sub(r"[()]", "", str(clean_text(cell))) for cell in cells]
    if len(texts) < 4 or not texts[0].isdecimal():
        return False
    return texts == [str(i) for i in range(int(texts[0]), int(texts[0]) + len(texts))]


def _letter(number: int) -> str:
    head = chr(ord("A") + number // 26 - 1) if number >= 26 else ""
    return head + chr(ord("A") + number % 26)
