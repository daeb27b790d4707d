"""Values from blocks of a raster to the pixels that are wanted, in the order in which they are wanted.

Wanted pixels come as spans, runs of neighbours in one row of a grid. Two maps, from rows and columns of that grid to
those of the raster, say which pixel of the raster holds each one; so a raster of coarser pixels needs no copy of its
own at the grid's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit


@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """Spans cut at the borders of blocks, sorted by block, then row: a row of a block is looked at once, while near."""

    blocks: NDArray[np.int64]
    """Numbers of the blocks that hold any, rising; block 0 is the upper left one, and they run along rows."""
    starts: NDArray[np.int64]
    """Pieces of ``blocks[k]`` are ``starts[k]:starts[k + 1]``."""
    entry: NDArray[np.int64]
    """Where each piece's values go."""
    place: NDArray[np.int32]
    """(piece, 3): row in the raster, first column in the grid, and number of pixels."""


def cut(
    spans: NDArray[np.int32],
    starts: NDArray[np.int64],
    row_of: NDArray[np.int32],
    col_of: NDArray[np.int32],
    block: tuple[int, int],
    across: int,
) -> Pieces:
    """Cut spans at the borders of blocks.

    Parameters
    ----------
    spans, starts
        (span, 3): row, first column, number of pixels; and the entry at which each begins.
    row_of, col_of
        The raster's row (column) for each row (column) of the grid; -1 outside.
    block
        Rows and columns of a block.
    across
        Blocks side by side.
    """
    high, wide = block
    rows = (int(row_of.max(initial=-1)) // high + 1) * high
    counts = _count(spans, row_of, col_of, high, wide, across, np.zeros(rows * across, np.int64))
    ends = np.concatenate([[0], np.cumsum(counts)])
    entry, place = np.empty(int(ends[-1]), np.int64), np.empty((int(ends[-1]), 3), np.int32)
    _fill(spans, starts, row_of, col_of, high, wide, across, ends[:-1].copy(), entry, place)
    of_block = ends[::high]
    blocks = np.flatnonzero(np.diff(of_block))
    return Pieces(blocks=blocks, starts=of_block[[*blocks, -1]], entry=entry, place=place)


@jit
def wanted(valid, entry, place):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Whether any pixel of some pieces is valid."""
    for k in range(len(entry)):
        if valid[entry[k] : entry[k] + place[k, 2]].any():
            return True
    return False


@jit
def undo_differences(row):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Turn a row's differences between neighbours (TIFF's predictor 2) back into values, in place."""
    value = row[0]
    for c in range(1, len(row)):
        value = value + row[c]
        row[c] = value


@jit
def take(block, differences, top, left, col_of, entry, place, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Copy the pixels of pieces out of their block, whose first pixel is at row ``top``, column ``left``.

    Where the block holds ``differences`` they are undone first, in the rows that are looked at. Pieces are short, some
    ten pixels: no slices are made of them, for that took longer than the copying.
    """
    done = -1
    shift = np.uint64(left)
    for k in range(len(entry)):
        line = place[k, 0] - top
        if differences and line != done:
            undo_differences(block[line])
            done = line
        # unsigned: the compiler need not ask at each pixel whether an index counts from the end
        r, c, n, e = np.uint64(line), np.uint64(place[k, 1]), np.uint64(place[k, 2]), np.uint64(entry[k])
        for i in range(n):
            out[e + i] = block[r, np.uint64(col_of[c + i]) - shift]


@jit
def take_scaled(block, differences, top, left, col_of, entry, place, scale, offset, nodata, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """As :func:`take`, as reflectance cut at 0; NaN for no data and for what is no finite number."""
    done = -1
    for k in range(len(entry)):
        r, c, n, e = place[k, 0] - top, place[k, 1], place[k, 2], entry[k]
        if differences and r != done:
            undo_differences(block[r])
            done = r
        for i in range(n):
            number = np.float64(block[r, col_of[c + i] - left])
            value = number * scale + offset
            value = 0.0 if value < 0.0 else value
            out[e + i] = value if number != nodata and np.isfinite(value) else np.nan


@jit
def mark_outside(spans, starts, row_of, col_of, ok):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Set ``ok`` to false for the pixels that the raster does not hold."""
    for s in range(len(spans)):
        row, c, n = row_of[spans[s, 0]], spans[s, 1], spans[s, 2]
        if row >= 0 and col_of[c] >= 0 and col_of[c + n - 1] >= 0:
            continue
        for i in range(n):
            if row < 0 or col_of[c + i] < 0:
                ok[starts[s] + i] = False


@jit
def _count(spans, row_of, col_of, high, wide, across, counts):  # type: ignore[no-untyped-def]  # pragma: no cover
    for s in range(len(spans)):
        row = row_of[spans[s, 0]]
        if row < 0:
            continue
        c, end = spans[s, 1], spans[s, 1] + spans[s, 2]
        while c < end:
            c, size = _run(col_of, wide, c, end)
            if size:
                counts[_line(row, col_of[c], high, wide, across)] += 1
            c += max(size, 1)
    return counts


@jit
def _fill(spans, starts, row_of, col_of, high, wide, across, at, entry, place):  # type: ignore[no-untyped-def]  # pragma: no cover
    for s in range(len(spans)):
        row = row_of[spans[s, 0]]
        if row < 0:
            continue
        first, end = spans[s, 1], spans[s, 1] + spans[s, 2]
        c = first
        while c < end:
            c, size = _run(col_of, wide, c, end)
            if size:
                line = _line(row, col_of[c], high, wide, across)
                k = at[line]
                at[line] = k + 1
                entry[k] = starts[s] + c - first
                place[k, 0], place[k, 1], place[k, 2] = row, c, size
            c += max(size, 1)


@jit
def _line(row, col, high, wide, across):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Number of a row of a block, block after block."""
    return (np.int64(row) // high * across + col // wide) * high + row % high


@jit
def _run(col_of, wide, c, end):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The next columns that lie in one block: the first, and how many; none if the rest lies outside."""
    while c < end and col_of[c] < 0:
        c += 1
    if c == end:
        return c, 0
    block = col_of[c] // wide
    if col_of[end - 1] >= 0 and col_of[end - 1] // wide == block:
        return c, end - c
    size = 1
    while c + size < end and col_of[c + size] >= 0 and col_of[c + size] // wide == block:
        size += 1
    return c, size
