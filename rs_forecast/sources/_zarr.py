"""Zarr stores on this computer: what may be opened, and blocks of their variables.

A store is a folder, and its metadata say with which codecs numbers were packed. Those that run code (``pickle``), and
any that we do not know, are refused before zarr sees the store; so are links, which may lead out of the folder.
A chunk of Blosc, zarr's usual packer, is held against the length in its own header: cut short by a few bytes it decodes
to other numbers in silence.

A chunk that is not there stands for its fill value: that is how chunks without data are kept, and how a lost one looks.
It is let pass where the fill value means no data, and an error elsewhere.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_forecast.catalog.bands import BAND_OF_CODE, SCL
from rs_forecast.errors import ConfigError, SourceError, listing
from rs_forecast.sources._tiff import Layout
from rs_forecast.sources.scene import BandFile

if TYPE_CHECKING:
    import zarr

ENDING = ".zarr"
_GROUP, _ARRAY = (".zgroup", "zarr.json"), (".zarray", "zarr.json")
_METADATA = frozenset((".zgroup", ".zarray", ".zattrs", ".zmetadata", "zarr.json"))
_MOST_METADATA = 4 * 1024**2
_MOST_ARRAYS = 1000
_MOST_CHUNK = 512 * 1024**2
_MOST_LINE = 10_000_000
"""Values of an array of one dimension: coordinates are read whole."""
_BLOCK = 512
_CODECS = frozenset((
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset",
    "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose",
    "vlen-bytes", "vlen-utf8", "zlib", "zstd",
))  # fmt: skip
"""Codecs that turn bytes to numbers or text, and do nothing else."""


def is_store(folder: Path) -> bool:
    """Whether a folder's name says that it is a Zarr store."""
    return folder.suffix.lower() == ENDING and folder.is_dir()


def open_store(folder: Path) -> xr.Dataset:
    """Return a store's variables; only coordinates are decoded.

    Raises
    ------
    ConfigError
        ``rs-forecast[zarr]`` is not installed.
    SourceError
        It is no Zarr group, or one that is not to be opened. What zarr finds damaged it says in errors of its own.
    """
    zarr = _library(folder)
    version = check_store(folder)
    root = zarr.open_group(zarr.storage.LocalStore(folder, read_only=True), mode="r", use_consolidated=False)
    for name, array in root.arrays():
        if array.ndim == 1 and _is_blosc(array):
            for chunk in np.ndindex(array.cdata_shape):
                _check_chunk(folder / name, array, chunk)
    cube = xr.open_dataset(
        zarr.storage.LocalStore(folder, read_only=True),
        engine="zarr",
        mask_and_scale=False,
        consolidated=False,  # what the arrays say of themselves counts: that has been looked at
        zarr_format=version,
        chunks=None,
    )
    for name, values in cube.indexes.items():
        if values.dtype.kind == "M" and not (values.is_unique and values.is_monotonic_increasing):
            cube.close()
            raise SourceError(f"its {name} does not rise from step to step: a chunk is missing, or steps need sorting")
    return cube


def check_store(folder: Path) -> int:
    """Return the version of a store's format, 2 or 3; SourceError if it is not to be opened."""
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = Path(place, name)
            if path.is_symlink():
                raise SourceError(f"{path.relative_to(folder)} is a link; copy what it leads to in its place")
            if name in _METADATA and path.is_file() and path.stat().st_size > _MOST_METADATA:
                size = path.stat().st_size / 1e6
                raise SourceError(f"{path.relative_to(folder)} has {size:.0f} MB, 4 MB of metadata are allowed")
    group = next((name for name in _GROUP if (folder / name).is_file()), None)
    if group is None:
        found = listing(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise SourceError(f"it is no Zarr group: it has neither .zgroup nor zarr.json (it holds {found})")
    arrays = sorted(path / name for path in folder.iterdir() for name in _ARRAY if (path / name).is_file())
    if len(arrays) > _MOST_ARRAYS:
        raise SourceError(f"it holds {len(arrays)} arrays, {_MOST_ARRAYS} are allowed")
    for file in arrays:
        _check_array(_read(file), file.parent.name)
    return 2 if group == ".zgroup" else 3


def blocks(band: BandFile, layout: Layout, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[Any], bool]]:
    """Yield blocks of one step of a variable, as :func:`rs_forecast.sources._tiff.read_blocks`."""
    array = open_band(band)
    for number in numbers:
        top, left = layout.corner(number)
        rows, cols = (top, top + layout.block[0]), (left, left + layout.block[1])
        yield number, read(Path(band.href, band.variable), array, band.step, rows, cols), False


