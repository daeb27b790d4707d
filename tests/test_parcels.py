"""read_parcels: ids, geometry, coordinate systems, formats and everything it refuses."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.schema import check_parcels
from rs_forecast.sources import _crs
from rs_forecast.sources.parcels import made_ids, read_parcels

UTM = 32648
X, Y = 543000.0, 1150000.0
MIDDLE = (105.398, 10.403)
"""Where (X, Y) lies: west of Long Xuyen [degrees]."""


def square(x: float, y: float, size: float = 200.0) -> shapely.Polygon:
    return shapely.box(x, y, x + size, y + size)


def fields(count: int = 4, **columns: object) -> gpd.GeoDataFrame:
    shapes = [square(X + 300 * i, Y) for i in range(count)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(count)], **columns}, geometry=shapes, crs=UTM)


def write(frame: gpd.GeoDataFrame, path: Path) -> Path:
    pyogrio.write_dataframe(frame, path)
    return path


def without_prj(frame: gpd.GeoDataFrame, path: Path) -> Path:
    write(frame, path)
    path.with_suffix(".prj").unlink()
    return path


# ----------------------------------------------------------------------------------------------------------- real files


@pytest.mark.parametrize(("name", "count", "mean_ha"), [("1_vietnam", 100, 0.53), ("4_cambodia", 100, 0.75)])
def test_real_fields_get_ids_from_their_geometry(shared_data, name, count, mean_ha):
    path = shared_data / "ai4smallfarms_vn_kh" / f"{name}_areas.gpkg"
    with pytest.warns(
        DataWarning, match=r"no column \"parcel_id\" \(found: id, country, _predicate\), so ids are made"
    ):
        parcels = read_parcels(path)
    check_parcels(parcels)
    assert len(parcels) == count
    assert parcels.crs.to_epsg() == UTM
    assert parcels.area.mean() / 1e4 == pytest.approx(mean_ha, abs=0.005)
    assert parcels["parcel_id"].str.fullmatch(r"p-[0-9a-f]{12}").all()


def test_an_id_column_with_one_value_on_all_rows_is_named_as_that(shared_data):
    path = shared_data / "ai4smallfarms_vn_kh" / "1_vietnam_areas.gpkg"
    with pytest.raises(SchemaError, match=r'"id" holds the same value \'1\' on all 100 features.*leave out `id`'):
        read_parcels(path, id="id")


# -------------------------------------------------------------------------------------------------------------- formats


def short_names(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """What becomes of column names in a shapefile."""
    return frame.rename(columns={"commune_code": "commune_co"})


@pytest.mark.parametrize("name", ["f.gpkg", "f.geojson", "f.json", "f.shp", "f.fgb", "f.parquet", "f.zip", "f.gml"])
def test_every_format_gives_the_same_parcels(tmp_path, name):
    frame = fields(commune_code=["30280", "30280", "30281", None], sub_zone=["TV-1", "TV-2", "Tiểu vùng 3", "TV-4"])
    frame = frame.to_crs(4326)
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".zip"):
        write(short_names(frame), tmp_path / "inner.shp")
        with zipfile.ZipFile(path, "w") as archive:
            for part in tmp_path.glob("inner.*"):
                archive.write(part, f"folder/{part.name}")
    elif name.endswith(".json"):
        write(frame, tmp_path / "g.geojson").rename(path)
    else:
        write(short_names(frame) if name.endswith(".shp") else frame, path)
    parcels = read_parcels(path)
    order = np.argsort(parcels["parcel_id"].to_numpy())  # FlatGeobuf sorts by place
    parcels = parcels.iloc[order].reset_index(drop=True)
    assert list(parcels.columns) == ["parcel_id", "commune_code", "sub_zone", "geometry"]
    for column in ("parcel_id", "commune_code", "sub_zone"):
        assert parcels[column].fillna("-").tolist() == frame[column].fillna("-").tolist()
    # GeoJSON keeps 7 decimals, some 1 cm on a side of 200 m
    assert parcels.to_crs(UTM).symmetric_difference(frame.to_crs(UTM)).area.max() < 10
    assert parcels.crs.to_epsg() == 4326


def test_third_dimension_and_other_columns_are_dropped_and_mapped_ones_kept(tmp_path):
    frame = fields(TIEUVUNG=[1.0, 2.0, 3.0, 4.0], CHU_HO=["An", "Bình", "Châu", "Dũng"], noise=0)
    frame["geometry"] = shapely.force_3d(frame.geometry.array, 5.0)
    parcels = read_parcels(write(frame, tmp_path / "a.gpkg"), columns={"sub_zone": "TIEUVUNG", "owner": "CHU_HO"})
    assert list(parcels.columns) == ["parcel_id", "sub_zone", "owner", "geometry"]
    assert parcels["sub_zone"].tolist() == ["1", "2", "3", "4"]
    assert not parcels.has_z.any()


def test_synthetic_files_are_marked(tmp_path):
    for name, metadata in (
        ("layer", {"layer_metadata": {"DESCRIPTION": "SYNTHETIC valley"}}),
        ("dataset", {"dataset_metadata": {"SYNTHETIC": "YES"}}),
    ):
        path = tmp_path / f"{name}.gpkg"
        pyogrio.write_dataframe(fields(), path, layer="f", **metadata)
        assert read_parcels(path).attrs["synthetic"] is True
    assert "synthetic" not in read_parcels(write(fields(), tmp_path / "b.gpkg")).attrs


def test_a_shapefile_without_declared_encoding_says_how_its_texts_were_read(tmp_path):
    path = write(fields(sub_zone=["Tiểu vùng"] * 4), tmp_path / "a.shp")
    path.with_suffix(".cpg").unlink()
    with pytest.warns(DataWarning, match="declares no encoding"):
        assert read_parcels(path)["sub_zone"][0] != "Tiểu vùng"
    assert read_parcels(path, encoding="utf-8")["sub_zone"][0] == "Tiểu vùng"
    with pytest.raises(ConfigError, match="unknown encoding: viscii-9"):
        read_parcels(path, encoding="viscii-9")


TCVN3 = "X\xb7 Mü B×nh"
"""``Xã Mỹ Bình`` in TCVN3, taken for Latin-1."""


@pytest.mark.parametrize("ending", ["shp", "zip"])
def test_tcvn3_in_a_shapefile_is_proposed_and_read_where_declared(tmp_path, ending):
    path = tmp_path / "a.shp"
    pyogrio.write_dataframe(fields(sub_zone=[TCVN3] * 4), path, encoding="ISO-8859-1")
    path.with_suffix(".cpg").unlink(missing_ok=True)
    if ending == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for part in tmp_path.glob("a.[sdp]*"):
                archive.write(part, part.name)
        path = tmp_path / "a.zip"
    with pytest.warns(DataWarning, match=r'declares no encoding.*\n  encoding = "tcvn3" +reads \'Xã Mỹ Bình\''):
        assert read_parcels(path)["sub_zone"][0] == TCVN3
    assert read_parcels(path, encoding="tcvn3")["sub_zone"].tolist() == ["Xã Mỹ Bình"] * 4


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_tcvn3_in_a_unicode_file_is_named_and_mended_where_declared(tmp_path, name):
    path = write(fields(sub_zone=[TCVN3, "Tiểu vùng 2", "TV-3", None]).to_crs(4326), tmp_path / name)
    with pytest.warns(DataWarning, match=r"look like TCVN3 .*would read 'Xã Mỹ Bình'.*under \[parcels\]"):
        assert read_parcels(path)["sub_zone"][0] == TCVN3
    with pytest.warns(DataWarning, match="declared as TCVN3, but texts such as 'Tiểu vùng 2'"):
        mended = read_parcels(path, encoding="tcvn3")["sub_zone"]
    assert mended.fillna("-").tolist() == ["Xã Mỹ Bình", "Tiểu vùng 2", "TV-3", "-"]


# ------------------------------------------------------------------------------------------------------------------ ids


def test_numeric_ids_become_text(tmp_path):
    frame = fields().assign(parcel_id=[7.0, 8.0, 9.0, 10.0])
    assert read_parcels(write(frame, tmp_path / "a.gpkg"))["parcel_id"].tolist() == ["7", "8", "9", "10"]


@given(st.permutations(range(5)), st.integers(0, 3), st.booleans())
def test_made_ids_follow_the_shape_and_nothing_else(order, start, reverse):
    shapes = [square(X + 300 * i, Y) for i in range(5)]

    def turned(shape: shapely.Polygon) -> shapely.Polygon:
        ring = list(shape.exterior.coords)[:-1]
        ring = ring[start:] + ring[:start]
        return shapely.Polygon(ring[::-1] if reverse else ring)

    plain = made_ids(gpd.GeoDataFrame(geometry=shapes, crs=UTM))
    changed = made_ids(gpd.GeoDataFrame(geometry=[turned(shapes[i]) for i in order], crs=UTM))
    assert plain.is_unique
    assert changed.tolist() == plain.iloc[list(order)].tolist()


def test_made_ids_survive_a_change_of_format(tmp_path):
    frame = fields().drop(columns="parcel_id").to_crs(4326)
    with pytest.warns(DataWarning, match="so ids are made"):
        first = read_parcels(write(frame, tmp_path / "a.gpkg"))
    with pytest.warns(DataWarning, match="so ids are made"):
        second = read_parcels(write(frame, tmp_path / "a.geojson"))
    assert first["parcel_id"].tolist() == second["parcel_id"].tolist()


def test_an_id_that_stands_for_two_parcels_is_refused_by_name(tmp_path):
    frame = fields().assign(parcel_id=["A", "A", "B", "C"])
    with pytest.raises(SchemaError, match=r'1 ids stand for several parcels: "A" \(features 1, 2\).*set `id`'):
        read_parcels(write(frame, tmp_path / "a.gpkg"))


def test_a_parcel_that_is_there_twice_is_dropped_by_name(tmp_path):
    frame = fields().assign(parcel_id=["A", "B", "C", "A"])
    frame.loc[3, "geometry"] = shapely.Polygon(list(frame.geometry[0].exterior.coords)[::-1])
    with pytest.warns(DataWarning, match=r'parcel "A" \(feature 4\) repeats an earlier one exactly'):
        assert read_parcels(write(frame, tmp_path / "a.gpkg"))["parcel_id"].tolist() == ["A", "B", "C"]


def test_features_without_an_id_are_named(tmp_path):
    frame = fields().assign(parcel_id=["A", None, " ", "D"])
    with pytest.warns(DataWarning, match='feature 2, 3 without an id in "parcel_id"'):
        assert read_parcels(write(frame, tmp_path / "a.gpkg"))["parcel_id"].tolist() == ["A", "D"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "PARCEL_ID"}, r'no column "PARCEL_ID" for id; did you mean "parcel_id"\?'),
        ({"columns": {"sub_zone": "nois"}}, r'no column "nois" for sub_zone; did you mean "noise"\?'),
        ({"columns": {"sub_zone": "xyz"}}, r'no column "xyz" for sub_zone\. Found: parcel_id, noise'),
    ],
)
def test_a_column_that_is_not_there_is_answered_with_the_nearest(tmp_path, options, message):
    with pytest.raises(SchemaError, match=message):
        read_parcels(write(fields(noise=1), tmp_path / "a.gpkg"), **options)


# ------------------------------------------------------------------------------------------------------------- geometry


def test_a_polygon_that_crosses_itself_is_repaired_and_its_areas_told(tmp_path):
    bow = shapely.Polygon([(X, Y), (X + 200, Y + 200), (X + 200, Y), (X, Y + 200)])
    frame = fields(2)
    frame.loc[0, "geometry"] = bow
    with pytest.warns(
        DataWarning,
        match=r'1 repaired: parcel "P-0" \(feature 1\): Self-intersection at 543100 1150100, area 0\.0000 ha as drawn, '
        r"2\.0000 ha repaired",
    ):
        parcels = read_parcels(write(frame, tmp_path / "a.gpkg"))
    # two triangles of 200 m by 100 m
    assert parcels.geometry[0].area == pytest.approx(2 * 200 * 100 / 2)
    assert parcels.geometry[0].is_valid


def test_what_is_no_polygon_is_left_out_by_name_and_reason(tmp_path):
    shapes = [None, shapely.Polygon(), shapely.LineString([(X, Y), (X + 9, Y)]), square(X, Y, 0.1), square(X, Y)]
    frame = gpd.GeoDataFrame({"parcel_id": list("ABCDE")}, geometry=shapes, crs=UTM)
    with pytest.warns(DataWarning, match="4 left out") as caught:
        parcels = read_parcels(write(frame, tmp_path / "a.gpkg"))
    text = str(caught[0].message)
    assert (
        'feature 1: no geometry; feature 2: no geometry; feature 3: a LineString, a polygon is due; parcel "D"' in text
    )
    assert "0.01 m2" in text
    assert parcels["parcel_id"].tolist() == ["E"]


def test_the_polygons_of_a_collection_are_kept(tmp_path):
    mixed = shapely.GeometryCollection([square(X, Y), shapely.Point(X, Y)])
    frame = gpd.GeoDataFrame({"parcel_id": ["A"]}, geometry=[mixed], crs=UTM)
    with pytest.warns(DataWarning, match="polygons mixed with lines or points"):
        assert read_parcels(write(frame, tmp_path / "a.gpkg")).geometry[0].equals(square(X, Y))


def test_a_coordinate_that_is_no_number_is_named(tmp_path):
    ring = "[[105,10],[105.1,{}],[105.1,10.1],[105,10]]"
    features = ",".join(
        f'{{"type":"Feature","properties":{{"parcel_id":"{name}"}},"geometry":{{"type":"Polygon","coordinates":'
        f"[{ring.format(value)}]}}}}"
        for name, value in (("A", "NaN"), ("B", "10"), ("C", "910"))
    )
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"type":"FeatureCollection","features":[{features}]}}')
    with pytest.warns(DataWarning, match="2 left out: feature 1: a coordinate that is no number .*feature 3: a coord"):
        assert read_parcels(path)["parcel_id"].tolist() == ["B"]


def test_nothing_usable_is_an_error(tmp_path):
    frame = gpd.GeoDataFrame({"parcel_id": ["A"]}, geometry=[shapely.LineString([(X, Y), (X + 9, Y)])], crs=UTM)
    with pytest.raises(NoDataError, match="no usable polygon is left of 1"), pytest.warns(DataWarning):
        read_parcels(write(frame, tmp_path / "a.gpkg"))


# ------------------------------------------------------------------------------------------------------------------ CRS


def test_a_missing_crs_lists_where_each_candidate_would_put_the_fields(tmp_path):
    with pytest.raises(SchemaError) as caught:
        read_parcels(without_prj(fields(), tmp_path / "a.shp"))
    text = str(caught.value)
    assert "a.shp: the file does not say in which coordinate system" in text
    assert "EPSG:32648  105.398 E, 10.403 N    WGS 84 / UTM zone 48N" in text
    assert "EPSG:9208   105.150 E, 10.399 N    VN-2000 / TM-3 104-45" in text
    assert "EPSG:4326" not in text
    assert 'crs = "EPSG:..." under [parcels]' in text
    assert read_parcels(tmp_path / "a.shp", crs="EPSG:32648").crs.to_epsg() == UTM


def test_candidates_are_right_about_the_place():
    found = {c.epsg: (c.lon, c.lat) for c in _crs.candidates((X, Y))}
    geod = Geod(ellps="WGS84")
    for code, (lon, lat) in found.items():
        # an independent way back: from the place told to the numbers of the file
        x, y = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform(lon, lat)
        assert (x, y) == pytest.approx((X, Y), abs=0.01), code
    assert geod.inv(*found[UTM], *found[3405])[2] == pytest.approx(225, abs=10)
    assert 32649 in found
    assert {c.epsg for c in _crs.candidates(MIDDLE)} == {4326, 4756}
    assert [c.epsg for c in _crs.candidates((10.0, 5e7))] == []


def test_numbers_of_the_southern_hemisphere_are_explained(tmp_path):
    frame = fields().set_geometry(fields().translate(0, 9595160 - Y))
    with pytest.raises(SchemaError, match=r"EPSG:32701-32760 3\.663 S, longitude 6 x zone -182\.608") as caught:
        read_parcels(without_prj(frame, tmp_path / "a.shp"))
    # zone 37 as the line tells: 6 * 37 - 182.608
    lon, lat = pyproj.Transformer.from_crs(32737, 4326, always_xy=True).transform(X + 550, Y + 9595160 - Y)
    assert (lon, lat) == pytest.approx((6 * 37 - 182.608, -3.663), abs=0.002)
    assert "EPSG:32648" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (fields().set_crs(4326, allow_override=True), r"EPSG:4326 \(WGS 84\) cannot be right.*not degrees"),
        (fields().to_crs(4326).set_crs(UTM, allow_override=True), r"which look like degrees, not metres"),
        (fields().set_crs(31370, allow_override=True), r"11\.225 E, 59\.442 N, far outside its area of use \(Belgium"),
    ],
)
def test_a_crs_that_the_coordinates_contradict_is_refused(tmp_path, frame, message):
    path = write(frame, tmp_path / "a.gpkg")
    with pytest.raises(SchemaError, match=message) as caught:
        read_parcels(path)
    assert "Where each candidate" in str(caught.value)


def test_swapped_latitude_and_longitude_are_told(tmp_path):
    frame = fields().to_crs(4326)
    frame["geometry"] = shapely.transform(frame.geometry.array, lambda xy: xy[:, ::-1])
    with pytest.raises(SchemaError, match="latitude and longitude look swapped"):
        read_parcels(write(frame, tmp_path / "a.gpkg"))


def test_a_crs_asked_for_overrules_only_what_cannot_be(tmp_path):
    path = write(fields(), tmp_path / "a.gpkg")
    with pytest.raises(SchemaError, match=r"declares EPSG:32648 .* and crs = EPSG:32649 .* is asked for"):
        read_parcels(path, crs=32649)
    assert read_parcels(path, crs="EPSG:32648").crs.to_epsg() == UTM
    wrong = write(fields().set_crs(4326, allow_override=True), tmp_path / "b.gpkg")
    with pytest.warns(DataWarning, match=r"EPSG:32648 .* is used as asked, for the declared EPSG:4326 .* cannot be"):
        assert read_parcels(wrong, crs=UTM).crs.to_epsg() == UTM
    with pytest.raises(ConfigError, match='allowed is a code such as "EPSG:32648"'):
        read_parcels(path, crs="EPSG:0")


@pytest.mark.parametrize("code", [4756, 3405, 9208])
def test_vn2000_parcels_are_shifted_when_they_leave_it(tmp_path, code):
    here = gpd.GeoDataFrame({"parcel_id": ["A"]}, geometry=[shapely.box(*MIDDLE, 105.4, 10.405)], crs=4756).to_crs(code)
    centre = read_parcels(write(here, tmp_path / "a.gpkg")).to_crs(4326).geometry[0].centroid
    null = shapely.box(*MIDDLE, 105.4, 10.405).centroid  # the same numbers, taken as WGS 84
    _, _, metres = Geod(ellps="WGS84").inv(centre.x, centre.y, null.x, null.y)
    assert metres == pytest.approx(225.4, abs=1.5)


NULL_SHIFT = (
    'PROJCS["VN-2000 / TM-3 104-45",GEOGCS["VN-2000",DATUM["Vietnam_2000",SPHEROID["WGS 84",6378137,298.257223563],'
    'TOWGS84[0,0,0,0,0,0,0]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",104.75],'
    'PARAMETER["scale_factor",0.9999],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]'
)


def test_a_datum_without_a_shift_is_refused(tmp_path):
    unknown = fields().set_crs("+proj=utm +zone=48 +ellps=bessel", allow_override=True)
    with pytest.raises(SchemaError, match="a datum without a known shift to WGS 84"):
        read_parcels(write(unknown, tmp_path / "a.gpkg"))
    path = write(fields(), tmp_path / "b.shp")
    path.with_suffix(".prj").write_text(NULL_SHIFT)
    with pytest.raises(
        SchemaError, match=r"VN-2000 with a shift of zero to WGS 84, which puts fields some 22[56] m aside"
    ):
        read_parcels(path)


# --------------------------------------------------------------------------------------------------- files from outside

VRT = '<OGRVRTDataSource><OGRVRTLayer name="f"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'


@pytest.mark.parametrize("name", ["a.geojson", "a.shp", "a.gpkg", "a.fgb", "a.kml", "a.gml", "a.tab", "a.vrt"])
def test_a_virtual_file_under_another_name_is_never_followed(tmp_path, name):
    write(fields(), tmp_path / "f.gpkg")
    (tmp_path / name).write_text("\n" + VRT.format(tmp_path / "f.gpkg"))
    with pytest.raises(SourceError, match=r"only points at other data|has the ending '.vrt'"):
        read_parcels(tmp_path / name)


@pytest.mark.parametrize("path", ["https://u:hunter2@host/a.gpkg", "/vsicurl/http://host/a", VRT, "s3://b/a.gpkg"])
def test_addresses_are_refused_and_their_secrets_not_told(path):
    with pytest.raises(SourceError, match="allowed is a file on this computer") as caught:
        read_parcels(path)
    assert "hunter2" not in str(caught.value)


def _broken(folder: Path, kind: str) -> Path:
    path = write(fields(), folder / "whole.gpkg")
    match kind:
        case "empty":
            (folder / "a.gpkg").touch()
        case "truncated":
            (folder / "a.gpkg").write_bytes(path.read_bytes()[:40000])
        case "renamed":
            shutil.copy(path, folder / "a.shp")
            return folder / "a.shp"
        case "no shx":
            write(fields(), folder / "a.shp").with_suffix(".shx").unlink()
            return folder / "a.shp"
        case "missing":
            return folder / "wole.gpkg"
        case "folder":
            return folder
        case "layers":
            for layer in ("one", "two"):
                pyogrio.write_dataframe(fields(), folder / "a.gpkg", layer=layer)
        case "table":
            pyogrio.write_dataframe(fields().drop(columns="geometry"), folder / "a.gpkg")
        case "unknown":
            (folder / "a.doc").write_text("x")
            return folder / "a.doc"
        case "no features":
            write(fields().iloc[:0], folder / "a.gpkg")
    return folder / "a.gpkg"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"is empty \(0 bytes\)"),
        ("truncated", "cannot be read as GPKG"),
        ("renamed", "a.shp is not ESRI Shapefile inside"),
        ("no shx", "a.shx is missing beside a.shp"),
        ("missing", r'does not exist; did you mean "whole.gpkg"\?'),
        ("folder", "is a folder, a file is due. It holds whole.gpkg"),
        ("layers", r'it has 2 layers \(one, two\); name the one with the parcels: layer = "one"'),
        ("table", "the layer has no geometry, only columns parcel_id"),
        ("unknown", "has the ending '.doc', allowed are .gpkg"),
        ("no features", "it holds no feature"),
    ],
)
def test_a_broken_file_is_a_clear_error(tmp_path, kind, message):
    with pytest.raises((SourceError, SchemaError, NoDataError), match=message):
        read_parcels(_broken(tmp_path, kind))


def test_a_layer_can_be_named_and_style_tables_do_not_count(tmp_path):
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(fields(1), path, layer="one")
    pyogrio.write_dataframe(fields(1).drop(columns="geometry"), path, layer="layer_styles")
    assert len(read_parcels(path)) == 1
    pyogrio.write_dataframe(fields(3), path, layer="three")
    assert len(read_parcels(path, layer="three")) == 3
    with pytest.raises(SchemaError, match=r'no layer "thre"; did you mean "three"\?'):
        read_parcels(path, layer="thre")


def test_zips_out_of_proportion_or_without_a_shapefile_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.shp", bytes(60 * 1024**2))
    with pytest.raises(SourceError, match=r"declares 1 files of 63 MB in 0\.1 MB packed"):
        read_parcels(tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("../readme.txt", "x")
    with pytest.raises(SourceError, match=r"holds no shapefile, only \.\./readme\.txt"):
        read_parcels(tmp_path / "n.zip")
    (tmp_path / "t.zip").write_text("no zip")
    with pytest.raises(SourceError, match="is not a readable zip"):
        read_parcels(tmp_path / "t.zip")


# ------------------------------------------------------------------------------------------------------------- property


@settings(max_examples=15)
@given(st.permutations(range(6)), st.sampled_from(["gpkg", "geojson"]))
def test_permuting_features_permutes_parcels(order, suffix):
    frame = fields(6, sub_zone=[f"TV-{i}" for i in range(6)]).to_crs(4326)
    with tempfile.TemporaryDirectory() as folder:
        parcels = read_parcels(write(frame.iloc[list(order)], Path(folder) / f"a.{suffix}"))
    assert parcels["parcel_id"].tolist() == [f"P-{i}" for i in order]
    assert parcels["sub_zone"].tolist() == [f"TV-{i}" for i in order]
