"""Weather services, by their real formats and errors; what is kept, what was known when, what is not asked twice."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import weather_server
from typer.testing import CliRunner
from weather_server import Service, broken_off, empty, html, status, truncated, value

from rs_forecast import cli, fetch_weather
from rs_forecast.config import load_config
from rs_forecast.errors import BusyError, ConfigError, DataWarning, NoDataError, RsForecastError, SourceError
from rs_forecast.schema import check_weather
from rs_forecast.sources._stac_http import Patience
from rs_forecast.sources.weather import get_weather
from rs_forecast.sources.weather_services import OPEN_METEO, POWER, SERVICES

TODAY = "2026-03-02"
QUICK = Patience(tries=3, wait_s=0.01, longest_s=0.02)


@pytest.fixture
def service() -> Iterator[Service]:
    with weather_server.serving() as state:
        yield state


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    """Three cells of Open-Meteo, two of POWER; two parcels share both."""
    spots = [(105.41, 10.42), (105.43, 10.38), (105.52, 10.41), (105.41, 10.61)]
    shapes = [shapely.box(x, y, x + 0.002, y + 0.002) for x, y in spots]
    return gpd.GeoDataFrame({"parcel_id": ["a", "b", "c", "d"]}, geometry=shapes, crs=4326)


def get(service: Service, parcels: gpd.GeoDataFrame, source: str = "power", path: Path | None = None, **more: Any):
    options = {"start": "2026-02-01", "today": TODAY, "patience": QUICK, "url": service.url} | more
    return get_weather(parcels, source=source, path=path, allow_hosts=("127.0.0.1",), **options)


def at(weather: Any, site: str, day: str) -> pd.Series:
    rows = weather.rows
    return rows.loc[(rows["site"] == site) & (rows["date"] == day)].iloc[-1]


def test_power_is_asked_once_a_cell_and_says_what_it_says(service, parcels):
    rows, weights = weather = get(service, parcels)
    check_weather(rows, weights)
    assert weights["site"].tolist() == ["cell 10.2500 105.2500"] * 0 + [
        "cell 10.2500 105.2500", "cell 10.2500 105.2500", "cell 10.2500 105.7500", "cell 10.7500 105.2500"
    ]  # fmt: skip
    assert len(service.asked) == 3
    query = service.asked[0][1]
    assert query["time-standard"] == "UTC"
    assert len(query["parameters"].split(",")) <= 20
    row = at(weather, "cell 10.2500 105.2500", "2026-02-10")
    day = dt.date(2026, 2, 10)
    assert row["temp_max"] == pytest.approx(value("T2M_MAX", day, 105.25, 10.25))
    assert row["rain_sum"] == pytest.approx(value("PRECTOTCORR", day, 105.25, 10.25))
    assert row["radiation_sum"] == pytest.approx(value("ALLSKY_SFC_SW_DWN", day, 105.25, 10.25))
    # the header's fill value is missing: radiation a week behind, the rest three days, and no day after
    assert np.isnan(at(weather, "cell 10.2500 105.2500", "2026-02-26")["radiation_sum"])
    assert at(weather, "cell 10.2500 105.2500", "2026-02-26")["temp_mean"] > 20
    assert rows["date"].max() == pd.Timestamp("2026-02-27")


def test_a_fill_value_is_what_the_header_says(service, parcels):
    def other(content: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(content).replace("-999.0", "-99.0"))

    service.change = other
    assert get(service, parcels).rows["date"].max() == pd.Timestamp("2026-02-27")


def test_open_meteo_joins_archive_newest_days_and_forecast(service, parcels):
    weather = get(service, parcels, "open-meteo", start="2025-12-01", day_timezone="Asia/Ho_Chi_Minh")
    check_weather(*weather)
    assert weather.weights["site"].tolist() == [
        "cell 10.4000 105.4000", "cell 10.4000 105.4000", "cell 10.4000 105.5000", "cell 10.6000 105.4000"
    ]  # fmt: skip
    assert [path for path, _ in service.asked] == ["/v1/archive", "/v1/forecast"], "one request for all cells"
    assert {query["timezone"] for _, query in service.asked} == {"Asia/Ho_Chi_Minh"}
    site = "cell 10.4000 105.5000"
    old, new = at(weather, site, "2026-02-10"), at(weather, site, "2026-02-28")
    assert old["temp_mean"] == pytest.approx(value("temperature_2m_mean", dt.date(2026, 2, 10), 105.5, 10.4))
    assert new["temp_mean"] == pytest.approx(value("temperature_2m_mean", dt.date(2026, 2, 28), 105.5, 10.4) + 0.5)
    assert old["sunshine_hours"] == pytest.approx(5, abs=0.01), "18000 s"
    rows = weather.rows.loc[weather.rows["site"] == site]
    ahead = rows.loc[rows["date"] > TODAY]
    assert len(ahead) == 15
    assert (ahead["known_at"] == TODAY).all(), "a forecast is known from the day it was fetched"
    past = rows.loc[rows["date"] < "2026-03-01"]
    assert ((past["known_at"] - past["date"]).dt.days == 1).all()


def test_answers_in_another_order_reach_their_own_cells(service, parcels):
    plain = get(service, parcels, "open-meteo")
    service.change = lambda content: content[::-1]
    turned = get(service, parcels, "open-meteo")
    pd.testing.assert_frame_equal(turned.rows, plain.rows)


def test_an_old_span_asks_the_archive_alone(service, parcels):
    rows = get(service, parcels, "open-meteo", start="2020-01-01", end="2020-01-31").rows
    assert [path for path, _ in service.asked] == ["/v1/archive"]
    assert rows["date"].agg(["min", "max"]).tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-31")]
    assert ((rows["known_at"] - rows["date"]).dt.days == 1).all()


# ------------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    "fault", [status(429, Retry_After="0"), status(503), status(500), html, truncated, empty, broken_off]
)
@pytest.mark.parametrize("source", ["power", "open-meteo"])
def test_trouble_that_passes_is_got_over(service, parcels, fault, source):
    service.faults = [fault, fault]
    weather = get(service, parcels, source)
    assert weather.rows["site"].nunique() == 3
    assert weather.rows["temp_mean"].notna().any()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(429), r"answers 429 after 3 tries: it says 'told to'; try later"),
        (status(503, b"<html>"), r"answers 503 after 3 tries; try later"),
        (html, r"the answer is a web page called 'Bad gateway' and no JSON, 3 times; try later"),
        (truncated, r"the answer is no whole JSON \(200 characters\), 3 times"),
        (empty, r"the answer is empty, 3 times"),
        (broken_off, r"the connection broke \(\w+\), 3 times"),
    ],
)
def test_trouble_that_stays_is_told_and_ends(service, parcels, fault, message):
    service.faults = [fault] * 100
    with pytest.raises(BusyError, match=rf"power: no cell came: power: http://127\.0\.0\.1:\d+/api/\S+:? {message}"):
        get(service, parcels)
    assert len(service.asked) == 9, "three cells, three tries each"


def test_after_three_failures_on_end_the_rest_is_not_tried(service):
    shapes = [shapely.box(100 + i, 10.1, 100.01 + i, 10.11) for i in range(6)]
    parcels = gpd.GeoDataFrame({"parcel_id": list("abcdef")}, geometry=shapes, crs=4326)
    service.faults = [status(500)] * 100
    with pytest.raises(BusyError):
        get(service, parcels)
    assert len(service.asked) == 9


def test_one_cell_that_fails_is_named_and_the_others_go_on(service, parcels):
    service.faults = [status(422, {"messages": ["Please provide fewer days."], "header": "x"})]
    with pytest.warns(DataWarning) as caught:
        weather = get(service, parcels)
    said = [str(w.message) for w in caught]
    assert "1 of 3 cells did not come (cell 10.2500 105.2500): power: http://" in said[0]
    assert "(422): it says 'Please provide fewer days.'" in said[0]
    assert said[1] == "power: no weather for parcel a, b; add rows of their sites"
    assert weather.rows["site"].nunique() == 2


def test_the_reason_of_open_meteo_is_passed_on(service, parcels):
    service.change = lambda _: {"error": True, "reason": "Cannot initialize WeatherVariable from invalid String value"}
    with pytest.raises(SourceError, match=r"refuses what it was asked \(400\): it says 'Cannot initialize Weather"):
        get(service, parcels, "open-meteo")


def drop(*keys: str) -> Any:
    def change(content: Any) -> Any:
        for answer in content if isinstance(content, list) else [content]:
            part = answer
            for key in keys[:-1]:
                part = part[key]
            del part[keys[-1]]
        return content

    return change


def put(new: Any, *keys: str) -> Any:
    def change(content: Any) -> Any:
        for answer in content if isinstance(content, list) else [content]:
            part = answer
            for key in keys[:-1]:
                part = part[key]
            part[keys[-1]] = new
        return content

    return change


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        ("power", put("K", "parameters", "T2M", "units"), "no value of column temp_mean is a number from -60 to 55"),
        ("power", put("inch/day", "parameters", "PRECTOTCORR", "units"), "rain_sum comes in 'inch/day'; known are mm"),
        ("power", put("LST", "header", "time_standard"), "the days are of LST, UTC was asked for"),
        ("power", drop("header"), "has not the parts that it should have .*'header'"),
        ("power", put([0.25, 51.25, 3], "geometry", "coordinates"), "the answer is of 0.25, 51.25, asked was 105.25"),
        ("power", lambda _: [], "has not the parts"),
        ("power", lambda _: {"messages": ["no such point"]}, "the service says no such point"),
        ("open-meteo", put("mp/h", "daily_units", "wind_speed_10m_mean"), "wind_mean comes in 'mp/h'; known are m s-1"),
        ("open-meteo", drop("daily_units"), "has not the parts .*'daily_units'"),
        ("open-meteo", drop("latitude"), "does not say where it is of"),
        ("open-meteo", lambda c: c[:2], "2 answers came for 3 places"),
        ("open-meteo", put(50.0, "latitude"), "the answers are of other places than were asked for"),
        ("open-meteo", put(["x"], "daily", "precipitation_sum"), "1 values of rain_sum came for"),
        ("open-meteo", put(["2026-02-01", "2026-02-01"], "daily", "time"), "its days are no days, or repeat"),
    ],
)
def test_an_answer_that_is_not_what_it_should_be_is_refused(service, parcels, source, change, message):
    service.change = change
    with pytest.raises(RsForecastError, match=message):
        get(service, parcels, source)


def test_nulls_are_missing_and_out_of_range_is_named(service, parcels):
    def change(content: Any) -> Any:
        for answer in content:
            answer["daily"]["temperature_2m_max"][3] = None
            answer["daily"]["precipitation_sum"][4] = -3.0
        return content

    service.change = change
    with pytest.warns(DataWarning, match=r"row of cell \S+ \S+ on 2026-02-05, column rain_sum: found -3\.0"):
        weather = get(service, parcels, "open-meteo", start="2026-02-01", end="2026-02-20")
    row = at(weather, "cell 10.4000 105.4000", "2026-02-04")
    assert np.isnan(row["temp_max"])
    assert row["temp_min"] == pytest.approx(value("temperature_2m_min", dt.date(2026, 2, 4), 105.4, 10.4))


def test_private_addresses_and_files_are_refused(service, parcels):
    with pytest.raises(SourceError, match=r"private address 127\.0\.0\.1.*\[weather\] allow_hosts"):
        get_weather(parcels, "2026-02-01", source="power", url=service.url, today=TODAY)
    with pytest.raises(SourceError, match="is file://, allowed are https and http"):
        get_weather(parcels, "2026-02-01", source="power", url="file:///etc", today=TODAY)
    with pytest.raises(ConfigError, match="power: give start, the first day; it has days since 1981-01-01"):
        get_weather(parcels, source="power", today=TODAY)
    assert service.asked == []


# --------------------------------------------------------------------------------------------------------- what is kept


def test_settled_days_are_not_asked_again_and_recent_ones_are(service, parcels, tmp_path):
    first = get(service, parcels, path=tmp_path, start="2025-01-01")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    service.asked.clear()
    again = get(service, parcels, path=tmp_path, start="2025-01-01")
    since = (pd.Timestamp(TODAY) - pd.Timedelta(days=POWER.settled_days)).strftime("%Y%m%d")
    assert {query["start"] for _, query in service.asked} == {since}
    pd.testing.assert_frame_equal(again.rows, first.rows)
    service.asked.clear()
    get(service, parcels, path=tmp_path, start="2025-01-01", end="2025-11-01")
    assert service.asked == []
    offline = get(service, parcels, path=tmp_path, start="2025-01-01", offline=True)
    pd.testing.assert_frame_equal(offline.rows, first.rows)
    assert service.asked == []


def test_an_earlier_start_asks_for_what_lies_before(service, parcels, tmp_path):
    get(service, parcels, path=tmp_path, start="2025-06-01", end="2025-07-01")
    service.asked.clear()
    rows = get(service, parcels, path=tmp_path, start="2025-05-01", end="2025-07-01").rows
    assert {(q["start"], q["end"]) for _, q in service.asked} == {("20250501", "20250531")}
    assert rows.groupby("site")["date"].nunique().tolist() == [62] * 3


def test_days_that_a_service_never_had_are_asked_once(service, parcels, tmp_path):
    def hole(content: dict[str, Any]) -> dict[str, Any]:
        for series in content["properties"]["parameter"].values():
            series.pop("20250610")
            series["20250611"] = -999.0
        return content

    service.change = hole
    for _ in range(2):
        with pytest.warns(DataWarning, match="days are missing, and stay missing: .* from 2025-06-10 to 2025-06-11"):
            get(service, parcels, path=tmp_path, start="2025-06-01", end="2025-07-01")
    assert len(service.asked) == 3


def test_what_was_known_when_stays_known(service, parcels, tmp_path):
    """The shelf's own archive: forecasts, the observation in their place, a value that is revised."""
    site, day = "cell 10.4000 105.4000", "2026-03-05"

    def versions() -> pd.DataFrame:
        rows = get(service, parcels, "open-meteo", path=tmp_path, start="2026-02-01", offline=True).rows
        return rows.loc[(rows["site"] == site) & (rows["date"] == day), ["known_at", "temp_mean"]]

    for today in ("2026-03-02", "2026-03-04", "2026-03-09", "2026-03-16", "2026-03-23"):
        service.today = dt.date.fromisoformat(today)
        shift = {"2026-03-04": 1.0}.get(today, 0.0)

        def change(content: Any, shift: float = shift) -> Any:
            for answer in content:
                values = answer["daily"]["temperature_2m_mean"]
                answer["daily"]["temperature_2m_mean"] = [v if v is None else v + shift for v in values]
            return content

        service.change = change
        get(service, parcels, "open-meteo", path=tmp_path, start="2026-02-01", today=today)
    plain = value("temperature_2m_mean", dt.date(2026, 3, 5), 105.4, 10.4)
    found = versions()
    assert found["known_at"].dt.strftime("%m-%d").tolist() == ["03-02", "03-04", "03-09", "03-16"]
    # forecast, newer forecast, by the models after the day, and by the archive, which is not asked for it a third time
    assert found["temp_mean"].tolist() == pytest.approx([plain + 0.5, plain + 1.5, plain + 0.5, plain])


