"""Pixels of a grid that somebody wants, and where they lie in a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.errors import SourceError
from rs_forecast.kernels.gather import Pieces, cut, mark_outside

Lines = NDArray[np.int32]
"""For each row (or column) of a grid that of a file, -1 outside."""


class Pixels:
    """Pixels of ``grid`` as spans, in the order in which their values are wanted.

    How they lie in files of one layout is found once and kept, for the scenes to come.
    """

    def __init__(self, grid: GeoBox, spans: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.grid, self.spans, self.starts = grid, spans, starts
        self._known: dict[Hashable, Any] = {}
        self._lock, self._locks = threading.Lock(), dict[Hashable, threading.Lock]()

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """First row, row past the last, first column, column past the last."""
        row, col, size = self.spans.T
        return int(row.min()), int(row.max()) + 1, int(col.min()), int((col + size).max())

    def lines(self, band: GeoBox) -> tuple[Lines, Lines]:
        """Return rows and columns of ``band`` for those of the grid."""
        if self.grid.crs != band.crs:
            raise SourceError(f"bands of one scene lie in two CRSs, {self.grid.crs} and {band.crs}")
        rows, cols = self.grid.shape
        return self._once(("lines", _key(band)), lambda: (
            locate(self.grid.affine.f, self.grid.affine.e, rows, band.affine.f, band.affine.e, band.shape[0]),
            locate(self.grid.affine.c, self.grid.affine.a, cols, band.affine.c, band.affine.a, band.shape[1]),
        ))  # fmt: skip

    def pieces(self, band: GeoBox, block: tuple[int, int]) -> Pieces:
        """Return the pixels cut at the borders of blocks of ``band``."""
        lines = self.lines(band)
        across = -(-band.shape[1] // block[1])
        return self._once(("pieces", _key(band), block), lambda: cut(self.spans, self.starts, *lines, block, across))

    def inside(self, band: GeoBox) -> NDArray[np.bool_] | None:
        """Return which pixels ``band`` holds; None where it holds all."""
        row_of, col_of = self.lines(band)
        top, bottom, left, right = self.box
        if (row_of[top:bottom] >= 0).all() and (col_of[left:right] >= 0).all():
            return None

        def find() -> NDArray[np.bool_]:
            ok = np.ones(len(self), np.bool_)
            mark_outside(self.spans, self.starts, row_of, col_of, ok)
            return ok

        return self._once(("inside", _key(band)), find)

    def _once[Found](self, key: Hashable, make: Callable[[], Found]) -> Found:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = make()
            found: Found = self._known[key]
            return found


def pixels_at(grid: GeoBox, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Pixels:
    """Return pixels named one by one; neighbours that follow each other become a span."""
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1] + 1)
    at = np.flatnonzero(first)
    starts = np.append(at, len(rows))
    spans = np.column_stack([rows[at], cols[at], np.diff(starts)]).astype(np.int32)
    return Pixels(grid, spans, starts.astype(np.int64))


def locate(start: float, step: float, count: int, other_start: float, other_step: float, other_count: int) -> Lines:
    """Return for each of ``count`` lines the one of the other grid that holds its centre; -1 where none does.

    So a 10 m pixel takes the 20 m pixel that contains it; nothing is interpolated.
    """
    centre = start + (np.arange(count) + 0.5) * step
    line = np.floor((centre - other_start) / other_step)
    return np.where((line >= 0) & (line < other_count), line, -1).astype(np.int32)


def _key(band: GeoBox) -> Hashable:
    return (tuple(band.affine)[:6], tuple(band.shape))
