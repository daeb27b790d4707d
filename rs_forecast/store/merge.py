"""Parts read back as one table of signals, brought together by whole numbers: no text is sorted or compared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.kernels.rows import elect, place, scatter
from rs_forecast.sources.scene import Scene
from rs_forecast.store.ground import Ground
from rs_forecast.store.parts import WEIGHTS, Part
from rs_forecast.store.recipe import Recipe, index_hash
from rs_forecast.store.shelf import Shelf

_AHEAD = 4
"""Parts that are decoded while earlier ones are put in their place."""


@dataclass(kw_only=True, eq=False)
class _Look:
    """Rows of one version of a scene that were known on one day."""

    scene: Scene
    version: int
    known_at: pd.Timestamp
    parts: Sequence[Part]
    parcel: NDArray[np.int32]
    """Parcels with any clear pixel; of two looks of one day that are known on one, the better one's alone."""


def merged(shelf: Shelf, ground: Ground, recipe: Recipe, scenes: Sequence[Scene], stats: Sequence[str]) -> pd.DataFrame:
    """Return what is stored of ``scenes`` as :func:`rs_forecast.extract_signals` gives it.

    DamagedPartError names a part that cannot be read.
    """
    looks: list[_Look] = []
    for _, same_day in groupby(sorted(scenes, key=lambda s: (s.date, s.scene_id)), key=lambda s: s.date):
        looks += _elected([look for scene in same_day for look in _looks(shelf, ground, recipe, scene)], len(ground))
    looks.sort(key=lambda look: (look.scene.date, look.known_at, look.scene.scene_id))
    counts = np.zeros(len(ground), np.int64)
    for look in looks:
        counts[look.parcel] += 1  # a look has a parcel once
    table = _frame(ground, recipe, looks, counts, stats)
    return table


def _looks(shelf: Shelf, ground: Ground, recipe: Recipe, scene: Scene) -> Iterator[tuple[_Look, NDArray[np.float64]]]:
    """Yield a scene's looks, and the valid weight of their parcels.

    The first version that a parcel has of an overpass was known when the scene is said to have been, a later one from
    the day it was seen: a reprocessed archive does not make history unknowable.
    """
    looked_at = np.zeros(len(ground), bool)
    known = scene.known_at
    for number, parts in enumerate(shelf.versions(scene, recipe)):
        head = parts[0].head
        if number == 0 and head.known_at_basis == "measured" and head.version == 1:
            known = pd.Timestamp(head.known_at)
        later = max(known, pd.Timestamp(head.seen))
        weight = np.full(len(ground), -1.0)
        for part in {part.head.parcels: part for part in parts}.values():
            row, parcel = ground.rows_in(part)
            weight[parcel] = part.read(["valid_weight"])["valid_weight"][row]
        for stamp, these in ((known, (weight > 0) & ~looked_at), (later, (weight > 0) & looked_at)):
            at = np.flatnonzero(these).astype(np.int32)
            if len(at):
                look = _Look(scene=scene, version=head.version, known_at=stamp, parts=parts, parcel=at)
                yield look, weight[at]
        looked_at |= weight >= 0


def _elected(looks: list[tuple[_Look, NDArray[np.float64]]], parcels: int) -> list[_Look]:
    """Return the looks of one day, each parcel left to one of those that were known on the same day.

    Of one scene the newest version has it, of several the one with the greatest weight, then the first by name.
    """
    for _, group in groupby(sorted(looks, key=lambda item: item[0].known_at), key=lambda item: item[0].known_at):
        rivals = sorted(group, key=lambda item: (item[0].scene.scene_id, -item[0].version))
        if len(rivals) == 1:
            continue
        best, winner = np.full(parcels, -1.0), np.full(parcels, -1, np.int32)
        taken: dict[str, NDArray[np.bool_]] = {}
        for number, (look, weight) in enumerate(rivals):
            mine = taken.setdefault(look.scene.scene_id, np.zeros(parcels, bool))
            fresh = ~mine[look.parcel]
            mine[look.parcel] = True
            # tiles that overlap cut the same pixels, but for the last digits
            elect(look.parcel[fresh], np.round(weight[fresh], 6), number, best, winner)
        for number, (look, _) in enumerate(rivals):
            look.parcel = look.parcel[winner[look.parcel] == number]
    return [look for look, _ in looks if len(look.parcel)]


