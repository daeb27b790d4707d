"""The signals store: what it gives is what extracting anew would give, and it computes only what is new."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import flanders
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import scenes as made
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast import schema
from rs_forecast.asof import SIGNAL_KEY, Versions
from rs_forecast.catalog import INDICES, Index
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import DataWarning, NoDataError, SourceError
from rs_forecast.ground import geometry_hash_numbers
from rs_forecast.signals import extract_signals, geometry_hashes
from rs_forecast.simulate import simulate
from rs_forecast.sources import _contents
from rs_forecast.sources.local import open_scenes
from rs_forecast.sources.parcels import read_parcels
from rs_forecast.store import SignalStore, fill
from rs_forecast.store import parcels as stored_parcels

SEEN = "2024-03-04"
DAYS = ("20240105", "20240110", "20240115", "20240120")
GNDVI = Index(name="gndvi", formula="(nir - red) / (nir + 2 * red)", valid=(-1.0, 1.0), doi="", doc="of known bands")


@pytest.fixture
def folder(tmp_path):
    """Return a folder of five scenes, on one day two of tiles that overlap."""
    for number, day in enumerate(DAYS):
        made.write_scene(tmp_path / "scenes", day, number, offset=-0.1 * (number % 2))
    made.write_scene(tmp_path / "scenes", DAYS[1], 9, tile="48PXS", west=made.WEST + 100)
    return tmp_path / "scenes"


@pytest.fixture
def parcels():
    return made.fields(14)


@pytest.fixture
def store(tmp_path):
    return SignalStore(tmp_path / "store")


class Asked(list):
    """What was computed: (scenes, parcels, indices) of each call."""

    @property
    def work(self):
        """Return each (scene, parcel, index) that was computed, the sum of all bands left out."""
        return {(s, p, i) for scenes, parcels, indices in self for s in scenes for p in parcels for i in indices}


@pytest.fixture
def asked(monkeypatch):
    calls = Asked()
    look_tables = fill.look_tables

    def noted(scenes, parcels, indices, **options):
        names = [row.name for row in indices if row.name != "_bands"]
        calls.append(([s.scene_id for s in scenes], list(parcels["parcel_id"]), names))
        return look_tables(scenes, parcels, indices, **options)

    monkeypatch.setattr(fill, "look_tables", noted)
    return calls


def plain(table):
    """Return a table with texts for categories and float32 statistics."""
    out = table.copy()
    for name in out.columns:
        if isinstance(out[name].dtype, pd.CategoricalDtype):
            out[name] = out[name].astype("str")
        if name.rpartition("_")[2] in schema.STATS:
            out[name] = out[name].astype(np.float32)
    return out


def assert_same(found, expected):
    pd.testing.assert_frame_equal(plain(found), plain(expected), check_exact=True)
    if len(found) and "geom_hash" in found:
        schema.check_signals(found)


def signals(store, scenes, parcels, indices=("ndvi", "lswi"), **options):
    return store.signals(scenes, parcels, list(indices), seen=SEEN, **options)


def rewrite(folder, day, seed, **how):
    """Write a scene anew with other pixels, as a provider does who processes it again."""
    return made.write_scene(folder, day, seed, **how)


def parts(store):
    return sorted(store.folder.glob("*/*.parquet"))


# ------------------------------------------------------------------------------------------------- equal to extracting
@pytest.mark.parametrize("indices", [("ndvi",), ("ndvi", "lswi"), ("ndvi", "evi", "ndre", "lswi")])
def test_oracle_a_fresh_store_and_a_full_one_give_what_extracting_gives(folder, parcels, store, indices):
    scenes = open_scenes(folder)
    expected = extract_signals(scenes, parcels, indices)
    assert_same(signals(store, scenes, parcels, indices), expected)
    assert_same(signals(store, scenes, parcels, indices), expected)
    assert_same(store.read(scenes, parcels, indices), expected)


def test_oracle_the_simulated_valley(tmp_path, store):
    simulate(tmp_path / "valley", seed=2, parcels=60, years=1, image_years=0.15, end="2025-12-29", workers=1)
    fields = read_parcels(tmp_path / "valley" / "parcels.gpkg")
    scenes = open_scenes(tmp_path / "valley" / "scenes")
    expected = extract_signals(scenes, fields, ["ndvi", "lswi", "ndre"])
    assert expected["tile"].nunique() > 0
    assert_same(signals(store, scenes, fields, ("ndvi", "lswi", "ndre")), expected)
    assert_same(signals(store, scenes, fields, ("ndvi", "lswi", "ndre")), expected)


def test_oracle_cubes_of_flanders(shared_data, store, asked):
    square = flanders.SQUARES[0]
    scenes = open_scenes(flanders.square_folder(shared_data, square))[:12]
    fields = flanders.square_parcels(shared_data, square)
    expected = extract_signals(scenes, fields, ["ndvi", "lswi"])
    assert_same(signals(store, scenes, fields), expected)
    asked.clear()
    assert_same(signals(store, scenes, fields), expected)
    assert not asked


def test_order_of_scenes_parcels_and_updates_does_not_matter(folder, parcels, store, tmp_path):
    scenes = open_scenes(folder)
    expected = extract_signals(scenes, parcels, ["ndvi", "lswi"])
    for scene in scenes[::-1]:
        store.update([scene], parcels.sample(frac=1, random_state=3), ["lswi", "ndvi"], seen=SEEN)
    assert_same(store.read(scenes[::-1], parcels.sample(frac=1, random_state=1), ["ndvi", "lswi"]), expected)


def test_only_the_statistics_asked_for_are_read(folder, parcels, store):
    scenes = open_scenes(folder)
    table = signals(store, scenes, parcels, stats=("mean", "p90"))
    assert list(table.columns[8:]) == ["ndvi_mean", "ndvi_p90", "lswi_mean", "lswi_p90"]
    assert {str(table[name].dtype) for name in table.columns[8:]} == {"float32"}
    expected = extract_signals(scenes, parcels, ["ndvi", "lswi"])
    assert_same(table, expected[table.columns])


def test_scenes_that_are_not_named_are_not_given(folder, parcels, store):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    assert_same(signals(store, scenes[:2], parcels), extract_signals(scenes[:2], parcels, ["ndvi", "lswi"]))


def test_reading_what_was_never_stored_says_so(folder, parcels, store):
    scenes = open_scenes(folder)
    with pytest.warns(DataWarning, match="5 scenes are not in the store as asked for"):
        assert store.read(scenes, parcels, ["ndvi"]).empty


def test_a_build_from_categories_is_that_from_texts(folder, parcels, store):
    scenes = open_scenes(folder)
    table = signals(store, scenes, parcels)
    shuffled = plain(table).sample(frac=1, random_state=5)
    ask = {"pest": "brown_planthopper", "horizon_weeks": [2, 1], "issued": "2024-02-05"}
    mixed = parcels.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(
        pd.DataFrame(build_dataset(parcels, table, None, None, **ask).drop(columns="geometry")),
        pd.DataFrame(build_dataset(mixed, shuffled, None, None, **ask).drop(columns="geometry")),
    )


# --------------------------------------------------------------------------------------------- only what is new counts
def test_nothing_new_is_nothing_computed(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    done = []
    first = store.update(scenes, parcels, ["ndvi"], seen=SEEN, progress=lambda *a: done.append(a))
    assert (first.read, first.stored, done[-1]) == (5, 0, (5, 5))
    assert first.rows == sum((pd.read_parquet(path)["valid_weight"] > 0).sum() for path in parts(store)) > 0
    before = {path: path.stat().st_mtime_ns for path in parts(store)}
    asked.clear()
    again = store.update(scenes, parcels, ["ndvi"], seen=SEEN, progress=lambda *a: done.append(a))
    assert (again.read, again.stored, again.rows, done[-1]) == (0, 5, 0, (5, 5))
    assert not asked
    assert {path: path.stat().st_mtime_ns for path in parts(store)} == before


def test_a_parcel_under_cloud_is_remembered(tmp_path, parcels, store, asked):
    made.write_scene(tmp_path / "scenes", bands=made.numbers(0, cloud=1.0, gaps=False))
    made.write_scene(tmp_path / "scenes", DAYS[0], 3)
    scenes = open_scenes(tmp_path / "scenes")
    table = signals(store, scenes, parcels)
    assert set(table["date"]) == {pd.Timestamp("2024-01-05")}, "one scene is all cloud"
    asked.clear()
    assert_same(signals(store, scenes, parcels), table)
    assert not asked


def test_all_cloud_gives_no_row_and_no_second_look(tmp_path, parcels, store, asked):
    made.write_scene(tmp_path / "scenes", bands=made.numbers(0, cloud=1.0, gaps=False))
    scenes = open_scenes(tmp_path / "scenes")
    assert signals(store, scenes, parcels).empty
    asked.clear()
    assert signals(store, scenes, parcels).empty
    assert not asked


def test_a_new_scene_computes_only_itself(folder, parcels, store, asked):
    signals(store, open_scenes(folder), parcels)
    asked.clear()
    made.write_scene(folder, "20240125", 7)
    scenes = open_scenes(folder)
    assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))
    assert {scene for scene, _, _ in asked.work} == {"48PWS_20240125"}


def test_new_changed_and_removed_parcels_compute_only_themselves(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    asked.clear()
    changed = parcels.iloc[2:].copy()
    changed.loc[5, "geometry"] = shapely.affinity.translate(changed.loc[5, "geometry"], 3.0, 0.0)
    extra = made.fields(16, seed=8).iloc[14:]
    now = pd.concat([changed, extra], ignore_index=True)
    assert_same(signals(store, scenes, now), extract_signals(scenes, now, ["ndvi", "lswi"]))
    assert {parcel for _, parcel, _ in asked.work} == {"p05", "p14", "p15"}
    asked.clear()
    assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))
    assert not asked, "the outline before is still there"


def test_another_name_for_the_same_outline_computes_nothing(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    asked.clear()
    renamed = parcels.assign(parcel_id=[f"z{99 - k}" for k in range(len(parcels))])
    assert_same(signals(store, scenes, renamed), extract_signals(scenes, renamed, ["ndvi", "lswi"]))
    swapped = parcels.assign(parcel_id=parcels["parcel_id"].to_numpy()[::-1])
    assert_same(signals(store, scenes, swapped), extract_signals(scenes, swapped, ["ndvi", "lswi"]))
    assert not asked


def test_parcels_of_one_outline_share_it(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    twice = pd.concat([parcels, parcels.iloc[:3].assign(parcel_id=["a", "m", "z"])], ignore_index=True)
    assert_same(signals(store, scenes, twice), extract_signals(scenes, twice, ["ndvi", "lswi"]))
    assert len({parcel for _, parcel, _ in asked.work}) == len(parcels)


def test_unlike_outlines_of_one_hash_are_told_apart(folder, parcels, store, monkeypatch):
    scenes = open_scenes(folder)

    def numbers(table):
        found = geometry_hash_numbers(table)
        return np.where(found < 2**63, np.uint64(0x0123456789AB), found)

    monkeypatch.setattr(stored_parcels, "geometry_hash_numbers", numbers)
    assert 1 < (numbers(parcels) == 0x0123456789AB).sum() < len(parcels)
    expected = extract_signals(scenes, parcels, ["ndvi"]).drop(columns="geom_hash")
    for _ in range(2):
        assert_same(signals(store, scenes, parcels, ["ndvi"]).drop(columns="geom_hash"), expected)


def test_a_new_index_of_known_bands_computes_only_itself(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    asked.clear()
    both = ("ndvi", "lswi", GNDVI)
    assert_same(signals(store, scenes, parcels, both), extract_signals(scenes, parcels, both))
    assert {index for _, _, index in asked.work} == {"gndvi"}


def test_a_new_index_with_a_new_band_computes_only_itself_where_the_band_has_values(tmp_path, parcels, store, asked):
    bands = made.numbers(3, cloud=0.1, gaps=False)
    made.write_scene(tmp_path / "scenes", bands=bands)
    scenes = open_scenes(tmp_path / "scenes")
    signals(store, scenes, parcels, ["ndvi"])
    asked.clear()
    assert_same(signals(store, scenes, parcels, ("ndvi", "lswi")), extract_signals(scenes, parcels, ["ndvi", "lswi"]))
    assert {index for _, _, index in asked.work} == {"lswi"}


def test_where_a_new_band_lacks_values_the_other_indices_are_computed_again(tmp_path, parcels, store, asked):
    bands = made.numbers(3, cloud=0.0, gaps=False)
    bands["B11"][:, :8] = 0
    made.write_scene(tmp_path / "scenes", bands=bands)
    scenes = open_scenes(tmp_path / "scenes")
    before = signals(store, scenes, parcels, ["ndvi"])
    asked.clear()
    expected = extract_signals(scenes, parcels, ["ndvi", "lswi"])
    assert_same(signals(store, scenes, parcels, ("ndvi", "lswi")), expected)
    weights = [table.set_index("parcel_id")["valid_weight"] for table in map(plain, (before, expected))]
    fewer = set(parcels["parcel_id"]) - set(weights[0].index[weights[0] == weights[1].reindex(weights[0].index)])
    assert 0 < len(fewer) < len(parcels)
    assert {parcel for _, parcel, index in asked.work if index == "ndvi"} == fewer
    asked.clear()
    assert_same(signals(store, scenes, parcels, ["ndvi"]), before)
    assert not asked, "what was asked for first is there as it was"


def test_a_changed_formula_computes_only_itself_and_a_changed_name_nothing(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels, ("ndvi", GNDVI))
    asked.clear()
    other = replace(GNDVI, formula="(nir - red) / (nir + 3 * red)")
    assert_same(signals(store, scenes, parcels, ("ndvi", other)), extract_signals(scenes, parcels, ("ndvi", other)))
    assert {index for _, _, index in asked.work} == {"gndvi"}
    narrow = replace(other, valid=(0.0, 0.3))
    asked.clear()
    assert_same(signals(store, scenes, parcels, ("ndvi", narrow)), extract_signals(scenes, parcels, ("ndvi", narrow)))
    assert {index for _, _, index in asked.work} == {"gndvi"}
    asked.clear()
    renamed = replace(narrow, name="mine")
    assert_same(signals(store, scenes, parcels, (renamed, "ndvi")), extract_signals(scenes, parcels, (renamed, "ndvi")))
    assert not asked


@pytest.mark.parametrize("mask", [{"mask_classes": SCL_MASKED[1:]}, {"mask_dilate_m": 60.0}, {"mask_classes": ()}])
def test_a_changed_mask_computes_anew_and_the_old_one_stays(folder, parcels, store, asked, mask):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    asked.clear()
    expected = extract_signals(scenes, parcels, ["ndvi", "lswi"], **mask)
    assert_same(signals(store, scenes, parcels, **mask), expected)
    assert {scene for scene, _, _ in asked.work} == {scene.scene_id for scene in scenes}
    asked.clear()
    assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))
    assert not asked


POOL = ("ndvi", "lswi", "ndre", "evi", GNDVI)
CALL = st.tuples(
    st.sets(st.integers(0, 13), min_size=1),
    st.sets(st.integers(0, 2), min_size=1),
    st.lists(st.sampled_from(POOL), min_size=1, max_size=4, unique_by=str),
    st.sampled_from([20.0, 0.0]),
)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    target = tmp_path_factory.mktemp("three")
    for number, day in enumerate(DAYS[:2]):
        made.write_scene(target, day, number)
    made.write_scene(target, DAYS[1], 5, tile="48PXS", west=made.WEST + 140)
    return open_scenes(target)


@settings(max_examples=10)
@given(calls=st.lists(CALL, min_size=2, max_size=4))
def test_property_any_run_of_calls_gives_what_extracting_gives(three, tmp_path_factory, calls):
    store = SignalStore(tmp_path_factory.mktemp("store"))
    fields = made.fields(14)
    for rows, which, indices, dilate in calls:
        now, scenes = fields.iloc[sorted(rows)], [three[k] for k in sorted(which)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of parcels outside a tile
            try:
                expected = extract_signals(scenes, now, indices, mask_dilate_m=dilate)
            except NoDataError:
                with pytest.raises(NoDataError):
                    signals(store, scenes, now, indices, mask_dilate_m=dilate)
                continue
            assert_same(signals(store, scenes, now, indices, mask_dilate_m=dilate), expected)


# -------------------------------------------------------------------------------------------------- versions of a scene
def test_a_reprocessed_scene_adds_rows_known_from_the_day_it_was_seen(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    first = signals(store, scenes, parcels)
    old = plain(first)
    asked.clear()
    rewrite(folder, DAYS[2], 77)
    scenes = open_scenes(folder)
    table = plain(signals(store, scenes, parcels))
    assert {scene for scene, _, _ in asked.work} == {f"48PWS_{DAYS[2]}"}
    assert_same(table.loc[table["known_at"] < SEEN].reset_index(drop=True), old)
    late = table.loc[table["known_at"] == SEEN].drop(columns="known_at").reset_index(drop=True)
    anew = plain(extract_signals([s for s in scenes if s.scene_id == f"48PWS_{DAYS[2]}"], parcels, ["ndvi", "lswi"]))
    assert_same(late.assign(known_at=anew["known_at"])[anew.columns], anew)
    versions = Versions(signals(store, scenes, parcels), SIGNAL_KEY)
    before = plain(versions.at(pd.Timestamp(SEEN) - pd.Timedelta(days=1)).reset_index(drop=True))
    assert_same(before, old)
    now = plain(versions.at(pd.Timestamp(SEEN)))
    assert set(now.loc[now["date"] == "2024-01-15", "known_at"]) <= {pd.Timestamp(SEEN), pd.Timestamp("2024-01-16")}
    both = set(late["parcel_id"])
    assert (now.loc[(now["date"] == "2024-01-15") & now["parcel_id"].isin(both), "known_at"] == SEEN).all()
    assert not now.duplicated(["parcel_id", "date"]).any()


def test_a_parcel_drawn_after_a_scene_was_reprocessed_has_its_history(folder, parcels, store):
    signals(store, open_scenes(folder), parcels.iloc[:-1])
    rewrite(folder, DAYS[2], 77)
    table = plain(signals(store, open_scenes(folder), parcels))
    own = table.loc[(table["parcel_id"] == parcels["parcel_id"].iloc[-1]) & (table["date"] == "2024-01-15")]
    assert own["known_at"].tolist() == [pd.Timestamp("2024-01-16")]


def test_a_scene_fetched_again_for_more_land_leaves_the_rows_of_old_parcels_as_they_were(tmp_path, store):
    def west_of(values):
        out = values.copy()
        out[:, values.shape[1] // 2 :] = 0
        return out

    whole = made.numbers(3, cloud=0.05)
    made.write_scene(tmp_path / "in", bands={code: west_of(values) for code, values in whole.items()})
    fields = made.fields(14)
    old = fields[fields.bounds.maxx < made.WEST + 10 * made.COLS - 40].reset_index(drop=True)
    first = plain(store.signals(open_scenes(tmp_path / "in"), old, ["ndvi", "lswi"], seen="2024-01-20"))
    assert 3 < len(first) < len(fields)
    made.write_scene(tmp_path / "in", bands=whole)
    table = plain(store.signals(open_scenes(tmp_path / "in"), fields, ["ndvi", "lswi"], seen="2024-03-20"))
    assert not table.duplicated(["parcel_id", "date"]).any()
    assert len(table) > len(first)
    assert_same(table[table["parcel_id"].isin(old["parcel_id"])].reset_index(drop=True), first)
    # and one of whose pixels are others has both
    whole["B08"][: 2 * made.ROWS, : made.COLS // 3] += 50
    made.write_scene(tmp_path / "in", bands=whole)
    table = plain(store.signals(open_scenes(tmp_path / "in"), fields, ["ndvi", "lswi"], seen="2024-03-27"))
    twice = set(table.loc[table.duplicated(["parcel_id", "date"]), "parcel_id"])
    assert 0 < len(twice) < len(old)
    changed = fields.set_index("parcel_id").bounds.minx < made.WEST + 10 * (made.COLS // 3)
    assert twice <= set(changed[changed].index)


def test_an_older_file_that_comes_back_is_the_newest_again(folder, parcels, store):
    shutil.copytree(folder, folder.with_name("backup"))
    scenes = open_scenes(folder)
    first = plain(signals(store, scenes, parcels))
    rewrite(folder, DAYS[2], 77)
    store.signals(open_scenes(folder), parcels, ["ndvi", "lswi"], seen="2024-03-04")
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("backup"), folder)
    table = store.signals(open_scenes(folder), parcels, ["ndvi", "lswi"], seen="2024-03-11")
    schema.check_signals(table)
    now = plain(Versions(table, SIGNAL_KEY).at(pd.Timestamp("2024-03-11")).reset_index(drop=True))
    shared = first.merge(now, on=["parcel_id", "date"], suffixes=("", "_now"))
    assert len(shared) == len(first)
    np.testing.assert_array_equal(shared["ndvi_mean"], shared["ndvi_mean_now"])


def test_two_versions_seen_on_one_day_leave_the_newer(folder, parcels, store):
    signals(store, open_scenes(folder), parcels)
    for seed in (77, 78):
        rewrite(folder, DAYS[2], seed)
        table = signals(store, open_scenes(folder), parcels)
    schema.check_signals(table)
    late = plain(table).loc[lambda t: t["known_at"] == SEEN].reset_index(drop=True)
    scenes = [s for s in open_scenes(folder) if s.scene_id == f"48PWS_{DAYS[2]}"]
    anew = plain(extract_signals(scenes, parcels, ["ndvi", "lswi"])).merge(late[["parcel_id"]])
    np.testing.assert_array_equal(late.merge(anew[["parcel_id"]])["ndvi_mean"], anew["ndvi_mean"])


def test_a_corrected_scale_is_no_new_version(tmp_path, parcels, store):
    made.write_scene(tmp_path / "scenes", scale=None)
    for offset in (0.0, -0.1):
        scenes = open_scenes(tmp_path / "scenes", scale=1e-4, offset=offset)
        assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))


def test_a_band_that_is_fetched_later_is_no_new_version(folder, parcels, store):
    hidden = folder / f"48PWS_{DAYS[0]}" / f"48PWS_{DAYS[0]}_B11.tif"
    hidden.rename(folder.parent / "kept.tif")
    signals(store, open_scenes(folder), parcels, ["ndvi"])
    (folder.parent / "kept.tif").rename(hidden)
    scenes = open_scenes(folder)
    assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))


def test_what_was_measured_stays_and_what_was_assumed_follows_the_config(folder, parcels, store):
    first, *others = open_scenes(folder)
    seen = replace(first, known_at=pd.Timestamp("2024-02-01"), known_at_basis="measured")
    signals(store, [seen, *others], parcels)
    later = open_scenes(folder, latency_days=4)
    table = plain(signals(store, later, parcels))
    assert set(table.loc[table["scene_id"] == first.scene_id, "known_at"]) == {pd.Timestamp("2024-02-01")}
    rest = table.loc[table["scene_id"] != first.scene_id]
    assert (rest["known_at"] - rest["date"] == pd.Timedelta(days=4)).all()


# ------------------------------------------------------------------------------------------------- hashes of the files
def settle(folder):
    """Let files look as if they had been there for a while."""
    for file in folder.rglob("*.*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))


def test_a_file_is_hashed_once(folder, parcels, store, monkeypatch):
    settle(folder)
    hashed = []
    sha256_file = _contents.sha256_file
    monkeypatch.setattr(_contents, "sha256_file", lambda path: hashed.append(path) or sha256_file(path))
    signals(store, open_scenes(folder), parcels)
    assert sorted(set(hashed)) == sorted(hashed)
    assert len(hashed) == 5 * 4, "red, nir, swir1 and the classification of five scenes"
    hashed.clear()
    signals(store, open_scenes(folder), parcels)
    assert not hashed
    victim = next(folder.rglob("*B08.tif"))
    os.utime(victim)
    signals(store, open_scenes(folder), parcels)
    assert hashed == [victim]


def test_a_file_just_written_is_looked_at_again_even_under_the_same_stamp(folder, parcels, store):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    victim = folder / f"48PWS_{DAYS[0]}" / f"48PWS_{DAYS[0]}_B08.tif"
    stamp = victim.stat()
    with rasterio.open(victim, "r+") as dst:
        dst.write(np.roll(dst.read(1), 3, axis=1), 1)
    os.utime(victim, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    update = store.update(open_scenes(folder), parcels, ["ndvi", "lswi"], seen=SEEN)
    assert update.read == 1


def test_touched_or_moved_files_compute_nothing(folder, parcels, store, asked):
    signals(store, open_scenes(folder), parcels)
    asked.clear()
    moved = folder.rename(folder.with_name("moved"))
    settle(moved)
    signals(store, open_scenes(moved), parcels)
    assert not asked


def grow(source, target, steps, chunk=None):
    """Write the first ``steps`` of a cube."""
    target.parent.mkdir(exist_ok=True)
    with xr.open_dataset(source, mask_and_scale=False) as cube:
        part = cube.isel({cube["B04" if "B04" in cube else "B8A"].dims[0]: slice(0, steps)}).load()
    for name in part.variables:
        part[name].encoding = (
            {} if chunk is None or part[name].ndim != 3 else {"chunksizes": (chunk, *part[name].shape[1:])}
        )
    target.unlink(missing_ok=True)
    part.to_netcdf(target)


@pytest.mark.parametrize("chunk", [None, 4])
def test_a_cube_that_grows_computes_only_its_new_steps(shared_data, tmp_path, store, asked, chunk):
    square = flanders.SQUARES[0]
    fields = flanders.square_parcels(shared_data, square)
    for steps in (6, 8):
        for kind in ("S2_L2A_10m", "S2_L2A_20m"):
            grow(flanders.square_file(shared_data, square, kind), tmp_path / "cubes" / f"{kind}.nc", steps, chunk)
        scenes = open_scenes(tmp_path / "cubes")
        asked.clear()
        assert_same(signals(store, scenes, fields), extract_signals(scenes, fields, ["ndvi", "lswi"]))
        assert len(scenes) == steps
        assert len({scene for scene, _, _ in asked.work}) == (6 if steps == 6 else 2)


# ------------------------------------------------------------------------------------------------------- planted faults
def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def empty(path):
    path.write_bytes(b"")


def flip_values(path):
    raw = bytearray(path.read_bytes())
    group = pq.read_metadata(path).row_group(0)
    column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "valid_weight")
    raw[column.data_page_offset + column.total_compressed_size - 3] ^= 0x01
    path.write_bytes(raw)


def flip_head(path):
    raw = bytearray(path.read_bytes())
    at = bytes(raw).index(b'"version": 1')
    raw[at + 11] = ord("7")
    path.write_bytes(raw)


@pytest.mark.parametrize("harm", [cut, empty, flip_values, flip_head])
def test_a_damaged_part_is_named_and_computed_anew(folder, parcels, store, asked, harm):
    scenes = open_scenes(folder)
    expected = signals(store, scenes, parcels)
    asked.clear()
    victim = parts(store)[2]
    whole = victim.read_bytes()
    harm(victim)
    with pytest.warns(DataWarning, match=rf"{victim.name} is damaged .*computed anew"):
        assert_same(signals(store, scenes, parcels), expected)
    assert len({scene for scene, _, _ in asked.work}) == 1
    assert victim.read_bytes() == whole
    assert_same(signals(store, scenes, parcels), expected)


def test_every_byte_of_a_part_is_guarded(tmp_path, parcels, store):
    """A flipped bit anywhere is found, or changes nothing that is read."""
    made.write_scene(tmp_path / "scenes")
    scenes = open_scenes(tmp_path / "scenes")
    expected = signals(store, scenes, parcels.iloc[:3], ["ndvi"])
    [victim] = parts(store)
    whole = victim.read_bytes()
    found = 0
    for at in range(4, len(whole), 101):
        victim.write_bytes(whole[:at] + bytes([whole[at] ^ 0x04]) + whole[at + 1 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert_same(signals(store, scenes, parcels.iloc[:3], ["ndvi"]), expected)
        found += any("damaged" in str(w.message) for w in said)
        for other in parts(store):
            other.unlink()
        victim.write_bytes(whole)
    assert found > 10


def test_reading_alone_names_the_damaged_part(folder, parcels, store):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    cut(parts(store)[0])
    with pytest.raises(SourceError, match="damaged"):
        store.read(scenes, parcels, ["ndvi", "lswi"])


@pytest.mark.parametrize("name", ["contents.json"])
@pytest.mark.parametrize("text", ["", "{", '{"geometry": 3}', "[1]"])
def test_a_lost_memory_costs_nothing_but_time(folder, parcels, store, asked, name, text):
    settle(folder)
    scenes = open_scenes(folder)
    expected = signals(store, scenes, parcels)
    asked.clear()
    (store.folder / name).write_text(text)
    assert_same(signals(store, scenes, parcels), expected)
    assert not asked


def test_an_undecodable_scene_is_named_each_time_and_read_once_it_is_mended(folder, parcels, store):
    victim = folder / f"48PWS_{DAYS[0]}" / f"48PWS_{DAYS[0]}_B08.tif"
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) * 2 // 3])
    scenes = open_scenes(folder)
    for _ in range(2):
        with pytest.warns(DataWarning, match=f"48PWS_{DAYS[0]}: left out"):
            table = signals(store, scenes, parcels)
        assert_same(table, extract_signals(scenes[1:], parcels, ["ndvi", "lswi"]))
    victim.write_bytes(whole)
    scenes = open_scenes(folder)
    assert_same(signals(store, scenes, parcels), extract_signals(scenes, parcels, ["ndvi", "lswi"]))


def test_warnings_do_not_depend_on_what_is_stored(folder, parcels, store):
    (folder / f"48PWS_{DAYS[0]}" / f"48PWS_{DAYS[0]}_B11.tif").unlink()
    far = gpd.GeoDataFrame({"parcel_id": ["far"]}, geometry=[shapely.box(7e5, 1e6, 7e5 + 50, 1e6 + 50)], crs=made.CRS)
    fields = pd.concat([parcels, far], ignore_index=True)
    said = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            signals(store, open_scenes(folder), fields)
        said.append([str(w.message) for w in caught])
    assert said[0] == said[1]
    assert len(said[0]) == 2
    assert "swir1" in said[0][0]
    assert "1 parcels lie outside the imagery and have no signals: far" in said[0][1]


def test_no_usable_scene_and_no_parcel_inside_are_errors(folder, parcels, store):
    scenes = open_scenes(folder)
    with pytest.raises(NoDataError, match="none of the 14 parcels lies in the imagery"):
        signals(store, scenes, parcels.set_geometry(parcels.translate(5e5, 0)))
    bare = [replace(s, bands={k: v for k, v in s.bands.items() if k != "red"}) for s in scenes]
    with pytest.warns(DataWarning, match="no band red"), pytest.raises(NoDataError, match="none of 5 scenes"):
        signals(store, bare, parcels)


# --------------------------------------------------------------------------------------- killed, and read all the while
CHILD = """
import sys, time
sys.path[:0] = sys.argv[3:]
import scenes as made
from rs_forecast.sources.local import open_scenes
from rs_forecast.store import SignalStore, fill
write = fill.write_part
def slowly(*args):
    part = write(*args)
    print("wrote", flush=True)
    time.sleep(0.2)
    return part
