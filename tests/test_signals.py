"""Signals against exactextract on the same pixels, and the properties a table of signals must have."""

from __future__ import annotations

import shutil
import threading
import warnings
from dataclasses import replace

import flanders
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scenes as made
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from zonal_oracle import NDRE_NARROW, assert_like_exact, clear_of, scene_bands

from rs_forecast import schema
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError
from rs_forecast.signals import extract_signals, geometry_hashes
from rs_forecast.sources.local import open_scenes

ALL = ("ndvi", "evi", "ndre", "lswi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of four scenes, two of them with the -1000 offset."""
    target = tmp_path_factory.mktemp("scenes")
    for number, day in enumerate(("20240105", "20240110", "20240115", "20240120")):
        made.write_scene(target, day, number, offset=-0.1 * (number % 2))
    return target


@pytest.fixture(scope="module")
def parcels():
    return made.fields(14)


@pytest.fixture(scope="module")
def table(folder, parcels):
    return extract_signals(open_scenes(folder), parcels, ALL)


# ------------------------------------------------------------------------------------------------------------- oracle
def test_oracle_synthetic_scenes(tmp_path, parcels):
    for number, (day, offset) in enumerate((("20240105", 0.0), ("20240110", -0.1))):
        truth = made.write_scene(tmp_path, day, number, offset=offset)
        ours = extract_signals(open_scenes(tmp_path, start=day, end=day), parcels, ALL)
        bands = scene_bands(truth, ("B02", "B04", "B05", "B08", "B11"))
        assert assert_like_exact(ours, bands, parcels, made.WEST, made.NORTH, 10.0, ALL) >= 10


@pytest.mark.parametrize("square", flanders.SQUARES)
def test_oracle_flanders(shared_data, square):
    parcels = flanders.square_parcels(shared_data, square)
    ours = extract_signals(open_scenes(flanders.square_folder(shared_data, square)), parcels, ALL)
    schema.check_signals(ours)
    with (
        xr.open_dataset(flanders.square_file(shared_data, square, "S2_L2A_10m"), mask_and_scale=False) as fine,
        xr.open_dataset(flanders.square_file(shared_data, square, "S2_L2A_20m"), mask_and_scale=False) as coarse,
    ):
        fine, coarse = fine.load(), coarse.load()  # noqa: PLW2901
    west, north = float(fine["x"][0]) - 5, float(fine["y"][0]) + 5
    compared = 0
    days = fine["timestamp"].to_numpy().astype("datetime64[D]")
    assert len(set(days)) == len(days)
    steps = range(0, len(days), 7)
    for step in steps:
        clear = clear_of(coarse["SCL"][step].to_numpy())
        raw = {name: fine[code][step] for name, code in (("blue", "B02"), ("red", "B04"), ("nir", "B08"))}
        raw |= {name: coarse[code][step] for name, code in (("red_edge1", "B05"), ("swir1", "B11"))}
        bands = {}
        for name, layer in raw.items():
            dn = layer.to_numpy().repeat(64 // layer.shape[0], axis=0).repeat(64 // layer.shape[1], axis=1)
            bands[name] = np.where(dn == 0, np.nan, dn * 1e-4).astype(np.float32)
            bands[name][~clear.repeat(2, axis=0).repeat(2, axis=1)] = np.nan
        rows = ours[ours["date"] == days[step]]
        compared += assert_like_exact(rows, bands, parcels, west, north, 10.0, ALL)
    assert compared > 4 * len(steps)  # a good part of the dates is clear: the comparison is not empty


@pytest.mark.parametrize("square", flanders.COARSE)
def test_oracle_cubes_of_20_m_bands(shared_data, square):
    """Parcels are drawn over the whole square, the crop rasters here hold one field."""
    with xr.open_dataset(flanders.square_file(shared_data, square, "S2_L2A_20m"), mask_and_scale=False) as cube:
        cube = cube.load()  # noqa: PLW2901
    west, north = float(cube["x"][0]) - 10, float(cube["y"][0]) + 10
    boxes = [
        shapely.transform(shapely.box(x, y, x + 77, y + 64), lambda p: p @ [[1, 0.1], [-0.2, 1]], include_z=False)
        for x in range(80, 500, 110)
        for y in range(-560, -140, 120)
    ]
    crs = cube["spatial_ref"].attrs["crs_wkt"]
    geometry = shapely.transform(np.array(boxes), lambda p: p + np.array([west, north]))
    parcels = gpd.GeoDataFrame({"parcel_id": [f"b{k:02d}" for k in range(len(boxes))]}, geometry=geometry, crs=crs)
    ours = extract_signals(open_scenes(flanders.square_folder(shared_data, square)), parcels, [NDRE_NARROW])
    compared = 0
    days = cube["timestamp"].to_numpy().astype("datetime64[D]")
    steps = [step for step in range(0, len(days), 6) if (days == days[step]).sum() == 1]  # a day twice: see below
    for step in steps:
        clear = clear_of(cube["SCL"][step].to_numpy())
        bands = {}
        for name, code in (("nir_narrow", "B8A"), ("red_edge1", "B05")):
            dn = cube[code][step].to_numpy()
            bands[name] = np.where((dn == 0) | ~clear, np.nan, dn * 1e-4).astype(np.float32)
        rows = ours[ours["date"] == days[step]]
        compared += assert_like_exact(rows, bands, parcels, west, north, 20.0, ["ndre_narrow"])
    assert compared > len(steps)


@pytest.mark.parametrize("square", flanders.COARSE)
def test_ndvi_of_20_m_cubes_names_every_scene(shared_data, square):
    scenes = open_scenes(flanders.square_folder(shared_data, square))
    parcels = flanders.square_parcels(shared_data, square, inward=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(NoDataError, match=f"none of {len(scenes)} scenes"):
            extract_signals(scenes, parcels, ["ndvi"])
    text = "\n".join(str(w.message) for w in said if w.category is DataWarning)
    assert all(scene.scene_id in text for scene in scenes)
    assert text.count("it has no band nir, red;") == len(scenes)


# ---------------------------------------------------------------------------------------------------- shape and rules
def test_table_passes_its_schema_and_is_sorted(table, parcels):
    schema.check_signals(table)
    assert table["parcel_id"].nunique() == len(parcels)
    assert table.equals(table.sort_values(["parcel_id", "date"], ignore_index=True))
    assert (table["known_at"] - table["date"] == pd.Timedelta(days=1)).all()
    assert list(table.columns[8:]) == [f"{index}_{stat}" for index in ALL for stat in schema.STATS]


def test_valid_fraction_is_of_the_whole_parcel(table, parcels):
    area = pd.Series(parcels.area.to_numpy() / 100.0, index=parcels["parcel_id"])
    expected = table["valid_weight"] / area.loc[table["parcel_id"]].to_numpy()
    np.testing.assert_allclose(table["valid_fraction"], expected, rtol=1e-9)
    assert table["valid_fraction"].max() <= 1.000001


def test_a_parcel_half_outside_counts_its_whole_area(tmp_path):
    bands = made.numbers(3, cloud=0.0, gaps=False)
    made.write_scene(tmp_path, bands=bands)
    box = shapely.box(made.WEST - 50, made.NORTH - 120, made.WEST + 50, made.NORTH - 20)
    parcels = gpd.GeoDataFrame({"parcel_id": ["edge"]}, geometry=[box], crs=made.CRS)
    row = extract_signals(open_scenes(tmp_path), parcels, ["ndvi"]).iloc[0]
    assert row["valid_weight"] == pytest.approx(50.0)
    assert row["valid_fraction"] == pytest.approx(0.5)


def test_a_pixel_counts_where_every_band_asked_for_has_a_value(tmp_path):
    bands = made.numbers(4, cloud=0.0, gaps=False)
    bands["B11"][:, 6:] = 0
    made.write_scene(tmp_path, bands=bands)
    box = shapely.box(made.WEST + 40, made.NORTH - 100, made.WEST + 200, made.NORTH - 40)
    parcels = gpd.GeoDataFrame({"parcel_id": ["a"]}, geometry=[box], crs=made.CRS)
    scenes = open_scenes(tmp_path)
    assert extract_signals(scenes, parcels, ["ndvi"])["valid_weight"].item() == pytest.approx(96.0)
    assert extract_signals(scenes, parcels, ["ndvi", "lswi"])["valid_weight"].item() == pytest.approx(48.0)


def test_an_index_out_of_range_counts_for_the_others_only(tmp_path):
    bands = made.numbers(5, cloud=0.0, gaps=False)
    for code, number in (("B02", 3266), ("B04", 2000), ("B08", 3000)):
        bands[code][:] = number  # EVI's denominator is near 0 and EVI 4.95, NDVI 0.2
    bands["B02"][:, 20:] = 400
    made.write_scene(tmp_path, bands=bands)
    left, right = made.WEST + 100, made.WEST + 300
    boxes = [shapely.box(x, made.NORTH - 90, x + 60, made.NORTH - 30) for x in (left, right)]
    parcels = gpd.GeoDataFrame({"parcel_id": ["bad", "good"]}, geometry=boxes, crs=made.CRS)
    found = extract_signals(open_scenes(tmp_path), parcels, ["ndvi", "evi"]).set_index("parcel_id")
    assert np.isnan(found.loc["bad", "evi_mean"])
    assert found.loc["bad", "ndvi_mean"] == pytest.approx(0.2, abs=1e-6)
    assert found.loc["bad", "valid_weight"] == pytest.approx(36.0)
    assert found.loc["good", "evi_mean"] == pytest.approx(2.5 * 0.1 / (0.3 + 1.2 - 0.3 + 1), abs=1e-6)


def test_a_10_m_pixel_takes_the_20_m_pixel_that_contains_it(tmp_path):
    """A parcel of one 10 m pixel has the value of that very 20 m pixel: nothing is interpolated."""
    bands = made.numbers(6, cloud=0.0, gaps=False)
    truth = made.write_scene(tmp_path, bands=bands)
    rng = np.random.default_rng(0)
    places = [(int(r), int(c)) for r, c in rng.integers(4, 36, (12, 2))]
    boxes = [
        shapely.box(made.WEST + c * 10 + 1, made.NORTH - r * 10 - 9, made.WEST + c * 10 + 9, made.NORTH - r * 10 - 1)
        for r, c in places
    ]
    parcels = gpd.GeoDataFrame({"parcel_id": [f"{k:02d}" for k in range(12)]}, geometry=boxes, crs=made.CRS)
    found = extract_signals(open_scenes(tmp_path), parcels, ["lswi"])
    nir, swir = truth.reflectance("B08"), truth.reflectance("B11")
    for (r, c), row in zip(places, found.itertuples(), strict=True):
        n, s = float(nir[r, c]), float(swir[r // 2, c // 2])
        assert row.lswi_mean == pytest.approx((n - s) / (n + s), abs=1e-6)


def test_of_two_scenes_of_one_day_the_greater_weight_counts_then_the_first_by_name(tmp_path):
    plain = made.numbers(7, cloud=0.0, gaps=False)
    cut = {code: values.copy() for code, values in plain.items()}
    cut["SCL"][:, 12:] = 0  # the swath ends in the middle
    made.write_scene(tmp_path, tile="48PWS", bands=cut)
    made.write_scene(tmp_path, tile="48PXS", bands=made.numbers(8, cloud=0.0, gaps=False))
    boxes = [shapely.box(made.WEST + x, made.NORTH - 200, made.WEST + x + 61, made.NORTH - 133) for x in (60, 210, 360)]
    parcels = gpd.GeoDataFrame({"parcel_id": ["whole", "half", "none"]}, geometry=boxes, crs=made.CRS)
    first, second = open_scenes(tmp_path)
    found = extract_signals([second, first], parcels, ["ndvi"]).set_index("parcel_id")
    assert len(found) == 3
    assert found.loc["half", "tile"] == found.loc["none", "tile"] == "48PXS"
    assert found.loc["whole", "tile"] == "48PWS"  # a tie, and both known on one day: by name
    late = replace(first, known_at=first.known_at + pd.Timedelta(days=3))
    both = extract_signals([late, second], parcels, ["ndvi"]).set_index("parcel_id").loc["whole"]
    assert both["tile"].tolist() == ["48PXS", "48PWS"]  # known on two days: a choice for asof, not for today
    assert both["known_at"].tolist() == [second.known_at, late.known_at]


def test_tiles_that_overlap_tie_in_spite_of_their_last_digits(tmp_path):
    """The same pixels on a grid that begins elsewhere give weights that differ in the 13th digit: still a tie."""
    bands = made.numbers(9, cloud=0.0, gaps=False)
    made.write_scene(tmp_path, tile="48PWS", bands=bands)
    crop = {c: v[2:, 2:] if made.SIZE[c] == 20 else v[4:, 4:] for c, v in bands.items()}
    made.write_scene(tmp_path, tile="48PXS", bands=crop, west=made.WEST + 40, north=made.NORTH - 40)
    parcels = made.fields(14)
    inside = parcels[parcels.within(shapely.box(made.WEST + 40, made.NORTH - 400, made.WEST + 480, made.NORTH - 40))]
    found = extract_signals(open_scenes(tmp_path), inside, ["ndvi"])
    assert len(found) == len(inside) > 8
    assert set(found["tile"]) == {"48PWS"}


def test_oracle_a_scene_on_a_grid_half_a_pixel_off(tmp_path, parcels):
    """Its pixels are used where they lie; nothing is snapped."""
    west, north = made.WEST + 5, made.NORTH - 5
    truth = made.write_scene(tmp_path, west=west, north=north)
    found = extract_signals(open_scenes(tmp_path), parcels, ["ndvi", "lswi"])
    bands = scene_bands(truth, ("B04", "B08", "B11"))
    assert assert_like_exact(found, bands, parcels, west, north, 10.0, ["ndvi", "lswi"]) >= 10


def test_tiles_in_two_utm_zones_give_a_parcel_one_row_a_day(tmp_path):
    """The same day seen on two grids of two CRSs: the greater weight counts, whichever comes first."""
    east = 676_000.0  # in zone 47 some 180 km east of its middle, near the border to zone 48
    parcels = made.fields(14)
    shifted = parcels.set_geometry(parcels.translate(east - made.WEST)).set_crs("EPSG:32647", allow_override=True)
    left, _, _, top = shifted.to_crs("EPSG:32648").total_bounds
    bands = made.numbers(3, cloud=0.0, gaps=False)
    made.write_scene(tmp_path, tile="47PRS", bands=bands, west=east, crs="EPSG:32647")
    wide = made.numbers(4, rows=60, cols=60, cloud=0.0, gaps=False)
    corner = {"west": np.floor(left / 20) * 20 - 100, "north": np.ceil(top / 20) * 20 + 100}
    made.write_scene(tmp_path, tile="48PTB", bands=wide, crs="EPSG:32648", **corner)
    scenes = open_scenes(tmp_path)
    found, turned = (extract_signals(order, shifted, ["ndvi"]) for order in (scenes, scenes[::-1]))
    pd.testing.assert_frame_equal(found, turned, check_exact=True)
    assert found["parcel_id"].is_unique
    assert len(found) == len(shifted)
    apart = [extract_signals([scene], shifted, ["ndvi"]).set_index("parcel_id") for scene in scenes]
    for row in found.itertuples():
        weights = {t["tile"].iloc[0]: round(t["valid_weight"].get(row.parcel_id, 0.0), 6) for t in apart}
        assert row.tile == min(weights, key=lambda tile: (-weights[tile], tile))


def test_overlapping_parcels_each_count_fully(tmp_path):
    made.write_scene(tmp_path, bands=made.numbers(3, cloud=0.0, gaps=False))
    box = shapely.box(made.WEST + 41, made.NORTH - 187, made.WEST + 133, made.NORTH - 52)
    parcels = gpd.GeoDataFrame({"parcel_id": ["a", "b", "c"]}, geometry=[box, box, box.buffer(-20)], crs=made.CRS)
    scenes = open_scenes(tmp_path)
    found = extract_signals(scenes, parcels, ["ndvi"]).set_index("parcel_id")
    assert found.loc["a"].drop(["geom_hash"]).equals(found.loc["b"].drop(["geom_hash"]))
    assert found.loc["a", "valid_weight"] == pytest.approx(box.area / 100)
    alone = extract_signals(scenes, parcels.iloc[2:], ["ndvi"]).set_index("parcel_id")
    pd.testing.assert_frame_equal(found.loc[["c"]], alone, check_exact=True)


def test_a_day_of_clouds_gives_no_rows_and_no_error(tmp_path, parcels):
    bands = made.numbers(1, gaps=False)
    bands["SCL"][:] = 9
    made.write_scene(tmp_path, bands=bands)
    found = extract_signals(open_scenes(tmp_path), parcels, ALL)
    assert found.empty
    schema.check_signals(found)


# --------------------------------------------------------------------------------------------------------------- mask
@pytest.mark.parametrize("metres", [0.0, 20.0, 28.0, 28.3, 45.0, 100.0])
def test_dilation_by_brute_force(tmp_path, parcels, metres):
    truth = made.write_scene(tmp_path, seed=2, bands=made.numbers(2, cloud=0.02))
    found = extract_signals(open_scenes(tmp_path), parcels, ["ndvi"], mask_dilate_m=metres)
    bands = scene_bands(truth, ("B04", "B08"), metres=metres)
    assert_like_exact(found, bands, parcels, made.WEST, made.NORTH, 10.0, ["ndvi"])


def test_mask_classes_are_the_callers(folder, parcels, table):
    scenes = open_scenes(folder)
    more = extract_signals(scenes, parcels, ALL, mask_classes=(*SCL_MASKED, 4, 5))
    less = extract_signals(scenes, parcels, ALL, mask_classes=(9,), mask_dilate_m=0)
    assert more["valid_weight"].sum() < table["valid_weight"].sum() < less["valid_weight"].sum()


def test_no_data_does_not_grow(tmp_path, parcels):
    bands = made.numbers(1, cloud=0.0, gaps=False)
    bands["SCL"][:] = 4
    bands["SCL"][5:9, 5:9] = 0
    bands["SCL"][12, 12] = 1
    bands["SCL"][14, 3] = 255  # no class at all: no data too
    truth = made.write_scene(tmp_path, bands=bands)
    found = extract_signals(open_scenes(tmp_path), parcels, ["ndvi"], mask_dilate_m=60)
    clear = (bands["SCL"] == 4).repeat(2, axis=0).repeat(2, axis=1)
    band = {
        name: np.where(clear, truth.at_10m(code), np.float32(np.nan)) for name, code in (("nir", "B08"), ("red", "B04"))
    }
    assert_like_exact(found, band, parcels, made.WEST, made.NORTH, 10.0, ["ndvi"])


def test_a_cloud_beyond_the_parcels_box_still_masks(tmp_path):
    """The mask is read around the parcels, so that the result does not depend on which others are asked for."""
    bands = made.numbers(1, cloud=0.0, gaps=False)
    bands["SCL"][:] = 4
    bands["SCL"][5, 10] = 9  # its centre is 50 m east of the parcel's last pixel
    made.write_scene(tmp_path, bands=bands)
    box = shapely.box(made.WEST + 140, made.NORTH - 120, made.WEST + 160, made.NORTH - 100)
    parcels = gpd.GeoDataFrame({"parcel_id": ["a"]}, geometry=[box], crs=made.CRS)
    scenes = open_scenes(tmp_path)
    assert len(extract_signals(scenes, parcels, ["ndvi"], mask_dilate_m=59.9)) == 1
    assert extract_signals(scenes, parcels, ["ndvi"], mask_dilate_m=60.0).empty


# --------------------------------------------------------------------------------------------------------- properties
def test_a_parcel_alone_has_the_same_rows(folder, parcels, table):
    scenes = open_scenes(folder)
    for row in (0, 5, 13):
        alone = extract_signals(scenes, parcels.iloc[[row]], ALL)
        among = table[table["parcel_id"] == parcels["parcel_id"].iloc[row]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, among, check_exact=True)


def test_order_of_scenes_and_parcels_and_threads_change_no_bit(folder, parcels, table):
    scenes = open_scenes(folder)
    for threads in (1, 2, 4):
        shuffled = parcels.sample(frac=1, random_state=threads)
        again = extract_signals(scenes[::-1], shuffled, ALL, threads=threads)
        pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_parcels_in_degrees_give_the_same(folder, parcels, table):
    again = extract_signals(open_scenes(folder), parcels.to_crs("EPSG:4326"), ALL)
    pd.testing.assert_frame_equal(again.drop(columns="geom_hash"), table.drop(columns="geom_hash"), rtol=0, atol=1e-6)
    assert (again["geom_hash"] != table["geom_hash"]).all()


@settings(max_examples=5)
@given(factor=st.sampled_from([0.25, 0.5, 2.0, 3.0]), seed=st.integers(0, 5))
def test_property_scaling_all_reflectances_leaves_ratios(tmp_path_factory, factor, seed):
    parcels, tables = made.fields(8), []
    for scale in (1e-4, 1e-4 * factor):
        target = tmp_path_factory.mktemp("scaled")
        made.write_scene(target, seed=seed, scale=scale)
        tables.append(extract_signals(open_scenes(target), parcels, ["ndvi", "lswi"]))
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=2e-6)


@settings(max_examples=6)
@given(row=st.integers(0, made.ROWS - 1), col=st.integers(0, made.COLS - 1), klass=st.sampled_from([3, 8, 9, 10]))
def test_property_a_cloud_more_only_removes(tmp_path_factory, row, col, klass):
    parcels, tables = made.fields(10), []
    bands = made.numbers(11, cloud=0.03)
    for _ in range(2):
        target = tmp_path_factory.mktemp("clouds")
        made.write_scene(target, bands=bands)
        tables.append(extract_signals(open_scenes(target), parcels, ["ndvi"]).set_index("parcel_id")["valid_weight"])
        bands = {**bands, "SCL": bands["SCL"].copy()}
        bands["SCL"][row, col] = klass
    before, after = tables
    assert set(after.index) <= set(before.index)
    assert (after <= before.loc[after.index] + 1e-12).all()


def test_geometry_hashes_tell_outlines_apart_and_nothing_else(parcels):
    ids = geometry_hashes(parcels)
    assert len(set(ids)) == len(parcels)
    ring = parcels.geometry.iloc[0].exterior.coords[:-1]
    turned = shapely.Polygon([*ring[2:], *ring[:2]]).reverse()  # the same outline from another corner
    again = parcels.copy()
    again.geometry = [turned, *parcels.geometry.iloc[1:]]
    assert geometry_hashes(again) == ids
    moved = parcels.copy()
    moved.geometry = parcels.translate(0.01)
    assert not set(geometry_hashes(moved)) & set(ids)
    assert not set(geometry_hashes(parcels.set_crs("EPSG:32647", allow_override=True))) & set(ids)


# ---------------------------------------------------------------------------------------------------------- bad input
def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "scenes")


def cut(file, share):
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("code", ["B04", "SCL"])
def test_a_cut_file_is_named_and_the_rest_goes_on(folder, tmp_path, parcels, table, share, code):
    target = copy_of(folder, tmp_path)
    bad = "48PWS_20240110"
    cut(target / bad / f"{bad}_{code}.tif", share)
    with pytest.warns(DataWarning, match=f"scene {bad}: left out.*{code}"):
        found = extract_signals(open_scenes(target), parcels, ALL)
    pd.testing.assert_frame_equal(found, table[table["scene_id"] != bad].reset_index(drop=True), check_exact=True)


def test_a_missing_band_is_named_and_the_rest_goes_on(folder, tmp_path, parcels, table):
    target = copy_of(folder, tmp_path)
    for bad, code in (("48PWS_20240110", "B05"), ("48PWS_20240120", "SCL")):
        (target / bad / f"{bad}_{code}.tif").unlink()
    scenes = open_scenes(target)
    with pytest.warns(DataWarning) as said:
        found = extract_signals(scenes, parcels, ALL)
    text = " ".join(str(w.message) for w in said)
    assert "48PWS_20240110: left out, it has no band red_edge1" in text
    assert "48PWS_20240120: left out, it has no band scl" in text
    kept = table[table["scene_id"].isin(["48PWS_20240105", "48PWS_20240115"])]
    pd.testing.assert_frame_equal(found, kept.reset_index(drop=True), check_exact=True)
    ndvi = extract_signals(scenes[:3], parcels, ["ndvi"])  # which needs no red edge
    assert ndvi["date"].nunique() == 3


def test_no_usable_scene_is_an_error(folder, tmp_path, parcels):
    target = copy_of(folder, tmp_path)
    for file in target.rglob("*_B08.tif"):
        cut(file, 0.5)
    with pytest.raises(NoDataError, match="none of 4 scenes"), pytest.warns(DataWarning):
        extract_signals(open_scenes(target), parcels, ALL)


def test_warnings_come_in_the_callers_thread(folder, tmp_path, parcels, monkeypatch):
    target = copy_of(folder, tmp_path)
    cut(target / "48PWS_20240110" / "48PWS_20240110_B04.tif", 0.6)
    threads = []
    real = warnings.warn

    def spy(*args, **kwargs):
        threads.append(threading.current_thread())
        real(*args, **kwargs)

    monkeypatch.setattr(warnings, "warn", spy)
    with pytest.warns(DataWarning):
        extract_signals(open_scenes(target), parcels, ALL, threads=3)
    assert threads == [threading.current_thread()]


def test_parcels_outside_are_named(folder, parcels, table):
    far = gpd.GeoDataFrame(
        {"parcel_id": ["far_a", "far_b"]}, geometry=list(parcels.translate(5000).iloc[:2]), crs=parcels.crs
    )
    both = pd.concat([far.iloc[:1], parcels, far.iloc[1:]], ignore_index=True)
    with pytest.warns(DataWarning, match=r"2 parcels lie outside the imagery.*far_a, far_b") as said:
        found = extract_signals(open_scenes(folder), both, ALL)
    assert said[0].filename == __file__  # the warning points at the caller's line
    pd.testing.assert_frame_equal(found, table, check_exact=True)
    with pytest.raises(NoDataError, match="none of the 2 parcels lies in the imagery"):
        extract_signals(open_scenes(folder), far, ALL)


def test_arguments_that_cannot_be_used(folder, parcels):
    scenes = open_scenes(folder)
    with pytest.raises(ConfigError, match=r'did you mean "ndvi"'):
        extract_signals(scenes, parcels, ["ndvj"])
    with pytest.raises(ConfigError, match="no index is asked for"):
        extract_signals(scenes, parcels, [])
    with pytest.raises(NoDataError, match="none of 0 scenes"):
        extract_signals([], parcels)
    with pytest.raises(SourceError, match="no band nir"):
        extract_signals(xr.Dataset(), parcels, ["ndvi"])


def test_progress_ends_at_all_scenes(folder, tmp_path, parcels):
    target = copy_of(folder, tmp_path)
    (target / "48PWS_20240105" / "48PWS_20240105_SCL.tif").unlink()
    told = []
    with pytest.warns(DataWarning):
        extract_signals(open_scenes(target), parcels, ["ndvi"], progress=lambda done, of: told.append((done, of)))
    assert told == [(2, 4), (3, 4), (4, 4)]
