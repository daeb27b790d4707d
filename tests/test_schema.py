from __future__ import annotations

import datetime as dt
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast import schema
from rs_forecast.errors import DataWarning, SchemaError
from rs_forecast.schema import Problem, days, describe, drop_rows, find_problems, parse_columns

DAY = "datetime64[us]"


def fitting(field, row):
    """Return a value that the field allows, another for each row."""
    if field.allowed:
        return field.allowed[0]
    if field.kind == "text":
        return f"{field.name}{row}"
    if field.kind == "day":
        return pd.Timestamp("2026-03-02") + pd.Timedelta(days=row)
    return float(field.low if field.low is not None else 1.0)


def good(fields, rows=3):
    """Return a table that keeps every rule, all columns there."""
    types = {"text": "str", "day": DAY, "number": "float64"}
    columns = {f.name: pd.Series([fitting(f, row) for row in range(rows)], dtype=types[f.kind]) for f in fields}
    return pd.DataFrame(columns).set_axis(pd.RangeIndex(2, rows + 2, name=schema.ROW))


def with_places(table):
    places = [shapely.box(i, 0, i + 1, 1) for i in range(len(table))]
    return gpd.GeoDataFrame(table, geometry=places, crs=32648)


CHECKS = {
    "surveys": (schema.SURVEYS, schema.check_surveys),
    "crops": (schema.CROPS, schema.check_crops),
    "traps": (schema.TRAPS, schema.check_traps),
    "signals": (schema.SIGNALS, schema.check_signals),
    "dataset": (schema.DATASET, schema.check_dataset),
    "risk": (schema.RISK, lambda table, source="risk": schema.check_risk(with_places(table), source)),
    "weather": (
        schema.WEATHER,
        lambda table, source="weather": schema.check_weather(table, good(schema.WEATHER_WEIGHTS), source),
    ),
    "weather_weights": (
        schema.WEATHER_WEIGHTS,
        lambda table, source="weather": schema.check_weather(good(schema.WEATHER), table, source),
    ),
}
FIELDS = [(name, field) for name, (fields, _) in CHECKS.items() for field in fields]
every_field = pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{name}-{field.name}" for name, field in FIELDS])


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_table_passes(name):
    fields, check = CHECKS[name]
    check(good(fields))
    check(good(fields).assign(more=1))
    check(good([f for f in fields if f.required]))


@every_field
def test_a_missing_column_is_named_if_it_is_required(name, field):
    fields, check = CHECKS[name]
    table = good(fields).drop(columns=field.name)
    if not field.required:
        check(table)
        return
    with pytest.raises(SchemaError, match=rf"office\.csv: column {field.name} is missing.* Found: .*Rename the column"):
        check(table, "office.csv")


def breaking(field):
    """Return a value for each rule of the field that it breaks."""
    out = []
    if field.allowed:
        out.append("something else")
    if field.kind == "number":
        out += [np.inf, -np.inf]
        out += [field.low - 0.001] if field.low is not None else []
        out += [field.high + 0.001] if field.high is not None else []
    if not field.nullable:
        out.append({"text": None, "day": pd.NaT, "number": np.nan}[field.kind])
    return out


@every_field
def test_every_broken_rule_names_file_row_column_found_and_allowed(name, field):
    fields, check = CHECKS[name]
    for bad in breaking(field):
        table = good(fields)
        table.loc[3, field.name] = bad
        with pytest.raises(SchemaError) as caught:
            check(table, "office.csv")
        shown = "nothing" if pd.isna(bad) else repr(bad)
        assert str(caught.value) == f"office.csv: row 3, column {field.name}: found {shown}, allowed is {field.rule}"
        found = find_problems(table, fields, "x")
        assert {(p.row, p.column, p.rule) for p in found} == {(3, field.name, field.rule)}
        assert all(pd.isna(p.found) if pd.isna(bad) else p.found == bad for p in found)


@every_field
def test_what_may_be_missing_may_be_missing(name, field):
    fields, check = CHECKS[name]
    if not field.nullable:
        return
    table = good(fields)
    table.loc[3, field.name] = {"text": None, "day": pd.NaT, "number": np.nan}[field.kind]
    check(table)


@every_field
def test_the_edges_of_a_range_are_allowed(name, field):
    fields, check = CHECKS[name]
    for value in (field.low, field.high):
        if value is not None:
            table = good(fields)
            table.loc[3, field.name] = value
            check(table)


