"""The files of a risk map, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from rs_forecast import schema
from rs_forecast.catalog import Pest
from rs_forecast.errors import ConfigError, NoDataError, OutputError, SchemaError, listing
from rs_forecast.grid import output_geobox
from rs_forecast.kernels.coverage import are_polygons
from rs_forecast.maps.classes import check_classes, check_limits
from rs_forecast.maps.geoparquet import write_geoparquet
from rs_forecast.maps.layer import RiskLayer, split_layers
from rs_forecast.maps.rasters import check_size, write_rasters
from rs_forecast.maps.styles import write_styles
from rs_forecast.maps.vectors import find_transformer, geometry_texts, write_geojson
from rs_forecast.risk import CLASS_LIMITS
from rs_forecast.workspace import atomic_folder, unwritable

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_LAYERS_AT_ONCE = 4
_OURS = re.compile(r"\w[\w-]*_h\d+(_probability|_class)?\.(tif|tif\.aux\.xml|qml|qmd|geojson|parquet)")


def write_risk_map(
    risk: gpd.GeoDataFrame,
    folder: str | Path,
    *,
    crs: Any = None,
    resolution: float = 10.0,
    class_limits: Sequence[float] = CLASS_LIMITS,
    synthetic: bool = False,
    notes: Sequence[str] = (),
    pests: Mapping[str, Pest] | None = None,
    geojson: bool = True,
    geoparquet: bool = False,
) -> list[Path]:
    """Write a risk table as a folder of maps, complete or not at all.

    Per pest and horizon: ``<pest>_h<weeks>_probability.tif``, ``<pest>_h<weeks>_class.tif`` and
    ``<pest>_h<weeks>.geojson``, each with a QGIS style beside it. An older map in ``folder`` is replaced.

    Parameters
    ----------
    risk
        Table of :meth:`rs_forecast.RiskModel.predict`, of one issue date.
    folder
        Where the files go; a new folder, an empty one, or one that holds a risk map and nothing else.
    crs
        CRS of the rasters, metric; by default the parcels' UTM zone. GeoJSON is in WGS 84.
    resolution
        Pixel size of the rasters [m].
    class_limits
        The three probabilities at which moderate, high and very high begin; those of the forecast.
    synthetic
        Whether the data are simulated: then every file says so. ``risk.attrs["synthetic"]`` does the same.
    notes
        Sentences that the files carry: what was degraded, what the map cannot see.
    pests
        Pests that are not in the catalog, by name.
    geojson
        Whether to write GeoJSON; with a million parcels it is 700 MB a layer.
    geoparquet
        Whether to write ``<pest>_h<weeks>.parquet``: the columns of the GeoJSON, in the parcels' CRS.

    Returns
    -------
    The files written.

    Raises
    ------
    ConfigError
        An argument is not usable, or ``folder`` holds other things, which would be lost.
    NoDataError
        The table is empty.
    SchemaError
        The table is no risk table, or its classes are not those of ``class_limits``.
    OutputError
        The folder cannot be written.
    """
    target = Path(folder)
    _refuse_foreign(target)
    with atomic_folder(target) as stage:
        written = write_products(
            risk,
            stage,
            crs=crs,
            resolution=resolution,
            class_limits=class_limits,
            synthetic=synthetic,
            notes=notes,
            pests=pests,
            geojson=geojson,
            geoparquet=geoparquet,
        )
    return [target / path.name for path in written]


def write_products(
    risk: gpd.GeoDataFrame,
    folder: str | Path,
    *,
    crs: Any = None,
    resolution: float = 10.0,
    class_limits: Sequence[float] = CLASS_LIMITS,
    synthetic: bool = False,
    notes: Sequence[str] = (),
    pests: Mapping[str, Pest] | None = None,
    geojson: bool = True,
    geoparquet: bool = False,
) -> list[Path]:
    """Write the files of :func:`write_risk_map` into a folder that exists, beside what is there."""
    limits = check_limits(class_limits)
    _check(risk, limits)
    parcels = parcels_of(risk)
    geobox = output_geobox(parcels, crs, resolution)
    check_size(geobox)
    find_transformer(parcels.crs, str(geobox.crs))
    marked = synthetic or bool(risk.attrs.get("synthetic"))
    layers = split_layers(risk, parcels, limits=limits, synthetic=marked, notes=notes, pests=pests)
    texts = geometry_texts(parcels.geometry) if geojson else None
    written: list[Path] = []
    try:
        for group in _groups(layers):
            own = parcels.iloc[group[0].parcel]
            written += _write_group(group, own, geobox, Path(folder), geoparquet=geoparquet)
            for layer in group:
                if texts is not None:
                    written.append(write_geojson(layer, texts, Path(folder)))
                written += write_styles(layer, Path(folder), parcels=geojson or geoparquet)
    except OSError as err:
        raise unwritable(Path(folder), err) from err
    return written


def _write_group(
    group: Sequence[RiskLayer], parcels: gpd.GeoDataFrame, geobox: GeoBox, folder: Path, *, geoparquet: bool
) -> list[Path]:
    """Write the rasters of layers of the same parcels, and beside them, on a thread of its own, the GeoParquet."""
    if not geoparquet:
        return write_rasters(group, parcels, geobox, folder)
    with ThreadPoolExecutor(1) as beside:
        tables = beside.submit(write_geoparquet, group, parcels, folder)
        return write_rasters(group, parcels, geobox, folder) + tables.result()


def parcels_of(risk: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return each parcel once, in the order of the table; SchemaError where one has no valid polygon."""
    first = ~risk[schema.PARCEL].duplicated().to_numpy()
    columns = {schema.PARCEL: risk[schema.PARCEL].array[first], "geometry": risk.geometry.array[first]}
    parcels = gpd.GeoDataFrame(columns, crs=risk.crs)
    geometry = parcels.geometry.to_numpy()
    if not (are_polygons(geometry) & ~shapely.is_empty(geometry)).all():
        schema.check_parcels(parcels, "risk")  # raises, and names them
    return parcels


def _groups(layers: Iterable[RiskLayer]) -> Iterator[list[RiskLayer]]:
    """Part layers in groups of the same parcels, whose pixels have the same owners; a few each, for the memory."""
    group: list[RiskLayer] = []
    for layer in layers:
        if group and (len(group) == _LAYERS_AT_ONCE or not np.array_equal(layer.parcel, group[0].parcel)):
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


def _check(risk: gpd.GeoDataFrame, limits: Sequence[float]) -> None:
    if not isinstance(risk, gpd.GeoDataFrame) or risk.active_geometry_name is None:
        raise SchemaError(
            f"risk: found {type(risk).__name__} without geometry, allowed is the GeoDataFrame of RiskModel.predict"
        )
    if risk.empty:
        raise NoDataError(
            "risk: the table has no row, so there is nothing to map; check that the parcels have forecasts"
        )
    schema.check_risk(risk)
    check_classes(risk, limits)


def _refuse_foreign(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a risk map: the swap would remove it."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    foreign = sorted(entry.name for entry in _entries(folder) if not _OURS.fullmatch(entry.name))
    if foreign:
        raise ConfigError(
            f"{folder}: holds {listing(foreign)}, which no risk map has and which would be lost; name a new folder"
        )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as err:
        raise OutputError(f"{folder}: cannot be read ({err.strerror}); check that the folder is yours") from err
