"""The store's door: fill it from scenes, and read it as one table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.catalog import Index
from rs_forecast.catalog.bands import SCL, SCL_MASKED
from rs_forecast.errors import DataWarning, NoDataError, SourceError, listing
from rs_forecast.kernels._jit import cores
from rs_forecast.signals import MASK_DILATE_M, index_rows
from rs_forecast.sources._contents import Contents
from rs_forecast.sources._looks import scene_looks
from rs_forecast.sources.scene import Scene
from rs_forecast.store.fill import Filler
from rs_forecast.store.merge import merged
from rs_forecast.store.parcels import Parcels
from rs_forecast.store.parts import DamagedPartError
from rs_forecast.store.recipe import Recipe
from rs_forecast.store.shelf import Shelf, Target, sweep
from rs_forecast.workspace import make_folder

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Update:
    """What an update found and did."""

    scenes: int
    """Scenes given."""
    stored: int
    """Scenes of which everything was there."""
    read: int
    """Scenes that were decoded."""
    rows: int
    """Rows with a clear pixel that were added."""
    rebuilt: tuple[str, ...]
    """Files found damaged."""


class SignalStore:
    """Signals kept in a folder: append-only, one file a scene, mask, set of parcels and set of indices.

    What decides a number decides where it is found: the bytes of the band files, how they are read, the mask, the
    formula, the parcel's outline. What is new of any of these is computed, and nothing else. Processes may read while
    one writes; a process killed at any moment leaves a store that is right.

    Parameters
    ----------
    folder
        The store's own folder; made if need be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def signals(
        self,
        scenes: Sequence[Scene],
        parcels: gpd.GeoDataFrame,
        indices: Sequence[str | Index],
        *,
        mask_classes: Sequence[int] = SCL_MASKED,
        mask_dilate_m: float = MASK_DILATE_M,
        stats: Sequence[str] = schema.STATS,
        seen: Any = None,
        threads: int | None = None,
        scheduler: Any = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Return :meth:`read` after :meth:`update`; a part that is found damaged is named and computed anew."""
        call = self._call(scenes, parcels, indices, mask_classes, mask_dilate_m)
        rebuilt: list[str] = []
        while True:
            self._update(call, seen, threads, scheduler, progress, rebuilt)
            try:
                return merged(call.shelf, call.ground, call.recipe, call.usable, stats)
            except DamagedPartError as err:
                _discard(call.shelf, err, rebuilt)

    def update(
        self,
        scenes: Sequence[Scene],
        parcels: gpd.GeoDataFrame,
        indices: Sequence[str | Index],
        *,
        mask_classes: Sequence[int] = SCL_MASKED,
        mask_dilate_m: float = MASK_DILATE_M,
        seen: Any = None,
        threads: int | None = None,
        scheduler: Any = None,
        progress: Progress | None = None,
    ) -> Update:
        """Compute and keep what is missing.

        Parameters
        ----------
        scenes, parcels, indices, mask_classes, mask_dilate_m, threads, scheduler
            As for :func:`rs_forecast.extract_signals`.
        seen
            The day on which the scenes are looked at; by default today. A scene whose pixels have changed since they
            were stored counts as known from this day.
        progress
            Called with (scenes done, scenes in all).

        Raises
        ------
        NoDataError
            No scene can be used, or no parcel lies in any. A scene that cannot be used, parcels outside all scenes and
            a damaged part are named in a :class:`DataWarning`.
        OutputError
            The store cannot be written.
        """
        call = self._call(scenes, parcels, indices, mask_classes, mask_dilate_m)
        return self._update(call, seen, threads, scheduler, progress, [])

    def read(
        self,
        scenes: Sequence[Scene],
        parcels: gpd.GeoDataFrame,
        indices: Sequence[str | Index],
        *,
        mask_classes: Sequence[int] = SCL_MASKED,
        mask_dilate_m: float = MASK_DILATE_M,
        stats: Sequence[str] = schema.STATS,
    ) -> pd.DataFrame:
        """Return what is stored of ``scenes``, without a look at their files.

        Returns
        -------
        DataFrame
            The table of :func:`rs_forecast.extract_signals`, its texts as categories and only ``stats`` of each index
            (float32). Where a scene was seen in several versions, each has its row, with its own ``known_at``.

        Raises
        ------
        SourceError
            A part is damaged.
        """
        call = self._call(scenes, parcels, indices, mask_classes, mask_dilate_m)
        if call.shelf.damaged:
            raise call.shelf.damaged[0]
        absent = [s.scene_id for s in scenes if not any(True for _ in call.shelf.versions(s, call.recipe))]
        if absent:
            message = f"{len(absent)} scenes are not in the store as asked for, update it: {listing(absent)}"
            warnings.warn(DataWarning(message), stacklevel=2)
        return merged(call.shelf, call.ground, call.recipe, call.usable, stats)

    def _call(
        self,
        scenes: Sequence[Scene],
        parcels: gpd.GeoDataFrame,
        indices: Sequence[str | Index],
        mask_classes: Sequence[int],
        mask_dilate_m: float,
    ) -> _Call:
        rows = tuple(index_rows(indices))
        recipe = Recipe(indices=rows, mask_classes=tuple(mask_classes), mask_dilate_m=float(mask_dilate_m))
        once: dict[str, Scene] = {}
        for scene in scenes:
            once.setdefault(scene.scene_id, scene)
        return _Call(
            recipe=recipe,
            ground=Parcels(parcels),
            shelf=Shelf(self.folder),
            usable=[scene for scene in once.values() if all(band in scene.bands for band in (*recipe.bands, SCL))],
            others=[scene for scene in once.values() if any(band not in scene.bands for band in (*recipe.bands, SCL))],
        )

    def _update(
        self,
        call: _Call,
        seen: Any,
        threads: int | None,
        scheduler: Any,
        progress: Progress | None,
        rebuilt: list[str],
    ) -> Update:
        make_folder(self.folder)
        sweep(self.folder)
        for err in call.shelf.damaged:
            _discard(call.shelf, err, rebuilt)
        call.shelf.damaged.clear()
        list(scene_looks(call.others, call.recipe.bands, call.recipe.classes, call.recipe.mask_dilate_m))  # names them
        _name_parcels_outside(call)
        day = pd.Timestamp.today().normalize() if seen is None else schema.day(seen)
        targets = self._targets(call, day, threads or cores())
        left = len(call.usable)

        def tick() -> None:
            nonlocal left
            left -= 1
            if progress is not None:
                progress(len(call.usable) + len(call.others) - max(left, 0), len(call.usable) + len(call.others))

        filler = Filler(
            self.folder, call.shelf, call.ground, call.recipe, {"threads": threads, "scheduler": scheduler}, tick
        )
        stored = _without_damage(call, rebuilt, lambda: [t for t in targets if not filler.gaps(t, lending=True)])
        for _ in range(len(call.usable) - len(targets) + len(stored)):
            tick()
        _without_damage(call, rebuilt, lambda: filler.fill(targets, lending=True))
        _without_damage(call, rebuilt, lambda: filler.fill(targets, lending=False))
        if len(filler.failed) == len(targets):
            names = listing(row.name for row in call.recipe.indices)
            raise NoDataError(f"none of {len(call.usable) + len(call.others)} scenes could be used for {names}")
        return Update(
            scenes=len(call.usable) + len(call.others),
            stored=len(stored),
            read=len(filler.read),
            rows=filler.rows,
            rebuilt=tuple(rebuilt),
        )

    def _targets(self, call: _Call, day: pd.Timestamp, threads: int) -> list[Target]:
        contents = Contents(self.folder / "contents.json")
        used = {scene.scene_id: call.recipe.used(scene) for scene in call.usable}
        contents.learn((band for bands in used.values() for band in bands.values()), threads)
        targets = []
        for scene in call.usable:
            try:
                found = {name: contents.of(band) for name, band in used[scene.scene_id].items()}
            except SourceError as err:
                warnings.warn(DataWarning(f"scene {scene.scene_id}: left out. {err}"), stacklevel=4)
                continue
            targets.append(call.shelf.target(scene, call.recipe, found, day))
        contents.save()
        return targets


class _Call(NamedTuple):
    """What one call is about."""

    recipe: Recipe
    ground: Parcels
    shelf: Shelf
    usable: list[Scene]
    others: list[Scene]
    """Scenes without a band that is needed."""


def _without_damage[Found](call: _Call, rebuilt: list[str], work: Callable[[], Found]) -> Found:
    """Do ``work``, again after each damaged part that it finds, until none is left."""
    while True:
        try:
            return work()
        except DamagedPartError as err:
            _discard(call.shelf, err, rebuilt)


def _discard(shelf: Shelf, err: DamagedPartError, rebuilt: list[str]) -> None:
    warnings.warn(DataWarning(f"signals store: {err.path.name} is damaged ({err.reason}); computed anew"), stacklevel=4)
    shelf.discard(err)
    rebuilt.append(err.path.name)


def _name_parcels_outside(call: _Call) -> None:
    """Name the parcels that no scene can show."""
    ground = call.ground
    grids = {id(mask): mask for mask in (ground.inside(call.recipe.grid(scene)) for scene in call.usable)}
    covered = np.any([np.zeros(len(ground.outlines), bool), *grids.values()], axis=0)
    outside = ground.ids[~covered[ground.outline_of]]
    if call.usable and len(outside) == len(ground):
        raise NoDataError(
            f"none of the {len(ground)} parcels lies in the imagery; compare CRS and place of parcels and scenes"
        )
    if call.usable and len(outside):
        message = f"{len(outside)} parcels lie outside the imagery and have no signals: {listing(outside)}"
        warnings.warn(DataWarning(message), stacklevel=4)
