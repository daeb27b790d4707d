"""Stations in between, heights, and what an office's table gets wrong."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError
from rs_forecast.schema import check_weather
from rs_forecast.sources.weather import read_weather_csv

HEADER = "date,station,lon,lat,elevation,temp_mean,temp_min,temp_max,rain_sum"


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "weather.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def fields(places: list[tuple[float, float]], **columns: object) -> gpd.GeoDataFrame:
    shapes = [shapely.box(x - 0.001, y - 0.001, x + 0.001, y + 0.001) for x, y in places]
    ids = [f"P-{i:02}" for i in range(len(places))]
    return gpd.GeoDataFrame({"parcel_id": ids, **columns}, geometry=shapes, crs=4326)


def station(name: str, lon: float, lat: float, height: object = "", temp: float = 27) -> str:
    return f"2026-03-01,{name},{lon},{lat},{height},{temp},{temp - 4},{temp + 5},{temp}"


# -------------------------------------------------------------------------------------------------- stations in between


def test_idw_weights_are_those_of_the_formula(tmp_path):
    rng = np.random.default_rng(2)
    stations = [(f"S{i}", *rng.uniform((105, 10), (107, 12)).round(4)) for i in range(9)]
    places = [tuple(rng.uniform((105, 10), (107, 12)).round(4)) for _ in range(25)]
    file = csv(tmp_path, HEADER, *(station(*s) for s in stations))
    rows, weights = read_weather_csv(file, fields(places), interpolate="idw")
    check_weather(rows, weights)
    geod = Geod(a=6371008.8, b=6371008.8)
    for parcel, (lon, lat) in enumerate(places):
        km = pd.Series({name: geod.inv(lon, lat, x, y)[2] / 1000 for name, x, y in stations})
        used = km[km <= 100].nsmallest(4)
        expected = used**-2 / (used**-2).sum()
        found = weights.loc[weights["parcel_id"] == f"P-{parcel:02}"].set_index("site")["weight"]
        pd.testing.assert_series_equal(
            found.sort_index(), expected.sort_index(), check_names=False, check_index_type=False, rtol=1e-4
        )


def test_the_default_is_the_nearest_and_height_changes_nothing_there(tmp_path):
    file = csv(tmp_path, HEADER, station("A", 105.4, 10.4, 0), station("B", 105.5, 10.4, 900))
    parcels = fields([(105.41, 10.4)], elevation=[500.0])
    plain = read_weather_csv(file, parcels)
    assert plain.weights[["site", "weight"]].to_numpy().tolist() == [["A", 1.0]]
    assert set(plain.rows["site"]) == {"A", "B"}
    named = read_weather_csv(file, parcels, interpolate="nearest")
    pd.testing.assert_frame_equal(named.rows, plain.rows)
    with pytest.raises(ConfigError, match="interpolate is 'kriging'; allowed are nearest, idw"):
        read_weather_csv(file, parcels, interpolate="kriging")


def test_temperature_is_taken_to_the_height_of_the_field_and_nothing_else_is(tmp_path):
    file = csv(tmp_path, HEADER, station("A", 105.4, 10.4, 10), station("B", 105.6, 10.4))
    parcels = fields([(105.41, 10.4), (105.41, 10.4), (105.41, 10.4)], elevation=[612.0, 20.0, np.nan])
    rows, weights = read_weather_csv(file, parcels, interpolate="idw")
    sites = weights.loc[weights["weight"] > 0.5].set_index("parcel_id")["site"]
    assert sites.tolist() == ["A at 600 m", "A", "A"], "in steps of 50 m; where a height is not known, as it is"
    assert set(weights["site"]) == {"A at 600 m", "A", "B"}, "B's height is not known"
    low, high = (rows.loc[rows["site"] == site].iloc[0] for site in ("A", "A at 600 m"))
    for name in ("temp_mean", "temp_min", "temp_max"):
        assert high[name] == pytest.approx(low[name] - 0.0065 * 590)
    assert high["rain_sum"] == low["rain_sum"]


def test_one_station_without_a_place_serves_all_with_idw_too(tmp_path):
    file = csv(tmp_path, "date,station,temp_mean", "2026-03-01,A,27")
    weights = read_weather_csv(file, fields([(105, 10), (106, 10)]), interpolate="idw").weights
    assert weights["weight"].tolist() == [1, 1]


def test_a_station_that_follows_another_at_its_place_goes_on_with_its_record(tmp_path):
    old = [f"2026-03-0{d},old,105.4,10.4,5,{20 + d},18,30,1" for d in (1, 2)]
    new = [f"2026-03-0{d},new,105.4,10.4,5,{20 + d},18,30,1" for d in (3, 4)]
    else_ = station("elsewhere", 105.9, 10.4, 5)
    with pytest.warns(DataWarning, match=r"stations old \(2026-03-01 to 2026-03-02\) and new .*as one, old \+ new"):
        rows, weights = read_weather_csv(csv(tmp_path, HEADER, *new, *old, else_), fields([(105.4, 10.4)]))
    assert weights[["site", "weight"]].to_numpy().tolist() == [["old + new", 1.0]]
    assert rows.loc[rows["site"] == "old + new", "temp_mean"].tolist() == [21, 22, 23, 24]
    assert set(rows["site"]) == {"old + new", "elsewhere"}


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("2026-03-02,B,105.4,10.4,5,22,18,30,1", "at the same time; .* Keep one, or mend lon, lat"),
        ("2026-03-03,B,105.4,10.4,9,22,18,30,1", ""),  # at another height
        ("2026-03-03,B,105.5,10.4,5,22,18,30,1", ""),
    ],
)
def test_stations_that_may_be_two_stay_two(tmp_path, recwarn, second, said):
    first = [f"2026-03-0{d},A,105.4,10.4,5,{20 + d},18,30,1" for d in (1, 2)]
    rows = read_weather_csv(csv(tmp_path, HEADER, *first, second), fields([(105.4, 10.4)])).rows
    assert rows["site"].tolist() == ["A", "A", "B"]
    told = [str(w.message) for w in recwarn]
    assert len(told) == bool(said)
    assert all(re.search(said, text) for text in told)


# --------------------------------------------------------------------------------------------- what a table gets wrong

HERE = fields([(105.4, 10.4)])


@pytest.mark.parametrize(
    ("header", "good", "cells", "message"),
    [
        (
            "temp_mean,temp_max",
            "27,31",
            "27,71.6",
            r"row 6, column temp_max: found 71\.6, allowed is a number from -50 to 60 °C",
        ),
        (
            "temp_mean,sunshine_hours",
            "27,7",
            "27,127",
            r"sunshine_hours: found 127\.0, allowed is a number from 0 to 24 h",
        ),
        ("temp_mean,rain_sum", "27,3", "27,-3", r"rain_sum: found -3\.0, allowed is a number from 0 to 1900 mm"),
        ("temp_mean,rh_mean", "27,80", "27,-999", r"rh_mean: found -999\.0, allowed is a number from 0 to 100 %"),
        ("temp_mean,temp_min", "27,24", "20,24", r"temp_mean: found 20\.0, allowed is at least temp_min, 24"),
        ("temp_mean,temp_max", "27,31", "35,31", r"temp_mean: found 35\.0, allowed is at most temp_max, 31"),
        ("rh_mean,rh_min", "80,70", "50,70", r"rh_mean: found 50\.0, allowed is at least rh_min, 70"),
    ],
)
def test_a_value_that_cannot_be_is_named_by_row_and_column(tmp_path, header, good, cells, message):
    lines = [f"2026-03-0{d},A,{good}" for d in (1, 2, 3, 4)]
    path = csv(tmp_path, f"date,station,{header}", *lines, f"2026-03-05,A,{cells}", f"2026-03-06,A,{good}")
    with pytest.warns(DataWarning) as caught:
        rows = read_weather_csv(path, HERE).rows
    assert re.search(
        rf"weather\.csv: (row 6, column )?.*{message}.* These cells are taken as missing", str(caught[0].message)
    )
    assert rows[header.split(",")].notna().all(axis=1).sum() == 5


def test_a_mean_a_little_outside_its_extremes_is_let_pass(tmp_path):
    path = csv(tmp_path, "date,station,temp_mean,temp_max", "2026-03-01,A,27.6,27")
    assert read_weather_csv(path, HERE).rows["temp_mean"].tolist() == [27.6]


def test_days_to_come_count_only_as_forecasts_within_reach(tmp_path):
    lines = (
        "2026-03-01,A,27,", "2026-03-03,A,27,", "2026-03-10,A,27,2026-03-02", "2026-05-01,A,27,2026-03-02",
        "2026-03-12,A,27,2026-03-20",
    )  # fmt: skip
    path = csv(tmp_path, "date,station,temp_mean,known_at", *lines)
    with pytest.warns(DataWarning) as caught:
        rows = read_weather_csv(path, HERE, today="2026-03-02").rows
    said = str(caught[0].message)
    for row in (3, 5):
        assert f"row {row}, column date: found" in said
    assert (
        "allowed is a day up to today, 2026-03-02, or a forecast: up to 46 days after the known_at of its row" in said
    )
    assert rows["date"].dt.day.tolist() == [1, 10, 12]


@pytest.mark.parametrize(
    ("lon", "lat", "message"),
    [
        (10.4, 105.4, "lat is 105.4 and lon 10.4; they look swapped. Exchange the two columns"),
        (8.2, 80.2, r"would lie near with lon and lat exchanged \(the first is at lon 8.2, lat 80.2\)"),
    ],
)
def test_swapped_coordinates_are_told(tmp_path, lon, lat, message):
    parcels = fields([(lat, lon)])
    with pytest.raises(SchemaError, match=message):
        read_weather_csv(csv(tmp_path, HEADER, station("A", lon, lat)), parcels)


def test_kelvin_needs_a_unit_and_is_read_with_one(tmp_path):
    path = csv(tmp_path, "date,station,temp_mean,temp_max", "2026-03-01,A,300.15,305.15", "2026-03-02,A,301.15,304.15")
    with pytest.raises(SchemaError, match=r'look like kelvin; subtract 273.15, or declare units = { temp_mean = "K" }'):
        read_weather_csv(path, HERE)
    rows = read_weather_csv(path, HERE, units={"temp_mean": "K", "temp_max": "K"}).rows
    assert rows["temp_mean"].tolist() == pytest.approx([27, 28])
    assert rows["temp_max"].tolist() == pytest.approx([32, 31])


def test_stations_of_another_country_serve_nobody(tmp_path):
    path = csv(tmp_path, HEADER, station("A", 9.9, 51.5))
    with pytest.warns(
        DataWarning, match=r"1 parcels are more than 100 km from their nearest site \(P-00; the farthest"
    ):
        weather = read_weather_csv(path, HERE, interpolate="idw")
    assert weather.weights.empty


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    path = csv(tmp_path, "date,station,temp_mean", "2099-03-01,A,27")
    with pytest.raises(NoDataError, match=r"row 2, column date: found 2099-03-01.* No row is left"):
        read_weather_csv(path, HERE)
