"""Humidity of air, by the Magnus form."""

from __future__ import annotations

import math

import pandas as pd


def humidity(vapour_pressure: pd.Series, temperature: pd.Series) -> pd.Series:
    """Return relative humidity [%], at most 100, of vapour pressure [hPa] and air temperature [°C]."""
    return (100 * vapour_pressure / saturation(temperature)).clip(upper=100.0)


def saturation(temperature: pd.Series) -> pd.Series:
    """Return saturation vapour pressure over water [hPa] at ``temperature`` [°C].

    The Magnus form of Alduchov and Eskridge (1996), doi 10.1175/1520-0450(1996)035<0601:IMFAOS>2.0.CO;2.
    """
    exponent = 17.625 * temperature / (243.04 + temperature)
    return 6.1094 * exponent.map(math.exp, na_action="ignore")
