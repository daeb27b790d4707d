"""The ways in which offices hold surveys: wide tables, exports of phones, names and units as people write them."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError
from rs_forecast.sources._pest_names import PestNames, split_unit
from rs_forecast.sources.surveys import read_surveys

TODAY = "2026-11-21"
HEADER = "parcel_id,date,pest,value,unit"


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(4)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(4)]}, geometry=shapes, crs=32648)


def csv(folder: Path, *lines: str, name: str = "surveys.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def rows_of(surveys: pd.DataFrame) -> list[tuple]:
    return list(surveys[["parcel_id", "pest", "value"]].itertuples(index=False, name=None))


# ------------------------------------------------------------------------------------------------------ names and units


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("brown_planthopper", "brown_planthopper"),
        ("Brown planthopper", "brown_planthopper"),
        ("RẦY NÂU", "brown_planthopper"),
        ("Râ\u0300y nâu", "brown_planthopper"),
        ("1. Rầy  nâu", "brown_planthopper"),
        ("- bph", "brown_planthopper"),
        ("Sâu cuốn lá nhỏ.", "leaf_folder"),
        ("ĐÔL", "leaf_blast"),
        ("white-backed planthopper", "white_backed_planthopper"),
        ("dao on la", None),
        ("Rấy nâu", None),
        ("rầy", None),
    ],
)
def test_a_pest_is_known_by_any_of_its_names(text, name):
    assert PestNames(PESTS).find(text) == name


def test_every_spelling_of_the_catalogue_means_one_pest():
    names = PestNames(PESTS)
    for pest in PESTS.values():
        for spelling in (pest.name, *pest.aliases):
            assert names.find(spelling) == pest.name, spelling


def test_a_name_without_its_marks_is_suggested_and_never_taken(tmp_path, parcels):
    path = csv(tmp_path, HEADER, "P-0,2026-03-02,dao on la,5,%", "P-1,2026-03-02,đạo ôn lá,0,%")
    with pytest.warns(DataWarning, match=r'found \'dao on la\', allowed is a known pest \(did you mean "đạo ôn lá"'):
        assert rows_of(read_surveys(path, parcels, today=TODAY)) == [("P-1", "leaf_blast", 0.0)]


def test_an_ambiguous_name_is_named_with_those_it_may_mean(tmp_path, parcels):
    own = {name: Pest(name=name, event="n >= 1", unit="%", doc="own", aliases=("blight",)) for name in ("a", "b")}
    path = csv(tmp_path, HEADER, "P-0,2026-03-02,blight,5,%")
    with pytest.raises(NoDataError, match=r"several are called so: a, b\. Write the one that is meant"):
        read_surveys(path, parcels, today=TODAY, pests=own)


def test_units_convert_only_where_the_catalogue_says_how(tmp_path, parcels):
    end = ["P-0,2026-03-02,rats,0.05,share", "P-1,2026-03-02,rats,5,%", "P-2,2026-03-02,rats,7,con/m2"]
    with pytest.warns(DataWarning) as caught:
        surveys = read_surveys(csv(tmp_path, HEADER, *end), parcels, today=TODAY)
    assert surveys["value"].tolist() == pytest.approx([5.0, 5.0])
    assert set(surveys["unit"]) == {"%"}
    texts = [str(w.message) for w in caught]
    assert any("units are mixed" in t and "rats: 1 rows in share, 1 rows in %" in t for t in texts)
    assert any(
        "row 4, column unit: found 'con/m2', allowed is %, the unit of rats, or percent, share" in t for t in texts
    )


@settings(max_examples=20)
@given(st.sampled_from([p for p in PESTS.values() if p.units]), st.data())
def test_a_value_in_another_unit_is_the_same_finding(pest, data):
    unit, factor = data.draw(st.sampled_from(pest.units))
    value = data.draw(st.floats(0, 1000))
    shape = [shapely.box(543000, 1150000, 543200, 1150200)]
    place = gpd.GeoDataFrame({"parcel_id": ["P-0"]}, geometry=shape, crs=32648)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = csv(Path(folder), HEADER, f"P-0,2026-03-02,{pest.name},{value!r},{unit.upper()}")
        surveys = read_surveys(path, place, today=TODAY)
    assert surveys["value"][0] == pytest.approx(value * factor)
    assert surveys["unit"][0] == pest.unit


# ----------------------------------------------------------------------------------------------------- what contradicts


def test_rows_that_contradict_each_other_are_both_named(tmp_path, parcels):
    one = "2026-03-02,brown_planthopper"
    path = csv(tmp_path, HEADER, f"P-0,{one},5,insects/m2", f"P-0,{one},9,con/m2", f"P-1,{one},0,insects/m2")
    with pytest.warns(DataWarning) as caught:
        assert rows_of(read_surveys(path, parcels, today=TODAY)) == [("P-1", "brown_planthopper", 0.0)]
    text = str(caught[0].message)
    assert "row 2, column value: found 5.0, allowed is one value of a parcel, day and pest; row 3 says 9" in text
    assert "row 3, column value: found 9.0, allowed is one value of a parcel, day and pest; row 2 says 5" in text


def test_two_points_in_a_field_are_two_visits_and_a_repeated_row_is_one(tmp_path, parcels):
    at = parcels.geometry.representative_point().to_crs(4326)
    end = "2026-03-02,brown_planthopper"
    x, y = at.x[0], at.y[0]
    lines = [f"{x},{y},{end},5,con/m2", f"{x + 1e-4},{y},{end},9,con/m2", f"{x},{y},{end},5,con/m2"]
    path = csv(tmp_path, "lon,lat,date,pest,value,unit", *lines)
    assert read_surveys(path, parcels, today=TODAY)["value"].tolist() == [5.0, 9.0]


def test_a_later_version_of_a_row_contradicts_nothing(tmp_path, parcels):
    one = "P-0,2026-03-02,brown_planthopper"
    path = csv(tmp_path, f"{HEADER},known_at", f"{one},5,con/m2,2026-03-04", f"{one},9,con/m2,2026-03-08")
    assert read_surveys(path, parcels, today=TODAY)["value"].tolist() == [5.0, 9.0]


def test_a_code_for_no_value_is_told_from_a_negative_number(tmp_path, parcels):
    end = ["P-0,2026-03-02,rats,-999,%", "P-1,2026-03-02,rats,-3,%", "P-2,2026-03-02,rats,0,%"]
    with pytest.warns(DataWarning) as caught:
        assert rows_of(read_surveys(csv(tmp_path, HEADER, *end), parcels, today=TODAY)) == [("P-2", "rats", 0.0)]
    said = str(caught[0].message).split("; ")
    assert any("row 2" in s and "it looks like a code for no value: leave the cell empty" in s for s in said[:2])
    assert "code for no value" not in next(s for s in said if "row 3" in s)


# --------------------------------------------------------------------------------------------------------------- places


def test_a_point_near_a_parcel_counts_only_within_the_stated_distance(tmp_path, parcels):
    outside = gpd.GeoSeries([shapely.Point(543230, 1150100)], crs=32648).to_crs(4326)  # 30 m east of P-0, 70 m to P-1
    line = f"{outside.x[0]:.8f},{outside.y[0]:.8f},2026-03-02,rats,1,%"
    path = csv(tmp_path, "lon,lat,date,pest,value,unit", line)
    with pytest.raises(NoDataError, match="allowed is a point inside a parcel, degrees in WGS 84"):
        read_surveys(path, parcels, today=TODAY)
    with pytest.raises(NoDataError, match="allowed is a point inside a parcel, or within 25 m of one"):
        read_surveys(path, parcels, today=TODAY, within_m=25)
    for within in (35, 500):
        assert read_surveys(path, parcels, today=TODAY, within_m=within)["parcel_id"].tolist() == ["P-0"]
    degrees = parcels.to_crs(4326)
    assert read_surveys(path, degrees, today=TODAY, within_m=35)["parcel_id"].tolist() == ["P-0"]
    with pytest.raises(NoDataError):
        read_surveys(path, degrees, today=TODAY, within_m=25)


# ---------------------------------------------------------------------------------------------------------- wide tables


def test_a_wide_table_is_the_long_one_turned(tmp_path, parcels):
    wide = csv(
        tmp_path,
        "thua,date,Rầy nâu (con/m²),ĐÔL,rats",
        ",,,,share",
        "P-0,2026-03-02,0,,0.05",
        "P-1,2026-03-03,900,2.5,",
    )
    long = csv(
        tmp_path, HEADER, "P-0,2026-03-02,brown_planthopper,0,insects/m2", "P-0,2026-03-02,rats,5,%",
        "P-1,2026-03-03,brown_planthopper,900,insects/m2", "P-1,2026-03-03,leaf_blast,2.5,%", name="long.csv",
    )  # fmt: skip
    found = read_surveys(wide, parcels, today=TODAY, layout="wide", columns={"parcel_id": "thua"})
    pd.testing.assert_frame_equal(found, read_surveys(long, parcels, today=TODAY))


def test_units_of_wide_columns_can_be_declared_and_a_row_of_numbers_is_no_row_of_units(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,date,rats", "P-0,2026-03-02,0.1")
    assert read_surveys(path, parcels, today=TODAY, layout="wide")["value"].tolist() == [0.1]
    found = read_surveys(path, parcels, today=TODAY, layout="wide", units={"chuột": "share"})
    assert found["value"].tolist() == [10.0]
    with pytest.raises(ConfigError, match=r"\[surveys\] units: found 'mice'"):
        read_surveys(path, parcels, today=TODAY, layout="wide", units={"mice": "share"})


def test_a_wide_column_that_is_no_pest_is_named(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,date,rats,Ốc bươu vàng,dao on la", "P-0,2026-03-02,1,2,3")
    with pytest.warns(DataWarning) as caught:
        assert rows_of(read_surveys(path, parcels, today=TODAY, layout="wide")) == [("P-0", "rats", 1.0)]
    assert "'Ốc bươu vàng', allowed is a known pest; 'dao on la', allowed is a known pest (did you mean" in str(
        caught[0].message
    )
    path = csv(tmp_path, "parcel_id,date,mice", "P-0,2026-03-02,1")
    with pytest.raises(SchemaError, match="no column is named as a pest, and layout is wide"):
        read_surveys(path, parcels, today=TODAY, layout="wide")


def test_two_wide_columns_of_one_pest_are_refused_until_one_is_mapped(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,date,RN,rầy nâu", "P-0,2026-03-02,1,2")
    with pytest.raises(
        SchemaError, match=r"columns 'RN', 'rầy nâu' are all brown_planthopper\. Keep one, or say which"
    ):
        read_surveys(path, parcels, today=TODAY, layout="wide")
    found = read_surveys(path, parcels, today=TODAY, layout="wide", columns={"brown_planthopper": "rầy nâu"})
    assert found["value"].tolist() == [2.0]


def test_a_bad_cell_of_a_wide_table_is_named_by_row_and_column_and_spoils_no_other(tmp_path, parcels):
    path = csv(tmp_path, "parcel_id,date,rats,ĐÔL", "P-0,2026-03-02,nhiều,3", "P-1,2026-03-02,1,-2")
    with pytest.warns(DataWarning) as caught:
        found = read_surveys(path, parcels, today=TODAY, layout="wide")
    assert rows_of(found) == [("P-0", "leaf_blast", 3.0), ("P-1", "rats", 1.0)]
    assert "row 2 (rats), column value: found 'nhiều'" in str(caught[0].message)
    assert "row 3 (ĐÔL), column value: found -2.0" in str(caught[0].message)


def test_cells_moved_by_a_merged_heading_are_named(tmp_path, parcels):
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for row in (["parcel_id", "date", "rats", None, "ĐÔL"], ["P-0", "2026-03-02", 1, 7, 3]):
        sheet.append(row)
    sheet.merge_cells("C1:D1")
    book.save(tmp_path / "w.xlsx")
    with pytest.warns(DataWarning, match=r"column D, row 2: found '7'\. A heading merged over two columns") as caught:
        found = read_surveys(tmp_path / "w.xlsx", parcels, today=TODAY, layout="wide")
    assert len(caught) == 1
    assert rows_of(found) == [("P-0", "leaf_blast", 3.0), ("P-0", "rats", 1.0)]


# ---------------------------------------------------------------------------------------------------- exports of phones


def kobo(path: Path, parcels: gpd.GeoDataFrame, **changed: object) -> Path:
    """Write a workbook as KoboToolbox exports one: XML names, groups in headings, a repeat on its own sheet."""
    at = parcels.geometry.representative_point().to_crs(4326)
    main = pd.DataFrame(
        {
            "start": ["2026-03-02T07:10:00.000+07:00", "2026-03-03T06:00:00.000+07:00"],
            "date": ["2026-03-02", "2026-03-03"],
            "where/parcel_id": ["", "P-2"],
            "where/location": [f"{at.y[0]} {at.x[0]} 2.0 4.5", ""],
            "where/_location_latitude": [at.y[0], np.nan],
            "where/_location_longitude": [at.x[0], np.nan],
            "where/_location_altitude": [2.0, np.nan],
            "where/_location_precision": [4.5, np.nan],
            "stage": ["tillering", "booting"],
            "absent": ["leaf_blast rats", ""],
            "absent/leaf_blast": [1, 0],
            "absent/rats": [1, 0],
            "_id": [11, 12],
            "_uuid": ["a", "b"],
            "_submission_time": pd.to_datetime(["2026-03-02 18:30:00", "2026-03-04 01:00:00"]),
            "_validation_status": ["validation_status_approved", ""],
            "_index": [1, 2],
        }
    ).assign(**changed)
    repeat = pd.DataFrame(
        {
            "findings/pest": ["brown_planthopper", "rats", "brown_planthopper"],
            "findings/unit": ["insects/m2", "%", "insects/m2"],
            "findings/value": [800, 2.5, 0],
            "_index": [1, 2, 3],
            "_parent_table_name": ["Điều tra"] * 3,
            "_parent_index": [1, 2, 2],
            "_submission__id": [11, 12, 12],
        }
    )
    with pd.ExcelWriter(path) as book:
        main.to_excel(book, sheet_name="Điều tra", index=False)
        repeat.to_excel(book, sheet_name="findings", index=False)
    return path


EXPECTED = [
    ("P-0", "brown_planthopper", 800.0),
    ("P-0", "leaf_blast", 0.0),
    ("P-0", "rats", 0.0),
    ("P-2", "brown_planthopper", 0.0),
    ("P-2", "rats", 2.5),
]


def test_a_workbook_of_kobotoolbox_is_read_with_its_repeat(tmp_path, parcels):
    path = kobo(tmp_path / "k.xlsx", parcels)
    found = read_surveys(path, parcels, today=TODAY, layout="odk", timezone="Asia/Ho_Chi_Minh")
    assert rows_of(found) == EXPECTED
    # 18:30 in UTC is the next day in the region
    assert found["known_at"].dt.strftime("%Y-%m-%d").tolist() == ["2026-03-03"] * 3 + ["2026-03-04"] * 2
    assert found["stage"].tolist() == ["tillering"] * 3 + ["booting"] * 2
    assert found.attrs["known_at_assumed"] == 0


def test_what_was_rejected_at_review_is_named_and_left_out(tmp_path, parcels):
    path = kobo(tmp_path / "k.xlsx", parcels, _validation_status=["validation_status_not_approved", ""])
    with pytest.warns(
        DataWarning, match="column review: found 'validation_status_not_approved', allowed is a submissi"
    ):
        found = read_surveys(path, parcels, today=TODAY, layout="odk")
    assert rows_of(found) == EXPECTED[3:]


def test_a_repeat_whose_visit_is_gone_is_named(tmp_path, parcels):
    path = kobo(tmp_path / "k.xlsx", parcels, _index=[1, 7])
    with pytest.warns(DataWarning, match="row 3 of findings, column _parent_index: found '2', allowed is a _index of"):
        found = read_surveys(path, parcels, today=TODAY, layout="odk")
    assert rows_of(found) == EXPECTED[:3]


def test_csv_files_of_odk_central_are_read_with_their_repeat(tmp_path, parcels):
    at = parcels.geometry.representative_point().to_crs(4326)
    head = (
        "SubmissionDate,start,date,where-parcel_id,where-location-Latitude,where-location-Longitude,"
        "where-location-Altitude,where-location-Accuracy,stage,absent,meta-instanceID,KEY,ReviewState"
    )
    one = f"2026-03-02T18:30:00.123Z,2026-03-02T07:10:00.000+07:00,2026-03-02,,{at.y[0]},{at.x[0]},2,4,tillering,"
    two = "2026-03-04T01:00:00.000Z,,2026-03-03,P-2,,,,,booting,,uuid:b,uuid:b,approved"
    csv(
        tmp_path, head, f"{one}leaf_blast rats,uuid:a,uuid:a,", two, name="form.csv",
    )  # fmt: skip
    csv(
        tmp_path, "pest,unit,value,PARENT_KEY,KEY", "brown_planthopper,insects/m2,800,uuid:a,uuid:a/findings[1]",
        "rats,%,2.5,uuid:b,uuid:b/findings[1]", "brown_planthopper,insects/m2,0,uuid:b,uuid:b/findings[2]",
        name="form-findings.csv",
    )  # fmt: skip
    found = read_surveys(tmp_path / "form.csv", parcels, today=TODAY, layout="odk", timezone="Asia/Ho_Chi_Minh")
    pd.testing.assert_frame_equal(
        found,
        read_surveys(
            kobo(tmp_path / "k.xlsx", parcels), parcels, today=TODAY, layout="odk", timezone="Asia/Ho_Chi_Minh"
        ),
    )


def test_a_form_of_an_office_with_a_question_a_pest_and_its_own_names(tmp_path, parcels):
    path = csv(
        tmp_path, "g/Ngay;g/Thua;g/Rầy nâu;g/Chuột;g/so_con;_uuid;_submission_time;_index",
        "2026-03-02;P-1;1200;;4;a;2026-03-02T08:00:00;1", "2026-03-02;P-3;;0.2;4;b;2026-03-02T08:00:00;2",
    )  # fmt: skip
    columns = {"date": "g/Ngay", "parcel_id": "g/Thua"}
    found = read_surveys(path, parcels, today=TODAY, layout="odk", columns=columns, units={"rats": "share"})
    assert rows_of(found) == [("P-1", "brown_planthopper", 1200.0), ("P-3", "rats", 20.0)]
    with pytest.raises(SchemaError, match="no question says the day of the visit"):
        read_surveys(
            csv(tmp_path, "g/Thua;rats;_uuid;_submission_time", "P-1;1;a;2026-03-02T08:00:00"),
            parcels, today=TODAY, layout="odk",
        )  # fmt: skip


def test_an_export_without_a_finding_says_so(tmp_path, parcels):
    path = csv(tmp_path, "date,parcel_id,note,_uuid,_submission_time", "2026-03-02,P-1,x,a,2026-03-02T08:00:00")
    with pytest.raises(
        SchemaError, match="no finding is in it; allowed are pest and value, or a question named as a pe"
    ):
        read_surveys(path, parcels, today=TODAY, layout="odk")


@pytest.mark.parametrize(
    ("heading", "parts"),
    [("Rầy nâu (con/m2)", ("Rầy nâu", "con/m2")), ("Rats [%]", ("Rats", "%")), ("Chuột", ("Chuột", None))],
)
def test_a_heading_may_hold_its_unit(heading, parts):
    assert split_unit(heading) == parts
