"""The twelve public names, used as the README does, on a small SYNTHETIC valley."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

import rs_forecast as rsf
from rs_forecast.simulate import simulate

PEST = "brown_planthopper"


@pytest.mark.end_to_end
def test_a_notebook_goes_from_parcels_to_a_map(tmp_path: Path) -> None:
    valley = simulate(tmp_path / "valley", seed=1, parcels=60, years=2, image_years=0.2, end="2025-12-29", workers=1)
    config = rsf.load_config(valley.config)
    parcels = rsf.read_parcels(valley.parcels)
    cube = rsf.open_cube(parcels, start="2025-11-01", end="2025-12-29", path=valley.scenes)
    cube = rsf.add_indices(cube, ["ndvi", "lswi"])
    assert {"ndvi", "lswi", "red", "scl"} <= set(cube)
    signals = rsf.extract_signals(cube, parcels, indices=["ndvi", "lswi", "ndre"])
    weather = rsf.get_weather(parcels, start="2024-01-01", end="2025-12-29", source="csv", path=valley.weather)
    surveys = rsf.read_surveys(valley.surveys, parcels)
    history = rsf.build_dataset(parcels, signals, weather, surveys, pest=PEST, horizon_weeks=1)
    assert isinstance(history, gpd.GeoDataFrame)
    report = rsf.cross_validate(history, preset="small", models={"mine": HistGradientBoostingClassifier(max_iter=20)})
    assert set(report.scores["model"]) >= {"rs_forecast", "mine", "climatology", "persistence", "always_no"}
    assert "climatology" in str(report)
    with pytest.warns(UserWarning, match="ndvi_anomaly_30d"):  # of years before the first look
        model = rsf.RiskModel.fit(history, preset="small")
    today = rsf.build_dataset(parcels, signals, weather, surveys, pest=PEST, horizon_weeks=1, issued="2025-12-29")
    risk = model.predict(today)
    assert len(risk) == len(parcels)
    assert risk["probability"].between(0, 1).all()
    files = rsf.write_risk_map(risk, tmp_path / "2026-W01")
    assert {f.suffix for f in files} == {".tif", ".xml", ".geojson", ".qml"}
    assert "SYNTHETIC" in (tmp_path / "2026-W01" / f"{PEST}_h1.geojson").read_text()
    assert config.forecast.pests == (PEST,)
    unknown = pd.DataFrame(today.drop(columns="geometry"))
    np.testing.assert_array_equal(model.predict_probability(unknown), risk["probability"])


def test_the_public_names_are_those_of_the_design() -> None:
    assert set(rsf.__all__) == {
        "load_config", "read_parcels", "open_cube", "add_indices", "extract_signals", "get_weather", "read_surveys",
        "build_dataset", "RiskModel", "cross_validate", "write_risk_map", "run",
    }  # fmt: skip
    for name in rsf.__all__:
        assert getattr(rsf, name).__doc__
        assert name in dir(rsf)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = rsf.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, rs_forecast; print([m for m in ('pandas', 'numba', 'rasterio', 'lightgbm') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"]])
def test_the_program_starts(arguments: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "rs_forecast", *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout
