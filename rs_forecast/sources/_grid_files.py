"""Files of weather grids: NetCDF and Zarr stores, the place of their cells, and the values of a few of them.

Values are read a stretch of time at once, of the rows and columns that hold wanted cells: memory follows the parcels,
not the grid.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from numpy.typing import NDArray

from rs_forecast.errors import SchemaError, SourceError, listing
from rs_forecast.sources import _zarr
from rs_forecast.sources._paths import input_file, input_path
from rs_forecast.sources._units import UNITS, conversion

TIMES = ("time", "timestamp", "valid_time")
EAST, NORTH = ("x", "lon", "longitude"), ("y", "lat", "latitude")
VERSIONS = "expver"
"""Dim of older ERA5 files: 1 is final and 5 preliminary, and each hour has the one or the other."""
UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError)
"""What NetCDF and Zarr raise of a damaged file."""
Bounds = tuple[float, float, float, float]
_MOST_LINE, _MOST_NAMED = 10**6, 2**24
_MOST_CELLS = 100_000
"""Grids of more are cut to the surroundings of the parcels, before each cell gets its name."""
_AROUND = 2.0
"""How far around the parcels a large grid is kept [degrees]: more than the farthest a parcel's site may be."""
_BLOCK_VALUES = 4_000_000


class StoreRefusedError(SourceError):
    """A Zarr store that must not be opened."""


@contextmanager
def header(place: Path) -> Iterator[xr.Dataset]:
    """Give a file or store whose values are neither decoded nor read.

    Raises
    ------
    StoreRefusedError
        It is a store that must not be opened. A damaged one raises :data:`UNREADABLE`.
    ConfigError
        ``rs-forecast[zarr]`` is not installed.
    """
    # without decoding: a class band beside the weather may not decode, and is none of ours
    with _store(place) if _zarr.is_store(place) else xr.open_dataset(place, engine="netcdf4", decode_cf=False) as data:
        yield data


def _store(place: Path) -> xr.Dataset:
    try:
        return _zarr.open_store(place)
    except SourceError as err:
        raise StoreRefusedError(str(err)) from err


def files_of(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> tuple[list[Path], bool]:
    """Return the files and stores that a path, a folder or several name, and whether there may be many."""
    if isinstance(path, Sequence) and not isinstance(path, str):
        places = [input_path(p, "weather") for p in path]
        return [place if _zarr.is_store(place) else input_file(place, "weather") for place in places], True
    place = input_path(path, "weather")
    if not place.is_dir() or _zarr.is_store(place):
        return [place], False
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in (".nc", ".nc4") or _zarr.is_store(file))
    if not files:
        raise SourceError(
            f"weather: {place} holds no NetCDF file (.nc) and no Zarr store (.zarr); name the folder that does, and "
            "unpack a zip first"
        )
    return files, True


def dim_of(data: xr.Dataset, name: str, known: Sequence[str], file: str) -> str:
    """Return the dim of a variable that is one of ``known``; SchemaError if there is none."""
    for dim in data[name].dims:
        if str(dim).lower() in known:
            return str(dim)
    dims = listing(data[name].dims, 10) or "none"
    raise SchemaError(f"{file}: {name} has the dims {dims}; one of {listing(known)} is due. Is it a weather grid?")


def cells_of(data: xr.Dataset, name: str, file: str, near: Bounds | None = None) -> pd.DataFrame:
    """Return each cell of the grid with its name and place: ``site, lon, lat, i, j``.

    Of a large grid over longitude and latitude, only those around ``near`` (west, south, east, north [degrees]).
    """
    east, north = dim_of(data, name, EAST, file), dim_of(data, name, NORTH, file)
    if max(data.sizes[east], data.sizes[north]) > _MOST_LINE:
        raise SourceError(f"{file}: {name} declares {data[name].size:.2g} values; cut it to the region first")
    x, y = np.asarray(data[east].values, "float64"), np.asarray(data[north].values, "float64")
    i, j = np.arange(y.size), np.arange(x.size)
    crs = _crs(data, name, east, file)
    if near is not None and crs.is_geographic and x.size * y.size > _MOST_CELLS:
        j, i = _around((x + 180) % 360 - 180, near[0], near[2]), _around(y, near[1], near[3])
    if i.size * j.size > _MOST_NAMED:
        raise SourceError(f"{file}: {name} declares {data[name].size:.2g} values; cut it to the region first")
    grid_x, grid_y = np.meshgrid(x[j], y[i])
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(grid_x.ravel(), grid_y.ravel())
    lon = (np.asarray(lon) + 180) % 360 - 180
    column, row = np.meshgrid(j, i)
    site = [f"cell {b:.4f} {a:.4f}" for a, b in zip(lon, lat, strict=True)]
    return pd.DataFrame({"site": site, "lon": lon, "lat": lat, "i": row.ravel(), "j": column.ravel()})


def _around(line: NDArray[np.float64], low: float, high: float) -> NDArray[np.intp]:
    """Return where a line of coordinates is near a span, or nearest to it."""
    inside = np.flatnonzero((line >= low - _AROUND) & (line <= high + _AROUND))
    return inside if inside.size else np.array([np.argmin(np.abs(line - (low + high) / 2))])


