"""Hourly grids become days: a made truth held against pandas arithmetic, and real hours against the path of tables."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from rs_forecast.config import load_config
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.inputs import config_weather
from rs_forecast.sources import _grid_files, _hourly_grids
from rs_forecast.sources.weather import get_weather, read_weather_csv, read_weather_netcdf

LON, LAT = [105.2, 105.3, 105.4, 105.5], [10.5, 10.4, 10.3]
FIELDS = {"near 105.3 10.4": (105.31, 10.41), "near 105.5 10.3": (105.49, 10.29)}
BOTH = ["rain", "radiation"]
VN = "Asia/Ho_Chi_Minh"
UNITS = {"t2m": "K", "d2m": "K", "tp": "m", "ssrd": "J m**-2", "u10": "m s**-1", "v10": "m s**-1"}
DIMS = ("valid_time", "latitude", "longitude")


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(x, y, x + 0.002, y + 0.002) for x, y in FIELDS.values()]
    return gpd.GeoDataFrame({"parcel_id": list(FIELDS)}, geometry=shapes, crs=4326)


def truth(days: int = 9, seed: int = 1) -> xr.Dataset:
    """Amounts of each hour (mm, MJ/m2), °C and m/s from 01 UTC on, each cell its own; ends at 00 UTC."""
    made = np.random.default_rng(seed)
    time = pd.date_range("2026-03-01 01:00", periods=24 * days, freq="h")
    shape = (len(time), len(LAT), len(LON))
    sun = np.clip(np.sin((time.hour.to_numpy() - 0.5 + 1) / 12 * np.pi), 0, None)[:, None, None]
    warm = 27 + 4 * sun + made.normal(0, 0.7, shape)
    values = {
        "temp": warm,
        "dewpoint": warm - made.uniform(0.2, 7, shape),
        "rain": np.where(made.random(shape) < 0.3, made.gamma(0.6, 3, shape), 0.0),
        "radiation": 3 * sun * made.uniform(0.3, 1, shape),
        "wind_u": made.normal(1, 2, shape),
        "wind_v": made.normal(-1, 2, shape),
    }
    return xr.Dataset(
        {name: (DIMS, value) for name, value in values.items()},
        {"valid_time": time, "latitude": LAT, "longitude": LON},
    )


def running(amounts: np.ndarray) -> np.ndarray:
    """Return amounts of hours from 01 UTC on as sums since 00 UTC, as ERA5-Land has them."""
    return np.concatenate([np.cumsum(day, axis=0) for day in np.split(amounts, amounts.shape[0] // 24)])


def cds(hours: xr.Dataset, *, land: bool) -> xr.Dataset:
    """Return hours as the Climate Data Store writes them, of ERA5-Land or of ERA5 on single levels."""
    rain, sun = (running(hours[n].values) if land else hours[n].values for n in BOTH)
    values = {
        "t2m": hours["temp"].values + 273.15, "d2m": hours["dewpoint"].values + 273.15, "tp": rain / 1000,
        "ssrd": sun * 1e6, "u10": hours["wind_u"].values, "v10": hours["wind_v"].values,
    }  # fmt: skip
    data = xr.Dataset({n: (DIMS, v, {"units": UNITS[n]}) for n, v in values.items()}, hours.coords)
    for name in ("tp", "ssrd"):
        data[name].attrs["GRIB_stepType"] = "accum"  # in both of them
    version = np.where(np.arange(data.sizes["valid_time"]) < 100, "0001", "0005")
    data = data.assign_coords(expver=("valid_time", version), number=0)
    return data.assign_attrs(title="SYNTHETIC hours")


def write(folder: Path, data: xr.Dataset, name: str = "era5.nc", **how) -> Path:
    path = folder / name
    if path.suffix == ".zarr":
        data.to_zarr(path, consolidated=False, **how)
    else:
        data.to_netcdf(path, **how)
    return path


def by_pandas(hours: xr.Dataset, lon: float, lat: float, zone: str) -> pd.DataFrame:
    """Return days by plain arithmetic on the truth: an instant of its hour, a sum of the hour that ends."""
    cell = hours.sel(longitude=lon, latitude=lat)
    time = pd.DatetimeIndex(cell["valid_time"].values, tz="UTC")
    instant = time.tz_convert(zone).tz_localize(None).floor("D")
    ended = (time - pd.Timedelta("1min")).tz_convert(zone).tz_localize(None).floor("D")
    table = {name: pd.Series(cell[name].values) for name in hours.data_vars}

    def magnus(celsius: pd.Series) -> pd.Series:
        return 6.1094 * np.exp(17.625 * celsius / (243.04 + celsius))

    rh = (100 * magnus(table["dewpoint"]) / magnus(table["temp"])).clip(upper=100)
    wind = (table["wind_u"] ** 2 + table["wind_v"] ** 2) ** 0.5
    days = {
        f"{name}_{stat}": getattr(value.groupby(instant), stat)()
        for name, value in {"temp": table["temp"], "rh": rh}.items()
        for stat in ("mean", "min", "max")
    }
    days["wind_mean"] = wind.groupby(instant).mean()
    counted = pd.Series(1, index=range(len(time)))
    full_instants, full_sums = counted.groupby(instant).sum(), counted.groupby(ended).sum()
    out = pd.DataFrame({name: value.where(full_instants >= 20) for name, value in days.items()})
    for name in BOTH:
        total = table[name].groupby(ended).sum() / full_sums * 24
        out[f"{name}_sum"] = total.where(full_sums >= 20)
    return out.dropna(how="all")


def of_field(weather, field: str) -> pd.DataFrame:
    weights = weather.weights
    site = weights.loc[weights["parcel_id"] == field, "site"].item()
    rows = weather.rows[weather.rows["site"] == site].set_index("date")
    return rows.drop(columns=["site", "known_at"]).dropna(axis=1, how="all")


def same_days(found: pd.DataFrame, expected: pd.DataFrame, **tolerance) -> None:
    pd.testing.assert_frame_equal(found.sort_index(axis=1), expected.sort_index(axis=1), check_names=False,
                                  check_freq=False, check_index_type=False, **tolerance)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- a made truth


@pytest.mark.parametrize("land", [True, False], ids=["ERA5-Land", "ERA5"])
@pytest.mark.parametrize("zone", ["UTC", VN, "America/Lima"])
@pytest.mark.parametrize("name", ["era5.nc", "era5.zarr"])
def test_days_are_those_of_plain_arithmetic(tmp_path, parcels, land, zone, name):
    hours = truth()
    file = write(tmp_path, cds(hours, land=land), name)
    weather = read_weather_netcdf(file, parcels, accumulated=BOTH if land else [], day_timezone=zone)
    assert weather.rows["site"].nunique() == 2
    for field, (lon, lat) in {"near 105.3 10.4": (105.3, 10.4), "near 105.5 10.3": (105.5, 10.3)}.items():
        same_days(of_field(weather, field), by_pandas(hours, lon, lat, zone), rtol=1e-9, atol=1e-9)
    assert (weather.rows["known_at"] - weather.rows["date"] == pd.Timedelta(days=7)).all()
    assert weather.rows.attrs == weather.weights.attrs != {}  # the title says SYNTHETIC


def test_the_day_of_an_giang_takes_its_rain_from_two_utc_days(tmp_path, parcels):
    hours = truth().isel(valid_time=slice(0, 72))
    hours["rain"][:] = 0.0
    hours["rain"].loc[{"valid_time": "2026-03-01T17:00"}] = 3.0  # the hour up to midnight there
    hours["rain"].loc[{"valid_time": "2026-03-01T18:00"}] = 5.0  # the first of 2 March, still 1 March in UTC
    hours["rain"].loc[{"valid_time": "2026-03-02T01:00"}] = 7.0
    file = write(tmp_path, cds(hours, land=True))
    days = of_field(read_weather_netcdf(file, parcels, accumulated=BOTH, day_timezone=VN), "near 105.3 10.4")
    assert days.loc["2026-03-02", "rain_sum"] == pytest.approx(12.0)
    utc = of_field(read_weather_netcdf(file, parcels, accumulated=BOTH), "near 105.3 10.4")
    assert utc.loc["2026-03-01", "rain_sum"] == pytest.approx(8.0)
    assert utc.loc["2026-03-02", "rain_sum"] == pytest.approx(7.0)


@pytest.mark.parametrize(("lost", "there"), [(4, True), (5, False)])
def test_a_day_needs_twenty_hours(tmp_path, parcels, lost, there):
    hours = truth()
    keep = np.ones(hours.sizes["valid_time"], bool)
    keep[24 + 3 : 24 + 3 + lost] = False  # 2 March from 04 UTC on
    left = hours.isel(valid_time=keep)
    data = cds(hours, land=False).isel(valid_time=keep)
    file = write(tmp_path, data)
    gap = nullcontext() if there else pytest.warns(DataWarning, match=r"days are missing.* on 2026-03-02 \(1 day\)")
    with gap:
        days = of_field(read_weather_netcdf(file, parcels, accumulated=[]), "near 105.3 10.4")
    same_days(days, by_pandas(left, 105.3, 10.4, "UTC"), rtol=1e-9, atol=1e-9)
    assert (pd.Timestamp("2026-03-02") in days.index) == there


def test_running_sums_lose_nothing_over_lost_hours(tmp_path, parcels):
    hours = truth()
    keep = np.ones(hours.sizes["valid_time"], bool)
    keep[[24 + 5, 24 + 6, 24 + 10]] = False
    data = cds(hours, land=True).isel(valid_time=keep)
    days = of_field(read_weather_netcdf(write(tmp_path, data), parcels, accumulated=BOTH), "near 105.3 10.4")
    whole = by_pandas(hours, 105.3, 10.4, "UTC")
    assert days["rain_sum"].to_numpy() == pytest.approx(whole["rain_sum"].loc[days.index].to_numpy(), nan_ok=True)


# ------------------------------------------------------------------------------------------------------ shapes of files


def test_files_of_the_store_are_read_however_they_are_cut(tmp_path, parcels):
    """One file, months of their own, instants and sums apart, Zarr beside NetCDF, an older layout: the same days."""
    data = cds(truth(6), land=True)
    whole = read_weather_netcdf(write(tmp_path, data, "whole.nc"), parcels, accumulated=BOTH, day_timezone=VN)
    cut = tmp_path / "cut"
    cut.mkdir()
    sums = ["tp", "ssrd"]
    write(cut, data.drop_vars(sums).isel(valid_time=slice(0, 100)), "a_stepType-instant.nc")
    write(cut, data.drop_vars(sums).isel(valid_time=slice(90, None)), "b_stepType-instant.nc")  # ten hours twice
    write(cut, data[sums], "stepType-accum.zarr", zarr_format=2)
    older = data.drop_vars(["expver", "number"]).rename(valid_time="time").isel(latitude=slice(None, None, -1))
    older = older.assign_coords(longitude=older["longitude"] + 360)
    packed = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 290.0, "_FillValue": -32767}
    for part, name, exact in (
        (cut, "", True),
        (write(tmp_path, older, "older.nc", format="NETCDF3_64BIT"), "", True),
        (write(tmp_path, data, "packed.nc", encoding={"t2m": packed}), "temp_mean", False),
        (write(tmp_path, data, "packed.zarr", encoding={"t2m": packed}, zarr_format=2), "temp_mean", False),
    ):
        found = read_weather_netcdf(part, parcels, accumulated=BOTH, day_timezone=VN)
        for field in FIELDS:
            here, there = of_field(found, field), of_field(whole, field)
            if exact:
                same_days(here, there, rtol=1e-12)
            else:
                assert here[name].to_numpy() == pytest.approx(there[name].to_numpy(), abs=0.006)


def test_final_and_preliminary_versions_side_by_side(tmp_path, parcels):
    data = cds(truth(), land=False).drop_vars(["expver", "number"])
    final = data.where(np.arange(216)[:, None, None] < 120)
    preliminary = data.where(np.arange(216)[:, None, None] >= 120)
    both = xr.concat([final, preliminary], pd.Index([1, 5], name="expver")).transpose("valid_time", "expver", ...)
    for name, unit in UNITS.items():
        both[name].attrs["units"] = unit
    plain = read_weather_netcdf(write(tmp_path, data, "plain.nc"), parcels, accumulated=[])
    found = read_weather_netcdf(write(tmp_path, both, "both.nc"), parcels, accumulated=[])
    pd.testing.assert_frame_equal(found.rows, plain.rows)


def test_members_of_an_ensemble_are_refused(tmp_path, parcels):
    data = cds(truth(2), land=False).drop_vars("number").expand_dims(number=[0, 1])
    with pytest.raises(SchemaError, match="t2m has the dims number, valid_time, latitude, longitude; time, y, x are"):
        read_weather_netcdf(write(tmp_path, data), parcels, accumulated=[])


def test_files_that_disagree_lose_the_hour(tmp_path, parcels):
    data = cds(truth(), land=False)
    write(tmp_path, data, "a.nc")
    other = data[["t2m"]].isel(valid_time=slice(24, 48)).copy(deep=True)
    other["t2m"][:5] += 1.0
    write(tmp_path, other, "b.nc")
    text = (
        r"a\.nc and 1 more: files disagree on 10 values, the first temp of cell 10\.4000 105\.3000 at 2026-03-02 01:00"
    )
    with pytest.warns(DataWarning, match=text):
        days = of_field(read_weather_netcdf(tmp_path, parcels, accumulated=[]), "near 105.3 10.4")
    assert np.isnan(days.loc["2026-03-02", "temp_mean"])
    assert days.loc["2026-03-02", ["rain_sum", "wind_mean"]].notna().all()


def test_a_zarr_store_of_days_is_read_as_its_netcdf(tmp_path, parcels):
    time, shape = pd.date_range("2026-03-01", periods=5), (5, 3, 4)
    made = np.random.default_rng(4)
    days = xr.Dataset(
        {
            "temperature_mean": (("time", "lat", "lon"), made.uniform(295, 303, shape).astype("f4"), {"units": "K"}),
            "vapour_pressure": (("time", "lat", "lon"), made.uniform(20, 30, shape).astype("f4"), {"units": "hPa"}),
        },
        {"time": time, "lat": LAT, "lon": LON},
    )
    plain = read_weather_netcdf(write(tmp_path, days, "days.nc"), parcels)
    for version in (2, 3):
        found = read_weather_netcdf(write(tmp_path, days, f"v{version}.zarr", zarr_format=version), parcels)
        pd.testing.assert_frame_equal(found.rows, plain.rows)
        pd.testing.assert_frame_equal(found.weights, plain.weights)


def test_days_and_hours_in_one_folder(tmp_path, parcels):
    grid = {"time": pd.date_range("2026-03-01", periods=3), "lat": LAT, "lon": LON}
    rain = xr.Dataset({"rain_sum": (("time", "lat", "lon"), np.ones((3, 3, 4)), {"units": "mm"})}, grid)
    write(tmp_path, rain, "days.nc")
    write(tmp_path, cds(truth(), land=True), "hours.nc")
    with pytest.warns(DataWarning, match=r"days\.nc holds days, and hours\.nc names of hours\. Only days are read"):
        rows = read_weather_netcdf(tmp_path, parcels).rows
    assert rows["rain_sum"].tolist() == [1.0] * 6
    assert rows["temp_mean"].isna().all()


def test_only_rows_and_columns_with_parcels_are_read_and_little_at_once(tmp_path, parcels, monkeypatch):
    """Of 4000 x 4000 cells none outside the surroundings of the parcels is named, none outside their box read."""
    time = pd.date_range("2026-03-01 01:00", periods=48, freq="h")
    lon, lat = np.linspace(100, 120, 4000), np.linspace(20, 0, 4000)
    path = tmp_path / "large.zarr"
    empty = xr.Dataset({}, {"valid_time": time, "latitude": lat, "longitude": lon})
    empty.to_zarr(path, consolidated=False)
    import zarr

    array = zarr.open_group(path, mode="r+").create_array(
        "t2m", shape=(48, 4000, 4000), chunks=(48, 50, 50), dtype="f4", fill_value=np.nan,
        dimension_names=DIMS, attributes={"units": "K"},
    )  # fmt: skip
    i, j = (int(np.argmin(abs(lat - 10.411))), int(np.argmin(abs(lon - 105.311))))
    array[:, i - 20 : i + 21, j - 20 : j + 21] = 300.0
    read = []
    real = _grid_files._zarr.read
    monkeypatch.setattr(_grid_files, "_BLOCK_VALUES", 12)
    monkeypatch.setattr(_grid_files._zarr, "read", lambda *a: read.append(a[2:]) or real(*a))
    grids_named = []
    real_cells = _grid_files.cells_of
    monkeypatch.setattr(
        "rs_forecast.sources._netcdf.cells_of", lambda *a: grids_named.append(real_cells(*a)) or grids_named[-1]
    )
    rows = read_weather_netcdf(path, parcels.iloc[[0]]).rows
    assert rows["temp_mean"].dropna().tolist() == pytest.approx([26.85, 26.85], abs=1e-4)
    assert len(grids_named[0]) < 0.06 * 4000**2  # 4 degrees of 20 each way
    assert {(rows_, cols) for _, rows_, cols in read} == {((i, i + 1), (j, j + 1))}
    assert {s.stop - s.start for s, _, _ in read} == {12}


# ----------------------------------------------------------------------------------------------------------- real hours


@pytest.mark.parametrize("name", ["field4.csv", "field1.csv"])
@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_real_hours_are_the_same_days_as_table_and_as_grid(shared_data, tmp_path, name, ending):
    """ERA5-Land of a rice field in Sri Lanka, as CSV, and as the nearest cell of a grid whose other cells differ."""
    table = pd.read_csv(shared_data / "srilanka_rice_blast_era5" / name, parse_dates=["time"])
    variables = ["t2m", "d2m", "tp", "u10", "v10"]
    table[["time", *variables]].assign(station="era5").to_csv(tmp_path / "hours.csv", index=False)
    shape = shapely.box(80.25, 8.2, 80.252, 8.202)
    field = gpd.GeoDataFrame({"parcel_id": ["f"]}, geometry=[shape], crs=4326)
    ours = {"time": "time", "temp": "t2m", "dewpoint": "d2m", "rain": "tp", "wind_u": "u10", "wind_v": "v10"}
    expected = read_weather_csv(
        tmp_path / "hours.csv", field, columns=ours, units={"temp": "K", "dewpoint": "K", "rain": "m"},
        accumulated=["rain"], day_timezone="Asia/Colombo", latency_days=7,
    )  # fmt: skip
    values = table[variables].to_numpy()[:, None, None, :] * np.where([[True, False]], 1.0, 1.02)[None, :, :, None]
    data = xr.Dataset(
        {n: (DIMS, values[..., k], {"units": UNITS[n]}) for k, n in enumerate(variables)},
        {"valid_time": table["time"].to_numpy(), "latitude": [8.2], "longitude": [80.25, 80.35]},
    )
    file = write(tmp_path, data, f"hours.{ending}")
    found = read_weather_netcdf(file, field, accumulated=["rain"], day_timezone="Asia/Colombo")
    assert len(found.rows) > 100
    assert found.rows["site"].unique().tolist() == ["cell 8.2000 80.2500"]
    pd.testing.assert_frame_equal(found.rows.drop(columns="site"), expected.rows.drop(columns="site"), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_sum_must_be_said_to_run_or_not(tmp_path, parcels):
    text = (
        r"era5\.nc: tp, ssrd may be amounts of each hour \(ERA5 on single levels\) or run from 00 UTC \(ERA5-Land\), "
        r"and the file does not say which; declare \[weather\] accumulated = \[\] for amounts of each hour, or "
        r"accumulated = \[\"rain\", \"radiation\"\] if they run"
    )
    file = write(tmp_path, cds(truth(2), land=True))
    with pytest.raises(ConfigError, match=text):
        read_weather_netcdf(file, parcels)
    no_sums = write(tmp_path, cds(truth(2), land=True).drop_vars(["tp", "ssrd"]), "instants.nc")
    assert read_weather_netcdf(no_sums, parcels).rows["temp_mean"].notna().sum() > 0
    rates = cds(truth(), land=False).drop_vars("ssrd")
    rates["tp"] = (rates["tp"] / 3.6).assign_attrs(units="kg m**-2 s**-1")  # m an hour are 1000 / 3600 kg m-2 s-1
    whole = by_pandas(truth(), 105.3, 10.4, "UTC")["rain_sum"].dropna()
    found = of_field(read_weather_netcdf(write(tmp_path, rates, "rates.nc"), parcels), "near 105.3 10.4")["rain_sum"]
    assert found.dropna().to_numpy() == pytest.approx(whole.to_numpy())
    with pytest.raises(
        SchemaError, match=r"tp is in kg m\*\*-2 s\*\*-1, a rate, and cannot run through the day; take rain"
    ):
        read_weather_netcdf(tmp_path / "rates.nc", parcels, accumulated=["rain"])
    with pytest.raises(ConfigError, match="'temp' is no sum; accumulated may be rain, radiation"):
        read_weather_netcdf(file, parcels, accumulated=["temp", *BOTH])


@pytest.mark.parametrize("name", BOTH)
def test_a_sum_said_to_be_what_it_is_not_is_refused(tmp_path, parcels, name):
    file = write(tmp_path, cds(truth(), land=True))
    others = [other for other in BOTH if other != name]
    with pytest.raises(SchemaError, match=f"{name} is declared as amounts of each hour, yet on 9 days it rises"):
        read_weather_netcdf(file, parcels, accumulated=others)
    amounts = write(tmp_path, cds(truth(), land=False), "amounts.nc")
    with pytest.raises(SchemaError, match=f"{name} falls within the UTC day, .*take {name} out of accumulated"):
        read_weather_netcdf(amounts, parcels, accumulated=[name])


def test_a_dry_spell_says_nothing_about_sums(tmp_path, parcels):
    hours = truth()
    hours["rain"][:] = 0.0
    data = cds(hours, land=False)
    data["tp"] += -3e-9  # packing
    rows = read_weather_netcdf(write(tmp_path, data), parcels, accumulated=[]).rows
    assert set(rows["rain_sum"].dropna()) == {0.0}


def _unit(name: str, unit: str):
    def change(data: xr.Dataset) -> xr.Dataset:
        data[name].attrs["units"] = unit
        return data

    return change


def _doubled(data: xr.Dataset) -> xr.Dataset:
    return data.assign({"2m_temperature": data["t2m"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_unit("t2m", "m"), r"era5\.nc: t2m declares the unit 'm'; allowed are K, degC"),
        (_unit("tp", "J m**-2"), r"tp declares the unit 'J m\*\*-2'; allowed are mm, kg m-2, m"),
        (_unit("ssrd", ""), "ssrd declares no unit; allowed are J m-2"),
        (_unit("u10", "K"), "u10 declares the unit 'K'; allowed are m s-1"),
        (_unit("t2m", "degC"), "temp is .*, the first is 30.*: set the unit that the file declares to K"),
        (lambda d: d.isel(valid_time=slice(2, None, 3)), "values of t2m are 3 hours apart, hours are due; fetch all"),
        (lambda d: d.isel(valid_time=slice(11, None, 24)), "t2m has one value a day or fewer, and does not say"),
        (lambda d: xr.concat([d, d.isel(valid_time=[5])], "valid_time"), r"era5\.nc: it has an hour more than once"),
        (_doubled, "t2m, 2m_temperature are both temp; keep one of them"),
        (lambda d: d.isel(latitude=0), "t2m has the dims valid_time, longitude; one of y, lat, latitude is due"),
    ],
    ids=["length", "energy", "none", "speed", "no kelvin", "3 hours", "a day", "twice", "two names", "no grid"],
)  # fmt: skip
def test_hours_that_are_not_what_they_should_be_are_refused(tmp_path, parcels, change, message):
    with pytest.raises(SchemaError, match=message):
        read_weather_netcdf(write(tmp_path, change(cds(truth(), land=True))), parcels, accumulated=BOTH)


def test_values_out_of_range_are_named_by_cell_and_hour(tmp_path, parcels):
    data = cds(truth(), land=True)
    data["t2m"].loc[{"valid_time": "2026-03-03T05:00", "latitude": 10.4, "longitude": 105.3}] = 9999.0
    text = r"row of cell 10\.4000 105\.3000 at 2026-03-03 05:00 UTC, column temp: found 9725\.85"
    with pytest.warns(DataWarning, match=text):
        days = of_field(read_weather_netcdf(write(tmp_path, data), parcels, accumulated=BOTH), "near 105.3 10.4")
    assert days["temp_max"].max() < 40


def test_a_store_that_must_not_be_opened_or_lost_a_chunk(tmp_path, parcels):
    data = cds(truth(), land=True)
    good = write(tmp_path, data, "good.zarr", zarr_format=2)
    bad = write(tmp_path, data, "bad.zarr", zarr_format=2)
    metadata = bad / "t2m" / ".zarray"
    said = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(said | {"filters": [{"id": "pickle"}]}))
    with pytest.raises(
        SourceError, match=r"bad\.zarr cannot be read as Zarr \(t2m is packed with pickle, which may run code"
    ):
        read_weather_netcdf(bad, parcels, accumulated=BOTH)
    with pytest.warns(DataWarning, match=r"bad\.zarr cannot be read as Zarr .*Left out"):
        assert len(read_weather_netcdf(tmp_path, parcels, accumulated=BOTH).rows)
    zero = {"tp": {"fill_value": 0.0}}
    lost = write(tmp_path, data.drop_vars(["ssrd"]), "lost.zarr", zarr_format=3, encoding=zero)
    assert len(read_weather_netcdf(lost, parcels, accumulated=BOTH).rows)
    for chunk in (lost / "tp" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with pytest.raises(
        SourceError, match=r"lost\.zarr cannot be read \(a chunk is not there; if it was left"
    ):  # zeros would be a drought
        read_weather_netcdf(lost, parcels, accumulated=BOTH)
    assert good.is_dir()


def test_nothing_but_fields_far_away(tmp_path, parcels):
    file = write(tmp_path, cds(truth(2), land=True))
    with pytest.raises(NoDataError), pytest.warns(DataWarning, match="more than 100 km from their nearest site"):
        read_weather_netcdf(file, parcels.set_geometry(parcels.translate(10, 5)), accumulated=BOTH)


# --------------------------------------------------------------------------------------------------------------- config


def test_the_config_says_how_hours_become_days(tmp_path, parcels):
    hours = truth()
    write(tmp_path, cds(hours, land=True))
    text = """
