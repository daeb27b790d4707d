"""One synthetic ground seen through every door gives one table of signals."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from ground_truth import size_of
from hub_server import HubServer, product
from hub_server import serving as hub_serving
from safe import write_product, zipped
from scenes import write_band
from stac_server import NORTH, WEST, numbers, publish
from stac_server import serving as stac_serving

from rs_forecast import load_config
from rs_forecast.catalog import Index
from rs_forecast.cube import find_scenes
from rs_forecast.errors import DataWarning
from rs_forecast.fetch import fetch
from rs_forecast.signals import extract_signals
from rs_forecast.sources.scene import Scene
from rs_forecast.store import SignalStore

CODES = ("B04", "B8A", "SCL")
SIDE = 3600
"""Of the square that all doors show [m]."""
BEFORE, AFTER = "20220112", "20220127"
"""Overpasses before and after processing baseline 04.00 brought the offset, on 25 January 2022."""
DOORS = ("folder", "safe", "zip", "stac", "sentinelhub")
INDEX = Index(
    name="ndvi_narrow", formula="(nir_narrow - red) / (nir_narrow + red)", valid=(-1, 1), doi="", doc="of two bands"
)
OFFICE = """
[parcels]
path = "parcels.gpkg"
[imagery]
indices = ["ndvi_narrow"]
{imagery}
[indices.ndvi_narrow]
formula = "(nir_narrow - red) / (nir_narrow + red)"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
"""


@pytest.fixture(scope="module")
def parcels():
    rng = np.random.default_rng(4)
    x, y = WEST + rng.uniform(300, SIDE - 300, 40), NORTH - rng.uniform(300, SIDE - 300, 40)
    corners = [at + rng.uniform(-60, 60, (7, 2)) for at in np.column_stack([x, y])]
    outlines = [shapely.convex_hull(shapely.multipoints(points)) for points in corners]
    return gpd.GeoDataFrame({"parcel_id": [f"p{n:02d}" for n in range(40)]}, geometry=outlines, crs="EPSG:32648")


def shown(day: str, add: int) -> dict[str, np.ndarray]:
    """Digital numbers of the square as a processing that adds ``add`` has them."""
    return {code: numbers(code, day, add=add)[: SIDE // size_of(code), : SIDE // size_of(code)] for code in CODES}


class Doors:
    """An overpass put behind each door, as one processing or another, and looked at through it."""

    def __init__(self, root: Path, parcels: gpd.GeoDataFrame, hub: HubServer, stac) -> None:
        self.root, self.parcels, self.hub, self.stac = root, parcels, hub, stac

    def put(self, door: str, day: str, *, baseline: str, made: str) -> None:
        add, root = (1000 if baseline >= "04.00" else 0), self.root / door
        if door == "folder":
            shutil.rmtree(root / day, ignore_errors=True)
            for code, values in shown(day, add).items():
                said = {} if code == "SCL" else {"scale": 1e-4, "offset": -add / 1e4}
                write_band(
                    root / day / f"48PWS_{day}_{code}.tif", values, size_of(code), west=WEST, north=NORTH, **said
                )
        elif door in ("safe", "zip"):
            made_at = write_product(root, day, baseline=baseline, bands=shown(day, add), corner=(WEST, NORTH))
            if door == "zip":
                zipped(made_at)
                shutil.rmtree(made_at)
        elif door == "stac":
            publish(self.stac, day, add=add, baseline=baseline, made=made)
        else:
            self.hub.products = {name: shape for name, shape in self.hub.products.items() if day not in name}
            self.hub.add(day)
            self.hub.products[product(day, baseline=baseline.replace(".", ""), made=made)] = self.hub.products.pop(
                product(day)
            )

    def scenes(self, door: str) -> list[Scene]:
        if door in ("folder", "safe", "zip"):
            return find_scenes("local", self.root / door)
        office = self.root / f"office_{door}"
        office.mkdir(exist_ok=True)
        self.parcels.to_file(office / "parcels.gpkg")
        (office / "surveys.csv").write_text("parcel_id,date,pest,value,unit\n")
        where = (
            f'url = "{self.stac.url}/stac"\ncollection = "sentinel-2-c1-l2a"\nallow_hosts = ["127.0.0.1"]'
            if door == "stac"
            else f'base_url = "{self.hub.url}"\ntoken_url = "{self.hub.url}/auth/token"'
        )
        (office / "office.toml").write_text(OFFICE.format(imagery=f'source = "{door}"\n{where}'))
        report = fetch(load_config(office / "office.toml"), start="2022-01-01", end="2022-02-28")
        assert report.exit_code == 0, report.result()
        return find_scenes(door, office / "data" / "scenes" / door)

    def signals(self, door: str) -> pd.DataFrame:
        table = extract_signals(self.scenes(door), self.parcels, indices=[INDEX])
        columns = ["parcel_id", "date", *(c for c in table if c.startswith(("ndvi", "valid")))]
        return table[columns].sort_values(["date", "parcel_id"], ignore_index=True)


@pytest.fixture
def doors(tmp_path, parcels, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with hub_serving() as hub, stac_serving() as stac:
        monkeypatch.setenv("SH_CLIENT_ID", hub.user)
        monkeypatch.setenv("SH_CLIENT_SECRET", hub.secret)
        yield Doors(tmp_path, parcels, hub, stac)


def test_oracle_every_door_shows_the_same_ground(doors, parcels):
    tables = {}
    for door in DOORS:
        doors.put(door, BEFORE, baseline="03.01", made="20220112T060000")
        doors.put(door, AFTER, baseline="04.00", made="20220127T060000")
        tables[door] = doors.signals(door)
    due = tables["folder"]
    assert len(due) > 1.5 * len(parcels)  # the others lie under cloud
    assert due["ndvi_narrow_mean"].notna().mean() > 0.5
    assert due["valid_fraction"].lt(0.5).any()
    for door, table in tables.items():
        pd.testing.assert_frame_equal(table, due, rtol=0, atol=1e-5, check_dtype=False, obj=door)


def test_a_scene_processed_again_shows_the_ground_that_it_showed(doors):
    for door in DOORS:
        doors.put(door, BEFORE, baseline="03.01", made="20220112T060000")
        before = doors.signals(door)
        doors.put(door, BEFORE, baseline="05.10", made="20230401T060000")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # the older processing is passed over, by name
            (scene,) = doors.scenes(door)
            again = doors.signals(door)
        if door != "folder":  # whose files say nothing of it
            assert scene.baseline == "05.10", door
        pd.testing.assert_frame_equal(again, before, rtol=0, atol=1e-4, obj=door)


def test_a_local_scene_whose_offset_is_declared_wrongly_is_named_and_not_stored(tmp_path, parcels):
    for day, offset in (("20220105", -0.1), ("20220110", 0.0)):  # both hold numbers with the offset
        for code, values in shown(day, 1000).items():
            said = {} if code == "SCL" else {"scale": 1e-4, "offset": offset}
            write_band(
                tmp_path / day / f"48PWS_{day}_{code}.tif", values, size_of(code), west=WEST, north=NORTH, **said
            )
    store = SignalStore(tmp_path / "store")
    with pytest.warns(DataWarning, match="scene 48PWS_20220110: left out.* 0.1 too high") as caught:
        table = store.signals(find_scenes("local", tmp_path), parcels, [INDEX], seen=pd.Timestamp("2022-02-01"))
    assert set(table["date"]) == {pd.Timestamp("2022-01-05")}
    assert len([item for item in caught if "20220110" in str(item.message)]) == 1
