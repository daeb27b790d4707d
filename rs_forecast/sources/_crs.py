"""Which coordinate reference system a file is in: candidates when it does not say, refusal when it says wrong."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import TransformerGroup

from rs_forecast.errors import ConfigError, DataWarning, SchemaError
from rs_forecast.sources._vn2000 import Astray, astray

CANDIDATES = (4326, 4756, 32648, 32649, 3405, 3406, *range(9205, 9219), 5896, 5897, 5898, 5899, 3857)
"""What files from Vietnam come in: WGS 84, VN-2000, their UTM zones, the TM-3 zones, web maps."""

_WEB = 3857
_ROUGH_M = 5.0
"""A shift of worse accuracy is told: half a pixel of Sentinel-2 [m]."""

_FAR_DEGREES = 6.0
"""How far outside a system's area of use coordinates may lie: a whole UTM zone, as national files do."""


class Candidate(NamedTuple):
    """A system, and the place where it would put the middle of the fields [degrees]."""

    epsg: int
    lon: float
    lat: float
    words: str


def settle_crs(frame: gpd.GeoDataFrame, crs: object, source: str) -> gpd.GeoDataFrame:
    """Return ``frame`` with the CRS that the file and the caller agree on.

    A CRS given by the caller is for files that lack one. It also replaces a declared one that the coordinates
    contradict, or that means VN-2000 and puts the fields aside; another is never overruled.

    Raises
    ------
    SchemaError
        There is none, two that disagree, one that the coordinates contradict, one whose datum has no known shift to
        WGS 84, or one that means VN-2000 and is declared with a shift of zero or the scale factor of UTM.
    """
    declared = frame.crs
    given = _parse(crs) if crs is not None else None
    middle = _middle(frame)
    if declared is None and given is None:
        raise SchemaError(f"{source}: the file does not say in which coordinate system it is.\n{_advice(middle)}")
    chosen = declared if given is None else given
    if given is not None and declared is not None and not given.equals(declared, ignore_axis_order=True):
        wrong = contradiction(middle, declared) or _in_words(declared, astray(declared, middle))
        if not wrong:
            raise SchemaError(
                f"{source}: the file declares {label(declared)}, and crs = {label(given)} is asked for. "
                "crs is for files that declare none: leave it out, or mend the file"
            )
        text = f"{source}: {label(given)} is used as asked, for the declared {label(declared)} cannot be: {wrong}"
        warnings.warn(DataWarning(text), stacklevel=3)
    wrong = contradiction(middle, chosen)
    if wrong:
        raise SchemaError(f"{source}: {label(chosen)} cannot be right: {wrong}.\n{_advice(middle)}")
    check_shift(chosen, source, middle)
    return frame.set_crs(chosen, allow_override=True)


def check_shift(crs: pyproj.CRS, source: str, middle: tuple[float, float]) -> None:
    """Raise SchemaError unless a transform from ``crs`` to WGS 84 applies the shift of its datum, around ``middle``.

    The shift of VN-2000 is some 225 m in the Mekong delta, 22 pixels of Sentinel-2.
    """
    wrong = astray(crs, middle)
    if wrong is not None:
        right = label(pyproj.CRS.from_epsg(wrong.code))
        raise SchemaError(
            f"{source}: {_in_words(crs, wrong)}. If the numbers are those of {right}, set "
            f'crs = "EPSG:{wrong.code}" under [parcels], which then counts instead of the declaration. If they were '
            "really made with it, reproject the file to WGS 84 (EPSG:4326) where they were made"
        )
    try:
        pyproj.Transformer.from_crs(crs, 4326, always_xy=True, allow_ballpark=False)
    except ProjError as err:
        raise SchemaError(
            f"{source}: {label(crs)} has a datum without a known shift to WGS 84, so fields could lie hundreds of "
            "metres aside. Reproject the file to WGS 84 (EPSG:4326) in a program that knows the datum"
        ) from err
    _warn_of_accuracy(crs, source)


def _in_words(crs: pyproj.CRS, wrong: Astray | None) -> str:
    if wrong is None:
        return ""
    return f"{label(crs)} declares VN-2000 with {wrong.why}, which puts fields some {wrong.metres:.0f} m aside"


def _warn_of_accuracy(crs: pyproj.CRS, source: str) -> None:
    """Say so when the shift at hand is rough, and what a better one would need."""
    group = TransformerGroup(crs, 4326, always_xy=True, allow_ballpark=False)
    best = min((t.accuracy for t in group.transformers if t.accuracy >= 0), default=0.0)
    if best <= _ROUGH_M:
        return
    grids = [grid.short_name for operation in group.unavailable_operations for grid in operation.grids]
    better = f"; a better one needs the grid {grids[0]} of PROJ" if grids else ""
    text = (
        f"{source}: the shift of {label(crs)} to WGS 84 is known to {best:g} m only{better}. Check a field on the map"
    )
    warnings.warn(DataWarning(text), stacklevel=5)


