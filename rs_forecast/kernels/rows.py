"""Rows of many looks brought together by whole numbers: who wins a day, and where each row goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

_TOGETHER = 16_384
"""Entries that are copied from one look before the next has its turn."""
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


def scatter(
    looks: Sequence[NDArray[Any]], row: Numbers, at: Sequence[NDArray[np.integer[Any]]], out: NDArray[Any]
) -> None:
    """Copy ``looks[k][row]`` to ``out[at[k]]``, where ``at[k]`` is not negative.

    Parameters
    ----------
    looks
        Values of each look.
    row
        For each entry its row, the same in all looks.
    at
        Of each look, where each entry goes. Entries that follow one another go to places that lie close together, so
        they are copied some at a time from all looks: what is written stays in the processor's cache until it is full.
    out
        Changed in place.
    """
    for first in range(0, len(row), _TOGETHER):
        for values, to in zip(looks, at, strict=True):
            _scatter(values, row, to, first, min(first + _TOGETHER, len(row)), out)


def weighted_means(
    key: Numbers, source: Numbers, weight: NDArray[np.float64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return the mean over each key's sources, by weight, of the values that are there; NaN where none is.

    Parameters
    ----------
    key, source, weight
        One entry for each pair; of a negative key or source none counts.
    values
        (column, source), NaN for missing.
    count
        Number of keys.

    Returns
    -------
    ndarray
        (column, key).
    """
    out = np.empty((len(values), count))
    share_out(lambda k: _weighted_mean(key, source, weight, values[k], out[k]), range(len(values)))
    return out


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
def _scatter(values, row, at, first, past, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(first, past):
        if at[i] >= 0:
            out[at[i]] = values[row[i]]


@jit
def _weighted_mean(key, source, weight, value, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    total, shares = np.zeros(len(out)), np.zeros(len(out))
    for i in range(len(key)):
        if key[i] >= 0 and source[i] >= 0 and not np.isnan(value[source[i]]):
            total[key[i]] += weight[i] * value[source[i]]
            shares[key[i]] += weight[i]
    for k in range(len(out)):
        out[k] = total[k] / shares[k] if shares[k] > 0 else np.nan
