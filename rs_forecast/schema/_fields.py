"""Names of columns and dimensions, and what a cell of each may hold: the tables in ``docs/`` are made from them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

TIME, Y, X = "time", "y", "x"
DIMS = (TIME, Y, X)

PARCEL = "parcel_id"
ROW = "row"
"""Name of the index of a table just read: the row's number in its file, the header being row 1."""

STATS = ("mean", "std", "p10", "p50", "p90")
"""Statistics of a signal; its columns are ``<index>_<stat>``."""

RISK_CLASSES = ("low", "moderate", "high", "very_high")
NOT_ASSESSABLE = "not_assessable"
STATUSES = ("ok", "stale", "no_imagery", NOT_ASSESSABLE)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column of a table."""

    name: str
    kind: Literal["text", "day", "number"]
    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    required: bool = True
    nullable: bool = False

    @property
    def rule(self) -> str:
        """What a cell may hold, in words."""
        if self.allowed:
            return "one of " + ", ".join(self.allowed)
        if self.kind == "text":
            return "a text"
        if self.kind == "day":
            return "a day such as 2026-03-02"
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"a number from {self.low:g} to {self.high:g}{unit}"
        if self.low is not None:
            return f"a number of at least {self.low:g}{unit}"
        return f"a number{unit}"


def _weather_field(name: str, unit: str, low: float, high: float, doc: str) -> Field:
    return Field(name=name, kind="number", doc=doc, unit=unit, low=low, high=high, required=False, nullable=True)


_ID = Field(name=PARCEL, kind="text", doc="the parcel")
_KNOWN = Field(name="known_at", kind="day", doc="the day the office could have had the row")

WEATHER_VARIABLES = (
    _weather_field("temp_mean", "°C", -60, 55, "mean air temperature of the day"),
    _weather_field("temp_min", "°C", -70, 50, "lowest air temperature of the day"),
    _weather_field("temp_max", "°C", -50, 60, "highest air temperature of the day"),
    _weather_field("rh_mean", "%", 0, 100, "mean relative humidity"),
    _weather_field("rh_min", "%", 0, 100, "lowest relative humidity"),
    _weather_field("rh_max", "%", 0, 100, "highest relative humidity"),
    _weather_field("rain_sum", "mm", 0, 1900, "rain of the day"),
    _weather_field("wind_mean", "m/s", 0, 110, "mean wind speed"),
    _weather_field("radiation_sum", "MJ/m2", 0, 50, "global radiation of the day"),
    _weather_field("sunshine_hours", "h", 0, 24, "hours of sunshine"),
    _weather_field("wet_hours", "h", 0, 24, "hours with wet leaves"),
)
WEATHER_NAMES = tuple(field.name for field in WEATHER_VARIABLES)

WEATHER = (
    Field(name="site", kind="text", doc="grid cell or station"),
    Field(name="date", kind="day", doc="the day the values are of"),
    _KNOWN,
    *WEATHER_VARIABLES,
)
WEATHER_WEIGHTS = (
    _ID,
    Field(name="site", kind="text", doc="grid cell or station"),
    Field(name="weight", kind="number", doc="share of the site in the parcel's weather", low=0, high=1),
)
SURVEYS = (
    _ID,
    Field(name="date", kind="day", doc="the day of the visit"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="value", kind="number", doc="what was counted; a zero is a finding (absence)", low=0),
    Field(name="unit", kind="text", doc="unit of the value"),
    Field(name="stage", kind="text", doc="stage of the crop", required=False, nullable=True),
    Field(name="method", kind="text", doc="how it was counted", required=False, nullable=True),
    Field(name="reason", kind="text", doc="why the field was visited", required=False, nullable=True,
          allowed=("routine", "random", "map", "complaint")),
    Field(name="treated_on", kind="day", doc="last treatment before the visit", required=False, nullable=True),
)  # fmt: skip
AREAS = (
    Field(name="place", kind="text", doc="code of a commune, a sub-zone, or the province"),
    Field(name="week", kind="day", doc="Monday of the week that is reported"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="stage", kind="text", doc="stage of the crop", required=False, nullable=True),
    *(
        Field(name=name, kind="number", doc=doc, unit=unit, low=0, required=False, nullable=True)
        for name, doc, unit in (
            ("low", "lower end of the common density or rate", ""),
            ("high", "upper end of the common density or rate", ""),
            ("peak", "highest density or rate found", ""),
            ("infested_ha", "infested area", "ha"),
            ("light_ha", "lightly infested, as reported", "ha"),
            ("medium_ha", "infested to a medium degree, as reported", "ha"),
            ("heavy_ha", "heavily infested, as reported", "ha"),
            ("lost_ha", "area lost", "ha"),
            ("last_year_ha", "infested in the same period of last year", "ha"),
            ("treated_ha", "treated area", "ha"),
        )
    ),
    Field(name="distribution", kind="text", doc="where, in words", required=False, nullable=True),
)  # fmt: skip
"""Weekly reports of whole areas: the columns of the plant protection service's annex."""
CROPS = (
    _ID,
    Field(name="season", kind="text", doc="season of the crop", required=False, nullable=True),
    Field(name="crop", kind="text", doc="crop grown", required=False, nullable=True),
    Field(name="variety", kind="text", doc="variety", required=False, nullable=True),
    Field(name="sown", kind="day", doc="day of sowing"),
    Field(name="harvested", kind="day", doc="day of harvest", required=False, nullable=True),
    _KNOWN,
)
TRAPS = (
    Field(name="trap_id", kind="text", doc="the trap"),
    Field(name="lon", kind="number", doc="longitude of the trap, WGS 84", unit="°E", low=-180, high=180),
    Field(name="lat", kind="number", doc="latitude of the trap, WGS 84", unit="°N", low=-90, high=90),
    Field(name="date", kind="day", doc="the day the trap was emptied"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="count", kind="number", doc="what was in it, of all its nights together; a zero is a finding", low=0,
          nullable=True),
    Field(name="nights", kind="number", doc="nights it was lit for; 0: the count says nothing", low=0, high=366),
    Field(name="working", kind="text", doc="whether it worked; no: the count says nothing", allowed=("yes", "no")),
)  # fmt: skip
SIGNALS = (
    _ID,
    Field(name="date", kind="day", doc="day of the overpass"),
    _KNOWN,
    Field(name="tile", kind="text", doc="tile of the scene"),
    Field(name="scene_id", kind="text", doc="the scene"),
    Field(name="geom_hash", kind="text", doc="hash of the parcel's geometry"),
    Field(name="valid_weight", kind="number", doc="clear pixels in the parcel, by coverage", unit="pixels", low=0),
    Field(name="valid_fraction", kind="number", doc="clear share of the parcel's area", low=0, high=1.000001),
)  # fmt: skip

