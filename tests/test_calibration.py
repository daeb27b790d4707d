from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from rs_forecast.calibration import MIN_SLOPE, RANGE, Calibration, Platt, fit_calibration, fit_platt


def _margins(n=800, slope=0.6, intercept=-0.4, seed=0):
    rng = np.random.default_rng(seed)
    margin = rng.normal(-1.5, 1.5, n)
    event = (rng.random(n) < 1 / (1 + np.exp(-(slope * margin + intercept)))).astype(float)
    return margin, event


@pytest.mark.parametrize("seed", range(3))
def test_oracle_sigmoid_calibration_of_scikit_learn(seed):
    margin, event = _margins(seed=seed)
    ours = fit_platt(margin, event)
    theirs = _SigmoidCalibration().fit(margin, event)
    np.testing.assert_allclose(ours.probability(margin), theirs.predict(margin), atol=1e-5)


def test_oracle_logistic_regression_on_smoothed_targets_with_weights():
    margin, event = _margins()
    weight = np.random.default_rng(1).integers(0, 4, len(margin)).astype(float)
    n1, n0 = (weight * event).sum(), (weight * (1 - event)).sum()
    target = np.where(event == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    twice = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.r_[margin, margin][:, None],
        np.r_[np.ones_like(event), np.zeros_like(event)],
        np.r_[weight * target, weight * (1 - target)],
    )
    ours = fit_platt(margin, event, weight)
    assert ours.slope == pytest.approx(twice.coef_[0, 0], abs=1e-5)
    assert ours.intercept == pytest.approx(twice.intercept_[0], abs=1e-5)


def test_weights_count_as_repeated_rows():
    margin, event = _margins(200)
    weight = np.random.default_rng(1).integers(0, 3, len(margin))
    once = fit_platt(margin, event, weight.astype(float))
    repeated = fit_platt(np.repeat(margin, weight), np.repeat(event, weight))
    assert (once.slope, once.intercept) == pytest.approx((repeated.slope, repeated.intercept), abs=1e-6)


def test_the_slope_stays_positive_and_no_skill_gives_the_base_rate():
    margin, event = _margins(2000)
    reversed_fit = fit_platt(-margin, event)
    assert reversed_fit.slope == MIN_SLOPE
    n1, n = event.sum(), len(event)
    smoothed = (n1 * (n1 + 1) / (n1 + 2) + (n - n1) / (n - n1 + 2)) / n
    np.testing.assert_allclose(reversed_fit.probability(-margin), smoothed, rtol=1e-4)


def test_a_separable_sample_and_one_class_stay_finite():
    margin = np.array([-2.0, -1.0, 1.0, 2.0])
    for event in ([0.0, 0.0, 1.0, 1.0], [0.0] * 4, [1.0] * 4):
        fit = fit_platt(margin, np.array(event))
        assert np.isfinite([fit.slope, fit.intercept]).all()
        assert ((p := fit.probability(margin)) > 0).all()
        assert (p < 1).all()


def test_bounds_hold_the_probability_and_follow_blocks():
    margin, event = _margins(4000)
    rows = np.arange(len(margin))
    fine = fit_calibration(margin, event, rows % 400, seed=0)
    coarse = fit_calibration(margin, event, rows // 1000, seed=0)
    assert len(fine.samples) >= 50
    ask = np.linspace(-5, 3, 41)
    for calibration in (fine, coarse):
        low, high = calibration.bounds(ask)
        p = calibration.probability(ask)
        assert (low <= p).all()
        assert (p <= high).all()
        assert (high > low).all()


def _plain_bounds(calibration, margin):
    lines = np.array([[s.slope, s.intercept] for s in calibration.samples])[:, :, None]
    low, high = expit(np.quantile(lines[:, 0] * margin + lines[:, 1], RANGE, axis=0, method="inverted_cdf"))
    middle = calibration.probability(margin)
    return np.minimum(low, middle), np.maximum(high, middle)


@settings(max_examples=100)
@given(
    samples=st.lists(st.tuples(st.floats(1e-6, 4), st.floats(-9, 9).map(lambda v: round(v, 1))), min_size=1),
    margin=st.lists(st.floats(-20, 20) | st.sampled_from([0.0, np.inf, -np.inf, np.nan]), max_size=30),
)
def test_oracle_bounds_are_those_of_numpy_to_the_bit(samples, margin):
    calibration = Calibration(platt=Platt(1.0, 0.0), samples=tuple(Platt(*one) for one in samples))
    margin = np.array(margin, float)
    np.testing.assert_array_equal(calibration.bounds(margin), _plain_bounds(calibration, margin))


def test_bounds_of_many_margins_are_those_of_numpy_to_the_bit():
    margin, event = _margins(3000)
    calibration = fit_calibration(margin, event, np.arange(len(margin)) // 100, seed=0)
    ask = np.random.default_rng(5).normal(-2, 2, 120_000)
    np.testing.assert_array_equal(calibration.bounds(ask), _plain_bounds(calibration, ask))


def test_bounds_are_the_quantiles_of_the_samples():
    samples = tuple(Platt(1.0, i / 100) for i in range(100))
    calibration = Calibration(platt=Platt(1.0, 0.5), samples=samples)
    low, high = calibration.bounds(np.array([0.3]))
    each = np.sort([s.probability(np.array([0.3]))[0] for s in samples])
    assert (low[0], high[0]) == (pytest.approx(each[4]), pytest.approx(each[94]))


@pytest.mark.slow
def test_the_range_covers_the_true_curve_about_as_often_as_it_says():
    hits = 0
    for seed in range(100):
        margin, event = _margins(600, seed=seed)
        low, high = fit_calibration(margin, event, np.arange(600) % 100, seed=seed).bounds(np.array([-1.0]))
        hits += bool(low[0] <= 1 / (1 + np.exp(1.0)) <= high[0])
    assert 80 <= hits <= 97  # 90 % of 100, within three standard errors


def test_json_gives_the_same_to_the_bit():
    margin, event = _margins()
    fitted = fit_calibration(margin, event, np.arange(len(margin)) % 20, seed=3)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert fit_calibration(margin, event, np.arange(len(margin)) % 20, seed=3) == fitted
    assert fit_calibration(margin, event, np.arange(len(margin)) % 20, seed=4).samples != fitted.samples
