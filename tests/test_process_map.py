"""Without surveys: the index against loops over years, and a run that publishes it, from SYNTHETIC tables."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box
from test_maps_qgis import CHECK, require_qgis, run_python

from rs_forecast import doctor, pipeline
from rs_forecast.catalog import PESTS
from rs_forecast.cli import main
from rs_forecast.config import load_config
from rs_forecast.crop_status import crop_status
from rs_forecast.errors import NoDataError
from rs_forecast.inputs import read_inputs
from rs_forecast.maps.process import MARK, PROPERTIES, SAYS
from rs_forecast.process.epirice import epirice_course
from rs_forecast.process.stages import stage_course
from rs_forecast.process_map import process_map

ISSUED = pd.Timestamp("2025-06-30").as_unit("us")
DAY = pd.Timedelta(days=1)
IDS = ("p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7")
SITES = ("north", "south", "north", "south", "north", "north", "north", "nowhere")
SOWN = ("2025-05-12", "2025-05-12", "2025-06-09", "2025-06-09", None, "2025-05-26", "2025-05-26", "2025-05-12")
BASIS = ("table", "imagery", "table", "imagery", "none", "calendar", "table", "table")
CROP = ("rice", None, "rice", "rice", "rice", "rice", "maize", "rice")
BLAST, FOLDER = PESTS["leaf_blast"], PESTS["leaf_folder"]


def weather_rows(seed: int = 0, first: str = "2019-01-01", latency: int = 2) -> pd.DataFrame:
    """Return days at two sites until the day before ISSUED, cool enough for blast, known ``latency`` days later."""
    rng = np.random.default_rng(seed)
    days = pd.date_range(first, ISSUED - DAY, freq="D").astype("datetime64[us]")
    date = np.tile(days, 2)
    mean = 23 + 2 * np.sin(np.arange(len(date)) / 40) + rng.normal(0, 1.5, len(date))
    return pd.DataFrame(
        {
            "site": np.repeat(["north", "south"], len(days)),
            "date": date,
            "known_at": date + latency * DAY,
            "temp_mean": mean,
            "temp_min": mean - 4,
            "temp_max": mean + 5,
            "rh_mean": rng.uniform(75, 99, len(date)),
            "rain_sum": rng.gamma(0.4, 12, len(date)),
        }
    )


WEIGHTS = pd.DataFrame({"parcel_id": IDS[:-1], "site": SITES[:-1], "weight": 1.0})


def crops() -> gpd.GeoDataFrame:
    table = {
        "parcel_id": IDS, "crop": CROP, "sown": pd.to_datetime(list(SOWN)).astype("datetime64[us]"),
        "sown_basis": BASIS,
    }  # fmt: skip
    shapes = [box(600000 + 100 * i, 1100000, 600070 + 100 * i, 1100080) for i in range(len(IDS))]
    return gpd.GeoDataFrame(table, geometry=shapes, crs=32648)


def ask(weather: pd.DataFrame, *pests: str, issued: pd.Timestamp = ISSUED) -> pd.DataFrame:
    found = process_map(crops(), (weather, WEIGHTS), pests=[PESTS[name] for name in pests], issued=issued)
    return pd.DataFrame(found.drop(columns="geometry")).set_index(["pest", "parcel_id"])


def course(weather: pd.DataFrame, pest: str, site: str, sown: pd.Timestamp) -> np.ndarray:
    """Return the model's value day by day from sowing on, NaN where it cannot be told."""
    runs = pd.DataFrame({"site": [site], "start": [sown.as_unit("us")]})
    if pest == "leaf_blast":
        return epirice_course(weather, runs, ["leaf_blast"], days=120)["intensity"].to_numpy()
    told = stage_course(weather, runs, "leaf_folder", days=120)
    return told["degree_days"].where(told["stage"].isin(["egg", "larva", "pupa"])).to_numpy()


