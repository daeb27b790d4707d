"""Parcels on the grids of images: which pixels each one covers, found once for a grid and kept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast import schema
from rs_forecast.kernels.coverage import CoverageTable, Placed, are_polygons, cover, place, rings_of
from rs_forecast.sources._pixels import Pixels

MOST_CELLS = 24_000_000
"""Pixels in the boxes of the parcels that are worked on together: some 20 bytes each and band."""
_BLOCK = 1024
"""Parcels are taken square by square of this many pixels, as images are stored: what one block of an image gives then
lies close together."""
_KEPT = 8
"""Coverages kept in a folder; the one used longest ago goes first."""
_VERSION = 1
"""Of what is kept: a number more whenever the same parcels on the same grid would give other numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Parcels that are worked on together, on one grid."""

    rows: NDArray[np.int64]
    """Row numbers in the table of parcels."""
    table: CoverageTable
    pixels: Pixels


class Ground:
    """Parcels, checked once; their coverage of a grid is computed by the first that asks for it.

    Parameters
    ----------
    parcels
        Polygons of :func:`rs_forecast.read_parcels`.
    keep
        A folder in which coverages are kept from one process to the next, under a hash of all outlines and of the grid.
    threads
        By default one a core.

    Raises
    ------
    SchemaError
        A parcel has no id or no valid polygon, or there is no CRS.
    """

    def __init__(self, parcels: gpd.GeoDataFrame, *, keep: Path | None = None, threads: int | None = None) -> None:
        schema.check_parcels(parcels, outlines=False)
        geometry = parcels.geometry.to_numpy()
        if not (are_polygons(geometry) & ~shapely.is_empty(geometry)).all():
            schema.check_parcels(parcels)  # raises, and names them
        self.ids = parcels[schema.PARCEL].array
        self._crs = parcels.crs
        self._rings = rings_of(geometry)
        self._threads = threads
        self._keep = keep
        self._grids: dict[Any, Sequence[Group]] = {}
        self._lock = threading.Lock()
        self.hashes = pd.array(self._rings.hashes(parcels.crs.to_wkt(), threads), dtype="str")
        self.covered = np.zeros(len(parcels), bool)
        """Which parcels have a pixel on any grid so far."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: the parcels, and nothing that was found for a grid."""
        return self.__dict__ | {"_grids": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def groups(self, grid: GeoBox) -> Sequence[Group]:
        """Return the parcels that touch ``grid``, in groups that bound the memory, with their pixels."""
        key = (str(grid.crs), tuple(grid.affine)[:6], tuple(grid.shape))
        with self._lock:
            if key not in self._grids:
                self._grids[key] = [
                    Group(rows=rows, table=table, pixels=Pixels(grid, table.spans, table.span_starts))
                    for rows, table in self._coverage(grid, str(key))
                ]
                for group in self._grids[key]:
                    self.covered[group.rows] |= np.diff(group.table.starts) > 0
            return self._grids[key]

    def _coverage(self, grid: GeoBox, key: str) -> list[tuple[NDArray[np.int64], CoverageTable]]:
        if self._keep is None:
            return self._compute(grid)
        parts = (f"{_VERSION}", self._crs.to_wkt(), key, self._rings.digest())
        file = self._keep / f"{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:32]}.coverage"
        found = _load(file, (grid.shape[0], grid.shape[1]))
        if found is None:
            found = self._compute(grid)
            _save(file, found)
        return found

    def _compute(self, grid: GeoBox) -> list[tuple[NDArray[np.int64], CoverageTable]]:
        placed = place(self._rings, self._crs, grid)
        return [(rows, cover(placed, rows, dtype=np.float32, threads=self._threads)) for rows in _grouped(placed)]


def geometry_hashes(parcels: gpd.GeoDataFrame) -> list[str]:
    """Return sixteen hex digits per parcel that change when its outline, or its CRS, does."""
    return rings_of(parcels.geometry.to_numpy()).hashes(parcels.crs.to_wkt())


def geometry_hash_numbers(parcels: gpd.GeoDataFrame) -> NDArray[np.uint64]:
    """Return what :func:`geometry_hashes` writes as hex digits."""
    return rings_of(parcels.geometry.to_numpy()).hash_numbers(parcels.crs.to_wkt())


def hash_texts(numbers: NDArray[np.uint64]) -> pd.Index:
    """Return sixteen hex digits each, made without a Python object for every one."""
    digits = numbers.astype(">u8").tobytes().hex().encode()
    ends = 16 * np.arange(len(numbers) + 1)
    texts = pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(digits))
    found: pd.Index = pd.Index(pd.array(texts, dtype="str"))
    return found


def _grouped(placed: Placed) -> list[NDArray[np.int64]]:
    """Return row numbers of the polygons on the grid, in groups, neighbours beside each other."""
    cells = placed.cells
    rows = np.flatnonzero(cells)
    corner = placed.boxes[rows][:, [0, 2]] // _BLOCK
    rows = rows[np.lexsort((corner[:, 1], corner[:, 0]))]
    number = np.maximum(np.cumsum(cells[rows]) - 1, 0) // MOST_CELLS
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _save(file: Path, groups: list[tuple[NDArray[np.int64], CoverageTable]]) -> None:
    """Keep a coverage, whole or not at all; what cannot be kept is computed again another day."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.new-", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                np.save(out, np.array(len(groups)), allow_pickle=False)
                for rows, table in groups:
                    for part in (rows, table.weight, table.starts, table.area, table.spans):
                        np.save(out, part, allow_pickle=False)
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
        kept = sorted(file.parent.glob("*.coverage"), key=lambda item: item.stat().st_mtime_ns)
        for old in kept[:-_KEPT]:
            old.unlink(missing_ok=True)


def _load(file: Path, shape: tuple[int, int]) -> list[tuple[NDArray[np.int64], CoverageTable]] | None:
    """Return a coverage that was kept; None where there is none, or one that is damaged."""
    try:
        with file.open("rb") as source:
            groups = [_load_group(source, shape) for _ in range(int(np.load(source, allow_pickle=False)))]
            if source.read(1):
                return None
        os.utime(file)
    except (OSError, ValueError, EOFError):
        return None
    return groups


def _load_group(source: Any, shape: tuple[int, int]) -> tuple[NDArray[np.int64], CoverageTable]:
    rows, weight, starts, area, spans = (np.load(source, allow_pickle=False) for _ in range(5))
    return rows, CoverageTable(weight=weight, starts=starts, area=area, spans=spans, shape=shape)
