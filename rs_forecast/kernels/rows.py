"""Rows of many looks brought together by whole numbers: who wins a day, and where each row goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

Numbers = NDArray[np.integer[Any]]


def elect(
    key: Numbers, weight: NDArray[np.float64], look: int, best: NDArray[np.float64], winner: NDArray[np.int32]
) -> None:
    """Enter one look: of the looks entered so far, ``winner[key]`` is the first with the greatest weight.

    Parameters
    ----------
    key, weight
        The look's entries.
    look
        Its number.
    best, winner
        Per key, changed in place; to begin with -1 and -1.
    """
    _elect(key, weight, np.int32(look), best, winner)


def place(key: Numbers, free: NDArray[np.int64], at: NDArray[np.int64]) -> None:
    """Give each entry the next free row of its key: ``at[key] = free[key]``, and ``free[key]`` moves on by one."""
    _place(key, free, at)


def scatter(values: NDArray[Any], row: Numbers, at: NDArray[np.integer[Any]], out: NDArray[Any]) -> None:
    """Copy ``values[look, row]`` to ``out[at[look]]``, where ``at`` is not negative.

    Parameters
    ----------
    values
        (look, row).
    row
        For each entry its row, the same in all looks.
    at
        (look, entry): where it goes. The looks of an entry lie side by side there, so they are copied together.
    out
        Changed in place.
    """
    _scatter(values, row, at, out)


@jit
def _elect(key, weight, look, best, winner):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(len(key)):
        if weight[i] > best[key[i]]:
            best[key[i]], winner[key[i]] = weight[i], look


@jit
def _place(key, free, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(len(key)):
        at[key[i]] = free[key[i]]
        free[key[i]] += 1


@jit
def _scatter(values, row, at, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(len(row)):
        for look in range(len(at)):
            k = at[look, i]
            if k >= 0:
                out[k] = values[look, row[i]]
