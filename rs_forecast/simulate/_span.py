"""The days that a valley is simulated for, and those of them that are written."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rs_forecast import schema
from rs_forecast.errors import ConfigError

TRUTH_AFTER_END = pd.Timedelta(days=28)
"""The truth goes on after the last day, so that a forecast made on that day can be scored."""

OVERPASS_DAYS = 5
_EPOCH = pd.Timestamp("2020-01-05")


@dataclass(frozen=True, kw_only=True)
class Span:
    """``start`` to ``end`` is written; what is simulated covers whole calendar years around it.

    So two valleys that differ in ``end`` alone, within one year, share their past to the last digit.
    """

    end: pd.Timestamp
    years: int
    image_years: float

    @property
    def start(self) -> pd.Timestamp:
        """First day of weather, crops, surveys and truth."""
        return self.end - pd.DateOffset(years=self.years)

    @property
    def first_year(self) -> int:
        """First calendar year that is simulated."""
        return int(self.end.year) - self.years

    @property
    def days(self) -> pd.DatetimeIndex:
        """Every day that is simulated."""
        return pd.date_range(f"{self.first_year}-01-01", f"{self.end.year + 1}-02-01", unit="us")

    @property
    def mondays(self) -> pd.DatetimeIndex:
        """Every week that is simulated, by its Monday."""
        days = self.days
        return days[(days.day_of_week == 0) & (days >= days[0] + pd.Timedelta(days=7))]

    @property
    def overpasses(self) -> pd.DatetimeIndex:
        """Days with an image."""
        first = self.end - pd.DateOffset(months=round(12 * self.image_years))
        days = self.days
        on_orbit = (days - _EPOCH).days % OVERPASS_DAYS == 0
        return days[on_orbit & (days > first) & (days <= self.end)]


def make_span(end: str, years: int, image_years: float) -> Span:
    """Check the arguments and return the span.

    Raises
    ------
    ConfigError
        ``years`` is below 1, or ``image_years`` is negative.
    """
    if years < 1:
        raise ConfigError(f"simulate: years is {years}, allowed is at least 1; six show a climatology at work")
    if image_years < 0:
        raise ConfigError(f"simulate: image_years is {image_years}, allowed is at least 0, which writes no imagery")
    return Span(end=schema.day(end), years=years, image_years=min(image_years, years))
