"""Small SYNTHETIC tables for tests of time: parcels, signals, weather, surveys, crops, traps with random known_at."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

from rs_forecast.asof import Tables

PEST = "brown_planthopper"
START = pd.Timestamp("2022-01-03").as_unit("us")
STATS = ("mean", "std", "p10", "p50", "p90")


def make_parcels(count: int = 6) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {
            "parcel_id": [f"p{i}" for i in range(count)],
            "commune_code": [f"c{i % 2}" for i in range(count)],
            "sub_zone": [f"z{i % 3}" for i in range(count)],
            "crop": "rice",
        },
        geometry=[box(600000 + 100 * i, 1100000, 600060 + 100 * i, 1100080) for i in range(count)],
        crs=32648,
    )


def make_tables(rng: np.random.Generator, count: int = 6, days: int = 900) -> Tables:
    """Random tables over ``days`` from START; known_at lags each row by a few days, and some rows come twice."""
    ids = np.array([f"p{i}" for i in range(count)])
    return Tables(
        signals=_signals(rng, ids, days),
        weather=_weather(rng, days),
        weights=pd.DataFrame(
            {"parcel_id": np.repeat(ids, 2), "site": np.tile(["s0", "s1"], count), "weight": np.tile([0.7, 0.3], count)}
        ),
        surveys=_surveys(rng, ids, days),
        crops=_crops(rng, ids, days),
        traps=_traps(rng, days),
    )


def _dates(numbers: np.ndarray) -> pd.Series:
    return pd.Series(START + pd.to_timedelta(numbers, unit="D")).astype("datetime64[us]")


def _signals(rng: np.random.Generator, ids: np.ndarray, days: int) -> pd.DataFrame:
    number = np.arange(0, days, 10)
    day, who = (part.ravel() for part in np.meshgrid(number, np.arange(len(ids))))
    keep = rng.random(len(day)) < 0.5
    day, who = day[keep], who[keep]
    table = pd.DataFrame(
        {
            "parcel_id": ids[who],
            "date": _dates(day),
            "known_at": _dates(day + rng.integers(0, 12, len(day))),
            "tile": "48PWS",
            "scene_id": [f"S{d}" for d in day],
            "geom_hash": "x",
            "valid_weight": 40.0,
            "valid_fraction": rng.choice([0.3, 0.6, 1.0], len(day)),
        }
    )
    for name in ("ndvi", "lswi"):
        middle = rng.uniform(0, 0.9, len(day))
        for stat, shift in zip(STATS, (0.0, 0.0, -0.1, 0.0, 0.1), strict=True):
            table[f"{name}_{stat}"] = middle + shift
    again = table.sample(frac=0.1, random_state=int(rng.integers(1 << 30)))
    again = again.assign(known_at=again["known_at"] + pd.Timedelta(days=200), ndvi_mean=0.5)
    return pd.concat([table, again], ignore_index=True)


def _weather(rng: np.random.Generator, days: int) -> pd.DataFrame:
    day, site = (part.ravel() for part in np.meshgrid(np.arange(days), np.arange(2)))
    return pd.DataFrame(
        {
            "site": np.array(["s0", "s1"])[site],
            "date": _dates(day),
            "known_at": _dates(day + rng.integers(0, 6, len(day))),
            "temp_mean": 27 + rng.normal(0, 2, len(day)),
            "rain_sum": rng.exponential(5, len(day)),
            "rh_mean": rng.uniform(60, 99, len(day)),
        }
    )


def _surveys(rng: np.random.Generator, ids: np.ndarray, days: int) -> pd.DataFrame:
    number = rng.integers(0, days, days)
    return pd.DataFrame(
        {
            "parcel_id": ids[rng.integers(0, len(ids), days)],
            "date": _dates(number),
            "known_at": _dates(number + rng.integers(0, 15, days)),
            "pest": PEST,
            "value": rng.choice([0.0, 100.0, 700.0, 800.0, 2000.0], days),
            "unit": "insects/m2",
        }
    )


def _crops(rng: np.random.Generator, ids: np.ndarray, days: int) -> pd.DataFrame:
    day, who = (part.ravel() for part in np.meshgrid(np.arange(0, days, 120), np.arange(len(ids))))
    sown = day + rng.integers(0, 15, len(day))
    return pd.DataFrame(
        {"parcel_id": ids[who], "sown": _dates(sown), "known_at": _dates(sown + rng.integers(0, 30, len(day)))}
    )


def _traps(rng: np.random.Generator, days: int) -> pd.DataFrame:
    """Counts that rise and fall every month at two traps among the parcels, some nights of a trap that did not work."""
    day, trap = (part.ravel() for part in np.meshgrid(np.arange(days), np.arange(2)))
    level = 100 * np.exp(2 * np.sin(2 * np.pi * (day + 9 * trap) / 30))
    return pd.DataFrame(
        {
            "trap_id": np.array(["t0", "t1"])[trap],
            "lon": np.array([105.912, 105.915])[trap],
            "lat": np.array([9.949, 9.949])[trap],
            "date": _dates(day),
            "known_at": _dates(day + rng.integers(0, 6, len(day))),
            "pest": PEST,
            "count": rng.poisson(level).astype(float),
            "nights": 1.0,
            "working": rng.choice(["yes", "yes", "yes", "no"], len(day)),
        }
    )
