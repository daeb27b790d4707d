"""Features of parcels at an issue date, from tables that :mod:`rs_forecast.asof` has cut at it.

Every function refuses a table with a row known later. Windows end on the issue date, or, for weather, on the newest day
known, so that the days by which a source is late shift a window and do not thin it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.asof import check_known
from rs_forecast.catalog import WEATHER_FEATURES, Pest, WeatherFeature
from rs_forecast.kernels import series

Columns = dict[str, NDArray[np.float64]]
Codes = NDArray[np.int64]

SIGNAL_STATS = ("mean", "p10", "p90")
"""Statistics of an index that features are made from."""
MIN_CLEAR = 0.5
"""Share of a parcel that must be clear for a look to count."""
VISIT_DAYS = 28
"""Days over which visits around a parcel are pooled."""
WEEKS_AROUND = 2
"""Weeks on either side of the valid week that its climatology takes in."""
PRIOR_VISITS = 20.0
"""Visits at the overall rate that a week's own rate is pulled towards."""
LONGEST_CROP = 150
"""Days after sowing beyond which a crop is taken as gone [days]."""
LATEST_WEATHER = 15
"""Days after which the newest weather says nothing of the present [days]."""

_WINDOWS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "mean": series.window_mean,
    "min": series.window_min,
    "max": series.window_max,
}


def signal_features(
    signals: pd.DataFrame, ids: pd.Index, zone: Codes, issued: pd.Timestamp
) -> tuple[Columns, NDArray[np.datetime64]]:
    """Return features of the parcels' own imagery, and the day of each one's last clear look (NaT where none).

    For each index: ``<index>_mean_last``, ``_mean_30d``, ``_mean_90d``, ``_mean_slope_60d`` [1/day], ``_spread_last``
    (p90 - p10), ``_anomaly_30d`` (against the same days of past years) and ``_vs_near`` (against the mean of its zone);
    with them ``data_age_days`` and ``clear_looks_90d``.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals` known at ``issued``.
    ids
        All parcels.
    zone
        Zone of each parcel.
    issued
        The issue date.
    """
    check_known(signals, issued, "signals")
    rows, key = _of_parcels(signals[schema.PARCEL], ids, (signals["date"] <= issued).to_numpy())
    days = _day_number(signals["date"])[rows]
    order, starts = series.pack(key, days, len(ids))
    if not _is_range(order):
        days, rows = days[order], np.arange(len(signals))[rows][order]
    query, at = np.arange(len(ids)), np.full(len(ids), _day_number_of(issued))
    cloudy = signals["valid_fraction"].to_numpy()[rows] < MIN_CLEAR  # missing, as any value there
    clear = np.where(cloudy, np.nan, 1.0)
    _, age = series.last_value(days, clear, starts, query, at)
    out: Columns = {
        "data_age_days": age,
        "clear_looks_90d": np.nan_to_num(series.window_count_above(days, clear, starts, query, at, 90, 0)),
    }
    for name in _index_names(signals):
        mean, high, low = (signals[f"{name}_{stat}"].to_numpy()[rows] * clear for stat in ("mean", "p90", "p10"))
        spread = high - low
        month = series.window_mean(days, mean, starts, query, at, 30)
        out[f"{name}_mean_last"] = series.last_value(days, mean, starts, query, at)[0]
        out[f"{name}_mean_30d"] = month
        out[f"{name}_mean_90d"] = series.window_mean(days, mean, starts, query, at, 90)
        out[f"{name}_mean_slope_60d"] = series.window_slope(days, mean, starts, query, at, 60)
        out[f"{name}_spread_last"] = series.last_value(days, spread, starts, query, at)[0]
        out[f"{name}_anomaly_30d"] = month - _past_years(series.window_mean, days, mean, starts, query, at, 30)
        out[f"{name}_vs_near"] = month - _group_mean(month, zone)
    last = np.full(len(ids), np.datetime64("NaT", "us"), "datetime64[us]")
    seen = ~np.isnan(age)
    last[seen] = issued.to_datetime64() - age[seen].astype("timedelta64[D]")
    return out, last


