"""The notebook's path: scenes as a lazy (time, y, x) Dataset, clouds masked, indices as variables."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from xarray.backends import BackendArray
from xarray.core import indexing

from rs_forecast import schema
from rs_forecast.catalog import BANDS, INDICES, PROVIDERS, Index
from rs_forecast.catalog.bands import SCL, SCL_MASKED
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError, listing
from rs_forecast.grid import offset_between
from rs_forecast.kernels.bandmath import link
from rs_forecast.sources._blocks import read_clear, read_reflectance
from rs_forecast.sources._looks import MASK_DILATE_M
from rs_forecast.sources.scene import Scene


def find_scenes(source: str, path: Any, **options: Any) -> list[Scene]:
    """Return the scenes of an imagery source of the catalogue; see its opener for the options."""
    provider = PROVIDERS[source]
    if provider.kind != "imagery":
        raise ConfigError(f"{source!r} provides {provider.kind}, imagery is due")
    module, function = provider.opener.split(":")
    options.setdefault("latency_days", provider.latency_days)
    scenes: list[Scene] = getattr(importlib.import_module(module), function)(path, **options)
    return scenes


def open_cube(
    parcels: gpd.GeoDataFrame,
    start: Any = None,
    end: Any = None,
    *,
    source: str = "local",
    path: str | Path | Sequence[str | Path] = "scenes",
    bands: Sequence[str] | None = None,
    mask_classes: Sequence[int] = SCL_MASKED,
    mask_dilate_m: float = MASK_DILATE_M,
    **options: Any,
) -> xr.Dataset:
    """Return the imagery around ``parcels`` as a lazy Dataset; pixels are decoded when they are looked at.

    Parameters
    ----------
    parcels
        Polygons of :func:`rs_forecast.read_parcels`; the cube is their box on the imagery's own grid.
    start, end
        First and last day, both included.
    source, path, options
        Where the scenes are; ``options`` go to the source.
    bands
        Band names; by default all that every scene has.
    mask_classes, mask_dilate_m
        Scene classes that are not clear, and how far [m] the mask grows. An empty sequence masks nothing.

    Returns
    -------
    Dataset
        Variables (time, y, x), y falling: bands as float32 reflectance (0-1), NaN where masked or without data, and
        ``scl`` as uint8. Coordinates along time: ``known_at``, ``scene_id``, ``tile``. Two scenes of one day are two
        steps.

    Raises
    ------
    NoDataError
        No scene, or none over the parcels. A scene without a classification is left out and named in a
        :class:`DataWarning`, unless nothing is masked.
    SourceError
        The scenes lie on different grids: use :func:`rs_forecast.extract_signals` on the scenes instead.
    """
    schema.check_parcels(parcels)
    scenes = find_scenes(source, path, start=start, end=end, **options)
    clear = None if not mask_classes else (tuple(mask_classes), mask_dilate_m)
    scenes = scenes if clear is None else _classified(scenes)
    wanted = _bands(scenes, bands)
    grid = _grid(scenes, wanted, parcels)
    variables = {
        band: xr.Variable(schema.DIMS, indexing.LazilyIndexedArray(_Stack(scenes, band, grid, clear)))
        for band in wanted
    }
    coords = {
        schema.TIME: [s.date.to_datetime64() for s in scenes],
        "known_at": (schema.TIME, [s.known_at.to_datetime64() for s in scenes]),
        "scene_id": (schema.TIME, [s.scene_id for s in scenes]),
        "tile": (schema.TIME, [s.tile for s in scenes]),
        **_grid_coords(grid),
    }
    cube = xr.Dataset(variables, coords)
    for band in wanted:
        cube[band].attrs = {"long_name": BANDS[band].doc, "units": "1", "grid_mapping": "spatial_ref"}
    if any(scene.synthetic for scene in scenes):
        cube.attrs["title"] = "SYNTHETIC imagery"
    return cube


def add_indices(cube: xr.Dataset, indices: Sequence[str | Index]) -> xr.Dataset:
    """Return ``cube`` with a float32 variable more per index, NaN where a band is missing or the value out of range.

    Bands in dask chunks stay lazy; others are decoded.

    Raises
    ------
    SourceError
        The cube lacks a band.
    """
    out = cube
    for row in [INDICES[i] if isinstance(i, str) else i for i in indices]:
        program = link([row.parsed], [row.valid])
        missing = [band for band in program.bands if band not in cube]
        if missing:
            raise SourceError(f"index {row.name} needs the band {listing(missing)}; the cube has {listing(cube, 20)}")

        def run(*bands: NDArray[np.float32], program: Any = program) -> NDArray[np.float32]:
            flat = np.stack([np.asarray(band, np.float32).ravel() for band in bands])
            return np.asarray(program.run(flat)[0].reshape(bands[0].shape))

        layer = xr.apply_ufunc(
            run, *(cube[band] for band in program.bands), dask="parallelized", output_dtypes=[np.float32]
        )
        layer.attrs = {"long_name": row.doc, "units": row.unit, "formula": row.formula, "grid_mapping": "spatial_ref"}
        out = out.assign({row.name: layer})
    return out


class _Stack(BackendArray):
    """One band of all scenes on one grid, decoded where it is indexed."""

    def __init__(
        self, scenes: list[Scene], band: str, grid: GeoBox, clear: tuple[tuple[int, ...], float] | None
    ) -> None:
        self._scenes, self._band, self._grid, self._clear = scenes, band, grid, clear
        self.shape = (len(scenes), *grid.shape)
        self.dtype = np.dtype(np.uint8 if band == SCL else np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        steps, ys, xs = (np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True))
        rows, cols = (part.ravel() for part in np.meshgrid(ys, xs, indexing="ij"))
        out = np.empty((len(steps), len(rows)), self.dtype)
        for k, step in enumerate(steps):
            out[k] = self._pixels(self._scenes[step], rows, cols)
        squeeze = tuple(axis for axis, part in enumerate(key) if isinstance(part, int | np.integer))
        return out.reshape(len(steps), len(ys), len(xs)).squeeze(axis=squeeze)

    def _pixels(self, scene: Scene, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[Any]:
        if self._band == SCL:
            classes = read_reflectance(scene.bands[SCL], self._grid, rows, cols)
            return np.nan_to_num(classes).astype(np.uint8)
        values = read_reflectance(scene.bands[self._band], self._grid, rows, cols)
        if self._clear is not None:
            values[~read_clear(scene, self._grid, rows, cols, *self._clear)] = np.nan
        return values


def _grid_coords(grid: GeoBox) -> dict[str, Any]:
    a, crs = grid.affine, CRS.from_user_input(grid.crs)
    rows, cols = grid.shape
    transform = " ".join(repr(float(v)) for v in a.to_gdal())
    return {
        schema.Y: (schema.Y, a.f + (np.arange(rows) + 0.5) * a.e, {"units": "m", "axis": "Y"}),
        schema.X: (schema.X, a.c + (np.arange(cols) + 0.5) * a.a, {"units": "m", "axis": "X"}),
        "spatial_ref": ((), 0, {**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": transform}),
    }


def _classified(scenes: list[Scene]) -> list[Scene]:
    bare = [scene.scene_id for scene in scenes if SCL not in scene.bands]
    if len(bare) == len(scenes):
        raise NoDataError(f"none of {len(scenes)} scenes has a classification; mask_classes=() masks nothing")
    if bare:
        message = f"{len(bare)} scenes have no classification and are left out: {listing(bare)}"
        warnings.warn(DataWarning(message), stacklevel=3)
    return [scene for scene in scenes if SCL in scene.bands]


def _bands(scenes: list[Scene], bands: Sequence[str] | None) -> list[str]:
    common = [band for band in BANDS if all(band in scene.bands for scene in scenes)]
    for band in bands or ():
        lacking = [scene.scene_id for scene in scenes if band not in scene.bands]
        if lacking:
            raise SourceError(f"band {BANDS[band].name} is missing in {len(lacking)} scenes: {listing(lacking)}")
    if not common:
        raise NoDataError(f"no band is in all of {len(scenes)} scenes; name files of one kind, or bands")
    return list(bands) if bands else common


def _grid(scenes: list[Scene], bands: list[str], parcels: gpd.GeoDataFrame) -> GeoBox:
    """Return the finest bands' grid, cut to the parcels' box."""
    whole = _common_grid(scenes, bands)
    a, (rows, cols) = whole.affine, whole.shape
    left, bottom, right, top = parcels.to_crs(whole.crs).total_bounds
    col0, col1 = np.clip([np.floor((left - a.c) / a.a), np.ceil((right - a.c) / a.a)], 0, cols).astype(int)
    row0, row1 = np.clip([np.floor((top - a.f) / a.e), np.ceil((bottom - a.f) / a.e)], 0, rows).astype(int)
    if row1 <= row0 or col1 <= col0:
        raise NoDataError("none of the parcels lies in the imagery; compare CRS and place of parcels and scenes")
    row0, col0 = max(min(row0, row1 - 2), 0), max(min(col0, col1 - 2), 0)  # one coordinate tells no pixel size
    return _part(whole, (row0, col0), (row1, col1))


def _common_grid(scenes: list[Scene], bands: list[str]) -> GeoBox:
    """Return the grid of the finest bands, over all that any scene covers."""
    finest = [min((s.bands[b].geobox for b in bands), key=lambda g: abs(g.affine.a)) for s in scenes]
    corners = [offset_between(grid, finest[0]) for grid in finest]
    if None in corners:
        raise SourceError(
            f"scene {scenes[corners.index(None)].scene_id} lies on another grid than {scenes[0].scene_id}, and pixels "
            "are never resampled here; open them apart, or use extract_signals on the scenes"
        )
    first = np.array(corners)
    last = first + [grid.shape for grid in finest]
    return _part(finest[0], tuple(first.min(axis=0)), tuple(last.max(axis=0)))


def _part(grid: GeoBox, first: tuple[int, int], last: tuple[int, int]) -> GeoBox:
    """Return ``grid`` from the (row, column) ``first`` to that before ``last``; both may lie outside."""
    a, (row, col) = grid.affine, first
    affine = Affine(a.a, 0.0, a.c + float(col) * a.a, 0.0, a.e, a.f + float(row) * a.e)
    return GeoBox((int(last[0] - row), int(last[1] - col)), affine, grid.crs)
