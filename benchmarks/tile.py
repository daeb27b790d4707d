"""A SYNTHETIC Sentinel-2 tile with parcels, of any size, made anew by anyone from its seed.

Ten bands and the scene classification as Cloud Optimised GeoTIFFs that :func:`rs_forecast.sources.local.open_scenes`
reads, and parcels of 0.15-2.3 ha as GeoParquet. Fields stand in groups of fifteen: inside a group they share edges, and
groups lie strewn over the tile, so that every block of the files holds some. Pixels in memory are one band at most.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

CRS = "EPSG:32648"
WEST, NORTH = 499_980.0, 1_200_000.0
"""Corner of tile 48PWS [m]."""
SCENE = "20260115_48PWS"
SIZE, PARCELS, SEED = 10_980, 100_000, 0
BLOCK = 1024
OFFSET = -0.1

# band: pixel size [m], reflectance of bare soil and of a closed canopy
SPECTRA = {
    "B02": (10, 0.08, 0.03), "B03": (10, 0.11, 0.07), "B04": (10, 0.15, 0.03), "B08": (10, 0.24, 0.45),
    "B05": (20, 0.18, 0.09), "B06": (20, 0.20, 0.30), "B07": (20, 0.22, 0.40), "B8A": (20, 0.25, 0.47),
    "B11": (20, 0.32, 0.20), "B12": (20, 0.26, 0.10),
}  # fmt: skip
CLOUD = 0.55
"""Reflectance of cloud in any band."""
NOISE = 0.009
"""Relative noise of a pixel; with it a full tile takes some 790 MB."""

PITCH = 422.0
"""From one group of fields to the next [m]."""
ACROSS, DOWN, TAKEN = 5, 4, 15
"""Fields in a group, and how many of them are parcels."""
CANAL = 2.0
"""Between a group and its border [m]."""
AREA = (0.15, 2.3)
"""Of a parcel [ha]."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Where a tile lies on disk."""

    folder: Path
    size: int
    """Rows and columns of the 10 m bands."""

    @property
    def scenes(self) -> Path:
        """The folder to give to ``open_scenes``."""
        return self.folder / "scenes"

    def parcels(self, count: int) -> Path:
        """The GeoParquet file of ``count`` parcels."""
        return self.folder / f"parcels_{count}.parquet"


def make_tile(folder: Path, *, size: int = SIZE, counts: tuple[int, ...] = (PARCELS,), seed: int = SEED) -> Tile:
    """Write what is missing of a tile and return where it lies; a tile of another size or seed is refused.

    Parameters
    ----------
    folder
        Gets ``scenes/``, one ``parcels_<count>.parquet`` for each of ``counts``, and ``tile.json``.
    size
        Rows and columns of the 10 m bands, an even number.
    seed
        The same seed gives the same pixels and parcels.
    """
    if size % 2 or size < 2 * PITCH / 10:
        raise ValueError(f"size {size}: an even number of at least {2 * PITCH / 10:.0f} pixels is due")
    folder.mkdir(parents=True, exist_ok=True)
    tile, stamp = Tile(folder=folder, size=size), folder / "tile.json"
    wanted = {"size": size, "seed": seed}
    if stamp.exists() and json.loads(stamp.read_text()) != wanted:
        raise ValueError(f"{folder} holds another tile, {stamp.read_text()}; name another folder, or remove it")
    for code in [*SPECTRA, "SCL"]:
        path = tile.scenes / f"{SCENE}_{code}.tif"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _write_band(path, code, size, seed)
    for count in counts:
        if not tile.parcels(count).exists():
            make_parcels(count, size=size, seed=seed).to_parquet(tile.parcels(count))
    stamp.write_text(json.dumps(wanted))
    return tile


# -------------------------------------------------------------------------------------------------------------- pixels
def _write_band(path: Path, code: str, size: int, seed: int) -> None:
    """Write one band: plain and block row by block row first, then copied in the order of a COG."""
    metres = 20 if code == "SCL" else SPECTRA[code][0]
    rows = size * 10 // metres
    plain = path.with_suffix(".plain")
    profile = {
        "driver": "GTiff", "dtype": "uint8" if code == "SCL" else "uint16", "count": 1, "height": rows, "width": rows,
        "crs": CRS, "transform": Affine(metres, 0, WEST, 0, -metres, NORTH), "nodata": 0,
        "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
    }  # fmt: skip
    cells, clouds = _cells(size, seed), _clouds(size, seed)
    draw = partial(_classes, cells, clouds) if code == "SCL" else partial(_numbers, cells, clouds, code, seed)
    tops = range(0, rows, BLOCK)
    with rasterio.open(plain, "w", **profile) as file, ThreadPoolExecutor(2) as pool:
        for top, values in zip(tops, pool.map(lambda top: draw(top, min(top + BLOCK, rows), rows), tops), strict=True):
            file.write(values, 1, window=Window(0, top, rows, len(values)))
        if code != "SCL":
            file.scales, file.offsets = (1e-4,), (OFFSET,)
        text = f"SYNTHETIC {code} of a made-up landscape for benchmarks; no satellite saw this"
        file.update_tags(SYNTHETIC="YES", TIFFTAG_IMAGEDESCRIPTION=text, SEED=str(seed))
    part = path.with_suffix(".part")
    options = {"blocksize": BLOCK, "compress": "DEFLATE", "predictor": "STANDARD", "overviews": "NONE"}
    rasterio.shutil.copy(plain, part, driver="COG", num_threads="ALL_CPUS", **options)
    plain.unlink()
    part.rename(path)


