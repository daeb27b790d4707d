"""What a rice field reflects from sowing to stubble, as mixture of a few surfaces; and what lies around it."""

from __future__ import annotations

from typing import Any

import numpy as np

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def _spectrum(*values: float) -> np.ndarray:
    return np.array(values)


FLOODED = _spectrum(0.062, 0.082, 0.086, 0.090, 0.093, 0.096, 0.100, 0.099, 0.048, 0.032)
SOIL = _spectrum(0.075, 0.098, 0.125, 0.148, 0.168, 0.180, 0.196, 0.208, 0.255, 0.215)
STRAW = _spectrum(0.085, 0.118, 0.160, 0.188, 0.215, 0.230, 0.250, 0.262, 0.300, 0.240)
WEEDS = _spectrum(0.045, 0.075, 0.065, 0.115, 0.205, 0.240, 0.270, 0.285, 0.205, 0.130)
CANOPY = _spectrum(0.022, 0.052, 0.027, 0.082, 0.275, 0.360, 0.415, 0.435, 0.170, 0.080)
RIPE = _spectrum(0.050, 0.096, 0.105, 0.150, 0.235, 0.270, 0.300, 0.312, 0.240, 0.155)
BURNT = _spectrum(0.066, 0.086, 0.118, 0.142, 0.166, 0.182, 0.200, 0.212, 0.285, 0.215)
"""Hopperburn: the straw colour of a dead stand."""

NITROGEN = _spectrum(-0.03, -0.05, -0.05, -0.13, -0.03, 0.02, 0.03, 0.03, -0.02, -0.03)
"""Relative change of the canopy per standard deviation of nitrogen: most of it in the red edge."""

SURFACES = {
    "canal": _spectrum(0.068, 0.088, 0.086, 0.080, 0.062, 0.055, 0.048, 0.044, 0.018, 0.012),
    "river": _spectrum(0.078, 0.104, 0.108, 0.100, 0.074, 0.068, 0.058, 0.052, 0.016, 0.010),
    "pond": _spectrum(0.045, 0.065, 0.052, 0.048, 0.038, 0.035, 0.032, 0.030, 0.014, 0.010),
    "dyke": _spectrum(0.095, 0.125, 0.155, 0.175, 0.200, 0.212, 0.228, 0.238, 0.270, 0.225),
    "grass": _spectrum(0.040, 0.072, 0.056, 0.108, 0.215, 0.255, 0.290, 0.300, 0.195, 0.115),
    "trees": _spectrum(0.024, 0.044, 0.030, 0.072, 0.205, 0.255, 0.290, 0.305, 0.145, 0.068),
    "village": _spectrum(0.105, 0.125, 0.140, 0.155, 0.178, 0.188, 0.205, 0.212, 0.225, 0.190),
}
"""Reflectance of what is no rice, by kind of cover."""


def paddy(age: Any, since_harvest: Any, nitrogen: Any, burn: Any) -> np.ndarray:
    """Return (field, band) surface reflectance.

    Parameters
    ----------
    age
        Days since sowing, NaN without a crop; from -8 on the field is under water.
    since_harvest
        Days since the last harvest; counts where ``age`` is NaN.
    nitrogen
        Standard score.
    burn
        Dead share of the canopy, 0-1.
    """
    age, rest = np.asarray(age, float), np.asarray(since_harvest, float)
    cropped = np.isfinite(age)
    age = np.where(cropped, age, 0.0)
    cover = np.where(cropped, 0.97 / (1 + np.exp(-(age - 29) / 6.0)) - 0.008, 0.0).clip(0)
    ripe = 1 / (1 + np.exp(-(age - 84) / 4.5))
    drained = 1 / (1 + np.exp(-(age - 80) / 4.0))
    leaf = CANOPY * (1 + NITROGEN * np.asarray(nitrogen)[:, None])
    leaf = _mix(leaf, RIPE, ripe)
    stand = _mix(_mix(FLOODED, SOIL, drained), leaf, cover)
    stand = _mix(stand, BURNT, np.asarray(burn) * np.clip(cover * 1.05, 0, 1))
    return np.where(cropped[:, None], stand, _fallow(rest))


def _fallow(rest: np.ndarray) -> np.ndarray:
    """Straw, then weeds; a field that rests for long is let flood."""
    weedy = 0.45 * np.clip((rest - 6) / 40, 0, 1)
    under_water = np.clip((rest - 40) / 15, 0, 1)
    field = _mix(_mix(STRAW, SOIL, np.clip(rest / 20, 0, 1)), WEEDS, weedy)
    return _mix(field, FLOODED, 0.92 * under_water)


def _mix(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.asarray(one + (other - one) * share[:, None])
