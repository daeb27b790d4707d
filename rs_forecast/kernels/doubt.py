"""Clear looks that may yet be cloud or shadow: dips in a parcel's own series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit


def dips(
    day: NDArray[np.int64], value: NDArray[np.float64], starts: NDArray[np.int64], width: int, drop: float
) -> NDArray[np.bool_]:
    """Return which values are dips: more than ``drop`` below the one before and the one after.

    The one before is the nearest that is no dip itself, the one after the nearest of any kind, each within ``width``
    days; where either is missing there is no dip. So the newest value of a series is not judged: a fall that nothing
    follows yet is a harvest more often than a cloud.

    Parameters
    ----------
    day, value, starts
        Series packed as in :mod:`rs_forecast.kernels.series`; NaN is no value.
    width
        How far to look for neighbours [days].
    drop
        In the unit of ``value``.
    """
    out = np.zeros(len(value), dtype=np.bool_)
    _dips(day, value, starts, width, drop, out)
    return out


@jit
def _dips(day, value, starts, width, drop, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for series in range(len(starts) - 1):
        before, past = -1, starts[series + 1]
        for k in range(starts[series], past):
            if np.isnan(value[k]):
                continue
            if before >= 0 and day[k] - day[before] <= width and value[k] < value[before] - drop:
                after = k + 1
                while after < past and np.isnan(value[after]):
                    after += 1
                out[k] = after < past and day[after] - day[k] <= width and value[k] < value[after] - drop
            if not out[k]:
                before = k
