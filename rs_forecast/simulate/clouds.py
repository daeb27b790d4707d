"""Clouds over one scene: broken fields of them in the monsoon, their shadows, and thin edges the mask misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rs_forecast.simulate.weather import wet_season

DRY_SHARE, WET_SHARE = 0.29, 0.72
"""Mean cloud share of a scene in the two seasons, shadows not counted."""

SPREAD = 1.5
"""Pseudo-count of the beta law of the share: small, so that many scenes are all clear or all overcast."""

MISSED = 0.014
"""Share of a scene under thin cloud that the classification calls clear."""

SHADOW_SHIFT = (-9, -12)
"""From a cloud to its shadow [20 m pixels down and right]: the morning sun stands in the south-east."""

HIGH, MEDIUM, CIRRUS, SHADOW = 9, 8, 10, 3


@dataclass(frozen=True, kw_only=True)
class Sky:
    """All on the 20 m grid."""

    opacity: np.ndarray
    """0-1."""
    shade: np.ndarray
    """1 in full sun, lower in shadow."""
    scl: np.ndarray
    """Class of cloud and shadow, 0 where the ground is seen."""


def draw_sky(shape: tuple[int, int], day_of_year: int, rng: np.random.Generator) -> Sky:
    """Return the sky of one overpass; the field of clouds is periodic, so that shadows fall from outside too."""
    wet = float(wet_season(day_of_year))
    mean = DRY_SHARE + (WET_SHARE - DRY_SHARE) * wet
    share = rng.beta(SPREAD * mean, SPREAD * (1 - mean))
    field = _rank(_fractal(shape, rng))
    thick = np.clip((field - (1 - share)) / 0.10, 0, 1)
    cloud = field >= 1 - share
    edge = ~cloud & (field >= 1 - share - MISSED)
    opacity = np.where(cloud, 0.30 + 0.68 * thick, np.where(edge, 0.06 + 0.14 * rng.random(shape), 0.0))
    shadow = np.roll(cloud, SHADOW_SHIFT, axis=(0, 1)) & ~cloud
    cirrus = rng.random() < 0.25
    scl = np.where(cloud, np.where(thick > 0.6, HIGH, CIRRUS if cirrus else MEDIUM), np.where(shadow, SHADOW, 0))
    shade = np.where(shadow, 0.42, 1.0)
    return Sky(opacity=opacity, shade=shade, scl=scl.astype(np.uint8))


def _fractal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return noise with the power law of cloud fields."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * frequency**-1.7
    return np.asarray(np.fft.irfft2(spectrum, s=shape))


def _rank(field: np.ndarray) -> np.ndarray:
    """Replace each value by its rank, 0-1: a threshold is then a share of the area."""
    rank = np.empty(field.size)
    rank[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size) / field.size
    return rank.reshape(field.shape)
