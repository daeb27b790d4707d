"""The line on an observed epidemic: Cercospora leaf spot in one sugar-beet trial near Goettingen, 2022, real weather.

One trial of 210 x 125 m and one season: what is held here is that the data are read for what they are, and that the
line says what it cannot know. No score of these data says anything about skill.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from rs_forecast.cli import main
from rs_forecast.config import Config, load_config
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import DataWarning
from rs_forecast.inputs import Inputs, read_inputs
from rs_forecast.schema import day
from rs_forecast.sources.weather import read_weather_csv

PEST = "cercospora_leaf_spot"
ONSET_WEEKS = {
    "2022-07-04": 8, "2022-07-18": 58, "2022-07-25": 7, "2022-08-01": 105, "2022-08-08": 15, "2022-08-15": 117,
    "2022-08-22": 74, "2022-08-29": 430, "2022-09-05": 122, "2022-09-12": 955,
}  # fmt: skip
"""Cells by the Monday of the week of their onset, counted in the file; three cells are in it twice and count once."""


@pytest.fixture(scope="module")
def trial() -> ModuleType:
    spec = importlib.util.spec_from_file_location("goettingen_trial", ROOT / "scripts" / "goettingen_trial.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def project(trial: ModuleType, shared_data: Path, out: Path, every: int = 1) -> Path:
    folders = shared_data / "germany_cercospora_sugarbeet", shared_data / "goettingen_station_hourly"
    config: Path = trial.make_project(*folders, out, every=every)
    return config


@pytest.fixture(scope="module")
def whole(trial: ModuleType, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Inputs]:
    config = load_config(project(trial, shared_data, tmp_path_factory.mktemp("whole")))
    with pytest.warns(DataWarning, match="stations 1 .* and 14 .* they are taken as one, 1 \\+ 14"):
        inputs = read_inputs(config, until=day("2022-09-14"))
    return config, inputs


# ------------------------------------------------------------------------------------------------- what was observed


def test_only_observed_cells_are_parcels_and_none_is_there_twice(whole, shared_data):
    _, inputs = whole
    raw = pd.read_csv(shared_data / "germany_cercospora_sugarbeet" / "2025-05-13_fulldf_eo_cercospoRa.csv")
    assert set(raw["source"]) == {"observation", "s2", "s2s", "uas"}
    observed = raw.loc[raw["source"] == "observation"]
    assert len(observed) == 1894
    assert len(inputs.parcels) == len(observed.drop_duplicates(["x", "y"])) == 1891
    assert inputs.parcels.crs.to_epsg() == 32632
    np.testing.assert_allclose(inputs.parcels.area, 3.359**2, rtol=1e-6)
    overlap = inputs.parcels.area.sum() - inputs.parcels.union_all().area
    assert overlap < 1e-3 * inputs.parcels.area.sum(), "the squares tile the ground"
    west, south, east, north = inputs.parcels.to_crs(4326).total_bounds
    assert 9.915 < west < east < 9.92
    assert 51.497 < south < north < 51.5


def test_the_panel_is_0_before_the_week_of_onset_and_1_from_it_on(whole, trial, shared_data):
    config, inputs = whole
    rows = build_dataset(
        inputs.parcels, None, inputs.weather, inputs.surveys,
        crops=inputs.crops, pest=PEST, horizon_weeks=1, pests=config.all_pests, until="2022-09-14",
    )  # fmt: skip
    weeks = pd.date_range("2022-07-04", "2022-09-12", freq="W-MON")
    assert len(weeks) == 11
    assert len(rows) == 11 * 1891
    events = rows.groupby("valid_from")["label"].sum()
    expected = pd.Series(ONSET_WEEKS).rename(pd.Timestamp).reindex(weeks, fill_value=0).cumsum()
    assert events.reindex(weeks).tolist() == expected.tolist()
    assert expected.iloc[-1] == 1891, "every mapped cell has an onset: there is no cell that stayed healthy"
    onset = trial.read_onsets(shared_data / "germany_cercospora_sugarbeet").set_index("parcel_id")["onset"]
    reached = rows["parcel_id"].map(onset) <= rows["valid_to"]
    assert (rows["label"] == reached).all()
    assert (rows["label_known_at"] > rows["issued"]).all()
    assert set(rows["label_known_at"]) <= set(trial.VISITS), "what lies between visits is known on the next"


def test_onsets_between_visits_were_not_known_before_the_next(trial, shared_data):
    onsets = trial.read_onsets(shared_data / "germany_cercospora_sugarbeet")
    near = np.minimum.reduce([np.abs((onsets["onset"] - visit).dt.days.to_numpy() + 0.5) for visit in trial.VISITS])
    assert (near < 1).mean() > 0.75, "onsets pile up on six days and the days before them"
    table = trial.weekly(onsets)
    assert (table["known_at"] >= table["date"]).all()
    late = table.loc[table["date"] == "2022-08-28"]
    assert set(late["known_at"]) == {pd.Timestamp("2022-09-01")}


def test_a_crop_that_stands_for_half_a_year_keeps_its_age(whole):
    config, inputs = whole
    live = build_dataset(
        inputs.parcels, None, inputs.weather, inputs.surveys,
        crops=inputs.crops, pest=PEST, horizon_weeks=1, pests=config.all_pests, issued="2022-09-14",
    )  # fmt: skip
    assert set(live["crop_age_days"]) == {172.0}, "31 March to 19 September"


# ------------------------------------------------------------------------------------------------------- the weather


def test_daily_weather_by_hand(whole):
    _, inputs = whole
    rows = inputs.weather.rows.set_index("date")
    assert set(inputs.weather.weights["site"]) == {"1 + 14"}
    assert len(rows) == 273
    # 18 August in Berlin holds the hours 23 of the 17th to 22 of the 18th of a clock without summer time
    day_ = rows.loc["2022-08-18"]
    assert day_["temp_mean"] == pytest.approx(462.5 / 24)
    assert (day_["temp_min"], day_["temp_max"]) == (13.1, 23.4)
    assert day_["rh_mean"] == pytest.approx(1971.2 / 24)
    assert day_["rain_sum"] == pytest.approx(0.8)
    assert day_["wet_hours"] == 5, "04, 05, 06, 21 and 22 o'clock have 92.3, 93.4, 91.2, 93.0 and 95.6 %; 03 has 89.9"
    # 1 May: its first hour is the last of the old logger, the other 23 are of the new one
    day_ = rows.loc["2022-05-01"]
    assert day_["temp_mean"] == pytest.approx(288.138333 / 24)
    assert (day_["temp_min"], day_["temp_max"], day_["rain_sum"], day_["wet_hours"]) == (9.1, 16.2, 0, 0)
    assert rows["wind_mean"].isna().all(), "its wind stands still for four months, so the config leaves it out"


def test_the_sun_says_which_clock_the_station_kept(shared_data):
    file = shared_data / "goettingen_station_hourly" / "clean_weather.csv"
    raw = pd.read_csv(file)
    summer = raw.loc[raw["station"] == 14]
    middle = (summer["GS200"] * summer["Stunde"]).sum() / summer["GS200"].sum() + 0.5
    noon_utc = 12 - 9.916 / 15
    assert middle == pytest.approx(noon_utc + 1, abs=0.1), "UTC + 1 where stamps are of hours that start"
    assert "2022-03-27 02:00:00" in set(raw["times"]), "an hour that summer time takes out"


def test_hours_that_end_in_utc_are_those_that_start_in_utc_plus_1(whole, shared_data):
    """The sun cannot tell these readings apart, and sums need not: they are the same hours."""
    _, inputs = whole
    file = shared_data / "goettingen_station_hourly" / "clean_weather.csv"
    with pytest.warns(DataWarning, match="taken as one"):
        other = read_weather_csv(
            file, inputs.parcels, columns={"time": "times"}, timezone="UTC", day_timezone="Europe/Berlin", stamps="end"
        )
    ours, theirs = (w.rows.set_index("date")["rain_sum"] for w in (inputs.weather, other))
    both = ours.index.intersection(theirs.index)
    assert len(both) > 265
    np.testing.assert_allclose(ours[both], theirs[both], atol=1e-9)


# ---------------------------------------------------------------------------------------------------- the whole line


def cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def thinned(trial: ModuleType, shared_data: Path, tmp_path: Path) -> Path:
    return project(trial, shared_data, tmp_path / "trial", every=10)


@pytest.mark.filterwarnings("ignore:clean_weather.csv. stations 1")
def test_inside_its_only_season_nothing_can_be_scored_and_it_says_so(thinned, capsys):
    assert cli("train", thinned, "--until", "2022-09-05") == 4
    told = " ".join(capsys.readouterr().err.split())
    assert "no season can be scored" in told
    assert "add surveys of earlier seasons" in told
    assert not list(thinned.parent.glob("models/*/card.json"))


@pytest.mark.filterwarnings("ignore:clean_weather.csv. stations 1")
def test_one_season_as_declared_cannot_be_held_out_of_itself(thinned, capsys):
    with thinned.open("a", encoding="utf-8") as file:
        file.write('[[seasons]]\nname = "beet"\nstart = "03-01"\n')
    assert cli("evaluate", thinned, "--until", "2022-09-14") == 4
    told = " ".join(capsys.readouterr().err.split())
    assert "2022 beet: 0 events known before it, 10 needed" in told


@pytest.mark.end_to_end
@pytest.mark.slow
def test_train_and_run_end_and_say_that_a_baseline_stands_in(thinned, capsys):
    assert cli("train", thinned, "--until", "2022-09-14") == 0
    told = capsys.readouterr().out
    assert "2022 may-aug: left out, 0 events known before it" in " ".join(told.split())
    assert cli("run", thinned, "--issued", "2022-09-14", "--json") == 3
    report = json.loads(capsys.readouterr().out)
    assert report["exit_code"] == 3
    week = thinned.parent / "outputs" / "2022-W37"
    manifest = json.loads((week / "manifest.json").read_text())
    assert manifest["synthetic"] is False
    assert any("stands in for the model" in reason for reason in manifest["degraded"])
    evaluation = manifest["evaluation"]
    assert {row["model"] for row in evaluation["scores"]} == {
        "rs_forecast", "climatology", "persistence", "base_rate", "always_no"
    }  # fmt: skip
    scored = [fold["season"] for fold in evaluation["folds"] if not fold["left_out"]]
    assert scored == ["2022 sep-dec"], "two weeks of one September"
    assert evaluation["gate"]["passed"] is False
    fields = gpd.read_file(week / f"{PEST}_h1.geojson")
    assert len(fields) == 190
    assert set(fields["status"]) == {"no_imagery"}
    assert set(fields["model_id"]) == {"baseline-persistence"}
    assert fields["probability"].min() > 0.9, "every cell had its onset by then"
