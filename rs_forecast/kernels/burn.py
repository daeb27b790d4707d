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


def pixel_owner(table: CoverageTable, scratch: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
    """Return the row number of the parcel that owns each pixel, (y, x), -1 where none does.

    A pixel belongs to the parcel that covers most of it (the first row of equals), if all parcels together cover at
    least half of it. Shares are told apart to a millionth of a pixel.

    Parameters
    ----------
    table
        Shares of pixels under parcels.
    scratch
        Zeros, (y, x, 2), and zeros again when the call is over: for many tables of one shape.
    """
    owner = np.full(table.shape, -1, np.int32)
    shares = np.zeros((*table.shape, 2), np.int32) if scratch is None else scratch
    _claim(table.parcel, table.row, table.col, table.weight, _PIXEL, owner, shares)
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
def _claim(parcel, row, col, weight, pixel, owner, shares):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Three passes over the entries, which come in order of their parcels, and none over the pixels."""
    for k in range(len(parcel)):
        share = np.int32(np.rint(weight[k] * pixel))
        here = shares[row[k], col[k]]  # the sum so far, and the greatest
        here[0] = min(here[0] + share, pixel)
        if share > here[1]:
            here[1] = share
            owner[row[k], col[k]] = parcel[k]
    for k in range(len(parcel)):
        if shares[row[k], col[k], 0] < pixel // 2:
            owner[row[k], col[k]] = -1
    for k in range(len(parcel)):
        shares[row[k], col[k]] = 0


@jit
def _spread(owner, table, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(owner.shape[0]):
        for c in range(owner.shape[1]):
            out[r, c] = table[np.uint32(owner[r, c] + 1)]
