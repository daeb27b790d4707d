"""Decoding: which pixel is read, what its number means, and what is said of a file that cannot be read."""

from __future__ import annotations

import gc
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
import scenes as made
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rs_forecast.errors import SourceError
from rs_forecast.sources import _tiff
from rs_forecast.sources._blocks import read_clear, read_reflectance
from rs_forecast.sources._pixels import pixels_at
from rs_forecast.sources.scene import BandFile, Scene


def grid_of(size: float, rows: int, cols: int, *, west: float = made.WEST, north: float = made.NORTH) -> GeoBox:
    return GeoBox((rows, cols), Affine(size, 0, west, 0, -size, north), made.CRS)


def everywhere(grid: GeoBox):
    rows, cols = np.indices(grid.shape).reshape(2, -1)
    return rows.astype(np.int64), cols.astype(np.int64)


def tiff(path, values, size=10.0, *, nodata=0.0, scale=1e-4, offset=0.0, **how) -> BandFile:
    """Write a band and return it as the reader of folders would."""
    made.write_band(path, values, size, **how)
    with rasterio.open(path) as src:
        grid = GeoBox((src.height, src.width), src.transform, src.crs.to_wkt())
    return BandFile(href=str(path), driver="GTiff", geobox=grid, scale=scale, offset=offset, nodata=nodata)


def scene_of(scl: BandFile) -> Scene:
    day = pd.Timestamp("2024-01-15")
    return Scene(
        scene_id="s", tile="t", date=day, known_at=day, known_at_basis="assumed", provider="local", bands={"scl": scl}
    )


def read_all(band: BandFile, grid: GeoBox) -> np.ndarray:
    return read_reflectance(band, grid, *everywhere(grid)).reshape(grid.shape)


# ---------------------------------------------------------------------------------------------------------- which pixel
@settings(max_examples=60)
@given(
    dx=st.integers(-7, 7), dy=st.integers(-7, 7), coarse=st.sampled_from([10, 20, 60]), fine=st.sampled_from([10, 20])
)
def test_property_a_pixel_takes_the_one_that_holds_its_centre(dx, dy, coarse, fine):
    """Grids that begin at odd multiples of 10 m from each other included; truth by geometry, in metres."""
    grid = grid_of(fine, 9, 11)
    band = grid_of(coarse, 5, 6, west=made.WEST + 10 * dx, north=made.NORTH + 10 * dy)
    rows, cols = everywhere(grid)
    row_of, col_of = pixels_at(grid, rows, cols).lines(band)
    r, c = row_of[rows], col_of[cols]
    inside = (r >= 0) & (c >= 0)
    x, y = made.WEST + (cols + 0.5) * fine, made.NORTH - (rows + 0.5) * fine
    left, bottom, right, top = band.boundingbox
    assert (inside == ((x >= left) & (x < right) & (y <= top) & (y > bottom))).all()
    assert ((left + c * coarse <= x) & (x < left + (c + 1) * coarse))[inside].all()
    assert ((top - r * coarse >= y) & (y > top - (r + 1) * coarse))[inside].all()


@pytest.mark.parametrize("offset", [(1, 0), (0, 1), (1, 1), (3, 5)])
def test_a_scene_cropped_at_an_odd_10_m_pixel(tmp_path, offset):
    """The crop's first 10 m pixel is the second half of a 20 m pixel: it takes that one's value."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(1, 9000, (12, 14)).astype(np.uint16)
    band = tiff(tmp_path / "B11.tif", coarse, 20.0)
    down, right = offset
    crop = grid_of(10, 11, 13, west=made.WEST + 10 * right, north=made.NORTH - 10 * down)
    expected = coarse.repeat(2, axis=0).repeat(2, axis=1)[down : down + 11, right : right + 13]
    np.testing.assert_array_equal(read_all(band, crop), (expected * 1e-4).astype(np.float32))


def test_pixels_outside_the_file_are_missing(tmp_path):
    band = tiff(tmp_path / "B04.tif", np.full((4, 4), 1000, np.uint16))
    wide = grid_of(10, 8, 8, west=made.WEST - 20, north=made.NORTH + 20)
    found = read_all(band, wide)
    assert np.isnan(found).sum() == 64 - 16
    np.testing.assert_allclose(found[2:6, 2:6], 0.1, rtol=1e-6)


def test_bands_in_two_crss_are_refused(tmp_path):
    band = tiff(tmp_path / "B04.tif", np.full((4, 4), 1000, np.uint16))
    other = GeoBox((4, 4), band.geobox.affine, "EPSG:32647")
    with pytest.raises(SourceError, match=r"two CRSs.*32647"):
        read_all(band, other)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("seed", range(3))
def test_scattered_pixels_equal_rasterio(tmp_path, driver, seed):
    """Any pixels in any order, over block borders and the file's ragged edge."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 9000, (61, 45)).astype(np.uint16)
    band = tiff(tmp_path / "B08.tif", values, driver=driver)
    rows, cols = rng.integers(0, 61, 300), rng.integers(0, 45, 300)
    with rasterio.open(band.href) as src:
        whole = src.read(1)
    np.testing.assert_array_equal(whole, values)
    found = read_reflectance(band, band.geobox, rows, cols)
    np.testing.assert_array_equal(found, (whole[rows, cols] * 1e-4).astype(np.float32))


