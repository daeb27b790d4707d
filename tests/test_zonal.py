from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import COLS, GRID, ROWS, batch, seeds, table_of, to_metres

from rs_forecast.catalog.formula import parse
from rs_forecast.kernels.bandmath import link
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.kernels.zonal import QUANTILES, Raw, parcel_signals, reflectance, zonal_stats


def pixels_of(table):
    return table.row.astype(np.int64) * table.shape[1] + table.col


def as_is(values, weight, starts):
    """Layers as signals: each is a band, and the index that is that band."""
    names = [f"b{k}" for k in range(len(values))]
    program = link([parse(name) for name in names], [(-np.inf, np.inf)] * len(names))
    return parcel_signals(reflectance(values), program, weight, starts)


def rasters(seed):
    """Smooth, repeated, large, nearly constant and holed values, float32."""
    rng = np.random.default_rng(seed)
    form = (ROWS, COLS)
    layers = [
        rng.uniform(-1, 1, form),
        rng.integers(0, 4, form) / 10,
        rng.normal(1e4, 1, form),
        np.full(form, 0.3),
        rng.choice([0.25, 0.5, np.nan], form),
    ]
    out = np.array(layers, np.float32)
    out[0][rng.random(form) < 0.3] = np.nan
    return out


def inside(seed):
    """Polygons within the grid, with no pixel covered so thinly that float32 shares would lose it."""
    whole = shapely.box(0, 0, COLS, ROWS)
    cut = [p.intersection(whole) for p in batch(seed)]
    parcels = table_of(*(to_metres(p) for p in cut if p.geom_type in ("Polygon", "MultiPolygon") and p.area > 0))
    table = coverage_table(parcels, GRID)
    thin = np.unique(table.parcel[table.weight < 1e-4])
    return parcels.drop(index=thin).reset_index(drop=True)


def by_exactextract(layer, parcels):
    raster = NumPyRasterSource(layer, *GRID.boundingbox, nodata=np.nan, srs_wkt=parcels.crs.to_wkt())
    ops = ["mean", "stdev", "quantile(q=0.1)", "quantile(q=0.5)", "quantile(q=0.9)", "count"]
    return exact_extract(raster, parcels, ops, output="pandas").to_numpy(np.float64)


