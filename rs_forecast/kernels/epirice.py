"""EPIRICE: the epidemic of a disease in a crop, day by day; a run is a site's weather and a day of emergence.

With day ``d`` = 1 on emergence, healthy sites S, new infections N, latent L, infectious I, removed R and diseased D:

- rate ``Rc = rate * age(d - 1) * temperature * wet``; a day is wet from a humidity or a rain on
- ``N = I * Rc * (1 - D / (S + D)) ** a`` after the day of onset, the first infections on it, and none before
- infections of yesterday enter L, are infectious after ``p`` more days (X), and removed after ``i`` days of that
- ``S' = S + G - N - Y``, growth ``G = RRG * S * (1 - (S + D) / Sx)``, loss ``Y = X(d - i) + RRS * S``
- intensity ``(D - R) / (S + D - R)``

Stocks of infectious and removed sites are differences of one running sum, so neither falls below 0 by rounding.

Weather comes packed by site, as in :mod:`rs_forecast.kernels.series`, one row a day. What is missing is never made up:
the first day whose infections cannot be told ends the run, and all later days are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out

Days = NDArray[np.int64]
Floats = NDArray[np.float64]

STATES = (
    "sites", "latent", "infectious", "removed", "senesced", "rateinf", "rtransfer", "rgrowth", "rsenesced", "diseased",
    "intensity", "audpc",
)  # fmt: skip
"""What is told of each day: stocks, the day's rates, the share that is diseased, and its area up to the day."""
_INTENSITY = STATES.index("intensity")
_TOGETHER = 2048
"""Runs that one thread makes in one go."""


class Weather(NamedTuple):
    """Daily weather: rows sorted by site, then day; site ``k`` holds ``starts[k]:starts[k + 1]``."""

    day: Days
    temp: Floats
    rh: Floats
    rain: Floats
    starts: Days


class Epidemics(NamedTuple):
    """Diseases as arrays."""

    constants: Floats
    """(disease, constant): onset, S on day 1, N on the day of onset, rate, p, i, a, Sx, RRS, RRG, wet from RH, rain."""
    age: Floats
    """(disease, day): effect of age from emergence on."""
    temperature: Floats
    """(disease, 2, point): temperatures, rising, and their effect; shorter curves end in NaN."""


def courses(
    weather: Weather, site: Days, first: Days, epidemics: Epidemics, keep: Sequence[str] = STATES, carry: int = 0
) -> Floats:
    """Return the states to ``keep`` of every run, (state, disease, run, day); NaN for a run of site -1."""
    diseases, days = epidemics.age.shape
    out = np.full((len(keep), diseases, len(site), days), np.nan)
    kept = np.array([STATES.index(name) for name in keep], np.int64)

    def make(part: slice) -> None:
        _courses(weather, site, first, epidemics, kept, carry, part.start, part.stop, out)

    share_out(make, _parts(len(site)))
    return out


