"""What a row of the index catalogue holds, and the groups that rows stand in."""

from __future__ import annotations

from dataclasses import dataclass, field

from rs_forecast.catalog.bands import BANDS
from rs_forecast.catalog.formula import Formula, parse
from rs_forecast.errors import ConfigError

OWN = "own"
GROUPS = {
    "greenness": "how much green there is",
    "chlorophyll": "how much chlorophyll the green holds, a proxy of nitrogen",
    "canopy": "leaf area, and the light that it takes up",
    "water": "water of leaves, of the soil, and standing in the paddy",
    "senescence": "ripening, pigments of stress, disease",
    "soil_adjusted": "greenness of a young or thin stand, the soil between taken out",
    "residue": "fields after harvest: bare, tilled, under straw, burnt",
    OWN: "declared in a config",
}
"""Groups of indices, and what each tells."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """One spectral index of surface reflectance (0-1). Outside ``valid`` a pixel is NaN, never clipped."""

    name: str
    formula: str
    valid: tuple[float, float]
    """What reflectance of 0-1 can give; where a denominator can vanish, what a surface on land can show."""
    doi: str
    """The paper that gives the formula; empty for an index of one's own."""
    doc: str
    group: str = OWN
    unit: str = "1"
    parsed: Formula = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name in BANDS:
            raise ConfigError(f"index {self.name!r}: a band has that name; choose another")
        if not self.valid[0] < self.valid[1]:
            raise ConfigError(f"index {self.name!r}: valid {list(self.valid)} must be [lowest, highest]")
        object.__setattr__(self, "parsed", parse(self.formula, tuple(BANDS), f"index {self.name!r}"))
