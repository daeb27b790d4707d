"""Asking weather services: JSON that comes whole and is what it says, or an error that says who answered what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from rs_forecast.errors import BusyError, NoDataError, SourceError
from rs_forecast.sources._stac_http import LATER, Patience, check_address, new_session, shown

_MOST_BYTES = 256 * 1024**2
_MOST_TEXT = 300


@dataclass(frozen=True, kw_only=True)
class Client:
    """A session to one service. Addresses that lead to private places are refused unless their host is named."""

    name: str
    allow_hosts: tuple[str, ...] = ()
    patience: Patience = field(default_factory=Patience)
    session: requests.Session = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", new_session(self.allow_hosts, self.patience))

    def ask(self, url: str, query: Mapping[str, str]) -> Any:
        """Return the JSON that ``url`` answers.

        Raises
        ------
        SourceError
            The address is refused, or the answer is none that can be read; asking again would not help.
        NoDataError
            The service refuses what it was asked, in its own words.
        BusyError
            The service says later, cannot be reached, or breaks off, after all tries.
        """
        problem = ""
        for tried in range(1, self.patience.tries + 1):
            response = self._get(url, query)
            with response:
                self._judge(response, url)
                try:
                    raw = _body(response)
                except requests.RequestException as err:
                    problem = f"the connection broke ({type(err).__name__})"
                else:
                    text = raw.decode("utf-8", errors="replace")
                    try:
                        return json.loads(text)
                    except (ValueError, RecursionError):
                        problem = _what(text)
            if tried < self.patience.tries:
                self.patience.pause(tried)
        raise BusyError(f"{self.name}: {shown(url)}: {problem}, {self.patience.tries} times; try later")

    def _get(self, url: str, query: Mapping[str, str]) -> requests.Response:
        try:
            check_address(url, self.allow_hosts)
            return self.session.get(url, params=dict(query), timeout=self.patience.timeout, stream=True)
        except SourceError as err:
            raise SourceError(f"{self.name}: {str(err).replace('[imagery]', '[weather]')}") from None
        except (ValueError, requests.TooManyRedirects) as err:
            kind = type(err).__name__
            raise SourceError(f"{self.name}: {shown(url)} is passed on to where no service can be ({kind})") from None
        except requests.RequestException as err:
            raise BusyError(f"{self.name}: {shown(url)} cannot be reached ({type(err).__name__}); try later") from None

    def _judge(self, response: requests.Response, url: str) -> None:
        status = response.status_code
        if status == 200:
            return
        said = _reason(response)
        told = f": it says {said!r}" if said else ""
        if status in LATER:
            raise BusyError(
                f"{self.name}: {shown(url)} answers {status} after {self.patience.tries} tries{told}; try later"
            )
        if status in {400, 404, 422}:
            raise NoDataError(f"{self.name}: {shown(url)} refuses what it was asked ({status}){told}")
        raise SourceError(f"{self.name}: {shown(url)} answers {status}{told}; check [weather] url")


def _body(response: requests.Response) -> bytes:
    parts, came = [], 0
    for piece in response.iter_content(1024**2):
        came += len(piece)
        if came > _MOST_BYTES:
            raise SourceError(f"{shown(response.url)}: sends over {_MOST_BYTES / 1e6:.0f} MB; no weather is as large")
        parts.append(piece)
    return b"".join(parts)


def _what(text: str) -> str:
    """Return what an answer is that is no JSON."""
    if not text.strip():
        return "the answer is empty"
    if text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text[:20_000], re.IGNORECASE | re.DOTALL)
        called = f" called {title[1][:80]!r}" if title else ""
        return f"the answer is a web page{called} and no JSON"
    return f"the answer is no whole JSON ({len(text)} characters)"


def _reason(response: requests.Response) -> str:
    """Return a service's own words: ``reason`` of Open-Meteo, ``messages`` or ``detail`` of NASA POWER."""
    try:
        content = json.loads(_body(response).decode("utf-8", errors="replace"))
    except (ValueError, RecursionError, requests.RequestException, SourceError):
        return ""
    if not isinstance(content, dict):
        return ""
    for key in ("reason", "messages", "message", "detail"):
        said = content.get(key)
        if said:
            text = "; ".join(map(str, said)) if isinstance(said, list) else str(said)
            return " ".join(text.split())[:_MOST_TEXT]
    return ""
