from __future__ import annotations

import datetime as dt
import email.utils
import json
import logging
import re
import resource
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
import stac_server as double
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from stac_server import EPSG, NORTH, SIDE, WEST, numbers, publish, status

from rs_forecast.errors import BusyError, ConfigError, DataWarning, OutputError, SourceError
from rs_forecast.sources import _stac_read
from rs_forecast.sources._stac_cells import Frame, find_cells, read_cells
from rs_forecast.sources._stac_http import Patience, check_address
from rs_forecast.sources._stac_sign import presign
from rs_forecast.sources.local import open_scenes
from rs_forecast.sources.stac import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER, Catalogue, download, find_catalogue, plan

BANDS = ("red", "nir_narrow", "scl")
CODES = ("B04", "B8A", "SCL")
QUICK = Patience(tries=3, wait_s=0.01, longest_s=0.05, connect_s=5, read_s=5)
HOST = "127.0.0.1"
SECRET = "5ECRETpa55"  # noqa: S105 - a token of the double


@pytest.fixture
def server():
    with double.serving() as state:
        yield state


@pytest.fixture
def api(server):
    return Catalogue(url=f"{server.url}/stac", allow_hosts=(HOST,), patience=QUICK)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "48PWS_20240115"
    made.mkdir()
    return made


def squares(*corners, size=200):
    """Return square parcels by their distance from the scene's corner [m]."""
    shapes = [shapely.box(WEST + x, NORTH - y - size, WEST + x + size, NORTH - y) for x, y in corners]
    return gpd.GeoDataFrame({"parcel_id": [f"p{n}" for n in range(len(shapes))]}, geometry=shapes, crs=EPSG)


@lru_cache(maxsize=32)
def truth(code, day, add):
    return numbers(code, day, add=add)


NEAR = squares((100, 150), (9000, 8800))


def one(catalogue, parcels=NEAR, bands=BANDS, day="2024-01-15"):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (order,) = plan(parcels, day, day, bands, catalogue)
    return order


def warned(catalogue, bands=BANDS):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        orders = plan(NEAR, "2024-01-01", "2024-12-31", bands, catalogue)
    return orders, "\n".join(str(w.message) for w in caught)


def covered(path, parcels=NEAR):
    """Return values of a copy and whether a pixel touches a parcel."""
    with rasterio.open(path) as src:
        mask = rasterio.features.rasterize(parcels.geometry, src.shape, transform=src.transform, all_touched=True)
        return src.read(1), mask.astype(bool)


def assert_true(folder, day="20240115", add=1000, codes=CODES, parcels=NEAR):
    """Assert that under parcels the copies hold the ground, and elsewhere the ground or nothing."""
    for code in codes:
        values, touched = covered(folder / f"{code}.tif", parcels)
        due = truth(code, day, add)
        assert touched.any()
        np.testing.assert_array_equal(values[touched], due[touched], err_msg=code)
        assert (values == np.where(values == 0, 0, due)).all()


def left_over(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------------------------------------------- planning


def test_a_plan_names_scenes_as_safe_products_do_over_all_pages(server, api):
    for day in ("20240110", "20240115", "20240120", "20240125", "20240301"):
        server.items.append(double.item(server, day, codes=CODES))
    orders = plan(NEAR, "2024-01-15", "2024-02-01", BANDS, api)
    assert [o.scene_id for o in orders] == [f"S2A_L2A_202401{day}_R075_48PWS" for day in (15, 20, 25)]
    assert server.asked.count(("POST", "/stac/search")) == 2
    first = orders[0]
    assert (first.tile, first.date, first.baseline) == ("48PWS", pd.Timestamp("2024-01-15"), "05.10")
    assert first.bands == BANDS
    assert first.size > 0
    assert json.loads(json.dumps(first.detail)) == first.detail
    assert plan(NEAR, "2023-01-01", "2023-12-31", BANDS, api) == []


def test_of_several_processings_the_newest_counts_whatever_the_style_of_the_item(server, api):
    newest = {"baseline": "05.11", "made": "20250101T000000", "style": "1.1"}
    for about in ({"baseline": "05.10"}, newest, {"baseline": "03.01", "offset": 0.0, "made": "20260101T000000"}):
        server.items.append(double.item(server, codes=CODES, **about))
    order = one(api)
    assert (order.baseline, order.version) == ("05.11", "05.11-20250101T000000")
    assert "N0511" in order.detail["images"]["red"]["href"]


def test_the_version_is_that_of_the_files_where_they_have_checksums(server, api):
    item = double.item(server, codes=CODES)
    for asset in item["assets"].values():
        asset["file:checksum"] = "d50110aa"
    server.items.append(item)
    before = one(api).version
    item["properties"]["updated"] = "2026-01-01T00:00:00Z"
    assert one(api).version == before
    item["assets"]["red"]["file:checksum"] = "d50110bb"
    assert one(api).version != before


def test_a_scene_whose_box_holds_parcels_but_not_its_outline_is_not_ordered(server, api):
    server.items.append(double.item(server, codes=CODES))
    item = double.item(server, "20240120", codes=CODES)
    corners = shapely.get_coordinates(shapely.geometry.shape(item["geometry"]))
    # the eastern half, with the whole box
    ring = [((corners[0] + corners[3]) / 2).tolist(), ((corners[1] + corners[2]) / 2).tolist(), *corners[2:4].tolist()]
    item["geometry"] = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    server.items.append(item)
    west_only = squares((100, 150))
    assert [f"{o.date:%m%d}" for o in plan(west_only, "2024-01-01", "2024-02-01", BANDS, api)] == ["0115"]
    assert len(plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api)) == 2


