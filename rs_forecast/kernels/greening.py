"""Greenings: the days on which parcels turned from water or bare ground to green, in irregular series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import cores, jit, share_out

Days = NDArray[np.int64]
_NOT_YET = np.iinfo(np.int64).max
DRY, WET, UNKNOWN = (np.int8(code) for code in range(3))
"""What a look says of water on the ground."""


class Rules(NamedTuple):
    """What counts as a greening, in the unit of the values and in days."""

    green: float
    """Value from which a parcel is green."""
    gap: int
    """The longest gap between the last look below ``green`` and the first one at it."""
    soaked: int
    """How long before the first green look water may have been seen last."""
    hidden: int
    """Gap from which water may have stood unseen: a dry look that far back proves nothing."""
    apart: int
    """Days between greenings below which the second is none, but a cloud, a cut or a flood in a standing crop."""


class Greenings(NamedTuple):
    """Every greening, by parcel, then day."""

    starts: Days
    """Parcel ``k`` holds the greenings ``starts[k]:starts[k + 1]``."""
    day: NDArray[np.float64]
    """When the line between the two looks crosses ``green``."""
    gap: Days
    """Days between the two looks."""
    wet: NDArray[np.bool_]
    """Whether water was seen before it."""
    over: Days
    """The first look back below ``green``, ``apart`` days after it or later; the largest number if there is none."""


def greenings(day: Days, value: NDArray[np.float64], water: NDArray[np.int8], starts: Days, rules: Rules) -> Greenings:
    """Find the greenings of parcels.

    Parameters
    ----------
    day, value, starts
        Greenness packed by parcel as in :mod:`rs_forecast.kernels.series`; NaN is no look.
    water
        ``DRY``, ``WET`` or ``UNKNOWN`` for each look.
    """
    parcels = len(starts) - 1
    cuts = np.linspace(0, parcels, min(4 * cores(), max(parcels, 1)) + 1).astype(np.int64)
    parts = list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))
    count = np.zeros(parcels + 1, np.int64)
    none: list[NDArray[np.generic]] = [np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.int64)]

    def count_part(part: tuple[int, int]) -> None:
        _walk(day, value, water, starts, *rules, *part, False, count, *none)

    share_out(count_part, parts)
    ends = np.concatenate([[0], np.cumsum(count[:-1])]).astype(np.int64)
    found = ends[-1]
    out = np.empty(found), np.empty(found, np.int64), np.empty(found, np.bool_), np.empty(found, np.int64)

    def fill_part(part: tuple[int, int]) -> None:
        _walk(day, value, water, starts, *rules, *part, True, ends, *out)

    share_out(fill_part, parts)
    return Greenings(ends, *out)


@jit
def _walk(day, value, water, starts, green, longest, soaked, hidden, apart, begin, end, fill, at, when, gap, wet, over):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Count the greenings of each parcel in ``at``, or write them where ``at`` says."""
    for p in range(begin, end):
        low, n = -1, 0
        water_day, last = -1.0e9, -1.0e9
        for k in range(starts[p], starts[p + 1]):
            v = value[k]
            if np.isnan(v):
                continue
            if v < green:
                low = k
                if water[k] == 1:
                    water_day = day[k]
                if fill and n > 0 and over[at[p] + n - 1] == _NOT_YET and day[k] - last >= apart:
                    over[at[p] + n - 1] = day[k]
                continue
            if low >= 0:
                width = day[k] - day[low]
                crossing = day[low] + width * (green - value[low]) / (v - value[low])
                was_wet = day[k] - water_day <= soaked
                proved_dry = not was_wet and water[low] == 0 and width < hidden
                if width <= longest and not proved_dry and crossing - last >= apart:
                    if fill:
                        i = at[p] + n
                        when[i], gap[i], wet[i], over[i] = crossing, width, was_wet, _NOT_YET
                    n += 1
                    last = crossing
            low = -1
        if not fill:
            at[p] = n
