"""The numbers of docs/real-pixels.md are those that its script prints, and what is said of them holds."""

from __future__ import annotations

import importlib

import pytest
from conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]


def test_the_page_holds_what_the_script_prints(shared_data, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    script = importlib.import_module("scripts.real_clouds")
    squares = [script.read_square(shared_data / "worldcereal_cubes" / name) for name in script.SQUARES]
    page = (ROOT / "docs" / "real-pixels.md").read_text("utf-8")
    parts = script.report(squares, shared_data / "sen2rts_jolanda_ndvi_scl").split("\n\n")
    assert len(parts) == 3
    assert [part for part in parts if part not in page] == []
    *_, left_out, random = script.smoothness_rows(squares)
    for measured, chance in zip(left_out[2:], random[2:], strict=True):
        assert float(measured) < float(chance.split(" to ")[0])
    near = script.cloud_nearby(squares)
    assert near["dips"][0] / near["dips"][1] > 1.5 * near["others"][0] / near["others"][1]