def half(item, *, north):
    """Leave an item the northern or southern half of its outline."""
    west, south, east, top = shapely.geometry.shape(item["geometry"]).bounds
    middle = (south + top) / 2
    box = shapely.box(west, middle, east, top) if north else shapely.box(west, south, east, middle)
    item["geometry"] = shapely.geometry.mapping(box)
    return item


def test_two_parts_of_one_overpass_are_two_scenes(server, api):
    for north, made in ((False, "20240115T060000"), (True, "20240115T070000"), (False, "20240115T080000")):
        server.items.append(half(double.item(server, codes=CODES, made=made), north=north))
    orders, text = warned(api)
    assert text == ""
    assert [o.scene_id for o in orders] == ["S2A_L2A_20240115_R075_48PWS", "S2A_L2A_20240115_R075_48PWS_2"]
    assert [o.detail["images"]["red"]["href"].split("_")[-1][:15] for o in orders] == [
        "20240115T070000",
        "20240115T080000",
    ]


@pytest.mark.parametrize("sequence", [(0, 0), (0, 1)])
def test_where_an_item_has_no_outline_its_strip_or_number_tells_parts(server, api, sequence):
    for number, made in zip(sequence, ("20240115T060000", "20240115T070000"), strict=True):
        item = double.item(server, codes=CODES, made=made)
        item["id"], item["geometry"] = f"S2A_48PWS_20240115_{number}_L2A", None
        server.items.append(item)
    assert len(plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api)) == len(set(sequence))
    for item in server.items:
        item["properties"]["s2:datastrip_id"] = "S2A_OPER_MSI_L2A_DS_2APS_20240115T070000_S20240115T031129_N05.10"
    assert len(plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api)) == 1


def test_a_part_without_parcels_is_not_ordered_and_the_other_keeps_its_name(server, api):
    for north, made in ((True, "20240115T060000"), (False, "20240115T070000")):
        item = half(double.item(server, codes=CODES, made=made), north=north)
        server.items.append(item)
    south_only = squares((100, 13_000))
    (order,) = plan(south_only, "2024-01-01", "2024-02-01", BANDS, api)
    assert order.scene_id == "S2A_L2A_20240115_R075_48PWS_2"


def test_bands_are_found_by_key_name_and_common_name(server, api):
    item = double.item(server, codes=("B04", "SCL"))
    red = item["assets"].pop("red")
    item["assets"]["visual"] = {**red, "roles": ["visual"], "href": "http://8.8.8.8/tci.tif"}
    item["assets"]["measured-7"] = {**red, "eo:bands": [{"name": "band4", "common_name": "red"}]}
    item["assets"]["red-jp2"] = {**red, "href": "http://8.8.8.8/red.jp2", "type": "image/jp2"}
    server.items.append(item)
    assert one(api, bands=("red", "scl")).detail["images"]["red"]["href"].endswith("/B04.tif")
    item["assets"]["measured-7"]["eo:bands"][0]["common_name"] = "rededge"
    del item["assets"]["red-jp2"]
    orders, text = warned(api, bands=("red_edge1", "scl"))
    assert orders == []
    assert "no asset for red_edge1" in text


def edit_flag(value, **scales):
    def edit(item):
        item["properties"]["earthsearch:boa_offset_applied"] = value
        for asset in item["assets"].values():
            for band in asset.get("raster:bands", ()):
                band.update(scales)

    return edit


def edit_scale(item):
    del item["assets"]["red"]["raster:bands"]


def edit_nonsense(item):
    item["assets"]["red"]["raster:bands"][0]["scale"] = "quite small"


