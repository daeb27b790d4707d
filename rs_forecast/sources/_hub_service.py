"""Asking Sentinel Hub: one session for all threads, waits with an end, and every refusal said in our words.

The client is sentinelhub's own. Told from outside are only its session, which it would not renew when a token is
revoked, and its waits, which it would keep up for ever.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from threading import Lock
from typing import Any

import requests
from oauthlib.oauth2 import (  # type: ignore[import-untyped]
    AccessDeniedError,
    BackendApplicationClient,
    InvalidClientError,
    InvalidGrantError,
    OAuth2Error,
    UnauthorizedClientError,
)
from requests_oauthlib import OAuth2Session
from sentinelhub.api.catalog import SentinelHubCatalog
from sentinelhub.config import SHConfig
from sentinelhub.constants import CRS, SHConstants
from sentinelhub.data_collections import DataCollection
from sentinelhub.download.handlers import fail_user_errors, retry_temporary_errors
from sentinelhub.download.models import DownloadRequest, DownloadResponse
from sentinelhub.download.rate_limit import SentinelHubRateLimit
from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient
from sentinelhub.download.session import SentinelHubSession
from sentinelhub.exceptions import (
    BaseSentinelHubException,
    DownloadFailedException,
    OutOfRequestsException,
    SHRateLimitWarning,
)
from sentinelhub.geometry import BBox

from rs_forecast.errors import BusyError, ConfigError, RsForecastError, SourceError
from rs_forecast.sources._hub_settings import ID, SECRET, Hub, client_config
from rs_forecast.sources._network import equip, hidden, new_session
from rs_forecast.sources._retry_after import retry_after

LOGGER = logging.getLogger(__name__)
_TALKATIVE = "requests_oauthlib.oauth2_session"
"""The logger that prints client secret and token at DEBUG."""
_QUOTA = re.compile(r"quota|insufficient|exceed|processing.?unit|limit", re.IGNORECASE)
_FAILURES = (BaseSentinelHubException, requests.RequestException, OAuth2Error, LookupError, TypeError, ValueError)
_REFUSALS = (AccessDeniedError, InvalidClientError, InvalidGrantError, UnauthorizedClientError)
_LATER = re.compile(r"too.?many|limit|quota|temporar|unavailable|429", re.IGNORECASE)
_TOKEN = re.compile(r"(?<=Bearer )\S+|eyJ[\w-]+\.[\w-]+\.[\w-]*")
_MOST_TEXT = 400

_sessions: dict[tuple[str, int], SentinelHubSession] = {}
_retired: deque[str] = deque(maxlen=20)
"""Tokens that were refused: a server's message may name one still."""
_renewing = Lock()
_defining = Lock()


