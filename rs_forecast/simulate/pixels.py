"""The image grid, and which share of each pixel is which field, canal or tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from rs_forecast.simulate.land import Land
from rs_forecast.simulate.spectra import SURFACES

FINE = 2.5  # [m]
MARGIN = 100.0  # [m]
SNAP = 60.0
"""Sentinel-2 tiles begin on multiples of 60 m, so that 10, 20 and 60 m pixels nest."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Shares of covers in pixels. A *unit* is a field, a stranger's field, or a kind of surface."""

    origin: tuple[float, float]
    """x and y of the upper left corner [m]."""
    shapes: dict[int, tuple[int, int]]
    """Rows and columns by pixel size."""
    shares: dict[int, csr_matrix]
    """(pixel, unit) by pixel size; rows add up to 1."""
    field_of: np.ndarray
    """Field that a paddy unit behaves as; the fields themselves come first."""

    def transform(self, size: int) -> Affine:
        """Return the affine transform of the grid with that pixel size."""
        return Affine(size, 0, self.origin[0], 0, -size, self.origin[1])


def make_pixels(land: Land) -> Pixels:
    """Rasterise the land at 2.5 m and count; pixels at borders come out mixed, as in life."""
    x0, y0, x1, y1 = land.parcels.total_bounds
    x0, y0 = np.floor((x0 - MARGIN) / SNAP) * SNAP, np.floor((y0 - MARGIN) / SNAP) * SNAP
    x1, y1 = np.ceil((x1 + MARGIN) / SNAP) * SNAP, np.ceil((y1 + MARGIN) / SNAP) * SNAP
    rows, columns = round((y1 - y0) / FINE), round((x1 - x0) / FINE)
    kinds, shapes, field_of = _units(land)
    fine = rasterio.features.rasterize(
        zip(shapes, kinds, strict=True),
        out_shape=(rows, columns),
        transform=Affine(FINE, 0, x0, 0, -FINE, y1),
        fill=len(field_of) + list(SURFACES).index("grass"),
        dtype="int32",
    )
    units = len(field_of) + len(SURFACES)
    return Pixels(
        origin=(float(x0), float(y1)),
        shapes={size: (round(rows * FINE / size), round(columns * FINE / size)) for size in (10, 20)},
        shares={size: _shares(fine, round(size / FINE), units) for size in (10, 20)},
        field_of=field_of,
    )


def _units(land: Land) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit number and polygon in painting order, and the field that each paddy unit behaves as."""
    own = land.parcels.geometry.to_numpy()
    others = land.cover.geometry.to_numpy()
    kinds = land.cover["kind"].to_numpy()
    strange = kinds == "paddy"
    middle = shapely.get_coordinates(shapely.centroid(others[strange]))
    _, nearest = cKDTree(land.centres).query(middle)  # neighbours sow when the nearest sub-zone does
    field_of = np.r_[np.arange(len(own)), nearest]
    surface = {kind: len(field_of) + number for number, kind in enumerate(SURFACES)}
    numbers = np.array([surface.get(kind, 0) for kind in kinds])
    numbers[strange] = len(own) + np.arange(strange.sum())
    return np.r_[numbers, np.arange(len(own))], np.r_[others, own], field_of


def _shares(fine: np.ndarray, factor: int, units: int) -> csr_matrix:
    rows, columns = fine.shape
    wide = columns // factor
    pixel = (np.arange(rows) // factor)[:, None] * wide + (np.arange(columns) // factor)[None, :]
    each = np.full(fine.size, 1.0 / factor**2)
    size = (rows // factor) * wide
    return csr_matrix((each, (pixel.ravel(), fine.ravel())), shape=(size, units))