def layout_of(band: BandFile) -> Layout:
    """Return a layout whose blocks are whole chunks of the store."""
    high, wide = open_band(band).chunks[-2:]
    rows, cols = band.geobox.shape
    return Layout(
        path=band.href,
        driver="Zarr",
        shape=(rows, cols),
        block=(_block_side(high, rows), _block_side(wide, cols)),
        dtype="",
        plain=False,
        tiled=True,
        differences=False,
        places=np.zeros((0, 2), np.int64),
    )


def _block_side(chunk: int, most: int) -> int:
    return min(chunk * max(1, _BLOCK // chunk), most)


def open_band(band: BandFile) -> zarr.Array[Any]:
    """Return a band's variable over (time, y, x), as :func:`open_variable`."""
    return open_variable(Path(band.href), band.variable, band.nodata)


def open_variable(folder: Path, name: str, nodata: float | None) -> zarr.Array[Any]:
    """Return a variable of a store; a chunk that is not there is an error unless it means no data."""
    metadata = next(path for ending in _ARRAY if (path := Path(folder, name, ending)).is_file())
    state = metadata.stat()
    return _opened(str(folder), name, nodata, state.st_mtime_ns, state.st_size)


def read(folder: Path, array: Any, step: int | slice, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
    """Return a part of a variable, whose folder is given, in this machine's byte order."""
    (top, bottom), (left, right) = rows, cols
    if _is_blosc(array):
        first, last = (step, step + 1) if isinstance(step, int) else (step.start, min(step.stop, array.shape[0]))
        ends = ((first, last), (top, min(bottom, array.shape[1])), (left, min(right, array.shape[2])))
        spans = (range(a // side, -(-b // side)) for (a, b), side in zip(ends, array.chunks, strict=True))
        for chunk in itertools.product(*spans):
            _check_chunk(folder, array, chunk)
    values = np.asarray(array[step, top:bottom, left:right])
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def stamp(folder: Path) -> list[int]:
    """Return what changes when any file of a store does: bytes, newest change [ns], and a checksum of all of these."""
    size, newest, checksum = 0, 0, 0
    for place, names, files in os.walk(folder):
        names.sort()
        for name in sorted(files):
            state = os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118 - there may be a hundred thousand
            size, newest = size + state.st_size, max(newest, state.st_mtime_ns)
            line = f"{place}/{name} {state.st_size} {state.st_mtime_ns} {state.st_ino}"
            checksum = zlib.crc32(line.encode(errors="surrogateescape"), checksum)
    return [size, newest, checksum]


def _is_blosc(array: Any) -> bool:
    return bool(array.compressors) and type(array.compressors[-1]).__name__.startswith("Blosc")


def _check_chunk(folder: Path, array: Any, chunk: tuple[int, ...]) -> None:
    """Raise ValueError unless a chunk is as long as its header says, or not there."""
    file = folder / array.metadata.encode_chunk_key(chunk)
    if not file.is_file():
        return
    with file.open("rb") as stream:
        head = stream.read(16)
    size, unpacked, packed = file.stat().st_size, *(int.from_bytes(head[at : at + 4], "little") for at in (4, 12))
    if len(head) < 16 or size != packed or unpacked > _MOST_CHUNK:
        raise ValueError(f"{file.name} has {size} bytes, its header tells of {packed} that hold {unpacked}")


@lru_cache(maxsize=64)
def _opened(href: str, variable: str, nodata: float | None, _changed: int, _size: int) -> zarr.Array[Any]:
    library = _library(Path(href))
    store = library.storage.LocalStore(href, read_only=True)
    array: zarr.Array[Any]
    array = library.open_array(store, path=variable, mode="r", config={"read_missing_chunks": True})
    fill = array.fill_value
    none = 0.0 if nodata is None and BAND_OF_CODE.get(variable.upper(), variable.lower()) == SCL else nodata
    if fill is not None and (np.isnan(fill) or (none is not None and float(fill) == none)):
        return array
    array = library.open_array(store, path=variable, mode="r", config={"read_missing_chunks": False})
    return array


def _library(folder: Path) -> Any:
    try:
        import zarr
        import zarr.storage
    except ImportError as err:
        raise ConfigError(
            f"{folder}: is a Zarr store, and the library that reads them is not here; install rs-forecast[zarr], or "
            "save the cube as NetCDF"
        ) from err
    return zarr


def _read(file: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as err:
        raise SourceError(f"{file.parent.name}/{file.name} cannot be read ({err}); copy the store again") from err
    if not isinstance(said, dict):
        raise SourceError(f"{file.parent.name}/{file.name} is no metadata of an array; copy the store again")
    return said


def _check_array(said: Mapping[str, Any], name: str) -> None:
    """Refuse an array that would run code, or fill the memory."""
    if said.get("node_type") == "group":
        return
    try:
        codecs = list(_codecs(said))
        grid = said["chunks"] if "chunks" in said else said["chunk_grid"]["configuration"]["chunk_shape"]
        shape, chunk = ([int(side) for side in sides] for sides in (said["shape"], grid))
        kind = said["dtype"] if "dtype" in said else said["data_type"]
        size = np.dtype(kind).itemsize if isinstance(kind, str) and kind not in {"string", "bytes"} else 8
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as err:
        raise SourceError(f"{name}: its metadata cannot be read ({type(err).__name__}: {err})") from err
    unknown = sorted(set(codecs) - _CODECS)
    if unknown:
        raise SourceError(
            f"{name} is packed with {listing(unknown)}, which may run code or is not known here; allowed are "
            f"{listing(sorted(_CODECS), 30)}. Write the store again without"
        )
    if "O" in str(kind)[:2] and not {"vlen-utf8", "vlen-bytes"} & set(codecs):
        raise SourceError(f"{name} holds Python objects ({kind}), numbers are due; write the store again without them")
    if {"sharding_indexed", "blosc"} <= set(codecs):
        raise SourceError(f"{name} has shards of Blosc, of which a damaged one cannot be told; write it with zstd")
    if said.get("storage_transformers"):
        raise SourceError(f"{name} has storage transformers, which are not read here; write the store again without")
    if np.prod(chunk, dtype=float) * size > _MOST_CHUNK or (len(shape) == 1 and shape[0] > _MOST_LINE):
        raise SourceError(
            f"{name} declares {shape} values in chunks of {chunk}; allowed are chunks of {_MOST_CHUNK // 1024**2} MB, "
            f"and {_MOST_LINE} values along one dimension alone. Write the store again in smaller chunks"
        )


def _codecs(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of all codecs of an array, those within shards too."""
    for codec in (*(said.get("filters") or ()), said.get("compressor"), *(said.get("codecs") or ())):
        if codec is None:
            continue
        if isinstance(codec, str):
            yield codec.removeprefix("numcodecs.")
            continue
        yield str(codec.get("id") or codec["name"]).removeprefix("numcodecs.")
        inner = codec.get("configuration") or {}
        yield from _codecs({"codecs": [*(inner.get("codecs") or ()), *(inner.get("index_codecs") or ())]})
