"""Risk layers as GeoParquet 1.0 (https://geoparquet.org): the columns of the GeoJSON, in the parcels' own CRS.

One file a pest and horizon, as with GeoJSON: QGIS then styles it by the ``.qml`` of the same stem, and a reader never
finds two outlines of a parcel upon each other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from rs_forecast.maps.layer import RiskLayer
from rs_forecast.maps.vectors import PROPERTIES, WHOLE, foreign_members
from rs_forecast.schema import PARCEL

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

GEOMETRY = "geometry"
_ROWS = 100_000
"""Rows of a group: a reader takes only the groups and columns that it needs."""
_KINDS = {3: "Polygon", 6: "MultiPolygon"}
_DAYS = ("issued", "valid_from", "valid_to", "last_clear_obs")
_SHARES = ("probability", "lower", "upper")
_REPEATING = [name for name in PROPERTIES if name != PARCEL]
"""Columns that hold the same few values over and over."""


def _type_of(name: str) -> pa.DataType:
    if name in _DAYS:
        return pa.date32()
    if name in WHOLE:
        return pa.int32()
    return pa.float64() if name in _SHARES else pa.large_string()


_SCHEMA = pa.schema([*((name, _type_of(name)) for name in PROPERTIES), (GEOMETRY, pa.binary())])


def write_geoparquet(layers: Sequence[RiskLayer], parcels: gpd.GeoDataFrame, folder: Path) -> list[Path]:
    """Write ``<pest>_h<weeks>.parquet`` of layers of the same parcels.

    May run beside other threads: nothing here silences warnings, which in Python is done for all threads at once.

    Parameters
    ----------
    layers
        What to write.
    parcels
        The parcels of the layers' rows, in the same order.
    folder
        Folder that exists.
    """
    polygons = parcels.geometry.to_numpy()
    about = _geo(polygons, parcels.crs)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(_open(layer, about, folder)) for layer in layers]
        for start in range(0, len(polygons), _ROWS):
            rows = slice(start, start + _ROWS)
            shapes = geometry_column(polygons[rows])
            for layer, writer in zip(layers, writers, strict=True):
                writer.write_table(_table(layer.table.iloc[rows], shapes, writer.schema))
    return [_path(layer, folder) for layer in layers]


def geometry_column(polygons: NDArray[Any]) -> pa.Array:
    """Return each polygon as WKB, heights dropped."""
    flat = shapely.force_2d(polygons) if shapely.has_z(polygons).any() else polygons
    return pa.array(shapely.to_wkb(flat, byte_order=1), pa.binary())


@contextlib.contextmanager
def _open(layer: RiskLayer, geo: Mapping[str, Any], folder: Path) -> Iterator[pq.ParquetWriter]:
    about = {"geo": geo, "rs_forecast": foreign_members(layer)}
    schema = _SCHEMA.with_metadata({name: json.dumps(content, ensure_ascii=False) for name, content in about.items()})
    with (
        _path(layer, folder).open("wb") as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=_REPEATING) as writer,
    ):
        yield writer


def _path(layer: RiskLayer, folder: Path) -> Path:
    return folder / f"{layer.stem}.parquet"


def _table(rows: pd.DataFrame, shapes: pa.Array, schema: pa.Schema) -> pa.Table:
    """Rows of the risk table, null where there is nothing."""
    columns = [_column(rows[name], schema.field(name).type) for name in PROPERTIES]
    return pa.table([*columns, shapes], schema=schema)


def _column(cells: pd.Series, kind: pa.DataType) -> pa.Array:
    if pa.types.is_date(kind):
        return pa.array(cells.to_numpy("datetime64[D]"))
    if pa.types.is_integer(kind):
        return pa.array(np.round(cells.to_numpy("float64")), from_pandas=True).cast(kind)
    return pa.Array.from_pandas(cells).cast(kind)


def _geo(polygons: NDArray[Any], crs: Any) -> dict[str, Any]:
    """What GeoParquet says of the geometry column."""
    bounds = shapely.bounds(polygons)
    about = {
        "encoding": "WKB",
        "geometry_types": sorted(_KINDS[kind] for kind in np.unique(shapely.get_type_id(polygons))),
        "crs": crs.to_json_dict(),
        "bbox": [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()],
    }
    return {"version": "1.0.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: about}}
