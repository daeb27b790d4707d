"""Exact shares of pixels inside polygons.

The door, :func:`coverage_table`, knows polygons; the kernel knows only rings of points. It walks each edge through the
pixels that it crosses and adds up two numbers a pixel: the signed height that the edge climbs in it, and the signed
area between the edge and the pixel's right side. A running sum along the row then gives the covered share of every
pixel, exactly, at a cost that grows with the edges and the pixels of the polygon's own box.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from rs_forecast.errors import SchemaError
from rs_forecast.kernels._jit import jit, share_out
from rs_forecast.kernels.rings import Rings

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox

_NOISE = 1e-11
"""Shares below this are rounding of coordinates of 1e6 m; no polygon drawn by hand is as thin."""
_CELLS = 1 << 18
"""Pixels of boxes worked on at once: their scratch then stays in the second-level cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoverageTable:
    """Pixels under parcels, sorted by parcel, then row, then column.

    Kept as spans, runs of neighbouring pixels in one row: a tenth of the numbers that a row and a column a pixel take.
    ``parcel``, ``row`` and ``col`` have one entry a pixel and parcel, like ``weight``, and are laid out at first use.
    """

    weight: NDArray[np.float64] | NDArray[np.float32]
    """Area of the pixel inside the polygon over the pixel's area, 0-1."""
    starts: NDArray[np.int64]
    """Entries of parcel ``p`` are ``starts[p]:starts[p + 1]``; a parcel off the grid has none."""
    area: NDArray[np.float64]
    """Area of each polygon in pixels, what lies off the grid included."""
    spans: NDArray[np.int32]
    """(span, 3): row, first column, and number of pixels of each span, in the order of the entries."""
    shape: tuple[int, int]
    """Rows and columns of the grid."""

    def __len__(self) -> int:
        return len(self.weight)

    @cached_property
    def span_starts(self) -> NDArray[np.int64]:
        """Entries of span ``s`` are ``span_starts[s]:span_starts[s + 1]``."""
        return _cumulated(self.spans[:, 2])

    @cached_property
    def parcel(self) -> NDArray[np.int32]:
        """Row number of the parcel in the table it came from."""
        return np.repeat(np.arange(len(self.area), dtype=np.int32), np.diff(self.starts))

    @cached_property
    def row(self) -> NDArray[np.int32]:
        """Row of each pixel on the grid."""
        return np.repeat(self.spans[:, 0], self.spans[:, 2])

    @cached_property
    def col(self) -> NDArray[np.int32]:
        """Column of each pixel on the grid."""
        first = self.spans[:, 1] - self.span_starts[:-1]
        return (np.repeat(first, self.spans[:, 2]) + np.arange(len(self))).astype(np.int32)


def rings_of(geometry: NDArray[Any]) -> Rings:
    """Return polygons and multipolygons as rings; a third dimension is left out."""
    points, owner = shapely.get_coordinates(geometry, return_index=True)
    size = np.bincount(owner, minlength=len(geometry))
    ring_owner = np.arange(len(geometry))
    hole = np.zeros(len(geometry), bool)
    many = _has_many_rings(geometry)
    if many.any():
        at = np.flatnonzero(many)
        parts, part_owner = shapely.get_parts(geometry[at], return_index=True)
        rings, ring_part = shapely.get_rings(parts, return_index=True)
        inner = np.zeros(len(rings), bool)
        inner[1:] = ring_part[1:] == ring_part[:-1]
        ring_owner = np.concatenate([ring_owner[~many], at[part_owner[ring_part]]])
        order = np.argsort(ring_owner, kind="stable")
        size = np.concatenate([size[~many], shapely.get_num_points(rings)])[order]
        hole = np.concatenate([hole[~many], inner])[order]
        ring_owner = ring_owner[order]
    return Rings(
        points=points,
        ring_starts=_cumulated(size),
        hole=hole,
        starts=_cumulated(np.bincount(ring_owner, minlength=len(geometry))),
    )


