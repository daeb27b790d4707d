"""EPIRICE against the published implementation's output, the equations written once more, and what must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import DISEASES
from rs_forecast.errors import ConfigError, LeakageError, SchemaError
from rs_forecast.kernels import epirice as kernel
from rs_forecast.process.epirice import VARIABLES, as_arrays, epirice_at, epirice_course
from rs_forecast.schema import days

START = pd.Timestamp("2026-01-01").as_unit("us")
STATES = [*kernel.STATES[:-1]]


def weather_of(temp, rh, rain, site="a", start=START):
    date = pd.date_range(start, periods=len(temp), unit="us")
    values = (np.asarray(v, float) for v in (temp, rh, rain))
    return pd.DataFrame({"site": site, "date": date, **dict(zip(VARIABLES, values, strict=True))})


def steady(temp, rh, rain, count=120, **where):
    return weather_of(np.full(count, temp), np.full(count, rh), np.full(count, rain), **where)


def runs_of(*sites, start=START):
    return pd.DataFrame({"site": list(sites), "start": days([start] * len(sites))})


def random_weather(seed, sites=3, count=130):
    rng = np.random.default_rng(seed)
    tables = [
        weather_of(rng.uniform(14, 36, count), rng.uniform(75, 99, count), rng.gamma(0.5, 8, count), f"s{k}")
        for k in range(sites)
    ]
    return pd.concat(tables, ignore_index=True)


# --------------------------------------------------------------------------------------------------------------- truth
def test_golden_every_state_of_every_disease_is_that_of_the_published_implementation(shared_data):
    folder = shared_data / "epirice_reference"
    air = pd.read_csv(folder / "irri_zeigler_2000_wet_nasapower.csv")
    golden = pd.read_csv(folder / "epirice_golden.csv")
    weather = weather_of(air["TEMP"], air["RHUM"], air["RAIN"], start=pd.Timestamp("2000-07-01"))
    course = epirice_course(weather, runs_of("a", start="2000-07-01"))
    own = course.set_index(["disease", "day"])
    assert set(golden["model"]) == set(DISEASES)
    at = pd.MultiIndex.from_frame(golden[["model", "simday"]])
    for name in STATES:
        np.testing.assert_allclose(own.loc[at, name], golden[name], rtol=1e-9, atol=0, err_msg=name)
    assert (own.loc[at, "date"].to_numpy() == pd.to_datetime(golden["dates"]).to_numpy()).all()
    area = course[course["day"] == 120].set_index("disease")["audpc"]
    np.testing.assert_allclose(area[golden["model"]], golden["AUDPC"], rtol=1e-9)


def plain(disease, temp, rh, rain):
    """Return sites, diseased, removed and intensity by the equations as they are printed, day by day."""
    count = len(temp)
    new, transfer, s = [], [], disease.first_sites
    out = []
    for t in range(count):
        inflow = [0.0, *new]  # of latent sites, day by day
        infectious_inflow = [0.0, *transfer]
        latent = sum(inflow[max(0, t - disease.latent_days) :])
        infectious = sum(infectious_inflow[max(0, t - disease.infectious_days) :])
        diseased = sum(infectious_inflow) + latent
        removed = sum(infectious_inflow) - infectious
        x, y = zip(*disease.age, strict=True)
        age = np.interp(t, x, y, left=0, right=0)
        x, y = zip(*disease.temperature, strict=True)
        wet = rh[t] >= 90 or rain[t] >= 5
        rc = disease.rate * age * np.interp(temp[t], x, y, left=0, right=0) * wet
        now = infectious * rc * (s / (s + diseased)) ** disease.aggregation if t + 1 > disease.onset else 0.0
        new.append(disease.first_infections if t + 1 == disease.onset else now)
        transfer.append(inflow[t - disease.latent_days] if t >= disease.latent_days else 0.0)
        lost = infectious_inflow[t - disease.infectious_days] if t >= disease.infectious_days else 0.0
        out.append((s, diseased, removed, (diseased - removed) / (s + diseased - removed)))
        grown = disease.growth * s * (1 - (s + diseased) / disease.most_sites)
        s += grown - new[-1] - lost - disease.senescence * s
    return np.array(out).T


@pytest.mark.parametrize("name", DISEASES)
@pytest.mark.parametrize("seed", range(3))
def test_oracle_the_equations_written_plainly(name, seed):
    weather = random_weather(seed, sites=1)
    course = epirice_course(weather, runs_of("s0"), [name], days=130)
    truth = plain(DISEASES[name], *(weather[v].to_numpy() for v in VARIABLES))
    for column, values in zip(("sites", "diseased", "removed", "intensity"), truth, strict=True):
        np.testing.assert_allclose(course[column], values, rtol=1e-9, atol=1e-9, err_msg=column)


def test_stocks_are_what_came_in_and_has_not_gone_out():
    course = epirice_course(random_weather(5), runs_of("s0", "s1", "s2"))
    np.testing.assert_allclose(course["latent"] + course["infectious"] + course["removed"], course["diseased"])
    assert (course[["latent", "infectious", "removed", "rateinf", "intensity", "audpc"]] >= 0).all(axis=None)
    assert (course["intensity"] <= 1).all()
    rising = course.groupby(["run", "disease"], observed=True)[["audpc", "removed", "senesced", "diseased"]]
    assert (rising.diff().fillna(0.0) >= -1e-9).all(axis=None)


# ---------------------------------------------------------------------------------------------------------- properties
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_property_permuting_sites_and_runs_permutes_results(seed, order):
    weather = random_weather(seed, sites=4)
    runs = runs_of(*(f"s{k}" for k in range(4)))
    runs["start"] += pd.to_timedelta([0, 3, 3, 7], unit="D")
    whole = epirice_at(weather, runs, "2026-03-25")
    shuffled = weather.sample(frac=1, random_state=seed % 1000)
    again = epirice_at(shuffled, runs.iloc[list(order)], "2026-03-25")
    pd.testing.assert_frame_equal(again, whole.iloc[list(order)])


def test_property_a_site_hears_nothing_of_another():
    weather = random_weather(1)
    other = weather.copy()
    other.loc[other["site"] == "s1", list(VARIABLES)] = [20.0, 99.0, 30.0]
    runs = runs_of("s0", "s1", "s2")
    one, two = (epirice_at(table, runs, "2026-04-20") for table in (weather, other))
    pd.testing.assert_frame_equal(one.loc[[0, 2]], two.loc[[0, 2]])
    assert (one.loc[1] != two.loc[1]).any()


def test_property_how_the_runs_are_shared_out_does_not_matter(monkeypatch):
    weather = random_weather(2, sites=5)
    runs = runs_of(*[f"s{k % 5}" for k in range(50)])
    runs["start"] += pd.to_timedelta(np.arange(50) % 11, unit="D")
    whole = epirice_at(weather, runs, "2026-04-01")
    monkeypatch.setattr(kernel, "_TOGETHER", 3)
    pd.testing.assert_frame_equal(epirice_at(weather, runs, "2026-04-01"), whole)
    course = epirice_course(weather, runs.iloc[:7])
    monkeypatch.setattr(kernel, "_TOGETHER", 1)
    pd.testing.assert_frame_equal(epirice_course(weather, runs.iloc[:7]), course)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), more=st.lists(st.integers(0, 119), min_size=1, max_size=30))
def test_property_more_wet_days_never_mean_less_diseased_before_any_is_removed(seed, more):
    """Up to the day of the first removal: later, an earlier epidemic may be over sooner."""
    weather = random_weather(seed, sites=1, count=120)
    wetter = weather.copy()
    wetter.loc[more, "rh_mean"] = 99.0
    for disease in DISEASES.values():
        until = disease.onset + disease.latent_days + disease.infectious_days
        dry, wet = (epirice_course(table, runs_of("s0"), [disease]) for table in (weather, wetter))
        early = dry["day"] <= until
        assert (wet.loc[early, "diseased"] >= dry.loc[early, "diseased"] * (1 - 1e-12)).all(), disease.name


@pytest.mark.parametrize(("temp", "rh", "rain"), [(8.0, 99.0, 20.0), (25.0, 89.99, 4.99), (8.0, 60.0, 0.0)])
def test_dry_or_cold_weather_gives_no_more_than_the_first_infections(temp, rh, rain):
    course = epirice_course(steady(temp, rh, rain), runs_of("a"))
    infected = course.groupby("disease", observed=True)["rateinf"].sum()
    assert infected.to_dict() == {name: d.first_infections for name, d in DISEASES.items()}
    assert course["diseased"].max() == 1.0


@pytest.mark.parametrize(("rh", "rain"), [(90.0, 0.0), (50.0, 5.0)])
def test_a_day_is_wet_from_either_limit_on(rh, rain):
    course = epirice_course(steady(25.0, rh, rain), runs_of("a"), ["sheath_blight"])
    assert course["intensity"].iloc[-1] > 0.5


def test_leaf_blast_is_almost_nil_in_the_tropics():
    """Why the intensity is a relative driver and not a share of leaves."""
    course = epirice_course(steady(28.0, 95.0, 10.0), runs_of("a"), ["leaf_blast"])
    assert course["intensity"].max() < 0.01


# ------------------------------------------------------------------------------------------------------------- missing
def test_a_missing_day_ends_the_run_on_the_next():
    weather = random_weather(3, sites=1)
    whole = epirice_course(weather, runs_of("s0"), ["sheath_blight"])
    weather.loc[59, list(VARIABLES)] = np.nan  # day 60
    for table in (weather, weather.drop(index=59)):
        course = epirice_course(table, runs_of("s0"), ["sheath_blight"])
        pd.testing.assert_frame_equal(course.iloc[:59], whole.iloc[:59])
        assert course.loc[59, "intensity"] == whole.loc[59, "intensity"]  # what came before the day decides on it
        assert np.isnan(course.loc[59, "rateinf"])
        assert course.loc[60:, list(kernel.STATES)].isna().all(axis=None)


@pytest.mark.parametrize(
    ("row", "temp", "rh", "rain", "known"),
    [
        (10, np.nan, np.nan, np.nan, True),  # before onset nothing is asked of the weather
        (60, np.nan, 50.0, 0.0, True),  # surely dry
        (60, np.nan, 95.0, 0.0, False),
        (60, 25.0, np.nan, 5.0, True),  # surely wet by rain
        (60, 25.0, 90.0, np.nan, True),  # surely wet by humidity
        (60, 25.0, np.nan, 0.0, False),
        (60, 25.0, 50.0, np.nan, False),
        (60, 5.0, np.nan, np.nan, True),  # too cold to matter
    ],
)
def test_only_what_decides_must_be_there(row, temp, rh, rain, known):
    weather = steady(25.0, 95.0, 0.0)
    weather.loc[row, list(VARIABLES)] = [temp, rh, rain]
    course = epirice_course(weather, runs_of("a"), ["sheath_blight"])
    assert bool(course["intensity"].notna().all()) is known


def test_a_gap_takes_older_values_only_where_it_is_asked_for_and_only_within_the_rows():
    weather = steady(25.0, 95.0, 0.0)
    whole = epirice_course(weather, runs_of("a"), ["sheath_blight"])
    gappy = weather.drop(index=[50, 51])
    assert epirice_course(gappy, runs_of("a"), ["sheath_blight"])["intensity"].isna().any()
    assert epirice_course(gappy, runs_of("a"), ["sheath_blight"], carry_days=1)["intensity"].isna().any()
    pd.testing.assert_frame_equal(epirice_course(gappy, runs_of("a"), ["sheath_blight"], carry_days=2), whole)
    short = epirice_course(weather.iloc[:80], runs_of("a"), ["sheath_blight"], carry_days=9)
    assert short["intensity"].notna().sum() == 81  # the day after the last row is its outcome
    holes = weather.copy()
    holes.loc[[60, 61], "temp_mean"] = np.nan
    pd.testing.assert_frame_equal(epirice_course(holes, runs_of("a"), ["sheath_blight"], carry_days=2), whole)


# --------------------------------------------------------------------------------------------------------- as of a day
def test_as_of_a_day_it_is_the_course_of_that_day():
    weather = random_weather(7)
    runs = runs_of("s0", "s1", "s2").set_axis([10, 20, 30])
    course = epirice_course(weather, runs).set_index(["run", "disease", "day"])["intensity"]
    found = epirice_at(weather, runs, "2026-03-21")  # day 80
    for name in DISEASES:
        for run in runs.index:
            assert found.loc[run, f"{name}_intensity"] == course[run, name, 80]
            change = course[run, name, 80] - course[run, name, 73]
            assert found.loc[run, f"{name}_intensity_change_7d"] == pytest.approx(change, abs=1e-15)
    assert (found["lag_days"] == 0).all()


def test_later_weather_changes_nothing():
    weather = random_weather(8)
    found = epirice_at(weather, runs_of("s0", "s1"), "2026-03-21")
    cut = weather[weather["date"] <= "2026-03-21"]
    pd.testing.assert_frame_equal(epirice_at(cut, runs_of("s0", "s1"), "2026-03-21"), found)


def test_weather_that_ends_early_is_read_where_it_ends_if_that_is_not_long_ago():
    weather = random_weather(9, sites=1)
    cut = weather[weather["date"] < "2026-03-15"]
    late = epirice_at(cut, runs_of("s0"), "2026-03-21", ["sheath_blight"])
    then = epirice_at(weather, runs_of("s0"), "2026-03-15", ["sheath_blight"])
    assert late["lag_days"].tolist() == [6]
    assert late.drop(columns="lag_days").equals(then.drop(columns="lag_days"))
    assert epirice_at(cut, runs_of("s0"), "2026-03-21", ["sheath_blight"], most_lag=5).isna().all(axis=None)


def test_a_run_that_is_not_on_or_has_no_weather_gives_nothing():
    weather = steady(25.0, 95.0, 0.0, count=300)
    runs = runs_of("a", "a", "a", "nowhere", None)
    runs["start"] = days(["2026-05-02", "2026-01-01", "2026-01-02", "2026-02-01", "2026-02-01"])
    runs.loc[len(runs)] = ["a", pd.NaT]
    found = epirice_at(weather, runs, "2026-05-01", ["tungro"])  # days 0, 121, 120
    assert found["tungro_intensity"].notna().tolist() == [False, False, True, False, False, False]


def test_a_variable_without_a_column_is_missing_live_and_refused_in_a_course():
    weather = random_weather(4).drop(columns="rh_mean")
    assert epirice_at(weather, runs_of("s0"), "2026-03-21")["tungro_intensity"].isna().all()
    with pytest.raises(SchemaError, match="weather: column rh_mean is missing"):
        epirice_course(weather, runs_of("s0"))


def test_what_cannot_be_asked_is_refused():
    weather = random_weather(4)
    with pytest.raises(SchemaError, match="1 rows repeat a site and day, the first is s0 on 2026-01-04; give one row"):
        epirice_at(pd.concat([weather, weather.iloc[[3]]]), runs_of("s0"), "2026-03-21")
    known = weather.assign(known_at=weather["date"] + pd.Timedelta(days=1))
    with pytest.raises(LeakageError, match="known only after the issue date 2026-03-21"):
        epirice_at(known, runs_of("s0"), "2026-03-21")
    with pytest.raises(ConfigError, match="there is no disease 'leafblast'; did you mean \"leaf_blast\""):
        epirice_at(weather, runs_of("s0"), "2026-03-21", ["leafblast"])
    with pytest.raises(ConfigError, match="days: found 0, allowed is a whole number of at least 1"):
        epirice_course(weather, runs_of("s0"), days=0)
    with pytest.raises(SchemaError, match="runs: column start is missing"):
        epirice_at(weather, runs_of("s0").drop(columns="start"), "2026-03-21")
    with pytest.raises(SchemaError, match="column start holds str, allowed are days"):
        epirice_at(weather, runs_of("s0").assign(start="2026-01-01"), "2026-03-21")


@pytest.mark.parametrize("name", DISEASES)
def test_curves_of_the_catalogue_rise_in_x_and_stay_between_nothing_and_the_optimum(name):
    for curve in (DISEASES[name].age, DISEASES[name].temperature):
        x, y = np.transpose(curve)
        assert (np.diff(x) > 0).all()
        assert y.min() >= 0
        assert y.max() == 1
    arrays = as_arrays([DISEASES[name], replace(DISEASES[name], temperature=((0.0, 1.0), (40.0, 1.0)))], 10)
    assert np.isnan(arrays.temperature[1, :, 2:]).all()
