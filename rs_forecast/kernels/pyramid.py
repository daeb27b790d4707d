"""Rasters at half their resolution, for overviews. Pixels without data do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

type Part = tuple[NDArray[Any], int, int]


def halve_mean(block: NDArray[np.float32], nodata: float, out: Part | None = None) -> NDArray[np.float32]:
    """Return the mean of the data in each square of 2 x 2 pixels of ``block``, whose sides are even.

    ``out`` is an array that takes the result, and the row and column of it where that begins.
    """
    return _halved(block, nodata, _mean, out)


def halve_mode(block: NDArray[np.uint8], nodata: int, out: Part | None = None) -> NDArray[np.uint8]:
    """Return the value that is most frequent in each square of 2 x 2 pixels of ``block``, the lowest of equals.

    The sides of ``block`` are even, and no value of it is above ``nodata``. ``out`` is as in :func:`halve_mean`.
    """
    return _halved(block, nodata, _mode, out)


def _halved(block: NDArray[Any], nodata: float, kernel: Any, out: Part | None) -> NDArray[Any]:
    rows, cols = block.shape[0] // 2, block.shape[1] // 2
    whole, top, left = (np.empty((rows, cols), block.dtype), 0, 0) if out is None else out
    kernel(block, block.dtype.type(nodata), whole, top, left)
    return whole[top : top + rows, left : left + cols]


# both loops without branches, which the compiler turns into vectors


@jit
def _mean(block, nodata, out, top, left):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(block.shape[0] // 2):
        upper, lower, here = block[2 * r], block[2 * r + 1], out[top + r, left : left + block.shape[1] // 2]
        for c in range(len(here)):
            a, b, d, e = upper[2 * c], upper[2 * c + 1], lower[2 * c], lower[2 * c + 1]
            total = 0.0
            count = 0.0
            for value in (a, b, d, e):
                there = np.float64(value != nodata)
                total += value * there
                count += there
            here[c] = total / count if count > 0.0 else nodata


@jit
def _mode(block, nodata, out, top, left):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(block.shape[0] // 2):
        upper, lower, here = block[2 * r], block[2 * r + 1], out[top + r, left : left + block.shape[1] // 2]
        for c in range(len(here)):
            a, b, d, e = upper[2 * c], upper[2 * c + 1], lower[2 * c], lower[2 * c + 1]
            # in rising order; nodata comes last
            a, b, d, e = min(a, b), max(a, b), min(d, e), max(d, e)
            first, second, third, last = min(a, d), max(a, d), min(b, e), max(b, e)
            second, third = min(second, third), max(second, third)
            found = third if (third == last) & (third != nodata) else first
            found = second if (second == third) & (second != nodata) else found
            here[c] = first if first == second else found
