"""Weather features: a variable, what is done to it, over which days before or after the issue date."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class WeatherFeature:
    """One feature from one daily variable over ``window_days`` up to the newest day known at the issue date.

    ``how``: ``mean``, ``sum``, ``min``, ``max``; ``days_above`` counts days at or above ``base``, ``days_below`` those
    below it; ``run_above`` and ``run_below`` count the most such days on end; ``sum_above`` adds what exceeds ``base``,
    of each day up to ``top`` (degree-days); ``anomaly`` is the window's mean less the mean of the same days in past
    years. With ``ahead`` the window is that of the days after the issue date, by forecast or by climatology.
    """

    name: str
    variable: str
    how: Literal[
        "mean", "sum", "min", "max", "days_above", "days_below", "run_above", "run_below", "sum_above", "anomaly"
    ]
    window_days: int
    unit: str
    words: str
    base: float = 0.0
    top: float = math.inf
    ahead: bool = False


def _row(
    name: str, variable: str, how: str, window: int, unit: str, words: str, base: float = 0.0, **more: Any
) -> WeatherFeature:
    return WeatherFeature(
        name=name, variable=variable, how=how, window_days=window, unit=unit, words=words, base=base, **more  # type: ignore[arg-type]
    )  # fmt: skip


WEATHER_FEATURES: Table[WeatherFeature] = Table(
    "weather feature",
    (
        _row("temp_mean_7d", "temp_mean", "mean", 7, "°C", "temperature last week"),
        _row("temp_mean_30d", "temp_mean", "mean", 30, "°C", "temperature last month"),
        _row("temp_mean_anomaly_30d", "temp_mean", "anomaly", 30, "°C", "temperature last month against other years"),
        _row("temp_max_14d", "temp_max", "max", 14, "°C", "hottest day of two weeks"),
        _row("temp_min_14d", "temp_min", "min", 14, "°C", "coldest night of two weeks"),
        _row("gdd12_30d", "temp_mean", "sum_above", 30, "°C d", "degree-days above 12 °C", 12.0),
        _row("rain_sum_7d", "rain_sum", "sum", 7, "mm", "rain last week"),
        _row("rain_sum_30d", "rain_sum", "sum", 30, "mm", "rain last month"),
        _row("rain_days_14d", "rain_sum", "days_above", 14, "days", "rainy days in two weeks", 1.0),
        _row("rain_anomaly_30d", "rain_sum", "anomaly", 30, "mm/d", "rain last month against other years"),
        _row("rh_mean_7d", "rh_mean", "mean", 7, "%", "humidity last week"),
        _row("rh_mean_30d", "rh_mean", "mean", 30, "%", "humidity last month"),
        _row("humid_days_14d", "rh_mean", "days_above", 14, "days", "humid days in two weeks", 85.0),
        _row("wind_mean_14d", "wind_mean", "mean", 14, "m/s", "wind in two weeks"),
        _row("radiation_mean_30d", "radiation_sum", "mean", 30, "MJ/m2", "sunshine last month"),
        _row("hot_days_30d", "temp_max", "days_above", 30, "days", "hot days last month", 35.0),
        _row("cool_nights_30d", "temp_min", "days_below", 30, "days", "cool nights last month", 20.0),
        _row("dry_spell_30d", "rain_sum", "run_below", 30, "days", "longest dry spell last month", 1.0),
        _row("humid_spell_30d", "rh_mean", "run_above", 30, "days", "longest humid spell last month", 85.0),
        _row("wet_hours_14d", "wet_hours", "sum", 14, "h", "hours of wet leaves in two weeks"),
        _row("temp_mean_next7d", "temp_mean", "mean", 7, "°C", "temperature of the coming week", ahead=True),
        _row("rain_sum_next7d", "rain_sum", "sum", 7, "mm", "rain of the coming week", ahead=True),
        _row("rh_mean_next7d", "rh_mean", "mean", 7, "%", "humidity of the coming week", ahead=True),
    ),
)
