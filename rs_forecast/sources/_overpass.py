"""One overpass over one tile in several products: processed again, or cut in parts where the recording was.

A recording that goes to the ground in pieces gives a tile two products of one day, each with the pixels of its own
piece (https://github.com/olivierhagolle/theia_download/issues/28). Their names differ in nothing but the time of
processing, so the outlines of their pixels tell: a processing covers anew what the one before it did, a part lies
beside. The piece's own sensing time tells only where there is no outline, because two stations may have received the
same pixels (https://github.com/microsoft/PlanetaryComputerDataCatalog/issues/396).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import shapely

_COVERED = 0.5
"""Share of a product's outline from which newer ones replace it."""
_STRIP = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")


@dataclass(frozen=True, kw_only=True)
class Product[T]:
    """A product as it was found. ``what`` is the finder's own."""

    age: tuple[str, ...]
    """Of two processings the one with the greater counts."""
    strip: str
    """When the sensing of its piece of the recording began, or another text that tells pieces apart; may be empty."""
    outline: shapely.Geometry | None
    """Where it has pixels, in degrees; None where it is not told."""
    what: T


def strip_of(identifier: object) -> str:
    """Return the sensing time in ESA's identifier of a datastrip, ``S2A_OPER_..._S20240115T031129_N05.10``."""
    found = _STRIP.search(str(identifier or ""))
    return found[1] if found else ""


def parts_of[T](products: Iterable[Product[T]]) -> tuple[list[Product[T]], list[Product[T]]]:
    """Return the products of one overpass over one tile that count, by sensing time, and those passed over.

    From the newest back, a product counts unless newer ones cover half of it. Of two of one age the later in
    ``products`` counts.
    """
    kept: list[Product[T]] = []
    passed: list[Product[T]] = []
    for product in sorted(products, key=lambda item: item.age)[::-1]:
        (passed if _is_covered(product, kept) else kept).append(product)
    return sorted(kept, key=_order), passed


def part_id(scene_id: str, number: int) -> str:
    """Return the id of an overpass's part, counted from 0: the first has the overpass's own."""
    return f"{scene_id}_{number + 1}" if number else scene_id


def _is_covered[T](product: Product[T], newer: Sequence[Product[T]]) -> bool:
    outlines = [other.outline for other in newer if other.outline is not None]
    if product.outline is not None and outlines:
        common = shapely.intersection(product.outline, shapely.union_all(outlines)).area
        if common >= _COVERED * product.outline.area:
            return True
    untold = [other for other in newer if product.outline is None or other.outline is None]
    return any(not (product.strip and other.strip) or product.strip == other.strip for other in untold)


def _order[T](product: Product[T]) -> tuple[str, float]:
    """Return what sorts parts by time; where none is told, from the north: by day the satellites come from there."""
    return product.strip, 0.0 if product.outline is None else -shapely.centroid(product.outline).y
