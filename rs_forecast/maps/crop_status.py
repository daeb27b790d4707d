"""The crop on each parcel as GeoPackage: a layer of parcels with its style, and a table of hectares by stage.

The same rows give the same bytes: the time of writing that GDAL notes in a GeoPackage is that of the issue date.
"""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely

from rs_forecast.errors import OutputError
from rs_forecast.grid import metric_crs
from rs_forecast.maps.layer import SYNTHETIC
from rs_forecast.maps.styles import category_style
from rs_forecast.maps.vectors import find_transformer
from rs_forecast.schema import PARCEL

if TYPE_CHECKING:
    import geopandas as gpd

NAME = "crop_status.gpkg"
PARCELS, HECTARES, STYLES = "crop_status", "stage_hectares", "layer_styles"
_DAYS = ("sown",)
_WHOLE = ("sown_error_days", "age_days", "bbch_first", "bbch_last")
_COLOURS = ("#fff7bc", "#c7e9a0", "#a1d76a", "#5aae4c", "#1b7837", "#9ebc3f", "#e8b53a", "#b9722d")
_NOTHING = "#d9d9d9"
_POLYGON = 3


def write_crop_status(
    status: gpd.GeoDataFrame,
    hectares: pd.DataFrame,
    folder: Path,
    *,
    issued: pd.Timestamp,
    crs: Any = None,
    synthetic: bool = False,
) -> Path:
    """Write ``crop_status.gpkg`` into a folder that exists.

    Parameters
    ----------
    status, hectares
        Tables of ``crop_status`` and ``stage_hectares``.
    issued
        The day of issue.
    crs
        CRS of the layer, metric; by default the parcels' UTM zone.
    synthetic
        Whether the data are simulated: then every row, the layers and the legend say so.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = folder / NAME
    target = metric_crs(crs) if crs is not None else status.estimate_utm_crs()
    about = f"{SYNTHETIC}: " if synthetic else ""
    about += f"sowing, age and stage of crops as known on {issued:%Y-%m-%d}"
    layer = _arrow(status.drop(columns="geometry"), synthetic=synthetic)
    layer = layer.append_column("geom", _shapes(status, target))
    table = _arrow(hectares, synthetic=synthetic)
    options: dict[str, Any] = {"driver": "GPKG", "layer_metadata": {"DESCRIPTION": about}}
    path.unlink(missing_ok=True)
    try:
        with _clock_of(issued):
            pyogrio.write_arrow(
                layer, path, layer=PARCELS, geometry_name="geom", geometry_type="MultiPolygon", crs=target.to_wkt(),
                dataset_options={"VERSION": "1.2"},  # QGIS 3.22 warns of newer ones
                dataset_metadata={"SYNTHETIC": "YES" if synthetic else "NO"}, **options,
            )  # fmt: skip
            pyogrio.write_dataframe(table.to_pandas(), path, layer=HECTARES, **options)
            style = _style(status, about, synthetic=synthetic)
            pyogrio.write_dataframe(_style_row(style, issued), path, layer=STYLES, driver="GPKG")
    except pyogrio.errors.DataSourceError as err:
        raise OutputError(f"{path}: cannot be written ({err})") from err
    return path


@contextlib.contextmanager
def _clock_of(issued: pd.Timestamp) -> Iterator[None]:
    """Let GDAL take the day of issue for the time of writing."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{issued:%Y-%m-%d}T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _arrow(rows: pd.DataFrame, *, synthetic: bool) -> pa.Table:
    columns = {str(name): _column(rows[name]) for name in rows}
    return pa.table({**columns, "synthetic": pa.array(np.full(len(rows), synthetic))})


def _column(cells: pd.Series) -> pa.Array:
    if cells.name in _DAYS:
        return pa.array(cells.to_numpy("datetime64[D]"))
    if cells.name in _WHOLE:
        return pa.array(np.round(cells.to_numpy("float64")), from_pandas=True).cast(pa.int32())
    if pd.api.types.is_numeric_dtype(cells):
        return pa.array(np.round(cells.to_numpy("float64"), 4), from_pandas=True)
    return pa.Array.from_pandas(cells).cast(pa.string())


def _shapes(status: gpd.GeoDataFrame, target: Any) -> pa.Array:
    """Return the outlines in the target CRS as WKB, all of one kind, as the format wants it."""
    move = find_transformer(status.crs, target)
    flat = shapely.force_2d(status.geometry.to_numpy())
    polygons = shapely.transform(flat, lambda xy: np.column_stack(move.transform(*xy.T)))
    single = shapely.get_type_id(polygons) == _POLYGON
    polygons[single] = shapely.multipolygons(polygons[single][:, None])
    return pa.array(shapely.to_wkb(polygons, byte_order=1), pa.binary())


def _style(status: gpd.GeoDataFrame, about: str, *, synthetic: bool) -> str:
    """Return the layer's style: parcels by stage, one legend row a stage that occurs."""
    columns = ["stage", "stage_label", "bbch_first", "bbch_last"]
    found = status[columns].dropna().drop_duplicates("stage").sort_values(["bbch_first", "stage"])
    mark = f" ({SYNTHETIC})" if synthetic else ""
    rows: list[tuple[str, str, str]] = [
        (row.stage, f"{row.stage_label}, BBCH {row.bbch_first:.0f}-{row.bbch_last:.0f}{mark}", colour)
        for row, colour in zip(found.itertuples(), _ramp(len(found)), strict=True)
    ]
    return category_style(
        "stage",
        [*rows, ("", f"chưa rõ: no crop is known to stand, or its stage is in doubt{mark}", _NOTHING)],
        [about],
        PARCEL,
    )


def _ramp(count: int) -> Sequence[str]:
    """Return ``count`` colours from sowing to ripeness."""
    places = np.linspace(0, len(_COLOURS) - 1, count).round().astype(int) if count > 1 else np.arange(count)
    return [_COLOURS[place] for place in places]


def _style_row(style: str, issued: pd.Timestamp) -> pd.DataFrame:
    """Return the row of ``layer_styles`` by which QGIS finds a layer's style."""
    ET.fromstring(style.split("\n", 1)[1])  # noqa: S314 - our own; a style that is no XML is passed over in silence
    return pd.DataFrame(
        {
            "f_table_catalog": [""],
            "f_table_schema": [""],
            "f_table_name": [PARCELS],
            "f_geometry_column": ["geom"],
            "styleName": [PARCELS],
            "styleQML": [style],
            "styleSLD": [""],
            "useAsDefault": [True],
            "description": ["stage of the crop"],
            "owner": [""],
            "ui": [""],
            "update_time": pd.to_datetime([f"{issued:%Y-%m-%d}T00:00:00Z"]),
        }
    )
