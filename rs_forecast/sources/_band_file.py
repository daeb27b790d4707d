"""Writing a band file: a sparse GeoTIFF in blocks, complete and right under its own name, or not there."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rs_forecast.errors import OutputError


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a band file is to be."""

    crs: Any
    transform: Affine
    shape: tuple[int, int]
    """Rows and columns."""
    dtype: str
    side: int
    """Rows and columns of a block."""
    nodata: float = 0
    predictor: int = 2
    scale: float = 1.0
    offset: float = 0.0
    tags: Mapping[str, str]
    description: str = ""


class BandWriter:
    """A band file under a temporary name. Outside of the windows that are written all is nodata and takes no room.

    Raises :class:`OutputError` wherever the disk does not take what is given.
    """

    def __init__(self, target: Path, form: Form) -> None:
        self._target = target
        self._written: list[tuple[Window, int]] = []
        try:
            handle, name = tempfile.mkstemp(prefix=_prefix(target), dir=target.parent)
            os.close(handle)
        except OSError as err:
            raise unwritable(target, err) from err
        self._path = Path(name)
        try:
            self._file: Any = _created(self._path, form)
        except (RasterioError, OSError) as err:
            self._path.unlink(missing_ok=True)
            raise unwritable(target, err) from err

    def write(self, values: NDArray[Any], window: Window) -> None:
        """Put values (row, column) in their place."""
        try:
            self._file.write(values, 1, window=window)
        except RasterioError as err:
            raise unwritable(self._target, err) from err
        self._written.append((window, _checksum(values)))

    def finish(self) -> None:
        """Read back what was written, and give the file its name: a full disk shows late, or never."""
        try:
            self._file.close()
            with self._path.open("r+b") as file:
                os.fsync(file.fileno())
            with rasterio.open(self._path, driver="GTiff") as src:
                whole = all(_checksum(src.read(1, window=window)) == due for window, due in self._written)
            if not whole:
                raise unwritable(self._target, "it was not written whole")
            self._path.chmod(0o644)
            self._path.replace(self._target)
        except (RasterioError, OSError) as err:
            raise unwritable(self._target, err) from err

    def discard(self) -> None:
        """Remove what has not been finished."""
        try:
            self._file.close()
        except RasterioError as err:
            raise unwritable(self._target, err) from err
        finally:
            self._path.unlink(missing_ok=True)


@contextmanager
def new_band_file(target: Path, form: Form) -> Iterator[BandWriter]:
    """Open a band file that takes the name ``target`` when the block ends well, and is gone if it does not.

    What a killed call left under temporary names is removed: the folder is the caller's alone.
    """
    for left in target.parent.glob(f"{_prefix(target)}*"):
        left.unlink(missing_ok=True)
    writer = BandWriter(target, form)
    try:
        yield writer
        writer.finish()
    finally:
        writer.discard()


def unwritable(target: Path, why: object) -> OutputError:
    """Return the error that says why ``target`` cannot be written."""
    said = str(why).partition("\n")[0] or type(why).__name__
    return OutputError(f"{target}: cannot be written ({said}); make room, or choose another folder")


def _prefix(target: Path) -> str:
    return f".{target.name}.new-"


def _checksum(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values))


def _created(path: Path, form: Form) -> Any:
    file = rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=form.shape[1],
        height=form.shape[0],
        count=1,
        dtype=form.dtype,
        crs=form.crs,
        transform=form.transform,
        nodata=form.nodata,
        tiled=True,
        blockxsize=form.side,
        blockysize=form.side,
        compress="DEFLATE",
        predictor=form.predictor,
        sparse_ok=True,
    )
    file.scales, file.offsets = (form.scale,), (form.offset,)
    if form.description:
        file.set_band_description(1, form.description)
    file.update_tags(**form.tags)
    return file
