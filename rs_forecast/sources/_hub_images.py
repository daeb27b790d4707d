"""Images in answers of Sentinel Hub, checked, and the files that they are put together to."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rs_forecast.errors import SourceError
from rs_forecast.sources._band_file import BandWriter, Form, new_band_file
from rs_forecast.sources._hub_windows import CELL, Bounds

SCALE, OFFSET = 1e-4, 0.0
"""What harmonised digital numbers mean, as the provider documents them."""
_SHIFT = 1e-3
"""Share of a pixel by which an answer's grid may differ from what was asked for."""


def read_answer(
    content: bytes, kind: str, outputs: Mapping[str, tuple[int, str]], bounds: Bounds, epsg: int, size: int
) -> dict[str, NDArray[Any]]:
    """Return the arrays (band, row, column) in an answer's bytes.

    Parameters
    ----------
    content, kind
        The bytes, and the content type that came with them.
    outputs
        Number of bands and type of each output that was asked for. One comes as a TIFF, several in a tar.
    bounds, epsg, size
        Where the image must lie, and its pixel size [m].

    Raises
    ------
    SourceError
        It is damaged, or something else than what was asked for.
    """
    members = {next(iter(outputs)): content} if len(outputs) == 1 else _unpacked(content, kind, outputs)
    return {
        name: _image(members[name], kind, count, dtype, (bounds, epsg, size))
        for name, (count, dtype) in outputs.items()
    }


def _unpacked(content: bytes, kind: str, names: Mapping[str, Any]) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            found = {Path(member.name).stem: member for member in archive if member.isfile()}
            missing = sorted(set(names) - set(found))
            if missing:
                raise SourceError(f"an archive without {missing[0]} came, it holds {sorted(found)}")
            return {name: _member(archive, found[name]) for name in names}
    except (tarfile.TarError, EOFError, OSError, ValueError) as err:
        raise SourceError(f"an answer of {len(content)} bytes and type {kind!r} is no whole tar ({err})") from err


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise SourceError(f"{member.name} is cut short: {len(data)} of {member.size} bytes are there")
    return data


def _image(data: bytes, kind: str, count: int, dtype: str, grid: tuple[Bounds, int, int]) -> NDArray[Any]:
    (left, bottom, right, top), epsg, size = grid
    due = (count, (top - bottom) // size, (right - left) // size)
    try:
        with MemoryFile(data) as memory, memory.open(driver="GTiff") as image:
            found = (image.count, image.height, image.width)
            if found != due or set(image.dtypes) != {dtype}:
                raise SourceError(f"an image {found} of {image.dtypes[0]} came, {due} of {dtype} is due")
            transform = Affine(size, 0, left, 0, -size, top)
            if image.crs != CRS.from_epsg(epsg) or not image.transform.almost_equals(transform, _SHIFT * size):
                raise SourceError(f"an image at {image.transform.to_gdal()} in {image.crs} came, not where it was due")
            return np.asarray(image.read())
    except (RasterioError, NotGeoreferencedWarning, OSError, ValueError) as err:
        raise SourceError(f"an answer of {len(data)} bytes and type {kind!r} is no whole GeoTIFF ({err})") from err


class BandFiles:
    """The files of some bands of one pixel size, while windows are put into them."""

    def __init__(self, files: Mapping[str, BandWriter], bounds: Bounds, size: int) -> None:
        self._files, self._bounds, self._size = files, bounds, size

    def write(self, bounds: Bounds, images: Mapping[str, NDArray[Any]]) -> None:
        """Put a window's image (row, column) of each band in its place."""
        left, _, _, top = bounds
        west, _, _, north = self._bounds
        for code, image in images.items():
            place = Window((left - west) // self._size, (north - top) // self._size, image.shape[1], image.shape[0])
            self._files[code].write(image, place)


@contextmanager
def new_band_files(
    folder: Path, codes: Sequence[str], bounds: Bounds, epsg: int, size: int, tags: Mapping[str, str]
) -> Iterator[BandFiles]:
    """Open a file for each band under a temporary name; each takes its own when the block ends well.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.
    """
    with ExitStack() as stack:
        files = {
            code: stack.enter_context(new_band_file(folder / f"{code}.tif", _form(code, bounds, epsg, size, tags)))
            for code in codes
        }
        yield BandFiles(files, bounds, size)


def _form(code: str, bounds: Bounds, epsg: int, size: int, tags: Mapping[str, str]) -> Form:
    left, bottom, right, top = bounds
    scale, offset = (1.0, 0.0) if code == "SCL" else (SCALE, OFFSET)
    return Form(
        crs=CRS.from_epsg(epsg),
        transform=Affine(size, 0, left, 0, -size, top),
        shape=((top - bottom) // size, (right - left) // size),
        dtype="uint8" if code == "SCL" else "uint16",
        side=CELL // size,
        scale=scale,
        offset=offset,
        tags=tags,
        description=code,
    )
