"""Parts read back as one table of signals, brought together by whole numbers: no text is sorted or compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.kernels._jit import share_out
from rs_forecast.kernels.rows import elect, place, scatter
from rs_forecast.signals import TIE_DECIMALS
from rs_forecast.sources.scene import Scene
from rs_forecast.store.parcels import Parcels
from rs_forecast.store.parts import WEIGHTS, Part
from rs_forecast.store.recipe import Recipe, index_hash
from rs_forecast.store.shelf import Shelf

_TOGETHER = 16
"""Parts with the same parcels that are decoded and put in their places in one go; memory grows with it."""


@dataclass(kw_only=True, eq=False)
class _Look:
    """Rows of one version of a scene that were known on one day."""

    scene: Scene
    version: int
    known_at: pd.Timestamp
    parts: Sequence[Part]
    parcel: NDArray[np.int32]
    """Parcels with any clear pixel; of two looks of one day that are known on one, the better one's alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """A part of a look, and where each of the pairs of :meth:`Parcels.rows_in` goes; -1 for nowhere."""

    look: int
    part: Part
    at: NDArray[np.integer[Any]]


def merged(
    shelf: Shelf, ground: Parcels, recipe: Recipe, scenes: Sequence[Scene], stats: Sequence[str]
) -> pd.DataFrame:
    """Return what is stored of ``scenes`` as :func:`rs_forecast.extract_signals` gives it.

    DamagedPartError names a part that cannot be read.
    """
    wanted = {f"{row.name}_{stat}": (index_hash(row), stat) for row in recipe.indices for stat in stats}
    days = [list(group) for _, group in groupby(sorted(scenes, key=lambda s: (s.date, s.scene_id)), lambda s: s.date)]
    lists = {part.head.parcels: part for scene in scenes for parts in shelf.versions(scene, recipe) for part in parts}
    share_out(ground.rows_in, lists.values())

    def of_day(scenes: list[Scene]) -> list[_Look]:
        looks = (look for scene in scenes for look in _looks(shelf, ground, recipe, scene, wanted))
        return _elected(list(looks), len(ground))

    looks = [look for found in share_out(of_day, days) for look in found]
    looks.sort(key=lambda look: (look.scene.date, look.known_at, look.scene.scene_id))
    counts = np.zeros(len(ground), np.int64)
    for look in looks:
        counts[look.parcel] += 1  # a look has a parcel once
    return _frame(ground, looks, counts, wanted)


def _looks(
    shelf: Shelf, ground: Parcels, recipe: Recipe, scene: Scene, wanted: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[_Look, NDArray[np.float64]]]:
    """Yield a scene's looks, and the valid weight of their parcels.

    The first version that a parcel has of an overpass was known when the scene is said to have been, a later one from
    the day it was seen: a reprocessed archive does not make history unknowable. Where a later version has the same
    numbers (the file was fetched again for other parcels' land) it adds no row.
    """
    last: dict[str, NDArray[Any]] = {}
    looked_at: NDArray[np.bool_] | None = None
    known = scene.known_at
    versions = list(shelf.versions(scene, recipe))
    for parts in versions:
        head = parts[0].head
        if head.version == 1 and head.known_at_basis == "measured":
            known = pd.Timestamp(head.known_at)
        parcel, weight = _weights(parts, ground)
        clear = weight > 0
        before = np.zeros(len(parcel), bool) if looked_at is None else looked_at[parcel]
        later = max(known, pd.Timestamp(head.seen))
        again = clear & before
        if len(versions) > 1:
            again &= _changed(parts, ground, wanted, parcel, clear, last)
        for stamp, these in ((known, clear & ~before), (later, again)):
            if these.any():
                look = _Look(scene=scene, version=head.version, known_at=stamp, parts=parts, parcel=parcel[these])
                yield look, weight[these]
        if len(versions) > 1:
            looked_at = np.zeros(len(ground), bool) if looked_at is None else looked_at
            looked_at[parcel] = True


def _changed(
    parts: Sequence[Part],
    ground: Parcels,
    wanted: Mapping[str, tuple[str, str]],
    parcel: NDArray[np.int32],
    clear: NDArray[np.bool_],
    last: dict[str, NDArray[Any]],
) -> NDArray[np.bool_]:
    """Return which parcels of a version have other numbers than ``last``, by column, which takes the new ones over."""
    found: dict[str, NDArray[Any]] = {name: np.full(len(ground), np.nan) for name in (*WEIGHTS, *wanted)}
    for part in parts:
        stored = set(part.head.indices.values())
        names = {name: part.head.column(*what) for name, what in wanted.items() if what[0] in stored}
        names |= {name: name for name in WEIGHTS}
        values = part.read(list(dict.fromkeys(names.values())))
        row, at = ground.rows_in(part)
        for name, column in names.items():
            found[name][at] = values[column][row]
    changed = np.zeros(len(parcel), np.bool_)
    for name, numbers in found.items():
        new, old = numbers[parcel], last.setdefault(name, np.full(len(ground), np.nan))
        before = old[parcel]
        changed |= (new != before) & ~(np.isnan(new) & np.isnan(before))
        old[parcel[clear]] = new[clear]
    return changed