def steps_of(place: Path, name: str) -> NDArray[np.datetime64]:
    """Return the times [µs, UTC] of a variable's steps."""
    with _decoded(place, [name]) as data:
        time = data[dim_of(data, name, TIMES, place.name)]
        if not np.issubdtype(time.dtype, np.datetime64):
            raise SchemaError(
                f"{place.name}: {time.name} holds {time.dtype}, not dates; give it units such as 'days since "
                "2000-01-01'"
            )
        return np.atleast_1d(time.to_numpy()).astype("datetime64[us]")


def values_of(place: Path, names: Sequence[str], cells: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return the values (cell, step) of each variable at ``cells``, decoded, in their own unit, NaN where missing.

    Raises
    ------
    SchemaError
        A variable has other dims than time, y and x.
    SourceError
        Its values cannot be read.
    """
    with _decoded(place, names) as data:
        try:
            return {name: _series(place, data, name, cells) for name in names}
        except UNREADABLE as err:
            raise SourceError(f"weather: {place.name} cannot be read ({_why(err)}); fetch it again") from err


def _why(err: Exception) -> str:
    if type(err).__name__ == "ChunkNotFoundError":
        return (
            "a chunk is not there; if it was left out since all of it is the fill value, write the store with "
            "fill_value NaN, so that lost chunks cannot pass for numbers"
        )
    return str(err).splitlines()[0] if str(err) else type(err).__name__


@contextmanager
def _decoded(place: Path, names: Sequence[str]) -> Iterator[xr.Dataset]:
    """Give the variables ``names`` of a file alone: decoded in NetCDF, still as stored in a Zarr store."""
    with header(place) as raw:
        drop = [str(n) for n in raw.data_vars if str(n) not in names and str(n) != "spatial_ref"]
        if _zarr.is_store(place):
            yield raw.drop_vars(drop)
            return
    with xr.open_dataset(place, engine="netcdf4", drop_variables=drop, decode_timedelta=False) as data:
        yield data


def _series(place: Path, data: xr.Dataset, name: str, cells: pd.DataFrame) -> NDArray[np.float64]:
    variable = data[name]
    when, east, north = (dim_of(data, name, known, place.name) for known in (TIMES, EAST, NORTH))
    others = [d for d in variable.dims if d not in (when, east, north) and (data.sizes[d] > 1 and d != VERSIONS)]
    if others:
        raise SchemaError(f"{place.name}: {name} has the dims {listing(variable.dims)}; time, y, x are due")
    i, j = cells["i"].to_numpy(), cells["j"].to_numpy()
    rows, cols = (i.min(), i.max() + 1), (j.min(), j.max() + 1)
    take = _stored(place, data, name) if _zarr.is_store(place) else _lazily(variable, when, north, east)
    steps = data.sizes[when]
    out = np.empty((len(cells), steps))
    most = max(1, _BLOCK_VALUES // int((rows[1] - rows[0]) * (cols[1] - cols[0])))
    chunk = (variable.encoding.get("chunks") or variable.encoding.get("chunksizes") or (1,))[0]
    most = max(1, most - most % chunk) if most > chunk else most
    for first in range(0, steps, most):
        last = min(first + most, steps)
        out[:, first:last] = take(slice(first, last), rows, cols)[:, i - rows[0], j - cols[0]].T
    out[out == float(variable.attrs.get("nodata", np.nan))] = np.nan
    return out


Take = Callable[[slice, tuple[int, int], tuple[int, int]], NDArray[Any]]


def _lazily(variable: xr.DataArray, when: str, north: str, east: str) -> Take:
    def take(steps: slice, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
        part = variable.isel({when: steps, north: slice(*rows), east: slice(*cols)})
        if VERSIONS in part.dims:
            known = [part.isel({VERSIONS: at}) for at in range(part.sizes[VERSIONS])]
            part = known[0]
            for other in known[1:]:
                part = part.fillna(other)
        part = part.squeeze([d for d in part.dims if d not in (when, north, east)], drop=True)
        return part.transpose(when, north, east).to_numpy()

    return take


def _stored(place: Path, data: xr.Dataset, name: str) -> Take:
    variable = data[name]
    when, east, north = (dim_of(data, name, known, place.name) for known in (TIMES, EAST, NORTH))
    if variable.dims != (when, north, east):
        raise SchemaError(f"{place.name}: {name} has the dims {listing(variable.dims)}; time, y, x are due")
    fill = variable.attrs.get("_FillValue", variable.attrs.get("missing_value"))
    array = _zarr.open_variable(place, name, None if fill is None else float(fill))

    def take(steps: slice, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
        block = _zarr.read(place / name, array, steps, rows, cols)
        part = xr.Dataset({name: (variable.dims, block, variable.attrs)})
        return xr.decode_cf(part, decode_times=False, decode_coords=False)[name].to_numpy()

    return take


def converter(variable: xr.DataArray, ours: str, file: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what turns values of a variable into our unit; SchemaError if its own is not declared or not known."""
    declared = str(variable.attrs.get("units", "")).strip()
    how = conversion(ours, declared)
    if how is None:
        what = f"the unit {declared!r}" if declared else "no unit"
        raise SchemaError(
            f"{file}: {variable.name} declares {what}; allowed are {listing(UNITS[ours], 20)}. Set its attribute units"
        )
    return lambda values: values * how.factor + how.offset


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
