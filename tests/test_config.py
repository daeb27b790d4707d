from __future__ import annotations

import datetime as dt
import inspect
from pathlib import Path

import pytest
from conftest import ROOT
from pydantic import ValidationError

from rs_forecast.catalog import PESTS, SEASONS, STAGES
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.config import Config, load_config
from rs_forecast.errors import ConfigError

LEAST = """\
[parcels]
path = "parcels.gpkg"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
"""
NEXT = LEAST.count("\n") + 1
"""The line that a test's own text begins on."""


@pytest.fixture
def load(tmp_path):
    def loaded(text):
        file = tmp_path / "office.toml"
        file.write_text(text, encoding="utf-8", newline="")
        return load_config(file)

    return loaded


def refused(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


def test_defaults_are_those_of_the_contract(load, tmp_path):
    config = load(LEAST)
    assert config.region.timezone == "UTC"
    assert config.workspace.dir == tmp_path
    assert config.output.dir == tmp_path / "outputs"
    assert config.output.crs is None
    assert config.output.resolution == 10.0
    assert (config.output.geojson, config.output.geoparquet) == (True, False)
    assert config.surveys.delay_days == 7
    assert config.imagery.source == "none"
    assert config.imagery.mask_classes == SCL_MASKED
    assert config.imagery.indices == ("ndvi", "evi", "ndre", "lswi")
    assert config.forecast.horizons_weeks == (1, 2)
    assert config.forecast.class_limits == (0.1, 0.3, 0.6)
    assert config.forecast.preset == "default"
    assert config.run.min_assessable == 0.5
    assert config.all_seasons == tuple(SEASONS.values())
    assert list(config.all_pests) == list(PESTS)
    assert config.crops.path is None


def test_paths_are_relative_to_the_config_file_and_absolute_ones_stay(load, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(
        LEAST.replace('"parcels.gpkg"', '"../fields/p.shp"').replace('"surveys.csv"', '"/srv/surveys.csv"')
        + '[imagery]\nsource = "local"\npath = ["scenes", "/srv/scenes"]\n[workspace]\ndir = "ws"\n'
        '[region]\ncommunes = "c.gpkg"\n[crops]\npath = "crops.csv"\n'
    )
    assert config.parcels.path == tmp_path / "../fields/p.shp"
    assert config.surveys.path == Path("/srv/surveys.csv")
    assert config.imagery.path == (tmp_path / "scenes", Path("/srv/scenes"))
    assert config.workspace.dir == tmp_path / "ws"
    assert config.region.communes == tmp_path / "c.gpkg"
    assert config.crops.path == tmp_path / "crops.csv"


def test_a_home_folder_is_understood_and_nobodys_is_refused(load, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert load(LEAST.replace('"parcels.gpkg"', '"~/p.gpkg"')).parcels.path == tmp_path / "home" / "p.gpkg"
    message = refused(load, LEAST.replace('"parcels.gpkg"', '"~nobody-has-this-name/p.gpkg"'))
    assert "line 2: parcels.path: found '~nobody-has-this-name/p.gpkg'" in message


UNKNOWN = [
    ('[regoin]\nname = "x"\n', 0, "regoin", "region"),
    ('[region]\nnme = "x"\n', 1, "region.nme", "name"),
    ('\n# a comment\n[region]\nname = "x"\ntimezon = "UTC"  # x\n', 4, "region.timezon", "timezone"),
    ("[output]\n\"dri\" = 'x'\n", 1, "output.dri", "dir"),
    ("[[seasons]]\nname = 'a'\nstart = '11-01'\n[[seasons]]\nname = 'b'\nstart = '05-01'\nstrat = 1\n",
     6, "seasons.1.strat", "start"),
    ('[indices.mine]\nformula = "nir"\nvalidd = [0, 1]\n', 2, "indices.mine.validd", "valid"),
    ('[pests.mine]\nevnt = "density >= 5"\nunit = "x"\nevent = "density >= 5"\n', 1, "pests.mine.evnt", "event"),
    ('[pests.event]\ncorp = "rice"\nunit = "x"\nevent = "density >= 5"\n', 1, "pests.event.corp", "crop"),
    ('[imagery]\nsorce = "none"\n', 1, "imagery.sorce", "source"),
    ("[weather]\nlatency_day = 3\n", 1, "weather.latency_day", "latency_days"),
    ("[run]\nmin_assesable = 0.5\n", 1, "run.min_assesable", "min_assessable"),
    ("[workspace]\ndirr = 'x'\n", 1, "workspace.dirr", "dir"),
    ("[[region.control_points]]\nnme = 'A'\ncrs = 9208\nx = 1\ny = 1\nlon = 1\nlat = 1\n",
     1, "region.control_points.0.nme", "name"),
    ("[crops]\npaht = 'x'\n", 1, "crops.paht", "path"),
    ("output.reslution = 10.0\n", 0, "forecast.output", None),
    ("sed = 3\n", 0, "forecast.sed", "seed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "down", "key", "near"), UNKNOWN, ids=[row[2] for row in UNKNOWN])
def test_an_unknown_key_names_its_line_and_the_nearest_key(load, text, down, key, near):
    message = refused(load, LEAST + text)
    asked = f'; did you mean "{near}"?' if near else "."
    assert f"office.toml, line {NEXT + down}: {key}: there is no such key{asked} Known here: " in message


def test_an_unknown_key_of_an_inline_table_names_the_tables_line(load):
    message = refused(load, 'region = { nme = "x" }\n' + LEAST)
    assert 'line 1: region.nme: there is no such key; did you mean "name"?' in message


def test_every_wrong_key_is_named_at_once(load):
    message = refused(load, LEAST + 'sed = 1\n[region]\nnme = "x"\n[run]\nmin_assessable = 2\n')
    named = {line.split(": ")[1] for line in message.splitlines()}
    assert named == {"region.nme", "forecast.sed", "run.min_assessable"}


WRONG = [
    ("preset = 5\n", 0, "forecast.preset: found 5"),
    ("horizons_weeks = 1\n", 0, 'forecast.horizons_weeks: found 1; allowed is a list such as ["a", "b"]'),
    ("horizons_weeks = []\n", 0, "forecast.horizons_weeks: found []"),
    ("horizons_weeks = [0]\n", 0, "forecast.horizons_weeks.0: found 0"),
    ("horizons_weeks = [1, 99]\n", 0, "forecast.horizons_weeks.1: found 99"),
    ("horizons_weeks = [1.5]\n", 0, "forecast.horizons_weeks.0: found 1.5"),
    ("horizons_weeks = [1, 1]\n", 0, "forecast.horizons_weeks: found [1, 1]; allowed is each item once"),
    ("class_limits = [0.1, 0.3]\n", 0, "forecast.class_limits"),
    ("class_limits = [0.1, 0.3, 0.6, 0.9]\n", 0, "forecast.class_limits"),
    ("class_limits = [0.3, 0.1, 0.6]\n", 0, "found [0.3, 0.1, 0.6]; allowed are three rising numbers between 0 and 1"),
    ("class_limits = [0.1, 0.1, 0.6]\n", 0, "allowed are three rising numbers"),
    ("class_limits = [0.1, 0.3, 1.0]\n", 0, "allowed are three rising numbers"),
    ("class_limits = [0.1, 0.3, nan]\n", 0, "found nan"),
    ("seed = -1\n", 0, "forecast.seed: found -1"),
    ("[region]\nname = 5\n", 1, "region.name: found 5"),
    ("[region]\ntimezone = 'Asia/Saigonn'\n", 1, "found 'Asia/Saigonn'; allowed is a name such as Asia/Ho_Chi_Minh"),
    ("[region]\ntimezone = 'Asia'\n", 1, "region.timezone: found 'Asia'"),
    ("[region]\ntimezone = '../../etc/passwd'\n", 1, "region.timezone"),
    ("[region]\ntimezone = ''\n", 1, "region.timezone: found ''"),
    ("[region]\ntimezone = 7\n", 1, "region.timezone: found 7"),
    ("[imagery]\nsource = 'landsat'\n", 1, "imagery.source: found 'landsat'"),
    ("[imagery]\npath = 5\n", 1, "imagery.path: found 5; allowed is a path"),
    ("[imagery]\npath = ['a', 5]\n", 1, "imagery.path.1: found 5; allowed is a path"),
    ("[imagery]\nindices = 'ndvi'\n", 1, "imagery.indices: found 'ndvi'; allowed is a list"),
    ("[imagery]\nindices = ['ndvi', 'evi', 'ndvi']\n", 1, "allowed is each item once"),
    ("[imagery]\nmask_dilate_m = -1\n", 1, "imagery.mask_dilate_m: found -1"),
    ("[imagery]\nmask_dilate_m = nan\n", 1, "imagery.mask_dilate_m: found nan"),
    ("[imagery]\nscale = 0\n", 1, "imagery.scale: found 0"),
    ("[imagery]\nscale = inf\n", 1, "imagery.scale: found inf"),
    ("[imagery]\nmask_classes = ['cloud']\n", 1, "imagery.mask_classes.0: found 'cloud'"),
    ("[weather]\nlatency_days = 'soon'\n", 1, "weather.latency_days: found 'soon'"),
    ("[output]\ndir = 5\n", 1, "output.dir: found 5"),
    ("[output]\ncrs = 1.5\n", 1, "output.crs: found 1.5"),
    ("[output]\nresolution = 0\n", 1, "output.resolution: found 0"),
    ("[output]\nresolution = inf\n", 1, "output.resolution: found inf"),
    ("[run]\nmin_assessable = 1.5\n", 1, "run.min_assessable: found 1.5"),
    ("[surveys.columns]\nvalue = 5\n", 1, "surveys.columns.value: found 5"),
    ("[indices.mine]\nformula = 5\n", 1, "indices.mine.formula: found 5"),
    ("[indices.mine]\nformula = 'nir'\nvalid = [0.0, nan]\n", 2, "indices.mine.valid.1: found nan"),
    ("[indices.'my index']\nformula = 'nir'\n", 0, "indices.my index: found 'my index'"),
    ("[pests.'../x']\nevent = 'density >= 1'\nunit = 'x'\n", 0, "pests.../x: found '../x'"),
    ("[[seasons]]\nname = 'a'\nstart = '11-01'\n[[seasons]]\nname = 'b'\nstart = 5\n", 5, "seasons.1.start: found 5"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "down", "said"), WRONG, ids=[row[2] for row in WRONG])
def test_a_wrong_value_names_its_line_and_what_was_found(load, text, down, said):
    message = refused(load, LEAST + text)
    assert said in message
    assert f"office.toml, line {NEXT + down}: " in message
    assert "function-" not in message
    assert "pydantic" not in message


NAMES = [
    (
        LEAST.replace("planthopper", "planthoper"),
        6,
        "forecast.pests: there is no pest 'brown_planthoper'; did you mean \"brown_planthopper\"? Known: ",
    ),
    (LEAST + "preset = 'smal'\n", NEXT, "forecast.preset: there is no preset 'smal'; did you mean \"small\"?"),
    (LEAST + "preset = 'fast'\n", NEXT, "forecast.preset: there is no preset 'fast'. Known: default, small"),
    (
        LEAST + "[imagery]\nindices = ['ndvj']\n",
        NEXT + 1,
        "imagery.indices: there is no index 'ndvj'; did you mean \"ndvi\"?",
    ),
    (
        LEAST + "[indices.mine]\nformula = 'nirr - red'\n",
        NEXT,
        "indices.mine: index 'mine': there is no band 'nirr'; did you mean \"nir\"?",
    ),
    (LEAST + "[indices.mine]\nformula = 'import os'\n", NEXT, "indices.mine: index 'mine': 'import os' cannot be read"),
    (
        LEAST + "[indices.mine]\nformula = 'nir'\nvalid = [1, -1]\n",
        NEXT,
        "index 'mine': valid [1.0, -1.0] must be [lowest, highest]",
    ),
    (LEAST + "[indices.ndvi]\nformula = 'nir'\n", NEXT, "the index 'ndvi' is declared twice"),
    (LEAST + "[indices.red]\nformula = 'nir'\n", NEXT, "index 'red': a band has that name"),
    (
        LEAST + "[pests.mine]\nevent = 'many'\nunit = 'x'\n",
        NEXT,
        "pests: pest 'mine': the event 'many' cannot be read; write it as 'density >= 750'",
    ),
    (
        LEAST + "[[seasons]]\nname = 'a'\nstart = '31-12'\n",
        NEXT,
        "seasons.0: season 'a': start '31-12' is no month and day",
    ),
    (
        LEAST + "[[seasons]]\nname = 'a'\nstart = '11-01'\n[[seasons]]\nname = 'a'\nstart = '12-01'\n",
        NEXT,
        "the season 'a' is declared twice",
    ),
    (
        LEAST + "[weather]\nthousands = '.'\n",
        NEXT + 1,
        "weather.thousands: '.' is the decimal sign; declare decimal = ",
    ),
    (
        LEAST
        + "[[seasons]]\nname = 'a'\nstart = '11-01'\n[[seasons]]\nname = 'b'\nfrom = 2024-11-01\nto = 2024-10-01\n",
        NEXT + 3,
        "seasons.1: season 'b': to 2024-10-01 lies before from 2024-11-01; exchange them",
    ),
    (
        LEAST + "[[seasons]]\nname = 'a'\nstart = '11-01'\nsub_zones = ['Z1']\n",
        NEXT,
        "seasons: no season holds every year and everywhere, so that some days would be in none; add one with a start",
    ),
    (
        LEAST + "[[stages]]\ncrop = 'maize'\nstage = 'leaf'\nlabel = 'lá'\nbbch = [19, 10]\ndays = [5, 9]\n",
        NEXT,
        "stages.0: stage 'leaf' of maize: bbch [19, 10]; allowed are two rising codes, 0-99",
    ),
    (LEAST + "[imagery]\nsource = 'local'\n", NEXT + 1, 'imagery.source: source = "local" needs a path'),
    (LEAST + "[weather]\nsource = 'csv'\n", NEXT + 1, 'weather.source: source = "csv" needs a path'),
    (
        LEAST + "[imagery]\nsource = 'stac'\nbase_url = 'https://sh.example.org'\n",
        NEXT + 2,
        'imagery.base_url: belongs to source = "sentinelhub"; take it out',
    ),
    (
        LEAST + "[imagery]\nsource = 'sentinelhub'\npath = 'scenes'\n",
        NEXT + 2,
        'imagery.path: belongs to source = "local"; take it out',
    ),
]


@pytest.mark.parametrize(("text", "line", "said"), NAMES, ids=[row[2][:50] for row in NAMES])
def test_a_name_or_row_that_does_not_stand_is_refused_with_its_line(load, text, line, said):
    message = refused(load, text)
    assert message.split("office.toml", 1)[1].startswith(f", line {line}: ")
    assert said in message


def test_sources_that_are_downloaded_need_no_path(load):
    config = load(LEAST + "[imagery]\nsource = 'stac'\nurl = 'http://127.0.0.1:80/v1'\nbudget_gb = 2.5\n")
    assert (config.imagery.url, config.imagery.budget_gb, config.imagery.workers) == ("http://127.0.0.1:80/v1", 2.5, 4)


@pytest.mark.parametrize(
    "line",
    [
        "client_id = 'hushhush'",
        "SH_CLIENT_SECRET = 'hushhush'",
        "clientsecret = 'hushhush'",
        "password = 'hushhush'",
        "token = 'hushhush'",
        "api_key = 'hushhush'",
        "url = 'https://me:hushhush@stac.example.org/v1'",
        "url = 'https://stac.example.org/v1?token=hushhush'",
    ],
)
def test_credentials_in_a_config_are_refused_by_name_and_never_shown(load, line):
    message = refused(load, f"{LEAST}[imagery]\nsource = 'stac'\n{line}\n")
    key = line.split(" = ")[0]
    assert f", line {NEXT + 2}: imagery.{key}: credentials do not belong in a config" in message
    assert "hushhush" not in message


def test_traps_are_read_and_their_path_is_relative_to_the_file(load):
    assert load(LEAST).traps.path is None
    traps = load(f'{LEAST}[traps]\npath = "traps.csv"\ndelay_days = 2\ncolumns = {{ count = "SOLUONG" }}\n').traps
    assert (traps.path.name, traps.path.is_absolute(), traps.delay_days) == ("traps.csv", True, 2)
    assert dict(traps.columns) == {"count": "SOLUONG"}
    assert "found -1" in refused(load, f"{LEAST}[traps]\ndelay_days = -1\n")


@pytest.mark.parametrize("name", ["scouting"])
def test_a_planned_table_is_refused_by_name(load, name):
    message = refused(load, f'{LEAST}[{name}]\npath = "x"\n')
    assert f", line {NEXT}: [{name}] (" in message
    assert "is not read by this version" in message


def test_missing_parts_are_named(load):
    message = refused(load, "")
    assert [line.split(": ", 1)[1] for line in message.splitlines()] == [
        f"{part}: is missing; add it" for part in ("parcels", "forecast")
    ]
    assert "line 1: parcels.path: is missing; add it" in refused(load, LEAST.replace('path = "parcels.gpkg"\n', ""))


def test_surveys_may_be_left_out(load):
    assert load(LEAST.replace('[surveys]\npath = "surveys.csv"\n', "")).surveys.path is None
    assert load(LEAST.replace('path = "surveys.csv"\n', "")).surveys.path is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[parcels\n", "line 1"),
        ("parcels\n", "line 1"),
        (LEAST + "preset = small\n", f"line {NEXT}"),
        (LEAST + '[region]\nname = "a"\nname = "b"\n', f"line {NEXT + 2}"),
        (LEAST + "[forecast]\n", f"line {NEXT}"),
        ("\0", "line 1"),
    ],
)
def test_what_is_no_toml_or_says_a_key_twice_is_refused_with_the_line(load, text, said):
    message = refused(load, text)
    assert "is no valid TOML" in message
    assert said in message


def test_a_file_that_is_not_there_or_is_no_text(tmp_path):
    for bad in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(bad)
    (tmp_path / "x.toml").write_bytes(b'name = "\xff\xfe"\n')
    with pytest.raises(ConfigError, match=r"x\.toml: cannot be read"):
        load_config(tmp_path / "x.toml")


@pytest.mark.parametrize(
    "text", ["\ufeff" + LEAST, LEAST.replace("\n", "\r\n"), "\ufeff" + LEAST.replace("\n", "\r\n")]
)
def test_a_file_from_a_windows_editor_is_read(load, text):
    assert load(text) == load(LEAST)


def test_pests_indices_and_seasons_of_ones_own(load):
    config = load(
        LEAST.replace("[forecast]\n", "").replace('pests = ["brown_planthopper"]\n', "")
        + """
[imagery]
indices = ["ndvi", "green_ndvi"]
[forecast]
pests = ["stem_borer", "brown_planthopper"]
[indices.green_ndvi]
formula = "(nir - green) / (nir + green)"
valid = [-0.5, 1.0]
[pests.stem_borer]
event = "whiteheads > 2.5"
unit = "%"
crop = "rice"
stale_after_days = 20
[[seasons]]
name = "dong_xuan"
start = "11-01"
[[seasons]]
name = "he_thu"
start = "04-01"
"""
    )
    borer = config.all_pests["stem_borer"]
    assert (borer.threshold, borer.unit, borer.crop, borer.stale_after_days) == (2.5, "%", "rice", 20)
    assert list(config.all_pests) == list(PESTS), "one declared stands in place of the catalogue's"
    assert borer.source == "declared in the config as whiteheads > 2.5 %"
    assert borer.aliases == PESTS["stem_borer"].aliases
    assert config.all_indices["green_ndvi"].parsed.names == ("nir", "green")
    assert config.all_indices["green_ndvi"].valid == (-0.5, 1.0)
    assert [(season.name, season.start) for season in config.all_seasons] == [
        ("dong_xuan", "11-01"),
        ("he_thu", "04-01"),
    ]
    assert config.forecast.pests == ("stem_borer", "brown_planthopper")


def test_seasons_of_one_year_or_some_sub_zones(load):
    config = load(
        LEAST
        + """
[[seasons]]
name = "dong_xuan"
start = "11-15"
end = "01-15"
[[seasons]]
name = "dong_xuan"
from = "2024-11-01"
to = 2024-12-31
sub_zones = ["Z1", "Z2"]
"""
    )
    yearly, dated = config.all_seasons
    assert (yearly.start, yearly.end, yearly.sub_zones) == ("11-15", "01-15", ())
    assert (dated.first, dated.last) == (dt.date(2024, 11, 1), dt.date(2024, 12, 31))
    assert dated.sub_zones == ("Z1", "Z2")


def test_a_season_without_a_begin_and_a_misspelt_key_are_told_with_their_line(load):
    message = refused(load, LEAST + "[[seasons]]\nname = 'a'\nend = '11-01'\n")
    assert f", line {NEXT}: seasons.0: " in message
    assert "allowed is a start such as '11-01', for every year, or a from such as '2024-11-01', for one" in message
    message = refused(load, LEAST + "[[seasons]]\nname = 'a'\nfrm = '2024-11-01'\n")
    assert 'did you mean "from"?' in message
    assert "Known here: name, start, end, from, to, sub_zones" in message


def test_stages_of_ones_own_stand_in_place_of_the_catalogues_for_that_crop(load):
    own = "[[stages]]\ncrop = '{}'\nstage = 'leaf'\nlabel = 'lá'\nbbch = [10, 19]\ndays = [20, 30]\n"
    rice = [row for row in STAGES.values() if row.crop == "rice"]
    assert [row.name for row in load(LEAST + own.format("maize")).all_stages] == [r.name for r in rice] + ["maize_leaf"]
    assert [row.name for row in load(LEAST + own.format("rice")).all_stages] == ["rice_leaf"]
    assert load(LEAST).all_stages == tuple(rice)


def test_a_config_is_frozen(load):
    config = load(LEAST)
    with pytest.raises(ValidationError):
        config.forecast.seed = 5
    with pytest.raises(ValidationError):
        config.region = None


def test_the_whole_example_of_the_contract_that_this_version_reads(load):
    config = load("""
[region]
name = "an-giang"
timezone = "Asia/Ho_Chi_Minh"
communes = "communes.gpkg"
[workspace]
dir = "."
[parcels]
path = "parcels.gpkg"
id = "parcel_id"
columns = { sub_zone = "TIEUVUNG" }
[crops]
path = "crops.csv"
[imagery]
source = "local"
path = "scenes"
indices = ["ndvi", "lswi", "ndre"]
[weather]
source = "csv"
path = "weather.csv"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
horizons_weeks = [1, 2]
class_limits = [0.1, 0.3, 0.6]
[output]
dir = "outputs"
crs = "EPSG:32648"
""")
    assert config.parcels.columns == {"sub_zone": "TIEUVUNG"}
    assert config.output.crs == "EPSG:32648"


def test_today_is_the_day_in_the_region(load, monkeypatch):
    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime(2026, 3, 1, 20, 0, tzinfo=dt.UTC).astimezone(tz)

    monkeypatch.setattr("rs_forecast.config._whole.dt.datetime", Clock)
    assert load(LEAST + "[region]\ntimezone = 'Asia/Ho_Chi_Minh'\n").today == dt.date(2026, 3, 2)
    assert load(LEAST).today == dt.date(2026, 3, 1)


def test_a_config_made_in_python_is_relative_to_the_working_folder():
    config = Config.model_validate(
        {"parcels": {"path": "p.gpkg"}, "surveys": {"path": "s.csv"}, "forecast": {"pests": ["brown_planthopper"]}}
    )
    assert config.parcels.path == Path("p.gpkg")


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.toml")), ids=lambda file: file.name)
def test_every_config_that_ships_can_be_read(file: Path) -> None:
    config = load_config(file)
    assert config.parcels.path.parent == file.parent / "../data"


@pytest.mark.parametrize(
    "reader", ["read_surveys", "read_areas", "read_traps", "read_weather_csv"]
)  # fmt: skip
def test_every_reader_of_a_table_takes_what_the_config_says_of_its_writing(reader):
    from rs_forecast.config._parts import TablePart
    from rs_forecast.sources import areas, surveys, traps, weather

    found = next(getattr(module, reader) for module in (surveys, areas, traps, weather) if hasattr(module, reader))
    assert set(TablePart.model_fields) <= set(inspect.signature(found).parameters)
