"""The store's files: one Parquet a scene, recipe and set of parcels, never changed once written.

A part holds a row for every parcel that the scene was asked for, by ``parcel_id``; one that was looked at and lay
under cloud has ``valid_weight`` 0. What the numbers came from stands in the file's own metadata, so a folder of parts
needs no register beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.errors import SourceError
from rs_forecast.workspace import sha256_text, write_atomic

FORMAT = 1
"""Raised when the kernels give other numbers for the same pixels: parts of another format are not looked at."""
WEIGHTS = ("valid_weight", "valid_fraction")
OUTLINE = "geom_hash"
_HEAD, _SEAL = b"rs_forecast", b"rs_forecast_sha256"


class DamagedPartError(SourceError):
    """A part of the store cannot be read; ``path`` is its file, or was, if another process has found the damage."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path}: damaged ({reason}); remove it, and the next update computes it anew")
        self.path, self.reason = path, str(reason)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a part's numbers came from."""

    scene_id: str
    tile: str
    date: str
    version: int
    """1 for the scene as first seen, one more each time its pixels were found changed."""
    seen: str
    """The day on which the store first saw this version."""
    known_at: str
    known_at_basis: str
    mask_classes: tuple[int, ...]
    mask_dilate_m: float
    pixel: float
    """Side of the finest band's pixels [m]."""
    contents: Mapping[str, str]
    """Per band that had to have a value, and the classification: hash of its pixels as stored."""
    readings: Mapping[str, str]
    """Per such band: hash of its scale, offset, nodata and grid."""
    indices: Mapping[str, str]
    """Hash of formula and range, by the name that the columns bear."""
    parcels: str
    """Hash of the column ``geom_hash``: parts with the same one have the same rows."""
    edition: int
    """Counts the parts of a scene in the order of their making."""
    format: int = FORMAT

    def column(self, index: str, stat: str) -> str:
        """Return the name of a column by the hash of its index."""
        name = next(name for name, found in self.indices.items() if found == index)
        return f"{name}_{stat}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of the store, and its head."""

    path: Path
    head: Head

    def read(self, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of numbers as arrays; DamagedPartError if a byte of them is not as it was written."""
        with _damage(self.path), pq.ParquetFile(self.path, page_checksum_verification=True) as file:
            table = file.read(columns=list(columns))
            return {name: table.column(name).to_numpy() for name in columns}

    def outlines(self) -> list[str]:
        """Return the column ``geom_hash``; DamagedPartError if it is not as it was written."""
        with _damage(self.path), pq.ParquetFile(self.path, page_checksum_verification=True) as file:
            found: list[str] = file.read(columns=[OUTLINE]).column(OUTLINE).to_pylist()
        if parcels_hash(found) != self.head.parcels:
            raise DamagedPartError(self.path, "its parcels are not those it names")
        return found


def parcels_hash(outlines: Sequence[str]) -> str:
    """Return the hash of a list of parcels, in order."""
    return sha256_text("\n".join(outlines))[:16]


def write_part(
    folder: Path, head: Head, ids: Sequence[str], outlines: Sequence[str], values: Mapping[str, NDArray[Any]]
) -> Part:
    """Write a part, whole or not at all, and return it.

    Parameters
    ----------
    ids, outlines
        The parcels' ids as they are now, and what tells their outlines apart.
    values
        Columns of ``WEIGHTS`` (float64) and of the indices (float32), NaN where there is nothing.
    """
    count = len(ids)
    day = pa.timestamp("us")
    columns: dict[str, pa.Array] = {
        schema.PARCEL: pa.array(ids, pa.string()),
        "date": pa.repeat(pa.scalar(np.datetime64(head.date, "us"), day), count),
        "known_at": pa.repeat(pa.scalar(np.datetime64(head.known_at, "us"), day), count),
        "tile": pa.repeat(head.tile, count),
        "scene_id": pa.repeat(head.scene_id, count),
        OUTLINE: pa.array(outlines, pa.string()),
        **{name: pa.array(column) for name, column in values.items()},
    }
    text = json.dumps({**asdict(head), "mask_classes": list(head.mask_classes)}, ensure_ascii=False, sort_keys=True)
    layout = pa.schema(
        [pa.field(name, column.type, nullable=False) for name, column in columns.items()],
        metadata={_HEAD: text.encode(), _SEAL: sha256_text(text).encode()},
    )
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(list(columns.values()), schema=layout),
        buffer,
        compression="zstd",  # with split bytes a third smaller than none, and read as fast
        compression_level=1,
        use_dictionary=["date", "known_at", "tile", "scene_id"],
        use_byte_stream_split=list(values),
        write_statistics=False,
        write_page_checksum=True,
    )
    folder = folder / _plain(head.tile)
    path = folder / f"{head.date}_{_plain(head.scene_id)}_v{head.version}_{sha256_text(text)[:12]}.parquet"
    return Part(path=write_atomic(path, buffer.getvalue()), head=head)


def scan(folder: Path) -> tuple[list[Part], list[DamagedPartError]]:
    """Return the parts in ``folder``, by scene and edition, and those whose end of file cannot be read."""
    parts: list[Part] = []
    damaged: list[DamagedPartError] = []
    with ThreadPoolExecutor() as pool:
        for found in pool.map(_open, sorted(folder.glob("*/*.parquet"))):
            if isinstance(found, Part):
                parts.append(found)
            elif found is not None:
                damaged.append(found)
    return sorted(parts, key=lambda part: (part.head.scene_id, part.head.edition)), damaged


def _open(path: Path) -> Part | DamagedPartError | None:
    """Return a part; None for one of another format, or gone since the folder was listed."""
    try:
        with _damage(path):
            if not path.exists():
                return None
            found = pq.read_metadata(path).metadata or {}
            text = found[_HEAD].decode()
            said = json.loads(text) if sha256_text(text) == found[_SEAL].decode() else {}
            if said["format"] != FORMAT:
                return None
            said["mask_classes"] = tuple(said["mask_classes"])
            return Part(path=path, head=Head(**{field.name: said[field.name] for field in fields(Head)}))
    except DamagedPartError as err:
        return err


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedPartError:
        raise
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as err:
        raise DamagedPartError(path, str(err).splitlines()[0] if str(err) else type(err).__name__) from err


def _plain(text: str) -> str:
    """Return a text as a piece of a file name, told apart by a hash where that changes it."""
    plain = re.sub(r"[^0-9A-Za-z.\-]", "-", text)[:60].strip(".") or "-"
    return plain if plain == text else f"{plain}-{sha256_text(text)[:8]}"
