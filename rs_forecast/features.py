"""Features of parcels at an issue date, from tables that :mod:`rs_forecast.asof` has cut at it.

Every function refuses a table with a row known later. Windows end on the issue date, or, for weather, on the newest day
known, so that the days by which a source is late shift a window and do not thin it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.asof import check_known
from rs_forecast.catalog import WEATHER_FEATURES, Pest, WeatherFeature
from rs_forecast.kernels import doubt, series
from rs_forecast.kernels.rows import weighted_means
from rs_forecast.kernels.series import Window

Columns = dict[str, NDArray[np.float64]]
Codes = NDArray[np.int64]

SIGNAL_STATS = ("mean", "p10", "p90")
"""Statistics of an index that features are made from."""
MIN_CLEAR = 0.5
"""Share of a parcel that must be clear for a look to count."""
DIP_INDICES = ("ndvi", "evi")
"""The first that is there tells dips; cloud and shadow lower both."""
DIP, DIP_DAYS = 0.1, 45
"""How far below the looks around it, and how near these are [days]. On real fields it takes out one look in 25."""
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

_WEATHER_HOW = {"sum": "mean", "anomaly": "mean", "days_above": "count_above"}
_MONTH, _QUARTER, _SLOPE = Window("mean", 30), Window("mean", 90), Window("slope", 60)


def signal_features(
    signals: pd.DataFrame, ids: pd.Index, zone: Codes, issued: pd.Timestamp
) -> tuple[Columns, NDArray[np.datetime64]]:
    """Return features of the parcels' own imagery, and the day of each one's last clear look (NaT where none).

    For each index: ``<index>_mean_last``, ``_mean_30d``, ``_mean_90d``, ``_mean_slope_60d`` [1/day], ``_spread_last``
    (p90 - p10), ``_anomaly_30d`` (against the same days of past years) and ``_vs_near`` (against the mean of its zone);
    with them ``data_age_days`` and ``clear_looks_90d``. A look that is a dip in the parcel's own NDVI, or EVI, counts
    as cloudy: :func:`rs_forecast.kernels.doubt.dips`.

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
    if not isinstance(order, slice):
        days, rows = days[order], np.arange(len(signals))[rows][order]
    query, at = _each(len(ids), _day_number_of(issued))
    fraction = signals["valid_fraction"].to_numpy()[rows]
    fraction = np.where(_dips(signals, rows, days, starts, fraction >= MIN_CLEAR), 0.0, fraction)
    clear = ~(fraction < MIN_CLEAR)  # what is cloudy is missing, as any value there
    newest = series.last_rows(days, fraction, fraction, starts, query, at, clear)
    age = at - series.at_rows(days, newest)
    (looks,) = series.windows(days, fraction, starts, query, at, [Window("count_above", 90, 0, MIN_CLEAR)])
    out: Columns = {"data_age_days": age, "clear_looks_90d": looks}
    past = _past_years(_MONTH, days, at)
    for name in _index_names(signals):
        mean, high, low = (signals[f"{name}_{stat}"].to_numpy()[rows] for stat in ("mean", "p90", "p10"))
        newest = series.last_rows(days, mean, mean, starts, query, at, clear)
        both = series.last_rows(days, high, low, starts, query, at, clear)
        month, quarter, slope, *years = series.windows(
            days, mean, starts, query, at, [_MONTH, _QUARTER, _SLOPE, *past], clear
        )
        out[f"{name}_mean_last"] = series.at_rows(mean, newest)
        out[f"{name}_mean_30d"] = month
        out[f"{name}_mean_90d"] = quarter
        out[f"{name}_mean_slope_60d"] = slope
        out[f"{name}_spread_last"] = series.at_rows(high, both) - series.at_rows(low, both)
        out[f"{name}_anomaly_30d"] = month - _mean_of(years, len(ids))
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
    site, names = pd.factorize(weights["site"])
    sites = pd.Index(names)
    key = sites.get_indexer(pd.Index(past["site"]))
    past, key = past.loc[key >= 0], key[key >= 0]
    days = _day_number(past["date"])
    order, starts = series.pack(key, days, len(sites))
    days, query, today = days[order], np.arange(len(sites)), _day_number_of(issued)
    at = np.full(len(sites), today)
    filled = starts[1:] > starts[:-1]
    at[filled] = days[starts[1:][filled] - 1]
    query = np.where(filled & (today - at <= LATEST_WEATHER), query, -1)
    parcel, weight = _places(weights[schema.PARCEL], ids), weights["weight"].to_numpy(np.float64)
    unknown = np.full(len(days), np.nan)
    of_site = np.empty((len(WEATHER_FEATURES), len(sites)))
    for k, row in enumerate(WEATHER_FEATURES.values()):
        value = past[row.variable].to_numpy(np.float64)[order] if row.variable in past else unknown
        of_site[k] = _weather_feature(row, days, value, starts, query, at)
    of_parcel = weighted_means(parcel, site, weight, of_site, len(ids))
    return dict(zip(WEATHER_FEATURES, of_parcel, strict=True))


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
    key = _places(own[schema.PARCEL], ids)
    own, key = own.loc[key >= 0], key[key >= 0]
    value = own["value"].to_numpy(np.float64)
    event = np.asarray(pest.is_event(value), np.float64)
    days = _day_number(own["date"])
    today = _day_number_of(issued)
    order, starts = series.pack(key, days, len(ids))
    newest = series.last_rows(days[order], value[order], value[order], starts, *_each(len(ids), today))
    zones = int(zone.max(initial=-1)) + 1
    near, starts = series.pack(zone[key], days, zones)
    asked = [Window("mean", VISIT_DAYS), Window("count_above", VISIT_DAYS, least=0)]
    rate, visits = series.windows(days[near], event[near], starts, *_each(zones, today), asked)
    (log,) = series.windows(days[near], np.log1p(value)[near], starts, *_each(zones, today), asked[:1])
    recent, before = (_rate(event, days, today - lag, 14) for lag in (0, 14))
    same = {
        "survey_last_event": series.at_rows(event[order], newest),
        "survey_last_log1p": series.at_rows(np.log1p(value)[order], newest),
        "survey_last_age_days": today - series.at_rows(days[order], newest),
        "survey_near_event_rate": rate[zone],
        "survey_near_log1p": log[zone],
        "survey_near_visits": visits[zone],
        "survey_region_event_rate": _everywhere(_rate(event, days, today, VISIT_DAYS), len(ids)),
        "survey_region_trend": _everywhere(recent - before, len(ids)),
    }
    rates = [_week_rate(event, days, today, _day_number_of(week)) for week in valid_from]
    return [{**same, "survey_week_event_rate": _everywhere(rate, len(ids))} for rate in rates]


