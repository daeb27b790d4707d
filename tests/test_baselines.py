from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from datasets import PEST, make_history

from rs_forecast.baselines import BASELINES, Climatology, Persistence, baseline_from_dict
from rs_forecast.errors import NoDataError, SchemaError, SourceError

HISTORY = make_history(5, years=2, parcels=20, horizons=(1, 2))
SURVEY = [name for name in HISTORY.columns if name.startswith("survey_")]


def _visits(rows: list[dict]) -> pd.DataFrame:
    """Return a tiny dataset; a row gives valid_from and label, and any survey feature."""
    table = HISTORY.iloc[: len(rows)].drop(columns=[*SURVEY, "geometry"]).reset_index(drop=True)
    table["parcel_id"] = pd.Series([f"t{i}" for i in range(len(rows))], dtype="str")
    table["horizon_weeks"] = 1.0
    for name in {key for row in rows for key in row}:
        values = pd.Series([row.get(name, np.nan) for row in rows])
        table[name] = pd.to_datetime(values).astype("datetime64[us]") if name == "valid_from" else values.astype(float)
    return table


def test_climatology_by_hand():
    # ISO weeks 2024-W10: 2 visits, 1 event. W11: 1 visit, no event. W13: 1 visit, 1 event. W30: 4 visits, no event.
    week = {10: "2024-03-04", 11: "2024-03-11", 13: "2024-03-25", 30: "2024-07-22"}
    seen = [(10, 1), (10, 0), (11, 0), (13, 1), (30, 0), (30, 0), (30, 0), (30, 0)]
    fitted = Climatology(prior=2.0).fit(_visits([{"valid_from": week[w], "label": y} for w, y in seen]))
    rate = 2 / 8
    ask = [week[10], week[11], "2024-03-18", week[13], week[30], "2024-10-07"]
    p = fitted.predict(_visits([{"valid_from": day} for day in ask]))
    expected = [
        (1 * 1 + 2 * rate) / (2 + 2 / 3 * 1 + 2),  # W10: itself, and W11 at 2/3
        (2 / 3 * 1 + 1 / 3 * 1 + 2 * rate) / (2 / 3 * 2 + 1 + 1 / 3 * 1 + 2),  # W11: W10 at 2/3, W13 at 1/3
        (1 / 3 * 1 + 2 / 3 * 1 + 2 * rate) / (1 / 3 * 2 + 2 / 3 * 1 + 2 / 3 * 1 + 2),  # W12
        (1 * 1 + 2 * rate) / (1 + 1 / 3 * 1 + 2),  # W13: W11 at 1/3
        (2 * rate) / (4 + 2),  # W30
        rate,  # nobody ever looked around W41
    ]
    np.testing.assert_allclose(p, expected, rtol=1e-14)


def test_climatology_goes_round_the_turn_of_the_year():
    # 2020 has a week 53, which counts as 52: one week from W1, two weeks from W2.
    fitted = Climatology(prior=1.0).fit(
        _visits([{"valid_from": "2020-12-28", "label": 1}, {"valid_from": "2020-06-01", "label": 0}])
    )
    ask = ["2024-12-23", "2024-12-30", "2025-01-06", "2025-01-13"]  # W52, W1, W2, W3
    p = fitted.predict(_visits([{"valid_from": day} for day in ask]))
    np.testing.assert_allclose(p, [1.5 / 2, (2 / 3 + 0.5) / (2 / 3 + 1), (1 / 3 + 0.5) / (1 / 3 + 1), 0.5])


