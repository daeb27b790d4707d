"""Hours of wet leaves, the periods they form, and the mark of each day.

An hour is wet, dry, or unknown where a missing value could make it either. A day's mark is told only if no unknown
hour could change it. Hours come packed by site: rows sorted by site, then hour; site ``k`` holds
``starts[k]:starts[k + 1]``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

Hours = NDArray[np.int64]
Floats = NDArray[np.float64]

UNDECIDABLE, NONE, FAVOURABLE = -1, 0, 5
"""Marks; 1 to 4 are the four ways to miss a favourable day."""
_DRY, _WET, _UNKNOWN = 0, 1, -1


class Air(NamedTuple):
    """Hourly weather, NaN where missing; what was never measured has no values at all."""

    temp: Floats
    rain: Floats
    rh: Floats
    wet: Floats
    """Share of the hour that a sensor was wet; NaN without sensor."""
    wind: Floats
    sun: Floats


class Limits(NamedTuple):
    """Limits of a rule, as numbers."""

    rh_wets: float
    rain_wets: float
    measured_wets: float
    wind_dries: float
    sun_dries: float
    rain_cuts: float
    rain_cuts_twice: float


class Marks(NamedTuple):
    """What is asked of a wet period."""

    least: float
    coldest: float
    warmest: float
    five_low: float
    five_high: float
    first_degree: int
    begins: int


class DayTable(NamedTuple):
    """One entry a site and day."""

    mark: NDArray[np.int8]
    wet_hours: Floats
    """Wet hours of the calendar day; NaN if one is unknown."""
    period_hours: Floats
    """Longest period that is known to be wet."""
    period_temp: Floats
    five_days: Floats


def hour_codes(hour: Hours, air: Air, limits: Limits, starts: Hours) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return for each row whether leaves are wet, and what the hour is to a wet period: 1 part, 0 break, -1 unknown."""
    wet, part = np.empty(len(hour), np.int8), np.empty(len(hour), np.int8)

    def tell(site: int) -> None:
        rows = slice(starts[site], starts[site + 1])
        _codes(hour[rows], Air._make(values[rows] for values in air), limits, wet[rows], part[rows])

    share_out(tell, range(len(starts) - 1))
    return wet, part


def day_marks(
    hour: Hours, temp: Floats, wet: NDArray[np.int8], part: NDArray[np.int8], starts: Hours, need: Floats, marks: Marks,
    first: Hours, places: Hours,
) -> DayTable:  # fmt: skip
    """Return the table of days; site ``k`` has entries ``places[k]:places[k + 1]``, days from ``first[k]`` on."""
    count = int(places[-1])
    out = DayTable(np.empty(count, np.int8), np.empty(count), np.empty(count), np.empty(count), np.empty(count))

    def mark(site: int) -> None:
        rows = slice(starts[site], starts[site + 1])
        own = DayTable._make(values[places[site] : places[site + 1]] for values in out)
        _days(hour[rows], temp[rows], wet[rows], part[rows], need, marks, first[site], own)

    share_out(mark, range(len(first)))
    return out


@jit
def _codes(hour, air, limits, wet, part):  # type: ignore[no-untyped-def]  # pragma: no cover
    temp, rain, rh, sensor, wind, sun = air
    rh_wets, rain_wets, measured, wind_dries, sun_dries, cuts, twice = limits
    for k in range(len(hour)):
        wet[k] = _wetness(rain[k], rh[k], sensor[k], rh_wets, rain_wets, measured)
        if np.isnan(sensor[k]) and wet[k] != _DRY:
            if (len(wind) > 0 and wind[k] > wind_dries) or (len(sun) > 0 and sun[k] > sun_dries):
                wet[k] = _DRY
            elif (len(wind) > 0 and np.isnan(wind[k])) or (len(sun) > 0 and np.isnan(sun[k])):
                wet[k] = _UNKNOWN
        part[k] = wet[k]
        if wet[k] == _DRY:
            continue
        before = rain[k - 1] if k > 0 and hour[k - 1] == hour[k] - 1 else np.nan
        if rain[k] >= cuts or (rain[k] >= twice and before >= twice):
            part[k] = _DRY
        elif np.isnan(rain[k]) or np.isnan(temp[k]) or (rain[k] >= twice and np.isnan(before)):
            part[k] = _UNKNOWN


