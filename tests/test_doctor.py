"""``rs-forecast doctor``: what it says of a whole workspace, and of each thing that can be missing or wrong."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from rs_forecast import doctor
from rs_forecast.cli import main
from rs_forecast.doctor import CHECKS
from rs_forecast.doctor import images as doctor_images
from rs_forecast.sources.parcels import read_parcels
from rs_forecast.starter import CONFIG_FILE

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
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
"""


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A small office whose tables are whole and of late; it has no imagery and no model."""
    for name in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(4)]
    columns = {"parcel_id": [f"P-{i}" for i in range(4)], "commune_code": "201", "sub_zone": "z", "crop": "rice"}
    gpd.GeoDataFrame(columns, geometry=shapes, crs=32648).to_file(tmp_path / "parcels.gpkg")
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)
    (tmp_path / "surveys.csv").write_text(
        f"parcel_id,date,pest,value,unit\nP-0,{day},brown_planthopper,900,insects/m2\n"
        f"P-1,{day},brown_planthopper,0,insects/m2\n"
    )
    (tmp_path / "weather.csv").write_text(f"date,station,temp_mean\n{day},A,27\n")
    (tmp_path / "crops.csv").write_text(f"parcel_id,sown\nP-0,{day - dt.timedelta(days=30)}\n")
    (tmp_path / CONFIG_FILE).write_text(CONFIG)
    return tmp_path


def look(root, capsys, code, *arguments):
    """Return the findings by name, having called the command line."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(root / CONFIG_FILE), "--json", *arguments])
    said = json.loads(capsys.readouterr().out)
    assert ended.value.code == said["exit_code"] == code, said
    found: dict[str, list[dict[str, str]]] = {}
    for check in said["checks"]:
        found.setdefault(check["name"], []).append(check)
    return found


def states(found, name):
    return [check["state"] for check in found[name]]


def edit(root, old, new):
    file = root / CONFIG_FILE
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_an_office_before_its_first_training(office, capsys):
    found = look(office, capsys, 4)
    for name in ("config", "timezone", "environment", "workspace", "output", "parcels", "surveys", "crops", "weather"):
        assert states(found, name) == ["ok"], found[name]
    assert found["parcels"][0]["found"] == "4, 16 ha, in EPSG:32648"
    assert "2 rows, 1 of them events" in found["surveys"][0]["found"]
    assert states(found, "imagery") == ["warning"]
    assert states(found, "model") == ["fail"]
    assert "train one with: rs-forecast train" in found["model"][0]["found"]
    assert not (office / "data").exists()  # nothing is written
    assert not (office / "outputs").exists()


def test_crops_are_known_by_any_name_and_a_pest_without_a_host_is_told(office, capsys):
    parcels = gpd.read_file(office / "parcels.gpkg")
    parcels.assign(crop=["Lúa", "LÚA NƯỚC", "lúa", "RICE"]).to_file(office / "parcels.gpkg")
    assert read_parcels(office / "parcels.gpkg")["crop"].tolist() == ["rice"] * 4
    assert states(look(office, capsys, 4), "parcels") == ["ok"]
    parcels.assign(crop=["Ngô", "rau", None, "rau"]).to_file(office / "parcels.gpkg")
    told = look(office, capsys, 4)["parcels"]
    assert told[-1]["found"] == "none grows rice, the host of brown_planthopper; found maize, rau"


def test_a_folder_named_from_here_is_there_already(office, capsys, monkeypatch):
    monkeypatch.chdir(office.parent)
    found = look(Path(office.name), capsys, 4)
    assert found["workspace"][0]["found"] == f"{office.name} can be written"


def test_every_finding_that_is_not_ok_says_what_to_do(office, capsys):
    (office / "crops.csv").unlink()
    found = look(office, capsys, 4)
    for check in (check for checks in found.values() for check in checks if check["state"] != "ok"):
        assert check["mend"] or ";" in check["found"] or ": " in check["found"], check


