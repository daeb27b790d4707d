"""The store of downloaded scenes: whole or not there, whatever happens to the process, the disk or the provider."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scenes as made
from filelock import FileLock
from flanders import SQUARES, square_file
from provider import Fake, order, pixels

from rs_forecast.errors import BusyError, DataWarning, NoDataError, OutputError, SourceError
from rs_forecast.signals import extract_signals
from rs_forecast.sources._archive_record import read_record, write_record
from rs_forecast.sources._blocks import read_reflectance
from rs_forecast.sources._plausible import class_medians, implausible
from rs_forecast.sources.archive import SceneArchive, open_archive
from rs_forecast.sources.local import open_scenes
from rs_forecast.sources.scene import scenes_table
from rs_forecast.store import SignalStore
from rs_forecast.workspace import sha256_text

ROOT = Path(__file__).resolve().parents[1]
SEEN = "2026-03-02"


def orders(count, **how):
    return [order(number, **how) for number in range(count)]


def fill(folder, count=3, download=None, **how):
    return SceneArchive(folder).obtain(orders(count), download or Fake(), **{"seen": SEEN, **how})


def contents(folder):
    """Return the bytes of everything that a reader may see."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file()]
    seen = {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}
    return {name: data for name, data in seen.items() if not name.startswith(".") and not name.endswith("/used")}


def age(folder, days):
    """Make all scenes of a store look as opened some days ago."""
    for file in folder.glob("*/used"):
        os.utime(file, (time.time() - days * 86_400,) * 2)


def folder_of(folder, number):
    (found,) = folder.glob(f"{order(number).scene_id}-*")
    return found


# ---------------------------------------------------------------------------------------------------------- one call
def test_a_scene_is_stored_with_all_that_the_table_of_scenes_says(tmp_path):
    done = fill(tmp_path, 2)
    assert done.new == tuple(o.scene_id for o in orders(2))
    assert done.bytes == sum(f.stat().st_size for f in tmp_path.glob("*/*.tif")) > 0
    scenes = open_archive(tmp_path)
    table = scenes_table(scenes, files=True)
    row = table.iloc[1]
    assert (row["scene_id"], row["tile"], row["provider"], row["baseline"]) == (
        order(1).scene_id, "48PWS", "fake", "05.10",
    )  # fmt: skip
    assert (row["date"], row["state"], row["bands"]) == (order(1).date, "ok", "nir red scl")
    assert (row["red_scale"], row["red_offset"], row["red_nodata"], row["red_resolution"]) == (1e-4, -0.1, 0.0, 10.0)
    assert (row["scl_scale"], row["scl_offset"], row["scl_resolution"]) == (1.0, 0.0, 20.0)
    assert row["red_href"] == str(folder_of(tmp_path, 1) / "B04.tif")
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert table["sha256"].is_unique
    assert all(scene.synthetic for scene in scenes)


def test_the_pixels_are_those_that_were_downloaded(tmp_path):
    fill(tmp_path, 1)
    (scene,) = open_archive(tmp_path)
    grid = scene.bands["nir"].geobox
    rows, cols = (a.ravel() for a in np.indices(grid.shape))
    expected = pixels(order(0), "nir") * 1e-4 - 0.1
    np.testing.assert_allclose(
        read_reflectance(scene.bands["nir"], grid, rows, cols).reshape(grid.shape), expected, atol=1e-6
    )


def test_what_is_there_is_not_downloaded_again(tmp_path):
    fill(tmp_path, 2)
    fake = Fake()
    done = fill(tmp_path, 3, fake)
    assert done.kept == tuple(o.scene_id for o in orders(2))
    assert done.new == (order(2).scene_id,)
    assert len(fake.written) == 3
    fewer = SceneArchive(tmp_path).obtain([order(0, bands=("red", "scl"))], fake, seen=SEEN)
    assert fewer.kept == (order(0).scene_id,)
    more = SceneArchive(tmp_path).states([order(0, footprint="another")])
    assert [state for _, state in more] == ["missing"]


def test_an_empty_store_says_what_to_do(tmp_path):
    with pytest.raises(NoDataError, match="call rs-forecast fetch first"):
        open_archive(tmp_path / "nothing")


