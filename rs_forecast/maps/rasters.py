"""Risk layers as cloud-optimised GeoTIFFs, on one grid for all layers.

The grid is walked in windows: the owners of a window's pixels are found once, and every layer's values are spread over
them and compressed while the next window's are found. So memory holds a window and a row of blocks of each raster,
however large the grid.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.errors import ConfigError
from rs_forecast.kernels.burn import pixel_owner, spread
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.kernels.pyramid import halve_mean, halve_mode
from rs_forecast.maps.classes import CLASS_NODATA, CLASSES, PROBABILITY_NODATA, class_codes
from rs_forecast.maps.cog import BLOCK, CogWriter, Look
from rs_forecast.maps.layer import RiskLayer

MOST_PIXELS = 2**31
"""A larger grid is a mistake: one parcel far from the others, or a resolution in degrees."""
WINDOW = 16 * BLOCK
"""Columns of a window. Its rows are those of a block."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Part of the output grid, and who owns each pixel of it."""

    row: int
    col: int
    """Where its first pixel lies in the grid."""
    parcels: NDArray[np.int64]
    """Row numbers of the parcels that may reach into it, rising."""
    owner: NDArray[np.int32]
    """Place of the owner in ``parcels``, (y, x); -1 where parcels cover less than half of the pixel."""


def own_windows(parcels: gpd.GeoDataFrame, geobox: GeoBox, rows: int = BLOCK, cols: int = WINDOW) -> Iterator[Window]:
    """Yield the owners of all pixels of ``geobox``, row of windows by row of windows.

    The owners are those of the whole grid, whatever the size of a window.
    """
    geometry = parcels.geometry
    boxes = _pixel_boxes(geometry, geobox)
    scratch = np.zeros((rows, cols, 2), np.int32)
    for row in range(0, geobox.shape[0], rows):
        band = np.flatnonzero((boxes[:, 0] < row + rows) & (boxes[:, 1] > row))
        for col in range(0, geobox.shape[1], cols):
            here = band[(boxes[band, 2] < col + cols) & (boxes[band, 3] > col)]
            shape = min(rows, geobox.shape[0] - row), min(cols, geobox.shape[1] - col)
            part = GeoBox(shape, geobox.affine @ Affine.translation(col, row), geobox.crs)
            if len(here):
                owner = pixel_owner(coverage_table(geometry.iloc[here], part), scratch[: shape[0], : shape[1]])
            else:
                owner = np.full(part.shape, -1, np.int32)
            yield Window(row=row, col=col, parcels=here, owner=owner)


def _pixel_boxes(geometry: gpd.GeoSeries, geobox: GeoBox) -> NDArray[np.float64]:
    """Rows and columns (first, past the last) around each parcel, a pixel wider than need be; NaN off every grid."""
    bounds = geometry.to_crs(None if geobox.crs is None else geobox.crs.to_wkt()).bounds.to_numpy()
    affine = geobox.affine
    x, y = (bounds[:, [0, 2]] - affine.c) / affine.a, (bounds[:, [3, 1]] - affine.f) / affine.e
    boxes: NDArray[np.float64] = np.column_stack([y, x]) + np.array([-1, 1, -1, 1])
    boxes[~np.isfinite(boxes).all(axis=1)] = np.nan
    return boxes


def check_size(geobox: GeoBox) -> None:
    """Raise :class:`ConfigError` for a grid that no map of fields has."""
    rows, cols = geobox.shape
    if rows * cols > MOST_PIXELS:
        raise ConfigError(
            f"the map would have {rows} x {cols} pixels of {abs(geobox.affine.a):g} m; choose a coarser resolution, "
            "or leave out the parcels that lie far from the others"
        )


def write_rasters(
    layers: Sequence[RiskLayer],
    parcels: gpd.GeoDataFrame,
    geobox: GeoBox,
    folder: Path,
    *,
    threads: int | None = None,
    window: int = WINDOW,
) -> list[Path]:
    """Write the probability and class rasters of layers of the same parcels.

    ``<pest>_h<weeks>_probability.tif`` is float32, -9999 where there is no parcel or no forecast. Its overviews are
    means of the pixels with a value. ``<pest>_h<weeks>_class.tif`` has names and colours of its classes beside it; its
    overviews hold the most frequent class of the level below, the lower one of equals. The bytes depend on neither
    ``threads`` nor ``window``, the columns in hand at a time.

    The names are kept out of the TIFF, whose own colour table always has 256 rows. Between 3 and 254 the sidecar must
    count as well; the style beside the raster has just the rows that have a name.

    Raises
    ------
    OSError
        A file cannot be written; none of the rasters is left behind.
    """
    tables = [table for layer in layers for table in (_probabilities(layer), _codes(layer))]
    with contextlib.ExitStack() as stack:
        cogs = [
            stack.enter_context(contextlib.closing(make(layer, geobox, folder)))
            for layer in layers
            for make in (_probability_cog, _class_cog)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(threads or os.cpu_count()))
        _burn(cogs, tables, own_windows(parcels, geobox, cols=window), pool, geobox.shape[1])
        written = _finish(cogs)
    return written + [_write_sidecar(layer, folder) for layer in layers]


