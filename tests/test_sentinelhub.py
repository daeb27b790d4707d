from __future__ import annotations

import email.utils
import io
import json
import logging
import tarfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from ground_truth import centres, ground
from hub_server import Fault, failing, product, serving, tarred, tiff
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.errors import BusyError, ConfigError, DataWarning, NoDataError, OutputError, SourceError
from rs_forecast.sources import _band_file, _hub_images, _hub_service
from rs_forecast.sources._hub_windows import CELL, MOST, footprints, rectangles, tile_name
from rs_forecast.sources._retry_after import retry_after
from rs_forecast.sources.local import open_scenes
from rs_forecast.sources.sentinelhub import Hub, download, evalscript, plan

try:
    import resource
except ImportError:  # Windows
    resource = None

BANDS = ["red", "nir", "red_edge1", "swir1"]
CODES = {"B04": 10, "B08": 10, "B05": 20, "B11": 20, "SCL": 20}
DAY = "2024-01-15"
NEVER = 10**9


def squares(*corners, side=300.0, epsg=32648):
    boxes = [shapely.box(x, y, x + side, y + side) for x, y in corners]
    return gpd.GeoDataFrame({"parcel_id": [f"p{n}" for n in range(len(boxes))]}, geometry=boxes, crs=epsg)


PARCELS = squares((540_100, 1_150_100), (541_000, 1_150_800), (560_500, 1_139_000))


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as double:
        monkeypatch.setenv("SH_CLIENT_ID", double.user)
        monkeypatch.setenv("SH_CLIENT_SECRET", double.secret)
        double.add("20240115")
        yield double


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "scene"
    made.mkdir()
    return made


def planned(server, bands=BANDS, **settings):
    (order,) = plan(PARCELS, "2024-01-01", "2024-01-31", bands, server.hub(**settings))
    return order


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def holds(folder, order, date=DAY):
    """Check every band in full: the ground in the windows, nothing outside."""
    assert names(folder) == sorted(f"{code}.tif" for code in CODES)
    left, _, _, top = order.detail["bounds"]
    for code, size in CODES.items():
        with rasterio.open(folder / f"{code}.tif", driver="GTiff") as file:
            found = file.read(1)
            assert file.res == (size, size)
            assert tuple(file.bounds) == tuple(order.detail["bounds"])
        for window in order.detail["windows"]:
            due = ground(code, *centres(tuple(window), size), date)
            row, column = (top - window[3]) // size, (window[0] - left) // size
            place = np.s_[row : row + due.shape[0], column : column + due.shape[1]]
            np.testing.assert_array_equal(found[place], due, err_msg=code)
            found[place] = 0
        assert not found.any()


# ------------------------------------------------------------------------------------------------- what is asked for
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), min_size=1, max_size=30))
def test_windows_hold_all_cells_never_twice_and_fit_a_request(cells):
    taken = np.zeros((40, 40), bool)
    taken[tuple(np.array(cells).T)] = True
    count = np.zeros(taken.shape, int)
    for top, left, bottom, right in rectangles(taken):
        assert 0 < bottom - top <= MOST
        assert 0 < right - left <= MOST
        count[top:bottom, left:right] += 1
    assert count.max() == 1
    assert (count[taken] == 1).all()


def test_windows_leave_out_the_empty_land_between():
    (part,) = footprints(PARCELS)
    area = sum((right - left) * (top - bottom) for left, bottom, right, top in part.windows)
    left, bottom, right, top = part.bounds
    assert area < 0.1 * (right - left) * (top - bottom)
    assert all(edge % CELL == 0 for window in part.windows for edge in window)
    boxes = shapely.union_all([shapely.box(*window) for window in part.windows])
    assert boxes.covers(PARCELS.geometry.buffer(99).union_all())


def test_a_full_square_is_cut_into_as_few_requests_as_fit():
    assert len(rectangles(np.ones((2 * MOST, 2 * MOST), bool))) == 4
    assert len(rectangles(np.ones((MOST, MOST), bool))) == 1


@pytest.mark.parametrize(
    ("epsg", "x", "y", "tile"),
    [
        (32648, 540_000, 1_150_000, "48PWS"),
        (32633, 350_000, 4_950_000, "33TUK"),
        (32631, 650_000, 5_650_000, "31UFS"),
        (32723, 350_000, 7_350_000, "23KLP"),
    ],
)
def test_tiles_have_the_names_that_sentinel_2_gives_them(epsg, x, y, tile):
    assert tile_name(epsg, x, y) == tile


