"""A small grid, and hypothesis polygons on and around it, in units of pixels and in metres."""

from __future__ import annotations

from functools import partial

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

ROWS, COLS, PIXEL = 9, 12, 10.0
WEST, NORTH = 500_000.0, 2_300_000.0
CRS = "EPSG:32648"
GRID = GeoBox((ROWS, COLS), Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), CRS)


def table_of(*polygons, crs=CRS):
    return gpd.GeoDataFrame({"parcel_id": [f"p{i}" for i in range(len(polygons))]}, geometry=list(polygons), crs=crs)


def to_metres(polygon):
    """Take a polygon from pixel units, x right and y down from the grid's corner, to the grid's CRS."""
    return shapely.transform(polygon, lambda xy: np.column_stack([WEST + PIXEL * xy[:, 0], NORTH - PIXEL * xy[:, 1]]))


def to_pixels(polygon):
    """Take a polygon from the grid's CRS to pixel units. The subtraction comes first, and is exact."""
    return shapely.transform(
        polygon, lambda xy: np.column_stack([(xy[:, 0] - WEST) / PIXEL, (NORTH - xy[:, 1]) / PIXEL])
    )


def star(rng, reach):
    """A star-shaped polygon, at times with a hole of the same form, its rings in either direction."""
    steps = rng.uniform(0.05, 1.0, rng.integers(3, 15))
    angles = 2 * np.pi * np.cumsum(steps) / steps.sum()
    radii = reach * rng.uniform(0.2, 1.0, len(steps))
    outer = np.column_stack([np.cos(angles), np.sin(angles)]) * radii[:, None]
    turn, place = slice(None, None, rng.choice([1, -1])), rng.uniform((-4, -4), (COLS + 4, ROWS + 4))
    holes = [rng.uniform(0.1, 0.8) * outer[turn] + place] if rng.random() < 0.4 else []
    return shapely.Polygon(outer[turn] + place, holes)


def sliver(rng):
    """A triangle far longer than wide, at any angle."""
    place, angle, length = rng.uniform((-3, -3), (COLS + 3, ROWS + 3)), rng.uniform(0, 2 * np.pi), rng.uniform(1, 30)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = rng.choice([1e-1, 1e-3, 1e-5]) * np.array([-along[1], along[0]])
    return shapely.Polygon([place, place + length * along, place + length * along / 2 + across])


def lattice(rng):
    """A union of boxes whose edges lie on pixel borders or halves: holes, parts, collinear points."""
    corner, size = rng.integers(-6, 28, (rng.integers(1, 6), 2)) / 2, rng.integers(1, 13, 2) / 2
    boxes = [shapely.box(x, y, x + size[0], y + size[1]) for x, y in corner]
    return shapely.segmentize(shapely.union_all(boxes), rng.choice([0.3, 100.0]))


def parts(rng):
    """Stars in one multipolygon."""
    found = [star(rng, 3.0) for _ in range(rng.integers(2, 4))]
    return shapely.union_all([part for part in found if part.is_valid])


KINDS = (
    *(partial(star, reach=reach) for reach in (0.02, 0.4, 1.0, 6.0, 40.0)),
    sliver,
    lattice,
    parts,
)


def batch(seed, count=16):
    """Return about ``count`` valid polygons and multipolygons in pixel units, on the grid, across its edge, off it."""
    rng = np.random.default_rng(seed)
    found = [KINDS[rng.integers(len(KINDS))](rng) for _ in range(count)]
    fit = [p for p in found if p.geom_type in ("Polygon", "MultiPolygon") and p.area > 0 and to_metres(p).is_valid]
    return fit or [shapely.box(0, 0, 1, 1)]


seeds = st.integers(0, 2**32 - 1)
