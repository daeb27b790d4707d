"""Weather features: a variable, what is done to it, over which days before the issue date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class WeatherFeature:
    """One feature from one daily variable over ``window_days`` up to and with the issue date.

    ``how``: ``mean``, ``sum``, ``min``, ``max``; ``days_above`` counts days at or above ``base``; ``sum_above`` adds
    what exceeds ``base`` (degree-days); ``anomaly`` is the window's mean less the mean of the same days in past years.
    """

    name: str
    variable: str
    how: Literal["mean", "sum", "min", "max", "days_above", "sum_above", "anomaly"]
    window_days: int
    unit: str
    words: str
    base: float = 0.0


def _row(name: str, variable: str, how: str, window: int, unit: str, words: str, base: float = 0.0) -> WeatherFeature:
    return WeatherFeature(
        name=name, variable=variable, how=how, window_days=window, unit=unit, words=words, base=base  # type: ignore[arg-type]
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
    ),
)