def oracle(weather: pd.DataFrame, pest: str, site: str, sown: str, issued: pd.Timestamp = ISSUED) -> tuple[float, int]:
    """Count the past years with a lower value, year by year; weather as known at ``issued``."""
    known = weather[(weather["known_at"] <= issued) & (weather["date"] <= issued)].drop(columns="known_at")
    start = pd.Timestamp(sown)
    own = course(known, pest, site, start)[: (issued - start).days + 1]
    age = np.flatnonzero(np.isfinite(own))[-1]
    leap = (start.month, start.day) == (2, 29)
    before = [start.replace(year=year, day=28 if leap and year % 4 else start.day) for year in range(2017, start.year)]
    past = np.array([course(known, pest, site, day)[age] for day in before])
    return float((past < own[age]).sum() / np.isfinite(past).sum()), int(np.isfinite(past).sum())


@pytest.mark.parametrize("pest", ["leaf_blast", "leaf_folder"])
@pytest.mark.parametrize("seed", range(3))
def test_the_index_is_what_loops_over_past_years_count(pest: str, seed: int) -> None:
    weather = weather_rows(seed)
    found = ask(weather, pest)
    rows = [0, 1] if pest == "leaf_blast" else [2, 3]  # past onset; before adults
    for k in rows:
        share, years = oracle(weather, pest, SITES[k], str(SOWN[k]))
        row = found.loc[(pest, IDS[k])]
        assert row["process_index"] == pytest.approx(share, abs=5e-5)
        assert (row["past_years"], row["status"], row["reasons"]) == (years, "ok", "")
        assert years == 6


def test_the_oracle_tells_seeds_apart() -> None:
    found = {ask(weather_rows(seed), "leaf_blast").loc[("leaf_blast", "p0"), "process_index"] for seed in range(4)}
    assert len(found) > 1, "or the test above could not fail"


def test_past_years_are_read_as_late_as_this_year_is() -> None:
    weather = weather_rows()
    late = weather[weather["date"] <= ISSUED - 9 * DAY]
    share, _ = oracle(late, "leaf_folder", "north", str(SOWN[2]))
    assert ask(late, "leaf_folder").loc[("leaf_folder", "p2"), "process_index"] == pytest.approx(share, abs=5e-5)
    warmer = weather.assign(
        **{c: weather[c] + 0.5 * (weather["date"] > "2025-05-01") for c in ("temp_min", "temp_max")}
    )
    assert ask(warmer, "leaf_folder").loc[("leaf_folder", "p2"), "process_index"] >= share


def test_what_is_not_assessable_and_why() -> None:
    found = ask(weather_rows(), "leaf_blast", "leaf_folder")
    assert found.index.get_level_values("pest").unique().tolist() == ["leaf_blast", "leaf_folder"]
    why = found.loc["leaf_blast", "reasons"]
    assert why[["p4", "p5"]].tolist() == ["no sowing date told or seen"] * 2
    assert why[["p6", "p7"]].tolist() == ["another crop", "no weather"]
    assert (found["process_index"].isna() == (found["status"] == "not_assessable")).all()
    assert (found["process_index"].isna() == (found["reasons"] != "")).all()
    assert found.loc["leaf_blast", "model"].unique().tolist() == ["epirice leaf_blast"]
    assert found.loc["leaf_folder", "model"].unique().tolist() == ["degree-days leaf_folder"]


def test_a_model_that_tells_no_year_from_another_is_no_index_of_nought() -> None:
    weather = weather_rows()
    before_onset = process_map(
        crops().assign(sown=(ISSUED - 8 * DAY).as_unit("us"), sown_basis="table"), (weather, WEIGHTS), pests=[BLAST],
        issued=ISSUED,
    )  # fmt: skip
    assert before_onset["process_index"].isna().all()
    assert before_onset["reasons"].iloc[0] == "the model tells no year from another at this age"


def test_a_past_year_alike_is_no_less_favourable_one() -> None:
    weather = weather_rows()
    this = weather[weather["date"] >= "2025-05-01"]
    copied = this.assign(date=this["date"] - 365 * DAY, known_at=this["known_at"] - 365 * DAY)
    others = weather[~weather["date"].isin(copied["date"])]
    both = pd.concat([others, copied], ignore_index=True)
    for sown, pest in (("2025-05-12", "leaf_blast"), ("2025-06-09", "leaf_folder")):
        share, years = oracle(both, pest, "north", sown)
        row = ask(both, pest).loc[(pest, IDS[SOWN.index(sown)])]
        assert row["process_index"] == pytest.approx(share, abs=5e-5)
        assert share <= (years - 1) / years


