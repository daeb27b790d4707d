from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from rs_forecast.errors import NoDataError, SchemaError
from rs_forecast.scores import SCORES, base_rate, brier, brier_skill, log_score, pr_auc

P = [0.9, 0.2, 0.4, 0.1]
Y = [1, 0, 1, 0]


def test_by_hand():
    assert base_rate(P, Y) == 0.5
    assert brier(P, Y) == pytest.approx((0.01 + 0.04 + 0.36 + 0.01) / 4)
    assert log_score(P, Y) == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(0.4) + math.log(0.9)) / 4)
    assert pr_auc(P, Y) == 1.0
    # Ranked 0.9 (no), 0.6 (yes), 0.5 (no), 0.4 (yes): precision 1/2 at the first event, 2/4 at the second.
    assert pr_auc([0.9, 0.6, 0.5, 0.4], [0, 1, 0, 1]) == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 4)
    assert brier_skill(P, Y, [0.5] * 4) == pytest.approx(1 - 0.105 / 0.25)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40))
def test_oracle_scikit_learn(rows):
    p, y = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p, pos_label=1), abs=1e-12)
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    assert log_score(p, y) == pytest.approx(log_loss(y, clipped, labels=[0, 1]), rel=1e-9, abs=1e-12)
    if y.any():
        assert pr_auc(p, y) == average_precision_score(y, p)
    assert brier_skill(p, y, p) == pytest.approx(0) or brier(p, y) == 0


def test_pr_auc_of_a_constant_is_the_base_rate():
    assert pr_auc([0.3] * 10, [1] + [0] * 9) == pytest.approx(0.1)


def test_a_certain_miss_is_clipped_as_said():
    assert log_score([0.0], [1]) == pytest.approx(-math.log(1e-6))
    assert log_score([1.0], [0]) == pytest.approx(-math.log(1e-6), rel=1e-9)


def test_without_events_or_against_a_perfect_reference_the_answer_is_nan():
    assert math.isnan(pr_auc([0.1, 0.2], [0, 0]))
    assert math.isnan(brier_skill([0.5, 0.5], [1, 0], [1, 0]))


def test_better_points_to_the_better_forecast():
    y = np.array([1, 0, 1, 0, 0, 0])
    good, bad = np.array([0.8, 0.2, 0.7, 0.1, 0.3, 0.1]), np.array([0.3, 0.4, 0.5, 0.6, 0.2, 0.1])
    for score in SCORES.values():
        against = [np.full(6, y.mean())] if score.reference else []
        of_good, of_bad = score.function(good, y, *against), score.function(bad, y, *against)
        expected = {"higher": of_good > of_bad, "lower": of_good < of_bad, "": of_good == of_bad}
        assert expected[score.better], score.name


@pytest.mark.parametrize(
    ("probability", "event", "said"),
    [
        ([0.1, 0.2], [1], r"\(2,\) probabilities and \(1,\) events"),
        ([0.1, np.nan], [1, 0], "missing or outside"),
        ([0.1, 1.2], [1, 0], "missing or outside"),
        ([0.1, 0.2], [1, 2], "neither 0 nor 1"),
        ([0.1, 0.2], [1, np.nan], "neither 0 nor 1"),
    ],
)
@pytest.mark.parametrize("score", [base_rate, pr_auc, brier, log_score])
def test_unusable_input_is_refused(score, probability, event, said):
    with pytest.raises(SchemaError, match=said):
        score(probability, event)


def test_nothing_to_score():
    with pytest.raises(NoDataError):
        brier([], [])
