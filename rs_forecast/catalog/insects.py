"""Insects that develop by degree-days: thresholds and thermal constants of each stage.

What has no constant here stands still: a leaf folder's adult has none, so its clock ends when the adults appear. For
yellow stem borer, golden snail and rats none were found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: development is 0 below ``lower``, rises with temperature, and stays the same above ``upper``."""

    name: str
    lower: float
    """Temperature below which nothing develops [°C]."""
    degree_days: float
    """What the stage takes [°C d]."""
    upper: float = math.inf
    """Temperature above which development is no faster [°C]: the horizontal cutoff. Infinite: none was found."""

    def __post_init__(self) -> None:
        if not (self.lower < self.upper and 0 < self.degree_days < math.inf):
            raise ConfigError(
                f"stage {self.name!r}: found lower {self.lower:g}, upper {self.upper:g} and {self.degree_days:g} °C d; "
                "allowed is a lower threshold below the upper one, and degree-days above 0"
            )


@dataclass(frozen=True, kw_only=True)
class Insect:
    """One insect: its stages in order, from the day a cohort starts, such as that of egg laying."""

    name: str
    scientific: str
    doc: str
    stages: tuple[Stage, ...]
    after: str
    """What follows the last stage."""
    closed: bool
    """Whether the constants cover the whole cycle, so that the next generation follows."""
    source: str
    verified: bool = False
    """Whether a person has held the numbers against their source."""

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError(f"insect {self.name!r} has no stage; give it at least one")

    @property
    def degree_days(self) -> float:
        """What the stages take together [°C d]."""
        return math.fsum(stage.degree_days for stage in self.stages)


_HOPPER_CYCLE = 22.38 * (27.5 - 12.2)
"""The cycle in the delta [days] at the optimum [°C] over the threshold of young nymphs: 342.4 °C d, inferred."""
_HOPPER_EGG = 7 / (7 + 12.5)
"""Share of the egg: 7 days, with 11 to 14 of nymph, http://arrworyza.com/journal/oldjournalDisplay.aspx?id=20383."""

INSECTS: Table[Insect] = Table(
    "insect",
    (
        Insect(
            name="leaf_folder",
            scientific="Cnaphalocrocis medinalis",
            doc="from egg laying to the adult; no upper threshold and no constant of the adult was found",
            stages=(
                Stage(name="egg", lower=12.5, degree_days=57.1),
                Stage(name="larva", lower=12.2, degree_days=203.7),
                Stage(name="pupa", lower=14.2, degree_days=81.2),
            ),
            after="adult",
            closed=False,
            source="AEZ 15:207, https://www.jstage.jst.go.jp/article/aez1966/15/3/15_3_207/_article",
        ),
        Insect(
            name="striped_borer",
            scientific="Chilo suppressalis",
            doc="from egg laying to the next; the upper threshold is 35 °C in the parameter file, 38 °C in its paper",
            stages=(
                Stage(name="egg", lower=10.0, upper=35.0, degree_days=103),
                Stage(name="larva", lower=10.0, upper=35.0, degree_days=520),
                Stage(name="pupa", lower=10.0, upper=35.0, degree_days=125),
                Stage(name="adult", lower=10.0, upper=35.0, degree_days=79),
            ),
            after="egg",
            closed=True,
            source="DDRP v2, spp_params/ASRB.params; https://doi.org/10.1371/journal.pone.0244005",
        ),
        Insect(
            name="brown_planthopper",
            scientific="Nilaparvata lugens",
            doc="INFERRED: the delta's cycle of 22.38 days, taken at the optimum of 27.5 °C over 12.2 °C, the "
            "threshold of instars 1 to 3 (11.3 °C for 4 and 5), shared out as 7 days of egg and 12.5 of nymph; no "
            "faster above 32 °C, which harms it",
            stages=(
                Stage(name="egg", lower=12.2, upper=32.0, degree_days=_HOPPER_CYCLE * _HOPPER_EGG),
                Stage(name="nymph", lower=12.2, upper=32.0, degree_days=_HOPPER_CYCLE * (1 - _HOPPER_EGG)),
            ),
            after="adult, and with it the next egg",
            closed=True,
            source="cycle: Nguyen Van Huynh et al., https://thnlscantho-3.page.tl/; thresholds, optimum: "
            "https://esa.confex.com/esa/2001/techprogram/paper_3564.htm; 32 °C: ijerd 12:108; the degree-days are in "
            "none of them",
        ),
    ),
)
