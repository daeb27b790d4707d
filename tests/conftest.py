"""Fixtures that many tests share, and the rule that no test reaches beyond this machine."""

from __future__ import annotations

import os
import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("many", settings.get_profile("default"), max_examples=500, derandomize=False)
settings.load_profile(os.environ.get("RSF_HYPOTHESIS", "default"))

ROOT = Path(__file__).resolve().parents[1]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data. Without it a test skips, and fails where CI=true says that it must be there."""
    folder = Path(os.environ.get("RSF_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"there is no folder of real data at {folder}; set RSF_SHARED_DATA to it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def silencing(monkeypatch: pytest.MonkeyPatch) -> set[threading.Thread]:
    """Give the threads that silence warnings: two at it can leave each other's filters behind, and warnings go unseen.

    Compile what is tried first: the compiler silences too, and has a lock of its own.
    """
    found: set[threading.Thread] = set()
    real = warnings.catch_warnings.__enter__

    def spy(self: Any) -> Any:
        found.add(threading.current_thread())
        return real(self)

    monkeypatch.setattr(warnings.catch_warnings, "__enter__", spy)
    return found


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but loopback."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in _LOOPBACK:
            raise OSError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