def _burn(
    cogs: Sequence[CogWriter],
    tables: Sequence[NDArray[Any]],
    windows: Iterator[Window],
    pool: ThreadPoolExecutor,
    width: int,
) -> None:
    """Give every raster its blocks; while one window is compressed, the owners of the next are found."""
    before: list[Future[list[bytes]]] = []
    for window in windows:
        now = _encode(cogs, tables, window, pool)
        _append(cogs, before)
        before = now
        if window.col + window.owner.shape[1] == width:
            _append(cogs, before)
            before = []
            for cog in cogs:
                cog.end_row(pool.map)


def _finish(cogs: Sequence[CogWriter]) -> list[Path]:
    """Write all of them or none."""
    try:
        return [cog.finish() for cog in cogs]
    except BaseException:
        for cog in cogs:
            cog.path.unlink(missing_ok=True)
        raise


def _encode(
    cogs: Sequence[CogWriter], tables: Sequence[NDArray[Any]], window: Window, pool: ThreadPoolExecutor
) -> list[Future[list[bytes]]]:
    """Begin to compress the blocks of a window: for each block, one result a raster."""
    rows, cols = window.owner.shape
    # nodata first, for the pixels that nobody owns
    held = [np.concatenate([table[:1], table[1:][window.parcels]]) for table in tables]

    def encode(left: int) -> list[bytes]:
        owner = window.owner[:, left : left + BLOCK]
        if owner.max() < 0:
            return [cog.blank for cog in cogs]
        if owner.shape != (BLOCK, BLOCK):
            owner = np.pad(owner, ((0, BLOCK - rows), (0, BLOCK - owner.shape[1])), constant_values=-1)
        column = (window.col + left) // BLOCK
        return [cog.encode(column, spread(owner, table)) for cog, table in zip(cogs, held, strict=True)]

    return [pool.submit(encode, left) for left in range(0, cols, BLOCK)]


def _append(cogs: Sequence[CogWriter], blocks: Sequence[Future[list[bytes]]]) -> None:
    for block in blocks:
        for cog, raw in zip(cogs, block.result(), strict=True):
            cog.append(raw)


def _probabilities(layer: RiskLayer) -> NDArray[np.float32]:
    """Nodata, and after it the published probability of each parcel."""
    probability = layer.table["probability"].to_numpy("float64")
    values = np.where(np.isnan(probability), PROBABILITY_NODATA, probability)
    return np.concatenate([[PROBABILITY_NODATA], values]).astype("float32")


def _codes(layer: RiskLayer) -> NDArray[np.uint8]:
    """Nodata, and after it the class code of each parcel."""
    return np.concatenate([np.array([CLASS_NODATA], np.uint8), class_codes(layer.table["risk_class"])])


def _probability_cog(layer: RiskLayer, geobox: GeoBox, folder: Path) -> CogWriter:
    title = layer.title("probability")
    tags = _tags(layer, title)
    look = Look(dtype="float32", nodata=PROBABILITY_NODATA, description=title, unit="1", tags=tags)
    return CogWriter(folder / f"{layer.stem}_probability.tif", geobox, look, halve_mean)


def _class_cog(layer: RiskLayer, geobox: GeoBox, folder: Path) -> CogWriter:
    title = layer.title("risk class")
    tags = _tags(layer, title) | {"CLASS_LIMITS": ", ".join(f"{limit:g}" for limit in layer.limits)}
    look = Look(dtype="uint8", nodata=CLASS_NODATA, description=title, unit="", tags=tags)
    return CogWriter(folder / f"{layer.stem}_class.tif", geobox, look, halve_mode)


def _write_sidecar(layer: RiskLayer, folder: Path) -> Path:
    sidecar = folder / f"{layer.stem}_class.tif.aux.xml"
    sidecar.write_text(category_xml(layer.legend), encoding="utf-8", newline="\n")
    return sidecar


def category_xml(legend: Mapping[str, str]) -> str:
    """Return GDAL's sidecar (``x.tif.aux.xml``) with colour and name of each class; codes in between stay clear."""
    rows = {CLASSES[name].code: (CLASSES[name].colour, text) for name, text in legend.items()}
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    ET.SubElement(band, "ColorInterp").text = "Palette"
    table, names = ET.SubElement(band, "ColorTable"), ET.SubElement(band, "CategoryNames")
    for code in range(max(rows) + 1):
        colour, text = rows.get(code, ("#000000", ""))
        red, green, blue = (str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
        ET.SubElement(table, "Entry", c1=red, c2=green, c3=blue, c4="255" if code in rows else "0")
        ET.SubElement(names, "Category").text = text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _tags(layer: RiskLayer, title: str) -> dict[str, str]:
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": title,
        "PEST": layer.pest.name,
        "EVENT": layer.pest.event_text,
        "ISSUED": layer.issued,
        "HORIZON_WEEKS": str(layer.weeks),
        "VALID_FROM": layer.valid_from,
        "VALID_TO": layer.valid_to,
        "MODEL_ID": layer.model_id,
        "SYNTHETIC": "yes" if layer.synthetic else "no",
    }
    return tags | ({"NOTES": "\n".join(layer.notes)} if layer.notes else {})
