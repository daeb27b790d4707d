"""Data only: one row a thing. A row added here reaches the kernels, the docs and the tests by itself."""

from rs_forecast.catalog.bands import BANDS, Band
from rs_forecast.catalog.diseases import DISEASES, Disease
from rs_forecast.catalog.hosts import HOSTS, Host
from rs_forecast.catalog.indices import INDICES, Index
from rs_forecast.catalog.insects import INSECTS, Insect, Stage
from rs_forecast.catalog.pests import PESTS, Pest
from rs_forecast.catalog.presets import PRESETS, Preset
from rs_forecast.catalog.providers import PROVIDERS, Provider
from rs_forecast.catalog.seasons import SEASONS, Season
from rs_forecast.catalog.stages import STAGES, CropStage
from rs_forecast.catalog.thresholds import LEVELS, Level
from rs_forecast.catalog.weather_features import WEATHER_FEATURES, WeatherFeature
from rs_forecast.catalog.wet_rules import WET_RULES, WetRule

__all__ = [
    "BANDS",
    "DISEASES",
    "HOSTS",
    "INDICES",
    "INSECTS",
    "LEVELS",
    "PESTS",
    "PRESETS",
    "PROVIDERS",
    "SEASONS",
    "STAGES",
    "WEATHER_FEATURES",
    "WET_RULES",
    "Band",
    "CropStage",
    "Disease",
    "Host",
    "Index",
    "Insect",
    "Level",
    "Pest",
    "Preset",
    "Provider",
    "Season",
    "Stage",
    "WeatherFeature",
    "WetRule",
]