def _cells(size: int, seed: int) -> NDArray[np.float32]:
    """Return how green each patch of 90 m is, 0-1, (patch row, patch column)."""
    return np.random.default_rng([seed, 1]).beta(1.6, 1.2, (size // 9 + 1,) * 2).astype(np.float32)


def _clouds(size: int, seed: int) -> NDArray[np.float64]:
    """Return discs of cloud (row, column, radius) in shares of the tile: some four percent of it, sizes mixed."""
    rng = np.random.default_rng([seed, 2])
    count = max(4, size // 180)
    radius = rng.lognormal(0, 0.6, count)
    radius *= np.sqrt(0.04 / (np.pi * (radius**2).sum()))
    return np.column_stack([rng.random((count, 2)), radius])


def _sky(clouds: NDArray[np.float64], top: int, bottom: int, rows: int) -> NDArray[np.uint8]:
    """Return the classes of cloud and shadow in a strip, 0 where the sky is clear."""
    out = np.zeros((bottom - top, rows), np.uint8)
    for number, grow, shift in ((3, 1.0, 0.004), (8, 1.15, 0.0), (9, 1.0, 0.0)):
        for row, col, radius in clouds * rows:
            y, x, r = row - shift * rows, col + shift * rows, radius * grow
            first, last = max(int(y - r), top), min(int(y + r) + 1, bottom)
            left, right = max(int(x - r), 0), min(int(x + r) + 1, rows)
            if first < last and left < right:
                inside = (np.arange(first, last)[:, None] - y) ** 2 + (np.arange(left, right) - x) ** 2 < r**2
                out[first - top : last - top, left:right][inside] = number
    return out


def _green(cells: NDArray[np.float32], top: int, bottom: int, rows: int) -> NDArray[np.float32]:
    step = rows // (len(cells) - 1)  # pixels a patch: 9 of 10 m, or 4 of 20 m
    row, col = (np.minimum(np.arange(*span) // step, len(cells) - 1) for span in ((top, bottom), (0, rows)))
    return cells[row[:, None], col]


def _classes(cells: NDArray[np.float32], clouds: NDArray[np.float64], top: int, bottom: int, rows: int) -> NDArray:
    sky = _sky(clouds, top, bottom, rows)
    return np.where(sky > 0, sky, np.where(_green(cells, top, bottom, rows) > 0.4, 4, 5)).astype(np.uint8)


def _numbers(
    cells: NDArray[np.float32],
    clouds: NDArray[np.float64],
    code: str,
    seed: int,
    top: int,
    bottom: int,
    rows: int,
) -> NDArray[np.uint16]:
    """Return digital numbers of a strip; its noise is its own, so that strips may be drawn in any order."""
    _, soil, canopy = SPECTRA[code]
    rng = np.random.default_rng([seed, 3, list(SPECTRA).index(code), top])
    value = soil + np.float32(canopy - soil) * _green(cells, top, bottom, rows)
    sky = _sky(clouds, top, bottom, rows)
    value[sky == 3] *= np.float32(0.5)
    value[sky > 3] = CLOUD
    value *= 1 + np.float32(NOISE) * rng.standard_normal(value.shape, np.float32)
    value -= np.float32(OFFSET)
    value *= np.float32(10_000)
    np.rint(value, out=value)
    return np.clip(value, 1, 65_535, out=value).astype(np.uint16)


# ------------------------------------------------------------------------------------------------------------- parcels
def make_parcels(count: int, *, size: int = SIZE, seed: int = SEED) -> gpd.GeoDataFrame:
    """Return parcels, quadrilaterals to hexagons, by ``parcel_id``; those of one group share edges.

    Raises
    ------
    ValueError
        The tile has no room for so many.
    """
    across, needed = int(size * 10 // PITCH), -(-count // TAKEN)
    if not 0 < count <= most_parcels(size):
        raise ValueError(f"{count} parcels: a tile of {size} pixels holds 1 to {most_parcels(size)}")
    rng = np.random.default_rng([seed, 4, count])
    group = np.sort(rng.choice(across**2, needed, replace=False))
    rings, corners = _rings(group, across, size * 10.0, rng)
    area = shapely.area(shapely.polygons(_closed(rings))) / 1e4
    # of each group's fields take fifteen, those of a fitting size first, then by lot
    unfit = (area < AREA[0]) | (area > AREA[1])
    order = np.argsort((rng.random(area.shape) + 2 * unfit).reshape(needed, -1), axis=1)[:, :TAKEN]
    chosen = (order + np.arange(needed)[:, None] * ACROSS * DOWN).ravel()
    chosen = np.sort(chosen[~unfit[chosen]][:count])
    if len(chosen) < count:
        raise ValueError(f"only {len(chosen)} of {count} parcels are of {AREA[0]}-{AREA[1]} ha; take another seed")
    rings, corners = rings[chosen], corners[chosen]
    owner = np.repeat(np.arange(count), corners.sum(axis=1))
    geometry = shapely.polygons(shapely.linearrings(rings[corners], indices=owner))
    geometry = shapely.transform(geometry, lambda points: points * [1, -1] + [WEST, NORTH])
    names = np.char.add("p", np.char.zfill(np.arange(count).astype(str), 7))
    return gpd.GeoDataFrame({"parcel_id": names}, geometry=geometry, crs=CRS)


def most_parcels(size: int) -> int:
    """Return how many parcels a tile of ``size`` pixels has room for."""
    return int(size * 10 // PITCH) ** 2 * TAKEN


def _closed(rings: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([rings, rings[:, :1]], axis=1)


def _rings(
    group: NDArray[np.int64], across: int, width: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return corners [m from the tile's corner] (field, 6, 2), and which of them are to be used.

    A field has its four corners; its left and right side may have a bend each, which the neighbour shares.
    """
    origin = np.column_stack([group % across, group // across]) * PITCH + (width - across * PITCH) / 2
    x, y = (CANAL + (PITCH - 2 * CANAL) * _cuts(rng, len(group), n) for n in (ACROSS, DOWN))
    grid = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), axis=-1).copy()
    grid[:, 1:-1, 1:-1] += rng.uniform(-6, 6, grid[:, 1:-1, 1:-1].shape)
    bend = (grid[:, :-1] + grid[:, 1:]) / 2
    bend[:, :, 1:-1] += rng.uniform(-6, 6, bend[:, :, 1:-1].shape)
    bent = rng.random(bend.shape[:3]) < 0.3
    bent[:, :, [0, -1]] = False
    ring = [grid[:, :-1, :-1], bend[:, :, :-1], grid[:, 1:, :-1], grid[:, 1:, 1:], bend[:, :, 1:], grid[:, :-1, 1:]]
    rings = np.stack(ring, axis=3) + origin[:, None, None, None]
    used = np.ones(rings.shape[:4], bool)
    used[..., 1], used[..., 4] = bent[:, :, :-1], bent[:, :, 1:]
    used = used.reshape(-1, 6)
    rings = _warped(rings.reshape(-1, 6, 2), width)
    middle = (np.roll(rings, 1, axis=1) + np.roll(rings, -1, axis=1)) / 2
    return np.where(used[..., None], rings, middle), used


def _cuts(rng: np.random.Generator, groups: int, parts: int) -> NDArray[np.float64]:
    """Return where a side of each group is cut, 0-1, (group, parts + 1)."""
    share = rng.lognormal(0, 0.4, (groups, parts)).clip(0.4, 2.2)
    return np.pad(np.cumsum(share, axis=1), ((0, 0), (1, 0))) / share.sum(axis=1)[:, None]


def _warped(points: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Bend the pattern in long waves, so that fields lie at many angles; the tile's border stays."""
    inward = np.minimum(points, width - points).min(axis=-1).clip(0, 1200) / 1200
    wave = 130 * np.sin(2 * np.pi * points[..., ::-1] / [2900.0, 3700.0])
    return points + wave * inward[..., None]


def main() -> None:
    """Make a tile from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of the 10 m bands")
    parser.add_argument("--parcels", type=int, nargs="+", default=[PARCELS], help="one file for each number")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    tile = make_tile(args.folder, size=args.size, counts=tuple(args.parcels), seed=args.seed)
    total = sum(file.stat().st_size for file in tile.scenes.glob("*.tif"))
    print(f"{tile.scenes}: {total / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
