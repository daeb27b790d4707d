"""Rules that turn hours of wet leaves into a mark of the day."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WetRule:
    """Limits of one rule. Change some for local use by :func:`dataclasses.replace`."""

    name: str
    doc: str
    need: tuple[tuple[int, float], ...]
    """Hours of wetness needed [h] at each whole degree of their mean temperature [°C]."""
    temp: tuple[float, float] = (15.0, 25.0)
    """Mean temperature of the wet period, from and to [°C]."""
    five_days: tuple[float, float] = (20.0, 25.0)
    """Mean temperature of five days up to and with the day, from and to [°C]."""
    least_hours: float = 10.0
    """A wet period shorter than this gives no mark [h]."""
    rh_wets: float = 90.0
    """Leaves are wet from this relative humidity on [%],"""
    rain_wets: float = 0.1
    """from this rain on [mm in the hour],"""
    measured_wets: float = 0.5
    """or where a sensor says so, from this share of the hour on; the sensor then decides alone."""
    wind_dries: float = 3.0
    """Above this wind they are dry [m/s],"""
    sun_dries: float = 0.1
    """and above this sunshine [h in the hour]."""
    rain_cuts: float = 4.0
    """Rain of this strength washes spores off and ends the period [mm in the hour],"""
    rain_cuts_twice: float = 3.0
    """and so does the second hour running with this much [mm in the hour]."""
    day_begins: int = 16
    """Hour of the eve at which the day of the mark begins; it ends 24 hours later."""
    source: str
    verified: bool = False

    def __post_init__(self) -> None:
        degrees = [degree for degree, _ in self.need]
        if degrees != list(range(math.floor(self.temp[0] + 0.5), math.floor(self.temp[1] + 0.5) + 1)):
            raise ConfigError(
                f"wet rule {self.name!r}: need names the degrees {degrees}, and wet periods count from "
                f"{self.temp[0]:g} to {self.temp[1]:g} °C; give hours for each whole degree of that range, in order"
            )
        if self.temp[0] > self.temp[1] or self.five_days[0] > self.five_days[1] or not 0 <= self.day_begins < 24:
            raise ConfigError(
                f"wet rule {self.name!r}: found temp {self.temp}, five_days {self.five_days}, day_begins "
                f"{self.day_begins}; allowed are limits that rise, and an hour from 0 to 23"
            )


WET_RULES: Table[WetRule] = Table(
    "wet rule",
    (
        WetRule(
            name="blastam",
            doc="infection by leaf blast as Japan's prefectures print it; needs 11 h at 21 °C as the table of Mie has "
            "it, where one open implementation uses 10",
            need=(
                (15, 17), (16, 15), (17, 14), (18, 13), (19, 12), (20, 11), (21, 11), (22, 10), (23, 10), (24, 10),
                (25, 10),
            ),
            source="marks: http://www.pref.miyagi.jp/soshiki/byogai/blastam.html, "
            "https://www.jppn.ne.jp/miyazaki/800/300/suitou/blastambase.htm; need: Mie prefecture, "
            "http://www.pref.mie.lg.jp/byogai/hp/39584007416.htm; wind and rain: "
            "https://pref.oita.jp/site/oita-boujosho/blastam.html; the hour that the day begins and the sunshine that "
            "dries are unverified, and humidity stands in for the original's rule of wet nights after rain",
        ),
    ),
)  # fmt: skip