def edit_zero(item):
    item["assets"]["red"]["raster:bands"][0]["scale"] = 0.0


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edit_scale, "no scale and offset for red"),
        (edit_nonsense, "not a STAC item"),
        (edit_zero, "cannot be of whole numbers"),
        (edit_flag(value=True), "contradicts itself"),
        (edit_flag(value=False, offset=0.0), "contradicts itself"),
        (lambda item: item["assets"].pop("red"), "no asset for red"),
        (lambda item: item.update(properties=None), "not a STAC item"),
        (lambda item: item["assets"]["red"].update(type="application/x-vrt"), "allowed are GeoTIFF"),
    ],
)
def test_an_item_that_does_not_tell_what_its_numbers_mean_is_named_and_the_rest_goes_on(server, api, edit, words):
    bad, good = double.item(server, codes=CODES), double.item(server, "20240120", codes=CODES)
    edit(bad)
    server.items += [bad, good]
    if bad["properties"] is None:  # the double's own search needs them
        server.fail("/stac/search", lambda handler: handler.reply(200, {"features": [bad, good], "links": []}) is None)
    orders, text = warned(api)
    assert [o.scene_id[8:16] for o in orders] == ["20240120"]
    assert bad["id"] in text
    assert words in text


def test_a_flag_that_agrees_with_the_offset_is_no_matter(server, api):
    item = double.item(server, codes=CODES)
    edit_flag(value=True, offset=0.0)(item)
    server.items.append(item)
    assert one(api).detail["images"]["red"]["offset"] == 0.0


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0.0), ("04.00", -0.1), ("05.11", -0.1)])
def test_where_esa_s_numbers_are_passed_on_the_baseline_tells_the_offset(server, api, baseline, offset):
    item = double.item(server, codes=CODES, baseline=baseline)
    for asset in item["assets"].values():
        asset.pop("raster:bands", None)
    server.items.append(item)
    order = one(replace(api, offset_from_baseline=True))
    assert order.detail["images"]["red"]["offset"] == offset
    del item["properties"]["s2:processing_baseline"]
    assert warned(replace(api, offset_from_baseline=True))[0] == []


def test_unknown_bands_no_parcels_and_wrong_addresses_are_the_user_s_mistakes(server, api):
    with pytest.raises(ConfigError, match="found infrared, allowed are"):
        plan(NEAR, "2024-01-01", "2024-02-01", ["infrared"], api)
    with pytest.raises(ConfigError, match=r'allow_hosts = \["127.0.0.1"\]'):
        plan(NEAR, "2024-01-01", "2024-02-01", BANDS, replace(api, allow_hosts=()))
    with pytest.raises(ConfigError, match='did you mean "cdse"'):
        find_catalogue("cdsee")
    assert find_catalogue() == EARTH_SEARCH
    assert find_catalogue("https://stac.dataspace.copernicus.eu/v1/").signing == "s3"
    assert find_catalogue(f"{server.url}/stac", "mine", [HOST]).offset_from_baseline is False


@pytest.mark.parametrize("library", ["pystac_client.stac_api_io", "planetary_computer"])
def test_without_the_extra_it_says_what_to_install(server, api, monkeypatch, tmp_path, library):
    publish(server)
    order = one(api)
    monkeypatch.setitem(sys.modules, library, None)
    signed = replace(api, signing="planetary-computer")
    calls = {
        "planetary_computer": lambda: download(order, tmp_path, signed),
        "pystac_client.stac_api_io": lambda: plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api),
    }
    with pytest.raises(ConfigError, match=r"install rs-forecast\[stac\]"):
        calls[library]()


# ------------------------------------------------------------------------------------------- a catalogue in bad weather


def test_a_search_outlasts_errors_and_a_broken_answer(server, api):
    server.items.append(double.item(server, codes=CODES))
    soon = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1), usegmt=True)
    for fault in (status(500), status(503), status(429, Retry_After="1"), status(429, Retry_After=soon)):
        server.fail("/stac/search", fault, times=1)
        assert one(api).tile == "48PWS"
    server.fail("/stac", double.broken_off, times=2)
    assert one(api).tile == "48PWS"


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(429), BusyError, "answers 429"),
        (status(503), BusyError, "answers 503"),
        (double.broken_off, BusyError, "cannot be reached"),
        (status(400), SourceError, "answers 400: .*told to"),
        (lambda handler: handler.reply(200, b"<html>Welcome</html>", kind="text/html") is None, SourceError, "no STAC"),
        (lambda handler: handler.reply(200, {"features": [7]}) is None, SourceError, "no STAC"),
        (lambda handler: handler.reply(302, b"", extra={"Location": "http://localhost:9/x"}) is None, SourceError,
         "private address 127.0.0.1"),
    ],
)  # fmt: skip
def test_a_catalogue_that_never_answers_well(server, api, fault, error, words):
    server.items.append(double.item(server, codes=CODES))
    server.fail("/stac/search", fault)
    with pytest.raises(error, match=words):
        plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api)


def test_a_catalogue_that_is_not_there_is_for_later(api):
    with pytest.raises(BusyError, match="cannot be reached"):
        plan(NEAR, "2024-01-01", "2024-02-01", BANDS, replace(api, url="http://127.0.0.1:1/stac"))


