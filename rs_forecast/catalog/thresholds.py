"""Severity levels of survey standards: cited, versioned, and marked by who has held them against the document.

No row below has been verified by a person with the standard at hand. Until ``verified_by`` is filled in, a level's
value may stand as a declared threshold, and no product prints a severity word from it.
"""

from __future__ import annotations

from collections.abc import Mapping
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


_STANDARD = "half, once and twice the level of {} quoted for QCVN 01-166:2014/BNNPTNT; not seen in the standard"


def _levels(pest: str, level: float, unit: str, quoted: str) -> tuple[Level, ...]:
    """Return light, medium and heavy as half, once and twice the standard's level; no source that was seen says so."""
    shares = {"light": 0.5, "medium": 1.0, "heavy": 2.0}
    return tuple(
        Level(pest=pest, severity=name, value=share * level, unit=unit, source=_STANDARD.format(quoted))
        for name, share in shares.items()
    )


LEVELS: Table[Level] = Table(
    "level",
    (
        *_levels("brown_planthopper", 1500, "insects/m2", "1500/m2"),
        *_levels("white_backed_planthopper", 1500, "insects/m2", "1500/m2"),
        *_levels("leaf_folder", 50, "larvae/m2", "50/m2 at tillering (20/m2 from booting on)"),
        *_levels("stem_borer", 10, "%", "10 % dead hearts (5 % white heads)"),
        *_levels("leaf_blast", 10, "%", "10 % of leaves"),
        *_levels("neck_blast", 5, "%", "5 % of panicles"),
        *_levels("bacterial_blight", 20, "%", "20 % of leaves"),
        *_levels("sheath_blight", 20, "%", "20 % of tillers"),
        *_levels("rats", 5, "%", "5 % of tillers"),
    ),
)


def severity_word(pest: str, value: float, unit: str, levels: Mapping[str, Level] = LEVELS) -> str | None:
    """Return the severity of a value in words a standard gives it, None below the lightest.

    Only levels that a person has verified, and whose unit is the value's, speak; without one the answer is None.
    """
    rows = [row for row in levels.values() if row.pest == pest and row.unit == unit and row.verified_by]
    reached = [row for row in rows if value >= row.value]
    return max(reached, key=lambda row: row.value).severity if reached else None
