"""The header of a raster file: where its pixels lie, and what it says of their numbers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import rasterio
import rasterio.errors
from odc.geo.geobox import GeoBox

from rs_forecast.errors import SourceError
from rs_forecast.sources._scales import Scale
from rs_forecast.sources.scene import check_grid


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file's header says."""

    geobox: GeoBox
    whole: bool
    """Whether its numbers are whole."""
    scale: Scale
    """(1, 0) where nothing is declared."""
    nodata: float | None
    tags: Mapping[str, str]


@contextlib.contextmanager
def _without_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def read_header(href: str, driver: str, *, quiet: bool = True) -> Header:
    """Read the header of ``href`` with one driver of GDAL, and no other.

    Parameters
    ----------
    quiet
        Whether to silence rasterio's warning of a file that lies nowhere, which is refused here in any case. Not on a
        thread beside others: warnings are silenced for all threads at once, and two at it leave them so.

    Raises
    ------
    SourceError
        The file is of another format or damaged, or its grid cannot be a satellite image's.
    """
    try:
        silent = _without_warning() if quiet else contextlib.nullcontext()
        with silent, rasterio.open(href, driver=driver) as src:
            header = Header(
                geobox=GeoBox((src.height, src.width), src.transform, src.crs.to_wkt() if src.crs else None),
                whole=src.dtypes[0].startswith(("uint", "int")),
                scale=(float(src.scales[0]), float(src.offsets[0])),
                nodata=src.nodata,
                tags=dict(src.tags()),
            )
    except (rasterio.errors.RasterioError, OSError, ValueError) as err:
        kind = {"GTiff": "GeoTIFF", "JP2OpenJPEG": "JPEG 2000"}[driver]
        raise SourceError(f"{href}: cannot be opened as {kind} ({err}); fetch it again") from err
    try:
        check_grid(header.geobox)
    except SourceError as err:
        raise SourceError(f"{href}: {err}") from err
    return header
