"""VN-2000: which of its systems a declaration means, and how far aside that declaration would put the fields.

EPSG's operations VN-2000 to WGS 84 (1) and (2) move a point at Long Xuyen by 226.1 and 225.4 m; PROJ takes the first
within the Mekong delta and the second elsewhere. Two recipes that are still taught do
without it: a shift of zero (TOWGS84[0,...], or the datum called WGS 84), and the scale factor of UTM in a TM-3 zone.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import pyproj
from pyproj import Geod
from pyproj.exceptions import ProjError

GEOGRAPHIC = 4756
UTM = {105.0: 3405, 111.0: 3406}
"""Central meridian -> code."""

TM3_CODES = (*range(9205, 9219), *range(5896, 5900))
ALLOWED_M = 2.0
"""How far a declaration may stray from EPSG's own, whose two operations lie 0.8 m apart here [m]."""

_SCALE, _UTM_SCALE = 0.9999, 0.9996
_NAMES = ("vn-2000", "vn2000", "vn_2000", "vietnam")
_GEOD = Geod(ellps="WGS84")


class Astray(NamedTuple):
    """A declaration that is not what it means to be."""

    code: int
    """EPSG code of what it means."""
    metres: float
    """How far from there it puts the fields."""
    why: str


def astray(crs: pyproj.CRS, at: tuple[float, float]) -> Astray | None:
    """Return how ``crs`` strays from the VN-2000 system it means, around ``at`` in its own numbers; None if it fits.

    Any system that is not VN-2000, by its name or by the meridian and scale of a TM-3 zone, is none of ours.
    """
    code = meant(crs)
    if code is None:
        return None
    x, y = at
    if math.isnan(x):
        return None
    found, right = place_of(crs, x, y), place_of(pyproj.CRS.from_epsg(code), x, y)
    metres = distance(found, right)
    if not metres > ALLOWED_M:
        return None
    return Astray(code, metres, _why(crs, code))


def meant(crs: pyproj.CRS) -> int | None:
    """Return the EPSG code of the VN-2000 system that a declaration means, or None."""
    base = crs.source_crs if crs.is_bound and crs.source_crs is not None else crs
    vietnamese = any(name in said for name in _NAMES for said in _names(crs, base))
    if base.is_geographic:
        return GEOGRAPHIC if vietnamese else None
    found = _transverse_mercator(base)
    if found is None or not (vietnamese or _of_wgs84(base)):
        return None
    meridian, scale = found
    if math.isclose(scale, _UTM_SCALE, abs_tol=1e-6) and meridian in UTM:
        return UTM[meridian] if vietnamese else None
    if any(math.isclose(scale, one, abs_tol=1e-6) for one in (_SCALE, _UTM_SCALE)):
        return tm3_zones().get(round(meridian, 6))
    return None


@cache
def tm3_zones() -> dict[float, int]:
    """Return central meridian -> EPSG code of the TM-3 zones."""
    zones = {}
    for code in TM3_CODES:
        found = _transverse_mercator(pyproj.CRS.from_epsg(code))
        if found is not None:
            zones[round(found[0], 6)] = code
    return zones


def place_of(crs: pyproj.CRS, x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude in WGS 84; infinite where that cannot be."""
    try:
        lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    except ProjError:
        return math.inf, math.inf
    return float(lon), float(lat)


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance of two places in degrees [m]; infinite where one of them is none."""
    if not all(map(math.isfinite, (*one, *other))):
        return math.inf
    metres = float(_GEOD.inv(*one, *other)[2])
    return metres if math.isfinite(metres) else math.inf


def _why(crs: pyproj.CRS, code: int) -> str:
    reasons = []
    base = crs.source_crs if crs.is_bound and crs.source_crs is not None else crs
    found = _transverse_mercator(base)
    if found is not None and code in TM3_CODES and not math.isclose(found[1], _SCALE, abs_tol=1e-6):
        reasons.append(f"scale factor {found[1]:g} in a TM-3 zone, whose scale factor is {_SCALE:g}")
    if not any(_towgs84(crs)) and (crs.is_bound or _named_wgs84(base)):
        reasons.append("a shift of zero to WGS 84")
    elif not crs.is_bound and "unknown" in _datum(base):
        reasons.append("no datum, and so no shift to WGS 84")
    return " and ".join(reasons) or "another shift to WGS 84 than EPSG's (operations 5194 and 6960)"


def _transverse_mercator(crs: pyproj.CRS) -> tuple[float, float] | None:
    """Return central meridian and scale factor of a Transverse Mercator as UTM and TM-3 zones are, else None."""
    operation = crs.coordinate_operation
    if operation is None or operation.method_name != "Transverse Mercator":
        return None
    given = {p.name: float(p.value) * float(p.unit_conversion_factor or 1) for p in operation.params}
    if (given.get("False easting"), given.get("False northing")) != (500000.0, 0.0):
        return None
    meridian, scale = given.get("Longitude of natural origin"), given.get("Scale factor at natural origin")
    return None if meridian is None or scale is None else (round(math.degrees(meridian), 6), scale)


def _names(crs: pyproj.CRS, base: pyproj.CRS) -> list[str]:
    """Return what the system, its base and its datum are called; the area of use of others says Vietnam too."""
    datum = base.geodetic_crs.datum if base.geodetic_crs is not None else None
    parts = (crs, base, base.geodetic_crs, datum)
    return [part.name.lower() for part in parts if part is not None]


def _of_wgs84(crs: pyproj.CRS) -> bool:
    """Whether the system rests on WGS 84, or on its ellipsoid without a name for the datum."""
    ellipsoid = crs.ellipsoid
    if ellipsoid is None or not math.isclose(ellipsoid.inverse_flattening, 298.257223563, rel_tol=1e-9):
        return False
    return _named_wgs84(crs) or "unknown" in _datum(crs)


def _named_wgs84(crs: pyproj.CRS) -> bool:
    datum = _datum(crs)
    return ("wgs" in datum or "world geodetic" in datum) and "unknown" not in datum


def _datum(crs: pyproj.CRS) -> str:
    return crs.geodetic_crs.datum.name.lower() if crs.geodetic_crs and crs.geodetic_crs.datum else ""


def _towgs84(crs: pyproj.CRS) -> list[float]:
    operation = crs.coordinate_operation
    return list(operation.towgs84) if crs.is_bound and operation is not None else []
