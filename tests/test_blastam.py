"""BLASTAM's marks against a slow rule of their own, and on days made for each case."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import WET_RULES
from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.process.blastam import MARKS, blastam_days

RULE = WET_RULES["blastam"]
DAYS = 6
LAST = pd.Timestamp("2026-06-06")
OPTIONAL = ("rh", "wet", "wind", "sunshine")


def hourly(wet=(), temp=22.0, *, night=None, count=DAYS):
    """Return six dry days, wet in the hours named, counted from 16:00 of the eve of the last."""
    time = pd.date_range("2026-06-01", periods=24 * count, freq="h", unit="us")
    table = pd.DataFrame({"site": "a", "time": time, "temp": temp, "rain": 0.0, "rh": 70.0})
    begin = 24 * (count - 1) - 8
    rows = [begin + k for k in wet]
    table.loc[rows, "rh"] = 95.0
    if night is not None:
        table.loc[rows, "temp"] = night
    return table


def last(table, rule=RULE):
    return blastam_days(table, rule).iloc[-1]


# --------------------------------------------------------------------------------------------------------------- cases
@pytest.mark.parametrize(("degree", "need"), RULE.need)
def test_published_needs_of_each_degree(degree, need):
    long, short = (last(hourly(range(4, 4 + n), night=float(degree))) for n in (int(need), int(need) - 1))
    assert (long["mark"], long["period_hours"], long["period_temp"]) == ("favourable", need, degree)
    assert short["mark"] == ("quasi_4" if need > RULE.least_hours else "none")


def test_at_21_degrees_the_published_table_counts_not_the_code_that_differs():
    assert dict(RULE.need)[21] == 11
    assert "10" in RULE.doc


@pytest.mark.parametrize(
    ("temp", "night", "mark"),
    [
        (19.0, 22.0, "quasi_1"),
        (26.0, 22.0, "quasi_2"),
        (22.0, 14.5, "quasi_3"),
        (22.0, 25.5, "quasi_3"),
        (22.0, 16.4, "quasi_4"),  # nearest degree 16: needs 15 of its 14 hours
        (22.0, 16.5, "favourable"),  # 17: needs 14
        (25.0, 25.0, "favourable"),  # both ranges hold their ends
        (20.0, 20.0, "favourable"),
        (28.0, 25.5, "quasi_2"),  # of two that fail the five days are named
    ],
)
def test_each_case_has_its_mark(temp, night, mark):
    assert last(hourly(range(4, 18), temp, night=night))["mark"] == mark


def test_a_period_over_midnight_or_from_hour_0_counts_whole():
    over = last(hourly(range(6, 17)))  # 22:00 to 9:00
    zero = last(hourly(range(8, 19)))  # 0:00 to 11:00
    assert (over["mark"], over["period_hours"], over["wet_hours"]) == ("favourable", 11, 9)
    assert (zero["mark"], zero["period_hours"], zero["wet_hours"]) == ("favourable", 11, 11)
    begins_at_midnight = replace(RULE, day_begins=0)
    assert last(hourly(range(6, 17)), begins_at_midnight)["period_hours"] == 9


@pytest.mark.parametrize(
    ("rain", "hours"),
    [
        ({9: 3.9}, 12),
        ({9: 4.0}, 6),
        ({9: 3.0}, 12),
        ({9: 3.0, 10: 3.0}, 6),
        ({9: 3.0, 11: 3.0}, 12),
        ({8: 3.0, 9: 2.9}, 12),
    ],
)
def test_strong_rain_cuts_the_period(rain, hours):
    table = hourly(range(4, 16))
    for hour, amount in rain.items():
        table.loc[24 * (DAYS - 1) - 8 + hour, "rain"] = amount
    found = last(table)
    assert found["period_hours"] == hours
    assert found["mark"] == ("favourable" if hours == 12 else "none")


@pytest.mark.parametrize(("column", "dry", "wet"), [("wind", 3.1, 3.0), ("sunshine", 0.2, 0.1)])
def test_wind_and_sun_dry_and_a_sensor_decides_alone(column, dry, wet):
    table = hourly(range(4, 16)).assign(**{column: 0.0})
    at = 24 * (DAYS - 1) - 8 + 9
    for value, hours in ((wet, 12), (dry, 6)):
        table.loc[at, column] = value
        assert last(table)["period_hours"] == hours
    sensor = table.assign(wet=0.0)
    sensor.loc[at - 5 : at + 4, "wet"] = 0.5
    assert (last(sensor)["period_hours"], last(sensor)["mark"]) == (10, "favourable")


# ------------------------------------------------------------------------------------------------------------- missing
def test_a_missing_hour_leaves_a_day_open_only_if_it_could_change_it():
    begin = 24 * (DAYS - 1) - 8
    good = hourly(range(2, 14))
    assert last(good.drop(index=begin + 5))["mark"] == "undecidable"
    assert last(good.drop(index=begin + 14))["mark"] == "undecidable"  # the period may go on, warmer or colder
    for hour in (5, 14):  # in the period, or at its end; the temperature is known
        open_ = good.copy()
        open_.loc[begin + hour, "rh"] = np.nan
        assert last(open_)["five_day_temp"] == 22.0
        assert last(open_)["mark"] == "undecidable"
    humid = good.copy()
    humid.loc[begin + 20, "rh"] = np.nan  # far from the period, which stands as it is
    assert last(humid)["mark"] == "favourable"
    assert np.isnan(last(humid)["wet_hours"])
    assert last(humid)["period_hours"] == 12
    short = hourly(range(2, 6))
    short.loc[begin + 6, "rh"] = np.nan  # five hours at most
    assert last(short)["mark"] == "none"
    cold = hourly(range(2, 14), 19.0)
    cold.loc[begin + 20, "rh"] = np.nan
    assert last(cold)["mark"] == "quasi_1"


def test_without_five_days_of_temperature_a_long_period_is_undecidable_and_a_short_one_is_none():
    for wet, mark in ((range(2, 14), "undecidable"), (range(2, 6), "none")):
        table = hourly(wet)
        table.loc[30, "temp"] = np.nan
        assert last(table)["mark"] == mark
        assert np.isnan(last(table)["five_day_temp"])
    assert blastam_days(hourly(range(2, 14)))["five_day_temp"].notna().tolist() == [False] * 4 + [True] * 2


def test_sites_do_not_run_into_each_other():
    """Site b begins in the hour after the one a ends with, so that rain of a could seem to come before it."""
    a = hourly().assign(rain=3.0)
    b = hourly(range(4, 16)).assign(site="b")
    b["time"] += pd.Timedelta(days=DAYS)
    b.loc[0, "rain"] = 3.0
    both = blastam_days(pd.concat([b, a]))
    alone = blastam_days(b)
    pd.testing.assert_frame_equal(both[both["site"] == "b"].reset_index(drop=True), alone)
    assert blastam_days(a)["wet_hours"].eq(24).all()


# -------------------------------------------------------------------------------------------------------------- oracle
def plain_hour(row, before):
    """Return w (wet), d (dry) or ? as a part of a period, and the same as wetness alone."""
    known = {k: row[k] for k in ("rain", *OPTIONAL) if k in row}
    if not math.isnan(row.get("wet", math.nan)):
        wet = "w" if row["wet"] >= 0.5 else "d"
    else:
        says = [known["rain"] >= 0.1, known.get("rh", math.nan) >= 90]
        open_ = math.isnan(known["rain"]) or math.isnan(known.get("rh", math.nan))
        wet = "w" if any(says) else "?" if open_ else "d"
        dries = [known[k] > limit for k, limit in (("wind", 3.0), ("sunshine", 0.1)) if k in known]
        if wet != "d" and any(dries):
            wet = "d"
        elif wet != "d" and any(math.isnan(known[k]) for k in ("wind", "sunshine") if k in known):
            wet = "?"
    part = wet
    if wet != "d":
        previous = math.nan if before is None else before["rain"]
        if known["rain"] >= 4 or (known["rain"] >= 3 and previous >= 3):
            part = "d"
        elif math.isnan(known["rain"]) or math.isnan(row["temp"]) or (known["rain"] >= 3 and math.isnan(previous)):
            part = "?"
    return part, wet


def plain_marks(table):
    """Return date -> (mark, wet hours, period hours) of one site by the rule as it is printed."""
    hours = dict(zip(table["time"], table.to_dict("records"), strict=True))
    one = pd.Timedelta(hours=1)
    codes = {t: plain_hour(r, hours.get(t - one)) for t, r in hours.items()}
    out = {}
    for date in pd.date_range(min(hours).normalize(), max(hours).normalize()):
        day = [date + k * one for k in range(24)]
        wetness = [codes.get(t, ("?", "?"))[1] for t in day]
        window = [date + k * one for k in range(-8, 16)]
        text = "".join(codes.get(t, ("?", "?"))[0] for t in window)
        five = [hours.get(date + k * one, {}).get("temp", math.nan) for k in range(-96, 24)]
        wet_hours = math.nan if "?" in wetness else wetness.count("w")
        known = [(m.end() - m.start(), m.start()) for m in re.finditer("w+", text)]
        out[date] = (plain_mark(text, window, hours, np.mean(five)), wet_hours, max((n for n, _ in known), default=0))
    return out


def plain_mark(text, window, hours, five):
    could = [m.group() for m in re.finditer("[w?]+", text)]
    if max(map(len, could), default=0) < 10:
        return "none"
    longest = max(re.findall("w*", text), key=len)
    if len(longest) >= 10 and five < 20:
        return "quasi_1"
    if len(longest) >= 10 and five > 25:
        return "quasi_2"
    means = {}
    for m in re.finditer("[w?]+", text):
        if "?" not in m.group():
            means[m.start()] = (np.mean([hours[window[k]]["temp"] for k in range(m.start(), m.end())]), len(m.group()))
    needs = dict(RULE.need)
    for mean, length in means.values():
        if length >= 10 and 15 <= mean <= 25 and 20 <= five <= 25 and length >= needs[math.floor(mean + 0.5)]:
            return "favourable"
    if math.isnan(five) or any("?" in run and len(run) >= 10 for run in could):
        return "undecidable"
    mean = next(mean for mean, length in means.values() if length == len(longest))
    return "quasi_4" if 15 <= mean <= 25 else "quasi_3"


@st.composite
def tables(draw):
    """Hours in spells of wet and dry, some missing; temperatures in halves, so that means are exact."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    table = hourly(temp=0.0, count=8)
    count = len(table)
    spell = np.repeat(rng.random(count) < draw(st.sampled_from([0.5, 0.8])), rng.integers(3, 20, count))[:count]
    table["rh"] = np.where(spell, 95.0, 70.0)
    level = draw(st.sampled_from([15.0, 17.0, 20.0, 22.5, 25.0, 27.0]))
    table["temp"] = level + rng.integers(-4, 5, count) / 2
    table["rain"] = np.where(rng.random(count) < 0.1, rng.choice([0.1, 2.0, 3.0, 4.0], count), 0.0)
    for name, values in (("wet", [0.0, 0.4, 0.5, 1.0]), ("wind", [0.0, 3.0, 3.5]), ("sunshine", [0.0, 0.1, 0.2])):
        if draw(st.booleans()):
            usual = rng.random(count) < 0.9
            table[name] = np.where(usual, np.nan if name == "wet" else 0.0, rng.choice(values, count))
    for name in ("temp", "rain", *OPTIONAL):
        if name in table:  # most often temperature is whole, so that other gaps decide
            holes = draw(st.sampled_from([0.0, 0.0, 0.004] if name == "temp" else [0.0, 0.01, 0.05]))
            table.loc[rng.random(count) < holes, name] = np.nan
    return table[rng.random(count) >= draw(st.sampled_from([0.0, 0.0, 0.004]))].reset_index(drop=True)


