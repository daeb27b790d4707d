from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS

from rs_forecast.errors import ConfigError, NoDataError, SourceError
from rs_forecast.grid import cube_geobox, geobox_of, offset_between, output_geobox, pixel_area

UTM = CRS.from_epsg(32648)


def fields(*boxes, crs=32648):
    return gpd.GeoDataFrame(geometry=[shapely.box(*box) for box in boxes], crs=crs)


def bounds(geobox):
    a, (rows, cols) = geobox.affine, geobox.shape
    return (a.c, a.f + a.e * rows, a.c + a.a * cols, a.f)


@settings(max_examples=40)
@given(
    x=st.floats(4e5, 6e5), y=st.floats(1e6, 2.5e6), width=st.floats(0.01, 5000), height=st.floats(0.01, 5000),
    resolution=st.sampled_from([1.0, 10.0, 20.0, 30.0, 2.5]),
)  # fmt: skip
def test_property_the_grid_covers_all_snaps_and_is_no_larger(x, y, width, height, resolution):
    parcels = fields((x, y, x + width, y + height), (x - 3, y + 1, x - 1, y + 2))
    geobox = output_geobox(parcels, resolution=resolution)
    west, south, east, north = bounds(geobox)
    left, bottom, right, top = parcels.total_bounds
    assert (west <= left, south <= bottom, east >= right, north >= top) == (True,) * 4
    assert max(left - west, bottom - south, east - right, north - top) < resolution
    np.testing.assert_array_equal(np.mod([west, south, east, north], resolution), 0)
    affine = geobox.affine
    assert (affine.a, affine.b, affine.d, affine.e) == (resolution, 0, 0, -resolution)
    assert geobox.crs.epsg == 32648


def test_a_field_on_pixel_borders_gets_exactly_its_pixels():
    geobox = output_geobox(fields((500000, 1000000, 500050, 1000020)))
    assert geobox.shape == (2, 5)
    assert bounds(geobox) == (500000, 1000000, 500050, 1000020)


def test_the_utm_zone_is_that_of_the_parcels_and_may_be_overruled():
    an_giang = fields((105.1, 10.4, 105.11, 10.41), crs=4326)
    assert output_geobox(an_giang).crs.epsg == 32648
    assert output_geobox(fields((108.9, 11.5, 108.91, 11.51), crs=4326)).crs.epsg == 32649
    assert output_geobox(fields((3.1, 50.9, 3.2, 51.0), crs=4326)).crs.epsg == 32631
    for crs in ("EPSG:32649", 32649, CRS.from_epsg(32649)):
        geobox = output_geobox(an_giang, crs=crs)
        assert geobox.crs.epsg == 32649
        left, bottom, right, top = an_giang.to_crs(32649).total_bounds
        west, south, east, north = bounds(geobox)
        assert west <= left < right <= east
        assert south <= bottom < top <= north


@pytest.mark.parametrize("crs", ["EPSG:4326", 4326, "EPSG:999999", "nonsense", "EPSG:2225", ""])
def test_a_crs_that_is_unknown_or_not_in_metres_is_refused(crs):
    with pytest.raises(ConfigError, match=r"\[output\] crs: found .*allowed is a"):
        output_geobox(fields((500000, 1000000, 500050, 1000020)), crs=crs)


def test_no_parcels_is_no_data():
    with pytest.raises(NoDataError, match="no parcel"):
        output_geobox(fields())


def test_geobox_of_coordinates():
    geobox = geobox_of([500005, 500015, 500025], [999995, 999985], UTM)
    assert geobox.shape == (2, 3)
    assert bounds(geobox) == (500000, 999980, 500030, 1000000)
    assert geobox.crs.epsg == 32648
    assert pixel_area(geobox) == 100.0


@given(
    rows=st.integers(2, 50), cols=st.integers(2, 50), step=st.sampled_from([10.0, 20.0, 0.1, 1 / 3]),
    west=st.integers(-1000, 1000), north=st.integers(-1000, 1000),
)  # fmt: skip
def test_property_geobox_of_its_own_pixel_centres_is_the_same_grid(rows, cols, step, west, north):
    grid = GeoBox((rows, cols), Affine(step, 0, west, 0, -step, north), "EPSG:32648")
    x, y = west + step * (np.arange(cols) + 0.5), north - step * (np.arange(rows) + 0.5)
    again = geobox_of(x, y, UTM)
    np.testing.assert_allclose(tuple(again.affine), tuple(grid.affine), rtol=1e-9, atol=1e-9)
    assert offset_between(again, grid) == (0, 0)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([3, 2, 1], [3, 2, 1]),
        ([1, 2, 4], [3, 2, 1]),
        ([1, 2, 3], [4, 2, 1]),
        ([1], [3, 2]),
        ([1, 2], [3]),
        ([], []),
        ([1, np.nan, 3], [3, 2, 1]),
        ([2, 2, 2], [3, 2, 1]),
        ([1, 2, 3], [2, 2, 2]),
    ],
)
def test_coordinates_that_make_no_grid_are_refused(x, y):
    with pytest.raises(SourceError):
        geobox_of(x, y, UTM)


def test_the_grid_of_a_cube_and_of_one_that_lost_its_crs():
    cube = xr.Dataset(coords={"y": [25.0, 15.0], "x": [5.0, 15.0, 25.0]})
    whole = cube.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": UTM.to_wkt()}))
    assert cube_geobox(whole).shape == (2, 3)
    assert cube_geobox(whole).crs.epsg == 32648
    with pytest.raises(SourceError, match="spatial_ref"):
        cube_geobox(cube)


def grid(col=0.0, row=0.0, size=10.0, shape=(20, 30), crs="EPSG:32648"):
    return GeoBox(shape, Affine(size, 0, 500000 + 10 * col, 0, -size, 1e6 - 10 * row), crs)


@given(row=st.integers(-40, 40), col=st.integers(-40, 40))
def test_property_the_offset_of_a_grid_is_its_place(row, col):
    assert offset_between(grid(col, row), grid()) == (row, col)
    assert offset_between(grid(), grid(col, row)) == (-row, -col)


@pytest.mark.parametrize(
    "other",
    [
        grid(0.5), grid(row=0.5), grid(size=20.0), grid(0.01), grid(row=-0.01), grid(size=10.001),
        grid(crs="EPSG:32649"),
    ],
)  # fmt: skip
def test_grids_whose_pixels_do_not_coincide_have_no_offset(other):
    assert offset_between(other, grid()) is None


def test_rounding_of_coordinates_does_not_part_two_grids():
    assert offset_between(grid(3 + 1e-6, 2 - 1e-6), grid()) == (2, 3)
