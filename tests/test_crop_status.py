"""What stands on each field: basis, age and stage by hand and against scipy, and the file as GDAL reads it."""

from __future__ import annotations

import sqlite3
import time
import xml.etree.ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from tables import make_parcels

from rs_forecast.catalog import STAGES, Season
from rs_forecast.crop_status import UNKNOWN, crop_status, stage_chances, stage_hectares
from rs_forecast.errors import ConfigError, OutputError
from rs_forecast.maps.crop_status import write_crop_status
from rs_forecast.workspace import sha256_file

ISSUED = pd.Timestamp("2025-02-03").as_unit("us")
DAY = pd.Timedelta(days=1)
RICE = [stage for stage in STAGES.values() if stage.crop == "rice"]
SEASONS = (
    Season(name="dong_xuan", start="11-01", end="12-31"),
    Season(name="he_thu", start="03-15", end="05-01"),
    Season(name="dong_xuan", start="12-15", end="01-14", sub_zones=("z2",)),
)


def crops(*rows):
    """Return crops of (parcel, days since sowing, days since harvest or None, season)."""
    table = pd.DataFrame(rows, columns=["parcel_id", "ago", "harvested", "season"])
    sown = (ISSUED - pd.to_timedelta(table["ago"], unit="D")).astype("datetime64[us]")
    harvested = (ISSUED - pd.to_timedelta(table["harvested"], unit="D")).astype("datetime64[us]")
    known = sown + 5 * DAY
    return table.assign(sown=sown, harvested=harvested, known_at=known.where(harvested.isna(), harvested))[
        ["parcel_id", "season", "sown", "harvested", "known_at"]
    ]


