"""``rs-forecast surveys``: what a file is taken for and told, and the form that phones get."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from openpyxl import load_workbook

from rs_forecast.annex import write_annex
from rs_forecast.catalog import PESTS
from rs_forecast.cli import main
from rs_forecast.config import load_config
from rs_forecast.errors import ConfigError
from rs_forecast.inputs import config_surveys
from rs_forecast.schema import AREAS, SURVEYS
from rs_forecast.sources.surveys import read_surveys
from rs_forecast.survey_check import check_surveys_file
from rs_forecast.survey_form import ENGLISH, VIETNAMESE, write_form

MESSY = """\
Mã thửa;Ngày ĐT;Đối tượng;Mật độ;ĐVT;Ghi chú
P-0;16/03/2026;Rầy nâu;1.054;con/m2;
P-1;16/03/2026;RN;52,5;Con/m²;
P-2;17/03/2026;dao on la;5;%;
P-3;17/03/2026;ĐÔL;-999;%;
P-2;17/03/2026;Chuột;0;%;không thấy
P-9;17/03/2026;Chuột;2;%;
"""


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """Return the folder of an office with four fields, a messy file and a config."""
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(4)]
    parcels = gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(4)]}, geometry=shapes, crs=32648)
    parcels.to_file(tmp_path / "parcels.gpkg")
    (tmp_path / "messy.csv").write_text(MESSY, encoding="utf-8")
    text = '[parcels]\npath = "parcels.gpkg"\nid = "parcel_id"\n[surveys]\npath = "messy.csv"\n'
    text += '[forecast]\npests = ["rats"]\n'
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    return tmp_path


def call(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code == code


def test_a_messy_file_is_understood_refused_row_by_row_and_written_clean(office, capsys):
    before = (office / "messy.csv").read_bytes()
    call("surveys", "check", office / "messy.csv", "--config", office / "c.toml", "--out", office / "clean.csv", code=3)
    said = capsys.readouterr().out
    for part in (
        "messy.csv: taken for layout 'long', 3 rows understood",
        "parcel_id      <- 'Mã thửa', by its name",
        "brown_planthopper: 2 rows, highest 1054",
        "row 4, column pest: found 'dao on la', allowed is a known pest (did you mean \"đạo ôn lá\"? Marks differ)",
        "row 5, column value: found -999.0, allowed is a number of at least 0 (it looks like a code for no value",
        "row 7, column parcel_id: found 'P-9', allowed is a parcel_id of the parcels",
        'date_order = "dmy"\ndecimal = ","\nthousands = "."\ncolumns = { parcel_id = "Mã thửa", date = "Ngày ĐT"',
    ):
        assert part in said
    assert (office / "messy.csv").read_bytes() == before
    parcels = gpd.read_file(office / "parcels.gpkg")
    clean = read_surveys(office / "clean.csv", parcels, today="2026-11-21")
    assert clean["value"].tolist() == [1054.0, 52.5, 0.0]
    assert set(clean.columns) == {f.name for f in SURVEYS}


def test_the_lines_for_the_config_read_the_file(office):
    found = check_surveys_file(office / "messy.csv", load_config(office / "c.toml"))
    text = (
        (office / "c.toml").read_text(encoding="utf-8").replace('[surveys]\npath = "messy.csv"\n', found.config + "\n")
    )
    (office / "new.toml").write_text(text, encoding="utf-8")
    config = load_config(office / "new.toml")
    with pytest.warns(UserWarning, match="Left out"):
        surveys = config_surveys(config, gpd.read_file(office / "parcels.gpkg"))
    assert surveys["value"].tolist() == [1054.0, 52.5, 0.0]


def test_nothing_that_is_there_is_written_over(office):
    for name in ("messy.csv", "c.toml"):
        with pytest.raises(ConfigError, match="is there already and stays as it is; name another file for --out"):
            check_surveys_file(office / "messy.csv", out=office / name)
    call("surveys", "check", office / "messy.csv", "--out", office / "messy.csv", code=2)
    assert (office / "messy.csv").read_text(encoding="utf-8") == MESSY


def test_it_answers_in_json(office, capsys):
    call("surveys", "check", office / "messy.csv", "--json", code=3)
    said = json.loads(capsys.readouterr().out)
    assert (said["layout"], said["rows"], said["exit_code"]) == ("long", 4, 3)  # without parcels P-9 is as good as any
    assert {p["column"] for p in said["refused"]} == {"pest", "value"}
    assert said["pests"]["rats"] == {"rows": 2, "highest": 2.0}


@pytest.mark.parametrize(
    ("text", "layout", "columns"),
    [
        ("thua,ngay dieu tra,RN,Chuột\nP-0,2026-03-02,0,1\n", "wide", {"parcel_id": "thua", "date": "ngay dieu tra"}),
        ("a,b,c,d,e\nP-0,2026-03-02,rats,1,%\n", "long",
         {"pest": "c", "date": "b", "unit": "e", "parcel_id": "a", "value": "d"}),
        ("date,pest,value,unit,parcel_id\n2026-03-02,rats,1,%,P-0\n", "long", {}),
        ("ngày điêu tra,pest,value,unit,parcel_id\n2026-03-02,rats,1,%,P-0\n", "long", {"date": "ngày điêu tra"}),
        ("Xã,Tuần,Đối tượng,Diện tích nhiễm\n30280,2026-W12,rats,5\n", "areas",
         {"place": "Xã", "week": "Tuần", "pest": "Đối tượng", "infested_ha": "Diện tích nhiễm"}),
        ("date,parcel_id,rats,_uuid,_submission_time\n2026-03-02,P-0,1,a,2026-03-03T00:00:00\n", "odk", {}),
    ],
)  # fmt: skip
def test_layout_and_columns_are_proposed_by_name_and_by_content(office, text, layout, columns):
    (office / "x.csv").write_text(text, encoding="utf-8")
    found = check_surveys_file(office / "x.csv", load_config(office / "c.toml"))
    assert found.layout == layout
    assert {m.ours: m.theirs for m in found.matches if m.ours != m.theirs} == columns
    assert (found.rows > 0, found.refused) == (True, ())


def test_days_that_nobody_can_tell_are_asked_about_and_not_guessed(office):
    (office / "x.csv").write_text("parcel_id,date,pest,value,unit\nP-0,02/03/2026,rats,1,%\n", encoding="utf-8")
    found = check_surveys_file(office / "x.csv", load_config(office / "c.toml"))
    assert found.rows == 0
    assert found.exit_code == 4
    assert 'none shows which number is the day; add date_order = "dmy" or "mdy"' in found.questions[0]
    assert "date_order" not in found.config


def test_an_annex_is_recognised(office):
    kinds = {"text": "str", "day": "datetime64[us]", "number": "float64"}
    row = {"place": "30280", "week": pd.Timestamp("2026-03-16"), "known_at": pd.Timestamp("2026-03-29"), "pest": "rats",
           "infested_ha": 5.0}  # fmt: skip
    table = pd.DataFrame([row]).reindex(columns=[f.name for f in AREAS]).astype({f.name: kinds[f.kind] for f in AREAS})
    (file,) = write_annex(table, office)
    found = check_surveys_file(file, out=office / "clean.csv")
    assert (found.layout, found.rows, found.counts) == ("annex", 1, {"rats": (1, 5.0)})
    assert "place,week,known_at,pest,infested_ha" in (office / "clean.csv").read_text(encoding="utf-8-sig")


# ----------------------------------------------------------------------------------------------------------------- form


def test_the_form_is_a_valid_xlsform(tmp_path):
    xls2xform = pytest.importorskip("pyxform.xls2xform")
    made = xls2xform.convert(write_form(tmp_path / "form.xlsx"))
    assert made.warnings == []
    for part in (f'lang="{ENGLISH}"', f'lang="{VIETNAMESE}"', "Rầy nâu", "/data/findings/value"):
        assert part in made.xform


def test_the_form_asks_in_two_languages_for_a_value_in_the_pests_unit(tmp_path):
    call("surveys", "form", "--out", tmp_path / "form.xlsx", "--crop", "rice")
    book = load_workbook(tmp_path / "form.xlsx")
    assert book.sheetnames == ["survey", "choices", "settings"]
    survey = pd.DataFrame(list(book["survey"].values)[1:], columns=[c.value for c in book["survey"][1]]).set_index(
        "name"
    )
    choices = pd.DataFrame(list(book["choices"].values)[1:], columns=[c.value for c in book["choices"][1]])
    asked = survey[~survey["type"].isin(["start", "calculate", "end_repeat"])]
    assert asked[[f"label::{ENGLISH}", f"label::{VIETNAMESE}"]].notna().all(axis=None)
    assert survey.loc["location", "type"] == "geopoint"
    assert survey.loc["value", "constraint"] == ". >= 0 and (${unit} != '%' or . <= 100)"
    assert "0" in survey.loc["value", f"hint::{ENGLISH}"]
    assert pd.isna(survey.loc["photo", "required"])
    pests = choices[choices["list_name"] == "pests"].set_index("name")
    rice = {name: pest for name, pest in PESTS.items() if pest.crop == "rice"}
    assert pests["unit"].to_dict() == {name: pest.unit for name, pest in rice.items()}
    assert pests.loc["brown_planthopper", f"label::{VIETNAMESE}"] == "Rầy nâu"
    reasons = next(f.allowed for f in SURVEYS if f.name == "reason")
    assert tuple(choices.loc[choices["list_name"] == "reasons", "name"]) == reasons


def test_a_form_is_not_written_over_and_an_unknown_crop_is_refused(tmp_path, capsys):
    (tmp_path / "form.xlsx").write_text("mine")
    call("surveys", "form", "--out", tmp_path / "form.xlsx", code=2)
    assert "is there already and stays as it is" in capsys.readouterr().err
    call("surveys", "form", "--out", tmp_path / "b.xlsx", "--crop", "rise", code=2)
    assert 'did you mean "rice"?' in capsys.readouterr().err
    call("surveys", "form", "--out", tmp_path / "b.csv", code=2)
    assert "allowed is a name that ends in .xlsx" in capsys.readouterr().err
