"""Days and numbers as offices write them: declared, and what is done where nothing is declared."""

from __future__ import annotations

import datetime as dt

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.errors import ConfigError, DataWarning, SchemaError
from rs_forecast.schema import Field
from rs_forecast.sources._notation import Notation, monday_of, parse_week, plain_cells
from rs_forecast.sources.crops import read_crops
from rs_forecast.sources.surveys import read_surveys
from rs_forecast.sources.weather import get_weather, read_weather_csv

TODAY = "2026-11-21"
VALUE = Field(name="value", kind="number", doc="x")
DATE = Field(name="date", kind="day", doc="x")
COMMA = Notation(decimal=",", thousands=".")
POINT = Notation(decimal=".", thousands=",")
SPACED = Notation(decimal=",", thousands=" ")


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(4)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(4)]}, geometry=shapes, crs=32648)


def cells(column, values, notation, field=VALUE):
    table = pd.DataFrame({column: pd.Series(values, index=range(2, 2 + len(values)))})
    made, problems = plain_cells(table, [field], notation, "a.csv", "surveys")
    return made[column].tolist(), problems


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "notation", "value"),
    [
        ("1.054", COMMA, 1054), ("1,054", POINT, 1054), ("52,5", COMMA, 52.5), ("52.5", POINT, 52.5),
        ("1.054,5", COMMA, 1054.5), ("1,054.5", POINT, 1054.5), ("-1.234.567", COMMA, -1234567), ("9600", COMMA, 9600),
        ("9 600", SPACED, 9600), ("9\u00a0600,5", SPACED, 9600.5), ("1'054", Notation(thousands="'"), 1054),
        ("1.054", Notation(decimal="."), 1.054), ("0,5", Notation(decimal=","), 0.5),
    ],
)  # fmt: skip
def test_numbers_are_read_as_declared(text, notation, value):
    made, problems = cells("value", [text], notation)
    assert not problems
    assert float(made[0]) == value


@pytest.mark.parametrize(
    ("text", "notation"),
    [("1.05", COMMA), ("1.0545", COMMA), ("52.5", COMMA), ("1,05", POINT), ("52,5", POINT),
     ("1.054", Notation(decimal=",")), ("12.34.567", COMMA), ("many", COMMA), ("1000 - 2000", COMMA)],
)  # fmt: skip
def test_a_number_that_breaks_what_is_declared_is_named(text, notation):
    made, problems = cells("value", [text], notation)
    assert pd.isna(made[0])
    assert (problems[0].row, problems[0].found) == (2, text)
    assert f"written with decimal '{notation.decimal}'" in problems[0].rule


def thousands_and_decimals(value, notation):
    whole = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
    return whole.replace(",", "\0").replace(".", notation.decimal).replace("\0", notation.thousands)


@given(
    st.one_of(st.integers(-(10**12), 10**12), st.decimals(-(10**6), 10**6, places=4)), st.sampled_from([COMMA, POINT])
)
def test_numbers_survive_being_written(value, notation):
    made, problems = cells("value", [thousands_and_decimals(value, notation)], notation)
    assert not problems
    assert float(made[0]) == float(value)


def test_numbers_of_excel_are_numbers_whatever_is_declared():
    made, problems = cells("value", [1.054, 7, None, "1.054"], COMMA)
    assert (made[0], made[1], float(made[3])) == (1.054, 7, 1054)
    assert pd.isna(made[2])
    assert not problems


def test_undeclared_cells_that_contradict_each_other_are_refused():
    for values in (["1.054", "1,054"], ["1.054", "52,5"], ["12", "1.234.567", "3,5"]):
        with pytest.raises(SchemaError, match=r"a\.csv: column value writes numbers in two ways: row .* \[surveys\]"):
            cells("value", values, Notation())
    # a plain decimal says what the point is, and the comma is one bad row
    assert cells("value", ["1.054", "26.5", "1,5"], Notation())[0] == ["1.054", "26.5", "1,5"]


def test_an_undeclared_point_that_may_part_thousands_is_named():
    with pytest.warns(
        DataWarning, match=r"'1\.054' \(row 3\) is read with a decimal point.*may as well part thousands"
    ):
        cells("value", ["850", "1.054"], Notation())
    for values in (["850", "1.5"], ["0.125", "0.250"], ["850", "0"]):  # no warning, which would be an error here
        cells("value", values, Notation())


def test_what_cannot_be_declared_is_refused():
    for options in ({"thousands": "."}, {"decimal": ",", "thousands": ","}, {"decimal": ";"}, {"date_order": "ydm"}):
        with pytest.raises(ConfigError, match=r"found|sign"):
            Notation(**options)


# ----------------------------------------------------------------------------------------------------------------- days


@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.sampled_from(["/", "-", "."]), st.booleans())
def test_days_are_read_in_the_declared_order(day, sign, padded):
    width = "02d" if padded else "d"
    first = sign.join([f"{day.day:{width}}", f"{day.month:{width}}", str(day.year)])
    other = sign.join([f"{day.month:{width}}", f"{day.day:{width}}", str(day.year)])
    for text, order in ((first, "dmy"), (other, "mdy"), (day.isoformat(), "dmy")):
        assert cells("date", [text], Notation(date_order=order), DATE) == ([day.isoformat()], [])


