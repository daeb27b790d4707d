"""Stations in between: which share each station has in a parcel's weather, and how temperature falls with height."""

from __future__ import annotations

from typing import Literal

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.errors import ConfigError
from rs_forecast.schema import PARCEL
from rs_forecast.sources._sites import FAR_KM, kilometres, nearest_site, weigh

Interpolate = Literal["nearest", "idw"]
NEAREST = 4
"""Stations that a parcel's weather is made from at most."""
LAPSE = -0.0065
"""Change of temperature with height in the standard atmosphere (ISO 2533) [K/m]."""
STEP_M = 50.0
"""Heights are taken in steps: stations stand for each step once, and not for each parcel [m]."""
_CLOSE_KM = 0.1
_TOGETHER = 20_000


def serve(
    rows: pd.DataFrame, sites: pd.DataFrame, parcels: gpd.GeoDataFrame, source: str, interpolate: Interpolate
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the sites, and the share of each in each parcel's weather.

    ``nearest`` gives each parcel its nearest site. ``idw`` gives it the nearest four within 100 km by the inverse of
    their squared distance (Shepard 1968, doi 10.1145/800186.810616); where ``elevation`` [m] of site and parcel are
    known, temperatures are taken to the parcel's height at -6.5 K/km, as rows of a site ``<name> at <height> m`` beside
    the site's own.

    Parameters
    ----------
    rows
        ``site`` and variables.
    sites
        ``site, lon, lat, elevation``; one alone need not say where it is.
    """
    if interpolate not in ("nearest", "idw"):
        raise ConfigError(f"{source}: interpolate is {interpolate!r}; allowed are nearest, idw")
    if sites["lon"].isna().any():
        return rows, weigh(parcels[PARCEL], str(sites["site"].iloc[0]))
    near = nearest_site(parcels, sites, source)
    if interpolate == "nearest" or near.empty:
        return rows, near
    served = parcels.loc[parcels[PARCEL].isin(near[PARCEL])].reset_index(drop=True)
    parts = [
        _shares(served.iloc[first : first + _TOGETHER], sites.reset_index(drop=True))
        for first in range(0, len(served), _TOGETHER)
    ]
    return _at_heights(rows, pd.concat(parts, ignore_index=True), sites)


def _shares(parcels: gpd.GeoDataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """Return ``parcel_id, site, weight, height``; a parcel's weights sum to 1."""
    km = kilometres(parcels.geometry.representative_point().to_crs(4326), sites)
    count = min(NEAREST, len(sites))
    chosen = np.argsort(km, axis=1, kind="stable")[:, :count]
    away = np.take_along_axis(km, chosen, axis=1)
    share = np.where(away <= FAR_KM, 1 / np.maximum(away, _CLOSE_KM) ** 2, 0.0)
    share /= share.sum(axis=1, keepdims=True)
    height = pd.to_numeric(parcels["elevation"], errors="coerce") if "elevation" in parcels else np.nan
    table = pd.DataFrame(
        {
            PARCEL: np.repeat(parcels[PARCEL].to_numpy(), count),
            "site": sites["site"].to_numpy()[chosen.ravel()],
            "weight": share.ravel(),
            "height": np.repeat(np.broadcast_to(np.asarray(height, float), len(parcels)), count),
        }
    )
    return table.loc[table["weight"] > 0].astype({PARCEL: "str", "site": "str"})


def _at_heights(rows: pd.DataFrame, weights: pd.DataFrame, sites: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    own = weights["site"].map(sites.set_index("site")["elevation"]).astype("float64")
    step = (weights["height"] / STEP_M).round() * STEP_M
    moved = (weights["height"] - own).abs() >= STEP_M / 2
    names = pd.Series(
        [f"{site} at {m:.0f} m" for site, m in zip(weights["site"], step, strict=True)], weights.index, "str"
    )
    pairs = pd.DataFrame({"site": weights["site"], "name": names, "rise": step - own})[moved].drop_duplicates("name")
    weights = weights.assign(site=weights["site"].mask(moved, names)).drop(columns="height")
    parts = [rows.loc[rows["site"].isin(set(weights["site"]) | set(sites["site"]))]]
    for site, name, rise in pairs.itertuples(index=False):
        part = rows.loc[rows["site"] == site].assign(site=name)
        temperatures = [column for column in part if str(column).startswith("temp_")]
        parts.append(part.assign(**{column: part[column] + LAPSE * rise for column in temperatures}))
    return pd.concat(parts), weights  # the index stays: the number of the row in its file
