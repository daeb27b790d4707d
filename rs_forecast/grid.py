"""Pixel grids: the one that products are written on, and how image grids lie to each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from rs_forecast.errors import ConfigError, NoDataError, SourceError

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

ALIGNED = 1e-3
"""Grids whose pixel edges differ by less than this share of a pixel are one grid."""


def output_geobox(parcels: gpd.GeoDataFrame, crs: Any = None, resolution: float = 10.0) -> GeoBox:
    """Return the north-up grid that covers all parcels, its edges at multiples of ``resolution``.

    Parameters
    ----------
    parcels
        Polygons with a CRS.
    crs
        CRS of the grid, metric; by default the parcels' UTM zone.
    resolution
        Pixel size [m].

    Raises
    ------
    ConfigError
        ``crs`` is unknown or not metric.
    NoDataError
        There are no parcels.
    """
    if parcels.empty:
        raise NoDataError("there is no parcel to lay a grid over")
    target = metric_crs(crs) if crs is not None else parcels.estimate_utm_crs()
    left, bottom, right, top = parcels.to_crs(target).total_bounds
    west, south = (math.floor(v / resolution) for v in (left, bottom))
    east, north = (math.ceil(v / resolution) for v in (right, top))
    transform = Affine(resolution, 0, west * resolution, 0, -resolution, north * resolution)
    return GeoBox((max(north - south, 1), max(east - west, 1)), transform, target.to_wkt())


def geobox_of(x: ArrayLike, y: ArrayLike, crs: CRS) -> GeoBox:
    """Return the grid whose pixel centres are ``x`` (rising) and ``y`` (falling).

    Raises
    ------
    SourceError
        The coordinates are not evenly spaced, run the wrong way, or are fewer than two.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(xs) < 2 or len(ys) < 2 or xs[0] >= xs[1] or ys[0] <= ys[1]:
        raise SourceError(f"x must rise and y fall, with two values or more; found x {xs[:2]}, y {ys[:2]}")
    dx, dy = (xs[-1] - xs[0]) / (len(xs) - 1), (ys[-1] - ys[0]) / (len(ys) - 1)
    if not (np.allclose(np.diff(xs), dx, rtol=1e-6) and np.allclose(np.diff(ys), dy, rtol=1e-6)):
        raise SourceError("x or y are not evenly spaced")
    return GeoBox((len(ys), len(xs)), Affine(dx, 0, xs[0] - dx / 2, 0, dy, ys[0] - dy / 2), crs.to_wkt())


def cube_geobox(cube: xr.Dataset) -> GeoBox:
    """Return the grid of a cube, from its coordinates ``x``, ``y`` and ``spatial_ref``."""
    if "spatial_ref" not in cube.coords:
        raise SourceError("the cube has lost its coordinate spatial_ref, and with it its CRS; open it again")
    return geobox_of(cube["x"].values, cube["y"].values, CRS.from_wkt(cube["spatial_ref"].attrs["crs_wkt"]))


def pixel_area(geobox: GeoBox) -> float:
    """Return the area of one pixel in squared units of the grid's CRS."""
    affine = geobox.affine
    return abs(affine.a * affine.e - affine.b * affine.d)


def offset_between(inner: GeoBox, outer: GeoBox) -> tuple[int, int] | None:
    """Return (row, column) of ``inner``'s first pixel on ``outer``'s grid; None where the pixels do not coincide."""
    if inner.crs != outer.crs:
        return None
    a, b = inner.affine, outer.affine
    if abs(a.a - b.a) > ALIGNED * abs(b.a) / max(inner.shape) or abs(a.e - b.e) > ALIGNED * abs(b.e) / max(inner.shape):
        return None
    column, row = (a.c - b.c) / b.a, (a.f - b.f) / b.e
    if max(abs(column - round(column)), abs(row - round(row))) > ALIGNED:
        return None
    return round(row), round(column)


def metric_crs(crs: Any) -> CRS:
    """Return ``crs`` if products can be written in it: projected, in metres; ConfigError if not."""
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as err:
        raise ConfigError(f"[output] crs: found {crs!r}, allowed is a CRS such as EPSG:32648 ({err})") from err
    if not parsed.is_projected or parsed.axis_info[0].unit_name != "metre":
        raise ConfigError(f"[output] crs: found {crs!r} ({parsed.name}), allowed is a projected CRS in metres")
    return parsed
