"""Decoding: pixels of a scene's bands, block by block, as their files have them, as reflectance, or as clear or not.

The notebook's cube and the operator's signals both read through here, so that they see the same numbers.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import deflate
import netCDF4
import numpy as np
import rasterio.errors
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.catalog.bands import SCL, SCL_CLASSES
from rs_forecast.errors import SourceError
from rs_forecast.kernels._jit import cores, share_out
from rs_forecast.kernels.gather import Pieces, take, take_scaled, undo_differences, wanted
from rs_forecast.kernels.mask import CLEAR, ENDS, GROWS, classify, grow
from rs_forecast.kernels.zonal import Raw, reflectance
from rs_forecast.sources import _zarr
from rs_forecast.sources._pixels import Pixels, pixels_at
from rs_forecast.sources._tiff import Layout, read_blocks, read_layout
from rs_forecast.sources.scene import BandFile, Scene

_NO_DATA_CLASSES = frozenset((0, 1))
"""Classes that end where they end: a swath's edge casts no shadow, so the mask does not grow around them."""

_NETCDF_ROWS = 512
"""Rows of a NetCDF variable that are read at once."""

_netcdf_lock = threading.RLock()  # the HDF5 library is not safe to call from two threads


def read_reflectance(
    band: BandFile, grid: GeoBox, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the reflectance (0-1, cut at 0) of pixels of ``grid``; NaN where the file has none, or no finite number.

    Raises
    ------
    SourceError
        A block cannot be decoded, or the band has another CRS than the grid.
    """
    pixels = pixels_at(grid, rows, cols)
    out: NDArray[np.float32] = np.full((1, len(rows)), np.nan, np.float32)
    if len(rows):
        _gather([band], pixels, np.ones(len(rows), bool), out, scaled=True, threads=None)
    return out.ravel()


def read_clear(
    scene: Scene,
    grid: GeoBox,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    classes: tuple[int, ...],
    dilate_m: float,
) -> NDArray[np.bool_]:
    """Return which pixels of ``grid`` are clear; as :func:`read_mask`, for pixels named one by one."""
    return read_mask(scene, pixels_at(grid, rows, cols), classes, dilate_m)


def read_mask(
    scene: Scene, pixels: Pixels, classes: tuple[int, ...], dilate_m: float, threads: int | None = None
) -> NDArray[np.bool_]:
    """Return which pixels are clear by the scene classification.

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
    inside = pixels.inside(band.geobox) if len(pixels) else np.zeros(0, np.bool_)
    if inside is not None and not inside.any():
        return np.zeros(len(pixels), np.bool_)
    pixel = abs(band.geobox.affine.a)
    top, bottom, left, right = _box(pixels, band.geobox, int(np.ceil(dilate_m / pixel)))
    kind = _kinds(band, (top, bottom, left, right), _kind_of(classes), threads)
    masked = grow(kind, dilate_m / pixel, threads)
    clear = np.zeros(len(pixels), np.bool_)
    np.logical_not(masked, out=masked)
    pieces, col_of = pixels.pieces(band.geobox, _layout(band).block), pixels.lines(band.geobox)[1]

    def look_up(part: slice) -> None:
        take(masked, False, top, left, col_of, pieces.entry[part], pieces.place[part], clear)

    share_out(look_up, _slices(len(pieces.entry), 2 * cores()), threads)
    return clear


def read_raw(bands: Sequence[BandFile], pixels: Pixels, clear: NDArray[np.bool_], threads: int | None = None) -> Raw:
    """Return bands at pixels as their files have them; blocks without a clear pixel are not decoded.

    Raises
    ------
    SourceError
        A block cannot be decoded.
    """
    valid = clear
    for inside in map(pixels.inside, {id(band.geobox): band.geobox for band in bands}.values()):
        valid = valid if inside is None else valid & inside
    layouts = [_layout(band) for band in bands]
    grids = {(layout.shape, layout.block): band.geobox for band, layout in zip(bands, layouts, strict=True)}
    share_out(lambda item: pixels.pieces(item[1], item[0][1]), grids.items(), threads)
    as_filed = all(layout.dtype == "uint16" for layout in layouts)
    values: NDArray[Any] = (
        np.zeros((len(bands), len(pixels)), np.uint16)
        if as_filed
        else np.full((len(bands), len(pixels)), np.nan, np.float32)
    )
    _gather(bands, pixels, valid, values, scaled=not as_filed, threads=threads)
    if not as_filed:
        return replace(reflectance(values), valid=valid)
    return Raw(
        values=values,
        scale=np.array([band.scale for band in bands], np.float64),
        offset=np.array([band.offset for band in bands], np.float64),
        nodata=np.array([_or_nan(band.nodata) for band in bands], np.float64),
        valid=valid,
    )


def _gather(
    bands: Sequence[BandFile],
    pixels: Pixels,
    valid: NDArray[np.bool_],
    out: NDArray[Any],
    *,
    scaled: bool,
    threads: int | None,
) -> None:
    """Fill ``out`` (band, pixel), each block decoded once, on threads that each take a run of blocks of one band."""
    jobs: list[tuple[int, Layout, Pieces, slice]] = []
    for k, band in enumerate(bands):
        layout = _layout(band)
        pieces = pixels.pieces(band.geobox, layout.block)
        jobs += [(k, layout, pieces, part) for part in _slices(len(pieces.blocks), 4 * cores())]

    def work(job: tuple[int, Layout, Pieces, slice]) -> None:
        k, layout, pieces, part = job
        band, col_of = bands[k], pixels.lines(bands[k].geobox)[1]
        members = {}
        for at in range(part.start, part.stop):
            own = slice(pieces.starts[at], pieces.starts[at + 1])
            if wanted(valid, pieces.entry[own], pieces.place[own]):
                members[int(pieces.blocks[at])] = (pieces.entry[own], pieces.place[own])
        for number, block, differences in _decoded(band, layout, [*members]):
            where = (differences, *layout.corner(number), col_of, *members[number])
            if scaled:
                take_scaled(block, *where, band.scale, band.offset, _or_nan(band.nodata), out[k])
            else:
                take(block, *where, out[k])

    share_out(work, jobs, threads)


def _decoded(band: BandFile, layout: Layout, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[Any], bool]]:
    """Yield some blocks of a band, as :func:`read_blocks`; what cannot be decoded is a SourceError with its name."""
    try:
        if band.driver == "NetCDF":
            yield from _netcdf_blocks(band, layout, numbers)
        elif band.driver == "Zarr":
            yield from _zarr.blocks(band, layout, numbers)
        else:
            yield from read_blocks(layout, numbers)
    except (rasterio.errors.RasterioError, deflate.DeflateError, OSError, RuntimeError, LookupError, ValueError) as err:
        raise _undecodable(band, err) from err


