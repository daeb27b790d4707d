"""Pests: the host, what is counted, and which count is the event that is forecast."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError

_EVENT = re.compile(r"\s*([a-z_]\w*)\s*(>=|>)\s*(\d+(?:\.\d+)?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], object]] = {">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True, kw_only=True)
class Pest:
    """One pest on one crop. The event is written ``<what is counted> >= <threshold>``, in ``unit``."""

    name: str
    event: str
    unit: str
    doc: str
    crop: str = ""
    """The host; parcels of another crop are not assessable. Empty: any crop."""
    scientific: str = ""
    stale_after_days: int = 30
    """A forecast whose last clear look is older than this is marked ``stale``."""
    levels: tuple[tuple[str, float], ...] = ()
    """Severity levels that a config declares, lightest first: the value each begins at. They are kept in the model's
    card; no product prints their words."""
    source: str = ""
    verified: bool = False
    """Whether a person has held the threshold against its source."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple((str(name), float(value)) for name, value in self.levels))
        _ = self._parts

    @property
    def threshold(self) -> float:
        """The value at which the event begins [``unit``]."""
        return float(self._parts[2])

    @property
    def measure(self) -> str:
        """What is counted, such as ``density``."""
        return self._parts[0]

    @property
    def event_text(self) -> str:
        """The event in words: ``density >= 750 insects/m2``."""
        return f"{self.measure} {self._parts[1]} {self.threshold:g} {self.unit}"

    def is_event(self, values: object) -> object:
        """Return for each value whether it is the event; an array for an array."""
        return _COMPARE[self._parts[1]](values, self.threshold)

    @property
    def _parts(self) -> tuple[str, str, str]:
        match = _EVENT.fullmatch(self.event)
        if match is None:
            raise ConfigError(
                f"pest {self.name!r}: the event {self.event!r} cannot be read; write it as 'density >= 750'"
            )
        return match[1], match[2], match[3]


PESTS: Table[Pest] = Table(
    "pest",
    (
        Pest(
            name="brown_planthopper",
            crop="rice",
            event="density >= 750",
            unit="insects/m2",
            scientific="Nilaparvata lugens",
            doc="sucks at the stem base and carries grassy stunt; imagery shows the crop it needs and the damage it "
            "leaves, never the insect",
            source="the level 'light' of rs_forecast.catalog.thresholds; unverified",
        ),
    ),
)
