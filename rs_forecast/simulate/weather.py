"""Daily weather of a monsoon delta: seasonal cycle, good and bad years, and days that resemble their eve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rs_forecast.simulate._rng import autoregressive, generator

STATIONS = (
    ("SYNTHETIC-1", 105.385, 10.412),
    ("SYNTHETIC-2", 105.424, 10.391),
    ("SYNTHETIC-3", 105.398, 10.371),
)
"""Name, longitude, latitude."""

VARIABLES = ("temp_mean", "temp_min", "temp_max", "rh_mean", "rain_sum", "wind_mean", "radiation_sum")


def wet_season(day_of_year: Any, shift: Any = 0.0) -> np.ndarray:
    """Return how far the day lies in the monsoon, 0 (dry) to 1; it comes in May and goes at the end of November."""
    day = np.asarray(day_of_year, float) - shift
    return np.asarray(1 / (1 + np.exp(-(day - 125) / 9)) - 1 / (1 + np.exp(-(day - 332) / 9)))


def simulate_weather(days: pd.DatetimeIndex, seed: int) -> pd.DataFrame:
    """Return one row per station and day: ``date station lon lat``, the variables, and ``known_at`` a day later."""
    region = _region(days, generator(seed, "weather"))
    tables = []
    for number, (name, lon, lat) in enumerate(STATIONS):
        table = _station(region, generator(seed, "station", number))
        table.insert(0, "date", days)
        table.insert(1, "station", name)
        table.insert(2, "lon", lon)
        table.insert(3, "lat", lat)
        table["known_at"] = days + pd.Timedelta(days=1)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def region_mean(weather: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the stations by day."""
    return weather.groupby("date")[list(VARIABLES)].mean()


def _region(days: pd.DatetimeIndex, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return what the stations share: seasons, year anomalies, and the spells of the passing weeks."""
    n_years = days[-1].year - days[0].year + 1
    year = (days.year - days[0].year).to_numpy()
    warm, onset = rng.normal(0, 0.45, n_years)[year], rng.normal(0, 10, n_years)[year]
    day = days.day_of_year.to_numpy(float)
    wet = wet_season(day, onset)
    spell = autoregressive(rng, len(days), 2, memory=0.82, sd=1.0)
    humid = spell[:, 0]
    temp = 27.5 + 1.15 * np.cos(2 * np.pi * (day - 118) / 365.25) - 0.1 * wet + warm
    temp += 0.75 * spell[:, 1] - 0.35 * humid * wet
    return {"day": day, "wet": wet, "humid": humid, "temp": temp}


def _station(region: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
    wet, humid = region["wet"], region["humid"]
    n = len(wet)
    late = np.exp(-(((region["day"] - 283) / 35) ** 2))  # October is the wettest month
    rainy = rng.random(n) < 1 / (1 + np.exp(-(-2.9 + 3.1 * wet + 1.1 * humid)))
    rain = np.where(rainy, rng.gamma(0.75, 1.0, n) * (6 + 9.5 * wet + 4 * late), 0.0)
    mean = region["temp"] - 0.4 * rainy + rng.normal(0, 0.25, n)
    half_range = np.clip(4.0 - 0.8 * wet - 0.8 * rainy + rng.normal(0, 0.4, n), 1.5, None)
    rh = np.clip(76.5 + 6.5 * wet + 2.2 * humid + 3.0 * rainy + rng.normal(0, 1.5, n), 55, 99)
    sun = 19.5 + 2.2 * np.cos(2 * np.pi * (region["day"] - 95) / 365.25)
    radiation = np.clip(sun - 2.0 * wet - 1.4 * humid - 3.5 * rainy + rng.normal(0, 1.5, n), 4, 27)
    wind = np.clip(1.9 + 0.5 * wet + rng.normal(0, 0.6, n), 0.2, None)
    return pd.DataFrame(
        {
            "temp_mean": mean.round(1),
            "temp_min": (mean - 0.85 * half_range).round(1),
            "temp_max": (mean + 1.15 * half_range).round(1),
            "rh_mean": rh.round(0),
            "rain_sum": rain.round(1),
            "wind_mean": wind.round(1),
            "radiation_sum": radiation.round(1),
        }
    )
