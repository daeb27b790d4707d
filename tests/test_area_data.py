"""Area data: read from a table, surveys where parcels are the areas, features of the fields inside, and a whole run."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from rs_forecast.annex import write_annex
from rs_forecast.catalog import PESTS, Pest
from rs_forecast.cli import main
from rs_forecast.config import load_config
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import DataWarning, LeakageError, NoDataError
from rs_forecast.features import area_features
from rs_forecast.inputs import config_surveys
from rs_forecast.schema import SURVEYS, check_surveys
from rs_forecast.sources.areas import areas_as_surveys, read_areas
from rs_forecast.sources.communes import read_communes

TODAY = "2026-11-21"
HECTARES = {"rats": Pest(name="rats", event="infested_ha >= 20", unit="ha", doc="own", aliases=("chuột",))}


def communes_of(count: int) -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 4000 * i, 1150000, 546900 + 4000 * i, 1154000) for i in range(count)]
    return gpd.GeoDataFrame({"parcel_id": [f"3028{i}" for i in range(count)]}, geometry=shapes, crs=32648)


def csv(folder: Path, *lines: str, name: str = "areas.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_a_table_of_areas_with_weeks_intervals_and_names_of_communes(tmp_path):
    communes = read_communes(csv(tmp_path, "code,name", "30280,xã Vĩnh Hanh", name="c.csv"))
    path = csv(
        tmp_path, "place,week,pest,common,infested_ha,known_at", "Vĩnh Hanh,2026-W12,Chuột,1-2.5,25,2026-03-23",
        "30281,Tuần 12 năm 2026,rats,,0,",
    )  # fmt: skip
    with pytest.warns(DataWarning, match=r"communes are read as those of today, by c\.csv: Vĩnh Hanh -> 30280"):
        found = read_areas(path, today=TODAY, communes=communes)
    assert found["place"].tolist() == ["30280", "30281"]
    assert found[["low", "high", "infested_ha"]].iloc[0].tolist() == [1, 2.5, 25]
    assert found["known_at"].dt.strftime("%Y-%m-%d").tolist() == ["2026-03-23", "2026-03-29"]
    assert found.attrs["known_at_assumed"] == 1


def test_days_of_weeks_are_read_as_declared(tmp_path):
    path = csv(
        tmp_path, "place,week,pest,infested_ha,known_at", "a,18/03/2026,rats,5,25/03/2026", "b,31/04/2026,rats,5,"
    )
    with pytest.warns(DataWarning, match=r"row 3, column week: found '31/04/2026'"):
        found = read_areas(path, today=TODAY, date_order="dmy")
    assert f"{found['week'].item():%Y-%m-%d} {found['known_at'].item():%Y-%m-%d}" == "2026-03-16 2026-03-25"
    path = csv(tmp_path, "place,week,pest,infested_ha", "a,18/03/2026,rats,5", "b,2026-W12,rats,5")
    with pytest.warns(DataWarning, match="row 2, column week"):
        assert read_areas(path, today=TODAY)["place"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,2026-W60,rats,1", r"row 3, column week: found '2026-W60', allowed is 1 to 53 \(ISO weeks"),
        ("a,hôm qua,rats,1", "row 3, column week: found 'hôm qua', allowed is a week such as 2026-W12, or a day of it"),
        ("a,2026-W52,rats,1", "row 3, column week: found 2026-12-21, allowed is a week not after today, 2026-11-21"),
        ("a,2026-W12,mice,1", "row 3, column pest: found 'mice', allowed is a known pest"),
        ("a,2026-W12,rats,-4", "row 3, column infested_ha: found -4.0, allowed is a number of at least 0 ha"),
        (",2026-W12,rats,4", "row 3, column place: found nothing, allowed is a text"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_stays(tmp_path, line, message):
    path = csv(tmp_path, "place,week,pest,infested_ha", "b,2026-W12,rats,5", line)
    with pytest.warns(DataWarning, match=message):
        assert read_areas(path, today=TODAY)["place"].tolist() == ["b"]


def test_rows_that_contradict_each_other_are_both_named_and_repeats_count_once(tmp_path):
    path = csv(
        tmp_path, "place,week,pest,infested_ha", "a,2026-W12,rats,5", "a,2026-W12,rats,6", "b,2026-W12,rats,1",
        "b,2026-W12,rats,1",
    )  # fmt: skip
    with pytest.warns(DataWarning, match="row 2, .*row 3 is of the same.* row 3, .*row 2 is of the same"):
        assert read_areas(path, today=TODAY)["place"].tolist() == ["b"]


# ----------------------------------------------------------------------------------------------------------- as surveys


def test_hectares_are_summed_over_stages_and_the_highest_density_counts(tmp_path):
    path = csv(
        tmp_path, "place,week,pest,stage,infested_ha,peak,common",
        "30280,2026-W12,rats,mạ,8,3,", "30280,2026-W12,rats,trổ,13,6,", "30281,2026-W12,rats,mạ,0,,1-2",
    )  # fmt: skip
    areas, parcels = read_areas(path, today=TODAY), communes_of(2)
    found = areas_as_surveys(areas, parcels, HECTARES)
    check_surveys(found)
    assert list(found.columns) == [f.name for f in SURVEYS]
    assert found["value"].tolist() == [21.0, 0.0]  # 21 ha is the event, 8 and 13 alone are not; a zero is a finding
    assert HECTARES["rats"].is_event(found["value"].to_numpy()).tolist() == [True, False]
    assert found["date"].eq(pd.Timestamp("2026-03-16")).all()
    assert areas_as_surveys(areas, parcels, PESTS)["value"].tolist() == [6.0, 2.0]


def test_areas_are_never_labels_of_fields_inside_them(tmp_path):
    areas = read_areas(csv(tmp_path, "place,week,pest,infested_ha", "30280,2026-W12,rats,5"), today=TODAY)
    fields = communes_of(2).assign(parcel_id=["f1", "f2"], commune_code="30280")
    with pytest.raises(NoDataError, match="where they are fields, area data are no labels of them"):
        areas_as_surveys(areas, fields, HECTARES)
    surveys = pd.DataFrame(
        {"parcel_id": ["f1"], "date": pd.to_datetime(["2026-04-06"]), "known_at": pd.to_datetime(["2026-04-07"]),
         "pest": ["rats"], "value": [0.0], "unit": ["ha"]}
    ).astype({"date": "datetime64[us]", "known_at": "datetime64[us]"})  # fmt: skip
    table = build_dataset(fields, None, None, surveys, pest="rats", horizon_weeks=1, areas=areas, pests=HECTARES)
    assert table["parcel_id"].tolist() == ["f1"]  # the one that was visited
    assert table["area_infested_log1p"].tolist() == pytest.approx([np.log1p(5)])
    without = build_dataset(fields, None, None, surveys, pest="rats", horizon_weeks=1, pests=HECTARES)
    assert [c for c in table.columns if c not in without] == [c for c in table.columns if c.startswith("area_")]


def test_where_rice_grows_a_pest_of_beet_is_not_assessable(tmp_path):
    lines = [f"30280,2026-W12,{pest},25" for pest in ("rats", "cercospora_leaf_spot")]
    areas = read_areas(csv(tmp_path, "place,week,pest,infested_ha", *lines), today=TODAY)
    own = {name: replace(PESTS[name], event="infested_ha >= 20", unit="ha", units=()) for name in set(areas["pest"])}
    parcels = communes_of(2).assign(crop=["rice", None])
    surveys = areas_as_surveys(areas, parcels, own)
    table = build_dataset(parcels, None, None, surveys, pest=list(own), horizon_weeks=1, issued="2026-04-06", pests=own)
    status = table.set_index(["pest", "parcel_id"])["status"]
    assert status["cercospora_leaf_spot", "30280"] == "not_assessable"
    assert status["rats", "30280"] == "no_imagery"


# ------------------------------------------------------------------------------------------------------------- features


def test_features_are_those_of_the_newest_report_known_worked_out_by_hand(tmp_path):
    path = csv(
        tmp_path, "place,week,pest,stage,infested_ha,peak,known_at", "A,2026-03-02,rats,x,3,1,2026-03-09",
        "A,2026-03-09,rats,x,4,2,2026-03-16", "A,2026-03-09,rats,y,6,1,2026-03-16",
        "A,2026-03-16,rats,x,99,99,2026-03-23",
        "Z,2026-03-02,rats,x,7,,2026-03-09", "A,2026-03-09,leaf_blast,x,50,,2026-03-16",
    )  # fmt: skip
    areas = read_areas(path, today=TODAY)
    issued = pd.Timestamp("2026-03-18")
    places = (["p1", "p2", "p3"], ["Z", None, None], ["A", "A", None])
    found = area_features(areas[areas["known_at"] <= issued], HECTARES["rats"], places, issued)
    assert found["area_infested_log1p"].tolist() == pytest.approx([np.log(8), np.log(11), np.nan], nan_ok=True)
    assert found["area_infested_change"].tolist() == pytest.approx([np.nan, np.log(11 / 4), np.nan], nan_ok=True)
    assert found["area_peak_log1p"].tolist() == pytest.approx([np.nan, np.log(3), np.nan], nan_ok=True)
    assert found["area_age_days"].tolist() == pytest.approx([16, 9, np.nan], nan_ok=True)
    with pytest.raises(LeakageError, match="areas: 1 rows were known only after the issue date"):
        area_features(areas, HECTARES["rats"], places, issued)


# -------------------------------------------------------------------------------------------- communes, from end to end

CONFIG = """\
[region]
name = "synthetic-communes"
[parcels]
path = "communes.gpkg"
id = "parcel_id"
[weather]
source = "csv"
path = "weather.csv"
[surveys]
path = "areas.csv"
layout = "areas"
[forecast]
pests = ["brown_planthopper"]
horizons_weeks = [1]
preset = "small"
[output]
resolution = 500
[run]
min_assessable = 0.1
[pests.brown_planthopper]
event = "infested_ha >= 20"
unit = "ha"
levels = { light = 20, medium = 40, heavy = 80 }
"""
LAST = pd.Timestamp("2026-03-16")


def synthetic_communes(root: Path) -> pd.DataFrame:
    """Write a SYNTHETIC set: 12 communes, three years of weather, and hectares infested that follow warm, wet weeks."""
    rng = np.random.default_rng(5)
    parcels = communes_of(12).assign(parcel_id=[f"302{i:02d}" for i in range(12)], crop="rice")
    parcels["sub_zone"] = [f"TV{i % 4}" for i in range(12)]
    parcels.to_file(root / "communes.gpkg")
    days = pd.date_range("2023-01-02", LAST + pd.Timedelta(days=6), name="date")
    season = np.sin(2 * np.pi * days.day_of_year / 365.25)
    warmth = 27 + 3 * season + pd.Series(rng.normal(0, 1, len(days))).rolling(14, min_periods=1).mean() * 2
    weather = pd.DataFrame({"station": "S1", "lon": 105.4, "lat": 10.4, "date": days.strftime("%Y-%m-%d")})
    weather["temp_mean"] = warmth.round(2).to_numpy()
    weather["rain_sum"] = rng.gamma(0.5, 8, len(days)).round(1)
    weather.to_csv(root / "weather.csv", index=False)
    weeks = pd.date_range("2023-01-02", LAST, freq="7D")
    drive = pd.Series(warmth.to_numpy(), index=days).rolling(21, min_periods=1).mean()
    rows = []
    for week in weeks:
        for i, place in enumerate(parcels["parcel_id"]):
            ha = max(0.0, 20 + 12 * (drive[week] - 28) + 2 * (i % 4) + rng.normal(0, 5))
            rows.append({"place": place, "week": week, "pest": "brown_planthopper", "infested_ha": round(ha, 1)})
    table = pd.DataFrame(rows).assign(distribution="SYNTHETIC")
    table.assign(week=table["week"].dt.strftime("%G-W%V")).to_csv(root / "areas.csv", index=False)
    (root / "rs_forecast.toml").write_text(CONFIG)
    return table


@pytest.mark.end_to_end
def test_a_set_of_communes_trains_and_runs_and_says_no_severity_word(tmp_path, capsys):
    synthetic_communes(tmp_path)

    def call(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        assert ended.value.code in codes, capsys.readouterr().err
        return capsys.readouterr().out

    config = str(tmp_path / "rs_forecast.toml")
    with pytest.raises(SystemExit):
        main(["train", config, "--until", "2026-03-15", "--json"])
    card = json.loads(capsys.readouterr().out)["model"]
    assert card["synthetic"] is True
    report = json.loads(call("run", config, "--issued", "2026-03-16", "--offline", "--json", codes=(0, 3)))
    folder = tmp_path / "outputs" / "2026-W12"
    risk = gpd.read_file(folder / "brown_planthopper_h1.geojson")
    assert len(risk) == 12
    assert risk["probability"].between(0, 1).all()
    words = re.compile(r"\b(light|lightly|medium|heavy|heavily|severe|nhẹ|trung bình|nặng)\b", re.IGNORECASE)
    texts = [p for p in folder.iterdir() if p.suffix in (".geojson", ".qml", ".csv", ".html", ".txt")]
    assert len(texts) >= 4
    said = {p.name: words.findall(p.read_text(encoding="utf-8")) for p in texts}
    assert not any(said.values()), said
    assert not words.search(json.dumps(report))


def test_annexes_of_a_folder_give_the_same_surveys_as_the_table(tmp_path):
    table = synthetic_communes(tmp_path).tail(36)
    table.assign(week=table["week"].dt.strftime("%G-W%V")).to_csv(tmp_path / "areas.csv", index=False)
    config = tmp_path / "rs_forecast.toml"
    parcels = gpd.read_file(tmp_path / "communes.gpkg")
    plain = config_surveys(load_config(config), parcels)
    write_annex(read_areas(tmp_path / "areas.csv"), tmp_path / "annexes", synthetic=True)
    text = CONFIG.replace('path = "areas.csv"\nlayout = "areas"', 'path = "annexes"\nlayout = "annex"')
    config.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annexes = config_surveys(load_config(config), parcels)
    pd.testing.assert_frame_equal(annexes, plain)
    assert annexes.attrs["synthetic"] is True
