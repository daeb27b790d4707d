"""Which Sentinel Hub is meant, and with whose credentials. These stay in memory: no order, message or log has them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rs_forecast.errors import ConfigError

if TYPE_CHECKING:
    from sentinelhub.config import SHConfig

_LOGIN = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
ID, SECRET = "SH_CLIENT_ID", "SH_CLIENT_SECRET"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MOST_WAITS = 100
"""Refusals of one request, whatever the waits between them add up to."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """One deployment of Sentinel Hub: by default Copernicus Data Space.

    Raises
    ------
    ConfigError
        An address is not https, or a number lies outside its range.
    """

    base_url: str = "https://sh.dataspace.copernicus.eu"
    token_url: str = _LOGIN
    collection: str = "sentinel-2-l2a"
    attempts: int = 4
    """Tries of a request that meets an outage or brings damaged bytes, 1-20."""
    retry_seconds: float = 5.0
    """Sleep before the second try [s], 0-600; three times as long before each one after."""
    patience_seconds: float = 300.0
    """What the provider may ask one request to wait for its rate limit, in all [s], 0-3600."""
    timeout_seconds: float = 120.0
    """Silence after which a connection counts as lost [s], 1-3600."""

    def __post_init__(self) -> None:
        """Check addresses and ranges."""
        for name in ("base_url", "token_url"):
            _check_address(name, getattr(self, name))
        ranges = {"attempts": (1, 20), "retry_seconds": (0, 600)}
        ranges |= {"patience_seconds": (0, 3600), "timeout_seconds": (1, 3600)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"sentinelhub: {name} is {getattr(self, name)}, allowed is {low} to {high}")


def client_config(hub: Hub) -> SHConfig:
    """Return the client's settings with credentials, from the environment or the client's profile.

    The client's own file of profiles is read where it exists, and never written.

    Raises
    ------
    ConfigError
        There are no credentials.
    """
    from sentinelhub.config import SHConfig

    user, secret = _credentials()
    return SHConfig(
        use_defaults=True,
        sh_client_id=user,
        sh_client_secret=secret,
        sh_base_url=hub.base_url.rstrip("/"),
        sh_token_url=hub.token_url,
        max_download_attempts=hub.attempts,
        download_sleep_time=hub.retry_seconds,
        download_timeout_seconds=hub.timeout_seconds,
        max_retries=_MOST_WAITS,
    )


def _credentials() -> tuple[str, str]:
    found = os.environ.get(ID, ""), os.environ.get(SECRET, "")
    if all(found):
        return found
    if any(found):
        missing = SECRET if found[0] else ID
        raise ConfigError(f"sentinelhub: {missing} is not set, its partner is; set both in the environment")
    found = _profile()
    if not all(found):
        raise ConfigError(
            "sentinelhub: there are no credentials. Make an OAuth client in the provider's dashboard, then set "
            f"{ID} and {SECRET} in the environment, or keep them in the profile that `sentinelhub.config` writes"
        )
    return found


def _profile() -> tuple[str, str]:
    from sentinelhub.config import SHConfig

    file = Path(SHConfig.get_config_location())
    if not file.is_file():
        return "", ""
    try:
        loaded = SHConfig.load()
    except (OSError, ValueError, TypeError, KeyError) as err:  # its text may quote the file: say its type alone
        raise ConfigError(
            f"sentinelhub: the profile in {file} cannot be read ({type(err).__name__}); mend it or SH_PROFILE, "
            f"or set {ID} and {SECRET}"
        ) from None
    return loaded.sh_client_id, loaded.sh_client_secret


def _check_address(name: str, address: str) -> None:
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise ConfigError(f"[imagery] {name} holds a user name or password; give them in {ID} and {SECRET} alone")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise ConfigError(f"[imagery] {name} is {address!r}, allowed is an address that begins with https://")
