"""Features of what visits have found, on the parcel and around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import Pest
from rs_forecast.features._columns import Columns, each, everywhere
from rs_forecast.kernels import series
from rs_forecast.kernels.series import Window
from rs_forecast.looks import Codes, day_number, day_numbers, places

VISIT_DAYS = 28
"""Days over which visits around a parcel are pooled."""
WEEKS_AROUND = 2
"""Weeks on either side of the valid week that its climatology takes in."""
PRIOR_VISITS = 20.0
"""Visits at the overall rate that a week's own rate is pulled towards."""


def survey_features(
    surveys: pd.DataFrame,
    pest: Pest,
    ids: pd.Index,
    zone: Codes,
    issued: pd.Timestamp,
    valid_from: Sequence[pd.Timestamp],
) -> list[Columns]:
    """Return what visits known at ``issued`` say of ``pest``, for each of the valid weeks.

    ``survey_last_event``, ``_last_log1p``, ``_last_age_days``: the parcel's own last visit. ``survey_near_event_rate``,
    ``_near_log1p``, ``_near_visits``: visits in its zone over four weeks; ``survey_region_event_rate`` and its change
    over the two weeks, ``survey_region_trend``. ``survey_week_event_rate``: events around the valid week in past years,
    pulled towards the rate of all weeks where visits are few.
    """
    schema.check_known(surveys, issued, "surveys")
    own = surveys.loc[(surveys["pest"] == pest.name) & (surveys["date"] <= issued)]
    key = places(own[schema.PARCEL], ids)
    own, key = own.loc[key >= 0], key[key >= 0]
    value = own["value"].to_numpy(np.float64)
    event = np.asarray(pest.is_event(value), np.float64)
    days = day_numbers(own["date"])
    today = day_number(issued)
    order, starts = series.pack(key, days, len(ids))
    newest = series.last_rows(days[order], value[order], value[order], starts, *each(len(ids), today))
    zones = int(zone.max(initial=-1)) + 1
    near, starts = series.pack(zone[key], days, zones)
    asked = [Window("mean", VISIT_DAYS), Window("count_above", VISIT_DAYS, least=0)]
    rate, visits = series.windows(days[near], event[near], starts, *each(zones, today), asked)
    (log,) = series.windows(days[near], np.log1p(value)[near], starts, *each(zones, today), asked[:1])
    recent, before = (_rate(event, days, today - lag, 14) for lag in (0, 14))
    same = {
        "survey_last_event": series.at_rows(event[order], newest),
        "survey_last_log1p": series.at_rows(np.log1p(value)[order], newest),
        "survey_last_age_days": today - series.at_rows(days[order], newest),
        "survey_near_event_rate": rate[zone],
        "survey_near_log1p": log[zone],
        "survey_near_visits": visits[zone],
        "survey_region_event_rate": everywhere(_rate(event, days, today, VISIT_DAYS), len(ids)),
        "survey_region_trend": everywhere(recent - before, len(ids)),
    }
    rates = [_week_rate(event, days, today, day_number(week)) for week in valid_from]
    return [{**same, "survey_week_event_rate": everywhere(rate, len(ids))} for rate in rates]


def _rate(event: NDArray[np.float64], days: Codes, at: int, width: int) -> float:
    inside = (days > at - width) & (days <= at)
    return float(event[inside].mean()) if inside.any() else float("nan")


def _week_rate(event: NDArray[np.float64], days: Codes, issued: int, valid_from: int) -> float:
    """Share of events within some weeks of the valid week's place in the year, half a year ago or longer."""
    if len(event) == 0:
        return float("nan")
    apart = np.abs(days - (valid_from + 3)) % 365.25  # to the middle of the valid week
    around = (days < issued - 182) & (np.minimum(apart, 365.25 - apart) <= 7 * WEEKS_AROUND + 3.5)
    overall = event.mean()
    return float((event[around].sum() + PRIOR_VISITS * overall) / (around.sum() + PRIOR_VISITS))