LAYOUTS = {
    "deflate, predictor 2": ({"compress": "DEFLATE", "predictor": 2}, True),
    "deflate": ({"compress": "DEFLATE"}, True),
    "strips": ({"compress": "DEFLATE", "tiled": False, "blockysize": 7}, True),
    "strips, predictor 2": ({"compress": "DEFLATE", "predictor": 2, "tiled": False, "blockysize": 7}, True),
    "LZW": ({"compress": "LZW", "predictor": 2}, False),
    "ZSTD": ({"compress": "ZSTD"}, False),
    "plain": ({}, False),
    "big-endian": ({"compress": "DEFLATE", "ENDIANNESS": "BIG"}, False),
    "12 bits": ({"compress": "DEFLATE", "NBITS": 12}, False),
    "sparse": ({"compress": "DEFLATE", "SPARSE_OK": True}, True),
    "BigTIFF": ({"compress": "DEFLATE", "BIGTIFF": "YES"}, True),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_oracle_blocks_of_every_layout_are_those_of_rasterio(tmp_path, name, dtype):
    options, plain = LAYOUTS[name]
    if "NBITS" in options and dtype != "uint16":
        options, plain = {"compress": "DEFLATE"}, True
    rng = np.random.default_rng(0)
    values = rng.integers(0, 250 if dtype == "uint8" else 4000, (61, 45)).astype(dtype)
    values[:32, :16] = 0  # blocks that a sparse file does not hold
    if dtype == "float32" and options.get("predictor"):
        options, plain = options | {"predictor": 3}, False
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16} | options
    if not profile["tiled"]:
        del profile["blockxsize"]
    path = tmp_path / "b.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype=dtype, count=1, height=61, width=45, crs=made.CRS, nodata=0,
        transform=Affine(10, 0, made.WEST, 0, -10, made.NORTH), **profile,
    ) as file:  # fmt: skip
        for _, window in file.block_windows(1):
            part = values[window.toslices()]
            if part.any() or name != "sparse":
                file.write(part, 1, window=window)
    layout = _tiff.read_layout(str(path), "GTiff")
    assert layout.plain == plain
    with rasterio.open(path) as src:
        grid, theirs = GeoBox((61, 45), src.transform, made.CRS), src.read(1)
    band = BandFile(href=str(path), driver="GTiff", geobox=grid, scale=1.0, offset=0.0, nodata=None)
    np.testing.assert_array_equal(read_all(band, grid), theirs.astype(np.float32))
    np.testing.assert_array_equal(theirs, values)


@pytest.mark.parametrize("compress", ["DEFLATE", "LZW"])
def test_each_block_is_decoded_once_and_only_where_pixels_are_asked_for(tmp_path, monkeypatch, compress):
    values = np.full((64, 64), 500, np.uint16)
    where = Affine(10, 0, made.WEST, 0, -10, made.NORTH)
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": compress}
    path = tmp_path / "B08.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", count=1, height=64, width=64, transform=where, **profile
    ) as file:
        file.write(values, 1)
    band = BandFile(href=str(path), driver="GTiff", geobox=grid_of(10, 64, 64), scale=1e-4, offset=0.0, nodata=0.0)
    decoded = []
    for name in ("_inflated", "_by_rasterio"):
        real = getattr(_tiff, name)
        monkeypatch.setattr(
            _tiff, name, lambda *a, real=real, name=name: decoded.append((name, next(filter_int(a)))) or real(*a)
        )
    rows = np.array([0, 5, 15, 16, 40, 3], np.int64)
    cols = np.array([0, 9, 15, 0, 40, 2], np.int64)
    found = read_reflectance(band, band.geobox, rows, cols)
    assert (found == np.float32(0.05)).all()
    how = "_inflated" if compress == "DEFLATE" else "_by_rasterio"
    assert sorted(decoded) == [(how, 0), (how, 4), (how, 10)]


def filter_int(items):
    return (item for item in items if isinstance(item, int))


