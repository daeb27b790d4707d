import hashlib
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from maps_risk import fields, risk_table

from rs_forecast.catalog import Pest
from rs_forecast.errors import ConfigError, NoDataError, OutputError, SchemaError
from rs_forecast.maps import products, rasters, write_products, write_risk_map

BLAST = Pest(name="leaf_blast", crop="rice", event="incidence > 5", unit="%", doc="")
KINDS = (".geojson", ".qml", "_class.qml", "_class.tif", "_class.tif.aux.xml", "_probability.qml", "_probability.tif")


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def risk():
    return risk_table(fields(12))


def test_one_set_of_files_per_pest_and_horizon_and_nothing_else(tmp_path):
    risk = risk_table(fields(12), pests=("leaf_blast", "brown_planthopper"), weeks=(2, 1))
    written = write_risk_map(risk, tmp_path / "new" / "map", pests={"leaf_blast": BLAST})
    stems = [f"{pest}_h{week}" for pest in ("brown_planthopper", "leaf_blast") for week in (1, 2)]
    assert sorted(path.name for path in written) == sorted(stem + kind for stem in stems for kind in KINDS)
    assert sorted(written) == sorted((tmp_path / "new" / "map").iterdir())
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["map"]


def test_a_pest_of_the_users_own_names_its_event(tmp_path):
    risk = risk_table(fields(12), pests=("leaf_blast",))
    write_risk_map(risk, tmp_path / "map", pests={"leaf_blast": BLAST})
    with rasterio.open(tmp_path / "map" / "leaf_blast_h1_probability.tif") as file:
        assert file.descriptions[0].startswith("probability of incidence > 5 %, leaf_blast, valid")


def test_the_same_table_gives_the_same_bytes(tmp_path, risk):
    write_risk_map(risk, tmp_path / "one", notes=["n"], synthetic=True)
    write_risk_map(risk.copy(), tmp_path / "two", notes=["n"], synthetic=True)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_write_products_adds_to_what_is_there(tmp_path, risk):
    (tmp_path / "manifest.json").write_text("{}")
    written = write_products(risk, tmp_path)
    write_risk_map(risk, tmp_path / "alone")
    assert {path.name for path in written} | {"manifest.json", "alone"} == {path.name for path in tmp_path.iterdir()}
    assert hashes(tmp_path / "alone") == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(written)
    }


