"""Features of the weather at the parcels' sites: what it was, and what it is to be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import WEATHER_FEATURES, WeatherFeature
from rs_forecast.features._columns import Columns, mean_of, past_years
from rs_forecast.kernels import series
from rs_forecast.kernels.rows import weighted_means
from rs_forecast.kernels.series import Window
from rs_forecast.looks import Codes, day_number, day_numbers, places

LATEST_WEATHER = 15
"""Days after which the newest weather says nothing of the present [days]."""
ENOUGH_ARCHIVED = 0.8
"""Share of issue dates with a forecast on record from which on forecasts are used, and not climatology for all."""
AROUND = 7
"""Days on either side of the coming days whose past years are their climatology [days]."""

Ahead = Literal["forecast", "climatology", "none"]
"""What stands for the days after the issue date."""

_HOW = {"sum": "mean", "anomaly": "mean", "days_above": "count_above", "days_below": "count_below"}


class _Series(NamedTuple):
    """Rows of sites, packed for the kernels."""

    days: Codes
    starts: Codes
    values: dict[str, NDArray[np.float64]]


def weather_features(
    weather: pd.DataFrame,
    weights: pd.DataFrame,
    ids: pd.Index,
    issued: pd.Timestamp,
    ahead: Ahead = "none",
) -> Columns:
    """Return the rows of the weather catalogue for each parcel, computed per site and joined by the sites' weights.

    A variable that the table has not gives no feature. A window needs two thirds of its days. A site whose newest day
    is over two weeks old gives none. An anomaly is taken against the same days of the past years that are on record.

    Rows of days to come are forecasts. By ``forecast`` they are what features ahead are made from, and those of past
    days count until an observation replaces them; where too few are there, climatology stands in: the mean of past
    years over the same days and a week on either side. By ``climatology`` it stands in throughout, and no forecast
    counts anywhere; by ``none`` neither, and there is no feature ahead.
    """
    schema.check_known(weather, issued, "weather")
    site, names = pd.factorize(weights["site"])
    sites = pd.Index(names)
    if ahead != "forecast":
        weather = weather.loc[weather["known_at"] >= weather["date"]]
    to_come = (weather["date"] > issued).to_numpy()
    past, coming = _packed(weather.loc[~to_come], sites), _packed(weather.loc[to_come], sites)
    query, today = np.arange(len(sites)), day_number(issued)
    at = np.full(len(sites), today)
    filled = past.starts[1:] > past.starts[:-1]
    at[filled] = past.days[past.starts[1:][filled] - 1]
    query = np.where(filled & (today - at <= LATEST_WEATHER), query, -1)
    rows = [row for row in WEATHER_FEATURES.values() if not row.ahead or ahead != "none"]
    wanted = [row for row in rows if row.variable in weather.columns] or rows
    of_site = np.empty((len(wanted), len(sites)))
    for k, row in enumerate(wanted):
        of_site[k] = _to_come(row, coming, past, today) if row.ahead else _that_was(row, past, query, at)
    parcel, weight = places(weights[schema.PARCEL], ids), weights["weight"].to_numpy(np.float64)
    of_parcel = weighted_means(parcel, site, weight, of_site, len(ids))
    return dict(zip([row.name for row in wanted], of_parcel, strict=True))


def archived_share(weather: pd.DataFrame, issued: Iterable[pd.Timestamp]) -> float:
    """Return on what share of the days ``issued`` a forecast of most of the coming week was known.

    A forecast is a row known before its date. One made later, or an observation, does not count.
    """
    made = weather.loc[weather["known_at"] < weather["date"], ["date", "known_at"]].drop_duplicates()
    known, date = day_numbers(made["known_at"]), day_numbers(made["date"])
    days = np.array(sorted({day_number(day) for day in issued}))
    if not len(days) or made.empty:
        return 0.0
    covered = [
        len(np.unique(date[(known <= day) & (date > day) & (date <= day + 7)])) >= _least(7) for day in days.tolist()
    ]
    return float(np.mean(covered))


def choose_ahead(share: float) -> Ahead:
    """Return what features ahead are to be made from: forecasts where most issue dates had one, else nothing.

    Climatology alone would say no more than the calendar does, and cost skill where it was tried.
    """
    return "forecast" if share >= ENOUGH_ARCHIVED else "none"


def ahead_text(ahead: str, share: float) -> str:
    """Return in words what features of the coming days were made from."""
    if ahead == "forecast":
        return f"weather to come: by archived forecasts on {share:.0%} of the issue dates, by climatology on the rest"
    used = "by climatology of past years throughout" if ahead == "climatology" else "not used"
    return (
        f"weather to come: {used}; {share:.0%} of the issue dates have an archived forecast, {ENOUGH_ARCHIVED:.0%} are "
        "due for forecasts to count"
    )


def _packed(rows: pd.DataFrame, sites: pd.Index) -> _Series:
    key = sites.get_indexer(pd.Index(rows["site"]))
    rows, key = rows.loc[key >= 0], key[key >= 0]
    days = day_numbers(rows["date"])
    order, starts = series.pack(key, days, len(sites))
    wanted = dict.fromkeys(row.variable for row in WEATHER_FEATURES.values())
    values = {name: rows[name].to_numpy(np.float64)[order] for name in wanted if name in rows}
    unknown = np.full(len(days), np.nan)
    return _Series(days[order], starts, {name: values.get(name, unknown) for name in wanted})


def _least(days: int) -> int:
    return int(np.ceil(days * 2 / 3))


def _window(row: WeatherFeature) -> Window:
    return Window(_HOW.get(row.how, row.how), row.window_days, _least(row.window_days), row.base, top=row.top)


def _ask(of: _Series, row: WeatherFeature, query: Codes, at: Codes, asked: list[Window]) -> Any:
    return series.windows(of.days, of.values[row.variable], of.starts, query, at, asked)


def _that_was(row: WeatherFeature, past: _Series, query: Codes, at: Codes) -> NDArray[np.float64]:
    window = _window(row)
    years = past_years(window, past.days, at) if row.how == "anomaly" else []
    answers = _ask(past, row, query, at, [window, *years])
    found: NDArray[np.float64] = answers[0]
    if row.how == "sum":  # of the days there are, at their mean: a missing day is not a dry one
        return found * row.window_days
    return found - mean_of(answers[1:], len(query)) if row.how == "anomaly" else found


def _to_come(row: WeatherFeature, coming: _Series, past: _Series, today: int) -> NDArray[np.float64]:
    """Return the feature over the days after ``today``: by the forecasts that are there, else by past years."""
    query = np.arange(len(past.starts) - 1)
    at = np.full(len(query), today + row.window_days)
    (forecast,) = _ask(coming, row, query, at, [_window(row)])
    wide = _window(row)._replace(width=row.window_days + 2 * AROUND, least=_least(row.window_days + 2 * AROUND))
    years = [one._replace(ago=one.ago - AROUND) for one in past_years(wide, past.days, at)]
    usual = mean_of(_ask(past, row, query, at, years), len(query))
    found: NDArray[np.float64] = np.where(np.isnan(forecast), usual, forecast)
    return found * row.window_days if row.how == "sum" else found
