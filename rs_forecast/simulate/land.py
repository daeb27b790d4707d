"""The land: communes, dyke sub-zones and narrow fields between canals, and what lies around them.

Everything is laid out as rectangles in a plain frame and then bent and turned by one smooth map, so that canals
curve, fields follow them, and nothing can overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import shapely

from rs_forecast.simulate._rng import generator

CRS = "EPSG:32648"
CENTRE = (543_800.0, 1_149_700.0)
"""Near Long Xuyen, An Giang: 105.4 E, 10.4 N."""

FIELDS_PER_SUB_ZONE = 45
SUB_ZONES_PER_COMMUNE = 3.7
FIELD_AREA = 5_200.0
"""Median [m2]."""
SMALLEST, LARGEST = 1_000.0, 20_000.0

_TURN = np.deg2rad(-13.0)
_BEND, _BEND_LENGTH = 32.0, 1900.0  # [m]; their ratio stays far below 1 / 2 pi, or the map would fold
_BUND = 0.6  # [m], half of the earth wall between two fields


class Rect(NamedTuple):
    """A rectangle of the plain frame [m]."""

    x0: float
    y0: float
    x1: float
    y1: float

    def inset(self, left: float, below: float, right: float, above: float) -> Rect:
        """Return the rectangle with that much taken off each side."""
        return Rect(self.x0 + left, self.y0 + below, self.x1 - right, self.y1 - above)


@dataclass(frozen=True, kw_only=True)
class Land:
    """Fields, communes, and the other cover of the ground."""

    parcels: gpd.GeoDataFrame
    """``parcel_id commune_code sub_zone crop`` and polygons."""
    communes: gpd.GeoDataFrame
    """``code name valid_from`` and polygons."""
    cover: gpd.GeoDataFrame
    """``kind`` and polygons in the order they are painted, fields last of all; ``paddy`` are fields of strangers."""

    @property
    def sub_zone(self) -> np.ndarray:
        """Number of each parcel's sub-zone, from 0."""
        return np.asarray(self.parcels["sub_zone"].astype("category").cat.codes.to_numpy(), dtype=np.int64)

    @property
    def centres(self) -> np.ndarray:
        """(parcel, 2) x and y of the fields' centres [m]."""
        return np.asarray(shapely.get_coordinates(shapely.centroid(self.parcels.geometry.to_numpy())))


def simulate_land(parcels: int, seed: int) -> Land:
    """Return a valley with exactly ``parcels`` rice fields."""
    side = np.sqrt(parcels * FIELD_AREA * 1.14 / 0.78) + 60.0
    layout = _layout(parcels, side, seed)
    while layout.usable.sum() < parcels:  # random widths: now and then a few too few
        side *= 1.03
        layout = _layout(parcels, side, seed)
    return _build(layout, parcels, seed)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    valley: Rect
    zones: list[Rect]
    commune: list[int]
    """Row of ``communes`` per zone."""
    communes: list[Rect]
    fields: np.ndarray
    """(field, 4, 2) corners."""
    field_zone: np.ndarray
    cover: list[tuple[str, Rect]]

    @property
    def usable(self) -> np.ndarray:
        """Whether a field has a size that is farmed as one."""
        area = shapely.area(shapely.buffer(shapely.polygons(self.fields), -_BUND, join_style="mitre"))
        return np.asarray((area > 1.03 * SMALLEST) & (area < 0.97 * LARGEST))  # bending changes some 1 %


def _layout(parcels: int, side: float, seed: int) -> _Layout:
    rng = generator(seed, "land")
    n_zones = max(4, round(parcels / FIELDS_PER_SUB_ZONE))
    n_communes = max(2, round(n_zones / SUB_ZONES_PER_COMMUNE))
    valley = Rect(-0.54 * side, -0.46 * side, 0.54 * side, 0.46 * side)
    shares = np.diff(np.round(np.linspace(0, n_zones, n_communes + 1))).astype(int)
    zones: list[Rect] = []
    commune: list[int] = []
    cover: list[tuple[str, Rect]] = [("canal", valley.inset(-16, -16, -16, -16))]
    fields, field_zone = [], []
    communes = []
    for number, (area, share) in enumerate(_divide(valley, list(shares), rng)):
        communes.append(area)
        inner = area.inset(*rng.uniform(9, 16, 4))  # the main canals run between communes
        for zone, _ in _divide(inner, [1] * share, rng):
            core = _sub_zone(zone, cover, rng)
            upright = rng.random() < 0.35
            quads = _fields(core._replace(x0=core.y0, y0=core.x0, x1=core.y1, y1=core.x1) if upright else core, rng)
            quads = quads[..., ::-1] if upright else quads
            fields.append(quads)
            field_zone += [len(zones)] * len(quads)
            zones.append(zone)
            commune.append(number)
    return _Layout(
        valley=valley,
        zones=zones,
        commune=commune,
        communes=communes,
        fields=np.concatenate(fields),
        field_zone=np.array(field_zone),
        cover=cover,
    )


