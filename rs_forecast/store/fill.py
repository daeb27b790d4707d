"""What the store lacks of some scenes, worked out and computed. A gap is parcels that lack the same indices."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.errors import DataWarning, NoDataError, SourceError
from rs_forecast.signals import look_tables
from rs_forecast.sources._plausible import implausible
from rs_forecast.sources.scene import Scene
from rs_forecast.store.parcels import Parcels
from rs_forecast.store.parts import WEIGHTS, Part, parcels_hash, write_part
from rs_forecast.store.recipe import Recipe
from rs_forecast.store.shelf import Shelf, Target, head_of

Outlines = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gap:
    """Outlines of parcels, and the indices (by hash) to compute for them."""

    codes: tuple[str, ...]
    outlines: Outlines
    whole: bool
    """Whether these are all parcels on the scene's grid."""
    ids: pd.Index
    """The parcels that stand for the outlines."""
    names: list[str]
    """What tells the outlines apart."""


@dataclass(kw_only=True)
class _Job:
    """Scenes with one gap, or with nothing stored, to be looked at in one go."""

    codes: tuple[str, ...]
    gaps: dict[str, Gap] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)


class Filler:
    """Computes what is missing of scenes, and writes it as it comes."""

    def __init__(
        self,
        folder: Path,
        shelf: Shelf,
        ground: Parcels,
        recipe: Recipe,
        means: Mapping[str, Any],
        tick: Callable[[], None],
    ) -> None:
        self._folder, self._shelf, self._ground, self._recipe = folder, shelf, ground, recipe
        self._tick = tick
        self._options = {
            "mask_classes": recipe.classes,
            "mask_dilate_m": recipe.mask_dilate_m,
            "keep_coverage": folder / "coverage",
            **means,
        }
        self._planned: dict[Any, list[Gap]] = {}
        self.read: set[str] = set()
        self.failed: set[str] = set()
        self._judged: set[str] = set()
        self.rows = 0

    def gaps(self, target: Target, *, lending: bool) -> list[Gap]:
        """Return what is missing of a scene. With ``lending``, what other parts may lend need not be computed."""
        own = self._shelf.own(target, self._recipe)
        lent = self._shelf.lenders(target, self._recipe) if lending else []
        codes = tuple(self._recipe.by_hash)
        inside = self._ground.inside(target.grid)
        key = (id(inside), *(tuple(_lists(parts, code) for code in codes) for parts in (own, lent)))
        if key not in self._planned:
            need, ask = (np.empty((len(codes), int(inside.sum())), bool) for _ in range(2))
            for k, code in enumerate(codes):
                need[k] = ~self._listed(own, code)[inside]
                ask[k] = need[k] & ~self._listed(lent, code)[inside]
            self._planned[key] = list(self._grouped(codes, need, ask, np.flatnonzero(inside)))
        return self._planned[key]

    def fill(self, targets: Sequence[Target], *, lending: bool) -> None:
        """Compute and write what is missing of scenes, but for those that have failed before or are not plausible."""
        self._judge(target.scene for target in targets)
        jobs: dict[Any, _Job] = {}
        for target in targets:
            for gap in self.gaps(target, lending=lending) if target.scene.scene_id not in self.failed else ():
                key = (gap.codes, None if gap.whole else id(gap))
                job = jobs.setdefault(key, _Job(codes=gap.codes))
                job.gaps[target.scene.scene_id], job.targets[target.scene.scene_id] = gap, target
        for job in jobs.values():
            left = set(job.targets)
            with contextlib.closing(self._look(job)) as looks:  # whatever happens, its warning filter ends here
                for scene_id, table in looks:
                    self._keep(job.targets[scene_id], job.gaps[scene_id], table, lending=lending)
                    left.remove(scene_id)
                    self.read.add(scene_id)
                    self._tick()
            self.failed |= left

    def _judge(self, scenes: Iterable[Scene]) -> None:
        """Name scenes that are new and whose pixels contradict their metadata: nothing of them is stored."""
        for scene in scenes:
            if scene.scene_id in self._judged or self._shelf.of(scene.scene_id):
                continue
            self._judged.add(scene.scene_id)
            with contextlib.suppress(SourceError):  # what cannot be read is named where it is computed
                if said := implausible(scene):
                    warnings.warn(DataWarning(f"scene {scene.scene_id}: left out. {said}"), stacklevel=4)
                    self.failed.add(scene.scene_id)

    def _look(self, job: _Job) -> Generator[tuple[str, pd.DataFrame]]:
        outlines = np.unique(np.concatenate([gap.outlines for gap in {id(g): g for g in job.gaps.values()}.values()]))
        scenes = [target.scene for target in job.targets.values()]
        indices = self._recipe.asking(job.codes)
        with warnings.catch_warnings():
            # of these parcels and scenes alone that says little; the store names those outside all scenes itself
            warnings.filterwarnings("ignore", r"\d+ parcels lie outside the imagery", DataWarning)
            try:
                yield from look_tables(scenes, self._ground.frame(outlines), indices, **self._options)
            except NoDataError:  # all of them lie beyond the edge, by less than a pixel or two
                nothing = pd.DataFrame({schema.PARCEL: pd.Series(dtype="str")})
                yield from ((scene.scene_id, nothing) for scene in scenes)

    def _keep(self, target: Target, gap: Gap, table: pd.DataFrame, *, lending: bool) -> None:
        at = gap.ids.get_indexer(pd.Index(table[schema.PARCEL], dtype="str"))
        names = {code: self._recipe.by_hash[code].name for code in gap.codes}
        columns = [f"{name}_{stat}" for name in names.values() for stat in schema.STATS]
        values: dict[str, NDArray[Any]] = {name: np.zeros(len(gap.ids)) for name in WEIGHTS}
        values |= {name: np.full(len(gap.ids), np.nan, np.float32) for name in columns}
        for name, column in values.items() if len(table) else ():
            column[at] = table[name].to_numpy(column.dtype)
        self.rows += len(table)
        if gap.codes:
            self._write(target, gap.ids, gap.names, {name: code for code, name in names.items()}, values)
        if lending:
            for lender in self._shelf.lenders(target, self._recipe):
                self._borrow(target, gap, lender, values["valid_weight"])

    def _borrow(self, target: Target, gap: Gap, lender: Part, weight: NDArray[np.float64]) -> None:
        """Take over a lender's values for parcels of whose pixels as many count now as did then: the same ones."""
        lent = set(lender.head.indices.values()) - set(gap.codes)
        names = {row.name: code for code, row in self._recipe.by_hash.items() if code in lent}
        columns = {f"{name}_{s}": lender.head.column(code, s) for name, code in names.items() for s in schema.STATS}
        columns |= {name: name for name in WEIGHTS}
        at = pd.Index(gap.names, dtype="str").get_indexer(pd.Index(lender.outlines(), dtype="str"))
        found = lender.read(list(columns.values()))
        row = np.flatnonzero(at >= 0)
        row = row[found["valid_weight"][row] == weight[at[row]]]
        if names and len(row):
            values = {new: found[old][row] for new, old in columns.items()}
            self._write(target, gap.ids[at[row]], [gap.names[k] for k in at[row]], names, values)

    def _write(
        self, target: Target, ids: pd.Index, names: Sequence[str], indices: dict[str, str], values: dict[str, Any]
    ) -> None:
        edition = self._shelf.next_edition(target.scene.scene_id)
        head = head_of(target, self._recipe, indices, parcels_hash(names), edition)
        self._shelf.add(write_part(self._folder, head, ids.tolist(), names, values))

    def _listed(self, parts: Sequence[Part], code: str) -> NDArray[np.bool_]:
        """Return which outlines have been looked at for an index."""
        seen = np.zeros(len(self._ground.outlines), bool)
        for part in {part.head.parcels: part for part in parts if code in part.head.indices.values()}.values():
            _, parcel = self._ground.rows_in(part)
            seen[self._ground.outline_of[parcel]] = True
        return seen

    def _grouped(
        self, codes: tuple[str, ...], need: NDArray[np.bool_], ask: NDArray[np.bool_], inside: Outlines
    ) -> Iterator[Gap]:
        """Yield a gap for each set of indices that parcels lack; ``need`` and ``ask`` are (index, outline inside)."""
        lacking = np.flatnonzero(need.any(axis=0))
        sets, which = np.unique(np.packbits(ask[:, lacking], axis=0), axis=1, return_inverse=True)
        for k in range(sets.shape[1]):
            own = lacking[which == k]
            wanted = ask[:, own[0]]
            outlines = inside[own]
            yield Gap(
                codes=tuple(code for code, asked in zip(codes, wanted, strict=True) if asked),
                outlines=outlines,
                whole=len(own) == len(inside),
                ids=self._ground.ids[self._ground.firsts[outlines]],
                names=self._ground.outlines[outlines].tolist(),
            )


def _lists(parts: Sequence[Part], code: str) -> tuple[str, ...]:
    return tuple(sorted({part.head.parcels for part in parts if code in part.head.indices.values()}))