def _frame(
    ground: Ground, recipe: Recipe, looks: Sequence[_Look], counts: NDArray[np.int64], stats: Sequence[str]
) -> pd.DataFrame:
    """Return the table of ``looks``, which come in the order of their days; ``counts`` are a parcel's rows."""
    total = int(counts.sum())
    wanted = {f"{row.name}_{stat}": (index_hash(row), stat) for row in recipe.indices for stat in stats}
    values: dict[str, NDArray[Any]] = {name: np.full(total, np.nan) for name in WEIGHTS}
    values |= {name: np.full(total, np.nan, np.float32) for name in wanted}
    tiles, tile = np.unique([look.scene.tile for look in looks], return_inverse=True)
    names, name = np.unique([look.scene.scene_id for look in looks], return_inverse=True)
    date, known = (np.empty(total, "datetime64[us]") for _ in range(2))
    which_tile, which_scene = np.empty(total, _least(len(tiles))), np.empty(total, _least(len(names)))
    free = np.cumsum(counts) - counts
    at = np.full(len(ground), -1, np.int64)
    for k, (look, found) in enumerate(_read_ahead(looks, wanted)):
        place(look.parcel, free, at)
        rows = at[look.parcel]
        date[rows], known[rows] = look.scene.date.to_datetime64(), look.known_at.to_datetime64()
        which_tile[rows], which_scene[rows] = tile[k], name[k]
        for part, columns in zip(look.parts, found, strict=True):
            row, parcel = ground.rows_in(part)
            for column, numbers in columns.items():
                scatter(numbers, row, parcel, at, values[column])
        at[look.parcel] = -1
    own = np.repeat(np.arange(len(ground), dtype=np.int32), counts)
    hashes = ground.hashes.unique()
    columns = {
        schema.PARCEL: _category(own, ground.ids),
        "date": date,
        "known_at": known,
        "tile": _category(which_tile, pd.Index(tiles, dtype="str")),
        "scene_id": _category(which_scene, pd.Index(names, dtype="str")),
        "geom_hash": _category(hashes.get_indexer(ground.hashes).astype(np.int32)[own], hashes),
        **values,
    }
    return pd.DataFrame(columns, copy=False)


def _read_ahead(
    looks: Sequence[_Look], wanted: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[_Look, list[dict[str, NDArray[Any]]]]]:
    """Yield each look with the columns of its parts, a few parts decoded ahead."""

    def read(look: _Look) -> list[dict[str, NDArray[Any]]]:
        return [_columns(part, wanted) for part in look.parts]

    with ThreadPoolExecutor(2) as pool:
        waiting: deque[tuple[_Look, Future[list[dict[str, NDArray[Any]]]]]] = deque()
        for look in looks:
            waiting.append((look, pool.submit(read, look)))
            if len(waiting) > _AHEAD:
                first, job = waiting.popleft()
                yield first, job.result()
        while waiting:
            first, job = waiting.popleft()
            yield first, job.result()


def _columns(part: Part, wanted: Mapping[str, tuple[str, str]]) -> dict[str, NDArray[Any]]:
    stored = set(part.head.indices.values())
    names = {name: part.head.column(*what) for name, what in wanted.items() if what[0] in stored}
    found = part.read(list(dict.fromkeys([*WEIGHTS, *names.values()])))
    return {**{name: found[name] for name in WEIGHTS}, **{name: found[own] for name, own in names.items()}}


def _category(codes: NDArray[Any], categories: pd.Index) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=categories, validate=False)


def _least(count: int) -> Any:
    """Return the smallest signed type that numbers ``count`` things."""
    return np.min_scalar_type(-max(count, 1))