@settings(max_examples=60)
@given(table=tables())
def test_oracle_the_rule_written_plainly(table):
    found = blastam_days(table.sample(frac=1, random_state=0))
    truth = plain_marks(table)
    assert dict(zip(found["date"], found["mark"], strict=True)) == {d: mark for d, (mark, _, _) in truth.items()}
    np.testing.assert_array_equal(found["wet_hours"], [wet for _, wet, _ in truth.values()])
    np.testing.assert_array_equal(found["period_hours"], [hours for _, _, hours in truth.values()])


def test_the_oracle_has_seen_every_mark():
    """Else it would not show much."""
    rng = np.random.default_rng(1)
    seen = set()
    for level in (14.0, 19.0, 21.0, 24.0, 27.0, 29.0):
        table = hourly(temp=level, count=60)
        count = len(table)
        table["rh"] = np.where(np.repeat(rng.random(count) < 0.6, 9)[:count], 95.0, 70.0)
        table["temp"] += rng.integers(-6, 7, count) / 2 - np.where(table["time"].dt.hour < 12, 8.0, -2.0)
        truth = plain_marks(table.drop(index=rng.choice(count, 4)))
        own = blastam_days(table)
        seen |= {mark for mark, _, _ in truth.values()} | set(own["mark"])
    assert seen == set(MARKS)


