"""Spectral indices, each a formula over the band names of :mod:`rs_forecast.catalog.bands`."""

from __future__ import annotations

from dataclasses import dataclass, field

from rs_forecast.catalog._table import Table
from rs_forecast.catalog.bands import BANDS
from rs_forecast.catalog.formula import Formula, parse
from rs_forecast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Index:
    """One spectral index of surface reflectance (0-1). Outside ``valid`` a pixel is NaN, never clipped."""

    name: str
    formula: str
    valid: tuple[float, float]
    doi: str
    doc: str
    parsed: Formula = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name in BANDS:
            raise ConfigError(f"index {self.name!r}: a band has that name; choose another")
        if not self.valid[0] < self.valid[1]:
            raise ConfigError(f"index {self.name!r}: valid {list(self.valid)} must be [lowest, highest]")
        object.__setattr__(self, "parsed", parse(self.formula, tuple(BANDS), f"index {self.name!r}"))


INDICES: Table[Index] = Table(
    "index",
    (
        Index(
            name="ndvi",
            formula="(nir - red) / (nir + red)",
            valid=(-1.0, 1.0),
            doi="10.1016/0034-4257(79)90013-0",
            doc="greenness; saturates in a closed canopy",
        ),
        Index(
            name="evi",
            formula="2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)",
            valid=(-1.0, 2.0),
            doi="10.1016/S0034-4257(02)00096-2",
            doc="greenness that saturates later than NDVI; explodes over cloud and snow, hence the range",
        ),
        Index(
            name="ndre",
            formula="(nir - red_edge1) / (nir + red_edge1)",
            valid=(-1.0, 1.0),
            doi="10.1016/S0176-1617(11)81633-0",
            doc="chlorophyll of a closed canopy, a proxy of nitrogen",
        ),
        Index(
            name="lswi",
            formula="(nir - swir1) / (nir + swir1)",
            valid=(-1.0, 1.0),
            doi="10.1016/j.rse.2004.12.009",
            doc="water of leaves and soil; above NDVI in a flooded paddy",
        ),
    ),
)