def test_parcels_of_two_zones_and_tiles_are_asked_for_apart_each_whole():
    parcels = pd.concat([squares((599_800, 1_150_000)), squares((601_000, 1_150_000)), squares((200_000, 1_150_000))])
    west = squares((790_000, 1_150_000), epsg=32647).to_crs(32648)
    parts = footprints(pd.concat([parcels, west], ignore_index=True))
    assert [(part.epsg, part.tile) for part in parts] == [
        (32647, "47PQM"),
        (32648, "48PTS"),
        (32648, "48PWS"),
        (32648, "48PXS"),
    ]
    with pytest.raises(NoDataError, match="no parcel"):
        footprints(parcels.iloc[:0])


def test_the_evalscript_names_bands_units_and_types():
    text = evalscript(["B05", "SCL", "B11"])
    setup = json.loads(text.split("return ", 1)[1].split("; }", 1)[0])
    assert text.startswith("//VERSION=3\n")
    assert setup["input"] == [{"bands": ["B05", "B11", "SCL", "dataMask"], "units": "DN"}]
    assert setup["output"] == [
        {"id": "bands", "bands": 2, "sampleType": "UINT16"},
        {"id": "mask", "bands": 2, "sampleType": "UINT8"},
    ]
    assert "return {bands: [s.B05, s.B11], mask: [s.SCL, s.dataMask]}" in text
    assert "bands: [s." not in evalscript(["SCL"])


# -------------------------------------------------------------------------------------------------------- the search
def test_a_plan_is_one_order_a_tile_and_overpass_over_all_pages(server):
    days = ["20240105", "20240110", "20240115", "20240120", "20240125"]
    server.add(*days)
    server.add("20240301")
    server.add("20240115", tile="48PXS", around=(590_000, 1_090_200, 700_000, 1_200_000))  # of other land
    orders = plan(PARCELS, "2024-01-01", "2024-01-31", BANDS, server.hub())
    assert server.count("search") == 3
    assert [order.scene_id for order in orders] == [f"S2B_L2A_{day}_R075_48PWS" for day in days]
    assert {(order.tile, order.baseline, order.provider) for order in orders} == {("48PWS", "05.10", "sentinelhub")}
    assert orders[0].bands == ("red", "nir", "red_edge1", "swir1", "scl")
    assert json.loads(json.dumps(orders[0].detail)) == orders[0].detail


def test_an_empty_search_is_an_empty_plan(server):
    assert plan(PARCELS, "2023-01-01", "2023-01-31", BANDS, server.hub()) == []


def test_an_item_that_cannot_be_read_is_named_and_the_rest_planned(server):
    def spoilt(content):
        found = json.loads(content)
        bad = [{"id": "odd", "properties": {}, "geometry": None}, {"id": "flat", "geometry": None}]
        bad[1]["properties"] = {"datetime": "2024-01-15T03:11:29Z"}
        return json.dumps(found | {"features": [*bad, *found["features"]]}).encode()

    server.faults.append(Fault(where="search", change=spoilt))
    with pytest.warns(DataWarning) as caught:
        assert planned(server).tile == "48PWS"
    assert [str(item.message).split(":")[0] for item in caught] == ["catalogue item odd", "catalogue item flat"]


def test_a_product_of_another_name_is_planned_by_its_time(server, folder):
    server.products["made-by-hand"] = server.products.pop(product("20240115"))
    server.times["made-by-hand"] = pd.Timestamp("2024-01-15T03:11:29Z")
    order = planned(server)
    assert (order.scene_id, order.tile, order.baseline) == ("S2_L2A_20240115_03h_48PWS", "48PWS", "")
    download(order, folder, hub=server.hub())
    holds(folder, order)


def test_the_first_and_the_last_day_are_included(server):
    assert len(plan(PARCELS, DAY, DAY, BANDS, server.hub())) == 1


def test_the_version_tells_processing_and_land_apart(server):
    first = planned(server)
    assert planned(server) == first
    (more,) = plan(squares((540_100, 1_150_100)), DAY, DAY, BANDS, server.hub())
    assert more.version != first.version
    shape = server.products.pop(product("20240115"))
    server.products[product("20240115", baseline="0511", made="20250101T000000")] = shape
    again = planned(server)
    assert again.scene_id == first.scene_id
    assert again.baseline == "05.11"
    assert again.version != first.version
    assert again.version.startswith("20250101T000000-")