def _divide(rect: Rect, shares: list[int], rng: np.random.Generator) -> Iterator[tuple[Rect, int]]:
    """Cut a rectangle across its longer side, again and again, into one piece per share."""
    if len(shares) == 1:
        yield rect, shares[0]
        return
    half = len(shares) // 2
    part = sum(shares[:half]) / sum(shares) + rng.uniform(-0.035, 0.035)
    if rect.x1 - rect.x0 > rect.y1 - rect.y0:
        cut = rect.x0 + part * (rect.x1 - rect.x0)
        pieces = rect._replace(x1=cut), rect._replace(x0=cut)
    else:
        cut = rect.y0 + part * (rect.y1 - rect.y0)
        pieces = rect._replace(y1=cut), rect._replace(y0=cut)
    yield from _divide(pieces[0], shares[:half], rng)
    yield from _divide(pieces[1], shares[half:], rng)


def _sub_zone(zone: Rect, cover: list[tuple[str, Rect]], rng: np.random.Generator) -> Rect:
    """Paint ditch, dyke and the strip of houses and trees along one side; return what is left for fields."""
    dyke = zone.inset(*rng.uniform(3, 7, 4))
    cover.append(("dyke", dyke))
    core = dyke.inset(*rng.uniform(4, 7, 4))
    cover.append(("grass", core))
    depth = rng.uniform(18, 34)
    if rng.random() < 0.75:
        strip = core._replace(y1=core.y0 + depth) if rng.random() < 0.5 else core._replace(x1=core.x0 + depth)
        cover.append(("trees", strip))
        cover += [("village", piece) for piece in _houses(strip, rng)]
        return core._replace(y0=strip.y1 + 3) if strip.x1 == core.x1 else core._replace(x0=strip.x1 + 3)
    return core


def _houses(strip: Rect, rng: np.random.Generator) -> Iterator[Rect]:
    along_x = strip.x1 - strip.x0 > strip.y1 - strip.y0
    start, stop = (strip.x0, strip.x1) if along_x else (strip.y0, strip.y1)
    at = start + rng.uniform(5, 40)
    while at < stop - 20:
        width = rng.uniform(8, 18)
        piece = (strip._replace(x0=at, x1=at + width)) if along_x else strip._replace(y0=at, y1=at + width)
        yield piece.inset(4, 4, 4, 4) if not along_x else piece.inset(0, 5, 0, 5)
        at += width + rng.uniform(10, 70)


def _fields(core: Rect, rng: np.random.Generator) -> np.ndarray:
    """Return (field, 4, 2) corners of the fields: rows across the sub-zone, each cut into long narrow lots."""
    width, height = core.x1 - core.x0, core.y1 - core.y0
    rows = max(1, round(height / rng.uniform(135, 190)))
    edges = core.y0 + height * np.cumsum(np.r_[0, rng.dirichlet(np.full(rows, 40.0))])
    quads = []
    for below, above in pairwise(edges):
        y0, y1 = below + 1.5, above - 1.5  # a ditch lies between two rows
        depth = y1 - y0
        area = np.clip(rng.lognormal(np.log(FIELD_AREA), 0.5, int(4 * width * depth / FIELD_AREA) + 8), 1500, 17_000)
        ends = np.cumsum(area / depth)
        count = max(1, int(np.searchsorted(ends, width)))
        at = np.r_[0, ends[:count]] * width / ends[count - 1]
        lean = rng.normal(0, 2.0, (2, count + 1)) * (np.r_[0, np.ones(count - 1), 0])
        lean = np.clip(lean, -0.2 * np.diff(at).min(), 0.2 * np.diff(at).min())
        foot, head = core.x0 + at + lean[0], core.x0 + at + lean[1]
        rise, fall = rng.uniform(0, 3.0, (2, count + 1))
        corners = [
            np.stack([foot[:-1], y0 + rise[:-1]], axis=-1),
            np.stack([foot[1:], y0 + rise[1:]], axis=-1),
            np.stack([head[1:], y1 - fall[1:]], axis=-1),
            np.stack([head[:-1], y1 - fall[:-1]], axis=-1),
        ]
        quads.append(np.stack(corners, axis=1))
    return np.concatenate(quads)


