from __future__ import annotations

import datetime as dt
import importlib.util
import json
import re
from dataclasses import FrozenInstanceError, asdict, dataclass, fields

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast import catalog, schema
from rs_forecast.catalog import (
    BANDS,
    HOSTS,
    INDICES,
    LEVELS,
    PESTS,
    PRESETS,
    PROVIDERS,
    SEASONS,
    STAGES,
    WEATHER_FEATURES,
    CropStage,
    Pest,
    Season,
)
from rs_forecast.catalog._table import Table
from rs_forecast.catalog.bands import BAND_OF_CODE, SCL, SCL_CLASSES, SCL_MASKED
from rs_forecast.catalog.formula import parse
from rs_forecast.catalog.seasons import Sowing, check_seasons, season_of, sowings
from rs_forecast.errors import ConfigError
from rs_forecast.sources._vietnamese import match_key

TABLES = {
    name: getattr(catalog, name)
    for name in (
        "BANDS", "DISEASES", "HOSTS", "INDICES", "INSECTS", "LEVELS", "PESTS", "PRESETS", "PROVIDERS", "SEASONS",
        "STAGES", "WEATHER_FEATURES", "WET_RULES",
    )
}  # fmt: skip
ROWS = [(name, row) for name, table in TABLES.items() for row in table.values()]
every_row = pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{name}-{row.name}" for name, row in ROWS])


@dataclass(frozen=True)
class Row:
    name: str
    value: int = 0


# ------------------------------------------------------------------------------------------------------------- tables
def test_a_table_keeps_the_order_and_knows_its_rows():
    table = Table("pest", [Row("b"), Row("a")])
    assert list(table) == ["b", "a"]
    assert table["a"] == Row("a")
    assert ("a" in table, "z" in table, len(table)) == (True, False, 2)


def test_a_name_twice_is_refused():
    with pytest.raises(ConfigError, match="the pest 'a' is declared twice"):
        Table("pest", [Row("a"), Row("a", 2)])


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known():
    table = Table("pest", [Row("brown_planthopper"), Row("stem_borer")])
    with pytest.raises(ConfigError) as caught:
        table["stem_borrer"]
    assert str(caught.value) == (
        "there is no pest 'stem_borrer'; did you mean \"stem_borer\"? Known: brown_planthopper, stem_borer"
    )
    with pytest.raises(ConfigError, match=r"no pest 'xyz'\. Known: brown_planthopper"):
        table["xyz"]


def test_rows_of_ones_own_come_after_and_leave_the_table_as_it_is():
    table = Table("pest", [Row("a")])
    assert list(table.plus([Row("b")])) == ["a", "b"]
    assert list(table) == ["a"]
    with pytest.raises(ConfigError, match="twice"):
        table.plus([Row("a", 2)])


@every_row
def test_every_row_is_frozen_and_named_for_files_and_columns(table, row):
    with pytest.raises(FrozenInstanceError):
        setattr(row, fields(row)[0].name, "other")
    pattern = {"PROVIDERS": r"[a-z][a-z-]*", "SEASONS": r"[a-z_-]+", "LEVELS": r"[a-z0-9_]+:[a-z]+"}.get(
        table, r"[a-z][a-z0-9_]*"
    )
    assert re.fullmatch(pattern, row.name)
    assert TABLES[table][row.name] is row


@every_row
def test_every_row_says_what_it_is_and_in_which_unit(table, row):
    for name in ("doc", "words", "unit", "source"):
        if hasattr(row, name):
            assert getattr(row, name).strip(), name


# ------------------------------------------------------------------------------------------------------ bands, indices
def test_bands_are_those_of_the_instrument():
    assert {band.code for band in BANDS.values()} == {
        *(f"B{i:02d}" for i in (1, 2, 3, 4, 5, 6, 7, 8, 11, 12)), "B8A", "SCL"
    }  # fmt: skip
    assert {band.code: name for name, band in BANDS.items()} == BAND_OF_CODE
    assert BAND_OF_CODE["B08"] == "nir"
    ten = {band.code for band in BANDS.values() if band.resolution == 10}
    assert ten == {"B02", "B03", "B04", "B08"}
    assert {band.code for band in BANDS.values() if band.resolution == 60} == {"B01"}
    waves = [band.wavelength for band in BANDS.values() if band.wavelength]
    assert waves == sorted(waves)


def test_classes_of_the_scene_classification():
    assert list(SCL_CLASSES) == list(range(12))
    assert SCL in BANDS
    assert set(SCL_MASKED) < set(SCL_CLASSES)
    assert not {4, 5, 6} & set(SCL_MASKED)  # vegetation, soil, water
    assert {0, 3, 8, 9, 10} <= set(SCL_MASKED)  # no data, shadow, clouds


