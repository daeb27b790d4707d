"""The parts there are, by scene; which version of a scene they are of, and which of them lend their numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from odc.geo.geobox import GeoBox

from rs_forecast.sources.scene import Scene
from rs_forecast.store.parts import DamagedPartError, Head, Part, scan
from rs_forecast.store.recipe import Recipe, readings

_ABANDONED_S = 86_400
"""Age [s] at which an unfinished file is taken as left by a process that was killed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A scene as it is to be stored: what decides its numbers, and which version of the overpass it is."""

    scene: Scene
    grid: GeoBox
    contents: Mapping[str, str]
    readings: Mapping[str, str]
    version: int
    seen: str
    known_at: str
    known_at_basis: str

    @property
    def pixel(self) -> float:
        """Side of the finest band's pixels [m]."""
        return abs(float(self.grid.affine.a))


class Shelf:
    """Parts of a folder."""

    def __init__(self, folder: Path) -> None:
        parts, self.damaged = scan(folder)
        self._by_scene: dict[str, list[Part]] = {}
        for part in parts:
            self.add(part)

    def add(self, part: Part) -> None:
        """Put a part in its place."""
        self._by_scene.setdefault(part.head.scene_id, []).append(part)

    def of(self, scene_id: str) -> list[Part]:
        """Return the parts of a scene, in the order of their making."""
        return self._by_scene.get(scene_id, [])

    def target(self, scene: Scene, recipe: Recipe, contents: Mapping[str, str], seen: pd.Timestamp) -> Target:
        """Return ``scene`` with its version: that of the newest parts, or a new one if its pixels are others."""
        newest = self.newest(scene.scene_id)
        version, day = 1, f"{seen:%Y-%m-%d}"
        known_at, basis = f"{scene.known_at:%Y-%m-%d}", scene.known_at_basis
        if newest:
            head = newest[0].head
            version = head.version
            if any(contents.get(band, code) != code for part in newest for band, code in part.head.contents.items()):
                version, known_at, basis = version + 1, max(day, head.seen), "measured"
            else:
                day, known_at, basis = head.seen, head.known_at, head.known_at_basis
        return Target(
            scene=scene,
            grid=recipe.grid(scene),
            contents=contents,
            readings=readings(recipe.used(scene)),
            version=version,
            seen=day,
            known_at=known_at,
            known_at_basis=basis,
        )

    def newest(self, scene_id: str) -> list[Part]:
        """Return all parts of a scene's newest version."""
        parts = self.of(scene_id)
        last = max((part.head.version for part in parts), default=0)
        return [part for part in parts if part.head.version == last]

    def own(self, target: Target, recipe: Recipe) -> list[Part]:
        """Return the parts with just the numbers that are asked for."""
        return [
            part
            for part in self.of(target.scene.scene_id)
            if part.head.version == target.version
            and recipe.covers(part.head)
            and part.head.contents == target.contents
            and part.head.readings == target.readings
        ]

    def lenders(self, target: Target, recipe: Recipe) -> list[Part]:
        """Return parts that were asked for fewer bands: right for every parcel in which as many pixels count now."""
        return [
            part
            for part in self.of(target.scene.scene_id)
            if part.head.version == target.version
            and recipe.masks_like(part.head)
            and part.head.pixel == target.pixel
            and part.head.readings.items() < target.readings.items()
            and part.head.contents.items() < target.contents.items()
        ]

    def versions(self, scene: Scene, recipe: Recipe) -> Iterator[list[Part]]:
        """Yield, oldest first, the parts of each version of a scene that hold what is asked for.

        Scale, offset and grid of the newest must be the scene's own; an older version keeps those it was last read
        with, since its files may be gone.
        """
        parts = [part for part in self.of(scene.scene_id) if recipe.covers(part.head)]
        newest = max((part.head.version for part in self.of(scene.scene_id)), default=0)
        for version in sorted({part.head.version for part in parts}):
            own = [part for part in parts if part.head.version == version]
            read_as = readings(recipe.used(scene)) if version == newest else own[-1].head.readings
            kept = [part for part in own if part.head.readings == read_as]
            if kept:
                yield kept

    def discard(self, err: DamagedPartError) -> None:
        """Take a damaged part off the shelf and the disk."""
        err.path.unlink(missing_ok=True)
        for parts in self._by_scene.values():
            parts[:] = [part for part in parts if part.path != err.path]

    def next_edition(self, scene_id: str) -> int:
        """Return the number of the scene's next part."""
        return max((part.head.edition for part in self.of(scene_id)), default=0) + 1


def head_of(target: Target, recipe: Recipe, indices: Mapping[str, str], parcels: str, edition: int) -> Head:
    """Return the head of a part of ``target`` with the columns of ``indices``."""
    scene = target.scene
    return Head(
        scene_id=scene.scene_id,
        tile=scene.tile,
        date=f"{scene.date:%Y-%m-%d}",
        version=target.version,
        seen=target.seen,
        known_at=target.known_at,
        known_at_basis=target.known_at_basis,
        mask_classes=recipe.classes,
        mask_dilate_m=float(recipe.mask_dilate_m),
        pixel=target.pixel,
        contents=target.contents,
        readings=target.readings,
        indices=indices,
        parcels=parcels,
        edition=edition,
    )


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left unfinished."""
    for file in folder.glob("*/.*.new-*"):
        try:
            if time.time() - file.stat().st_mtime > _ABANDONED_S:
                file.unlink()
        except OSError:
            continue  # another process was quicker, or still holds it
