"""Hourly weather becomes daily: real files checked by hand, and properties of sums that run through the day."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError
from rs_forecast.sources.weather import read_weather_csv, to_daily

ERA5 = {"time": "time", "temp": "t2m", "dewpoint": "d2m", "rain": "tp", "wind_u": "u10", "wind_v": "v10"}
KELVIN = {"temp": "K", "dewpoint": "K", "rain": "m"}


def field_at(lon: float, lat: float) -> gpd.GeoDataFrame:
    shape = shapely.box(lon, lat, lon + 0.002, lat + 0.002)
    return gpd.GeoDataFrame({"parcel_id": ["f"]}, geometry=[shape], crs=4326)


def one_station(folder: Path, source: Path) -> Path:
    """Return a copy with a column that says that there is one station."""
    table = pd.read_csv(source, dtype="str")
    table.assign(station="era5").to_csv(folder / source.name, index=False)
    return folder / source.name


def sri_lanka(folder: Path, shared_data: Path, name: str, **options) -> pd.DataFrame:
    file = one_station(folder, shared_data / "srilanka_rice_blast_era5" / name)
    given_ = {"columns": ERA5, "units": KELVIN, "accumulated": ["rain"]} | options
    return read_weather_csv(file, field_at(80.25, 8.2), **given_).rows.set_index("date")


# ----------------------------------------------------------------------------------------------------------- real files


def test_era5_land_as_it_is_three_days_by_hand(shared_data, tmp_path):
    rows = sri_lanka(tmp_path, shared_data, "field4.csv")
    first, second = rows.loc["2020-10-01"], rows.loc["2020-10-02"]
    # tp runs from 00 UTC: what stands at the next day's 00 UTC is the day's rain [m]
    assert first["rain_sum"] == pytest.approx(0.812545, abs=1e-6)
    assert second["rain_sum"] == pytest.approx(0.233606, abs=1e-6)
    # t2m of 2 October: 24 values add up to 7203.16 K; the highest at 07, the lowest at 00
    assert second["temp_mean"] == pytest.approx(7203.16 / 24 - 273.15, abs=1e-3)
    assert second["temp_max"] == pytest.approx(303.361 - 273.15)
    assert second["temp_min"] == pytest.approx(297.706 - 273.15)
    # RH of the file, by another formula than ours, is 78.441 % on average
    assert second["rh_mean"] == pytest.approx(78.441, abs=0.5)
    assert second["rh_min"] == pytest.approx(59.7339, abs=0.7)
    rain = sri_lanka(tmp_path, shared_data, "field1.csv").loc["2020-11-24", "rain_sum"]
    assert rain == pytest.approx(61.8038, abs=1e-4), "0.0618038 m at 00 UTC of 25 November"


def test_no_rain_is_lost_or_made_by_undoing_the_sums(shared_data, tmp_path):
    for name in ("field2.csv", "field5.csv", "field7.csv"):
        rows = sri_lanka(tmp_path, shared_data, name)
        raw = pd.read_csv(shared_data / "srilanka_rice_blast_era5" / name, parse_dates=["time"])
        midnight = raw.loc[raw["time"].dt.hour == 0].set_index("time")["tp"]
        for day in pd.date_range("2020-11-02", "2021-01-20", freq="9D"):
            assert rows.loc[day, "rain_sum"] == pytest.approx(1000 * midnight[day + pd.Timedelta(days=1)], abs=1e-3)


def test_the_day_is_that_of_the_declared_zone(shared_data, tmp_path):
    rows = sri_lanka(tmp_path, shared_data, "field4.csv", day_timezone="Asia/Colombo")
    # 2 October in Colombo, 5:30 ahead, holds the hours that end from 19 UTC of the 1st to 18 UTC of the 2nd:
    # 0.812545 - 0.810206 mm of the 1st and 0.222370 mm of the 2nd
    assert rows.loc["2020-10-02", "rain_sum"] == pytest.approx(0.812545 - 0.810206 + 0.222370, abs=1e-6)


def test_a_sum_that_runs_is_not_taken_as_one_of_hours(shared_data, tmp_path):
    wrong = sri_lanka(tmp_path, shared_data, "field4.csv", accumulated=())
    right = sri_lanka(tmp_path, shared_data, "field4.csv")
    assert wrong["rain_sum"].sum() > 5 * right["rain_sum"].sum(), "the mistake that the option is there for"


def test_goettingen_station_by_hand(shared_data):
    file = shared_data / "goettingen_station_hourly" / "clean_weather.csv"
    columns = {"time": "times", "wind": "ws"}
    zone = "Etc/GMT-1"
    with pytest.warns(DataWarning, match="stations 1 .* and 14 .* one after the other"):
        weather = read_weather_csv(
            file, field_at(9.92, 51.42), columns=columns, stamps="start", wet_rh=90, timezone=zone, day_timezone=zone
        )
    rows = weather.rows.set_index("date")
    assert len(rows) == 273, "1 January to 30 September; `times` without a time of day is midnight"
    day = rows.loc["2022-04-07"]
    assert day["rain_sum"] == pytest.approx(0.3 + 0.6 + 10.5 + 1.9 + 0.7 + 0.2)
    assert day["wet_hours"] == 4, "12, 13, 14 and 23 o'clock have 90.76, 96.75, 96.21 and 90.16 %"
    assert (day["temp_max"], day["temp_min"]) == (12.26, 5.89)
    assert day["temp_mean"] == pytest.approx(224.7267 / 24, abs=1e-4)
    assert day["rh_mean"] == pytest.approx(1913.5967 / 24, abs=1e-4)
    assert day["wind_mean"] == 0


# ----------------------------------------------------------------------------------------------------------- properties


def hours(value: np.ndarray, name: str = "rain", start: str = "2026-03-01 00:00") -> pd.DataFrame:
    time = pd.date_range(start, periods=len(value), freq="h").astype("datetime64[us]")
    return pd.DataFrame({"site": "s", "time": time, name: value})


amounts = st.lists(st.floats(0, 20).map(lambda v: round(v, 3)), min_size=73, max_size=73).map(np.array)


@settings(max_examples=30)
@given(rain=amounts, zone=st.sampled_from(["UTC", "Asia/Ho_Chi_Minh", "Asia/Colombo", "America/Lima"]))
def test_running_and_plain_sums_give_the_same_days(rain, zone):
    plain = hours(rain)
    closes = (plain["time"] - pd.Timedelta(minutes=30)).dt.normalize()
    running = plain.assign(rain=plain.groupby(closes)["rain"].cumsum())
    expected, found = (to_daily(t, timezone=zone, accumulated=a) for t, a in ((plain, []), (running, ["rain"])))
    both = expected.merge(found, on="date", suffixes=("", "_running")).dropna()
    assert len(both) >= 2
    np.testing.assert_allclose(both["rain_sum_running"], both["rain_sum"], atol=1e-6)


@settings(max_examples=30)
@given(rain=amounts, lost=st.sets(st.integers(1, 70), max_size=8))
def test_hours_that_are_lost_lose_no_running_rain(rain, lost):
    rain[0] = 0.0
    plain = hours(rain)
    closes = (plain["time"] - pd.Timedelta(minutes=30)).dt.normalize()
    running = plain.assign(rain=plain.groupby(closes)["rain"].cumsum())
    kept = [h for h in lost if h % 24]  # the hour that closes a day stays
    found = to_daily(running.drop(index=kept), accumulated=["rain"]).set_index("date")["rain_sum"]
    for number in range(3):
        day = pd.Timestamp("2026-03-01") + pd.Timedelta(days=number)
        assert found[day] == pytest.approx(rain[24 * number + 1 : 24 * number + 25].sum(), abs=1e-6)


@pytest.mark.parametrize(("lacking", "there"), [(4, True), (5, False)])
def test_a_day_needs_twenty_hours_and_a_missing_hour_is_not_a_dry_one(lacking, there):
    table = hours(np.full(24, 2.0)).assign(temp=25.0)
    out = to_daily(table.iloc[lacking:], stamps="start").set_index("date")
    assert len(out) == there
    if there:
        assert out["rain_sum"].tolist() == [48.0]
        assert out["temp_mean"].tolist() == [25.0]


def test_sums_count_to_the_day_their_hour_lies_in():
    table = hours(np.zeros(49))
    table.loc[24, "rain"] = 5.0  # at midnight
    ends, starts = (to_daily(table, stamps=s).set_index("date")["rain_sum"] for s in ("end", "start"))
    assert ends["2026-03-01"] == 5
    assert starts["2026-03-02"] == 5
    assert starts["2026-03-01"] == ends["2026-03-02"] == 0


# -------------------------------------------------------------------------------------------------------- what is wrong


def csv(folder: Path, header: str, rows: list[str]) -> Path:
    (folder / "w.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder / "w.csv"


def day_of(*cells: str) -> list[str]:
    return [f"2026-03-01 {h:02}:00,A,{','.join(cells)}" for h in range(24)]


def test_units_and_times_that_are_not_said_are_asked_for(tmp_path):
    parcels = field_at(105.4, 10.4)
    kelvin = csv(tmp_path, "time,station,temp", [f"2026-03-01 {h:02}:00,A,{298 + h / 10}" for h in range(24)])
    with pytest.raises(SchemaError, match=r'no value of column temp is .*: declare \[weather\] units = { temp = "K" }'):
        read_weather_csv(kelvin, parcels)
    with pytest.raises(ConfigError, match=r"temp is declared in 'kelvins'; allowed are K, degC"):
        read_weather_csv(kelvin, parcels, units={"temp": "kelvins"})
    with pytest.raises(ConfigError, match="a unit is declared for 'temps', which is no variable; did you mean"):
        read_weather_csv(kelvin, parcels, units={"temps": "K"})
    with pytest.raises(ConfigError, match="there is no time zone 'Asia/Saigonn'"):
        read_weather_csv(kelvin, parcels, units={"temp": "K"}, day_timezone="Asia/Saigonn")
    with pytest.raises(ConfigError, match="'temp' is no sum; accumulated may be rain, radiation"):
        read_weather_csv(kelvin, parcels, units={"temp": "K"}, accumulated=["temp"])
    rows = read_weather_csv(kelvin, parcels, units={"temp": "K"}).rows
    assert rows["temp_max"].tolist() == pytest.approx([300.3 - 273.15])


def test_cells_and_rows_that_cannot_be_are_named(tmp_path):
    lines = day_of("25", "0")
    lines[3] = "2026-03-01 03:00,A,-999,0"
    lines[4] = "2026-03-01 04:00,A,25,-1"
    lines[5] = "01/03/2026 05:00,A,25,0"
    lines += ["2026-03-01 06:00,A,26,0", lines[7]]
    with pytest.warns(DataWarning) as caught:
        rows = read_weather_csv(csv(tmp_path, "time,station,temp,rain", lines), field_at(105.4, 10.4)).rows
    said = " ".join(str(w.message) for w in caught)
    assert "row 7, column time: found nothing, allowed is a time such as 2026-03-02 13:00" in said
    assert "row 5, column temp: found -999.0" in said
    assert "row 6, column rain: found -1.0, allowed is a number from 0 to 500 mm" in said
    assert "2 rows give an hour more than once with different values, the first A at 2026-03-01 06:00 UTC" in said
    assert rows["temp_mean"].tolist() == [25.0], "21 hours are left"


def test_a_sum_that_falls_within_the_day_is_no_running_one(tmp_path):
    lines = [f"2026-03-01 {h:02}:00,A,{h % 3}" for h in range(24)]
    with pytest.raises(SchemaError, match="rain falls within the UTC day, first at A on 2026-03-01 03:00, so it is no"):
        read_weather_csv(csv(tmp_path, "time,station,rain", lines), field_at(105.4, 10.4), accumulated=["rain"])


def test_times_carry_their_own_offset_or_take_the_declared_zone(tmp_path):
    parcels = field_at(105.4, 10.4)
    rain = [f"2026-03-01T{h:02}:00:00{{}},A,{h}" for h in range(24)]
    own = csv(tmp_path, "time,station,rain", [line.format("+07:00") for line in rain])
    zone = {"day_timezone": "Asia/Ho_Chi_Minh", "stamps": "start"}
    first = read_weather_csv(own, parcels, **zone).rows
    told = csv(tmp_path, "time,station,rain", [line.format("") for line in rain])
    pd.testing.assert_frame_equal(read_weather_csv(told, parcels, timezone="Asia/Ho_Chi_Minh", **zone).rows, first)
    assert first["rain_sum"].tolist() == [sum(range(24))]
    with pytest.raises(NoDataError, match="no weather value"):  # read as UTC, half of a day is on either side
        read_weather_csv(told, parcels, **zone)
