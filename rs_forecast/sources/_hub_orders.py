"""Items of Sentinel Hub's catalogue as orders."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import shapely

from rs_forecast.catalog.bands import BANDS
from rs_forecast.errors import SourceError
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


class Item:
    """One product in the catalogue."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        try:
            self.id = str(item["id"])
            said = item["properties"]
            self.sensed = pd.Timestamp(said["datetime"])
            self.sensed = self.sensed.tz_localize(None) if self.sensed.tz is None else self.sensed.tz_convert(None)
            self.shape = shapely.make_valid(shapely.from_geojson(json.dumps(item["geometry"])))
        except (LookupError, TypeError, ValueError, shapely.errors.ShapelyError) as err:
            raise SourceError(f"the catalogue lists an item that cannot be read ({err}); report it to them") from err
        name = _PRODUCT.match(self.id)
        self.satellite, self.orbit = (name[1], f"R{name[5]}") if name else ("S2", f"{self.sensed:%H}h")
        self.tile = name[6] if name else ""
        declared = said.get("s2:processing_baseline") or said.get("processing:version")
        self.baseline = str(declared or (f"{name[3]}.{name[4]}" if name else ""))
        self.stamp = name[7] if name else str(said.get("updated") or said.get("created") or self.id)

    @property
    def overpass(self) -> tuple[str, str, pd.Timestamp]:
        """Satellite, orbit and day."""
        return self.satellite, self.orbit, self.sensed.normalize()

    def is_of(self, tile: str) -> bool:
        """Whether it is the tile's own product; the letter of the latitude is left aside, squares may lie in two."""
        return bool(self.tile) and self.tile[:2] + self.tile[3:] == tile[:2] + tile[3:]


def orders_of(
    part: Footprint, shape: shapely.Geometry, items: Iterable[Item], bands: tuple[str, ...], hub: Hub
) -> list[Order]:
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
    """Return bytes, uncompressed, and processing units; the data mask costs nothing."""
    size, units = 0, 0.0
    for resolution in {BANDS[name].resolution for name in bands}:
        here = [BANDS[name].code for name in bands if BANDS[name].resolution == resolution]
        reflectance, classes = split(here)
        for left, bottom, right, top in windows:
            pixels = (right - left) * (top - bottom) // resolution**2
            size += pixels * (2 * len(reflectance) + len(classes))
            units += max(pixels * len(here) / _UNIT, _LEAST_UNITS)
    return size, round(units, 3)
