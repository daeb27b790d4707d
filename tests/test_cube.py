"""The notebook's cube: lazy, in its place, and with the same numbers as the operator's path."""

from __future__ import annotations

import flanders
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import scenes as made
import shapely
import xarray as xr
from pyproj import CRS

from rs_forecast import cube as cube_module
from rs_forecast.catalog import INDICES, Index
from rs_forecast.cube import add_indices, find_scenes, open_cube
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError
from rs_forecast.signals import extract_signals
from rs_forecast.sources.local import open_scenes

ALL = ("ndvi", "evi", "ndre", "lswi")
DAYS = ("20240105", "20240110", "20240115", "20240120", "20240125")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of five scenes: offsets mixed, and one cropped at an odd 10 m pixel of its own."""
    target = tmp_path_factory.mktemp("scenes")
    for number, day in enumerate(DAYS):
        made.write_scene(target, day, number, offset=-0.1 * (number % 2))
    return target


@pytest.fixture(scope="module")
def parcels():
    return made.fields(14)


@pytest.fixture(scope="module")
def cube(folder, parcels):
    return open_cube(parcels, path=folder)


@pytest.fixture(scope="module")
def loaded(cube):
    return cube.copy().load()


@pytest.fixture
def decodes(monkeypatch):
    """Return the list of (band file, number of pixels) decoded so far by the cube."""
    seen = []
    for name in ("read_reflectance", "read_clear"):
        real = getattr(cube_module, name)

        def spy(source, grid, rows, *args, real=real):
            seen.append((source, len(rows)))
            return real(source, grid, rows, *args)

        monkeypatch.setattr(cube_module, name, spy)
    return seen


def same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-6)


# --------------------------------------------------------------------------------------------------- the two paths
@pytest.mark.parametrize("square", flanders.SQUARES)
def test_cube_and_scenes_give_the_same_signals_on_real_pixels(shared_data, square):
    parcels = flanders.square_parcels(shared_data, square)
    folder = flanders.square_folder(shared_data, square)
    span = {"start": "2018-08-01", "end": "2018-12-31"}
    by_scene = extract_signals(open_scenes(folder, **span), parcels, ALL)
    assert len(by_scene) > 100
    same(extract_signals(open_cube(parcels, path=folder, **span), parcels, ALL), by_scene)


def test_cube_and_scenes_give_the_same_signals(folder, parcels, cube, loaded):
    by_scene = extract_signals(open_scenes(folder), parcels, ALL)
    same(extract_signals(cube, parcels, ALL), by_scene)
    same(extract_signals(loaded, parcels, ALL), by_scene)
    same(extract_signals(loaded.transpose("x", "time", "y"), parcels, ALL), by_scene)


def test_mask_arguments_reach_both_paths(folder, parcels):
    how = {"mask_classes": (9,), "mask_dilate_m": 45.0}
    by_scene = extract_signals(open_scenes(folder), parcels, ["ndvi"], **how)
    same(extract_signals(open_cube(parcels, path=folder, **how), parcels, ["ndvi"]), by_scene)


def test_scenes_of_unequal_extent_on_one_pixel_raster(tmp_path, parcels):
    """Each cropped elsewhere, one at an odd 10 m pixel of its 20 m grid: same rows by both paths."""
    for number, (day, skip) in enumerate(zip(DAYS, (0, 1, 3, 5, 2), strict=False)):
        bands = made.numbers(number)
        crop = {c: v[skip:, skip:] if made.SIZE[c] == 20 else v[2 * skip :, 2 * skip :] for c, v in bands.items()}
        if skip == 5:
            crop = {c: v if made.SIZE[c] == 20 else v[1:, 1:] for c, v in crop.items()}
        folder = tmp_path / f"48PWS_{day}"
        for code, values in crop.items():
            shift = 20 * skip + (10 if skip == 5 and made.SIZE[code] == 10 else 0)
            made.write_band(
                folder / f"{code}.tif",
                values,
                made.SIZE[code],
                scale=None if code == "SCL" else 1e-4,
                west=made.WEST + shift,
                north=made.NORTH - shift,
            )
    by_scene = extract_signals(open_scenes(tmp_path), parcels, ALL)
    by_cube = extract_signals(open_cube(parcels, path=tmp_path), parcels, ALL)
    assert by_scene["date"].nunique() == 5
    same(by_cube, by_scene)


def test_a_part_of_a_cube_gives_its_part_of_the_signals(loaded, parcels):
    whole = extract_signals(loaded, parcels, ["ndvi"])
    same(
        extract_signals(loaded.isel(time=2), parcels, ["ndvi"]),
        whole[whole["date"] == "2024-01-15"].reset_index(drop=True),
    )
    same(extract_signals(loaded.isel(time=[4, 0]), parcels, ["ndvi"]),
         whole[whole["date"].isin(pd.to_datetime(["2024-01-05", "2024-01-25"]))].reset_index(drop=True))  # fmt: skip
    middle = loaded.isel(x=slice(5, 40), y=slice(4, 30))
    left, right = float(middle["x"][0]) - 5, float(middle["x"][-1]) + 5
    bottom, top = float(middle["y"][-1]) - 5, float(middle["y"][0]) + 5
    inside = parcels[parcels.within(shapely.box(left, bottom, right, top))]
    assert 3 < len(inside) < len(parcels)
    same(
        extract_signals(middle, inside, ["ndvi"]),
        whole[whole["parcel_id"].isin(inside["parcel_id"])].reset_index(drop=True),
    )


def test_indices_of_the_cube_are_the_indices_of_the_signals(loaded):
    """A parcel that is one pixel has that pixel's index, to the bit of float32."""
    shown = add_indices(loaded, ALL)
    rng = np.random.default_rng(0)
    places = list(zip(rng.integers(0, loaded.sizes["y"], 30), rng.integers(0, loaded.sizes["x"], 30), strict=True))
    centres = [(float(loaded["x"][c]), float(loaded["y"][r])) for r, c in places]
    boxes = [shapely.box(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    parcels = gpd.GeoDataFrame({"parcel_id": [f"{k:02d}" for k in range(30)]}, geometry=boxes, crs=made.CRS)
    found = extract_signals(loaded, parcels, ALL)
    assert len(found) > 60
    for row in found.itertuples():
        r, c = places[int(row.parcel_id)]
        pixel = shown.sel(time=row.date).isel(y=r, x=c)
        for index in ALL:
            np.testing.assert_allclose(getattr(row, f"{index}_p50"), float(pixel[index]), rtol=0, atol=1e-7)


# ------------------------------------------------------------------------------------------------------------ indices
def test_add_indices_by_the_plain_formula(loaded):
    shown = add_indices(loaded, ["ndvi", "lswi"])
    plain = (loaded["nir"] - loaded["red"]) / (loaded["nir"] + loaded["red"])
    xr.testing.assert_allclose(shown["ndvi"], plain.where(abs(plain) <= 1), atol=1e-6)
    assert shown["ndvi"].dtype == np.float32
    assert shown["ndvi"].attrs["formula"] == INDICES["ndvi"].formula
    assert list(add_indices(loaded, []).data_vars) == list(loaded.data_vars)
    own = Index(name="twice", formula="2 * red", valid=(0.0, 0.25), doi="", doc="")
    double = add_indices(loaded, [own])["twice"]
    assert 0.2 < float(double.max()) <= 0.25
    xr.testing.assert_allclose(double.astype(float), (2 * loaded["red"]).where(2 * loaded["red"] <= 0.25), atol=1e-6)
    with pytest.raises(SourceError, match="index lswi needs the band swir1"):
        add_indices(loaded.drop_vars("swir1"), ["lswi"])
    with pytest.raises(ConfigError, match="did you mean"):
        add_indices(loaded, ["ndvj"])


# --------------------------------------------------------------------------------------------------------------- lazy
def test_opening_and_showing_decode_nothing(folder, parcels, decodes):
    opened = open_cube(parcels, path=folder)
    assert "nir" in repr(opened)
    assert "red" in opened._repr_html_()
    opened = opened.isel(time=slice(1, 3), x=slice(3, 9)).sel(time="2024-01-10")
    assert not decodes
    assert opened["nir"].shape[-1] == 6


def test_one_date_decodes_one_date(cube, decodes):
    values = cube["nir"].sel(time="2024-01-15").values
    assert {getattr(source, "href", source.__class__.__name__).rsplit("/")[-1] for source, _ in decodes} == {
        "48PWS_20240115_B08.tif",
        "Scene",
    }
    assert len(decodes) == 2
    assert values.shape == (cube.sizes["y"], cube.sizes["x"])


def test_a_window_decodes_its_pixels(cube, decodes):
    assert cube["scl"].isel(time=0, x=slice(3, 6), y=slice(2, 4)).values.shape == (2, 3)
    assert [count for _, count in decodes] == [6]


INDEXERS = {
    "one date": {"time": 2},
    "last date": {"time": -1},
    "one pixel": {"time": 1, "y": 3, "x": -2},
    "slice": {"time": slice(1, 4), "x": slice(2, 30, 3)},
    "backwards": {"time": slice(None, None, -1), "y": slice(None, None, -2)},
    "backwards part": {"x": slice(20, 4, -3)},
    "dates by number": {"time": [3, 0, 3]},
    "outer": {"time": [0, 2], "y": [5, 1, 1], "x": np.array([7, 3])},
    "nothing": {"time": slice(0, 0)},
    "no pixels": {"x": slice(4, 4)},
    "mixed": {"time": [1], "y": 4, "x": slice(None, 5)},
    "points": {"y": xr.DataArray([1, 2, 9], dims="point"), "x": xr.DataArray([8, 2, 0], dims="point")},
    "points in time": {"time": xr.DataArray([4, 0], dims="point"), "x": xr.DataArray([1, 1], dims="point")},
}


@pytest.mark.parametrize("kind", INDEXERS)
def test_indexing_agrees_with_the_loaded_cube(cube, loaded, kind):
    for name in ("nir", "swir1", "scl"):
        lazy = cube[name].isel(INDEXERS[kind])
        xr.testing.assert_identical(lazy.load(), loaded[name].isel(INDEXERS[kind]))


def test_indexing_twice_agrees(cube, loaded):
    for first, then in (({"time": slice(4, 0, -1)}, {"time": 2}), ({"x": [9, 4, 2]}, {"x": slice(1, None), "time": 0})):
        xr.testing.assert_identical(cube["red"].isel(first).isel(then).load(), loaded["red"].isel(first).isel(then))


def test_arithmetic_on_the_lazy_cube(cube, loaded):
    xr.testing.assert_identical((cube["nir"] * 2).mean("time"), (loaded["nir"] * 2).mean("time"))


# -------------------------------------------------------------------------------------------------- pixels and place
def test_pixels_are_those_of_the_files(folder, loaded):
    """Every pixel of every band against rasterio: the 20 m pixel that contains it, scaled, clouds out."""
    for number, day in enumerate(DAYS):
        truth = made.Truth("", made.numbers(number), 1e-4, -0.1 * (number % 2))
        part = loaded.sel(time=f"{day[:4]}-{day[4:6]}-{day[6:]}")
        rows = np.round((made.NORTH - part["y"].to_numpy()) / 10 - 0.5).astype(int)
        cols = np.round((part["x"].to_numpy() - made.WEST) / 10 - 0.5).astype(int)
        scl = truth.numbers["SCL"]
        bad = made.grown(np.isin(scl, (3, 8, 9, 10, 11)), 20.0, 20.0) | np.isin(scl, (0, 1))
        bad = bad.repeat(2, axis=0).repeat(2, axis=1)
        for code, name in (("B04", "red"), ("B08", "nir"), ("B8A", "nir_narrow"), ("B11", "swir1")):
            with rasterio.open(folder / f"48PWS_{day}" / f"48PWS_{day}_{code}.tif") as src:
                np.testing.assert_array_equal(src.read(1), truth.numbers[code])
            expected = np.where(bad, np.float32(np.nan), truth.at_10m(code))[np.ix_(rows, cols)]
            np.testing.assert_array_equal(part[name].to_numpy(), expected)
        np.testing.assert_array_equal(part["scl"].to_numpy(), truth.at_10m("SCL")[np.ix_(rows, cols)])


def test_place_equals_rasterio(folder, cube, parcels):
    with rasterio.open(folder / "48PWS_20240105" / "48PWS_20240105_B04.tif") as src:
        for corner in (0, -1):
            place = float(cube["x"][corner]), float(cube["y"][corner])
            assert src.xy(*src.index(*place)) == pytest.approx(place, abs=1e-6)  # a pixel's very centre
        crs = src.crs
    assert CRS.from_wkt(cube["spatial_ref"].attrs["crs_wkt"]) == CRS.from_user_input(crs)
    west, dx, _, north, _, dy = map(float, cube["spatial_ref"].attrs["GeoTransform"].split())
    assert (dx, dy) == (10.0, -10.0)
    left, bottom, right, top = parcels.total_bounds
    assert west <= left < west + 10
    assert north - 10 < top <= north
    assert west + 10 * (cube.sizes["x"] - 1) < right <= west + 10 * cube.sizes["x"]
    assert north - 10 * (cube.sizes["y"] - 1) > bottom >= north - 10 * cube.sizes["y"]
    assert (np.diff(cube["y"]) == -10).all()


def test_gdal_finds_the_place_of_a_written_cube(tmp_path, loaded):
    loaded[["nir"]].isel(time=0).to_netcdf(tmp_path / "cube.nc")
    with rasterio.open(f'netcdf:"{tmp_path / "cube.nc"}":nir') as src:
        assert src.crs.to_epsg() == 32648
        assert src.transform.a == 10
        assert (src.transform.c, src.transform.f) == (float(loaded["x"][0]) - 5, float(loaded["y"][0]) + 5)
        np.testing.assert_array_equal(src.read(1), loaded["nir"].isel(time=0).to_numpy())


def test_round_trip_through_netcdf(tmp_path, cube, loaded, parcels):
    add_indices(cube, ["ndvi"]).to_netcdf(tmp_path / "cube.nc")
    with xr.open_dataset(tmp_path / "cube.nc") as back:
        xr.testing.assert_identical(back[list(loaded.data_vars)].load().drop_encoding(), loaded.drop_encoding())
        assert set(back.coords) == set(cube.coords)
        same(extract_signals(back, parcels, ALL), extract_signals(loaded, parcels, ALL))


def test_coordinates_and_marks(cube):
    assert list(cube.dims) == ["time", "y", "x"]
    assert (cube["known_at"] - cube["time"] == np.timedelta64(1, "D")).all()
    assert cube["scene_id"].to_numpy().tolist() == [f"48PWS_{day}" for day in DAYS]
    assert "SYNTHETIC" in cube.attrs["title"]
    assert all(cube[name].dtype == (np.uint8 if name == "scl" else np.float32) for name in cube.data_vars)


def test_real_cubes_are_not_called_synthetic(shared_data):
    parcels = flanders.square_parcels(shared_data, flanders.SQUARES[0])
    opened = open_cube(parcels, path=flanders.square_folder(shared_data, flanders.SQUARES[0]))
    assert "title" not in opened.attrs
    assert opened["spatial_ref"].attrs["GeoTransform"].split()[:2] == ["501360.0", "10.0"]


def test_parcels_in_degrees(folder, parcels, cube):
    again = open_cube(parcels.to_crs("EPSG:4326"), path=folder)
    assert again.sizes == cube.sizes
    assert (again["x"] == cube["x"]).all()


def test_the_cube_is_cut_to_the_imagery(folder):
    wide = gpd.GeoDataFrame(
        {"parcel_id": ["all"]}, geometry=[shapely.box(made.WEST - 5e4, 1.1e6, made.WEST + 5e4, 1.2e6)], crs=made.CRS
    )
    opened = open_cube(wide, path=folder)
    assert (opened.sizes["y"], opened.sizes["x"]) == (2 * made.ROWS, 2 * made.COLS)
    assert float(opened["x"][0]) == made.WEST + 5


def test_a_parcel_within_one_pixel_has_a_cube(folder):
    for x in (103, 2 * made.COLS * 10 - 7):
        box = shapely.box(made.WEST + x, made.NORTH - 397, made.WEST + x + 4, made.NORTH - 393)
        speck = gpd.GeoDataFrame({"parcel_id": ["speck"]}, geometry=[box], crs=made.CRS)
        by_scene = extract_signals(open_scenes(folder), speck, ["ndvi"])
        assert len(by_scene) > 0
        same(extract_signals(open_cube(speck, path=folder), speck, ["ndvi"]), by_scene)


def test_coarse_bands_make_a_coarse_cube(folder, parcels):
    opened = open_cube(parcels, path=folder, bands=["swir1", "nir_narrow"])
    assert list(opened.data_vars) == ["swir1", "nir_narrow"]
    assert float(opened["x"][1] - opened["x"][0]) == 20
    own = Index(name="own", formula="(nir_narrow - swir1) / (nir_narrow + swir1)", valid=(-1.0, 1.0), doi="", doc="")
    same(extract_signals(opened, parcels, [own]), extract_signals(open_scenes(folder), parcels, [own]))


def test_masks_nothing_when_told_so(folder, parcels):
    opened = open_cube(parcels, path=folder, mask_classes=())
    share = float(opened["nir"].isnull().mean())  # noqa: PD003
    assert share == pytest.approx(0.02, abs=0.01)


# ---------------------------------------------------------------------------------------------------------- bad input
def test_a_scene_without_classification_is_named(tmp_path, parcels):
    for number, day in enumerate(DAYS[:2]):
        made.write_scene(tmp_path, day, number)
    next(tmp_path.rglob("*20240105_SCL.tif")).unlink()
    with pytest.warns(DataWarning, match="1 scenes have no classification and are left out: 48PWS_20240105"):
        opened = open_cube(parcels, path=tmp_path)
    assert opened.sizes["time"] == 1
    assert open_cube(parcels, path=tmp_path, mask_classes=()).sizes["time"] == 2
    next(tmp_path.rglob("*20240110_SCL.tif")).unlink()
    with pytest.raises(NoDataError, match="none of 2 scenes has a classification"):
        open_cube(parcels, path=tmp_path)


def test_a_band_that_some_scenes_lack(tmp_path, parcels):
    for number, day in enumerate(DAYS[:2]):
        made.write_scene(tmp_path, day, number)
    next(tmp_path.rglob("*20240105_B11.tif")).unlink()
    assert "swir1" not in open_cube(parcels, path=tmp_path)
    with pytest.raises(SourceError, match="band swir1 is missing in 1 scenes: 48PWS_20240105"):
        open_cube(parcels, path=tmp_path, bands=["nir", "swir1"])
    with pytest.raises(ConfigError, match=r'did you mean "swir1"'):
        open_cube(parcels, path=tmp_path, bands=["swir11"])


def test_a_file_cut_short_is_named_by_both_ways_to_look(tmp_path, parcels):
    for number, day in enumerate(DAYS[:2]):
        made.write_scene(tmp_path, day, number)
    file = next(tmp_path.rglob("*20240105_B08.tif"))
    file.write_bytes(file.read_bytes()[:2000])
    opened = open_cube(parcels, path=tmp_path)
    with pytest.raises(SourceError, match=r"48PWS_20240105_B08\.tif: cannot be decoded"):
        opened["nir"].load()
    with pytest.warns(DataWarning, match=r"scene 48PWS_20240105: left out.*B08\.tif"):
        found = extract_signals(opened, parcels, ["ndvi"])
    assert set(found["scene_id"]) == {"48PWS_20240110"}


def test_grids_that_do_not_fit_are_refused(tmp_path, parcels):
    made.write_scene(tmp_path, DAYS[0])
    made.write_scene(tmp_path, DAYS[1], west=made.WEST + 3)
    with pytest.raises(SourceError, match="48PWS_20240110 lies on another grid than 48PWS_20240105"):
        open_cube(parcels, path=tmp_path)
    assert extract_signals(open_scenes(tmp_path), parcels, ["ndvi"])["date"].nunique() == 2


def test_parcels_elsewhere(folder, parcels):
    for away in (parcels.translate(1e4), parcels.to_crs("EPSG:4326").translate(-180)):
        moved = gpd.GeoDataFrame(parcels[["parcel_id"]], geometry=away.to_numpy(), crs=away.crs)
        with pytest.raises(NoDataError, match="none of the parcels lies in the imagery"):
            open_cube(moved, path=folder)


def test_a_cube_that_lost_what_signals_need(loaded, parcels):
    with pytest.raises(SourceError, match="lost its coordinate scene_id"):
        extract_signals(loaded.drop_vars("scene_id"), parcels, ["ndvi"])
    with pytest.raises(SourceError, match="lost its coordinate time"):
        extract_signals(loaded.mean("time", keep_attrs=True), parcels, ["ndvi"])
    with pytest.raises(SourceError, match="spatial_ref"):
        extract_signals(loaded.drop_vars("spatial_ref"), parcels, ["ndvi"])
    with pytest.raises(SourceError, match="no band red_edge1"):
        extract_signals(loaded.drop_vars("red_edge1"), parcels, ALL)


def test_sources_by_name(folder, tmp_path):
    assert len(find_scenes("local", folder)) == 5
    with pytest.raises(ConfigError, match="there is no source 'locale'; did you mean"):
        find_scenes("locale", folder)
    with pytest.raises(ConfigError, match="'csv' provides weather"):
        find_scenes("csv", tmp_path)
