"""An office's network on this machine: a proxy that alone leads to hosts which no name service knows, by TLS.

The authority and its certificates are made by the ``openssl`` command and last a day.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one's own, and a server's certificate by it."""

    bundle: Path
    """PEM of the authority."""
    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def make_authority(folder: Path, *names: str) -> Authority:
    """Make an authority and a certificate for hosts ``names``; without ``openssl`` the test is skipped."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed")
    folder.mkdir()
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    ca, ca_key, leaf, key = (folder / name for name in ("ca.pem", "ca.key", "leaf.pem", "leaf.key"))
    own = ["-subj", "/CN=rs-forecast test authority", "-addext", "basicConstraints=critical,CA:TRUE"]
    own += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    subprocess.run([*new, *own, "-keyout", ca_key, "-out", ca], check=True, capture_output=True)
    request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-subj", f"/CN={names[0]}", "-keyout", key, "-out", folder / "leaf.csr"]
    subprocess.run(request, check=True, capture_output=True)
    facts = folder / "leaf.cnf"
    facts.write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        f"subjectAltName={','.join(f'DNS:{name}' for name in names)}\n"
    )
    sign = ["openssl", "x509", "-req", "-in", folder / "leaf.csr", "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"]
    subprocess.run([*sign, "-days", "1", "-extfile", facts, "-out", leaf], check=True, capture_output=True)
    return Authority(bundle=ca, chain=leaf, key=key)


@dataclass
class Proxy:
    """A proxy that leads connections to ports of this machine, and what it was asked."""

    port: int = 0
    hosts: dict[str, int] = field(default_factory=dict)
    """Port by ``host:443``."""
    login: str = ""
    """``user:password`` that it wants, if any."""
    answer: int = 0
    """Status to refuse all with, if any."""
    asked: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """What it was told under Proxy-Authorization."""

    def url(self, login: str = "") -> str:
        """Return its address, with a login if one is given."""
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    state: Proxy

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        state, said = self.state, self.headers.get("Proxy-Authorization", "")
        state.asked.append(self.path)
        state.heard.append(said)
        self.close_connection = True
        if state.answer:
            self.send_error(state.answer)
        elif state.login and said != f"Basic {base64.b64encode(state.login.encode()).decode()}":
            self.send_error(407)
        elif self.path not in state.hosts:
            self.send_error(403)
        else:
            self._lead(state.hosts[self.path])

    def do_GET(self) -> None:
        """Refuse what is asked for in the clear."""
        self.state.asked.append(self.path)
        self.send_error(self.state.answer or 407)

    def _lead(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pour, args=(server, self.connection), daemon=True)
            back.start()
            _pour(self.connection, server)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class SecureServer(ThreadingHTTPServer):
    """A server that shakes hands on the thread of each connection, and bears clients that hang up."""

    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[Any, Any]:
        """Return the next connection, wrapped."""
        connection, address = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that broke."""


@contextlib.contextmanager
def proxying() -> Iterator[Proxy]:
    """Run a proxy on a free port of 127.0.0.1."""
    state = Proxy()
    handler = type("Bound", (_Handler,), {"state": state})
    with SecureServer(("127.0.0.1", 0), handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
