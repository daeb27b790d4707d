"""The operator's path: scenes and parcels to one tidy table of index statistics, without index rasters."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast import schema
from rs_forecast.catalog import INDICES, Index
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError, listing
from rs_forecast.kernels.bandmath import Program, link
from rs_forecast.kernels.coverage import CoverageTable, coverage_table
from rs_forecast.kernels.zonal import valid_weight, zonal_stats
from rs_forecast.sources._looks import MASK_DILATE_M, Look, cube_looks, scene_looks
from rs_forecast.sources.scene import Scene

__all__ = ["MASK_DILATE_M", "extract_signals", "geometry_hashes"]

_Grid = tuple[str, tuple[float, ...], tuple[int, ...]]


def extract_signals(
    source: Sequence[Scene] | xr.Dataset,
    parcels: gpd.GeoDataFrame,
    indices: Sequence[str | Index] = ("ndvi", "evi", "ndre", "lswi"),
    *,
    mask_classes: Sequence[int] = SCL_MASKED,
    mask_dilate_m: float = MASK_DILATE_M,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return statistics of spectral indices per parcel and date.

    Parameters
    ----------
    source
        Scenes, or a cube of :func:`rs_forecast.open_cube`, whose own mask then counts.
    parcels
        Polygons of :func:`rs_forecast.read_parcels`.
    indices
        Names in the catalogue, or own :class:`rs_forecast.catalog.Index` rows.
    mask_classes, mask_dilate_m
        Scene classes that are not clear, and how far [m] the mask grows around them.
    threads
        Scenes worked on at once; by default the machine's cores. The result does not depend on it.
    progress
        Called with (scenes done, scenes in all).

    Returns
    -------
    DataFrame
        One row per parcel and day with any clear pixel, by parcel, then day: ``parcel_id date known_at tile scene_id
        geom_hash valid_weight`` [pixels of the finest band] ``valid_fraction`` (of the parcel's area) and
        ``<index>_<mean|std|p10|p50|p90>``, the pixels weighted by the share of each that the parcel covers. A pixel is
        valid where it is clear and every band asked for has a value; an index outside its valid range is NaN there and
        does not count for itself. Of two scenes of one day and known on one day a parcel takes the one with the
        greater valid weight, then the first by name; if they were known on different days both rows stay, for
        :mod:`rs_forecast.asof` to choose from.

    Raises
    ------
    ConfigError
        No index is asked for, or there is no such index.
    NoDataError
        No scene could be used, or no parcel lies in any. A scene that cannot be decoded, or lacks a band, is left out
        and named in a :class:`DataWarning`; so are parcels outside all scenes.
    """
    tables = [
        table
        for _, table in look_tables(
            source,
            parcels,
            indices,
            mask_classes=mask_classes,
            mask_dilate_m=mask_dilate_m,
            threads=threads,
            progress=progress,
        )
    ]
    if not tables:
        names = [row.name for row in index_rows(indices)]
        total = source.sizes.get(schema.TIME, 1) if isinstance(source, xr.Dataset) else len(source)
        raise NoDataError(f"none of {total} scenes could be used for {listing(names)}")
    return merge_looks(tables)


