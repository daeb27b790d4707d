"""A disk that is full in the middle of a fetch: a real one of 2 MB in memory, and writes that fail at every place."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
from hub_server import serving as hub_serving
from stac_server import publish
from stac_server import serving as stac_serving
from test_stac import squares

from rs_forecast.cli import main
from rs_forecast.sources.archive import SceneArchive, open_archive

DAYS = ["20240105", "20240110", "20240115"]
FIELDS = squares((100, 150), (9000, 8800))
OFFICE = """
[workspace]
dir = "disk"
[parcels]
path = "parcels.gpkg"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
[imagery]
indices = ["ndvi"]
workers = 1
"""


@pytest.fixture(params=["stac", "sentinelhub"])
def office(request, tmp_path, monkeypatch):
    """A project whose provider has three scenes; its workspace is the folder ``disk``."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "disk").mkdir()
    FIELDS.to_file(tmp_path / "parcels.gpkg")
    (tmp_path / "surveys.csv").write_text("parcel_id,date,pest,value,unit\n")
    with hub_serving() as hub, stac_serving() as api:
        hub.add(*DAYS)
        for day in DAYS:
            publish(api, day, codes=("B04", "B08", "SCL"))
        monkeypatch.setenv("SH_CLIENT_ID", hub.user)
        monkeypatch.setenv("SH_CLIENT_SECRET", hub.secret)
        where = {
            "stac": f'url = "{api.url}/stac"\ncollection = "sentinel-2-c1-l2a"\nallow_hosts = ["127.0.0.1"]\n',
            "sentinelhub": f'base_url = "{hub.url}"\ntoken_url = "{hub.url}/auth/token"\n',
        }
        source = f'source = "{request.param}"\n{where[request.param]}'
        (tmp_path / "office.toml").write_text(OFFICE + source)
        yield tmp_path


def fetch(office, capsys, code):
    """Fetch all, and return what the report says, and what was said beside."""
    with pytest.raises(SystemExit) as ended:
        main(["fetch", str(office / "office.toml"), "--start", "2024-01-01", "--end", "2024-01-31", "--json"])
    told = capsys.readouterr()
    assert ended.value.code == code, told.err
    return json.loads(told.out), told.err


def store(office):
    (folder,) = (office / "disk" / "data" / "scenes").iterdir()
    return folder


def held(folder):
    """Return the bytes of all that is in a store, unfinished things too."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in files if f.name not in {".lock", ".contents.json", "used"}
    }


def check_short(office, said, err):
    """Check a report of a full disk against what is there."""
    done = said["fetched"]
    assert said["status"] == "unwritten"
    assert done["unwritten"]
    assert len(done["new"]) + len(done["kept"]) + len(done["unwritten"]) == len(DAYS)
    assert done["failed"] == done["later"] == {}
    assert "the disk is full" in done["shortage"]
    assert f"error: {done['shortage']}" in err
    assert all(name.endswith((".tif", "scene.json")) for name in held(store(office)))
    whole = SceneArchive(store(office)).records()
    assert {record.scene_id for record in whole} == {*done["new"], *done["kept"]}
    if whole:
        for scene in open_archive(store(office)):
            for band in scene.bands.values():
                with rasterio.open(band.href) as src:
                    src.read()


# --------------------------------------------------------------------------------------------------------- a real disk
@pytest.fixture
def small(office):
    """Mount a disk of 2 MB of memory for the workspace."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root on Linux may mount a small disk")
    disk = office / "disk"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield office
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_fills_up_keeps_what_is_whole_and_the_rest_comes_when_there_is_room(small, capsys):
    ballast = small / "disk" / "ballast"
    fetch(small, capsys, code=0)
    undisturbed = held(store(small))
    scene = sum(map(len, undisturbed.values())) / len(DAYS)
    shutil.rmtree(store(small))
    kept, room = 0, 0.1
    while not kept:  # what is in the making takes room of its own
        ballast.unlink(missing_ok=True)
        ballast.write_bytes(bytes(int(shutil.disk_usage(small / "disk").free - room * scene)))
        room += 1
        said, err = fetch(small, capsys, code=1)
        check_short(small, said, err)
        assert len(said["fetched"]["kept"]) == kept
        kept += len(said["fetched"]["new"])
    assert 0 < kept < len(DAYS)
    ballast.unlink()
    said, _ = fetch(small, capsys, code=0)
    assert len(said["fetched"]["kept"]) == kept
    assert held(store(small)) == undisturbed


# --------------------------------------------------------------------------------- writes that fail, on any system
@pytest.mark.parametrize("name", ["B08.tif", "scene.json", "folder"])
def test_a_write_that_finds_no_room_is_said_and_the_rest_comes_later(office, capsys, monkeypatch, name):
    seen = []

    def full(move):
        def moved(self, target):
            wanted = self.name.endswith(".new-part") if name == "folder" else Path(target).name == name
            seen.extend([target] if wanted else [])
            if wanted and len(seen) > 1:  # the first scene is whole
                raise OSError(errno.ENOSPC, "No space left on device")
            return move(self, target)

        return moved

    with monkeypatch.context() as patch:
        for kind in ("replace", "rename"):
            patch.setattr(Path, kind, full(getattr(Path, kind)))
        said, err = fetch(office, capsys, code=1)
    check_short(office, said, err)
    assert len(said["fetched"]["new"]) == 1
    assert len(said["fetched"]["unwritten"]) == 2
    said, _ = fetch(office, capsys, code=0)
    assert len(said["fetched"]["new"]) == 2
    assert said["status"] == "complete"