@every_field
def test_a_column_of_another_type_is_named(name, field):
    fields, check = CHECKS[name]
    other = {"text": 5, "day": "2026-03-02", "number": "five"}[field.kind]
    table = good(fields)
    table[field.name] = other
    with pytest.raises(SchemaError, match=rf"office\.csv: .*column {field.name}.*allowed is {field.rule[:10]}"):
        check(table, "office.csv")


KEYS = {
    "signals": ["parcel_id", "date", "known_at"],
    "dataset": list(schema.DATASET_KEY),
    "risk": list(schema.DATASET_KEY),
    "weather": ["site", "date", "known_at"],
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_twice_is_refused_and_named(name):
    fields, check = CHECKS[name]
    table = good(fields)
    table.loc[4, KEYS[name]] = table.loc[2, KEYS[name]]
    first = table.loc[2, KEYS[name][0]]
    with pytest.raises(
        SchemaError, match=rf"office\.csv: 1 rows repeat an earlier key, the first is {KEYS[name][0]}='{first}'"
    ):
        check(table, "office.csv")
    for key in KEYS[name]:  # one part that differs is enough
        part = next(field for field in fields if field.name == key)
        other = table.copy()
        other.loc[4, key] = {"text": "another", "day": pd.Timestamp("2027-01-01"), "number": 7.0}[part.kind]
        check(other)


def test_a_missing_column_is_answered_with_the_nearest():
    table = good(schema.SURVEYS).rename(columns={"value": "values"})
    with pytest.raises(SchemaError, match=r'column value is missing; did you mean "values"\? Found: parcel_id, date'):
        find_problems(table, schema.SURVEYS, "s.csv")
    table = good(schema.SURVEYS).rename(columns={"value": "xyz"})
    with pytest.raises(SchemaError, match=r"column value is missing\. Found: "):
        find_problems(table, schema.SURVEYS, "s.csv")


def test_many_problems_are_counted_and_come_by_row():
    table = good(schema.SURVEYS, rows=30)
    table["value"] = -1.0
    table.loc[9, "reason"] = "boredom"
    problems = find_problems(table, schema.SURVEYS, "s.csv")
    assert len(problems) == 31
    text = describe(problems, "s.csv")
    assert text.startswith(
        "s.csv: row 2, column value: found -1.0, allowed is a number of at least 0; row 3, column value"
    )
    assert text.endswith(" and 26 more")


def test_whole_numbers_will_do_for_numbers():
    schema.check_surveys(good(schema.SURVEYS).assign(value=[0, 5, 750]))


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        (schema.Field(name="x", kind="text", doc="d"), "a text"),
        (schema.Field(name="x", kind="text", doc="d", allowed=("a", "b")), "one of a, b"),
        (schema.Field(name="x", kind="day", doc="d"), "a day such as 2026-03-02"),
        (schema.Field(name="x", kind="number", doc="d"), "a number"),
        (schema.Field(name="x", kind="number", doc="d", low=0), "a number of at least 0"),
        (schema.Field(name="x", kind="number", doc="d", low=-60, high=55, unit="°C"), "a number from -60 to 55 °C"),
    ],
)
def test_rules_in_words(field, rule):
    assert field.rule == rule


# ---------------------------------------------------------------------------------------------------------------- days
@pytest.mark.parametrize(
    "value",
    ["2026-03-02", "20260302", " 2026-03-02 ", "2026-03-02 23:59", "2026-03-02T23:59:59", "2026-03-02T23:59:59Z",
     "2026-03-02T23:59:59+07:00", "2026-03-02 00:00:00.000001", dt.date(2026, 3, 2), dt.datetime(2026, 3, 2, 23, 59),  # noqa: DTZ001
     pd.Timestamp("2026-03-02 23:59"), pd.Timestamp("2026-03-02 23:59", tz="Asia/Ho_Chi_Minh"),
     np.datetime64("2026-03-02T23:59"), np.datetime64("2026-03-02"), np.array("2026-03-02T05", "M8[ns]"), 20260302],
    ids=str,
)  # fmt: skip
def test_a_day_is_the_day_that_is_written(value):
    found = schema.day(value)
    assert found == pd.Timestamp("2026-03-02")
    assert (found.tz, found.unit) == (None, "us")
    assert days([value]).tolist() == [found]
    assert days([value]).dtype == DAY


@pytest.mark.parametrize(
    "value",
    ["", " ", "02/03/2026", "3/2/2026", "2.3.2026", "2026-02-30", "2026-13-01", "2026-00-10", "2026", "2026-03",
     "2026-3-2", "26-03-02", "45000", "202603020", "2026-03-02x", "2026-W10", "2026-W10-1", "today", "now", "tomorrow",
     "nope", "nan", "99999-01-01", None, np.nan, pd.NaT, pd.NA, 5, 45000.0, 1.7e9, True, [1], object()],
    ids=lambda value: repr(value)[:16],
)  # fmt: skip
def test_what_is_no_whole_day_is_none(value):
    with pytest.raises(SchemaError, match=r"found .* where a day is due; write it as 2026-03-02"):
        schema.day(value)
    assert days(pd.Series([value], dtype=object)).isna().all()