def test_start_and_end_are_both_included(tmp_path):
    fill(tmp_path, 4)
    found = open_archive(tmp_path, start=order(1).date, end=order(2).date)
    assert [s.date for s in found] == [order(1).date, order(2).date]


@pytest.mark.parametrize(
    ("seen", "latency", "known_at", "basis"),
    [
        ("2024-01-01", 1, "2024-01-01", "measured"),
        ("2024-01-09", 1, "2024-01-09", "measured"),
        ("2024-01-11", 1, "2024-01-11", "measured"),
        ("2024-01-12", 1, "2024-01-02", "assumed"),
        ("2026-03-02", 3, "2024-01-04", "assumed"),
        ("2024-01-12", 30, "2024-01-12", "assumed"),
        ("2023-12-31", 1, "2024-01-01", "measured"),
    ],
)
def test_known_at_is_measured_only_while_somebody_was_watching(tmp_path, seen, latency, known_at, basis):
    fill(tmp_path, 1, seen=seen, latency_days=latency)
    (scene,) = open_archive(tmp_path, latency_days=latency)
    assert (f"{scene.known_at:%Y-%m-%d}", scene.known_at_basis) == (known_at, basis)


# ------------------------------------------------------------------------------------------------------------ faults
def test_one_scene_that_cannot_be_had_does_not_stop_the_others(tmp_path):
    def gone(asked, folder):
        if asked.detail["number"] == 1:
            raise SourceError("404: it is gone")

    done = fill(tmp_path, 3, Fake(before=gone))
    assert done.failed == {order(1).scene_id: "404: it is gone"}
    assert len(done.new) == 2
    assert len(open_archive(tmp_path)) == 2


def test_after_a_provider_says_later_nothing_new_begins_and_what_runs_ends(tmp_path):
    running, told = threading.Event(), threading.Event()

    def busy(asked, folder):
        number = asked.detail["number"]
        if number == 0:  # under way when another is put off
            running.set()
            assert told.wait(20)
        if number == 1:
            assert running.wait(20)
            told.set()
            raise BusyError("429 until tomorrow")

    fake = Fake(before=busy)
    done = fill(tmp_path, 6, fake, workers=2)
    assert done.new[:1] == (order(0).scene_id,)
    assert done.later[order(1).scene_id] == "429 until tomorrow"
    assert {*done.new, *done.later} == {o.scene_id for o in orders(6)}
    assert all("not begun" in said for name, said in done.later.items() if name != order(1).scene_id)
    assert fill(tmp_path, 6).new == tuple(sorted(done.later))


def test_a_band_that_was_finished_before_the_provider_put_us_off_is_kept(tmp_path):
    def half(asked, folder):
        Fake()(replace(asked, bands=("red",)), folder)
        (folder / "B08.part").write_bytes(b"half")
        raise BusyError("later")

    assert fill(tmp_path, 1, Fake(before=half)).later
    fake = Fake()
    fill(tmp_path, 1, fake)
    assert [name.split("/")[1] for name in fake.written] == ["B08.tif", "SCL.tif"]
    fill(tmp_path / "undisturbed", 1)
    assert contents(folder_of(tmp_path, 0)) == contents(folder_of(tmp_path / "undisturbed", 0))


