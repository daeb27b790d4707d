"""Windows over irregular series: many keys, each with its own dates, read at many (key, day) queries.

Series come packed: ``day`` and ``value`` sorted by key, then day, and ``starts`` such that key ``k`` holds
``starts[k]:starts[k + 1]``. NaN values count as missing, and so do rows where ``use`` is false. A window of ``width``
days at day ``d`` holds the days ``d - width < day <= d``: the query's own day, and nothing after it. A query of key -1
gets NaN. Queries are shared out over the cores, and no answer depends on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

Days = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

HOW = ("mean", "sum_above", "count_above", "min", "max", "slope", "count_below", "run_above", "run_below")
_TOGETHER = 50_000
"""Queries that one thread answers in one go."""
_ALL = np.ones(0, np.bool_)


class Window(NamedTuple):
    """What is asked of a window; with fewer than ``least`` values the answer is NaN.

    ``sum_above`` adds what exceeds ``base``, of each value up to ``top``; ``count_above`` counts the values that reach
    ``base``, ``count_below`` those that do not; ``run_above`` and ``run_below`` are the most days on end of either
    kind, which a day that is missing ends; ``slope`` is that of the least-squares line, per day, and needs two days.
    """

    how: str
    """One of ``HOW``."""
    width: int
    least: int = 1
    base: float = 0.0
    ago: int = 0
    """Days before the query's day on which the window ends."""
    top: float = np.inf
    """What of a value counts at most in ``sum_above``."""


def windows(
    day: Days, value: Values, starts: Days, key: Days, at: Days, asked: Sequence[Window], use: Bools = _ALL
) -> Floats:
    """Return the answers of all windows ``asked`` at each query, (window, query); the series is read once."""
    out = np.empty((len(asked), len(key)))
    how = np.array([HOW.index(window.how) for window in asked], np.int64)
    whole = np.array([(window.width, window.least, window.ago) for window in asked], np.int64).reshape(-1, 3)
    base = np.array([(window.base, window.top) for window in asked], np.float64).reshape(-1, 2)

    def answer(part: slice) -> None:
        _windows(day, value, use, starts, key, at, how, whole, base, part.start, part.stop, out)

    share_out(answer, _parts(len(key)))
    return out


def last_rows(
    day: Days, value: Values, other: Values, starts: Days, key: Days, at: Days, use: Bools = _ALL
) -> NDArray[np.int64]:
    """Return the row of the newest day at or before each query on which neither value is missing; -1 for none."""
    out = np.empty(len(key), np.int64)

    def answer(part: slice) -> None:
        _last_rows(day, value, other, use, starts, key, at, part.start, part.stop, out)

    share_out(answer, _parts(len(key)))
    return out


def last_value(day: Days, value: Values, starts: Days, key: Days, at: Days) -> tuple[Floats, Floats]:
    """Return the newest value at or before each query and its age in days; NaN where there is none."""
    row = last_rows(day, value, value, starts, key, at)
    return at_rows(value, row), at - at_rows(day, row)


def at_rows(values: NDArray[Any], row: NDArray[np.int64]) -> Floats:
    """Return the values of rows as :func:`last_rows` gives them, NaN for none."""
    if not len(values):
        return np.full(len(row), np.nan)
    found = values[row].astype(np.float64)
    found[row < 0] = np.nan
    return found


def pack(key: NDArray[np.integer[Any]], day: Days, count: int) -> tuple[NDArray[np.intp] | slice, Days]:
    """Return what sorts rows by key and day, and the ``starts`` of ``count`` keys in that order.

    Rows that are sorted already, as most tables come, are taken by a slice, which copies nothing. A row of key -1
    belongs to none.
    """
    key, starts = key.astype(np.int32, copy=False), np.zeros(count + 1, np.int64)
    if _starts(key, day, starts):
        return slice(None), starts
    order = np.lexsort((day, key))
    _starts(key[order], day[order], starts)
    return order, starts


def _parts(count: int) -> list[slice]:
    return [slice(first, min(first + _TOGETHER, count)) for first in range(0, count, _TOGETHER)]


@jit
def _starts(key, day, starts):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fill ``starts``; false if a row is out of order."""
    filled = 0
    for i in range(len(key)):
        if i > 0 and (key[i] < key[i - 1] or (key[i] == key[i - 1] and day[i] < day[i - 1])):
            return False
        while filled <= key[i] and filled < len(starts):
            starts[filled] = i
            filled += 1
    starts[filled:] = len(key)
    return True


@jit
def _windows(day, value, use, starts, key, at, how, whole, base, begin, end, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    for q in range(begin, end):
        for w in range(len(how)):
            out[w, q] = np.nan
            if key[q] >= 0:
                width, least, ago = whole[w]
                rows = starts[key[q]], starts[key[q] + 1]
                end, low, top = at[q] - ago, base[w, 0], base[w, 1]
                if how[w] < 7:
                    out[w, q] = _window(day, value, use, rows, end, width, least, how[w], low, top)
                else:
                    out[w, q] = _run(day, value, use, rows, end, width, least, how[w] == 7, low)


@jit
def _window(day, value, use, rows, at, width, least, how, base, top):  # type: ignore[no-untyped-def]  # pragma: no cover
    first, past = rows
    past = first + np.searchsorted(day[first:past], at, side="right")
    n = 0
    total, low, high = 0.0, np.inf, -np.inf
    t_sum, tt_sum, tv_sum = 0.0, 0.0, 0.0
    for k in range(past - 1, first - 1, -1):
        if day[k] <= at - width:
            break
        v = float(value[k])
        if np.isnan(v) or (len(use) > 0 and not use[k]):
            continue
        n += 1
        low, high = min(low, v), max(high, v)
        if how == 1:
            v = max(min(v, top) - base, 0.0)
        elif how == 2:
            v = 1.0 if v >= base else 0.0
        elif how == 6:
            v = 1.0 if v < base else 0.0
        t = float(day[k] - at)
        total += v
        t_sum += t
        tt_sum += t * t
        tv_sum += t * v
    if n < least:
        return np.nan
    if how == 0:
        return total / n
    if how <= 2 or how == 6:
        return total
    if how == 3:
        return low
    if how == 4:
        return high
    spread = tt_sum - t_sum * t_sum / n if n > 1 else 0.0
    return (tv_sum - t_sum * total / n) / spread if spread > 0 else np.nan


@jit
def _run(day, value, use, rows, at, width, least, above, base):  # type: ignore[no-untyped-def]  # pragma: no cover
    first, past = rows
    past = first + np.searchsorted(day[first:past], at, side="right")
    n, longest, run, last = 0, 0, 0, at + 2
    for k in range(past - 1, first - 1, -1):
        if day[k] <= at - width:
            break
        v = float(value[k])
        if np.isnan(v) or (len(use) > 0 and not use[k]):
            continue
        n += 1
        if (v >= base) != above or day[k] == last:  # of a day with several values one is enough
            continue
        run = run + 1 if day[k] == last - 1 else 1
        last = day[k]
        longest = max(longest, run)
    return np.nan if n < least else float(longest)


@jit
def _last_rows(day, value, other, use, starts, key, at, begin, end, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    for q in range(begin, end):
        out[q] = -1
        if key[q] < 0:
            continue
        first, past = starts[key[q]], starts[key[q] + 1]
        past = first + np.searchsorted(day[first:past], at[q], side="right")
        for k in range(past - 1, first - 1, -1):
            if not (np.isnan(value[k]) or np.isnan(other[k])) and (len(use) == 0 or use[k]):
                out[q] = k
                break
