"""``rs-forecast fetch``: the plan, the downloads, the codes it ends with, and the inputs that read what came."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
import scenes as made
from hub_server import Fault, product, serving
from provider import Fake, order

from rs_forecast import fetch as work
from rs_forecast.cli import main
from rs_forecast.config import Config, load_config
from rs_forecast.errors import BusyError, ConfigError, OutputError, SourceError, noted
from rs_forecast.inputs import read_inputs
from rs_forecast.sources import sentinelhub
from rs_forecast.sources._archive_record import read_record, write_record
from rs_forecast.sources.archive import SceneArchive

START = "2024-01-01"
CONFIG = """
[parcels]
path = "parcels.gpkg"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
[imagery]
source = "stac"
indices = ["ndvi"]
"""


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A project whose provider has three scenes; ``fake.before`` spoils downloads, ``asked`` is what was asked for."""
    made.fields(4).to_file(tmp_path / "parcels.gpkg")
    (tmp_path / "surveys.csv").write_text(
        "parcel_id,date,pest,value,unit\np00,2024-01-08,brown_planthopper,10,insects/m2\n"
    )
    (tmp_path / "office.toml").write_text(CONFIG)
    found = SimpleNamespace(root=tmp_path, fake=Fake(), asked=[], orders=[order(n) for n in range(3)])
    found.file = str(tmp_path / "office.toml")
    found.store = tmp_path / "data" / "scenes" / "stac"

    def plan(parcels, start, end, bands, catalogue):
        found.asked.append((len(parcels), start, bands, catalogue))
        return [o for o in found.orders if start <= o.date <= end]

    def download(asked, folder, catalogue):
        found.fake(asked, folder)

    provider = SimpleNamespace(plan=plan, download=download, find_catalogue=lambda *said: said)
    monkeypatch.setitem(sys.modules, "rs_forecast.sources.stac", provider)
    return found


def call(office, *arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", office.file, *arguments])
    assert ended.value.code == code


def test_the_plan_alone_downloads_and_writes_nothing(office, capsys):
    call(office, "--start", START, "--dry-run")
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[1:4]] == ["2024-01-01", "2024-01-06", "2024-01-11"]
    assert "3 scenes, 3 to download: about 0.0 MB, 0.75 processing units" in text
    assert office.fake.written == []
    assert not (office.root / "data").exists()


def test_a_fetch_downloads_what_is_missing_and_says_so(office, capsys):
    call(office, "--start", START, "--end", "2024-01-07")
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["new", "2"]
    call(office, "--start", START, "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["exit_code"]) == ("complete", 0)
    assert said["fetched"]["new"] == [order(2).scene_id]
    assert said["fetched"]["kept"] == [order(0).scene_id, order(1).scene_id]
    assert [row["state"] for row in said["scenes"]] == ["there", "there", "missing"]
    parcels, start, bands, catalogue = office.asked[0]
    assert (parcels, f"{start:%Y-%m-%d}", bands, catalogue) == (4, START, ("red", "nir", "scl"), ("", "", ()))


def test_a_provider_that_says_later_is_exit_75_and_what_came_is_kept(office, capsys):
    def busy(asked, folder):
        if asked.detail["number"] == 2:
            raise BusyError("monthly quota is used up")

    office.fake.before = busy
    config = office.root / "office.toml"
    config.write_text(config.read_text() + "workers = 1\n")
    call(office, "--start", START, "--json", code=75)
    said = json.loads(capsys.readouterr().out)
    assert said["fetched"]["later"] == {order(2).scene_id: "monthly quota is used up"}
    assert len(said["fetched"]["new"]) == 2
    office.fake.before = None
    call(office, "--start", START)


def test_scenes_that_cannot_be_had_are_named(office, capsys):
    def gone(asked, folder):
        if asked.detail["number"] in lost:
            raise SourceError("it is gone")

    office.fake.before, lost = gone, {1}
    call(office, "--start", START, code=3)
    assert f"{order(1).scene_id}: it is gone" in capsys.readouterr().out
    lost |= {0, 1, 2}
    for file in office.store.glob("*/scene.json"):
        file.unlink()
    call(office, "--start", START, code=4)


def test_where_the_provider_has_nothing_it_is_exit_4(office, capsys):
    office.orders.clear()
    call(office, "--start", START, code=4)
    assert "has no scene over the parcels" in capsys.readouterr().err


def test_days_and_sources_that_make_no_sense_are_bad_usage(office, capsys):
    call(office, code=2)
    assert "give --start DAY, or --from DIR" in capsys.readouterr().err
    call(office, "--start", "2024-02-01", "--end", START, code=2)
    call(office, "--start", START, "--end", "2999-01-01", code=2)
    config = office.root / "office.toml"
    config.write_text(config.read_text().replace('"stac"', '"none"'))
    call(office, "--start", START, code=2)
    assert "sources to fetch from are stac, sentinelhub" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="is not downloaded"):
        work.import_scenes(load_config(office.file), office.root)


