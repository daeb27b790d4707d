"""The whole line, end to end, on a small SYNTHETIC valley: what is published, what is refused, what is left alone."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from rs_forecast import doctor, pipeline, publish
from rs_forecast.cli import app
from rs_forecast.config import Config, load_config
from rs_forecast.cube import find_scenes
from rs_forecast.errors import BusyError, NoDataError, OutputError, SchemaError
from rs_forecast.inputs import read_inputs
from rs_forecast.kernels.burn import pixel_owner
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.model import RiskModel
from rs_forecast.simulate import simulate
from rs_forecast.sources.scene import Scene
from rs_forecast.store import fill
from rs_forecast.workspace import Workspace, sha256_file

pytestmark = pytest.mark.end_to_end
ISSUED = "2025-12-29"
UNTIL = "2025-12-22"


@pytest.fixture(scope="module")
def valley(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a small valley, simulated and trained once; tests copy the folder before they change it."""
    root = tmp_path_factory.mktemp("valley")
    simulate(root, seed=2, parcels=60, years=3, image_years=0.4, end=ISSUED, workers=1)
    config = load_config(root / "rs_forecast.toml")
    trained = pipeline.train(config, until=UNTIL)
    return SimpleNamespace(root=root, config=config, trained=trained)


@pytest.fixture
def copy(valley: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of the valley that a test may spoil, scenes linked, not copied."""
    root = tmp_path / "thung lũng đồng bằng"
    shutil.copytree(valley.root, root, copy_function=_link)
    for name in ("surveys.csv", "weather.csv", "parcels.gpkg", "rs_forecast.toml", "crops.csv"):
        (root / name).unlink()
        shutil.copy(valley.root / name, root / name)
    return root


def _link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target


def run(root: Path, **options: object) -> publish.RunReport:
    return pipeline.run(root / "rs_forecast.toml", **{"issued": ISSUED, **options})


def edit(root: Path, old: str, new: str) -> None:
    file = root / "rs_forecast.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_run_publishes_every_product_of_the_design(copy: Path) -> None:
    report = run(copy)
    week = copy / "outputs" / "2026-W01"
    assert Path(report.folder) == week
    stems = [f"brown_planthopper_h{h}" for h in (1, 2)]
    tails = (
        ".geojson",
        ".qml",
        "_class.qml",
        "_class.tif",
        "_class.tif.aux.xml",
        "_probability.qml",
        "_probability.tif",
    )
    assert {p.name for p in week.iterdir()} == {f"{s}{t}" for s in stems for t in tails} | {
        "manifest.json",
        "clouds.csv",
        "crop_status.gpkg",
    }
    assert json.loads((copy / "outputs" / "latest.json").read_text())["week"] == "2026-W01"
    manifest = json.loads((week / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["products"] == {p.name: sha256_file(p) for p in week.iterdir() if p.name != "manifest.json"}
    assert not [p for p in (copy / "outputs").iterdir() if p.name.startswith(".")], "no temporary folder is left"


def test_raster_and_geojson_agree_on_every_parcel_that_owns_a_pixel(copy: Path) -> None:
    week = Path(run(copy).folder)
    features = json.loads((week / "brown_planthopper_h1.geojson").read_text())["features"]
    told = {f["properties"]["parcel_id"]: f["properties"]["probability"] for f in features}
    parcels = gpd.read_file(copy / "parcels.gpkg").to_crs(32648)
    with rasterio.open(week / "brown_planthopper_h1_probability.tif") as src:
        assert src.crs.to_epsg() == 32648
        assert src.nodata == -9999
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        values, transform = src.read(1), src.transform
        from odc.geo.geobox import GeoBox

        owner = pixel_owner(coverage_table(parcels, GeoBox(src.shape, transform, "EPSG:32648")))
    assert len(np.unique(owner[owner >= 0])) > 50
    for row in np.unique(owner[owner >= 0]):
        assert set(np.round(values[owner == row], 4).astype(str)) == {
            str(np.float32(round(told[parcels["parcel_id"].iloc[row]], 4)))
        }
    assert (values[owner < 0] == -9999).all()


def test_the_cloud_report_is_of_the_weeks_over_and_of_what_was_known(copy: Path) -> None:
    report = run(copy)
    week = Path(report.folder)
    table = pd.read_csv(week / "clouds.csv", dtype={"zone": "str"}, parse_dates=["week"])
    assert (table["synthetic"] == "yes").all()
    whole = table[table["zone"] == "all"]
    assert whole["week"].max() == pd.Timestamp("2025-12-22"), "the week that ended the day before"
    assert (whole["parcels"] == 60).all()
    for name in ("parcels", "looked_at", "clear"):
        assert table[table["zone"] != "all"].groupby("week")[name].sum().tolist() == whole[name].tolist()
    manifest = json.loads((week / "manifest.json").read_text())
    last = whole.iloc[-1]
    assert manifest["clouds"] == report.clouds
    assert report.clouds["week"] == "2025-12-22"
    for name in ("clear_share", "clear_share_4_weeks", "median_age_days"):
        assert manifest["clouds"][name] == last[name]
    scenes = pd.DataFrame(manifest["scenes"])
    known = scenes.loc[(scenes["known_at"] <= ISSUED) & (scenes["date"] < ISSUED), "date"].nunique()
    assert whole["overpasses"].sum() == known
    assert known < scenes["date"].nunique(), "or the cut would show nothing"


def test_a_look_that_changes_no_map_but_the_cloud_report_is_another_publication(copy: Path) -> None:
    inputs = read_inputs(load_config(copy / "rs_forecast.toml"), until=pd.Timestamp(ISSUED))
    assert run(copy, inputs=inputs).kept == ""
    assert run(copy, inputs=inputs).status == publish.UNCHANGED
    fewer = replace(inputs, scenes=inputs.scenes.loc[inputs.scenes["date"] != inputs.scenes["date"].min()])
    again = run(copy, inputs=fewer)
    assert (again.status == publish.UNCHANGED, again.kept) == (False, "2026-W01.r1")


def test_the_same_inputs_publish_nothing_twice_and_the_bytes_do_not_depend_on_the_place(
    copy: Path, tmp_path: Path
) -> None:
    first = run(copy)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(first.folder).iterdir()}
    again = run(copy)
    assert (again.status, again.exit_code) == (publish.UNCHANGED, first.exit_code)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(first.folder).iterdir()} == before
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(copy, elsewhere, ignore=shutil.ignore_patterns("outputs"))
    other = Path(run(elsewhere).folder)
    assert {p.name: p.read_bytes() for p in other.iterdir()} == {p.name: b for p, (_, b) in before.items()}


def test_a_run_decodes_new_scenes_and_a_second_one_none(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    look_tables = fill.look_tables

    def noted(scenes: list[Scene], *args: object, **options: object) -> object:
        decoded.extend(scene.scene_id for scene in scenes)
        return look_tables(scenes, *args, **options)

    monkeypatch.setattr(fill, "look_tables", noted)
    run(copy)
    config = load_config(copy / "rs_forecast.toml")
    listed = find_scenes("local", config.imagery.path, end=ISSUED)
    assert decoded == [s.scene_id for s in listed if s.date > pd.Timestamp(UNTIL)], "training has kept the others"
    assert decoded
    decoded.clear()
    run(copy)
    pipeline.evaluate(config, until=UNTIL)
    assert not decoded


def test_new_inputs_replace_the_week_and_the_older_one_is_kept(copy: Path) -> None:
    first = run(copy)
    old = {p.name: p.read_bytes() for p in Path(first.folder).iterdir()}
    edit(copy, "class_limits = [0.1, 0.3, 0.6]", "class_limits = [0.2, 0.4, 0.6]")
    assert run(copy).status != publish.UNCHANGED
    kept = copy / "outputs" / "2026-W01.r1"
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == old


def test_geoparquet_in_place_of_geojson_is_another_publication(copy: Path) -> None:
    run(copy)
    edit(copy, "[output]\n", "[output]\ngeojson = false\ngeoparquet = true\n")
    report = run(copy)
    assert (report.status, report.kept) == (publish.PUBLISHED, "2026-W01.r1")
    found = {path.suffix for path in Path(report.folder).iterdir()}
    assert ".parquet" in found
    assert ".geojson" not in found


def test_a_damaged_publication_is_made_anew(copy: Path) -> None:
    first = Path(run(copy).folder)
    victim = first / "brown_planthopper_h1.geojson"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:1000])
    again = run(copy)
    assert again.status != publish.UNCHANGED
    assert any("damaged" in note and "2026-W01.r1" in note for note in again.warnings)
    assert victim.read_bytes() == whole


def test_rows_known_after_the_issue_date_change_no_product(copy: Path) -> None:
    first = {p.name: p.read_bytes() for p in Path(run(copy, issued="2025-12-22").folder).iterdir()}
    for name in ("surveys.csv", "weather.csv", "crops.csv"):
        table = pd.read_csv(copy / name)
        late = table["known_at"] > "2025-12-22"
        assert late.any()
        table.loc[~late].to_csv(copy / name, index=False)
    for scene in (copy / "scenes").iterdir():
        if scene.name.split("_")[2] >= "20251222":
            shutil.rmtree(scene)
    shutil.rmtree(copy / "outputs")
    again = {p.name: p.read_bytes() for p in Path(run(copy, issued="2025-12-22").folder).iterdir()}
    first.pop("manifest.json"), again.pop("manifest.json")  # names the input files' hashes
    assert first == again


def test_a_model_that_saw_later_labels_may_not_forecast(copy: Path) -> None:
    with pytest.raises(NoDataError, match="--until 2025-06-30"):
        run(copy, issued="2025-06-30")


def test_a_model_that_fails_the_gate_is_replaced_by_the_best_baseline_and_said_so(
    copy: Path, valley: SimpleNamespace
) -> None:
    card = json.loads(json.dumps(valley.trained.model.card["evaluation"]))
    card["gate"] = {**card["gate"], "passed": False, "reasons": ["planted by the test"]}
    shutil.rmtree(copy / "models")
    model: RiskModel = valley.trained.model.with_evaluation(card)
    model.save(copy / "models" / model.model_id)
    report = run(copy)
    assert (report.status, report.exit_code) == (publish.DEGRADED, 3)
    assert report.model_id.startswith("baseline-")
    told = json.loads((Path(report.folder) / "brown_planthopper_h1.geojson").read_text())
    assert {f["properties"]["model_id"] for f in told["features"]} == {report.model_id}
    assert any("stands in" in reason for reason in report.degraded)


def test_a_bad_scene_is_named_and_the_rest_goes_on(copy: Path) -> None:
    scenes = sorted((copy / "scenes").iterdir())
    broken = next(scenes[-3].glob("*_B04.tif"))
    data = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(data[: len(data) // 2])
    next(scenes[-4].glob("*_B08.tif")).unlink()
    report = run(copy)
    assert any(scenes[-3].name in note and "left out" in note for note in report.warnings)
    assert any(scenes[-4].name in note and "no band nir" in note for note in report.warnings)


def test_without_imagery_the_run_goes_on_and_says_so(copy: Path) -> None:
    edit(copy, 'path = "scenes"', 'path = "no such folder"')
    report = run(copy)
    assert report.exit_code == 3
    assert any("no imagery" in reason and "no such folder" in reason for reason in report.degraded)
    assert report.clouds == {}
    assert "clouds.csv" not in report.products
    told = json.loads((Path(report.folder) / "brown_planthopper_h1.geojson").read_text())
    assert {f["properties"]["status"] for f in told["features"]} == {"no_imagery"}


def test_a_run_fetches_first_unless_it_is_offline_and_says_what_did_not_come(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def keep_up(config: Config, issued: pd.Timestamp, **_: object) -> list[str]:
        asked.append(issued)
        return ["no new imagery: quota"]

    monkeypatch.setattr(pipeline, "keep_up", keep_up)
    report = run(copy)
    assert asked == [pd.Timestamp(ISSUED)]
    assert report.degraded == ("no new imagery: quota",)
    assert report.exit_code == 3
    assert run(copy, offline=True).degraded == ()
    assert len(asked) == 1


def test_bad_survey_rows_are_named_and_left_out(copy: Path) -> None:
    table = pd.read_csv(copy / "surveys.csv", dtype=str)
    table.loc[0, "parcel_id"] = "nobody"
    table.loc[1, "value"] = "nhiều"
    table.loc[2, "date"] = "2999-01-01"
    table.to_csv(copy / "surveys.csv", index=False)
    notes = " ".join(run(copy).warnings)
    for row, found in ((2, "nobody"), (3, "nhiều"), (4, "2999-01-01")):
        assert f"row {row}" in notes
        assert found in notes


def test_two_runs_at_once_are_refused(copy: Path) -> None:
    with Workspace(copy).lock(), pytest.raises(BusyError, match="another run"):
        run(copy)


def test_an_output_folder_that_cannot_be_written_loses_nothing(copy: Path) -> None:
    published = Path(run(copy).folder)
    before = {p.name: p.read_bytes() for p in published.iterdir()}
    (copy / "file").write_text("in the way")
    edit(copy, 'dir = "outputs"', 'dir = "file/outputs"')
    with pytest.raises(OutputError, match="cannot be written"):
        run(copy)
    assert {p.name: p.read_bytes() for p in published.iterdir()} == before


def test_parcels_without_crs_are_refused_with_candidates(copy: Path) -> None:
    parcels = gpd.read_file(copy / "parcels.gpkg")
    (copy / "parcels.gpkg").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parcels.set_crs(None, allow_override=True).to_file(copy / "parcels.gpkg", driver="GPKG")
    with pytest.raises(SchemaError, match="EPSG:32648"):
        run(copy)


def test_training_twice_gives_the_same_model(copy: Path, valley: SimpleNamespace) -> None:
    again = pipeline.train(load_config(copy / "rs_forecast.toml"), until=UNTIL)
    assert again.model.text == valley.trained.model.text
    assert again.model.model_id == valley.trained.model.model_id
    pd.testing.assert_frame_equal(again.report.scores, valley.trained.report.scores)


def test_a_damaged_model_is_passed_over_and_named(copy: Path, valley: SimpleNamespace) -> None:
    model = valley.trained.model
    text = copy / "models" / model.model_id / "model.txt"
    text.unlink()
    text.write_text(model.text[:-500])
    with pytest.raises(NoDataError, match="no usable model"), pytest.warns(UserWarning, match="passed over"):
        run(copy)


def test_exit_codes_and_json_of_the_command_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(copy / "rs_forecast.toml")
    code, out = command(["run", config, "--issued", ISSUED, "--json"], capsys)
    report = json.loads(out.out)
    assert code == report["exit_code"]
    assert report["week"] == "2026-W01"
    assert command(["run", config, "--issued", ISSUED], capsys)[0] == code
    assert command(["run", config, "--issued", "2025-06-30"], capsys)[0] == 4
    assert command(["run", str(copy / "none.toml")], capsys)[0] == 2
    assert command(["run", config, "--issued", "someday"], capsys)[0] == 2
    assert command(["run"], capsys)[0] == 2
    edit(copy, "[forecast]", "[forecats]")
    code, out = command(["run", config], capsys)
    assert code == 2
    assert 'did you mean "forecast"' in out.err
    assert "Traceback" not in out.err


def test_a_busy_workspace_is_exit_75(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Workspace(copy).lock():
        code, out = command(["run", str(copy / "rs_forecast.toml"), "--issued", ISSUED], capsys)
    assert code == 75
    assert "another run" in out.err


def command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, pytest.CaptureResult[str]]:
    """Run the command line in this process; return its exit code and what it printed."""
    from rs_forecast.cli import main

    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0), capsys.readouterr()


def test_the_commands_are_there() -> None:
    assert {c.callback.__name__ for c in app.registered_commands} >= {"demo", "train", "evaluate", "run"}


def test_inputs_can_be_handed_on(valley: SimpleNamespace) -> None:
    inputs = read_inputs(valley.config, until=pd.Timestamp(ISSUED))
    bare = replace(inputs, signals=None)
    history = pipeline.history_of(valley.config, bare, pd.Timestamp(ISSUED))
    assert history["last_clear_obs"].isna().all()
    assert history.attrs["synthetic"]


def test_a_day_to_come_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = command(["run", str(copy / "rs_forecast.toml"), "--issued", "2999-01-01", "--json"], capsys)
    assert code == 2
    assert json.loads(out.out)["exit_code"] == 2
    assert "up to today" in out.err
    assert not (copy / "outputs").exists()


def test_sources_that_have_fallen_silent_degrade_the_week(copy: Path) -> None:
    weather = pd.read_csv(copy / "weather.csv")
    weather.loc[weather["date"] < "2025-10-01"].to_csv(copy / "weather.csv", index=False)
    surveys = pd.read_csv(copy / "surveys.csv")
    surveys.loc[surveys["date"] < "2025-11-01"].to_csv(copy / "surveys.csv", index=False)
    report = run(copy)
    assert report.exit_code == 3
    told = " ".join(report.degraded)
    assert "weather: the rows known at the issue date end on 2025-09-30, 90 days before" in told
    assert "surveys: " in told
    assert "features that the model has learned from are missing: temp_mean_7d" in told


@pytest.mark.parametrize("part", ["imagery", "weather"])
def test_a_source_taken_out_degrades_the_week(copy: Path, part: str) -> None:
    source = {"imagery": "local", "weather": "csv"}[part]
    edit(copy, f'source = "{source}"', 'source = "none"')
    report = run(copy)
    assert report.exit_code == 3
    assert ("clouds.csv" in report.products) == (part == "weather")
    first = {"imagery": "ndvi_mean_last", "weather": "temp_mean_7d"}[part]
    assert any(f"has learned from are missing: {first}" in reason for reason in report.degraded)


def test_the_pointer_to_the_newest_week_is_mended(copy: Path) -> None:
    run(copy)
    pointer = copy / "outputs" / "latest.json"
    whole = pointer.read_bytes()
    pointer.write_text("{")
    assert run(copy).status == publish.UNCHANGED
    assert pointer.read_bytes() == whole


def test_parcels_far_from_every_source_are_not_assessable(copy: Path) -> None:
    parcels = gpd.read_file(copy / "parcels.gpkg")
    (copy / "parcels.gpkg").unlink()
    far = parcels["parcel_id"][:10]
    parcels.loc[:9, "geometry"] = parcels.geometry.translate(200_000, 0)[:10]
    parcels.loc[:9, "sub_zone"] = "far away"
    parcels.to_file(copy / "parcels.gpkg", driver="GPKG")
    for name in ("surveys.csv", "crops.csv"):
        table = pd.read_csv(copy / name)
        table.loc[~table["parcel_id"].isin(far)].to_csv(copy / name, index=False)
    report = run(copy)
    told = json.loads((Path(report.folder) / "brown_planthopper_h1.geojson").read_text())
    classes = [f["properties"]["risk_class"] for f in told["features"]]
    assert classes[:10] == ["not_assessable"] * 10
    assert "not_assessable" not in classes[10:]
    assert any("outside the imagery" in note for note in report.warnings)


def test_doctor_finds_all_that_a_run_of_the_valley_needs(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    found = doctor.examine(copy / "rs_forecast.toml")
    by_name = {finding.name: finding for finding in found.findings}
    assert not [finding for finding in found.findings if finding.state == "fail"]
    assert by_name["synthetic"].found == "everything here is SYNTHETIC, and so are all maps"
    assert by_name["signals"].found.endswith("files are whole")
    assert "labels known up to 2025-12-" in by_name["model"].found
    assert by_name["communes"].found == "communes.gpkg: 2 of today, 0 of before"
    part = next((copy / "data" / "signals").rglob("*.parquet"))
    damaged = part.read_bytes()[:100]
    part.unlink()  # it is linked to the valley's own
    part.write_bytes(damaged)
    found = doctor.examine(copy / "rs_forecast.toml")
    assert {finding.name: finding.state for finding in found.findings}["signals"] == "warning"
    assert found.exit_code == 3
