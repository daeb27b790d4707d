"""Risk layers as cloud-optimised GeoTIFFs, on one grid for all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from rs_forecast.errors import ConfigError
from rs_forecast.kernels.coverage import coverage_table, pixel_owner
from rs_forecast.maps.classes import CLASS_NODATA, CLASSES, PROBABILITY_NODATA
from rs_forecast.maps.layer import RiskLayer

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox


MOST_PIXELS = 2**31
"""A larger grid is a mistake: one parcel far from the others, or a resolution in degrees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnedGrid:
    """The output grid, and who owns each pixel of it."""

    geobox: GeoBox
    owner: NDArray[np.int32]
    """Row number of the parcel, (y, x); -1 where parcels cover less than half of the pixel."""

    def spread(self, values: NDArray[Any], nodata: float) -> NDArray[Any]:
        """Return ``values``, one a parcel, on the pixels that the parcels own; ``nodata`` elsewhere."""
        return np.append(values, np.asarray(nodata, values.dtype))[self.owner]


def own_grid(parcels: gpd.GeoDataFrame, geobox: GeoBox) -> OwnedGrid:
    """Find the owner of each pixel, once for all layers of the same parcels."""
    return OwnedGrid(geobox=geobox, owner=pixel_owner(coverage_table(parcels, geobox)))


def check_size(geobox: GeoBox) -> None:
    """Raise :class:`ConfigError` for a grid that no map of fields has."""
    rows, cols = geobox.shape
    if rows * cols > MOST_PIXELS:
        raise ConfigError(
            f"the map would have {rows} x {cols} pixels of {abs(geobox.affine.a):g} m; choose a coarser resolution, "
            "or leave out the parcels that lie far from the others"
        )


def write_probability(layer: RiskLayer, grid: OwnedGrid, folder: Path) -> Path:
    """Write ``<pest>_h<weeks>_probability.tif``: float32, -9999 where there is no parcel or no forecast."""
    probability = layer.table["probability"].to_numpy("float64")
    values = np.where(np.isnan(probability), PROBABILITY_NODATA, probability).astype("float32")
    path = folder / f"{layer.stem}_probability.tif"
    _write_cog(
        path,
        grid.spread(values, PROBABILITY_NODATA),
        grid.geobox,
        nodata=PROBABILITY_NODATA,
        description=layer.title("probability"),
        unit="1",
        tags=_tags(layer, layer.title("probability")),
        overviews="average",
    )
    return path


def write_classes(layer: RiskLayer, grid: OwnedGrid, folder: Path) -> list[Path]:
    """Write ``<pest>_h<weeks>_class.tif``, and the names and colours of its classes beside it.

    They are kept out of the TIFF, whose own colour table always has 256 rows. Between 3 and 254 the sidecar must count
    as well; the style beside the raster has just the rows that have a name.
    """
    codes = layer.table["risk_class"].map({name: c.code for name, c in CLASSES.items()}).to_numpy("uint8")
    path = folder / f"{layer.stem}_class.tif"
    limits = {"CLASS_LIMITS": ", ".join(f"{limit:g}" for limit in layer.limits)}
    _write_cog(
        path,
        grid.spread(codes, CLASS_NODATA),
        grid.geobox,
        nodata=CLASS_NODATA,
        description=layer.title("risk class"),
        unit="",
        tags=_tags(layer, layer.title("risk class")) | limits,
        overviews="mode",
    )
    sidecar = folder / f"{path.name}.aux.xml"
    sidecar.write_text(category_xml(layer.legend), encoding="utf-8", newline="\n")
    return [path, sidecar]


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


def _write_cog(
    path: Path,
    values: NDArray[Any],
    geobox: GeoBox,
    *,
    nodata: float,
    description: str,
    unit: str,
    tags: Mapping[str, str],
    overviews: str,
) -> None:
    profile = {
        "driver": "COG",
        "count": 1,
        "height": geobox.shape[0],
        "width": geobox.shape[1],
        "dtype": values.dtype.name,
        "crs": str(geobox.crs),
        "transform": geobox.affine,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": "yes",
        "overview_resampling": overviews,
        "bigtiff": "if_safer",
    }
    # through memory: a full disk is then Python's plain OSError, where GDAL would only print
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values, 1)
            file.set_band_description(1, description)
            file.units = (unit,)
            file.update_tags(**tags)
        path.write_bytes(memory.getbuffer())
