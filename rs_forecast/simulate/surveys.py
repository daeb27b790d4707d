"""What the office sees of it: a few fields a week, counted with error, reported late, more often where trouble is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast.catalog import PESTS
from rs_forecast.simulate._rng import generator
from rs_forecast.simulate._span import Span
from rs_forecast.simulate.crops import stage_of
from rs_forecast.simulate.land import Land
from rs_forecast.simulate.pest import PEST, THRESHOLD, Infestation

PANEL_SHARE, RANDOM_SHARE = 0.06, 0.05
"""Share of the fields that are visited every week, and of those drawn by lot."""

COMPLAINT_SHARE, MOST = 0.045, 0.12
"""Most visits a week because of trouble, and of any kind."""

FRAMES_AREA = 2.0
"""Ten frames of 40 x 50 cm [m2]."""

CLUMPING = 12.0
"""Size of the negative binomial of the ten frames together; hoppers sit in clumps."""

DELAY_DAYS = np.array([2, 3, 4, 5, 6, 7, 8, 9])
DELAY_SHARES = np.array([0.08, 0.24, 0.24, 0.2, 0.1, 0.07, 0.04, 0.03])


def simulate_surveys(land: Land, pest: Infestation, span: Span, seed: int) -> pd.DataFrame:
    """Return one row a visit, in the columns of design.md; a visit without a find is a row with 0."""
    rng = generator(seed, "surveys")
    n = len(land.parcels)
    panel = np.zeros(n, bool)
    panel[rng.permutation(n)[: max(1, round(PANEL_SHARE * n))]] = True
    worry = np.zeros(n)
    weeks, fields, reasons, counts = [], [], [], []
    for week in range(len(pest.mondays)):
        chosen, reason = _choose(panel, pest.age[week], worry, pest.burn[week], rng)
        seen = _count(pest.density[week, chosen], rng)
        worry = 0.75 * worry + _spread_worry(land.sub_zone, chosen, seen)
        weeks.append(np.full(len(chosen), week))
        fields.append(chosen)
        reasons.append(reason)
        counts.append(seen)
    table = _table(land, pest, *map(np.concatenate, (weeks, fields, reasons, counts)), rng=rng)
    return table[(table["date"] >= span.start) & (table["date"] <= span.end)].reset_index(drop=True)


def _choose(
    panel: np.ndarray, age: np.ndarray, worry: np.ndarray, burn: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fields of a week and why they are visited; only fields with a crop are."""
    n = len(panel)
    draw, call, worse = rng.random((3, n))
    standing = age >= 7
    routine = np.flatnonzero(panel & standing)
    by_lot = np.flatnonzero(standing & ~panel & (draw < RANDOM_SHARE))
    trouble = ((age >= 30) & (age <= 90)) * (0.004 + 0.05 * np.minimum(worry, 1.5) + 0.5 * burn)
    called = np.flatnonzero(standing & ~panel & (draw >= RANDOM_SHARE) & (call < trouble))
    most = min(round(COMPLAINT_SHARE * n), max(0, int(MOST * n) - len(routine) - len(by_lot)))
    called = np.sort(called[np.argsort(worse[called])][:most])
    chosen = np.concatenate([routine, by_lot, called])[: max(1, int(MOST * n))]
    reason = np.repeat(["routine", "random", "complaint"], [len(routine), len(by_lot), len(called)])
    return chosen, reason[: len(chosen)]


def _spread_worry(zone: np.ndarray, chosen: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return per field the share of this week's visits in its sub-zone that found the event."""
    size = int(zone.max()) + 1
    visits = np.bincount(zone[chosen], minlength=size)
    finds = np.bincount(zone[chosen], weights=seen >= THRESHOLD, minlength=size)
    return np.asarray((finds / np.maximum(visits, 1))[zone])


def _count(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what ten frames find [insects/m2]: a negative binomial round the truth."""
    expected = density * FRAMES_AREA
    return np.asarray(rng.poisson(expected * rng.gamma(CLUMPING, 1 / CLUMPING, len(density))) / FRAMES_AREA)


def _table(
    land: Land, pest: Infestation, week: np.ndarray, field: np.ndarray, reason: np.ndarray, seen: np.ndarray,
    *, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    date = pest.mondays[week] + pd.to_timedelta(rng.integers(0, 2, len(week)), unit="D")
    delay = rng.choice(DELAY_DAYS, len(week), p=DELAY_SHARES)
    return pd.DataFrame(
        {
            "parcel_id": land.parcels["parcel_id"].to_numpy()[field],
            "date": date,
            "pest": PEST,
            "value": seen,
            "unit": PESTS[PEST].unit,
            "stage": stage_of(pest.age[week, field]),
            "method": "SYNTHETIC count",
            "reason": reason,
            "known_at": date + pd.to_timedelta(delay, unit="D"),
        }
    )