def coverage_table(
    parcels: gpd.GeoDataFrame | gpd.GeoSeries, geobox: GeoBox, *, threads: int | None = None
) -> CoverageTable:
    """Return which share of which pixel of ``geobox`` each parcel covers.

    Parameters
    ----------
    parcels
        Valid polygons or multipolygons, holes allowed, with a CRS. They are reprojected to the grid; pixels never are.
    geobox
        The grid, with a CRS.
    threads
        By default one a core. The table does not depend on it.

    Raises
    ------
    SchemaError
        A CRS is missing, or a geometry is no valid polygon; the rows are named.
    """
    if parcels.crs is None or geobox.crs is None:
        raise SchemaError("coverage needs a CRS of the parcels and of the grid; read the parcels with read_parcels")
    geometry = parcels.geometry.to_numpy()
    _refuse_bad(geometry)
    return cover(place(rings_of(geometry), parcels.crs, geobox), threads=threads)


def are_polygons(geometry: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which geometries are valid polygons or multipolygons.

    On one thread: the check silences warnings for the whole process while it runs, and two at once could leave them
    silenced for good.
    """
    return np.asarray(np.isin(shapely.get_type_id(geometry), (3, 6)) & shapely.is_valid(geometry))


def _refuse_bad(geometry: NDArray[Any]) -> None:
    bad = ~are_polygons(geometry)
    if bad.any():
        first = np.flatnonzero(bad)[:5].tolist()
        raise SchemaError(f"{int(bad.sum())} geometries are no valid polygon, first rows {first}; use read_parcels")


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Polygons on a grid."""

    points: NDArray[np.float64]
    """(point, 2): column and row, in pixels from the grid's corner."""
    rings: Rings
    """Which of the points are a ring, and which rings a polygon."""
    boxes: NDArray[np.int64]
    """(polygon, 4): first row, row past the last, first column, column past the last; cut to the grid."""
    shape: tuple[int, int]

    @property
    def cells(self) -> NDArray[np.int64]:
        """Pixels in each polygon's box."""
        return _box_cells(self.boxes)


def place(rings: Rings, crs: Any, geobox: GeoBox) -> Placed:
    """Return polygons in ``crs`` on a grid."""
    points = _to_pixels(_reproject(rings.points, crs, geobox.crs), geobox.affine)
    rows, cols = geobox.shape
    boxes = _boxes(points, rings.ring_starts, rings.starts, rows, cols)
    return Placed(points=points, rings=rings, boxes=boxes, shape=(rows, cols))


def cover(
    placed: Placed,
    chosen: NDArray[np.int64] | None = None,
    *,
    boxes: NDArray[np.int64] | None = None,
    dtype: type[np.float32 | np.float64] = np.float64,
    threads: int | None = None,
) -> CoverageTable:
    """Return the coverage of valid polygons, or of some of them in the order given; they are not checked here.

    ``boxes`` are those of the polygons chosen, cut to a part of the grid: only pixels in them are looked at. ``dtype``
    is that of the weights: float32 tells a ten-millionth of a pixel, in half the memory.
    """
    order = np.arange(len(placed.boxes)) if chosen is None else chosen
    boxes = placed.boxes[order] if boxes is None else boxes
    cells = _cumulated(_box_cells(boxes))
    cuts = np.searchsorted(cells, np.arange(0, cells[-1] + _CELLS, _CELLS))
    cuts = np.unique(np.clip(np.append(cuts, [0, len(order)]), 0, len(order)))
    rings = placed.rings
    arrays = (placed.points, rings.ring_starts, rings.hole, rings.starts)
    # each part writes where there would be room for whole boxes; what it leaves empty is closed up afterwards
    weight = np.empty(cells[-1], dtype)
    counts, area = np.zeros(len(order), np.int64), np.zeros(len(order))

    def part(ends: tuple[int, int]) -> NDArray[np.int32]:
        first, last = ends
        own, room = slice(first, last), slice(cells[first], cells[last])
        spans: NDArray[np.int32] = _cover(*arrays, boxes[own], order[own], weight[room], counts[own], area[own])
        return spans

    spans = share_out(part, itertools.pairwise(cuts.tolist()), threads)
    starts = _cumulated(counts)
    _close_up(weight, cells[cuts[:-1]], np.diff(starts[cuts]))
    weight.resize(starts[-1], refcheck=False)
    return CoverageTable(
        weight=weight,
        starts=starts,
        area=area,
        spans=np.concatenate([np.zeros((0, 3), np.int32), *spans]),
        shape=placed.shape,
    )


def _box_cells(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray((boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]))


def _has_many_rings(geometry: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each geometry has holes or several parts; a multipolygon of one part counts as that part."""
    several = shapely.get_num_geometries(geometry) > 1
    first = geometry.copy()
    multi = shapely.get_type_id(geometry) == 6
    first[multi] = shapely.get_geometry(geometry[multi], 0)
    return np.asarray(several | (shapely.get_num_interior_rings(first) > 0))


def _reproject(points: NDArray[np.float64], source: Any, target: Any) -> NDArray[np.float64]:
    """Return points in the grid's CRS; what that cannot hold becomes inf."""
    here, there = pyproj.CRS.from_user_input(source), pyproj.CRS.from_user_input(str(target))
    if here == there:
        return points
    transformer = pyproj.Transformer.from_crs(here, there, always_xy=True)
    return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))


