"""The peers, each as strong as its public API allows: from files and parcels in memory to the same table as ours.

All read strips of the tile through rasterio and compute the ten indices in one compiled pass; 20 m bands are spread to
10 m in that pass. What parts them is how they get from pixels to parcels.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache

import geopandas as gpd
import numba
import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.operation import Operation
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from rasterstats import zonal_stats
from tile import BLOCK, NORTH, WEST
from work import COLUMNS, NAMES, PIXEL, Work, as_table, read_indices

PROCESSES = 2
STRIP = 1024
"""Rows that a peer works on at once."""
GDAL_CACHE = 512 * 2**20
"""Enough for the two block rows that a strip touches, so that no block is decoded twice."""
QUANTILES = (0.1, 0.5, 0.9)


# -------------------------------------------------------------------------------------------------------- exactextract
def exactextract(work: Work) -> pd.DataFrame:
    """Run exactextract on two processes, a GeoDataFrame in, with the faster of its two strategies."""
    return _exact(work, own_reader=False)


def exactextract_wkb(work: Work) -> pd.DataFrame:
    """Run the same with a feature source of our own, which saves it the way over GeoJSON."""
    return _exact(work, own_reader=True)


def _exact(work: Work, *, own_reader: bool) -> pd.DataFrame:
    """Give each process the parcels of half the tile, cut so that both have as many."""
    order = np.argsort(-shapely.get_y(shapely.centroid(work.parcels.geometry.array)), kind="stable")
    jobs = [
        pool.submit(_exact_share, work, work.parcels.iloc[share], own_reader)
        for pool, share in zip(_pools(), np.array_split(order, PROCESSES), strict=True)
    ]
    return pd.concat([job.result() for job in jobs], ignore_index=True)


@cache
def _pools() -> list[ProcessPoolExecutor]:
    """Return pools of one process each, so that the warm-up reaches all of them."""
    spawn = multiprocessing.get_context("spawn")
    return [ProcessPoolExecutor(1, mp_context=spawn) for _ in range(PROCESSES)]


def _exact_share(work: Work, parcels: gpd.GeoDataFrame, own_reader: bool) -> pd.DataFrame:
    tables = []
    wkt = parcels.crs.to_wkt()
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
        for top, bottom, members in _strips(parcels, work.tile.size):
            layers = read_indices(work, top, bottom)
            west, north, east, south = WEST, NORTH - top * PIXEL, WEST + work.tile.size * PIXEL, NORTH - bottom * PIXEL
            rasters = [  # without names of their own, all would count as one raster
                NumPyRasterSource(layer, west, south, east, north, nodata=np.nan, srs_wkt=wkt, name=name)
                for name, layer in zip([*NAMES, "valid"], layers, strict=True)
            ]
            source = _WkbSource(members) if own_reader else members
            found = exact_extract(
                rasters,
                source,
                _operations(rasters),
                output="pandas",
                strategy="raster-sequential",
                include_cols=["parcel_id"],
            )
            tables.append(found[found["valid_weight"] > 0])
    found = pd.concat(tables, ignore_index=True)
    return found.rename(columns={column.replace("_p", "_p_"): column for column in COLUMNS})


def _strips(parcels: gpd.GeoDataFrame, size: int) -> Iterator[tuple[int, int, gpd.GeoDataFrame]]:
    """Yield strips, as even rows that hold its parcels whole: (first row, past the last row, parcels)."""
    bounds = parcels.geometry.bounds
    top = np.floor((NORTH - bounds["maxy"].to_numpy()) / PIXEL).astype(int)
    bottom = np.ceil((NORTH - bounds["miny"].to_numpy()) / PIXEL).astype(int)
    strip = (top + bottom) // 2 // STRIP
    for number in np.unique(strip):
        inside = strip == number
        first, last = top[inside].min() // 2 * 2, -(-bottom[inside].max() // 2) * 2
        yield max(first, 0), min(last, size), parcels[inside]


def _operations(rasters: list[NumPyRasterSource]) -> list[Operation]:
    """Return the statistics asked of each raster; one validity raster gives the weight."""
    out = [Operation("count", "valid_weight", rasters[-1])]
    for name, raster in zip(NAMES, rasters, strict=False):
        out += [Operation("mean", f"{name}_mean", raster), Operation("stdev", f"{name}_std", raster)]
        for q in QUANTILES:
            out.append(Operation("quantile", f"{name}_p", raster, options={"q": q}))
    return out


def coverage(work: Work) -> pd.DataFrame:
    """Return exactextract's coverage of all parcels on the 10 m grid, a row a parcel; in one process."""
    size = work.tile.size
    east, south = WEST + size * PIXEL, NORTH - size * PIXEL
    blank = np.broadcast_to(np.zeros(1, np.uint8), (size, size))
    raster = NumPyRasterSource(blank, WEST, south, east, NORTH, srs_wkt=work.parcels.crs.to_wkt())
    return exact_extract(raster, work.parcels, ["cell_id", "coverage"], output="pandas")


