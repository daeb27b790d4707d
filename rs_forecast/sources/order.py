"""What is to be downloaded: a scene that a provider has, as plain data, and how a provider answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

MARGIN = 120.0
"""Land around parcels that is downloaded too [m]. A mask may grow by 100 m, from centre to centre of pixels of 20 m of
which one may only touch a parcel."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One scene at one provider, found by a search and not downloaded yet."""

    scene_id: str
    """The same for every processing of an overpass over a tile."""
    tile: str
    date: pd.Timestamp
    provider: str
    version: str
    """The provider's stamp of this processing: another one is another download."""
    baseline: str
    bands: tuple[str, ...]
    """Names of :mod:`rs_forecast.catalog.bands`, the scene classification among them."""
    size: int = 0
    """Bytes to download, estimated; 0 where nobody knows."""
    units: float = 0.0
    """Processing units that it will cost, estimated."""
    detail: Mapping[str, Any]
    """What the provider needs to find it again, as plain JSON; never a credential."""


class Download(Protocol):
    """Fetches one scene.

    Into ``folder``, which exists, it writes ``<code>.tif`` for each of the order's bands (``B04.tif``, ``SCL.tif``): a
    tiled deflate GeoTIFF of raw numbers with scale, offset and nodata in its band metadata and ``PROCESSING_BASELINE``
    among its tags, complete and checked, each by a temporary name and a rename. A band that is there already, from a
    call that was killed, is kept.

    Raises
    ------
    SourceError
        The scene cannot be had: it is gone, damaged, or refused. Others go on.
    BusyError
        The provider says later: quota, rate, or an outage that outlasted the retries. What is there is kept.
    """

    def __call__(self, order: Order, folder: Path) -> None:
        """Fetch ``order`` into ``folder``."""
        ...