def test_a_block_with_one_changed_byte_is_named(tmp_path):
    values = np.random.default_rng(0).integers(1, 9000, (64, 64)).astype(np.uint16)
    band = tiff(tmp_path / "B08.tif", values)
    offset, size = _tiff.read_layout(band.href, "GTiff").places[5].tolist()
    raw = bytearray((tmp_path / "B08.tif").read_bytes())
    raw[offset + size // 2] ^= 0x55
    (tmp_path / "B08.tif").write_bytes(raw)
    with pytest.raises(SourceError, match=r"B08\.tif: cannot be decoded"):
        read_all(band, band.geobox)
    rows, cols = np.arange(16), np.arange(16)
    np.testing.assert_array_equal(  # the other blocks are still good
        read_reflectance(band, band.geobox, rows, cols), (values[rows, cols] * 1e-4).astype(np.float32)
    )


def test_a_file_of_another_size_in_its_place_is_named(tmp_path):
    band = tiff(tmp_path / "B08.tif", np.full((64, 64), 5, np.uint16))
    read_all(band, band.geobox)
    tiff(tmp_path / "B08.tif", np.full((32, 64), 5, np.uint16))
    with pytest.raises(SourceError, match=r"B08\.tif: cannot be decoded.*32"):
        read_all(band, band.geobox)


# ------------------------------------------------------------------------------------------------ what a number means
def test_nodata_is_told_before_the_offset_and_reflectance_is_cut_at_zero(tmp_path):
    raw = np.array([[0, 1, 500, 1000], [1001, 2000, 11000, 65535]], np.uint16)
    band = tiff(tmp_path / "B04.tif", raw, scale=1e-4, offset=-0.1)
    expected = [[np.nan, 0.0, 0.0, 0.0], [0.0001, 0.1, 1.0, 6.4535]]
    np.testing.assert_allclose(read_all(band, band.geobox), np.float32(expected), atol=1e-7)


def test_with_and_without_the_offset_the_same_reflectance(tmp_path):
    ground = np.random.default_rng(0).integers(1, 9000, (20, 20)).astype(np.uint16)
    old = tiff(tmp_path / "old.tif", ground)
    new = tiff(tmp_path / "new.tif", (ground + 1000).astype(np.uint16), offset=-0.1)
    np.testing.assert_allclose(read_all(old, old.geobox), read_all(new, new.geobox), rtol=0, atol=1e-7)


@pytest.mark.parametrize("nodata", [-9999.0, None, np.nan])
def test_float_reflectance(tmp_path, nodata):
    values = np.random.default_rng(0).uniform(0, 0.6, (8, 8)).astype(np.float32)
    values[0, :4] = -0.02, np.nan, np.inf, -9999.0
    band = tiff(tmp_path / "B04.tif", values, scale=1.0, nodata=nodata)
    found = read_all(band, band.geobox)
    np.testing.assert_array_equal(found[1:], values[1:])
    assert found[0, 0] == 0.0
    assert np.isnan(found[0, 1:3]).all()
    assert np.isnan(found[0, 3]) if nodata == -9999.0 else found[0, 3] == 0.0


def test_reflectance_is_rounded_once(tmp_path):
    """Scaled in double precision, then rounded to float32: as any reader of the product would have it."""
    raw = np.arange(1, 10001, dtype=np.uint16).reshape(100, 100)
    band = tiff(tmp_path / "B04.tif", raw, offset=-0.1)
    np.testing.assert_array_equal(read_all(band, band.geobox), np.maximum(raw * 1e-4 - 0.1, 0).astype(np.float32))


# --------------------------------------------------------------------------------------------------------------- mask
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), metres=st.sampled_from([0.0, 10.0, 20.0, 28.28, 28.29, 40.0, 44.7, 44.8, 90.0]))
def test_property_dilation_by_brute_force(tmp_path_factory, seed, metres):
    rng = np.random.default_rng(seed)
    scl = rng.choice(np.array([0, 1, 3, 4, 5, 9], np.uint8), size=(14, 15), p=[0.05, 0.02, 0.02, 0.7, 0.19, 0.02])
    band = tiff(tmp_path_factory.mktemp("scl") / "SCL.tif", scl, 20.0)
    clear = read_clear(scene_of(band), band.geobox, *everywhere(band.geobox), (0, 1, 3, 9), metres)
    expected = ~(made.grown(np.isin(scl, (3, 9)), 20.0, metres) | (scl <= 1))
    np.testing.assert_array_equal(clear.reshape(scl.shape), expected)


def test_the_mask_of_some_pixels_is_that_of_all(tmp_path):
    """A cloud just outside the pixels asked for counts; how far the others lie does not."""
    rng = np.random.default_rng(5)
    scl = np.where(rng.random((30, 30)) < 0.03, 9, 4).astype(np.uint8)
    band = tiff(tmp_path / "SCL.tif", scl, 20.0)
    rows, cols = everywhere(band.geobox)
    whole = read_clear(scene_of(band), band.geobox, rows, cols, (9,), 65.0)
    for _ in range(10):
        some = rng.integers(0, len(rows), 3)
        np.testing.assert_array_equal(
            read_clear(scene_of(band), band.geobox, rows[some], cols[some], (9,), 65.0), whole[some]
        )


