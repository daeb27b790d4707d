"""VN-2000: the shift of its datum by an independent computation, and the recipes that do without it."""

from __future__ import annotations

import math
import re

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from pyproj import Geod
from pyproj.transformer import TransformerGroup

from rs_forecast.errors import ConfigError, DataWarning, SchemaError
from rs_forecast.sources import _vn2000
from rs_forecast.sources._crs import check_shift
from rs_forecast.sources.control_points import ControlPoint, explain_miss, miss
from rs_forecast.sources.parcels import read_parcels

LONG_XUYEN = (105.435, 10.386)
"""A place [degrees], here taken in VN-2000."""

A, F = 6378137.0, 1 / 298.257223563
# EPSG operation 6960: metres, seconds of arc, parts per million; coordinate frame rotation
SEVEN = (-191.90441429, -39.30318279, -111.45032835, -0.00928836, 0.01975479, -0.00427372, 0.252906278)
GEOD = Geod(ellps="WGS84")
TOWGS84 = "-191.90441429,-39.30318279,-111.45032835,-0.00928836,0.01975479,-0.00427372,0.252906278"
TM = "+proj=tmerc +lat_0=0 +lon_0=104.75 +k={} +x_0=500000 +y_0=0 {} +units=m"


def to_earth(lon, lat):
    lam, phi = math.radians(lon), math.radians(lat)
    e2 = F * (2 - F)
    n = A / math.sqrt(1 - e2 * math.sin(phi) ** 2)
    return np.array(
        [n * math.cos(phi) * math.cos(lam), n * math.cos(phi) * math.sin(lam), n * (1 - e2) * math.sin(phi)]
    )


def from_earth(xyz):
    x, y, z = xyz
    e2, p = F * (2 - F), math.hypot(x, y)
    phi = math.atan2(z, p * (1 - e2))
    for _ in range(10):
        n = A / math.sqrt(1 - e2 * math.sin(phi) ** 2)
        phi = math.atan2(z + e2 * n * math.sin(phi), p)
    return math.degrees(math.atan2(y, x)), math.degrees(phi)


def helmert(lon, lat, parameters=SEVEN):
    """VN-2000 to WGS 84 by seven parameters, written out here."""
    dx, dy, dz, rx, ry, rz, s = parameters
    rx, ry, rz = (math.radians(r / 3600) for r in (rx, ry, rz))
    rotation = np.array([[1, rz, -ry], [-rz, 1, rx], [ry, -rx, 1]])
    return from_earth(np.array([dx, dy, dz]) + (1 + s * 1e-6) * rotation @ to_earth(lon, lat))


def operation_2(code):
    return next(t for t in TransformerGroup(code, 4326, always_xy=True).transformers if "(2)" in t.description)


def metres(one, other):
    return GEOD.inv(*one, *other)[2]


def here(crs, place=LONG_XUYEN):
    """The numbers of a place, given in VN-2000, in one of its systems."""
    return pyproj.Transformer.from_crs(4756, crs, always_xy=True).transform(*place)


def test_the_shift_at_long_xuyen_is_that_of_seven_parameters_computed_here():
    moved = helmert(*LONG_XUYEN)
    assert metres(moved, operation_2(4756).transform(*LONG_XUYEN)) < 0.001
    assert metres(moved, LONG_XUYEN) == pytest.approx(225.4, abs=0.05)


@pytest.mark.parametrize("code", [4756, 3405, *_vn2000.TM3_CODES])
def test_every_vn2000_system_is_transformed_with_its_shift(code):
    place = LONG_XUYEN
    assert metres(_vn2000.place_of(pyproj.CRS.from_epsg(code), *here(code)), helmert(*place)) < 1.0
    assert _vn2000.meant(pyproj.CRS.from_epsg(code)) == code
    assert _vn2000.astray(pyproj.CRS.from_epsg(code), here(code)) is None


def test_the_scale_factor_of_utm_in_a_tm3_zone_misses_by_344_8_m():
    """The figure of the textbook error, near the middle of the old province."""
    place = (105.1, 10.37)
    wrong = pyproj.CRS.from_proj4(TM.format(0.9996, f"+ellps=WGS84 +towgs84={TOWGS84}"))
    found = _vn2000.astray(wrong, here(9208, place))
    assert found.metres == pytest.approx(344.8, abs=1.5)
    # by hand: northing and easting are 3.0003e-4 too long
    x, y = here(9208, place)
    assert math.hypot(x - 500000, y) * (0.9999 / 0.9996 - 1) == pytest.approx(found.metres, abs=1.5)


WRONG = {
    "a shift of zero to WGS 84": (TM.format(0.9999, "+ellps=WGS84 +towgs84=0,0,0,0,0,0,0"), 226),
    "a shift of zero to WGS 84 ": (TM.format(0.9999, "+datum=WGS84"), 226),
    "no datum, and so no shift": (TM.format(0.9999, "+ellps=WGS84"), 226),
    "scale factor 0.9996 in a TM-3 zone, whose": (TM.format(0.9996, f"+ellps=WGS84 +towgs84={TOWGS84}"), 345),
    "scale factor 0.9996 .* and a shift of zero": (TM.format(0.9996, "+ellps=WGS84 +towgs84=0,0,0"), 488),
    "another shift to WGS 84 than EPSG's": (TM.format(0.9999, "+ellps=WGS84 +towgs84=-100,-39.3,-111.5"), 90),
}


