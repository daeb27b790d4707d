import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import COLS, GRID, ROWS, batch, seeds, table_of, to_metres, to_pixels

from rs_forecast.grid import output_geobox
from rs_forecast.kernels.burn import pixel_owner, spread
from rs_forecast.kernels.coverage import CoverageTable, coverage_table
from rs_forecast.maps import owners
from rs_forecast.maps.owners import Owners

MILLIONTH = 2e-6
"""What two shares may differ by and count as equal."""


def shares_by_shapely(polygons, shape=(ROWS, COLS)):
    """The share of each pixel under each polygon, given in pixels; (parcel, y, x)."""
    row, col = np.indices(shape)
    pixels = shapely.box(col, row, col + 1, row + 1)
    return np.array([shapely.area(shapely.intersection(pixels, polygon)) for polygon in polygons])


def check_owner(owner, shares):
    """Fail unless each pixel is the first of the greatest shares', where the shares add up to a half."""
    total, most = shares.sum(axis=0), shares.max(axis=0)
    clear = np.abs(total - 0.5) > MILLIONTH
    np.testing.assert_array_equal((owner >= 0)[clear], (total >= 0.5)[clear])
    for row, col in np.argwhere(owner >= 0):
        here = shares[:, row, col]
        assert here[owner[row, col]] >= most[row, col] - MILLIONTH
        assert (here[: owner[row, col]] < here[owner[row, col]] + MILLIONTH).all()


def overlapping(rng, count):
    """Squares, tilted and not, some twice the same, some off the grid, and slivers between."""
    shapes = []
    for _ in range(count):
        x, y, size = *rng.uniform((-3, -3), (COLS + 3, ROWS + 3)), rng.choice([0.1, 0.5, 1, 3, 8])
        box = shapely.box(x, y, x + size, y + size * rng.choice([1, 1, 0.01]))
        shapes.append(shapely.affinity.rotate(box, rng.choice([0, 0, 30])))
    return [*shapes, shapes[0], shapes[-1]]


@settings(max_examples=60)
@given(seed=seeds)
def test_oracle_the_owner_is_the_first_of_the_greatest_shares_of_shapely(seed):
    rng = np.random.default_rng(seed)
    metres = [to_metres(shape) for shape in batch(seed, count=6) + overlapping(rng, 4)]
    owner = pixel_owner(coverage_table(table_of(*metres), GRID))
    assert owner.dtype == np.int32
    assert owner.shape == (ROWS, COLS)
    check_owner(owner, shares_by_shapely([to_pixels(shape) for shape in metres]))


def test_ties_halves_and_small_parcels():
    shapes = [
        shapely.box(0, 0, 0.5, 1),  # half of a pixel, and the other half to the next: the first row of equals
        shapely.box(0.5, 0, 1, 1),
        shapely.box(2, 0, 2.5, 1),  # half of a pixel alone is enough
        shapely.box(3, 0, 3.4, 1),  # less than half is not
        shapely.box(4, 0, 4.3, 1),  # two that are less than half each, and more together: the larger
        shapely.box(4.3, 0, 4.7, 1),
    ]
    owner = pixel_owner(coverage_table(table_of(*map(to_metres, shapes)), GRID))
    assert owner[0, :6].tolist() == [0, -1, 2, -1, 5, -1]
    assert (owner[1:] == -1).all()


def shares_of(*rows):
    """A table of one pixel under several parcels."""
    count = len(rows)
    zeros = np.zeros(count, np.int32)
    return CoverageTable(
        spans=np.column_stack([zeros, zeros, zeros + 1]), weight=np.array(rows, float),
        starts=np.arange(count + 1), area=np.array(rows, float), shape=(1, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "owner"),
    [
        ((0.1, 0.2, 0.2), 1),  # in floating point 0.1 + 0.2 + 0.2 = 0.5 by luck
        ((0.3, 0.2 - 1e-12), 0),  # half, but for the last digits of coordinates
        ((0.3, 0.3 + 1e-12), 0),  # a tie, but for them
        ((0.3, 0.19999), -1),
        ((0.3, 0.3001), 1),
        ((1.0,) * 5000, 0),  # five thousand parcels upon each other
    ],
)
def test_noise_of_coordinates_decides_nothing(rows, owner):
    assert pixel_owner(shares_of(*rows)).tolist() == [[owner]]


