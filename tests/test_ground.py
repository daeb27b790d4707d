"""Parcels on grids: what is kept of their coverage, when it is found anew, and how many are worked on together."""

from __future__ import annotations

import os
import pickle
import threading
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scenes as made
import shapely
from affine import Affine
from hypothesis import given, settings
from odc.geo.geobox import GeoBox
from shapes import COLS, CRS, GRID, NORTH, PIXEL, ROWS, WEST, batch, seeds, table_of, to_metres

from rs_forecast import ground as module
from rs_forecast.errors import SchemaError
from rs_forecast.grid import output_geobox
from rs_forecast.ground import Ground, geometry_hash_numbers, geometry_hashes, hash_texts
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.signals import extract_signals
from rs_forecast.sources.local import open_scenes

ARRAYS = ("weight", "starts", "area", "spans")


@pytest.fixture
def computed(monkeypatch):
    """Return a list that grows by the grid's shape whenever a coverage is computed."""
    grids, real = [], module.place

    def spy(rings, crs, grid):
        grids.append(tuple(grid.shape))
        return real(rings, crs, grid)

    monkeypatch.setattr(module, "place", spy)
    return grids


def parcels_of(seed=3):
    return table_of(*map(to_metres, batch(seed)))


def part(right, rows=0):
    """GRID, some pixels to the right, and some rows longer."""
    affine = Affine(PIXEL, 0, WEST + right * PIXEL, 0, -PIXEL, NORTH)
    return GeoBox((ROWS + rows, COLS), affine, CRS)


def only(ground, grid=GRID):
    (group,) = ground.groups(grid)
    return group


def test_a_group_has_the_coverage_of_its_parcels():
    parcels = parcels_of()
    group = only(Ground(parcels))
    whole = coverage_table(parcels, GRID)
    touching = np.flatnonzero(np.diff(whole.starts))
    assert set(touching) <= set(group.rows)
    alone = coverage_table(parcels.iloc[group.rows], GRID)
    for name in ("starts", "area", "spans"):
        np.testing.assert_array_equal(getattr(group.table, name), getattr(alone, name))
    np.testing.assert_array_equal(group.table.weight, alone.weight.astype(np.float32))
    assert len(group.pixels) == len(group.table) == len(whole)


def test_a_coverage_is_computed_once_and_read_by_the_next(tmp_path, computed):
    parcels = parcels_of()
    first = only(Ground(parcels, keep=tmp_path))
    second = only(Ground(parcels.copy(), keep=tmp_path))
    assert len(computed) == 1
    np.testing.assert_array_equal(first.rows, second.rows)
    for name in ARRAYS:
        one, two = getattr(first.table, name), getattr(second.table, name)
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype


def changes():
    parcels = parcels_of()
    moved, other_crs, shorter = parcels.copy(), parcels.set_crs(32647, allow_override=True), parcels.iloc[1:]
    geometry = list(parcels.geometry)
    geometry[2] = shapely.transform(geometry[2], lambda xy: np.add(xy, [0.0, 1e-6]))
    moved.geometry = geometry
    yield "an outline moved by a thousandth of a millimetre", moved, GRID
    yield "the same numbers in another CRS", other_crs, GRID
    yield "a parcel less", shorter, GRID
    yield "another order", parcels.iloc[::-1], GRID
    yield "a grid a pixel to the right", parcels, part(1)
    yield "a grid a row longer", parcels, part(0, 1)


@pytest.mark.parametrize(("what", "parcels", "grid"), list(changes()))
def test_any_change_is_computed_anew(tmp_path, computed, what, parcels, grid):
    Ground(parcels_of(), keep=tmp_path).groups(GRID)
    found = Ground(parcels, keep=tmp_path).groups(grid)
    assert len(computed) == 2, what
    fresh = Ground(parcels).groups(grid)
    for one, two in zip(found, fresh, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(one.table, name), getattr(two.table, name))


def test_the_ids_do_not_count(tmp_path, computed):
    parcels = parcels_of()
    Ground(parcels, keep=tmp_path).groups(GRID)
    Ground(parcels.assign(parcel_id=[f"new{k}" for k in range(len(parcels))]), keep=tmp_path).groups(GRID)
    assert len(computed) == 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999, 1.2])
def test_a_damaged_file_is_computed_anew_and_mended(tmp_path, computed, share):
    parcels = parcels_of()
    good = only(Ground(parcels, keep=tmp_path)).table
    (file,) = tmp_path.glob("*.coverage")
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)] if share <= 1 else raw + b"more")
    for times in (2, 2):
        again = only(Ground(parcels, keep=tmp_path)).table
        assert len(computed) == times
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(again, name), getattr(good, name))
    assert file.read_bytes() == raw


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert len(only(Ground(parcels_of(), keep=tmp_path / "file" / "below")).table)


def test_the_ones_used_longest_ago_go_first(tmp_path):
    parcels = parcels_of()
    for k in range(module._KEPT + 3):
        Ground(parcels, keep=tmp_path).groups(part(k))
        for age, file in enumerate(sorted(tmp_path.glob("*.coverage"), key=os.path.getmtime, reverse=True)):
            os.utime(file, ns=(10**18 - age * 10**9,) * 2)
        Ground(parcels, keep=tmp_path).groups(GRID)  # used every time: it stays
    assert len(list(tmp_path.iterdir())) == module._KEPT