def look_tables(
    source: Sequence[Scene] | xr.Dataset,
    parcels: gpd.GeoDataFrame,
    indices: Sequence[str | Index],
    *,
    mask_classes: Sequence[int] = SCL_MASKED,
    mask_dilate_m: float = MASK_DILATE_M,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (scene's id, its rows) as they are ready, in the order of ``source``; arguments as :func:`extract_signals`.

    A scene that cannot be used is named in a :class:`DataWarning` and yields nothing; one without a clear pixel under
    any parcel yields no rows.
    """
    schema.check_parcels(parcels)
    rows = index_rows(indices)
    program = link([row.parsed for row in rows], [row.valid for row in rows])
    if isinstance(source, xr.Dataset):
        looks = list(cube_looks(source, program.bands))
        total = len(looks)
    else:
        looks = list(scene_looks(source, program.bands, tuple(mask_classes), mask_dilate_m))
        total = len(source)
    worker = _Worker(parcels, [row.name for row in rows], program)
    for look in looks:
        worker.pixels(look.grid)  # before the threads start: the coverage kernel uses all cores itself
    if looks:
        _name_parcels_outside(worker, parcels)
    yield from _run(worker, looks, total, threads or os.cpu_count() or 1, progress)


def empty_signals(indices: Sequence[str]) -> pd.DataFrame:
    """Return a table of signals of ``indices`` without a row, for imagery that could not be had."""
    kinds = {"text": "str", "day": "datetime64[us]", "number": "float64"}
    columns = {field.name: kinds[field.kind] for field in schema.SIGNALS}
    columns |= {f"{name}_{stat}": "float64" for name in indices for stat in schema.STATS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def geometry_hashes(parcels: gpd.GeoDataFrame) -> list[str]:
    """Return twelve hex digits per parcel that change when its outline, or its CRS, does."""
    crs = parcels.crs.to_wkt().encode()
    shapes = shapely.to_wkb(shapely.normalize(parcels.geometry.to_numpy()), byte_order=1)
    return [hashlib.sha256(crs + shape).hexdigest()[:12] for shape in shapes]


def index_rows(indices: Sequence[str | Index]) -> list[Index]:
    """Return the catalogue's rows of names among ``indices``, and own rows as they are."""
    if not indices:
        raise ConfigError(f"no index is asked for; name some of {', '.join(INDICES)}, or give an Index")
    return [INDICES[i] if isinstance(i, str) else i for i in indices]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pixels:
    """The pixels under parcels on one grid, each once, and the coverage table's entries pointing at them."""

    table: CoverageTable
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    entry: NDArray[np.int64]


class _Worker:
    """Turns one look into rows. The coverage of a grid is computed once, by the first look that needs it."""

    def __init__(self, parcels: gpd.GeoDataFrame, names: list[str], program: Program) -> None:
        self._parcels = parcels
        self._ids = parcels[schema.PARCEL].array
        self._hashes = pd.array(geometry_hashes(parcels), dtype="str")
        self._program = program
        self._columns = [f"{name}_{stat}" for name in names for stat in schema.STATS]
        self._grids: dict[_Grid, _Pixels] = {}
        self.covered = np.zeros(len(parcels), bool)

    def pixels(self, grid: GeoBox) -> _Pixels:
        """Return the pixels under parcels on ``grid``."""
        key = (str(grid.crs), tuple(grid.affine)[:6], tuple(grid.shape))
        if key not in self._grids:
            table = coverage_table(self._parcels, grid)
            flat, entry = np.unique(table.row.astype(np.int64) * grid.shape[1] + table.col, return_inverse=True)
            rows, cols = np.divmod(flat, grid.shape[1])
            self._grids[key] = _Pixels(table=table, rows=rows, cols=cols, entry=entry.astype(np.int64))
            self.covered |= np.diff(table.starts) > 0
        return self._grids[key]

    def rows(self, look: Look) -> pd.DataFrame:
        """Return the rows of one look: parcels with any clear pixel."""
        pixels = self.pixels(look.grid)
        values, clear = look.read(pixels.rows, pixels.cols)
        valid = clear & ~np.isnan(values).any(axis=0)
        layers = self._program.run(np.where(valid, values, np.float32(np.nan)))
        table = pixels.table
        stats = zonal_stats(layers, pixels.entry, table.weight, table.starts)
        weight = valid_weight(valid, pixels.entry, table.weight, table.starts)
        seen = np.flatnonzero(weight > 0)
        return pd.DataFrame(
            {
                schema.PARCEL: self._ids[seen],
                "date": look.date,
                "known_at": look.known_at,
                "tile": look.tile,
                "scene_id": look.scene_id,
                "geom_hash": self._hashes[seen],
                "valid_weight": weight[seen],
                "valid_fraction": weight[seen] / table.area[seen],
                **dict(zip(self._columns, stats[seen].reshape(len(seen), len(self._columns)).T, strict=True)),
            }
        )


def _run(
    worker: _Worker, looks: list[Look], total: int, threads: int, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    pool = ThreadPoolExecutor(threads)
    try:
        jobs = [pool.submit(worker.rows, look) for look in looks]
        for done, (look, job) in enumerate(zip(looks, jobs, strict=True), start=total - len(looks) + 1):
            try:
                yield look.scene_id, job.result()
            except SourceError as err:
                warnings.warn(DataWarning(f"scene {look.scene_id}: left out. {err}"), stacklevel=4)
            if progress is not None:
                progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt need not wait for scenes that nobody has begun


def merge_looks(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of many looks as one table, one row per parcel, day and ``known_at``; the rule stands above."""
    table = pd.concat(tables, ignore_index=True)
    table = table.astype({"date": "datetime64[us]", "known_at": "datetime64[us]", "tile": "str", "scene_id": "str"})
    weight = table["valid_weight"].round(6)  # tiles that overlap cut the same pixels, but for the last digits
    order = [schema.PARCEL, "date", "_weight", "known_at", "scene_id"]
    table = table.assign(_weight=weight).sort_values(order, ascending=[True, True, False, True, True], kind="stable")
    table = table.drop(columns="_weight").drop_duplicates([schema.PARCEL, "date", "known_at"])
    return table.sort_values([schema.PARCEL, "date", "known_at"], kind="stable", ignore_index=True)


def _name_parcels_outside(worker: _Worker, parcels: gpd.GeoDataFrame) -> None:
    outside = parcels.loc[~worker.covered, schema.PARCEL]
    if len(outside) == len(parcels):
        raise NoDataError(
            f"none of the {len(parcels)} parcels lies in the imagery; compare CRS and place of parcels and scenes"
        )
    if len(outside):
        message = f"{len(outside)} parcels lie outside the imagery and have no signals: {listing(outside)}"
        warnings.warn(DataWarning(message), stacklevel=4)
