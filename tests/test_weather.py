"""Weather: stations, parcels and grids become rows per site; nothing is filled, guessed or dropped in silence."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from rs_forecast.catalog import PROVIDERS
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.schema import WEATHER, WEATHER_NAMES, check_weather
from rs_forecast.sources import _netcdf
from rs_forecast.sources.weather import get_weather, read_weather_csv, read_weather_netcdf

HEADER = "date,station,lon,lat,temp_mean,temp_min,temp_max,rain_sum"


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(3)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(3)]}, geometry=shapes, crs=32648)


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "weather.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def week(station: str = "A", lon: float = 105.4, lat: float = 10.4, days: tuple[int, ...] = (1, 2, 3, 4)) -> list[str]:
    return [f"2026-03-0{d},{station},{lon},{lat},27,24,31,{d}" for d in days]


# ------------------------------------------------------------------------------------------------------------------ CSV


def test_station_rows_become_the_two_tables(tmp_path, parcels):
    rows, weights = read_weather_csv(csv(tmp_path, HEADER, *week()), parcels, latency_days=2)
    check_weather(rows, weights)
    assert list(rows.columns) == [field.name for field in WEATHER]
    assert rows["rain_sum"].tolist() == [1, 2, 3, 4]
    assert (rows["known_at"] - rows["date"]).dt.days.tolist() == [2] * 4
    assert weights.to_dict("list") == {"parcel_id": ["P-0", "P-1", "P-2"], "site": ["A"] * 3, "weight": [1.0] * 3}
    assert rows[["rh_mean", "wet_hours"]].isna().all(axis=None)


def test_each_parcel_takes_its_nearest_station(tmp_path):
    rng = np.random.default_rng(3)
    stations = pd.DataFrame({"lon": rng.uniform(105, 106, 12), "lat": rng.uniform(10, 11, 12)})
    lon, lat = rng.uniform(105, 106, 60), rng.uniform(10, 11, 60)
    shapes = shapely.buffer(shapely.points(lon, lat), 0.001)
    parcels = gpd.GeoDataFrame({"parcel_id": [f"P-{i:02}" for i in range(60)]}, geometry=shapes, crs=4326)
    lines = [line for i, s in stations.iterrows() for line in week(f"S{i:02}", s.lon, s.lat, (1,))]
    weights = read_weather_csv(csv(tmp_path, HEADER, *lines), parcels).weights
    # the oracle: distances on the ellipsoid, one by one
    geod = Geod(ellps="WGS84")
    far = [[geod.inv(a, b, s.lon, s.lat)[2] for s in stations.itertuples()] for a, b in zip(lon, lat, strict=True)]
    assert weights["site"].tolist() == [f"S{i:02}" for i in np.argmin(far, axis=1)]
    assert weights["site"].nunique() > 5


def test_one_station_needs_no_place(tmp_path, parcels):
    weather = read_weather_csv(csv(tmp_path, "date,station,temp_mean", "2026-03-01,SYNTHETIC-1,27"), parcels)
    assert weather.weights["site"].tolist() == ["SYNTHETIC-1"] * 3
    assert weather.rows.attrs["synthetic"] is True


def test_rows_per_parcel_and_forecasts_keep_their_known_at(tmp_path, parcels):
    lines = ("2026-03-05,P-0,26,2026-03-01", "2026-03-05,P-0,27,", "2026-03-05,P-7,26,", "2026-03-05,P-1,26,")
    with pytest.warns(DataWarning) as caught:
        rows, weights = read_weather_csv(csv(tmp_path, "date,parcel_id,temp_mean,known_at", *lines), parcels)
    unknown, unserved = (str(warning.message) for warning in caught)
    assert "row 4, column parcel_id: found 'P-7', allowed is a parcel_id of the parcels." in unknown
    assert unserved == "weather.csv: no weather for parcel P-2; add rows of their sites"
    assert rows["known_at"].dt.day.tolist() == [1, 6, 6]
    assert rows["site"].tolist() == ["P-0", "P-0", "P-1"]
    assert weights["parcel_id"].tolist() == weights["site"].tolist() == ["P-0", "P-1"]


def test_gaps_are_named_and_never_filled(tmp_path, parcels):
    path = csv(tmp_path, HEADER, *week(days=(1, 2, 5, 6, 8)), *week("B", 105.5, 10.4, (7, 8)))
    with pytest.warns(DataWarning, match="weather.csv: days are missing, and stay missing: ") as caught:
        weather = read_weather_csv(path, parcels)
    assert str(caught[0].message).endswith(": A from 2026-03-03 to 2026-03-04 (2 days); A on 2026-03-07 (1 day)")
    assert len(weather.rows) == 7


def test_only_the_days_asked_for(tmp_path, parcels):
    path = csv(tmp_path, HEADER, *week())
    rows = read_weather_csv(path, parcels, start="2026-03-02", end="2026-03-03").rows
    assert rows["date"].dt.day.tolist() == [2, 3]
    with pytest.raises(
        NoDataError, match="no weather from 2025-01-01 to 2025-02-01; it holds 2026-03-01 to 2026-03-04"
    ):
        read_weather_csv(path, parcels, start="2025-01-01", end="2025-02-01")


@pytest.mark.parametrize(
    ("cells", "message", "missing"),
    [
        ("-999,24,31,1", r"temp_mean: found -999\.0, allowed is a number from -60 to 55 °C", ["temp_mean"]),
        ("27,24,71.6,1", r"temp_max: found 71\.6, allowed is a number from -50 to 60 °C", ["temp_max"]),
        ("27,32,31,1", r"temp_min: found 32\.0, allowed is at most temp_max, 31", ["temp_max", "temp_min"]),
        ("27,24,31,nhieu", r"rain_sum: found 'nhieu', allowed is a number from 0 to 1900 mm", ["rain_sum"]),
        ('27,24,31,"1,5"', r"rain_sum: found '1,5', .* with a decimal point and not a comma", ["rain_sum"]),
        ("27,24,31,-1", r"rain_sum: found -1\.0", ["rain_sum"]),
    ],
)
def test_a_cell_that_cannot_be_is_missing_and_the_rest_of_its_row_stays(tmp_path, parcels, cells, message, missing):
    path = csv(tmp_path, HEADER, *week(), f"2026-03-05,A,105.4,10.4,{cells}")
    with pytest.warns(DataWarning, match=rf"weather\.csv: row 6, column {message}.* These cells are taken as missing"):
        rows = read_weather_csv(path, parcels).rows
    last = rows.iloc[-1]
    given = ["rain_sum", "temp_max", "temp_mean", "temp_min"]
    assert [name for name in given if np.isnan(last[name])] == missing
    assert rows.iloc[:-1][given].notna().all(axis=None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("01/03/2026,A,105.4,10.4,27,24,31,1", "date: found '01/03/2026', allowed is a day such as"),
        ("2026-03-05,,105.4,10.4,27,24,31,1", "station: found nothing, allowed is a text"),
        ("2026-03-05,A,105.4,1040,27,24,31,1", r"lat: found 1040\.0, allowed is a number from -90 to 90"),
    ],
)
def test_a_row_without_day_or_place_is_left_out(tmp_path, parcels, row, message):
    with pytest.warns(DataWarning, match=rf"row 6, column {message}.*Left out"):
        assert len(read_weather_csv(csv(tmp_path, HEADER, *week(), row), parcels).rows) == 4


def test_repeats_that_agree_are_one_and_those_that_disagree_none(tmp_path, parcels):
    again = [week()[0], week()[3].replace(",31,4", ",31,9")]
    with pytest.warns(
        DataWarning, match=r"different values: A on 2026-03-04 \(rows 5, 7: rain_sum 4 and 9\)\. All left"
    ):
        rows = read_weather_csv(csv(tmp_path, HEADER, *week(), *again), parcels).rows
    assert rows["date"].dt.day.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (("date,station,temp_mean", "2026-03-01,A,300", "2026-03-02,A,301"), SchemaError, "look like kelvin; subtract"),
        (("date,temp_mean", "2026-03-01,27"), SchemaError, "no column says where; allowed is station"),
        (("date,station,parcel_id,temp_mean", "2026-03-01,A,P-0,27"), SchemaError, "both parcel_id and station"),
        (("date,station,temperature", "2026-03-01,A,27"), SchemaError, "no weather column; allowed are temp_mean"),
        (("station,temp_mean", "A,27"), SchemaError, r"column date is missing\. Found: station, temp_mean"),
        (
            ("date,station,rain_sum", "2026-03-01,A,1", "2026-03-01,B,1"),
            SchemaError,
            "A, B has no lon, lat; with 2 sta",
        ),
        ((HEADER, *week(), *week(lon=105.5, days=(5,))), SchemaError, "A stands at 105.4, 10.4 and 105.5, 10.4"),
        (("date,station,temp_mean", "x,A,27"), NoDataError, "row 2, column date: found 'x'.* No row is left"),
    ],
)
def test_a_file_that_cannot_serve_is_an_error(tmp_path, parcels, lines, error, message):
    with pytest.raises(error, match=message):
        read_weather_csv(csv(tmp_path, *lines), parcels)


def test_a_decimal_comma_is_told_in_either_separator(tmp_path, parcels):
    with (
        pytest.raises(NoDataError, match="no weather value can be used; mend the cells"),
        pytest.warns(DataWarning, match="found '26,5', .* with a decimal point and not a comma"),
    ):
        read_weather_csv(csv(tmp_path, "date;station;temp_mean", "2026-03-01;A;26,5"), parcels)
    with pytest.raises(
        NoDataError, match=r"row 2, .* found '2026-03-01,A,26,5', allowed is 3 cells .* a decimal point"
    ):
        read_weather_csv(csv(tmp_path, "date,station,temp_mean", "2026-03-01,A,26,5"), parcels)


def test_a_code_for_missing_throughout_a_column_is_no_other_unit(tmp_path, parcels):
    lines = ("date,station,temp_mean,rain_sum", "2026-03-01,A,-999,1", "2026-03-02,A,-999,1")
    with pytest.warns(DataWarning, match=r"found -999\.0"):
        assert read_weather_csv(csv(tmp_path, *lines), parcels).rows["temp_mean"].isna().all()


def test_stations_far_away_are_named(tmp_path, parcels):
    with pytest.warns(DataWarning, match=r"3 parcels are more than 100 km .* the farthest 340 km from A"):
        read_weather_csv(csv(tmp_path, HEADER, *week(lon=108.5, days=(1,))), parcels)


@settings(max_examples=15)
@given(order=st.permutations(range(12)), columns=st.permutations(range(8)))
def test_order_of_rows_and_columns_does_not_matter(parcels, order, columns):
    days = (1, 2, 3, 4)
    body = [*week(days=days), *week("B", 105.396, 10.403, days), *week("C", 105.399, 10.403, days)]
    cells = [line.split(",") for line in (HEADER, *(body[i] for i in order))]
    with tempfile.TemporaryDirectory() as folder:
        changed = read_weather_csv(csv(Path(folder), *(",".join(row[c] for c in columns) for row in cells)), parcels)
        plain = read_weather_csv(csv(Path(folder), HEADER, *body), parcels)
    for got, expected in zip(changed, plain, strict=True):
        pd.testing.assert_frame_equal(got, expected)


# ---------------------------------------------------------------------------------------------------------------- grids


def flanders(shared_data: Path) -> Path:
    return shared_data / "worldcereal_cubes" / "00002806639B424A"


@pytest.fixture
def belgian() -> gpd.GeoDataFrame:
    shapes = [shapely.box(501400, 5629100, 501600, 5629300), shapely.box(501700, 5629400, 501900, 5629600)]
    return gpd.GeoDataFrame({"parcel_id": ["a", "b"]}, geometry=shapes, crs=32631)


def test_agera5_as_it_is(shared_data, belgian):
    rows, weights = read_weather_netcdf(flanders(shared_data), belgian)
    check_weather(rows, weights)
    assert weights["site"].tolist() == ["cell 50.8143 3.0264"] * 2
    assert len(rows) == 487
    first = rows.iloc[0]
    assert first["date"] == pd.Timestamp("2017-08-01")
    assert first["known_at"] == pd.Timestamp("2017-08-08")
    # by hand from the file's own numbers: 291.03 K, 286.46 K, 295.87 K, 0.09 mm, 17091846 J, 1.7 m/s
    expected = {"temp_mean": 17.88, "temp_min": 13.31, "temp_max": 22.72, "rain_sum": 0.09, "radiation_sum": 17.0918}
    for name, value in {**expected, "wind_mean": 1.7}.items():
        assert first[name] == pytest.approx(value, abs=1e-4), name
    # 13.067 hPa at 17.88 °C, by the Tetens form of FAO-56, another formula than ours
    tetens = 6.108 * np.exp(17.27 * 17.88 / (17.88 + 237.3))
    assert first["rh_mean"] == pytest.approx(100 * 13.067 / tetens, rel=3e-3)
    assert rows["rh_mean"].between(20, 100).all()
    assert rows["temp_mean"].groupby(rows["date"].dt.month).mean().agg(["min", "max"]).between(0, 25).all()


def test_the_opener_of_the_catalog_and_the_reader_agree(shared_data, belgian):
    file = next(flanders(shared_data).glob("AgERA5*"))
    asked = get_weather(belgian, "2018-01-01", "2018-01-31", source="netcdf", path=file, latency_days=3)
    direct = read_weather_netcdf([file], belgian, start="2018-01-01", end="2018-01-31", latency_days=3)
    for got, expected in zip(asked, direct, strict=True):
        pd.testing.assert_frame_equal(got, expected)
    assert len(asked.rows) == 31


def grid(**attrs: str) -> xr.Dataset:
    """Temperature [K] and rain [m] that tell their own cell and day."""
    lon, lat, time = [105.3, 105.4, 105.5], [10.5, 10.4], pd.date_range("2026-03-01", periods=4)
    value = np.arange(24, dtype="float32").reshape(4, 2, 3)
    data = xr.Dataset(
        {
            "Temperature_Air_2m_Mean_24h": (("time", "lat", "lon"), 280 + value, {"units": "K"}),
            "rain_sum": (("time", "lat", "lon"), value / 1000, {"units": "m"}),
        },
        {"time": time, "lat": lat, "lon": lon},
    )
    data.attrs = dict(attrs)
    return data


def nc(folder: Path, data: xr.Dataset, name: str = "w.nc") -> Path:
    data.to_netcdf(folder / name)
    return folder / name


def test_the_nearest_cell_is_taken_and_units_converted(tmp_path, parcels):
    rows, weights = read_weather_netcdf(nc(tmp_path, grid(title="SYNTHETIC grid")), parcels)
    # the parcels lie at 105.398, 10.403: second column, second row, cell 4 of 6
    assert weights["site"].tolist() == ["cell 10.4000 105.4000"] * 3
    assert rows["temp_mean"].tolist() == pytest.approx([280 + 4 + 6 * day - 273.15 for day in range(4)], abs=1e-4)
    assert rows["rain_sum"].tolist() == pytest.approx([4 + 6 * day for day in range(4)], abs=1e-5)
    assert rows.attrs["synthetic"] is True
    assert rows["rh_mean"].isna().all()


@pytest.mark.parametrize(
    "dims", [{"time": "valid_time"}, {"lat": "latitude", "lon": "longitude"}, {"time": "timestamp"}]
)
def test_names_of_dims_and_longitudes_from_0_to_360_do_not_matter(tmp_path, parcels, dims):
    plain = read_weather_netcdf(nc(tmp_path, grid()), parcels)
    data = grid().assign_coords(lon=grid()["lon"] + 360).rename(dims)
    other = read_weather_netcdf(nc(tmp_path, data, "o.nc"), parcels)
    for got, expected in zip(other, plain, strict=True):
        pd.testing.assert_frame_equal(got, expected)


def test_variables_and_years_may_come_in_several_files(tmp_path, parcels):
    data = grid()
    whole = read_weather_netcdf(nc(tmp_path, data), parcels)
    folder = tmp_path / "parts"
    folder.mkdir()
    nc(folder, data[["rain_sum"]], "rain.nc")
    nc(folder, data[["Temperature_Air_2m_Mean_24h"]].isel(time=slice(0, 3)), "t1.nc")
    nc(folder, data[["Temperature_Air_2m_Mean_24h"]].isel(time=slice(2, 4)), "t2.nc")
    nc(folder, data[["rain_sum"]].rename(rain_sum="unknown"), "other.nc")
    parts = read_weather_netcdf(folder, parcels)
    pd.testing.assert_frame_equal(parts.rows, whole.rows)
    changed = (data[["rain_sum"]].isel(time=[1]) * 2).map(lambda v: v.assign_attrs(units="m"))
    nc(folder, changed, "wrong.nc")
    with pytest.warns(DataWarning, match="files disagree on 1 values, the first rain_sum of cell"):
        rows = read_weather_netcdf(folder, parcels).rows
    assert rows["rain_sum"].isna().tolist() == [False, True, False, False]


def test_fill_values_are_missing(tmp_path, parcels):
    data = grid()
    data["rain_sum"][2, 1, 1] = -9999
    data["rain_sum"].attrs["nodata"] = -9999
    assert read_weather_netcdf(nc(tmp_path, data), parcels).rows["rain_sum"].isna().tolist() == [
        False,
        False,
        True,
        False,
    ]


def _without_unit(data: xr.Dataset) -> xr.Dataset:
    del data["rain_sum"].attrs["units"]
    return data


def _in_inches(data: xr.Dataset) -> xr.Dataset:
    data["rain_sum"].attrs["units"] = "inch"
    return data


CHANGES = {
    "no unit": _without_unit,
    "unit": _in_inches,
    "hourly": lambda data: data.assign_coords(time=pd.date_range("2026-03-01", periods=4, freq="h")),
    "no dates": lambda data: data.assign_coords(time=[0, 1, 2, 3]),
    "no crs": lambda data: data.rename(lat="y", lon="x"),
    "no grid": lambda data: data.isel(lat=0),
    "no weather": lambda data: data.rename(rain_sum="a", Temperature_Air_2m_Mean_24h="b"),
    "extra": lambda data: data.expand_dims(number=2),
}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no unit", r"w\.nc: rain_sum declares no unit; allowed are mm, kg m-2"),
        ("unit", "rain_sum declares the unit 'inch'; allowed are mm"),
        ("hourly", r"several values a day \(4 on 1 days\); daily values are due"),
        ("no dates", "time holds int64, not dates; give it units such as"),
        ("no crs", "the grid does not say its coordinate system"),
        ("no grid", "has the dims time, lon; one of y, lat, latitude is due"),
        ("no weather", r"no weather variable in w\.nc \(found: b, a\); known are temperature_mean"),
        ("extra", "has the dims number, time, lat, lon; time, y, x are due"),
    ],
)
def test_a_grid_that_does_not_say_what_it_is_is_refused(tmp_path, parcels, kind, message):
    with pytest.raises((SchemaError, SourceError), match=message):
        read_weather_netcdf(nc(tmp_path, CHANGES[kind](grid())), parcels)


def test_values_out_of_range_are_named_by_cell_and_day(tmp_path, parcels):
    data = grid()
    data["Temperature_Air_2m_Mean_24h"][1] += 200
    with pytest.warns(DataWarning, match=r"row of cell 10\.4000 105\.4000 on 2026-03-02, column temp_mean: found 216"):
        assert read_weather_netcdf(nc(tmp_path, data), parcels).rows["temp_mean"].isna().sum() == 1


def test_broken_files_and_empty_folders(tmp_path, parcels):
    with pytest.raises(SourceError, match="holds no NetCDF file"):
        read_weather_netcdf(tmp_path, parcels)
    (tmp_path / "x.nc").write_text("junk")
    with pytest.raises(SourceError, match=r"x\.nc cannot be read as NetCDF"):
        read_weather_netcdf(tmp_path / "x.nc", parcels)
    nc(tmp_path, grid())
    with pytest.warns(DataWarning, match=r"x\.nc cannot be read as NetCDF .*Left out"):
        assert len(read_weather_netcdf(tmp_path, parcels).rows) == 4
    nc(tmp_path, grid().isel(lon=slice(0, 2)), "y.nc")
    with (
        pytest.raises(SchemaError, match=r"w\.nc and y\.nc are on different grids"),
        pytest.warns(DataWarning, match="cannot be read"),
    ):
        read_weather_netcdf(tmp_path, parcels)


def test_humidity_against_the_wmo_magnus_form():
    temperature = pd.Series([-5.0, 0.0, 10.0, 25.0, 40.0, np.nan])
    wmo = 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))  # WMO-No. 8, annex 4.B
    assert _netcdf.saturation(temperature).to_numpy() == pytest.approx(wmo.to_numpy(), rel=3e-3, nan_ok=True)
    assert _netcdf.humidity(pd.Series([50.0]), pd.Series([25.0])).tolist() == [100.0]


# ------------------------------------------------------------------------------------------------------------- dispatch


def test_none_gives_empty_tables_with_the_right_columns(parcels):
    weather = get_weather(parcels, source="none")
    check_weather(*weather)
    assert list(weather.rows.columns) == [field.name for field in WEATHER]
    assert len(weather.rows) == len(weather.weights) == 0


def test_every_weather_provider_takes_what_get_weather_hands_it(tmp_path, parcels):
    path = csv(tmp_path, HEADER, *week())
    assert PROVIDERS["csv"].latency_days == 1
    weather = get_weather(parcels, source="csv", path=os.fspath(path), latency_days=None)
    assert (weather.rows["known_at"] - weather.rows["date"]).dt.days.unique().tolist() == [1]
    assert set(WEATHER_NAMES) <= set(weather.rows.columns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"source": "netcfd"},
            r"no source 'netcfd'; did you mean \"netcdf\"\? Allowed are csv, netcdf, power, open-meteo, none",
        ),
        ({"source": "local"}, "no source 'local'.* Allowed are csv, netcdf, power, open-meteo, none"),
        ({"latency_day": 1}, r"no option 'latency_day'; did you mean \"latency_days\"\?"),
        ({}, "weather: no path is given; set `path` under .weather."),
    ],
)
def test_what_is_not_known_is_answered_with_what_is(parcels, options, message):
    with pytest.raises(ConfigError, match=message):
        get_weather(parcels, **options)