def crop_features(crops: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp, valid_from: pd.Timestamp) -> Columns:
    """Return ``crop_age_days``: days from the newest known sowing to the valid week; NaN where unknown or long gone."""
    check_known(crops, issued, "crops")
    sown = crops.loc[crops["sown"] <= valid_from]
    key = _places(sown[schema.PARCEL], ids)
    sown, key = sown.loc[key >= 0], key[key >= 0]
    days = _day_number(sown["sown"])
    order, starts = series.pack(key, days, len(ids))
    query, at = _each(len(ids), _day_number_of(valid_from))
    _, age = series.last_value(days[order], np.ones(len(days)), starts, query, at)
    return {"crop_age_days": np.where(age <= LONGEST_CROP, age, np.nan)}


def calendar_features(count: int, valid_from: pd.Timestamp) -> Columns:
    """Return the valid week's place in the year as ``week_sin`` and ``week_cos``."""
    angle = 2 * np.pi * (valid_from.day_of_year - 1) / 365.25
    return {"week_sin": _everywhere(np.sin(angle), count), "week_cos": _everywhere(np.cos(angle), count)}


def _weather_feature(
    row: WeatherFeature, days: Codes, value: NDArray[np.float64], starts: Codes, query: Codes, at: Codes
) -> NDArray[np.float64]:
    least = int(np.ceil(row.window_days * 2 / 3))
    window = Window(_WEATHER_HOW.get(row.how, row.how), row.window_days, least, row.base)
    past = _past_years(window, days, at) if row.how == "anomaly" else []
    answers = series.windows(days, value, starts, query, at, [window, *past])
    found: NDArray[np.float64] = answers[0]
    if row.how == "sum":  # of the days there are, at their mean: a missing day is not a dry one
        return found * row.window_days
    return found - _mean_of(answers[1:], len(query)) if row.how == "anomaly" else found


def _past_years(window: Window, days: Codes, at: Codes) -> list[Window]:
    """Return the window on the same day of each past year on record."""
    years = int((at.max() - days.min()) / 365.25) if len(days) and len(at) else 0
    return [window._replace(ago=round(365.25 * year)) for year in range(1, years + 1)]


def _mean_of(years: Sequence[NDArray[np.float64]] | NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of the years that have a value; NaN where none has."""
    if len(years) == 0:
        return np.full(count, np.nan)
    found = np.isfinite(years)
    return _ratio(np.where(found, years, 0.0).sum(axis=0), found.sum(axis=0))


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


def _each(count: int, day: int) -> tuple[Codes, Codes]:
    """Return a query of each of ``count`` keys on one day."""
    return np.arange(count), np.full(count, day)


def _everywhere(value: float, count: int) -> NDArray[np.float64]:
    """Return a column that holds one value, which stands in memory once."""
    return np.broadcast_to(np.float64(value), count)


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


def _of_parcels(
    parcel: pd.Series, ids: pd.Index, use: NDArray[np.bool_]
) -> tuple[NDArray[np.intp] | slice, NDArray[np.integer[Any]]]:
    """Return which rows of those to ``use`` are of parcels among ``ids``, and each one's position there."""
    if isinstance(parcel.dtype, pd.CategoricalDtype):  # each parcel looked up once, not once a row
        key, names = parcel.cat.codes.to_numpy(), parcel.cat.categories
        if not names.equals(ids):
            key = np.append(ids.get_indexer(names), -1)[key]
    else:
        key = _places(parcel, ids)
    kept = use & (key >= 0)
    return (slice(None), key) if kept.all() else (np.flatnonzero(kept), key[kept])


def _places(parcel: pd.Series, ids: pd.Index) -> Codes:
    """Return the position of each parcel among ``ids``, -1 for none."""
    names = pd.Index(parcel)
    return np.arange(len(ids)) if names.equals(ids) else ids.get_indexer(names)


def _dips(
    signals: pd.DataFrame, rows: NDArray[np.intp] | slice, days: Codes, starts: Codes, clear: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which looks are residual cloud or shadow, as far as greenness tells."""
    for name in DIP_INDICES:
        if f"{name}_mean" in signals:
            value = np.where(clear, signals[f"{name}_mean"].to_numpy()[rows], np.nan)
            return doubt.dips(days, value.astype(np.float64), starts, DIP_DAYS, DIP)
    return np.zeros(len(days), np.bool_)


def _index_names(signals: pd.DataFrame) -> list[str]:
    return [str(c).removesuffix("_mean") for c in signals.columns if str(c).endswith("_mean")]


def _day_number(dates: pd.Series) -> Codes:
    return dates.to_numpy("datetime64[D]").view(np.int64)


def _day_number_of(day: pd.Timestamp) -> int:
    return int(day.to_datetime64().astype("datetime64[D]").astype(np.int64))
