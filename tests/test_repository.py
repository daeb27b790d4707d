"""The repository itself: what is locked, what is packed, and how a fresh machine is set up."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rs_forecast

ROOT = Path(__file__).resolve().parents[1]
BOOTSTRAP = ROOT / "scripts" / "bootstrap.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HERE = sys.version_info[:2]
PIN = re.compile(r"([a-z0-9-]+)==(\S+?)(?: ; .+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", BOOTSTRAP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    return {match[1]: match[2] for match in map(PIN.fullmatch, lines) if match}


def serves(locked: dict[str, str], need: Requirement) -> bool:
    version = locked.get(canonicalize_name(need.name))
    return version is not None and need.specifier.contains(version)


# --- locks and package ------------------------------------------------------------------------------------------------
def test_locks_hold_every_declared_dependency_within_its_bounds():
    extras = PROJECT["optional-dependencies"]
    declared = {
        "requirements.lock": PROJECT["dependencies"] + extras["plots"],
        "requirements-dev.lock": PROJECT["dependencies"] + [need for extra in extras.values() for need in extra],
    }
    for lock, needs in declared.items():
        locked = pins(lock)
        outside = [need for need in map(Requirement, needs) if not serves(locked, need)]
        assert outside == [], f"call `make lock`: {lock} does not serve these"


def test_both_locks_name_the_same_versions():
    few, all_ = pins("requirements.lock"), pins("requirements-dev.lock")
    assert few.items() <= all_.items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "scripts/bootstrap.lock"])
def test_a_lock_holds_pins_and_hashes_and_no_address(lock):
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    assert [line for line in lines if not (PIN.fullmatch(line) or HASH.fullmatch(line))] == []


def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = {p.relative_to(ROOT).as_posix() for p in (ROOT / "rs_forecast").rglob("*") if p.is_file()}
    assert packed == {name for name in package if not name.endswith(".pyc")}
    assert "rs_forecast/py.typed" in packed
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"rs-forecast = rs_forecast.cli:main" in wheel.read(entry_points)


def test_the_version_is_the_same_wherever_it_stands():
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited[1] == PROJECT["version"] == rs_forecast.__version__


# --- setting up a fresh machine ---------------------------------------------------------------------------------------
def test_bootstrap_is_written_in_the_grammar_of_python_3_6():
    ast.parse(BOOTSTRAP.read_text("utf-8"), feature_version=(3, 6))
    with pytest.raises(SyntaxError):  # or the line above would show nothing
        ast.parse("if (n := 1): pass", feature_version=(3, 6))


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
def test_a_shim_that_fails_is_passed_over_for_the_interpreter_beside_it(bootstrap, tmp_path, monkeypatch):
    def program(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    shim = program(tmp_path / "shims" / "python3.12", "echo 'command not found' >&2; exit 127")
    real = program(tmp_path / "versions" / "3.12.9" / "bin" / "python3.12", f'exec "{sys.executable}" "$@"')
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert str(shim) in list(bootstrap.candidates())
    found = bootstrap.interpreters()
    assert (HERE, str(real)) in found
    assert str(shim) not in [path for _, path in found]


def test_the_interpreter_in_use_comes_first_then_the_order_of_support(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "SUPPORTED", ((3, 12), (3, 13)))
    mine = sys.executable
    assert bootstrap.choose([((3, 13), mine), ((3, 12), "b")]) == mine
    assert bootstrap.choose([((3, 11), mine), ((3, 13), "a"), ((3, 12), "b")]) == "b"
    assert bootstrap.choose([((3, 11), mine), ((3, 99), "a")]) is None
    assert bootstrap.choose([]) is None


def test_a_stamp_holds_until_a_lock_changes_and_dev_serves_the_demo(bootstrap, tmp_path, monkeypatch):
    for name in ("pyproject.toml", *bootstrap.LOCKS.values()):
        (tmp_path / name).write_text("a==1\n")
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "python").touch()
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    monkeypatch.setattr(bootstrap, "VENV", str(venv))
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", str(venv / "python"))
    assert not bootstrap.is_ready("dev")
    (venv / ".installed-demo").write_text(bootstrap.digest())
    assert bootstrap.is_ready("demo")
    assert not bootstrap.is_ready("dev")
    (venv / ".installed-demo").rename(venv / ".installed-dev")
    assert bootstrap.is_ready("dev")
    assert bootstrap.is_ready("demo")
    (tmp_path / "requirements.lock").write_text("a==2\n")
    assert not bootstrap.is_ready("demo")


def test_uv_looks_where_pip_was_told_to_unless_it_was_told_itself(bootstrap, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("UV_", "SSL_CERT"))]:
        monkeypatch.delenv(name)
    listing = (
        ":env:.find-links='/wheels /more'\nglobal.extra_index_url='\\nfile:///a\\nfile:///b'\n"
        "global.timeout='60'\nglobal.cert='/etc/ca.crt'\n"
    )
    monkeypatch.setattr(bootstrap, "output_of", lambda *_: listing)
    env = bootstrap.uv_environment("python")
    assert env["UV_FIND_LINKS"] == "/wheels,/more"
    assert env["UV_INDEX"] == "file:///a file:///b"
    assert env["SSL_CERT_FILE"] == "/etc/ca.crt"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "file:///mine")
    assert "UV_INDEX" not in bootstrap.uv_environment("python")


def test_without_pip_or_venv_the_message_says_what_to_install(bootstrap, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(bootstrap, "find_uv", lambda: None)
    monkeypatch.setattr(bootstrap, "interpreters", lambda: [((3, 11), "/opt/bare/python3")])
    monkeypatch.setattr(bootstrap, "output_of", lambda *_: None)
    assert bootstrap.main(["demo"]) == 1
    said = capsys.readouterr().err
    assert "/opt/bare/python3 is 3.11" in said
    assert "apt install python3-venv" in said


def test_without_a_python_that_serves_the_message_names_those_found(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "run", lambda *_: False)
    with pytest.raises(bootstrap.SetupError, match=re.escape("found 3.11 (/usr/bin/python3)")):
        bootstrap.fetch_python("uv", {}, [((3, 11), "/usr/bin/python3")])
    assert "fetching 3.12" in capsys.readouterr().out
