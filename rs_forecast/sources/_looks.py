"""A look: one overpass ready to be read at pixels of its own grid, be it a scene on disk or a step of a cube."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox

from rs_forecast import schema
from rs_forecast.catalog.bands import SCL
from rs_forecast.errors import DataWarning, SourceError, listing
from rs_forecast.grid import cube_geobox
from rs_forecast.kernels.zonal import Raw, reflectance
from rs_forecast.sources._blocks import read_mask, read_raw
from rs_forecast.sources._pixels import Pixels
from rs_forecast.sources.scene import Scene

MASK_DILATE_M = 20.0
"""Clouds are masked this far beyond the pixels that the classification names [m]."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One scene, or one step of a cube."""

    scene_id: str
    tile: str
    date: pd.Timestamp
    known_at: pd.Timestamp
    grid: GeoBox
    read: Callable[[Pixels, int | None], Raw]
    """The bands asked for at pixels of ``grid``, on a number of threads."""


def scene_looks(
    scenes: Iterable[Scene], bands: Sequence[str], classes: tuple[int, ...], dilate_m: float
) -> Iterator[Look]:
    """Yield a look for each scene that has all ``bands`` and a classification; the others are named and left out."""
    for scene in scenes:
        missing = [band for band in (*bands, SCL) if band not in scene.bands]
        if missing:
            found = listing(scene.bands, 20)
            message = f"scene {scene.scene_id}: left out, it has no band {listing(missing)}; found {found}"
            warnings.warn(DataWarning(message), stacklevel=4)
            continue
        yield _scene_look(scene, bands, classes, dilate_m)


def cube_looks(cube: xr.Dataset, bands: Sequence[str]) -> Iterator[Look]:
    """Yield a look for each time step of a cube, whose own mask counts.

    Raises
    ------
    SourceError
        The cube lacks a band, or a coordinate of :func:`rs_forecast.open_cube`.
    """
    missing = [band for band in bands if band not in cube]
    if missing:
        raise SourceError(f"the cube has no band {listing(missing)}; open it with bands={sorted(bands)}")
    lost = [name for name in (schema.TIME, "scene_id", "tile", "known_at") if name not in cube.coords]
    if lost:
        raise SourceError(f"the cube has lost its coordinate {listing(lost)}; take parts of it, but no means over time")
    grid = cube_geobox(cube)
    layers = cube[list(bands)]
    layers = (layers if schema.TIME in layers.dims else layers.expand_dims(schema.TIME)).transpose(*schema.DIMS)
    for step in range(layers.sizes[schema.TIME]):
        part = layers.isel({schema.TIME: step})

        def read(pixels: Pixels, _: int | None, part: xr.Dataset = part) -> Raw:
            row, col, size = pixels.spans.T
            rows, first = np.repeat(row, size), np.repeat(col - pixels.starts[:-1], size)
            cols = first + np.arange(len(pixels))
            values = np.stack([part[band].to_numpy()[rows, cols] for band in bands]).astype(np.float32)
            return reflectance(values)

        yield Look(
            scene_id=str(part["scene_id"].item()),
            tile=str(part["tile"].item()),
            date=schema.day(part[schema.TIME].to_numpy()),
            known_at=schema.day(part["known_at"].to_numpy()),
            grid=grid,
            read=read,
        )


def _scene_look(scene: Scene, bands: Sequence[str], classes: tuple[int, ...], dilate_m: float) -> Look:
    """Return ``scene`` ready to be read on the grid of its finest band."""
    grid = min((scene.bands[band].geobox for band in bands), key=lambda g: abs(g.affine.a))

    def read(pixels: Pixels, threads: int | None) -> Raw:
        clear = read_mask(scene, pixels, classes, dilate_m, threads)
        return read_raw([scene.bands[band] for band in bands], pixels, clear, threads)

    return Look(
        scene_id=scene.scene_id, tile=scene.tile, date=scene.date, known_at=scene.known_at, grid=grid, read=read
    )
