"""Risk tables for the tests of rs_forecast.maps: irregular fields with every class, status and missing value."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

LIMITS = (0.1, 0.3, 0.6)
CLASSES = np.array(["low", "moderate", "high", "very_high"])
CORNER = (520_000.0, 1_150_000.0)


def fields(n: int, seed: int = 0, size: float = 90.0) -> gpd.GeoDataFrame:
    """Return ``n`` fields of about ``size`` metres between bunds, some with a hole, some in two parts."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    points = (grid + rng.uniform(0.1, 0.9, grid.shape)) * size
    box = shapely.box(0, 0, side * size, side * size)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=box))
    cells = shapely.buffer(shapely.intersection(cells, box), -size / 45, join_style="mitre")
    cells = [cell for cell in cells if cell.geom_type == "Polygon" and not cell.is_empty][:n]
    for i in range(0, len(cells), 7):
        cells[i] = cells[i].difference(cells[i].centroid.buffer(size / 7))
    for i in range(3, len(cells), 11):
        x = cells[i].centroid.x
        road = shapely.box(x - size / 30, -1e5, x + size / 30, 1e5)
        cells[i] = shapely.make_valid(cells[i].difference(road))
    moved = shapely.transform(np.array(cells), lambda xy: xy + CORNER)
    ids = [f"AG-{i:04d}" for i in range(len(moved))]
    return gpd.GeoDataFrame({"parcel_id": ids}, geometry=moved, crs="EPSG:32648")


def risk_table(parcels, *, pests=("brown_planthopper",), weeks=(1,), seed=0, issued="2026-03-02") -> gpd.GeoDataFrame:
    """Return a risk table over ``parcels``; about one in twelve cannot be assessed."""
    rng = np.random.default_rng(seed)
    parts = []
    for pest in pests:
        for week in weeks:
            probability = np.round(rng.beta(0.7, 2.5, len(parcels)), 6)
            status = rng.choice(["ok", "stale", "no_imagery", "not_assessable"], len(parcels), p=[0.7, 0.12, 0.1, 0.08])
            probability[status == "not_assessable"] = np.nan
            parts.append(_rows(parcels, pest, week, issued, probability, status))
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), geometry="geometry", crs=parcels.crs)


def _rows(parcels, pest, week, issued, probability, status) -> pd.DataFrame:
    day = pd.Timestamp(issued).as_unit("us")
    monday = day - pd.Timedelta(days=day.weekday()) + pd.Timedelta(days=7 * week)
    seen = pd.Series(day - pd.Timedelta(days=9)).repeat(len(parcels)).reset_index(drop=True).astype("datetime64[us]")
    blind = np.isin(status, ["no_imagery", "not_assessable"])
    by_limits = CLASSES[np.searchsorted(LIMITS, np.nan_to_num(probability), "right")]
    return pd.DataFrame(
        {
            "parcel_id": parcels["parcel_id"].astype("str").to_numpy(),
            "issued": day,
            "pest": pest,
            "horizon_weeks": week,
            "valid_from": monday,
            "valid_to": monday + pd.Timedelta(days=6),
            "probability": probability,
            "lower": probability * 0.5,
            "upper": np.minimum(probability * 1.6, 1),
            "risk_class": np.where(np.isnan(probability), "not_assessable", by_limits),
            "reasons": np.where(blind, None, 'lúa 45 ngày; mưa "ít" tuần trước'),
            "last_clear_obs": seen.where(~pd.Series(blind)),
            "data_age_days": np.where(blind, np.nan, 9.0),
            "status": status,
            "model_id": "lgbm-2026a",
            "geometry": parcels.geometry.to_numpy(),
        }
    ).astype({"pest": "str", "risk_class": "str", "reasons": "str", "status": "str", "model_id": "str"})
