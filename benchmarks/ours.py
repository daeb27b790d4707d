"""Our own entries: the one place that knows how the package is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from affine import Affine
from odc.geo.geobox import GeoBox
from tile import CRS, NORTH, WEST
from work import INDICES, PIXEL, Work

from rs_forecast import extract_signals
from rs_forecast.kernels.coverage import CoverageTable, coverage_table
from rs_forecast.sources.local import open_scenes

MASK_DILATE_M = 0.0
"""The mask as the classification has it: the peers grow none either."""


def cold(work: Work) -> pd.DataFrame:
    """Signals with the coverage table computed in the call."""
    return extract_signals(open_scenes(work.tile.scenes), work.parcels, INDICES, mask_dilate_m=MASK_DILATE_M)


def keep(work: Work) -> None:
    """Let an earlier call keep the coverage; its scene is read too, so the files are as warm as for all others."""
    extract_signals(open_scenes(work.tile.scenes), work.parcels, INDICES[:1], keep_coverage=_kept(work))


def kept(work: Work) -> pd.DataFrame:
    """Signals with the coverage that an earlier process kept."""
    return extract_signals(
        open_scenes(work.tile.scenes), work.parcels, INDICES, mask_dilate_m=MASK_DILATE_M, keep_coverage=_kept(work)
    )


def _kept(work: Work) -> Path:
    return work.tile.folder / "coverage"


def coverage(work: Work) -> CoverageTable:
    """Return the coverage table of all parcels on the 10 m grid."""
    return coverage_table(work.parcels, GeoBox((work.tile.size,) * 2, Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), CRS))


def flat_coverage(table: CoverageTable, work: Work) -> pd.DataFrame:
    """Return the table as columns, pixels numbered row by row."""
    pixel = table.row.astype(np.int64) * work.tile.size + table.col
    return pd.DataFrame({"parcel": table.parcel, "pixel": pixel, "weight": table.weight})
