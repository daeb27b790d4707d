"""Features of the crop that stands on a parcel, and of the crops around it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.features._columns import Columns
from rs_forecast.looks import Codes, day_number
from rs_forecast.phenology import LONGEST_CROP, SHORTEST_CROP, Floats, Sown

LEAST_NEAR = 3
"""Sowings around a parcel below which nothing is said of them."""


def crop_features(sown: Sown, near: Codes, valid_from: pd.Timestamp, longest: Floats | float = LONGEST_CROP) -> Columns:
    """Return features of the newest sowing of each parcel known at the issue date.

    ``crop_age_days``: from sowing to the valid week, NaN where unknown or long gone; ``crop_age_error_days``: 0 where
    the office was told, else what the imagery leaves open. ``sowing_spread_near_days``: the range between the quartiles
    of the sowing days around the parcel; ``sowing_vs_near_days``: how much later than their median it was sown,
    NaN where it still carries the crop before.

    Parameters
    ----------
    near
        Number of the neighbourhood of each parcel.
    longest
        Age beyond which the crop is taken as gone, of all or each parcel [days].
    """
    age = day_number(valid_from) - sown.day
    standing = age <= longest
    middle, spread = _wave(sown.day, near)
    apart = sown.day - middle[near]
    return {
        "crop_age_days": np.where(standing, age, np.nan),
        "crop_age_error_days": np.where(standing, sown.error, np.nan),
        "sowing_spread_near_days": spread[near],
        "sowing_vs_near_days": np.where(standing & (apart > -SHORTEST_CROP), apart, np.nan),
    }


def _wave(day: NDArray[np.float64], near: Codes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and interquartile range of the sowing days of each neighbourhood.

    Only those up to ``SHORTEST_CROP`` days before the newest count: others are of the crop before.
    """
    count = int(near.max(initial=-1)) + 1
    newest = np.full(count, -np.inf)
    known = np.flatnonzero(np.isfinite(day))
    np.maximum.at(newest, near[known], day[known])
    wave = known[day[known] > newest[near[known]] - SHORTEST_CROP]
    wave = wave[np.lexsort((day[wave], near[wave]))]
    size = np.bincount(near[wave], minlength=count)
    first = np.cumsum(size) - size
    low, middle, high = (_quantile(day[wave], first, size, share) for share in (0.25, 0.5, 0.75))
    return middle, high - low


def _quantile(value: NDArray[np.float64], first: Codes, size: Codes, share: float) -> NDArray[np.float64]:
    """Return a quantile of sorted groups, between the two values that are nearest; NaN for groups that are small."""
    out = np.full(len(size), np.nan)
    enough = size >= LEAST_NEAR
    place = share * (size[enough] - 1)
    below = first[enough] + np.floor(place).astype(np.int64)
    part = place - np.floor(place)
    above = np.minimum(below + 1, first[enough] + size[enough] - 1)
    out[enough] = value[below] * (1 - part) + value[above] * part
    return out
