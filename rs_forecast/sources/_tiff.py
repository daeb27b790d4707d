"""Blocks of a GeoTIFF, decoded without GDAL where the file is plain enough: in half the time that it takes.

GDAL reads the header and says where the blocks lie; libdeflate inflates them. What is compressed or laid
out in another way is read through rasterio, one block at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deflate
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

_PLAIN_TYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file is cut into blocks, and where these lie in it."""

    path: str
    driver: str
    shape: tuple[int, int]
    """Rows and columns of the raster."""
    block: tuple[int, int]
    dtype: str
    plain: bool
    """Whether the blocks can be decoded here."""
    tiled: bool
    differences: bool
    """Whether a block holds each row's differences between neighbours."""
    places: NDArray[np.int64]
    """(block, 2): where its bytes begin, and how many they are; (0, 0) for one that was never written."""

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return -(-self.shape[1] // self.block[1])

    def corner(self, number: int) -> tuple[int, int]:
        """Return row and column of a block's first pixel."""
        return number // self.across * self.block[0], number % self.across * self.block[1]


def read_layout(path: str, driver: str) -> Layout:
    """Read a file's header; rasterio's errors pass."""
    with rasterio.open(path, driver=driver) as src:
        structure = src.tags(ns="IMAGE_STRUCTURE") | src.tags(1, ns="IMAGE_STRUCTURE")
        predictor = structure.get("PREDICTOR", "1")
        dtype = src.dtypes[0]
        plain = (
            driver == "GTiff"
            and src.count == 1
            and structure.get("COMPRESSION") == "DEFLATE"
            and "NBITS" not in structure
            and dtype in _PLAIN_TYPES
            and (predictor == "1" or (predictor == "2" and np.dtype(dtype).kind in "ui"))
            and _is_little_endian(path)
        )
        block = tuple(src.block_shapes[0])
        return Layout(
            path=path,
            driver=driver,
            shape=(src.height, src.width),
            block=block,
            dtype=dtype,
            plain=plain,
            tiled=bool(src.profile.get("tiled")),
            differences=predictor == "2",
            places=_places(src, block) if plain else np.zeros((0, 2), np.int64),
        )


def read_blocks(layout: Layout, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[Any], bool]]:
    """Yield some blocks as they are decoded: number, values, and whether these are differences along rows still.

    Raises
    ------
    OSError, ValueError, deflate.DeflateError, rasterio.errors.RasterioError
        A block cannot be decoded.
    """
    here = [number for number in numbers if layout.plain and layout.places[number, 1] > 0]
    if here:
        with Path(layout.path).open("rb", buffering=0) as file:
            for number in here:
                yield number, _inflated(layout, number, file), layout.differences
    if len(here) < len(numbers):
        with rasterio.open(layout.path, driver=layout.driver) as src:
            for number in set(numbers) - set(here):
                yield number, _by_rasterio(layout, src, number), False


def _by_rasterio(layout: Layout, src: Any, number: int) -> NDArray[Any]:
    top, left = layout.corner(number)
    high, wide = layout.block
    window = Window(left, top, min(wide, src.width - left), min(high, src.height - top))
    return np.asarray(src.read(1, window=window))


def _places(src: Any, block: tuple[int, int]) -> NDArray[np.int64]:
    down, across = -(-src.height // block[0]), -(-src.width // block[1])
    found = np.zeros((down * across, 2), np.int64)
    for number in range(down * across):
        name = f"{number % across}_{number // across}"
        offset, size = (src.get_tag_item(f"BLOCK_{what}_{name}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE"))
        if offset is not None and size is not None:
            found[number] = int(offset), int(size)
    return found


def _inflated(layout: Layout, number: int, file: Any) -> NDArray[Any]:
    top, _ = layout.corner(number)
    high, wide = layout.block
    rows = high if layout.tiled else min(high, layout.shape[0] - top)
    dtype = np.dtype(layout.dtype)
    offset, size = layout.places[number].tolist()
    file.seek(offset)
    packed = file.read(size)
    if len(packed) < size:
        raise ValueError(f"block {number} is cut short: {len(packed)} of {size} bytes are there")
    expected = rows * wide * dtype.itemsize
    raw = deflate.zlib_decompress(packed, expected)
    if len(raw) != expected:
        raise ValueError(f"block {number} holds {len(raw)} bytes, {expected} are due")
    return np.frombuffer(raw, dtype).reshape(rows, wide)


def _is_little_endian(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(2) == b"II" and sys.byteorder == "little"
