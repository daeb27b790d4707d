"""What is asked of every scene: indices and mask; and what of a scene decides the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from odc.geo.geobox import GeoBox

from rs_forecast.catalog import Index
from rs_forecast.catalog.bands import SCL
from rs_forecast.kernels.bandmath import link
from rs_forecast.sources.scene import BandFile, Scene
from rs_forecast.store.parts import Head
from rs_forecast.workspace import sha256_text

_ANY = (float("-inf"), float("inf"))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Indices and mask that signals are asked for with."""

    indices: tuple[Index, ...]
    mask_classes: tuple[int, ...]
    mask_dilate_m: float

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The mask's classes, each once, in order."""
        return tuple(sorted(set(self.mask_classes)))

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Bands that must have a value in a pixel that counts."""
        return link([row.parsed for row in self.indices], [row.valid for row in self.indices]).bands

    @cached_property
    def by_hash(self) -> dict[str, Index]:
        """The indices by the hash of formula and range; two names for one formula are one."""
        return {index_hash(row): row for row in reversed(self.indices)}

    def asking(self, hashes: Sequence[str]) -> list[Index]:
        """Return the indices with ``hashes``, and if need be a sum of all bands, so that pixels count as for all."""
        rows = [self.by_hash[code] for code in hashes]
        if {name for row in rows for name in row.parsed.names} == set(self.bands):
            return rows
        return [*rows, Index(name="_bands", formula=" + ".join(self.bands), valid=_ANY, doi="", doc="every band")]

    def used(self, scene: Scene) -> dict[str, BandFile]:
        """Return the bands of ``scene`` that decide the numbers."""
        return {band: scene.bands[band] for band in sorted({*self.bands, SCL})}

    def grid(self, scene: Scene) -> GeoBox:
        """Return the grid of the finest band."""
        return min((scene.bands[band].geobox for band in self.bands), key=lambda g: abs(g.affine.a))

    def masks_like(self, head: Head) -> bool:
        """Whether a part was made with this mask."""
        return head.mask_classes == self.classes and head.mask_dilate_m == self.mask_dilate_m

    def covers(self, head: Head) -> bool:
        """Whether a part was made with this mask, of pixels with these bands."""
        return self.masks_like(head) and head.readings.keys() == {*self.bands, SCL}


def index_hash(index: Index) -> str:
    """Return a hash that changes when an index's values can."""
    return sha256_text(f"{index.parsed.hash} {index.valid!r}")[:12]


def readings(bands: Mapping[str, BandFile]) -> dict[str, str]:
    """Return for each band a hash of how its stored numbers are read: scale, offset, nodata and grid."""
    out = {}
    for name, band in bands.items():
        grid = band.geobox
        place = f"{grid.crs.to_wkt() if grid.crs else None} {tuple(grid.affine)[:6]!r} {tuple(grid.shape)!r}"
        out[name] = sha256_text(f"{band.scale!r} {band.offset!r} {band.nodata!r} {place}")[:12]
    return out
