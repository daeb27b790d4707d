from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rs_forecast import trees
from rs_forecast.catalog import PRESETS
from rs_forecast.kernels.trees import MOST_SPLITS, strongest
from rs_forecast.trees import Trees


def _data(seed, rows=800, missing=0.1):
    """Five numeric features, one of them often 0, and a category of eight."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)).round(2)
    x[:, 3] *= rng.random(rows) < 0.6
    x[rng.random(x.shape) < missing] = np.nan
    x[:, 5] = rng.integers(0, 8, rows)
    logit = np.nan_to_num(x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.7 * x[:, 3]) + np.isin(x[:, 5], (1, 4, 6))
    return x, (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)


def _booster(x, label, category=True, rounds=12, **params):
    params = {"objective": "binary", "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 3, "max_bin": 63, **params}
    data = lgb.Dataset(x, label, categorical_feature=[5] if category else [], params=params)
    return lgb.train(params, data, num_boost_round=rounds)


def _odd(x):
    """The rows again, with values that no training row had."""
    strange = x.copy()
    strange[::3, :5] = np.nan
    strange[1::3, 3] = 0.0
    strange[2::3, 5] = np.resize([9, 31, 40], len(strange[2::3]))
    return np.concatenate([x, strange])


MODELS = {
    "small trees": {"num_leaves": 5},
    "the default preset": {"num_leaves": 15, "lambda_l2": 5.0, "bagging_fraction": 0.8, "bagging_freq": 1},
    "trees in several pieces": {"num_leaves": 63, "max_depth": 9},
    "zero is missing": {"num_leaves": 15, "zero_as_missing": True},
    "missing is zero": {"num_leaves": 15, "use_missing": False},
    "no category": {"num_leaves": 15, "category": False},
    "stumps of one leaf": {"num_leaves": 4, "min_data_in_leaf": 500},
}


@pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_margins_and_contributions_are_lightgbms(params, seed):
    x, label = _data(seed)
    booster = _booster(x, label, **params)
    rows = _odd(x)
    ours = Trees(booster)
    np.testing.assert_array_equal(ours.margins(list(rows.T)), booster.predict(rows, raw_score=True))
    theirs = booster.predict(rows, pred_contrib=True)
    np.testing.assert_allclose(ours.contributions(list(rows.T)).T, theirs[:, :-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.base, theirs[0, -1], rtol=0, atol=1e-12)


def test_a_tree_in_several_pieces_is_one():
    x, label = _data(0)
    booster = _booster(x, label, num_leaves=63, max_depth=9, rounds=1)
    ours = Trees(booster)
    assert len(ours._pieces.leaf_start) - 1 > 1


def test_property_contributions_of_a_group_are_the_sum_of_its_features():
    x, label = _data(1)
    booster = _booster(x, label, num_leaves=15)
    alone = Trees(booster).contributions(list(x.T))
    group = [2, 0, 1, 0, 2, 2]
    together = Trees(booster, group).contributions(list(x.T))
    for number in range(3):
        own = [feature for feature, n in enumerate(group) if n == number]
        np.testing.assert_allclose(together[number], alone[own].sum(axis=0), atol=1e-12)


def test_property_a_row_gets_the_same_whatever_else_is_asked(monkeypatch):
    x, label = _data(2, rows=500)
    ours = Trees(_booster(x, label, num_leaves=15))
    margin, ranks = ours.strongest(list(x.T), 3, 0.01)
    monkeypatch.setattr(trees, "_BLOCK", 96)
    monkeypatch.setattr(trees, "_SLICE", 32)
    again, again_ranks = ours.strongest(list(x[::-1].T), 3, 0.01)
    np.testing.assert_array_equal(again[::-1], margin)
    np.testing.assert_array_equal(again_ranks[:, ::-1], ranks)
    np.testing.assert_array_equal(ours.margins(list(x.T)), margin)


def test_no_row_is_no_fault():
    x, label = _data(0)
    ours, none = Trees(_booster(x, label)), list(np.empty((6, 0)))
    assert ours.margins(none).shape == (0,)
    assert ours.contributions(none).shape == (6, 0)
    assert [part.shape for part in ours.strongest(none, 3, 0.01)] == [(0,), (3, 0)]


def test_a_path_longer_than_a_code_is_refused():
    steps = np.arange(60.0)
    booster = lgb.train(
        {
            "objective": "regression",
            "num_leaves": 40,
            "min_data_in_leaf": 1,
            "min_data_in_bin": 1,
            "verbosity": -1,
            "num_threads": 1,
        },
        lgb.Dataset(steps[:, None], 4.0**steps / 4.0**55),
        num_boost_round=1,
    )
    with pytest.raises(ValueError, match="splits deep; at most 14 are allowed"):
        Trees(booster)


@pytest.mark.parametrize("preset", list(PRESETS.values()), ids=lambda preset: preset.name)
def test_no_preset_grows_paths_that_are_refused(preset):
    assert min(preset.params["num_leaves"] - 1, preset.params.get("max_depth", 99)) <= MOST_SPLITS


PARTS = st.sampled_from([0, 0.5, -0.5, 2, -1e-9, 1])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=PARTS), st.integers(1, 4))
def test_property_the_strongest_are_those_of_a_stable_sort(parts, most):
    order = np.argsort(-np.abs(parts), axis=0, kind="stable")[:most]
    sizes = np.take_along_axis(parts, order, axis=0)
    told = np.where(np.abs(sizes) >= 0.01, np.where(sizes > 0, order + 1, -order - 1), 0)
    np.testing.assert_array_equal(strongest(parts, most, 0.01)[: len(told)], told)
