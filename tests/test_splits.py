from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import make_history
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.errors import ConfigError, LeakageError, NoDataError
from rs_forecast.schema import NOT_ASSESSABLE
from rs_forecast.splits import bootstrap_blocks, labelled, season_folds, season_forward, span, time_blocks

HISTORY = make_history(3, years=2, parcels=20)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(1, 700))
def test_property_all_that_trains_a_test_row_was_known_when_it_was_issued(seed, longest):
    rng = np.random.default_rng(seed)
    delay = pd.to_timedelta(rng.integers(1, longest + 1, len(HISTORY)), unit="D")
    known = (HISTORY["issued"] + delay).astype("datetime64[us]").where(rng.random(len(HISTORY)) > 0.05)
    history = HISTORY.assign(label_known_at=known).sample(frac=1, random_state=int(seed % 1000))
    for fold in season_folds(history, min_events=1):
        train, test = history.iloc[fold.train], history.iloc[fold.test]
        assert fold.cutoff == test["issued"].min()
        assert train["label_known_at"].notna().all()
        assert not (train["label_known_at"] > fold.cutoff).any()
        assert set(test["season"]) == {fold.name}
        assert len(test) == (labelled(history) & (history["season"] == fold.name)).sum()
        assert fold.train_events == train["label"].sum()
        assert fold.test_events == test["label"].sum()
        # Nothing that could train is thrown away either.
        could = labelled(history) & (history["label_known_at"] <= fold.cutoff).to_numpy()
        assert len(train) == could.sum()


def test_seasons_come_in_order_of_time_and_each_row_is_tested_at_most_once():
    folds = season_forward(HISTORY)
    assert [f.name for f in folds] == sorted((f.name for f in folds), key=_first_week)
    tested = np.concatenate([f.test for f in folds])
    assert len(tested) == len(set(tested))


def _first_week(season):
    return HISTORY.loc[HISTORY["season"] == season, "valid_from"].min()


def test_max_folds_keeps_the_last_and_says_why_the_others_are_left_out():
    last = [f.name for f in season_forward(HISTORY)][-2:]
    folds = season_folds(HISTORY, max_folds=2)
    assert [f.name for f in folds if not f.left_out] == last
    assert folds[0].left_out == "0 events known before it, 10 needed"
    assert folds[-3].left_out == "only the last 2 are scored"
    assert [f.name for f in season_forward(HISTORY, max_folds=2)] == last


def test_rows_not_assessable_or_without_label_are_in_no_fold():
    history = HISTORY.copy()
    history.loc[history.index[::2], "status"] = NOT_ASSESSABLE
    for fold in season_forward(history):
        for rows in (fold.train, fold.test):
            assert (history.iloc[rows]["status"] == "ok").all()
            assert history.iloc[rows]["label"].notna().all()


def test_training_without_a_non_event_is_left_out():
    history = HISTORY.assign(label=HISTORY["label"].where(HISTORY["label"].isna(), 1.0))
    assert {f.left_out for f in season_folds(history)[1:]} == {"no visit without an event known before it"}


def test_no_usable_season_says_what_was_found_and_needed():
    late = (HISTORY["issued"] + pd.Timedelta(days=5000)).astype("datetime64[us]")
    with pytest.raises(NoDataError, match=r"labelled rows with \d+ events, issued 2020-01-06.*10 events known"):
        season_forward(HISTORY.assign(label_known_at=late))
    with pytest.raises(NoDataError, match="none with a label"):
        season_forward(HISTORY.assign(label=np.nan))


def test_a_label_known_at_its_issue_date_is_leakage():
    row = HISTORY.index[labelled(HISTORY)][7]
    history = HISTORY.copy()
    history.loc[row, "label_known_at"] = history.loc[row, "issued"]
    with pytest.raises(LeakageError, match=rf"1 labels.*parcel {history.loc[row, 'parcel_id']}"):
        season_forward(history)


def test_max_folds_must_be_positive():
    with pytest.raises(ConfigError, match="max_folds is 0"):
        season_forward(HISTORY, max_folds=0)


def test_time_blocks_keep_seasons_whole_and_share_out_the_events():
    rows = HISTORY.loc[labelled(HISTORY)]
    block = time_blocks(rows, 3)
    assert rows.assign(block=block).groupby("season")["block"].nunique().max() == 1
    events = rows["label"].groupby(block).sum()
    assert len(events) == 3
    assert events.min() > 0.5 * events.sum() / 3
    order = rows["valid_from"].groupby(block).agg(["min", "max"])
    assert (order["min"].to_numpy()[1:] > order["max"].to_numpy()[:-1]).all()


def test_time_blocks_fall_back_to_weeks_and_never_part_equal_labels():
    history = make_history(3, years=2, parcels=20, horizons=(1, 2, 4))
    rows = history.loc[labelled(history) & (history["season"] == "2021 he_thu").to_numpy()]
    block = time_blocks(rows, 4)
    assert len(set(block)) == 4
    assert rows.assign(block=block).groupby("valid_from")["block"].nunique().max() == 1
    # All events in one season: leaving it out would leave none, so weeks are taken there too.
    rows = history.loc[labelled(history)]
    rows = rows.assign(label=rows["label"].where(rows["season"] == "2021 he_thu", 0.0))
    block = time_blocks(rows, 4)
    for number in set(block):
        assert rows.loc[block != number, "label"].sum() > 0


def test_time_blocks_refuse_events_of_one_week():
    rows = HISTORY.loc[labelled(HISTORY)]
    week = rows["valid_from"].mode()[0]
    with pytest.raises(NoDataError, match="all events are of one week"):
        time_blocks(rows.assign(label=(rows["valid_from"] == week).astype(float)), 4)


def test_bootstrap_blocks_are_season_by_sub_zone_else_commune_else_week():
    none = pd.Series(np.nan, index=HISTORY.index).astype("str")
    for table, keys in (
        (HISTORY, ["season", "sub_zone"]),
        (HISTORY.assign(sub_zone=none), ["season", "commune_code"]),
        (HISTORY.assign(sub_zone=none, commune_code=none), ["valid_from"]),
    ):
        pairs = table[keys].assign(block=bootstrap_blocks(table)).drop_duplicates()
        assert len(pairs) == pairs["block"].nunique() == len(pairs[keys].drop_duplicates())
        assert sorted(pairs["block"]) == list(range(len(pairs)))


def test_span_tells_rows_events_and_days():
    rows = labelled(HISTORY)
    told = span(HISTORY)
    assert told.startswith(f"{rows.sum()} labelled rows with {int(HISTORY['label'].sum())} events")
