"""Parcels as the store knows them: by outline, each once, in the order of their ids."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast import schema
from rs_forecast.errors import SchemaError
from rs_forecast.ground import geometry_hash_numbers, hash_texts
from rs_forecast.store.parts import Part

Rows = NDArray[np.int64]


class Parcels:
    """The parcels of one call, sorted by id. An *outline* is a distinct geometry, numbered from 0."""

    def __init__(self, parcels: gpd.GeoDataFrame) -> None:
        if schema.PARCEL not in parcels.columns or parcels.crs is None:
            schema.check_parcels(parcels)  # raises, and says what is wrong
        ids = pd.Index(parcels[schema.PARCEL])
        order = np.arange(len(ids)) if ids.is_monotonic_increasing else np.asarray(ids.argsort())
        self.ids = ids if ids.is_monotonic_increasing else ids[order]
        if self.ids.hasnans or not self.ids.is_unique:
            raise SchemaError("two parcels have one id, or one has none; read them with read_parcels")
        self._parcels, self._order = parcels, order
        codes, self._numbers = pd.factorize(geometry_hash_numbers(parcels)[order])
        self.hashes = hash_texts(self._numbers)
        self.hash_of = codes.astype(np.int32)
        self.outline_of, self.outlines = self._told_apart()
        self._members = np.argsort(self.outline_of, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(self.outline_of[self._members], np.arange(len(self.outlines) + 1))
        self._inside: dict[str, NDArray[np.bool_]] = {}
        self._lists: dict[str, tuple[Rows, NDArray[np.int32]]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def firsts(self) -> NDArray[np.int32]:
        """The first parcel of each outline."""
        return self._members[self._starts[:-1]]

    def frame(self, outlines: NDArray[np.intp]) -> gpd.GeoDataFrame:
        """Return id and geometry of the first parcel of each of ``outlines``."""
        return self._parcels[[schema.PARCEL, self._parcels.geometry.name]].iloc[self._order[self.firsts[outlines]]]

    def inside(self, grid: GeoBox) -> NDArray[np.bool_]:
        """Return which outlines may touch ``grid``; a few beyond its edge may be among them, none is missed."""
        key = f"{grid.crs} {tuple(grid.affine)} {grid.shape}"
        if key not in self._inside:
            footprint = _footprint(grid, self._parcels.crs)
            shapes = self._shapes(self.firsts)
            found = np.ones(len(shapes), bool) if footprint is None else shapely.intersects(footprint, shapes)
            self._inside[key] = np.asarray(found)
        return self._inside[key]

    def rows_in(self, part: Part) -> tuple[Rows, NDArray[np.int32]]:
        """Return pairs (row of ``part``, parcel) wherever a parcel has the outline of the row.

        The list of a part is read once for all parts with the same; DamagedPartError if it cannot be.
        """
        if part.head.parcels not in self._lists:
            at = self._lookup(part.outlines())
            row = np.flatnonzero(at >= 0)
            at = at[row]
            count = self._starts[at + 1] - self._starts[at]
            ends = np.cumsum(count)
            member = np.repeat(self._starts[at] - (ends - count), count) + np.arange(count.sum())
            self._lists[part.head.parcels] = np.repeat(row, count), self._members[member]
        return self._lists[part.head.parcels]

    def _lookup(self, names: list[str]) -> Rows:
        """Return the number of each named outline, -1 for none; as whole numbers where the names are plain hashes."""
        asked = _hash_numbers(names) if self.outlines is self.hashes else None
        if asked is None:
            return np.asarray(self.outlines.get_indexer(pd.Index(names, dtype="str")))
        return np.asarray(self._by_number.get_indexer(pd.Index(asked)))

    @cached_property
    def _by_number(self) -> pd.Index:
        return pd.Index(self._numbers)

    def _told_apart(self) -> tuple[NDArray[np.int32], pd.Index]:
        """Return the number of each parcel's outline, and what tells outlines apart.

        That is the geometry's hash; should two unlike geometries share one, their ids are added to it.
        """
        shared = np.bincount(self.hash_of) > 1
        if not shared.any():
            return self.hash_of, self.hashes
        again = np.flatnonzero(shared[self.hash_of])
        wkb = shapely.to_wkb(shapely.normalize(self._shapes(again)), byte_order=1)
        unlike = pd.Series(wkb, dtype=object).groupby(self.hash_of[again]).transform("nunique") > 1
        if not unlike.any():
            return self.hash_of, self.hashes
        names = self.hashes.to_numpy(object)[self.hash_of]
        at = again[unlike.to_numpy()]
        names[at] = [f"{code}/{one}" for code, one in zip(names[at], self.ids[at], strict=True)]
        codes, outlines = pd.factorize(pd.Index(names, dtype="str"))
        return codes.astype(np.int32), outlines

    def _shapes(self, at: NDArray[np.integer[Any]]) -> NDArray[Any]:
        shapes: NDArray[Any] = np.asarray(self._parcels.geometry.array)[self._order[at]]
        return shapes


def _hash_numbers(names: list[str]) -> NDArray[np.uint64] | None:
    """Return sixteen hex digits each as a number; None if some name is another text."""
    text = "".join(names)
    if len(text) != 16 * len(names) or any(len(name) != 16 for name in names[:100]) or "/" in text:
        return None
    return np.frombuffer(bytes.fromhex(text), ">u8").astype(np.uint64)


def _footprint(grid: GeoBox, crs: Any) -> Any:
    """Return a polygon in ``crs`` that holds all of ``grid``, prepared; None where ``crs`` cannot hold it."""
    rows, cols = grid.shape
    a = grid.affine
    box = shapely.box(a.c, a.f + rows * a.e, a.c + cols * a.a, a.f)
    box = shapely.segmentize(shapely.buffer(box, 2 * a.a, join_style="mitre"), max(rows, cols) * a.a / 32)
    laid = gpd.GeoSeries([box], crs=grid.crs.to_wkt() if grid.crs else None).to_crs(crs).iloc[0]
    if not np.isfinite(shapely.bounds(laid)).all() or not laid.is_valid:
        return None
    shapely.prepare(laid)
    return laid