[region]
name = "SYNTHETIC"
timezone = "Asia/Ho_Chi_Minh"
[parcels]
path = "parcels.geojson"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
[weather]
source = "netcdf"
path = "era5.nc"
"""
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(ConfigError, match="accumulated = \\[\\] for amounts of each hour"):
        config_weather(load_config(config), parcels)
    config.write_text(text + 'accumulated = ["rain", "radiation"]\nwet_rh = 90\n')
    found = config_weather(load_config(config), parcels)
    days = of_field(found, "near 105.3 10.4")
    expected = by_pandas(hours, 105.3, 10.4, VN)
    same_days(days.drop(columns="wet_hours"), expected, rtol=1e-9, atol=1e-9)
    assert days["wet_hours"].max() > 0
    direct = get_weather(
        parcels, source="netcdf", path=tmp_path / "era5.nc", accumulated=BOTH, wet_rh=90, day_timezone=VN
    )
    pd.testing.assert_frame_equal(found.rows, direct.rows)
    config.write_text(text + 'timezone = "UTC"\n')
    with pytest.raises(ConfigError, match='belongs to source = "csv"'):
        load_config(config)


def test_batches_of_cells_change_nothing(tmp_path, parcels, monkeypatch):
    file = write(tmp_path, cds(truth(), land=True))
    whole = read_weather_netcdf(file, parcels, accumulated=BOTH)
    monkeypatch.setattr(_hourly_grids, "_BATCH_ROWS", 1)
    monkeypatch.setattr(_grid_files, "_BLOCK_VALUES", 600)
    pd.testing.assert_frame_equal(read_weather_netcdf(file, parcels, accumulated=BOTH).rows, whole.rows)
