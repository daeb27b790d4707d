"""Folders of scenes: names, dates, scale and offset, and what is said of each file that cannot be used."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import rasterio
import scenes as made
from affine import Affine

from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.sources.local import open_scenes
from rs_forecast.sources.scene import scenes_table

PLAIN = np.full((8, 8), 3000, np.uint16)


def band(path, **how):
    """Write one small band that declares scale 1e-4, unless told otherwise."""
    return made.write_band(path, how.pop("values", PLAIN), how.pop("size", 10.0), **{"scale": 1e-4, **how})


def good(folder, day="20240101"):
    """Write a scene that is sound, to see that the rest goes on."""
    band(folder / f"48PWS_{day}_B04.tif")
    return f"48PWS_{day}"


def one(folder, **how):
    (scene,) = open_scenes(folder, **how)
    return scene


# -------------------------------------------------------------------------------------------------- names and dates
@pytest.mark.parametrize(
    ("file", "scene_id", "tile", "date"),
    [
        ("48PWS_20260302_B04.tif", "48PWS_20260302", "48PWS", "2026-03-02"),
        ("T48PWS_20260302T031541_B04_10m.tif", "T48PWS_20260302T031541", "48PWS", "2026-03-02"),
        ("S2B_48PWS_2026-03-02_0_L2A-B04.TIFF", "S2B_48PWS_2026-03-02_0_L2A", "48PWS", "2026-03-02"),
        ("20260302/B04.tif", "20260302", "local", "2026-03-02"),
        ("48PWS/20260302/b04_10m.tif", "48PWS_20260302", "48PWS", "2026-03-02"),
        ("S2A_MSIL2A_20260302T031541_N0511_R118_T48PWS_20260302T071802/B04.tif",
         "S2A_MSIL2A_20260302T031541_N0511_R118_T48PWS_20260302T071802", "48PWS", "2026-03-02"),
        ("2026-03-02/field west.B04.tif", "field west", "local", "2026-03-02"),
    ],
)  # fmt: skip
def test_names(tmp_path, file, scene_id, tile, date):
    band(tmp_path / file)
    scene = one(tmp_path)
    assert (scene.scene_id, scene.tile, str(scene.date.date())) == (scene_id, tile, date)
    assert list(scene.bands) == ["red"]


def test_one_folder_name_under_two_tiles_is_two_scenes(tmp_path):
    for tile in ("48PWS", "48PXS"):
        band(tmp_path / tile / "20260302" / "B04.tif")
    assert [s.scene_id for s in open_scenes(tmp_path)] == ["48PWS_20260302", "48PXS_20260302"]


def test_known_at_span_and_order(tmp_path):
    for day in ("20240110", "20240105", "20240120"):
        band(tmp_path / f"48PWS_{day}_B04.tif")
    found = open_scenes(tmp_path, latency_days=3)
    assert [str(s.date.date()) for s in found] == ["2024-01-05", "2024-01-10", "2024-01-20"]
    assert all(s.known_at - s.date == pd.Timedelta(days=3) and s.known_at_basis == "assumed" for s in found)
    assert len(open_scenes(tmp_path, start="2024-01-05", end="2024-01-10")) == 2
    assert len(open_scenes(tmp_path, start="2024-01-06")) == 2
    with pytest.raises(NoDataError, match="of 3 scenes none lies from 2025-01-01"):
        open_scenes(tmp_path, start="2025-01-01")
    with pytest.raises(SchemaError, match="'soon'"):
        open_scenes(tmp_path, start="soon")
    table = scenes_table(found)
    assert table["bands"].tolist() == ["red"] * 3
    assert table["scene_id"].is_unique


def test_the_finest_of_a_band_in_several_resolutions(tmp_path):
    for size in (60, 10, 20):
        band(tmp_path / f"48PWS_20240101_B04_{size}m.tif", size=float(size))
    assert one(tmp_path).bands["red"].geobox.affine.a == 10


def test_tags_and_marks(tmp_path):
    band(tmp_path / "48PWS_20240101_B04.tif", tags={"PROCESSING_BASELINE": "05.10"})
    scene = one(tmp_path)
    assert scene.baseline == "05.10"
    assert scene.synthetic


def test_georeference_equals_rasterio(tmp_path):
    file = band(tmp_path / "48PWS_20240101_B04.tif")
    grid = one(tmp_path).bands["red"].geobox
    with rasterio.open(file) as src:
        assert tuple(grid.affine)[:6] == tuple(src.transform)[:6]
        assert tuple(grid.shape) == src.shape
        assert grid.crs.epsg == src.crs.to_epsg() == 32648


# -------------------------------------------------------------------------------------------------- scale and offset
def scaling(scene, name="red"):
    return scene.bands[name].scale, scene.bands[name].offset, scene.bands[name].nodata


def test_scale_from_the_files_metadata(tmp_path):
    band(tmp_path / "48PWS_20240101_B04.tif", offset=-0.1)
    assert scaling(one(tmp_path)) == (1e-4, -0.1, 0.0)
    assert scaling(one(tmp_path, scale=5e-4, offset=0.2)) == (1e-4, -0.1, 0.0)  # the file knows better than the config


def test_whole_numbers_that_declare_nothing_are_refused(tmp_path):
    good(tmp_path, "20240201")
    band(tmp_path / "48PWS_20240101_B04.tif", scale=None)
    with pytest.warns(DataWarning, match=r"scene 48PWS_20240101: left out.*B04\.tif.*declares no scale.*04\.00"):
        assert one(tmp_path).scene_id == "48PWS_20240201"


def test_scale_from_the_config(tmp_path):
    band(tmp_path / "48PWS_20240101_B04.tif", scale=None, nodata=None)
    assert scaling(one(tmp_path, scale=1e-4)) == (1e-4, 0.0, 0.0)
    assert scaling(one(tmp_path, scale=1e-4, offset=-0.1)) == (1e-4, -0.1, 0.0)
    with pytest.raises(ConfigError, match=r"offset = -0\.1 stands without a scale"):
        open_scenes(tmp_path, offset=-0.1)


def test_a_declared_nodata_is_kept(tmp_path):
    band(tmp_path / "48PWS_20240101_B04.tif", nodata=65535)
    assert scaling(one(tmp_path)) == (1e-4, 0.0, 65535.0)


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]},  # STAC 1.0
        {"bands": [{"name": "B04", "raster:scale": 1e-4, "raster:offset": -0.1}]},  # STAC 1.1
        {"raster:scale": 1e-4, "raster:offset": -0.1, "bands": [{"name": "B04"}]},  # STAC 1.1, once for all bands
    ],
    ids=["1.0", "1.1-band", "1.1-asset"],
)
def test_scale_from_a_stac_item(tmp_path, asset):
    folder = tmp_path / "48PWS_20240101"
    band(folder / "B04.tif", scale=None)
    band(folder / "SCL.tif", scale=None, values=np.full((4, 4), 4, np.uint8), size=20.0)
    item = {"type": "Feature", "assets": {"red": {"href": "https://example.com/a/B04.tif", **asset}, "thumb": {}}}
    (folder / "item.json").write_text(json.dumps(item))
    (folder / "notes.json").write_text('{"by": "somebody"}')
    scene = one(tmp_path)
    assert scaling(scene) == (1e-4, -0.1, 0.0)
    assert scaling(scene, "scl")[:2] == (1.0, 0.0)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"type": "Feature", "assets": [3]}', '{"type":"Feature","assets":{"a":3}}']
)
def test_a_damaged_stac_item_is_named_and_files_that_need_none_go_on(tmp_path, text):
    good(tmp_path / "a", "20240101")
    band(tmp_path / "b" / "48PWS_20240102_B04.tif", scale=None)
    for folder in ("a", "b"):
        (tmp_path / folder / "item.json").write_text(text)
    with pytest.warns(DataWarning) as said:
        assert [scene.scene_id for scene in open_scenes(tmp_path)] == ["48PWS_20240101"]
    assert {w.filename for w in said} == {__file__}
    texts = [str(w.message) for w in said]
    assert sum("item.json: not used as a STAC item" in t for t in texts) == 2
    assert sum("scene 48PWS_20240102: left out" in t for t in texts) == 1


def test_float_reflectance_needs_no_scale(tmp_path):
    band(tmp_path / "48PWS_20240101_B04.tif", values=np.full((8, 8), 0.3, np.float32), scale=None)
    assert scaling(one(tmp_path)) == (1.0, 0.0, None)


# --------------------------------------------------------------------------------------------------------- bad files
def write_vrt(path):
    secret = band(path.parent.parent / "elsewhere.tif")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32648</SRS><GeoTransform>500000,10,0,1150000,0,-10'
        '</GeoTransform><VRTRasterBand dataType="UInt16" band="1"><Scale>0.0001</Scale><SimpleSource><SourceFilename>'
        f"{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def write_cut(path, share):
    raw = band(path).read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])


def write_text(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def write_bare(path):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        band(path, crs=None, transform=Affine.identity())


def write_huge(path):
    """Write a file of some kilobytes that declares 1e6 x 1e6 pixels."""
    path.parent.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 10**6, "height": 10**6, "crs": made.CRS}
    tiles = {"tiled": True, "blockxsize": 2**16, "blockysize": 2**16, "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(path, "w", transform=Affine(10, 0, 0, 0, -10, 0), **profile, **tiles):
        pass


NORTH_UP = "square and north-up"
BAD_FILES = {
    "empty": (lambda path: write_text(path, ""), "cannot be opened as GeoTIFF"),
    "text": (lambda path: write_text(path, "date,value\n2024-01-01,3\n"), "cannot be opened as GeoTIFF"),
    "vrt": (write_vrt, "cannot be opened as GeoTIFF"),
    "cut in the header": (lambda path: write_cut(path, 0.05), "B04.tif"),
    "no crs": (lambda path: band(path, crs=None), "its CRS is missing"),
    "no georeference": (write_bare, NORTH_UP),
    "degrees": (lambda path: band(path, crs="EPSG:4326", transform=Affine(1e-4, 0, 105, 0, -1e-4, 10)), "in metres"),
    "feet": (lambda path: band(path, crs="EPSG:2263"), "in metres"),
    "oblong": (lambda path: band(path, transform=Affine(10, 0, 5e5, 0, -20, 1.15e6)), NORTH_UP),
    "rotated": (lambda path: band(path, transform=Affine(10, 1, 5e5, 1, -10, 1.15e6)), NORTH_UP),
    "south up": (lambda path: band(path, transform=Affine(10, 0, 5e5, 0, 10, 1.15e6)), NORTH_UP),
    "mirrored": (lambda path: band(path, transform=Affine(-10, 0, 5e5, 0, -10, 1.15e6)), NORTH_UP),
    "huge": (write_huge, "declares 1000000 x 1000000 pixels"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_and_the_rest_goes_on(tmp_path, kind):
    write, reason = BAD_FILES[kind]
    target = tmp_path / "scenes"
    kept = good(target)
    write(target / "48PWS_20240108_B04.tif")
    with pytest.warns(DataWarning) as said:
        assert [scene.scene_id for scene in open_scenes(target)] == [kept]
    assert len(said) == 1
    assert said[0].filename == __file__
    text = str(said[0].message)
    assert text.startswith("scene 48PWS_20240108: left out. ")
    assert "48PWS_20240108_B04.tif" in text
    assert reason in text


@pytest.mark.parametrize("day", ["20240230", "20231131", "nodate"])
def test_a_name_without_a_day_is_named(tmp_path, day):
    kept = good(tmp_path)
    band(tmp_path / f"48PWS_{day}_B04.tif")
    with pytest.warns(DataWarning, match=f"scene 48PWS_{day}: left out"):
        assert one(tmp_path).scene_id == kept


def test_files_that_name_no_band_are_named_once(tmp_path):
    kept = good(tmp_path)
    for name in ("48PWS_20240101_stack.tif", "20240101.tif", "map B04 old.tif"):
        band(tmp_path / name)
    for name in ("48PWS_20240101_TCI.tif", "48PWS_20240101_AOT_10m.tif", "SCL.png", "readme.txt"):
        (tmp_path / name).write_text("not looked at")
    with pytest.warns(
        DataWarning, match="3 GeoTIFFs name no band.*20240101.tif.*stack.tif.*20260302_48PWS_B04"
    ) as said:
        assert open_scenes(tmp_path)[0].scene_id == kept
    assert len(said) == 1
    assert said[0].filename == __file__


def test_one_id_in_two_folders_the_first_counts(tmp_path):
    kept = good(tmp_path / "a")
    good(tmp_path / "b")
    with pytest.warns(DataWarning, match=rf"scene {kept}: left out in \S*b, it is also in \S*a\b"):
        scene = one(tmp_path)
    assert "/a/" in scene.bands["red"].href


def test_of_two_copies_the_one_that_opens_counts(tmp_path):
    good(tmp_path / "a")
    write_text(next((tmp_path / "a").glob("*.tif")), "")
    good(tmp_path / "b")
    with pytest.warns(DataWarning, match="cannot be opened"):
        assert "/b/" in one(tmp_path).bands["red"].href


def test_nothing_to_open(tmp_path):
    with pytest.raises(NoDataError, match="there is no usable scene; name files like"):
        open_scenes(tmp_path)
    with pytest.raises(SourceError, match="no such folder or file of scenes"):
        open_scenes(tmp_path / "missing")
    write_text(tmp_path / "48PWS_20240108_B04.tif", "")
    with pytest.raises(NoDataError), pytest.warns(DataWarning):
        open_scenes(tmp_path)


def test_a_band_whose_pixels_do_not_nest_names_its_scene(tmp_path):
    made.write_scene(tmp_path, "20240115")
    made.write_scene(tmp_path, "20240120")
    file = tmp_path / "48PWS_20240120" / "48PWS_20240120_B08.tif"
    with rasterio.open(file, "r+") as dst:
        a = dst.transform
        dst.transform = Affine(a.a, 0, a.c + 33.7, 0, a.e, a.f)
    with pytest.warns(DataWarning, match=r"48PWS_20240120: left out.*B08.*do not nest"):
        scenes = open_scenes(tmp_path)
    assert [scene.scene_id for scene in scenes] == ["48PWS_20240115"]