# ----------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("style", "baseline", "add"), [("1.0", "05.10", 1000), ("1.1", "05.10", 1000), ("1.0", "03.01", 0)]
)
def test_what_is_downloaded_is_the_ground_with_the_item_s_own_offset(server, api, folder, style, baseline, add):
    publish(server, style=style, baseline=baseline, add=add)
    order = one(api)
    download(order, folder, api)
    assert left_over(folder) == ["B04.tif", "B8A.tif", "SCL.tif"]
    assert_true(folder, add=add)
    (scene,) = open_scenes(folder)
    assert (scene.baseline, scene.tile, set(scene.bands)) == (baseline, "48PWS", set(BANDS))
    for band, scale in (("red", (1e-4, -add / 1e4)), ("nir_narrow", (1e-4, -add / 1e4)), ("scl", (1.0, 0.0))):
        assert (scene.bands[band].scale, scene.bands[band].offset) == pytest.approx(scale)
        assert scene.bands[band].nodata == 0


def test_only_blocks_under_parcels_are_moved(server, api, folder):
    publish(server)
    whole = sum(map(len, server.files.values()))
    server.sent = 0
    order = one(api)
    download(order, folder, api)
    assert server.sent < 0.15 * whole  # 2 of 36 blocks of 10 m, 2 of 9 of 20 m, and heads
    values, _ = covered(folder / "B04.tif")
    share = np.count_nonzero(values) / values.size
    assert 0.03 < share < 2.01 / 36
    every = squares(*((x, y) for x in range(0, SIDE, 2560) for y in range(0, SIDE, 2560)))
    server.sent = 0
    download(one(api, every), folder, api)
    assert 0.7 * whole < server.sent < 0.85 * whole  # all but the overviews, a quarter
    assert_true(folder, parcels=every)


def test_a_copy_is_tiled_deflate_with_nothing_where_nothing_was_asked(server, api, folder):
    publish(server)
    download(one(api), folder, api)
    with rasterio.open(folder / "B04.tif") as src:
        assert src.profile["tiled"]
        assert src.profile["compress"] == "deflate"
        assert src.crs.to_epsg() == EPSG
        assert src.transform == Affine(10, 0, WEST, 0, -10, NORTH)
        there = [src.get_tag_item(f"BLOCK_OFFSET_{c}_{r}", "TIFF", bidx=1) for c in range(6) for r in range(6)]
    assert sum(offset is not None for offset in there) == 2


def test_a_band_that_is_there_is_kept_unless_other_parcels_came(server, api, folder):
    publish(server)
    order = one(api)
    server.fail("SCL", status(404), times=1)
    with pytest.raises(SourceError, match="SCL"):
        download(order, folder, api)
    assert left_over(folder) == ["B04.tif", "B8A.tif"]
    kept = (folder / "B04.tif").stat().st_mtime_ns
    server.asked.clear()
    download(order, folder, api)
    assert {path.rpartition("/")[2] for _, path in server.asked} == {"SCL.tif"}
    assert (folder / "B04.tif").stat().st_mtime_ns == kept
    more = squares((100, 150), (9000, 8800), (14000, 200))
    download(one(api, more), folder, api)
    assert_true(folder, parcels=more)


def test_scenes_are_fetched_at_once(server, api, tmp_path):
    days = ("20240110", "20240115", "20240120")
    for day in days:
        publish(server, day)
    folders = [tmp_path / day for day in days]
    for made in folders:
        made.mkdir()
    orders = plan(NEAR, "2024-01-01", "2024-02-01", BANDS, api)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda order, made: download(order, made, api), orders, folders))
    for day, made in zip(days, folders, strict=True):
        assert_true(made, day)


@pytest.mark.parametrize("how", ["jp2", "strips", "no ranges", "long header", "no grid in the item"])
def test_images_of_other_kinds_are_read_as_well(server, api, folder, monkeypatch, how):
    made = publish(server)
    for asset in made["assets"].values():
        path = urlsplit(asset["href"]).path
        code = Path(path).stem
        values = numbers(code, "20240115", add=1000)
        if how == "jp2":
            options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
            server.files[path] = double.image(code, values, folder.parent / "x.jp2", compress=None, **options)
            asset["type"] = "image/jp2"
        elif how == "strips":
            server.files[path] = double.image(code, values, folder.parent / "x.tif", driver="GTiff", blocksize=None)
        elif how == "no grid in the item":
            asset.pop("proj:transform")
    server.ranges = how != "no ranges"
    if how == "long header":
        monkeypatch.setattr(_stac_read, "_HEAD", 200)
    download(one(api), folder, api)
    assert_true(folder)
    assert left_over(folder) == ["B04.tif", "B8A.tif", "SCL.tif"]


