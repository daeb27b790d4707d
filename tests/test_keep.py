"""Compiled kernels on disk: read back by the next process, never believed when damaged, never mixed up."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from rs_forecast import kernels
from rs_forecast.kernels import _keep

_PROGRAM = """
import json, sys
import numpy as np
from rs_forecast.kernels import _keep, ranks
kind = sys.argv[1]
below, above = np.empty((2, 1), kind)
ranks._line_ranks(np.array([2.0], kind), np.array([1.0, 3.0], kind), np.zeros(2, kind), 0, 1, below, above)
stats = ranks._line_ranks.stats
print(json.dumps([float(below[0]), float(above[0]), sum(stats.cache_hits.values()), str(_keep.folder())]))
"""


def use_kernel(folder: str, kind: str = "f8", **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, kind],
        env={**os.environ, _keep.FOLDER: folder, **environment},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> list[Any]:
    text, _ = process.communicate()
    assert process.returncode == 0
    found: list[Any] = json.loads(text)
    assert found[:2] == [2.0, 6.0]
    return found


@pytest.mark.slow
def test_the_next_process_reads_what_was_compiled_and_damage_is_compiled_anew(tmp_path: Path) -> None:
    folder = str(tmp_path / "kernels")
    assert answer(use_kernel(folder))[2] == 0
    assert answer(use_kernel(folder))[2] == 1
    files = [path for path in Path(folder).rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert {path.suffix for path in files} == {".nbi", ".nbc"}
    for suffix in (".nbc", ".nbi"):
        for path in files:
            if path.suffix == suffix:
                path.write_bytes(path.read_bytes()[:40] + b"\0rubbish")
        assert answer(use_kernel(folder))[2] == 0
        assert answer(use_kernel(folder))[2] == 1


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_their_code(tmp_path: Path) -> None:
    folder = str(tmp_path / "kernels")
    for process in [use_kernel(folder, kind) for kind in ("f8", "f4", "f8", "f4")]:
        answer(process)
    assert [answer(use_kernel(folder, kind))[2] for kind in ("f8", "f4")] == [1, 1]


@pytest.mark.slow
def test_without_a_folder_kernels_work_all_the_same() -> None:
    for named, home in (("off", "/dev/null"), ("/dev/null/kernels", "/dev/null")):
        assert answer(use_kernel(named, XDG_CACHE_HOME=home))[3] == "None"


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_keep.FOLDER, str(tmp_path))
    find = _keep.folder.__wrapped__
    place = find()
    assert place is not None
    assert place.stat().st_mode & 0o077 == 0
    place.chmod(0o777)
    assert find() is None


def test_what_older_kernels_left_is_forgotten_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_keep.FOLDER, str(tmp_path))
    for name, day in (("older", 0), ("newer", 4_000_000_000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (day, day))
    _keep.folder.__wrapped__()
    assert not (tmp_path / "older").exists()
    assert (tmp_path / "newer").exists()


def test_kernels_rest_on_nothing_that_the_hash_does_not_see() -> None:
    """A constant from elsewhere would be compiled in, and kept when it changes."""
    modules = [importlib.import_module(f"{kernels.__name__}.{m.name}") for m in pkgutil.iter_modules(kernels.__path__)]
    found = {
        (name, used): value
        for module in modules
        for name, kernel in vars(module).items()
        if isinstance(kernel, Dispatcher)
        for used in kernel.py_func.__code__.co_names
        if (value := kernel.py_func.__globals__.get(used)) is not None
    }
    assert found
    own = set().union(*map(source_names, _keep.sources()))
    for (name, used), value in found.items():
        if isinstance(value, ModuleType):
            assert value.__name__ in ("numpy", "math"), f"{name} uses {used}"
        elif isinstance(value, Dispatcher):
            assert value.py_func.__module__.startswith(kernels.__name__), f"{name} uses {used}"
        else:
            assert used in own, f"{name} uses {used}"


def source_names(path: Path) -> set[str]:
    """Names that a module assigns itself, rather than imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
