"""Checks of the machine: clock, environment, folders, room on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyproj
from pyproj.exceptions import CRSError

from rs_forecast.config import Config
from rs_forecast.doctor.finding import Finding, Patient, fail, ok, warning
from rs_forecast.errors import listing
from rs_forecast.inputs import scenes_folder
from rs_forecast.sources._vn2000 import GEOGRAPHIC, distance, place_of

_LEAST_FREE_GB = 5.0
_HOMES = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH")
_LONG_XUYEN = (105.435, 10.386)
_SHIFT_M = 225.4
"""How far VN-2000 to WGS 84 moves it; EPSG's two operations differ by 0.8 m."""
_MEND_PROJ = "unset PROJ_LIB and PROJ_DATA, or install pyproj again"


def check_timezone(patient: Patient) -> Iterator[Finding]:
    """Which day it is in the region."""
    region = patient.config.region
    found = f"{region.timezone}: today is {patient.today:%Y-%m-%d}"
    if "timezone" in region.model_fields_set:
        yield ok("timezone", found)
    else:
        mend = 'set it, such as [region] timezone = "Asia/Ho_Chi_Minh": it decides which day today is'
        yield warning("timezone", f"none is set; {found}", mend)


def check_environment(_: Patient) -> Iterator[Finding]:
    """Foreign data of PROJ and GDAL make transforms wrong or fail, as on machines with QGIS or PostGIS beside us."""
    foreign = [f"{name}={os.environ[name]}" for name in _HOMES if os.environ.get(name)]
    if foreign:
        mend = "unset them where rs-forecast is started: its libraries bring their own data"
        yield warning("environment", f"set for other programs: {listing(foreign)}", mend)
    try:
        moved = distance(place_of(pyproj.CRS.from_epsg(GEOGRAPHIC), *_LONG_XUYEN), _LONG_XUYEN)
    except CRSError as err:
        yield fail("environment", f"PROJ has no database ({err})", _MEND_PROJ)
        return
    if abs(moved - _SHIFT_M) > 1.5:
        found = f"PROJ moves VN-2000 at Long Xuyen by {moved:.1f} m, {_SHIFT_M:.1f} m are due"
        yield fail("environment", found, _MEND_PROJ)
    elif not foreign:
        yield ok("environment", f"PROJ {pyproj.proj_version_str} moves VN-2000 at Long Xuyen by {moved:.1f} m")


def check_folders(patient: Patient) -> Iterator[Finding]:
    """Whether workspace and output can be written; no folder is made."""
    places = {"workspace": patient.config.workspace.dir, "output": patient.config.output.dir}
    for name, folder in places.items():
        there = _nearest(folder)
        blocking = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None)
        if blocking is not None:
            yield fail(name, f"{blocking} is a file, a folder is due", f"move it away, or set another [{name}] dir")
            continue
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as err:
            mend = f"make it writable for this user, or set another [{name}] dir"
            yield fail(name, f"{there} cannot be written ({err.strerror or err})", mend)
            continue
        note = "" if there == folder.absolute() else f" (to be made in {there})"
        yield ok(name, f"{folder} can be written{note}")


def check_disk(patient: Patient) -> Iterator[Finding]:
    """Whether there is room for downloads, signals and maps."""
    config = patient.config
    disks = {folder.stat().st_dev: folder for folder in map(_nearest, (config.output.dir, config.workspace.dir))}
    for folder in disks.values():  # of two on one disk the workspace, which takes the downloads
        free = shutil.disk_usage(folder).free / 1e9
        need = max(_LEAST_FREE_GB, _still_to_come(config) if folder == _nearest(config.workspace.dir) else 0.0)
        if free < need:
            mend = f"make room; {need:.0f} GB are wanted for downloads, signals and maps"
            yield warning("disk", f"{folder}: {free:.1f} GB are free", mend)
        else:
            yield ok("disk", f"{folder}: {free:.0f} GB are free")


def _still_to_come(config: Config) -> float:
    """Return what downloads may still add under their budget [GB]."""
    if config.imagery.budget_gb is None:
        return 0.0
    folder = scenes_folder(config)
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e9 if folder.is_dir() else 0.0
    return max(config.imagery.budget_gb - held, 0.0)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)