def test_estimates_are_what_the_service_then_counts_and_sends(server, folder):
    order, spent = planned(server), []
    download(order, folder, hub=server.hub(), spent=spent.append)
    assert sum(spent) == pytest.approx(order.units, abs=1e-3)
    pixels = sum((r - left) * (t - b) for left, b, r, t in order.detail["windows"])
    assert order.size == pixels // 100 * (2 + 2 + 1) + pixels // 400 * (2 + 2 + 1 + 1)


def test_an_unknown_band_is_refused_by_name(server):
    with pytest.raises(ConfigError, match="nirr"):
        plan(PARCELS, DAY, DAY, ["nirr"], server.hub())


# ------------------------------------------------------------------------------------------------------ the download
def test_bands_are_the_ground_in_the_windows_each_at_its_own_size(server, folder):
    order = planned(server)
    download(order, folder, hub=server.hub())
    holds(folder, order)
    requests = [body for where, body in server.asked if where == "process"]
    assert len(requests) == 2 * len(order.detail["windows"])
    for body in requests:
        (data,) = body["input"]["data"]
        assert data["type"] == "sentinel-2-l2a"
        assert data["processing"] == {"harmonizeValues": True, "upsampling": "NEAREST", "downsampling": "NEAREST"}
        assert max(body["output"]["width"], body["output"]["height"]) <= 2500


