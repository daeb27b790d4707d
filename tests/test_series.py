from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.kernels import series
from rs_forecast.kernels._jit import share_out
from rs_forecast.kernels.series import HOW, Window

KEYS = 4


def longest_run(days):
    """By pandas: days on end have the same difference to their rank."""
    unique = pd.Series(sorted(set(days)), dtype="int64")
    return 0 if unique.empty else (unique - np.arange(len(unique))).value_counts().max()


RULES = {
    "mean": lambda v, _d, _base: v.mean(),
    "min": lambda v, _d, _base: v.min(),
    "max": lambda v, _d, _base: v.max(),
    "sum_above": lambda v, _d, base: np.clip(v - base, 0, None).sum(),
    "count_above": lambda v, _d, base: (v >= base).sum(),
    "count_below": lambda v, _d, base: (v < base).sum(),
    "run_above": lambda v, d, base: longest_run(d[v >= base]),
    "run_below": lambda v, d, base: longest_run(d[v < base]),
    "slope": lambda v, d, _base: np.polyfit(d, v, 1)[0] if len(set(d)) > 1 else np.nan,
}


@st.composite
def tables(draw):
    """Rows in any order: gaps, days twice, NaN, and keys without rows."""
    row = st.tuples(
        st.integers(0, KEYS - 1), st.integers(-5, 40), st.floats(-8, 8).map(lambda v: round(v, 1)) | st.just(np.nan)
    )
    rows = draw(st.lists(row, max_size=40))
    frame = pd.DataFrame(rows, columns=["key", "day", "value"])
    return frame.astype({"key": np.int64, "day": np.int64, "value": np.float64})


def packed(frame):
    order, starts = series.pack(frame["key"].to_numpy(), frame["day"].to_numpy(), KEYS)
    return frame["day"].to_numpy()[order], frame["value"].to_numpy()[order], starts


def every_query():
    key, at = np.meshgrid(np.arange(-1, KEYS), np.arange(-8, 50, 3))
    return key.ravel().astype(np.int64), at.ravel().astype(np.int64)


def read(name, frame, key, at, width, base=1.0, least=1):
    (found,) = series.windows(*packed(frame), key, at, [Window(name, width, least, base)])
    return found


def by_rule(name, frame, key, at, width, base, least):
    out = np.full(len(key), np.nan)
    for q, (k, d) in enumerate(zip(key, at, strict=True)):
        rows = frame[(frame["key"] == k) & (frame["day"] <= d) & (frame["day"] > d - width)].dropna()
        if len(rows) >= least:
            out[q] = RULES[name](rows["value"].to_numpy(), rows["day"].to_numpy(), base)
    return out


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15)
@given(frame=tables(), width=st.integers(1, 30), least=st.integers(1, 4), base=st.sampled_from([-1.0, 0.0, 2.5]))
def test_oracle_windows_are_those_of_pandas(name, frame, width, least, base):
    key, at = every_query()
    least = max(least, 2) if name == "slope" else least
    np.testing.assert_allclose(
        read(name, frame, key, at, width, base, least), by_rule(name, frame, key, at, width, base, least),
        rtol=1e-9, atol=1e-8,
    )  # fmt: skip


@settings(max_examples=15)
@given(frame=tables(), width=st.integers(1, 30), base=st.sampled_from([-1.0, 2.5]), span=st.sampled_from([0.0, 3.0]))
def test_a_sum_above_counts_each_value_up_to_the_top_alone(frame, width, base, span):
    key, at = every_query()
    (found,) = series.windows(*packed(frame), key, at, [Window("sum_above", width, 1, base, top=base + span)])
    capped = frame.assign(value=frame["value"].clip(upper=base + span))
    np.testing.assert_allclose(found, by_rule("sum_above", capped, key, at, width, base, 1), rtol=1e-9, atol=1e-8)


@settings(max_examples=25)
@given(frame=tables())
def test_oracle_the_last_value_is_that_of_pandas(frame):
    key, at = every_query()
    value, age = series.last_value(*packed(frame), key, at)
    kept = frame.dropna()
    for q, (k, d) in enumerate(zip(key, at, strict=True)):
        rows = kept[(kept["key"] == k) & (kept["day"] <= d)]
        if rows.empty:
            assert np.isnan(value[q])
            assert np.isnan(age[q])
        else:
            newest = rows["day"].max()
            assert age[q] == d - newest
            assert value[q] == rows.loc[rows["day"] == newest, "value"].iloc[-1]


asked_windows = st.lists(
    st.builds(
        Window, how=st.sampled_from(HOW), width=st.integers(1, 30), least=st.integers(0, 4),
        base=st.sampled_from([-1.0, 2.5]), ago=st.integers(0, 20),
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=40)
@given(frame=tables(), asked=asked_windows, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 99))
def test_property_windows_asked_together_are_those_asked_alone(frame, asked, dtype, seed):
    """Also: a row that is not in use is as one without a value, 32 bits lose nothing, and ``ago`` moves the query."""
    key, at = every_query()
    day, value, starts = packed(frame)
    value = value.astype(dtype)
    use = np.random.default_rng(seed).random(len(frame)) < 0.7
    together = series.windows(day, value, starts, key, at, asked, use)
    assert together.shape == (len(asked), len(key))
    plain = np.where(use, value.astype(np.float64), np.nan)
    for one, found in zip(asked, together, strict=True):
        (alone,) = series.windows(day, plain, starts, key, at - one.ago, [one._replace(ago=0)])
        np.testing.assert_array_equal(found, alone)