def weather_features(weather: pd.DataFrame, weights: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp) -> Columns:
    """Return the rows of the weather catalogue for each parcel, computed per site and joined by the sites' weights.

    A window needs two thirds of its days. A site whose newest day is over two weeks old gives none. An anomaly is taken
    against the same days of the past years that are on record.
    """
    check_known(weather, issued, "weather")
    past = weather.loc[weather["date"] <= issued]
    sites = pd.Index(weights["site"].unique())
    key = sites.get_indexer(pd.Index(past["site"]))
    past, key = past.loc[key >= 0], key[key >= 0]
    days = _day_number(past["date"])
    order, starts = series.pack(key, days, len(sites))
    days, query, today = days[order], np.arange(len(sites)), _day_number_of(issued)
    at = np.full(len(sites), today)
    filled = starts[1:] > starts[:-1]
    at[filled] = days[starts[1:][filled] - 1]
    query = np.where(filled & (today - at <= LATEST_WEATHER), query, -1)
    parcel = ids.get_indexer(pd.Index(weights[schema.PARCEL]))
    site, weight = sites.get_indexer(pd.Index(weights["site"])), weights["weight"].to_numpy(np.float64)
    out: Columns = {}
    for row in WEATHER_FEATURES.values():
        value = past[row.variable].to_numpy(np.float64)[order] if row.variable in past else np.full(len(days), np.nan)
        of_site = _weather_feature(row, days, value, starts, query, at)[site]
        use = (parcel >= 0) & ~np.isnan(of_site)  # of a parcel's sites, those that have a value
        total = np.bincount(parcel[use], weight[use] * of_site[use], minlength=len(ids))
        out[row.name] = _ratio(total, np.bincount(parcel[use], weight[use], minlength=len(ids)))
    return out


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
    check_known(surveys, issued, "surveys")
    own = surveys.loc[(surveys["pest"] == pest.name) & (surveys["date"] <= issued)]
    key = ids.get_indexer(pd.Index(own[schema.PARCEL]))
    own, key = own.loc[key >= 0], key[key >= 0]
    value = own["value"].to_numpy(np.float64)
    event = np.asarray(pest.is_event(value), np.float64)
    days = _day_number(own["date"])
    at = np.full(len(ids), _day_number_of(issued))
    order, starts = series.pack(key, days, len(ids))
    last_event, age = series.last_value(days[order], event[order], starts, np.arange(len(ids)), at)
    last_value, _ = series.last_value(days[order], np.log1p(value)[order], starts, np.arange(len(ids)), at)
    zones = int(zone.max(initial=-1)) + 1
    order, starts = series.pack(zone[key], days, zones)
    near_args = (starts, zone, at, VISIT_DAYS)
    near = series.window_mean(days[order], event[order], *near_args)
    near_log = series.window_mean(days[order], np.log1p(value)[order], *near_args)
    visits = series.window_count_above(days[order], np.ones(len(days)), *near_args, 0.0)
    recent, before = (_rate(event, days, at[0] - lag, 14) for lag in (0, 14))
    region = _rate(event, days, at[0], VISIT_DAYS) if len(at) else np.nan
    same = {
        "survey_last_event": last_event,
        "survey_last_log1p": last_value,
        "survey_last_age_days": age,
        "survey_near_event_rate": near,
        "survey_near_log1p": near_log,
        "survey_near_visits": np.nan_to_num(visits),
        "survey_region_event_rate": np.full(len(ids), region),
        "survey_region_trend": np.full(len(ids), recent - before),
    }
    rates = [_week_rate(event, days, _day_number_of(issued), _day_number_of(week)) for week in valid_from]
    return [{**same, "survey_week_event_rate": np.full(len(ids), rate)} for rate in rates]


def crop_features(crops: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp, valid_from: pd.Timestamp) -> Columns:
    """Return ``crop_age_days``: days from the newest known sowing to the valid week; NaN where unknown or long gone."""
    check_known(crops, issued, "crops")
    sown = crops.loc[crops["sown"] <= valid_from]
    key = ids.get_indexer(pd.Index(sown[schema.PARCEL]))
    sown, key = sown.loc[key >= 0], key[key >= 0]
    days = _day_number(sown["sown"])
    order, starts = series.pack(key, days, len(ids))
    at = np.full(len(ids), _day_number_of(valid_from))
    _, age = series.last_value(days[order], np.ones(len(days)), starts, np.arange(len(ids)), at)
    return {"crop_age_days": np.where(age <= LONGEST_CROP, age, np.nan)}