def test_files_say_scale_offset_nodata_and_baseline_and_are_tiled(server, folder):
    order = planned(server)
    download(order, folder, hub=server.hub())
    for code in CODES:
        with rasterio.open(folder / f"{code}.tif", driver="GTiff") as file:
            assert file.profile["tiled"]
            assert file.profile["compress"] == "deflate"
            assert file.nodata == 0
            assert (file.scales, file.offsets) == (((1.0,), (0.0,)) if code == "SCL" else ((1e-4,), (0.0,)))
            assert file.dtypes == (("uint8",) if code == "SCL" else ("uint16",))
            assert file.tags()["PROCESSING_BASELINE"] == "05.10"
    left, bottom, right, top = order.detail["bounds"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < order.size  # and not of the land between
    assert order.size < 0.1 * (right - left) * (top - bottom) / 100 * (5 + 6 / 4)


def test_a_folder_of_ours_is_opened_as_a_scene(server, tmp_path):
    order = planned(server)
    place = tmp_path / "scenes" / order.scene_id
    place.mkdir(parents=True)
    download(order, place, hub=server.hub())
    (scene,) = open_scenes(tmp_path / "scenes")
    assert (scene.tile, scene.date, scene.baseline) == ("48PWS", pd.Timestamp(DAY), "05.10")
    assert set(scene.bands) == set(order.bands)


def test_a_band_of_60_m_and_the_classes_alone_can_be_had(server, folder):
    order = planned(server, ["coastal"])
    download(order, folder, hub=server.hub())
    assert names(folder) == ["B01.tif", "SCL.tif"]
    with rasterio.open(folder / "B01.tif", driver="GTiff") as file:
        found, due = file.read(1), ground("B01", *centres(tuple(file.bounds), 60), DAY)
        assert file.res == (60, 60)
    assert found.any()
    np.testing.assert_array_equal(found[found > 0], due[found > 0])


def test_a_valid_number_of_0_stays_valid_and_the_mask_alone_says_what_is_not(server, folder):
    def darkened(code, layer):
        return layer if code in ("dataMask", "SCL") else np.zeros_like(layer)

    server.change_pixels = darkened
    order = planned(server)
    download(order, folder, hub=server.hub())
    window = order.detail["windows"][0]
    x, y = centres(tuple(window), 10)
    left, _, _, top = order.detail["bounds"]
    with rasterio.open(folder / "B04.tif", driver="GTiff") as file:
        found = file.read(1)[(top - window[3]) // 10 :, (window[0] - left) // 10 :][: y.shape[0], : x.shape[1]]
    np.testing.assert_array_equal(found, ground("SCL", x, y, DAY) > 0)


def test_bands_that_are_there_are_kept_and_not_asked_for(server, folder):
    order = planned(server)
    download(order, folder, hub=server.hub())
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    asked = server.count("process")
    download(order, folder, hub=server.hub())
    assert server.count("process") == asked
    (folder / "B05.tif").unlink()
    (folder / ".B05.tif.new-killed").write_bytes(b"half")
    download(order, folder, hub=server.hub())
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole
    last = server.asked[-1][1]["evalscript"]
    assert "B05" in last
    assert "SCL" not in last


def test_the_collection_is_bound_to_the_service_however_often_it_is_named(server):
    first, second = (_hub_service.Service(server.hub()).collection for _ in range(2))
    assert first is second
    assert first.service_url == server.url
    elsewhere = "https://services.sentinel-hub.com"  # where the client's own collection points
    assert _hub_service.Service(Hub(base_url=elsewhere)).collection.service_url == elsewhere


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("2500", 2.5), ("0", 0), (email.utils.formatdate(0, usegmt=True), 0), (None, None), ("", None), ("nan", None),
        ("-3", None), ("9" * 5000, None), ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)  # fmt: skip
def test_what_a_server_asks_to_wait(said, seconds):
    assert retry_after(said, unit=1e-3) == seconds
    assert 50 < retry_after(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60


def test_a_login_that_never_answers_is_given_up(server):
    silent = threading.Event()
    server.faults.append(Fault(where="token", times=9, act=lambda: silent.wait(30)))
    try:
        with pytest.raises(BusyError, match="does not answer"):
            planned(server, attempts=1, timeout_seconds=1)
        assert not silent.is_set()
    finally:
        silent.set()


# ------------------------------------------------------------------------------------------- bad weather, then good
def half(content):
    return content[: len(content) // 2]


def torn(content):
    """Return the archive whole, with half a TIFF in it."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}
    return tarred(members | {"bands.tif": half(members["bands.tif"])})


PASSING = {
    "500 twice": [failing("process", 500, times=2)],
    "503": [failing("process", 503)],
    "500 at the search": [failing("search", 500, times=2)],
    "503 at the login": [failing("token", 503)],
    "429, milliseconds": [failing("process", 429, times=2, Retry_After="20")],
    "429, a date": [failing("process", 429, Retry_After=email.utils.formatdate(0, usegmt=True))],
    "429, nonsense": [failing("process", 429, Retry_After="soon")],
    "429, nothing": [failing("process", 429)],
    "429 at the search": [failing("search", 429, Retry_After="20")],
    "dropped in the body": [Fault(where="process", drop=True)],
    "truncated archive": [Fault(where="process", change=half)],
    "truncated image": [Fault(where="process", change=torn)],
    "another content": [Fault(where="process", answer=(200, {"Content-Type": "text/html"}, b"<html>log in</html>"))],
    "nothing in it": [Fault(where="process", answer=(200, {"Content-Type": "application/tar"}, b""))],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_leaves_no_trace(server, folder, faults):
    server.faults += [Fault(**vars(fault)) for fault in faults]
    order = planned(server)
    download(order, folder, hub=server.hub())
    assert all(fault.times == 0 for fault in server.faults)
    holds(folder, order)


def test_a_token_revoked_in_mid_run_is_renewed_once(server, folder):
    order = planned(server)
    server.faults.append(Fault(where="process", after=1, act=server.revoke))
    download(order, folder, hub=server.hub())
    holds(folder, order)
    assert server.count("token") == 2


def test_a_token_revoked_between_searches_is_renewed(server):
    first = planned(server)
    server.revoke()
    assert planned(server) == first
    assert server.count("token") == 2


def test_a_token_near_its_end_is_renewed_and_all_goes_on(server, folder):
    server.token_seconds = 100
    order = planned(server)
    download(order, folder, hub=server.hub())
    holds(folder, order)
    assert len(server.tokens) > 2


def test_threads_share_a_token_and_renew_it_once(server, tmp_path):
    server.add("20240105", "20240110")
    orders = plan(PARCELS, "2024-01-01", "2024-01-31", BANDS, server.hub())
    folders = [tmp_path / order.scene_id for order in orders]
    server.faults.append(Fault(where="process", after=3, act=server.revoke))
    with ThreadPoolExecutor(3) as pool:
        for order, place in zip(orders, folders, strict=True):
            place.mkdir()
            pool.submit(download, order, place, hub=server.hub())
    for order, place in zip(orders, folders, strict=True):
        holds(place, order, order.date)
    assert server.count("token") == 2


def test_a_proxy_of_the_environment_is_used(server, folder, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    nowhere = "http://127.0.0.1:9"  # nobody listens: all must go through the proxy
    hub = Hub(base_url=nowhere, token_url=f"{nowhere}/auth/token", retry_seconds=0.005)
    (order,) = plan(PARCELS, DAY, DAY, BANDS, hub)
    download(order, folder, hub=hub)
    holds(folder, order)


def test_one_token_serves_all(server, folder):
    download(planned(server), folder, hub=server.hub())
    assert server.count("token") == 1


# --------------------------------------------------------------------------------------------- bad weather that stays
LASTING = {
    "500": (failing("process", 500, times=NEVER), BusyError, "tried 3 times"),
    "429": (failing("process", 429, times=NEVER, Retry_After="20"), BusyError, "limits the rate"),
    "429, an hour": (failing("process", 429, times=NEVER, Retry_After="3600000"), BusyError, "asks to wait 3600 s"),
    "401": (failing("process", 401, times=NEVER), ConfigError, "SH_CLIENT_ID"),
    "403, quota": (
        failing("process", 403, body={"error": {"message": "Insufficient processing units available"}}, times=NEVER),
        BusyError,
        "quota is used up",
    ),
    "403, right": (failing("process", 403, body={"error": {"message": "no right"}}), SourceError, "no right"),
    "404": (failing("process", 404), SourceError, "planted 404"),
    "400": (failing("process", 400), SourceError, "planted 400"),
    "dropped": (Fault(where="process", drop=True, times=NEVER), BusyError, "does not answer"),
    "truncated": (Fault(where="process", change=half, times=NEVER), SourceError, "no whole tar.*3 times"),
    "torn": (Fault(where="process", change=torn, times=NEVER), SourceError, "no whole GeoTIFF.*3 times"),
    "html": (
        Fault(where="process", answer=(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), times=NEVER),
        SourceError,
        "type 'text/html'",
    ),
}


@pytest.mark.parametrize(("fault", "error", "says"), LASTING.values(), ids=LASTING.keys())
def test_a_lasting_fault_ends_in_our_error_and_what_was_good_is_kept(server, folder, fault, error, says):
    order = planned(server)
    due = len(order.detail["windows"])
    server.faults.append(Fault(**vars(fault) | {"after": due}))  # all windows of 10 m are there
    begun = time.monotonic()
    with pytest.raises(error, match=says) as caught:
        download(order, folder, hub=server.hub(attempts=3, patience_seconds=0.5))
    assert time.monotonic() - begun < 20
    assert names(folder) == ["B04.tif", "B08.tif"]
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, SourceError)
    server.faults.clear()
    download(order, folder, hub=server.hub())
    holds(folder, order)


def test_a_scene_that_is_listed_but_gone_is_named(server, folder):
    order = planned(server)
    server.gone.add(product("20240115"))
    with pytest.raises(SourceError, match=r"S2B_L2A_20240115_R075_48PWS: is in the catalogue, but"):
        download(order, folder, hub=server.hub())
    assert names(folder) == []


def test_a_search_that_answers_something_else_is_a_source_error(server):
    server.faults.append(Fault(where="search", answer=(200, {}, b'{"type": "Catalog"}')))
    with pytest.raises(SourceError, match="something else"):
        planned(server)
    server.faults.append(Fault(where="search", answer=(200, {}, b"<html>")))
    with pytest.raises(SourceError, match="something else"):
        planned(server)


def test_a_wrong_secret_is_said_with_what_to_check(server, monkeypatch):
    monkeypatch.setenv("SH_CLIENT_SECRET", "wrong-secret-1234567890")
    with pytest.raises(ConfigError, match=r"refuses the credentials.*SH_CLIENT_SECRET") as caught:
        planned(server)
    assert "wrong-secret" not in str(caught.value)


def test_a_login_that_says_later_is_busy(server):
    limited = {"error": "too_many_requests", "error_description": "rate limit reached"}
    server.faults.append(failing("token", 429, body=limited))
    with pytest.raises(BusyError, match="later"):
        planned(server)
    server.faults.append(failing("token", 429, body={"message": "slow down"}))
    with pytest.raises(BusyError, match="later"):
        planned(server)


def test_no_credentials_name_the_variables_and_write_no_file(server, monkeypatch, tmp_path):
    monkeypatch.delenv("SH_CLIENT_SECRET")
    with pytest.raises(ConfigError, match="SH_CLIENT_SECRET is not set"):
        planned(server)
    monkeypatch.delenv("SH_CLIENT_ID")
    with pytest.raises(ConfigError, match="SH_CLIENT_ID and SH_CLIENT_SECRET"):
        planned(server)
    assert not (tmp_path / "config").exists()
    assert server.asked == []


def test_credentials_may_come_from_the_clients_profile(server, monkeypatch, tmp_path):
    monkeypatch.delenv("SH_CLIENT_ID")
    monkeypatch.delenv("SH_CLIENT_SECRET")
    file = tmp_path / "config" / "sentinelhub" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[office]\nsh_client_id = "{server.user}"\nsh_client_secret = "{server.secret}"\n')
    monkeypatch.setenv("SH_PROFILE", "office")
    assert planned(server).date == pd.Timestamp(DAY)
    monkeypatch.setenv("SH_PROFILE", "home")
    with pytest.raises(ConfigError, match="SH_PROFILE"):
        planned(server)


def test_an_order_of_another_service_is_refused(server, folder):
    order = planned(server)
    with pytest.raises(SourceError, match="plan again"):
        download(order, folder)
    assert server.count("process") == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"attempts": 0}, "attempts is 0, allowed is 1 to 20"),
        ({"patience_seconds": 1e9}, "patience_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"base_url": "http://example.org"}, "https://"),
        ({"token_url": "https://me:pass@example.org"}, "SH_CLIENT_ID"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        Hub(**settings)


def test_a_file_that_was_not_written_whole_is_no_band(server, folder, monkeypatch):
    order = planned(server)
    write = _band_file.BandWriter.write

    def forgetful(self, values, window):
        write(self, values, window)
        self._file.write(np.full((96, 96), 7, self._file.dtypes[0]), 1, window=window)

    monkeypatch.setattr(_band_file.BandWriter, "write", forgetful)
    with pytest.raises(OutputError, match="not written whole"):
        download(order, folder, hub=server.hub())
    assert names(folder) == []


@pytest.mark.skipif(resource is None, reason="there are no limits of a file's size on this system")
def test_a_full_disk_leaves_nothing_half_written(server, folder):
    order = planned(server)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="room"):
            download(order, folder, hub=server.hub())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(folder) == []


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (tiff(np.ones((1, 96, 96), np.uint16), (0, 0, 1920, 1920), 20, 32648), "uint8 is due"),
        (tiff(np.ones((1, 97, 96), np.uint8), (0, 0, 1920, 1920), 20, 32648), "is due"),
        (tiff(np.ones((1, 96, 96), np.uint8), (10, 0, 1930, 1920), 20, 32648), "not where it was due"),
        (tiff(np.ones((1, 96, 96), np.uint8), (0, 0, 1920, 1920), 20, 32647), "not where it was due"),
        (b"<VRTDataset rasterXSize='96' rasterYSize='96'></VRTDataset>", "no whole GeoTIFF"),
    ],
)
def test_an_image_of_another_kind_or_place_is_refused(image, says):
    with pytest.raises(SourceError, match=says):
        _hub_images.read_answer(image, "image/tiff", {"mask": (1, "uint8")}, (0, 0, 1920, 1920), 32648, 20)


# ------------------------------------------------------------------------------------------------------------ secrets
def test_secrets_stand_nowhere(server, folder, tmp_path, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("requests_oauthlib", "oauthlib", "sentinelhub", "urllib3", "requests"):
            caplog.set_level(logging.DEBUG, logger=name)
    texts = []
    order = planned(server)
    server.faults += [failing("process", 500), Fault(where="process", after=1, act=server.revoke)]
    download(order, folder, hub=server.hub())
    texts += [repr(order), repr(server.hub()), repr(_hub_service.Service(server.hub()))]
    echo = {"error": {"message": f"you sent {server.tokens[-1]} and {server.secret}"}}
    for status in (400, 401, 403, 500):
        (folder / "B04.tif").unlink(missing_ok=True)
        server.faults[:] = [failing("process", status, times=NEVER, body=echo)]
        try:
            download(order, folder, hub=server.hub(attempts=2))
        except (SourceError, BusyError, ConfigError):
            texts.append(traceback.format_exc())
    server.faults.clear()
    wrong = "wrong-secret-1234567890"
    monkeypatch.setenv("SH_CLIENT_SECRET", wrong)
    try:
        planned(server)
    except ConfigError:
        texts.append(traceback.format_exc())
    assert len(texts) == 8
    assert "Sending POST request" in caplog.text
    texts += [caplog.text, *capfd.readouterr()]
    texts += [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()]
    for hidden in (server.secret, server.user, wrong, *server.tokens):
        assert not any(hidden in text for text in texts), hidden.split("-")[0]