def test_a_leap_day_has_its_past_years() -> None:
    weather = weather_rows(first="2018-01-01")
    issued = pd.Timestamp("2024-03-25").as_unit("us")
    sown = crops().assign(sown=pd.Timestamp("2024-02-29").as_unit("us"), sown_basis="table")
    found = process_map(sown, (weather, WEIGHTS), pests=[FOLDER], issued=issued).set_index("parcel_id").loc["p0"]
    share, years = oracle(weather, "leaf_folder", "north", "2024-02-29", issued)
    assert found["process_index"] == pytest.approx(share, abs=5e-5)
    assert found["past_years"] == years == 6


@pytest.mark.parametrize("pest", ["leaf_blast", "leaf_folder"])
@settings(max_examples=3)
@given(seed=st.integers(0, 99), cut=st.integers(0, 400), shift=st.integers(1, 30))
def test_rows_known_later_and_forecasts_change_nothing(pest: str, seed: int, cut: int, shift: int) -> None:
    weather = weather_rows(seed, first="2021-06-01")
    issued = ISSUED - 7 * DAY
    expected = ask(weather[weather["known_at"] <= issued], pest, issued=issued)
    revised = weather.iloc[cut::7].assign(temp_mean=35.0, temp_min=34.0, temp_max=40.0, known_at=issued + shift * DAY)
    unseen = weather[(weather["date"] <= issued) & (weather["known_at"] > issued)]
    ahead = unseen.assign(known_at=issued - 3 * DAY, temp_mean=18.0, temp_min=30.0, temp_max=34.0, rh_mean=99.0)
    assert len(ahead) == 4
    assert (ahead["known_at"] < ahead["date"]).all()
    more = pd.concat([weather, revised[revised["known_at"] >= revised["date"]], ahead], ignore_index=True)
    pd.testing.assert_frame_equal(ask(more, pest, issued=issued), expected)


@settings(max_examples=6)
@given(gone=st.sets(st.integers(2019, 2024), max_size=5))
def test_a_past_year_without_weather_lowers_the_count(gone: set[int]) -> None:
    weather = weather_rows()
    left = weather[~weather["date"].dt.year.isin(gone)]
    row = ask(left, "leaf_blast").loc[("leaf_blast", "p0")]
    assert row["past_years"] == 6 - len(gone)
    assert (row["status"] == "ok") == (6 - len(gone) >= 3)
    if len(gone) > 3:
        assert row["reasons"] == "fewer than 3 past years with weather"
    else:
        share, _ = oracle(left, "leaf_blast", "north", str(SOWN[0]))
        assert row["process_index"] == pytest.approx(share, abs=5e-5)


CONFIG = """
[region]
timezone = "Asia/Ho_Chi_Minh"
[parcels]
path = "parcels.gpkg"
[crops]
path = "crops.csv"
[weather]
source = "csv"
path = "weather.csv"
[forecast]
pests = ["leaf_folder", "leaf_blast", "rats"]
"""


@pytest.fixture
def office(tmp_path: Path) -> SimpleNamespace:
    """Return a SYNTHETIC workspace without surveys: 30 fields, half of them with a sowing date, 6 years of weather."""
    count = 30
    ids = [f"f{i:02d}" for i in range(count)]
    shapes = [box(600000 + 130 * (i % 6), 1100000 + 110 * (i // 6), 600120 + 130 * (i % 6), 1100100 + 110 * (i // 6))
              for i in range(count)]  # fmt: skip
    parcels = gpd.GeoDataFrame({"parcel_id": ids, "crop": "rice"}, geometry=shapes, crs=32648)
    parcels.to_file(tmp_path / "parcels.gpkg", driver="GPKG")
    sown = [ISSUED - (14 + i) * DAY for i in range(count - 6)]
    pd.DataFrame(
        {"parcel_id": ids[:-6], "sown": sown, "known_at": [day + 5 * DAY for day in sown], "variety": "SYNTHETIC"}
    ).to_csv(tmp_path / "crops.csv", index=False)
    north = weather_rows().query("site == 'north'").rename(columns={"site": "station"})
    north.assign(station="SYNTHETIC", lon=106.0, lat=9.95).to_csv(tmp_path / "weather.csv", index=False)
    (tmp_path / "rs_forecast.toml").write_text(CONFIG)
    return SimpleNamespace(root=tmp_path, config=str(tmp_path / "rs_forecast.toml"), parcels=parcels)


def command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, pytest.CaptureResult[str]]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0), capsys.readouterr()


