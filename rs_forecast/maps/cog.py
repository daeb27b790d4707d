"""Cloud-optimised GeoTIFFs written row of blocks by row of blocks, in memory that does not grow with the grid.

GDAL's COG driver wants the whole raster first and compresses it twice. Here each block is compressed once, overviews
are made from the rows of blocks as they come, and what is compressed waits in files without a name until the headers
that stand before it can be written. GDAL still says what the georeferencing tags are.

Layout: https://gdal.org/en/stable/drivers/raster/cog.html (headers before data, smallest overview first, each block
with its size before it and its last four bytes again after it).
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from rasterio.io import MemoryFile

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

BLOCK = 512
"""Rows and columns of a block."""

Halve = Callable[[NDArray[Any], Any, tuple[NDArray[Any], int, int]], Any]
"""``halve(block, nodata, (out, row, column))`` fills in the block at half its resolution, from there on."""
Mapper = Callable[[Callable[[int], bytes], Iterable[int]], Iterable[bytes]]
"""``map``, or one that spreads the calls over threads."""

_COMPRESSION = 1
"""Level of deflate. Maps of fields are long runs: higher levels take twice the time for a tenth of the size."""
_LARGEST_CLASSIC = 2**32 - 2**20
_STRUCTURE = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_SHORT, _LONG, _LONG8 = 3, 4, 16
_SIZES = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, 5: 8, 12: 8, _LONG8: 8}
"""Bytes of a value, by its TIFF type."""
_FROM_GDAL = (270, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Description, georeferencing, GDAL's metadata and nodata."""
_NODATA = 42113


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a raster says of itself and its one band."""

    dtype: str
    nodata: float
    description: str
    unit: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Tag:
    """An entry of a TIFF directory."""

    code: int
    kind: int
    raw: bytes

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.raw) // _SIZES[self.kind]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Level:
    """One resolution in the making."""

    shape: tuple[int, int]
    spool: IO[bytes]
    row: NDArray[Any]
    """(block, y, x): the row of blocks that is being filled from the level below; empty for the full resolution."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each block so far, row by row."""

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks down and across."""
        return -(-self.shape[0] // BLOCK), -(-self.shape[1] // BLOCK)


class CogWriter:
    """A raster of one band, filled block by block, row of blocks by row of blocks.

    :meth:`encode` may be called from several threads, for blocks of one row. Its results go to :meth:`append` in order,
    and :meth:`end_row` closes the row. The bytes written do not depend on threads.

    Parameters
    ----------
    path
        The file, written by :meth:`finish`. What waits for it lies in the same folder, without a name.
    geobox
        The grid, north up.
    look
        Data type, nodata value, description and tags.
    halve
        How a block becomes a quarter of an overview's.
    """

    def __init__(self, path: Path, geobox: GeoBox, look: Look, halve: Halve) -> None:
        self.path = path
        self._geobox, self._look, self._halve = geobox, look, halve
        self._nodata = np.dtype(look.dtype).type(look.nodata)
        # this block is met a thousand times where fields lie far apart, and so may cost a little more
        self._blank = isal_zlib.compress(np.full((BLOCK, BLOCK), self._nodata), isal_zlib.ISAL_BEST_COMPRESSION)
        self._open = contextlib.ExitStack()
        self._levels: list[_Level] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for number, shape in enumerate(level_shapes(geobox.shape)):
                spool = self._open.enter_context(tempfile.TemporaryFile(dir=path.parent))
                row = np.full((-(-shape[1] // BLOCK) if number else 0, BLOCK, BLOCK), self._nodata)
                self._levels.append(_Level(shape=shape, spool=spool, row=row))
            undo.pop_all()

    def close(self) -> None:
        """Let go of what waits."""
        self._open.close()

    @property
    def blank(self) -> bytes:
        """A block without data, compressed."""
        return self._blank

    def encode(self, column: int, block: NDArray[Any], *, level: int = 0) -> bytes:
        """Return block number ``column`` of the present row compressed, and pass it on to the overview above."""
        if level + 1 < len(self._levels):
            down = len(self._levels[level].sizes) // self._levels[level].blocks[1]
            corner = (down % 2) * BLOCK // 2, (column % 2) * BLOCK // 2
            self._halve(block, self._nodata, (self._levels[level + 1].row[column // 2], *corner))
        return isal_zlib.compress(np.ascontiguousarray(block), _COMPRESSION)

    def append(self, block: bytes, *, level: int = 0) -> None:
        """Add the next block of the row."""
        self._levels[level].sizes.append(len(block))
        self._levels[level].spool.write(struct.pack("<I", len(block)) + block + block[-4:])

    def end_row(self, each: Mapper = map, *, level: int = 0) -> None:
        """Close a row of blocks, and every row of the overviews that is complete with it."""
        down, across = self._levels[level].blocks
        done = len(self._levels[level].sizes) // across
        if level + 1 == len(self._levels) or (done % 2 and done < down):
            return
        upper = self._levels[level + 1]

        def encode(column: int) -> bytes:
            return self.encode(column, upper.row[column], level=level + 1)

        for block in each(encode, range(upper.blocks[1])):
            self.append(block, level=level + 1)
        upper.row[:] = self._nodata
        self.end_row(each, level=level + 1)

    def finish(self, *, largest: int = _LARGEST_CLASSIC) -> Path:
        """Write the file; a BigTIFF where it would have more than ``largest`` bytes. OSError if that cannot be."""
        tags = geotiff_tags(self._geobox, self._look)
        big = sum(level.spool.tell() for level in self._levels) > largest
        try:
            with self.path.open("wb") as file:
                file.write(_head(self._levels, tags, np.dtype(self._look.dtype), big=big))
                for level in reversed(self._levels):
                    level.spool.seek(0)
                    shutil.copyfileobj(level.spool, file, 2**20)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        finally:
            self.close()
        return self.path


def level_shapes(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return rows and columns of a raster and its overviews, each half of the last, down to one block."""
    shapes = [(int(shape[0]), int(shape[1]))]
    while max(shapes[-1]) > BLOCK:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def geotiff_tags(geobox: GeoBox, look: Look) -> list[Tag]:
    """Return the tags that say where a raster lies and what it is, as GDAL writes them for a raster of one pixel."""
    profile = {"driver": "GTiff", "count": 1, "height": 1, "width": 1, "dtype": look.dtype, "nodata": look.nodata}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=str(geobox.crs), transform=geobox.affine) as file:
            file.set_band_description(1, look.description)
            file.units = (look.unit,)
            file.update_tags(**look.tags)
        raw = bytes(memory.getbuffer())
    return [tag for tag in _read_tags(raw) if tag.code in _FROM_GDAL]


