import hashlib
import json
import threading

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from maps_risk import fields, risk_table

from rs_forecast.errors import OutputError
from rs_forecast.maps import geoparquet, products, write_risk_map
from rs_forecast.maps.geoparquet import geometry_column
from rs_forecast.maps.vectors import PROPERTIES

NAME = "brown_planthopper_h1.parquet"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    risk = risk_table(fields(80))
    target = tmp_path_factory.mktemp("maps") / "map"
    write_risk_map(risk, target, geoparquet=True, synthetic=True, notes=["a note"], crs="EPSG:9208")
    return risk, target


def test_geopandas_reads_the_risk_table_back(written):
    risk, folder = written
    found = gpd.read_parquet(folder / NAME)
    assert found.columns.tolist() == [*PROPERTIES, "geometry"]
    assert found.crs == risk.crs  # the parcels' own, whatever the rasters are in
    assert (found.geometry.to_numpy() == risk.geometry.to_numpy()).all()
    assert found["parcel_id"].tolist() == risk["parcel_id"].tolist()
    for name in ("probability", "lower", "upper"):
        assert (found[name].isna() == risk[name].isna()).all()
        assert (found[name] - risk[name]).abs().max() < 1e-4
    for name in ("issued", "valid_from", "valid_to", "last_clear_obs"):
        days = pd.to_datetime(found[name]).astype("datetime64[us]")
        pd.testing.assert_series_equal(days, risk[name], check_names=False)
    for name in ("risk_class", "reasons", "status", "model_id", "pest"):
        assert found[name].fillna("-").tolist() == risk[name].fillna("-").tolist()


def test_it_says_what_the_geojson_says(written):
    _, folder = written
    json_table = gpd.read_file(folder / "brown_planthopper_h1.geojson")
    table = gpd.read_parquet(folder / NAME)
    for name in PROPERTIES:
        a, b = table[name].astype("str").fillna("-"), json_table[name].astype("str").fillna("-")
        if pd.api.types.is_numeric_dtype(json_table[name]):
            a, b = table[name].astype("float64").fillna(-1), json_table[name].astype("float64").fillna(-1)
        assert a.str[:10].tolist() == b.str[:10].tolist() if a.dtype == "str" else (a == b).all(), name


def test_types_and_the_words_of_the_whole_file(written):
    risk, folder = written
    schema = pq.read_schema(folder / NAME)
    types = {name: schema.field(name).type for name in schema.names}
    assert {types[name] for name in ("issued", "valid_from", "valid_to", "last_clear_obs")} == {pa.date32()}
    assert {types[name] for name in ("horizon_weeks", "data_age_days")} == {pa.int32()}
    assert {types[name] for name in ("probability", "lower", "upper")} == {pa.float64()}
    geo = json.loads(schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.0.0", "geometry")
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["MultiPolygon", "Polygon"])
    assert column["bbox"] == pytest.approx(risk.total_bounds)
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32648}
    about = json.loads(schema.metadata[b"rs_forecast"])
    assert about["synthetic"] is True
    assert about["title"].startswith("SYNTHETIC: probability of density >= 750")
    assert about["notes"] == ["a note"]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    risk = risk_table(fields(40), weeks=(1, 2))
    for name in ("one", "two"):
        write_risk_map(risk.copy(), tmp_path / name, geoparquet=True)
    files = [sorted((tmp_path / name).glob("*.parquet")) for name in ("one", "two")]
    one, two = ([hashlib.sha256(path.read_bytes()).hexdigest() for path in group] for group in files)
    assert one == two
    assert len(set(one)) == 2


def test_rows_of_a_layer_find_their_own_outlines(tmp_path):
    """Each horizon has its own parcels, in any order."""
    risk = risk_table(fields(30), weeks=(1, 2)).sample(frac=0.8, random_state=3)
    write_risk_map(risk, tmp_path / "map", geoparquet=True)
    for week in (1, 2):
        own = risk[risk["horizon_weeks"] == week].set_index("parcel_id")
        found = gpd.read_parquet(tmp_path / "map" / f"brown_planthopper_h{week}.parquet").set_index("parcel_id")
        assert set(found.index) == set(own.index)
        assert (found.geometry == own.geometry.reindex(found.index)).all()


@pytest.mark.parametrize("texts", ["str", "category"])
def test_groups_of_rows_hold_what_the_whole_table_does(tmp_path, monkeypatch, texts):
    monkeypatch.setattr(geoparquet, "_ROWS", 7)
    kinds = dict.fromkeys(["parcel_id", "pest", "risk_class", "reasons", "status", "model_id"], texts)
    risk = risk_table(fields(30), weeks=(1, 2))
    write_risk_map(risk.astype(kinds), tmp_path / "map", geoparquet=True)
    for week in (1, 2):
        path = tmp_path / "map" / f"brown_planthopper_h{week}.parquet"
        assert pq.ParquetFile(path).num_row_groups == -(-len(risk) // 2 // 7)
        found = gpd.read_parquet(path)
        own = risk[risk["horizon_weeks"] == week].reset_index(drop=True)
        assert (found.geometry == own.geometry).all()
        for name in ("data_age_days", "last_clear_obs", *kinds):
            assert found[name].isna().tolist() == own[name].isna().tolist()
        for name in ("data_age_days", *kinds):
            assert found[name].dropna().tolist() == own[name].dropna().tolist(), name
            assert found[name].dtype == ("float64" if name == "data_age_days" else "str")


def test_warnings_are_silenced_on_the_callers_thread_alone(tmp_path, silencing):
    risk = risk_table(fields(40), weeks=(1, 2))
    write_risk_map(risk, tmp_path / "map", geoparquet=True)
    silencing.clear()
    write_risk_map(risk, tmp_path / "map", geoparquet=True)
    assert silencing == {threading.current_thread()}


def test_a_table_that_cannot_be_written_is_our_error(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(products, "write_geoparquet", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        write_risk_map(risk_table(fields(5)), tmp_path / "map", geoparquet=True)
    assert list(tmp_path.iterdir()) == []


def test_heights_are_dropped():
    flat, high = shapely.box(0, 0, 1, 1), shapely.force_3d(shapely.box(0, 0, 1, 1), 4.0)
    columns = [geometry_column(np.array([shape])) for shape in (flat, high)]
    assert columns[0].equals(columns[1])
    assert np.array_equal(shapely.from_wkb(columns[1].to_pylist()), [flat])
