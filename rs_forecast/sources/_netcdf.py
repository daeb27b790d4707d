"""Daily weather grids in NetCDF: names and units of AgERA5 and its kin, turned into rows per cell."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import xarray as xr

from rs_forecast.errors import DataWarning, SchemaError, SourceError, listing
from rs_forecast.schema import WEATHER_NAMES
from rs_forecast.sources._magnus import humidity, saturation
from rs_forecast.sources._paths import input_file, input_path
from rs_forecast.sources._units import DEWPOINT, UNITS, VAPOUR, conversion

VARIABLE_MAP = {
    "temperature_mean": "temp_mean",
    "temperature_min": "temp_min",
    "temperature_max": "temp_max",
    "temperature_air_2m_mean_24h": "temp_mean",
    "temperature_air_2m_min_24h": "temp_min",
    "temperature_air_2m_max_24h": "temp_max",
    "temperature_2m": "temp_mean",
    "temperature_2m_min": "temp_min",
    "temperature_2m_max": "temp_max",
    "precipitation_flux": "rain_sum",
    "total_precipitation_sum": "rain_sum",
    "solar_radiation_flux": "radiation_sum",
    "surface_solar_radiation_downwards_sum": "radiation_sum",
    "wind_speed": "wind_mean",
    "wind_speed_10m_mean": "wind_mean",
    "wind_speed_10m_mean_24h": "wind_mean",
    "vapour_pressure": VAPOUR,
    "vapour_pressure_mean": VAPOUR,
    "vapour_pressure_mean_24h": VAPOUR,
    "dewpoint_temperature": DEWPOINT,
    "dewpoint_temperature_2m": DEWPOINT,
    "dew_point_temperature_2m_mean": DEWPOINT,
    "dew_point_temperature_2m_mean_24h": DEWPOINT,
    **{name: name for name in WEATHER_NAMES},
}
"""Names in files, in lower case -> ours. Hourly accumulations (``tp``, ``ssrd``) are no daily values and not here."""

_TIMES = ("time", "timestamp", "valid_time")
_EAST, _NORTH = ("x", "lon", "longitude"), ("y", "lat", "latitude")
_MOST_VALUES = 2**31


@dataclass(frozen=True, kw_only=True)
class Grids:
    """Files on one grid. ``sites`` has a row per cell: ``site, lon, lat, i, j`` (row and column of the grid)."""

    source: str
    sites: pd.DataFrame
    files: tuple[tuple[Path, tuple[str, ...]], ...]
    texts: tuple[str, ...]

    def rows_of(self, sites: set[str]) -> pd.DataFrame:
        """Return columns ``site, date`` and variables in our units, one row a cell and day."""
        wanted = self.sites[self.sites["site"].isin(sites)]
        rows = pd.concat([_rows_of_file(file, names, wanted) for file, names in self.files], ignore_index=True)
        return _with_humidity(_merged(rows, self.source))


def read_grids(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> Grids:
    """Return what the files hold: which variables, on which cells. Values are read later, for wanted cells only."""
    files, many = _files(path)
    found: list[tuple[Path, tuple[str, ...]]] = []
    grid: pd.DataFrame | None = None
    texts: list[str] = []
    others: list[str] = []
    for file in files:
        try:
            # without decoding: a class band beside the weather may not decode, and is none of ours
            with xr.open_dataset(file, engine="netcdf4", decode_cf=False) as data:
                names = tuple(str(n) for n in data.data_vars if str(n).lower() in VARIABLE_MAP)
                others += [str(n) for n in data.data_vars if str(n) not in names]
                if not names:
                    continue
                cells = _cells(data, names[0], file.name)
                texts += [str(value) for value in data.attrs.values()]
        except (OSError, ValueError, KeyError) as err:
            if not many:
                raise SourceError(f"weather: {file.name} cannot be read as NetCDF ({err}); fetch it again") from err
            warnings.warn(DataWarning(f"weather: {file.name} cannot be read as NetCDF ({err}). Left out"), stacklevel=3)
            continue
        if grid is not None and not grid.equals(cells):
            raise SchemaError(f"weather: {found[0][0].name} and {file.name} are on different grids; keep one of them")
        grid = cells
        found.append((file, names))
    if grid is None:
        raise SourceError(
            f"weather: no weather variable in {listing(f.name for f in files) or path} (found: "
            f"{listing(dict.fromkeys(others)) or 'none'}); known are {listing(VARIABLE_MAP, 12)}"
        )
    source = found[0][0].name if len(found) == 1 else f"{found[0][0].name} and {len(found) - 1} more"
    return Grids(source=source, sites=grid, files=tuple(found), texts=tuple(texts))


def _files(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> tuple[list[Path], bool]:
    if isinstance(path, Sequence) and not isinstance(path, str):
        return [input_file(p, "weather") for p in path], True
    place = input_path(path, "weather")
    if not place.is_dir():
        return [place], False
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in (".nc", ".nc4"))
    if not files:
        raise SourceError(f"weather: {place} holds no NetCDF file (.nc); name the folder that does")
    return files, True


def _dim(data: xr.Dataset, name: str, known: Sequence[str], file: str) -> str:
    for dim in data[name].dims:
        if str(dim).lower() in known:
            return str(dim)
    dims = listing(data[name].dims, 10) or "none"
    raise SchemaError(f"{file}: {name} has the dims {dims}; one of {listing(known)} is due. Is it a daily grid?")


def _cells(data: xr.Dataset, name: str, file: str) -> pd.DataFrame:
    """Return each cell of the grid with its name and place."""
    east, north = _dim(data, name, _EAST, file), _dim(data, name, _NORTH, file)
    if data[name].size > _MOST_VALUES:
        raise SourceError(f"{file}: {name} declares {data[name].size:.2g} values; cut it to the region first")
    x, y = np.asarray(data[east].values, "float64"), np.asarray(data[north].values, "float64")
    grid_x, grid_y = np.meshgrid(x, y)
    crs = _crs(data, name, east, file)
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(grid_x.ravel(), grid_y.ravel())
    lon = (np.asarray(lon) + 180) % 360 - 180
    j, i = np.meshgrid(np.arange(x.size), np.arange(y.size))
    site = [f"cell {b:.4f} {a:.4f}" for a, b in zip(lon, lat, strict=True)]
    return pd.DataFrame({"site": site, "lon": lon, "lat": lat, "i": i.ravel(), "j": j.ravel()})


def _crs(data: xr.Dataset, name: str, east: str, file: str) -> pyproj.CRS:
    attrs = {**data.attrs, **data[name].attrs}
    mapping = data.variables.get(attrs.get("grid_mapping", "spatial_ref"))
    wkt = {} if mapping is None else mapping.attrs
    code = str(attrs.get("epsg") or attrs.get("crs") or "").lower().removeprefix("+init=").removeprefix("epsg:")
    candidates: list[Any] = [wkt.get("crs_wkt"), wkt.get("spatial_ref"), int(code) if code.isdigit() else None]
    if east.lower() in ("lon", "longitude"):
        candidates.append(4326)
    for candidate in candidates:
        if candidate:
            return pyproj.CRS.from_user_input(candidate)
    raise SchemaError(
        f"{file}: the grid does not say its coordinate system; give it a grid mapping (crs_wkt), an attribute epsg, or "
        "dims lat and lon"
    )


def _rows_of_file(file: Path, names: tuple[str, ...], cells: pd.DataFrame) -> pd.DataFrame:
    i, j = xr.DataArray(cells["i"].to_numpy(), dims="site"), xr.DataArray(cells["j"].to_numpy(), dims="site")
    with xr.open_dataset(file, engine="netcdf4", decode_cf=False) as raw:
        drop = [str(n) for n in raw.data_vars if str(n) not in names and str(n) != "spatial_ref"]
    columns: dict[str, np.ndarray] = {}
    with xr.open_dataset(file, engine="netcdf4", drop_variables=drop, decode_timedelta=False) as data:
        when = _dim(data, names[0], _TIMES, file.name)
        dates = _days(data[when], file.name)
        for name in names:
            east, north = _dim(data, name, _EAST, file.name), _dim(data, name, _NORTH, file.name)
            block = data[name].isel({north: i, east: j}).squeeze(drop=True)
            block = block.expand_dims([d for d in (when, "site") if d not in block.dims])
            if set(block.dims) != {when, "site"}:
                raise SchemaError(f"{file.name}: {name} has the dims {listing(data[name].dims)}; time, y, x are due")
            values = block.transpose("site", when).to_numpy().astype("float64").ravel()
            values[values == float(data[name].attrs.get("nodata", np.nan))] = np.nan
            ours = VARIABLE_MAP[name.lower()]
            columns[ours] = _converter(data[name], ours, file.name)(values)
    return pd.DataFrame(
        {"site": np.repeat(cells["site"].to_numpy(), len(dates)), "date": np.tile(dates, len(cells))} | columns
    )


def _days(time: xr.DataArray, file: str) -> np.ndarray:
    if not np.issubdtype(time.dtype, np.datetime64):
        raise SchemaError(
            f"{file}: {time.name} holds {time.dtype}, not dates; give it units such as 'days since 2000-01-01'"
        )
    days = time.to_numpy().astype("datetime64[D]")
    if len(np.unique(days)) < len(days):
        raise SchemaError(
            f"{file}: several values a day ({len(days)} on {len(np.unique(days))} days); daily values are due"
        )
    return days.astype("datetime64[us]")


def _converter(variable: xr.DataArray, ours: str, file: str) -> Callable[[np.ndarray], np.ndarray]:
    declared = str(variable.attrs.get("units", "")).strip()
    how = conversion(ours, declared)
    if how is None:
        what = f"the unit {declared!r}" if declared else "no unit"
        raise SchemaError(
            f"{file}: {variable.name} declares {what}; allowed are {listing(UNITS[ours], 20)}. Set its attribute units"
        )
    return lambda values: values * how.factor + how.offset


def _merged(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return one row a cell and day from files that hold some variables each; where two disagree, none is taken."""
    if not rows.duplicated(["site", "date"]).any():
        return rows
    groups = rows.groupby(["site", "date"], sort=True)
    out = groups.min()
    differ = groups.max() != out
    differ &= out.notna()
    if differ.to_numpy().any():
        row, column = np.argwhere(differ.to_numpy())[0]
        site, date = differ.index[row]
        text = (
            f"{source}: files disagree on {int(differ.to_numpy().sum())} values, the first {differ.columns[column]} of "
            f"{site} on {date:%Y-%m-%d}"
        )
        warnings.warn(DataWarning(f"{text}. Taken as missing; keep one of the files"), stacklevel=4)
    return out.mask(differ).reset_index()


def _with_humidity(rows: pd.DataFrame) -> pd.DataFrame:
    pressure = rows.get(VAPOUR)
    if pressure is None and DEWPOINT in rows:
        pressure = saturation(rows[DEWPOINT])
    if pressure is not None and "temp_mean" in rows and "rh_mean" not in rows:
        rows = rows.assign(rh_mean=humidity(pressure, rows["temp_mean"]))
    return rows.drop(columns=[name for name in (VAPOUR, DEWPOINT) if name in rows])
