"""Windows over irregular series: many keys, each with its own dates, read at many (key, day) queries.

Series come packed: ``day`` and ``value`` sorted by key, then day, and ``starts`` such that key ``k`` holds
``starts[k]:starts[k + 1]``. NaN values count as missing. A window of ``width`` days at day ``d`` holds the days
``d - width < day <= d``: the query's own day, and nothing after it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

Days = NDArray[np.int64]
Floats = NDArray[np.float64]


def window_mean(day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, least: int = 1) -> Floats:
    """Return the mean of the window for each query; NaN with fewer than ``least`` values."""
    return np.asarray(_window(day, value, starts, key, at, width, least, 0, 0.0))


def window_sum_above(
    day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, base: float, least: int = 1
) -> Floats:
    """Return the sum of what exceeds ``base`` in the window for each query; NaN with fewer than ``least`` values."""
    return np.asarray(_window(day, value, starts, key, at, width, least, 1, base))


def window_count_above(
    day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, base: float, least: int = 1
) -> Floats:
    """Return how many values reach ``base`` in the window; NaN with fewer than ``least`` values."""
    return np.asarray(_window(day, value, starts, key, at, width, least, 2, base))


def window_min(day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, least: int = 1) -> Floats:
    """Return the lowest value of the window for each query; NaN with fewer than ``least`` values."""
    return np.asarray(_window(day, value, starts, key, at, width, least, 3, 0.0))


def window_max(day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, least: int = 1) -> Floats:
    """Return the highest value of the window for each query; NaN with fewer than ``least`` values."""
    return np.asarray(_window(day, value, starts, key, at, width, least, 4, 0.0))


def window_slope(day: Days, value: Floats, starts: Days, key: Days, at: Days, width: int, least: int = 2) -> Floats:
    """Return the slope per day of the least-squares line through the window; NaN with fewer than two days in it."""
    return np.asarray(_window(day, value, starts, key, at, width, max(least, 2), 5, 0.0))


def last_value(day: Days, value: Floats, starts: Days, key: Days, at: Days) -> tuple[Floats, Floats]:
    """Return the newest value at or before each query and its age in days; NaN where there is none."""
    newest, age = _last(day, value, starts, key, at)
    return np.asarray(newest), np.asarray(age)


def pack(key: NDArray[np.integer], day: Days, count: int) -> tuple[NDArray[np.intp], Days]:
    """Return the order that sorts rows by key and day, and the ``starts`` of ``count`` keys in it."""
    settled = key[1:] > key[:-1]
    if (settled | ((key[1:] == key[:-1]) & (day[1:] >= day[:-1]))).all():  # sorted already, as most tables come
        return np.arange(len(key)), np.searchsorted(key, np.arange(count + 1)).astype(np.int64)
    order = np.lexsort((day, key))
    return order, np.searchsorted(key[order], np.arange(count + 1)).astype(np.int64)


@jit
def _window(day, value, starts, key, at, width, least, how, base):  # type: ignore[no-untyped-def]  # pragma: no cover
    out = np.full(len(key), np.nan)
    for q in range(len(key)):
        if key[q] < 0:
            continue
        first, past = starts[key[q]], starts[key[q] + 1]
        past = first + np.searchsorted(day[first:past], at[q], side="right")
        n = 0
        total, low, high = 0.0, np.inf, -np.inf
        t_sum, tt_sum, tv_sum = 0.0, 0.0, 0.0
        for k in range(past - 1, first - 1, -1):
            if day[k] <= at[q] - width:
                break
            v = value[k]
            if np.isnan(v):
                continue
            n += 1
            low, high = min(low, v), max(high, v)
            if how == 1:
                v = max(v - base, 0.0)
            elif how == 2:
                v = 1.0 if v >= base else 0.0
            t = float(day[k] - at[q])
            total += v
            t_sum += t
            tt_sum += t * t
            tv_sum += t * v
        if n < least:
            continue
        if how == 0:
            out[q] = total / n
        elif how <= 2:
            out[q] = total
        elif how == 3:
            out[q] = low
        elif how == 4:
            out[q] = high
        else:
            spread = tt_sum - t_sum * t_sum / n
            if spread > 0:
                out[q] = (tv_sum - t_sum * total / n) / spread
    return out


@jit
def _last(day, value, starts, key, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    newest, age = np.full(len(key), np.nan), np.full(len(key), np.nan)
    for q in range(len(key)):
        if key[q] < 0:
            continue
        first, past = starts[key[q]], starts[key[q] + 1]
        past = first + np.searchsorted(day[first:past], at[q], side="right")
        for k in range(past - 1, first - 1, -1):
            if not np.isnan(value[k]):
                newest[q], age[q] = value[k], float(at[q] - day[k])
                break
    return newest, age
