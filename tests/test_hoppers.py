"""The generation clock: peaks known only when passed, and cohorts that keep time with the insects' table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import INSECTS
from rs_forecast.errors import LeakageError, SchemaError
from rs_forecast.process.hoppers import BEFORE, PASSED, hopper_clock, trap_peaks
from rs_forecast.schema import check_traps

START = pd.Timestamp("2026-01-01").as_unit("us")
BPH = "brown_planthopper"
CYCLE = 22.38


def traps_of(counts, trap="T-1", start=START):
    date = pd.date_range(start, periods=len(counts), unit="us")
    table = pd.DataFrame(
        {
            "trap_id": pd.Series([trap] * len(counts), dtype="str"), "lon": 105.4, "lat": 10.4, "date": date,
            "known_at": date, "pest": pd.Series([BPH] * len(counts), dtype="str"), "count": np.asarray(counts, float),
            "nights": 1.0, "working": pd.Series(["yes"] * len(counts), dtype="str"),
        }
    )  # fmt: skip
    check_traps(table)
    return table


def waves(count=100, every=28.0, first=15, high=800.0):
    """Return counts that peak every so many days, with a floor between."""
    day = np.arange(count)
    near = np.abs((day - first + every / 2) % every - every / 2)
    return np.round(20 + high * np.exp(-((near / 3) ** 2)))


def weather(temp=27.5, count=120, site="w"):
    date = pd.date_range(START, periods=count, unit="us")
    return pd.DataFrame({"site": site, "date": date, "known_at": date, "temp_min": temp, "temp_max": temp})


SITES = pd.DataFrame({"trap_id": ["T-1", "T-2"], "site": ["w", "w"]})


def clock(traps, air, issued, **options):
    return hopper_clock(traps, air[air["known_at"] <= issued], SITES, issued, **options)


# --------------------------------------------------------------------------------------------------------------- peaks
def test_peaks_are_found_where_they_are_and_known_when_passed():
    found = trap_peaks(traps_of(waves()), "2026-04-10")
    assert ((found["peak"] - START).dt.days).tolist() == [15, 43, 71]
    assert ((found["known_on"] - found["peak"]).dt.days == PASSED + 1).all()
    assert found["per_night"].between(600, 820).all()


def test_three_peaks_a_crop_as_the_delta_has_them():
    counts = waves(95, every=24.5, first=18)
    assert len(trap_peaks(traps_of(counts), "2026-04-10")) == 3


def test_a_peak_is_not_known_a_day_too_early():
    traps = traps_of(waves())
    peak = START + pd.Timedelta(days=15)
    for wait, known in ((PASSED, 0), (PASSED + 1, 1)):
        issued = peak + pd.Timedelta(days=wait)
        assert len(trap_peaks(traps[traps["known_at"] <= issued], issued)) == known


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), cut=st.integers(20, 89))
def test_property_asked_later_the_same_peaks_are_there_and_newer_ones(seed, cut):
    rng = np.random.default_rng(seed)
    counts = np.round(np.exp(rng.normal(0, 0.7, 90).cumsum() * 0.5 + 3))
    traps = traps_of(counts)
    traps.loc[rng.random(90) < 0.1, "working"] = "no"
    issued = START + pd.Timedelta(days=cut)
    then = trap_peaks(traps[traps["known_at"] <= issued], issued)
    now = trap_peaks(traps, START + pd.Timedelta(days=89))
    pd.testing.assert_frame_equal(then, now[now["known_on"] <= issued].reset_index(drop=True))


def test_the_property_has_peaks_to_show():
    rng = np.random.default_rng(0)
    some = [
        len(trap_peaks(traps_of(np.round(np.exp(rng.normal(0, 0.7, 90).cumsum() * 0.5 + 3))), "2026-04-10"))
        for _ in range(20)
    ]
    assert sum(some) > 20


def plain_peaks(counts):
    """Return the days that are peaks by the words of the rule, known on the last day."""
    count, found = len(counts), []
    level = [np.mean(np.log1p(counts[max(0, d - 1) : d + 2])) for d in range(count)]
    for d in range(count):
        left, right = level[max(0, d - BEFORE) : d], level[d + 1 : d + 1 + PASSED]
        if len(left) < 3 or len(right) < 3 or d + PASSED + 1 > count - 1:
            continue
        steep = level[d] - max(min(left), min(right)) >= np.log(2)
        if level[d] > max(left) and level[d] >= max(right) and steep and level[d] >= np.log1p(10):
            found.append(d)
    return found


def test_oracle_peaks_by_the_words_of_the_rule():
    total = 0
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 0.5, 120)
        counts = np.round(np.exp(4 + 1.5 * np.sin(np.arange(120) / 4) + noise))
        found = trap_peaks(traps_of(counts), START + pd.Timedelta(days=119))
        assert (found["peak"] - START).dt.days.tolist() == plain_peaks(counts)
        total += len(found)
    assert total > 6


def test_what_says_nothing_is_missing_and_not_zero():
    counts = waves()
    traps = traps_of(counts)
    whole = trap_peaks(traps, "2026-04-10")
    idle = traps.copy()
    rows = [5, 20, 30, 31, 32, 50]
    idle.loc[rows, "count"] = 0.0
    idle.loc[rows[:3], "working"] = "no"
    idle.loc[rows[3:], "nights"] = 0.0
    assert trap_peaks(idle, "2026-04-10")["peak"].tolist() == whole["peak"].tolist()
    pd.testing.assert_frame_equal(trap_peaks(idle.drop(index=rows), "2026-04-10"), trap_peaks(idle, "2026-04-10"))
    dead = traps.assign(working=pd.Series(["no"] * len(traps), dtype="str"))
    assert trap_peaks(dead, "2026-04-10").empty


def test_counts_are_by_the_night_and_the_newest_version_holds():
    counts = waves()
    traps = traps_of(counts)
    long = traps.copy()
    long["nights"] = 1.0 + np.arange(len(long)) % 3
    long["count"] *= long["nights"]
    pd.testing.assert_frame_equal(trap_peaks(long, "2026-04-10"), trap_peaks(traps, "2026-04-10"))
    wrong = traps.assign(count=0.0)
    corrected = traps.assign(known_at=traps["known_at"] + pd.Timedelta(days=1))
    both = pd.concat([corrected, wrong], ignore_index=True)
    pd.testing.assert_frame_equal(trap_peaks(both, "2026-04-11"), trap_peaks(traps, "2026-04-11"))


@pytest.mark.parametrize("counts", [np.zeros(60), np.full(60, 500.0), np.arange(60.0) * 10, waves(60) / 100])
def test_flat_rising_and_tiny_catches_have_no_peak(counts):
    assert trap_peaks(traps_of(counts), "2026-04-10").empty


# --------------------------------------------------------------------------------------------------------------- clock
def test_a_generation_at_the_optimum_takes_its_cycle():
    traps = traps_of(waves(60, every=200))
    peak = START + pd.Timedelta(days=15)
    issued = peak + pd.Timedelta(days=10)
    row = clock(traps[traps["known_at"] <= issued], weather(), issued).loc["T-1"]
    assert row["last_peak"] == peak
    assert (row["days_since_peak"], row["peaks_120d"], row["generation"]) == (10, 1, 0)
    assert row["cycle_fraction"] == pytest.approx(11 / CYCLE)  # the day of the peak counts, and today
    assert row["stage"] == "nymph"
    assert row["next_adult_peak"] == peak + pd.Timedelta(days=int(np.ceil(CYCLE)) - 1)
    egg, nymph = (stage.degree_days for stage in INSECTS[BPH].stages)
    middle = (egg + nymph / 2) / (egg + nymph) * CYCLE
    assert row["next_nymph_peak"] == peak + pd.Timedelta(days=int(np.ceil(middle)) - 1)
    later = clock(traps, weather(), START + pd.Timedelta(days=59)).loc["T-1"]
    assert later["generation"] == 2
    assert later["next_nymph_peak"] > START + pd.Timedelta(days=59)


def test_warm_days_hasten_the_clock_and_heat_above_the_limit_does_not():
    traps = traps_of(waves(60, every=200))
    issued = START + pd.Timedelta(days=30)
    at = [clock(traps[traps["known_at"] <= issued], weather(t), issued).loc["T-1"] for t in (24.0, 30.0, 32.0, 36.0)]
    adults = [row["next_adult_peak"] for row in at]
    assert adults[0] > adults[1] > adults[2]
    assert at[2]["degree_days"] == at[3]["degree_days"]


def test_traps_without_peak_or_weather_have_no_clock():
    quiet, lonely = traps_of(np.ones(60), "T-2"), traps_of(waves(60), "T-3")
    table = clock(
        pd.concat([traps_of(waves(60)), quiet, lonely], ignore_index=True), weather(), START + pd.Timedelta(days=59)
    )
    assert table.index.tolist() == ["T-1", "T-2", "T-3"]
    assert table["last_peak"].notna().tolist() == [True, False, True]
    assert table["stage"].notna().tolist() == [True, False, False]
    assert table["next_adult_peak"].notna().tolist() == [True, False, False]
    assert table["peaks_120d"].tolist() == [2, 0, 2]


def test_what_may_not_be_read_is_refused():
    traps = traps_of(waves())
    with pytest.raises(LeakageError, match="rows were known only after the issue date 2026-02-01"):
        trap_peaks(traps, "2026-02-01")
    with pytest.raises(SchemaError, match="sites: found columns trap_id; allowed is one row a trap"):
        hopper_clock(traps, weather(), SITES[["trap_id"]], "2026-05-01")
    with pytest.raises(SchemaError, match="column nights is missing"):
        trap_peaks(traps.drop(columns="nights"), "2026-05-01")
