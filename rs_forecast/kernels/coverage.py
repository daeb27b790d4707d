"""Exact shares of pixels inside polygons.

The door, :func:`coverage_table`, knows polygons; the kernel knows only edges. It walks each edge through the pixels
that it crosses and adds up two numbers a pixel: the signed height that the edge climbs in it, and the signed area
between the edge and the pixel's right side. A running sum along the row then gives the covered share of every pixel,
exactly, at a cost that grows with the edges and the pixels of the polygon's own box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import shapely
from numpy.typing import NDArray

from rs_forecast.errors import SchemaError
from rs_forecast.kernels._jit import jit, parallel_jit

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox

_NOISE = 1e-11
"""Shares below this are rounding of coordinates of 1e6 m; no polygon drawn by hand is as thin."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoverageTable:
    """Pixels under parcels, sorted by parcel, then row, then column. All arrays have one entry a pixel and parcel."""

    parcel: NDArray[np.int32]
    """Row number of the parcel in the table it came from."""
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    weight: NDArray[np.float64]
    """Area of the pixel inside the polygon over the pixel's area, 0-1."""
    starts: NDArray[np.int64]
    """Entries of parcel ``p`` are ``starts[p]:starts[p + 1]``; a parcel off the grid has none."""
    area: NDArray[np.float64]
    """Area of each polygon in pixels, what lies off the grid included."""
    shape: tuple[int, int]
    """Rows and columns of the grid."""

    def __len__(self) -> int:
        return len(self.weight)


def coverage_table(parcels: gpd.GeoDataFrame | gpd.GeoSeries, geobox: GeoBox) -> CoverageTable:
    """Return which share of which pixel of ``geobox`` each parcel covers.

    Parameters
    ----------
    parcels
        Valid polygons or multipolygons, holes allowed, with a CRS. They are reprojected to the grid; pixels never are.
    geobox
        The grid, with a CRS.

    Raises
    ------
    SchemaError
        A CRS is missing, or a geometry is no valid polygon; the rows are named.
    """
    if parcels.crs is None or geobox.crs is None:
        raise SchemaError("coverage needs a CRS of the parcels and of the grid; read the parcels with read_parcels")
    _refuse_bad(parcels.geometry.to_numpy())
    geometry = parcels.geometry.to_crs(geobox.crs.to_wkt()).to_numpy()
    # what the grid's CRS cannot hold lies off the grid; it may not stop the rest
    geometry = np.where(np.isfinite(shapely.bounds(geometry)).all(axis=1), geometry, shapely.Polygon())
    edges, owner = _edges(geometry, geobox.affine)
    starts = np.searchsorted(owner, np.arange(len(geometry) + 1))
    rows, cols = geobox.shape
    boxes = _boxes(edges, starts, rows, cols)
    counts = np.zeros(len(geometry), np.int64)
    area = np.zeros(len(geometry))
    sizes = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    slots = np.concatenate([[0], np.cumsum(sizes)])
    cover = np.zeros(int(slots[-1]))
    _fill(edges, starts, boxes, slots, cover, counts, area)
    ends = np.concatenate([[0], np.cumsum(counts)])
    out_row, out_col = (np.empty(int(ends[-1]), np.int32) for _ in range(2))
    weight = np.empty(int(ends[-1]))
    _pack(boxes, slots, cover, ends, out_row, out_col, weight)
    return CoverageTable(
        parcel=np.repeat(np.arange(len(geometry), dtype=np.int32), counts),
        row=out_row,
        col=out_col,
        weight=weight,
        starts=ends,
        area=area,
        shape=(rows, cols),
    )


def _refuse_bad(geometry: NDArray[Any]) -> None:
    kind = shapely.get_type_id(geometry)
    bad = ~np.isin(kind, (3, 6)) | ~shapely.is_valid(geometry)
    if bad.any():
        first = np.flatnonzero(bad)[:5].tolist()
        raise SchemaError(f"{int(bad.sum())} geometries are no valid polygon, first rows {first}; use read_parcels")


