"""Weather grids in NetCDF and Zarr, turned into rows per cell and day: names and units of AgERA5 and its kin.

Files of hours go through :mod:`rs_forecast.sources._hourly_grids`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rs_forecast.errors import DataWarning, SchemaError, SourceError, listing
from rs_forecast.schema import WEATHER_NAMES
from rs_forecast.sources._grid_files import (
    UNREADABLE,
    Bounds,
    StoreRefusedError,
    cells_of,
    converter,
    files_of,
    header,
    steps_of,
    values_of,
)
from rs_forecast.sources._hourly_grids import HOUR_MAP, Reading, daily_rows
from rs_forecast.sources._magnus import humidity, saturation
from rs_forecast.sources._units import DEWPOINT, VAPOUR

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
"""Names of daily values in files, in lower case -> ours. A file with any of them is a daily one."""


@dataclass(frozen=True, kw_only=True)
class Grids:
    """Files on one grid. ``sites`` has a row per cell: ``site, lon, lat, i, j`` (row and column of the grid)."""

    source: str
    sites: pd.DataFrame
    files: tuple[tuple[Path, tuple[str, ...]], ...]
    texts: tuple[str, ...]
    hourly: bool = False

    def rows_of(self, sites: set[str], reading: Reading | None = None) -> pd.DataFrame:
        """Return columns ``site, date`` and variables in our units, one row a cell and day."""
        wanted = self.sites[self.sites["site"].isin(sites)]
        if wanted.empty:
            return pd.DataFrame({"site": [], "date": pd.to_datetime([])})
        if self.hourly:
            return daily_rows(self.files, wanted, reading or Reading(), self.source)
        rows = pd.concat([_rows_of_file(file, names, wanted) for file, names in self.files], ignore_index=True)
        return _with_humidity(_merged(rows, self.source))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A file that holds weather, of hours or of days."""

    file: Path
    names: tuple[str, ...]
    hourly: bool


def read_grids(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None, near: Bounds | None = None
) -> Grids:
    """Return what the files hold: which variables, on which cells. Values are read later, for wanted cells only.

    Of a large grid only the cells around ``near`` (west, south, east, north [degrees]) are told.
    """
    files, many = files_of(path)
    others: list[str] = []
    found = _of_one_kind(_readable(files, many, lambda file: _look(file, others)))
    if not found:
        raise SourceError(
            f"weather: no weather variable in {listing(f.name for f in files) or path} (found: "
            f"{listing(dict.fromkeys(others)) or 'none'}); known are {listing(VARIABLE_MAP, 12)}, and of hours "
            f"{listing(HOUR_MAP, 6)}"
        )
    names = {each.file: each.names for each in found}
    grids = _readable(list(names), many, lambda file: _grid(file, names[file], near))
    if not grids:
        raise SourceError(f"weather: none of {listing(file.name for file in names)} can be read; fetch them again")
    (first, sites, _), *rest = grids
    for other, cells, _ in rest:
        if not sites.equals(cells):
            raise SchemaError(f"weather: {first.name} and {other.name} are on different grids; keep one of them")
    return Grids(
        source=first.name if not rest else f"{first.name} and {len(rest)} more",
        sites=sites,
        files=tuple((file, names[file]) for file, _, _ in grids),
        texts=tuple(text for _, _, texts in grids for text in texts),
        hourly=found[0].hourly,
    )


def _readable[T](files: Sequence[Path], many: bool, read: Callable[[Path], T | None]) -> list[T]:
    """Return what ``read`` gives of each file; of many, those that cannot be read are left out and named."""
    out = []
    for file in files:
        kind = "Zarr" if file.is_dir() else "NetCDF"
        try:
            out.append(read(file))
        except (*UNREADABLE, StoreRefusedError) as err:
            if not many:
                raise SourceError(f"weather: {file.name} cannot be read as {kind} ({err}); fetch it again") from err
            warnings.warn(DataWarning(f"weather: {file.name} cannot be read as {kind} ({err}). Left out"), stacklevel=4)
    return [each for each in out if each is not None]


def _look(file: Path, others: list[str]) -> _Found | None:
    """Return which weather a file holds, None if none; variables of other things are added to ``others``."""
    with header(file) as data:
        there = [str(name) for name in data.data_vars]
    daily = tuple(name for name in there if name.lower() in VARIABLE_MAP)
    names = daily or tuple(name for name in there if name.lower() in HOUR_MAP)
    others += [name for name in there if name not in names]
    return _Found(file=file, names=names, hourly=not daily) if names else None


def _grid(file: Path, names: tuple[str, ...], near: Bounds | None) -> tuple[Path, pd.DataFrame, tuple[str, ...]]:
    with header(file) as data:
        return file, cells_of(data, names[0], file.name, near), tuple(str(value) for value in data.attrs.values())


def _of_one_kind(found: list[_Found]) -> list[_Found]:
    """Return the daily files if there are any, else those of hours."""
    daily = [each for each in found if not each.hourly]
    if daily and len(daily) < len(found):
        left = listing(each.file.name for each in found if each.hourly)
        text = (
            f"weather: {daily[0].file.name} holds days, and {left} names of hours. Only days are read; keep the two in "
            "folders of their own"
        )
        warnings.warn(DataWarning(text), stacklevel=4)
    return daily or found


def _rows_of_file(file: Path, names: tuple[str, ...], cells: pd.DataFrame) -> pd.DataFrame:
    dates = _days(steps_of(file, names[0]), file.name)
    values = values_of(file, names, cells)
    columns: dict[str, np.ndarray] = {}
    with header(file) as data:
        for name in names:
            ours = VARIABLE_MAP[name.lower()]
            columns[ours] = converter(data[name], ours, file.name)(values[name].ravel())
    return pd.DataFrame(
        {"site": np.repeat(cells["site"].to_numpy(), len(dates)), "date": np.tile(dates, len(cells))} | columns
    )


def _days(times: np.ndarray, file: str) -> np.ndarray:
    days = times.astype("datetime64[D]")
    if len(np.unique(days)) < len(days):
        raise SchemaError(
            f"{file}: several values a day ({len(days)} on {len(np.unique(days))} days); daily values are due"
        )
    return days.astype("datetime64[us]")


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