fill.write_part = slowly
store = SignalStore(sys.argv[2])
store.update(open_scenes(sys.argv[1]), made.fields(14), ["ndvi", "lswi"], seen="2024-03-04", threads=1)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("after", [2])
def test_a_killed_update_is_taken_up_where_it_ended(folder, parcels, store, tmp_path, asked, after):
    undisturbed = SignalStore(tmp_path / "undisturbed")
    scenes = open_scenes(folder)
    expected = signals(undisturbed, scenes, parcels)
    root = Path(__file__).resolve().parent
    command = [sys.executable, "-c", CHILD, str(folder), str(store.folder), str(root), str(root.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(after):
            assert child.stdout.readline().strip() == "wrote"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert 0 < len(parts(store)) < 5
    asked.clear()
    left = {scene.scene_id for scene in scenes}
    assert_same(signals(store, scenes, parcels), expected)
    assert {scene for scene, _, _ in asked.work} < left
    assert [p.relative_to(store.folder) for p in parts(store)] == [
        p.relative_to(undisturbed.folder) for p in parts(undisturbed)
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(parts(store), parts(undisturbed), strict=True))


def test_unfinished_files_are_passed_over_and_swept_when_old(folder, parcels, store):
    scenes = open_scenes(folder)
    expected = signals(store, scenes, parcels)
    stage = parts(store)[0].with_name(f".{parts(store)[0].name}.new-abc")
    stage.write_bytes(b"half")
    assert_same(signals(store, scenes, parcels), expected)
    assert stage.exists(), "another process may be writing it"
    os.utime(stage, (time.time() - 1e6,) * 2)
    signals(store, scenes, parcels)
    assert not stage.exists()


def test_a_reader_sees_whole_scenes_while_another_writes(folder, parcels, store):
    scenes = open_scenes(folder)
    seen = []

    def look(done, total):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of scenes that are not there yet
            table = SignalStore(store.folder).read(scenes, parcels, ["ndvi"])
            whole = extract_signals(scenes[:done], parcels, ["ndvi"])
        assert_same(table, whole)
        seen.append(len(table))

    store.update(scenes, parcels, ["ndvi"], seen=SEEN, progress=look)
    assert seen == sorted(seen)
    assert len(seen) == 5


def test_the_store_never_rewrites_a_part(folder, parcels, store):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels)
    before = {path: path.read_bytes() for path in parts(store)}
    rewrite(folder, DAYS[2], 77)
    signals(store, open_scenes(folder), made.fields(20), ("ndvi", "lswi", "evi"))
    assert before.items() <= {path: path.read_bytes() for path in parts(store)}.items()


def test_a_part_can_be_read_by_anyone(folder, parcels, store):
    signals(store, open_scenes(folder), parcels)
    table = pd.read_parquet(parts(store)[0])
    assert {"parcel_id", "date", "known_at", "geom_hash", "valid_weight", "ndvi_mean"} <= set(table.columns)
    assert table["parcel_id"].tolist() == sorted(parcels["parcel_id"])
    assert table["ndvi_mean"].dtype == np.float32
    assert table.set_index("parcel_id")["geom_hash"].to_dict() == dict(
        zip(parcels["parcel_id"], geometry_hashes(parcels), strict=True)
    )


def test_indices_of_the_catalogue_are_named_by_text_or_row(folder, parcels, store, asked):
    scenes = open_scenes(folder)
    signals(store, scenes, parcels, ["ndvi"])
    asked.clear()
    signals(store, scenes, parcels, [INDICES["ndvi"]])
    assert not asked


def test_warnings_are_silenced_on_the_callers_thread_alone(tmp_path, folder, parcels, silencing):
    store, scenes = SignalStore(tmp_path / "store"), open_scenes(folder)
    signals(store, scenes, parcels)
    silencing.clear()
    assert len(signals(store, scenes, parcels)) > 0
    assert silencing <= {threading.current_thread()}
