"""Risk layers as GeoParquet 1.0 (https://geoparquet.org): the columns of the GeoJSON, in the parcels' own CRS.

One file a pest and horizon, as with GeoJSON: QGIS then styles it by the ``.qml`` of the same stem, and a reader never
finds two outlines of a parcel upon each other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from rs_forecast.maps.layer import RiskLayer
from rs_forecast.maps.vectors import PROPERTIES, WHOLE, foreign_members

if TYPE_CHECKING:
    import geopandas as gpd

GEOMETRY = "geometry"
_ROWS = 100_000
"""Rows of a group: a reader takes only the groups and columns that it needs."""
_KINDS = {3: "Polygon", 6: "MultiPolygon"}
_DAYS = ("issued", "valid_from", "valid_to", "last_clear_obs")


def geometry_column(geometry: gpd.GeoSeries) -> pa.Array:
    """Return each polygon as WKB, heights dropped; for :func:`write_geoparquet`."""
    polygons = geometry.to_numpy()
    flat = shapely.force_2d(polygons) if shapely.has_z(polygons).any() else polygons
    return pa.array(shapely.to_wkb(flat, byte_order=1), pa.binary())


def write_geoparquet(layer: RiskLayer, parcels: gpd.GeoDataFrame, geometries: pa.Array, folder: Path) -> Path:
    """Write ``<pest>_h<weeks>.parquet``.

    Parameters
    ----------
    layer
        What to write.
    parcels
        Table of parcels that the layer's rows point into.
    geometries
        Their polygons, from :func:`geometry_column`.
    folder
        Folder that exists.
    """
    columns = {name: _column(layer, name) for name in PROPERTIES}
    columns[GEOMETRY] = geometries.take(pa.array(layer.parcel))
    about = {"geo": _geo(parcels.geometry.iloc[layer.parcel]), "rs_forecast": foreign_members(layer)}
    table = pa.table(columns).replace_schema_metadata(
        {name: json.dumps(content, ensure_ascii=False) for name, content in about.items()}
    )
    path = folder / f"{layer.stem}.parquet"
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_ROWS)
    return path


def _column(layer: RiskLayer, name: str) -> pa.Array:
    """A column of the risk table, null where there is nothing."""
    column = layer.table[name]
    if name in _DAYS:
        return pa.array(column.to_numpy("datetime64[D]"))
    if name in WHOLE:
        return pa.array(column.round().astype("Int32"))
    return pa.Array.from_pandas(column)


def _geo(geometry: gpd.GeoSeries) -> dict[str, Any]:
    """What GeoParquet says of the geometry column."""
    crs: Any = geometry.crs
    kinds = np.unique(shapely.get_type_id(geometry.to_numpy()))
    about = {
        "encoding": "WKB",
        "geometry_types": sorted(_KINDS[kind] for kind in kinds),
        "crs": crs.to_json_dict(),
        "bbox": [float(edge) for edge in geometry.total_bounds],
    }
    return {"version": "1.0.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: about}}
