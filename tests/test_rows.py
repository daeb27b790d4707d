"""Rows brought together by whole numbers, against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.kernels import rows as kernels
from rs_forecast.kernels.rows import scatter, weighted_means

KEYS, SOURCES = 5, 3
pairs = st.lists(
    st.tuples(st.integers(-1, KEYS - 1), st.integers(-1, SOURCES - 1), st.sampled_from([0.0, 0.25, 1.0])), max_size=20
)


@settings(max_examples=100)
@given(rows=pairs, seed=st.integers(0, 999))
def test_oracle_weighted_means_are_those_of_pandas(rows, seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((4, SOURCES)) < 0.3, np.nan, rng.normal(size=(4, SOURCES)))
    key, source = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
    weight = np.array([row[2] for row in rows], float)
    found = weighted_means(key, source, weight, values, KEYS)
    assert found.shape == (4, KEYS)
    for column, own in zip(values, found, strict=True):
        table = pd.DataFrame({"key": key, "weight": weight, "value": np.where(source < 0, np.nan, column[source])})
        table = table[table["key"] >= 0].dropna()
        total = (table["weight"] * table["value"]).groupby(table["key"]).sum()
        shares = table["weight"].groupby(table["key"]).sum()
        expected = (total / shares.where(shares > 0)).reindex(range(KEYS))
        np.testing.assert_allclose(own, expected, rtol=1e-12)


@pytest.mark.parametrize("together", [1, 4, 100])
def test_scattered_values_are_those_of_plain_indexing(monkeypatch, together):
    monkeypatch.setattr(kernels, "_TOGETHER", together)
    rng = np.random.default_rng(3)
    looks = [rng.random(20).astype(np.float32) for _ in range(3)]
    row = rng.integers(0, 20, 10)
    places = rng.permutation(40)[:30].reshape(3, 10).astype(np.int32)
    places[rng.random((3, 10)) < 0.3] = -1
    out, expected = np.full(40, np.nan, np.float32), np.full(40, np.nan, np.float32)
    scatter(looks, row, list(places), out)
    for values, at in zip(looks, places, strict=True):
        expected[at[at >= 0]] = values[row][at >= 0]
    np.testing.assert_array_equal(out, expected)