def _weights(parts: Sequence[Part], ground: Parcels) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the parcels that the parts of one version have looked at, each once, and their valid weight."""
    lists = {part.head.parcels: part for part in parts}
    found = [(ground.rows_in(part), part.read(["valid_weight"])["valid_weight"]) for part in lists.values()]
    if len(found) == 1:
        (row, parcel), weight = found[0]
        return parcel, weight[row]
    dense = np.full(len(ground), -1.0)
    for (row, parcel), weight in found:
        dense[parcel] = weight[row]
    seen = np.flatnonzero(dense >= 0).astype(np.int32)
    return seen, dense[seen]


def _elected(looks: list[tuple[_Look, NDArray[np.float64]]], parcels: int) -> list[_Look]:
    """Return the looks of one day, each parcel left to one of those that were known on the same day.

    Of one scene the newest version has it, of several the one with the greatest weight, then the first by name.
    """
    for _, group in groupby(sorted(looks, key=lambda item: item[0].known_at), key=lambda item: item[0].known_at):
        rivals = sorted(group, key=lambda item: (item[0].scene.scene_id, -item[0].version))
        if len(rivals) == 1:
            continue
        best, winner = np.full(parcels, -1.0), np.full(parcels, -1, np.int32)
        for number, (look, weight) in enumerate(rivals):
            newer = [other.parcel for other, _ in rivals[:number] if other.scene.scene_id == look.scene.scene_id]
            fresh = ~np.isin(look.parcel, np.concatenate(newer)) if newer else np.ones(len(weight), bool)
            # tiles that overlap cut the same pixels, but for the last digits
            elect(look.parcel[fresh], np.round(weight[fresh], TIE_DECIMALS), number, best, winner)
        for number, (look, _) in enumerate(rivals):
            look.parcel = look.parcel[winner[look.parcel] == number]
    return [look for look, _ in looks if len(look.parcel)]


def _frame(
    ground: Parcels, looks: Sequence[_Look], counts: NDArray[np.int64], wanted: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """Return the table of ``looks``, which come in the order of their days; ``counts`` are a parcel's rows."""
    values = _values(ground, looks, counts, wanted)
    look = values.pop("look")
    own = np.repeat(np.arange(len(ground), dtype=np.int32), counts)
    scenes = [item.scene for item in looks]
    columns = {  # on one thread: pandas silences warnings on the way, which is done for all threads at once
        schema.PARCEL: _category(own, ground.ids),
        "date": np.array([scene.date for scene in scenes], "datetime64[us]")[look],
        "known_at": np.array([item.known_at for item in looks], "datetime64[us]")[look],
        "tile": _named([scene.tile for scene in scenes], look),
        "scene_id": _named([scene.scene_id for scene in scenes], look),
        "geom_hash": _category(ground.hash_of[own], ground.hashes),
        **values,
    }
    return pd.DataFrame(columns, copy=False)


def _values(
    ground: Parcels, looks: Sequence[_Look], counts: NDArray[np.int64], wanted: Mapping[str, tuple[str, str]]
) -> dict[str, NDArray[Any]]:
    """Return the columns of numbers, and ``look``: the number of each row's look."""
    total = int(counts.sum())
    number = np.int32 if total < np.iinfo(np.int32).max else np.int64
    free = np.cumsum(counts) - counts
    at = np.full(len(ground), -1, np.int64)
    batches: dict[Any, list[_Piece]] = {}
    for k, look in enumerate(looks):
        place(look.parcel, free, at)
        for part in look.parts:
            stored = set(part.head.indices.values())
            names = {name: part.head.column(*what) for name, what in wanted.items() if what[0] in stored}
            _, parcel = ground.rows_in(part)
            piece = _Piece(look=k, part=part, at=at[parcel].astype(number))
            batches.setdefault((part.head.parcels, tuple(names.items())), []).append(piece)
        at[look.parcel] = -1
    whole = all(len(look.parts) == 1 for look in looks) and all(len(names) == len(wanted) for _, names in batches)
    out: dict[str, NDArray[Any]] = {name: np.empty(total) for name in WEIGHTS}
    out |= {name: np.empty(total, np.float32) if whole else np.full(total, np.nan, np.float32) for name in wanted}
    out["look"] = np.empty(total, np.int32)
    for (_, names), pieces in batches.items():
        row, _ = ground.rows_in(pieces[0].part)
        for first in range(0, len(pieces), _TOGETHER):
            _copy(pieces[first : first + _TOGETHER], row, dict(names), out)
    return out


def _copy(
    pieces: Sequence[_Piece], row: NDArray[np.int64], names: Mapping[str, str], out: Mapping[str, NDArray[Any]]
) -> None:
    """Read parts with the same rows, and copy the columns ``names`` (in the table: in the parts) to their places."""
    own = {**dict(zip(WEIGHTS, WEIGHTS, strict=True)), **names}
    columns = list(dict.fromkeys(own.values()))
    found = share_out(lambda piece: piece.part.read(columns), pieces)
    at = [piece.at for piece in pieces]

    def copy(name: str) -> None:
        if name == "look":
            scatter([np.array([piece.look], np.int32) for piece in pieces], np.zeros_like(row), at, out[name])
        else:
            scatter([values[own[name]] for values in found], row, at, out[name])

    share_out(copy, [*own, "look"])


def _category(codes: NDArray[Any], categories: pd.Index) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=categories, validate=False)


def _named(names: Sequence[str], look: NDArray[np.int32]) -> pd.Categorical:
    """Return the names of rows whose look is given, as categories."""
    unique, code = np.unique(np.array(names, object), return_inverse=True)
    return _category(code.astype(np.min_scalar_type(-max(len(unique), 1)))[look], pd.Index(unique, dtype="str"))