def test_persistence_by_hand():
    def row(label, last=np.nan, age=np.nan, near=np.nan):
        return {
            "valid_from": "2024-03-04",
            "label": label,
            "survey_last_event": last,
            "survey_last_age_days": age,
            "survey_near_event_rate": near,
        }

    seen = [row(1, 1, 7), row(1, 1, 28), row(0, 1, 14), row(0, 0, 7), row(1, 1, 29, 0.0), row(0, 0, 60, 0.2), row(0)]
    fitted = Persistence(prior=1.0).fit(_visits(seen))
    rate = 3 / 7
    ask = [
        (row(0, 1, 28), (2 + rate) / 4),  # event at a visit that still counts
        (row(0, 0, 1), (0 + rate) / 2),
        (row(0, 1, 29, 0.0), (1 + rate) / 2),  # too old: the near rate, none found
        (row(0, near=0.3), (0 + rate) / 2),  # the class above 0.1, up to 0.3
        (row(0, near=0.05), rate),  # a class that training never met
        (row(0), (0 + rate) / 2),  # nothing known
    ]
    p = fitted.predict(_visits([r for r, _ in ask]))
    np.testing.assert_allclose(p, [expected for _, expected in ask], rtol=1e-14)


def test_persistence_without_survey_columns_is_the_base_rate():
    bare = HISTORY.drop(columns=SURVEY)
    expected = BASELINES["base_rate"]().fit(bare).predict(bare)
    np.testing.assert_allclose(Persistence().fit(bare).predict(bare), expected, rtol=1e-12)
    assert np.isfinite(Persistence().fit(HISTORY).predict(bare)).all()


def test_base_rate_per_horizon_and_always_no():
    p = BASELINES["base_rate"]().fit(HISTORY).predict(HISTORY)
    for weeks in (1, 2):
        rows = HISTORY["horizon_weeks"] == weeks
        assert set(p[rows]) == {HISTORY.loc[rows, "label"].mean()}
    assert not BASELINES["always_no"]().fit(HISTORY).predict(HISTORY).any()


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_survives_json_and_does_not_mind_the_order_of_rows(name):
    fitted = BASELINES[name]().fit(HISTORY)
    p = fitted.predict(HISTORY)
    assert p.shape == (len(HISTORY),)
    assert ((p >= 0) & (p <= 1)).all()
    again = baseline_from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.predict(HISTORY), p)
    shuffled = HISTORY.sample(frac=1, random_state=1)
    order = HISTORY.index.get_indexer(shuffled.index)
    np.testing.assert_array_equal(fitted.predict(shuffled), p[order])
    np.testing.assert_allclose(BASELINES[name]().fit(shuffled).predict(HISTORY), p, rtol=1e-12)


@pytest.mark.parametrize("name", ["climatology", "persistence", "base_rate"])
def test_labels_of_rows_that_cannot_train_do_not_matter(name):
    history = HISTORY.copy()
    history["status"] = history["status"].where(np.arange(len(history)) % 2 == 0, "not_assessable")
    flipped = history.assign(label=history["label"].where(history["status"] == "ok", 1 - history["label"]))
    fits = [BASELINES[name]().fit(table).predict(HISTORY) for table in (history, flipped)]
    np.testing.assert_array_equal(*fits)


@pytest.mark.parametrize("name", ["climatology", "persistence", "base_rate"])
def test_foreign_pest_or_horizon_and_missing_labels_are_refused(name):
    fitted = BASELINES[name]().fit(HISTORY)
    with pytest.raises(SchemaError, match=rf"{PEST}, 3 weeks ahead; it was fitted to {PEST}, 1 week ahead"):
        fitted.predict(HISTORY.assign(horizon_weeks=HISTORY["horizon_weeks"] + 1))
    with pytest.raises(SchemaError, match="stem_borer"):
        fitted.predict(HISTORY.assign(pest="stem_borer"))
    with pytest.raises(NoDataError, match="none with a label"):
        BASELINES[name]().fit(HISTORY.assign(label=np.nan))


def test_a_damaged_card_is_refused():
    with pytest.raises(SourceError, match="'oracle'"):
        baseline_from_dict({"name": "oracle"})
    with pytest.raises(SourceError, match="damaged"):
        baseline_from_dict({"name": "climatology", "prior": 10, "targets": [{"pest": PEST}]})
