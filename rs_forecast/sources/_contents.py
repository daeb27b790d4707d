"""Hashes of what band files hold, each remembered until its file changes.

A GeoTIFF is hashed whole. A cube grows week by week, so there every step is hashed by its own data, as stored: old
steps stay what they were.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.errors import RsForecastError, SourceError
from rs_forecast.sources import _zarr
from rs_forecast.sources._blocks import _netcdf_lock, _open_netcdf
from rs_forecast.sources.scene import BandFile
from rs_forecast.workspace import read_json, sha256_file, write_json

_SETTLED_NS = 2_000_000_000
"""A file changed so shortly before it is hashed may change again under the same time stamp, and is not remembered."""
_BLOCK_BYTES = 256_000_000


class Contents:
    """Gives the SHA-256 of a band's stored numbers; a file is read again only after its size, time or inode changed."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        try:
            self._known: dict[str, Any] = read_json(memory) if memory.exists() else {}
        except RsForecastError:
            self._known = {}  # a memory lost costs time, nothing else
        self._young: dict[str, Any] = {}
        self._stores: dict[str, list[int]] = {}
        self._learned = False

    def learn(self, bands: Iterable[BandFile], threads: int) -> None:
        """Hash the files of ``bands`` that are not known, several at once; one that cannot be read is passed over."""
        todo = {(band.href, band.variable): band for band in bands}
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._try, todo.values()))

    def of(self, band: BandFile) -> str:
        """Return the hash of a band's stored numbers.

        Raises
        ------
        SourceError
            The file cannot be read.
        """
        if band.sha256:  # its store has looked, or the file is evicted and only its hash is left
            return band.sha256
        try:
            stamp = self._stamp(band)
            known = self._remembered(band, stamp)
            found = known[band.variable] if band.variable in known else self._hash(band, stamp)
            code = found if isinstance(found, str) else found[band.step]
        except (OSError, RuntimeError, LookupError, TypeError, ValueError, StopIteration, zipfile.BadZipFile) as err:
            raise SourceError(f"{band.href}: cannot be read ({err}); fetch it again") from err
        if not code:
            raise SourceError(f"{band.href}: step {band.step} of {band.variable} is damaged; fetch it again")
        return str(code)

    def save(self) -> None:
        """Write the memory down."""
        if self._learned:
            write_json(self._memory, self._known)
            self._learned = False

    def _try(self, band: BandFile) -> None:
        try:
            self.of(band)
        except SourceError:
            return  # who asks for it is told

    def _stamp(self, band: BandFile) -> list[int]:
        """Return a file's stamp; that of a store, which has many files and as many bands and steps, is taken once."""
        if band.driver != "Zarr":
            return _stamp(band)
        return self._stores.get(band.href) or self._stores.setdefault(band.href, _stamp(band))

    def _remembered(self, band: BandFile, stamp: list[int]) -> dict[str, Any]:
        return _hashes(self._young.get(band.href), stamp) or _hashes(self._known.get(band.href), stamp)

    def _hash(self, band: BandFile, stamp: list[int]) -> str | list[str]:
        found = _HASHES.get(band.driver, _file_hash)(band)
        entry = {"stamp": stamp, "sha256": {**self._remembered(band, stamp), band.variable: found}}
        if all(found) and time.time_ns() - stamp[1] > _SETTLED_NS and _stamp(band) == stamp:
            self._known[band.href] = entry
            self._learned = True
        else:
            self._young[band.href] = entry  # good for this call, not for the next
        return found


def _stamp(band: BandFile) -> list[int]:
    if band.driver == "Zarr":
        return _zarr.stamp(band.file)
    state = band.file.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _hashes(entry: Any, stamp: list[int]) -> dict[str, Any]:
    """Return what is remembered of a file, by variable, if it is still the one that was hashed."""
    fits = isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), dict)
    return dict(entry["sha256"]) if fits else {}


def _file_hash(band: BandFile) -> str:
    if str(band.file) == band.href:
        return sha256_file(band.file)
    member = band.href.removeprefix(f"/vsizip/{band.file}/")
    found = hashlib.sha256()
    with zipfile.ZipFile(band.file) as archive, archive.open(member) as stream:
        while part := stream.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def _netcdf_hashes(band: BandFile) -> list[str]:
    """Return a hash per time step of a cube's variable, as many steps read at once as share a chunk of the file."""
    out: list[str] = []
    with _netcdf_lock:
        variable = _open_netcdf(band.href).variables[band.variable]
        steps, *plane = variable.shape
        layout = variable.chunking()
        together = 1 if isinstance(layout, str) or layout is None else int(layout[0])
        together = min(together, _most_steps(plane, variable.dtype))
    for first in range(0, steps, together):

        def read(part: slice = slice(first, first + together)) -> NDArray[Any]:
            with _netcdf_lock:
                return np.ascontiguousarray(variable[part])

        out += _plane_hashes(read, plane, min(together, steps - first))
    return out


def _zarr_hashes(band: BandFile) -> list[str]:
    array = _zarr.open_band(band)
    steps, *plane = array.shape
    together = min(array.chunks[0], _most_steps(plane, array.dtype))
    out: list[str] = []
    for first in range(0, steps, together):
        count = min(together, steps - first)
        part, rows, cols = slice(first, first + count), (0, plane[0]), (0, plane[1])
        out += _plane_hashes(partial(_zarr.read, band.file / band.variable, array, part, rows, cols), plane, count)
    return out


def _most_steps(plane: list[int], dtype: np.dtype[Any]) -> int:
    return max(1, _BLOCK_BYTES // max(1, int(np.prod(plane)) * dtype.itemsize))


def _plane_hashes(read: Callable[[], NDArray[Any]], plane: list[int], count: int) -> list[str]:
    """Return the hashes of the ``count`` steps that ``read`` gives; empty ones where it cannot."""
    try:
        block = read()
    except (OSError, RuntimeError, LookupError, TypeError, ValueError):
        return [""] * count
    return [hashlib.sha256(f"{block.dtype.str}{plane}".encode() + part.tobytes()).hexdigest() for part in block]


_HASHES: dict[str, Callable[[BandFile], str | list[str]]] = {"NetCDF": _netcdf_hashes, "Zarr": _zarr_hashes}
