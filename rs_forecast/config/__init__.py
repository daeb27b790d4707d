"""The configuration: one TOML file to one frozen :class:`Config`. An unknown key is an error that names its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rs_forecast.config._messages import line_of, message
from rs_forecast.config._parts import ComputeConfig
from rs_forecast.config._whole import Config
from rs_forecast.errors import ConfigError

__all__ = ["ComputeConfig", "Config", "load_config"]

_PLANNED = {"scouting": "the scouting list"}
"""Tables of the format that this version does not read yet: refused by name, so that nobody thinks they count."""
_PLACED = ("workspace", "output")
_SECRET_KEY = re.compile(
    r"(sh_)?client_?(id|secret)|(access_|refresh_)?token|.*secret.*|.*passw(or)?d.*|api_?key|credentials?|user(_?name)?",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"https?://[^/?#\s]*@|[?&](sig|token|key|api_?key|access_token|password)=", re.IGNORECASE)


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Raises
    ------
    ConfigError
        The file is missing, is no TOML, or holds a key or value that is not allowed; the line is named.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); name a config file, such as one that demo writes") from err
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{file}: is no valid TOML ({err})") from err
    for name in sorted(_PLANNED.keys() & data.keys()):
        place = f"{file}{line_of(text, (name,))}"
        raise ConfigError(f"{place}: [{name}] ({_PLANNED[name]}) is not read by this version; take it out")
    _refuse_credentials(file, text, data)
    for name in _PLACED:  # a default path too is relative to the config file
        data.setdefault(name, {})
    try:
        return Config.model_validate(data, context={"base": file.parent})
    except ValidationError as err:
        raise ConfigError("\n".join(message(Config, file, text, data, dict(item)) for item in err.errors())) from err


def _refuse_credentials(file: Path, text: str, data: Mapping[str, Any]) -> None:
    """Refuse secrets by the name of their key, or in an address; what they are is never shown."""
    for part in ("imagery", "weather"):
        table = data.get(part)
        for key, value in table.items() if isinstance(table, dict) else ():
            if _SECRET_KEY.fullmatch(key) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
                place = f"{file}{line_of(text, (part, key))}: {part}.{key}"
                raise ConfigError(
                    f"{place}: credentials do not belong in a config. Take them out, set SH_CLIENT_ID and "
                    "SH_CLIENT_SECRET in the environment, and renew the secret if anybody has seen this file"
                )
