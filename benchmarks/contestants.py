"""Who takes part. The tests hold the same entries against each other on a small tile that the benchmarks time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import floor
import ours
import pandas as pd
import peers
from work import Work

SIGNALS: dict[str, Callable[[Work], pd.DataFrame]] = {
    "rs_forecast, cold": ours.cold,
    "rs_forecast, coverage kept": ours.kept,
    "exactextract": peers.exactextract,
    "exactextract, own reader": peers.exactextract_wkb,
    "rasterise + numba": peers.rasterise,
    "rasterstats": peers.rasterstats,
}
"""From files and parcels in memory to the table of signals."""

OURS, REFERENCE = ("rs_forecast, cold", "rs_forecast, coverage kept"), "exactextract"
CENTRE_POINT = ("rasterise + numba", "rasterstats")
"""These count a pixel for the parcel that holds its centre; their statistics differ from the exact ones."""

PREPARED: dict[str, Callable[[Work], object]] = {"rs_forecast, coverage kept": ours.keep}
"""What an entry finds on disk before the clock starts, such as a coverage table that an earlier week kept."""

CUT = {"rasterstats": 500}
"""Entries too slow for all parcels: they get the first so many, and their time is extrapolated, and marked."""

COVERAGE: dict[str, tuple[Callable[[Work], Any], Callable[[Any, Work], pd.DataFrame]]] = {
    "rs_forecast": (ours.coverage, ours.flat_coverage),
    "exactextract": (peers.coverage, peers.flat_coverage),
}
"""The coverage of all parcels, and how to bring it to columns ``parcel``, ``pixel`` and ``weight`` off the clock."""

FLOORS: dict[str, Callable[[floor.Plan], int]] = {
    "decode, libdeflate": floor.decode_raw,
    "decode, rasterio": floor.decode_rasterio,
}
FLOOR = "decode, libdeflate"


def ready(kind: str, name: str, work: Work, out: Path) -> Callable[[], Callable[[], object]]:
    """Return an entry with everything at hand: calling it is timed, calling what it returns is not."""
    if kind == "decode":
        plan = floor.Plan(work)
        plan.raw, plan.windows  # noqa: B018 - made now
        return lambda: partial(int, FLOORS[name](plan))
    _ = work.parcels
    if name in PREPARED:
        PREPARED[name](work)
    if kind == "coverage":
        compute, flatten = COVERAGE[name]

        def cover() -> Callable[[], object]:
            found = compute(work)
            return lambda: flatten(found, work).to_parquet(out)

        return cover

    def extract() -> Callable[[], object]:
        SIGNALS[name](work).to_parquet(out)
        return int

    return extract