@pytest.mark.parametrize("index", INDICES.values(), ids=list(INDICES))
def test_every_index_parses_over_reflectance_bands_and_is_cited(index):
    assert index.parsed == parse(index.formula)
    assert index.parsed.names
    assert set(index.parsed.names) <= set(BANDS) - {SCL}
    assert index.valid[0] < index.valid[1]
    assert re.fullmatch(r"10\.\d{4,9}/\S+", index.doi)
    assert index.name not in BANDS


def test_no_two_indices_are_one():
    assert len({index.parsed.hash for index in INDICES.values()}) == len(INDICES)


# ------------------------------------------------------------------------------------------------------ pests, levels
def pest(event):
    return Pest(name="x", event=event, unit="insects/m2", doc="a test")


@pytest.mark.parametrize(
    ("event", "measure", "threshold", "at"),
    [
        ("density >= 750", "density", 750.0, True),
        ("density > 750", "density", 750.0, False),
        ("  hills_hit>=2.5 ", "hills_hit", 2.5, True),
        ("share>0.05", "share", 0.05, False),
    ],
)
def test_events_are_read_and_meet_their_threshold(event, measure, threshold, at):
    row = pest(event)
    assert (row.measure, row.threshold) == (measure, threshold)
    assert row.is_event(threshold) is at
    assert row.is_event(threshold * 1.01) is True
    assert row.is_event(threshold * 0.99) is False
    found = row.is_event(np.array([0.0, threshold, 2 * threshold, np.nan]))
    assert found.tolist() == [False, at, True, False]


def test_the_event_in_words():
    assert pest("density>=750.0").event_text == "density >= 750 insects/m2"
    assert pest("share > 0.05").event_text == "share > 0.05 insects/m2"


@pytest.mark.parametrize(
    "event",
    ["", "density", "density >=", ">= 750", "density 750", "density = 750", "density == 750", "density < 750",
     "density <= 750", "density >= many", "density >= -5", "density >= 1e3", "density >= 750 insects", "750 >= density",
     "density >= 750; x", "density >= nan", "Density >= 5", "den sity >= 5", "density >= 1,000"],
)  # fmt: skip
def test_an_event_that_cannot_be_read_is_refused(event):
    with pytest.raises(ConfigError, match=r"pest 'x': the event .* write it as 'density >= 750'"):
        pest(event)


def test_thresholds_stand_on_the_level_that_they_cite():
    for row in PESTS.values():
        cited = re.search(r"the level '(\w+)' of rs_forecast\.catalog\.thresholds", row.source)
        assert cited or row.crop != "rice", f"{row.name} cites no level"
        if not cited:
            assert row.source.endswith("unverified")
            assert not row.verified
            continue
        level = LEVELS[f"{row.name}:{cited[1]}"]
        assert (row.threshold, row.unit) == (level.value, level.unit)
        assert row.verified == bool(level.verified_by)


def test_the_pests_of_the_delta_and_one_each_of_other_crops_are_there():
    assert {row.name for row in PESTS.values() if row.crop == "rice"} == {
        "brown_planthopper", "white_backed_planthopper", "leaf_folder", "stem_borer", "leaf_blast", "neck_blast",
        "bacterial_blight", "sheath_blight", "rats",
    }  # fmt: skip
    assert {row.crop for row in PESTS.values()} == {"rice", "wheat", "maize", "sugar_beet"}


@pytest.mark.parametrize("row", PESTS.values(), ids=list(PESTS))
def test_every_pest_says_what_an_office_must_know(row):
    assert row.drivers
    assert row.imagery_sees
    assert row.imagery_misses
    assert row.biology
    assert row.horizons_weeks == tuple(sorted(row.horizons_weeks))
    assert 0 <= row.stages[0] < row.stages[1] <= 99
    assert re.fullmatch(r"([A-Z]{6})?", row.eppo)
    assert row.factor(row.unit) == 1.0
    assert row.factor("bushels") is None
    assert all(row.factor(unit) == factor > 0 for unit, factor in row.units)
    assert pest_from_json(row) == row


def pest_from_json(row):
    return Pest(**json.loads(json.dumps(asdict(row))))


def test_a_name_means_one_crop_and_every_host_is_named():
    names = [match_key(text) for row in HOSTS.values() for text in (row.name.replace("_", " "), *row.aliases)]
    assert len(names) == len(set(names))
    assert {row.crop for row in PESTS.values()} <= set(HOSTS)


def test_a_name_means_one_pest():
    names = [name.casefold() for row in PESTS.values() for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))


def test_levels_rise_within_a_pest():
    for name in {level.pest for level in LEVELS.values()}:
        assert name in PESTS
        levels = [level for level in LEVELS.values() if level.pest == name]
        assert [level.severity for level in levels] == ["light", "medium", "heavy"]
        values = [level.value for level in levels]
        assert values == sorted(set(values))
        assert not {level.severity for level in levels} & set(schema.RISK_CLASSES)
        assert len({level.unit for level in levels}) == 1


