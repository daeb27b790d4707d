"""The weekly annex: written and read back, read as offices write it, and what is said of what does not hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from rs_forecast.annex import write_annex
from rs_forecast.catalog import PESTS
from rs_forecast.errors import DataWarning, NoDataError, OutputError, SchemaError, SourceError
from rs_forecast.schema import AREAS, check_areas
from rs_forecast.sources._area_cells import interval, number, sum_gap, week_of
from rs_forecast.sources._notation import Notation
from rs_forecast.sources.bulletin import COLUMNS, read_annex

TODAY = "2026-11-21"
MONDAY = pd.Timestamp("2026-03-16").as_unit("us")
KINDS = {"text": "str", "day": "datetime64[us]", "number": "float64"}
NUMBERS = [f.name for f in AREAS if f.kind == "number" and f.name not in ("low", "high")]
HEADINGS = [heading for _, heading, _ in COLUMNS]
ROW = ["Rầy nâu", "Đẻ nhánh", "1000- 2000", "3,000", "1,250", 1000, 250, 0, None, "980", 400, "TX Tân Châu"]


def areas(rows: list[dict[str, Any]], delay: int = 7) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=[f.name for f in AREAS])
    table["known_at"] = table["week"] + pd.Timedelta(days=6 + delay)
    table = table.astype({f.name: KINDS[f.kind] for f in AREAS})
    return table.sort_values(["place", "week", "pest", "stage"]).reset_index(drop=True)


def sheet_of(path: Path, rows: list[list[Any]], *, merge: tuple[str, ...] = (), title: str = "12 năm 2026") -> Path:
    """Write rows below a head as offices have it: the week in row 6, data from row 11."""
    book = Workbook()
    sheet = book.active
    sheet.cell(1, 1, "CHI CỤC TRỒNG TRỌT VÀ BVTV")
    sheet.cell(3, 1, "BÁO CÁO TÌNH HÌNH DỊCH HẠI 7 NGÀY")
    sheet.cell(6, 2, title)
    for number_, row in enumerate(rows, start=11):
        for column, value in enumerate(row, start=1):
            sheet.cell(number_, column, value)
    for cells in merge:
        sheet.merge_cells(cells)
    book.save(path)
    return path


def with_headings(*rows: list[Any]) -> list[list[Any]]:
    return [HEADINGS, *rows]


# ----------------------------------------------------------------------------------------------------------- round trip

value = st.one_of(st.just(np.nan), st.integers(0, 10**8).map(lambda v: v / 1000))
text = st.one_of(st.none(), st.sampled_from(["đẻ nhánh", "Vĩnh Hanh, An Châu", "TX. Tân Châu", "1. xã"]))


@st.composite
def area_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = st.tuples(st.sampled_from(["30280", "Tiểu vùng 5"]), st.sampled_from([0, 1]), st.sampled_from(sorted(PESTS)))
    out = []
    for place, week, pest in draw(st.lists(keys, min_size=1, max_size=6, unique=True)):
        low = draw(value)
        numbers = {name: draw(value) for name in NUMBERS}
        if all(np.isnan(v) for v in (low, *numbers.values())):
            numbers["infested_ha"] = 0.0  # a row without a number says nothing
        high = low + draw(st.sampled_from([0.0, 0.5, 1000.0]))
        out.append({"place": place, "week": MONDAY + pd.Timedelta(weeks=week), "pest": pest, "stage": draw(text),
                    "low": low, "high": round(high, 6), **numbers, "distribution": draw(text)})  # fmt: skip
    return out


@settings(max_examples=6, deadline=None)
@given(area_rows())
@pytest.mark.filterwarnings("ignore::rs_forecast.errors.DataWarning")  # random parts do not add up
def test_what_is_written_is_read_back(rows):
    table = areas(rows)
    with tempfile.TemporaryDirectory() as folder:
        files = write_annex(table, Path(folder))
        assert len(files) == table["week"].nunique()
        back = read_annex(folder, today=TODAY)
    check_areas(back)
    back = back.sort_values(["place", "week", "pest", "stage"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(back, table)


def test_the_annex_has_a_head_headings_and_groups_where_offices_have_them(tmp_path):
    table = areas([{"place": "30280", "week": MONDAY, "pest": "rats", "infested_ha": 12.5}])
    (file,) = write_annex(table, tmp_path, title="Trạm BVTV", synthetic=True)
    assert file.name == "annex-2026-W12.xlsx"
    sheet = load_workbook(file)["30280"]
    assert sheet["A1"].value == "Trạm BVTV"
    assert "SYNTHETIC" in sheet["A2"].value
    assert sheet["A6"].value == "Tuần 12 năm 2026 (từ 16/03/2026 đến 22/03/2026)"
    assert sheet["F8"].value == "Diện tích nhiễm (ha)"
    assert "F8:I8" in {str(cells) for cells in sheet.merged_cells.ranges}
    assert [sheet.cell(11, 1).value, sheet.cell(12, 2).value, sheet.cell(12, 6).value] == [
        "Nhóm cây: rice",
        "Chuột",
        12.5,
    ]


def test_nothing_and_two_versions_of_a_row_are_not_written(tmp_path):
    table = areas([{"place": "a", "week": MONDAY, "pest": "rats", "infested_ha": 1.0}])
    with pytest.raises(NoDataError, match="no row to write"):
        write_annex(table.iloc[:0], tmp_path)
    twice = pd.concat([table, table.assign(known_at=table["known_at"] + pd.Timedelta(days=1))], ignore_index=True)
    with pytest.raises(OutputError, match="in two versions"):
        write_annex(twice, tmp_path)


# -------------------------------------------------------------------------------------------------- as offices write it


def test_a_sheet_is_read_by_its_headings_with_groups_ranges_and_a_declared_sign(tmp_path):
    group = ["Nhóm cây: Cây lúa"]
    total = ["Tổng cộng", None, None, None, "1,250"]
    other = ["2. ĐÔL", "Làm đòng", "10 -  20", 30, "0", None, None, None, None, None, "-", None]
    path = sheet_of(tmp_path / "a.xlsx", with_headings(group, ROW, other, total, ["Người lập biểu"]))
    found = read_annex(path, place="An Giang", thousands=",", today=TODAY)
    check_areas(found)
    assert found["pest"].tolist() == ["brown_planthopper", "leaf_blast"]
    first, second = found.to_dict("records")
    assert (first["low"], first["high"], first["peak"]) == (1000, 2000, 3000)
    assert (first["infested_ha"], first["light_ha"], first["heavy_ha"], first["last_year_ha"]) == (1250, 1000, 0, 980)
    assert np.isnan(first["lost_ha"])
    assert first["distribution"] == "TX Tân Châu"
    assert (second["low"], second["high"], second["infested_ha"]) == (10, 20, 0)  # a zero is a finding
    assert np.isnan(second["treated_ha"])
    assert set(found["week"]) == {MONDAY}
    assert set(found["known_at"]) == {pd.Timestamp("2026-03-29")}  # a week after its Sunday
    assert set(found["place"]) == {"An Giang"}


def test_merged_cells_give_columns_without_headings_that_do_no_harm(tmp_path):
    wide = [None if i in (1, 5) else cell for i, cell in enumerate([ROW[0], None, *ROW[1:4], None, *ROW[4:]])]
    heads = [HEADINGS[0], None, *HEADINGS[1:4], None, *HEADINGS[4:]]
    path = sheet_of(tmp_path / "a.xlsx", [heads, wide], merge=("A11:B11", "E11:F11", "A12:B12", "E12:F12"))
    plain = sheet_of(tmp_path / "b.xlsx", with_headings(ROW))
    pd.testing.assert_frame_equal(
        read_annex(path, place="x", thousands=",", today=TODAY),
        read_annex(plain, place="x", thousands=",", today=TODAY),
    )


def test_a_row_that_a_merged_cell_has_moved_is_named_and_not_taken(tmp_path):
    heads = [*HEADINGS[:5], None, *HEADINGS[5:]]
    moved = [*ROW[:5], 1000, 250, 0, *ROW[8:]]  # its light area stands where no heading is
    good = [*ROW[:5], None, *ROW[5:]]
    path = sheet_of(tmp_path / "a.xlsx", [heads, moved, ["Chuột", *good[1:]]])
    with pytest.warns(
        DataWarning, match=r"row a\.xlsx 12, column F: found '1000', allowed is nothing where no heading is: a"
    ):
        assert read_annex(path, place="x", thousands=",", today=TODAY)["pest"].tolist() == ["rats"]


def test_headings_over_two_rows_and_a_numbered_first_column(tmp_path):
    top = ["TT", "Tên dịch hại", "GĐST", "Mật độ, tỷ lệ", None, "Diện tích nhiễm (ha)", None, None, None,
           "Mất trắng (ha)", "So cùng kỳ", "DT phòng trừ (ha)", "Phân bố"]  # fmt: skip
    low = [None, None, None, "Phổ biến", "Cao", "Tổng số", "Nhẹ", "Trung bình", "Nặng"]
    count = list(range(1, 14))
    path = sheet_of(
        tmp_path / "a.xlsx", [top, low, count, [1, *ROW]], merge=("A11:A12", "B11:B12", "D11:E11", "F11:I11")
    )
    found = read_annex(path, place="x", thousands=",", today=TODAY)
    assert found.loc[0, ["pest", "peak", "infested_ha", "light_ha", "treated_ha"]].tolist() == [
        "brown_planthopper", 3000, 1250, 1000, 400,
    ]  # fmt: skip


def test_a_sheet_without_headings_is_read_from_row_eleven(tmp_path):
    row = [*ROW[:8], 0, *ROW[9:]]
    path = sheet_of(tmp_path / "a.xlsx", [row, ["Chuột", *row[1:]]])
    assert read_annex(path, place="x", thousands=",", today=TODAY)["infested_ha"].tolist() == [1250, 1250]
    short = sheet_of(tmp_path / "b.xlsx", [row[:11]])
    with pytest.raises(
        SchemaError, match=r"b\.xlsx: no heading is there, and from row 11 on 11 columns hold something"
    ):
        read_annex(short, place="x", thousands=",", today=TODAY)


def test_a_number_that_may_be_two_is_refused_until_its_sign_is_declared(tmp_path):
    path = sheet_of(tmp_path / "a.xlsx", with_headings(ROW, ["Chuột", *[None] * 3, 5, *[None] * 7]))
    with pytest.warns(
        DataWarning, match=r"column peak: found '3,000', allowed is .*declare thousands and decimal: is it 30"
    ):
        assert read_annex(path, place="x", today=TODAY)["pest"].tolist() == ["rats"]
    rows = with_headings([*ROW[:3], "3,000.5", *ROW[4:]], ["Chuột", *[None] * 3, 5])
    other = sheet_of(tmp_path / "b.xlsx", rows)
    with pytest.warns(
        DataWarning, match=r"column peak: found '3,000.5', allowed is a number, with decimal ',' and thousands"
    ):
        read_annex(other, place="x", decimal=",", thousands=".", today=TODAY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": "Tuần 60 năm 2026"}, r"a\.xlsx: found week 60 of 2026, allowed is 1 to 53"),
        ({"title": "tháng 3"}, "no sheet names its week; write it above the table as 'Tuần 12 năm 2026'"),
        ({"rows": [HEADINGS[:6], ROW]}, "no heading in row 11 and below is TB, Nặng|holds? something|no heading"),
    ],
)
def test_a_sheet_that_is_no_annex_is_a_clear_error(tmp_path, changes, message):
    given_ = {"rows": with_headings(ROW), **changes}
    path = sheet_of(tmp_path / "a.xlsx", given_.pop("rows"), **given_)
    with pytest.raises(SchemaError, match=message):
        read_annex(path, place="x", thousands=",", today=TODAY)


def test_the_place_comes_from_the_sheet_else_from_the_config_else_is_asked_for(tmp_path):
    path = sheet_of(tmp_path / "a.xlsx", with_headings(ROW))
    with pytest.raises(
        SchemaError, match=r"does not say which area it is of; write 'Đơn vị: \.\.\.' .*\[surveys\] place"
    ):
        read_annex(path, thousands=",", today=TODAY, part="surveys")
    book = load_workbook(path)
    book.active["A5"] = "Đơn vị:  xã Vĩnh Hanh"
    book.save(path)
    assert read_annex(path, place="x", thousands=",", today=TODAY)["place"].tolist() == ["xã Vĩnh Hanh"]


def test_bad_rows_are_named_and_the_rest_goes_on(tmp_path):
    rows = [["Mạt gà", *ROW[1:]], ["Chuột", None, "20 - 10", *[None] * 9], ["BLB", *[None] * 3, -5, *[None] * 7], ROW]
    path = sheet_of(tmp_path / "a.xlsx", with_headings(*rows))
    with pytest.warns(DataWarning) as caught:
        assert read_annex(path, place="x", thousands=",", today=TODAY)["pest"].tolist() == ["brown_planthopper"]
    said = str(caught[0].message)
    assert "row a.xlsx 12, column pest: found 'Mạt gà', allowed is a known pest" in said
    assert (
        "row a.xlsx 13, column common: found '20 - 10', allowed is an interval whose first number is the smaller"
        in said
    )
    assert "row a.xlsx 14, column infested_ha: found '-5', allowed is a number of at least 0" in said
    with pytest.raises(
        NoDataError, match=r"column week: found 2026-03-16, allowed is a week not after today, 2026-03-01"
    ):
        read_annex(sheet_of(path, with_headings(ROW)), place="x", thousands=",", today="2026-03-01")


def test_files_that_are_no_workbook_and_folders_without_one(tmp_path):
    with pytest.raises(SourceError, match=r"holds no \.xlsx"):
        read_annex(tmp_path)
    (tmp_path / "a.xls").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"a\.xls is no \.xlsx"):
        read_annex(tmp_path / "a.xls")


# ----------------------------------------------------------------------------------------------------- numbers and sums


def test_the_slip_in_a_published_bulletin_is_found():
    """An Giang, 16-22 August 2021: 7.854, 9.120, 75.63 and 2.886 of 27.500 ha."""
    parts = {"seedling": 7854.0, "tillering": 9120.0, "booting": 75.63, "heading": 2886.0}
    said = sum_gap(parts, 27500.0)
    assert "is 19935.63, not 27500" in said
    assert "likely a sign slipped in booting: 75.63 for 7563" in said
    assert sum_gap({**parts, "booting": 7640.0}, 27500.0) is None


@settings(max_examples=50)
@given(st.lists(st.integers(10, 5000), min_size=2, max_size=4), st.data())
def test_a_slip_of_one_sign_is_found_and_a_true_sum_is_silent(values, data):
    parts = {f"p{i}": float(v) for i, v in enumerate(values)}
    total = float(sum(values))
    assert sum_gap(parts, total) is None
    name = max(parts, key=lambda key: parts[key])
    by = data.draw(st.sampled_from([0.1, 0.01, 10.0, 100.0]))
    said = sum_gap({**parts, name: parts[name] * by}, total)
    assert said is not None
    assert "likely a sign slipped in" in said


def test_parts_of_an_annex_that_do_not_add_up_are_named_and_stay(tmp_path):
    path = sheet_of(tmp_path / "a.xlsx", with_headings([*ROW[:4], 1250, 100, 250, 0, *ROW[8:]]))
    with pytest.warns(
        DataWarning, match=r"light_ha 100 \+ medium_ha 250 \+ heavy_ha 0 is 350, not 1250; likely .* 100 for 1000"
    ):
        assert read_annex(path, place="x", thousands=",", today=TODAY)["light_ha"].tolist() == [100]


@pytest.mark.parametrize(
    ("cell", "signs", "ends"),
    [
        ("1000- 2000", {}, (1000, 2000)),
        ("10 -  20", {}, (10, 20)),
        ("750-2.000", {"decimal": ",", "thousands": "."}, (750, 2000)),
        ("2,5 – 7,5", {"decimal": ","}, (2.5, 7.5)),
        ("1,000-2,000", {"thousands": ","}, (1000, 2000)),
        ("0,5 đến 1", {"decimal": ","}, (0.5, 1)),
        (5, {}, (5, 5)),
        ("-", {}, (None, None)),
        ("", {}, (None, None)),
    ],
)
def test_intervals(cell, signs, ends):
    assert interval(cell, Notation(**signs)) == ends


@pytest.mark.parametrize("cell", ["1,054", "1.054", "nhiều", "75.63.1"])
def test_what_is_no_number_for_sure_is_refused(cell):
    with pytest.raises(ValueError, match="a number"):
        number(cell, Notation())


@pytest.mark.parametrize("text_", ["2026-W12", "2026W12", "Tuần 12 năm 2026", "2026-03-18", "20260322"])
def test_weeks(text_):
    assert week_of(text_) == MONDAY
