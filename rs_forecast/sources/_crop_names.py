"""Crops by any name that people write: as the catalogue calls them, so that a pest finds its host."""

from __future__ import annotations

import pandas as pd

from rs_forecast.catalog import HOSTS
from rs_forecast.sources._vietnamese import match_key


def catalogue_crops(names: pd.Series) -> pd.Series:
    """Return ``names`` as the catalogue's where it knows them under another; all others as they are."""
    known = {_key(text): host.name for host in HOSTS.values() for text in (host.name, *host.aliases)}
    found = {name: known.get(_key(str(name)), name) for name in names.dropna().unique()}
    moved = {name: new for name, new in found.items() if new != name}
    return names.replace(moved) if moved else names


def _key(text: str) -> str:
    return match_key(text.replace("_", " ").replace("-", " ")).strip(" .:;")
