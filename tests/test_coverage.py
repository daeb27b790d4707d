from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapes import COLS, CRS, GRID, NORTH, PIXEL, ROWS, WEST, batch, seeds, table_of, to_metres, to_pixels

from rs_forecast.errors import SchemaError
from rs_forecast.grid import output_geobox
from rs_forecast.kernels.coverage import coverage_table


def cells(shape=(ROWS, COLS)):
    row, col = np.indices(shape)
    return shapely.box(col, row, col + 1, row + 1)


def grid(row, col, rows, cols):
    """Return another part of the plane that GRID lies in."""
    return GeoBox((rows, cols), Affine(PIXEL, 0, WEST + PIXEL * col, 0, -PIXEL, NORTH - PIXEL * row), CRS)


def by_shapely(polygon, shape=(ROWS, COLS)):
    """The share of each pixel inside a polygon given in pixel units, by GEOS."""
    return shapely.area(shapely.intersection(cells(shape), polygon))


def dense(table, parcel=0):
    out = np.zeros(table.shape)
    at = table.parcel == parcel
    out[table.row[at], table.col[at]] = table.weight[at]
    return out


def check_form(table, count):
    """What must hold of every table."""
    assert (table.parcel.dtype, table.row.dtype, table.col.dtype) == (np.int32, np.int32, np.int32)
    assert table.weight.dtype == np.float64
    assert ((table.weight > 0) & (table.weight <= 1)).all()
    key = np.lexsort((table.col, table.row, table.parcel))
    assert (key == np.arange(len(table))).all()
    assert len(set(zip(table.parcel, table.row, table.col, strict=True))) == len(table)
    assert len(table.starts) == count + 1
    assert (np.repeat(np.arange(count), np.diff(table.starts)) == table.parcel).all()


@settings(max_examples=50)
@given(seed=seeds)
def test_oracle_shares_are_those_of_shapely(seed):
    metres = [to_metres(polygon) for polygon in batch(seed)]
    table = coverage_table(table_of(*metres), GRID)
    check_form(table, len(metres))
    for i, polygon in enumerate(map(to_pixels, metres)):
        np.testing.assert_allclose(dense(table, i), by_shapely(polygon), rtol=0, atol=1e-9, err_msg=polygon.wkt)
        inside = polygon.intersection(shapely.box(0, 0, COLS, ROWS)).area
        assert table.weight[table.parcel == i].sum() == pytest.approx(inside, rel=1e-6, abs=1e-9), polygon.wkt
        assert table.area[i] == pytest.approx(polygon.area, rel=1e-6, abs=1e-9), polygon.wkt


SQUARE = [(2, 2), (5, 2), (5, 6), (2, 6)]
HOLED = shapely.Polygon([(1, 1), (9, 1), (9, 8), (1, 8)], [[(2, 2), (2, 7), (8, 7), (8, 2)]])
CASES = {
    "on pixel borders": shapely.Polygon(SQUARE),
    "clockwise": shapely.Polygon(SQUARE[::-1]),
    "collinear points": shapely.Polygon([(2, 2), (3, 2), (3.5, 2), (5, 2), (5, 3.3), (5, 6), (2, 6), (2, 2.25)]),
    "a point twice": shapely.Polygon([(2, 2), (2, 2), (5, 2), (5, 6), (5, 6), (2, 6)]),
    "the whole grid": shapely.box(0, 0, COLS, ROWS),
    "beyond the grid on every side": shapely.box(-3, -4, COLS + 5, ROWS + 6),
    "a hole around the whole grid": shapely.box(-5, -5, 20, 20).difference(shapely.box(-1, -1, 13, 10)),
    "one pixel": shapely.box(4, 4, 5, 5),
    "inside one pixel": shapely.box(4.25, 4.25, 4.5, 4.75),
    "a corner shared by four pixels": shapely.box(3.9, 3.9, 4.1, 4.1),
    "a hole": HOLED,
    "an island in a hole": HOLED.union(shapely.box(4, 4, 5.5, 5.5)),
    "a hole that touches the ring": shapely.Polygon([(1, 1), (6, 1), (6, 6), (1, 6)], [[(1, 3), (3, 2), (3, 4)]]),
    "parts that touch in a point": shapely.MultiPolygon([shapely.box(1, 1, 3, 3), shapely.box(3, 3, 5, 5)]),
    "a thread through a row": shapely.Polygon([(-2, 4.5), (14, 4.5 + 1e-6), (14, 4.5)]),
    "a nearly horizontal edge": shapely.Polygon([(0.5, 3), (11.5, 3 + 1e-9), (11.5, 5), (0.5, 5)]),
    "a nearly vertical edge": shapely.Polygon([(3, 0.5), (3 + 1e-9, 8.5), (5, 8.5), (5, 0.5)]),
    "half off to the left": shapely.box(-2.5, 2, 1.5, 4),
    "half off above": shapely.Polygon([(2, -3), (6, -2), (4, 2.5)]),
    "half off to the right": shapely.Polygon([(10, 2), (30, 1), (11, 6)]),
    "half off below": shapely.Polygon([(2, 7), (6, 20), (1, 30)]),
    "around the corner, off the grid": shapely.Polygon([(-1, 3), (-1, -1), (3, -1)]),
}


