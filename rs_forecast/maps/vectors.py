"""Risk layers as GeoJSON (RFC 7946): WGS 84, 7 decimals, outer rings counter-clockwise, no ``crs`` member."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from rs_forecast.errors import SchemaError
from rs_forecast.maps.layer import RiskLayer

if TYPE_CHECKING:
    import geopandas as gpd

COORDINATE_DECIMALS = 7
PROPERTIES = (
    "parcel_id",
    "pest",
    "issued",
    "horizon_weeks",
    "valid_from",
    "valid_to",
    "probability",
    "lower",
    "upper",
    "risk_class",
    "reasons",
    "last_clear_obs",
    "data_age_days",
    "status",
    "model_id",
)
_WHOLE = ("horizon_weeks", "data_age_days")


def find_transformer(source: Any, target: Any) -> Transformer:
    """Return the transformation, x before y.

    Raises
    ------
    SchemaError
        The two datums are joined by no known shift. Coordinates taken over as they are would lie off by the whole
        shift, 225 m for VN-2000.
    """
    try:
        return Transformer.from_crs(source, target, always_xy=True, allow_ballpark=False)
    except ProjError:
        raise SchemaError(
            f"from {_named(source)} to {_named(target)} no datum shift is known; "
            "give the parcels a CRS with an EPSG code, such as EPSG:9208 for VN-2000 / TM-3 104-45"
        ) from None


def geometry_texts(geometry: gpd.GeoSeries) -> list[str]:
    """Return each polygon as a GeoJSON geometry object.

    Coordinates have 7 decimals (1 cm). Where rounding them would make a polygon invalid it is mended; one that vanishes
    by it is ``null``, an unlocated feature.
    """
    transformer = find_transformer(geometry.crs, "EPSG:4326")
    polygons = shapely.transform(
        shapely.force_2d(geometry.to_numpy()), lambda xy: np.column_stack(transformer.transform(*xy.T))
    )
    _refuse_off_earth(polygons)
    rounded = shapely.transform(polygons, _round)
    broken = ~shapely.is_valid(rounded)
    mended = shapely.set_precision(polygons[broken], 10.0**-COORDINATE_DECIMALS)
    rounded[broken] = shapely.transform(mended, _round)
    return [_geometry_text(polygon) for polygon in shapely.orient_polygons(rounded)]


def write_geojson(layer: RiskLayer, geometries: Sequence[str], folder: Path) -> Path:
    """Write ``<pest>_h<weeks>.geojson``, one feature a line.

    Parameters
    ----------
    layer
        What to write.
    geometries
        A GeoJSON geometry for each row of the table of parcels, from :func:`geometry_texts`.
    folder
        Folder that exists.
    """
    path = folder / f"{layer.stem}.geojson"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        head = json.dumps(_foreign_members(layer), ensure_ascii=False)[1:-1]
        file.write(f'{{"type": "FeatureCollection", {head}, "features": [')
        for number, (row, values) in enumerate(zip(layer.parcel, _properties(layer), strict=True)):
            text = json.dumps(values, ensure_ascii=False, allow_nan=False)
            file.write(",\n" if number else "\n")
            file.write(f'{{"type": "Feature", "properties": {text}, "geometry": {geometries[row]}}}')
        file.write("\n]}\n")
    return path


def _foreign_members(layer: RiskLayer) -> dict[str, Any]:
    return {
        "name": layer.marked(layer.stem),
        "title": layer.title("probability"),
        "synthetic": layer.synthetic,
        "event": layer.pest.event_text,
        "issued": layer.issued,
        "class_limits": list(layer.limits),
        "notes": list(layer.notes),
    }


def _properties(layer: RiskLayer) -> Iterator[dict[str, Any]]:
    columns = [_cells(layer.table[name], name) for name in PROPERTIES]
    for cells in zip(*columns, strict=True):
        yield dict(zip(PROPERTIES, cells, strict=True))


def _cells(column: pd.Series, name: str) -> list[Any]:
    """Return a column as what JSON knows, None where there is nothing."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(column):
        cells: list[Any] = column.dt.strftime("%Y-%m-%d").to_list()
    elif name in _WHOLE:
        cells = column.fillna(0).round().astype("int64").to_list()
    else:
        cells = column.to_list()
    return [None if gone else cell for cell, gone in zip(cells, missing, strict=True)]


def _round(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(xy, COORDINATE_DECIMALS)


def _geometry_text(polygon: shapely.Geometry) -> str:
    return "null" if polygon.is_empty else json.dumps(shapely.geometry.mapping(polygon), allow_nan=False)


def _refuse_off_earth(polygons: NDArray[Any]) -> None:
    bounds = shapely.bounds(polygons)
    inside = (np.abs(bounds[:, [0, 2]]) <= 180).all(axis=1) & (np.abs(bounds[:, [1, 3]]) <= 90).all(axis=1)
    if not inside.all():
        rows = np.flatnonzero(~inside)[:5].tolist()
        raise SchemaError(f"{int((~inside).sum())} parcels lie off the earth, first rows {rows}; their CRS is wrong")


def _named(crs: Any) -> str:
    return str(getattr(crs, "name", crs))