def test_days_of_mixed_kinds_and_zones():
    mixed = ["2026-03-02T23:00:00+07:00", "2026-03-02T23:00:00Z", "2026-03-02", None, dt.date(2026, 3, 2), "02/03/2026"]
    found = days(pd.Series(mixed, index=[5, 3, 9, 1, 2, 7]))
    assert found.index.tolist() == [5, 3, 9, 1, 2, 7]
    assert found.dtype == DAY
    assert found.isna().tolist() == [False, False, False, True, False, True]
    assert set(found.dropna()) == {pd.Timestamp("2026-03-02")}


def test_days_of_a_zone_keep_the_day_on_the_wall():
    stamps = pd.Series(pd.to_datetime(["2026-03-02 01:00", "2026-03-02 23:00"])).dt.tz_localize("Asia/Ho_Chi_Minh")
    assert days(stamps).tolist() == [pd.Timestamp("2026-03-02")] * 2


def test_days_of_nothing():
    for nothing in ([], pd.Series([], dtype="str"), pd.Series([], dtype=DAY)):
        assert days(nothing).dtype == DAY
        assert len(days(nothing)) == 0
    assert days(pd.Series([np.nan, np.nan])).isna().all()


@given(day=st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)))
def test_property_every_day_is_read_as_it_is_written(day):
    assert schema.day(day.isoformat()).date() == day
    assert schema.day(f"{day.year:04d}{day:%m%d}").date() == day


# ------------------------------------------------------------------------------------------------- parsing and dropping
def test_cells_become_what_their_fields_say_and_others_stay():
    raw = pd.DataFrame(
        {
            "parcel_id": ["a", 7, None],
            "date": ["2026-03-02", "2026-03-03 10:00", None],
            "value": ["1", " 2.5e2 ", None],
            "pest": ["x", "y", "z"],
            "office": ["Châu Phú", 5, None],
        },
        index=[2, 3, 9],
    )
    out, problems = parse_columns(raw, schema.SURVEYS)
    assert problems == []
    assert [str(out[name].dtype) for name in ("parcel_id", "date", "value")] == ["str", DAY, "float64"]
    assert out["parcel_id"].fillna("-").tolist() == ["a", "7", "-"]
    assert out["date"].tolist()[:2] == [pd.Timestamp("2026-03-02"), pd.Timestamp("2026-03-03")]
    assert out["value"].tolist()[:2] == [1.0, 250.0]
    assert out.loc[9, ["parcel_id", "date", "value"]].isna().all()
    assert out["office"].tolist()[:2] == ["Châu Phú", 5]
    assert raw.loc[2, "value"] == "1"  # the caller's table is left alone


def test_cells_that_cannot_be_turned_are_named_and_become_missing():
    raw = pd.DataFrame({"date": ["02/03/2026", "2026-03-02"], "value": ["many", "3,5"]}, index=[2, 3])
    out, problems = parse_columns(raw, schema.SURVEYS)
    assert problems == [
        Problem(2, "date", "02/03/2026", "a day such as 2026-03-02"),
        Problem(2, "value", "many", "a number of at least 0"),
        Problem(3, "value", "3,5", "a number of at least 0"),
    ]
    assert out.isna().to_numpy().tolist() == [[True, True], [False, True]]


def test_bad_rows_are_left_out_with_one_warning_that_names_them():
    table = good(schema.SURVEYS, rows=4)
    table.loc[3, "value"] = -1.0
    table.loc[5, ["value", "reason"]] = [np.nan, "boredom"]
    problems = find_problems(table, schema.SURVEYS, "s.csv")
    with pytest.warns(DataWarning) as caught:
        left = drop_rows(table, problems, "s.csv", "mend the rows")
    assert left.index.tolist() == [2, 4]
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "s.csv: row 3, column value: found -1.0, allowed is a number of at least 0; "
        "row 5, column value: found nothing, allowed is a number of at least 0; "
        "row 5, column reason: found 'boredom', allowed is one of routine, random, map, complaint. "
        "Left out; mend the rows"
    )


def test_no_problems_drop_nothing_and_say_nothing():
    table = good(schema.SURVEYS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drop_rows(table, [], "s.csv", "mend") is table


def test_a_problem_of_a_row_that_is_already_gone_does_no_harm():
    table = good(schema.SURVEYS)
    with pytest.warns(DataWarning, match="row 99"):
        left = drop_rows(table, [Problem(99, "value", "x", "a number")], "s.csv", "mend")
    assert len(left) == len(table)


def test_a_cell_is_described_once_by_its_first_problem():
    text = describe([Problem(2, "date", "x", "a day"), Problem(2, "date", None, "a day")], "s.csv")
    assert text == "s.csv: row 2, column date: found 'x', allowed is a day"


# ------------------------------------------------------------------------------------------------- parcels and the rest
def parcels(*shapes, ids=None):
    names = ids or [f"p{i}" for i in range(len(shapes))]
    return gpd.GeoDataFrame({"parcel_id": names}, geometry=list(shapes), crs=32648)


SQUARE = shapely.box(0, 0, 1, 1)


def test_good_parcels_pass():
    schema.check_parcels(parcels(SQUARE, shapely.MultiPolygon([SQUARE])))


@pytest.mark.parametrize(
    "bad",
    [
        shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        shapely.Polygon(),
        None,
        shapely.Point(0, 0),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.GeometryCollection([SQUARE]),
    ],
)
def test_a_parcel_without_a_valid_polygon_is_named(bad):
    with pytest.raises(
        SchemaError, match=r"fields\.gpkg: parcel p1 has no valid polygon; read the file with read_parcels"
    ):
        schema.check_parcels(parcels(SQUARE, bad), "fields.gpkg")


def test_parcels_need_a_crs_and_unique_text_ids():
    with pytest.raises(SchemaError, match=r"have not a CRS; read them with read_parcels"):
        schema.check_parcels(parcels(SQUARE).set_crs(None, allow_override=True))
    with pytest.raises(SchemaError, match="have not a column parcel_id"):
        schema.check_parcels(parcels(SQUARE).rename(columns={"parcel_id": "id"}))
    with pytest.raises(SchemaError, match=r"1 rows repeat an earlier key, the first is parcel_id='a'"):
        schema.check_parcels(parcels(SQUARE, SQUARE, ids=["a", "a"]))
    with pytest.raises(SchemaError, match="column parcel_id: found nothing, allowed is a text"):
        schema.check_parcels(parcels(SQUARE, SQUARE, ids=["a", None]))
    with pytest.raises(SchemaError, match=r"column parcel_id.*allowed is a text"):
        schema.check_parcels(parcels(SQUARE, SQUARE, ids=[1, 2]))


@pytest.mark.parametrize("texts", ["str", "category"])
@settings(max_examples=60)
@given(rows=st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=12), in_order=st.booleans())
def test_property_a_key_twice_is_found_in_any_order_of_rows(texts, rows, in_order):
    rows = sorted(rows) if in_order else rows
    table = good(schema.DATASET, len(rows)).reset_index(drop=True)
    parcel, pest, weeks, day = zip(*rows, strict=True) if rows else ((), (), (), ())
    table["parcel_id"] = pd.Series([f"p{k}" for k in parcel], dtype="str").astype(texts)
    table["pest"] = pd.Series([f"pest{k}" for k in pest], dtype="str").astype(texts)
    table["horizon_weeks"] = np.array(weeks, float) + 1
    table["issued"] = (pd.Timestamp("2026-03-02") + pd.to_timedelta(list(day), unit="D")).astype("datetime64[us]")
    if len(set(rows)) == len(rows):
        schema.check_dataset(table)
    else:
        with pytest.raises(SchemaError, match=f"{len(rows) - len(set(rows))} rows repeat an earlier key"):
            schema.check_dataset(table)


def test_a_risk_table_needs_a_crs():
    table = with_places(good(schema.RISK)).set_crs(None, allow_override=True)
    with pytest.raises(SchemaError, match="no CRS"):
        schema.check_risk(table)


def test_features_are_all_that_is_neither_key_nor_label_nor_bookkeeping():
    table = good(schema.DATASET).assign(ndvi_mean_last=0.5, geometry=None, rain_sum_7d=1.0)
    assert schema.feature_names(table) == ["ndvi_mean_last", "rain_sum_7d"]


def test_words_of_tables_are_one_a_thing():
    for fields, _ in CHECKS.values():
        names = [field.name for field in fields]
        assert len(set(names)) == len(names)
        assert all(field.doc.strip() for field in fields)
    assert all(field.unit for field in schema.WEATHER_VARIABLES)
    assert tuple(field.name for field in schema.WEATHER_VARIABLES) == schema.WEATHER_NAMES
