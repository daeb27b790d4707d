"""A look: one overpass ready to be read at pixels of its own grid, be it a scene on disk or a step of a cube."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast import schema
from rs_forecast.catalog.bands import SCL
from rs_forecast.errors import DataWarning, SourceError, listing
from rs_forecast.grid import cube_geobox
from rs_forecast.sources._blocks import Pixels, read_clear, read_reflectance
from rs_forecast.sources.scene import Scene

MASK_DILATE_M = 20.0
"""Clouds are masked this far beyond the pixels that the classification names [m]."""

Values = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""(band, pixel) reflectance, and which pixels are clear."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One scene, or one step of a cube."""

    scene_id: str
    tile: str
    date: pd.Timestamp
    known_at: pd.Timestamp
    grid: GeoBox
    read: Callable[[Pixels, Pixels], Values]
    """From rows and columns of ``grid``."""


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

        def read(rows: Pixels, cols: Pixels, part: xr.Dataset = part) -> Values:
            values = np.stack([part[band].to_numpy()[rows, cols] for band in bands]).astype(np.float32)
            return values, np.ones(len(rows), bool)

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

    def read(rows: Pixels, cols: Pixels) -> Values:
        clear = read_clear(scene, grid, rows, cols, classes, dilate_m)
        values = np.full((len(bands), len(rows)), np.nan, np.float32)
        for k, band in enumerate(bands):  # only clear pixels are decoded: under a closed cloud, none
            values[k, clear] = read_reflectance(scene.bands[band], grid, rows[clear], cols[clear])
        return values, clear

    return Look(
        scene_id=scene.scene_id, tile=scene.tile, date=scene.date, known_at=scene.known_at, grid=grid, read=read
    )
