"""Severity levels of survey standards: cited, versioned, and marked by who has held them against the document.

No row below has been verified by a person with the standard at hand. Until ``verified_by`` is filled in, a level's
value may stand as a declared threshold, and no product prints a severity word from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class Level:
    """One severity level of one pest in one standard: the level begins at ``value``."""

    pest: str
    severity: str
    value: float
    unit: str
    source: str
    verified_by: str = ""

    @property
    def name(self) -> str:
        """Unique name of the row."""
        return f"{self.pest}:{self.severity}"


_HOPPER = "half, once and twice the level of 1500/m2 quoted for QCVN 01-166:2014/BNNPTNT; not seen in the standard"

LEVELS: Table[Level] = Table(
    "level",
    (
        Level(pest="brown_planthopper", severity="light", value=750, unit="insects/m2", source=_HOPPER),
        Level(pest="brown_planthopper", severity="medium", value=1500, unit="insects/m2", source=_HOPPER),
        Level(pest="brown_planthopper", severity="heavy", value=3000, unit="insects/m2", source=_HOPPER),
    ),
)
