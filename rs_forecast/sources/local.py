"""Imagery from a folder: SAFE products, one GeoTIFF a band, or NetCDF or Zarr cubes with a variable a band.

GeoTIFFs are grouped into scenes by their names: ``<anything with a date>_<band>[_<n>m].tif``, or ``<band>.tif`` in a
folder whose name holds the date. Scale and offset come from the file's own band metadata, from a STAC item beside it,
or from the config; a file of integers for which none of them says anything is refused, because the date does not tell.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from rs_forecast.catalog.bands import BAND_OF_CODE, SCL
from rs_forecast.errors import DataWarning, NoDataError, SchemaError, SourceError, listing
from rs_forecast.schema import day
from rs_forecast.sources._cubes import read_cubes
from rs_forecast.sources._headers import read_header
from rs_forecast.sources._safe import METADATA, find_products, read_products
from rs_forecast.sources._scales import Scale, config_scale, refuse_undeclared, stac_scales
from rs_forecast.sources._zarr import ENDING, is_store
from rs_forecast.sources.scene import BandFile, Scene, check_bands

_CODES = "|".join(BAND_OF_CODE)
_BAND = re.compile(rf"(?:^|(?<=[_.\- ]))({_CODES})(?:[_.\-]?(\d{{2}})m)?$", re.IGNORECASE)
_OTHER = re.compile(r"(?:^|[_.\- ])(AOT|B09|B10|CLD|CLDPRB|PVI|SNW|SNWPRB|TCI|WVP)(?:[_.\-]?\d{2}m)?$", re.IGNORECASE)
"""What a Level-2A product has besides the bands of the catalogue."""
_DATE = re.compile(r"(?<!\d)(20\d{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_TILE = re.compile(r"(?<![0-9A-Za-z])T?(\d{2}[C-X][A-Z]{2})(?![0-9A-Za-z])")
_NAMES = "name files like 20260302_48PWS_B04.tif, keep products in their SAFE folders"


def open_scenes(
    path: str | Path | Sequence[str | Path],
    *,
    start: Any = None,
    end: Any = None,
    latency_days: int = 1,
    scale: float | None = None,
    offset: float | None = None,
) -> list[Scene]:
    """Return the scenes in a folder, or in the files named, by date; only headers are read.

    Parameters
    ----------
    path
        A folder, searched with all below it, or one or more NetCDF files, Zarr stores or zipped products.
    start, end
        First and last day, both included; by default all.
    latency_days
        Days after the overpass on which the office could have had a scene.
    scale, offset
        Taken for files that declare none.

    Raises
    ------
    SourceError
        There is no such folder or file.
    NoDataError
        No scene is in it. A scene that cannot be used is left out and named in a :class:`DataWarning`; so is the second
        of two with one id.
    """
    declared = config_scale(scale, offset)
    files = _find(path)
    latency = pd.Timedelta(days=latency_days)
    products = find_products([f.parent for f in files if f.name == METADATA], _ending(files, ".zip"))
    inside = tuple(f"{f.parent}{os.sep}" for f in files if f.name == METADATA)
    tiffs = [f for f in _ending(files, ".tif", ".tiff") if not str(f).startswith(inside)]
    scenes = _each_once([
        *read_products(products, latency),
        *_tiff_scenes(tiffs, latency, declared),
        *read_cubes(_ending(files, ".nc", ".nc4", ENDING), latency, declared),
    ])  # fmt: skip
    first = day(start) if start is not None else pd.Timestamp.min
    last = day(end) if end is not None else pd.Timestamp.max
    chosen = sorted((s for s in scenes if first <= s.date <= last), key=lambda s: (s.date, s.tile, s.scene_id))
    if not chosen:
        found = f"of {len(scenes)} scenes none lies from {start} to {end}" if scenes else "there is no usable scene"
        raise NoDataError(f"{_shown(path)}: {found}; {_NAMES}, or give a NetCDF or Zarr cube")
    return chosen


def _find(path: str | Path | Sequence[str | Path]) -> list[Path]:
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    files: list[Path] = []
    for item in paths:
        if item.is_dir() and not is_store(item):
            files += sorted(_below(item))
        elif item.is_file() or is_store(item):
            files.append(item)
        else:
            raise SourceError(f"{item}: there is no such folder or file of scenes; set [imagery] path")
    return list(dict.fromkeys(files))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and all below it; a Zarr store counts as a file."""
    for place, folders, files in os.walk(folder):
        stores = [name for name in folders if is_store(Path(place, name))]
        folders[:] = [name for name in folders if name not in stores]
        yield from (path for name in (*stores, *files) if (path := Path(place, name)).is_file() or name in stores)