def contradiction(middle: tuple[float, float], crs: pyproj.CRS) -> str:
    """Return in words why coordinates around ``middle`` cannot be in ``crs``, or an empty text."""
    x, y = middle
    if math.isnan(x):
        return ""
    at = f"the fields lie around x {x:.7g}, y {y:.7g}"
    in_degrees = abs(x) <= 180 and abs(y) <= 90
    if crs.is_geographic and not in_degrees:
        swapped = abs(x) <= 90 and abs(y) <= 180
        return f"{at}, {'latitude and longitude look swapped' if swapped else 'which are not degrees'}"
    if crs.is_projected and max(abs(x), abs(y)) <= 180:
        return f"{at}, which look like degrees, not metres"
    lon, lat = _lonlat(crs, x, y)
    if not math.isfinite(lon):
        return f"{at}, outside what the system can hold"
    area = crs.area_of_use
    if area is not None and _outside(lon, lat, area) > _FAR_DEGREES:
        return f"{at}, which it puts at {place(lon, lat)}, far outside its area of use ({_short(area.name)})"
    return ""


def candidates(middle: tuple[float, float]) -> list[Candidate]:
    """Return the systems in whose own area of use ``middle`` would lie, the most central first."""
    x, y = middle
    found: list[tuple[float, Candidate]] = []
    for code in CANDIDATES:
        crs = pyproj.CRS.from_epsg(code)
        if contradiction(middle, crs) or crs.area_of_use is None:
            continue
        lon, lat = _lonlat(crs, x, y)
        area = crs.area_of_use
        if _outside(lon, lat, area) > 0:
            continue
        width, height = (area.east - area.west) / 2, (area.north - area.south) / 2
        off = max(abs(lon - area.west - width) / width, abs(lat - area.south - height) / height)
        rank = {4326: -1.0, _WEB: 99.0}.get(code, off)
        found.append((rank, Candidate(code, lon, lat, f"{crs.name}: {_short(area.name)}")))
    return [candidate for _, candidate in sorted(found, key=lambda pair: pair[0])]


def label(crs: pyproj.CRS) -> str:
    """Return a CRS in words: code and name."""
    code = crs.to_epsg()
    return f"EPSG:{code} ({crs.name})" if code else f"the system {crs.name!r}"


def place(lon: float, lat: float) -> str:
    """Return a place in words, such as ``105.402 E, 10.399 N``."""
    return f"{abs(lon):.3f} {'E' if lon >= 0 else 'W'}, {abs(lat):.3f} {'N' if lat >= 0 else 'S'}"


def _advice(middle: tuple[float, float]) -> str:
    """Return where each candidate would put the fields, and how to choose one."""
    how = (
        'Choose the one that puts them where they are: crs = "EPSG:..." under [parcels], or read_parcels(..., crs=...)'
    )
    x, y = middle
    if math.isnan(x):
        return how
    if abs(y) > 90 and max(abs(x), abs(y)) <= 180:
        return "Latitude and longitude look swapped: export the file again with longitude first"
    found = candidates(middle)
    lines = [f"  EPSG:{c.epsg:<6} {place(c.lon, c.lat):<22} {c.words}" for c in found]
    if {3405, 32648} <= {c.epsg for c in found}:
        lines.append("  (VN-2000 and WGS 84 lie some 225 m apart here: ask who made the file which of them it is)")
    if abs(x) > 180:
        lines += _other_zones(x, y)
    return "\n".join(["Where each candidate would put the middle of the fields:", *lines, how])


def _other_zones(x: float, y: float) -> list[str]:
    """Return the latitude that UTM zones elsewhere would give; the longitude depends on the zone."""
    lines = []
    for first, side in ((32601, "north"), (32701, "south")):
        crs = pyproj.CRS.from_epsg(first)
        lon, lat = _lonlat(crs, x, y)
        if crs.area_of_use is not None and math.isfinite(lon) and _outside(lon, lat, crs.area_of_use) == 0:
            codes = f"EPSG:{first}-{first + 59}"
            lines.append(
                f"  {codes} {abs(lat):.3f} {side[0].upper()}, longitude 6 x zone {lon - 6:+.3f} (UTM zones {side})"
            )
    return lines


def _parse(crs: object) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(crs)
    except CRSError as err:
        raise ConfigError(f'crs: found {crs!r}, allowed is a code such as "EPSG:32648"') from err


def _middle(frame: gpd.GeoDataFrame) -> tuple[float, float]:
    coordinates = shapely.get_coordinates(frame.geometry.array)
    coordinates = coordinates[np.isfinite(coordinates).all(axis=1)]
    if not len(coordinates):
        return math.nan, math.nan
    x, y = np.median(coordinates, axis=0)
    return float(x), float(y)


def _lonlat(crs: pyproj.CRS, x: float, y: float) -> tuple[float, float]:
    try:
        lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    except ProjError:
        return math.inf, math.inf
    return float(lon), float(lat)


def _outside(lon: float, lat: float, area: Any) -> float:
    """Return how many degrees the point lies outside the box of the area; 0 within."""
    return float(max(area.west - lon, lon - area.east, area.south - lat, lat - area.north, 0.0))


def _short(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f"{name[:most].rstrip(' ,;-')}..."
