"""Forecasts of crop pests, field by field, from Sentinel-2, weather and surveys.

The names below are the whole public interface; each is imported from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rs_forecast.config import load_config
    from rs_forecast.cube import add_indices, open_cube
    from rs_forecast.dataset import build_dataset
    from rs_forecast.evaluate import cross_validate
    from rs_forecast.maps import write_risk_map
    from rs_forecast.model import RiskModel
    from rs_forecast.pipeline import run
    from rs_forecast.signals import extract_signals
    from rs_forecast.sources.parcels import read_parcels
    from rs_forecast.sources.surveys import read_surveys
    from rs_forecast.sources.weather import get_weather

__version__ = "0.1.0"

_HOMES = {
    "load_config": "config",
    "read_parcels": "sources.parcels",
    "open_cube": "cube",
    "add_indices": "cube",
    "extract_signals": "signals",
    "get_weather": "sources.weather",
    "read_surveys": "sources.surveys",
    "build_dataset": "dataset",
    "RiskModel": "model",
    "cross_validate": "evaluate",
    "write_risk_map": "maps",
    "run": "pipeline",
}

__all__ = [
    "RiskModel",
    "add_indices",
    "build_dataset",
    "cross_validate",
    "extract_signals",
    "get_weather",
    "load_config",
    "open_cube",
    "read_parcels",
    "read_surveys",
    "run",
    "write_risk_map",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rs_forecast' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rs_forecast.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
