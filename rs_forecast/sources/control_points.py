"""Control points: places known in a national system and in WGS 84, held against the transform that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyproj
from pyproj.exceptions import CRSError

from rs_forecast.errors import ConfigError
from rs_forecast.sources._vn2000 import GEOGRAPHIC, TM3_CODES, UTM, distance, place_of


@dataclass(frozen=True, kw_only=True)
class ControlPoint:
    """One place, twice."""

    crs: str | int
    """The national system, such as ``EPSG:9208``."""
    x: float
    """Easting [m], or longitude [degrees]."""
    y: float
    """Northing [m], or latitude [degrees]."""
    lon: float
    """Longitude in WGS 84 [°E]."""
    lat: float
    """Latitude in WGS 84 [°N]."""
    name: str = ""

    @property
    def called(self) -> str:
        """The name, or the place."""
        return self.name or f"{self.lon:g}, {self.lat:g}"


def miss(point: ControlPoint) -> float:
    """Return how far from ``lon, lat`` the transform puts ``x, y`` [m]; infinite where it has no place for them.

    Raises
    ------
    ConfigError
        There is no such system.
    """
    return distance(place_of(_parsed(point), point.x, point.y), (point.lon, point.lat))


def explain_miss(point: ControlPoint, tolerance: float) -> str:
    """Return what would make the point fit, in words, or an empty text where nothing that is known does."""
    found = [
        words
        for crs, x, y, lonlat, words in _other_readings(point)
        if distance(place_of(crs, x, y), lonlat) <= tolerance
    ]
    return f"it fits if {' or if '.join(found)}" if found else ""


_Reading = tuple[pyproj.CRS, float, float, tuple[float, float], str]


def _other_readings(point: ControlPoint) -> Iterator[_Reading]:
    """Yield what may have been meant: sides swapped, another zone, degrees of VN-2000, the scale factor of UTM."""
    crs, here = _parsed(point), (point.lon, point.lat)
    yield crs, point.y, point.x, here, "x and y are swapped"
    yield crs, point.x, point.y, here[::-1], "lon and lat are swapped"
    for code in (*TM3_CODES, *UTM.values()):
        other = pyproj.CRS.from_epsg(code)
        if crs.to_epsg() != code:
            yield other, point.x, point.y, here, f"x and y are those of EPSG:{code} ({other.name})"
    if crs.is_projected:
        degrees = place_of(pyproj.CRS.from_epsg(GEOGRAPHIC), *here)
        yield crs, point.x, point.y, degrees, "lon and lat are degrees of VN-2000 (EPSG:4756), not of WGS 84"
        text = crs.to_wkt()
        if "0.9999" in text:
            scaled = pyproj.CRS.from_wkt(text.replace("0.9999", "0.9996"))
            yield scaled, point.x, point.y, here, "x and y were made with scale factor 0.9996 (a TM-3 zone has 0.9999)"


def _parsed(point: ControlPoint) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(point.crs)
    except CRSError as err:
        raise ConfigError(
            f'control point {point.called}: found crs {point.crs!r}, allowed is a code such as "EPSG:9208"'
        ) from err