def assembled(parcels, grid, rows, cols):
    """The owners of the whole grid from parts of ``rows`` x ``cols`` pixels."""
    down, across = (-(-side // step) for side, step in zip(grid.shape, (rows, cols), strict=True))
    whole = np.full((down * rows, across * cols), -1, np.int64)
    owned = Owners(parcels, grid)
    for row in range(0, len(whole), rows):
        band = owned.band(row, rows)
        for col in range(0, whole.shape[1], cols):
            owner = band.owner(col, cols)
            if owner is not None:
                whole[row : row + rows, col : col + cols] = owner
    assert (whole[grid.shape[0] :] == -1).all()
    assert (whole[:, grid.shape[1] :] == -1).all()
    return whole[: grid.shape[0], : grid.shape[1]]


@settings(max_examples=40)
@given(seed=seeds, rows=st.integers(1, ROWS + 1), cols=st.integers(1, COLS + 1))
def test_property_parts_of_any_size_give_the_owners_of_the_whole(seed, rows, cols):
    rng = np.random.default_rng(seed)
    parcels = table_of(*(to_metres(shape) for shape in batch(seed, count=10) + overlapping(rng, 4)))
    expected = pixel_owner(coverage_table(parcels, GRID))
    np.testing.assert_array_equal(assembled(parcels, GRID, rows, cols), expected)


@pytest.mark.parametrize("name", ["1_vietnam_areas.gpkg", "4_cambodia_areas.gpkg"])
def test_parts_over_real_fields(shared_data, name):
    fields = gpd.read_file(shared_data / "ai4smallfarms_vn_kh" / name)
    grid = output_geobox(fields)
    expected = pixel_owner(coverage_table(fields, grid))
    assert len(np.unique(expected)) > 100
    for rows, cols in ((64, 100), (37, 2000)):
        np.testing.assert_array_equal(assembled(fields, grid, rows, cols), expected)


def test_only_parcels_near_a_part_are_looked_at(monkeypatch):
    shapes = [shapely.box(x, y, x + 0.9, y + 0.9) for x in range(0, COLS, 3) for y in range(0, ROWS, 3)]
    looked, real = [], owners.cover
    monkeypatch.setattr(
        owners, "cover", lambda placed, here, **kw: looked.append(len(here)) or real(placed, here, **kw)
    )
    owner = assembled(table_of(*map(to_metres, shapes)), GRID, 3, 3)
    assert np.array_equal(np.unique(owner), np.arange(-1, len(shapes)))
    assert max(looked) <= 2  # its own, and one of the row below


def test_a_parcel_far_larger_than_a_part_is_traced_only_inside_it(monkeypatch):
    looked, real = [], owners.cover
    monkeypatch.setattr(owners, "cover", lambda *args, **kw: looked.append(len(real(*args, **kw))) or real(*args, **kw))
    assert (assembled(table_of(to_metres(shapely.box(0, 0, COLS, ROWS))), GRID, 2, 3) == 0).all()
    assert max(looked) == 6
    assert sum(looked) == ROWS * COLS


def test_the_owners_of_a_part_have_the_numbers_asked_for():
    shapes = [shapely.box(4, 3, 6, 5), shapely.box(7, 3, 8, 4)]
    table = coverage_table(table_of(*map(to_metres, shapes)), GRID)
    owner = pixel_owner(table, corner=(3, 4), shape=(2, 4), numbers=np.array([70, 8]))
    assert owner.tolist() == [[70, 70, -1, 8], [70, 70, -1, -1]]


def test_a_parcel_that_the_grid_cannot_hold_owns_nothing():
    far = gpd.GeoSeries([shapely.box(-75.1, 89.9999, -75, 90), shapely.box(105, 20, 105.1, 20.1)], crs="EPSG:4326")
    grid = output_geobox(gpd.GeoDataFrame(geometry=far.iloc[1:]), resolution=1000)
    found = assembled(gpd.GeoDataFrame(geometry=far), grid, 5, 5)
    assert set(np.unique(found)) <= {-1, 1}
    assert (found == 1).any()


@settings(max_examples=20)
@given(seed=seeds)
def test_property_values_stand_where_their_parcel_owns(seed):
    rng = np.random.default_rng(seed)
    owner = rng.integers(-1, 5, (6, 40)).astype(np.int32)
    for kind in (np.float32, np.uint8):
        table = rng.integers(0, 250, 6).astype(kind)
        out = spread(owner[:, 3:30], table)
        assert out.dtype == kind
        np.testing.assert_array_equal(out, table[owner[:, 3:30] + 1])