def readings(
    weather: Weather, site: Days, first: Days, epidemics: Epidemics, at: int, back: int, most_lag: int, carry: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Return the intensity at day ``at``, the one ``back`` days before, and how old the reading is; (disease, run).

    Of a run that is not known up to ``at`` the newest day known counts, if it is at most ``most_lag`` days older. A run
    that has not begun, or is over, gives NaN.
    """
    shape = (len(epidemics.age), len(site))
    out = np.full((3, *shape), np.nan)

    def make(part: slice) -> None:
        _readings(weather, site, first, epidemics, at, back, most_lag, carry, part.start, part.stop, out)

    share_out(make, _parts(len(site)))
    return out[0], out[1], out[2]


def _parts(count: int) -> list[slice]:
    return [slice(begin, min(begin + _TOGETHER, count)) for begin in range(0, count, _TOGETHER)]


@jit
def _courses(weather, site, first, epidemics, kept, carry, begin, end, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    constants, age, curve = epidemics
    diseases, days = age.shape
    states, flow, air = np.empty((len(STATES), days)), np.empty((3, days)), np.empty((3, days))
    for r in range(begin, end):
        if site[r] < 0:
            continue
        _fetch(weather, site[r], first[r], days, carry, air)
        for k in range(diseases):
            _run(air, constants[k], age[k], curve[k], days, kept.min() < _INTENSITY, states, flow)
            for s in range(len(kept)):
                for t in range(days):
                    out[s, k, r, t] = states[kept[s], t]


@jit
def _readings(weather, site, first, epidemics, at, back, most, carry, begin, end, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    constants, age, curve = epidemics
    diseases, days = age.shape
    states, flow, air = np.empty((len(STATES), days)), np.empty((3, days)), np.empty((3, days))
    for r in range(begin, end):
        asked = at - first[r]
        if site[r] < 0 or asked < 0 or asked >= days:
            continue
        _fetch(weather, site[r], first[r], asked + 1, carry, air)
        for k in range(diseases):
            newest = _run(air, constants[k], age[k], curve[k], asked + 1, False, states, flow) - 1
            if asked - newest <= most:
                out[0, k, r] = states[_INTENSITY, newest]
                out[1, k, r] = states[_INTENSITY, max(newest - back, 0)]
                out[2, k, r] = asked - newest


@jit
def _fetch(weather, site, first, count, carry, air):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill ``air`` with ``count`` days from ``first`` on; a gap within the rows takes values at most ``carry`` old."""
    day, temp, rh, rain, starts = weather
    row, past = starts[site], starts[site + 1]
    air[:, :count] = np.nan
    last = np.full(3, np.nan)
    seen = np.full(3, -1 - carry)
    row += np.searchsorted(day[row:past], first - carry)
    for t in range(-carry, count):
        if row >= past:
            break
        there = day[row] == first + t
        for v in range(3):
            value = np.nan
            if there:
                value = temp[row] if v == 0 else rh[row] if v == 1 else rain[row]
            if not np.isnan(value):
                last[v], seen[v] = value, t
            elif t - seen[v] <= carry:
                value = last[v]
            if t >= 0:
                air[v, t] = value
        if there:
            row += 1


@jit
def _run(air, constants, age, curve, days, whole, states, flow):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill ``states`` with one run, its last two rows or the whole, and return how many of its days are known."""
    onset, i0, rate, a = int(constants[0]) - 1, constants[2], constants[3], constants[6]
    p, i = int(constants[4]), int(constants[5])
    most, senescence, growth, wet_rh, wet_rain = constants[7:]
    inflow, transfer, total = flow  # of latent sites, of infectious sites, and the sum of the latter
    s, senesced, audpc, before, infected, passed, loss = constants[1], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(days):
        inflow[t], transfer[t] = infected, passed
        total[t] = transfer[t] + (total[t - 1] if t > 0 else 0.0)
        latent = 0.0
        for back in range(min(p, t) + 1):
            latent += inflow[t - back]
        removed = total[t - i - 1] if t > i else 0.0
        infectious = total[t] - removed
        senesced += loss
        diseased = total[t] + latent
        passed = inflow[t - p] if t >= p else 0.0
        loss = (transfer[t - i] if t >= i else 0.0) + senescence * s
        grown = growth * s * (1.0 - (s + diseased) / most)
        infected = i0 if t == onset else 0.0
        if t > onset:
            rc = _rate(rate * age[t], curve, air[0, t], air[1, t], air[2, t], wet_rh, wet_rain)
            infected = infectious * rc
            if infected != 0.0:  # on most days nothing is, and the power is dear
                healthy = 1.0 - diseased / (s + diseased)
                infected *= healthy if a == 1.0 else healthy**a
        intensity = (diseased - removed) / (s + diseased - removed)
        if t > 0:
            audpc += 0.5 * (before + intensity)
        before = intensity
        states[10, t], states[11, t] = intensity, audpc
        if whole:
            states[0, t], states[1, t], states[2, t], states[3, t] = s, latent, infectious, removed
            states[4, t], states[5, t], states[6, t], states[7, t] = senesced, infected, passed, grown
            states[8, t], states[9, t] = loss, diseased
        if np.isnan(infected):
            for late in range(t + 1, days):
                for s in range(len(states)):
                    states[s, late] = np.nan
            return t + 1
        s += grown - infected - loss
    return days


@jit
def _rate(most, curve, temp, rh, rain, wet_rh, wet_rain):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the infection rate, 0 if any factor is, and NaN if what decides is missing."""
    if most == 0.0 or (rh < wet_rh and rain < wet_rain):
        return 0.0
    effect = _effect(curve, temp)
    if effect == 0.0:
        return 0.0
    return most * effect if rh >= wet_rh or rain >= wet_rain else np.nan


@jit
def _effect(curve, value):  # type: ignore[no-untyped-def]  # pragma: no cover
    x, y = curve
    if np.isnan(value):
        return np.nan
    if value < x[0]:
        return 0.0
    for k in range(1, len(x)):
        if value <= x[k]:
            return y[k - 1] + (y[k] - y[k - 1]) * (value - x[k - 1]) / (x[k] - x[k - 1])
    return 0.0
