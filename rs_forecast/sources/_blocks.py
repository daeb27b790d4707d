"""Decoding: pixels of a band file, block by block, as reflectance or classes.

The notebook's cube and the operator's signals both read through here, so that they see the same numbers.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt

from rs_forecast.catalog.bands import SCL, SCL_CLASSES
from rs_forecast.errors import SourceError
from rs_forecast.sources.scene import BandFile, Scene

Pixels = NDArray[np.int64]

_NO_DATA_CLASSES = frozenset((0, 1))
"""Classes that end where they end: a swath's edge casts no shadow, so the mask does not grow around them."""

_netcdf_lock = threading.RLock()  # the HDF5 library is not safe to call from two threads


def locate(grid: GeoBox, rows: Pixels, cols: Pixels, band: GeoBox) -> tuple[Pixels, Pixels, NDArray[np.bool_]]:
    """Return for pixels of ``grid`` the row and column of the ``band`` pixel that holds their centre.

    The third array says whether any does. So a 10 m pixel takes the 20 m pixel that contains it; nothing is
    interpolated.
    """
    if grid.crs != band.crs:
        raise SourceError(f"bands of one scene lie in two CRSs, {grid.crs} and {band.crs}")
    own, other = grid.affine, band.affine
    r = np.floor((own.f + (rows + 0.5) * own.e - other.f) / other.e).astype(np.int64)
    c = np.floor((own.c + (cols + 0.5) * own.a - other.c) / other.a).astype(np.int64)
    inside = (r >= 0) & (r < band.shape[0]) & (c >= 0) & (c < band.shape[1])
    return r, c, inside


def read_reflectance(band: BandFile, grid: GeoBox, rows: Pixels, cols: Pixels) -> NDArray[np.float32]:
    """Return the reflectance (0-1, cut at 0) of pixels of ``grid``; NaN where the file has none, or no finite number.

    Raises
    ------
    SourceError
        The file cannot be decoded; it is named.
    """
    r, c, inside = locate(grid, rows, cols, band.geobox)
    out = np.full(len(rows), np.nan, np.float32)
    raw = _gather(band, r[inside], c[inside])
    value = np.maximum(raw.astype(np.float64) * band.scale + band.offset, 0.0)
    if band.nodata is not None:
        value[raw == band.nodata] = np.nan
    out[inside] = np.where(np.isfinite(value), value, np.nan)
    return out


def read_clear(
    scene: Scene, grid: GeoBox, rows: Pixels, cols: Pixels, classes: tuple[int, ...], dilate_m: float
) -> NDArray[np.bool_]:
    """Return which pixels of ``grid`` are clear by the scene classification.

    Parameters
    ----------
    classes
        Classes that are not clear.
    dilate_m
        Pixels whose centre is this near [m] to the centre of a masked one are masked too.

    Raises
    ------
    SourceError
        The scene has no classification, or it cannot be decoded.
    """
    band = scene.bands[SCL]
    r, c, inside = locate(grid, rows, cols, band.geobox)
    clear = np.zeros(len(rows), bool)
    if not inside.any():
        return clear
    pixel = abs(band.geobox.affine.a)
    margin = int(np.ceil(dilate_m / pixel))
    top, left = max(int(r[inside].min()) - margin, 0), max(int(c[inside].min()) - margin, 0)
    bottom = min(int(r[inside].max()) + margin + 1, band.geobox.shape[0])
    right = min(int(c[inside].max()) + margin + 1, band.geobox.shape[1])
    seen = _window(band, top, bottom, left, right)
    seen = np.where(np.isin(seen, list(SCL_CLASSES)), seen, 0)  # a fill value such as 255 is no data
    grown = np.isin(seen, [k for k in classes if k not in _NO_DATA_CLASSES])
    if dilate_m > 0 and grown.any():
        grown = distance_transform_edt(~grown) * pixel <= dilate_m
    bad = grown | np.isin(seen, [k for k in classes if k in _NO_DATA_CLASSES])
    clear[inside] = ~bad[r[inside] - top, c[inside] - left]
    return clear


def _gather(band: BandFile, rows: Pixels, cols: Pixels) -> NDArray[Any]:
    """Raw values at rows and columns of the band's own grid, each block of the file decoded once."""
    if len(rows) == 0:
        return np.zeros(0, np.float32)
    if band.driver == "NetCDF":
        top, left = int(rows.min()), int(cols.min())
        return _window(band, top, int(rows.max()) + 1, left, int(cols.max()) + 1)[rows - top, cols - left]
    try:
        with rasterio.open(band.href, driver=band.driver) as src:
            high, wide = src.block_shapes[0]
            across = -(-src.width // wide)
            block = (rows // high) * across + cols // wide
            order = np.argsort(block, kind="stable")
            ids, firsts = np.unique(block[order], return_index=True)
            out = np.empty(len(rows), src.dtypes[0])
            for number, members in zip(ids.tolist(), np.split(order, firsts[1:]), strict=True):
                top, left = number // across * high, number % across * wide
                window = Window(left, top, min(wide, src.width - left), min(high, src.height - top))
                out[members] = src.read(1, window=window)[rows[members] - top, cols[members] - left]
            return out
    except (rasterio.errors.RasterioError, OSError) as err:
        raise _undecodable(band, err) from err


def _window(band: BandFile, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
    try:
        if band.driver == "NetCDF":
            with _netcdf_lock:
                variable = _open_netcdf(band.href).variables[band.variable]
                return np.asarray(variable[band.step, top:bottom, left:right])
        with rasterio.open(band.href, driver=band.driver) as src:
            return np.asarray(src.read(1, window=Window(left, top, right - left, bottom - top)))
    except (rasterio.errors.RasterioError, OSError, RuntimeError, LookupError) as err:
        raise _undecodable(band, err) from err


def _open_netcdf(path: str) -> netCDF4.Dataset:
    state = Path(path).stat()
    return _opened(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _opened(path: str, _changed: int, _size: int) -> netCDF4.Dataset:
    """Keep a few files open, for their caches of decoded chunks; one written anew is opened anew."""
    dataset = netCDF4.Dataset(path)
    dataset.set_auto_maskandscale(False)
    return dataset


def _undecodable(band: BandFile, err: Exception) -> SourceError:
    what = f"{band.href}, {band.variable} step {band.step}" if band.variable else band.href
    return SourceError(f"{what}: cannot be decoded ({err}); the file is damaged or cut short, fetch it again")
