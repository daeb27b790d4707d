"""Features of the weather at the parcels' sites."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import WEATHER_FEATURES, WeatherFeature
from rs_forecast.features._columns import Codes, Columns, day_number, day_numbers, mean_of, past_years, places
from rs_forecast.kernels import series
from rs_forecast.kernels.rows import weighted_means
from rs_forecast.kernels.series import Window

LATEST_WEATHER = 15
"""Days after which the newest weather says nothing of the present [days]."""

_HOW = {"sum": "mean", "anomaly": "mean", "days_above": "count_above"}


def weather_features(weather: pd.DataFrame, weights: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp) -> Columns:
    """Return the rows of the weather catalogue for each parcel, computed per site and joined by the sites' weights.

    A window needs two thirds of its days. A site whose newest day is over two weeks old gives none. An anomaly is taken
    against the same days of the past years that are on record.
    """
    schema.check_known(weather, issued, "weather")
    past = weather.loc[weather["date"] <= issued]
    site, names = pd.factorize(weights["site"])
    sites = pd.Index(names)
    key = sites.get_indexer(pd.Index(past["site"]))
    past, key = past.loc[key >= 0], key[key >= 0]
    days = day_numbers(past["date"])
    order, starts = series.pack(key, days, len(sites))
    days, query, today = days[order], np.arange(len(sites)), day_number(issued)
    at = np.full(len(sites), today)
    filled = starts[1:] > starts[:-1]
    at[filled] = days[starts[1:][filled] - 1]
    query = np.where(filled & (today - at <= LATEST_WEATHER), query, -1)
    parcel, weight = places(weights[schema.PARCEL], ids), weights["weight"].to_numpy(np.float64)
    unknown = np.full(len(days), np.nan)
    of_site = np.empty((len(WEATHER_FEATURES), len(sites)))
    for k, row in enumerate(WEATHER_FEATURES.values()):
        value = past[row.variable].to_numpy(np.float64)[order] if row.variable in past else unknown
        of_site[k] = _weather_feature(row, days, value, starts, query, at)
    of_parcel = weighted_means(parcel, site, weight, of_site, len(ids))
    return dict(zip(WEATHER_FEATURES, of_parcel, strict=True))


def _weather_feature(
    row: WeatherFeature, days: Codes, value: NDArray[np.float64], starts: Codes, query: Codes, at: Codes
) -> NDArray[np.float64]:
    least = int(np.ceil(row.window_days * 2 / 3))
    window = Window(_HOW.get(row.how, row.how), row.window_days, least, row.base)
    past = past_years(window, days, at) if row.how == "anomaly" else []
    answers = series.windows(days, value, starts, query, at, [window, *past])
    found: NDArray[np.float64] = answers[0]
    if row.how == "sum":  # of the days there are, at their mean: a missing day is not a dry one
        return found * row.window_days
    return found - mean_of(answers[1:], len(query)) if row.how == "anomaly" else found
