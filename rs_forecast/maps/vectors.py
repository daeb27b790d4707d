"""Risk layers as GeoJSON (RFC 7946): WGS 84, 7 decimals, outer rings counter-clockwise, no ``crs`` member."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
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
_AT_ONCE = 20_000
"""Polygons whose points are texts at one time."""
_POLYGON = 3
"""Of GEOS's kinds of geometry; the other one here is the multipolygon."""
WHOLE = ("horizon_weeks", "data_age_days", "past_years")
"""Properties that are whole numbers."""


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
    oriented = shapely.orient_polygons(rounded)
    pieces = (oriented[at : at + _AT_ONCE] for at in range(0, len(oriented), _AT_ONCE))
    return list(chain.from_iterable(map(_geometry_texts, pieces)))


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
    shapes = (geometries[row] for row in layer.parcel)
    return write_features(path, layer.table, PROPERTIES, shapes, foreign_members(layer))


def write_features(
    path: Path, table: pd.DataFrame, names: Sequence[str], geometries: Iterable[str], members: Mapping[str, Any]
) -> Path:
    """Write columns of a table as a feature collection, one feature a line.

    Parameters
    ----------
    names
        Columns of the table, in order.
    geometries
        A GeoJSON geometry for each row, from :func:`geometry_texts`.
    members
        What the file says of all of them.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        head = json.dumps(members, ensure_ascii=False)[1:-1]
        file.write(f'{{"type": "FeatureCollection", {head}, "features": [')
        for number, (shape, text) in enumerate(zip(geometries, _properties(table, names), strict=True)):
            file.write(",\n" if number else "\n")
            file.write(f'{{"type": "Feature", "properties": {text}, "geometry": {shape}}}')
        file.write("\n]}\n")
    return path


def foreign_members(layer: RiskLayer) -> dict[str, Any]:
    """Return what a file says of the whole layer."""
    return {
        "name": layer.marked(layer.stem),
        "title": layer.title("probability"),
        "synthetic": layer.synthetic,
        "event": layer.pest.event_text,
        "issued": layer.issued,
        "class_limits": list(layer.limits),
        "notes": list(layer.notes),
    }


def _properties(table: pd.DataFrame, names: Sequence[str]) -> Iterator[str]:
    """The properties of each feature, as JSON."""
    frame = ", ".join(f'"{name}": %s' for name in names)
    columns = [_cells(table[name], name) for name in names]
    return (f"{{{frame % cells}}}" for cells in zip(*columns, strict=True))


def _cells(column: pd.Series, name: str) -> list[str]:
    """Return a column as JSON, null where there is nothing."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        number, found = pd.factorize(column)  # the same few texts over and over
        known = [f"{day:%Y-%m-%d}" for day in found] if column.dtype.kind == "M" else found
        texts = np.array([*(json.dumps(text, ensure_ascii=False) for text in known), "null"], object)
        return texts[number].tolist()  # type: ignore[no-any-return]
    numbers = column.fillna(0)
    values: list[Any] = (numbers.round().astype("int64") if name in WHOLE else numbers).to_list()
    return ["null" if gone else repr(value) for value, gone in zip(values, missing, strict=True)]


def _round(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(xy, COORDINATE_DECIMALS)


def _geometry_texts(polygons: NDArray[Any]) -> list[str]:
    """From the points up; polygon by polygon it took three times as long."""
    parts, polygon_of = shapely.get_parts(polygons, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    point_texts = [f"[{x!r}, {y!r}]" for x, y in points.tolist()]
    ring_texts = _joined(point_texts, ring_of, len(rings))
    part_texts = _joined(ring_texts, part_of, len(parts))
    texts = _joined(part_texts, polygon_of, len(polygons))
    single, empty = shapely.get_type_id(polygons) == _POLYGON, shapely.is_empty(polygons)
    return [
        "null" if nothing else _geometry_text("Polygon", text[1:-1]) if one else _geometry_text("MultiPolygon", text)
        for text, one, nothing in zip(texts, single, empty, strict=True)
    ]


def _geometry_text(kind: str, coordinates: str) -> str:
    return f'{{"type": "{kind}", "coordinates": {coordinates}}}'


def _joined(texts: Sequence[str], owner: NDArray[np.int64], count: int) -> list[str]:
    """Join what belongs to each of ``count`` owners, in brackets; ``owner`` rises."""
    ends = np.searchsorted(owner, np.arange(count + 1)).tolist()
    return [f"[{', '.join(texts[low:high])}]" for low, high in pairwise(ends)]


def _refuse_off_earth(polygons: NDArray[Any]) -> None:
    bounds = shapely.bounds(polygons)
    inside = (np.abs(bounds[:, [0, 2]]) <= 180).all(axis=1) & (np.abs(bounds[:, [1, 3]]) <= 90).all(axis=1)
    if not inside.all():
        rows = np.flatnonzero(~inside)[:5].tolist()
        raise SchemaError(f"{int((~inside).sum())} parcels lie off the earth, first rows {rows}; their CRS is wrong")


def _named(crs: Any) -> str:
    return str(getattr(crs, "name", crs))
