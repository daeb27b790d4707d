"""Which of a file's columns is which of ours: by name, by a name that is like it, by what is in it. Proposals only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from rs_forecast.catalog import Pest
from rs_forecast.sources._pest_names import PestNames, split_unit
from rs_forecast.sources._survey_rules import unit_key
from rs_forecast.sources._vietnamese import match_key, without_marks

NAMES: dict[str, tuple[str, ...]] = {
    "parcel_id": ("mã thửa", "thửa", "số thửa", "mã ruộng", "thửa ruộng", "parcel", "field id", "plot", "field"),
    "lon": ("kinh độ", "longitude", "long", "lng", "x"),
    "lat": ("vĩ độ", "latitude", "y"),
    "date": ("ngày điều tra", "ngày", "ngày đt", "ngày khảo sát", "visit date", "survey date", "day"),
    "known_at": ("ngày báo cáo", "ngày nhận", "ngày nhập", "received", "reported"),
    "pest": ("đối tượng", "dịch hại", "tên dịch hại", "sinh vật gây hại", "svgh", "sâu bệnh", "loài", "species"),
    "value": ("mật độ", "mật số", "tỷ lệ", "mật độ/tỷ lệ", "mđ", "mđ/tl", "giá trị", "số lượng", "density", "count"),
    "unit": ("đơn vị tính", "đơn vị", "đvt", "units"),
    "stage": ("giai đoạn sinh trưởng", "giai đoạn", "gđst", "gđ", "growth stage"),
    "method": ("phương pháp", "pp điều tra", "cách điều tra"),
    "reason": ("lý do",),
    "treated_on": ("ngày phun", "ngày xử lý", "ngày phòng trừ", "treatment date", "sprayed"),
}  # fmt: skip
"""Our columns, and what offices call them."""

AREA_NAMES: dict[str, tuple[str, ...]] = {
    "place": ("xã", "mã xã", "đơn vị", "địa bàn", "địa phương", "tiểu vùng", "commune", "area"),
    "week": ("tuần", "iso week"),
    "pest": NAMES["pest"],
    "stage": NAMES["stage"],
    "common": ("phổ biến", "mật độ phổ biến"),
    "peak": ("cao", "mật độ cao", "cao nhất"),
    "infested_ha": ("diện tích nhiễm", "dt nhiễm", "tổng số", "dtn", "infested area"),
    "light_ha": ("nhẹ",),
    "medium_ha": ("trung bình", "tb"),
    "heavy_ha": ("nặng",),
    "lost_ha": ("mất trắng",),
    "last_year_ha": ("cùng kỳ năm trước", "cùng kỳ"),
    "treated_ha": ("phòng trừ", "dt phòng trừ", "diện tích phòng trừ"),
    "distribution": ("phân bố",),
}

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{1,2}[/.-]\d{1,2}[/.-]\d{4}")
_SLASHED = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*")
_ALIKE = 0.82
_MOST = 0.6
"""Share of a column's cells that must look like what it is taken for."""


class Match(NamedTuple):
    """A column of ours, theirs, and why."""

    ours: str
    theirs: str
    why: str


