"""read_surveys: what an office's rows become, and what each bad row is told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import Pest
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.schema import SURVEYS, check_surveys
from rs_forecast.sources.surveys import read_surveys

TODAY = "2026-11-21"
HEADER = "parcel_id,date,pest,value,unit,known_at,method"
GOOD = "P-0,2026-03-02,brown_planthopper,0,insects/m2,2026-03-04,visual"


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(4)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(4)]}, geometry=shapes, crs=32648)


def csv(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "surveys.csv"
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def test_rows_become_the_table_and_a_zero_stays(tmp_path, parcels):
    surveys = read_surveys(
        csv(tmp_path, HEADER, GOOD, "P-1,2026-03-03,brown_planthopper,800.5,insects/m2,,"), parcels, today=TODAY
    )
    check_surveys(surveys)
    assert list(surveys.columns) == [field.name for field in SURVEYS]
    assert surveys["value"].tolist() == [0.0, 800.5]
    # given; else the visit and 7 days
    assert surveys["known_at"].dt.strftime("%Y-%m-%d").tolist() == ["2026-03-04", "2026-03-10"]
    assert surveys.attrs == {"known_at_assumed": 1, "delay_days": 7}


def test_the_delay_can_be_declared(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,date,pest,value,unit", "P-1,2026-02-27,brown_planthopper,1,insects/m2")
    assert read_surveys(path, parcels, today=TODAY, delay_days=3)["known_at"][0] == pd.Timestamp("2026-03-02")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "P-9,2026-03-03,brown_planthopper,8,insects/m2,,",
            r"parcel_id: found 'P-9', allowed is a parcel_id of the parcels\.",
        ),
        ("P-1,2026-11-22,brown_planthopper,8,insects/m2,,", "date: found 2026-11-22, .* not after today, 2026-11-21"),
        ("P-1,03/03/2026,brown_planthopper,8,insects/m2,,", "date: found '03/03/2026', allowed is a day such as 2026"),
        ("P-1,2026,brown_planthopper,8,insects/m2,,", "date: found '2026', allowed is a day such as 2026-03-02"),
        ("P-1,2026-02-30,brown_planthopper,8,insects/m2,,", "date: found '2026-02-30', allowed is a day"),
        ("P-1,,brown_planthopper,8,insects/m2,,", "date: found nothing, allowed is a day such as"),
        ("P-1,2026-03-03,brown_planthopper,nhieu,insects/m2,,", "value: found 'nhieu', allowed is a number of at le"),
        ('P-1,2026-03-03,brown_planthopper,"1,5",insects/m2,,', "value: found '1,5', .* with a decimal point and not"),
        ("P-1,2026-03-03,brown_planthopper,-3,insects/m2,,", r"value: found -3\.0, allowed is a number of at least 0"),
        ("P-1,2026-03-03,brown_planthopper,inf,insects/m2,,", "value: found inf, allowed is a number"),
        ("P-1,2026-03-03,brown_planthopper,,insects/m2,,", "value: found nothing, allowed is a number of at least 0"),
        ("P-1,2026-03-03,brown_planthopper,NA,insects/m2,,", "value: found nothing, allowed is a number of at least"),
        ("P-1,2026-03-03,brown_planthoper,8,insects/m2,,", r"pest: found 'brown_planthoper', .*\"brown_planthopper\""),
        ("P-1,2026-03-03,brown_planthopper,8,insects/hill,,", "unit: found 'insects/hill', allowed is insects/m2, the"),
        ("P-1,2026-03-03,brown_planthopper,8,,,", "unit: found nothing"),
        ("P-1,2026-03-03,brown_planthopper,8,insects/m2,2026-03-01,", "known_at: found 2026-03-01, .*before the visit"),
        ("P-1,2026-03-03,brown_planthopper,8,insects/m2,,,x", "column 8 and on: found .* allowed is 7 cells as in the"),
        (",2026-03-03,brown_planthopper,8,insects/m2,,", "parcel_id: found nothing, allowed is a parcel_id"),
    ],
)
def test_a_bad_row_is_left_out_with_file_row_column_and_mend(tmp_path, parcels, row, message):
    path = csv(tmp_path, HEADER, GOOD, "", row)
    with pytest.warns(DataWarning, match=rf"surveys\.csv: row 4, column .*{message.removeprefix('column ')}") as caught:
        surveys = read_surveys(path, parcels, today=TODAY)
    assert len(caught) == 1
    assert "Left out; mend the rows in the file" in str(caught[0].message)
    assert surveys["parcel_id"].tolist() == ["P-0"]


def test_many_bad_rows_make_one_warning_that_counts_them(tmp_path, parcels):
    bad = [f"X{i},2026-03-03,brown_planthopper,8,insects/m2,," for i in range(9)]
    with pytest.warns(DataWarning, match=r"and 4 more\. Left out"):
        assert len(read_surveys(csv(tmp_path, HEADER, *bad, GOOD), parcels, today=TODAY)) == 1


def test_a_treatment_after_the_visit_is_refused(tmp_path, parcels):
    head, row = "parcel_id,date,pest,value,unit,treated_on", "P-0,2026-03-02,brown_planthopper,0,insects/m2,2026-03-0"
    with pytest.warns(DataWarning, match="treated_on: found 2026-03-05, allowed is a day not after the visit"):
        assert len(read_surveys(csv(tmp_path, head, row + "5", row + "1"), parcels, today=TODAY)) == 1


def test_when_every_row_is_refused_there_is_no_data(tmp_path, parcels):
    with pytest.raises(NoDataError, match=r"row 2, column parcel_id: found 'P-9'.* No row is left"):
        read_surveys(csv(tmp_path, HEADER, GOOD.replace("P-0", "P-9")), parcels, today=TODAY)


def test_points_go_to_the_parcel_they_lie_in(tmp_path, parcels):
    at = parcels.geometry.representative_point().to_crs(4326)
    end = "2026-03-02,brown_planthopper,5,insects/m2"
    lines = [f"{at.x[0]},{at.y[0]},{end}", f"{at.x[2]},{at.y[2]},{end}", f"{at.y[1]},{at.x[1]},{end}"]
    path = csv(tmp_path, "lon,lat,date,pest,value,unit", *lines, f"106,11,{end}", f",,{end}", f"x,1,{end}")
    with pytest.warns(DataWarning) as caught:
        surveys = read_surveys(path, parcels, today=TODAY)
    assert surveys["parcel_id"].tolist() == ["P-0", "P-2"]
    text = str(caught[0].message)
    for part in (
        "row 4, column lon, lat: found '10.4039, 105.396', allowed is a point inside a parcel",
        "degrees in WGS 84 (they look swapped);",
        "row 5, column lon, lat: found '106, 11', allowed is a point inside a parcel, degrees in WGS 84;",
        "row 6, column parcel_id: found nothing, allowed is a parcel_id, or lon and lat;",
        "row 7, column lon: found 'x'",
    ):
        assert part in text


def test_a_named_parcel_counts_more_than_coordinates(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,lon,lat,date,pest,value,unit", "P-3,x,,2026-03-02,brown_planthopper,5,insects/m2")
    assert read_surveys(path, parcels, today=TODAY)["parcel_id"].tolist() == ["P-3"]


def test_a_users_own_pest_and_column_names(tmp_path, parcels):
    own = {"rust": Pest(name="rust", crop="wheat", event="share >= 10", unit="%", doc="own")}
    path = csv(tmp_path, "thua,ngay,pest,value,unit", "P-0,2026-03-02,rust,3,%")
    surveys = read_surveys(path, parcels, today=TODAY, pests=own, columns={"parcel_id": "thua", "date": "ngay"})
    assert surveys["pest"].tolist() == ["rust"]
    with pytest.raises(SchemaError, match=r'no column "ngya" for date; did you mean "ngay"\?.*\[surveys.columns\]'):
        read_surveys(path, parcels, columns={"date": "ngya"})


def test_synthetic_rows_mark_the_table(tmp_path, parcels):
    path = csv(tmp_path, HEADER, GOOD.replace("visual", "SYNTHETIC count"))
    assert read_surveys(path, parcels, today=TODAY).attrs["synthetic"] is True


# ------------------------------------------------------------------------------------------------------ files and texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators_are_recognised(tmp_path, parcels, encoding, separator):
    lines = [line.replace(",", separator) for line in (HEADER, GOOD.replace("visual", "Đếm tay"))]
    surveys = read_surveys(csv(tmp_path, *lines, encoding=encoding), parcels, today=TODAY)
    assert surveys["method"].tolist() == ["Đếm tay"]


def test_text_in_another_encoding_is_named_and_can_be_declared(tmp_path, parcels):
    path = csv(tmp_path, HEADER, GOOD, GOOD.replace("visual", "café"), encoding="cp1258")
    with pytest.raises(SchemaError, match=r"row 3 is not utf-8 \(byte \d+ is 0xe9\).*declare what it is") as caught:
        read_surveys(path, parcels, today=TODAY)
    byte = int(str(caught.value).split("byte ")[1].split()[0])
    assert path.read_bytes()[byte] == 0xE9
    assert "café" in read_surveys(path, parcels, today=TODAY, encoding="windows-1258")["method"].tolist()
    with pytest.raises(ConfigError, match="unknown encoding: tcvn9"):
        read_surveys(path, parcels, today=TODAY, encoding="tcvn9")


def test_composed_and_decomposed_letters_are_the_same_parcel(tmp_path):
    shapes = [shapely.box(543000, 1150000, 543200, 1150200)]
    parcels = gpd.GeoDataFrame({"parcel_id": ["Thửa 1"]}, geometry=shapes, crs=32648)
    path = csv(tmp_path, HEADER, GOOD.replace("P-0", "Thu\u031b\u0309a 1"))
    assert read_surveys(path, parcels, today=TODAY)["parcel_id"].tolist() == ["Thửa 1"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "is empty"),
        ((HEADER,), "it has a header and no usable row below it"),
        (("parcel_id,date,pest,valu,unit", "a,b,c,d,e"), r'column value is missing; did you mean "valu"\?'),
        (("date,pest,value,unit", "2026-03-02,rust,1,%"), "no column says where; allowed is parcel_id, or lon and lat"),
        (("date,pest,value,unit,unit", "a,b,c,d,e"), "column unit is there twice"),
    ],
)
def test_a_file_that_is_no_such_table_is_a_clear_error(tmp_path, parcels, lines, message):
    path = csv(tmp_path, *lines) if lines else tmp_path / "surveys.csv"
    path.touch()
    with pytest.raises((SchemaError, SourceError, NoDataError), match=message):
        read_surveys(path, parcels, today=TODAY)


def test_a_path_that_is_no_file_is_a_clear_error(tmp_path, parcels):
    csv(tmp_path, HEADER)
    for path, message in (
        (tmp_path, "is a folder, a file is due. It holds surveys.csv"),
        (tmp_path / "survey.csv", r'does not exist; did you mean "surveys.csv"\?'),
        (tmp_path / "no" / "a.csv", "nor does the folder"),
        (Path(__file__), "has the ending '.py', allowed are .csv"),
        ("https://host/a.csv", "allowed is a file on this computer"),
    ):
        with pytest.raises(SourceError, match=message):
            read_surveys(path, parcels)


def test_excel_and_points_in_geojson_give_the_same_table(tmp_path, parcels):
    days = pd.to_datetime(["2026-03-02", "2026-03-03"])
    table = pd.DataFrame({"date": days, "pest": "brown_planthopper", "value": [0, 750.5], "unit": "insects/m2"})
    ids = table.assign(parcel_id=["P-0", "P-1"])
    with pd.ExcelWriter(tmp_path / "s.xlsx") as book:
        ids.to_excel(book, index=False, sheet_name="data")
        ids.to_excel(book, index=False, sheet_name="notes")
    at = parcels.geometry.representative_point().to_crs(4326)[:2]
    gpd.GeoDataFrame(table, geometry=at).to_file(tmp_path / "s.geojson")
    ids.to_csv(tmp_path / "s.csv", index=False)
    expected = read_surveys(tmp_path / "s.csv", parcels, today=TODAY)
    pd.testing.assert_frame_equal(read_surveys(tmp_path / "s.geojson", parcels, today=TODAY), expected)
    with pytest.warns(DataWarning, match="only the first sheet 'data' is read, not notes"):
        pd.testing.assert_frame_equal(read_surveys(tmp_path / "s.xlsx", parcels, today=TODAY), expected)


@settings(max_examples=15)
@given(rows=st.permutations(range(8)), columns=st.permutations(range(7)), data=st.data())
def test_order_of_rows_and_columns_and_names_of_columns_do_not_matter(parcels, rows, columns, data):
    body = [
        f"P-{i % 4},2026-03-0{1 + i // 3},brown_planthopper,{i * 100},insects/m2,,m{i}".split(",") for i in range(8)
    ]
    names = HEADER.split(",")
    theirs = {name: f"{name}_x" if data.draw(st.booleans()) else name for name in names}
    lines = [",".join(theirs[names[c]] for c in columns)]
    lines += [",".join(body[r][c] for c in columns) for r in rows]
    with tempfile.TemporaryDirectory() as folder:
        changed = read_surveys(csv(Path(folder), *lines), parcels, today=TODAY, columns=theirs)
        plain = read_surveys(csv(Path(folder), HEADER, *map(",".join, body)), parcels, today=TODAY)
    pd.testing.assert_frame_equal(changed, plain)
