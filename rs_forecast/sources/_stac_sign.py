"""Signatures that make a provider's files readable for an hour. They are made at read time and kept nowhere."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import requests

from rs_forecast.errors import BusyError, ConfigError, SourceError
from rs_forecast.sources._network import reason
from rs_forecast.sources._stac_http import LATER, Signer, shown

_SHORTEST_S = 60
"""A token that ends so soon is asked for anew [s]."""
_LIFE_S = 3600
_CONTENT = "UNSIGNED-PAYLOAD"


def planetary_computer_signer(session: requests.Session, timeout: tuple[float, float]) -> Signer:
    """Return a signer by tokens of Microsoft's Planetary Computer; addresses outside its storage stay as they are.

    The tokens are asked for by ``session``, which waits with an end, and kept where the client looks for them.

    Raises
    ------
    ConfigError
        ``planetary-computer`` is not installed.
    """
    try:
        from planetary_computer import sas  # type: ignore[import-untyped]
        from planetary_computer.settings import Settings  # type: ignore[import-untyped]
        from planetary_computer.utils import parse_blob_url  # type: ignore[import-untyped]
    except ImportError as err:
        raise missing_extra(err) from err

    def sign(href: str, *, fresh: bool = False) -> str:
        """Sign; BusyError or SourceError if the service of tokens says later, or refuses."""
        parts = urlsplit(href)
        if not parts.netloc.endswith(sas.BLOB_STORAGE_DOMAIN):
            return href
        settings = Settings.get()
        place = "/".join([settings.sas_url, *parse_blob_url(parts)])
        token = sas.TOKEN_CACHE.get(place)
        if fresh or token is None or token.ttl() < _SHORTEST_S:
            key = {"Ocp-Apim-Subscription-Key": settings.subscription_key} if settings.subscription_key else {}
            answer = _token_answer(lambda: session.get(place, headers=key, timeout=timeout), shown(href))
            try:
                sas.TOKEN_CACHE[place] = sas.SASToken(**answer.json())
            except (TypeError, ValueError):
                raise SourceError(f"{shown(href)}: the Planetary Computer's token cannot be read; try again") from None
        return str(sas.sign_url(href))

    return sign


def _token_answer(ask: Callable[[], requests.Response], what: str) -> requests.Response:
    try:
        answer = ask()
    except requests.RequestException as err:
        raise BusyError(f"{what}: the Planetary Computer gives no token ({reason(err)}); try later") from None
    if answer.status_code in LATER:
        raise BusyError(f"{what}: the Planetary Computer gives no token ({answer.status_code}); try later")
    if not answer.ok:
        raise SourceError(
            f"{what}: the Planetary Computer gives no token ({answer.status_code}); check "
            "PC_SDK_SUBSCRIPTION_KEY if you set one"
        )
    return answer


def s3_signer(endpoint: str, region: str = "default") -> Signer:
    """Return a signer for the object store at ``endpoint``, with the keys in ``AWS_ACCESS_KEY_ID`` and ``_SECRET_``."""

    def sign(href: str, *, fresh: bool = False) -> str:  # noqa: ARG001 - every signature is fresh
        if urlsplit(href).netloc != urlsplit(endpoint).netloc:
            return href
        key, secret = (os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        if not key or not secret:
            raise ConfigError(
                f"imagery: {urlsplit(endpoint).netloc} wants keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "the environment (for Copernicus Data Space they are made on its page of S3 keys)"
            )
        return presign(href, key, secret, region, dt.datetime.now(dt.UTC), os.environ.get("AWS_SESSION_TOKEN", ""))

    return sign


def presign(href: str, key: str, secret: str, region: str, now: dt.datetime, token: str = "", life: int = 0) -> str:
    """Return ``href`` with a signature for GET in its query: AWS Signature Version 4, path as it stands.

    ``life`` is in seconds, an hour by default.
    """
    parts = urlsplit(href)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(life or _LIFE_S),
        **({"X-Amz-Security-Token": token} if token else {}),
        "X-Amz-SignedHeaders": "host",
    }
    query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(fields.items()))
    asked = f"GET\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\n{_CONTENT}"
    digest = hashlib.sha256(asked.encode()).hexdigest()
    signing = f"AWS4{secret}".encode()
    for text in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        signing = hmac.new(signing, text.encode(), hashlib.sha256).digest()
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{query}&X-Amz-Signature={signing.hex()}"


def missing_extra(err: ImportError) -> ConfigError:
    """Return the error of a library that is not installed."""
    return ConfigError(f"imagery: source stac needs {err.name or 'more libraries'}; install rs-forecast[stac]")