@settings(max_examples=40)
@given(seed=seeds)
def test_oracle_statistics_are_those_of_exactextract(seed):
    parcels = inside(seed)
    if parcels.empty:
        return
    table, layers = coverage_table(parcels, GRID), rasters(seed)
    values, pixel = layers.reshape(len(layers), -1), pixels_of(table)
    found = zonal_stats(values[:, pixel], table.weight, table.starts)
    assert found.shape == (len(parcels), len(layers), 2 + len(QUANTILES))
    for number, layer in enumerate(layers):
        theirs = by_exactextract(layer, parcels)
        count = as_is(np.abs(values[[number]][:, pixel]), table.weight, table.starts)[1]
        np.testing.assert_allclose(count, theirs[:, 5], rtol=1e-5)
        empty = theirs[:, 5] == 0
        assert np.isnan(found[empty, number]).all()
        ours, theirs = found[~empty, number], theirs[~empty]
        scale = max(1.0, float(np.nanmax(np.abs(layer))))
        np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(ours[:, 1], theirs[:, 1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours[:, 2:], theirs[:, 2:5], rtol=0, atol=1e-5 * scale)


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40, unique=True),
    weight=st.floats(1e-3, 1.0),
)
def test_property_equal_weights_give_the_usual_statistics(values, weight):
    x = np.array([values], np.float32)
    n = x.shape[1]
    found = zonal_stats(x, np.full(n, weight), np.array([0, n]), (0.0, 0.1, 0.25, 0.5, 0.9, 1.0))[0, 0]
    exact = x[0].astype(np.float64)
    np.testing.assert_allclose(found[0], exact.mean(), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found[1], exact.std(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[2:], np.quantile(exact, [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), rtol=1e-9, atol=1e-9)


@given(seed=seeds)
def test_property_order_of_pixels_and_scale_of_weights_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    x = rng.choice(np.array([0.1, 0.2, 0.7, np.nan], np.float32), (1, n))
    w, order, starts = rng.uniform(0.01, 1, n), rng.permutation(n), np.array([0, n])
    one = zonal_stats(x, w, starts)
    np.testing.assert_array_equal(zonal_stats(x[:, order], w[order], starts), one)
    np.testing.assert_allclose(zonal_stats(x, 8 * w, starts), one, rtol=0, atol=1e-12)
    np.testing.assert_allclose(zonal_stats(x, 7 * w, starts), one, rtol=0, atol=1e-6)  # shares have 32 bits
    kept = ~np.isnan(x[0])
    if kept.any():
        mean, std, *quantiles = one[0, 0]
        assert mean == pytest.approx(np.average(x[0][kept], weights=w[kept]))
        assert std == pytest.approx(np.sqrt(np.average((x[0][kept] - mean) ** 2, weights=w[kept])), rel=1e-6, abs=1e-7)
        assert np.nanmin(x) <= quantiles[0] <= quantiles[1] <= quantiles[2] <= np.nanmax(x)
    else:
        assert np.isnan(one).all()


def test_quantiles_by_hand():
    # 1 (0.5 + 0.5 merged), 2 (1.0), 4 (0.5): s = 0, 1*1 + 2*1 = 3, 2*0.5 + 2*2 = 5, and q stands at q * 2 * 2.5
    x, w = np.array([[4, 1, 2, 1]], np.float32), np.array([0.5, 0.5, 1.0, 0.5])
    for quantiles in ((0.0, 0.3, 0.5, 0.8, 1.0), (1.0, 0.5, 0.8, 0.0, 0.3)):
        found = zonal_stats(x, w, np.array([0, 4]), quantiles)[0, 0, 2:]
        known = {0.0: 1, 0.3: 1.5, 0.5: 1 + 2.5 / 3, 0.8: 3, 1.0: 4}
        np.testing.assert_allclose(found, [known[q] for q in quantiles])


@pytest.mark.parametrize("value", [58.34375, 0.1, -3e4])
def test_deviation_of_equal_values_is_exactly_none(value):
    weight = np.random.default_rng(1).uniform(0, 1, 50)
    found = zonal_stats(np.full((1, 50), value, np.float32), weight, np.array([0, 50]))[0, 0]
    assert found.tolist() == [np.float32(value), 0.0, *[np.float32(value)] * 3]


def test_deviation_of_large_values_does_not_drown():
    x = np.array([[1e6, 1e6 + 1]], np.float32)
    assert zonal_stats(x, np.ones(2), np.array([0, 2]))[0, 0, 1] == pytest.approx(0.5)


def test_parcels_may_share_pixels_have_none_or_see_none():
    x = np.array([[1.0, 2.0, np.nan], [5.0, 5.0, 5.0]], np.float32)
    pixel, weight, starts = np.array([0, 1, 1, 2]), np.array([1.0, 0.5, 0.25, 1.0]), np.array([0, 2, 2, 3, 4])
    found = zonal_stats(x[:, pixel], weight, starts, (0.5,))
    nan = np.nan
    np.testing.assert_allclose(found[:, 0, 0], [4 / 3, nan, 2.0, nan])
    np.testing.assert_allclose(found[:, 1, 0], [5.0, nan, 5.0, 5.0])
    np.testing.assert_allclose(found[:, 1, 1], [0.0, nan, 0.0, 0.0])
    np.testing.assert_allclose(as_is(x[:, pixel], weight, starts)[1], [1.5, 0.0, 0.25, 0.0])


def test_no_parcels_and_no_layers():
    nothing = np.array([], np.int64)
    assert zonal_stats(np.zeros((2, 0), np.float32), nothing.astype(float), np.array([0])).shape == (0, 2, 5)
    assert zonal_stats(np.zeros((0, 1), np.float32), np.ones(1), np.array([0, 1])).shape == (1, 0, 5)


def test_infinite_values_do_not_count():
    x = np.array([[np.inf, 2.0, -np.inf, 4.0]], np.float32)
    assert zonal_stats(x, np.ones(4), np.array([0, 4]), (0.5,))[0, 0].tolist() == [3.0, 1.0, 3.0]


FORMULAS = ("(a - b) / (a + b)", "a / b - 1", "c * 2")
RANGES = ((-1.0, 1.0), (-0.5, 3.0), (0.0, 1.0))


def plain_layers(bands):
    a, b, c = bands
    with np.errstate(all="ignore"):
        layers = np.array([(a - b) / (a + b), a / b - 1, c * 2])
    low, high = np.array(RANGES).T[..., None]
    return np.where((layers >= low) & (layers <= high), layers, np.nan).astype(np.float32)


@settings(max_examples=60)
@given(seed=seeds, threads=st.sampled_from([1, 2, 4]), kind=st.sampled_from([np.uint16, np.float32]))
def test_property_the_fused_pass_is_the_plain_steps_one_by_one(seed, threads, kind):
    """Scale, offset, no data, clouds, formulas and ranges by numpy; then the statistics of what is left."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([0, 1, 3, 15, 16, 17, 60, 700], int(rng.integers(1, 12)))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n = int(starts[-1])
    values = rng.integers(0, 6000, (3, n)).astype(kind)
    values[rng.random(values.shape) < 0.05] = 7  # no data
    if kind is np.float32 and n:
        values[1, rng.random(n) < 0.05] = np.nan
        values[2, rng.random(n) < 0.02] = np.inf
    raw = Raw(
        values=values,
        scale=np.array([1e-4, 2e-4, 1e-4]),
        offset=np.array([-0.1, 0.0, 0.05]),
        nodata=np.array([7.0, 7.0, np.nan]),
        valid=rng.random(n) < rng.choice([0.0, 0.5, 0.97]),
    )
    weight = rng.uniform(0.01, 1, n)
    program = link([parse(text) for text in FORMULAS], RANGES)
    assert program.bands == ("a", "b", "c")
    found, seen = parcel_signals(raw, program, weight, starts, threads=threads)
    plain = np.maximum(values.astype(np.float64) * raw.scale[:, None] + raw.offset[:, None], 0).astype(np.float32)
    valid = raw.valid & (values != raw.nodata[:, None]).all(axis=0) & np.isfinite(plain).all(axis=0)
    layers = np.where(valid, plain_layers(plain), np.float32(np.nan))
    parts = list(itertools.pairwise(starts))
    np.testing.assert_allclose(seen, [weight[a:b][valid[a:b]].sum() for a, b in parts], rtol=1e-12)
    np.testing.assert_allclose(found, zonal_stats(layers, weight, starts), rtol=2e-6, atol=2e-6)
    for p, (a, b) in enumerate(parts):
        for f, layer in enumerate(layers[:, a:b]):
            some = ~np.isnan(layer)
            expected = np.average(layer[some].astype(float), weights=weight[a:b][some]) if some.any() else np.nan
            np.testing.assert_allclose(found[p, f, 0], expected, rtol=1e-6, atol=1e-6)


def test_results_depend_on_no_other_parcel():
    """Rows of keys are padded and sorted side by side: what stands in the next row must not matter."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 90, 400)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    x, w = rng.normal(0, 1, (2, starts[-1])).astype(np.float32), rng.uniform(0.01, 1, starts[-1])
    x[rng.random(x.shape) < 0.2] = np.nan
    among = zonal_stats(x, w, starts)
    for p in rng.integers(0, 400, 20):
        own = slice(starts[p], starts[p + 1])
        alone = zonal_stats(x[:, own], w[own], np.array([0, sizes[p]]))[0]
        np.testing.assert_array_equal(among[p], alone)
