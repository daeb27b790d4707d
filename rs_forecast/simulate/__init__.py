"""A synthetic rice valley with known truth, and no download: fields, scenes, weather, crops, surveys.

It shares no code with what is tested against it.
"""

from __future__ import annotations

from rs_forecast.simulate.pest import Hopper
from rs_forecast.simulate.valley import Valley, ValleyTables, simulate, simulate_tables

__all__ = ["Hopper", "Valley", "ValleyTables", "simulate", "simulate_tables"]