# -------------------------------------------------------------------------------------- weather, presets and providers
@pytest.mark.parametrize("feature", WEATHER_FEATURES.values(), ids=list(WEATHER_FEATURES))
def test_every_weather_feature_is_of_a_variable_that_tables_have(feature):
    unit = {field.name: field.unit for field in schema.WEATHER_VARIABLES}
    assert feature.variable in unit
    assert 1 <= feature.window_days <= 366
    counts = ("days_above", "days_below", "run_above", "run_below")
    expected = {**dict.fromkeys(counts, "days"), "sum_above": f"{unit[feature.variable]} d"}.get(
        feature.how, unit[feature.variable]
    )
    if feature.how == "anomaly" and feature.variable.endswith("_sum"):
        expected += "/d"
    assert feature.unit == expected
    assert (feature.base != 0) == (feature.how in (*counts, "sum_above"))
    assert feature.base < feature.top
    assert feature.how == "sum_above" or feature.top == np.inf
    assert feature.name.endswith(f"_next{feature.window_days}d" if feature.ahead else f"_{feature.window_days}d")
    assert feature.how in ("mean", "sum") or not feature.ahead, "climatology is a mean of wider windows"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_every_preset_is_taken_by_lightgbm(preset):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    data = lightgbm.Dataset(x, (x[:, 0] > 0).astype(float))
    params = {**preset.params, "objective": "binary", "verbosity": -1, "num_threads": 1}
    model = lightgbm.train(params, data, num_boost_round=3)
    assert np.ptp(model.predict(x)) > 0
    assert preset.rounds > 0
    with pytest.raises(TypeError):
        preset.params["num_leaves"] = 3


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
def test_every_provider_names_a_function_that_is_there(provider):
    module, function = provider.opener.split(":")
    assert importlib.util.find_spec(module), module
    assert callable(getattr(importlib.import_module(module), function))
    assert provider.kind in ("imagery", "weather")
    assert provider.latency_days >= 0


# ------------------------------------------------------------------------------------------------------------- seasons
DELTA = (
    Season(name="dong_xuan", start="11-01"),
    Season(name="he_thu", start="04-01"),
    Season(name="thu_dong", start="08-01"),
)


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2023-10-31", "2023 thu_dong"),
        ("2023-11-01", "2023 dong_xuan"),
        ("2023-12-31", "2023 dong_xuan"),
        ("2024-01-01", "2023 dong_xuan"),
        ("2024-02-29", "2023 dong_xuan"),
        ("2024-03-31", "2023 dong_xuan"),
        ("2024-04-01", "2024 he_thu"),
        ("2024-07-31", "2024 he_thu"),
        ("2024-08-01", "2024 thu_dong"),
    ],
)
def test_a_season_lasts_over_the_turn_of_the_year(day, name):
    assert season_of(dt.date.fromisoformat(day), DELTA) == name


def test_the_built_in_thirds():
    seasons = tuple(SEASONS.values())
    assert season_of(dt.date(2024, 1, 1), seasons) == "2024 jan-apr"
    assert season_of(dt.date(2024, 4, 30), seasons) == "2024 jan-apr"
    assert season_of(dt.date(2024, 12, 31), seasons) == "2024 sep-dec"


def test_one_season_a_year_is_named_after_the_year_it_began_in():
    assert season_of(dt.date(2024, 3, 1), DELTA[:1]) == "2023 dong_xuan"


@given(day=st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)))
def test_property_a_season_is_the_newest_that_has_begun_in_any_order_of_rows(day):
    back = day
    starts = {season.start: season.name for season in DELTA}
    while f"{back:%m-%d}" not in starts:
        back -= dt.timedelta(days=1)
    expected = f"{back.year} {starts[f'{back:%m-%d}']}"
    assert season_of(day, DELTA) == season_of(day, DELTA[::-1]) == expected


@pytest.mark.parametrize(
    "start", ["", "11", "1-1", "11-1", "13-01", "02-30", "02-29", "W01-1", "2023-11-01", "11/01", "nov"]
)
def test_a_start_that_is_no_day_of_every_year_is_refused(start):
    with pytest.raises(ConfigError, match=r"season 'x': start .* write it as '11-01'"):
        Season(name="x", start=start)


AN_GIANG = (
    *DELTA[1:],
    Season(name="dong_xuan", start="11-15", end="01-15"),
    Season(name="dong_xuan", first=dt.date(2024, 11, 1), last=dt.date(2024, 12, 31)),
    Season(name="thu_dong", first=dt.date(2021, 7, 15), last=dt.date(2021, 9, 10)),
    Season(name="dong_xuan", first=dt.date(2025, 1, 5), last=dt.date(2025, 1, 20), sub_zones=("Z1",)),
    Season(name="mua", start="06-15", sub_zones=("Z1", "Z2")),
)


