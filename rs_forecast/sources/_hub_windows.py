"""Which pixels to ask for: rectangles of the Sentinel-2 grid that hold parcels, by tile."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rs_forecast.errors import NoDataError
from rs_forecast.sources.order import MARGIN

CELL = 1920
"""Side of the squares that windows are made of [m]: 192 pixels of 10 m, 96 of 20 m and 32 of 60 m, which are the blocks
of the files, so that each block is of one window, and is written once."""
MOST = 25_000 // CELL
"""Cells along a window's side: a request brings 2500 pixels a side at most."""
_WORTH = 7
"""Cells that a cut must save: those of 512 x 512 pixels. Services allow as many requests a minute as units."""

_SQUARE = 100_000
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_LATITUDES = "CDEFGHJKLMNPQRSTUVWX"

Bounds = tuple[int, int, int, int]
"""Left, bottom, right, top [m]."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What is asked for of one tile: of the 100 km square that gives it its name."""

    tile: str
    epsg: int
    windows: tuple[Bounds, ...]
    """They do not overlap; edges at multiples of :data:`CELL`."""

    @property
    def bounds(self) -> Bounds:
        """The rectangle around all windows."""
        left, bottom, right, top = zip(*self.windows, strict=True)
        return min(left), min(bottom), max(right), max(top)

    def in_degrees(self) -> shapely.Geometry:
        """Return the windows as one geometry in longitude and latitude."""
        boxes = gpd.GeoSeries([shapely.box(*window) for window in self.windows], crs=self.epsg)
        return boxes.to_crs(4326).union_all()


def footprints(parcels: gpd.GeoDataFrame) -> list[Footprint]:
    """Return the windows that hold parcels, by tile; each parcel is whole in one tile.

    Parameters
    ----------
    parcels
        Polygons with a CRS.

    Raises
    ------
    NoDataError
        There is no parcel.
    """
    shapes = parcels.geometry[~(parcels.geometry.is_empty | parcels.geometry.isna())]
    if shapes.empty:
        raise NoDataError("there is no parcel to fetch imagery for")
    degrees = shapes.to_crs(4326).bounds.to_numpy()
    longitude, latitude = (degrees[:, :2] + degrees[:, 2:]).T / 2
    zones = np.clip(np.floor((longitude + 180) / 6).astype(int) + 1, 1, 60)
    codes = np.where(latitude >= 0, 32600, 32700) + zones
    return [part for code in np.unique(codes) for part in _in_zone(shapes[codes == code], int(code))]


def tile_name(epsg: int, x: float, y: float) -> str:
    """Return the name of the tile whose 100 km square holds a point of a UTM zone, such as ``48PWS``."""
    zone = epsg % 100
    column, row = int(x // _SQUARE), int(y // _SQUARE)
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    _, latitude = to_degrees.transform((column + 0.5) * _SQUARE, (row + 0.5) * _SQUARE)
    band = _LATITUDES[min(max(int((latitude + 80) // 8), 0), len(_LATITUDES) - 1)]
    first = 5 if zone % 2 == 0 else 0
    return f"{zone:02d}{band}{_COLUMNS[(zone - 1) % 3][(column - 1) % 8]}{_ROWS[(row + first) % len(_ROWS)]}"


def _in_zone(shapes: gpd.GeoSeries, epsg: int) -> list[Footprint]:
    boxes = shapes.to_crs(epsg).bounds.to_numpy()
    squares = np.floor((boxes[:, :2] + boxes[:, 2:]) / 2 / _SQUARE).astype(int)
    found = []
    for column, row in np.unique(squares, axis=0).tolist():
        here = boxes[(squares == (column, row)).all(axis=1)]
        tile = tile_name(epsg, (column + 0.5) * _SQUARE, (row + 0.5) * _SQUARE)
        found.append(Footprint(tile=tile, epsg=epsg, windows=_windows(here)))
    return found


def _windows(boxes: NDArray[np.float64]) -> tuple[Bounds, ...]:
    first = np.floor((boxes[:, :2] - MARGIN) / CELL).astype(int)
    last = np.floor((boxes[:, 2:] + MARGIN) / CELL).astype(int)
    west, south = first.min(axis=0)
    east, north = last.max(axis=0)
    taken = np.zeros((north - south + 1, east - west + 1), bool)  # row 0 is the southernmost
    for left, bottom, right, top in np.unique(np.hstack([first, last]), axis=0).tolist():
        taken[bottom - south : top - south + 1, left - west : right - west + 1] = True
    return tuple(
        (int(west + left) * CELL, int(south + low) * CELL, int(west + right) * CELL, int(south + high) * CELL)
        for low, left, high, right in sorted(rectangles(taken))
    )


def rectangles(taken: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return rectangles (first row, first column, end row, end column) that hold all taken cells and do not overlap.

    They are cut where it saves most, as long as that is worth a request.
    """
    rows, columns = np.flatnonzero(taken.any(axis=1)), np.flatnonzero(taken.any(axis=0))
    top, left, end_row, end_column = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    inner = taken[top:end_row, left:end_column]
    cut = _best_cut(inner)
    if cut is None:
        return [(int(top), int(left), int(end_row), int(end_column))]
    axis, at = cut
    halves = (inner[:at], inner[at:]) if axis == 0 else (inner[:, :at], inner[:, at:])
    found = []
    for half, down, across in zip(halves, (0, at * (1 - axis)), (0, at * axis), strict=True):
        found += [
            (int(a + top + down), int(b + left + across), int(c + top + down), int(d + left + across))
            for a, b, c, d in rectangles(half)
        ]
    return found


def _best_cut(taken: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return the axis and the place of the cut that saves most cells; None if none is due or worth it."""
    too_long = [size > MOST for size in taken.shape]
    best, choice = (_WORTH, -np.inf), None
    if any(too_long):
        best = (-1, -np.inf)
    for axis, size in enumerate(taken.shape):
        if any(too_long) and not too_long[axis]:
            continue
        for at in range(1, size):
            parts = np.split(taken, [at], axis=axis)
            saved = taken.size - sum(_area(part) for part in parts)
            rank = (saved, -abs(at - MOST))
            if saved >= best[0] and rank > best:
                best, choice = rank, (axis, at)
    return choice


def _area(taken: NDArray[np.bool_]) -> int:
    rows, columns = np.flatnonzero(taken.any(axis=1)), np.flatnonzero(taken.any(axis=0))
    return int((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)) if len(rows) else 0
