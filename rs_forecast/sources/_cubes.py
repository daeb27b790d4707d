"""NetCDF and Zarr cubes: a variable a band, over time, y and x.

Cubes of one square, say one of 10 m and one of 20 m bands, make one scene a time step.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from rs_forecast.catalog.bands import BAND_OF_CODE, BANDS, SCL
from rs_forecast.errors import DataWarning, SourceError, listing
from rs_forecast.grid import geobox_of
from rs_forecast.sources._scales import Scale, refuse_undeclared
from rs_forecast.sources._zarr import is_store, open_store
from rs_forecast.sources.scene import BandFile, Scene, check_grid

_TIMES = ("time", "t", "timestamp", "valid_time")
_X = ("x", "lon", "longitude")
_Y = ("y", "lat", "latitude")
_NAMES = {**{code.lower(): name for code, name in BAND_OF_CODE.items()}, **{name: name for name in BANDS}}
_CRS_ATTRIBUTES = ("epsg", "crs", "proj:code", "proj:epsg", "proj:wkt2")
_Key = tuple[str, pd.Timestamp]


@dataclass(kw_only=True)
class _Step:
    """One time step over one square, as the cubes read so far have it."""

    tile: str
    synthetic: bool
    bands: dict[str, BandFile] = field(default_factory=dict)


def read_cubes(files: Iterable[Path], latency: pd.Timedelta, declared: Scale | None) -> list[Scene]:
    """Return a scene for each time step of the cubes in ``files``; a file without a band variable is passed over.

    A cube that cannot be used is named in a :class:`DataWarning`, and so is one whose bands an earlier cube has too.
    """
    groups: dict[_Key, _Step] = {}
    for file in files:
        try:
            steps = _steps(file, declared)
        except (SourceError, OSError, RuntimeError, LookupError, TypeError, ValueError) as err:
            warnings.warn(DataWarning(f"cube {file}: left out ({err})"), stacklevel=3)
            continue
        twice: set[str] = set()
        for key, step in steps:
            known = groups.setdefault(key, _Step(tile=step.tile, synthetic=step.synthetic)).bands
            twice |= known.keys() & step.bands.keys()
            known.update({band: step.bands[band] for band in step.bands.keys() - known.keys()})
        if twice:
            message = f"cube {file}: {listing(sorted(twice))} left out where an earlier step or cube has the same time"
            warnings.warn(DataWarning(message), stacklevel=3)
    return [
        Scene(
            scene_id=f"{place}_{stamp:%Y%m%dT%H%M%S}",
            tile=step.tile,
            date=stamp.normalize(),
            known_at=stamp.normalize() + latency,
            known_at_basis="assumed",
            provider="local",
            bands={band: step.bands[band] for band in sorted(step.bands)},
            synthetic=step.synthetic,
        )
        for (place, stamp), step in groups.items()
    ]


def _steps(file: Path, declared: Scale | None) -> list[tuple[_Key, _Step]]:
    with _opened(file) as cube:
        time = next((t for t in _TIMES if t in cube.dims), None)
        layers = {_NAMES[str(v).lower()]: cube[v] for v in cube.data_vars if str(v).lower() in _NAMES}
        layers = {band: layer for band, layer in layers.items() if layer.ndim == 3 and layer.dims[0] == time}
        if not layers:
            return []
        crs = _crs(cube)
        bands = {band: _band_file(layer, band, crs, file, declared) for band, layer in layers.items()}
        stamps = _stamps(cube[time])
        tile = str(cube.attrs.get("tile", "")) or "local"
        left, bottom, right, top = next(iter(bands.values())).geobox.boundingbox
        place = str(cube.attrs.get("location_id") or f"{tile}_{left:.0f}_{bottom:.0f}_{right:.0f}_{top:.0f}")
        marked = "SYNTHETIC" in str(cube.attrs.get("title", "")).upper()
    return [
        (
            (place, stamp),
            _Step(tile=tile, synthetic=marked, bands={band: replace(b, step=step) for band, b in bands.items()}),
        )
        for step, stamp in enumerate(stamps)
    ]


def _opened(file: Path) -> xr.Dataset:
    return open_store(file) if is_store(file) else xr.open_dataset(file, engine="netcdf4", mask_and_scale=False)


def _band_file(layer: xr.DataArray, band: str, crs: CRS, file: Path, declared: Scale | None) -> BandFile:
    _, y, x = layer.dims
    if str(y).lower() not in _Y or str(x).lower() not in _X or y not in layer.coords or x not in layer.coords:
        raise SourceError(f"{layer.name} lies over {listing(layer.dims)}; time, y and x with coordinates are due")
    if layer.dtype.kind not in "iuf":
        raise SourceError(f"{layer.name} holds {layer.dtype}, numbers are due")
    grid = geobox_of(layer[x].to_numpy(), layer[y].to_numpy(), crs)
    check_grid(grid)
    scale, offset, nodata = _rule(layer, band, declared)
    return BandFile(
        href=str(file),
        driver="Zarr" if is_store(file) else "NetCDF",
        geobox=grid,
        variable=str(layer.name),
        scale=scale,
        offset=offset,
        nodata=nodata,
    )


def _rule(layer: xr.DataArray, band: str, declared: Scale | None) -> tuple[float, float, float | None]:
    """Return scale, offset and nodata of a variable."""
    said = (layer.attrs[name] for name in ("_FillValue", "missing_value", "nodata") if name in layer.attrs)
    nodata = next((float(value) for value in said if not np.isnan(float(value))), None)
    if band == SCL:
        return 1.0, 0.0, nodata
    whole = not np.issubdtype(layer.dtype, np.floating)
    nodata = 0.0 if nodata is None and whole else nodata
    if "scale_factor" in layer.attrs:
        return float(layer.attrs["scale_factor"]), float(layer.attrs.get("add_offset", 0.0)), nodata
    if not whole:
        return 1.0, 0.0, nodata
    return *(declared or refuse_undeclared(str(layer.name))), nodata


def _stamps(time: xr.DataArray) -> pd.DatetimeIndex:
    if time.dtype.kind != "M" or np.isnat(time.to_numpy()).any():
        raise SourceError(
            f"its {time.name} holds {time.dtype}, days of the usual calendar are due, with units such as "
            "'days since 2000-01-01'"
        )
    return pd.DatetimeIndex(time.to_numpy()).as_unit("us")


def _crs(cube: xr.Dataset) -> CRS:
    mappings = [v for v in (*cube.coords, *cube.data_vars) if {"crs_wkt", "spatial_ref"} & set(cube[v].attrs)]
    said = [cube[v].attrs.get("crs_wkt") or cube[v].attrs["spatial_ref"] for v in mappings]
    places = (cube.attrs, *(cube[v].attrs for v in cube.data_vars))
    said += [attrs[name] for attrs in places for name in _CRS_ATTRIBUTES if name in attrs]
    for text in said:
        code = re.search(r"epsg:(\d+)", str(text), re.IGNORECASE) or re.fullmatch(r"(\d{4,5})", str(text))
        try:
            return CRS.from_epsg(int(code[1])) if code else CRS.from_wkt(str(text))
        except CRSError:
            continue
    raise SourceError("it names no CRS; it needs a grid mapping with crs_wkt, or an attribute epsg or proj:code")
