"""NetCDF and Zarr cubes as a source of scenes: real ones as they are, and what is said of those that cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from ast import literal_eval

import flanders
import numpy as np
import pandas as pd
import pytest
import scenes as made
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely import box

from rs_forecast import extract_signals, open_cube
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError
from rs_forecast.sources import _zarr
from rs_forecast.sources._blocks import read_reflectance
from rs_forecast.sources._contents import Contents
from rs_forecast.sources.local import open_scenes
from rs_forecast.store.store import SignalStore


def sound(folder):
    """Write a scene that is sound, to see that the rest goes on."""
    made.write_band(folder / "48PWS_20240101_B04.tif", np.full((8, 8), 3000, np.uint16), 10.0, scale=1e-4)
    return "48PWS_20240101"


def one(folder, **how):
    (scene,) = open_scenes(folder, **how)
    return scene


def scaling(scene, name="red"):
    return scene.bands[name].scale, scene.bands[name].offset, scene.bands[name].nodata


def cube(*, rows=6, size=10.0, steps=2, names=("B04", "SCL"), dtype="uint16", **attrs):
    """Return a small cube of our own making, CRS by attribute."""
    x = made.WEST + (np.arange(7) + 0.5) * size
    y = made.NORTH - (np.arange(rows) + 0.5) * size
    times = pd.date_range("2024-01-05T03:10", periods=steps, freq="5D")
    variables = {}
    for name in names:
        data = np.full((steps, rows, 7), 4 if name == "SCL" else 2000, dtype)
        variables[name] = (("time", "y", "x"), data, {} if name == "SCL" else {"scale_factor": 1e-4})
    return xr.Dataset(variables, {"time": times, "y": y, "x": x}, attrs={"epsg": 32648, **attrs})


def test_cubes_of_one_square_make_one_scene_a_step(tmp_path):
    fine, coarse = cube(location_id="s1", names=("B04", "B08")), cube(location_id="s1", names=("B05",), size=20.0)
    fine.to_netcdf(tmp_path / "fine.nc")
    coarse.to_netcdf(tmp_path / "coarse.nc")
    scenes = open_scenes(tmp_path)
    assert [s.scene_id for s in scenes] == ["s1_20240105T031000", "s1_20240110T031000"]
    assert set(scenes[0].bands) == {"red", "nir", "red_edge1"}
    assert {b.geobox.affine.a for b in scenes[0].bands.values()} == {10.0, 20.0}
    assert [s.bands["red"].step for s in scenes] == [0, 1]
    assert scenes == open_scenes([tmp_path / "fine.nc", tmp_path / "coarse.nc", tmp_path / "fine.nc"])


def test_real_cubes_open_as_they_are(shared_data):
    for square, steps in (
        *zip(flanders.SQUARES, (118, 72), strict=True),
        *zip(flanders.COARSE, (146, 136), strict=True),
    ):
        scenes = open_scenes(flanders.square_folder(shared_data, square))
        assert len(scenes) == steps
        with xr.open_dataset(flanders.square_file(shared_data, square, "S2_L2A_20m"), mask_and_scale=False) as file:
            bounds, epsg = literal_eval(file.attrs["bounds"]), int(file.attrs["epsg"])
        for part in scenes[0].bands.values():
            assert tuple(part.geobox.boundingbox) == bounds
            assert part.geobox.crs.epsg == epsg
        assert scaling(scenes[0], "red_edge1") == (1e-4, 0.0, 0.0)


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"scale_factor": 1e-4}, (1e-4, 0.0, 0.0)),
        ({"scale_factor": 1e-4, "add_offset": -0.1}, (1e-4, -0.1, 0.0)),
        ({"scale_factor": 1e-4, "missing_value": 65535}, (1e-4, 0.0, 65535.0)),
        ({}, (2e-4, -0.2, 0.0)),
    ],
)
def test_scale_of_cubes(tmp_path, attrs, expected):
    made_cube = cube(steps=1)
    made_cube["B04"].attrs = attrs
    made_cube.to_netcdf(tmp_path / "cube.nc")
    assert scaling(one(tmp_path, scale=2e-4, offset=-0.2)) == pytest.approx(expected)


def test_float_cubes(tmp_path):
    made_cube = cube(steps=1, dtype="float32")
    made_cube["B04"].attrs = {}
    made_cube.to_netcdf(tmp_path / "cube.nc", encoding={"B04": {"_FillValue": -9999.0}})
    assert scaling(one(tmp_path)) == (1.0, 0.0, -9999.0)


def write(data, path, **how):
    """Write a cube as what its ending says: ``.nc``, ``.v2.zarr`` or ``.v3.zarr``."""
    if path.suffix == ".nc":
        data.to_netcdf(path, **how)
    else:
        data.to_zarr(path, zarr_format=int(path.stem[-1]), consolidated=False, **how)
    return path


def spoil(change):
    """Return a writer of a cube that ``change`` has spoiled."""
    return lambda path: write(change(cube()), path)


def undeclared(data):
    data["B04"].attrs = {}
    return data


def cut_cube(path):
    cube().to_netcdf(path)
    path.write_bytes(path.read_bytes()[:3000])


BAD_CUBES = {
    "empty": (lambda path: path.write_bytes(b""), ""),
    "text": (lambda path: path.write_text("not a cube"), ""),
    "cut": (cut_cube, ""),
    "no crs": (spoil(lambda c: c.drop_attrs()), "names no CRS"),
    "degrees": (spoil(lambda c: c.assign_attrs(epsg=4326)), "in metres"),
    "y rises": (spoil(lambda c: c.isel(y=slice(None, None, -1))), "y fall"),
    "uneven": (spoil(lambda c: c.isel(x=[0, 1, 4])), "not evenly spaced"),
    "oblong": (spoil(lambda c: c.isel(x=slice(None, None, 2))), "square and north-up"),
    "no coordinates": (spoil(lambda c: c.drop_vars("x")), "time, y and x with coordinates"),
    "x before y": (spoil(lambda c: c.transpose("time", "x", "y")), "time, y and x with coordinates"),
    "no dates": (spoil(lambda c: c.drop_vars("time")), "days of the usual calendar"),
    "numbers for dates": (spoil(lambda c: c.assign_coords(time=[1, 2])), "days of the usual calendar"),
    "undeclared": (spoil(undeclared), "declares no scale"),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("bad.nc", "bad.v2.zarr", "bad.v3.zarr")
        for kind in BAD_CUBES
        if name == "bad.nc" or kind not in {"empty", "text", "cut"}
    ],
)
def test_a_bad_cube_is_named_and_the_rest_goes_on(tmp_path, name, kind):
    write_bad, reason = BAD_CUBES[kind]
    assert_named(tmp_path, name, write_bad, reason)


def assert_named(folder, name, write_bad, reason):
    """Assert that a bad cube is left out with its reason, and nothing else is."""
    kept = sound(folder)
    write_bad(folder / name)
    with pytest.warns(DataWarning) as said:
        assert one(folder).scene_id == kept
    (text,) = [str(w.message) for w in said]
    assert f"{name}: left out" in text
    assert reason in text


def test_a_netcdf_file_of_something_else_is_passed_over(tmp_path, shared_data):
    kept = sound(tmp_path)
    shutil.copy(flanders.square_file(shared_data, flanders.SQUARES[0], "AgERA5"), tmp_path / "weather.nc")
    shutil.copy(flanders.square_file(shared_data, flanders.SQUARES[0], "OUTPUT"), tmp_path / "crops.nc")
    assert one(tmp_path).scene_id == kept


def test_a_cube_twice_is_named(tmp_path):
    for name in ("a.nc", "b.nc"):
        cube().to_netcdf(tmp_path / name)
    with pytest.warns(DataWarning, match=r"b\.nc: red, scl left out"):
        scenes = open_scenes(tmp_path)
    assert len(scenes) == 2
    assert all(b.href.endswith("a.nc") for s in scenes for b in s.bands.values())


def test_synthetic_cubes_say_so(tmp_path):
    cube(title="SYNTHETIC valley").to_netcdf(tmp_path / "a.nc")
    assert all(scene.synthetic for scene in open_scenes(tmp_path))


# --------------------------------------------------------------------------------------------------------------- Zarr
STORES = ("cube.v2.zarr", "cube.v3.zarr")
BANDS = {"B04": 10, "B08": 10, "B05": 20, "SCL": 20}


def ground(seed=0, steps=2, side=60, **how):
    """Return a fine and a coarse cube of one square, random numbers with gaps and clouds."""
    parts = []
    for size in (10, 20):
        rows = [made.numbers(seed + k, rows=side // 2, cols=side // 2) for k in range(steps)]
        names = [name for name, own in BANDS.items() if own == size]
        count = side * 10 // size
        x = made.WEST + (np.arange(count) + 0.5) * size
        y = made.NORTH - (np.arange(count) + 0.5) * size
        times = pd.date_range("2024-01-05T03:10", periods=steps, freq="5D")
        variables = {
            name: (
                ("time", "y", "x"),
                np.stack([row[name] for row in rows]),
                {"scale_factor": 1e-4, "add_offset": -0.1},
            )
            for name in names
        }
        part = xr.Dataset(variables, {"time": times, "y": y, "x": x}, attrs={"epsg": 32648, "location_id": "s1"})
        part["time"].encoding = {"units": "days since 2000-01-01", "dtype": "float64"}
        parts.append(part)
    return parts


def chunked(part, chunks):
    return {name: {"chunks": chunks} for name in part.data_vars}


def test_a_cube_is_the_same_scenes_and_signals_as_netcdf_and_zarr(tmp_path):
    fields = made.fields(15, rows=30, cols=30)
    tables, cubes, contents = {}, {}, {}
    for kind in ("nc", "v2.zarr", "v3.zarr"):
        folder = tmp_path / kind.replace(".", "_")
        folder.mkdir()
        for name, part in zip(("fine", "coarse"), ground(), strict=True):
            how = {} if kind == "nc" else {"encoding": chunked(part, (1, 16, 32))}
            write(part, folder / f"{name}.{kind}", **how)
        scenes = open_scenes(folder)
        assert [s.scene_id for s in scenes] == ["s1_20240105T031000", "s1_20240110T031000"]
        tables[kind] = extract_signals(scenes, fields, ["ndvi", "ndre"])
        cubes[kind] = open_cube(fields, path=folder).load()
        hashes = Contents(tmp_path / f"{kind}.json")
        contents[kind] = {(s.scene_id, name): hashes.of(band) for s in scenes for name, band in s.bands.items()}
        kept = SignalStore(tmp_path / "store" / kind).signals(scenes, fields, ["ndvi", "ndre"])
        np.testing.assert_array_equal(kept["ndre_p90"], tables[kind]["ndre_p90"])
    assert len(tables["nc"]) > 20
    for kind in ("v2.zarr", "v3.zarr"):
        pd.testing.assert_frame_equal(tables[kind], tables["nc"], check_exact=True)
        xr.testing.assert_identical(cubes[kind], cubes["nc"])
        assert contents[kind] == contents["nc"]


@given(
    chunks=st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 11)),
    version=st.sampled_from([2, 3]),
    dtype=st.sampled_from(["uint16", "int16", "float32", ">i4"]),
    separator=st.sampled_from([".", "/"]),
)
@settings(max_examples=25)
def test_chunks_of_any_shape_give_what_was_written(tmp_path_factory, chunks, version, dtype, separator):
    folder = tmp_path_factory.mktemp("zarr")
    values = np.random.default_rng(0).integers(1, 9000, (3, 12, 10)).astype(dtype)
    keys = {"name": "v2" if version == 2 else "default", "separator": separator}
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=version, attributes={"epsg": 32648})
    names = {"dimension_names": ("time", "y", "x")} if version == 3 else {}
    array = group.create_array(
        "B04", shape=values.shape, chunks=chunks, dtype=dtype, fill_value=0, chunk_key_encoding=keys, **names
    )
    array[:] = values
    array.attrs.update({"scale_factor": 1e-4, "_ARRAY_DIMENSIONS": ["time", "y", "x"]})
    lines = {"time": np.arange(3), "y": made.NORTH - 10 * np.arange(12), "x": made.WEST + 10 * np.arange(10)}
    for name, line in lines.items():
        names = {"dimension_names": (name,)} if version == 3 else {}
        part = group.create_array(
            name, shape=line.shape, dtype=line.dtype, fill_value=None if version == 2 else -1, **names
        )
        part[:] = line
        part.attrs.update(
            {"_ARRAY_DIMENSIONS": [name]} | ({"units": "days since 2024-01-05"} if name == "time" else {})
        )
    scenes = open_scenes(folder)
    assert len(scenes) == 3
    for scene, due in zip(scenes, values, strict=True):
        band = scene.bands["red"]
        found = read_reflectance(band, band.geobox, *(axis.ravel() for axis in np.indices(due.shape)))
        np.testing.assert_allclose(found, due.ravel() * 1e-4, rtol=1e-6)
    hashes = Contents(folder / "memory.json")
    assert len({hashes.of(scene.bands["red"]) for scene in scenes}) == 3


@pytest.mark.parametrize(
    ("attrs", "fill", "expected"),
    [
        ({"scale_factor": 1e-4, "add_offset": -0.1}, 0, (1e-4, -0.1, 0.0)),
        ({"scale_factor": 1e-4}, 65535, (1e-4, 0.0, 65535.0)),
        ({}, 0, (2e-4, -0.2, 0.0)),
    ],
)
@pytest.mark.parametrize("name", STORES)
def test_scale_and_fill_of_stores(tmp_path, name, attrs, fill, expected):
    part = cube(steps=1)
    part["B04"].attrs = attrs
    write(part, tmp_path / name, encoding={"B04": {"_FillValue": np.uint16(fill)}})
    assert scaling(one(tmp_path, scale=2e-4, offset=-0.2)) == pytest.approx(expected)


@pytest.mark.parametrize("name", STORES)
def test_a_float_store_has_its_own_fill(tmp_path, name):
    part = cube(steps=1, dtype="float32")
    part["B04"].attrs = {}
    write(part, tmp_path / name, encoding={"B04": {"_FillValue": np.float32(-9999)}})
    assert scaling(one(tmp_path)) == (1.0, 0.0, -9999.0)


@pytest.mark.parametrize(
    "place",
    [
        lambda c: c.assign_attrs({"proj:code": "EPSG:32648"}),
        lambda c: c.assign_attrs({"proj:epsg": 32648}),
        lambda c: c.assign(B04=c["B04"].assign_attrs({"proj:code": "EPSG:32648"})),
        lambda c: c.assign_coords(spatial_ref=((), 0, {"spatial_ref": CRS.from_epsg(32648).to_wkt()})),
        lambda c: c.assign_coords(spatial_ref=((), 0, CRS.from_epsg(32648).to_cf())),
    ],
)
@pytest.mark.parametrize("name", [*STORES, "cube.nc"])
def test_a_crs_may_stand_in_a_grid_mapping_or_in_attributes(tmp_path, name, place):
    part = cube(steps=1)
    del part.attrs["epsg"]
    write(place(part), tmp_path / name)
    assert one(tmp_path).bands["red"].geobox.crs.epsg == 32648


# what a chunk of a store is called
CHUNK = {"cube.v2.zarr": "B04/{}.0.0", "cube.v3.zarr": "B04/c/{}/0/0"}


def stepwise(folder, name, **how):
    part = cube(names=("B04", "B08", "SCL"), rows=40)
    return write(part, folder / name, encoding={**chunked(part, (1, 40, 7)), **how})


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("spoilt", ["cut", "flipped", "empty"])
def test_a_damaged_chunk_is_an_error_of_its_scene_alone(tmp_path, name, spoilt):
    store = stepwise(tmp_path, name)
    file = store / CHUNK[name].format(0)
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-5], "flipped": bytes(255 - b for b in whole), "empty": b""}[spoilt])
    field = made.fields(1).set_geometry([box(made.WEST + 5, made.NORTH - 200, made.WEST + 60, made.NORTH - 30)])
    with pytest.warns(DataWarning, match=r"B04 step 0: cannot be decoded") as said:
        table = extract_signals(open_scenes(tmp_path), field, ["ndvi"])
    assert len(said) == 1
    assert list(table["date"].dt.day) == [10]
    with pytest.warns(DataWarning, match="step 0 of B04 is damaged"):
        kept = SignalStore(tmp_path / "store").update(open_scenes(tmp_path), field, ["ndvi"])
    assert (kept.read, kept.rows) == (1, 1)


@pytest.mark.parametrize(
    ("name", "fill", "lost"), [(STORES[0], None, True), (STORES[0], 0, False), (STORES[1], 0, False)]
)
def test_a_chunk_that_is_not_there_is_no_data_or_an_error_never_a_number(tmp_path, name, fill, lost):
    store = stepwise(tmp_path, name, **({} if fill is None else {"B04": {"_FillValue": np.uint16(fill)}}))
    (store / CHUNK[name].format(0)).unlink(missing_ok=False)
    band = open_scenes(tmp_path)[0].bands["red"]
    if lost:
        with pytest.raises(SourceError, match="cannot be decoded"):
            read_reflectance(band, band.geobox, np.array([1]), np.array([1]))
    else:
        assert np.isnan(read_reflectance(band, band.geobox, np.array([1]), np.array([1]))).all()


def test_a_lost_chunk_whose_fill_is_a_number_is_an_error(tmp_path):
    store = stepwise(tmp_path, STORES[1])
    metadata = store / "B04" / "zarr.json"
    said = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**said, "fill_value": 3000}))
    (store / CHUNK[STORES[1]].format(1)).unlink()
    first, second = (scene.bands["red"] for scene in open_scenes(tmp_path))
    assert np.isfinite(read_reflectance(first, first.geobox, np.array([1]), np.array([1]))).all()
    with pytest.raises(SourceError, match="step 1: cannot be decoded"):
        read_reflectance(second, second.geobox, np.array([1]), np.array([1]))


def rewritten(name, change):
    """Return a writer of a store whose metadata of B04 ``change`` has edited."""

    def write_bad(path):
        write(cube(), path)
        file = path / "B04" / (".zarray" if name == STORES[0] else "zarr.json")
        said = json.loads(file.read_text())
        change(said)
        file.write_text(json.dumps(said))

    return write_bad


def objects(path):
    write(cube(), path)
    file = path / "note" / ".zarray"
    shutil.copytree(path / "time", file.parent)
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}))


def linked(path):
    write(cube(), path)
    chunk = next(p for p in (path / "B04").iterdir() if p.name[0] == "0")
    chunk.rename(path.parent / "elsewhere")
    chunk.symlink_to(path.parent / "elsewhere")


def long_metadata(path):
    write(cube(), path)
    (path / ".zattrs").write_text(json.dumps({"note": "x" * 5_000_000}))


def lost_times(path):
    part = cube(steps=4)
    part["time"].encoding = {"units": "minutes since 1970-01-01", "dtype": "int64", "chunks": (1,), "_FillValue": 0}
    write(part, path)
    (path / "time" / "2").unlink()


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-1])


def in_shards(codec):
    return lambda said: said.update(
        codecs=[{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 6, 7], "codecs": [codec]}}]
    )


BAD_STORES = {
    "pickle": (STORES[0], objects, "note is packed with pickle"),
    "objects": (STORES[0], rewritten(STORES[0], lambda said: said.update(dtype="|O")), "holds Python objects"),
    "unknown filter": (
        STORES[0],
        rewritten(STORES[0], lambda s: s.update(filters=[{"id": "mine"}])),
        "packed with mine",
    ),
    "unknown codec": (STORES[1], rewritten(STORES[1], lambda s: s["codecs"].append({"name": "x"})), "packed with x"),
    "codec in shards": (
        STORES[1],
        rewritten(STORES[1], in_shards({"name": "numcodecs.pickle"})),
        "packed with pickle",
    ),
    "shards of Blosc": (STORES[1], rewritten(STORES[1], in_shards({"name": "blosc"})), "shards of Blosc"),
    "times cut short": (STORES[0], lambda p: cut_short(write(cube(), p) / "time" / "0"), "its header tells of"),
    "large chunks": (STORES[0], rewritten(STORES[0], lambda s: s.update(chunks=[10**4] * 3)), "chunks of 512 MB"),
    "transformers": (
        STORES[1],
        rewritten(STORES[1], lambda s: s.update(storage_transformers=[{"name": "x"}])),
        "storage transformers",
    ),
    "no shape": (STORES[1], rewritten(STORES[1], lambda s: s.pop("shape")), "metadata cannot be read"),
    "links": (STORES[0], linked, "is a link"),
    "long metadata": (STORES[0], long_metadata, "4 MB of metadata are allowed"),
    "lost times": (STORES[0], lost_times, "does not rise from step to step"),
    "empty folder": (STORES[0], lambda path: path.mkdir(), "no Zarr group"),
    "text for metadata": (
        STORES[0],
        lambda path: (write(cube(), path) / "B04" / ".zarray").write_text("{"),
        "B04/.zarray cannot be read",
    ),
    "nested metadata": (
        STORES[0],
        lambda path: (write(cube(), path) / "B04" / ".zarray").write_text("[" * 200_000),
        "B04/.zarray cannot be read",
    ),
}


@pytest.mark.parametrize("kind", BAD_STORES)
def test_a_store_that_may_run_code_or_lead_away_is_refused_by_its_reason(tmp_path, kind):
    name, write_bad, reason = BAD_STORES[kind]
    assert_named(tmp_path, name, write_bad, reason)


def test_a_pickle_in_a_store_does_not_run(tmp_path):
    numcodecs = pytest.importorskip("numcodecs")
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    write(cube(), tmp_path / STORES[0])
    place = tmp_path / STORES[0] / "B04"
    said = json.loads((place / ".zarray").read_text())
    (place / ".zarray").write_text(
        json.dumps({**said, "dtype": "|O", "compressor": None, "filters": [{"id": "pickle", "protocol": 5}]})
    )
    packed = numcodecs.Pickle(protocol=5).encode(np.array([Payload()], object))
    for file in place.iterdir():
        if not file.name.startswith(".z"):
            file.write_bytes(packed)
    with pytest.warns(DataWarning, match="packed with pickle"), pytest.raises(NoDataError):
        open_scenes(tmp_path)
    assert not ran.exists()


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    write(cube(), tmp_path / STORES[1])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ConfigError, match=r"install rs-forecast\[zarr\]"):
        open_scenes(tmp_path)


def test_a_store_is_named_alone_and_its_chunks_are_no_files_of_the_folder(tmp_path):
    store = write(cube(), tmp_path / "deep" / STORES[1])
    (store / "B04" / "20240101_B04.tif").write_bytes(b"not looked at")
    assert open_scenes(store) == open_scenes(tmp_path)


def test_a_new_step_changes_the_hash_of_no_other(tmp_path):
    part = cube(steps=3, names=("B04",))
    part["B04"].data[:] = np.arange(1, 4)[:, None, None]
    store = write(part.isel(time=[0, 1]), tmp_path / STORES[1], encoding=chunked(part, (1, 6, 7)))
    hashes = Contents(tmp_path / "memory.json")
    before = [hashes.of(scene.bands["red"]) for scene in open_scenes(store)]
    group = zarr.open_group(store)
    group["B04"].append(part["B04"].to_numpy()[2:], axis=0)
    group["time"].append(group["time"][1:] + 1, axis=0)
    hashes = Contents(tmp_path / "memory.json")
    after = [hashes.of(scene.bands["red"]) for scene in open_scenes(store)]
    assert after[:2] == before
    assert len(set(after)) == 3


def test_the_stamp_of_a_store_sees_a_chunk_that_changed(tmp_path):
    store = write(cube(), tmp_path / STORES[1])
    before = _zarr.stamp(store)
    assert _zarr.stamp(store) == before
    file = store / CHUNK[STORES[1]].format(0)
    state = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert _zarr.stamp(store) != before
