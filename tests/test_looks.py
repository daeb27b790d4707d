"""Which looks count, against the rule in plain Python; and what the risk table says of a field's last clear look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from look_oracle import plain_looks
from tables import PEST, START, make_parcels, make_tables

from rs_forecast.dataset import build_dataset
from rs_forecast.looks import CLEAR, CLOUDY, DIP, judged_looks
from rs_forecast.risk import risk_table

WORDS = {CLEAR: "clear", CLOUDY: "cloudy", DIP: "dip"}
DAY = pd.Timedelta(days=1)
PARCELS = make_parcels()


def found(signals, issued=None):
    looks, kind = judged_looks(signals, issued)
    assert looks["parcel_id"].astype("str").tolist() == sorted(looks["parcel_id"].astype("str"))
    return {(str(p), d): WORDS[k] for p, d, k in zip(looks["parcel_id"], looks["date"], kind, strict=True)}


@given(seed=st.integers(0, 10_000), day=st.integers(-5, 500), text=st.booleans())
@settings(max_examples=15)
def test_looks_are_judged_by_the_rule_as_known_on_the_day(seed, day, text):
    signals = make_tables(np.random.default_rng(seed), count=3, days=300).signals.sample(frac=1, random_state=seed)
    issued = START + day * DAY
    expected = plain_looks(signals, issued)
    table = signals if text else signals.astype({"parcel_id": pd.CategoricalDtype(["p2", "p0", "p1"])})
    assert found(table, issued) == expected


def test_the_random_looks_hold_every_kind_and_without_a_day_all_count():
    signals = make_tables(np.random.default_rng(1), count=3, days=300).signals
    kinds = found(signals)
    assert set(kinds.values()) == {"clear", "cloudy", "dip"}
    assert kinds == plain_looks(signals, pd.Timestamp("2100-01-01"))
    assert found(signals.iloc[:0]) == {}


@pytest.mark.parametrize(("columns", "kind"), [(["ndvi"], "dip"), (["evi"], "dip"), (["lswi"], "clear"), ([], "clear")])
def test_only_greenness_tells_dips(columns, kind):
    signals = make_tables(np.random.default_rng(0)).signals.iloc[[0] * 3].reset_index(drop=True)
    signals["date"] = signals["known_at"] = [START, START + 5 * DAY, START + 10 * DAY]
    signals = signals.assign(valid_fraction=1.0).filter(regex="^(?!ndvi|lswi)")
    table = signals.assign(**{f"{name}_mean": [0.6, 0.2, 0.6] for name in columns})
    assert list(found(table).values()) == ["clear", kind, "clear"]


def risk_of(tables, issued):
    live = build_dataset(
        PARCELS, tables.signals, (tables.weather, tables.weights), tables.surveys, crops=tables.crops, pest=PEST,
        horizon_weeks=[1, 2], issued=issued,
    )  # fmt: skip
    return risk_table(live, np.full(len(live), 0.2), model_id="m")


@given(seed=st.integers(0, 10_000), day=st.integers(-3, 320))
@settings(max_examples=12)
def test_last_clear_obs_and_age_of_the_risk_table_are_of_the_newest_look_known_that_counts(seed, day):
    tables = make_tables(np.random.default_rng(seed), days=300)
    issued = START + day * DAY
    risk = risk_of(tables, issued)
    assert len(risk) == 2 * len(PARCELS)
    looks = plain_looks(tables.signals, issued)
    for row in risk.itertuples():
        days = [date for (parcel, date), kind in looks.items() if parcel == row.parcel_id and kind == "clear"]
        if days:
            assert row.last_clear_obs == max(days)
            assert row.data_age_days == (issued - max(days)).days
            assert row.status == ("stale" if row.data_age_days > 30 else "ok")
        else:
            assert pd.isna(row.last_clear_obs)
            assert np.isnan(row.data_age_days)
            assert row.status in {"no_imagery", "not_assessable"}, "the latter where nothing at all is known yet"


def test_a_fall_in_the_newest_look_is_not_judged_and_sets_the_age_until_the_next_look_shows_it():
    tables = make_tables(np.random.default_rng(0))
    looks = tables.signals.iloc[[0] * 3].assign(parcel_id="p0", valid_fraction=1.0, ndvi_mean=[0.6, 0.2, 0.6])
    days = [START, START + 10 * DAY, START + 20 * DAY]
    looks = replace(tables, signals=looks.assign(date=days, known_at=[day + 2 * DAY for day in days]))
    for after, last in ((11, 0), (12, 10), (21, 10), (22, 20)):
        row = risk_of(looks, START + after * DAY).set_index("parcel_id").loc["p0"].iloc[0]
        assert row["last_clear_obs"] == START + last * DAY
        assert row["data_age_days"] == after - last
    assert list(found(looks.signals, START + 21 * DAY).values()) == ["clear", "clear"]
    assert list(found(looks.signals, START + 22 * DAY).values()) == ["clear", "dip", "clear"]
