import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from exactextract import exact_extract
from maps_risk import fields, risk_table
from pyproj import Transformer

from rs_forecast.errors import OutputError
from rs_forecast.grid import output_geobox
from rs_forecast.kernels.burn import pixel_owner
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.maps import write_products, write_risk_map
from rs_forecast.maps.classes import CLASSES
from rs_forecast.maps.cog import BLOCK, CogWriter
from rs_forecast.maps.layer import split_layers
from rs_forecast.maps.rasters import write_rasters

STEM = "brown_planthopper_h1"
NODATA = -9999.0


def read(folder, kind):
    with rasterio.open(folder / f"{STEM}_{kind}.tif") as file:
        return file.read(1)


def oracle_owner(risk, path, scratch):
    """Who owns each pixel by exactextract and the rule in words: greatest share, if all shares reach one half."""
    with rasterio.open(path) as file:
        shape, crs, profile = file.shape, file.crs, file.profile
    with rasterio.open(scratch, "w", **profile | {"nodata": None, "blockxsize": 256, "blockysize": 256}) as file:
        file.write(np.ones(shape, "float32"), 1)  # exactextract leaves out cells without a value
    cells = exact_extract(scratch, risk.to_crs(crs), ["cell_id", "coverage"], output="pandas")
    best, total = {}, np.zeros(shape[0] * shape[1])
    for parcel, (ids, shares) in enumerate(zip(cells["cell_id"], cells["coverage"], strict=True)):
        total[ids] += shares
        for cell, share in zip(ids, shares, strict=True):
            if share > best.get(cell, (0, 0))[0] + 1e-6:  # the first of equals; exactextract's shares are float32
                best[cell] = (share, parcel)
    owner = np.full(total.size, -1)
    for cell, (_, parcel) in best.items():
        if total[cell] >= 0.5:
            owner[cell] = parcel
    return owner.reshape(shape), total.reshape(shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("maps") / "2026-W10"
    write_risk_map(risk_table(fields(60)), target, notes=["no look from space since 2026-02-21"])
    return target


def test_gdal_finds_what_the_probability_raster_is(folder):
    with rasterio.open(folder / f"{STEM}_probability.tif") as file:
        assert file.driver == "GTiff"
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs.to_epsg() == 32648
        assert file.dtypes == ("float32",)
        assert file.nodata == NODATA
        assert file.units == ("1",)
        assert file.descriptions == (
            "probability of density >= 750 insects/m2, brown_planthopper, valid 2026-03-09 to 2026-03-15",
        )
        assert file.res == (10.0, 10.0)
        assert [edge % 10 for edge in file.bounds] == [0, 0, 0, 0]
        tags = file.tags()
    assert tags["TIFFTAG_IMAGEDESCRIPTION"] == file.descriptions[0]
    assert (tags["ISSUED"], tags["HORIZON_WEEKS"], tags["SYNTHETIC"]) == ("2026-03-02", "1", "no")
    assert tags["NOTES"] == "no look from space since 2026-02-21"
    assert "TIFFTAG_DATETIME" not in tags


def test_gdal_finds_names_and_colours_of_the_classes(folder):
    with rasterio.open(folder / f"{STEM}_class.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.dtypes, file.nodata) == (("uint8",), 255)
        assert file.descriptions[0].startswith("risk class of density >= 750 insects/m2")
        colours = file.colormap(1)
    assert {code: colour for code, colour in colours.items() if colour[3]} == {
        0: (255, 255, 178, 255),
        1: (254, 204, 92, 255),
        2: (245, 118, 43, 255),
        3: (165, 0, 38, 255),
        254: (118, 118, 118, 255),
    }
    names = category_names(folder / f"{STEM}_class.tif", folder.parent / "look.vrt")
    assert {code: name for code, name in enumerate(names) if name} == {
        0: "low: 0-10 % chance of >= 750 insects/m2",
        1: "moderate: 10-30 % chance of >= 750 insects/m2",
        2: "high: 30-60 % chance of >= 750 insects/m2",
        3: "very high: 60-100 % chance of >= 750 insects/m2",
        254: "not assessable: no forecast, the risk is unknown",
    }


def category_names(path, scratch):
    """Category names as GDAL reads them: a VRT copy spells them out."""
    from xml.etree import ElementTree as ET

    rasterio.shutil.copy(path, scratch, driver="VRT")
    return [element.text for element in ET.parse(scratch).iter("Category")]


def test_the_colour_table_is_not_in_the_tiff(folder, tmp_path):
    alone = tmp_path / "alone.tif"
    alone.write_bytes((folder / f"{STEM}_class.tif").read_bytes())
    with rasterio.open(alone) as file, pytest.raises(ValueError, match="NULL color table"):
        file.colormap(1)


@pytest.mark.parametrize(("seed", "crs"), [(0, None), (1, "EPSG:9208"), (2, "EPSG:3405"), (3, None)])
def test_raster_and_geojson_agree_on_every_parcel_that_owns_a_pixel(tmp_path, seed, crs):
    risk = risk_table(fields(70, seed, size=(40, 90, 15, 8)[seed]), seed=seed)
    write_risk_map(risk, tmp_path / "map", crs=crs)
    path = tmp_path / "map" / f"{STEM}_probability.tif"
    owner, total = oracle_owner(risk, path, tmp_path / "ones.tif")
    clear = np.abs(total - 0.5) > 1e-5
    owner, classes = owner[clear], read(tmp_path / "map", "class")[clear]
    probability = read(tmp_path / "map", "probability")[clear]
    json = gpd.read_file(tmp_path / "map" / f"{STEM}.geojson")
    expected = np.append(json["probability"].fillna(NODATA), NODATA)[owner]
    assert (np.round(probability.astype("float64"), 4) == expected).all()
    codes = {"low": 0, "moderate": 1, "high": 2, "very_high": 3, "not_assessable": 254}
    assert (classes == np.append(json["risk_class"].map(codes), 255)[owner]).all()
    assert len(np.unique(owner)) > 30  # the comparison saw parcels, and pixels without
    assert (owner == -1).any()


@pytest.mark.parametrize("crs", ["EPSG:32648", "EPSG:9208"])
def test_the_files_lie_on_each_other(tmp_path, crs):
    """The published GeoJSON laid over the published raster: pixels wholly inside a field hold its probability."""
    write_risk_map(risk_table(fields(60)), tmp_path / "map", crs=crs)
    path = tmp_path / "map" / f"{STEM}_probability.tif"
    json = gpd.read_file(tmp_path / "map" / f"{STEM}.geojson").to_crs(crs)
    inside = exact_extract(path, json, ["values", "coverage"], output="pandas")
    seen = 0
    for row, values, shares in zip(json.itertuples(), inside["values"], inside["coverage"], strict=True):
        full = np.asarray(values)[np.asarray(shares) > 0.99999].astype("float64")
        if row.status != "not_assessable":
            assert set(np.round(full, 4)) <= {row.probability}
            seen += len(full)
    assert seen > 500


def test_vn2000_output_is_shifted_by_the_datum(tmp_path):
    """EPSG:6960 spelt out: without its seven parameters the map would lie some 225 m off."""
    parcels = fields(20)
    write_risk_map(risk_table(parcels), tmp_path / "map", crs="EPSG:9208")
    zone = "+step +proj=tmerc +lat_0=0 +lon_0=104.75 +k=0.9999 +x_0=500000 +y_0=0 +ellps=WGS84"
    helmert = (
        "+step +proj=cart +ellps=WGS84 +step +inv +proj=helmert +x=-191.90441429 +y=-39.30318279 +z=-111.45032835 "
        "+rx=-0.00928836 +ry=0.01975479 +rz=-0.00427372 +s=0.252906278 +convention=coordinate_frame "
        "+step +inv +proj=cart +ellps=WGS84"
    )
    utm = "+proj=pipeline +step +inv +proj=utm +zone=48 +ellps=WGS84"
    corner = parcels.total_bounds[:2]
    right = np.array(Transformer.from_pipeline(f"{utm} {helmert} {zone}").transform(*corner))
    unshifted = np.array(Transformer.from_pipeline(f"{utm} {zone}").transform(*corner))
    assert 200 < np.hypot(*(right - unshifted)) < 250
    with rasterio.open(tmp_path / "map" / f"{STEM}_class.tif") as file:
        assert file.crs.to_epsg() == 9208
        assert np.abs(np.array([file.bounds.left, file.bounds.bottom]) - right).max() < 15


def test_overviews_average_probabilities_and_keep_classes_whole(tmp_path):
    land = [shapely.box(500_000 + 3_000 * i, 1_150_000, 503_000 + 3_000 * i, 1_153_000) for i in range(2)]
    parcels = gpd.GeoDataFrame({"parcel_id": ["a", "b"]}, geometry=land, crs="EPSG:32648")
    risk = risk_table(parcels)
    risk = risk.assign(probability=[0.05, 0.9], lower=0.0, upper=1.0, risk_class=["low", "very_high"], status="ok")
    write_risk_map(risk, tmp_path / "map")
    for kind, whole in (("probability", {np.float32(0.05), np.float32(0.9)}), ("class", {0, 3})):
        with rasterio.open(tmp_path / "map" / f"{STEM}_{kind}.tif") as file:
            assert file.shape == (300, 600)
            assert file.overviews(1) == [2]
        with rasterio.open(tmp_path / "map" / f"{STEM}_{kind}.tif", overview_level=0) as small:
            assert set(np.unique(small.read(1))) == whole


def squares(*boxes):
    ids = [f"p{i}" for i in range(len(boxes))]
    shapes = [shapely.box(*(np.array(box) + [500_000, 1_150_000] * 2)) for box in boxes]
    return gpd.GeoDataFrame({"parcel_id": ids}, geometry=shapes, crs="EPSG:32648")


def published(parcels, tmp_path, probability):
    names = np.array(["low", "moderate", "high", "very_high"])[np.searchsorted((0.1, 0.3, 0.6), probability, "right")]
    risk = risk_table(parcels).assign(probability=probability, lower=0.0, upper=1.0, risk_class=names, status="ok")
    write_risk_map(risk, tmp_path / "map")
    return read(tmp_path / "map", "probability").round(4), gpd.read_file(tmp_path / "map" / f"{STEM}.geojson")


def test_a_pixel_goes_to_the_greatest_share_and_the_first_of_equals(tmp_path):
    parcels = squares((0, 0, 14, 10), (14, 0, 20, 10), (20, 0, 25, 10), (25, 0, 30, 10))
    raster, _ = published(parcels, tmp_path, [0.1, 0.2, 0.3, 0.4])
    assert raster.tolist() == [pytest.approx([0.1, 0.2, 0.3])]


def test_a_pixel_less_than_half_covered_is_nodata_and_parcels_count_together(tmp_path):
    parcels = squares((0, 0, 4.9, 10), (10, 0, 13, 10), (17, 0, 19.5, 10))
    raster, _ = published(parcels, tmp_path, [0.1, 0.2, 0.3])
    assert raster.tolist() == [pytest.approx([NODATA, 0.2])]


def test_a_parcel_smaller_than_a_pixel_is_in_the_geojson(tmp_path):
    parcels = squares((0, 0, 9, 10), (9, 0, 10, 10))
    raster, json = published(parcels, tmp_path, [0.1, 0.2])
    assert raster.tolist() == [pytest.approx([0.1])]
    assert json["probability"].tolist() == [0.1, 0.2]


def test_overlapping_parcels_both_stay_and_the_larger_share_wins(tmp_path):
    parcels = squares((0, 0, 12, 10), (6, 0, 20, 10))
    raster, json = published(parcels, tmp_path, [0.1, 0.2])
    assert raster.tolist() == [pytest.approx([0.1, 0.2])]
    assert len(json) == 2


def test_synthetic_data_say_so_in_each_raster(tmp_path):
    risk = risk_table(fields(5))
    risk.attrs["synthetic"] = True
    write_risk_map(risk, tmp_path / "map")
    for kind in ("probability", "class"):
        with rasterio.open(tmp_path / "map" / f"{STEM}_{kind}.tif") as file:
            assert file.descriptions[0].startswith("SYNTHETIC: ")
            assert file.tags()["TIFFTAG_IMAGEDESCRIPTION"].startswith("SYNTHETIC: ")
            assert file.tags()["SYNTHETIC"] == "yes"


def scattered(n=40, seed=1):
    """Fields some 40 blocks apart in all, so that the grid has several bands, blank blocks and overviews."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, (20_000, 12_000), (n, 2))
    sizes = rng.uniform(30, 900, (n, 2))
    return squares(*np.column_stack([corners, corners + sizes]).tolist())


def written_with(tmp_path, **options):
    parcels = scattered()
    risk = risk_table(parcels, weeks=(1, 2))
    layers = list(split_layers(risk, parcels, limits=(0.1, 0.3, 0.6), synthetic=False, notes=(), pests=None))
    folder = tmp_path / "-".join(f"{name}{value}" for name, value in options.items())
    folder.mkdir()
    files = write_rasters(layers, parcels, output_geobox(parcels), folder, **options)
    assert sorted(files) == sorted(folder.iterdir())
    return {path.name: path.read_bytes() for path in files}


def test_bytes_do_not_depend_on_threads(tmp_path):
    first = written_with(tmp_path, threads=1)
    assert len(first) == 6
    for threads in (2, 5):
        assert written_with(tmp_path, threads=threads) == first


def test_rasters_of_several_blocks_hold_what_the_whole_grid_would(tmp_path):
    parcels = scattered()
    risk = risk_table(parcels)
    write_risk_map(risk, tmp_path / "map")
    grid = output_geobox(parcels)
    assert min(grid.shape) > 2 * BLOCK
    owner = pixel_owner(coverage_table(parcels, grid))
    codes = risk["risk_class"].map({name: row.code for name, row in CLASSES.items()}).to_numpy("uint8")
    np.testing.assert_array_equal(read(tmp_path / "map", "class"), np.append(codes, 255)[owner])


@pytest.mark.parametrize("room", [0, 3_000, 12_000, 24_000])
def test_a_full_disk_is_our_error_and_leaves_nothing(tmp_path, room):
    """No file may grow beyond ``room`` bytes: from the first block that waits to the second of the finished files."""
    resource = pytest.importorskip("resource")
    parcels = scattered()
    risk = risk_table(parcels, weeks=(1, 2))
    write_risk_map(risk, tmp_path / "map")
    largest = max(path.stat().st_size for path in (tmp_path / "map").glob("*.tif"))
    assert largest > 24_000
    before = {path.name: path.read_bytes() for path in (tmp_path / "map").iterdir()}
    (tmp_path / "beside").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_risk_map(risk, tmp_path / "map")
        with pytest.raises(OutputError, match="cannot be written"):
            write_products(risk, tmp_path / "beside")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in (tmp_path / "map").iterdir()} == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["beside", "map"]
    assert not list((tmp_path / "beside").glob("*.tif"))


def test_a_finished_raster_goes_when_the_next_cannot_be_finished(tmp_path, monkeypatch):
    real, calls = CogWriter.finish, []

    def fail_at_the_second(self, **options):
        calls.append(self.path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(self, **options)

    monkeypatch.setattr(CogWriter, "finish", fail_at_the_second)
    with pytest.raises(OutputError, match="No space left"):
        write_products(risk_table(fields(5)), tmp_path)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []
