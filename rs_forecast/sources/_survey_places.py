"""Where a survey was: the parcel it names, or the one that its point lies in or near."""

from __future__ import annotations

import warnings
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from rs_forecast.errors import DataWarning, SchemaError, listing
from rs_forecast.schema import PARCEL, Problem
from rs_forecast.sources.communes import Communes

POINT = "lon, lat"
"""Column of a problem that both coordinates have together."""


def require_place(table: pd.DataFrame, source: str) -> None:
    """Raise :class:`SchemaError` unless some column says where."""
    if PARCEL not in table and not {"lon", "lat"} <= set(table):
        raise SchemaError(
            f"{source}: no column says where; allowed is parcel_id, or lon and lat [degrees, WGS 84]. "
            f"Found: {listing(table.columns, 20)}. Rename the column, or map it under [surveys.columns]"
        )


def once(problems: list[Problem], lost: list[Problem], table: pd.DataFrame) -> list[Problem]:
    """Say about a row's place one thing only, and nothing of coordinates where the parcel is named."""
    outside = {p.row for p in lost if p.column == POINT}
    silent = outside | set(table.index[table[PARCEL].notna()])
    cells = [p for p in problems if p.column not in ("lon", "lat") or p.row not in silent]
    told = {p.row for p in cells if p.column in ("lon", "lat")}
    return cells + [p for p in lost if p.column == POINT or p.row not in told]


def placed(table: pd.DataFrame, parcels: gpd.GeoDataFrame, within_m: float) -> tuple[pd.DataFrame, list[Problem]]:
    """Give rows with a point and no ``parcel_id`` the parcel it lies in, else the nearest within ``within_m`` [m]."""
    ids = table[PARCEL] if PARCEL in table else pd.Series(None, index=table.index, dtype="str")
    rows = ids.index[ids.isna()]
    if not {"lon", "lat"} <= set(table):
        return table.assign(**{PARCEL: ids}), [Problem(row, PARCEL, None, "a parcel_id of the parcels") for row in rows]
    lon, lat = table.loc[rows, "lon"], table.loc[rows, "lat"]
    placeless = rows[(lon.isna() | lat.isna()).to_numpy()]
    rows = rows.difference(placeless, sort=False)
    lon, lat = lon[rows], lat[rows]
    found = _parcel_of(lon, lat, parcels, within_m)
    ids = ids.copy()
    ids[found.index[found.notna()]] = found.dropna()
    outside = found.index[found.isna()]
    swapped = _parcel_of(lat[outside], lon[outside], parcels, 0.0).notna()
    near = f", or within {within_m:g} m of one" if within_m else ""
    rule = f"a point inside a parcel{near}, degrees in WGS 84"
    lost = [Problem(row, PARCEL, None, "a parcel_id, or lon and lat") for row in placeless]
    lost += [
        Problem(r, POINT, f"{lon[r]:.6g}, {lat[r]:.6g}", rule + (" (they look swapped)" if swapped[r] else ""))
        for r in outside
    ]
    return table.assign(**{PARCEL: ids}), lost


def _parcel_of(lon: pd.Series, lat: pd.Series, parcels: gpd.GeoDataFrame, within_m: float) -> pd.Series:
    """Return the parcel of each point; of several that hold it, or are as near, the first by id."""
    out = pd.Series(None, index=lon.index, dtype="str")
    if lon.empty:
        return out
    points = gpd.GeoSeries(shapely.points(lon.to_numpy(), lat.to_numpy()), crs=4326)
    inside = points.to_crs(parcels.crs)
    tree = shapely.STRtree(parcels.geometry.array)
    point, parcel = tree.query(inside.array, predicate="intersects")
    _take(out, point, parcel, parcels)
    rest = out.isna().to_numpy()
    if not within_m or not rest.any():
        return out
    metric = parcels.estimate_utm_crs()
    tree = shapely.STRtree(parcels.geometry.to_crs(metric).array)
    near = pd.Series(None, index=lon.index[rest], dtype="str")
    outside = points[rest].to_crs(metric).array
    if shapely.is_valid(outside).all():  # a point beyond the projection has no distance
        point, parcel = tree.query_nearest(outside, max_distance=within_m)
        _take(near, point, parcel, parcels)
    out[rest] = near
    return out


def _take(out: pd.Series, point: Any, parcel: Any, parcels: gpd.GeoDataFrame) -> None:
    """Write into ``out`` the first parcel by id of each point that has any."""
    hits = pd.DataFrame({"point": point, "id": parcels[PARCEL].to_numpy()[parcel]})
    first = hits.sort_values(["point", "id"]).drop_duplicates("point")
    out.iloc[first["point"].to_numpy()] = first["id"].to_numpy()


def area_codes(table: pd.DataFrame, communes: Communes, source: str) -> pd.Series:
    """Return ``place`` of dated rows, names and old codes of communes as the codes of today; others as they are."""
    found: dict[tuple[str, pd.Timestamp], str] = {}
    for text, week in table[["place", "week"]].dropna().drop_duplicates().itertuples(index=False):
        try:
            found[text, week] = communes.resolve(text, week)
        except SchemaError:
            continue  # a sub-zone, or the province
    moved = {text: code for (text, _), code in found.items() if code != text}
    if moved:
        pairs = listing(f"{old} -> {new}" for old, new in moved.items())
        warnings.warn(
            DataWarning(f"{source}: communes are read as those of today, by {communes.source}: {pairs}"), stacklevel=3
        )
    keys = zip(table["place"], table["week"], strict=True)
    return pd.Series([found.get(key, key[0]) for key in keys], index=table.index, dtype="str")