def _to_pixels(points: NDArray[np.float64], affine: Any) -> NDArray[np.float64]:
    # a shift to the grid's corner first: the remaining digits are then all below the metre
    east, north, to_pixel = points[:, 0] - affine.c, points[:, 1] - affine.f, ~affine
    out = np.empty_like(points)
    out[:, 0] = to_pixel.a * east + to_pixel.b * north
    out[:, 1] = to_pixel.d * east + to_pixel.e * north
    return out


def _cumulated(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each of consecutive parts starts, and where the last one ends."""
    out = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=out[1:])
    return out


@jit
def _boxes(points, ring_starts, starts, rows, cols):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Rows and columns (first, past the last) of each polygon's box, cut to the grid."""
    n = len(starts) - 1
    boxes = np.zeros((n, 4), np.int64)
    for p in range(n):
        x_low = y_low = np.inf
        x_high = y_high = -np.inf
        for k in range(ring_starts[starts[p]], ring_starts[starts[p + 1]]):
            x_low, x_high = min(x_low, points[k, 0]), max(x_high, points[k, 0])
            y_low, y_high = min(y_low, points[k, 1]), max(y_high, points[k, 1])
        # what the grid's CRS cannot hold lies off the grid, and so does a polygon without points
        if not (np.isfinite(x_low) and np.isfinite(x_high) and np.isfinite(y_low) and np.isfinite(y_high)):
            continue
        boxes[p, 0] = int(min(max(np.floor(y_low), 0.0), rows))
        boxes[p, 1] = max(int(min(max(np.floor(y_high) + 1, 0.0), rows)), boxes[p, 0])
        boxes[p, 2] = int(min(max(np.floor(x_low), 0.0), cols))
        boxes[p, 3] = max(int(min(max(np.floor(x_high) + 1, 0.0), cols)), boxes[p, 2])
    return boxes


@jit
def _cover(points, ring_starts, hole, starts, boxes, order, weight, counts, area):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill weights of some polygons, entries a polygon, and their areas; returns their spans."""
    spans = np.empty((len(weight), 3), np.int32)
    cells = np.empty(_CELLS)
    climb = np.empty(_CELLS)
    n = n_spans = 0
    for i in range(len(order)):
        p = order[i]
        height, width = boxes[i, 1] - boxes[i, 0], boxes[i, 3] - boxes[i, 2]
        area[i] = _area(points, ring_starts, hole, starts[p], starts[p + 1])
        if height == 0 or width == 0:
            continue
        if width > len(cells):
            cells, climb = np.empty(width), np.empty(width)
        deep = min(len(cells) // width, height)  # rows at once: the scratch of a whole province would not fit
        before = n
        left = float(boxes[i, 2])
        for top in range(boxes[i, 0], boxes[i, 1], deep):
            rows = min(deep, boxes[i, 1] - top)
            cells[: rows * width] = 0.0
            climb[: rows * width] = 0.0
            for r in range(starts[p], starts[p + 1]):
                sign = _sign(points, ring_starts[r], ring_starts[r + 1], hole[r])
                for k in range(ring_starts[r], ring_starts[r + 1] - 1):
                    x0, y0 = points[k, 0] - left, points[k, 1] - top
                    x1, y1 = points[k + 1, 0] - left, points[k + 1, 1] - top
                    _trace(x0, y0, x1, y1, sign, cells, climb, rows, width)
            n, n_spans = _pack(cells, climb, rows, width, top, boxes[i, 2], weight, spans, n, n_spans)
        counts[i] = n - before
    return spans[:n_spans].copy()


@jit
def _close_up(values, starts, sizes):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Move runs of values together, in place."""
    end = 0
    for k in range(len(starts)):
        if starts[k] != end:
            for i in range(sizes[k]):
                values[end + i] = values[starts[k] + i]
        end += sizes[k]


@jit
def _twice_area(points, begin, end):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Twice the signed area of a ring, taken from its first point on so that no digits are lost."""
    total = 0.0
    for k in range(begin, end - 1):
        x0, y0 = points[k, 0] - points[begin, 0], points[k, 1] - points[begin, 1]
        x1, y1 = points[k + 1, 0] - points[begin, 0], points[k + 1, 1] - points[begin, 1]
        total += (x0 - x1) * (y0 + y1)
    return total


@jit
def _area(points, ring_starts, hole, first, last):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    total = 0.0
    for r in range(first, last):
        size = abs(_twice_area(points, ring_starts[r], ring_starts[r + 1])) / 2.0
        total += -size if hole[r] else size
    return total


@jit
def _sign(points, begin, end, hole):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Down the left side and up the right counts as inside; a hole takes away, whichever way round it is drawn."""
    falls = _twice_area(points, begin, end) < 0
    return 1.0 if falls != hole else -1.0


@jit
def _trace(x0, y0, x1, y1, sign, cells, climb, rows, width):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add one edge: walk it row by row, and in a row pixel by pixel.

    Left of the box counts as its first column; right of it, nothing does. One function over flat arrays: calls that
    hand arrays on made it three times slower.
    """
    high, low = max(min(y0, y1), 0.0), min(max(y0, y1), float(rows))
    if high >= low:
        return
    slope = (x1 - x0) / (y1 - y0)
    sense = sign if y1 > y0 else -sign
    y_in, x_in = high, x0 + (high - y0) * slope
    for r in range(int(high), rows):
        if y_in >= low:
            break
        y_out = min(low, r + 1.0)
        x_out = x0 + (y_out - y0) * slope
        drop = sense * (y_out - y_in)
        begin, end = min(x_in, x_out), max(x_in, x_out)
        base = r * width
        if end <= 0.0:
            cells[base] += drop
            climb[base] += drop
        elif end - begin < 1e-14 or (begin >= 0.0 and end <= int(begin) + 1):
            c = int(max(begin, 0.0))
            if c < width:
                cells[base + c] += drop * (1.0 - ((begin + end) / 2.0 - c))
                climb[base + c] += drop
        else:
            steep = drop / (end - begin)
            if begin < 0.0:
                cells[base] -= steep * begin
                climb[base] -= steep * begin
                begin = 0.0
            for c in range(int(begin), width):
                stop = min(end, c + 1.0)
                piece = steep * (stop - begin)
                cells[base + c] += piece * (1.0 - ((begin + stop) / 2.0 - c))
                climb[base + c] += piece
                if stop >= end:
                    break
                begin = stop
        y_in, x_in = y_out, x_out


@jit
def _pack(cells, climb, rows, width, top, left, weight, spans, n, n_spans):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Turn the sums of some rows into shares, and these into spans; returns the new ends."""
    for r in range(rows):
        run = 0.0
        length = 0
        for c in range(width):
            share = cells[r * width + c] + run
            run += climb[r * width + c]
            if share > _NOISE:
                weight[n] = min(share, 1.0)
                n += 1
                length += 1
            elif length:
                spans[n_spans, 0], spans[n_spans, 1], spans[n_spans, 2] = top + r, left + c - length, length
                n_spans += 1
                length = 0
        if length:
            spans[n_spans, 0], spans[n_spans, 1], spans[n_spans, 2] = top + r, left + width - length, length
            n_spans += 1
    return n, n_spans
