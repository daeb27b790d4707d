"""Whether a scene's pixels fit what its metadata say of their offset: dark things must be dark, and not below zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast.catalog.bands import SCL
from rs_forecast.sources._blocks import read_reflectance
from rs_forecast.sources.scene import BandFile, Scene

OFFSET = 0.1
"""The offset that processing baseline 04.00 brought, as reflectance: forgotten, or taken off twice."""

RANGES = {
    4: {"blue": (-0.03, 0.105), "red": (-0.02, 0.12), "nir": (0.12, 0.6), "swir1": (0.03, 0.32), "swir2": (0.01, 0.21)},
    6: {"nir": (-0.03, 0.1), "swir1": (-0.03, 0.07), "swir2": (-0.03, 0.06)},
}
"""Where the median reflectance over pixels classed as vegetation (4) and water (6) lies. For vegetation these are the
medians of some 150 clear dates over fields in Flanders and Tanzania (2017-2021, baselines 02 and 03, which have no
offset), with a margin; water takes up near and short-wave infrared, also where it is turbid."""

_LEAST = 100
"""Pixels of a class that a median needs."""
_WINDOW = 48
_LATTICES = (3, 6, 12)
"""Windows a side that are looked at: more of them only while too few pixels are found."""


def implausible(scene: Scene) -> str:
    """Say why the pixels contradict the scene's offset; an empty text where they do not, or nothing can be told.

    Some windows of the scene are read, and the medians of its vegetation and water held against :data:`RANGES`. The
    scene is implausible only if it falls outside and would fit, class by class and band by band, were all reflectance
    0.1 lower or higher. What fits neither way (haze, sunglint, flooded seedlings) is weather, and not told.

    Raises
    ------
    SourceError
        A block cannot be decoded.
    """
    medians = class_medians(scene)
    if not medians or _misfits(medians, 0.0) == []:
        return ""
    for shift in (OFFSET, -OFFSET):
        if not _misfits(medians, shift):
            found = ", ".join(_misfits(medians, 0.0))
            way = "high" if shift > 0 else "low"
            return f"reflectance is {abs(shift):g} too {way}: {found}; its offset is declared wrongly"
    return ""


def class_medians(scene: Scene) -> dict[tuple[int, str], float]:
    """Return the median reflectance of windows of ``scene`` by class and band, below zero too.

    Classes with fewer than 100 pixels in the windows are left out.
    """
    if SCL not in scene.bands:
        return {}
    grid = scene.bands[SCL].geobox
    rows = cols = np.zeros(0, np.int64)
    classes = np.zeros(0, np.float32)
    for lattice in _LATTICES:
        rows, cols = _windows(grid, lattice)
        classes = read_reflectance(replace(scene.bands[SCL], scale=1.0, offset=0.0), grid, rows, cols)
        if all((classes == code).sum() >= _LEAST for code in RANGES):
            break
    found = {}
    for code, ranges in RANGES.items():
        here = classes == code
        for name in ranges.keys() & scene.bands.keys() if here.sum() >= _LEAST else ():
            values = _signed(scene.bands[name], grid, rows[here], cols[here])
            if np.isfinite(values).sum() >= _LEAST:
                found[code, name] = float(np.nanmedian(values))
    return found


def _signed(band: BandFile, grid: GeoBox, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return reflectance that is not cut at 0."""
    raw = read_reflectance(replace(band, scale=1.0, offset=0.0), grid, rows, cols)
    return (raw * band.scale + band.offset).astype(np.float32)


def _windows(grid: GeoBox, lattice: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the pixels in a lattice of windows; of all pixels where the windows would touch."""
    lines = [np.flatnonzero(_lit(count, lattice)) for count in grid.shape]
    rows, cols = np.meshgrid(*lines, indexing="ij")
    return rows.ravel().astype(np.int64), cols.ravel().astype(np.int64)


def _lit(count: int, lattice: int) -> NDArray[np.bool_]:
    lit = np.zeros(count, bool)
    for first in np.linspace(0, max(count - _WINDOW, 0), lattice).astype(int):
        lit[first : first + _WINDOW] = True
    return lit


def _misfits(medians: dict[tuple[int, str], float], shift: float) -> list[str]:
    said = []
    for (code, name), value in sorted(medians.items()):
        low, high = RANGES[code][name]
        if not low <= value - shift <= high:
            what = {4: "vegetation", 6: "water"}[code]
            said.append(f"{name} of {what} {value:.3f} (allowed {low:g} to {high:g})")
    return said
