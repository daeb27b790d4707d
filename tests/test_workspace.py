from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rs_forecast.errors import BusyError, OutputError, SourceError
from rs_forecast.workspace import (
    Workspace,
    atomic_folder,
    make_folder,
    read_json,
    recover,
    sha256_file,
    sha256_text,
    write_atomic,
    write_json,
)

ROOT = Path(__file__).resolve().parents[1]


def contents(folder):
    return {str(f.relative_to(folder)): f.read_text() for f in sorted(folder.rglob("*")) if f.is_file()}


@contextlib.contextmanager
def another_process(code, *args):
    """Run ``code`` until it says ready, and end it with the block."""
    wait = "    print('ready', flush=True)\n    time.sleep(60)\n"  # in the block that the code's last line is in
    program = f"import sys, time\nfrom pathlib import Path\n{textwrap.dedent(code).strip()}\n{wait}"
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.fixture
def barred(tmp_path):
    """A path that nothing can be written below, for root neither: its parent is a file."""
    (tmp_path / "file").write_text("x")
    return tmp_path / "file" / "below"


def test_a_folder_is_there_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "week"
    with atomic_folder(target) as stage:
        assert stage.parent == target.parent
        (stage / "sub").mkdir()
        (stage / "sub" / "a.txt").write_text("a")
        assert not target.exists()
    assert contents(target) == {"sub/a.txt": "a"}
    assert list(target.parent.iterdir()) == [target]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "week"
    for name in ("one", "two"):
        with atomic_folder(target) as stage:
            (stage / f"{name}.txt").write_text(name)
    assert contents(target) == {"two.txt": "two"}
    assert list(tmp_path.iterdir()) == [target]


