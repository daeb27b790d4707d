"""The line on real pixels: a Flanders square, its AgERA5 weather, SYNTHETIC surveys on top, published in the record."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from conftest import ROOT
from flanders import square_folder

from rs_forecast import pipeline
from rs_forecast.config import load_config
from rs_forecast.inputs import read_inputs
from rs_forecast.schema import day

pytestmark = pytest.mark.end_to_end
ISSUED = "2018-08-06"


def make_project(square: Path, out: Path) -> Path:
    spec = importlib.util.spec_from_file_location("flanders_square", ROOT / "scripts" / "flanders_square.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    config: Path = script.make_project(square, out)
    return config


def test_train_and_run_publish_for_a_day_inside_the_record(shared_data: Path, tmp_path: Path) -> None:
    config = load_config(make_project(square_folder(shared_data, "00002806639B424A"), tmp_path / "flanders"))
    inputs = read_inputs(config, until=day(ISSUED))
    assert not inputs.missing
    assert inputs.signals is not None
    assert inputs.weather is not None
    assert inputs.signals["ndvi_mean"].between(-1, 1).all()
    assert 0.7 < inputs.signals["ndvi_mean"].quantile(0.95) < 1, "fields are green in summer"
    july = inputs.weather.rows.set_index("date").loc["2018-07"]
    assert 18 < july["temp_mean"].mean() < 25, "the warm July of 2018, in °C"
    assert 30 < july["rh_mean"].mean() < 90
    trained = pipeline.train(config, until=ISSUED, inputs=inputs)
    scores = trained.report.scores
    assert {"rs_forecast", "climatology", "persistence", "always_no"} <= set(scores["model"])
    assert (scores["events"] >= 10).all()
    report = pipeline.run(config, issued=ISSUED, inputs=inputs)
    assert report.week == "2018-W32"
    assert report.exit_code == (0 if trained.report.gate.passed else 3)
    week = Path(report.folder)
    manifest = json.loads((week / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert all(scene["known_at"] <= "2018-08-06" for scene in manifest["scenes"] if scene["date"] < "2018-08-06")
    fields = gpd.read_file(week / "synthetic_aphid_h1.geojson")
    assert fields.crs.to_epsg() == 4326
    assert fields["probability"].between(0, 1).all()
    assert fields.total_bounds == pytest.approx([3.019, 50.812, 3.029, 50.819], abs=0.01)
    with rasterio.open(week / "synthetic_aphid_h1_probability.tif") as src:
        assert src.crs.to_epsg() == 32631
        assert "SYNTHETIC" in src.descriptions[0]
        assert np.ma.count(src.read(1, masked=True)) > 1000
