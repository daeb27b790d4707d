"""Kinds of values that a config holds, and how each is checked."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def from_config(path: Path, info: ValidationInfo) -> Path:
    """Return a path as one from the folder of the config file."""
    base = (info.context or {}).get("base", Path())
    try:
        return Path(base) / path.expanduser()
    except RuntimeError as err:  # ~somebody, and nobody has that name
        raise ValueError("allowed is a path that exists here") from err


def catalogue(url: str, info: ValidationInfo) -> str:
    """Return an address or a name as it is, the path of a catalogue on disk as one from the config file."""
    return str(from_config(Path(url), info)) if url.endswith(".json") and "://" not in url else url


def zone(name: str) -> str:
    """Return the name of a time zone; ValueError if there is none of that name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError("allowed is a name such as Asia/Ho_Chi_Minh or UTC") from err
    return name


def rising_levels(levels: Mapping[str, float]) -> Mapping[str, float]:
    """Return levels as they are; ValueError unless they rise."""
    values = [levels[name] for name in ("light", "medium", "heavy") if name in levels]
    if values != sorted(set(values)):
        raise ValueError("allowed are values that rise from light to heavy")
    return levels


def rising(limits: tuple[float, ...]) -> tuple[float, ...]:
    """Return limits as they are; ValueError unless they are probabilities that rise."""
    if list(limits) != sorted(set(limits)) or not all(0 < v < 1 for v in limits):
        raise ValueError("allowed are three rising numbers between 0 and 1")
    return limits


def unique[T](items: tuple[T, ...]) -> tuple[T, ...]:
    """Return items as they are; ValueError if one is there twice."""
    if len(set(items)) < len(items):
        raise ValueError("allowed is each item once")
    return items


ConfigPath = Annotated[Path, AfterValidator(from_config)]
"""A path, relative to the config file."""

Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$")]
"""The address of a service, without a name, password or token in it."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A name that ends up in columns and file names."""

DateOrder = Literal["dmy", "mdy"]
Decimal = Literal[".", ","]
Thousands = Literal[".", ",", " ", "'"]
"""How a source writes days and numbers; undeclared is 2026-03-02 and 1054.5."""

Keys = tuple[str | int, ...]
"""Keys, and numbers in lists, that lead to a value."""


class Part(BaseModel):
    """A table of the config: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