@pytest.mark.parametrize("name", CASES)
def test_oracle_special_cases(name):
    polygon = to_metres(CASES[name])
    table = coverage_table(table_of(polygon), GRID)
    check_form(table, 1)
    np.testing.assert_allclose(dense(table), by_shapely(to_pixels(polygon)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("place", [(-9, 3), (3, -9), (20, 3), (3, 20), (-9, -9), (20, 20), (12, 3), (3, 9)])
def test_a_parcel_off_the_grid_has_no_pixel_and_keeps_its_area_and_its_number(place):
    x, y = place
    off, on = shapely.box(x, y, x + 2, y + 3), shapely.box(1, 1, 2, 2)
    table = coverage_table(table_of(to_metres(off), to_metres(on)), GRID)
    check_form(table, 2)
    assert table.starts.tolist() == [0, 0, 1]
    assert table.parcel.tolist() == [1]
    np.testing.assert_allclose(table.area, [6, 1])


def test_a_parcel_of_exactly_known_shares():
    triangle = to_metres(shapely.Polygon([(1, 1), (3, 1), (1, 3)]))
    table = coverage_table(table_of(triangle), GRID)
    assert table.row.tolist() == [1, 1, 2]
    assert table.col.tolist() == [1, 2, 1]
    assert table.weight.tolist() == [1.0, 0.5, 0.5]


@settings(max_examples=20)
@given(seed=seeds)
def test_oracle_shares_are_those_of_exactextract(seed):
    # On a grid that holds every polygon: exactextract 0.3 crashes on a multipolygon with a part off the raster.
    wide = grid(-64, -64, 140, 140)
    parcels = table_of(*map(to_metres, batch(seed)))
    raster = NumPyRasterSource(np.zeros(wide.shape), *wide.boundingbox, srs_wkt=parcels.crs.to_wkt())
    found = exact_extract(raster, parcels, ["cell_id", "coverage"], output="pandas")
    table = coverage_table(parcels, wide)
    for i, row in found.iterrows():
        theirs = np.zeros(wide.shape)
        theirs.flat[np.asarray(row["cell_id"], int)] = row["coverage"]
        np.testing.assert_allclose(dense(table, i), theirs, rtol=0, atol=2e-6)  # its shares are float32


@settings(max_examples=30)
@given(seed=seeds, east=st.integers(-40_000, 40_000), north=st.integers(-200_000, 200_000))
def test_property_parcels_and_grid_moved_together_change_nothing(seed, east, north):
    sixteenths = [shapely.transform(to_metres(p), lambda xy: np.round(xy * 16) / 16) for p in batch(seed)]
    still = [p for p in sixteenths if p.is_valid and p.area]  # in sixteenths of a metre the move is exact
    moved_grid = GeoBox((ROWS, COLS), Affine(PIXEL, 0, WEST + east, 0, -PIXEL, NORTH + north), CRS)
    moved = [shapely.transform(p, lambda xy: xy + np.array([east, north])) for p in still]
    one, two = coverage_table(table_of(*still), GRID), coverage_table(table_of(*moved), moved_grid)
    for name in ("parcel", "row", "col", "weight", "starts", "area"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@settings(max_examples=30)
@given(seed=seeds)
def test_property_parcels_in_another_order_give_the_same_rows_in_that_order(seed):
    parcels = table_of(*map(to_metres, batch(seed)))
    order = np.random.default_rng(seed).permutation(len(parcels))
    table, turned = coverage_table(parcels, GRID), coverage_table(parcels.iloc[order], GRID)
    check_form(turned, len(parcels))
    for new, old in enumerate(order):
        np.testing.assert_array_equal(dense(turned, new), dense(table, old))
    np.testing.assert_array_equal(turned.area, table.area[order])


@settings(max_examples=30)
@given(seed=seeds, split=st.integers(1, COLS - 1))
def test_property_a_grid_split_in_two_gives_the_same_shares(seed, split):
    parcels = table_of(*map(to_metres, batch(seed)))
    whole = coverage_table(parcels, GRID)
    left, right = (
        coverage_table(parcels, grid(*part)) for part in ((0, 0, ROWS, split), (0, split, ROWS, COLS - split))
    )
    for i in range(len(parcels)):
        np.testing.assert_allclose(np.hstack([dense(left, i), dense(right, i)]), dense(whole, i), rtol=0, atol=2e-11)


def test_parcels_in_another_crs_are_reprojected():
    parcels = table_of(to_metres(shapely.Polygon([(1.2, 1.7), (9.3, 2.2), (6.1, 7.9)])))
    degrees = parcels.to_crs(4326)
    table = coverage_table(degrees, GRID)
    assert len(table)
    np.testing.assert_allclose(dense(table), dense(coverage_table(parcels, GRID)), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(dense(table), dense(coverage_table(degrees.to_crs(CRS), GRID)))


def test_z_coordinates_change_nothing():
    flat = to_metres(HOLED)
    high = shapely.force_3d(flat, 12.5)
    assert high.has_z
    np.testing.assert_array_equal(
        dense(coverage_table(table_of(high), GRID)), dense(coverage_table(table_of(flat), GRID))
    )


def test_an_upside_down_grid_gives_the_same_shares_turned_over():
    turned = GeoBox((ROWS, COLS), Affine(PIXEL, 0, WEST, 0, PIXEL, NORTH - ROWS * PIXEL), CRS)
    parcels = table_of(to_metres(HOLED))
    np.testing.assert_allclose(
        dense(coverage_table(parcels, turned))[::-1], dense(coverage_table(parcels, GRID)), rtol=0, atol=1e-12
    )


def test_pixels_need_not_be_square():
    wide = GeoBox((9, 4), Affine(30.0, 0, WEST, 0, -10.0, NORTH), CRS)
    polygon = shapely.Polygon([(0.4, 1.1), (3.3, 2.0), (2.2, 8.7)])
    metres = shapely.transform(polygon, lambda xy: np.column_stack([WEST + 30 * xy[:, 0], NORTH - 10 * xy[:, 1]]))
    np.testing.assert_allclose(
        dense(coverage_table(table_of(metres), wide)), by_shapely(polygon, (9, 4)), rtol=0, atol=1e-9
    )


def test_no_parcels_and_empty_ones_give_an_empty_table():
    table = coverage_table(table_of(), GRID)
    assert len(table) == 0
    assert table.starts.tolist() == [0]
    table = coverage_table(table_of(shapely.Polygon(), to_metres(shapely.box(0, 0, 1, 1))), GRID)
    assert table.starts.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        shapely.Point(0, 0),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.Polygon([(0, 0), (5, 5), (5, 0), (0, 5)]),
        shapely.Polygon([(0, 0), (np.inf, 5), (5, 0)]),
        shapely.GeometryCollection([shapely.box(0, 0, 1, 1)]),
    ],
)
def test_what_is_no_valid_polygon_is_refused_by_row(bad):
    good = to_metres(shapely.box(0, 0, 1, 1))
    with pytest.raises(SchemaError, match=r"first rows \[1\].*read_parcels"):
        coverage_table(table_of(good, bad), GRID)


def test_a_parcel_that_the_grid_s_crs_cannot_hold_lies_off_the_grid():
    far = gpd.GeoSeries([shapely.box(-165, 60, -164, 61), shapely.box(105, 10, 105.001, 10.001)], crs=4326)
    west, north = 499900.0, 1105600.0
    table = coverage_table(far, GeoBox((30, 30), Affine(10, 0, west, 0, -10, north), "EPSG:32648"))
    assert set(table.parcel) == {1}
    assert table.starts.tolist()[:2] == [0, 0]


def test_a_missing_crs_is_refused():
    parcels = table_of(to_metres(shapely.box(0, 0, 1, 1)))
    with pytest.raises(SchemaError, match="CRS"):
        coverage_table(parcels.set_crs(None, allow_override=True), GRID)
    with pytest.raises(SchemaError, match="CRS"):
        coverage_table(parcels, GeoBox((ROWS, COLS), GRID.affine, None))


@pytest.mark.parametrize("name", ["1_vietnam_areas.gpkg", "4_cambodia_areas.gpkg"])
def test_oracle_real_fields(shared_data, name):
    fields = gpd.read_file(shared_data / "ai4smallfarms_vn_kh" / name)
    grid = output_geobox(fields)
    table = coverage_table(fields, grid)
    check_form(table, len(fields))
    corner, pixel = (grid.affine.c, grid.affine.f), 10.0
    projected = fields.to_crs(grid.crs.to_wkt()).geometry
    pixels = shapely.transform(
        projected.to_numpy(), lambda xy: np.column_stack([(xy[:, 0] - corner[0]), (corner[1] - xy[:, 1])]) / pixel
    )
    ours = pd.Series(table.weight).groupby(table.parcel).sum().reindex(range(len(fields)), fill_value=0.0)
    np.testing.assert_allclose(ours, shapely.area(pixels), rtol=1e-9)
    boxes = shapely.box(table.col, table.row, table.col + 1, table.row + 1)
    theirs = shapely.area(shapely.intersection(boxes, pixels[table.parcel]))
    np.testing.assert_allclose(table.weight, theirs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(table.area, shapely.area(pixels), rtol=1e-9)
    assert (np.diff(table.starts) > 0).all()