class Waits(SentinelHubRateLimit):
    """How long the client waits when the provider says 429: as it is told, but not for ever."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._patience, self._first = hub.patience_seconds, hub.retry_seconds / 50
        self._waited, self._times = 0.0, 0

    def update(self, headers: Any, *, default: float) -> None:
        """Put the next try off by what ``Retry-After`` says; ``default`` is in milliseconds."""
        floor = self._first * 2**self._times
        told = retry_after(headers.get(self.RETRY_HEADER), unit=1e-3)
        wait = max(default / 1000 if told is None else told, floor)
        self._waited, self._times = self._waited + wait, self._times + 1
        if self._waited > self._patience:
            raise BusyError(
                f"Sentinel Hub limits the rate and asks to wait {self._waited:.0f} s for one request, "
                f"{self._patience:g} s are allowed; run it again later, or with fewer scenes at a time"
            )
        LOGGER.info("Sentinel Hub limits the rate: waiting %.1f s", wait)
        self.next_download_time = max(time.monotonic() + wait, self.next_download_time)


class _Session(SentinelHubSession):
    """The client's session, whose login waits with an end: the client's own would wait for a silent server for ever."""

    @retry_temporary_errors
    @fail_user_errors
    def _fetch_token(self, request: DownloadRequest) -> dict[str, Any]:
        client = BackendApplicationClient(client_id=self.config.sh_client_id)
        with OAuth2Session(client=client) as login:
            equip(login)
            login.register_compliance_hook("access_token_response", self._compliance_hook)
            token: dict[str, Any] = login.fetch_token(
                request.url,
                client_secret=self.config.sh_client_secret,
                include_client_id=True,
                headers={**self.DEFAULT_HEADERS, **SHConstants.HEADERS},
                timeout=self.config.download_timeout_seconds,
            )
            return token


class _Client(SentinelHubDownloadClient):
    """The client, its requests by the one way out."""

    def _do_download(self, request: DownloadRequest) -> requests.Response:
        with new_session() as session:
            return session.request(
                request.request_type.value,
                url=request.url or "",
                json=request.post_values,
                headers=self._prepare_headers(request),
                timeout=self.config.download_timeout_seconds,
            )


class Service:
    """One hub, asked by one thread; the session is shared with all others."""

    def __init__(self, hub: Hub) -> None:
        _silence()
        self.hub = hub
        self.config = client_config(hub)

    @property
    def collection(self) -> DataCollection:
        """The collection bound to this hub: an unbound one is asked for at another service, whatever the config."""
        known = DataCollection.SENTINEL2_L2A.value
        name = f"RSF_{self.hub.collection}_{self.config.sh_base_url}"
        bound = known.derive(
            service_url=self.config.sh_base_url,
            api_id=self.hub.collection,
            catalog_id=self.hub.collection,
            _name=name,
        )
        with _defining:  # an equal definition is found again, a new one is added
            return DataCollection(bound)

    def search(self, bounds: tuple[float, float, float, float], start: str, end: str) -> list[dict[str, Any]]:
        """Return the catalogue's items in ``bounds`` (degrees) from ``start`` to ``end`` (ISO 8601), all pages.

        Raises as :meth:`fetch`.
        """

        def ask(client: SentinelHubDownloadClient) -> list[dict[str, Any]]:
            catalog = SentinelHubCatalog(config=self.config)
            catalog.client = client
            return list(catalog.search(self.collection, bbox=BBox(bounds, CRS.WGS84), time=(start, end)))

        return self._answer(ask, "the search")

    def fetch(self, request: Any, what: str) -> DownloadResponse:
        """Return the answer to one Process request, as bytes.

        Raises
        ------
        ConfigError
            The credentials are refused.
        SourceError
            The request is refused, or what it asks for is gone.
        BusyError
            The quota is used up, the rate limit or an outage outlasted the hub's patience.
        """

        def ask(client: SentinelHubDownloadClient) -> DownloadResponse:
            (answer,) = client.download(request.download_list, max_threads=1, decode_data=False)
            return answer  # type: ignore[no-any-return]

        return self._answer(ask, what)

    def _answer[T](self, ask: Callable[[SentinelHubDownloadClient], T], what: str) -> T:
        """Ask, with a new token if the one at hand is refused; the error is raised outside of the client's own.

        Those carry the request with its headers.
        """
        refused = None
        for _ in range(2):
            try:
                session = refused = self._session(refused)
                client = _Client(config=self.config, session=session, default_retry_time=self.hub.retry_seconds)
                client.rate_limit = Waits(self.hub)
                return ask(client)
            except _FAILURES as err:
                status = _status(err)
                failure = self._failure(err, what)
            if status != HTTPStatus.UNAUTHORIZED or refused is None:
                break
        raise failure

    def _session(self, refused: SentinelHubSession | None) -> SentinelHubSession:
        """Return the session of all threads; a new one if nobody has replaced the refused one yet."""
        key = self.hub.token_url, hash((self.config.sh_client_id, self.config.sh_client_secret))
        with _renewing:
            held = _sessions.get(key)
            if held is None or held is refused:
                if held is not None:
                    _retired.append(_token(_sessions.pop(key)))
                held = _sessions[key] = _Session(config=self.config)
            return held

    def _failure(self, err: Exception, what: str) -> RsForecastError:
        status, text = _status(err), redacted(str(err), self.config)
        if isinstance(err, OAuth2Error):
            return _refused_login(err, text)
        if isinstance(err, OutOfRequestsException):
            return BusyError(f"Sentinel Hub limits the rate and did not answer {what}; run it again later")
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _refused(status, text, what)
        if isinstance(err, requests.RequestException | DownloadFailedException):
            return BusyError(f"Sentinel Hub does not answer {what}, tried {self.hub.attempts} times: {text}")
        return SourceError(
            f"Sentinel Hub answers {what} with something else than its interface says ({type(err).__name__}: {text}); "
            "check [imagery] base_url and the proxy"
        )


_CHECK = f"Check {ID} and {SECRET}, and that this OAuth client is alive and may use the collection"


def redacted(text: str, config: SHConfig) -> str:
    """Return ``text`` on one line, cut, without credentials or tokens that a server might have echoed."""
    secrets = [config.sh_client_secret, config.sh_client_id, *hidden()]
    secrets += [*map(_token, list(_sessions.values())), *list(_retired)]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = " ".join(_TOKEN.sub("***", text).split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."


def _token(session: SentinelHubSession) -> str:
    return str(session._token.get("access_token", ""))  # noqa: SLF001 - the property would fetch a new one


def _refused(status: int, text: str, what: str) -> RsForecastError:
    if status == HTTPStatus.UNAUTHORIZED:
        return ConfigError(f"Sentinel Hub refuses the token that it has just given for {what}: {text}. {_CHECK}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return BusyError(f"Sentinel Hub limits the rate at {what}: {text}. Run it again later")
    if status == HTTPStatus.FORBIDDEN and _QUOTA.search(text):
        return BusyError(f"Sentinel Hub's quota is used up at {what}: {text}. Run it again when it is renewed")
    return SourceError(f"Sentinel Hub refuses {what}: {text}")


def _refused_login(err: OAuth2Error, text: str) -> RsForecastError:
    if isinstance(err, _REFUSALS):
        return ConfigError(f"the login service refuses the credentials: {text}. {_CHECK}")
    if _LATER.search(text):  # the library keeps the text of a 429, and drops its status
        return BusyError(f"the login service says later: {text}. Run it again in a while")
    return SourceError(f"the login service answers with something else than a token: {text}; check [imagery] token_url")


def _status(err: BaseException) -> int | None:
    cause = getattr(err, "request_exception", None) or err
    status = getattr(getattr(cause, "response", None), "status_code", None) or getattr(err, "status_code", None)
    return int(status) if isinstance(status, int) else None


class _NoDebug(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_NO_DEBUG = _NoDebug()


def _silence() -> None:
    """Let no library print secrets, and none warn of each wait: these we log."""
    logging.getLogger(_TALKATIVE).addFilter(_NO_DEBUG)
    warnings.filterwarnings("ignore", category=SHRateLimitWarning)