def test_answers_do_not_depend_on_how_queries_are_shared_out(monkeypatch):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"key": rng.integers(0, KEYS, 60), "day": rng.integers(0, 40, 60), "value": rng.random(60)})
    day, value, starts = packed(frame)
    asked = [Window(how, 20) for how in HOW]

    def answers():
        return series.windows(day, value, starts, *every_query(), asked), *series.last_value(
            day, value, starts, *every_query()
        )

    whole = answers()
    monkeypatch.setattr(series, "_TOGETHER", 7)
    monkeypatch.setattr(series, "share_out", lambda work, parts: share_out(work, parts, threads=3))
    for one, other in zip(whole, answers(), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=40)
@given(frame=tables(), seed=st.integers(0, 99))
def test_property_the_last_row_has_both_values_and_is_in_use(frame, seed):
    day, value, starts = packed(frame)
    rng = np.random.default_rng(seed)
    other, use = np.where(rng.random(len(day)) < 0.3, np.nan, 1.0), rng.random(len(day)) < 0.8
    found = series.last_rows(day, value, other, starts, *every_query(), use)
    good = np.flatnonzero(use & ~np.isnan(value) & ~np.isnan(other))
    for row, k, d in zip(found, *every_query(), strict=True):
        own = [i for i in good if k >= 0 and starts[k] <= i < starts[k + 1] and day[i] <= d]
        assert row == (own[-1] if own else -1)
    np.testing.assert_array_equal(series.at_rows(value, found), [value[row] if row >= 0 else np.nan for row in found])


@pytest.mark.parametrize("name", [*RULES, "last"])
@settings(max_examples=25)
@given(frame=tables(), at=st.integers(-3, 40), seed=st.integers(0, 99))
def test_property_nothing_after_the_query_day_is_read(name, frame, at, seed):
    def answers(table):
        key, day = np.arange(KEYS), np.full(KEYS, at)
        return series.last_value(*packed(table), key, day) if name == "last" else read(name, table, key, day, 10)

    rng = np.random.default_rng(seed)
    future = frame["day"] > at
    changed = frame.assign(value=frame["value"].mask(future, rng.normal(1e6, 1e6, len(frame))))
    dropped = frame[~future].reset_index(drop=True)
    for other in (changed, dropped):
        np.testing.assert_array_equal(answers(other), answers(frame))


def test_a_window_holds_its_last_day_and_width_days_in_all():
    frame = pd.DataFrame({"key": 0, "day": [1, 2, 3, 4, 5], "value": [1.0, 10.0, 100.0, 1000.0, 10000.0]})
    at = np.array([0, 1, 3, 4, 5, 7, 8])
    found = read("sum_above", frame, np.zeros(7, np.int64), at, 3, 0.0)
    nan = np.nan
    np.testing.assert_array_equal(found, [nan, 1.0, 111.0, 1110.0, 11100.0, 10000.0, nan])


def test_slope_needs_two_days():
    frame = pd.DataFrame({"key": [0, 0, 0, 1, 1], "day": [7, 7, 7, 1, 4], "value": [1.0, 5.0, 9.0, 2.0, 8.0]})
    found = read("slope", frame, np.array([0, 1]), np.array([7, 7]), 30)
    np.testing.assert_allclose(found, [np.nan, 2.0])


def test_count_above_counts_the_base_itself_and_a_full_window_of_none_is_zero():
    frame = pd.DataFrame({"key": [0, 0, 1], "day": [1, 2, 2], "value": [1.0, 0.99, 0.0]})
    found = read("count_above", frame, np.array([0, 1, 2]), np.array([3, 3, 3]), 14, 1.0)
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan])


def test_pack_sorts_by_key_and_day_and_keeps_the_order_of_equals():
    key, day = np.array([2, 0, 2, 0, 2]), np.array([5, 9, 1, 3, 1])
    order, starts = series.pack(key, day, 4)
    assert order.tolist() == [3, 1, 2, 4, 0]
    assert starts.tolist() == [0, 2, 2, 5, 5]


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(st.integers(-1, KEYS), st.integers(0, 5)), max_size=30), in_order=st.booleans())
def test_property_packed_rows_stand_by_key_and_day(rows, in_order):
    key, day = np.array(sorted(rows) if in_order else rows, np.int64).reshape(-1, 2).T
    order, starts = series.pack(key, day, KEYS)
    assert isinstance(order, slice) or not in_order, "what is sorted is not copied"
    place = np.arange(len(key))[order]
    for k in range(KEYS):
        own = place[starts[k] : starts[k + 1]]
        expected = np.flatnonzero(key == k)
        assert own.tolist() == expected[np.argsort(day[expected], kind="stable")].tolist()


def test_pack_leaves_out_rows_of_no_key():
    order, starts = series.pack(np.array([-1, 1, -1]), np.array([1, 2, 3]), 2)
    assert starts.tolist() == [2, 2, 3]
    assert order[starts[1] : starts[2]].tolist() == [1]


def test_no_rows_and_no_queries():
    frame = pd.DataFrame({"key": [0], "day": [1], "value": [1.0]})
    none = np.array([], np.int64)
    assert read("mean", frame, none, none, 3).shape == (0,)
    assert np.isnan(read("mean", frame.iloc[:0].astype({"key": np.int64, "day": np.int64}), *every_query(), 3)).all()
