"""The way out: one proxy and one set of certificates for all clients, and what goes wrong on the way in our words.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``
    The proxy, as ``http://USER:PASSWORD@HOST:PORT``; small letters will do. What the system is set to where none is.
``NO_PROXY``
    Hosts that are asked without it.
``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``
    A PEM file, or a folder, of the certificates to trust; the first that is set counts. Those of certifi without.

Every session of this package sends by an :class:`Adapter`, the ones inside of other libraries too. GDAL is given files
of this computer alone.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ProxyError
from requests.utils import get_environ_proxies, select_proxy

from rs_forecast.errors import ConfigError, RsForecastError, SourceError

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_UNKNOWN_USER = 407
_PASSING = (429, 500, 502, 503, 504)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


class Adapter(HTTPAdapter):
    """Sends by the environment's proxy and trusts its certificates, whatever a session was told.

    Raises
    ------
    ConfigError
        The proxy or the certificates of the environment cannot be used as written; when it is made.
    SourceError
        From a request: the proxy refuses it, or the certificate is not trusted; asking again would not help.
    requests.exceptions.ProxyError
        From a request: the proxy, or who is behind it, cannot be reached now. The text is ours and holds no password.
    """

    def __init__(self) -> None:
        super().__init__()
        _check_proxies()
        self._trusted: str | bool = certificates() or True

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,  # noqa: ARG002 - the session's own ideas are not asked
        cert: Any = None,
        proxies: Any = None,  # noqa: ARG002
    ) -> requests.Response:
        """Send, and say what the proxy or the certificate has against it."""
        url = request.url or ""
        chosen = _proxies(url)
        proxy = select_proxy(url, chosen)
        try:
            response = super().send(
                request, stream=stream, timeout=timeout, verify=self._trusted, cert=cert, proxies=chosen
            )
        except requests.ConnectionError as err:
            told = _told(err, url, proxy)
            if told is None:
                raise
            failure = told
        else:
            if proxy is None or response.status_code != _UNKNOWN_USER:
                return response
            response.close()
            failure = _refusal(_UNKNOWN_USER, url, proxy)
        raise failure  # outside, so that the library's own error, which holds the request, is no part of it


def equip(session: requests.Session, adapter: Adapter | None = None) -> None:
    """Let ``session`` send by ``adapter`` alone; so it adds no password of a ``.netrc`` to what it asks for either."""
    adapter = adapter or Adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.trust_env = False


def new_session() -> requests.Session:
    """Return a session that goes the one way out."""
    session = requests.Session()
    equip(session)
    return session


def certificates() -> str | None:
    """Return the path of the certificates to trust, from the first of :data:`BUNDLES` that is set.

    Raises
    ------
    ConfigError
        There is no certificate under that path.
    """
    name = next((name for name in BUNDLES if os.environ.get(name)), None)
    if name is None:
        return None
    path = os.environ[name]
    try:
        changed = Path(path).stat().st_mtime_ns
        _load(path, changed)
    except (OSError, ValueError) as err:  # an SSLError too
        said = getattr(err, "strerror", None) or type(err).__name__
        raise ConfigError(
            f"{name} is {path!r}, which cannot be read as certificates ({said}); name a PEM file that holds those of "
            "the authorities to trust"
        ) from err
    return path


def proxy_of(url: str) -> str | None:
    """Return the proxy that ``url`` is asked through, with what password it has; None where it is asked directly."""
    proxy = select_proxy(url, _proxies(url))
    return None if proxy is None else str(proxy)


def hidden() -> list[str]:
    """Return the proxies' passwords in every form they go by: no message may hold them."""
    found: set[str] = set()
    for proxy in getproxies().values():
        login = proxy.partition("//")[2].rpartition("@")[0] or proxy.rpartition("@")[0]
        user, _, password = login.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}"
        if password:
            found |= {login, pair, password, unquote(password), base64.b64encode(pair.encode()).decode()}
    return sorted(found, key=len, reverse=True)


def reason(err: BaseException | None) -> str:
    """Return why a server was not reached: our own words on a proxy, else the error's type, which holds no address."""
    return str(err) if isinstance(err, ProxyError) else type(err).__name__