def spoil(what):
    """Return a hook that spoils the first scene after it was written."""

    def act(asked, folder):
        if asked.detail["number"]:
            return
        Fake()(asked, folder)
        red = folder / "B04.tif"
        data = red.read_bytes()
        if what == "missing":
            red.unlink()
        elif what == "truncated":
            red.write_bytes(data[: len(data) * 2 // 3])
        elif what == "another format":
            red.write_bytes(b"<html>503</html>")
        elif what == "flipped":
            middle = len(data) * 3 // 4
            red.write_bytes(data[:middle] + bytes(255 - b for b in data[middle : middle + 64]) + data[middle + 64 :])
        elif what == "no scale":
            made.write_band(red, pixels(asked, "red"), 10)
        elif what == "degrees":
            made.write_band(red, pixels(asked, "red"), 0.001, west=105.0, north=10.0, crs="EPSG:4326", scale=1e-4)
        elif what == "shifted":
            made.write_band(red, pixels(asked, "red"), 10, west=made.WEST + 3, scale=1e-4)
        elif what == "link":
            red.rename(folder.parent / "elsewhere.tif")
            red.symlink_to(folder.parent / "elsewhere.tif")

    return act


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "B04.tif: the provider has not written it"),
        ("truncated", "B04.tif"),
        ("another format", "cannot be opened as GeoTIFF"),
        ("flipped", "B04.tif: is damaged"),
        ("no scale", "declares no scale"),
        ("degrees", "CRS"),
        ("shifted", "do not nest"),
        ("link", "B04.tif: the provider has not written it"),
    ],
)
def test_files_that_are_not_right_never_become_a_scene(tmp_path, what, said):
    def keep(asked, folder):
        if asked.detail["number"]:
            Fake()(asked, folder)
        else:
            spoil(what)(asked, folder)

    done = SceneArchive(tmp_path).obtain(orders(2), keep, seen=SEEN)
    assert done.new == (order(1).scene_id,)
    assert said in done.failed[order(0).scene_id]
    assert [s.scene_id for s in open_archive(tmp_path)] == [order(1).scene_id]
    assert fill(tmp_path, 2).new == (order(0).scene_id,)  # the bad file is not taken for a finished one
    fill(tmp_path / "undisturbed", 1)
    assert contents(folder_of(tmp_path, 0)) == contents(folder_of(tmp_path / "undisturbed", 0))


def test_a_full_disk_leaves_nothing_half_written_and_keeps_what_is_whole(tmp_path):
    def full(asked, folder):
        if asked.detail["number"] == 2:
            (folder / "B04.part").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    done = fill(tmp_path, 5, Fake(before=full), workers=1)
    assert done.new == tuple(o.scene_id for o in orders(2))
    assert list(done.unwritten) == [o.scene_id for o in orders(5)[2:]]
    assert "No space left" in done.unwritten[order(2).scene_id]
    assert "not begun" in done.unwritten[order(4).scene_id]
    assert done.later == {}
    assert "full, or a quota used up: 3 scenes are missing, for which about 0.0 MB are needed, and " in done.shortage
    assert [s.scene_id for s in open_archive(tmp_path)] == [o.scene_id for o in orders(2)]
    assert not list(tmp_path.rglob("*.part"))
    fill(tmp_path, 5)
    fill(tmp_path / "undisturbed", 5)
    shown = contents(tmp_path / "undisturbed")
    shutil.rmtree(tmp_path / "undisturbed")
    assert contents(tmp_path) == shown


