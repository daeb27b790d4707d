"""SYNTHETIC datasets of the shape that build_dataset gives, with real signal or none, for tests of all above it."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from rs_forecast.schema import NOT_ASSESSABLE

PEST = "brown_planthopper"
SEASONS = ("dong_xuan", "he_thu", "thu_dong")


def make_history(
    seed: int = 0,
    *,
    signal: float = 1.0,
    years: int = 3,
    parcels: int = 40,
    horizons: Sequence[int] = (1,),
    pests: Sequence[str] = (PEST,),
    visited: float = 0.35,
    base: float = -2.2,
) -> gpd.GeoDataFrame:
    """Return labelled rows of weekly forecasts; with ``signal=0`` no feature tells anything of the label."""
    rng = np.random.default_rng(seed)
    mondays = pd.date_range("2020-01-06", periods=52 * years, freq="7D").astype("datetime64[us]")
    blocks = []
    for pest in pests:
        for weeks in horizons:
            index = pd.MultiIndex.from_product([range(parcels), mondays], names=["parcel", "issued"])
            blocks.append(index.to_frame(index=False).assign(pest=pest, horizon_weeks=float(weeks)))
    rows = pd.concat(blocks, ignore_index=True)
    return _with_features(rows, rng, signal=signal, visited=visited, base=base)


def make_live(history: gpd.GeoDataFrame, seed: int = 99) -> gpd.GeoDataFrame:
    """Return one issue date's rows without labels, two of them not assessable and one without imagery."""
    live = history.loc[history["issued"] == history["issued"].max()].copy()
    live["label"] = np.nan
    live["label_known_at"] = pd.Series(pd.NaT, index=live.index).astype("datetime64[us]")
    rng = np.random.default_rng(seed)
    live["ndvi_mean_last"] = rng.normal(0.6, 0.1, len(live))
    status = ["ok"] * len(live)
    status[1], status[3], status[4] = NOT_ASSESSABLE, NOT_ASSESSABLE, "no_imagery"
    live["status"] = pd.Series(status, index=live.index, dtype="str")
    live.loc[live.index[4], ["last_clear_obs", "ndvi_mean_last", "data_age_days"]] = [pd.NaT, np.nan, np.nan]
    return live


def _with_features(rows, rng, *, signal, visited, base) -> gpd.GeoDataFrame:
    n = len(rows)
    monday = rows["issued"]
    valid = monday + pd.to_timedelta(7 * rows["horizon_weeks"], unit="D")
    parcel = rows.pop("parcel").to_numpy()
    zone = parcel // 10
    weather = pd.Series(rng.normal(size=monday.nunique()), index=monday.unique())
    humid = monday.map(weather).to_numpy(dtype=float)
    local = rng.normal(size=n)
    turn = 2 * np.pi * valid.dt.day_of_year.to_numpy() / 365.25
    logit = base + signal * (1.6 * local + 1.0 * humid - 1.0 * local * (humid > 0) + 0.5 * np.sin(turn))
    event = rng.random(n) < 1 / (1 + np.exp(-logit))
    seen = rng.random(n) < visited
    last_age = rng.integers(7, 60, n).astype(float)
    hint = rng.random(n) < 1 / (1 + np.exp(-(base + 0.8 * signal * (local + humid))))
    last = np.where(rng.random(n) < 0.5, hint.astype(float), np.nan)
    known = valid + pd.to_timedelta(rng.integers(1, 15, n), unit="D")
    look = monday - pd.to_timedelta(rng.integers(1, 20, n), unit="D")
    table = pd.DataFrame(
        {
            "parcel_id": pd.Series([f"p{i:04d}" for i in parcel], dtype="str"),
            "issued": monday,
            "pest": rows["pest"].astype("str"),
            "horizon_weeks": rows["horizon_weeks"],
            "valid_from": valid,
            "valid_to": valid + pd.Timedelta(days=6),
            "season": _season(valid),
            "commune_code": pd.Series([f"c{z // 2}" for z in zone], dtype="str"),
            "sub_zone": pd.Series([f"z{z}" for z in zone], dtype="str"),
            "status": pd.Series(["ok"] * n, dtype="str"),
            "last_clear_obs": look,
            "label": np.where(seen, event, np.nan).astype(float),
            "label_known_at": known.where(pd.Series(seen)),
            "ndvi_mean_last": 0.6 + 0.1 * local + rng.normal(0, 0.02, n),
            "ndvi_mean_slope_60d": rng.normal(size=n),
            "rh_mean_7d": 80 + 5 * humid,
            "rain_sum_7d": rng.gamma(1, 20, n),
            "survey_last_event": last,
            "survey_last_age_days": np.where(np.isnan(last), np.nan, last_age),
            "survey_near_event_rate": np.where(rng.random(n) < 0.8, rng.beta(1, 8, n).round(2), np.nan),
            "crop_age_days": rng.integers(0, 110, n).astype(float),
            "week_sin": np.sin(turn),
            "week_cos": np.cos(turn),
            "data_age_days": (monday - look).dt.days.astype(float),
        }
    )
    days = ["issued", "valid_from", "valid_to", "last_clear_obs", "label_known_at"]
    table[days] = table[days].astype("datetime64[us]")
    corner = 560_000 + 50.0 * parcel
    squares = shapely.box(corner, 1_150_000.0, corner + 40, 1_150_040.0)
    out = gpd.GeoDataFrame(table, geometry=squares, crs="EPSG:32648")
    out.attrs["synthetic"] = True
    return out


def _season(valid: pd.Series) -> pd.Series:
    month, year = valid.dt.month, valid.dt.year
    number = np.select([month < 4, month < 8, month < 12], [0, 1, 2], default=0)
    year = year + (month == 12)
    return pd.Series([f"{y} {SEASONS[k]}" for y, k in zip(year, number, strict=True)], dtype="str")