@lru_cache(maxsize=4)
def _load(path: str, _changed: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if Path(path).is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(cafile=path)


# --------------------------------------------------------------------------------------------------- what proxy it is
def _check_proxies() -> None:
    """Raise ConfigError unless the proxies can be used as written; no message quotes one whole."""
    for scheme in ("https", "http", "all"):
        proxy = getproxies().get(scheme)
        if not proxy:
            continue
        parts = urlsplit(_whole(proxy))
        try:
            cut = "@" in proxy and "@" not in parts.netloc  # by a / in the password
            usable = bool(parts.hostname) and not cut and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable or parts.scheme.lower() not in _SCHEMES:
            raise ConfigError(
                f"{_variable(scheme)} is no address of a proxy; allowed is http://HOST:PORT, or "
                "http://USER:PASSWORD@HOST:PORT with special characters of the password as %XX"
            )
        if parts.scheme.lower().startswith("socks") and find_spec("socks") is None:
            raise ConfigError(
                f"{_variable(scheme)} names a SOCKS proxy, which needs the package PySocks; install it, or name an "
                "http proxy"
            )


def _proxies(url: str) -> dict[str, str]:
    """Return the proxies for ``url`` by scheme."""
    return {scheme: _whole(proxy) for scheme, proxy in get_environ_proxies(url).items() if proxy}


def _whole(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _shown(proxy: str) -> str:
    """Return a proxy's address without user and password."""
    parts = urlsplit(_whole(proxy))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _variable(scheme: str) -> str:
    """Return the name of what sets the proxy of ``scheme``."""
    names = [f"{kind}_proxy" for kind in (scheme, "all")]
    known = (name for kind in names for name in (kind, kind.upper()) if os.environ.get(name))
    return next(known, "the proxy in the system's settings")


# ------------------------------------------------------------------------------------------------ what went wrong
def _told(err: requests.ConnectionError, url: str, proxy: str | None) -> Exception | None:
    """Return what is to be raised instead of the library's error; None to leave it."""
    causes = list(_causes(err))
    untrusted = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return _untrusted(untrusted, url, proxy)
    if proxy is None or not isinstance(err, ProxyError):
        return None
    for cause in causes:
        tunnel = _TUNNEL.search(str(cause))
        if tunnel:
            return _refusal(int(tunnel[1]), url, proxy)
    if any("WRONG_VERSION_NUMBER" in str(cause) for cause in causes):
        return SourceError(
            f"the proxy {_shown(proxy)} does not speak https itself; write {_variable(urlsplit(url).scheme)} with http://"
        )
    last = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    why = (last.strerror if last else None) or "it does not answer"
    return ProxyError(
        f"the proxy {_shown(proxy)} cannot be reached ({why}); check {_variable(urlsplit(url).scheme)}, and that the "
        "proxy is up"
    )


def _refusal(status: int, url: str, proxy: str) -> RsForecastError | ProxyError:
    """Return what a proxy's refusal means; its own words are not quoted."""
    parts, shown = urlsplit(url), _shown(proxy)
    if status == _UNKNOWN_USER:
        known = "@" in proxy
        what = "refuses its user and password" if known else "wants a user and a password"
        return SourceError(
            f"the proxy {shown} {what} (407); write them into {_variable(parts.scheme)} as "
            "http://USER:PASSWORD@HOST:PORT, special characters as %XX"
        )
    if status in _PASSING:
        return ProxyError(f"the proxy {shown} does not reach {parts.hostname} ({status})")
    return SourceError(
        f"the proxy {shown} does not let through to {parts.hostname} ({status}); ask who runs it to allow that host, "
        "or name it in NO_PROXY if it can be reached without"
    )


def _untrusted(err: ssl.SSLCertVerificationError, url: str, proxy: str | None) -> SourceError:
    name = next((name for name in BUNDLES if os.environ.get(name)), None)
    trusted = f"those of {name} ({os.environ[name]})" if name else "those of certifi"
    way = f", asked through the proxy {_shown(proxy)}," if proxy else ""
    return SourceError(
        f"{urlsplit(url).hostname}{way} shows a certificate that is not trusted ({err.verify_message}). Trusted are "
        f"{trusted}; a proxy that opens connections has its own authority: name a PEM file that holds it in "
        f"{BUNDLES[0]}"
    )


def _causes(err: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it was made from: libraries keep these in many places."""
    todo, seen = [err], set()
    while todo:
        cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [cause.__cause__, cause.__context__, *cause.args]
        inner += [getattr(cause, name, None) for name in ("reason", "original_error")]
        todo += [one for one in inner if isinstance(one, BaseException)]