def _build(layout: _Layout, parcels: int, seed: int) -> Land:
    rng = generator(seed, "land use")
    rice = np.sort(rng.permutation(np.flatnonzero(layout.usable))[:parcels])
    others = np.setdiff1d(np.arange(len(layout.fields)), rice)
    polygons = shapely.buffer(_bend(shapely.polygons(layout.fields)), -_BUND, join_style="mitre")
    zone = layout.field_zone[rice]
    frame = gpd.GeoDataFrame(
        {
            "parcel_id": [f"SYN-{i + 1:05d}" for i in range(parcels)],
            "commune_code": [f"SYN{layout.commune[z] + 1:02d}" for z in zone],
            "sub_zone": [f"Z{z + 1:03d}" for z in zone],
            "crop": "rice",
        },
        geometry=polygons[rice],
        crs=CRS,
    )
    kinds = rng.choice(["trees", "pond", "grass"], len(others), p=[0.5, 0.3, 0.2])
    painted = [*_surroundings(layout.valley, rng), *layout.cover]
    cover = gpd.GeoDataFrame(
        {"kind": [kind for kind, _ in painted] + list(kinds)},
        geometry=[*_bend(np.array([shapely.box(*rect) for _, rect in painted])), *polygons[others]],
        crs=CRS,
    )
    return Land(parcels=frame, communes=_communes(layout), cover=cover)


def _communes(layout: _Layout) -> gpd.GeoDataFrame:
    """Return the communes; each reaches to the middle of the canals around it."""
    shapes = [shapely.box(*area) for area in layout.communes]
    codes = [f"SYN{number + 1:02d}" for number in range(len(shapes))]
    names = [f"SYNTHETIC commune {number + 1}" for number in range(len(shapes))]
    return gpd.GeoDataFrame(
        {"code": codes, "name": names, "valid_from": "2019-01-01"}, geometry=_bend(np.array(shapes)), crs=CRS
    )


def _surroundings(valley: Rect, rng: np.random.Generator) -> Iterator[tuple[str, Rect]]:
    """Paint what an image shows around the valley: strangers' fields, orchards, and a river in the north."""
    reach = 0.35 * (valley.x1 - valley.x0) + 250
    outer = valley.inset(-reach, -reach, -reach, -reach)
    yield "grass", outer
    for y in np.arange(outer.y0, outer.y1, 190):
        x = outer.x0
        while x < outer.x1:
            width = rng.uniform(25, 110)
            kind = rng.choice(["paddy", "trees", "pond", "village"], p=[0.74, 0.18, 0.04, 0.04])
            yield str(kind), Rect(x + 1, y + 5, x + width - 1, y + 185)
            x += width
    yield "trees", Rect(outer.x0, valley.y1 + 30, outer.x1, valley.y1 + 260)
    yield "river", Rect(outer.x0, valley.y1 + 55, outer.x1, valley.y1 + 235)


def _bend(shapes: np.ndarray) -> np.ndarray:
    """Take shapes of the plain frame to UTM."""

    def move(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        x, y = (
            x + _BEND * np.sin(2 * np.pi * y / _BEND_LENGTH + 0.7),
            y + 1.3 * _BEND * np.sin(2 * np.pi * x / (1.4 * _BEND_LENGTH) + 0.2),
        )
        cos, sin = np.cos(_TURN), np.sin(_TURN)
        return np.stack([CENTRE[0] + cos * x - sin * y, CENTRE[1] + sin * x + cos * y], axis=-1)

    return np.asarray(shapely.set_precision(shapely.transform(shapely.segmentize(shapes, 60.0), move), 0.01))
