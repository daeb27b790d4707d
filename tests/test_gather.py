"""Values from blocks to wanted pixels, against plain indexing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.kernels.gather import cut, mark_outside, take, take_scaled, wanted

ROWS, COLS = 13, 17


@st.composite
def cases(draw):
    """Return spans on a grid, maps to a raster that may be coarser, smaller or elsewhere, and its block."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 12))
    first = rng.integers(0, COLS, count)
    spans = np.column_stack([rng.integers(0, ROWS, count), first, rng.integers(1, COLS - first + 1)]).astype(np.int32)
    size, shift = draw(st.integers(1, 3)), draw(st.integers(-5, 5))
    shape = (draw(st.integers(1, 14)), draw(st.integers(1, 18)))
    lines = []
    for length, most in zip((ROWS, COLS), shape, strict=True):
        line = (np.arange(length) + shift) // size
        lines.append(np.where((line >= 0) & (line < most), line, -1).astype(np.int32))
    block = (draw(st.integers(1, 6)), draw(st.integers(1, 9)))
    return spans.reshape(-1, 3), lines[0], lines[1], shape, block


def plain(spans, row_of, col_of, raster):
    """Each wanted pixel one by one; None where the raster holds none."""
    out = []
    for row, col, size in spans.tolist():
        for c in range(col, col + size):
            r, k = row_of[row], col_of[c]
            out.append(None if r < 0 or k < 0 else raster[r, k])
    return out


@settings(max_examples=300)
@given(case=cases(), differences=st.booleans())
def test_property_every_wanted_pixel_is_taken_once_from_its_block(case, differences):
    spans, row_of, col_of, shape, (high, wide) = case
    raster = np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)
    starts = np.concatenate([[0], np.cumsum(spans[:, 2])]).astype(np.int64)
    across = -(-shape[1] // wide)
    pieces = cut(spans, starts, row_of, col_of, (high, wide), across)
    expected = plain(spans, row_of, col_of, raster)
    out, scaled = np.zeros(len(expected), np.uint16), np.full(len(expected), np.nan, np.float32)
    times, filled = np.zeros(len(expected), int), []
    assert (np.diff(pieces.blocks) > 0).all()
    for k, number in enumerate(pieces.blocks.tolist()):
        own = slice(pieces.starts[k], pieces.starts[k + 1])
        entry, place = pieces.entry[own], pieces.place[own]
        assert len(entry)
        assert (np.diff(place[:, 0]) >= 0).all()  # row after row
        top, left = number // across * high, number % across * wide
        block = raster[top : top + high, left : left + wide].copy()
        if differences:
            block[:, 1:] -= block[:, :-1].copy()
        take(block.copy(), differences, top, left, col_of, entry, place, out)
        take_scaled(block, differences, top, left, col_of, entry, place, 2.0, -5.0, 7.0, scaled)
        for e, (_, _, size) in zip(entry.tolist(), place.tolist(), strict=True):
            times[e : e + size] += 1
            filled.append(e)
    inside = np.array([value is not None for value in expected], bool)
    np.testing.assert_array_equal(times, inside)
    np.testing.assert_array_equal(out[inside], [value for value in expected if value is not None])
    number = out[inside].astype(float)
    np.testing.assert_array_equal(
        scaled[inside], np.where(number == 7, np.nan, np.maximum(number * 2 - 5, 0)).astype(np.float32)
    )
    ok = np.ones(len(expected), np.bool_)
    mark_outside(spans, starts, row_of, col_of, ok)
    np.testing.assert_array_equal(ok, inside)
    valid = np.zeros(len(expected), np.bool_)
    assert not wanted(valid, pieces.entry, pieces.place)
    if inside.any():
        valid[np.flatnonzero(inside)[-1]] = True
        assert wanted(valid, pieces.entry, pieces.place)
