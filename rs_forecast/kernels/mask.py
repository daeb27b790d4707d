"""Masks grown by a distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

_ROWS = 256
_NARROW = 4
"""Rows in half a disc up to which shifting is faster."""


CLEAR, GROWS, ENDS = np.uint8(0), np.uint8(1), np.uint8(2)
"""What a pixel is: clear, masked with all around it, masked alone."""


def grow(kind: NDArray[np.uint8], reach: float, threads: int | None = None) -> NDArray[np.bool_]:
    """Return (y, x) which pixels are masked, or have their centre within ``reach`` [pixels] of one that grows.

    A disc, row by row. A small one is laid down shift by shift; of a large one each row is a comparison with the
    distance, along the pixel's own row, to the nearest that grows.
    """
    down = np.arange(int(np.floor(reach)) + 1)
    width = np.floor(np.sqrt(np.maximum(reach**2 - down**2, 0.0)) + 1e-9).astype(np.int32)
    out = np.empty(kind.shape, np.bool_)
    parts = [(top, min(top + _ROWS, len(kind))) for top in range(0, len(kind), _ROWS)]
    if len(width) <= _NARROW:
        share_out(lambda ends: _shifted(kind, width, ends[0], ends[1], out), parts, threads)
        return out
    most = min(int(width[0]) + 1, 2**15)
    near = np.empty(kind.shape, np.uint16)
    share_out(lambda ends: _along(kind, most, ends[0], ends[1], near), parts, threads)
    share_out(lambda ends: _across(kind, near, width, ends[0], ends[1], out), parts, threads)
    return out


@jit
def classify(classes, corner, kind_of, kind, first):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fill ``kind``, whose first pixel is ``first`` (row, column), from a block of classes whose first is ``corner``.

    Classes beyond the last of ``kind_of`` count as that one. Whole arrays and their places, not parts of arrays: a part
    is another type to the compiler wherever it is not the whole.
    """
    last = len(kind_of) - 1
    top, left = max(corner[0], first[0]), max(corner[1], first[1])
    bottom = min(corner[0] + classes.shape[0], first[0] + kind.shape[0])
    right = min(corner[1] + classes.shape[1], first[1] + kind.shape[1])
    for r in range(top, bottom):
        source = classes[r - corner[0], left - corner[1] : right - corner[1]]
        target = kind[r - first[0], left - first[1] : right - first[1]]
        for c in range(len(target)):
            number = source[c]
            target[c] = kind_of[int(number)] if 0 <= number < last else kind_of[last]


@jit
def _shifted(kind, width, first, last, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    columns = kind.shape[1]
    for r in range(first, last):
        target, own = out[r], kind[r]
        for c in range(columns):
            target[c] = own[c] != CLEAR
        for d in range(-len(width) + 1, len(width)):
            if not 0 <= r + d < len(kind):
                continue
            for shift in range(-width[abs(d)], width[abs(d)] + 1):
                begin, end = max(-shift, 0), columns - max(shift, 0)
                if begin < end:
                    source, goal = kind[r + d, begin + shift : end + shift], target[begin:end]
                    for c in range(len(goal)):
                        goal[c] = goal[c] | (source[c] == GROWS)


@jit
def _along(kind, most, first, last, near):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Columns to the nearest bad pixel of the same row, ``most`` at the most."""
    for r in range(first, last):
        source, target = kind[r], near[r]
        since = most
        for c in range(len(source)):
            since = 0 if source[c] == GROWS else min(since + 1, most)
            target[c] = since
        since = most
        for c in range(len(source) - 1, -1, -1):
            since = 0 if source[c] == GROWS else min(since + 1, most)
            target[c] = min(np.int64(target[c]), since)


@jit
def _across(kind, near, width, first, last, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(first, last):
        target, own = out[r], kind[r]
        for c in range(len(target)):
            target[c] = own[c] != CLEAR
        for d in range(-len(width) + 1, len(width)):
            if 0 <= r + d < len(near):
                source, reach = near[r + d], np.uint16(width[abs(d)])
                for c in range(len(target)):
                    target[c] = target[c] | (source[c] <= reach)
