"""Rice diseases of EPIRICE: what drives each, as tables and constants of the published model.

Source of every row: Savary et al. 2012, https://doi.org/10.1016/j.cropro.2011.11.009, as its public implementation
(epicrop) runs it. Table 2 of the paper misprints the optima of leaf blast (20 °C) and brown spot (25 °C); the rows
follow the implementation, and ``tests/test_epirice.py`` holds them against its output.
"""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table

Curve = tuple[tuple[float, float], ...]
"""Points (x, y), x rising: linear between them, 0 outside."""

_SOURCE = "Savary et al. 2012, https://doi.org/10.1016/j.cropro.2011.11.009"


@dataclass(frozen=True, kw_only=True)
class Disease:
    """One disease: its epidemic in a crop, in sites (leaves, sheaths, tillers or plants) per square metre."""

    name: str
    doc: str
    onset: int
    """Day of the crop, emergence being day 1, on which the first sites are infected."""
    first_sites: float
    """Healthy sites on day 1."""
    first_infections: float
    """Sites infected on the day of onset."""
    rate: float
    """Corrected basic infection rate at the optimum [sites per infectious site and day]."""
    latent_days: int
    infectious_days: int
    aggregation: float
    """Exponent of the share of healthy sites: above 1, lesions stand close together."""
    most_sites: float
    senescence: float
    """Relative rate of senescence [1/day]."""
    growth: float
    """Relative rate of growth [1/day]."""
    age: Curve
    """Effect of the crop's age [days] on the rate."""
    temperature: Curve
    """Effect of the daily mean temperature [°C] on the rate."""
    wet_rh: float = 90.0
    """A day is wet from this mean relative humidity on [%],"""
    wet_rain: float = 5.0
    """or from this rain on [mm]."""
    source: str = _SOURCE
    verified: bool = True
    """Whether the row reproduces the reference run of the published implementation."""


def _every(step: float, first: float, *values: float) -> Curve:
    return tuple((first + step * k, value) for k, value in enumerate(values))


_TUNGRO = (9.0, 10.0, 13.1111, 16.2222, 19.3333, 22.4444, 25.5555, 28.6666, 31.7777, 34.8888, 37.9999, 40.0)

DISEASES: Table[Disease] = Table(
    "disease",
    (
        Disease(
            name="leaf_blast", doc="leaf blast, Pyricularia oryzae", onset=15, first_sites=600, first_infections=1,
            rate=1.14, latent_days=5, infectious_days=20, aggregation=1, most_sites=30_000, senescence=0.01, growth=0.1,
            age=_every(
                5, 0, 1, 1, 1, 0.9, 0.8, 0.7, 0.64, 0.59, 0.53, 0.43, 0.32, 0.22, 0.16, 0.09, 0.03, 0.02, 0.02, 0.02,
                *[0.01] * 7,
            ),
            temperature=_every(5, 10, 0, 0.5, 1, 0.6, 0.2, 0.05, 0.01, 0),
        ),
        Disease(
            name="brown_spot", doc="brown spot, Bipolaris oryzae", onset=20, first_sites=600, first_infections=1,
            rate=0.61, latent_days=6, infectious_days=19, aggregation=1, most_sites=100_000, senescence=0.01,
            growth=0.1,
            age=_every(20, 0, 0.35, 0.35, 0.35, 0.47, 0.59, 0.71, 1),
            temperature=_every(5, 15, 0, 0.06, 1, 0.85, 0.16, 0),
        ),
        Disease(
            name="bacterial_blight", doc="bacterial blight, Xanthomonas oryzae pv. oryzae", onset=20, first_sites=100,
            first_infections=1, rate=0.87, latent_days=5, infectious_days=30, aggregation=4, most_sites=3200,
            senescence=0.01, growth=0.1,
            age=_every(10, 0, 1, 1, 1, 0.9, 0.62, 0.43, *[0.41] * 7),
            temperature=_every(3, 16, 0, 0.29, 0.44, 0.9, 0.9, 1, 0.88, 0.01, 0),
        ),
        Disease(
            name="sheath_blight", doc="sheath blight, Rhizoctonia solani", onset=30, first_sites=25, first_infections=1,
            rate=0.46, latent_days=3, infectious_days=120, aggregation=2.8, most_sites=800, senescence=0.005,
            growth=0.2,
            age=_every(10, 0, *[0.84] * 7, 0.88, 0.88, *[1] * 4),
            temperature=_every(4, 12, 0, 0.42, 0.94, 0.94, 1, 0.85, 0.64, 0),
        ),
        Disease(
            name="tungro", doc="rice tungro disease", onset=25, first_sites=100, first_infections=1, rate=0.18,
            latent_days=6, infectious_days=120, aggregation=1, most_sites=100, senescence=0.01, growth=0.1,
            age=_every(15, 0, 1, 1, 0.98, 0.73, 0.51, 0.34, 0, 0, 0),
            temperature=tuple(
                zip(_TUNGRO, (0, 0.13, 0.65, 0.75, 0.83, 0.89, 0.93, 0.97, 1, 0.96, 0.93, 0), strict=True)
            ),
        ),
    ),
)  # fmt: skip
