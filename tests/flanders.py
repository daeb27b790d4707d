"""The real squares in ``shared/data/worldcereal_cubes``: their files, and parcels made from their crop raster."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import shapely
import xarray as xr
from affine import Affine
from rasterio.features import shapes

SQUARES = ("00002806639B424A", "0000280849BAC91C")
"""Squares of 640 m with 10 m and 20 m bands."""

COARSE = ("000028085BF08E7E", "2021_TZA_COPERNICUS-GEOGLAM_POLY_1101950")
"""Squares with 20 m bands only."""


def square_folder(shared_data: Path, square: str) -> Path:
    """Return the folder of a square: cubes, weather and crop raster."""
    return shared_data / "worldcereal_cubes" / square


def square_file(shared_data: Path, square: str, kind: str) -> Path:
    """Return a square's file by the beginning of its name: ``S2_L2A_10m``, ``S2_L2A_20m``, ``AgERA5``, ``OUTPUT``."""
    return next(square_folder(shared_data, square).glob(f"{kind}*.nc"))


def square_parcels(shared_data: Path, square: str, *, inward: float = 2.3) -> gpd.GeoDataFrame:
    """Return the connected areas of one crop as parcels, drawn ``inward`` [m] so that their borders cut pixels.

    Columns ``parcel_id`` and ``crop_code`` (the raster's CT).
    """
    with xr.open_dataset(square_file(shared_data, square, "OUTPUT"), mask_and_scale=False) as cube:
        crop = cube["CT"].to_numpy().astype("int32")
        x, y, crs = cube["x"].to_numpy(), cube["y"].to_numpy(), cube["spatial_ref"].attrs["crs_wkt"]
    transform = Affine(10, 0, x[0] - 5, 0, -10, y[0] + 5)
    found = [(shapely.geometry.shape(area), int(code)) for area, code in shapes(crop, crop > 0, transform=transform)]
    parcels = gpd.GeoDataFrame(
        {"crop_code": [code for _, code in found]}, geometry=[area.buffer(-inward) for area, _ in found], crs=crs
    )
    parcels = parcels[parcels.area > 300].reset_index(drop=True)
    parcels.insert(0, "parcel_id", [f"{square[-4:]}-{number:03d}" for number in range(len(parcels))])
    return parcels
