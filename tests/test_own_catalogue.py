"""An office's own rows of the catalogue, and severity words: only from a level that a person has verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from rs_forecast.catalog import LEVELS, PESTS, Level
from rs_forecast.catalog._table import Table
from rs_forecast.catalog.own import read_own_levels, read_own_pests
from rs_forecast.catalog.thresholds import severity_word
from rs_forecast.config import load_config
from rs_forecast.errors import ConfigError

HEAD = "name,event,unit,doc,crop,aliases,units,stages,verified"
THRIPS = 'thrips,density >= 5,insects/leaf,"bọ trĩ, lúa non",rice,bọ trĩ; BT,con/lá = 1; per 10 leaves = 0.1,11;29,no'
LEVEL_HEAD = "pest,severity,value,unit,source,verified_by"


def folder_of(root: Path, pests: str = "", levels: str = "") -> Path:
    folder = root / "danh mục"
    folder.mkdir(exist_ok=True)
    for name, text in (("pests.csv", pests), ("levels.csv", levels)):
        if text:
            (folder / name).write_text(text, encoding="utf-8-sig")
    return folder


def config_of(root: Path, more: str = "") -> Path:
    file = root / "c.toml"
    text = '[parcels]\npath = "p"\n[surveys]\npath = "s"\n[forecast]\npests = ["rats"]\n[catalog]\npath = "danh mục"\n'
    file.write_text(text + more, encoding="utf-8")
    return file


def test_rows_of_a_folder_are_rows_of_the_catalogue(tmp_path):
    folder_of(
        tmp_path,
        f"{HEAD}\n{THRIPS.replace('11;29', '11-29')}\n",
        f"{LEVEL_HEAD}\nthrips,light,5,insects/leaf,QCVN,N. V. A\n",
    )
    config = load_config(config_of(tmp_path))
    thrips = config.all_pests["thrips"]
    assert (thrips.threshold, thrips.unit, thrips.crop, thrips.stages) == (5.0, "insects/leaf", "rice", (11, 29))
    assert thrips.aliases == ("bọ trĩ", "BT")
    assert thrips.factor("per 10 leaves") == 0.1
    assert thrips.doc == "bọ trĩ, lúa non"
    assert list(config.all_pests) == [*PESTS, "thrips"]
    assert config.all_levels["thrips:light"].verified_by == "N. V. A"
    assert set(LEVELS) < set(config.all_levels)


def test_an_office_row_stands_in_place_of_the_catalogues_and_the_config_in_place_of_both(tmp_path):
    folder_of(tmp_path, "name,event,unit,doc\nrats,damage >= 9,%,ours\n")
    assert load_config(config_of(tmp_path)).all_pests["rats"].threshold == 9
    more = '[pests.rats]\nevent = "damage >= 4"\nunit = "%"\n'
    rats = load_config(config_of(tmp_path, more)).all_pests["rats"]
    assert (rats.threshold, rats.doc) == (4, "ours")


def test_another_unit_of_a_known_pest_takes_no_conversions_over(tmp_path):
    folder_of(tmp_path, "name,event,unit,doc\nthrips,n >= 1,%,x\n")
    more = '[pests.brown_planthopper]\nevent = "infested_ha >= 20"\nunit = "ha"\n'
    hopper = load_config(config_of(tmp_path, more)).all_pests["brown_planthopper"]
    assert PESTS["brown_planthopper"].factor("con/m2") == 1.0
    assert hopper.factor("con/m2") is None
    assert hopper.aliases == PESTS["brown_planthopper"].aliases
    own = load_config(config_of(tmp_path, more.replace('unit = "ha"', 'unit = "ha"\nunits = { m2 = 0.0001 }')))
    assert own.all_pests["brown_planthopper"].factor("m2") == 0.0001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,evnt,unit,doc\n", r"pests\.csv, row 1: there is no column 'evnt'; did you mean \"event\"\? Allow"),
        ("name,event,unit,doc\nx,,%,d\n", r"pests\.csv, row 2: event must not be empty; fill it in"),
        ("name,event,unit,doc\nx,viel,%,d\n", r"pests\.csv, row 2: pest 'x': the event 'viel' cannot be read"),
        ("name,event,unit,doc,stages\nx,n >= 1,%,d,29;11\n", "column stages: found '29;11', allowed are a first and a"),
        ("name,event,unit,doc,units\nx,n >= 1,%,d,con\n", "column units: found 'con', allowed is such as"),
        ("name,event,unit,doc,verified\nx,n >= 1,%,d,ja\n", "column verified: found 'ja', allowed are yes and no"),
        ("name,event,unit,doc,stale_after_days\nx,n >= 1,%,d,0\n", "allowed is a whole number of at least 1"),
        ("name,event,unit,doc\nx,n >= 1,%,a,b\n", "row 2: found 5 cells, allowed are 4 as in the header"),
        ("name,event,unit,doc\nx,n >= 1,%,d\nx,n >= 2,%,d\n", "the pest 'x' is declared twice"),
    ],
)  # fmt: skip
def test_a_bad_row_ends_in_its_place_and_what_is_allowed(tmp_path, text, message):
    folder_of(tmp_path, text)
    with pytest.raises(ConfigError, match=message):
        load_config(config_of(tmp_path))


def test_bad_levels_and_a_folder_without_files(tmp_path):
    folder = folder_of(tmp_path, levels=f"{LEVEL_HEAD}\nrats,severe,5,%,x,\n")
    with pytest.raises(ConfigError, match="column severity: found 'severe', allowed are light, medium, heavy"):
        read_own_levels(folder)
    assert read_own_pests(folder) == ()
    with pytest.raises(
        ConfigError, match=r"neither pests\.csv nor levels\.csv is there; name the folder that has them"
    ):
        read_own_pests(tmp_path)
    with pytest.raises(ConfigError, match=r"line 8: catalog\.path: .*column severity"):
        load_config(config_of(tmp_path))


# ------------------------------------------------------------------------------------------------------- severity words


def test_no_level_that_ships_says_a_word_for_none_is_verified():
    for level in LEVELS.values():
        assert not level.verified_by
        assert severity_word(level.pest, level.value * 10, level.unit) is None


def test_a_verified_level_says_its_word_in_its_own_unit_alone():
    rows = [Level(pest="rats", severity=name, value=value, unit="%", source="QCVN", verified_by=who)
            for name, value, who in (("light", 2.5, "A"), ("medium", 5.0, "A"), ("heavy", 10.0, ""))]  # fmt: skip
    levels = Table("level", rows)
    assert severity_word("rats", 2.4, "%", levels) is None
    assert severity_word("rats", 2.5, "%", levels) == "light"
    assert severity_word("rats", 50.0, "%", levels) == "medium"  # the heavy one is not verified
    assert severity_word("rats", 50.0, "share", levels) is None
    assert severity_word("leaf_blast", 50.0, "%", levels) is None
