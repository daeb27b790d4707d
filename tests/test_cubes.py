"""NetCDF cubes as a source of scenes: real ones as they are, and what is said of those that cannot be used."""

from __future__ import annotations

import shutil
from ast import literal_eval

import flanders
import numpy as np
import pandas as pd
import pytest
import scenes as made
import xarray as xr

from rs_forecast.errors import DataWarning
from rs_forecast.sources.local import open_scenes


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


def spoil(change):
    """Return a writer of a cube that ``change`` has spoiled."""
    return lambda path: change(cube()).to_netcdf(path)


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


@pytest.mark.parametrize("kind", BAD_CUBES)
def test_a_bad_cube_is_named_and_the_rest_goes_on(tmp_path, kind):
    write, reason = BAD_CUBES[kind]
    kept = sound(tmp_path)
    write(tmp_path / "bad.nc")
    with pytest.warns(DataWarning) as said:
        assert one(tmp_path).scene_id == kept
    (text,) = [str(w.message) for w in said]
    assert "bad.nc: left out" in text
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
