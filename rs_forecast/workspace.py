"""Folders of a workspace, and writing so that nothing half-made is ever seen under its final name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rs_forecast.errors import BusyError, OutputError, SourceError

MANIFEST = "manifest.json"
_NO_ROOM = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True)
class Workspace:
    """Where a project keeps what it makes."""

    root: Path

    @property
    def data(self) -> Path:
        """Folder of stored scenes and signals."""
        return self.root / "data"

    @property
    def models(self) -> Path:
        """Folder of registered models, one folder each."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        """Folder of run logs."""
        return self.root / "logs"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for one run; BusyError if another run has it."""
        make_folder(self.root)
        lock = FileLock(self.root / ".rs-forecast.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"another run works in {self.root.resolve()}; try again when it has finished") from None
        except OSError as err:
            raise unwritable(self.root, err) from err
        try:
            yield
        finally:
            lock.release()


def make_folder(folder: Path) -> Path:
    """Make ``folder`` and its parents; OutputError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise unwritable(folder, err) from err
    return folder


def check_writable(folder: Path) -> None:
    """Raise OutputError unless a file can be made in ``folder``, which is made if need be."""
    make_folder(folder)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as err:
        raise unwritable(folder, err) from err


@contextlib.contextmanager
def atomic_folder(target: Path, *, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside ``target`` that takes its name when the block ends well.

    An older ``target`` stays whole until the new one is complete; it is then renamed to ``keep``, or removed if no
    name is given. After an error ``target`` is as it was. So it is after a kill, but for one between the two renames
    of the swap, which leaves the older folder under a hidden name: :func:`recover` brings it back.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    target = target.resolve()
    make_folder(target.parent)
    try:
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
        stage.chmod(0o755)
    except OSError as err:
        raise unwritable(target.parent, err) from err
    try:
        yield stage
        commit_folder(stage, target, keep=keep)
    except OSError as err:
        if no_room(err):
            raise unwritable(target, err) from err
        raise  # a read that failed in the block is another matter
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def commit_folder(stage: Path, target: Path, *, keep: Path | None = None) -> None:
    """Flush the files of ``stage``, named ``.<target>.new-<anything>``, and give it the name ``target``.

    An older ``target`` is renamed to ``keep``, or removed if no name is given.

    Raises
    ------
    OutputError
        That cannot be; the older ``target`` is then as it was.
    """
    try:
        for file in sorted(stage.rglob("*")):
            if file.is_file():
                _sync(file)
        _swap(stage, target, keep)
    except OSError as err:
        raise unwritable(target, err) from err


def no_room(err: OSError) -> bool:
    """Return whether a write failed because the disk is full or may not be written."""
    return err.errno in _NO_ROOM


def recover(target: Path, *, keep: Path | None = None) -> None:
    """Put right what a killed :func:`atomic_folder` left beside ``target``, while nobody else writes there.

    An older folder comes back if ``target`` is gone, and else goes where the swap would have put it; unfinished ones
    are removed.
    """
    target = target.resolve()
    for old in sorted(target.parent.glob(f".{target.name}.old-*")):
        if not target.exists():
            old.rename(target)
        else:
            _put_away(old, keep)
    for stage in target.parent.glob(f".{target.name}.new-*"):
        shutil.rmtree(stage, ignore_errors=True)


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write ``data`` to ``path``, whole or not at all; text as UTF-8, its line ends as they are."""
    raw = data.encode() if isinstance(data, str) else data
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.new-", dir=path.parent)
    except OSError as err:
        raise unwritable(path.parent, err) from err
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as err:
        raise unwritable(path, err) from err
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` as indented JSON, keys in the order given, whole or not at all."""
    return write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; SourceError if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise SourceError(f"{path}: cannot be read as JSON ({err})") from err
    if not isinstance(content, dict):
        raise SourceError(f"{path}: holds {type(content).__name__}, an object is due")
    return content


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _swap(stage: Path, target: Path, keep: Path | None) -> None:
    if not target.exists():
        stage.rename(target)
        return
    if not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file stands in its place")
    if keep is not None and keep.exists():
        raise FileExistsError(errno.EEXIST, f"{keep.name} is there already")
    old = stage.with_name(stage.name.replace(".new-", ".old-"))
    target.rename(old)
    try:
        stage.rename(target)
    except OSError:
        old.rename(target)
        raise
    _put_away(old, keep)


def _put_away(old: Path, keep: Path | None) -> None:
    if keep is None:
        shutil.rmtree(old, ignore_errors=True)
    elif not keep.exists():
        old.rename(keep)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only what it may write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, err: OSError) -> OutputError:
    """Return the error that says why ``path`` cannot be written."""
    reason = err.strerror or str(err)
    return OutputError(f"{path}: cannot be written ({reason}); check that the folder exists, is yours and has room")
