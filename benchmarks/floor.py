"""The floor: decoding every block that holds parcels, of all eleven files, and nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.windows import Window
from tile import BLOCK, NORTH, WEST
from work import PIXEL, Work

THREADS = os.cpu_count() or 1


def blocks_under_parcels(work: Work, pixel: int) -> NDArray[np.int64]:
    """Return (block, 2) rows and columns of the blocks that the parcels' boxes touch, in a file of ``pixel`` metres."""
    bounds = work.parcels.geometry.bounds
    side = BLOCK * pixel
    top, bottom = (((NORTH - bounds[edge]) // side).to_numpy(int) for edge in ("maxy", "miny"))
    left, right = (((bounds[edge] - WEST) // side).to_numpy(int) for edge in ("minx", "maxx"))
    # a parcel is smaller than a block: its corners name all blocks that it touches
    corners = [np.column_stack(pair) for pair in ((top, left), (top, right), (bottom, left), (bottom, right))]
    return np.unique(np.concatenate(corners), axis=0)


class Plan:
    """What to decode. Made before the clock starts: the floor is decoding, not planning."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.blocks = {pixel: blocks_under_parcels(work, pixel) for pixel in (10, 20)}

    @cached_property
    def raw(self) -> list[tuple[Path, int, int, str]]:
        """Each block as (file, offset, bytes, kind of pixel)."""
        out = []
        for path in self._work.files:
            with tifffile.TiffFile(path) as file:
                page = file.pages[0]
                if (page.predictor, page.tilewidth) != (2, BLOCK):
                    raise ValueError(f"{path}: blocks of {BLOCK} pixels with predictor 2 are due; make the tile anew")
                for row, col in self._of(page.imagewidth):
                    number = row * -(-page.imagewidth // BLOCK) + col
                    out.append((path, page.dataoffsets[number], page.databytecounts[number], page.dtype.name))
        return out

    @cached_property
    def windows(self) -> list[tuple[Path, Window]]:
        """Each block as (file, window)."""
        out = []
        for path in self._work.files:
            with rasterio.open(path) as src:
                for row, col in self._of(src.width):
                    top, left = int(row) * BLOCK, int(col) * BLOCK
                    window = Window(left, top, min(BLOCK, src.width - left), min(BLOCK, src.height - top))
                    out.append((path, window))
        return out

    def _of(self, width: int) -> NDArray[np.int64]:
        return self.blocks[PIXEL if width == self._work.tile.size else 2 * PIXEL]


def decode_raw(plan: Plan) -> int:
    """Read and inflate raw blocks with libdeflate and undo the predictor; return the pixels decoded."""
    buffers = threading.local()

    def one(block: tuple[Path, int, int, str]) -> int:
        path, offset, count, kind = block
        if not hasattr(buffers, "bytes"):
            buffers.bytes = bytearray(BLOCK * BLOCK * 2)
        pixels = np.frombuffer(buffers.bytes, kind, BLOCK * BLOCK).reshape(BLOCK, BLOCK)
        with path.open("rb") as file:
            file.seek(offset)
            packed = file.read(count)
        imagecodecs.deflate_decode(packed, out=memoryview(buffers.bytes)[: pixels.nbytes])
        imagecodecs.delta_decode(pixels, axis=-1, out=pixels)
        return pixels.size

    return _spread(one, plan.raw)


def decode_rasterio(plan: Plan) -> int:
    """Read blocks with rasterio, each thread with its own open files; return the pixels decoded."""
    files = threading.local()

    def one(block: tuple[Path, Window]) -> int:
        path, window = block
        opened = files.__dict__.setdefault("opened", {})
        if path not in opened:
            opened[path] = rasterio.open(path)
        return opened[path].read(1, window=window).size

    return _spread(one, plan.windows)


def _spread(one: Callable[..., int], blocks: list) -> int:
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(one, blocks))