def test_a_full_disk_at_the_commit_leaves_nothing_half_written(tmp_path, monkeypatch):
    rename = Path.rename

    def failing(self, to):
        if self.name.endswith(".new-part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    assert "No space left" in fill(tmp_path, 1).unwritten[order(0).scene_id]
    monkeypatch.undo()
    assert contents(tmp_path) == {}
    fake = Fake()
    assert fill(tmp_path, 1, fake).new
    assert fake.written == []  # all was there but for the name


def test_a_store_that_cannot_be_written_for_another_reason_says_which(tmp_path):
    def refused(asked, folder):
        raise OutputError("it is somebody else's")

    done = fill(tmp_path, 2, Fake(before=refused), workers=1)
    assert done.shortage.startswith("the store cannot be written: it is somebody else's. 2 scenes are missing")


def test_an_error_in_the_program_is_not_swallowed(tmp_path):
    def wrong(asked, folder):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill(tmp_path, 3, Fake(before=wrong))


def test_a_damaged_file_is_named_left_out_and_downloaded_again_alone(tmp_path):
    fill(tmp_path)
    before = contents(tmp_path)
    red = folder_of(tmp_path, 1) / "B04.tif"
    data = bytearray(red.read_bytes())
    data[len(data) // 2] ^= 255
    red.write_bytes(data)
    (folder_of(tmp_path, 2) / "SCL.tif").unlink()
    with pytest.warns(DataWarning) as told:
        assert [s.scene_id for s in open_archive(tmp_path)] == [order(0).scene_id]
    assert sorted(str(w.message).split(":")[0] for w in told) == [f"scene {order(n).scene_id}" for n in (1, 2)]
    fake = Fake()
    done = fill(tmp_path, 3, fake)
    assert done.new == (order(1).scene_id, order(2).scene_id)
    assert sorted(fake.written) == [f"{order(1).scene_id}/B04.tif", f"{order(2).scene_id}/SCL.tif"]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{}", '{"scene_id": 3}', "[1]"])
def test_a_damaged_record_is_named_and_the_scene_downloaded_again(tmp_path, text):
    fill(tmp_path)
    before = contents(tmp_path)
    (folder_of(tmp_path, 0) / "scene.json").write_text(text)
    with pytest.warns(DataWarning, match=order(0).scene_id):
        assert len(open_archive(tmp_path)) == 2
    with pytest.warns(DataWarning, match=order(0).scene_id):
        assert fill(tmp_path).new == (order(0).scene_id,)
    assert contents(tmp_path) == before


CHANGES = {
    "another offset": lambda record: record["bands"]["red"].update(offset=0.0),
    "another scale": lambda record: record["bands"]["red"].update(scale=2e-4),
    "known before its overpass": lambda record: record.update(known_at="1999-01-01"),
    "another scene": lambda record: record.update(scene_id="S2_48PWS_20240106"),
    "not synthetic": lambda record: record.update(synthetic=not record["synthetic"]),
}
SPOILED = {
    "a file elsewhere": lambda record: record["bands"]["red"].update(href="../../secret.tif"),
    "no CRS": lambda record: record.update(crs=""),
    "another CRS": lambda record: record.update(crs="garbage"),
    "no tile": lambda record: record.update(tile=None),
    "a scale of letters": lambda record: record["bands"]["red"].update(scale="x"),
    "a scale of nothing": lambda record: record["bands"]["red"].update(scale=0),
    "an endless offset": lambda record: record["bands"]["red"].update(offset=float("inf")),
    "a short transform": lambda record: record["bands"]["red"].update(transform=[10, 0, 0]),
    "a key more": lambda record: record.update(folder="/"),
}


@pytest.mark.parametrize("change", [*CHANGES.values(), *SPOILED.values()], ids=[*CHANGES, *SPOILED])
def test_a_record_changed_by_hand_is_refused(tmp_path, change):
    fill(tmp_path, 2)
    file = folder_of(tmp_path, 0) / "scene.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    with pytest.warns(DataWarning, match="is no record of a scene|changed after it was written"):
        assert [scene.scene_id for scene in open_archive(tmp_path)] == [order(1).scene_id]


@pytest.mark.parametrize("change", SPOILED.values(), ids=SPOILED)
def test_a_record_made_up_with_its_seal_is_refused(tmp_path, change):
    fill(tmp_path, 2)
    file = folder_of(tmp_path, 0) / "scene.json"
    record = json.loads(file.read_text())
    del record["seal"]
    change(record)
    file.write_text(json.dumps({**record, "seal": sha256_text(json.dumps(record, sort_keys=True))}))
    with pytest.warns(DataWarning, match="is no record of a scene|changed after it was written"):
        assert [scene.scene_id for scene in open_archive(tmp_path)] == [order(1).scene_id]


# ----------------------------------------------------------------------------------------------- kills and company
def program(folder, **options):
    said = {"scenes": 12, "slow": 0.01, **options}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "provider.py"), str(folder), json.dumps(said)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )  # fmt: skip


def check_kills(tmp_path, scenes, kills, seed):
    draw = random.Random(seed)
    fill(tmp_path / "undisturbed", scenes)
    folder = tmp_path / "killed"
    began = 0
    for kill in range(kills):
        child = program(folder, scenes=scenes, slow=0.02)
        assert child.stdout.readline() == "ready\n"
        # at a random moment, but not before there is a little more than the time before
        due = scenes * (kill + draw.random()) / (kills + 1)
        limit = time.monotonic() + 30
        while len(list(folder.glob("[!.]*"))) < due and time.monotonic() < limit and child.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.05)
        began += child.poll() is None
        child.kill()
        child.wait()
        child.stdout.close()
        if list(folder.glob("[!.]*/scene.json")):
            whole = {s.scene_id for s in open_archive(folder)}  # pytest makes any warning an error
            assert whole == {f.name.rsplit("-", 1)[0] for f in folder.glob("[!.]*")}
    assert began == kills, "a fetch had ended before it was killed"
    fill(folder, scenes)
    assert contents(folder) == contents(tmp_path / "undisturbed")
    assert not list(folder.glob(".*.new-part"))