@pytest.mark.parametrize(
    "faults",
    [
        [status(500), status(503)],
        [status(429, Retry_After="1")],
        [status(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), status(429, Retry_After="soon")],
        [double.broken_off],
        [double.shortened, double.broken_off],
    ],
)
def test_trouble_that_passes_leaves_no_trace(server, api, folder, faults):
    publish(server)
    order = one(api)
    for fault in faults:
        server.fail("B04", fault, times=1)
    download(order, folder, api)
    assert_true(folder)
    assert left_over(folder) == ["B04.tif", "B8A.tif", "SCL.tif"]


def whole_page(handler):
    return handler.reply(200, b"<html>Please log in</html>", kind="text/html") is None


def virtual(handler):
    body = b'<VRTDataset rasterXSize="1" rasterYSize="1"><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>'
    return handler.reply(200, body, kind="image/tiff") is None


def to_private(handler):
    return handler.reply(302, b"", extra={"Location": "http://localhost:9/B04.tif"}) is None


def to_file(handler):
    return handler.reply(302, b"", extra={"Location": "file:///etc/passwd"}) is None


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(429), BusyError, "429 after 3 tries"),
        (status(503), BusyError, "503 after 3 tries"),
        (status(404), SourceError, "is gone"),
        (status(403), SourceError, "access is refused"),
        (status(418), SourceError, "answers 418"),
        (double.broken_off, SourceError, "the connection broke .*, 3 times"),
        (double.shortened, SourceError, "bytes came, 3 times"),
        (whole_page, SourceError, "cannot be decoded as GTiff"),
        (virtual, SourceError, "cannot be decoded as GTiff"),
        (to_private, SourceError, "private address"),
        (to_file, SourceError, "passed on to where no file can be"),
    ],
)
def test_trouble_that_stays_is_named_and_nothing_half_written_is_left(server, api, folder, fault, error, words):
    publish(server)
    order = one(api)
    server.fail("B8A", fault)
    with pytest.raises(error, match=words) as caught:
        download(order, folder, api)
    assert "S2A_L2A_20240115_R075_48PWS" in str(caught.value)
    assert "B8A" in str(caught.value)
    assert left_over(folder) == ["B04.tif"]
    server.faults.clear()
    download(order, folder, api)
    assert_true(folder)


