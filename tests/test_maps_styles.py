from xml.etree import ElementTree as ET

import numpy as np
import pytest
from maps_risk import fields, risk_table

from rs_forecast.maps import write_risk_map
from rs_forecast.maps.classes import CLASSES, published
from rs_forecast.maps.styles import probability_steps, step_end

STEM = "brown_planthopper_h1"
ROWS = [
    "low: 0-10 % chance of >= 750 insects/m2",
    "moderate: 10-30 % chance of >= 750 insects/m2",
    "high: 30-60 % chance of >= 750 insects/m2",
    "very high: 60-100 % chance of >= 750 insects/m2",
    "not assessable: no forecast, the risk is unknown",
]


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    target = tmp_path_factory.mktemp("maps") / "map"
    write_risk_map(risk_table(fields(6)), target, notes=["<b>no</b> & never"])
    return {path.stem.removeprefix(STEM): path.read_text(encoding="utf-8") for path in target.glob("*.qml")}


def test_every_style_declares_the_oldest_qgis_and_carries_the_notes(styles):
    assert set(styles) == {"", "_class", "_probability"}
    for text in styles.values():
        assert text.startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n")
        root = ET.fromstring(text)
        assert (root.tag, root.get("version")) == ("qgis", "3.22.0")
        notes = root.find("userNotes").get("value")
        assert "valid 2026-03-09 to 2026-03-15" in notes
        assert "<p>&lt;b&gt;no&lt;/b&gt; &amp; never</p>" in notes


def test_classes_have_one_row_each_in_rasters_and_vectors(styles):
    palette = ET.fromstring(styles["_class"]).findall(".//paletteEntry")
    assert [entry.get("label") for entry in palette] == ROWS
    assert [int(entry.get("value")) for entry in palette] == [0, 1, 2, 3, 254]
    assert [entry.get("color") for entry in palette] == [row.colour for row in CLASSES.values()]
    categories = ET.fromstring(styles[""]).findall(".//category")
    assert [category.get("label") for category in categories] == ROWS
    assert [category.get("value") for category in categories] == list(CLASSES)


def test_only_what_is_not_assessable_is_hatched(styles):
    symbols = ET.fromstring(styles[""]).findall(".//renderer-v2/symbols/symbol")
    hatched = [[layer.get("class") for layer in symbol.findall("layer")] for symbol in symbols]
    assert hatched == [["SimpleFill"]] * 4 + [["SimpleFill", "LinePatternFill"]]


@pytest.mark.parametrize("limits", [(0.1, 0.3, 0.6), (0.05, 0.2, 0.5), (0.33333, 0.5, 0.75)])
def test_every_published_probability_is_coloured_by_its_class(limits):
    """A step of QGIS takes the values up to and with its own; what stands on a limit belongs above it."""
    steps = list(probability_steps(limits))
    assert [steps[0][0], steps[-1][1]] == [0, 1]
    assert [high for _, high, _ in steps[:-1]] == [low for low, _, _ in steps[1:]]
    risky = published(np.array([0, *limits, *np.subtract(limits, 1e-6), *np.add(limits, 1e-6), 1.0]), limits)
    ends = np.array([step_end(high) if high < 1 else np.inf for _, high, _ in steps])
    step = np.searchsorted(ends, risky.astype("float32").astype("float64"), side="left")
    assert (step // 2 == np.searchsorted(limits, risky, side="right")).all()


def test_steps_of_the_probability_scale_are_written_as_tested(styles):
    items = ET.fromstring(styles["_probability"]).findall(".//item")
    assert [item.get("label") for item in items] == [
        "0-5 %", "5-10 %", "10-20 %", "20-30 %", "30-45 %", "45-60 %", "60-80 %", "80-100 %",
    ]  # fmt: skip
    assert [float(item.get("value")) for item in items] == pytest.approx(
        [0.04995, 0.09995, 0.19995, 0.29995, 0.44995, 0.59995, 0.79995, np.inf]
    )


def test_synthetic_data_say_so_in_each_style(tmp_path):
    write_risk_map(risk_table(fields(6)), tmp_path / "map", synthetic=True)
    for path in (tmp_path / "map").glob("*.qml"):
        assert 'userNotes value="&lt;p&gt;SYNTHETIC: ' in path.read_text(encoding="utf-8")
    labels = [c.get("label") for c in ET.parse(tmp_path / "map" / f"{STEM}.qml").findall(".//category")]
    assert labels == [f"{row} (SYNTHETIC)" for row in ROWS]