def test_a_fetch_killed_at_random_moments_ends_with_the_same_store(tmp_path):
    check_kills(tmp_path, scenes=5, kills=2, seed=4)


@pytest.mark.slow
def test_a_fetch_of_40_scenes_killed_ten_times_ends_with_the_same_store(tmp_path):
    check_kills(tmp_path, scenes=40, kills=10, seed=5)


def test_a_kill_between_the_two_renames_is_put_right(tmp_path):
    fill(tmp_path)
    before = contents(tmp_path)
    folder = folder_of(tmp_path, 1)
    shutil.copytree(folder, tmp_path / f".{folder.name}.new-part")
    folder.rename(tmp_path / f".{folder.name}.old-part")
    assert len(open_archive(tmp_path)) == 2
    assert fill(tmp_path).new == ()
    assert contents(tmp_path) == before


def test_two_processes_at_once_share_the_work_and_damage_nothing(tmp_path):
    pair = [program(tmp_path / "shared") for _ in range(2)]
    said = [json.loads(child.communicate(timeout=60)[0].splitlines()[1]) for child in pair]
    assert all(child.returncode == 0 for child in pair)
    new = [name for one in said for name in one["new"]]
    assert sorted(new) == [o.scene_id for o in orders(12)]  # each was downloaded once
    fill(tmp_path / "undisturbed", 12)
    assert contents(tmp_path / "shared") == contents(tmp_path / "undisturbed")