def test_what_silences_warnings_for_all_runs_on_the_callers_thread_alone(monkeypatch):
    """Two threads in ``warnings.catch_warnings`` can leave each other's filters behind: scenes left out go unnamed."""
    seen, real = [], warnings.catch_warnings.__enter__

    def spy(self):
        seen.append(threading.current_thread())
        return real(self)

    parcels = table_of(*map(to_metres, batch(1, count=300)))
    Ground(parcels, threads=4).groups(GRID)  # compiled first: the compiler has a lock of its own around such blocks
    monkeypatch.setattr(warnings.catch_warnings, "__enter__", spy)
    Ground(parcels, threads=4).groups(GRID)
    coverage_table(parcels, GRID, threads=4)
    assert seen
    assert set(seen) == {threading.current_thread()}


def test_parcels_are_checked():
    bow_tie = table_of(shapely.Polygon([(0, 0), (50, 50), (50, 0), (0, 50)]))
    with pytest.raises(SchemaError, match="parcel p0 has no valid polygon"):
        Ground(bow_tie)


@pytest.mark.parametrize("most", [1, 40, 200])
def test_groups_of_any_size_give_the_same_signals_to_the_bit(tmp_path, monkeypatch, most):
    made.write_scene(tmp_path, seed=4)
    parcels = made.fields(40)
    scenes = open_scenes(tmp_path)
    whole = extract_signals(scenes, parcels, ["ndvi", "lswi"])
    monkeypatch.setattr(module, "MOST_CELLS", most)
    ground = Ground(parcels)
    groups = ground.groups(scenes[0].bands["nir"].geobox)
    assert len(groups) > 1
    np.testing.assert_array_equal(np.sort(np.concatenate([g.rows for g in groups])), np.arange(40))
    again = extract_signals(scenes, parcels, ["ndvi", "lswi"], keep_coverage=tmp_path / "kept")
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    third = extract_signals(scenes, parcels, ["ndvi", "lswi"], keep_coverage=tmp_path / "kept")
    pd.testing.assert_frame_equal(third, whole, check_exact=True)


@settings(max_examples=30)
@given(seed=seeds)
def test_property_hashes_are_of_the_outline_alone(seed):
    parcels = parcels_of(seed)
    found = geometry_hashes(parcels)
    assert all(len(text) == 16 and set(text) <= set("0123456789abcdef") for text in found)
    order = np.random.default_rng(seed).permutation(len(parcels))
    assert geometry_hashes(parcels.iloc[order]) == [found[k] for k in order]
    distinct = {shapely.normalize(g).wkb for g in parcels.geometry}
    assert len(set(found)) == len(distinct)
    turned = parcels.copy()
    turned.geometry = shapely.reverse(shapely.normalize(parcels.geometry.to_numpy()))
    assert geometry_hashes(turned) == found


def test_a_hole_is_not_an_island():
    outer, inner = shapely.box(0, 0, 100, 100), shapely.box(20, 20, 40, 40)
    holed = shapely.Polygon(outer.exterior, [inner.exterior])
    parts = shapely.MultiPolygon([shapely.box(200, 0, 300, 100), inner])
    again = shapely.MultiPolygon([inner, shapely.box(200, 0, 300, 100)])
    one, two, three, four = geometry_hashes(table_of(holed, outer, parts, again))
    assert len({one, two, three}) == 3
    assert three == four


def test_ground_travels_to_another_process():
    """What it has found does not travel with it: that is found again where it is needed."""
    parcels = parcels_of()
    ground = Ground(parcels)
    ground.groups(GRID)
    raw = pickle.dumps(ground)
    copy = pickle.loads(raw)  # noqa: S301 - our own
    assert len(raw) < 100_000
    np.testing.assert_array_equal(only(copy).table.weight, only(ground).table.weight)
    assert list(copy.hashes) == list(ground.hashes)
    assert list(copy.ids) == list(ground.ids)


def test_the_real_fields_of_the_delta(shared_data, tmp_path, computed):
    fields = gpd.read_file(shared_data / "ai4smallfarms_vn_kh" / "1_vietnam_areas.gpkg")
    parcels = fields.assign(parcel_id=[f"f{k}" for k in range(len(fields))])[["parcel_id", "geometry"]]
    assert len(set(geometry_hashes(parcels))) == len({g.wkb for g in parcels.geometry})
    grid = output_geobox(parcels)
    kept = [only(Ground(parcels, keep=tmp_path), grid).table for _ in range(2)]
    assert len(computed) == 1
    np.testing.assert_array_equal(kept[0].weight, kept[1].weight)


def test_hashes_are_their_numbers_as_hex_digits():
    numbers = np.array([0, 1, 0xFEDCBA9876543210, 2**64 - 1], np.uint64)
    found = hash_texts(numbers)
    assert found.dtype == "str"
    assert found.tolist() == [f"{number:016x}" for number in numbers.tolist()]
    assert hash_texts(numbers[:0]).tolist() == []
    parcels = table_of(shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1, 2))
    assert hash_texts(geometry_hash_numbers(parcels)).tolist() == geometry_hashes(parcels)
