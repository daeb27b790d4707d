"""Copying from a remote image only the blocks under parcels, into a GeoTIFF of our own.

GDAL reads the header from the first bytes of the file; ranges of blocks then are asked for over one session, put in
their places of a sparse copy, and decoded by GDAL from there. So one set of rules for proxy, certificates, patience and
addresses holds for everything, and GDAL, which would show signed addresses in its errors, never meets the network.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import rasterio
import rasterio.errors
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rs_forecast.errors import SourceError
from rs_forecast.sources._band_file import Form, new_band_file, unwritable
from rs_forecast.sources._stac_cells import Cells
from rs_forecast.sources._stac_http import Remote
from rs_forecast.sources.scene import check_grid

FOOTPRINT = "FOOTPRINT"
"""Tag of the cells whose blocks were copied: a file of other cells lacks what is wanted now."""
_HEAD = 64 * 1024
_MOST_HEAD = 4 * 1024**2
_GAP = 64 * 1024
"""Bytes between two blocks that cost less to read than another request."""
_RUN = 16 * 1024**2
_BLOCK = 512
_MOST_BLOCK = 4096 * 4096
_DAMAGED = (rasterio.errors.RasterioError, ValueError)

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What goes into the band metadata of the copy."""

    scale: float
    offset: float
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Blocks of the copy that are wanted, and the ranges of the remote file that hold them; None: all of it."""

    windows: Sequence[Window]
    ranges: Sequence[Range] | None


def is_copied(target: Path, footprint: str) -> bool:
    """Whether ``target`` is there, whole, and of the cells that are wanted."""
    if not target.is_file():
        return False
    try:
        with rasterio.open(target, driver="GTiff") as src:
            return bool(src.tags().get(FOOTPRINT) == footprint)
    except rasterio.errors.RasterioError:
        return False


def copy_remote(remote: Remote, driver: str, target: Path, cells: Cells, meaning: Meaning) -> None:
    """Copy the blocks of a remote image that touch ``cells``.

    JPEG 2000 has no list of its blocks at the head, and is read whole.

    Raises
    ------
    SourceError, BusyError
        As :meth:`rs_forecast.sources._stac_http.Remote.copy`; or the image is damaged, or of another kind.
    OutputError
        The copy cannot be written.
    """
    with _scratch(target) as part:
        with part.open("r+b") as file:
            ranges = _tiff_ranges(remote, file, cells) if driver == "GTiff" else None
            for start, stop in [(0, 2**40)] if ranges is None else ranges:
                remote.copy(file, start, stop)
            file.truncate(remote.size)
        copy_local(part, driver, target, cells, meaning, name=remote.name)


def copy_local(source: Path, driver: str, target: Path, cells: Cells, meaning: Meaning, *, name: str) -> None:
    """Copy the blocks of a file on this computer that touch ``cells``; errors as :func:`copy_remote`."""
    try:
        with rasterio.open(source, driver=driver) as src:
            windows = _plan(src, cells, name).windows
            with new_band_file(target, _form(src, meaning)) as file:
                for window in windows:
                    values = src.read(1, window=window)
                    if values.shape != (window.height, window.width):
                        raise SourceError(f"{name}: gives {values.shape} of {window}")
                    file.write(values, window)
    except _DAMAGED as err:
        # the names in GDAL's messages are those of our own scratch files
        raise SourceError(
            f"{name}: cannot be decoded as {driver} ({_said(err)}); it is damaged, or no such file"
        ) from err


def _tiff_ranges(remote: Remote, file: IO[bytes], cells: Cells) -> Sequence[Range] | None:
    """Return the ranges that hold the blocks wanted, which the head tells; None where it would take too much of it."""
    have = 0
    while have < _MOST_HEAD:
        want = max(_HEAD, 4 * have)
        remote.copy(file, have, want)
        have = min(want, remote.size or 0)
        if remote.whole:
            return []
        file.seek(0)
        found = _planned(file.read(have), cells, remote.name)
        if found is not None and found.ranges is not None:
            return [(max(start, have), stop) for start, stop in _merged(found.ranges) if stop > have]
        if have == remote.size:
            break
    return None


def _planned(head: bytes, cells: Cells, name: str) -> _Plan | None:
    """Return the plan from the first bytes of a file; None where these do not hold the whole header."""
    try:
        with MemoryFile(head) as memory, memory.open(driver="GTiff") as src:
            return _plan(src, cells, name)
    except _DAMAGED:
        return None


def _plan(src: Any, cells: Cells, name: str) -> _Plan:
    grid = _checked(src, cells, name)
    high, wide = src.block_shapes[0]
    side = _side(src)
    wanted = cells.windows(grid, (side, side))
    rows, cols = grid.shape
    windows = [
        Window(left, top, min(side, cols - left), min(side, rows - top))
        for top, left in (np.argwhere(wanted) * side).tolist()
    ]
    if not windows:
        raise SourceError(f"{name}: no block of it lies under parcels, though the catalogue says so; its grid is wrong")
    blocks = {
        (row, col)
        for w in windows
        for row in range(w.row_off // high, -(-(w.row_off + w.height) // high))
        for col in range(w.col_off // wide, -(-(w.col_off + w.width) // wide))
    }
    ranges = [_range(src, row, col) for row, col in sorted(blocks)] if src.driver == "GTiff" else [None]
    whole = [r for r in ranges if r is not None]
    return _Plan(windows=windows, ranges=whole if len(whole) == len(ranges) else None)


def _range(src: Any, row: int, col: int) -> Range | None:
    found = (src.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE"))
    offset, size = (int(v) if v is not None else 0 for v in found)
    return (offset, offset + size) if offset and size else None


def _checked(src: Any, cells: Cells, name: str) -> GeoBox:
    grid = GeoBox((src.height, src.width), src.transform, src.crs.to_wkt() if src.crs else None)
    try:
        check_grid(grid)
    except SourceError as err:
        raise SourceError(f"{name}: {err}") from err
    if src.crs.to_epsg() != cells.frame.epsg:
        raise SourceError(
            f"{name}: lies in {src.crs}, the scene is looked for in EPSG:{cells.frame.epsg}; the item's grid is wrong, "
            "or missing"
        )
    high, wide = src.block_shapes[0]
    if src.count != 1 or src.dtypes[0] not in {"uint8", "uint16", "int16"} or high * wide > _MOST_BLOCK:
        raise SourceError(
            f"{name}: holds {src.count} bands of {src.dtypes[0]} in blocks of {wide} x {high}; one band of whole "
            "numbers in blocks of 4096 x 4096 at most is allowed"
        )
    return grid


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """Return ranges in order; those with little between them as one."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start - out[-1][1] <= _GAP and stop - out[-1][0] <= _RUN:
            out[-1] = out[-1][0], max(stop, out[-1][1])
        else:
            out.append((start, stop))
    return out


def _form(src: Any, meaning: Meaning) -> Form:
    return Form(
        crs=src.crs,
        transform=src.transform,
        shape=(src.height, src.width),
        dtype=src.dtypes[0],
        side=_side(src),
        nodata=0 if src.nodata is None else src.nodata,
        predictor=1 if src.dtypes[0] == "uint8" else 2,
        scale=meaning.scale,
        offset=meaning.offset,
        tags=meaning.tags,
    )


def _side(src: Any) -> int:
    """Return the side of the copy's blocks: the source's, unless these are strips, or larger than is good to read."""
    high, wide = src.block_shapes[0]
    return int(high) if high == wide and high % 16 == 0 and high <= 2 * _BLOCK else _BLOCK


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Yield a new file beside ``target`` that is gone afterwards."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}", suffix=".part", dir=target.parent)
        os.close(handle)
    except OSError as err:
        raise unwritable(target, err) from err
    path = Path(name)
    try:
        yield path
    except rasterio.errors.RasterioError:
        raise  # an OSError too, but of reading
    except OSError as err:
        raise unwritable(target, err) from err
    finally:
        path.unlink(missing_ok=True)


def _said(err: Exception) -> str:
    return str(err).splitlines()[0] if str(err) else type(err).__name__
