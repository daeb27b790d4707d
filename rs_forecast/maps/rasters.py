"""Risk layers as cloud-optimised GeoTIFFs, on one grid for all layers.

The grid is walked block by block, on all cores: the owners of a block's pixels are found once, and every layer's values
are spread over them and compressed. So memory holds a few blocks, and a row of them of each raster's overviews, however
large the grid.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.errors import ConfigError
from rs_forecast.kernels._jit import cores
from rs_forecast.kernels.burn import spread
from rs_forecast.kernels.pyramid import halve_mean, halve_mode
from rs_forecast.maps.classes import CLASS_NODATA, CLASSES, PROBABILITY_NODATA, class_codes
from rs_forecast.maps.cog import BLOCK, CogWriter, Look
from rs_forecast.maps.layer import RiskLayer
from rs_forecast.maps.owners import Band, Owners

MOST_PIXELS = 2**31
"""A larger grid is a mistake: one parcel far from the others, or a resolution in degrees."""


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
) -> list[Path]:
    """Write the probability and class rasters of layers of the same parcels.

    ``<pest>_h<weeks>_probability.tif`` is float32, -9999 where there is no parcel or no forecast. Its overviews are
    means of the pixels with a value. ``<pest>_h<weeks>_class.tif`` has names and colours of its classes beside it; its
    overviews hold the most frequent class of the level below, the lower one of equals. The bytes do not depend on
    ``threads``.

    The names are kept out of the TIFF, whose own colour table always has 256 rows. Between 3 and 254 the sidecar must
    count as well; the style beside the raster has just the rows that have a name.

    Raises
    ------
    OSError
        A file cannot be written; none of the rasters is left behind.
    """
    tables = [table for layer in layers for table in (shares(layer.table["probability"]), _codes(layer))]
    makers = [functools.partial(make, layer) for layer in layers for make in (_probability_cog, _class_cog)]
    written = write_cogs([make(geobox, folder) for make in makers], tables, parcels, geobox, threads=threads)
    return written + [_write_sidecar(layer, folder) for layer in layers]


def write_cogs(
    cogs: Sequence[CogWriter],
    tables: Sequence[NDArray[Any]],
    parcels: gpd.GeoDataFrame,
    geobox: GeoBox,
    *,
    threads: int | None = None,
) -> list[Path]:
    """Write rasters of the same parcels, all of them or none.

    Parameters
    ----------
    cogs
        What to write.
    tables
        For each of ``cogs`` its nodata, and after it the value of each parcel.
    """
    with contextlib.ExitStack() as stack:
        for cog in cogs:
            stack.enter_context(contextlib.closing(cog))
        pool = stack.enter_context(ThreadPoolExecutor(threads or cores()))
        _burn(cogs, tables, Owners(parcels, geobox), pool)
        return _finish(cogs, pool)


def _burn(cogs: Sequence[CogWriter], tables: Sequence[NDArray[Any]], owners: Owners, pool: ThreadPoolExecutor) -> None:
    """Give every raster its blocks: the owners of a block's pixels are found once, for all of them."""

    def blocks(band: Band, column: int) -> list[bytes]:
        owner = band.owner(column * BLOCK, BLOCK)
        if owner is None:
            return [cog.blank for cog in cogs]
        return [cog.encode(column, spread(owner, table)) for cog, table in zip(cogs, tables, strict=True)]

    rows, cols = owners.shape
    for band in _ahead(pool, lambda row: owners.band(row, BLOCK), range(0, rows, BLOCK)):
        for found in pool.map(functools.partial(blocks, band), range(-(-cols // BLOCK))):
            for cog, block in zip(cogs, found, strict=True):
                cog.append(block)
        for cog in cogs:
            cog.end_row(pool.map)


def _ahead[Part, Result](
    pool: ThreadPoolExecutor, work: Callable[[Part], Result], parts: Iterable[Part]
) -> Iterator[Result]:
    """Yield ``work`` of each part, with the next one already under way."""
    waiting: list[Future[Result]] = []
    for part in parts:
        waiting.append(pool.submit(work, part))
        if len(waiting) == 2:
            yield waiting.pop(0).result()
    for last in waiting:
        yield last.result()


def _finish(cogs: Sequence[CogWriter], pool: ThreadPoolExecutor) -> list[Path]:
    """Write all of them or none."""
    try:
        return list(pool.map(CogWriter.finish, cogs))
    except BaseException:
        for cog in cogs:
            cog.path.unlink(missing_ok=True)
        raise


def shares(column: pd.Series) -> NDArray[np.float32]:
    """Nodata, and after it the published share of each parcel, such as a probability."""
    share = column.to_numpy("float64")
    values = np.where(np.isnan(share), PROBABILITY_NODATA, share)
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
