"""Order statistics over many lines, at many places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

Floats = NDArray[np.float64]


def line_ranks(x: Floats, slope: Floats, intercept: Floats, low: int, high: int) -> tuple[Floats, Floats]:
    """Return, for each ``x``, two of the lines' values ``slope * x + intercept`` there; NaN where ``x`` is.

    Parameters
    ----------
    x
        Places.
    slope, intercept
        One of each a line, finite.
    low, high
        Which values: the line's place among all in rising order, from 0.
    """
    below, above = np.empty(len(x)), np.empty(len(x))
    _line_ranks(x, slope, intercept, low, high, below, above)
    return below, above


@jit
def _line_ranks(x, slope, intercept, low, high, below, above):  # type: ignore[no-untyped-def]  # pragma: no cover
    # the few values beyond either end are kept in order: of 100 lines hardly any has to move them
    value, least, most = np.empty(len(slope)), np.empty(low + 1), np.empty(len(slope) - high)
    for i in range(len(x)):
        if np.isnan(x[i]):
            below[i] = above[i] = np.nan
            continue
        for k in range(len(slope)):
            value[k] = slope[k] * x[i] + intercept[k]
        for k in range(len(slope)):
            if k < len(least) or value[k] < least[-1]:
                _insert(value[k], least, min(k, len(least) - 1))
            if k < len(most) or -value[k] < most[-1]:
                _insert(-value[k], most, min(k, len(most) - 1))
        below[i], above[i] = least[-1], -most[-1]


@jit
def _insert(value, rising, last):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Put ``value`` in its place in ``rising[: last + 1]``, over what stands last."""
    while last > 0 and rising[last - 1] > value:
        rising[last] = rising[last - 1]
        last -= 1
    rising[last] = value
