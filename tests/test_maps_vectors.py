import datetime as dt
import json

import geopandas as gpd
import jsonschema
import numpy as np
import pytest
import shapely
from maps_risk import fields, risk_table
from pyproj import CRS

from rs_forecast.errors import SchemaError
from rs_forecast.maps import write_risk_map
from rs_forecast.maps.vectors import find_transformer, geometry_texts

NAME = "brown_planthopper_h1.geojson"

# RFC 7946, as far as it concerns polygons
POSITION = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number", "minimum": -180, "maximum": 180}}
RING = {"type": "array", "minItems": 4, "items": POSITION}
POLYGON = {"type": "array", "minItems": 1, "items": RING}
GEOMETRY = {
    "type": ["object", "null"],
    "required": ["type", "coordinates"],
    "not": {"anyOf": [{"required": [name]} for name in ("geometries", "geometry", "properties", "features")]},
    "oneOf": [
        {"properties": {"type": {"const": "Polygon"}, "coordinates": POLYGON}},
        {"properties": {"type": {"const": "MultiPolygon"}, "coordinates": {"type": "array", "items": POLYGON}}},
    ],
}
DAY = {"type": ["string", "null"], "format": "date"}
SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
PROPERTIES = {
    "parcel_id": {"type": "string"},
    "pest": {"const": "brown_planthopper"},
    "issued": {"type": "string", "format": "date"},
    "horizon_weeks": {"type": "integer"},
    "valid_from": {"type": "string", "format": "date"},
    "valid_to": {"type": "string", "format": "date"},
    "probability": SHARE,
    "lower": SHARE,
    "upper": SHARE,
    "risk_class": {"enum": ["low", "moderate", "high", "very_high", "not_assessable"]},
    "reasons": {"type": ["string", "null"]},
    "last_clear_obs": DAY,
    "data_age_days": {"type": ["integer", "null"]},
    "status": {"enum": ["ok", "stale", "no_imagery", "not_assessable"]},
    "model_id": {"type": "string"},
}
FEATURE = {
    "type": "object",
    "required": ["type", "geometry", "properties"],
    "not": {"anyOf": [{"required": [name]} for name in ("coordinates", "geometries", "features", "crs")]},
    "properties": {
        "type": {"const": "Feature"},
        "geometry": GEOMETRY,
        "properties": {
            "type": "object",
            "required": list(PROPERTIES),
            "properties": PROPERTIES,
            "additionalProperties": False,
        },
    },
}
COLLECTION = {
    "type": "object",
    "required": ["type", "features"],
    "not": {"anyOf": [{"required": [name]} for name in ("coordinates", "geometries", "geometry", "properties", "crs")]},
    "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array", "items": FEATURE}},
}


def is_day(value) -> bool:
    return value is None or dt.date.fromisoformat(value).isoformat() == value


def check_rfc7946(text: str) -> dict:
    """Fail unless ``text`` keeps what RFC 7946 says of polygons; return the collection."""
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    checker = jsonschema.FormatChecker(formats=[])
    checker.checks("date", raises=ValueError)(is_day)
    jsonschema.Draft202012Validator(COLLECTION, format_checker=checker).validate(content)
    for feature in content["features"]:
        geometry = feature["geometry"]
        if geometry is None:
            continue
        parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        for outer, *holes in parts:
            for ring, sense in [(outer, 1), *((hole, -1) for hole in holes)]:
                assert ring[0] == ring[-1], "a ring is closed"
                assert signed_area(ring) * sense > 0, "outer rings run counter-clockwise, holes clockwise"
                assert all(abs(lat) <= 90 for _, lat in ring)
        assert shapely.is_valid(shapely.geometry.shape(geometry))
    return content


def signed_area(ring) -> float:
    (x0, y0), points = ring[0], np.array(ring)
    x, y = points[:, 0] - x0, points[:, 1] - y0
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def longest_decimals(text: str) -> int:
    numbers = json.loads(text, parse_float=lambda digits: f"float {digits}")
    found = []

    def walk(value):
        for item in value:
            found.append(len(item.split(".")[1])) if isinstance(item, str) else walk(item)

    for feature in numbers["features"]:
        walk(feature["geometry"]["coordinates"])
    return max(found)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    risk = risk_table(fields(80))
    target = tmp_path_factory.mktemp("maps") / "map"
    write_risk_map(risk, target)
    return risk, (target / NAME).read_bytes()


def test_the_file_keeps_rfc_7946(written):
    risk, raw = written
    assert not raw.startswith(b"\xef\xbb\xbf")
    content = check_rfc7946(raw.decode("utf-8"))
    kinds = {feature["geometry"]["type"] for feature in content["features"]}
    assert kinds == {"Polygon", "MultiPolygon"}
    assert any(len(f["geometry"]["coordinates"]) > 1 for f in content["features"])  # a hole was among them
    assert len(content["features"]) == len(risk)


def test_coordinates_have_seven_decimals(written):
    assert longest_decimals(written[1].decode()) == 7