def match_columns(cells: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> list[Match]:
    """Return which column of a file is likely which of ours, surest first, each used once."""
    left = [str(column) for column in cells.columns if not str(column).startswith("Unnamed: ")]
    found: list[Match] = []

    def take(ours: str, theirs: str | None, why: str) -> None:
        if theirs is not None and ours not in {m.ours for m in found}:
            found.append(Match(ours, theirs, why))
            left.remove(theirs)

    for ours in names:
        take(ours, next((c for c in left if c == ours), None), "our own name")
    for ours, others in names.items():
        keys = {_plain(text): text for text in (ours, *others)}
        take(ours, next((c for text in keys for c in left if _plain(c) == text), None), "its name")
    for ours, others in names.items():
        bare = {without_marks(_plain(text)) for text in (ours, *others)}
        take(ours, next((c for c in left if without_marks(_plain(c)) in bare), None), "its name but for marks")
    alike = sorted(
        ((_ratio(c, (ours, *others)), ours, c) for ours, others in names.items() for c in left), reverse=True
    )
    for ratio, ours, theirs in alike:
        if ratio >= _ALIKE and theirs in left:
            take(ours, theirs, "a name that is like it")
    return found


def match_contents(
    cells: pd.DataFrame, found: Sequence[Match], pests: Mapping[str, Pest], ids: Collection[str] | None
) -> list[Match]:
    """Return columns that are told by what is in them, of those that no name tells."""
    taken, known = {m.theirs for m in found}, PestNames(pests)
    units = {unit_key(unit) for pest in pests.values() for unit in (pest.unit, *dict(pest.units))}
    looks = {
        "pest": lambda text: known.find(text) is not None,
        "date": lambda text: _DAY.fullmatch(text) is not None,
        "unit": lambda text: unit_key(text) in units,
        "parcel_id": lambda text: ids is not None and text in ids,
    }
    out: list[Match] = []
    for ours, look in looks.items():
        if ours in {m.ours for m in found}:
            continue
        for column in (c for c in cells.columns if c not in taken):
            texts = cells[column].dropna()
            if len(texts) and texts.map(look).mean() >= _MOST:
                out.append(Match(ours, str(column), "what is in it"))
                taken.add(column)
                break
    rest = [c for c in cells.columns if c not in taken and _is_numeric(cells[c])]
    if "value" not in {m.ours for m in (*found, *out)} and len(rest) == 1:
        out.append(Match("value", str(rest[0]), "the only other column of numbers"))
    return out


def day_order(cells: pd.Series) -> str | None:
    """Return ``dmy`` or ``mdy`` where days with slashes show it, None where they do not or there is none."""
    pairs = [(int(m[1]), int(m[2])) for text in cells.dropna() if (m := _SLASHED.match(text))]
    first, second = max((a for a, _ in pairs), default=0), max((b for _, b in pairs), default=0)
    if first > 12 >= second:
        return "dmy"
    return "mdy" if second > 12 >= first else None


def has_slashes(cells: pd.Series) -> bool:
    """Whether some day is written with slashes."""
    return any(_SLASHED.match(text) for text in cells.dropna())


def number_signs(cells: pd.Series) -> dict[str, str]:
    """Return ``decimal`` and ``thousands`` where texts of numbers show them: ``52,5`` and ``1.054`` beside it."""
    texts = [text for text in cells.dropna() if _NUMBER.fullmatch(text)]
    if any(re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+", t) for t in texts):
        return {"decimal": ",", "thousands": "."}
    if any(re.fullmatch(r"\d{1,3}(,\d{3})+\.\d+", t) for t in texts):
        return {"decimal": ".", "thousands": ","}
    if any(re.fullmatch(r"\d+,(\d{1,2}|\d{4,})", t) for t in texts):
        grouped = any(re.fullmatch(r"\d{1,3}(\.\d{3})+", t) for t in texts)
        return {"decimal": ",", "thousands": "."} if grouped else {"decimal": ","}
    return {}


def pest_columns(cells: pd.DataFrame, pests: Mapping[str, Pest]) -> list[str]:
    """Return columns that are named as a pest."""
    known = PestNames(pests)
    return [str(c) for c in cells.columns if known.find(split_unit(str(c))[0]) is not None]


def _plain(text: str) -> str:
    return match_key(split_unit(text)[0].replace("_", " ")).strip(" .:")


def _ratio(column: str, names: Sequence[str]) -> float:
    bare = without_marks(_plain(column))
    if len(bare) < 4:
        return 0.0
    return max(difflib.SequenceMatcher(None, bare, without_marks(_plain(name))).ratio() for name in names)


def _is_numeric(cells: pd.Series) -> bool:
    texts = cells.dropna()
    return bool(len(texts)) and bool(texts.map(lambda text: _NUMBER.fullmatch(text) is not None).mean() >= _MOST)
