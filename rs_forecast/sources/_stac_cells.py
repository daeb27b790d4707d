"""Where parcels lie in a scene, coarsely: square cells of its grid, few enough to ride in an order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.sources.order import MARGIN

SIDE = 2560.0
"""Side of a cell [m]: a quarter of the usual block of 1024 pixels of 10 m, half of one of 512."""
_PIXELS_M = 109_800.0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a scene's cells are: CRS, the outer corner of the first [m], and how far they go."""

    epsg: int
    west: float
    north: float
    wide: float = _PIXELS_M
    high: float = _PIXELS_M

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return math.ceil(self.high / SIDE), math.ceil(self.wide / SIDE)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Which cells of a frame parcels touch."""

    frame: Frame
    touched: NDArray[np.bool_]
    """(rows, columns)."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON: a text of 0 and 1 a row, in hexadecimal."""
        rows = [f"{int(''.join('01'[int(v)] for v in row), 2):x}" for row in self.touched]
        frame = self.frame
        return {"epsg": frame.epsg, "west": frame.west, "north": frame.north, "side": SIDE, "rows": rows,
                "columns": self.touched.shape[1]}  # fmt: skip

    def windows(self, grid: GeoBox, block: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which blocks of ``grid`` (rows, columns of blocks) touch a cell that parcels touch."""
        a = grid.affine
        rows = _reach(grid.shape[0], block[0], -a.e, self.frame.north - a.f, self.touched.shape[0])
        cols = _reach(grid.shape[1], block[1], a.a, a.c - self.frame.west, self.touched.shape[1])
        out = np.zeros((len(rows), len(cols)), np.bool_)
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(cols):
                out[i, j] = self.touched[top:bottom, left:right].any()
        return out


def read_cells(plain: Mapping[str, Any]) -> Cells:
    """Return what :meth:`Cells.plain` wrote; ValueError, LookupError or TypeError if it is none."""
    wide = int(plain["columns"])
    if float(plain["side"]) != SIDE or not 0 < wide < 10_000 or len(plain["rows"]) > 10_000:
        raise ValueError("cells of another size")
    rows = [[int(c) for c in f"{int(row, 16):0{wide}b}"] for row in plain["rows"]]
    frame = Frame(epsg=int(plain["epsg"]), west=float(plain["west"]), north=float(plain["north"]),
                  wide=wide * SIDE, high=len(rows) * SIDE)  # fmt: skip
    return Cells(frame=frame, touched=np.asarray(rows, np.bool_).reshape(len(rows), wide))


def find_cells(parcels: gpd.GeoSeries, frame: Frame) -> Cells:
    """Return the cells of ``frame`` that touch parcels, or come so near that a cloud there may be grown over one."""
    rows, cols = frame.shape
    r, c = (axis.ravel() for axis in np.indices((rows, cols)))
    west, north = frame.west + c * SIDE, frame.north - r * SIDE
    tree = shapely.STRtree(shapely.box(west, north - SIDE, west + SIDE, north))
    outlines = shapely.buffer(parcels.to_crs(frame.epsg).to_numpy(), MARGIN, quad_segs=2)
    touched = np.zeros(rows * cols, np.bool_)
    touched[tree.query(outlines, predicate="intersects")[1]] = True
    return Cells(frame=frame, touched=touched.reshape(rows, cols))


def search_area(parcels: gpd.GeoSeries, step: float = 0.1) -> shapely.Geometry:
    """Return the area to ask a catalogue for [degrees]: squares that hold parcels, or their hull if those are many."""
    bounds = parcels.to_crs(4326).bounds.to_numpy()
    low, high = np.floor(bounds[:, :2] / step).astype(int), np.floor(bounds[:, 2:] / step).astype(int)
    corners = {
        (x, y)
        for (x0, y0), (x1, y1) in set(zip(map(tuple, low.tolist()), map(tuple, high.tolist()), strict=True))
        for x in range(x0, x1 + 1)
        for y in range(y0, y1 + 1)
    }
    xy = np.array(sorted(corners)) * step
    area = shapely.union_all(shapely.box(xy[:, 0], xy[:, 1], xy[:, 0] + step, xy[:, 1] + step))
    few = shapely.get_num_coordinates(area) <= 400
    return shapely.set_precision(area if few else shapely.convex_hull(area), 1e-6)


def _reach(count: int, block: int, pixel: float, start: float, cells: int) -> list[tuple[int, int]]:
    """Return for each block along an axis its first cell and the one past its last."""
    found = []
    for first in range(0, count, block):
        begin, end = start + first * pixel, start + min(first + block, count) * pixel
        found.append((max(math.floor(begin / SIDE), 0), max(min(math.ceil(end / SIDE), cells), 0)))
    return found