# ------------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="temp"), "column temp is missing.*Daily weather does not suffice"),
        (lambda t: t.drop(columns="rh"), r"column rh \(or wet\) is missing"),
        (lambda t: t.iloc[:0], "has no rows"),
        (lambda t: t.assign(time="2026-06-01"), "column time holds str, allowed are times"),
        (
            lambda t: t.assign(time=t["time"] + pd.Timedelta(minutes=10)),
            "144 rows are not at a full hour, the first at",
        ),
        (lambda t: pd.concat([t, t.iloc[[5]]]), "1 rows repeat a site and hour, the first is a at 2026-06-01T05"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(change, message):
    with pytest.raises(SchemaError, match=message):
        blastam_days(change(hourly()))


def test_limits_can_be_changed_and_impossible_ones_are_refused():
    local = replace(RULE, five_days=(20.0, 29.0), rh_wets=85.0)
    table = hourly(range(4, 16), 27.0, night=24.0)
    table.loc[table["rh"] == 95, "rh"] = 86.0
    assert (last(table, local)["mark"], last(table)["mark"]) == ("favourable", "none")
    with pytest.raises(ConfigError, match="give hours for each whole degree"):
        replace(RULE, temp=(15.0, 28.0))
    with pytest.raises(ConfigError, match="limits that rise"):
        replace(RULE, five_days=(25.0, 20.0))