def test_the_old_folder_can_be_kept(tmp_path):
    target, spare = tmp_path / "week", tmp_path / "week.old"
    for name in ("one", "two"):
        with atomic_folder(target, keep=spare) as stage:
            (stage / "x.txt").write_text(name)
        assert spare.exists() == (name == "two")
    assert contents(target) == {"x.txt": "two"}
    assert contents(spare) == {"x.txt": "one"}
    with pytest.raises(OutputError), atomic_folder(target, keep=spare) as stage:  # a spare is never overwritten
        (stage / "x.txt").write_text("three")
    assert contents(target) == {"x.txt": "two"}
    assert contents(spare) == {"x.txt": "one"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_folder_is_as_it_was(tmp_path, error):
    target = tmp_path / "week"
    with atomic_folder(target) as stage:
        (stage / "x.txt").write_text("old")

    def fail():
        with atomic_folder(target) as stage:
            (stage / "x.txt").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(target) == {"x.txt": "old"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failing_write_is_an_output_error_and_leaves_the_old_folder(tmp_path, monkeypatch):
    target = tmp_path / "week"
    with atomic_folder(target) as stage:
        (stage / "x.txt").write_text("old")
    with pytest.raises(OutputError, match=r"week: cannot be written \(No space left"), atomic_folder(target):
        raise OSError(28, "No space left on device")
    rename = Path.rename

    def failing(self, to):
        if ".new-" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"), atomic_folder(target) as stage:
        (stage / "x.txt").write_text("new")
    assert contents(target) == {"x.txt": "old"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_process_leaves_the_folder_as_it_was(tmp_path):
    target = tmp_path / "week"
    with atomic_folder(target) as stage:
        (stage / "x.txt").write_text("old")
    code = """
    from rs_forecast.workspace import atomic_folder
    with atomic_folder(Path(sys.argv[1])) as stage:
        (stage / "x.txt").write_text("half")
    """
    with another_process(code, target) as child:
        child.kill()  # as kill -9 does
        child.wait()
    assert contents(target) == {"x.txt": "old"}
    with atomic_folder(target) as stage:
        (stage / "x.txt").write_text("new")
    assert contents(target) == {"x.txt": "new"}


def test_a_relative_target_and_a_link_to_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_folder(Path("week")) as stage:
        (stage / "x.txt").write_text("one")
    assert contents(tmp_path / "week") == {"x.txt": "one"}
    (tmp_path / "link").symlink_to(tmp_path / "week")
    with atomic_folder(Path("link")) as stage:
        (stage / "x.txt").write_text("two")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "week") == {"x.txt": "two"}


def test_others_may_read_what_was_written(tmp_path):
    with atomic_folder(tmp_path / "week"):
        pass
    file = write_atomic(tmp_path / "x.txt", "x")
    assert (tmp_path / "week").stat().st_mode & 0o777 == 0o755
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_place_that_cannot_be_written_is_named(barred):
    with (
        pytest.raises(OutputError, match=r"below: cannot be written \(.+\); check that"),
        atomic_folder(barred / "week"),
    ):
        pass
    with pytest.raises(OutputError, match="below"):
        write_atomic(barred / "x.txt", "x")
    with pytest.raises(OutputError, match="below"):
        make_folder(barred)
    with pytest.raises(OutputError, match="below"), Workspace(barred).lock():
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="Permission denied"), atomic_folder(folder / "week"):
        pass
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomic(folder / "x.txt", "x")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "deep" / "x.json"
    assert write_atomic(file, "một\n") == file
    assert file.read_bytes() == "một\n".encode()
    write_atomic(file, b"\x00\r\n")
    assert file.read_bytes() == b"\x00\r\n"

    def failing(self, to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(file, "new")
    assert file.read_bytes() == b"\x00\r\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_in_the_files_place_is_named(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(OutputError, match=r"x\.json: cannot be written"):
        write_atomic(tmp_path / "x.json", "x")
    assert [f.name for f in tmp_path.iterdir()] == ["x.json"]


LOCKED = """
from rs_forecast.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock():
"""


def test_a_second_run_is_told_to_wait_and_a_killed_one_blocks_nobody(tmp_path):
    space = Workspace(tmp_path / "ws")
    with another_process(LOCKED, space.root) as child:
        with pytest.raises(BusyError, match="another run works in"), space.lock():
            pytest.fail("two runs held one lock")
        child.kill()
        child.wait()
    with space.lock():
        pass


def test_the_lock_is_given_back_after_an_error_and_not_shared_within_a_process(tmp_path):
    space = Workspace(tmp_path)
    with space.lock(), pytest.raises(BusyError), Workspace(tmp_path).lock():
        pytest.fail("one process held a lock twice")
    with pytest.raises(ZeroDivisionError), space.lock():
        _ = 1 / 0
    with space.lock():
        pass


def test_the_folders_of_a_workspace():
    space = Workspace(Path("root"))
    assert (space.data, space.models, space.logs) == (Path("root/data"), Path("root/models"), Path("root/logs"))


def test_json_there_and_back(tmp_path):
    content = {"z": 1, "a": ["ầ", None, 0.1]}
    file = write_json(tmp_path / "x.json", content)
    assert read_json(file) == content
    assert list(read_json(file)) == ["z", "a"]
    assert "ầ" in file.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, {"x": float("nan")})
    assert read_json(file) == content


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_named(tmp_path, raw):
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(SourceError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
    with pytest.raises(SourceError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")


def test_hashes(tmp_path):
    (tmp_path / "x").write_bytes("một".encode() * 100_000)
    assert sha256_file(tmp_path / "x") == hashlib.sha256("một".encode() * 100_000).hexdigest()
    assert sha256_text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_text("một") == hashlib.sha256("một".encode()).hexdigest()


@pytest.mark.parametrize("keep", [None, "spare"])
def test_recover_undoes_a_swap_that_was_killed_between_its_renames(tmp_path: Path, keep: str | None) -> None:
    target = tmp_path / "week"
    spare = tmp_path / keep if keep else None
    (tmp_path / ".week.old-x").mkdir()
    (tmp_path / ".week.old-x" / "a.txt").write_text("published")
    (tmp_path / ".week.new-x").mkdir()
    recover(target, keep=spare)
    assert contents(target) == {"a.txt": "published"}
    assert [p.name for p in tmp_path.iterdir()] == ["week"]


def test_recover_after_the_swap_puts_the_older_folder_where_it_belongs(tmp_path: Path) -> None:
    for name in ("week", ".week.old-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    recover(tmp_path / "week", keep=tmp_path / "week.r1")
    assert contents(tmp_path / "week") == {"a.txt": "week"}
    assert contents(tmp_path / "week.r1") == {"a.txt": ".week.old-x"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["week", "week.r1"]


def test_a_failed_read_inside_the_block_is_not_called_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "week"):
        (tmp_path / "none").read_text()
