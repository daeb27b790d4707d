"""Rasters at half their resolution, for overviews. Pixels without data do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit


def halve_mean(block: NDArray[np.float32], nodata: float) -> NDArray[np.float32]:
    """Return the mean of the data in each square of 2 x 2 pixels of ``block``, whose sides are even."""
    return _halved(block, nodata, _mean)


def halve_mode(block: NDArray[np.uint8], nodata: int) -> NDArray[np.uint8]:
    """Return the value that is most frequent in each square of 2 x 2 pixels of ``block``, the lowest of equals."""
    return _halved(block, nodata, _mode)


def _halved(block: NDArray[Any], nodata: float, kernel: Any) -> NDArray[Any]:
    out = np.empty((block.shape[0] // 2, block.shape[1] // 2), block.dtype)
    kernel(block, block.dtype.type(nodata), out)
    return out


@jit
def _mean(block, nodata, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            a, b, d, e = (
                block[2 * r, 2 * c],
                block[2 * r, 2 * c + 1],
                block[2 * r + 1, 2 * c],
                block[2 * r + 1, 2 * c + 1],
            )
            if a == b and a == d and a == e:
                out[r, c] = a
                continue
            total, count = 0.0, 0
            for value in (a, b, d, e):
                if value != nodata:
                    total += value
                    count += 1
            out[r, c] = total / count


@jit
def _mode(block, nodata, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            a, b, d, e = (
                block[2 * r, 2 * c],
                block[2 * r, 2 * c + 1],
                block[2 * r + 1, 2 * c],
                block[2 * r + 1, 2 * c + 1],
            )
            if a == b and a == d and a == e:
                out[r, c] = a
                continue
            best, most = nodata, 0
            for value in (a, b, d, e):
                count = (value == a) + (value == b) + (value == d) + (value == e)
                if value != nodata and (count > most or (count == most and value < best)):
                    best, most = value, count
            out[r, c] = best
