"""A form for phones (XLSForm, for ODK Collect and KoboCollect) made from the catalogue, in English and Vietnamese.

What it sends in is read by ``[surveys] layout = "odk"`` as it comes. A pest looked for and not found is a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import ConfigError, OutputError
from rs_forecast.schema import SURVEYS
from rs_forecast.sources._odk import ABSENT
from rs_forecast.workspace import write_atomic

ENGLISH, VIETNAMESE = "English (en)", "Tiếng Việt (vi)"
FORM_ID = "rs_forecast_surveys"
VERSION = "1"
"""Raised when questions change: a server takes a form of one id again only as another version."""

_STAGES = (
    ("seedling", "Seedling (BBCH 10-19)", "Mạ"),
    ("tillering", "Tillering (BBCH 21-29)", "Đẻ nhánh"),
    ("panicle_initiation", "Panicle initiation (BBCH 30)", "Đứng cái"),
    ("booting", "Booting (BBCH 32-49)", "Làm đòng"),
    ("heading", "Heading, flowering (BBCH 51-69)", "Trổ"),
    ("milk", "Milk (BBCH 71-77)", "Ngậm sữa"),
    ("ripening", "Ripening (BBCH 83-89)", "Chắc xanh, chín"),
)
_REASONS = {
    "routine": ("Routine survey", "Điều tra định kỳ"),
    "random": ("Random field", "Ruộng chọn ngẫu nhiên"),
    "map": ("The map said so", "Theo bản đồ cảnh báo"),
    "complaint": ("A farmer called", "Nông dân báo"),
}

_CHOSEN = "root/item"
"""Where an XForm keeps the rows of a list of choices."""


def write_form(path: Path, pests: Mapping[str, Pest] = PESTS, *, title: tuple[str, str] | None = None) -> Path:
    """Write the form as an Excel workbook with the sheets survey, choices and settings.

    Parameters
    ----------
    pests
        Those that can be chosen; values are asked for in the unit of each.
    title
        Title in English, and in Vietnamese.

    Raises
    ------
    ConfigError
        ``path`` does not end in .xlsx, is there already, or there is no pest.
    OutputError
        openpyxl is missing, or the file cannot be written.
    """
    if path.suffix.lower() != ".xlsx":
        raise ConfigError(f"surveys form: found {path.name!r}, allowed is a name that ends in .xlsx")
    if path.exists():
        raise ConfigError(f"surveys form: {path} is there already and stays as it is; name another file")
    if not pests:
        raise ConfigError("surveys form: there is no pest to choose; name a crop that the catalogue has pests of")
    english, vietnamese = title or ("Pest survey", "Điều tra sâu bệnh")
    settings = {
        "form_title": f"{vietnamese} / {english}", "form_id": FORM_ID, "version": VERSION,
        "default_language": VIETNAMESE, "instance_name": "concat(${date}, ' ', ${parcel_id})",
    }  # fmt: skip
    sheets = {"survey": _survey(), "choices": _choices(pests), "settings": [settings]}
    return write_atomic(path, _book(sheets))


def _survey() -> list[dict[str, str]]:
    """Return the questions. ``unit`` is that of the chosen pest; a percentage is at most 100."""
    zero = ("0 if you looked and found none", "Ghi 0 nếu đã kiểm tra mà không có")
    return [
        _row("start", "start"),
        _row(
            "date", "date", ("Day of the visit", "Ngày điều tra"), required="yes", default="today()",
            constraint=". <= today()", constraint_message=("Not after today", "Không được sau hôm nay"),
        ),
        _row(
            "text", "parcel_id", ("Field (its id)", "Mã thửa"),
            hint=("Leave empty if the point below is taken in the field", "Bỏ trống nếu lấy toạ độ tại ruộng"),
        ),
        _row(
            "geopoint", "location", ("Point in the field", "Toạ độ tại ruộng"),
            hint=("Stand in the field, not on the road", "Đứng trong ruộng, không đứng trên đường"),
            required="${parcel_id} = ''",
        ),
        _row("select_one stages", "stage", ("Stage of the crop", "Giai đoạn sinh trưởng")),
        _row("select_one reasons", "reason", ("Why this field", "Lý do điều tra"), default="routine"),
        _row("date", "treated_on", ("Last treatment, if any", "Ngày phun gần nhất, nếu có"), constraint=". <= ${date}",
             constraint_message=("Not after the visit", "Không được sau ngày điều tra")),
        _row("begin_repeat", "findings", ("Pest that you counted", "Đối tượng đã đếm")),
        _row("select_one pests", "pest", ("Pest", "Đối tượng"), required="yes"),
        _row("calculate", "unit", calculation=f"instance('pests')/{_CHOSEN}[name = ${{pest}}]/unit"),
        _row(
            "decimal", "value", ("Value [${unit}]", "Mật độ hoặc tỷ lệ [${unit}]"), hint=zero, required="yes",
            constraint=". >= 0 and (${unit} != '%' or . <= 100)",
            constraint_message=("At least 0; a percentage at most 100", "Từ 0 trở lên; tỷ lệ không quá 100"),
        ),
        _row("end_repeat", "findings"),
        _row(
            "select_multiple pests", ABSENT, ("Looked for and not found", "Đã kiểm tra, không có"),
            hint=("Each counts as 0: to know where none is matters as much", "Mỗi đối tượng được ghi là 0"),
        ),
        _row("image", "photo", ("Photo, if you like", "Ảnh, nếu có"), parameters="max-pixels=1600"),
        _row("text", "note", ("Remark", "Ghi chú")),
    ]  # fmt: skip


def _choices(pests: Mapping[str, Pest]) -> list[dict[str, str]]:
    rows = [
        {"list_name": "pests", "name": pest.name, **_both("label", _labels(pest)), "unit": pest.unit}
        for pest in pests.values()
    ]
    rows += [{"list_name": "stages", "name": name, **_both("label", (en, vi))} for name, en, vi in _STAGES]
    allowed = next(field.allowed for field in SURVEYS if field.name == "reason")
    return rows + [{"list_name": "reasons", "name": name, **_both("label", _REASONS[name])} for name in allowed]


def _labels(pest: Pest) -> tuple[str, str]:
    """Return a pest's name in English and Vietnamese; in English twice where the catalogue has no Vietnamese one."""
    english = pest.name.replace("_", " ").capitalize()
    local = next((alias for alias in pest.aliases if not alias.isascii()), english)
    return english, local[:1].upper() + local[1:]


def _row(
    kind: str,
    name: str,
    label: tuple[str, str] | None = None,
    *,
    hint: tuple[str, str] | None = None,
    constraint_message: tuple[str, str] | None = None,
    **other: str,
) -> dict[str, str]:
    texts = {"label": label, "hint": hint, "constraint_message": constraint_message}
    said = {key: text for what, both in texts.items() if both for key, text in _both(what, both).items()}
    return {"type": kind, "name": name, **said, **other}


def _both(what: str, texts: tuple[str, str]) -> dict[str, str]:
    return {f"{what}::{ENGLISH}": texts[0], f"{what}::{VIETNAMESE}": texts[1]}


def _book(sheets: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    try:
        from openpyxl import Workbook
    except ImportError as err:
        raise OutputError("writing a form needs openpyxl: pip install 'rs-forecast[excel]'") from err
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        header = list(dict.fromkeys(key for row in rows for key in row))
        sheet.append(header)
        for row in rows:
            sheet.append([row.get(key) for key in header])
        sheet.freeze_panes = "A2"
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()