def edit(office: SimpleNamespace, old: str, new: str) -> None:
    assert old in CONFIG
    Path(office.config).write_text(CONFIG.replace(old, new))


@pytest.mark.end_to_end
def test_a_run_without_surveys_publishes_process_models(
    office: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = command(["run", office.config, "--issued", "2025-06-30", "--json"], capsys)
    report = json.loads(out.out)
    assert (code, report["exit_code"], report["status"]) == (3, 3, "degraded")
    assert report["degraded"] == [
        "no surveys: process models stand in, not calibrated",
        "not covered: rats (no process model)",
    ]
    week = office.root / "outputs" / "2025-W27"
    stems = ("leaf_blast_process", "leaf_folder_process")
    assert sorted(path.name for path in week.iterdir()) == sorted(
        ["manifest.json", "crop_status.gpkg", *(s + tail for s in stems for tail in (".tif", ".geojson", ".qml"))]
    )
    manifest = json.loads((week / "manifest.json").read_text())
    assert manifest["not_covered"] == ["rats"]
    assert manifest["degraded"] == report["degraded"]
    assert manifest["synthetic"] is True
    assert json.loads((office.root / "outputs" / "latest.json").read_text())["week"] == "2025-W27"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in week.iterdir()}
    code, out = command(["run", office.config, "--issued", "2025-06-30"], capsys)
    assert code == 3
    assert out.out.startswith("unchanged 2025-W27 by process-models")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in week.iterdir()} == before


@pytest.mark.end_to_end
def test_the_products_hold_the_table_and_say_what_they_are(office: SimpleNamespace) -> None:
    report = pipeline.run(office.config, issued=ISSUED)
    config = load_config(office.config)
    inputs = read_inputs(config, until=ISSUED)
    status = crop_status(inputs.parcels, inputs.signals, inputs.crops, issued=ISSUED)
    expected = process_map(status, inputs.weather, pests=[BLAST, FOLDER], issued=ISSUED)
    for pest, rows in expected.groupby("pest"):
        told = gpd.read_file(Path(report.folder) / f"{pest}_process.geojson")
        assert told.crs.to_epsg() == 4326
        assert set(PROPERTIES) <= set(told.columns)
        assert (told["note"] == MARK).all()
        assert told["parcel_id"].tolist() == rows["parcel_id"].tolist()
        np.testing.assert_array_equal(told["process_index"].astype(float), rows["process_index"])
        assert 10 < told["process_index"].notna().sum() < len(told)
        with rasterio.open(Path(report.folder) / f"{pest}_process.tif") as src:
            assert src.descriptions == (f"SYNTHETIC: {MARK}: {SAYS}",)
            assert (src.dtypes, src.nodata) == (("float32",), -9999)
            assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            points = office.parcels.geometry.centroid.to_crs(src.crs)
            values = np.array([v[0] for v in src.sample(zip(points.x, points.y, strict=True))])
        np.testing.assert_allclose(np.where(values == -9999, np.nan, values), rows["process_index"], rtol=1e-6)
    texts = [p.read_text() for p in Path(report.folder).iterdir() if p.suffix in (".geojson", ".qml")]
    assert len(texts) == 4
    for text in texts:
        assert MARK in text
        assert "SYNTHETIC" in text
        assert not [word for word in ("risk", "probability", "very high", "moderate") if word in text.lower()]


@pytest.mark.end_to_end
def test_one_style_colours_raster_and_parcels_alike(office: SimpleNamespace) -> None:
    report = pipeline.run(office.config, issued=ISSUED)
    root = ET.fromstring((Path(report.folder) / "leaf_blast_process.qml").read_text().split("\n", 1)[1])
    items = root.findall("./pipe/rasterrenderer/rastershader/colorrampshader/item")
    categories = root.findall("./renderer-v2/categories/category")
    assert [i.get("label") for i in items] == [c.get("label") for c in categories[:-1]]
    assert all(MARK in str(c.get("label")) for c in categories)
    assert str(categories[-1].get("label")).startswith("not assessable")
    ends = [float(str(i.get("value"))) for i in items]
    for share in (0.0, 0.2, np.float32(0.2), 0.2001, 0.8, np.float32(0.8), 1.0):
        step = next(k for k, end in enumerate(ends) if share <= end)
        assert step == int(np.ceil(max(round(float(share), 4), 1e-9) * 5)) - 1