def _kinds(
    band: BandFile, window: tuple[int, int, int, int], kind_of: NDArray[np.uint8], threads: int | None
) -> NDArray[np.uint8]:
    """Return a window of a classification as what :func:`grow` takes."""
    layout = _layout(band)
    top, bottom, left, right = window
    high, wide = layout.block
    out = np.empty((bottom - top, right - left), np.uint8)
    down, along = range(top // high, -(-bottom // high)), range(left // wide, -(-right // wide))
    numbers = [row * layout.across + col for row in down for col in along]

    def work(part: slice) -> None:
        for number, block, differences in _decoded(band, layout, numbers[part]):
            if differences:
                for line in block:
                    undo_differences(line)
            classify(block, layout.corner(number), kind_of, out, (top, left))

    share_out(work, _slices(len(numbers), 4 * cores()), threads)
    return out


def _kind_of(classes: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return for each class, by number, whether it is clear; the last is for what is no class: no data."""
    kinds = np.full(len(SCL_CLASSES) + 1, CLEAR, np.uint8)
    for k in classes:
        kinds[k] = ENDS if k in _NO_DATA_CLASSES else GROWS
    kinds[-1] = kinds[0]
    return kinds


def _box(pixels: Pixels, band: GeoBox, margin: int) -> tuple[int, int, int, int]:
    """Return the window of ``band`` (first and past the last row, then columns) around all pixels."""
    row_of, col_of = pixels.lines(band)
    top, bottom, left, right = pixels.box
    found = []
    for lines, size in ((row_of[top:bottom], band.shape[0]), (col_of[left:right], band.shape[1])):
        inside = lines[lines >= 0]
        found += [max(int(inside.min()) - margin, 0), min(int(inside.max()) + margin + 1, size)]
    return found[0], found[1], found[2], found[3]


def _slices(count: int, parts: int) -> list[slice]:
    """Cut ``count`` things into at most ``parts`` runs."""
    ends = np.linspace(0, count, min(parts, count) + 1).astype(int).tolist()
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _layout(band: BandFile) -> Layout:
    if band.driver == "NetCDF":
        rows, cols = band.geobox.shape
        return netcdf_layout(band.href, rows, cols)
    try:
        if band.driver == "Zarr":
            return _zarr.layout_of(band)
        state = band.file.stat()
        layout = _kept_layout(band.href, band.driver, state.st_mtime_ns, state.st_size)
    except (rasterio.errors.RasterioError, OSError, StopIteration, LookupError, TypeError, ValueError) as err:
        raise _undecodable(band, err) from err
    if layout.shape != tuple(band.geobox.shape):
        raise _undecodable(band, ValueError(f"it has {layout.shape} rows and columns now, not {band.geobox.shape}"))
    return layout


@lru_cache(maxsize=256)
def _kept_layout(path: str, driver: str, _changed: int, _size: int) -> Layout:
    return read_layout(path, driver)


def netcdf_layout(path: str, rows: int, cols: int) -> Layout:
    """Return a layout of whole rows."""
    return Layout(
        path=path,
        driver="NetCDF",
        shape=(rows, cols),
        block=(min(rows, _NETCDF_ROWS), cols),
        dtype="",
        plain=False,
        tiled=False,
        differences=False,
        places=np.zeros((0, 2), np.int64),
    )


def _netcdf_blocks(band: BandFile, layout: Layout, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[Any], bool]]:
    for number in numbers:
        top = layout.corner(number)[0]
        bottom = min(top + layout.block[0], layout.shape[0])
        with _netcdf_lock:
            variable = _open_netcdf(band.href).variables[band.variable]
            yield number, np.asarray(variable[band.step, top:bottom]), False


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
