"""Features of parcels at an issue date, from tables that :mod:`rs_forecast.asof` has cut at it: a source a module.

Every function refuses a table with a row known later. Windows end on the issue date, or, for weather, on the newest day
known, so that the days by which a source is late shift a window and do not thin it.
"""

from rs_forecast.features._columns import Columns, main_sites
from rs_forecast.features.areas import area_features
from rs_forecast.features.calendar import calendar_features
from rs_forecast.features.crops import crop_features
from rs_forecast.features.imagery import SIGNAL_STATS, signal_features
from rs_forecast.features.process import process_features, process_reading
from rs_forecast.features.surveys import survey_features
from rs_forecast.features.traps import trap_features
from rs_forecast.features.weather import Ahead, ahead_text, archived_share, choose_ahead, weather_features

EVERYWHERE = frozenset(
    ("week_sin", "week_cos", "clear_looks_90d", "survey_near_visits", "survey_region_event_rate", "survey_region_trend",
     "survey_week_event_rate")
)  # fmt: skip
"""Features that a parcel far from every source has all the same."""

__all__ = [
    "EVERYWHERE",
    "SIGNAL_STATS",
    "Ahead",
    "Columns",
    "ahead_text",
    "archived_share",
    "area_features",
    "calendar_features",
    "choose_ahead",
    "crop_features",
    "main_sites",
    "process_features",
    "process_reading",
    "signal_features",
    "survey_features",
    "trap_features",
    "weather_features",
]