def test_a_value_that_comes_late_is_known_late(service, parcels, tmp_path):
    for today in ("2026-02-16", "2026-03-02"):
        service.today = dt.date.fromisoformat(today)
        weather = get(service, parcels, path=tmp_path, start="2025-10-01", today=today)
    rows = weather.rows.loc[weather.rows["site"] == "cell 10.2500 105.2500"].set_index("date")
    radiation = rows.loc["2026-02-12"]
    assert radiation["known_at"].dt.strftime("%m-%d").tolist() == ["02-16", "03-02"]
    assert radiation["radiation_sum"].isna().tolist() == [True, False]
    old = rows.loc["2025-12-01"]
    assert old["known_at"] == pd.Timestamp("2025-12-08"), "fetched long after: assumed, a week after the day"


def test_a_damaged_file_is_named_and_fetched_anew(service, parcels, tmp_path):
    first = get(service, parcels, path=tmp_path)
    file = min(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:200])
    with pytest.warns(DataWarning, match=rf"{file.name} is damaged \(\w+\); its days are fetched anew"):
        again = get(service, parcels, path=tmp_path)
    pd.testing.assert_frame_equal(again.rows, first.rows)


def test_another_address_or_set_of_variables_is_another_file(service, parcels, tmp_path):
    get(service, parcels, path=tmp_path)
    get(service, parcels, path=tmp_path, url=f"{service.url}/")
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(NoDataError, match=r"no weather is kept in .*; call rs-forecast fetch CONFIG --start DAY first"):
        get(service, parcels, path=tmp_path, url="https://example.org", offline=True)


