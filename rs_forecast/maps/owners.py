"""Which parcel owns each pixel of the output grid, found block by block.

A band is one row of blocks: its parcels are laid on the grid once, and then its blocks can be asked for in any order
and from several threads. So memory holds the outlines of a band and the pixels of the blocks in hand, however large the
grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels.burn import pixel_owner
from rs_forecast.kernels.coverage import Placed, cover, place, rings_of

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """Some rows of the grid, and the parcels that reach into them."""

    row: int
    """The first row."""
    rows: int
    parcels: NDArray[np.int64]
    """Row numbers of the parcels, rising."""
    placed: Placed
    """Their outlines on the grid."""
    boxes: NDArray[np.int64]
    """(4, parcel): first row, row past the last, first column, column past the last; cut to the band."""

    def owner(self, col: int, cols: int) -> NDArray[np.int32] | None:
        """Return the row number of the parcel that owns each pixel of some columns, (y, x).

        It is -1 where parcels cover less than half of the pixel, and beyond the grid. None if no parcel reaches here.
        The owners are those of the whole grid, whatever part of it is asked for.
        """
        here = np.flatnonzero((self.boxes[2] < col + cols) & (self.boxes[3] > col))
        if not len(here):
            return None
        boxes = np.column_stack([*self.boxes[:2, here], *self.boxes[2:, here].clip(col, col + cols)])
        table = cover(self.placed, here, boxes=boxes, threads=1)
        return pixel_owner(table, corner=(self.row, col), shape=(self.rows, cols), numbers=self.parcels[here])


class Owners:
    """The parcels of a map, to be laid on its grid band by band.

    Parameters
    ----------
    parcels
        Valid polygons with a CRS; they are not checked here.
    geobox
        The grid, north up.
    """

    def __init__(self, parcels: gpd.GeoDataFrame, geobox: GeoBox) -> None:
        self._geometry = parcels.geometry.to_numpy()
        self._crs = parcels.crs
        self._geobox = geobox
        self._rows = _pixel_rows(parcels.geometry, geobox)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._geobox.shape.yx

    def band(self, row: int, rows: int) -> Band:
        """Return the band of ``rows`` rows from ``row`` on."""
        here = np.flatnonzero((self._rows[:, 0] < row + rows) & (self._rows[:, 1] > row))
        placed = place(rings_of(self._geometry[here]), self._crs, self._geobox)
        boxes = placed.boxes.T.copy()
        boxes[:2] = boxes[:2].clip(row, row + rows)
        return Band(row=row, rows=rows, parcels=here, placed=placed, boxes=boxes)


def _pixel_rows(geometry: gpd.GeoSeries, geobox: GeoBox) -> NDArray[np.float64]:
    """Rows (first, past the last) around each parcel, one more than need be; NaN off every grid."""
    bounds = geometry.to_crs(None if geobox.crs is None else geobox.crs.to_wkt()).bounds.to_numpy()
    rows: NDArray[np.float64] = (bounds[:, [3, 1]] - geobox.affine.f) / geobox.affine.e + np.array([-1, 1])
    rows[~np.isfinite(bounds).all(axis=1)] = np.nan
    return rows
