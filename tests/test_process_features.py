"""Features of process models and light traps: what the models themselves say, parcel by parcel, and nothing more."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box
from tables import START, make_parcels, make_tables

from rs_forecast.catalog import PESTS
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import ConfigError
from rs_forecast.features import process_features
from rs_forecast.process.epirice import epirice_at
from rs_forecast.process.hoppers import hopper_clock
from rs_forecast.process.stages import stages_at

ISSUED = pd.Timestamp("2024-06-03").as_unit("us")
DAYS = pd.date_range("2024-01-01", ISSUED, freq="D").astype("datetime64[us]")
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def weather() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    site = np.repeat(["wet", "dry"], len(DAYS))
    rain = np.where(site == "wet", 8.0, 0.0)
    return pd.DataFrame(
        {
            "site": site,
            "date": np.tile(DAYS, 2),
            "known_at": np.tile(DAYS, 2),
            "temp_mean": 24 + rng.normal(0, 1, 2 * len(DAYS)),
            "rh_mean": np.where(site == "wet", 95.0, 60.0),
            "rain_sum": rain,
        }
    )


WEIGHTS = pd.DataFrame(
    {
        "parcel_id": ["a", "a", "b", "c", "d"],
        "site": ["dry", "wet", "dry", "wet", "wet"],
        "weight": [0.4, 0.6, 1.0, 1.0, 1.0],
    }
)
SOWN = np.array(["2024-04-15", "2024-04-15", "2024-05-20", "NaT"], "datetime64[us]")


def ask(weather: pd.DataFrame, pest: str) -> pd.DataFrame:
    return pd.DataFrame(process_features(weather, WEIGHTS, pd.Index(IDS), SOWN, PESTS[pest], ISSUED), index=IDS)


def test_a_disease_is_what_epirice_says_of_each_parcels_site_and_sowing(weather: pd.DataFrame) -> None:
    found = ask(weather, "leaf_blast")
    runs = pd.DataFrame({"site": ["wet", "dry", "wet", "wet"], "start": SOWN}, index=IDS)
    told = epirice_at(weather, runs, ISSUED, ["leaf_blast"])
    np.testing.assert_array_equal(found["process_change_7d"], told["leaf_blast_intensity_change_7d"])
    np.testing.assert_allclose(10 ** found["process_log_intensity"], told["leaf_blast_intensity"].clip(lower=1e-9))
    assert found.loc["a", "process_log_intensity"] > found.loc["b", "process_log_intensity"]
    assert found.loc["d"].isna().all()
    assert found["process_cycles"].isna().all()
    pd.testing.assert_frame_equal(found, ask(weather, "neck_blast"))


def test_an_insect_is_counted_in_generations(weather: pd.DataFrame) -> None:
    found = ask(weather, "leaf_folder")
    runs = pd.DataFrame({"site": ["wet", "dry", "wet", "wet"], "start": SOWN}, index=IDS)
    told = stages_at(weather, runs, ISSUED, "leaf_folder")
    expected = told["generation"] + told["cycle_fraction"]
    np.testing.assert_array_equal(found["process_cycles"], expected)
    assert found.loc["a", "process_cycles"] > found.loc["c", "process_cycles"]
    assert found["process_log_intensity"].isna().all()


@pytest.mark.parametrize("pest", ["rats", "corn_earworm"])
def test_a_pest_without_a_model_gets_nothing(weather: pd.DataFrame, pest: str) -> None:
    assert ask(weather, pest).isna().all(axis=None)


def test_every_model_that_a_pest_names_is_there(weather: pd.DataFrame) -> None:
    for name, pest in PESTS.items():
        found = ask(weather, name)
        assert found.loc["a"].notna().any() == bool(pest.process)
    with pytest.raises(ConfigError, match="there is no process model 'epirise'"):
        process_features(weather, WEIGHTS, pd.Index(IDS), SOWN, replace(PESTS["leaf_blast"], process="epirise"), ISSUED)


LATER = (START + pd.Timedelta(days=500)).as_unit("us")


def trap_rows(parcels: gpd.GeoDataFrame, traps: pd.DataFrame | None) -> pd.DataFrame:
    tables = make_tables(np.random.default_rng(4))
    rows = build_dataset(
        parcels, None, (tables.weather, tables.weights), tables.surveys, traps=traps, pest="brown_planthopper",
        horizon_weeks=1, issued=LATER,
    )  # fmt: skip
    return pd.DataFrame(rows.drop(columns="geometry")).set_index("parcel_id")


def test_a_parcel_has_its_nearest_trap_and_a_far_one_none() -> None:
    near = make_parcels()
    far = gpd.GeoDataFrame({"parcel_id": ["far"]}, geometry=[box(650000, 1100000, 650100, 1100100)], crs=32648)
    traps = make_tables(np.random.default_rng(4)).traps
    rows = trap_rows(pd.concat([near, far], ignore_index=True), traps)
    issued = LATER
    known = traps[(traps["known_at"] <= issued) & (traps["date"] <= issued) & (traps["working"] == "yes")]
    place = {"p0": "t0", "p5": "t1"}
    for parcel, trap in place.items():
        own = known[(known["trap_id"] == trap) & (known["date"] > issued - pd.Timedelta(days=14))]
        expected = np.log1p(own["count"]).mean()
        assert rows.loc[parcel, "trap_log1p_14d"] == pytest.approx(expected)
    assert rows.loc["far", [c for c in rows if c.startswith("trap_")]].isna().all()
    assert rows.drop(index="far")["trap_days_since_peak"].between(5, 60).all()


def test_the_clock_of_a_trap_runs_by_the_weather_of_the_fields_around_it() -> None:
    tables = make_tables(np.random.default_rng(4))
    rows = trap_rows(make_parcels(), tables.traps)
    issued = LATER
    traps = tables.traps[tables.traps["known_at"] <= issued]
    weather = tables.weather[tables.weather["known_at"] <= issued]
    sites = pd.DataFrame({"trap_id": ["t0", "t1"], "site": ["s0", "s0"]})  # of the greatest weight at every parcel
    clock = hopper_clock(traps, weather, sites, issued)
    assert rows.loc["p0", "trap_cycle"] == pytest.approx(clock.loc["t0", "cycle_fraction"])
    assert rows.loc["p5", "trap_days_since_peak"] == clock.loc["t1", "days_since_peak"]


def test_without_traps_there_are_no_columns_of_traps_and_a_trap_at_no_place_is_none() -> None:
    assert not [c for c in trap_rows(make_parcels(), None) if c.startswith("trap_")]
    traps = make_tables(np.random.default_rng(4)).traps.assign(lon=-75.0, lat=-10.0)
    assert trap_rows(make_parcels(), traps)["trap_log1p_14d"].isna().all()
