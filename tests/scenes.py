"""Tiny SYNTHETIC scenes for tests: one GeoTIFF a band at 10 or 20 m, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.io import MemoryFile

from rs_forecast.catalog import BANDS

CRS = "EPSG:32648"
WEST, NORTH = 500_000.0, 1_150_000.0
SIZE = {band.code: band.resolution for band in BANDS.values()}
CODES = ("B02", "B04", "B05", "B08", "B8A", "B11")
ROWS, COLS = 20, 24
"""Size in 20 m pixels; a band of 10 m has twice as many."""


@dataclass(frozen=True)
class Truth:
    """What was written: digital numbers by band code, classes under ``SCL``."""

    scene_id: str
    numbers: Mapping[str, np.ndarray]
    scale: float = 1e-4
    offset: float = 0.0

    def reflectance(self, code: str) -> np.ndarray:
        """Return float32 reflectance on the band's own grid."""
        raw = self.numbers[code]
        value = np.maximum(raw * self.scale + self.offset, 0.0)
        return np.where(raw == 0, np.nan, value).astype(np.float32)

    def at_10m(self, code: str) -> np.ndarray:
        """Return reflectance (classes for SCL) on the 10 m grid."""
        values = self.numbers["SCL"] if code == "SCL" else self.reflectance(code)
        return values if SIZE[code] == 10 else values.repeat(2, axis=0).repeat(2, axis=1)


def numbers(seed: int, *, rows: int = ROWS, cols: int = COLS, cloud: float = 0.1, gaps: bool = True) -> dict[str, Any]:
    """Return random digital numbers for each band: plain land, ``cloud`` of it under clouds, here and there no data."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for code in CODES:
        fine = 20 // SIZE[code]
        made[code] = rng.integers(300, 4000, (rows * fine, cols * fine)).astype(np.uint16)
        if gaps:
            made[code][rng.random(made[code].shape) < 0.02] = 0
    scl = rng.choice([4, 5, 6, 7, 2], size=(rows, cols)).astype(np.uint8)
    scl[rng.random(scl.shape) < cloud] = 9
    scl[rng.random(scl.shape) < cloud / 4] = 3
    if gaps:
        scl[:2, :3] = 0
    made["SCL"] = scl
    return made


def write_band(
    path: Path,
    values: np.ndarray,
    size: float,
    *,
    west: float = WEST,
    north: float = NORTH,
    crs: Any = CRS,
    scale: float | None = None,
    offset: float = 0.0,
    driver: str = "GTiff",
    transform: Affine | None = None,
    tags: Mapping[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write one band; with ``scale`` None it declares none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"nodata": 0 if values.dtype.kind == "u" else None, **profile}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            dtype=values.dtype.name,
            count=1,
            height=values.shape[0],
            width=values.shape[1],
            crs=crs,
            transform=transform or Affine(size, 0, west, 0, -size, north),
            **profile,
        ) as plain:
            plain.write(values, 1)
            if scale is not None:
                plain.scales, plain.offsets = (scale,), (offset,)
            plain.update_tags(SYNTHETIC="YES", **(tags or {}))
        with memory.open() as plain:
            options = {} if driver == "COG" else {"tiled": True, "blockxsize": 16, "blockysize": 16}
            rasterio.shutil.copy(plain, path, driver=driver, compress="DEFLATE", **options)
    return path


def write_scene(
    folder: Path,
    day: str = "20240115",
    seed: int = 0,
    *,
    tile: str = "48PWS",
    scale: float | None = 1e-4,
    offset: float = 0.0,
    bands: Mapping[str, np.ndarray] | None = None,
    **how: Any,
) -> Truth:
    """Write ``<folder>/<tile>_<day>/<tile>_<day>_<band>.tif`` for each band, and return what is in them."""
    made = dict(bands) if bands is not None else numbers(seed)
    scene_id = f"{tile}_{day}"
    for code, values in made.items():
        said = None if code == "SCL" else scale
        path = folder / scene_id / f"{scene_id}_{code}.tif"
        write_band(path, values, SIZE[code], scale=said, offset=offset, **how)
    return Truth(scene_id, made, 1e-4 if scale is None else scale, offset)


def fields(count: int = 12, seed: int = 1, *, rows: int = ROWS, cols: int = COLS, crs: Any = CRS) -> gpd.GeoDataFrame:
    """Return irregular parcels inside the scene; some touch, some overlap, none follows the pixels."""
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(count):
        x = WEST + rng.uniform(45, cols * 20 - 45)
        y = NORTH - rng.uniform(45, rows * 20 - 45)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radius = rng.uniform(15, 45, 7)
        points = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
        shapes.append(shapely.convex_hull(shapely.multipoints(points)))
    names = [f"p{number:02d}" for number in range(count)]
    return gpd.GeoDataFrame({"parcel_id": names}, geometry=shapes, crs=CRS).to_crs(crs)


def grown(bad: np.ndarray, pixel: float, metres: float) -> np.ndarray:
    """Return the mask grown by brute force: every pixel whose centre is within ``metres`` of a masked one."""
    rows, cols = np.indices(bad.shape)
    out = bad.copy()
    for r, c in zip(*np.nonzero(bad), strict=True):
        out |= np.hypot(rows - r, cols - c) * pixel <= metres
    return out
