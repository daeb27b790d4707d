"""Looks at parcels counted week by week and zone by zone, in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

Counts = NDArray[np.int64]
_NEVER = np.iinfo(np.int64).min


class Weeks(NamedTuple):
    """What was seen, (week, zone)."""

    looks: Counts
    """Days with a look at any parcel."""
    looked_at: Counts
    """Parcels with a look."""
    clear: Counts
    """Parcels with a clear look."""
    recent: Counts
    """Parcels whose last clear look is less than ``late`` days old at the week's end."""
    median_age: NDArray[np.float64]
    """Median age of the last clear look at the week's end [days]; NaN where no parcel has had one."""


def count_weeks(
    day: NDArray[np.int64],
    clear: NDArray[np.bool_],
    starts: NDArray[np.int64],
    zone: NDArray[np.int64],
    first: int,
    weeks: int,
    late: int,
) -> Weeks:
    """Count looks in the ``weeks`` that follow day ``first``; earlier ones count for ages alone.

    Parameters
    ----------
    day, clear, starts
        Looks packed by parcel as in :mod:`rs_forecast.kernels.series`.
    zone
        Number of each parcel's zone.
    late
        Days in which a parcel is seen or not.
    """
    zones = int(zone.max(initial=-1)) + 1
    shape = (weeks, zones)
    seen = np.zeros((weeks * 7, zones), np.bool_)
    looked_at, found, recent = np.zeros((3, *shape), np.int64)
    age = np.full(shape, np.nan)
    oldest = max(first + 7 * weeks - int(day.min(initial=first)), 0)
    _count(
        day, clear, starts, zone, first, late, seen, looked_at, found, recent, age, np.zeros((zones, oldest), np.int64)
    )
    return Weeks(seen.reshape(weeks, 7, zones).sum(axis=1), looked_at, found, recent, age)


@jit
def _count(day, clear, starts, zone, first, late, seen, looked_at, found, recent, age, ages):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Walk all parcels week by week; ``ages`` holds how many have which age, (zone, age)."""
    at = starts[:-1].copy()
    last = np.full(len(at), _NEVER)
    for p in range(len(at)):
        while at[p] < starts[p + 1] and day[at[p]] < first:
            if clear[at[p]]:
                last[p] = day[at[p]]
            at[p] += 1
    for w in range(len(looked_at)):
        past = first + 7 * (w + 1)
        ages[:] = 0
        for p in range(len(at)):
            z, looked, saw = zone[p], 0, 0
            while at[p] < starts[p + 1] and day[at[p]] < past:
                seen[day[at[p]] - first, z] = True
                looked = 1
                if clear[at[p]]:
                    last[p], saw = day[at[p]], 1
                at[p] += 1
            looked_at[w, z] += looked
            found[w, z] += saw
            if last[p] != _NEVER:
                since = past - 1 - last[p]
                ages[z, since] += 1
                if since < late:
                    recent[w, z] += 1
        for z in range(len(ages)):
            age[w, z] = _middle(ages[z])


@jit
def _middle(counts):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the median of values that occur so many times each; NaN if none does."""
    total = counts.sum()
    if total == 0:
        return np.nan
    low, below = -1, 0
    for value in range(len(counts)):
        below += counts[value]
        if low < 0 and 2 * below >= total:
            low = value
        if 2 * below > total:
            return 0.5 * (low + value)
    return np.nan
