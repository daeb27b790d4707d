"""Degree-days of a day, and cohorts of insects that go through their stages by them.

A day's temperature is taken as one sine wave between its minimum and maximum (Baskerville & Emin 1969,
https://doi.org/10.2307/1933912), cut off level at the upper threshold (Allen 1976, https://doi.org/10.1093/ee/5.3.388):
the degree-days are the mean over the day of ``min(T, upper) - lower``, where that is positive. Where minimum or maximum
is missing, the daily mean stands for the whole day. Where that is missing too, the cohort is not known any more.

A stage that ends within a day leaves the rest of the day to the next one, at that one's thresholds. Weather comes
packed by site, as in :mod:`rs_forecast.kernels.series`, one row a day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

Days = NDArray[np.int64]
Floats = NDArray[np.float64]

_TOGETHER = 4096
"""Cohorts that one thread ages in one go."""


class Weather(NamedTuple):
    """Daily weather: rows sorted by site, then day; site ``k`` holds ``starts[k]:starts[k + 1]``."""

    day: Days
    low: Floats
    high: Floats
    mean: Floats
    starts: Days


class Stages(NamedTuple):
    """An insect's stages, as arrays, and whether the first follows the last."""

    lower: Floats
    upper: Floats
    need: Floats
    closed: bool


class Cohorts(NamedTuple):
    """How far cohorts are; the last axis is that of the days if each is told."""

    generation: Floats
    """Cycles gone through."""
    stage: Floats
    """Number of the stage; the number of stages where the last is over and none follows."""
    fraction: Floats
    """Share of the stage gone through, 0 to 1."""
    heat: Floats
    """Degree-days gathered, each stage's over its own thresholds."""


def degree_days(low: Floats, high: Floats, lower: float, upper: float) -> Floats:
    """Return the degree-days of each day from its minimum and maximum; NaN where one is missing."""
    out = np.empty(len(low))
    _degree_days(low, high, lower, upper, out)
    return out


def courses(
    weather: Weather, site: Days, first: Days, stages: Stages, days: int, events: int, carry: int = 0
) -> tuple[Cohorts, Floats]:
    """Return cohorts at the end of each day, (run, day), and when stages ended, (run, event).

    Of the first ``events`` stages, in days from the start of the first day; NaN where the stage has not ended, or is
    not known to have.
    """
    state = np.full((4, len(site), days), np.nan)
    ended = np.full((len(site), events), np.nan)

    def age(part: slice) -> None:
        _courses(weather, site, first, stages, days, carry, part.start, part.stop, state, ended)

    share_out(age, _parts(len(site)))
    return Cohorts(*state), ended


def readings(
    weather: Weather, site: Days, first: Days, stages: Stages, at: int, most_lag: int, carry: int = 0
) -> tuple[Cohorts, Floats]:
    """Return cohorts at the end of day ``at``, and by how many days the reading is older, (run).

    Of a cohort that is not known up to ``at`` the newest day known counts, if it is at most ``most_lag`` days older.
    """
    state, lag = np.full((4, len(site)), np.nan), np.full(len(site), np.nan)

    def age(part: slice) -> None:
        _readings(weather, site, first, stages, at, most_lag, carry, part.start, part.stop, state, lag)

    share_out(age, _parts(len(site)))
    return Cohorts(*state), lag


def _parts(count: int) -> list[slice]:
    return [slice(begin, min(begin + _TOGETHER, count)) for begin in range(0, count, _TOGETHER)]


@jit
def _degree_days(low, high, lower, upper, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for k in range(len(low)):
        out[k] = _heat(low[k], high[k], np.nan, lower, upper)


@jit
def _heat(low, high, mean, lower, upper):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the degree-days of one day."""
    if low <= high:
        return _above(low, high, lower) - _above(low, high, upper)
    return mean if np.isnan(mean) else max(min(mean, upper) - lower, 0.0)


@jit
def _above(low, high, threshold):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the mean over the day of what exceeds the threshold."""
    middle = 0.5 * (low + high)
    if threshold <= low:
        return middle - threshold
    if threshold >= high:
        return 0.0
    half = 0.5 * (high - low)
    angle = np.arcsin(min(max((threshold - middle) / half, -1.0), 1.0))
    return ((middle - threshold) * (0.5 * np.pi - angle) + half * np.cos(angle)) / np.pi


@jit
def _courses(weather, site, first, stages, days, carry, begin, end, state, ended):  # type: ignore[no-untyped-def]  # pragma: no cover
    day, low, high, mean, starts = weather
    for r in range(begin, end):
        if site[r] >= 0:
            rows = day, low, high, mean, starts[site[r]], starts[site[r] + 1]
            _cohort(rows, first[r], days, stages, carry, state[:, r], ended[r])


@jit
def _readings(weather, site, first, stages, at, most, carry, begin, end, state, lag):  # type: ignore[no-untyped-def]  # pragma: no cover
    day, low, high, mean, starts = weather
    none = np.empty(0)
    for r in range(begin, end):
        days = at - first[r] + 1
        if site[r] < 0 or days < 1:
            continue
        rows = day, low, high, mean, starts[site[r]], starts[site[r] + 1]
        one = np.full((4, 1), np.nan)
        known = _cohort(rows, first[r], days, stages, carry, one, none)
        if days - known <= most and known > 0:
            for k in range(4):
                state[k, r] = one[k, 0]
            lag[r] = days - known


@jit
def _cohort(rows, first, days, stages, carry, state, ended):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Age one cohort and return how many of its days are known; ``state`` tells each day, or the last if it has one."""
    day, low, high, mean, row, past = rows
    lower, upper, need, closed = stages
    last = np.full(3, np.nan)
    seen = -1 - carry
    row += np.searchsorted(day[row:past], first - carry)
    generation, stage, done, heat, event = 0, 0, 0.0, 0.0, 0
    for t in range(-carry, days):
        if row >= past:
            return max(t, 0)
        if day[row] == first + t:
            if low[row] <= high[row] or not np.isnan(mean[row]):
                last[0], last[1], last[2] = low[row], high[row], mean[row]
                seen = t
            row += 1
        if t < 0:
            continue
        if t - seen > carry:
            return t
        rest = 1.0
        while rest > 0.0 and stage < len(need):
            full = _heat(last[0], last[1], last[2], lower[stage], upper[stage])
            lacking = need[stage] - done
            if full == 0.0 or full * rest < lacking:
                done += full * rest
                heat += full * rest
                break
            rest -= lacking / full
            heat += lacking
            done = 0.0
            stage += 1
            if event < len(ended):
                ended[event] = t + 1.0 - max(rest, 0.0)
                event += 1
            if stage == len(need) and closed:
                generation += 1
                stage = 0
        told = t if state.shape[1] == days else 0
        state[0, told], state[1, told] = generation, stage
        state[2, told] = done / need[stage] if stage < len(need) else 0.0
        state[3, told] = heat
    return days