def test_a_store_that_stays_locked_is_busy(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(BusyError, match="another fetch works"):
        fill(tmp_path, wait_s=0.05)


# ----------------------------------------------------------------------------------------------------- new versions
def test_a_reprocessed_scene_is_another_version_and_history_stays_known(tmp_path):
    fill(tmp_path, 2)
    done = SceneArchive(tmp_path).obtain([order(0, version="2"), order(1)], Fake(), seen="2026-04-06")
    assert done.new == (order(0).scene_id,)
    assert len(list(tmp_path.glob(f"{order(0).scene_id}-*"))) == 2
    scene, _ = open_archive(tmp_path)
    assert (f"{scene.known_at:%Y-%m-%d}", scene.known_at_basis) == ("2024-01-02", "assumed")
    grid = scene.bands["red"].geobox
    rows, cols = (a.ravel() for a in np.indices(grid.shape))
    values = read_reflectance(scene.bands["red"], grid, rows, cols).reshape(grid.shape)
    np.testing.assert_allclose(values, pixels(order(0, version="2"), "red") * 1e-4 - 0.1, atol=1e-6)


def test_signals_of_a_reprocessed_scene_are_known_from_the_day_they_were_seen(tmp_path):
    parcels = made.fields(4)
    store = SignalStore(tmp_path / "signals")
    options = {"indices": ["ndvi"], "mask_classes": (9,)}
    fill(tmp_path / "scenes", 1, seen="2024-01-03")
    first = store.signals(open_archive(tmp_path / "scenes"), parcels, seen="2024-01-03", **options)
    SceneArchive(tmp_path / "scenes").obtain([order(0, version="2")], Fake(), seen="2024-05-06")
    both = store.signals(open_archive(tmp_path / "scenes"), parcels, seen="2024-05-06", **options)
    assert set(first["known_at"].dt.strftime("%Y-%m-%d")) == {"2024-01-03"}
    assert set(both["known_at"].dt.strftime("%Y-%m-%d")) == {"2024-01-03", "2024-05-06"}
    anew = SignalStore(tmp_path / "anew").signals(
        open_archive(tmp_path / "scenes"), parcels, seen="2024-05-06", **options
    )
    assert set(anew["known_at"].dt.strftime("%Y-%m-%d")) == {"2024-01-03"}  # history does not become unknowable


def test_of_two_orders_for_one_overpass_the_later_processing_counts(tmp_path):
    pair = [order(0, version="2"), order(0, version="1")]
    assert [o.version for o, _ in SceneArchive(tmp_path).states(pair)] == ["2"]
    older = [replace(order(0, version="3"), baseline="02.00"), order(0, version="1")]
    assert [o.baseline for o, _ in SceneArchive(tmp_path).states(older)] == ["05.10"]


def test_a_footprint_that_is_asked_for_again_is_the_newest_without_a_download(tmp_path):
    archive, fake = SceneArchive(tmp_path), Fake()
    for where in ("a", "b"):
        archive.obtain([order(0, footprint=where)], fake, seen=SEEN)
    assert len(fake.written) == 6
    archive.obtain([order(0, footprint="a")], fake, seen=SEEN)
    assert len(fake.written) == 6
    record = json.loads((open_archive(tmp_path)[0].bands["red"].file.parent / "scene.json").read_text())
    assert record["detail"]["footprint"] == "a"


# --------------------------------------------------------------------------------------------------------- eviction
def test_the_budget_takes_superseded_versions_first_then_what_was_opened_longest_ago(tmp_path):
    fill(tmp_path, 4)
    SceneArchive(tmp_path).obtain([order(3, version="2")], Fake(), seen=SEEN)
    size = sum(f.stat().st_size for f in tmp_path.glob("*/*.tif"))
    open_archive(tmp_path)
    age(tmp_path, 9)
    open_archive(tmp_path, end=order(0).date)  # the oldest day is in use
    budget = size * 0.55
    done = fill(tmp_path, 3, budget=budget)
    assert done.evicted == (order(3).scene_id, order(1).scene_id, order(2).scene_id)
    assert sum(f.stat().st_size for f in tmp_path.glob("*/*.tif")) <= budget
    assert [s.date for s in open_archive(tmp_path)] == [order(0).date, order(3).date]
    everything = open_archive(tmp_path, evicted=True)
    assert [s.state for s in everything] == ["ok", "evicted", "evicted", "ok"]


def test_what_was_evicted_is_downloaded_again_only_if_asked(tmp_path):
    fill(tmp_path)
    before = contents(tmp_path)
    open_archive(tmp_path)
    age(tmp_path, 2)
    with pytest.warns(DataWarning, match=r"budget_gb is 1e-09"):
        fill(tmp_path, 4, budget=1)  # the fourth was never opened, and stays
    assert len(open_archive(tmp_path)) == 1
    fake = Fake()
    done = fill(tmp_path, 3, fake)
    assert (done.new, fake.written) == ((), [])
    assert len(done.kept) == 3
    assert fill(tmp_path, 3, again=True).new == tuple(o.scene_id for o in orders(3))
    shutil.rmtree(folder_of(tmp_path, 3))
    assert contents(tmp_path) == before


def test_scenes_in_use_or_never_opened_are_not_evicted(tmp_path):
    fill(tmp_path, 2)
    with pytest.warns(DataWarning, match="opened within a day, or not yet at all"):
        assert fill(tmp_path, 2, budget=1).evicted == ()
    open_archive(tmp_path)
    with pytest.warns(DataWarning, match="opened within a day"):
        assert fill(tmp_path, 2, budget=1).evicted == ()
    assert len(open_archive(tmp_path)) == 2


def test_a_kill_in_the_middle_of_an_eviction_is_put_right(tmp_path):
    fill(tmp_path)
    folder = folder_of(tmp_path, 0)
    write_record(folder, replace(read_record(folder), state="evicted"))
    assert len(open_archive(tmp_path)) == 2
    fill(tmp_path)
    assert [f.name for f in folder_of(tmp_path, 0).iterdir()] == ["scene.json"]


def test_signals_computed_from_evicted_scenes_stay_usable(tmp_path):
    parcels = made.fields(4)
    store = SignalStore(tmp_path / "signals")
    options = {"indices": ["ndvi"], "mask_classes": (9,), "seen": SEEN}
    fill(tmp_path / "scenes", 3)
    before = store.signals(open_archive(tmp_path / "scenes"), parcels, **options)
    age(tmp_path / "scenes", 2)
    assert len(fill(tmp_path / "scenes", 3, budget=1).evicted) == 3
    after = store.signals(open_archive(tmp_path / "scenes", evicted=True), parcels, **options)
    pd.testing.assert_frame_equal(before, after)
    assert before["date"].nunique() == 3


# ----------------------------------------------------------------------------------------------------------- import
def test_a_store_filled_elsewhere_is_imported_with_its_days(tmp_path):
    fill(tmp_path / "theirs", 3, seen="2024-01-05")
    fill(tmp_path / "ours", 1)
    done = SceneArchive(tmp_path / "ours").import_archive(tmp_path / "theirs")
    assert done.new == (order(1).scene_id, order(2).scene_id)
    assert done.kept == (order(0).scene_id,)
    for number in (1, 2):
        assert contents(folder_of(tmp_path / "ours", number)) == contents(folder_of(tmp_path / "theirs", number))
    assert fill(tmp_path / "ours", 3).new == ()


def test_a_damaged_scene_of_another_store_is_not_imported(tmp_path):
    fill(tmp_path / "theirs", 2)
    (folder_of(tmp_path / "theirs", 0) / "B08.tif").write_bytes(b"other bytes")
    done = SceneArchive(tmp_path / "ours").import_archive(tmp_path / "theirs")
    assert done.new == (order(1).scene_id,)
    assert "is damaged" in done.failed[order(0).scene_id]
    assert [s.scene_id for s in open_archive(tmp_path / "ours")] == [order(1).scene_id]


def test_an_import_brings_no_older_processing_over_a_newer_one(tmp_path):
    fill(tmp_path / "theirs", 1)
    ours = SceneArchive(tmp_path / "ours")
    ours.obtain([order(0, version="2")], Fake(), seen=SEEN)
    assert ours.import_archive(tmp_path / "theirs").kept == (order(0).scene_id,)
    assert len(list((tmp_path / "ours").glob("[!.]*"))) == 1


def test_an_import_from_a_folder_without_scenes_says_so(tmp_path):
    with pytest.raises(NoDataError, match="holds no scene"):
        SceneArchive(tmp_path / "ours").import_archive(tmp_path)


# ------------------------------------------------------------------------------------------------------- quarantine
@pytest.mark.parametrize("wrong", [0.0, -0.2])
def test_a_scene_that_contradicts_its_offset_goes_into_quarantine(tmp_path, wrong):
    with pytest.warns(DataWarning, match="put in quarantine. reflectance is 0.1 too"):
        done = fill(tmp_path, 1, Fake(offset=wrong))
    assert order(0).scene_id in done.quarantined
    fill(tmp_path, 2)
    with pytest.warns(DataWarning, match="in quarantine, left out"):
        assert [s.scene_id for s in open_archive(tmp_path)] == [order(1).scene_id]
    assert fill(tmp_path, 2).new == ()
    assert fill(tmp_path, 2, again=True).new == (order(0).scene_id,)
    assert len(open_archive(tmp_path)) == 2


def test_real_scenes_are_plausible_and_shifted_ones_are_not(shared_data):
    told = {0.0: 0, 0.1: 0, -0.1: 0}
    count = 0
    for square in SQUARES:
        for scene in open_scenes([square_file(shared_data, square, f"S2_L2A_{n}m") for n in (10, 20)]):
            if not class_medians(scene):
                continue
            count += 1
            for shift in told:
                bands = {
                    name: band if name == "scl" else replace(band, offset=band.offset + shift)
                    for name, band in scene.bands.items()
                }
                told[shift] += bool(implausible(replace(scene, bands=bands)))
    assert count > 90
    assert told[0.0] == 0
    assert min(told[0.1], told[-0.1]) >= 0.9 * count


def test_haze_is_not_told(tmp_path):
    rng = np.random.default_rng(3)
    scl = np.full((24, 24), 4, np.uint8)
    hazy = {"B02": 1500, "B04": 1400, "B08": 3800, "B11": 1900, "B12": 1000}
    bands = {
        code: rng.integers(level - 50, level + 50, (24 * (20 // made.SIZE[code]),) * 2).astype(np.uint16)
        for code, level in hazy.items()
    }
    made.write_scene(tmp_path, bands={**bands, "SCL": scl})
    (scene,) = open_scenes(tmp_path)
    assert class_medians(scene)[4, "red"] > 0.12
    assert implausible(scene) == ""
    assert extract_signals([scene], made.fields(2), indices=["ndvi"])["ndvi_mean"].notna().all()


def test_warnings_are_silenced_on_the_callers_thread_alone(tmp_path, silencing):
    fill(tmp_path / "first", 1)
    silencing.clear()
    assert len(fill(tmp_path / "second", 3).new) == 3
    assert silencing <= {threading.current_thread()}