def test_a_file_cut_short_or_damaged_or_replaced_is_never_zeros(server, api, folder):
    made = publish(server)
    order = one(api)
    path = urlsplit(made["assets"]["red"]["href"]).path
    good = server.files[path]
    flipped = bytearray(good)
    middle = slice(len(good) // 3, None)
    flipped[middle] = bytes(255 - b for b in good[middle])
    for bad in (good[: len(good) // 3], bytes(flipped), good[:300], b"", b"II*\0" + b"\0" * 5000):
        server.files[path] = bad
        with pytest.raises(SourceError, match=r"R075_48PWS, B04"):
            download(order, folder, api)
        assert left_over(folder) == []
    server.files[path] = good

    def replaced(handler):
        start, stop = map(int, re.findall(r"\d+", handler.headers["Range"]))
        if start == 0:
            return False
        extra = {"Content-Range": f"bytes {start}-{stop}/999999999"}
        return handler.reply(206, b"\0" * (stop - start + 1), kind="image/tiff", extra=extra) is None

    server.fail("B04", replaced)
    with pytest.raises(SourceError, match="was replaced while it was read"):
        download(order, folder, api)
    assert left_over(folder) == []


def test_an_image_in_another_zone_than_the_item_says_is_refused(server, api, folder):
    publish(server)
    order = one(api)
    cells = {**order.detail["cells"], "epsg": 32647}
    with pytest.raises(SourceError, match="the item's grid is wrong"):
        download(replace(order, detail={**order.detail, "cells": cells}), folder, api)


def test_a_full_disk_is_said_and_nothing_stays(server, api, folder):
    publish(server)
    order = one(api)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            download(order, folder, api)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_over(folder) == []
    download(order, folder, api)
    assert_true(folder)


# ----------------------------------------------------------------------------------------------------------- addresses

REFUSED = [
    "file:///etc/passwd",
    "/etc/passwd",
    "/vsicurl/http://8.8.8.8/B04.tif",
    "/vsizip/x.zip/B04.tif",
    "ftp://8.8.8.8/B04.tif",
    "s3://bucket/B04.tif",
    "http://localhost/B04.tif",
    "http://10.1.2.3/B04.tif",
    "http://192.168.1.1/B04.tif",
    "http://169.254.169.254/latest/meta-data/B04.tif",
    "http://[::1]/B04.tif",
    "http://[::ffff:127.0.0.1]/B04.tif",
    "http://[fd00::1]/B04.tif",
    "http://2130706433/B04.tif",
    "http://0.0.0.0/B04.tif",
    "http://224.0.0.1/B04.tif",
    "http://someone:word@8.8.8.8/B04.tif",
    "http://8.8.8.8/B04.tif?sv=2020&sig=abc",
    "http://8.8.8.8/B04.vrt",
]


@pytest.mark.parametrize("href", REFUSED)
def test_addresses_that_no_image_has_are_refused_by_name(server, api, folder, href):
    publish(server, "20240120")
    good = one(api, day="2024-01-20")
    bad = double.item(server, codes=CODES)
    bad["assets"]["red"]["href"] = href
    server.items.append(bad)
    orders, text = warned(api)
    assert [o.scene_id for o in orders] == [good.scene_id]
    assert bad["id"] in text
    assert "word@" not in text
    assert "sig=abc" not in text
    if "?" not in href and not href.endswith(".vrt"):
        # an order may be old, or another's
        images = {**good.detail["images"], "red": {**good.detail["images"]["red"], "href": href}}
        with pytest.raises(SourceError, match=re.escape(good.scene_id)):
            download(replace(good, detail={**good.detail, "images": images}), folder, api)
        assert left_over(folder) == []


def test_a_public_address_and_an_allowed_host_pass():
    check_address("https://8.8.8.8/x.tif")
    check_address("http://10.1.2.3/x.tif", ("10.1.2.3",))
    with pytest.raises(SourceError, match="private"):
        check_address("http://10.1.2.4/x.tif", ("10.1.2.3",))


def test_an_order_that_was_tampered_with_is_refused(server, api, folder):
    server.items.append(double.item(server, codes=CODES))
    order = one(api)
    for detail in ({}, {**order.detail, "cells": {"rows": ["zz"]}}, {**order.detail, "images": {"red": {"href": 1}}}):
        with pytest.raises(SourceError, match="plan again"):
            download(replace(order, detail=detail), folder, api)
    images = {**order.detail["images"], "red": {**order.detail["images"]["red"], "driver": "VRT"}}
    with pytest.raises(SourceError, match="opened as VRT, allowed are GTiff"):
        download(replace(order, detail={**order.detail, "images": images}), folder, api)


# ---------------------------------------------------------------------------------------------------- static catalogues


def static(folder, *items, links=()):
    """Write a static catalogue with a collection."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{item['id']}.json" for item in items]
    for name, item in zip(names, items, strict=True):
        (folder / name).write_text(json.dumps(item), encoding="utf-8")
    about = {"stac_version": "1.0.0", "description": "SYNTHETIC"}
    below = [{"rel": "item", "href": f"./{name}"} for name in names] + [{"rel": "item", "href": h} for h in links]
    collection = {
        "type": "Collection",
        "id": "mine",
        **about,
        "links": [*below, {"rel": "child", "href": "./catalog.json"}],
    }
    (folder / "collection.json").write_text(json.dumps(collection), encoding="utf-8")
    catalogue = {"type": "Catalog", "id": "c", **about, "links": [{"rel": "child", "href": "./collection.json"}]}
    (folder / "catalog.json").write_text(json.dumps(catalogue), encoding="utf-8")
    return folder / "catalog.json"


def test_a_static_catalogue_on_disk_is_walked_and_keeps_to_its_folder(server, tmp_path, folder):
    home = tmp_path / "home"
    item = publish(server)
    for asset in item["assets"].values():
        path = urlsplit(asset["href"]).path
        (home / Path(path).name).parent.mkdir(exist_ok=True)
        (home / Path(path).name).write_bytes(server.files[path])
        asset["href"] = f"./{Path(path).name}"
    late = {**item, "id": "late", "properties": {**item["properties"], "datetime": "2025-01-15T03:00:00Z"}}
    (home / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "outside.json").write_text(json.dumps(item), encoding="utf-8")
    links = ["./broken.json", "./gone.json", "../outside.json", "/etc/hostname", "file:///etc/hostname"]
    catalogue = find_catalogue(str(static(home, item, late, links=links)))
    orders, text = warned(catalogue)
    assert [o.scene_id for o in orders] == ["S2A_L2A_20240115_R075_48PWS"]
    assert text.count("passed over") == len(links)
    assert text.count("outside the catalogue's folder") == 3
    download(orders[0], folder, catalogue)
    assert_true(folder)
    server.asked.clear()
    elsewhere = tmp_path / "elsewhere.tif"
    (home / "B04.tif").rename(elsewhere)
    (home / "B04.tif").symlink_to(elsewhere)
    for href in ("./B04.tif", "../elsewhere.tif", str(elsewhere), f"file://{elsewhere}", "/vsicurl/x.tif"):
        item["assets"]["red"]["href"] = href
        found, text = warned(find_catalogue(str(static(home, item))))
        assert found == []
        assert item["id"] in text
    assert server.asked == []


def test_a_static_catalogue_on_a_server_is_walked(server, tmp_path, folder):
    item = publish(server)
    for asset in item["assets"].values():
        asset["href"] = "../" + urlsplit(asset["href"]).path.lstrip("/")
    for file in static(
        tmp_path / "home", item, links=["file:///etc/hostname", "http://localhost:9/i.json"]
    ).parent.iterdir():
        server.files[f"/static/{file.name}"] = file.read_bytes()
    catalogue = replace(find_catalogue(f"{server.url}/static/catalog.json", allow_hosts=[HOST]), patience=QUICK)
    orders, text = warned(catalogue)
    assert text.count("passed over") == 2
    download(orders[0], folder, catalogue)
    assert_true(folder)
    assert warned(replace(catalogue, collection="another"))[0] == []


# ------------------------------------------------------------------------------------------------- signatures and proxy


@pytest.fixture
def storage(server, monkeypatch, folder):
    """Make the server the proxy of the Planetary Computer's storage, whose name resolves nowhere, and its tokens'."""
    sas = pytest.importorskip("planetary_computer.sas")
    from planetary_computer.settings import Settings

    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url)
    monkeypatch.setenv("no_proxy", HOST)
    monkeypatch.setenv("NO_PROXY", HOST)
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.url}/sas")
    monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "")
    Settings.get.cache_clear()
    sas.TOKEN_CACHE.clear()
    item = publish(server)
    for asset in item["assets"].values():
        path = urlsplit(asset["href"]).path
        server.files[f"/container{path}"] = server.files.pop(path)
        asset["href"] = f"http://account.blob.core.windows.net/container{path}"
        asset.pop("raster:bands", None)
    yield replace(
        PLANETARY_COMPUTER,
        url=f"{server.url}/stac",
        collection="sentinel-2-c1-l2a",
        allow_hosts=(HOST,),
        patience=QUICK,
    )
    sas.TOKEN_CACHE.clear()
    Settings.get.cache_clear()


def test_signatures_are_made_at_read_time_through_the_proxy_and_shown_nowhere(server, storage, folder, caplog):
    server.tokens, server.token = [f"st=1&se=2&sp=r&sig={SECRET}old", f"st=1&se=2&sp=r&sig={SECRET}"], SECRET
    with caplog.at_level(logging.DEBUG):
        order = one(storage)
        # the first token has run out by now: signed again, once
        download(order, folder, storage)
    assert_true(folder)
    assert "account.blob.core.windows.net" in server.hosts
    assert sum("/sas/" in path for _, path in server.asked) == 2
    assert order.detail["images"]["red"]["offset"] == -0.1
    assert "container" in caplog.text  # urllib3 does log the path
    texts = [
        caplog.text,
        json.dumps(order.detail),
        repr(order),
        *(rasterio.open(f).tags().__repr__() for f in folder.iterdir()),
    ]
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize("fault", [None, status(404), status(503), double.broken_off, whole_page])
def test_errors_of_signed_addresses_do_not_show_the_signature(server, storage, folder, fault):
    server.tokens, server.token = [f"st=1&se=2&sp=r&sig={SECRET}"], SECRET
    order = one(storage)
    if fault is None:
        server.token = SECRET[::-1]
    else:
        server.fail("/container/.*B8A", fault)
    with pytest.raises((SourceError, BusyError)) as caught:
        download(order, folder, storage)
    text = "".join(traceback.format_exception(caught.value))
    assert "R075_48PWS" in text
    assert SECRET not in text
    if fault is None:
        assert "access is refused" in text
        assert sum("/sas/" in path for _, path in server.asked) == 2


@pytest.mark.parametrize(("code", "error"), [(401, SourceError), (429, BusyError), (503, BusyError)])
def test_a_token_service_that_gives_none(server, storage, folder, code, error):
    order = one(storage)
    server.tokens = ["unused"]
    server.fail("/sas/", status(code))
    with pytest.raises(error, match="gives no token"):
        download(order, folder, storage)


def test_a_token_service_that_never_answers_is_given_up(server, storage, folder):
    order = one(storage)
    silent = threading.Event()
    server.fail("/sas/", lambda _: silent.wait(30))
    try:
        with pytest.raises(BusyError, match="gives no token"):
            download(order, folder, replace(storage, patience=replace(QUICK, tries=1, read_s=0.3)))
        assert not silent.is_set()
    finally:
        silent.set()


def test_a_proxy_that_is_not_there_is_for_later(server, storage, folder, monkeypatch):
    server.tokens = [f"st=1&se=2&sp=r&sig={SECRET}"]
    order = one(storage)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(BusyError, match="cannot be reached") as caught:
        download(order, folder, storage)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_s3_addresses_are_signed_as_amazon_s_own_example():
    """Example of *Authenticating Requests: Using Query Parameters* in the Amazon S3 API reference."""
    signed = presign(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "us-east-1",
        dt.datetime(2013, 5, 24, tzinfo=dt.UTC),
        life=86400,
    )
    assert signed.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_s3_addresses_of_the_catalogue_s_store_are_read_with_keys_and_others_refused(server, api, folder, monkeypatch):
    item = publish(server)
    for asset in item["assets"].values():
        path = urlsplit(asset["href"]).path
        server.files[f"/eodata{path}"] = server.files.pop(path)
        asset["href"] = f"s3://eodata{path}"
    store = replace(
        CDSE, url=api.url, collection=api.collection, allow_hosts=(HOST,), patience=QUICK, s3_endpoint=server.url
    )
    order = one(store)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        download(order, folder, store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    download(order, folder, store)
    assert_true(folder)
    assert SECRET not in json.dumps(order.detail)
    assert SECRET not in repr(left_over(folder))


# --------------------------------------------------------------------------------------------------------------- cells


@settings(max_examples=40)
@given(
    corners=st.lists(
        st.tuples(st.floats(0, SIDE - 400), st.floats(0, SIDE - 400), st.floats(5, 400)), min_size=1, max_size=6
    ),
    size=st.sampled_from([10, 20, 60]),
    block=st.sampled_from([(64, 64), (256, 256), (1, 256), (512, 512)]),
    shift=st.sampled_from([0.0, -1234.0, 3000.0]),
)
def test_blocks_of_cells_hold_every_pixel_from_which_a_mask_may_grow_over_a_parcel(corners, size, block, shift):
    shapes = [shapely.box(WEST + x, NORTH - y - side, WEST + x + side, NORTH - y) for x, y, side in corners]
    parcels = gpd.GeoSeries(shapes, crs=EPSG)
    # the cells' corner need not be the grid's
    frame = Frame(epsg=EPSG, west=WEST - abs(shift), north=NORTH + abs(shift), wide=SIDE + 6000, high=SIDE + 6000)
    cells = find_cells(parcels, frame)
    again = read_cells(json.loads(json.dumps(cells.plain())))
    np.testing.assert_array_equal(again.touched, cells.touched)
    grid = GeoBox((SIDE // size, SIDE // size), Affine(size, 0, WEST, 0, -size, NORTH), f"EPSG:{EPSG}")
    wanted = again.windows(grid, block)
    pixels = wanted.repeat(block[0], axis=0).repeat(block[1], axis=1)[: grid.shape[0], : grid.shape[1]]
    around = parcels.buffer(100 - size * 2**0.5)  # pixels whose centres are within 100 m
    touched = rasterio.features.rasterize(around, grid.shape, transform=grid.affine, all_touched=True).astype(bool)
    assert pixels[touched].all()


# ------------------------------------------------------------------------------------------- circles, nodata, places
def test_a_search_that_turns_in_a_circle_ends(server, api, monkeypatch):
    publish(server)

    def circle(state, body):
        links = [{"rel": "next", "method": "POST", "href": f"{state.url}/stac/search", "body": body}]
        return {"type": "FeatureCollection", "features": list(state.items), "links": links}

    monkeypatch.setattr(double, "found", circle)
    with pytest.raises(SourceError, match="turns in a circle"):
        one(replace(api, collection="sentinel-2-c1-l2a"))


def copied(source, folder):
    parcels = gpd.GeoSeries([shapely.box(WEST + 100, NORTH - 5000, WEST + 5000, NORTH - 100)], crs=EPSG)
    cells = find_cells(parcels, Frame(epsg=EPSG, west=WEST, north=NORTH, wide=SIDE, high=SIDE))
    meaning = _stac_read.Meaning(scale=1e-4, offset=0.0, tags={})
    _stac_read.copy_local(source, "GTiff", folder / "B04.tif", cells, meaning, name="it")
    return folder / "B04.tif"


@pytest.mark.parametrize(("nodata", "dtype"), [(-9999, "int16"), (65535, "uint16")])
def test_what_a_file_declares_as_nodata_stays_so(tmp_path, folder, nodata, dtype):
    values = numbers("B04", "20240115").astype(dtype)
    values[:300, :300] = nodata
    grid = {"transform": Affine(10, 0, WEST, 0, -10, NORTH), "crs": EPSG, "height": SIDE // 10, "width": SIDE // 10}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    made = tmp_path / "made.tif"
    with rasterio.open(made, "w", driver="GTiff", dtype=dtype, count=1, nodata=nodata, **grid, **tiles) as file:
        file.write(values, 1)
    with rasterio.open(copied(made, folder)) as file:
        assert file.nodata == nodata
        found = file.read(1)
    np.testing.assert_array_equal(found[:500, :500], values[:500, :500])
    assert (found[-300:, -300:] == nodata).all()  # no parcel there


def test_an_image_that_lies_elsewhere_than_the_catalogue_says_is_refused(tmp_path, folder):
    made = tmp_path / "made.tif"
    double.image("B04", numbers("B04", "20240115"), made, west=WEST + 200_000)
    with pytest.raises(SourceError, match="no block of it lies under parcels"):
        copied(made, folder)
    assert list(folder.iterdir()) == []