def test_sentinelhub_gets_the_addresses_of_the_config(office, monkeypatch):
    made_with = []

    def hub(**given):
        made_with.append(given)
        return "the hub"

    def plan(parcels, start, end, bands, hub):
        assert hub == "the hub"
        return office.orders

    provider = SimpleNamespace(plan=plan, download=office.fake, Hub=hub)
    monkeypatch.setitem(sys.modules, "rs_forecast.sources.sentinelhub", provider)
    config = office.root / "office.toml"
    config.write_text(config.read_text().replace('"stac"', '"sentinelhub"') + 'base_url = "http://127.0.0.1:1"\n')
    call(office, "--start", START, "--dry-run")
    assert made_with == [{"base_url": "http://127.0.0.1:1"}]


@pytest.fixture
def hub_office(tmp_path, monkeypatch):
    """A project whose provider is a double of Sentinel Hub, with two scenes."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sentinelhub, "Hub", partial(sentinelhub.Hub, retry_seconds=0.01))
    made.fields(4).to_file(tmp_path / "parcels.gpkg")
    (tmp_path / "surveys.csv").write_text("parcel_id,date,pest,value,unit\n")
    with serving() as hub:
        hub.add("20240105", "20240110")
        monkeypatch.setenv("SH_CLIENT_ID", hub.user)
        monkeypatch.setenv("SH_CLIENT_SECRET", hub.secret)
        address = f'base_url = "{hub.url}"\ntoken_url = "{hub.url}/auth/token"\nworkers = 2\n'
        (tmp_path / "office.toml").write_text(CONFIG.replace('"stac"', '"sentinelhub"') + address)
        yield SimpleNamespace(hub=hub, file=str(tmp_path / "office.toml"))


def test_the_units_spent_are_those_the_provider_counted_damaged_answers_and_failed_scenes_too(hub_office, capsys):
    hub = hub_office.hub
    hub.faults.append(Fault(where="process", after=1, change=lambda body: body[: len(body) // 2]))
    arguments = ("--start", START, "--end", "2024-01-31", "--json")
    call(hub_office, *arguments)
    said = json.loads(capsys.readouterr().out)
    planned = sum(row["units"] for row in said["scenes"])
    assert said["units_estimated"] == pytest.approx(planned)
    assert said["units_spent"] == pytest.approx(hub.spent)
    assert said["units_spent"] > planned
    call(hub_office, *arguments)
    said = json.loads(capsys.readouterr().out)
    assert (said["units_estimated"], said["units_spent"]) == (0.0, 0.0)
    hub.add("20240115")
    hub.gone.add(product("20240115"))
    before = hub.spent
    call(hub_office, *arguments, code=3)
    said = json.loads(capsys.readouterr().out)
    assert said["fetched"]["failed"]
    assert said["units_spent"] == pytest.approx(hub.spent - before)
    assert said["units_spent"] > 0


def test_the_units_spent_stand_beside_those_estimated_and_nowhere_without_any(hub_office):
    config = load_config(hub_office.file)
    report = work.fetch(config, start=START, end="2024-01-31")
    assert f"units       {report.units_spent:>8.2f} spent, {report.units_estimated:.2f} estimated" in report.result()
    free = work.FetchReport(status="complete", source="stac", folder="", scenes=(), fetched=report.fetched, warnings=())
    assert "units" not in free.result()
    assert free.plan().endswith("0 scenes, 0 to download: about 0.0 MB")


def test_a_store_of_another_machine_is_copied(office, capsys):
    SceneArchive(office.root / "usb").obtain(office.orders, Fake(), seen="2024-01-12")
    call(office, "--from", str(office.root / "usb"))
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["new", "3"]
    assert office.asked == []


def test_inputs_are_read_from_the_store(office):
    config = load_config(office.file)
    assert "call rs-forecast fetch first" in "".join(read_inputs(config).missing)
    work.fetch(config, start=START)
    inputs = read_inputs(config)
    assert inputs.missing == ()
    assert list(inputs.scenes["state"]) == ["ok"] * 3
    assert inputs.signals is not None
    assert inputs.signals["date"].nunique() == 3
    for folder in office.store.glob("[!.]*"):  # as an eviction leaves it
        write_record(folder, replace(read_record(folder), state="evicted"))
        for file in folder.glob("*.tif"):
            file.unlink()
    later = read_inputs(config)
    assert list(later.scenes["state"]) == ["evicted"] * 3
    assert later.signals is not None
    assert len(later.signals) == len(inputs.signals)


def test_copying_stands_alone_and_takes_a_store_of_the_same_source(office, capsys):
    SceneArchive(office.root / "usb").obtain(office.orders, Fake(), seen="2024-01-12")
    call(office, "--from", str(office.root / "usb"), "--dry-run", code=2)
    assert "--from copies all" in capsys.readouterr().err
    assert not office.store.exists()
    hub = [replace(one, provider="sentinelhub") for one in office.orders]
    SceneArchive(office.root / "hub").obtain(hub, Fake(), seen="2024-01-12")
    call(office, "--from", str(office.root / "hub"), code=2)
    assert "holds scenes of sentinelhub" in capsys.readouterr().err


def test_scenes_in_quarantine_are_never_complete(office, capsys):
    office.fake.offset = 0.0
    for _ in range(2):  # the second call finds them there
        call(office, "--start", START, code=4)
        told = capsys.readouterr()
        assert "its offset is declared wrongly" in told.out
        assert "nothing" in told.out


def test_a_plan_writes_nothing_where_scenes_are_there(office):
    call(office, "--start", START)
    memory = office.store / ".contents.json"
    memory.unlink(missing_ok=True)
    for file in office.store.rglob("*.tif"):
        os.utime(file, (1e9, 1e9))  # long settled, so that a call that may write remembers their hashes
    call(office, "--start", START, "--dry-run")
    assert not memory.exists()
    call(office, "--start", START)
    assert memory.exists()


def keep_up(office, issued="2024-01-12", today="2024-01-12"):
    with pytest.MonkeyPatch.context() as patch, noted() as notes:
        patch.setattr(Config, "today", property(lambda _: pd.Timestamp(today).date()))
        missing = work.keep_up(load_config(office.file), pd.Timestamp(issued))
    return missing, notes


def test_a_run_fetches_the_newest_scenes_and_names_those_that_did_not_come(office):
    def gone(asked, folder):
        if asked.detail["number"] in lost:
            raise lost[asked.detail["number"]]

    office.fake.before, lost = gone, {1: SourceError("it is gone")}
    config = office.root / "office.toml"
    config.write_text(config.read_text() + "[run]\nfetch_days = 10\n")
    assert keep_up(office) == ([], [f"imagery: {order(1).scene_id}: it is gone"])
    assert office.asked[-1][1] == pd.Timestamp("2024-01-03"), "ten days, the issue date among them"
    assert len(list(office.store.glob("*/scene.json"))) == 1
    lost[1] = BusyError("quota")
    assert keep_up(office) == ([], [f"imagery: {order(1).scene_id}: quota"])
    del lost[1]
    assert keep_up(office) == ([], [])
    assert len(list(office.store.glob("*/scene.json"))) == 2


def test_a_run_that_gets_no_scene_lacks_imagery(office):
    def busy(*_, **__):
        raise BusyError("quota")

    office.fake.before = busy
    missing, notes = keep_up(office)
    assert missing == ["no new imagery: none of 3 scenes came"]
    assert len(notes) == 3
    sys.modules["rs_forecast.sources.stac"].plan = busy
    assert keep_up(office)[0] == ["no new imagery: quota"]


def test_days_without_a_scene_are_no_fault_and_old_weeks_fetch_nothing(office):
    office.orders.clear()
    missing, notes = keep_up(office)
    assert missing == []
    assert "has no scene over the parcels" in notes[0]
    asked = len(office.asked)
    assert keep_up(office, today="2024-02-11") == ([], [])
    config = office.root / "office.toml"
    config.write_text(config.read_text() + "[run]\nfetch_days = 0\n")
    assert keep_up(office) == ([], [])
    config.write_text(config.read_text().replace('source = "stac"', 'source = "none"').replace("days = 0", "days = 9"))
    assert keep_up(office) == ([], [])
    assert len(office.asked) == asked


def test_a_run_does_not_go_on_over_a_full_disk(office):
    def full(asked, folder):
        raise OutputError("no room")

    office.fake.before = full
    with pytest.raises(OutputError, match="3 scenes are missing"):
        keep_up(office)
