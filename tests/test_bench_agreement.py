"""The entries that `make bench` times, held against each other on a small tile: what it compares is equal work."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import floor
import rasterio
from bench_coverage import compared as compared_coverage
from bench_process import compared as compared_runs
from bench_process import make_weather, ours, peer
from bench_signals import compared
from contestants import CENTRE_POINT, COVERAGE, FLOORS, OURS, REFERENCE, SIGNALS
from tile import AREA, NORTH, SCENE, WEST, make_parcels, make_tile
from work import COLUMNS, PIXEL, Work

from rs_forecast.sources.local import open_scenes

SIZE, COUNT, SEED = 1100, 300, 1
"""More than one block, so that parcels lie across the border of two; a seed whose clouds lie over parcels."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Work(make_tile(tmp_path_factory.mktemp("tile"), size=SIZE, counts=(COUNT,), seed=SEED), COUNT)


@pytest.fixture(scope="module")
def tables(work):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # rasterstats writes a product of matrices as *
        return {name: extract(work).set_index("parcel_id").sort_index() for name, extract in SIGNALS.items()}


def close(own: pd.DataFrame, other: pd.DataFrame, *, mean: float, rest: float) -> None:
    assert list(own.index) == list(other.index)
    for column in COLUMNS:
        tolerance = mean if column.endswith("_mean") else rest
        np.testing.assert_allclose(own[column], other[column], rtol=0, atol=tolerance, err_msg=column)


# --- signals ----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_oracle_ours_is_what_exactextract_finds_for_every_parcel(tables, work, name):
    exact = tables[REFERENCE]
    whole = work.parcels.set_index("parcel_id").area / PIXEL**2
    share = (exact["valid_weight"] / whole).fillna(0.0)
    assert (share > 0.999).sum() > COUNT * 0.8  # most parcels are clear, and some lie wholly or partly under cloud
    assert (share < 0.9).sum() > 3
    close(tables[name], exact, mean=1e-6, rest=1e-5)
    np.testing.assert_allclose(tables[name]["valid_weight"], exact["valid_weight"], rtol=1e-6, atol=1e-5)


@pytest.mark.slow
def test_exactextract_finds_the_same_with_either_reader(tables):
    close(tables["exactextract, own reader"], tables[REFERENCE], mean=0, rest=0)


@pytest.mark.slow
def test_both_ways_by_centre_points_agree_and_are_not_exact(tables):
    first, second = (tables[name] for name in CENTRE_POINT)
    close(first, second, mean=1e-6, rest=1e-6)
    np.testing.assert_array_equal(first["valid_weight"], second["valid_weight"])
    found = compared({name: table.reset_index() for name, table in tables.items()})
    gap = {row["name"]: row["mean NDVI"]["median"] for row in found}
    assert min(gap[name] for name in CENTRE_POINT) > 100 * max(gap[name] for name in OURS)


# --- coverage ---------------------------------------------------------------------------------------------------------
def test_oracle_coverage_is_exactextracts(work):
    flat = {name: flatten(compute(work), work) for name, (compute, flatten) in COVERAGE.items()}
    gaps = compared_coverage(flat, work.tile, COUNT)
    assert len(gaps) == 3
    assert gaps["sum of weights against area, largest relative difference"] < 1e-6
    assert gaps["weights against exactextract, largest difference"] < 1e-5


# --- process models ---------------------------------------------------------------------------------------------------
def test_epirice_in_numpy_is_ours():
    weather = make_weather(40)
    own = ours(*weather)
    gaps = compared_runs({"rs_forecast": own, "whole": peer(*weather, 40), "parts": peer(*weather, 7)})
    assert len(gaps) == 2
    assert max(gaps.values()) < 1e-12
    assert own[:, :, -1].max(axis=1).min() > 1e-6  # every disease has an epidemic somewhere