def test_a_day_with_slashes_is_refused_until_its_order_is_declared():
    made, problems = cells("date", ["02/03/2026", "2026-03-02"], Notation(), DATE)
    assert (pd.isna(made[0]), made[1]) == (True, "2026-03-02")
    assert 'a day such as 2026-03-02, or declare date_order = "dmy" (day first)' in problems[0].rule
    _, problems = cells("date", ["25/12/2025", "12/25/2025", "31/02/2026"], Notation(date_order="dmy"), DATE)
    assert [(p.row, p.found) for p in problems] == [(3, "12/25/2025"), (4, "31/02/2026")]
    assert "day, month and four digits of the year" in problems[0].rule


@pytest.mark.parametrize(
    "text",
    ["Tuần 12 năm 2026", "tuần 12/2026", "TUẦN THỨ 12, NĂM 2026", "12 năm 2026", "Tua\u0302\u0300n 12 na\u0306m 2026",
     "tuan 12 nam 2026", "Tuần: 12 năm 2026", "Tuần\u00a012 năm 2026"],
)  # fmt: skip
def test_weeks_are_iso_weeks(text):
    assert parse_week(text) == (2026, 12)
    assert monday_of(2026, 12) == pd.Timestamp("2026-03-16")


@pytest.mark.parametrize(
    "text", ["Tuần 54 năm 2026", "Tuần 0 năm 2026", "Tuần 53 năm 2025", "tháng 3 năm 2026", "Tuần 12"]
)
def test_what_is_no_week_is_refused(text):
    with pytest.raises(SchemaError, match=r"week"):
        parse_week(text)


def test_the_53rd_week_is_there_in_long_years():
    assert parse_week("Tuần 53 năm 2026") == (2026, 53)


# -------------------------------------------------------------------------------------------------------------- readers


def test_an_offices_surveys_are_read_as_they_are(tmp_path, parcels):
    path = tmp_path / "s.csv"
    path.write_text(
        "Thửa;Ngày;Loài;Mật độ;Đơn vị\nP-0;02/03/2026;brown_planthopper;1.054;insects/m2\n"
        "p-1;3/3/2026;brown_planthopper;52,5;insects/m2\n",
        encoding="utf-8",
    )
    columns = {"parcel_id": "Thửa", "date": "Ngày", "pest": "Loài", "value": "Mật độ", "unit": "Đơn vị"}
    options = {"columns": columns, "date_order": "dmy", "decimal": ",", "thousands": "."}
    surveys = read_surveys(path, parcels, today=TODAY, **options)
    assert surveys["parcel_id"].tolist() == ["P-0", "P-1"]
    assert surveys["value"].tolist() == [1054.0, 52.5]
    assert surveys["date"].dt.strftime("%Y-%m-%d").tolist() == ["2026-03-02", "2026-03-03"]


def test_excel_cells_that_are_days_and_numbers_stay_beside_texts_that_are_declared(tmp_path, parcels):
    rows = {
        "parcel_id": ["P-0", "P-1"],
        "date": [pd.Timestamp("2026-03-02"), "03/03/2026"],
        "pest": "brown_planthopper",
    }
    table = pd.DataFrame({**rows, "value": [1054.5, "1.054,5"], "unit": "insects/m2", "method": "M¸y ®Õm"})
    table.to_excel(tmp_path / "s.xlsx", index=False)
    options = {"date_order": "dmy", "decimal": ",", "thousands": ".", "encoding": "tcvn3"}
    surveys = read_surveys(tmp_path / "s.xlsx", parcels, today=TODAY, **options)
    assert surveys["value"].tolist() == [1054.5, 1054.5]
    assert surveys["date"].dt.day.tolist() == [2, 3]
    assert surveys["method"].tolist() == ["Máy đếm"] * 2
    with pytest.warns(DataWarning) as caught:
        read_surveys(tmp_path / "s.xlsx", parcels, today=TODAY, date_order="dmy", decimal=",", thousands=".")
    assert "look like TCVN3 (ABC fonts) taken for Latin-1, and would read 'Máy đếm'" in str(caught[0].message)
    assert 'encoding = "tcvn3" under [surveys]' in str(caught[0].message)


def test_crops_and_weather_take_the_same_declarations(tmp_path, parcels):
    (tmp_path / "c.csv").write_text("parcel_id,sown\nP-0,02/11/2025\n")
    crops = read_crops(tmp_path / "c.csv", parcels, today=TODAY, date_order="dmy")
    assert crops["sown"].tolist() == [pd.Timestamp("2025-11-02")]
    (tmp_path / "w.csv").write_text("date;station;temp_mean;rain_sum\n02/11/2025;A;26,5;1.054\n")
    options = {"date_order": "dmy", "decimal": ",", "thousands": "."}
    rows = read_weather_csv(tmp_path / "w.csv", parcels, **options).rows
    assert rows[["temp_mean", "rain_sum"]].to_numpy().tolist() == [[26.5, 1054.0]]
    with pytest.raises(ConfigError, match="source 'netcdf' has no option 'date_order'"):
        get_weather(parcels, source="netcdf", path=tmp_path / "w.csv", date_order="dmy")
