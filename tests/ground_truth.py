"""SYNTHETIC ground that every double of a provider serves: digital numbers as a fixed function of place and date.

A value depends on the pixel of the band's own size that holds the point, so any grid agrees with any other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast.catalog.bands import BAND_OF_CODE, BANDS

BLOCK = 200
"""Side of the squares that are clear, clouded or missing as one [m]."""
_BASE = {
    "B01": 300, "B02": 400, "B03": 700, "B04": 500, "B05": 1100, "B06": 2300, "B07": 2800, "B08": 3000, "B8A": 3200,
    "B11": 1900, "B12": 1000,
}  # fmt: skip
_CLASSES = np.array([0, 9, 9, 3, 4, 4, 4, 5, 5, 6], np.uint8)


def size_of(code: str) -> int:
    """Return the native pixel size of a band [m]."""
    return BANDS[BAND_OF_CODE[code]].resolution


def ground(code: str, x: np.ndarray, y: np.ndarray, date: object) -> np.ndarray:
    """Return what a band shows at UTM coordinates of one zone [m], which are broadcast against each other.

    Reflectance is uint16 DN without offset (harmonised: ``DN * 1e-4``), at least 1, and 0 where there is no data;
    ``SCL`` is uint8.
    """
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    day = pd.Timestamp(date).normalize().toordinal()  # type: ignore[arg-type]
    classes = _CLASSES[_mixed(np.floor(x / BLOCK), np.floor(y / BLOCK), day) % len(_CLASSES)]
    if code == "SCL":
        return classes
    size = size_of(code)
    column, row = np.floor(x / size), np.floor(y / size)
    season = 0.5 + 0.3 * np.sin(2 * np.pi * day / 120 + column * size / 900) * np.cos(row * size / 1300)
    numbers = _BASE[code] * (0.5 + season) + _mixed(column, row, 31 * day + _BASE[code]) % 200
    numbers = numbers + np.where(classes == 9, 4000, 0) - np.where(classes == 3, 200, 0)
    return np.where(classes == 0, 0, np.maximum(numbers, 1)).astype(np.uint16)


def centres(bounds: tuple[float, float, float, float], size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, columns) and y (rows, 1) of the pixel centres in ``bounds`` (left, bottom, right, top), north up."""
    left, bottom, right, top = bounds
    columns, rows = round((right - left) / size), round((top - bottom) / size)
    return left + size * (np.arange(columns)[None, :] + 0.5), top - size * (np.arange(rows)[:, None] + 0.5)


def _mixed(a: np.ndarray, b: np.ndarray, seed: int) -> np.ndarray:
    """Return numbers that look random, from whole ones."""
    a, b = (np.asarray(v).astype(np.int64).astype(np.uint64) for v in (a, b))
    with np.errstate(over="ignore"):
        mixed = a * np.uint64(0x9E3779B97F4A7C15) ^ b * np.uint64(0xC2B2AE3D27D4EB4F) ^ np.uint64(seed * 0x165667B1)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(33)).astype(np.int64)