def calendar_features(count: int, valid_from: pd.Timestamp) -> Columns:
    """Return the valid week's place in the year as ``week_sin`` and ``week_cos``."""
    angle = 2 * np.pi * (valid_from.day_of_year - 1) / 365.25
    return {"week_sin": np.full(count, np.sin(angle)), "week_cos": np.full(count, np.cos(angle))}


def _weather_feature(
    row: WeatherFeature, days: Codes, value: NDArray[np.float64], starts: Codes, query: Codes, at: Codes
) -> NDArray[np.float64]:
    least = int(np.ceil(row.window_days * 2 / 3))
    args = (days, value, starts, query, at, row.window_days)
    if row.how == "sum":  # of the days there are, at their mean: a missing day is not a dry one
        return series.window_mean(*args, least) * row.window_days
    if row.how == "days_above":
        return series.window_count_above(*args, row.base, least)
    if row.how == "sum_above":
        return series.window_sum_above(*args, row.base, least)
    if row.how == "anomaly":
        usual = _past_years(series.window_mean, days, value, starts, query, at, row.window_days, least)
        return series.window_mean(*args, least) - usual
    return _WINDOWS[row.how](*args, least)


def _past_years(
    window: Callable[..., NDArray[np.float64]],
    days: Codes,
    value: NDArray[np.float64],
    starts: Codes,
    query: Codes,
    at: Codes,
    width: int,
    least: int = 1,
) -> NDArray[np.float64]:
    """Mean of a window on the same day of each past year on record; NaN where there is none."""
    years = int((at.max() - days.min()) / 365.25) if len(days) and len(at) else 0
    if years == 0:
        return np.full(len(query), np.nan)
    past = [window(days, value, starts, query, at - round(365.25 * y), width, least) for y in range(1, years + 1)]
    found = np.isfinite(past)
    total = np.where(found, past, 0.0).sum(axis=0)
    return _ratio(total, found.sum(axis=0))


def _group_mean(value: NDArray[np.float64], group: Codes) -> NDArray[np.float64]:
    known = ~np.isnan(value)
    size = int(group.max(initial=-1)) + 1
    count = np.bincount(group[known], minlength=size)
    total = np.bincount(group[known], value[known], minlength=size)
    return _ratio(total, count)[group]


def _ratio(total: NDArray[np.float64], count: NDArray[Any]) -> NDArray[np.float64]:
    """Return total / count, NaN where nothing was counted."""
    out = np.full(len(total), np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


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


def _of_parcels(parcel: pd.Series, ids: pd.Index, use: NDArray[np.bool_]) -> tuple[NDArray[np.intp] | slice, Codes]:
    """Return which rows of those to ``use`` are of parcels among ``ids``, and each one's position there."""
    if isinstance(parcel.dtype, pd.CategoricalDtype):  # each parcel looked up once, not once a row
        codes, names = parcel.cat.codes.to_numpy(), parcel.cat.categories
        found = np.arange(len(ids)) if names.equals(ids) else ids.get_indexer(names)
        key = np.append(found, -1).astype(np.int64)[codes]
    else:
        key = ids.get_indexer(pd.Index(parcel)).astype(np.int64)
    kept = use & (key >= 0)
    return (slice(None), key) if kept.all() else (np.flatnonzero(kept), key[kept])


def _is_range(numbers: NDArray[np.integer]) -> bool:
    return bool((numbers == np.arange(len(numbers))).all())


def _index_names(signals: pd.DataFrame) -> list[str]:
    return [str(c).removesuffix("_mean") for c in signals.columns if str(c).endswith("_mean")]


def _day_number(dates: pd.Series) -> Codes:
    return dates.to_numpy("datetime64[D]").astype(np.int64)


def _day_number_of(day: pd.Timestamp) -> int:
    return int(day.to_datetime64().astype("datetime64[D]").astype(np.int64))
