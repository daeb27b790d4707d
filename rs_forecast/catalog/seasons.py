"""Cropping seasons: the day of the year on which each begins."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Season:
    """One season; it lasts until the next one begins, over the turn of the year if need be."""

    name: str
    start: str
    """Month and day, ``11-01``."""

    def __post_init__(self) -> None:
        try:
            dt.date.fromisoformat(f"2001-{self.start}" if re.fullmatch(r"\d\d-\d\d", self.start) else "")
        except ValueError as err:
            raise ConfigError(
                f"season {self.name!r}: start {self.start!r} is no month and day; write it as '11-01'"
            ) from err


SEASONS: Table[Season] = Table(
    "season",
    (
        Season(name="jan-apr", start="01-01"),
        Season(name="may-aug", start="05-01"),
        Season(name="sep-dec", start="09-01"),
    ),
)
"""Thirds of the year, where the config names no seasons. An evaluation holds out one season at a time."""


def season_of(day: dt.date, seasons: Sequence[Season]) -> str:
    """Return the season of ``day`` with the year it began in: ``2023 dong_xuan`` lasts into 2024."""
    starts = [
        (dt.date.fromisoformat(f"{year}-{season.start}"), season.name)
        for year in (day.year - 1, day.year)
        for season in seasons
    ]
    start, name = max(item for item in starts if item[0] <= day)
    return f"{start.year} {name}"
