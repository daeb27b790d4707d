"""Degree-days against numerical integration, cohorts against days worked out by hand and a slow clock."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import INSECTS, Insect, Stage
from rs_forecast.errors import ConfigError, LeakageError, SchemaError
from rs_forecast.kernels import cohorts
from rs_forecast.process.stages import stage_course, stage_dates, stages_at
from rs_forecast.schema import days

START = pd.Timestamp("2026-01-01").as_unit("us")
SLICES = 20_000


def weather_of(low, high, site="a"):
    date = pd.date_range(START, periods=len(low), unit="us")
    return pd.DataFrame(
        {"site": site, "date": date, "temp_min": np.asarray(low, float), "temp_max": np.asarray(high, float)}
    )


def steady(temp, count=120):
    return weather_of([temp] * count, [temp] * count)


def runs_of(*sites, start=START):
    return pd.DataFrame({"site": list(sites), "start": days([start] * len(sites))})


def random_weather(seed, sites=3, count=130):
    rng = np.random.default_rng(seed)
    low = rng.uniform(5, 28, (sites, count))
    high = low + rng.uniform(0, 14, (sites, count))
    return pd.concat(
        [weather_of(a, b, f"s{k}") for k, (a, b) in enumerate(zip(low, high, strict=True))], ignore_index=True
    )


# --------------------------------------------------------------------------------------------------------- degree-days
@settings(max_examples=200)
@given(
    low=st.floats(-20, 45),
    spread=st.floats(0, 30),
    lower=st.floats(0, 25),
    width=st.floats(0.1, 30) | st.just(math.inf),
)
def test_oracle_a_days_heat_is_that_of_its_sine_wave_integrated(low, spread, lower, width):
    at = (np.arange(SLICES) + 0.5) / SLICES
    wave = low + spread * (0.5 + 0.5 * np.sin(2 * np.pi * at))
    truth = np.clip(np.minimum(wave, lower + width) - lower, 0, None).mean()
    (found,) = cohorts.degree_days(np.array([low]), np.array([low + spread]), lower, lower + width)
    assert found == pytest.approx(truth, abs=1e-5)


def test_a_steady_day_has_no_wave_and_the_cutoff_is_level():
    low = np.array([5.0, 12.0, 20.0, 35.0, 40.0, np.nan])
    found = cohorts.degree_days(low, low, 12.0, 35.0)
    np.testing.assert_array_equal(found, [0.0, 0.0, 8.0, 23.0, 23.0, np.nan])


# -------------------------------------------------------------------------------------------------- published constants
@pytest.mark.parametrize(
    ("temp", "stages", "whole"),
    [(25.0, (4.6, 15.9, 7.5), 28.0), (27.0, (3.9, 13.8, 6.3), 24.0), (29.0, (3.5, 12.1, 5.5), 21.1)],
)
def test_a_leaf_folder_takes_the_days_its_constants_say(temp, stages, whole):
    found = stage_dates(steady(temp), runs_of("a"), "leaf_folder")
    assert found["stage"].tolist() == ["egg", "larva", "pupa"]
    took = np.diff(np.append(0.0, found["days"]))
    np.testing.assert_allclose(took, [57.1 / (temp - 12.5), 203.7 / (temp - 12.2), 81.2 / (temp - 14.2)])
    np.testing.assert_allclose(took.round(1), stages)
    assert found["days"].iloc[-1] == pytest.approx(whole, abs=0.05)


def test_a_striped_borers_cycle_at_27_degrees():
    found = stage_dates(steady(27.0, 150), runs_of("a"), "striped_borer", generations=2)
    assert INSECTS["striped_borer"].degree_days == 827
    assert found["days"].iloc[3] == pytest.approx(48.6, abs=0.05)
    assert found["days"].iloc[7] == pytest.approx(2 * 827 / 17)
    assert found["generation"].tolist() == [0] * 4 + [1] * 4
    hot, cutoff = (stage_dates(steady(t, 150), runs_of("a"), "striped_borer") for t in (42.0, 35.0))
    pd.testing.assert_frame_equal(hot, cutoff)


def test_a_hoppers_cycle_is_what_it_was_inferred_from():
    found = stage_dates(steady(27.5), runs_of("a"), "brown_planthopper", generations=3)
    assert found["days"].iloc[1::2].tolist() == pytest.approx([22.38, 44.76, 67.14])
    assert "INFERRED" in INSECTS["brown_planthopper"].doc
    assert not any(insect.verified for insect in INSECTS.values())


# ------------------------------------------------------------------------------------------------------------- cohorts
def slow_clock(low, high, insect, steps=400):
    """Return generation, stage and share of it at the end of each day, in small steps of even warmth."""
    generation, stage, done, out = 0, 0, 0.0, []
    for a, b in zip(low, high, strict=True):
        for _ in range(steps):
            if stage == len(insect.stages):
                continue
            row = insect.stages[stage]
            (heat,) = cohorts.degree_days(np.array([a]), np.array([b]), row.lower, row.upper)
            done += heat / steps / row.degree_days
            if done >= 1:
                done, stage = 0.0, stage + 1
                if stage == len(insect.stages) and insect.closed:
                    generation, stage = generation + 1, 0
        out.append(generation * len(insect.stages) + stage + done)
    return np.array(out)


@pytest.mark.parametrize("name", INSECTS)
def test_oracle_cohorts_keep_time_with_a_slow_clock(name):
    weather = random_weather(1, sites=1, count=60)
    course = stage_course(weather, runs_of("s0"), name, days=60)
    insect = INSECTS[name]
    truth = slow_clock(weather["temp_min"], weather["temp_max"], insect)
    own = course["generation"] * len(insect.stages) + course["stage"].cat.codes + course["fraction"]
    np.testing.assert_allclose(own, truth, atol=0.02)
    assert course["degree_days"].is_monotonic_increasing


def test_a_day_may_hold_many_stages_and_the_rest_of_it_goes_to_the_next():
    quick = Insect(
        name="quick", scientific="", doc="made up", after="the next", closed=True, source="made up",
        stages=(Stage(name="one", lower=10, degree_days=2.5), Stage(name="two", lower=15, degree_days=2.5)),
    )  # fmt: skip
    found = stage_dates(steady(20.0, 3), runs_of("a"), quick, generations=9, days=3)
    took = np.diff(np.append(0.0, found["days"].dropna()))
    np.testing.assert_allclose(took, [0.25, 0.5] * 4)
    assert found["ended"].dropna().dt.day.tolist() == [
        1,
        1,
        1,
        2,
        2,
        3,
        3,
        3,
    ]  # a stage that ends with a day ends on it


def test_dates_are_those_on_which_the_course_leaves_a_stage():
    weather = random_weather(2, sites=1, count=120)
    dates = stage_dates(weather, runs_of("s0"), "leaf_folder")
    course = stage_course(weather, runs_of("s0"), "leaf_folder")
    for row in dates.itertuples():
        number = dates["stage"].tolist().index(row.stage)
        assert course.loc[course["stage"].cat.codes > number, "date"].min() == row.ended


@pytest.mark.parametrize("name", INSECTS)
def test_as_of_a_day_it_is_the_course_of_that_day(name):
    weather = random_weather(3)
    runs = runs_of("s2", "s0", "s1", "s2").set_axis(list("wxyz"))
    runs["start"] += pd.to_timedelta([0, 5, 5, 9], unit="D")
    course = stage_course(weather, runs, name, days=80).set_index(["run", "date"])
    found = stages_at(weather, runs, "2026-03-10", name)
    whole = INSECTS[name].degree_days
    for run in runs.index:
        own = course.loc[(run, pd.Timestamp("2026-03-10"))]
        assert found.loc[run, "generation"] == own["generation"]
        assert found.loc[run, "fraction"] == own["fraction"]
        assert found.loc[run, "degree_days"] == own["degree_days"]
        cycle = (found.loc[run, "degree_days"] / whole) - found.loc[run, "generation"]
        assert found.loc[run, "cycle_fraction"] == pytest.approx(cycle)
    assert (found["lag_days"] == 0).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
def test_property_permuting_and_sharing_out_change_nothing(seed, order):
    weather, runs = random_weather(seed), runs_of("s0", "s1", "s2")
    whole = stages_at(weather, runs, "2026-03-01", "striped_borer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohorts, "_TOGETHER", 1)
        again = stages_at(weather.sample(frac=1, random_state=1), runs.iloc[list(order)], "2026-03-01", "striped_borer")
    pd.testing.assert_frame_equal(again, whole.iloc[list(order)])


# ------------------------------------------------------------------------------------------------------------- missing
def test_the_mean_stands_in_where_the_extremes_are_missing_and_nothing_else_does():
    weather = weather_of([20.0] * 40, [30.0] * 40)
    weather["temp_mean"] = 25.0
    whole = stage_course(weather, runs_of("a"), "leaf_folder", days=40)
    holes = weather.copy()
    holes.loc[[5, 6], "temp_min"] = np.nan  # no threshold lies within these days: the sine has the mean's heat
    pd.testing.assert_frame_equal(stage_course(holes, runs_of("a"), "leaf_folder", days=40), whole)
    holes.loc[6, "temp_mean"] = np.nan
    for table in (holes, weather.drop(index=6)):
        course = stage_course(table, runs_of("a"), "leaf_folder", days=40)
        assert course["fraction"].notna().sum() == 6
        assert course.loc[6:, "stage"].isna().all()
    pd.testing.assert_frame_equal(
        stage_course(weather.drop(index=6), runs_of("a"), "leaf_folder", days=40, carry_days=1), whole
    )
    mean_alone = weather[["site", "date", "temp_mean"]]
    pd.testing.assert_frame_equal(stage_course(mean_alone, runs_of("a"), "leaf_folder", days=40), whole)


def test_old_readings_do_not_count():
    weather = random_weather(4, sites=1, count=40)  # to 9 February
    late = stages_at(weather, runs_of("s0"), "2026-02-20", "leaf_folder")
    assert late["lag_days"].tolist() == [11]
    then = stages_at(weather, runs_of("s0"), "2026-02-09", "leaf_folder")
    assert late.drop(columns="lag_days").equals(then.drop(columns="lag_days"))
    assert stages_at(weather, runs_of("s0"), "2026-02-20", "leaf_folder", most_lag=10).isna().all(axis=None)
    assert stages_at(weather, runs_of("s0", "nowhere"), "2025-12-31", "leaf_folder").isna().all(axis=None)


def test_what_cannot_be_asked_is_refused():
    weather = random_weather(5)
    with pytest.raises(ConfigError, match="there is no insect 'stem_borer'; did you mean \"striped_borer\""):
        stages_at(weather, runs_of("s0"), "2026-02-01", "stem_borer")
    with pytest.raises(SchemaError, match="column temp_max is missing"):
        stage_course(weather.drop(columns="temp_max"), runs_of("s0"), "leaf_folder")
    with pytest.raises(LeakageError, match="known only after"):
        stages_at(weather.assign(known_at=pd.Timestamp("2026-04-01")), runs_of("s0"), "2026-02-01", "leaf_folder")
    with pytest.raises(ConfigError, match="stage 'egg': found lower 12, upper 10 and 5 °C d; allowed is"):
        Stage(name="egg", lower=12, upper=10, degree_days=5)