@pytest.mark.parametrize("why", WRONG)
def test_each_wrong_recipe_is_refused_with_its_metres_and_the_mend(why):
    text, aside = WRONG[why]
    crs = pyproj.CRS.from_proj4(text)
    at = here(9208)
    with pytest.raises(SchemaError, match=rf"declares VN-2000 with .*{why.strip()}.*some {aside} m aside") as caught:
        check_shift(crs, "a.shp", at)
    assert 'set crs = "EPSG:9208" under [parcels]' in str(caught.value)
    # the metres told are those between the two transforms
    told = metres(
        pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(*at), operation_2(9208).transform(*at)
    )
    assert told == pytest.approx(aside, abs=1.5)


@pytest.mark.parametrize("code", [4326, 32648, 32649, 32748, 3857, 3148, 27700, 31370, 2326])
def test_other_systems_are_none_of_ours(code):
    assert _vn2000.meant(pyproj.CRS.from_epsg(code)) is None


@pytest.mark.parametrize("version", ["WKT1_ESRI", "WKT1_GDAL", "WKT2_2019"])
@pytest.mark.parametrize("code", [4756, 3405, 9208])
def test_declarations_of_other_programs_pass(code, version):
    crs = pyproj.CRS.from_wkt(pyproj.CRS.from_epsg(code).to_wkt(version))
    check_shift(crs, "a.shp", here(code))


def test_a_rough_shift_is_told():
    crs = pyproj.CRS.from_epsg(3148)  # Indian 1960: EPSG knows its shift to some tens of metres
    with pytest.warns(DataWarning, match=r"the shift of EPSG:3148 .* to WGS 84 is known to \d+ m only\. Check a field"):
        check_shift(crs, "a.shp", (543000.0, 1150000.0))


def test_a_declared_code_counts_instead_of_a_wrong_declaration(tmp_path):
    x, y = here(9208)
    frame = gpd.GeoDataFrame({"parcel_id": ["A"]}, geometry=[shapely.box(x, y, x + 200, y + 200)], crs=9208)
    path = tmp_path / "a.shp"
    pyogrio.write_dataframe(frame, path)
    path.with_suffix(".prj").write_text(pyproj.CRS.from_epsg(9208).to_wkt("WKT1_ESRI").replace("0.9999", "0.9996"))
    with pytest.raises(SchemaError, match=r'which puts fields some 345 m aside.*set crs = "EPSG:9208"'):
        read_parcels(path)
    with pytest.warns(DataWarning, match=r"EPSG:9208 .* is used as asked, for the declared .* cannot be"):
        parcels = read_parcels(path, crs="EPSG:9208")
    corner = parcels.to_crs(4326).geometry[0].bounds[:2]
    assert metres(corner, helmert(*LONG_XUYEN)) < 1.0


# ------------------------------------------------------------------------------------------------------- control points


def point(**changes):
    x, y = here(9208)
    lon, lat = helmert(*LONG_XUYEN)
    return ControlPoint(**{"name": "LX", "crs": "EPSG:9208", "x": x, "y": y, "lon": lon, "lat": lat, **changes})


def test_a_control_point_fits_to_a_metre():
    assert miss(point()) < 1.0
    assert miss(point(crs=4756, x=LONG_XUYEN[0], y=LONG_XUYEN[1])) < 1.0


@pytest.mark.parametrize(
    ("changes", "least", "why"),
    [
        ({"lon": LONG_XUYEN[0], "lat": LONG_XUYEN[1]}, 225, "lon and lat are degrees of VN-2000"),
        ({"x": 500000 + (here(9208)[0] - 500000) * 0.9996 / 0.9999, "y": here(9208)[1] * 0.9996 / 0.9999}, 344,
         "scale factor 0.9996"),
        ({"crs": "EPSG:9207"}, 27000, r"EPSG:9208 \(VN-2000 / TM-3 104-45\)"),
        ({"x": here(9208)[1], "y": here(9208)[0]}, 1000, "x and y are swapped"),
        ({"lon": 10.385, "lat": 105.437}, 1000, "lon and lat are swapped"),
        ({"lon": 105.5}, 1000, None),
    ],
)  # fmt: skip
def test_a_control_point_that_misses_says_what_would_make_it_fit(changes, least, why):
    odd = point(**changes)
    assert miss(odd) > least
    said = explain_miss(odd, 30.0 if why and "swapped" in why else 1.0)
    if why is None:
        assert not said
    else:
        assert re.search(why, said), said


def test_an_unknown_system_of_a_point_is_an_error():
    with pytest.raises(ConfigError, match="control point LX: found crs 'EPSG:0'"):
        miss(point(crs="EPSG:0"))