def _edges(geometry: NDArray[Any], affine: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return edges (x0, y0, x1, y1) in pixels, outer rings one way round and holes the other, and their owners."""
    parts, part_owner = shapely.get_parts(shapely.force_2d(geometry), return_index=True)
    rings, ring_part = shapely.get_rings(shapely.orient_polygons(parts), return_index=True)
    points, point_ring = shapely.get_coordinates(rings, return_index=True)
    # a shift to the grid's corner first: the remaining digits are then all below the metre
    east, north, to_pixel = points[:, 0] - affine.c, points[:, 1] - affine.f, ~affine
    x, y = to_pixel.a * east + to_pixel.b * north, to_pixel.d * east + to_pixel.e * north
    inside = point_ring[1:] == point_ring[:-1]
    edges = np.column_stack([x[:-1], y[:-1], x[1:], y[1:]])[inside]
    owner = part_owner[ring_part[point_ring[:-1][inside]]]
    return np.ascontiguousarray(edges), owner


@jit
def _boxes(edges, starts, rows, cols):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Rows and columns (first, past the last) of each polygon's box, cut to the grid."""
    n = len(starts) - 1
    boxes = np.zeros((n, 4), np.int64)
    for p in range(n):
        if starts[p] == starts[p + 1]:
            continue
        x_low = y_low = np.inf
        x_high = y_high = -np.inf
        for e in range(starts[p], starts[p + 1]):
            x_low, x_high = min(x_low, edges[e, 0]), max(x_high, edges[e, 0])
            y_low, y_high = min(y_low, edges[e, 1]), max(y_high, edges[e, 1])
        boxes[p, 0] = min(max(int(np.floor(y_low)), 0), rows)
        boxes[p, 1] = max(min(int(np.floor(y_high)) + 1, rows), boxes[p, 0])
        boxes[p, 2] = min(max(int(np.floor(x_low)), 0), cols)
        boxes[p, 3] = max(min(int(np.floor(x_high)) + 1, cols), boxes[p, 2])
    return boxes


@parallel_jit
def _fill(edges, starts, boxes, slots, cover, counts, area):  # type: ignore[no-untyped-def]  # pragma: no cover
    for p in numba.prange(len(starts) - 1):
        total = 0.0
        x_base, y_base = boxes[p, 2], boxes[p, 0]
        for e in range(starts[p], starts[p + 1]):
            x0, y0 = edges[e, 0] - x_base, edges[e, 1] - y_base
            x1, y1 = edges[e, 2] - x_base, edges[e, 3] - y_base
            total += (x0 - x1) * (y0 + y1)
        area[p] = abs(total) / 2.0
        height, width = boxes[p, 1] - boxes[p, 0], boxes[p, 3] - boxes[p, 2]
        if height == 0 or width == 0:
            continue
        cells = cover[slots[p] : slots[p + 1]].reshape((height, width))
        climb = np.zeros((height, width))
        for e in range(starts[p], starts[p + 1]):
            _trace(edges[e, 0] - x_base, edges[e, 1] - y_base, edges[e, 2] - x_base, edges[e, 3] - y_base, cells, climb)
        sign = 1.0 if total < 0 else -1.0  # down the left side and up the right counts as inside
        found = 0
        for r in range(height):
            run = 0.0
            for c in range(width):
                share = sign * (cells[r, c] + run)
                run += climb[r, c]
                cells[r, c] = min(share, 1.0) if share > _NOISE else 0.0
                found += cells[r, c] > 0.0
        counts[p] = found


@jit
def _trace(x0, y0, x1, y1, cells, climb):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Add one edge: walk it row by row, and in a row pixel by pixel. Left of the box counts as its first column."""
    if y0 == y1:
        return
    height = cells.shape[0]
    slope = (x1 - x0) / (y1 - y0)
    sense = 1.0 if y1 > y0 else -1.0
    top, bottom = max(min(y0, y1), 0.0), min(max(y0, y1), float(height))
    if top >= bottom:
        return
    for r in range(int(top), min(int(np.ceil(bottom)), height)):
        y_in, y_out = max(top, float(r)), min(bottom, r + 1.0)
        x_in, x_out = x0 + (y_in - y0) * slope, x0 + (y_out - y0) * slope
        low, high = min(x_in, x_out), max(x_in, x_out)
        drop = sense * (y_out - y_in)
        first = int(np.floor(low))
        if high <= first + 1 or high - low < 1e-14:
            _add(cells, climb, r, first, drop, (low + high) / 2.0 - first)
            continue
        steep = drop / (high - low)
        for c in range(first, int(np.ceil(high))):
            left, right = max(low, float(c)), min(high, c + 1.0)
            _add(cells, climb, r, c, steep * (right - left), (left + right) / 2.0 - c)


@jit
def _add(cells, climb, r, c, drop, x_mean):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Put one piece of an edge into its pixel: what lies right of it there, and all of the pixels that follow."""
    width = cells.shape[1]
    if c >= width:
        return
    if c < 0:
        cells[r, 0] += drop
        climb[r, 0] += drop
        return
    cells[r, c] += drop * (1.0 - x_mean)
    climb[r, c] += drop


@jit
def _pack(boxes, slots, cover, ends, row, col, weight):  # type: ignore[no-untyped-def]  # pragma: no cover
    for p in range(len(boxes)):
        width = boxes[p, 3] - boxes[p, 2]
        k = ends[p]
        for s in range(slots[p], slots[p + 1]):
            if cover[s] > 0.0:
                row[k] = boxes[p, 0] + (s - slots[p]) // width
                col[k] = boxes[p, 2] + (s - slots[p]) % width
                weight[k] = cover[s]
                k += 1
