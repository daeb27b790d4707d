"""Which parcel owns a pixel, from a coverage table; and what the parcels hold, spread over their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit
from rs_forecast.kernels.coverage import CoverageTable

_PIXEL = 2**20
"""Shares are compared and added in parts of this many a pixel: as whole numbers, so that a tie is a tie and two
halves are one, whatever the last digits of the coordinates."""


def pixel_owner(
    table: CoverageTable,
    *,
    corner: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> NDArray[np.int32]:
    """Return the number of the parcel that owns each pixel, (y, x), -1 where none does.

    A pixel belongs to the parcel that covers most of it (the first row of equals), if all parcels together cover at
    least half of it. Shares are told apart to a millionth of a pixel.

    Parameters
    ----------
    table
        Shares of pixels under parcels.
    corner, shape
        First row and column, and rows and columns, of a part of the grid that holds all pixels of the table; by default
        the whole grid.
    numbers
        Number of each parcel; by default its row.
    """
    owner = np.full(table.shape if shape is None else shape, -1, np.int32)
    shares = np.empty((*owner.shape, 2), np.int32)
    names = np.arange(len(table.starts) - 1) if numbers is None else numbers
    _claim(table.starts, table.spans, table.weight, names, *corner, _PIXEL, owner, shares)
    return owner


def spread(owner: NDArray[np.int32], table: NDArray[Any]) -> NDArray[Any]:
    """Return what the parcels hold on the pixels that they own.

    Parameters
    ----------
    owner
        Row number of a parcel, (y, x); -1 where there is none.
    table
        What stands where there is no parcel, and after it the value of each parcel.
    """
    out = np.empty(owner.shape, table.dtype)
    _spread(owner, table, out)
    return out


@jit
def _claim(starts, spans, weight, numbers, top, left, pixel, owner, shares):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Three passes over the entries, which come in order of their parcels, and none over the pixels.

    ``shares`` are the sum so far and the greatest; taken as a pair, by a view, each would cost three times as much.
    """
    for s in range(len(spans)):
        row, first = spans[s, 0] - top, spans[s, 1] - left
        for col in range(first, first + spans[s, 2]):
            shares[row, col, 0] = shares[row, col, 1] = 0
    k = s = 0
    for p in range(len(starts) - 1):
        while k < starts[p + 1]:
            row, first = spans[s, 0] - top, spans[s, 1] - left
            for col in range(first, first + spans[s, 2]):
                share = np.int32(np.rint(weight[k] * pixel))
                shares[row, col, 0] = min(shares[row, col, 0] + share, pixel)
                if share > shares[row, col, 1]:
                    shares[row, col, 1] = share
                    owner[row, col] = numbers[p]
                k += 1
            s += 1
    for s in range(len(spans)):
        row, first = spans[s, 0] - top, spans[s, 1] - left
        for col in range(first, first + spans[s, 2]):
            if shares[row, col, 0] < pixel // 2:
                owner[row, col] = -1


@jit
def _spread(owner, table, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(owner.shape[0]):
        for c in range(owner.shape[1]):
            out[r, c] = table[np.uint32(owner[r, c] + 1)]
