"""``rs-forecast init``: the config it writes says everything, loads, and is never written over."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from rs_forecast.cli import main
from rs_forecast.config import Config, load_config
from rs_forecast.errors import ConfigError
from rs_forecast.starter import CONFIG, CONFIG_FILE, FOLDERS

TEXT = CONFIG.format(file=CONFIG_FILE, name="office")
SETTING = re.compile(r"^# (\[\[?[\w.]+\]\]?( +#.*)?|\w+ = .*)$")


def call(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == code


def test_init_writes_a_config_that_loads_and_the_folders(tmp_path, capsys):
    call("init", str(tmp_path / "Văn phòng An Giang"))
    root = tmp_path / "Văn phòng An Giang"
    config = load_config(root / CONFIG_FILE)
    assert config.region.timezone == "Asia/Ho_Chi_Minh"
    assert config.region.name == "van-phong-an-giang"
    assert config.parcels.path == root / "data" / "parcels.gpkg"
    assert config.workspace.dir == root
    assert all((root / folder).is_dir() for folder in FOLDERS)
    assert "then: rs-forecast doctor" in capsys.readouterr().out


def test_init_never_writes_over_anything(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "parcels.gpkg").write_text("mine")
    call("init", str(tmp_path), "--json")
    made = json.loads(capsys.readouterr().out)["made"]
    assert [path.rsplit("/", 1)[-1] for path in made] == [CONFIG_FILE, "scenes", "models", "outputs"]
    (tmp_path / CONFIG_FILE).write_text("mine")
    call("init", str(tmp_path), code=2)
    assert "is there already and stays as it is" in capsys.readouterr().err
    assert (tmp_path / CONFIG_FILE).read_text() == (tmp_path / "data" / "parcels.gpkg").read_text() == "mine"
    call("init", str(tmp_path / CONFIG_FILE), code=2)
    assert "is a file; name a folder" in capsys.readouterr().err


def test_every_table_and_key_of_the_config_is_there():
    for table, field in Config.model_fields.items():
        part = next(
            (t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if hasattr(t, "model_fields")),
            None,
        )
        assert re.search(rf"^(# )?\[\[?{table}(\.\w+)?\]", TEXT, re.MULTILINE), table
        for key in (f.alias or name for name, f in part.model_fields.items()):
            assert re.search(rf"^(# )?({key} = |\[\[{table}\.{key}\]\]|.*\b{key}, )", TEXT, re.MULTILINE), (table, key)


def test_every_setting_that_is_switched_off_can_be_switched_on(tmp_path):
    (tmp_path / "data" / "catalog").mkdir(parents=True)  # the only thing that a config needs to be there
    (tmp_path / "data" / "catalog" / "pests.csv").write_text("name,event,unit,doc\n")
    lines = TEXT.splitlines()
    tables = [n for n, line in enumerate(lines) if SETTING.match(line) and "[" in line[:4]]
    settings = [n for n, line in enumerate(lines) if SETTING.match(line) and n not in tables]
    assert len(settings) > 40
    for number in settings:
        table = max((n for n in tables if n < number and all(SETTING.match(x) for x in lines[n:number])), default=None)
        on = range(table, number + 1) if table is not None else [number]
        changed = [line[2:] if n in on else line for n, line in enumerate(lines)]
        if table is not None:  # a table of one's own needs its other keys
            rest = number + 1
            while rest < len(lines) and SETTING.match(lines[rest]):
                changed[rest] = lines[rest][2:]
                rest += 1
        file = tmp_path / "c.toml"
        file.write_text("\n".join(changed), encoding="utf-8")
        tomllib.loads(file.read_text(encoding="utf-8"))
        try:
            load_config(file)
        except ConfigError as err:  # what belongs to another source, or asks for its partner
            assert re.search(r"belongs to source|is the decimal sign", str(err)), lines[number]  # noqa: PT017


def test_the_config_runs_into_clear_messages_until_the_files_are_there(tmp_path, capsys):
    call("init", str(tmp_path))
    call("train", str(tmp_path / CONFIG_FILE), code=4)
    assert re.search(r"error: parcels: .*data/parcels.gpkg does not exist", capsys.readouterr().err)
