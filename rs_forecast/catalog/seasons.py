"""Cropping seasons: when each begins and how long it is sown, every year or in one, everywhere or in some sub-zones."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError

_LONGEST_SOWING = 200
"""Days of a sowing window beyond which its dates are a slip of the pen [days]."""
_SAME = 183
"""A dated season stands in place of the yearly one of its name that begins nearest, within half a year [days]."""


@dataclass(frozen=True, kw_only=True)
class Season:
    """One season; it lasts until the next one begins, over the turn of the year if need be.

    Either of every year (``start``, and ``end`` if the last day of sowing is known), or of one (``first`` and ``last``
    day of sowing). One of one year stands in place of the yearly one of its name, one of some sub-zones in place of
    the one that holds everywhere.
    """

    name: str
    start: str = ""
    """Month and day on which sowing begins each year, ``11-01``."""
    end: str = ""
    """Month and day on which it ends."""
    first: dt.date | None = None
    """The day on which sowing begins in one year."""
    last: dt.date | None = None
    """The day on which it ends."""
    sub_zones: tuple[str, ...] = ()
    """Where it holds; everywhere if there is none."""

    def __post_init__(self) -> None:
        if self.start and self.first is not None:
            raise ConfigError(f"season {self.name!r}: has both start and from; start is of every year, from of one")
        if self.first is None:
            self._check_yearly()
        else:
            self._check_dated(self.first)

    def _check_yearly(self) -> None:
        if self.last is not None:
            raise ConfigError(f"season {self.name!r}: has to = {self.last} without from; name the first day of sowing")
        for key, text in (("start", self.start), *([("end", self.end)] if self.end else [])):
            try:
                dt.date.fromisoformat(f"2001-{text}" if re.fullmatch(r"\d\d-\d\d", text) else "")
            except ValueError as err:
                raise ConfigError(
                    f"season {self.name!r}: {key} {text!r} is no month and day; write it as '11-01'"
                ) from err
        self._check_length(self.of_year(2001))

    def _check_dated(self, first: dt.date) -> None:
        if self.end:
            raise ConfigError(f"season {self.name!r}: end goes with start; with from, the last day of sowing is to")
        if self.last is not None and self.last < first:
            raise ConfigError(f"season {self.name!r}: to {self.last} lies before from {first}; exchange them")
        self._check_length((first, self.last))

    def _check_length(self, window: tuple[dt.date, dt.date | None]) -> None:
        first, last = window
        if last is not None and (last - first).days > _LONGEST_SOWING:
            raise ConfigError(
                f"season {self.name!r}: is sown for {(last - first).days} days, allowed are up to {_LONGEST_SOWING}; "
                "name the first and the last day of sowing, not of the season"
            )

    def of_year(self, year: int) -> tuple[dt.date, dt.date | None]:
        """Return first and last day of sowing of a season of every year, in one."""
        first = dt.date.fromisoformat(f"{year}-{self.start}")
        if not self.end:
            return first, None
        return first, dt.date.fromisoformat(f"{year + (self.end < self.start)}-{self.end}")


SEASONS: Table[Season] = Table(
    "season",
    (
        Season(name="jan-apr", start="01-01"),
        Season(name="may-aug", start="05-01"),
        Season(name="sep-dec", start="09-01"),
    ),
)
"""Thirds of the year, where the config names no seasons. An evaluation holds out one season at a time."""


@dataclass(frozen=True, kw_only=True)
class Sowing:
    """One season of one year in one place."""

    name: str
    """Such as ``2023 dong_xuan``: the year it begins in."""
    first: dt.date
    last: dt.date | None
    """Last day of sowing, where it is known."""


def check_seasons(seasons: Sequence[Season]) -> None:
    """Refuse seasons that contradict one another, or leave days without a season.

    Raises
    ------
    ConfigError
        A season is declared twice for a place and year, or none holds everywhere and every year.
    """
    seen: set[tuple[str, dt.date | None, str]] = set()
    for season in seasons:
        for zone in season.sub_zones or ("",):
            key = season.name, season.first, zone
            if key in seen:
                where = f" for sub-zone {zone!r}" if zone else ""
                when = f" from {season.first}" if season.first else ""
                raise ConfigError(f"the season {season.name!r} is declared twice{when}{where}")
            seen.add(key)
    if not any(season.start and not season.sub_zones for season in seasons):
        raise ConfigError(
            "no season holds every year and everywhere, so that some days would be in none; add one with a start such "
            "as '11-01', without sub_zones"
        )


def sowings(seasons: Sequence[Season], years: range, sub_zone: str | None = None) -> list[Sowing]:
    """Return the seasons that begin in ``years``, oldest first, as they are in a sub-zone."""
    here = [s for s in seasons if sub_zone in s.sub_zones]
    named = {(s.name, bool(s.start)) for s in here}
    here += [s for s in seasons if not s.sub_zones and (s.name, bool(s.start)) not in named]
    found = [
        Sowing(name=f"{year} {s.name}", first=s.of_year(year)[0], last=s.of_year(year)[1])
        for s in here
        if s.start
        for year in range(years.start - 1, years.stop + 1)
    ]
    for season in here:
        if season.first is None:
            continue
        own = Sowing(name=f"{season.first.year} {season.name}", first=season.first, last=season.last)
        yearly = [s for s in found if s.name.split(" ", 1)[1] == season.name]
        nearest = min(yearly, key=lambda s: abs((s.first - own.first).days), default=None)
        if nearest is not None and abs((nearest.first - own.first).days) <= _SAME:
            found.remove(nearest)
            own = Sowing(name=nearest.name, first=own.first, last=own.last)
        found.append(own)
    return sorted((s for s in found if s.first.year in years), key=lambda s: (s.first, s.name))


def season_of(day: dt.date, seasons: Sequence[Season], sub_zone: str | None = None) -> str:
    """Return the season of ``day`` with the year it began in: ``2023 dong_xuan`` lasts into 2024."""
    begun = [s for s in sowings(seasons, range(day.year - 2, day.year + 1), sub_zone) if s.first <= day]
    return begun[-1].name