@jit
def _wetness(rain, rh, sensor, rh_wets, rain_wets, measured):  # type: ignore[no-untyped-def]  # pragma: no cover
    if not np.isnan(sensor):
        return _WET if sensor >= measured else _DRY
    if rain >= rain_wets or rh >= rh_wets:
        return _WET
    return _UNKNOWN if np.isnan(rain) or np.isnan(rh) else _DRY


@jit
def _days(hour, temp, wet, part, need, rule, first, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    mark, wet_hours, hours, warmth, five = out
    mean = np.full(len(mark), np.nan)
    codes, airs = np.empty(24, np.int8), np.empty(24)
    for d in range(len(mark)):
        count, there, total = 0, 0, 0.0
        begin = (first + d) * 24
        for k in range(np.searchsorted(hour, begin), np.searchsorted(hour, begin + 24)):
            if wet[k] != _UNKNOWN:
                there, count = there + 1, count + wet[k]
            total += temp[k]
        wet_hours[d] = count if there == 24 else np.nan
        last = np.searchsorted(hour, begin + 24)
        mean[d] = total / 24 if last - np.searchsorted(hour, begin) == 24 else np.nan
        five[d] = mean[d - 4 : d + 1].mean() if d >= 4 else np.nan
        codes[:], airs[:] = _UNKNOWN, np.nan
        begin += rule.begins - 24 if rule.begins > 0 else 0
        for k in range(np.searchsorted(hour, begin), np.searchsorted(hour, begin + 24)):
            codes[hour[k] - begin], airs[hour[k] - begin] = part[k], temp[k]
        found = _periods(codes, airs, need, rule)
        hours[d], warmth[d] = found[0], found[1]
        mark[d] = _mark(found, five[d], rule)


@jit
def _periods(codes, airs, need, rule):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return hours and mean temperature of the longest period known, whether one suffices, and what unknown hours may.

    The third is 1 if a period that no unknown hour touches is as long and warm as it must be. The fourth is the longest
    period there could be, the fifth 1 if one with an unknown hour in it could be long enough.
    """
    longest, mean, good, possible, open_ = 0.0, np.nan, 0, 0.0, 0
    start = 0
    while start < 24:
        end = start
        while end < 24 and codes[end] != _DRY:
            end += 1
        unknown = False
        k = start
        while k < end:
            if codes[k] == _UNKNOWN:
                unknown = True
                k += 1
                continue
            stop, total = k, 0.0
            while stop < end and codes[stop] == _WET:
                total += airs[stop]
                stop += 1
            length = float(stop - k)
            if length > longest:
                longest, mean = length, total / length
            if k == start and stop == end and _suffices(length, total / length, need, rule):
                good = 1
            k = stop
        possible = max(possible, float(end - start))
        if unknown and end - start >= rule.least:
            open_ = 1
        start = end + 1
    return longest, mean, good, possible, open_


@jit
def _suffices(length, mean, need, rule):  # type: ignore[no-untyped-def]  # pragma: no cover
    if length < rule.least or not rule.coldest <= mean <= rule.warmest:
        return False
    return length >= need[int(np.floor(mean + 0.5)) - rule.first_degree]


@jit
def _mark(found, five, rule):  # type: ignore[no-untyped-def]  # pragma: no cover
    longest, mean, good, possible, open_ = found
    if possible < rule.least:
        return NONE
    if longest >= rule.least and (five < rule.five_low or five > rule.five_high):
        return 1 if five < rule.five_low else 2
    if good and rule.five_low <= five <= rule.five_high:
        return FAVOURABLE
    if open_ or np.isnan(five):
        return UNDECIDABLE
    return 4 if rule.coldest <= mean <= rule.warmest else 3