@pytest.mark.parametrize(
    ("day", "zone", "name"),
    [
        ("2024-10-31", None, "2024 thu_dong"),
        ("2024-11-01", None, "2024 dong_xuan"),  # two weeks before other years
        ("2023-11-01", None, "2023 thu_dong"),
        ("2025-01-04", "Z1", "2024 thu_dong"),  # late there, in the year after, and still of 2024
        ("2025-01-05", "Z1", "2024 dong_xuan"),
        ("2025-01-04", "Z9", "2024 dong_xuan"),
        ("2021-07-14", None, "2021 he_thu"),
        ("2021-07-15", None, "2021 thu_dong"),
        ("2022-07-15", None, "2022 he_thu"),
        ("2022-07-15", "Z2", "2022 mua"),
    ],
)
def test_a_season_of_one_year_or_some_sub_zones_stands_in_place_of_the_general_one(day, zone, name):
    for seasons in (AN_GIANG, AN_GIANG[::-1]):
        assert season_of(dt.date.fromisoformat(day), seasons, zone) == name


def test_sowing_windows_cross_the_turn_of_the_year():
    found = [s for s in sowings(AN_GIANG, range(2023, 2025)) if s.name.endswith("dong_xuan")]
    assert found == [
        Sowing(name="2023 dong_xuan", first=dt.date(2023, 11, 15), last=dt.date(2024, 1, 15)),
        Sowing(name="2024 dong_xuan", first=dt.date(2024, 11, 1), last=dt.date(2024, 12, 31)),
    ]


@given(day=st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)), zone=st.sampled_from([None, "Z1", "Z2", "Z9"]))
def test_property_a_season_is_the_newest_sowing_that_has_begun(day, zone):
    begun = [s for s in sowings(AN_GIANG, range(day.year - 2, day.year + 1), zone) if s.first <= day]
    assert season_of(day, AN_GIANG, zone) == begun[-1].name
    assert [s.first for s in begun] == sorted(s.first for s in begun)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": "11-01", "first": dt.date(2024, 11, 1)}, "has both start and from"),
        ({"start": "11-01", "last": dt.date(2024, 11, 1)}, "has to = 2024-11-01 without from"),
        ({"first": dt.date(2024, 11, 1), "end": "12-31"}, "with from, the last day of sowing is to"),
        ({"first": dt.date(2024, 11, 1), "last": dt.date(2024, 1, 1)}, "to 2024-01-01 lies before from 2024-11-01"),
        ({"start": "11-01", "end": "31-12"}, "end '31-12' is no month and day"),
        ({"start": "11-01", "end": "10-30"}, "sown for 363 days, allowed are up to 200"),
    ],
)
def test_a_season_that_contradicts_itself_is_refused(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        Season(name="x", **given)


def test_seasons_must_not_contradict_one_another_nor_leave_a_day_out():
    check_seasons(AN_GIANG)
    with pytest.raises(ConfigError, match="'mua' is declared twice for sub-zone 'Z2'"):
        check_seasons([*AN_GIANG, Season(name="mua", start="07-01", sub_zones=("Z2", "Z3"))])
    with pytest.raises(ConfigError, match="'thu_dong' is declared twice from 2021-07-15"):
        check_seasons([*AN_GIANG, Season(name="thu_dong", first=dt.date(2021, 7, 15))])
    with pytest.raises(ConfigError, match="no season holds every year and everywhere"):
        check_seasons(AN_GIANG[3:])


# -------------------------------------------------------------------------------------------------------------- stages
def test_stages_of_a_crop_rise_on_the_bbch_scale_and_last_as_the_source_says():
    rice = [stage for stage in STAGES.values() if stage.crop == "rice"]
    codes = [code for stage in rice for code in stage.bbch]
    assert codes == sorted(codes)
    days = {stage.stage: stage.days for stage in rice}
    assert (days["seedling"], days["tillering"], days["booting"]) == ((8, 10), (25, 30), (20, 25))
    last = [days[name] for name in ("heading", "milk", "ripening")]
    assert [sum(part) for part in zip(*last, strict=True)] == pytest.approx([28, 30])
    assert sum(low for low, _ in days.values()) == pytest.approx(81)
    assert sum(high for _, high in days.values()) == pytest.approx(95)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"bbch": (30, 20)}, "bbch [30, 20]"), ({"bbch": (0, 100)}, "0-99"), ({"days": (9, 8)}, "days [9, 8]")],
)
def test_a_stage_that_runs_backwards_is_refused(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        CropStage(**{"crop": "maize", "stage": "emergence", "label": "mọc", "bbch": (0, 9), "days": (5, 9), **given})