def _read_tags(raw: bytes) -> Iterator[Tag]:
    """The first directory of a little-endian classic TIFF."""
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        code, kind, values = struct.unpack_from("<HHI", raw, at)
        size = _SIZES[kind] * values
        (place,) = struct.unpack_from("<I", raw, at + 8) if size > 4 else (at + 8,)
        yield Tag(code, kind, raw[place : place + size])


def _head(levels: Sequence[_Level], tags: Sequence[Tag], dtype: np.dtype[Any], *, big: bool) -> bytes:
    """Everything before the first block: header, GDAL's note on the structure, the directories with their values."""
    start = b"II" + (struct.pack("<HHHQ", 43, 8, 0, 0) if big else struct.pack("<HI", 42, 0))
    note = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_STRUCTURE) + _STRUCTURE
    first = _even(len(start) + len(note))
    offsets = [np.zeros(len(level.sizes), np.int64) for level in levels]

    def directories() -> bytes:
        raw, at = b"", first
        for number, (level, places) in enumerate(zip(levels, offsets, strict=True)):
            entries = _level_tags(level, places, dtype, big=big, overview=number > 0)
            entries += tags if number == 0 else [tag for tag in tags if tag.code == _NODATA]
            raw += _directory(entries, at + len(raw), big=big, last=number == len(levels) - 1)
        return raw

    end = first + len(directories())  # places are of fixed width: the size is known before they are
    for level, places in zip(reversed(levels), reversed(offsets), strict=True):
        steps = np.array(level.sizes, np.int64) + 8
        places[:] = end + 4 + np.cumsum(steps) - steps
        end += int(steps.sum())
    pointer = struct.pack("<Q" if big else "<I", first)
    head = start[: -len(pointer)] + pointer + note
    return head + bytes(first - len(head)) + directories()


def _level_tags(
    level: _Level, places: NDArray[np.int64], dtype: np.dtype[Any], *, big: bool, overview: bool
) -> list[Tag]:
    shorts = {258: dtype.itemsize * 8, 259: 8, 262: 1, 277: 1, 284: 1, 317: 1, 322: BLOCK, 323: BLOCK}
    shorts[339] = 3 if dtype.kind == "f" else 1
    longs = {256: level.shape[1], 257: level.shape[0]} | ({254: 1} if overview else {})
    return [
        *(Tag(code, _SHORT, struct.pack("<H", value)) for code, value in shorts.items()),
        *(Tag(code, _LONG, struct.pack("<I", value)) for code, value in longs.items()),
        Tag(324, _LONG8 if big else _LONG, places.astype("<u8" if big else "<u4").tobytes()),
        Tag(325, _LONG, np.array(level.sizes, "<u4").tobytes()),
    ]


def _directory(tags: Sequence[Tag], at: int, *, big: bool, last: bool) -> bytes:
    """One directory that starts at byte ``at``, and after it the values that have no room in it."""
    head, entry, width, pointer = ("<Q", "<HHQ", 8, "<Q") if big else ("<H", "<HHI", 4, "<I")
    size = struct.calcsize(head) + len(tags) * (struct.calcsize(entry) + width) + width
    raw, values = struct.pack(head, len(tags)), b""
    for tag in sorted(tags, key=lambda tag: tag.code):
        raw += struct.pack(entry, tag.code, tag.kind, tag.count)
        if len(tag.raw) <= width:
            raw += tag.raw.ljust(width, b"\0")
        else:
            raw += struct.pack(pointer, at + size + len(values))
            values += tag.raw + bytes(len(tag.raw) % 2)
    values += bytes(_even(size + len(values)) - size - len(values))
    following = 0 if last else at + size + len(values)
    return raw + struct.pack(pointer, following) + values


def _even(number: int) -> int:
    return number + number % 2