def test_an_older_map_is_replaced_whole(tmp_path, risk):
    both = risk_table(fields(12), weeks=(1, 2))
    write_risk_map(both, tmp_path / "map")
    write_risk_map(risk, tmp_path / "map")
    assert {name.split("_h")[1][0] for name in hashes(tmp_path / "map")} == {"1"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_older_map_untouched(tmp_path, risk, monkeypatch, error):
    write_risk_map(risk, tmp_path / "map")
    before = hashes(tmp_path / "map")
    real, calls = products.write_geojson, []

    def fail_at_the_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise error
        return real(*args)

    monkeypatch.setattr(products, "write_geojson", fail_at_the_second)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_risk_map(risk_table(fields(12), weeks=(1, 2), seed=9), tmp_path / "map")
    assert len(calls) == 2
    if isinstance(error, OSError):
        assert "No space left on device" in str(caught.value)
        assert "map" in str(caught.value)
    assert hashes(tmp_path / "map") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


def test_a_raster_that_cannot_be_written_is_our_error(tmp_path, risk):
    with pytest.raises(OutputError, match=r"gone: cannot be written .* check that the folder exists"):
        write_products(risk, tmp_path / "gone")


def test_a_folder_below_a_file_is_refused(tmp_path, risk):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: cannot be written"):
        write_risk_map(risk, tmp_path / "file" / "map")


def test_a_folder_with_other_things_is_not_replaced(tmp_path, risk):
    (tmp_path / "thesis.docx").write_text("ten years")
    with pytest.raises(ConfigError, match=r"holds thesis\.docx, which no risk map has"):
        write_risk_map(risk, tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "ten years"
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        write_risk_map(risk, tmp_path / "thesis.docx")
    assert (tmp_path / "thesis.docx").read_text() == "ten years"


def test_what_qgis_leaves_beside_a_map_does_not_stop_the_next(tmp_path, risk):
    write_risk_map(risk, tmp_path / "map")
    for name in ("brown_planthopper_h1_probability.tif.aux.xml", "brown_planthopper_h1.qmd"):
        (tmp_path / "map" / name).write_text("")
    write_risk_map(risk, tmp_path / "map")
    assert len(hashes(tmp_path / "map")) == len(KINDS)


def test_layers_share_one_grid_even_where_their_parcels_differ(tmp_path):
    risk = risk_table(fields(30), weeks=(1, 2))
    first = risk["parcel_id"].unique()[0]
    risk = risk[(risk["horizon_weeks"] == 1) | (risk["parcel_id"] != first)].sample(frac=1, random_state=3)
    write_risk_map(risk, tmp_path / "map")
    rasters = []
    for week in (1, 2):
        with rasterio.open(tmp_path / "map" / f"brown_planthopper_h{week}_class.tif") as file:
            rasters.append((file.transform, file.read(1)))
    assert rasters[0][0] == rasters[1][0]
    assert (rasters[1][1] == 255).sum() > (rasters[0][1] == 255).sum()
    for week in (1, 2):
        json_table = gpd.read_file(tmp_path / "map" / f"brown_planthopper_h{week}.geojson").set_index("parcel_id")
        own = risk[risk["horizon_weeks"] == week].set_index("parcel_id")
        assert set(json_table.index) == set(own.index)
        difference = json_table["probability"] - own["probability"].reindex(json_table.index)
        assert difference.abs().max() < 1e-4


def test_the_owner_of_pixels_is_found_once_for_equal_parcels(tmp_path, monkeypatch):
    calls = []
    real = rasters.Owners
    monkeypatch.setattr(rasters, "Owners", lambda *args, **kw: calls.append(1) or real(*args, **kw))
    write_risk_map(risk_table(fields(12), weeks=(1, 2, 3)), tmp_path / "map")
    assert len(calls) == 1


def test_many_layers_are_written_a_few_at_a_time(tmp_path, monkeypatch):
    """The files of open rasters and their rows of blocks are bounded, and the bytes are the same."""
    risk = risk_table(fields(12), weeks=(1, 2, 3, 4, 5))
    together = []
    real = products.write_rasters
    monkeypatch.setattr(products, "write_rasters", lambda g, *args: together.append(len(g)) or real(g, *args))
    write_risk_map(risk, tmp_path / "map")
    assert together == [4, 1]
    one = write_risk_map(risk[risk["horizon_weeks"] == 5], tmp_path / "one")
    assert {path.name: hashes(tmp_path / "map")[path.name] for path in one} == hashes(tmp_path / "one")


@pytest.mark.parametrize(("geojson", "geoparquet"), [(False, False), (False, True), (True, True)])
def test_files_of_parcels_are_written_as_asked(tmp_path, risk, geojson, geoparquet):
    written = write_risk_map(risk, tmp_path / "map", geojson=geojson, geoparquet=geoparquet)
    found = {path.name.removeprefix("brown_planthopper_h1") for path in written}
    assert (".geojson" in found, ".parquet" in found, ".qml" in found) == (geojson, geoparquet, geojson or geoparquet)
    assert {path.name for path in written} == {path.name for path in (tmp_path / "map").iterdir()}
    write_risk_map(risk, tmp_path / "map")  # and are known as a map's own when the next one comes
    assert len(hashes(tmp_path / "map")) == len(KINDS)


def test_an_empty_table_is_refused(tmp_path, risk):
    with pytest.raises(NoDataError, match="no row"):
        write_risk_map(risk.iloc[:0], tmp_path / "map")
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda r: pd.DataFrame(r).drop(columns="geometry"), SchemaError, "DataFrame without geometry"),
        (lambda r: gpd.GeoDataFrame(r, crs=None).set_crs(None, allow_override=True), SchemaError, "CRS"),
        (lambda r: r.drop(columns="probability"), SchemaError, "probability is missing"),
        (lambda r: r.assign(pest="brown_planthoper"), ConfigError, "did you mean"),
        (lambda r: r.assign(horizon_weeks=1.5), SchemaError, "whole weeks"),
        (lambda r: pd.concat([r, r.assign(issued=r["issued"] + pd.Timedelta(days=7))]), SchemaError, "2 issue dates"),
        (lambda r: r.assign(risk_class="high"), SchemaError, "class_limits"),
        (lambda r: r.set_geometry(r.geometry.where(r.index != 3)), SchemaError, "AG-0003 has no valid polygon"),
    ],
)
def test_a_table_that_is_no_risk_table_is_refused(tmp_path, risk, change, error, message):
    with pytest.raises(error, match=message):
        write_risk_map(change(risk), tmp_path / "map")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:99999", "nonsense"])
def test_a_crs_that_is_not_metric_is_refused(tmp_path, risk, crs):
    with pytest.raises(ConfigError, match="allowed is a"):
        write_risk_map(risk, tmp_path / "map", crs=crs)


def test_a_pest_whose_name_is_a_path_is_refused(tmp_path, risk):
    pests = {"../up": Pest(name="../up", crop="rice", event="density >= 1", unit="x", doc="")}
    with pytest.raises(ConfigError, match="files are named after it"):
        write_risk_map(risk.assign(pest="../up"), tmp_path / "map", pests=pests)


def test_one_parcel_on_the_other_side_of_the_country_is_refused_before_the_memory_is_gone(tmp_path, risk):
    far = risk.copy()
    far.loc[0, "geometry"] = far.geometry.iloc[0].buffer(1).envelope
    far.geometry = far.geometry.where(far.index != 0, far.geometry.translate(600_000, 1_200_000))
    with pytest.raises(ConfigError, match="pixels of 10 m; choose a coarser resolution"):
        write_risk_map(far, tmp_path / "map")


def test_other_limits_change_legend_and_classes_together(tmp_path, risk):
    limits = (0.05, 0.2, 0.5)
    names = np.array(["low", "moderate", "high", "very_high"])
    probability = risk["probability"].fillna(0)
    classes = names[np.searchsorted(limits, probability, "right")]
    changed = risk.assign(risk_class=np.where(risk["probability"].isna(), "not_assessable", classes))
    write_risk_map(changed, tmp_path / "map", class_limits=limits)
    assert "high: 20-50 % chance" in (tmp_path / "map" / "brown_planthopper_h1.qml").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "map" / "brown_planthopper_h1.geojson").read_text(encoding="utf-8"))
    assert content["class_limits"] == [0.05, 0.2, 0.5]


def test_folder_names_with_spaces_and_vietnamese_letters(tmp_path, risk):
    folder = tmp_path / "Bản đồ tuần 10"
    write_risk_map(risk, folder)
    with rasterio.open(folder / "brown_planthopper_h1_class.tif") as file:
        assert file.colormap(1)[3] == (165, 0, 38, 255)