def flat_coverage(found: pd.DataFrame, _: Work) -> pd.DataFrame:
    """Return the cells of all parcels as columns."""
    parcel = np.repeat(np.arange(len(found)), found["coverage"].map(len))
    pixel, weight = (np.concatenate(found[name].to_list()) for name in ("cell_id", "coverage"))
    return pd.DataFrame({"parcel": parcel, "pixel": pixel.astype(np.int64), "weight": weight.astype(float)})


class _WkbFeature(Feature):
    def __init__(self, parcel_id: str, wkb: bytes) -> None:
        super().__init__()
        self._parcel_id, self._wkb = parcel_id, wkb

    def geometry(self) -> bytes:
        return self._wkb

    def get(self, _: str) -> str:
        return self._parcel_id

    def fields(self) -> list[str]:
        return ["parcel_id"]


class _WkbSource(FeatureSource):
    def __init__(self, parcels: gpd.GeoDataFrame) -> None:
        super().__init__()
        self._ids, self._shapes = parcels["parcel_id"].tolist(), shapely.to_wkb(parcels.geometry.array)
        self._wkt = parcels.crs.to_wkt()

    def count(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[_WkbFeature]:
        yield from map(_WkbFeature, self._ids, self._shapes)

    def srs_wkt(self) -> str:
        return self._wkt


# ----------------------------------------------------------------------------------------------------- centre of pixels
def rasterise(work: Work) -> pd.DataFrame:
    """Parcels burnt to numbers by their pixels' centres, pixels grouped by number, statistics in numba."""
    parcels, size = work.parcels, work.tile.size
    numbers = np.arange(1, len(parcels) + 1)
    bounds = parcels.geometry.bounds
    north, south = ((NORTH - bounds[side].to_numpy()) / PIXEL for side in ("maxy", "miny"))

    def strip(top: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        bottom = min(top + STRIP, size)
        inside = (north < bottom) & (south > top)
        if not inside.any():
            return np.empty(0, np.int32), np.empty((len(NAMES) + 1, 0), np.float32)
        label = rasterio.features.rasterize(
            zip(parcels.geometry.array[inside], numbers[inside], strict=True),
            out_shape=(bottom - top, size),
            transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH - top * PIXEL),
            dtype="int32",
        )
        under = np.flatnonzero(label)
        return label.ravel()[under], read_indices(work, top, bottom).reshape(len(NAMES) + 1, -1)[:, under]

    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = list(pool.map(strip, range(0, size, BLOCK)))
    label = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts], axis=1)
    del parts
    starts, order = _grouped(label, len(parcels))
    stats, weight = np.full((len(parcels), len(COLUMNS)), np.nan), np.zeros(len(parcels))
    _group_stats(values, starts, order, np.array(QUANTILES), stats, weight)
    return as_table(parcels["parcel_id"], stats, weight)


@numba.njit
def _grouped(label, groups):  # noqa: ANN001, ANN202 - compiled
    """Sort by counting: entries of group ``g`` are ``order[starts[g]:starts[g + 1]]``."""
    starts = np.zeros(groups + 1, np.int64)
    for number in label:
        starts[number] += 1
    starts = np.cumsum(starts)
    at, order = starts[:-1].copy(), np.empty(len(label), np.int64)
    for k in range(len(label)):
        group = label[k] - 1
        order[at[group]] = k
        at[group] += 1
    return starts, order


@numba.njit(parallel=True)
def _group_stats(values, starts, order, quantiles, stats, weight):  # noqa: ANN001, ANN202 - compiled
    layers, width = len(values) - 1, 2 + len(quantiles)
    for p in numba.prange(len(starts) - 1):
        members = order[starts[p] : starts[p + 1]]
        weight[p] = (~np.isnan(values[layers][members])).sum()
        for layer in range(layers):
            x = values[layer][members].astype(np.float64)
            x = np.sort(x[~np.isnan(x)])
            if len(x) == 0:
                continue
            mean = x.mean()
            stats[p, layer * width] = mean
            stats[p, layer * width + 1] = np.sqrt(((x - mean) ** 2).mean())
            for k in range(len(quantiles)):
                at = quantiles[k] * (len(x) - 1)
                left = int(at)
                right = min(left + 1, len(x) - 1)
                stats[p, layer * width + 2 + k] = x[left] + (at - left) * (x[right] - x[left])


def rasterstats(work: Work) -> pd.DataFrame:
    """Run rasterstats on index rasters in memory, strip by strip, in one process."""
    asked = ["mean", "std", *(f"percentile_{q * 100:.0f}" for q in QUANTILES)]
    tables = []
    for top, bottom, members in _strips(work.parcels, work.tile.size):
        affine = Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH - top * PIXEL)
        layers = read_indices(work, top, bottom)
        found = [
            [
                [row[stat] for stat in asked]
                for row in zonal_stats(members, layer, affine=affine, stats=asked, nodata=np.nan)
            ]
            for layer in layers[:-1]
        ]
        weight = [row["count"] for row in zonal_stats(members, layers[-1], affine=affine, stats="count", nodata=np.nan)]
        stats = np.array(found, float).transpose(1, 0, 2).reshape(len(members), -1)
        tables.append(as_table(members["parcel_id"], stats, np.array(weight, float)))
    return pd.concat(tables, ignore_index=True)