@pytest.mark.end_to_end
def test_geoparquet_in_place_of_geojson(office: SimpleNamespace) -> None:
    edit(office, "[forecast]", "[output]\ngeojson = false\ngeoparquet = true\n[forecast]")
    report = pipeline.run(office.config, issued=ISSUED)
    assert {Path(name).suffix for name in report.products} == {".tif", ".parquet", ".qml", ".gpkg"}
    told = gpd.read_parquet(Path(report.folder) / "leaf_blast_process.parquet")
    assert (told["note"] == MARK).all()


def test_nothing_to_publish_is_exit_4_with_the_reason(
    office: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", office.config, "--issued", "2025-06-30"]
    edit(office, '["leaf_folder", "leaf_blast", "rats"]', '["rats"]')
    code, out = command(run, capsys)
    assert code == 4
    assert "no process model for rats" in out.err
    assert "leaf_blast" in out.err
    edit(office, 'source = "csv"\npath = "weather.csv"', 'source = "none"')
    code, out = command(run, capsys)
    assert code == 4
    assert "no parcel can be assessed: no weather (" in out.err
    assert not (office.root / "outputs").exists() or not list((office.root / "outputs").iterdir())


@pytest.mark.parametrize("what", ["train", "evaluate"])
def test_nothing_is_learned_without_surveys(
    office: SimpleNamespace, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    code, out = command([what, office.config, "--until", "2025-06-30"], capsys)
    assert code == 4
    assert "no surveys: there is nothing to learn from" in out.err
    assert "[surveys] path" in out.err
    with pytest.raises(NoDataError, match="nothing to learn from"):
        pipeline.history_of(load_config(office.config), read_inputs(load_config(office.config)), ISSUED)


def test_doctor_says_what_stands_in(office: SimpleNamespace) -> None:
    found = {finding.name: finding for finding in doctor.examine(office.config).findings}
    assert found["surveys"].state == "warning"
    assert "stand in for leaf_folder, leaf_blast; no process model stands in for rats" in found["surveys"].found
    assert found["model"].state == "ok"
    edit(office, '["leaf_folder", "leaf_blast", "rats"]', '["rats"]')
    assert doctor.examine(office.config).exit_code == 4
    edit(office, 'source = "csv"\npath = "weather.csv"', 'source = "none"')
    assert {f.state for f in doctor.examine(office.config).findings if f.name == "weather"} == {"fail"}
    (office.root / "weather.csv").unlink()
    Path(office.config).write_text(CONFIG)
    assert {f.state for f in doctor.examine(office.config).findings if f.name == "weather"} == {"fail"}


@pytest.mark.qgis
def test_qgis_shows_raster_and_fields_by_the_one_style_and_the_stages_by_theirs(
    office: SimpleNamespace, tmp_path: Path
) -> None:
    home, pictures = require_qgis(tmp_path), tmp_path / "pictures"
    pictures.mkdir()
    pipeline.run(office.config, issued="2025-06-30")
    done = run_python(CHECK, office.root / "outputs" / "2025-W27", pictures, home=home)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["messages"] == []
    found = report["layers"]
    raster, shapes = found["leaf_blast_process.tif"], found["leaf_blast_process.geojson"]
    assert (raster["renderer"], shapes["renderer"]) == ("singlebandpseudocolor", "categorizedSymbol")
    assert (raster["crs"], shapes["crs"], found["crop_status.gpkg"]["crs"]) == ("EPSG:32648", "EPSG:4326", "EPSG:32648")
    assert raster["legend"][-5:] == shapes["legend"][:5]
    assert all("process model, not calibrated" in row for row in shapes["legend"])
    assert found["crop_status.gpkg"]["renderer"] == "categorizedSymbol"
    assert found["crop_status.gpkg"]["features"] == 30
    assert any(row.startswith("chưa rõ") for row in found["crop_status.gpkg"]["legend"])
