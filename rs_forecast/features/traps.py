"""What the light trap nearest to each parcel has caught."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import KDTree

from rs_forecast import schema
from rs_forecast.catalog import INSECTS, Pest
from rs_forecast.features._columns import Columns, each, main_sites
from rs_forecast.kernels import series
from rs_forecast.kernels.series import Window
from rs_forecast.looks import day_number, day_numbers
from rs_forecast.process.hoppers import hopper_clock

REACH_M = 15_000.0
"""A trap further away says nothing of a parcel [m]. A buffer of 10 km served well: doi 10.3390/app9224846."""
_FAR = 1e9
_TWO_WEEKS, _BEFORE = Window("mean", 14), Window("mean", 14, ago=14)


def trap_features(
    traps: pd.DataFrame,
    weather: pd.DataFrame,
    weights: pd.DataFrame,
    ids: pd.Index,
    spots: tuple[NDArray[np.float64], Any],
    pest: Pest,
    issued: pd.Timestamp,
) -> Columns:
    """Return what the nearest trap that counts ``pest`` says of each parcel; NaN where none is within reach.

    ``trap_log1p_14d``: the mean of ln(1 + count a night) over two weeks; ``trap_trend_14d``: less that of the two weeks
    before; ``trap_days_since_peak`` and ``trap_cycle``: where the generation that followed the newest known peak
    stands (:func:`rs_forecast.process.hoppers.hopper_clock`), for insects whose degree-days the catalogue has.

    Parameters
    ----------
    traps, weather
        Rows known at ``issued``.
    weights, ids
        The parcels, and which weather sites they have.
    spots
        A point of each parcel, (parcel, 2) [m], and the CRS of these.
    """
    schema.check_known(traps, issued, "traps")
    own = traps.loc[(traps["pest"] == pest.name) & (traps["date"] <= issued)]
    names = ("trap_log1p_14d", "trap_trend_14d", "trap_days_since_peak", "trap_cycle")
    if own.empty:
        return dict.fromkeys(names, np.full(len(ids), np.nan))
    places = own.drop_duplicates("trap_id", keep="last").set_index("trap_id")[["lon", "lat"]].sort_index()
    points, crs = spots
    at = gpd.GeoSeries(gpd.points_from_xy(places["lon"], places["lat"]), crs=4326).to_crs(crs)
    where = np.column_stack([at.x, at.y])
    where[~np.isfinite(where).all(axis=1)] = _FAR  # on the other side of the globe
    distance, near = KDTree(where).query(points)
    by_trap = np.vstack([_counts(own, places.index, issued), np.full((2, len(places)), np.nan)])
    if pest.name in INSECTS and len(weather):
        _, nearest = KDTree(points).query(where)
        sites = pd.DataFrame({"trap_id": places.index, "site": main_sites(weights, ids)[nearest]})
        clock = hopper_clock(own, weather, sites, issued, pest.name).reindex(places.index)
        by_trap[2], by_trap[3] = clock["days_since_peak"], clock["cycle_fraction"]
    reached = distance <= REACH_M
    return {name: np.where(reached, by_trap[k][near], np.nan) for k, name in enumerate(names)}


def _counts(own: pd.DataFrame, traps: pd.Index, issued: pd.Timestamp) -> NDArray[np.float64]:
    """Return mean and trend of the logarithm of nightly counts, (2, trap); idle nights say nothing."""
    newest = own.sort_values("known_at", kind="stable").drop_duplicates(["trap_id", "date"], keep="last")
    worked = newest.loc[(newest["working"] == "yes") & (newest["nights"] > 0) & newest["count"].notna()]
    key, days = traps.get_indexer(pd.Index(worked["trap_id"])), day_numbers(worked["date"])
    order, starts = series.pack(key, days, len(traps))
    value = np.log1p((worked["count"] / worked["nights"]).to_numpy(np.float64))
    query, at = each(len(traps), day_number(issued))
    now, before = series.windows(days[order], value[order], starts, query, at, [_TWO_WEEKS, _BEFORE])
    return np.stack([now, now - before])