def test_classes_that_do_not_exist_are_no_data(tmp_path):
    scl = np.full((9, 9), 4, np.uint8)
    scl[4, 4] = 255
    band = tiff(tmp_path / "SCL.tif", scl, 20.0, nodata=255)
    at = everywhere(band.geobox)
    clear = read_clear(scene_of(band), band.geobox, *at, (0, 9), 40.0)
    assert (~clear).sum() == 1
    assert not clear[4 * 9 + 4]
    assert read_clear(scene_of(band), band.geobox, *at, (), 40.0).all()


def test_outside_the_classification_nothing_is_clear(tmp_path):
    band = tiff(tmp_path / "SCL.tif", np.full((4, 4), 4, np.uint8), 20.0)
    away = grid_of(10, 6, 6, west=made.WEST + 60)
    clear = read_clear(scene_of(band), away, *everywhere(away), (9,), 20.0).reshape(6, 6)
    assert clear[:, :2].all()
    assert not clear[:, 2:].any()
    farther = grid_of(10, 3, 3, west=made.WEST + 1000)
    assert not read_clear(scene_of(band), farther, *everywhere(farther), (9,), 20.0).any()


# ------------------------------------------------------------------------------------------------------------ bad files
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # open_scenes has seen the header
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_file_cut_short_is_named(tmp_path, driver):
    """At whatever length it ends: pixels that are there are right, and those that are not raise the file's name."""
    values = np.random.default_rng(0).integers(1, 9000, (64, 64)).astype(np.uint16)
    band = tiff(tmp_path / "B08.tif", values, driver=driver)
    whole = (tmp_path / "B08.tif").read_bytes()
    named = whole_after_all = 0
    for length in np.linspace(0, len(whole) - 1, 25).astype(int):
        cut = tmp_path / f"{length}.tif"
        cut.write_bytes(whole[:length])
        try:
            found = read_all(replace(band, href=str(cut)), band.geobox)
        except SourceError as err:
            named += f"{length}.tif: cannot be decoded" in str(err)
        else:
            np.testing.assert_array_equal(found, (values * 1e-4).astype(np.float32))
            whole_after_all += 1
    assert named + whole_after_all == 25
    assert named >= 20


def test_a_vrt_that_took_the_files_place_is_not_followed(tmp_path):
    band = tiff(tmp_path / "B08.tif", np.full((4, 4), 7, np.uint16))
    secret = tiff(tmp_path / "secret.tif", np.full((4, 4), 42, np.uint16))
    (tmp_path / "B08.tif").write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{secret.href}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    with pytest.raises(SourceError, match=r"B08\.tif: cannot be decoded"):
        read_all(band, band.geobox)


def cube_file(path, value):
    data = np.full((2, 4, 5), value, np.uint16)
    xr.Dataset({"B04": (("time", "y", "x"), data)}).to_netcdf(path, engine="netcdf4")


def netcdf(path, step=0) -> BandFile:
    return BandFile(
        href=str(path),
        driver="NetCDF",
        geobox=grid_of(10, 4, 5),
        variable="B04",
        step=step,
        scale=1e-4,
        offset=0.0,
        nodata=0.0,
    )


def test_a_cube_written_anew_is_read_anew(tmp_path):
    path = tmp_path / "cube.nc"
    band = netcdf(path)
    for number in (1000, 3000):
        path.unlink(missing_ok=True)
        cube_file(path, number)
        os.utime(path, ns=(number, number))
        assert read_all(band, band.geobox).max() == pytest.approx(number * 1e-4)


def test_a_damaged_cube_is_named(tmp_path):
    path = tmp_path / "cube.nc"
    cube_file(path, 1000)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SourceError, match=r"cube\.nc, B04 step 0: cannot be decoded"):
        read_all(netcdf(path), grid_of(10, 4, 5))
    with pytest.raises(SourceError, match=r"gone\.nc"):
        read_all(netcdf(tmp_path / "gone.nc"), grid_of(10, 4, 5))
    cube_file(tmp_path / "short.nc", 1000)
    with pytest.raises(SourceError, match=r"short\.nc, B04 step 7"):
        read_all(netcdf(tmp_path / "short.nc", step=7), grid_of(10, 4, 5))
    gc.collect()


def test_no_pixels_need_no_file():
    none = np.zeros(0, np.int64)
    assert read_reflectance(netcdf("nowhere.nc"), grid_of(10, 4, 5), none, none).shape == (0,)
