"""Compiled kernels kept on disk from one process to the next: compiling takes seconds, reading them back a blink.

They lie in the user's own cache folder, or in the one that ``RS_FORECAST_KERNELS`` names (``off``: nothing is kept),
under a hash of all kernels and of what compiles them. So a kernel never meets code that an older one was compiled
into, which numba alone, that looks at the file of one function, does not see to. Compiled code is pickled, as numba
does it: a folder that others may write to is not used.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import pickle
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from filelock import FileLock, Timeout
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator

FOLDER = "RS_FORECAST_KERNELS"
"""Environment variable: a folder for compiled kernels, or ``off``."""
_OFF = "off"
_FORGOTTEN = 90 * 86_400
"""Seconds after which what other kernels left behind is removed."""
_PATIENCE = 10
"""Seconds to wait for another process that is writing."""


def keep(kernel: Any) -> Any:
    """Let a compiled function be kept on disk, where there is a folder for it; return it."""
    if folder() is not None:
        kernel._cache = _Kept(kernel.py_func)  # type: ignore[no-untyped-call]  # noqa: SLF001 - numba has no other door
    return kernel


@functools.cache
def folder() -> Path | None:
    """Return the folder of compiled kernels, made if need be; None where none may be used."""
    named = os.environ.get(FOLDER, "")
    if named == _OFF:
        return None
    try:
        place = (Path(named) if named else _user_cache() / "rs_forecast" / "kernels") / _digest()
        new = not place.exists()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(place):
            return None
        if new:
            _forget_old(place.parent)
    except (OSError, RuntimeError):  # no home, a full disk, a read-only one: kernels compile each time
        return None
    return place


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def sources() -> list[Path]:
    """Return the files whose code and constants are compiled."""
    here = Path(__file__).parent
    return [*sorted(here.glob("*.py")), here.parent / "catalog" / "formula.py"]


def _digest() -> str:
    """Return a hash of all that compiled code depends on, but the processor, which numba looks at itself."""
    versions = (sys.version, numba.__version__, importlib.metadata.version("llvmlite"), np.__version__)
    return _hash([*(text.encode() for text in versions), *(path.read_bytes() for path in sources())])


def _hash(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def _ours(place: Path) -> bool:
    """Whether nobody but this user, or the superuser, may write to ``place``."""
    if not hasattr(os, "getuid"):
        return True
    status = place.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _forget_old(parent: Path) -> None:
    for other in parent.iterdir():
        if other.is_dir() and time.time() - other.stat().st_mtime > _FORGOTTEN:
            shutil.rmtree(other, ignore_errors=True)


class _Place(UserProvidedCacheLocator):
    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
        self._cache_path = str(folder())

    def get_source_stamp(self) -> str:
        return ""  # the folder's name has it

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Place:
        return cls(py_func, py_file)


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012 - as numba declares it


class _Kept(FunctionCache):
    """numba's cache, that a damaged file or a full disk does not stop, and that two processes do not mix up."""

    _impl_class = _Impl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - whatever reading damaged code raises; it is compiled and written anew
            return None
        return found if found is not None and tuple(found.signature.args) == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        lock = FileLock(Path(self.cache_path) / ".lock", timeout=_PATIENCE)
        with contextlib.suppress(OSError, Timeout), lock:
            try:
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]
            except (EOFError, pickle.UnpicklingError, ValueError, TypeError):  # a damaged index
                self.flush()  # type: ignore[no-untyped-call]
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]
