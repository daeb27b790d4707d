"""Items of Sentinel Hub's catalogue as orders."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import shapely

from rs_forecast.catalog.bands import BANDS
from rs_forecast.errors import DataWarning
from rs_forecast.sources._hub_script import split
from rs_forecast.sources._hub_settings import Hub
from rs_forecast.sources._hub_windows import Bounds, Footprint
from rs_forecast.sources.order import Order

PROVIDER = "sentinelhub"
_PRODUCT = re.compile(r"(S2[A-Z])_MSIL2A_(\d{8}T\d{6})_N(\d{2})(\d{2})_R(\d{3})_T(\d{2}[C-X][A-Z]{2})_(\d{8}T\d{6})")
_UNIT = 512 * 512 * 3
"""Pixels times bands that cost one processing unit, at 16 bits."""
_LEAST_UNITS = 0.005
_AROUND = pd.Timedelta(minutes=10)
"""Asked for before and after an overpass: neighbouring tiles are sensed within a minute, the next overpass comes 100
minutes later."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One product in the catalogue."""

    id: str
    sensed: pd.Timestamp
    """Start of the sensing, UTC without saying so."""
    shape: shapely.Geometry
    """Where it has pixels, in longitude and latitude."""
    satellite: str
    orbit: str
    tile: str
    baseline: str
    stamp: str
    """When it was processed."""

    @property
    def overpass(self) -> tuple[str, str, pd.Timestamp]:
        """Satellite, orbit and day."""
        return self.satellite, self.orbit, self.sensed.normalize()

    def is_of(self, tile: str) -> bool:
        """Whether it is the tile's own product; the letter of the latitude is left aside, squares may lie in two."""
        return bool(self.tile) and self.tile[:2] + self.tile[3:] == tile[:2] + tile[3:]


def read_items(found: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Return the catalogue's items; one that cannot be read is named in a :class:`DataWarning`."""
    items = []
    for item in found:
        try:
            items.append(_read_item(item))
        except (LookupError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as err:
            name = str(item.get("id", "without id"))[:100]
            message = f"catalogue item {name}: left out, it cannot be read ({err}); report it to the provider"
            warnings.warn(DataWarning(message), stacklevel=3)
    return items


def _read_item(item: Mapping[str, Any]) -> Item:
    identity, said = str(item["id"]), item["properties"]
    sensed = pd.Timestamp(said["datetime"])
    if pd.isna(sensed):
        raise ValueError("it has no time")
    shape = shapely.from_geojson(json.dumps(item["geometry"]))
    if shape is None or shape.is_empty:
        raise ValueError("it has no outline")
    name = _PRODUCT.match(identity)
    declared = said.get("s2:processing_baseline") or said.get("processing:version")
    return Item(
        id=identity,
        sensed=sensed if sensed.tz is None else sensed.tz_convert(None),
        shape=shapely.make_valid(shape),
        satellite=name[1] if name else "S2",
        orbit=f"R{name[5]}" if name else f"{sensed:%H}h",
        tile=name[6] if name else "",
        baseline=str(declared or (f"{name[3]}.{name[4]}" if name else "")),
        stamp=name[7] if name else str(said.get("updated") or said.get("created") or identity),
    )


def orders_of(
    part: Footprint, shape: shapely.Geometry, items: Iterable[Item], bands: tuple[str, ...], hub: Hub
) -> list[Order]:
    """Return one order an overpass whose pixels meet ``shape``, the windows of ``part`` in degrees."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        if item.shape.intersects(shape):
            groups.setdefault(item.overpass, []).append(item)
    return [_order(part, sorted(group, key=lambda item: item.id), bands, hub) for group in groups.values()]


def _order(part: Footprint, items: Sequence[Item], bands: tuple[str, ...], hub: Hub) -> Order:
    own = [item for item in items if item.is_of(part.tile)] or items
    satellite, orbit, date = own[0].overpass
    tile = own[0].tile if own[0].is_of(part.tile) else part.tile
    newest = max(own, key=lambda item: item.stamp)
    identity = json.dumps([[(item.id, item.stamp) for item in own], part.windows])
    sensed = [item.sensed for item in items]
    first, last = min(sensed) - _AROUND, max(sensed) + _AROUND
    size, units = _estimate(part.windows, bands)
    return Order(
        scene_id=f"{satellite}_L2A_{date:%Y%m%d}_{orbit}_{tile}",
        tile=tile,
        date=date,
        provider=PROVIDER,
        version=f"{newest.stamp}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}",
        baseline=newest.baseline,
        bands=bands,
        size=size,
        units=units,
        detail={
            "base_url": hub.base_url,
            "collection": hub.collection,
            "ids": [item.id for item in own],
            "time": [f"{first:%Y-%m-%dT%H:%M:%SZ}", f"{last:%Y-%m-%dT%H:%M:%SZ}"],
            "epsg": part.epsg,
            "bounds": list(part.bounds),
            "windows": [list(window) for window in part.windows],
        },
    )


def _estimate(windows: Iterable[Bounds], bands: Sequence[str]) -> tuple[int, float]:
    """Return bytes, uncompressed, and processing units; the data mask is not counted."""
    size, units = 0, 0.0
    for resolution in {BANDS[name].resolution for name in bands}:
        here = [BANDS[name].code for name in bands if BANDS[name].resolution == resolution]
        reflectance, classes = split(here)
        for left, bottom, right, top in windows:
            pixels = (right - left) * (top - bottom) // resolution**2
            size += pixels * (2 * len(reflectance) + len(classes))
            units += max(pixels * len(here) / _UNIT, _LEAST_UNITS)
    return size, round(units, 3)
