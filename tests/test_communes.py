"""Communes: codes and names as of a day, and what they have become. The communes of these tests are made up."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.errors import DataWarning, NoDataError, SchemaError
from rs_forecast.sources.communes import Communes, in_todays_communes, read_communes
from rs_forecast.sources.surveys import read_surveys

HEADER = "code,name,valid_from,valid_to,successor_code,parent"
ROWS = """\
101,Xã Mỹ Bình,2000-01-01,2025-06-30,201,Huyện A
102,Xã Hòa An,2000-01-01,2025-06-30,201,Huyện A
103,Phường Hòa An,2000-01-01,2025-06-30,103,Huyện B
104,Xã Tân Lập,2000-01-01,2025-06-30,201,Huyện A
104,Xã Tân Lập,2000-01-01,2025-06-30,103,Huyện A
201,Xã Mỹ Hòa An,2025-07-01,,,Tỉnh T
103,Phường Tân Hòa,2025-07-01,,,Tỉnh T
300,Xã Cũ,1990-01-01,1999-12-31,101,Huyện A
"""


@pytest.fixture
def communes(tmp_path) -> Communes:
    return table(tmp_path, ROWS)


def table(folder, rows, header=HEADER) -> Communes:
    (folder / "communes.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    return read_communes(folder / "communes.csv")


@pytest.mark.parametrize(
    ("text", "at", "code"),
    [
        ("101", "2024-03-01", "201"),  # merged
        ("101", "2026-03-01", "201"),  # still written, though it has ended
        ("201", "2026-03-01", "201"),
        ("103", "2024-03-01", "103"),  # the old one, whose successor bears its code
        ("103", "2026-03-01", "103"),
        ("300", "1995-01-01", "201"),  # two mergers, one after the other
        ("Xã Mỹ Bình", "2024-03-01", "201"),
        ("mỹ bình", "2026-03-01", "201"),
        ("XÃ HOÀ AN", "2024-03-01", "201"),
        ("P. Hoà An", "2024-03-01", None),  # xã and phường
        ("Phường Tân Hoà", "2026-01-01", "103"),
    ],
)
def test_a_code_or_name_of_a_day_is_the_code_of_today(communes, text, at, code):
    if code is None:
        with pytest.raises(SchemaError, match=r"may be 103 .* 201"):
            communes.resolve(text, at)
    else:
        assert communes.resolve(text, at) == code


def test_names_that_repeat_are_refused_with_the_choices_and_told_apart_by_the_parent(communes):
    with pytest.raises(
        SchemaError, match=r"'Hòa An' on 2024-03-01 may be 103 \(Phường Tân Hòa, Tỉnh T\), 201 .*its parent"
    ):
        communes.resolve("Hòa An", "2024-03-01")
    assert communes.resolve("Hòa An", "2024-03-01", parent="huyện a") == "201"
    assert communes.resolve("Hòa An", "2024-03-01", parent="Huyện B") == "103"


def test_a_commune_that_was_split_is_not_guessed(communes):
    with pytest.raises(SchemaError, match=r"may be 103 .*, 201 .*: it was split"):
        communes.resolve("104", "2024-03-01")


def test_what_is_unknown_is_answered_with_the_nearest(communes):
    for text, near in (
        ("Xa My Binh", r'did you mean "Xã Mỹ Bình"\? Its marks differ'),
        ("Xã Mỹ Bìn", r'did you mean "Xã Mỹ Bình"'),
        ("Somewhere", "add it to the file"),
    ):
        with pytest.raises(SchemaError, match=near):
            communes.resolve(text, "2024-03-01")
    with pytest.raises(SchemaError, match="begins on 2025-07-01, after 2024-01-01"):
        communes.resolve("201", "2024-01-01")


def test_bad_rows_are_left_out_by_name(tmp_path):
    rows = (
        "1,A,2000-01-01,1999-01-01,,\n2,B,2000-01-01,,9,\n3,C,2000-01-01,2025-06-30,9,\n4,D,2000-01-01,2010-01-01,3,\n"
        "5,E,2000-01-01,,,\n,F,,,,\n"
    )
    with pytest.warns(DataWarning) as caught:
        found = table(tmp_path, rows)
    text = str(caught[0].message)
    assert found.table["code"].tolist() == ["5"]
    for part in (
        "row 2, column valid_to: found 1999-01-01",
        "row 3, column valid_to: found nothing, allowed is the last day, where there is a successor",
        "row 4, column successor_code: found '9', allowed is the code of a row that begins after valid_to",
        "row 5, column successor_code: found '3'",
        "row 7, column code: found nothing",
    ):
        assert part in text
    with pytest.raises(NoDataError, match="No row is left"):
        table(tmp_path, "1,A,2000-01-01,1999-01-01,,\n")
    with pytest.raises(SchemaError, match=r'column code is missing; did you mean "codes"'):
        table(tmp_path, "1,A\n", "codes,name")


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6))
def test_every_chain_ends_where_following_it_by_hand_ends(steps):
    """Communes that merge year after year, some into one of the same code: one by one gives the same end."""
    codes = [str(step) for step in steps]
    rows = [
        (code, f"Xã {i}", f"{2000 + i}-01-01", f"{2000 + i}-12-31" if i + 1 < len(codes) else None,
         codes[i + 1] if i + 1 < len(codes) else None, None)
        for i, code in enumerate(codes)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=HEADER.split(","))
    frame = frame.astype(dict.fromkeys(frame.columns, "str")).astype(
        {"valid_from": "datetime64[us]", "valid_to": "datetime64[us]"}
    )
    communes = Communes(table=frame, source="made")
    for i, code in enumerate(codes):
        assert communes.resolve(code, f"{2000 + i}-06-15") == codes[-1]
        assert communes.resolve(f"xã {i}", f"{2000 + i}-06-15") == codes[-1]


def test_a_layer_of_communes_is_read_by_its_attributes(tmp_path):
    names = {"code": ["101", "201"], "name": ["Xã Mỹ Bình", "Xã Mỹ Hòa"], "successor_code": ["201", None]}
    days = {"valid_from": ["2000-01-01", "2025-07-01"], "valid_to": ["2025-06-30", None]}
    frame = gpd.GeoDataFrame(
        {**names, **{name: pd.to_datetime(values) for name, values in days.items()}},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(0, 0, 2, 2)],
        crs=32648,
    )
    for name in ("c.gpkg", "c.geojson"):
        path = tmp_path / name
        (frame if name.endswith("gpkg") else frame.to_crs(4326)).to_file(path)
        assert read_communes(path).resolve("mỹ bình", "2026-01-01") == "201"


# ----------------------------------------------------------------------------------------------------- where it is used


def parcels(codes) -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(len(codes))]
    frame = gpd.GeoDataFrame(
        {"parcel_id": [f"P-{i}" for i in range(len(codes))], "commune_code": pd.Series(codes, dtype="str")},
        geometry=shapes, crs=32648,
    )  # fmt: skip
    frame.attrs["synthetic"] = True
    return frame


def test_old_codes_of_parcels_become_those_of_today_with_a_note(communes):
    with pytest.warns(DataWarning) as caught:
        found = in_todays_communes(parcels(["101", "102", "201", None, "104", "777"]), communes, "2026-03-01")
    assert found["commune_code"].fillna("-").tolist() == ["201", "201", "201", "-", "104", "777"]
    assert found.attrs == {"synthetic": True}
    texts = [str(w.message) for w in caught]
    assert any("2 of 6 parcels is an old one" in t and "101 -> 201, 102 -> 201" in t for t in texts)
    assert any("2 of 6 parcels stays as it is" in t and "it was split" in t and "no commune '777'" in t for t in texts)
    assert in_todays_communes(parcels(["201"]), communes, "2026-03-01")["commune_code"].tolist() == ["201"]


def test_surveys_of_an_old_commune_count_for_that_of_today_where_communes_are_the_parcels(tmp_path, communes):
    areas = parcels(["201", "103"]).assign(parcel_id=["201", "103"])
    path = tmp_path / "surveys.csv"
    path.write_text(
        "parcel_id,date,pest,value,unit\n101,2024-03-04,brown_planthopper,10,insects/m2\n"
        "Xã Hoà An,2024-03-05,brown_planthopper,20,insects/m2\n103,2026-03-04,brown_planthopper,30,insects/m2\n"
        "104,2024-03-04,brown_planthopper,40,insects/m2\n",
        encoding="utf-8",
    )
    with pytest.warns(DataWarning) as caught:
        surveys = read_surveys(path, areas, today="2026-11-01", communes=communes)
    assert sorted(zip(surveys["parcel_id"], surveys["value"], strict=True)) == [
        ("103", 30.0),
        ("201", 10.0),
        ("201", 20.0),
    ]
    texts = [str(w.message) for w in caught]
    assert any(
        "old communes are read as those of today, by communes.csv: 101 -> 201, Xã Hoà An -> 201" in t for t in texts
    )
    assert any("row 5, column parcel_id: found '104'" in t for t in texts)