def _ending(files: Iterable[Path], *endings: str) -> list[Path]:
    return [file for file in files if file.suffix.lower() in endings]


def _each_once(scenes: Iterable[Scene]) -> list[Scene]:
    """Leave out and name a scene whose id another has: the same pixels twice, or two places under one name."""
    found: dict[str, Scene] = {}
    for scene in scenes:
        first = found.setdefault(scene.scene_id, scene)
        if first is not scene:
            folders = [next(iter(s.bands.values())).file.parent for s in (scene, first)]
            message = (
                f"scene {scene.scene_id}: left out in {folders[0]}, it is also in {folders[1]}. Keep all bands of a "
                "scene in one folder, and the tile in the name"
            )
            warnings.warn(DataWarning(message), stacklevel=3)
    return list(found.values())


def _tiff_scenes(files: Iterable[Path], latency: pd.Timedelta, declared: Scale | None) -> Iterator[Scene]:
    scales_in = cache(stac_scales)
    for (folder, rest), members in _grouped(files).items():
        name = rest or _folder_name(folder)
        try:
            yield _tiff_scene(name, folder, members, latency, scales_in(folder), declared)
        except SourceError as err:
            warnings.warn(DataWarning(f"scene {name}: left out. {err}"), stacklevel=3)


def _grouped(files: Iterable[Path]) -> dict[tuple[Path, str], dict[str, Path]]:
    """Return files by folder and scene, then band; of a band in several resolutions the finest."""
    groups: dict[tuple[Path, str], dict[str, tuple[int, Path]]] = {}
    nameless = []
    for file in files:
        match = _BAND.search(file.stem)
        if match:
            rest = file.stem[: match.start()].rstrip("_.- ")
            bands = groups.setdefault((file.parent, rest), {})
            band, item = BAND_OF_CODE[match[1].upper()], (int(match[2] or 0), file)
            bands[band] = min(bands.get(band, item), item)
        elif not _OTHER.search(file.stem):
            nameless.append(file)
    if nameless:
        message = f"{len(nameless)} GeoTIFFs name no band and are passed over: {listing(nameless)}; {_NAMES}"
        warnings.warn(DataWarning(message), stacklevel=4)
    return {key: {band: bands[band][1] for band in sorted(bands)} for key, bands in groups.items()}


def _folder_name(folder: Path) -> str:
    """Return the name of a scene that is a folder: the folder's, with the tile from the one above where it has none."""
    above = _TILE.search(folder.parent.name)
    return folder.name if above is None or _TILE.search(folder.name) else f"{above[1]}_{folder.name}"


def _tiff_scene(
    name: str,
    folder: Path,
    members: dict[str, Path],
    latency: pd.Timedelta,
    item: dict[str, Scale],
    declared: Scale | None,
) -> Scene:
    date = _date(name, folder)
    bands: dict[str, BandFile] = {}
    tags: dict[str, str] = {}
    for band, file in members.items():
        bands[band], own = _band_file(band, file, item.get(file.name) or declared)
        tags |= own
    check_bands(bands)
    tile = _TILE.search(name) or _TILE.search(folder.name)
    return Scene(
        scene_id=name,
        tile=tile[1] if tile else "local",
        date=date,
        known_at=date + latency,
        known_at_basis="assumed",
        provider="local",
        bands=bands,
        baseline=tags.get("PROCESSING_BASELINE", ""),
        synthetic=tags.get("SYNTHETIC", "").upper() == "YES",
    )


def _date(name: str, folder: Path) -> pd.Timestamp:
    stamp = _DATE.search(name) or _DATE.search(folder.name)
    if stamp is None:
        raise SourceError(f"{folder}: neither the files nor the folder have a date such as 20260302 in their name")
    try:
        return day("-".join(stamp.groups()))
    except SchemaError as err:
        raise SourceError(f"{folder}: {stamp[0]} in the name is no day of the calendar") from err


def _band_file(band: str, file: Path, said: Scale | None) -> tuple[BandFile, Mapping[str, str]]:
    """Return a band's file and its tags; ``said`` is what others than the file say of its scale and offset."""
    header = read_header(str(file), "GTiff")
    scale, nodata = header.scale, header.nodata
    if band == SCL:
        scale = (1.0, 0.0)
    elif header.whole:
        nodata = 0.0 if nodata is None else nodata
        if scale == (1.0, 0.0):
            scale = said or refuse_undeclared(f"{file}:")
    found = BandFile(
        href=str(file), driver="GTiff", geobox=header.geobox, scale=scale[0], offset=scale[1], nodata=nodata
    )
    return found, header.tags


def _shown(path: object) -> str:
    return listing(path) if isinstance(path, list | tuple) else str(path)
