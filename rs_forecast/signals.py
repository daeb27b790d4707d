"""The operator's path: scenes and parcels to one tidy table of index statistics, without index rasters."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import INDICES, Index
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError, listing
from rs_forecast.ground import Ground, Group, geometry_hashes
from rs_forecast.kernels._jit import cores
from rs_forecast.kernels.bandmath import Program, link
from rs_forecast.kernels.zonal import parcel_signals
from rs_forecast.sources._looks import MASK_DILATE_M, Look, cube_looks, scene_looks
from rs_forecast.sources.scene import Scene
from rs_forecast.spread import on_cluster

__all__ = ["MASK_DILATE_M", "extract_signals", "geometry_hashes"]

TIE_DECIMALS = 4
"""Decimals of the valid weight [pixels] by which two scenes of one day are compared."""
Progress = Callable[[int, int], None]
_LARGE = 2_000_000
"""Pixels of a grid above which one look keeps all threads busy."""


def extract_signals(
    source: Sequence[Scene] | xr.Dataset,
    parcels: gpd.GeoDataFrame,
    indices: Sequence[str | Index] = ("ndvi", "evi", "ndre", "lswi"),
    *,
    mask_classes: Sequence[int] = SCL_MASKED,
    mask_dilate_m: float = MASK_DILATE_M,
    threads: int | None = None,
    keep_coverage: Path | None = None,
    scheduler: Any = None,
    progress: Progress | None = None,
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
        By default the machine's cores. The result does not depend on it.
    keep_coverage
        A folder in which the pixels under the parcels are kept for the next call, in this process or another; by
        default they are found anew. They are kept under a hash of all outlines and the grid, and so cannot go stale.
    scheduler
        Address of a dask.distributed scheduler, or a client of one: its workers, who must find the scenes' files where
        this process does, then take a task each tile and day. By default this process does all. The result is the same.
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
        :mod:`rs_forecast.asof` to choose from. ``attrs["synthetic"]`` says whether the imagery is SYNTHETIC.

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
            keep_coverage=keep_coverage,
            scheduler=scheduler,
            progress=progress,
        )
    ]
    if not tables:
        names = [row.name for row in index_rows(indices)]
        total = source.sizes.get(schema.TIME, 1) if isinstance(source, xr.Dataset) else len(source)
        raise NoDataError(f"none of {total} scenes could be used for {listing(names)}")
    out = merge_looks(tables)
    out.attrs["synthetic"] = _are_synthetic(source)
    return out


def look_tables(
    source: Sequence[Scene] | xr.Dataset,
    parcels: gpd.GeoDataFrame,
    indices: Sequence[str | Index],
    *,
    mask_classes: Sequence[int] = SCL_MASKED,
    mask_dilate_m: float = MASK_DILATE_M,
    threads: int | None = None,
    keep_coverage: Path | None = None,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (scene's id, its rows) as they are ready, in the order of ``source``; arguments as :func:`extract_signals`.

    A scene that cannot be used is named in a :class:`DataWarning` and yields nothing; one without a clear pixel under
    any parcel yields no rows.
    """
    rows = index_rows(indices)
    program = link([row.parsed for row in rows], [row.valid for row in rows])
    ground = Ground(parcels, keep=keep_coverage, threads=threads)
    work = _Work(
        ground=ground,
        program=program,
        columns=tuple(f"{row.name}_{stat}" for row in rows for stat in schema.STATS),
        mask_classes=tuple(mask_classes),
        mask_dilate_m=mask_dilate_m,
    )
    if isinstance(source, xr.Dataset):
        looks = list(cube_looks(source, program.bands))
        total = len(looks)
    else:
        looks = list(scene_looks(source, program.bands, work.mask_classes, mask_dilate_m))
        total = len(source)
    for look in looks:
        ground.groups(look.grid)
    if looks:
        _name_parcels_outside(ground, parcels)
    if scheduler is None or isinstance(source, xr.Dataset):
        found = _run(looks, work, threads or cores())
    else:
        used = {look.scene_id for look in looks}
        found = _run_on_cluster([scene for scene in source if scene.scene_id in used], work, scheduler)
    for done, (scene_id, table) in enumerate(found, start=total - len(looks) + 1):
        if isinstance(table, str):
            warnings.warn(DataWarning(f"scene {scene_id}: left out. {table}"), stacklevel=3)
        else:
            yield scene_id, table
        if progress is not None:
            progress(done, total)