def looks(parcel, *rows):
    table = pd.DataFrame(rows, columns=["ago", "ndvi_mean", "lswi_mean"])
    date = (ISSUED - pd.to_timedelta(table.pop("ago"), unit="D")).astype("datetime64[us]")
    return table.assign(
        parcel_id=parcel, date=date, known_at=date + DAY, tile="T", scene_id="s", geom_hash="x", valid_weight=40.0,
        valid_fraction=1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def status():
    told = crops(("p0", 40, None, "told"), ("p1", 140, 45, None), ("p3", 30, None, None), ("p4", 70, 3, None))
    seen = looks("p1", (30, 0.1, 0.3), (20, 0.7, 0.4))
    parcels = make_parcels()
    parcels.loc[3, "crop"] = "maize"
    parcels.loc[5, "commune_code"] = None
    return crop_status(parcels, seen, told, issued=ISSUED, seasons=SEASONS).set_index("parcel_id", drop=False)


def test_a_sowing_is_from_the_table_else_the_imagery_else_the_calendar(status):
    assert status["sown_basis"].tolist() == ["table", "imagery", "calendar", "table", "none", "calendar"]
    assert status.loc["p0", ["age_days", "sown_error_days", "season", "stage_label", "bbch_first"]].tolist() == [
        40, 0, "told", "làm đòng", 32
    ]  # fmt: skip
    assert status.loc["p0", "sown"] == ISSUED - 40 * DAY
    crossing = 30 - 10 * 0.3 / 0.6
    assert status.loc["p1", ["age_days", "sown_error_days"]].tolist() == [crossing + 20, 4 + 5]
    assert status.loc["p1", "season"] == "2024 dong_xuan"
    assert pd.isna(status.loc["p3", "stage"]), "maize has no stages here"
    nothing = ["sown", "sown_error_days", "age_days", "stage", "stage_label", "bbch_first", "stage_chance", "season"]
    assert status.loc["p4", nothing].isna().all(), "it was harvested, after all windows of this season"


def test_the_calendar_is_that_of_the_sub_zone_and_of_windows_that_are_over(status):
    assert status.loc[["p2", "p5"], "sub_zone"].tolist() == ["z2", "z2"]
    assert status.loc["p2", "sown"] == pd.Timestamp("2024-12-30")
    assert status.loc["p2", "sown_error_days"] == np.ceil(0.8 * 30 / 2)
    one = make_parcels(1)
    while_sowing = crop_status(one, None, None, issued="2024-12-30", seasons=SEASONS)
    assert while_sowing["sown_basis"].tolist() == ["none"], "it may not be sown yet"
    after = crop_status(one, None, None, issued="2024-12-31", seasons=SEASONS)
    assert after["sown"].tolist() == [pd.Timestamp("2024-12-01")]
    assert crop_status(one, None, None, issued="2024-12-31")["sown_basis"].tolist() == ["none"], "no window, no prior"
    assert crop_status(one.assign(crop="maize"), None, None, issued="2024-12-31", seasons=SEASONS)["sown"].isna().all()


@given(age=st.floats(0, 150), error=st.floats(0.1, 40))
@settings(max_examples=50)
def test_the_chance_of_each_stage_is_that_of_two_normal_doubts(age, error):
    found = stage_chances(np.array([age]), np.array([error]), RICE)[:, 0]
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found[[stage.stage for stage in RICE].index("panicle_initiation")] == 0
    sigma = error / norm.ppf(0.9)  # four in five within it
    first = 1 - norm.cdf(age, 9, np.hypot(sigma, 2 / np.sqrt(12)))
    assert found[0] == pytest.approx(first, abs=1e-9)


def test_a_sure_age_is_in_the_stage_that_the_days_say():
    firm = [stage.__class__(**{**vars(stage), "days": (np.mean(stage.days),) * 2}) for stage in RICE]
    ages = np.array([0.0, 8.9, 9.0, 36.4, 36.5, 58.9, 59.1, 69.0, 79.0, 149.0, np.nan])
    found = stage_chances(ages, np.zeros(len(ages)), firm)
    assert np.isnan(found[:, -1]).all()
    names = [RICE[number].stage for number in found[:, :-1].argmax(axis=0)]
    assert names == ["seedling", "seedling", "tillering", "tillering", "booting", "booting", "heading", "milk",
                     "ripening", "ripening"]  # fmt: skip
    assert set(found[:, :-1].ravel()) == {0.0, 1.0}


def test_a_stage_in_doubt_is_not_named_and_hectares_are_shared_out_by_chance():
    parcels = make_parcels(3)
    parcels["crop"] = ["rice", None, "banana"]
    wide = (Season(name="s", start="08-01", end="12-01"),)
    status = crop_status(parcels, None, None, issued="2024-12-05", seasons=wide)
    assert status["stage"].isna().all()
    assert (status.loc[:1, "stage_chance"] < 0.5).all()
    table = stage_hectares(status)
    area = parcels.to_crs(parcels.estimate_utm_crs()).area / 1e4
    for commune, rows in table.groupby("commune_code"):
        assert rows["hectares"].sum() == pytest.approx(area[parcels["commune_code"] == commune].sum(), abs=1e-3)
    assert table.loc[table["crop"] == "banana", "stage"].tolist() == [UNKNOWN]
    assert table.loc[table["commune_code"] == "c1", "stage"].tolist() == [s.stage for s in RICE if s.days[1]]
    chances = stage_chances(np.array(status["age_days"]), np.array(status["sown_error_days"]), RICE)[:, 1]
    of_one = table.loc[table["commune_code"] == "c1", "hectares"]
    np.testing.assert_allclose(of_one, area[1] * chances[chances > 0], atol=1e-4)


# ------------------------------------------------------------------------------------------------------------- the file
def write(status, folder, **options):
    return write_crop_status(status, stage_hectares(status), folder, issued=ISSUED, **options)


def test_the_geopackage_holds_the_rows_in_the_crs_asked_for(status, tmp_path):
    path = write(status, tmp_path, crs="EPSG:9208", synthetic=True)
    info = pyogrio.read_info(path, layer="crop_status")
    assert (info["crs"], info["geometry_type"], info["features"]) == ("EPSG:9208", "MultiPolygon", len(status))
    assert info["ogr_types"][list(info["fields"]).index("sown")] == "OFTDate"
    assert info["layer_metadata"]["DESCRIPTION"].startswith("SYNTHETIC: ")
    assert info["dataset_metadata"]["SYNTHETIC"] == "YES"
    found = gpd.read_file(path, layer="crop_status")
    assert list(found.columns) == [
        "parcel_id", "commune_code", "sub_zone", "crop", "season", "sown", "sown_error_days", "sown_basis", "age_days",
        "stage", "stage_label", "bbch_first", "bbch_last", "stage_chance", "synthetic", "geometry",
    ]  # fmt: skip
    for name in ("age_days", "sown_basis", "stage", "stage_label", "sown", "season"):
        assert found[name].tolist() == status[name].tolist() or found[name].isna().equals(
            status[name].reset_index(drop=True).isna()
        )
    assert found["synthetic"].all()
    expected = status.to_crs(9208).geometry.to_numpy()
    assert shapely.hausdorff_distance(found.geometry.to_numpy(), expected).max() < 1e-6
    table = pyogrio.read_dataframe(path, layer="stage_hectares")
    assert table["hectares"].sum() == pytest.approx(status.area.sum() / 1e4, rel=1e-3)
    assert table["synthetic"].all()


def test_the_geopackage_is_one_that_qgis_3_22_reads_with_its_style(status, tmp_path):
    with sqlite3.connect(write(status, tmp_path, synthetic=True)) as file:
        assert file.execute("pragma application_id").fetchone()[0].to_bytes(4) == b"GPKG"
        assert file.execute("pragma user_version").fetchone() == (10200,)
        style, default, when = file.execute("select styleQML, useAsDefault, update_time from layer_styles").fetchone()
        assert file.execute("select f_table_name, f_geometry_column from layer_styles").fetchone() == (
            "crop_status", "geom",
        )  # fmt: skip
    file.close()
    assert (default, when) == (1, "2025-02-03T00:00:00.000Z")
    root = ET.fromstring(style.split("\n", 1)[1])
    rows = {c.get("value"): c.get("label") for c in root.iter("category")}
    assert rows["booting"] == "làm đòng, BBCH 32-49 (SYNTHETIC)"
    assert set(rows) == {*status["stage"].dropna(), ""}


def test_the_same_rows_give_the_same_bytes_at_another_time(status, tmp_path):
    first = sha256_file(write(status, tmp_path))
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    time.sleep(0.01)  # GDAL notes the time to a millisecond
    assert sha256_file(write(status, tmp_path)) == first
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == before
    other = status.assign(age_days=status["age_days"] + 1)
    assert sha256_file(write(other, tmp_path)) != first


def test_what_cannot_be_written_is_told(status, tmp_path):
    with pytest.raises(OutputError, match=r"crop_status\.gpkg: cannot be written"):
        write(status, tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="allowed is a projected CRS in metres"):
        write(status, tmp_path, crs="EPSG:4326")
