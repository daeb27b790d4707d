"""Writes area data as the weekly annex of plant protection offices: a workbook a week, a sheet a place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import NoDataError, OutputError
from rs_forecast.schema import check_areas
from rs_forecast.sources.bulletin import COLUMNS, FIRST_ROW
from rs_forecast.workspace import write_atomic

_HEADINGS = {4: ("Mật độ, tỷ lệ", 2), 6: ("Diện tích nhiễm (ha)", 4)}
"""Column -> heading over several, and over how many; the others go down over both lines."""
_HEAD = FIRST_ROW - 3
_WIDTHS = (5, 26, 20, 14, 10, 11, 9, 9, 9, 11, 13, 12, 40)
_BAD_TITLE = re.compile(r"[\[\]:*?/\\]")


def write_annex(
    areas: pd.DataFrame, folder: Path, *, pests: Mapping[str, Pest] = PESTS, title: str = "", synthetic: bool = False
) -> list[Path]:
    """Write each week of ``areas`` (columns of ``schema.AREAS``) as ``annex-<ISO year>-W<week>.xlsx``.

    What is written is read back by ``sources.bulletin.read_annex`` with the same values. Days a row was known are not
    part of an annex. Pests stand under their first name, Vietnamese where the catalogue has one.

    Parameters
    ----------
    title
        First line of each sheet, such as the office's name.
    synthetic
        Say in each sheet that the numbers are simulated.

    Raises
    ------
    NoDataError
        There is nothing to write.
    OutputError
        openpyxl is missing, a file cannot be written, or two versions of one row are given.
    """
    check_areas(areas, "annex")
    if areas.empty:
        raise NoDataError("annex: there is no row to write")
    if areas.duplicated(["place", "week", "pest", "stage"]).any():
        raise OutputError("annex: a place, week, pest and stage is there in two versions; give the newest alone")
    out = []
    for week, rows in areas.groupby("week"):
        year, number, _ = pd.DatetimeIndex([week])[0].isocalendar()
        path = folder / f"annex-{year}-W{number:02d}.xlsx"
        write_atomic(path, _book(rows, pests, title, synthetic=synthetic))
        out.append(path)
    return out


def _book(rows: pd.DataFrame, pests: Mapping[str, Pest], title: str, *, synthetic: bool) -> bytes:
    try:
        from openpyxl import Workbook
    except ImportError as err:
        raise OutputError("writing an annex needs openpyxl: pip install 'rs-forecast[excel]'") from err
    book = Workbook()
    book.remove(book.active)
    for place, own in rows.groupby("place"):
        sheet = book.create_sheet(_BAD_TITLE.sub(" ", str(place))[:31])
        _write_head(sheet, str(place), own["week"].iloc[0], title, synthetic=synthetic)
        _write_rows(sheet, own, pests)
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _write_head(sheet: Any, place: str, week: pd.Timestamp, title: str, *, synthetic: bool) -> None:
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    year, number, _ = week.isocalendar()
    last = week + pd.Timedelta(days=6)
    lines = {
        1: title,
        2: "SỐ LIỆU GIẢ LẬP (SYNTHETIC): không dùng để chỉ đạo" if synthetic else "",
        3: "TÌNH HÌNH DỊCH HẠI 7 NGÀY",
        5: f"Đơn vị: {place}",
        6: f"Tuần {number} năm {year} (từ {week:%d/%m/%Y} đến {last:%d/%m/%Y})",
    }
    for row, text in lines.items():
        if text:
            sheet.cell(row, 1, text).font = Font(bold=True)
    sheet.cell(_HEAD, 1, "TT")
    sheet.merge_cells(start_row=_HEAD, end_row=_HEAD + 1, start_column=1, end_column=1)
    for column, (_, heading, _) in enumerate(COLUMNS, start=2):
        group = next((c for c, (_, n) in _HEADINGS.items() if c <= column < c + n), None)
        if group is None:
            sheet.cell(_HEAD, column, heading)
            sheet.merge_cells(start_row=_HEAD, end_row=_HEAD + 1, start_column=column, end_column=column)
            continue
        text, over = _HEADINGS[group]
        if group == column:
            sheet.cell(_HEAD, column, text)
            sheet.merge_cells(start_row=_HEAD, end_row=_HEAD, start_column=column, end_column=column + over - 1)
        sheet.cell(_HEAD + 1, column, heading)
    for column, width in enumerate(_WIDTHS, start=1):
        sheet.cell(FIRST_ROW - 1, column, column)
        sheet.column_dimensions[get_column_letter(column)].width = width
        for row in range(_HEAD, FIRST_ROW):
            cell = sheet.cell(row, column)
            cell.font, cell.alignment = Font(bold=row < FIRST_ROW - 1), Alignment("center", "center", wrap_text=True)
    sheet.freeze_panes = sheet.cell(FIRST_ROW, 3)


def _write_rows(sheet: Any, rows: pd.DataFrame, pests: Mapping[str, Pest]) -> None:
    crop_of = {name: pests[name].crop if name in pests else "" for name in rows["pest"].unique()}
    at = FIRST_ROW
    for crop, own in rows.assign(_crop=rows["pest"].map(crop_of)).groupby("_crop"):
        sheet.cell(at, 1, "Nhóm cây: " + (str(crop) or "khác"))
        at += 1
        for number, row in enumerate(own.to_dict("records"), start=1):
            sheet.cell(at, 1, number)
            for column, (name, _, _) in enumerate(COLUMNS, start=2):
                sheet.cell(at, column, _cell(row, name, pests))
            at += 1


def _cell(row: Mapping[Any, Any], name: str, pests: Mapping[str, Pest]) -> Any:
    if name == "pest":
        aliases = pests[row["pest"]].aliases if row["pest"] in pests else ()
        name = str(next(iter(aliases), row["pest"]))
        return name[:1].upper() + name[1:]
    if name != "common":
        value = row.get(name)
        return None if pd.isna(value) else value
    low, high = row.get("low"), row.get("high")
    if pd.isna(low) or pd.isna(high):
        return None if pd.isna(low) and pd.isna(high) else low if pd.isna(high) else high
    return low if low == high else f"{_text(low)} - {_text(high)}"


def _text(value: float) -> str:
    """Return a number as text; 1.234 as 1.2340, since its point might be read as parting thousands."""
    text = np.format_float_positional(value, trim="-")
    return f"{text}0" if re.fullmatch(r"\d{1,3}\.\d{3}", text) else text