def empty_signals(indices: Sequence[str]) -> pd.DataFrame:
    """Return a table of signals of ``indices`` without a row, for imagery that could not be had."""
    kinds = {"text": "str", "day": "datetime64[us]", "number": "float64"}
    columns = {field.name: kinds[field.kind] for field in schema.SIGNALS}
    columns |= {f"{name}_{stat}": "float64" for name in indices for stat in schema.STATS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def index_rows(indices: Sequence[str | Index]) -> list[Index]:
    """Return the catalogue's rows of names among ``indices``, and own rows as they are."""
    if not indices:
        raise ConfigError(f"no index is asked for; name some of {', '.join(INDICES)}, or give an Index")
    return [INDICES[i] if isinstance(i, str) else i for i in indices]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What is to be found under every look; it travels to other processes."""

    ground: Ground
    program: Program
    columns: tuple[str, ...]
    mask_classes: tuple[int, ...]
    mask_dilate_m: float

    def rows(self, look: Look, threads: int) -> pd.DataFrame | str:
        """Return the rows of one look, parcels with any clear pixel; or why it cannot be used."""
        try:
            parts = [self._group_rows(look, group, threads) for group in self.ground.groups(look.grid)]
        except SourceError as err:
            return str(err)
        rows, weight, fraction, stats = (np.concatenate(items) for items in zip(*parts, strict=True))
        order = np.argsort(rows)
        rows, weight, fraction, flat = rows[order], weight[order], fraction[order], stats[order]
        flat = flat.reshape(len(rows), len(self.columns))
        return pd.DataFrame(
            {
                schema.PARCEL: self.ground.ids[rows],
                "date": look.date,
                "known_at": look.known_at,
                "tile": look.tile,
                "scene_id": look.scene_id,
                "geom_hash": self.ground.hashes[rows],
                "valid_weight": weight,
                "valid_fraction": fraction,
                **{name: flat[:, k] for k, name in enumerate(self.columns)},
            }
        )

    def _group_rows(self, look: Look, group: Group, threads: int) -> tuple[NDArray[Any], ...]:
        raw = look.read(group.pixels, threads)
        table = group.table
        stats, weight = parcel_signals(raw, self.program, table.weight, table.starts, threads=threads)
        seen = np.flatnonzero(weight > 0)
        return group.rows[seen], weight[seen], weight[seen] / table.area[seen], stats[seen]


def _run(looks: list[Look], work: _Work, threads: int) -> Iterator[tuple[str, pd.DataFrame | str]]:
    """Yield the rows of looks: large ones one after the other, each on all threads; small ones side by side."""
    large = any(look.grid.shape[0] * look.grid.shape[1] > _LARGE for look in looks)
    pool = ThreadPoolExecutor(1 if large else threads)
    try:
        waiting: deque[Any] = deque()
        todo = iter(looks)
        for look in looks:
            ahead = itertools.islice(todo, 2 * threads - len(waiting))  # tables that are done wait for few others
            waiting += [pool.submit(work.rows, one, threads if large else 1) for one in ahead]
            yield look.scene_id, waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt need not wait for scenes that nobody has begun


def _run_on_cluster(scenes: Sequence[Scene], work: _Work, scheduler: Any) -> Iterator[tuple[str, pd.DataFrame | str]]:
    """Yield the rows of scenes; a task is what there is of one tile and day."""
    tasks = [list(group) for _, group in itertools.groupby(scenes, key=lambda scene: (scene.tile, scene.date))]
    for found in on_cluster(scheduler, _task, work, tasks):
        yield from found


def _task(work: _Work, scenes: list[Scene]) -> list[tuple[str, pd.DataFrame | str]]:
    looks = scene_looks(scenes, work.program.bands, work.mask_classes, work.mask_dilate_m)
    return [(look.scene_id, work.rows(look, 1)) for look in looks]


def _are_synthetic(source: Sequence[Scene] | xr.Dataset) -> bool:
    if isinstance(source, xr.Dataset):
        return "SYNTHETIC" in str(source.attrs.get("title", ""))
    return any(scene.synthetic for scene in source)


def merge_looks(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of many looks as one table, one row per parcel, day and ``known_at``; the rule stands above."""
    table = pd.concat(tables, ignore_index=True)
    table = table.astype({"date": "datetime64[us]", "known_at": "datetime64[us]", "tile": "str", "scene_id": "str"})
    if len(tables) == 1 and table[schema.PARCEL].is_monotonic_increasing:
        return table
    weight = table["valid_weight"].round(
        TIE_DECIMALS
    )  # tiles that overlap cut the same pixels, but for the last digits
    order = [schema.PARCEL, "date", "_weight", "known_at", "scene_id"]
    table = table.assign(_weight=weight).sort_values(order, ascending=[True, True, False, True, True], kind="stable")
    table = table.drop(columns="_weight").drop_duplicates([schema.PARCEL, "date", "known_at"])
    return table.sort_values([schema.PARCEL, "date", "known_at"], kind="stable", ignore_index=True)


def _name_parcels_outside(ground: Ground, parcels: gpd.GeoDataFrame) -> None:
    outside = parcels.loc[~ground.covered, schema.PARCEL]
    if len(outside) == len(parcels):
        raise NoDataError(
            f"none of the {len(parcels)} parcels lies in the imagery; compare CRS and place of parcels and scenes"
        )
    if len(outside):
        message = f"{len(outside)} parcels lie outside the imagery and have no signals: {listing(outside)}"
        warnings.warn(DataWarning(message), stacklevel=4)