DATASET_KEY = (PARCEL, "issued", "pest", "horizon_weeks")
DATASET = (
    _ID,
    Field(name="issued", kind="day", doc="day the forecast is made on"),
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="horizon_weeks", kind="number", doc="weeks ahead", low=1, high=52),
    Field(name="valid_from", kind="day", doc="Monday of the week that is forecast"),
    Field(name="valid_to", kind="day", doc="Sunday of the week that is forecast"),
    Field(name="season", kind="text", doc="season of the valid week"),
    Field(name="commune_code", kind="text", doc="commune", nullable=True),
    Field(name="sub_zone", kind="text", doc="dyke sub-zone", nullable=True),
    Field(name="status", kind="text", doc="what the forecast rests on", allowed=STATUSES),
    Field(name="last_clear_obs", kind="day", doc="last clear look from space", nullable=True),
    Field(name="label", kind="number", doc="1 if the event was found, 0 if not, NaN if nobody looked",
          low=0, high=1, nullable=True),
    Field(name="label_known_at", kind="day", doc="the day the label was known", nullable=True),
)  # fmt: skip
RISK = (
    *DATASET[:6],
    Field(name="probability", kind="number", doc="chance of the event in the valid week", low=0, high=1, nullable=True),
    Field(name="lower", kind="number", doc="lower bound of the probability", low=0, high=1, nullable=True),
    Field(name="upper", kind="number", doc="upper bound of the probability", low=0, high=1, nullable=True),
    Field(name="risk_class", kind="text", doc="class of the probability", allowed=(*RISK_CLASSES, NOT_ASSESSABLE)),
    Field(name="reasons", kind="text", doc="what weighed most, strongest first", nullable=True),
    Field(name="last_clear_obs", kind="day", doc="last clear look from space", nullable=True),
    Field(name="data_age_days", kind="number", doc="days since that look", low=0, nullable=True),
    Field(name="status", kind="text", doc="what the forecast rests on", allowed=STATUSES),
    Field(name="model_id", kind="text", doc="model or baseline that made the forecast"),
)  # fmt: skip

_NOT_FEATURES = frozenset(field.name for field in DATASET) | {"geometry"}


def feature_names(dataset: pd.DataFrame) -> list[str]:
    """Return the dataset's feature columns in order: all that is neither key, label nor bookkeeping.

    ``horizon_weeks`` is a key, and the model adds it by itself.
    """
    return [str(name) for name in dataset.columns if name not in _NOT_FEATURES]
