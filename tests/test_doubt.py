from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from flanders import SQUARES, square_file, square_parcels
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast import extract_signals
from rs_forecast.kernels.doubt import dips
from rs_forecast.kernels.series import pack
from rs_forecast.sources.local import open_scenes

NAN = float("nan")


def judged(values, days=None, width=30, drop=0.1):
    days = np.arange(len(values)) * 5 if days is None else np.asarray(days)
    return dips(days, np.asarray(values, dtype=float), np.array([0, len(values)]), width, drop).nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.6, 0.3, 0.62], [1]),
        ([0.6, 0.55, 0.62], []),  # too small
        ([0.6, 0.3], []),  # the newest is not judged
        ([0.3, 0.6], []),  # nothing before it
        ([0.7, 0.3, 0.28, 0.25], []),  # a harvest: it stays low
        ([0.7, 0.3, 0.28, 0.7], []),  # two in a row are taken as a fall
        ([0.6, 0.3, NAN, 0.62], [1]),  # a masked look between
        ([0.6, 0.3, 0.6, 0.2, 0.6], [1, 3]),
        ([0.6, 0.9, 0.6], []),  # a rise is none
    ],
)
def test_a_dip_lies_below_both_neighbours(values, found):
    assert judged(values) == found


def test_neighbours_too_far_away_say_nothing():
    assert judged([0.6, 0.3, 0.6], [0, 31, 40]) == []
    assert judged([0.6, 0.3, 0.6], [0, 5, 36]) == []
    assert judged([0.6, 0.3, 0.6], [0, 30, 60]) == [1]


SERIES = st.lists(
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.2, 0.4, 0.5, 0.7, NAN])), max_size=9), max_size=4
)


@given(SERIES, st.integers(5, 40), st.sampled_from([0.05, 0.25]))
def test_property_series_do_not_touch_and_order_of_time_counts(series, width, drop):
    days = [np.cumsum([gap for gap, _ in one]) for one in series]
    values = [np.array([value for _, value in one], dtype=float) for one in series]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in series])]).astype(np.int64)
    found = dips(np.concatenate([[], *days]).astype(np.int64), np.concatenate([[], *values]), starts, width, drop)
    for n, (day, value) in enumerate(zip(days, values, strict=True)):
        own = [k for k in range(len(value)) if not np.isnan(value[k])]
        before, due = None, set()
        for at, k in enumerate(own):
            after = own[at + 1] if at + 1 < len(own) else None
            sides = [side for side in (before, after) if side is not None and abs(day[side] - day[k]) <= width]
            if len(sides) == 2 and value[k] < min(value[side] for side in sides) - drop:
                due.add(k)
            else:
                before = k
        assert set(np.flatnonzero(found[starts[n] : starts[n + 1]])) == due


def test_real_series_are_smoother_without_their_dips(shared_data):
    """Of clear looks of real fields one in fifteen at most is a dip, and the others scatter at least a fifth less."""
    tables = []
    for square in SQUARES:
        scenes = open_scenes([square_file(shared_data, square, f"S2_L2A_{size}m") for size in (10, 20)], scale=1e-4)
        tables.append(extract_signals(scenes, square_parcels(shared_data, square), indices=["ndvi"]))
    table = pd.concat(tables, ignore_index=True)
    ids = pd.Index(table["parcel_id"].unique())
    days = table["date"].to_numpy("datetime64[D]").astype(np.int64)
    order, starts = pack(ids.get_indexer(table["parcel_id"]), days, len(ids))
    clear = table["ndvi_mean"].where(table["valid_fraction"] >= 0.5).to_numpy(dtype=float)[order]
    found = dips(days[order], clear, starts, 45, 0.1)
    assert 0 < found.sum() <= np.isfinite(clear).sum() / 15
    before = _scatter(days[order], clear, starts)
    assert _scatter(days[order], np.where(found, np.nan, clear), starts) < 0.8 * before


def _scatter(days, values, starts):
    """Root mean square distance of a look from the line between the looks around it, within 20 days."""
    found = []
    for first, past in itertools.pairwise(starts):
        own = np.flatnonzero(np.isfinite(values[first:past])) + first
        for a, b, c in zip(own[:-2], own[1:-1], own[2:], strict=True):
            if days[c] - days[a] <= 20:
                share = (days[b] - days[a]) / (days[c] - days[a])
                found.append(values[b] - values[a] - share * (values[c] - values[a]))
    return float(np.sqrt(np.mean(np.square(found))))