# --- floor ------------------------------------------------------------------------------------------------------------
def test_the_floor_decodes_the_same_blocks_both_ways(work, monkeypatch):
    plan = floor.Plan(work)
    count = 4 * len(touched(work, 10)) + 7 * len(touched(work, 20))
    assert len(plan.raw) == len(plan.windows) == count > 11
    pixels = {name: decode(plan) for name, decode in FLOORS.items()}
    assert pixels["decode, libdeflate"] == count * floor.BLOCK**2  # padding is decoded too
    assert pixels["decode, rasterio"] == sum(window.height * window.width for _, window in plan.windows)
    seen = []
    monkeypatch.setattr(floor.imagecodecs, "delta_decode", recorded(floor.imagecodecs.delta_decode, seen))
    monkeypatch.setattr(floor, "THREADS", 1)
    floor.decode_raw(plan)
    for block, (path, window) in zip(seen, plan.windows, strict=True):
        with rasterio.open(path) as src:
            truth = src.read(1, window=window)
        np.testing.assert_array_equal(block[: window.height, : window.width], truth)


def touched(work, pixel):
    """Return the blocks that any parcel's box touches, by trying each."""
    side, across = floor.BLOCK * pixel, -(-SIZE * 10 // (floor.BLOCK * pixel))
    boxes = shapely.box(*work.parcels.geometry.bounds.to_numpy().T)
    places = [(row, col) for row in range(across) for col in range(across)]
    return [
        (row, col)
        for row, col in places
        if shapely.intersects(
            boxes, shapely.box(WEST + col * side, NORTH - (row + 1) * side, WEST + (col + 1) * side, NORTH - row * side)
        ).any()
    ]


def recorded(decode, seen):
    def wrapped(*args, out, **how):
        decode(*args, out=out, **how)
        seen.append(out.copy())

    return wrapped


# --- tile -------------------------------------------------------------------------------------------------------------
def test_parcels_are_fields_of_the_promised_size_and_share_edges_without_overlap():
    parcels = make_parcels(3000, size=2048)
    shapes = parcels.geometry.to_numpy()
    assert parcels["parcel_id"].is_unique
    assert shapely.is_valid(shapes).all()
    assert parcels.area.between(AREA[0] * 1e4, AREA[1] * 1e4).all()
    assert 0.8e4 < parcels.area.mean() < 0.9e4
    assert set(shapely.get_num_coordinates(shapes)) == {5, 6, 7}  # quadrilaterals to hexagons
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared = shapely.intersection(shapes[left[left < right]], shapes[right[left < right]])
    assert shapely.area(shared).max() == 0
    assert (shapely.length(shared) > 10).sum() > 1000


def test_a_seed_gives_the_same_tile_and_another_another(tmp_path, work):
    same = make_tile(tmp_path / "same", size=SIZE, counts=(COUNT,), seed=SEED)
    other = make_tile(tmp_path / "other", size=SIZE, counts=(COUNT,), seed=SEED + 1)
    for code in ("B02", "B12", "SCL"):
        name = f"{SCENE}_{code}.tif"
        assert (same.scenes / name).read_bytes() == (work.tile.scenes / name).read_bytes()
        assert (other.scenes / name).read_bytes() != (work.tile.scenes / name).read_bytes()
    assert Work(same, COUNT).parcels.equals(work.parcels)
    assert not Work(other, COUNT).parcels.equals(work.parcels)
    with pytest.raises(ValueError, match="holds another tile"):
        make_tile(tmp_path / "same", size=SIZE, counts=(COUNT,), seed=SEED + 1)
    with pytest.raises(ValueError, match="holds 1 to"):
        make_parcels(100_000, size=SIZE)


def test_the_tile_says_that_it_is_synthetic_and_how_its_numbers_read(work):
    (scene,) = open_scenes(work.tile.scenes)
    assert scene.synthetic
    assert len(scene.bands) == 11
    assert {(round(band.scale, 9), round(band.offset, 9)) for name, band in scene.bands.items() if name != "scl"} == {
        (1e-4, -0.1)
    }
    with rasterio.open(work.path("B05")) as src:
        assert src.block_shapes == [(1024, 1024)] or src.height < 1024
        assert src.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
