"""The maps as QGIS itself shows them. Needs QGIS with its Python: ``apt-get install qgis python3-qgis`` on Debian."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from maps_risk import fields, risk_table

from rs_forecast.maps import write_risk_map
from rs_forecast.maps.classes import CLASSES

pytestmark = pytest.mark.qgis
CHECK = Path(__file__).with_name("qgis_check.py")
PYTHON = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
STEM = "brown_planthopper_h1"
ROWS = [
    "low: 0-10 % chance of >= 750 insects/m2",
    "moderate: 10-30 % chance of >= 750 insects/m2",
    "high: 30-60 % chance of >= 750 insects/m2",
    "very high: 60-100 % chance of >= 750 insects/m2",
    "not assessable: no forecast, the risk is unknown",
]


def run_python(*arguments, home):
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [PYTHON, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def require_qgis(folder):
    """Skip where QGIS's own Python is not there; ``folder`` is its home."""
    if not Path(PYTHON).exists() or run_python("-c", "import qgis.core", home=folder).returncode:
        pytest.skip(f"{PYTHON} has no qgis.core; on Debian: apt-get install --no-install-recommends qgis python3-qgis")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return require_qgis(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("bản đồ")
    risk = risk_table(fields(120))
    write_risk_map(risk, root / "utm", notes=["no look from space since 2026-02-21"])
    write_risk_map(risk, root / "vn2000", crs="EPSG:9208", synthetic=True)
    return root


@pytest.fixture(scope="module")
def shown(written, home):
    reports = {}
    for name in ("utm", "vn2000"):
        pictures = written / f"pictures {name}"
        pictures.mkdir()
        done = run_python(CHECK, written / name, pictures, home=home)
        assert done.returncode == 0, done.stderr
        reports[name] = json.loads(done.stdout)
    return reports


def test_qgis_opens_every_file_without_a_word(shown):
    for report in shown.values():
        assert len(report["layers"]) == 3
        assert all(layer["valid"] for layer in report["layers"].values())
        assert report["messages"] == []


def test_each_file_lies_where_it_should(shown, written):
    for name, code in (("utm", "EPSG:32648"), ("vn2000", "EPSG:9208")):
        layers = shown[name]["layers"]
        for kind in ("class", "probability"):
            facts = layers[f"{STEM}_{kind}.tif"]
            with rasterio.open(written / name / f"{STEM}_{kind}.tif") as file:
                assert facts["extent"] == list(file.bounds)
            assert facts["crs"] == code
        assert layers[f"{STEM}.geojson"]["crs"] == "EPSG:4326"


def test_the_legend_of_the_class_raster_has_just_the_named_rows(shown):
    facts = shown["utm"]["layers"][f"{STEM}_class.tif"]
    assert facts["renderer"] == "paletted"
    band, *rows = facts["legend"]
    assert band.startswith("Band 1: risk class of density >= 750 insects/m2, brown_planthopper")
    assert rows == ROWS


def test_the_legend_of_the_probability_raster(shown):
    facts = shown["utm"]["layers"][f"{STEM}_probability.tif"]
    assert facts["renderer"] == "singlebandpseudocolor"
    band, *rows = facts["legend"]
    assert band.startswith("Band 1: probability of density >= 750 insects/m2, brown_planthopper")
    assert rows == ["0-5 %", "5-10 %", "10-20 %", "20-30 %", "30-45 %", "45-60 %", "60-80 %", "80-100 %"]


def test_the_legend_of_the_geojson(shown):
    facts = shown["utm"]["layers"][f"{STEM}.geojson"]
    assert facts["renderer"] == "categorizedSymbol"
    assert facts["legend"] == ROWS
    assert facts["features"] == 120
    assert facts["display"] == '"parcel_id"'
    days = ("issued", "valid_from", "valid_to", "last_clear_obs")
    assert {facts["fields"][name] for name in days} == {"Date"}
    assert {facts["fields"][name] for name in ("probability", "lower", "upper")} == {"Real"}


def test_synthetic_data_say_so_where_a_reader_looks(shown):
    for name, facts in shown["vn2000"]["layers"].items():
        assert "SYNTHETIC" in facts["notes"]
        rows = facts["legend"] if name.endswith("geojson") else facts["legend"][:1]
        assert all("SYNTHETIC" in row for row in rows)
    assert "SYNTHETIC" not in json.dumps(shown["utm"])


def test_notes_reach_the_reader(shown):
    assert all("since 2026-02-21" in facts["notes"] for facts in shown["utm"]["layers"].values())


@pytest.mark.parametrize("name", ["utm", "vn2000"])
def test_every_pixel_of_the_class_raster_has_its_colour_and_nodata_is_clear(shown, written, name):
    facts = shown[name]["layers"][f"{STEM}_class.tif"]
    with rasterio.open(written / name / f"{STEM}_class.tif") as file:
        codes = Counter(file.read(1).ravel().tolist())
    colours = {row.code: row.colour for row in CLASSES.values()} | {255: "alpha 0"}
    assert facts["nodata"] == 255
    assert facts["colours"] == {colours[code]: count for code, count in codes.items()}
    assert set(codes) == set(colours)


def test_the_probability_raster_is_coloured_by_class_and_clear_where_unknown(shown, written):
    facts = shown["utm"]["layers"][f"{STEM}_probability.tif"]
    with rasterio.open(written / "utm" / f"{STEM}_probability.tif") as file:
        values = file.read(1)
    assert facts["nodata"] == -9999
    assert facts["colours"]["alpha 0"] == (values == -9999).sum()
    for row, low, high in zip(CLASSES.values(), (0, 0.1, 0.3, 0.6), (0.05, 0.2, 0.45, 0.8), strict=False):
        inside = (np.round(values, 4) >= np.float32(low)) & (np.round(values, 4) < np.float32(high))
        assert facts["colours"][row.colour] == inside.sum()


def test_looking_leaves_the_published_files_as_they_were(shown, written):
    names = {path.name for path in (written / "utm").iterdir()}
    kinds = (
        ".geojson",
        ".qml",
        "_class.qml",
        "_class.tif",
        "_class.tif.aux.xml",
        "_probability.qml",
        "_probability.tif",
    )
    assert names == {STEM + kind for kind in kinds}
    assert len(gpd.read_file(written / "utm" / f"{STEM}.geojson")) == 120


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_are_drawn(shown, written):
    pictures = sorted((written / "pictures utm").glob("*.png"))
    assert len(pictures) == 3
    for path in pictures:
        with rasterio.open(path) as file:
            assert len(np.unique(file.read(1))) > 4
