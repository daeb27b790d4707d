"""Risk classes: their raster codes, words, colours and limits.

The words are of likelihood only. The colours are those of ColorBrewer's YlOrRd, the upper two darkened: each pair
differs for colour-blind readers, and five greys are left in a black and white copy, "not assessable" between high and
very high. The tests measure both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.catalog import Pest
from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError, SchemaError, listing
from rs_forecast.risk import CLASS_LIMITS
from rs_forecast.schema import NOT_ASSESSABLE, PARCEL, RISK_CLASSES

CLASS_NODATA = 255
PROBABILITY_NODATA = -9999.0
DECIMALS = 4
"""Decimals of a published probability: the same rounded number goes into raster and GeoJSON."""


@dataclass(frozen=True, kw_only=True)
class RiskClass:
    """One class of the map."""

    name: str
    code: int
    """Value in class rasters."""
    words: str
    colour: str


CLASSES: Table[RiskClass] = Table(
    "risk class",
    (
        RiskClass(name="low", code=0, words="low", colour="#ffffb2"),
        RiskClass(name="moderate", code=1, words="moderate", colour="#fecc5c"),
        RiskClass(name="high", code=2, words="high", colour="#f5762b"),
        RiskClass(name="very_high", code=3, words="very high", colour="#a50026"),
        RiskClass(name=NOT_ASSESSABLE, code=254, words="not assessable", colour="#767676"),
    ),
)


def check_limits(limits: Sequence[float]) -> tuple[float, ...]:
    """Return the class limits as floats; ConfigError unless they are three, rising, between 0 and 1."""
    values = tuple(float(limit) for limit in limits)
    rising = all(low < high for low, high in zip((0.0, *values), (*values, 1.0), strict=True))
    if len(values) != len(RISK_CLASSES) - 1 or not rising:
        raise ConfigError(
            f"class_limits: found {list(limits)}, allowed are three rising probabilities between 0 and 1 "
            f"such as {list(CLASS_LIMITS)}"
        )
    return values


def check_classes(risk: pd.DataFrame, limits: Sequence[float]) -> None:
    """Raise :class:`SchemaError` where a class is not the one of its probability: the legend would be wrong.

    A class begins at its limit. A probability on the limit itself may stand in either class.
    """
    probability = risk["probability"].to_numpy("float64")
    found = class_codes(risk["risk_class"])
    low, high = (np.searchsorted(limits, probability, side=side) for side in ("left", "right"))
    none = CLASSES[NOT_ASSESSABLE].code
    right = np.where(np.isnan(probability), found == none, (low <= found) & (found <= high))
    if right.all():
        return
    wrong = risk.loc[~right]
    cells = [
        f"{r[PARCEL]} is {r['risk_class']} at probability {r['probability']:g}" for _, r in wrong.head(5).iterrows()
    ]
    raise SchemaError(
        f"risk: {len(wrong)} rows have a class that class_limits {list(limits)} do not give: {listing(cells)}. "
        f"Pass the class_limits of the forecast; a row without probability is {NOT_ASSESSABLE}"
    )


def class_codes(names: pd.Series) -> NDArray[np.uint8]:
    """Return the raster code of each class name; 255 for what is none."""
    number, found = pd.factorize(names)
    known = [CLASSES[name].code if name in CLASSES else CLASS_NODATA for name in found]
    return np.array([*known, CLASS_NODATA], np.uint8)[number]


def published(probability: NDArray[np.float64], limits: Sequence[float]) -> NDArray[np.float64]:
    """Return probabilities as published: to four decimals, and never rounded over a class limit.

    0.29997 is published as 0.2999, for at 0.3 it would stand in the next class of every legend.
    """
    rounded = np.round(probability, DECIMALS)
    scaled = probability * 10**DECIMALS
    before, after = (np.searchsorted(limits, p, side="right") for p in (probability, rounded))
    rounded = np.where(after > before, np.floor(scaled) / 10**DECIMALS, rounded)
    rounded = np.where(after < before, np.ceil(scaled) / 10**DECIMALS, rounded)
    return np.round(rounded, DECIMALS)


def legend(limits: Sequence[float], pest: Pest) -> dict[str, str]:
    """Return what each class means, by name: ``high: 30-60 % chance of >= 750 insects/m2``."""
    event = pest.event_text.removeprefix("density ")
    rows = {
        name: f"{CLASSES[name].words}: {percent(low)}-{percent(high)} % chance of {event}"
        for name, low, high in zip(RISK_CLASSES, (0.0, *limits), (*limits, 1.0), strict=True)
    }
    rows[NOT_ASSESSABLE] = f"{CLASSES[NOT_ASSESSABLE].words}: no forecast, the risk is unknown"
    return rows


def percent(share: float) -> str:
    """Return a share as the number of a percentage: ``0.3`` -> ``30``."""
    return f"{100 * share:g}"
