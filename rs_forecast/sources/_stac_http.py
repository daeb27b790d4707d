"""Reading from servers of files: which addresses may be asked, patience that ends, ranges that come whole."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import requests

from rs_forecast.errors import BusyError, SourceError
from rs_forecast.sources import _network
from rs_forecast.sources._retry_after import retry_after

LATER = (429, 500, 502, 503, 504)
"""Answers after which the same request may pass."""
_MOST = 4 * 1024**3
_PIECE = 1024**2


class Signer(Protocol):
    """Makes an address readable for a while; ``fresh`` when the last signature was refused."""

    def __call__(self, href: str, *, fresh: bool = False) -> str:
        """Return the signed address."""
        ...


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a server is asked, and how long is waited between [s]; the wait doubles each time."""

    tries: int = 5
    wait_s: float = 1.0
    longest_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 60.0

    @property
    def timeout(self) -> tuple[float, float]:
        """Time to connect, and between two packets [s]."""
        return self.connect_s, self.read_s

    def pause(self, tried: int, said: str | None = None) -> None:
        """Wait after ``tried`` attempts, or as long as ``Retry-After`` says, within bounds."""
        wait = self.wait_s * 2 ** (tried - 1)
        time.sleep(min(max(wait, retry_after(said) or 0.0), self.longest_s))


def shown(url: str) -> str:
    """Return an address without what may be secret: user, password, query."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = url.split("//", 1)[-1].split("/", 1)[0].rpartition("@")[2].removeprefix(host)
    return f"{parts.scheme}://{host}{port}{parts.path}"


def check_address(url: str, allow_hosts: tuple[str, ...] = ()) -> None:
    """Raise SourceError unless ``url`` is http or https, and its host public or named in ``allow_hosts``.

    A host that cannot be resolved passes: behind a proxy names are the proxy's business, without one nothing can be
    reached under it. Behind a proxy a name is looked up once: where there is no name service that takes its time.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        what = f"{parts.scheme}://" if parts.scheme else "a path"
        raise SourceError(f"{shown(url) if parts.scheme else url!r} is {what}, allowed are https and http")
    if parts.username or parts.password:
        raise SourceError(f"{shown(url)} has a password in it; give it by the environment")
    host = (parts.hostname or "").lower().rstrip(".")
    if host in allow_hosts:
        return
    resolved = _resolved if _network.proxy_of(url) is None else _resolved_once
    for address in resolved(host):
        if not address.is_global or address.is_multicast:
            raise SourceError(
                f"{shown(url)} leads to the private address {address}; if that is meant, name the host in "
                f'[imagery] allow_hosts = ["{host}"]'
            )


def new_session(allow_hosts: tuple[str, ...], patience: Patience) -> requests.Session:
    """Return a session that checks every address, those of redirects too, and asks again while told to.

    It goes the way of :mod:`rs_forecast.sources._network`.
    """
    session = requests.Session()
    adapt(session, allow_hosts, patience)
    return session


def adapt(session: requests.Session, allow_hosts: tuple[str, ...], patience: Patience) -> None:
    """Make a session behave as one of :func:`new_session`."""
    _keep_logs_clean()
    _network.equip(session, _Adapter(allow_hosts, patience))
    session.max_redirects = 5


