"""The work that every contestant of ``bench_signals`` does: what goes in, which statistics come out.

The indices stand here twice, as text for us and as a hand-written kernel for the peers, so that agreement between
contestants is agreement between two ways of computing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numba
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from tile import SCENE, Tile

from rs_forecast.catalog import Index
from rs_forecast.catalog.bands import SCL_MASKED

CODES = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "red_edge1": "B05", "red_edge2": "B06",
    "red_edge3": "B07", "nir_narrow": "B8A", "swir1": "B11", "swir2": "B12",
}  # fmt: skip
"""Bands of 10 m, then of 20 m, in the order that :func:`ten_indices` takes them."""

INDICES = tuple(
    Index(name=name, formula=formula, valid=valid, doi="", doc="of the benchmark")
    for name, formula, valid in (
        ("ndvi", "(nir - red) / (nir + red)", (-1.0, 1.0)),
        ("evi", "2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)", (-1.0, 2.0)),
        ("gndvi", "(nir - green) / (nir + green)", (-1.0, 1.0)),
        ("ndwi", "(green - nir) / (green + nir)", (-1.0, 1.0)),
        ("savi", "1.5 * (nir - red) / (nir + red + 0.5)", (-1.5, 1.5)),
        ("ndre", "(nir - red_edge1) / (nir + red_edge1)", (-1.0, 1.0)),
        ("ci_red_edge", "red_edge3 / red_edge1 - 1", (-1.0, 20.0)),
        ("psri", "(red - blue) / red_edge2", (-1.0, 2.0)),
        ("lswi", "(nir_narrow - swir1) / (nir_narrow + swir1)", (-1.0, 1.0)),
        ("nbr", "(nir_narrow - swir2) / (nir_narrow + swir2)", (-1.0, 1.0)),
    )
)
"""Ten indices that together need all ten bands."""

NAMES = tuple(index.name for index in INDICES)
STATS = ("mean", "std", "p10", "p50", "p90")
COLUMNS = tuple(f"{name}_{stat}" for name in NAMES for stat in STATS)
"""Of the table that each contestant returns, beside ``parcel_id`` and ``valid_weight``."""

PIXEL = 10
LOW, HIGH = (np.array([index.valid[side] for index in INDICES], np.float32) for side in (0, 1))
MASKED = np.isin(np.arange(256), SCL_MASKED)


@dataclass(frozen=True)
class Work:
    """A tile and the parcels on it; small enough to be sent to another process."""

    tile: Tile
    count: int
    cut: int | None = None
    """Take only the first so many of the parcels."""

    @cached_property
    def parcels(self) -> gpd.GeoDataFrame:
        """The parcels, read when first asked for: before the clock starts."""
        return gpd.read_parquet(self.tile.parcels(self.count)).head(self.cut or self.count)

    def path(self, code: str) -> Path:
        """Return the file of a band."""
        return self.tile.scenes / f"{SCENE}_{code}.tif"

    @property
    def files(self) -> list[Path]:
        """The eleven files."""
        return [self.path(code) for code in [*CODES.values(), "SCL"]]


def as_table(parcel_ids: object, stats: NDArray[np.float64], weight: NDArray[np.float64]) -> pd.DataFrame:
    """Return the table of parcels that have any valid pixel, from (parcel, 50) statistics and (parcel,) weights."""
    table = pd.DataFrame(stats, columns=list(COLUMNS))
    table.insert(0, "parcel_id", np.asarray(parcel_ids))
    table.insert(1, "valid_weight", weight)
    return table[weight > 0].reset_index(drop=True)


# ------------------------------------------------------------------------------- the peers' way from files to indices
def read_indices(work: Work, top: int, bottom: int) -> NDArray[np.float32]:
    """Return (eleven, y, x) of 10 m rows ``top`` to ``bottom``, both even: the indices, and 1 where all is valid."""
    rows, size = bottom - top, work.tile.size
    fine = np.empty((4, rows, size), np.uint16)
    coarse = np.empty((6, rows // 2, size // 2), np.uint16)
    scl = np.empty((rows // 2, size // 2), np.uint8)
    targets = [*fine, *coarse, scl]
    for path, target in zip(work.files, targets, strict=True):
        factor = size // target.shape[1]
        with rasterio.open(path) as src:
            src.read(1, window=Window(0, top // factor, size // factor, rows // factor), out=target)
            if target is not scl:
                scale, offset = src.scales[0], src.offsets[0]  # the same for all bands of a tile
    out = np.empty((len(INDICES) + 1, rows, size), np.float32)
    ten_indices(fine, coarse, scl, scale, offset, MASKED, LOW, HIGH, out)
    return out


_0, _05, _1, _15, _25, _6, _75 = (np.float32(number) for number in (0, 0.5, 1, 1.5, 2.5, 6, 7.5))
_NAN = np.float32(np.nan)


@numba.njit(nogil=True, error_model="numpy")
def ten_indices(fine, coarse, scl, scale, offset, masked, low, high, out):  # noqa: ANN001, ANN201, PLR0917 - compiled
    """One pass over a strip, row by row, in loops that vectorise; arguments as in :func:`read_indices`."""
    width = fine.shape[2]
    band, void = np.empty((10, width), np.float32), np.empty(width, np.float32)
    for r in range(fine.shape[1]):
        half = r // 2
        for c in range(width):
            void[c] = _NAN if masked[scl[half, c // 2]] else _0
        for b in range(10):
            for c in range(width):
                number = fine[b, r, c] if b < 4 else coarse[b - 4, half, c // 2]
                band[b, c] = np.float32(max(number * scale + offset, 0.0))
                void[c] = _NAN if number == 0 else void[c]
        _ten(band, void, out[:, r])
        for k in range(10):
            for c in range(width):
                value = out[k, r, c]
                out[k, r, c] = value if (value >= low[k]) & (value <= high[k]) else _NAN


@numba.njit(nogil=True, error_model="numpy")
def _ten(band, void, out):  # noqa: ANN001, ANN202
    blue, green, red, nir, edge1 = band[0], band[1], band[2], band[3], band[4]
    edge2, edge3, narrow, swir1, swir2 = band[5], band[6], band[7], band[8], band[9]
    for c in range(len(void)):
        out[0, c] = void[c] + (nir[c] - red[c]) / (nir[c] + red[c])
        out[1, c] = void[c] + _25 * (nir[c] - red[c]) / (nir[c] + _6 * red[c] - _75 * blue[c] + _1)
        out[2, c] = void[c] + (nir[c] - green[c]) / (nir[c] + green[c])
        out[3, c] = void[c] + (green[c] - nir[c]) / (green[c] + nir[c])
        out[4, c] = void[c] + _15 * (nir[c] - red[c]) / (nir[c] + red[c] + _05)
        out[5, c] = void[c] + (nir[c] - edge1[c]) / (nir[c] + edge1[c])
        out[6, c] = void[c] + edge3[c] / edge1[c] - _1
        out[7, c] = void[c] + (red[c] - blue[c]) / edge2[c]
        out[8, c] = void[c] + (narrow[c] - swir1[c]) / (narrow[c] + swir1[c])
        out[9, c] = void[c] + (narrow[c] - swir2[c]) / (narrow[c] + swir2[c])
        out[10, c] = void[c] + _1