def test_every_service_has_units_for_its_variables_and_is_in_the_catalogue():
    assert list(SERVICES) == ["power", "open-meteo"]
    assert set(POWER.variables.values()) == set(weather_server.POWER_UNITS)
    assert set(OPEN_METEO.variables.values()) == set(weather_server.METEO_UNITS)


# ------------------------------------------------------------------------------------------------------ command and run


def config_file(folder: Path, service: Service, parcels: gpd.GeoDataFrame, *more: str) -> Path:
    parcels.to_file(folder / "parcels.gpkg")
    (folder / "surveys.csv").write_text(
        "date,pest,value,unit,parcel_id\n2026-02-02,brown_planthopper,0,insects/m2,a\n", encoding="utf-8"
    )
    lines = (
        "[parcels]", 'path = "parcels.gpkg"', 'id = "parcel_id"', "[weather]", 'source = "open-meteo"',
        f'url = "{service.url}"', 'allow_hosts = ["127.0.0.1"]', "[surveys]", 'path = "surveys.csv"', "[forecast]",
        'pests = ["brown_planthopper"]', *more,
    )  # fmt: skip
    (folder / "c.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return folder / "c.toml"


@pytest.fixture
def project(service, parcels, tmp_path) -> Path:
    file = config_file(tmp_path, service, parcels)
    service.today = load_config(file).today
    return file


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_fetch_plans_brings_and_asks_no_settled_day_again(service, project):
    start = str(service.today - dt.timedelta(days=100))
    code, said = call("fetch", str(project), "--start", start, "--dry-run")
    assert code == 0
    end = service.today + dt.timedelta(days=15)
    assert said == f"weather of open-meteo: 3 cells, 348 days of cells, {start} to {end}\n"
    assert service.asked == []
    assert not (project.parent / "data").exists(), "a plan writes nothing"
    code, said = call("fetch", str(project), "--start", start)
    assert code == 0
    assert "weather         3 cells, 348 new rows\ncomplete: " in said
    code, said = call("fetch", str(project), "--start", start, "--json")
    report = json.loads(said)
    assert report["weather"]["brought"]["rows"] == 0
    assert {row["days"] for row in report["weather"]["cells"]} == {30}
    assert report["exit_code"] == 0


def test_fetch_says_later_and_keeps_what_came(service, project, monkeypatch):
    monkeypatch.setattr(fetch_weather, "Patience", lambda: QUICK)
    service.faults = [status(503)] * 200
    start = str(service.today - dt.timedelta(days=20))
    report = fetch_weather.fetch_weather(
        load_config(project), start=pd.Timestamp(start), end=pd.Timestamp(service.today), patience=QUICK
    )
    assert (report.status, report.exit_code) == ("later", 75)
    assert len(report.brought.failed) == 3
    assert "failed        3 cells: open-meteo: http://127.0.0.1" in report.result()


def test_a_run_keeps_weather_up_and_trouble_is_named(service, project, monkeypatch):
    config = load_config(project)
    issued = pd.Timestamp(service.today).as_unit("us")
    assert fetch_weather.keep_weather(config, issued) == []
    assert {query["start_date"] for _, query in service.asked} == {str(service.today - dt.timedelta(days=29))}
    service.asked.clear()
    assert fetch_weather.keep_weather(config, issued - pd.Timedelta(days=40)) == [], "nothing for an old issue date"
    assert service.asked == []
    monkeypatch.setattr("rs_forecast.sources._stac_http.time.sleep", lambda _: None)
    service.faults = [status(500)] * 200
    (said,) = fetch_weather.keep_weather(config, issued)
    assert said.startswith("no new weather: none of 3 cells came: open-meteo: http://127.0.0.1")


def test_keys_of_services_and_of_files_do_not_mix(service, parcels, tmp_path):
    file = config_file(tmp_path, service, parcels)
    text = file.read_text(encoding="utf-8")
    for old, new, message in (
        ('allow_hosts = ["127.0.0.1"]', 'interpolate = "idw"', 'weather.interpolate: belongs to source = "csv"'),
        (f'url = "{service.url}"', 'path = "x.csv"', 'weather.path: belongs to source = "csv or netcdf"'),
        ('source = "open-meteo"', 'source = "csv"\npath = "x.csv"', 'weather.url: belongs to source = "power or open-'),
        ('source = "open-meteo"', 'source = "csv"', 'source = "csv" needs a path'),
    ):
        file.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            load_config(file)