class Remote:
    """A file on a server, copied piece by piece into the same places of a file here."""

    def __init__(
        self, href: str, session: requests.Session, patience: Patience, sign: Signer | None, name: str
    ) -> None:
        self.href, self.session, self.patience, self.sign, self.name = href, session, patience, sign, name
        self.size: int | None = None
        self.whole = False
        """Whether the server knows no ranges, and has sent all of it."""
        self._url = ""
        self._renewed = False

    def copy(self, target: IO[bytes], start: int, stop: int) -> None:
        """Copy the bytes ``start`` to ``stop`` (or the end), all of them.

        Raises
        ------
        SourceError
            The file is gone, refused, or damaged; or its bytes never came whole.
        BusyError
            The server says later, or cannot be reached, after all tries.
        """
        if self.whole:
            return
        problem = ""
        for tried in range(1, self.patience.tries + 1):
            with self._ask(start, stop) as response:
                said = self._judge(response, start)
                try:
                    problem = self._store(response, target, start, stop, said)
                except (requests.RequestException, OSError) as err:
                    if isinstance(err, OSError) and not isinstance(err, requests.RequestException):
                        raise
                    problem = f"the connection broke ({type(err).__name__})"
            if not problem:
                return
            if tried < self.patience.tries:
                self.patience.pause(tried)
        raise SourceError(f"{self._named()}: {problem}, {self.patience.tries} times; what came is not used, try again")

    def _ask(self, start: int, stop: int) -> requests.Response:
        self._url = self._url or self._signed(fresh=False)
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        while True:
            try:
                response = self.session.get(self._url, headers=headers, stream=True, timeout=self.patience.timeout)
            except SourceError as err:
                raise SourceError(f"{self._named()}: {err}") from None
            except (ValueError, requests.TooManyRedirects) as err:
                kind = type(err).__name__
                raise SourceError(f"{self._named()}: is passed on to where no file can be ({kind})") from None
            except requests.RequestException as err:
                # the exception holds the signed address
                raise BusyError(f"{self._named()}: cannot be reached ({_network.reason(err)}); try later") from None
            if response.status_code not in {401, 403} or self.sign is None or self._renewed:
                return response
            response.close()
            self._renewed = True
            self._url = self._signed(fresh=True)

    def _signed(self, *, fresh: bool) -> str:
        return self.sign(self.href, fresh=fresh) if self.sign else self.href

    def _judge(self, response: requests.Response, start: int) -> int | None:
        """Return how many bytes the file has in all, or None where the server sends all of it."""
        status = response.status_code
        if status in LATER:
            raise BusyError(
                f"{self._named()}: the server answers {status} after {self.patience.tries} tries; try later"
            )
        if status in {404, 410}:
            raise SourceError(f"{self._named()}: is gone ({status}), though the catalogue lists it; plan again")
        if status in {401, 403}:
            raise SourceError(f"{self._named()}: access is refused ({status}); check the credentials of the provider")
        if status not in {200, 206}:
            raise SourceError(f"{self._named()}: the server answers {status}; a file is due")
        self._renewed = False
        if status == 200:
            return None
        first, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if not total.isdigit() or first.partition("-")[0] != str(start):
            raise SourceError(f"{self._named()}: the server sent another range than was asked for")
        size = int(total)
        if self.size not in {None, size}:
            raise SourceError(f"{self._named()}: was replaced while it was read; plan again")
        if size > _MOST:
            raise SourceError(f"{self._named()}: declares {size / 1e9:.1f} GB; no band of a scene is as large")
        return size

    def _store(self, response: requests.Response, target: IO[bytes], start: int, stop: int, size: int | None) -> str:
        """Write the body in its place, and return what is wrong with it, or an empty text."""
        declared = response.headers.get("Content-Length", "")
        begin = 0 if size is None else start
        due = (int(declared) if declared.isdigit() else None) if size is None else min(stop, size) - start
        target.seek(begin)
        came = 0
        for piece in response.iter_content(_PIECE):
            came += len(piece)
            if came > (_MOST if due is None else due):
                return "more bytes came than were due"
            target.write(piece)
        if due is not None and came < due:
            return f"{came} of {due} bytes came"
        self.size, self.whole = (came, True) if size is None else (size, False)
        return ""

    def _named(self) -> str:
        return f"{self.name}, {shown(self.href)}"


class _Adapter(_network.Adapter):
    def __init__(self, allow_hosts: tuple[str, ...], patience: Patience) -> None:
        super().__init__()
        self.allow_hosts, self.patience = allow_hosts, patience

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        check_address(request.url or "", self.allow_hosts)
        for tried in range(1, self.patience.tries + 1):
            last, said = tried == self.patience.tries, None
            try:
                response = super().send(request, *args, **kwargs)
            except (requests.ConnectionError, requests.Timeout):
                if last:
                    raise
            else:
                if last or response.status_code not in LATER:
                    return response
                said = response.headers.get("Retry-After")
                response.close()
            self.patience.pause(tried, said)
        raise AssertionError("the last try returns or raises")


@lru_cache(maxsize=1024)
def _resolved_once(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return _resolved(host)


def _resolved(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(text) for text in sorted(found)]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def _clean(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
    return True


def _keep_logs_clean(clean: Callable[[logging.LogRecord], bool] = _clean) -> None:
    """Keep queries, where signatures stand, out of what urllib3 logs at DEBUG."""
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(clean)  # a second time it changes nothing
