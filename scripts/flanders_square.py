"""Make a project over one square of the WorldCereal training cubes: real pixels, real weather, SYNTHETIC surveys.

    python scripts/flanders_square.py SQUARE_FOLDER OUT_FOLDER
    rs-forecast train OUT_FOLDER/rs_forecast.toml --until 2018-08-06
    rs-forecast run OUT_FOLDER/rs_forecast.toml --issued 2018-08-06

Parcels are the connected patches of one crop in the square's crop raster. The pest is made up, and so is every visit: a
slow random walk a field, faster in warm weeks, so that weather and past visits carry something to learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import xarray as xr
from affine import Affine
from shapely.geometry import shape

PEST = "synthetic_aphid"
SMALLEST_HA = 0.05
CONFIG = """\
# Real Sentinel-2 pixels and AgERA5 weather of one square in Flanders; SYNTHETIC surveys of a made-up pest.
[region]
name = "flanders-square-synthetic-surveys"
timezone = "Europe/Brussels"
[parcels]
path = "parcels.gpkg"
[imagery]
source = "local"
path = {square!r}
indices = ["ndvi", "evi", "ndre", "lswi"]
[weather]
source = "netcdf"
path = {square!r}
[surveys]
path = "surveys.csv"
[forecast]
pests = ["{pest}"]
horizons_weeks = [1, 2]
preset = "small"
[pests.{pest}]
event = "density >= 10"
unit = "aphids/plant"
doc = "SYNTHETIC: a made-up pest"
"""


def vectorise(crop_raster: Path) -> gpd.GeoDataFrame:
    """Return the connected patches of one crop as parcels, with the crop's code as its name."""
    with xr.open_dataset(crop_raster, engine="netcdf4", mask_and_scale=False) as cube:
        codes = cube["CT"].values.astype("int32")
        x, y = cube["x"].values, cube["y"].values
        epsg = int(cube.attrs["epsg"])
    step = float(x[1] - x[0])
    transform = Affine(step, 0, float(x[0]) - step / 2, 0, -step, float(y[0]) + step / 2)
    found = [
        (str(int(code)), shape(polygon))
        for polygon, code in rasterio.features.shapes(codes, mask=codes > 0, transform=transform)
    ]
    parcels = gpd.GeoDataFrame({"crop": [code for code, _ in found]}, geometry=[s for _, s in found], crs=epsg)
    parcels = parcels.loc[parcels.area >= SMALLEST_HA * 1e4].reset_index(drop=True)
    parcels.insert(0, "parcel_id", [f"field-{i:02d}" for i in range(len(parcels))])
    return parcels


def simulate_surveys(parcels: gpd.GeoDataFrame, weather: Path, seed: int = 0) -> pd.DataFrame:
    """Return a weekly SYNTHETIC count in every field over the weather's record."""
    with xr.open_dataset(weather, engine="netcdf4") as cube:
        warm = cube["temperature_mean"].squeeze(drop=True).to_series() - 273.15
    warm.index = pd.DatetimeIndex(warm.index).normalize()
    mondays = pd.date_range(warm.index[0], warm.index[-1], freq="W-MON")
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 0.5, len(parcels))
    rows = []
    for monday in mondays:
        last_week = warm.loc[monday - pd.Timedelta(days=7) : monday].mean()
        level += -0.25 * (level - 0.18 * (last_week - 6)) + rng.normal(0, 0.35, len(parcels))
        counts = rng.poisson(np.exp(np.clip(level, -3, 6)))
        rows.append(
            pd.DataFrame({"date": monday, "parcel_id": parcels["parcel_id"], "value": counts, "known_at": monday})
        )
    table = pd.concat(rows, ignore_index=True)
    table["known_at"] += pd.Timedelta(days=3)
    return table.assign(pest=PEST, unit="aphids/plant", method="SYNTHETIC count", reason="routine")


def make_project(square: Path, out: Path) -> Path:
    """Write parcels, surveys and config; return the config's path."""
    square = square.resolve()
    out.mkdir(parents=True, exist_ok=True)
    parcels = vectorise(next(square.glob("OUTPUT_*.nc")))
    parcels.to_file(out / "parcels.gpkg", driver="GPKG")
    simulate_surveys(parcels, next(square.glob("AgERA5_*.nc"))).to_csv(out / "surveys.csv", index=False)
    config = out / "rs_forecast.toml"
    config.write_text(CONFIG.format(square=square.as_posix(), pest=PEST), encoding="utf-8")
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("square", type=Path, help="folder of one square: S2, AgERA5 and OUTPUT NetCDF files")
    parser.add_argument("out", type=Path, help="folder to make")
    arguments = parser.parse_args()
    print(f"wrote {make_project(arguments.square, arguments.out)}")