def test_the_check_finds_what_breaks_the_rfc(written):
    """The check above would notice: each breach on its own fails it."""
    good = json.loads(written[1])

    def breach(change):
        content = json.loads(json.dumps(good))
        change(content)
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            check_rfc7946(json.dumps(content))

    polygon = next(i for i, f in enumerate(good["features"]) if f["geometry"]["type"] == "Polygon")
    breach(lambda c: c.update(crs={"type": "name"}))
    breach(lambda c: c["features"][polygon]["geometry"]["coordinates"][0].reverse())
    breach(lambda c: c["features"][polygon]["geometry"]["coordinates"][0].pop())
    breach(lambda c: c["features"][0].pop("properties"))
    breach(lambda c: c["features"][0]["properties"].update(issued="2026-3-2"))
    breach(lambda c: c["features"][0]["properties"].update(extra=1))


def test_properties_are_the_risk_table(written):
    risk, raw = written
    for row, feature in zip(risk.itertuples(), json.loads(raw)["features"], strict=True):
        found = feature["properties"]
        assert list(found) == list(PROPERTIES)
        assert found["parcel_id"] == row.parcel_id
        assert (found["issued"], found["valid_from"], found["valid_to"]) == ("2026-03-02", "2026-03-09", "2026-03-15")
        for name in ("probability", "lower", "upper"):
            value = getattr(row, name)
            assert found[name] is None if np.isnan(value) else abs(found[name] - value) < 1e-4
        assert found["reasons"] == (None if row.status in {"no_imagery", "not_assessable"} else row.reasons)
        seen = found["last_clear_obs"], found["data_age_days"]
        assert seen == ((None, None) if row.status in {"no_imagery", "not_assessable"} else ("2026-02-21", 9))
    assert "lúa 45 ngày".encode() in raw


def test_places_are_kept_to_a_centimetre(tmp_path):
    parcels = fields(40).to_crs("EPSG:9208")
    write_risk_map(risk_table(parcels), tmp_path / "map")
    found = gpd.read_file(tmp_path / "map" / NAME)
    assert found.crs == "EPSG:4326"
    off = shapely.hausdorff_distance(
        found.to_crs("EPSG:9208").geometry.to_numpy(), shapely.normalize(parcels.geometry.to_numpy())
    )
    assert off.max() < 0.012
    assert abs(found.geometry.iloc[0].bounds[0] - fields(40).to_crs("EPSG:4326").geometry.iloc[0].bounds[0]) < 1e-7


def test_a_sliver_that_rounding_would_break_is_mended():
    """Two rings 2 mm apart become one at 7 decimals: cut digit by digit, the polygon would cross itself."""
    spike = shapely.Polygon([(105, 10), (105.001, 10), (105.001, 10.001), (105.0005, 10.00000001), (105, 10.001)])
    assert shapely.is_valid(spike)
    assert not shapely.is_valid(shapely.transform(spike, lambda xy: np.round(xy, 7)))
    [text] = geometry_texts(gpd.GeoSeries([spike], crs="EPSG:4326"))
    mended = shapely.geometry.shape(json.loads(text))
    assert shapely.is_valid(mended)
    assert mended.area == pytest.approx(spike.area, rel=1e-3)


def test_a_polygon_thinner_than_a_centimetre_is_an_unlocated_feature():
    thin = shapely.box(105, 10, 105.00000001, 10.00000001)
    assert geometry_texts(gpd.GeoSeries([thin, shapely.box(105, 10, 106, 11)], crs="EPSG:4326"))[0] == "null"


def test_heights_are_dropped():
    flat, high = shapely.box(105, 10, 106, 11), shapely.force_3d(shapely.box(105, 10, 106, 11), 4.0)
    assert geometry_texts(gpd.GeoSeries([high], crs="EPSG:4326")) == geometry_texts(
        gpd.GeoSeries([flat], crs="EPSG:4326")
    )


def test_an_unknown_datum_is_refused_rather_than_taken_as_wgs84():
    local = CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=104.75 +k=0.9999 +x_0=500000 +ellps=WGS84 +units=m")
    with pytest.raises(SchemaError, match="no datum shift is known; give the parcels a CRS with an EPSG code"):
        geometry_texts(gpd.GeoSeries([shapely.box(527_000, 1_150_000, 527_100, 1_150_100)], crs=local))


def test_vn2000_comes_with_its_datum_shift():
    """The point 105 E, 10.4032701 N; the projection alone would put it 225 m away, at 104.9982 E, 10.4043 N."""
    there = find_transformer("EPSG:9208", "EPSG:4326").transform(527_176.049, 1_150_467.341)
    assert there == pytest.approx((105.0, 10.4032701), abs=1e-6)


def test_coordinates_off_the_earth_are_refused():
    with pytest.raises(SchemaError, match="lie off the earth, first rows \\[0\\]"):
        geometry_texts(gpd.GeoSeries([shapely.box(500_000, 1_150_000, 500_100, 1_150_100)], crs="EPSG:4326"))


def test_synthetic_data_say_so(tmp_path):
    write_risk_map(risk_table(fields(4)), tmp_path / "map", synthetic=True, notes=["a note"])
    content = json.loads((tmp_path / "map" / NAME).read_text(encoding="utf-8"))
    assert content["synthetic"] is True
    assert "SYNTHETIC" in content["name"]
    assert content["title"].startswith("SYNTHETIC: probability of density >= 750")
    assert content["notes"] == ["a note"]
    write_risk_map(risk_table(fields(4)), tmp_path / "map")
    assert "SYNTHETIC" not in (tmp_path / "map" / NAME).read_text(encoding="utf-8")
