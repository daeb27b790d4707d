"""What process models say where nothing was ever surveyed: how today's weather for a pest ranks among past years.

Nothing is calibrated, so nothing is a probability. The index of a field is the share of past years in which the same
model, at the same site, run from a sowing on the same day of the year for the same number of days, stood lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.asof import AsOf
from rs_forecast.catalog import DISEASES, Pest
from rs_forecast.dataset import tables_of
from rs_forecast.features import main_sites, process_reading
from rs_forecast.phenology import BASES, IMAGERY, TABLE

LEAST_YEARS = 3
"""Past years below which a share of them says nothing."""
OK = "ok"
OWN_SOWING = (BASES[TABLE], BASES[IMAGERY])
"""Where a field's own sowing date is from; the calendar's is that of a whole region."""
_DECIMALS = 4
Floats = NDArray[np.float64]


class _Ranked(NamedTuple):
    """Of each run, how it ranks among its past years."""

    share: Floats
    years: Floats
    """Past years that could be told."""
    why: NDArray[np.object_]
    """Why there is no index; empty where there is one."""


def covered(pests: Sequence[Pest]) -> tuple[list[Pest], list[str]]:
    """Return the pests that a process model tells of, and the names of the others."""
    return [pest for pest in pests if pest.process], [pest.name for pest in pests if not pest.process]


def model_name(pest: Pest) -> str:
    """Return the name of a pest's process model: ``epirice leaf_blast``, ``degree-days leaf_folder``."""
    return f"{'epirice' if pest.process in DISEASES else 'degree-days'} {pest.process}"


def process_map(
    crops: gpd.GeoDataFrame,
    weather: tuple[pd.DataFrame, pd.DataFrame] | None,
    *,
    pests: Sequence[Pest],
    issued: Any,
) -> gpd.GeoDataFrame:
    """Return for each parcel and pest the share of past years whose weather was less favourable to it.

    Parameters
    ----------
    crops
        Table of :func:`rs_forecast.crop_status.crop_status` at ``issued``. A sowing date counts if the office was told
        or it was seen from space.
    weather
        Rows and weights of :func:`get_weather`; rows known after ``issued``, and forecasts, change nothing.
    pests
        Pests that a process model tells of.
    issued
        The issue date.

    Returns
    -------
    GeoDataFrame
        ``parcel_id pest issued``; ``process_index``, the share of past years (0-1) in which the model's value was lower
        than now, NaN where it is not assessable; ``model``; ``sown``, ``sown_basis``; ``past_years``, how many were
        compared; ``status`` (``ok`` or ``not_assessable``), ``reasons``: why not. A past year is the same site with the
        crop sown on the same day of the year, read as many days after sowing as weather is known of this year's crop.
    """
    day = schema.day(issued)
    known = AsOf(tables_of(None, weather, None, None, None)).at(day)
    seen = known.weather.loc[known.weather["known_at"] >= known.weather["date"]]  # no forecasts
    own = crops["sown_basis"].isin(OWN_SOWING)
    runs = pd.DataFrame(
        {
            "site": main_sites(known.weights, pd.Index(crops[schema.PARCEL])),
            "start": crops["sown"].where(own).to_numpy("datetime64[us]"),
        }
    )
    parts = [_of_pest(crops, runs, seen, pest, day) for pest in pests]
    out = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), geometry="geometry", crs=crops.crs)
    tables = (crops, *(weather or ()))
    out.attrs["synthetic"] = any(bool(table.attrs.get("synthetic")) for table in tables)
    return out


def _of_pest(
    crops: gpd.GeoDataFrame, runs: pd.DataFrame, weather: pd.DataFrame, pest: Pest, issued: pd.Timestamp
) -> gpd.GeoDataFrame:
    kinds = runs.dropna().drop_duplicates(ignore_index=True)  # fields of one site that were sown on one day are one
    found = _ranked(weather, kinds, pest, issued)
    place = pd.MultiIndex.from_frame(kinds).get_indexer(pd.MultiIndex.from_frame(runs))
    place[runs.isna().any(axis=1)] = -1  # the last row of each of the following
    index, years = np.append(found.share, np.nan)[place], np.append(found.years, 0.0)[place]
    host = crops["crop"].isna() | (crops["crop"] == pest.crop) | (not pest.crop)
    reasons = np.select(
        [~host, runs["start"].isna(), runs["site"].isna()],
        ["another crop", "no sowing date told or seen", "no weather"],
        np.append(found.why, "")[place],
    )
    index[reasons != ""] = np.nan
    columns = {
        schema.PARCEL: crops[schema.PARCEL].array,
        "pest": pest.name,
        "issued": issued,
        "process_index": np.round(index, _DECIMALS),
        "model": model_name(pest),
        "sown": crops["sown"].array,
        "sown_basis": crops["sown_basis"].array,
        "past_years": years,
        "status": np.where(np.isnan(index), schema.NOT_ASSESSABLE, OK),
        "reasons": pd.array(reasons, dtype="str"),
    }
    return gpd.GeoDataFrame(columns, geometry=crops.geometry.array, crs=crops.crs)


def _ranked(weather: pd.DataFrame, runs: pd.DataFrame, pest: Pest, issued: pd.Timestamp) -> _Ranked:
    if weather.empty or runs.empty:
        return _Ranked(np.full(len(runs), np.nan), np.zeros(len(runs)), np.full(len(runs), "no weather", object))
    now = process_reading(weather, runs, pest, issued)
    value = now["value"].to_numpy(np.float64)
    age = issued - pd.to_timedelta(now["lag_days"], unit="D") - runs["start"]  # on the newest day that can be told
    archive = weather.drop(columns="known_at")  # of days long past, as they are known now
    years = range(1, issued.year - weather["date"].min().year + 1)
    past = np.array([_value_before(archive, runs, age, pest, year) for year in years]).reshape(len(years), len(runs))
    count = np.isfinite(past).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        index = (past < value).sum(axis=0) / count
    alike = (past == value).sum(axis=0) == count
    why = np.select(
        [np.isnan(value), count < LEAST_YEARS, alike],
        [
            "the model tells nothing: weather since sowing is lacking, or the crop is too old",
            f"fewer than {LEAST_YEARS} past years with weather",
            "the model tells no year from another at this age",
        ],
        "",
    ).astype(object)
    return _Ranked(np.where(why == "", index, np.nan), count.astype(np.float64), why)


def _value_before(weather: pd.DataFrame, runs: pd.DataFrame, age: pd.Series, pest: Pest, years: int) -> Floats:
    """Return the model's value as many years ago, of a crop sown on that day of the year, at the same age."""
    start = (runs["start"] - pd.DateOffset(years=years)).astype("datetime64[us]")
    before = pd.DataFrame({"site": runs["site"], "start": start})
    out = np.full(len(runs), np.nan)
    for day, rows in (start + age).groupby(start + age).indices.items():
        out[rows] = process_reading(weather, before.iloc[rows], pest, day, most_lag=0)["value"]
    return out