def test_the_text_names_each_finding_and_sums_them_up(office, capsys):
    with pytest.raises(SystemExit):
        main(["doctor", str(office / CONFIG_FILE)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok      config")
    assert lines[-1].startswith("fail: a run would end with nothing (")
    assert any(line.strip().startswith("-> ") for line in lines)


BROKEN = {
    "no parcels": (lambda root: (root / "parcels.gpkg").unlink(), "parcels", "does not exist"),
    "no surveys": (lambda root: (root / "surveys.csv").unlink(), "surveys", "does not exist"),
    "surveys of another pest": (
        lambda root: edit(root, '"brown_planthopper"]', '"rust"]\n[pests.rust]\nevent = "share >= 10"\nunit = "%"'),
        "surveys", "no row of rust"),
    "parcels without a system": (
        lambda root: (root / "parcels.gpkg").write_bytes(b"no geopackage"), "parcels", "is not GPKG inside"),
    "weather that is none": (
        lambda root: (root / "weather.csv").write_text("a,b\n1,2\n"), "weather", "column date is missing"),
    "crops that are none": (lambda root: (root / "crops.csv").write_text(""), "crops", "is empty"),
    "no communes": (lambda root: edit(root, "[region]", '[region]\ncommunes = "c.csv"'), "communes", "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_named_and_the_rest_is_looked_at(office, capsys, what):
    spoil, name, said = BROKEN[what]
    spoil(office)
    found = look(office, capsys, 4)
    assert states(found, name)[0] == ("warning" if name == "weather" else "fail")
    assert said in found[name][0]["found"]
    assert states(found, "model") == ["fail"]  # the last checks are reached
    lost = name in ("parcels", "communes")
    assert ("not looked at" in found["crops"][0]["found"]) == lost


def test_a_config_that_cannot_be_read_is_exit_2(office, capsys):
    edit(office, "timezone", "timezon")
    found = look(office, capsys, 2)
    assert list(found) == ["config"]
    assert "did you mean" in found["config"][0]["found"]
    (office / CONFIG_FILE).unlink()
    assert states(look(office, capsys, 2), "config") == ["fail"]


def test_old_tables_are_silent_sources(office, capsys):
    (office / "surveys.csv").write_text(
        "parcel_id,date,pest,value,unit\nP-0,2020-03-02,brown_planthopper,1,insects/m2\n"
        "P-9,2020-03-02,brown_planthopper,1,insects/m2\n"
    )
    found = look(office, capsys, 4)
    texts = [check["found"] for check in found["surveys"]]
    assert states(found, "surveys") == ["warning"] * 3
    assert "days old, and a run calls 35 days silence" in texts[0]
    assert "no row reaches the threshold" in texts[1]
    assert "found 'P-9'" in texts[2]  # what the reader itself warns of


def test_control_points_are_held_to_their_places(office, capsys):
    good = "crs = 9208, x = 574810.0813, y = 1148627.3390, lon = 105.4349929, lat = 10.3859997"
    edit(office, "[region]", f'[region]\ncontrol_points = [{{ name = "A", {good} }}, {{ name = "B", '
         "crs = 9208, x = 574810.0813, y = 1148627.3390, lon = 105.433206, lat = 10.387011 }]")  # fmt: skip
    found = look(office, capsys, 4)
    assert states(found, "control points") == ["ok", "fail"]
    assert "B in 9208 lies 22" in found["control points"][1]["found"]
    assert "lon and lat are degrees of VN-2000 (EPSG:4756)" in found["control points"][1]["mend"]


def test_data_of_other_programs_in_the_environment_is_named(office, capsys, monkeypatch):
    monkeypatch.setenv("GDAL_DATA", "/opt/qgis/gdal")
    found = look(office, capsys, 4)
    assert states(found, "environment") == ["warning"]
    assert "GDAL_DATA=/opt/qgis/gdal" in found["environment"][0]["found"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder this user may not write")
def test_a_folder_that_cannot_be_written_fails(office, capsys):
    (office / "outputs").mkdir(mode=0o500)
    assert states(look(office, capsys, 4), "output") == ["fail"]


def test_an_output_that_is_a_file_fails(office, capsys):
    (office / "outputs").write_text("x")
    found = look(office, capsys, 4)
    assert states(found, "output") == ["fail"]
    assert "is a file" in found["output"][0]["found"]


def test_a_full_disk_is_told(office, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    found = look(office, capsys, 4)
    assert states(found, "disk") == ["warning"]
    assert "1.0 GB are free" in found["disk"][0]["found"]


def test_credentials_are_looked_for_and_never_shown(office, capsys, monkeypatch):
    edit(office, "[crops]", '[imagery]\nsource = "sentinelhub"\n[crops]')
    monkeypatch.setenv("SH_CLIENT_ID", "nobody")
    found = look(office, capsys, 4)
    assert "SH_CLIENT_SECRET is not set" in found["imagery"][0]["found"]
    monkeypatch.setenv("SH_CLIENT_SECRET", "hunter2")
    with pytest.raises(SystemExit):
        main(["doctor", str(office / CONFIG_FILE)])
    text = capsys.readouterr().out
    assert "credentials of Sentinel Hub are there" in text
    assert "rs-forecast fetch CONFIG --start" in text
    assert "hunter2" not in text
    assert "nobody" not in text


def test_the_provider_is_asked_only_when_told_to(office, capsys, monkeypatch):
    edit(office, "[crops]", '[imagery]\nsource = "stac"\n[crops]')
    asked = []

    def plan(config, **options):
        asked.append(options)
        raise doctor_images.NoDataError("stac: has no scene over the parcels")

    monkeypatch.setattr(doctor_images, "fetch", plan)
    look(office, capsys, 4)
    assert asked == []
    found = look(office, capsys, 4, "--online")
    assert asked[0]["dry_run"] is True
    assert "has no scene over the parcels" in found["imagery"][0]["found"]


def test_a_fault_of_a_check_is_a_finding_and_no_traceback(office, capsys, monkeypatch):
    def ill(_patient):
        raise ZeroDivisionError("oops")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {**CHECKS, "disk": ill})
    found = look(office, capsys, 4)
    assert "the check itself failed (ZeroDivisionError: oops)" in found["disk"][0]["found"]
    assert states(found, "parcels") == ["ok"]


@pytest.mark.slow
def test_a_foreign_proj_does_not_end_in_a_traceback(office):
    """The whole program, started where another program's PROJ is set."""
    environment = {**os.environ, "PROJ_DATA": str(office), "PROJ_LIB": str(office)}
    done = subprocess.run(
        [sys.executable, "-m", "rs_forecast", "doctor", str(office / CONFIG_FILE)],
        capture_output=True, text=True, check=False, env=environment, cwd=Path(doctor.__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert f"PROJ_DATA={office}" in done.stdout
