"""Stages of crops: their names in Vietnamese, the BBCH scale, and the days that each lasts.

Days are those of http://bvtv.phuyen.gov.vn: seedling 8-10, tillering 25-30, booting 20-25, heading to ripening 28-30;
no source that was seen parts the last one, and its thirds are ours. Which BBCH codes go with which Vietnamese name is
ours too; the codes are those of https://en.wikipedia.org/wiki/BBCH-scale_(rice). Nobody has verified either in the
field.
"""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError

_BBCH_ENDS = 99


@dataclass(frozen=True, kw_only=True)
class CropStage:
    """One stage of one crop; stages of a crop follow one another as they are listed."""

    crop: str
    stage: str
    label: str
    """Its name where it is spoken of."""
    bbch: tuple[int, int]
    """First and last code."""
    days: tuple[float, float]
    """The fewest and the most days that it lasts; 0 for a mere moment, which no age is ever in."""

    @property
    def name(self) -> str:
        """Unique name of the row."""
        return f"{self.crop}_{self.stage}"

    def __post_init__(self) -> None:
        if not 0 <= self.bbch[0] <= self.bbch[1] <= _BBCH_ENDS:
            raise ConfigError(
                f"stage {self.stage!r} of {self.crop}: bbch {list(self.bbch)}; allowed are two rising codes, 0-99"
            )
        if not 0 <= self.days[0] <= self.days[1] <= 400:
            raise ConfigError(
                f"stage {self.stage!r} of {self.crop}: days {list(self.days)}; allowed are two rising numbers, 0-400"
            )


def _rice(stage: str, label: str, bbch: tuple[int, int], days: tuple[float, float]) -> CropStage:
    return CropStage(crop="rice", stage=stage, label=label, bbch=bbch, days=days)


_THIRD = (28 / 3, 30 / 3)

STAGES: Table[CropStage] = Table(
    "stage",
    (
        _rice("seedling", "mạ", (10, 19), (8, 10)),
        _rice("tillering", "đẻ nhánh", (21, 29), (25, 30)),
        _rice("panicle_initiation", "đứng cái", (30, 30), (0, 0)),
        _rice("booting", "làm đòng", (32, 49), (20, 25)),
        _rice("heading", "trổ", (51, 69), _THIRD),
        _rice("milk", "ngậm sữa", (71, 77), _THIRD),
        _rice("ripening", "chắc xanh/chín", (83, 89), _THIRD),
    ),
)
"""By crop, in order. The last stage holds until the harvest."""
