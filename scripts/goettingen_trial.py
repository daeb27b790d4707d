"""Make a project of the Goettingen trial of 2022: Cercospora leaf spot of sugar beet, observed, with real weather.

    python scripts/goettingen_trial.py SUGARBEET_FOLDER STATION_FOLDER OUT_FOLDER
    rs-forecast train OUT_FOLDER/rs_forecast.toml --until 2022-09-14
    rs-forecast run OUT_FOLDER/rs_forecast.toml --issued 2022-09-14

Parcels are the cells of the map of observed epidemic onset. A cell's weeks are 0 before the week of its onset, and
1 from that week on. It is one trial of 210 x 125 m in one season: it shows that the line runs, and nothing about skill.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

ONSETS = "2025-05-13_fulldf_eo_cercospoRa.csv"
"""Of the three versions the one whose cells are square."""
CELL_M = 3.359
CRS = 32632
SOWN = "2022-03-31"
"""Day 0 of the column das."""
PEST = "cercospora_leaf_spot"
UNIT = "0 or 1"
VISITS = pd.DatetimeIndex(["2022-07-06", "2022-07-20", "2022-08-03", "2022-08-18", "2022-09-01", "2022-09-14"])
"""Days on which onsets pile up, they and the days before them: taken as visits. No source names the days of visits."""
FIRST_WEEK = pd.Timestamp("2022-07-04")
CONFIG = """\
# Observed onset of Cercospora leaf spot in one trial, and its weather station. One season: it tells no skill.
[region]
name = "goettingen-trial-2022"
timezone = "Europe/Berlin"
[parcels]
path = "parcels.gpkg"
[crops]
path = "crops.csv"
[weather]
source = "csv"
path = {weather!r}
columns = {{ time = "times" }}
timezone = "Etc/GMT-1"   # no summer time: 27 March has an hour 02
stamps = "start"
wet_rh = 90              # the leaf-wetness sensor stands still until May
[surveys]
path = "surveys.csv"
[forecast]
pests = ["{pest}"]
horizons_weeks = [1, 2]
preset = "small"
[output]
resolution = 3.359
[pests.{pest}]
event = "onset >= 1"
unit = "{unit}"
crop = "sugar_beet"
doc = "epidemic onset, which is not the 5 % of leaves of the catalogue: half of the leaves have a spot"
"""


def read_onsets(folder: Path) -> pd.DataFrame:
    """Return ``parcel_id, x, y, onset`` of the observed cells; a cell that is given twice counts once."""
    table = pd.read_csv(folder / ONSETS, parse_dates=["date"])
    seen = table.loc[table["source"] == "observation"].drop_duplicates(["x", "y", "date"]).reset_index(drop=True)
    if seen.duplicated(["x", "y"]).any():
        raise ValueError(f"{folder / ONSETS}: a cell has two onsets")
    ids = [f"cell-{number:04d}" for number in range(len(seen))]
    return pd.DataFrame({"parcel_id": ids, "x": seen["x"], "y": seen["y"], "onset": seen["date"]})


def draw_cells(onsets: pd.DataFrame) -> gpd.GeoDataFrame:
    """Return the cells as squares with the crop."""
    half = CELL_M / 2
    squares = shapely.box(onsets["x"] - half, onsets["y"] - half, onsets["x"] + half, onsets["y"] + half)
    return gpd.GeoDataFrame({"parcel_id": onsets["parcel_id"], "crop": "sugar_beet"}, geometry=list(squares), crs=CRS)


def weekly(onsets: pd.DataFrame) -> pd.DataFrame:
    """Return the panel as surveys: every cell on each visit and each Sunday, 1 from its onset on.

    What is between visits was interpolated, so a Sunday is known on the next visit. A visit is known on its day.
    """
    sundays = pd.date_range(FIRST_WEEK + pd.Timedelta(days=6), VISITS[-1], freq="W-SUN")
    rows = []
    for day in VISITS.union(sundays):
        known = VISITS[int(VISITS.searchsorted(day))]
        value = (onsets["onset"] <= day).astype(int)
        rows.append(pd.DataFrame({"date": day, "parcel_id": onsets["parcel_id"], "value": value, "known_at": known}))
    return pd.concat(rows, ignore_index=True).assign(pest=PEST, unit=UNIT, reason="routine")


def make_project(beets: Path, station: Path, out: Path, *, every: int = 1) -> Path:
    """Write parcels, crops, surveys and config; return the config's path.

    ``every`` thins the cells: 10 keeps each tenth, in the order of the file.
    """
    out.mkdir(parents=True, exist_ok=True)
    onsets = read_onsets(beets).iloc[::every].reset_index(drop=True)
    draw_cells(onsets).to_file(out / "parcels.gpkg", driver="GPKG")
    crops = pd.DataFrame({"parcel_id": onsets["parcel_id"], "sown": SOWN, "crop": "sugar_beet"})
    crops.to_csv(out / "crops.csv", index=False)
    weekly(onsets).to_csv(out / "surveys.csv", index=False)
    weather = (station / "clean_weather.csv").resolve().as_posix()
    config = out / "rs_forecast.toml"
    config.write_text(CONFIG.format(weather=weather, pest=PEST, unit=UNIT), encoding="utf-8")
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("beets", type=Path, help="folder with the map of onsets")
    parser.add_argument("station", type=Path, help="folder with clean_weather.csv")
    parser.add_argument("out", type=Path, help="folder to make")
    arguments = parser.parse_args()
    print(f"wrote {make_project(arguments.beets, arguments.station, arguments.out)}")
