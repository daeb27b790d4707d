"""The record of a downloaded scene: what ``scene.json`` in its folder says, and the scene that it makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from affine import Affine
from odc.geo.geobox import GeoBox
from pydantic import ConfigDict, Field, TypeAdapter, with_config

from rs_forecast.catalog import BANDS
from rs_forecast.errors import SchemaError, SourceError
from rs_forecast.schema import day
from rs_forecast.sources.order import Order
from rs_forecast.sources.scene import BandFile, Scene, check_grid
from rs_forecast.workspace import read_json, sha256_text, write_json

RECORD = "scene.json"
OK, EVICTED, QUARANTINED = "ok", "evicted", "quarantined"
_HASH = re.compile(r"[0-9a-f]{64}")


_PLAIN = ConfigDict(extra="forbid", allow_inf_nan=False)


@with_config(_PLAIN)
@dataclass(frozen=True, kw_only=True)
class BandRecord:
    """One band file: how its numbers are read, where its pixels lie, and what its bytes are."""

    href: str
    """The file's name in the scene's folder."""
    scale: float
    offset: float
    nodata: float | None
    resolution: float
    """Side of a pixel [m]."""
    transform: Annotated[tuple[float, ...], Field(min_length=6, max_length=6)]
    shape: tuple[int, int]
    sha256: str
    size: int
    """Bytes."""


@with_config(_PLAIN)
@dataclass(frozen=True, kw_only=True)
class Record:
    """One version of a scene. Days are texts; ``folder`` is where the record was read, and not part of it."""

    scene_id: str
    tile: str
    date: str
    known_at: str
    known_at_basis: Annotated[str, Field(pattern="^(measured|assumed)$")]
    seen: str
    """The day on which the overpass was first there."""
    provider: str
    version: str
    edition: int
    """Grows with each version of the overpass; the greatest is the newest."""
    baseline: str
    synthetic: bool
    state: Annotated[str, Field(pattern=f"^({OK}|{EVICTED}|{QUARANTINED})$")]
    reason: str
    """Why it is in quarantine."""
    detail: Mapping[str, Any]
    crs: str
    bands: Mapping[str, BandRecord]
    folder: Path = field(default=Path(), compare=False)

    @property
    def size(self) -> int:
        """Bytes of the band files."""
        return sum(band.size for band in self.bands.values())

    @cached_property
    def sha256(self) -> str:
        """Hash over those of the bands."""
        return sha256_text("\n".join(f"{name} {band.sha256}" for name, band in sorted(self.bands.items())))

    def scene(self, latency_days: int | None = None, *, checked: bool) -> Scene:
        """Return the scene; ``checked`` says that the files are held against their hashes.

        An assumed ``known_at`` follows ``latency_days`` where they are given, but is never after the day it was seen.
        """
        date, known_at = day(self.date), day(self.known_at)
        if latency_days is not None and self.known_at_basis == "assumed":
            known_at = min(date + pd.Timedelta(days=latency_days), max(day(self.seen), date))
        bands = {
            name: BandFile(
                href=str(self.folder / band.href),
                driver="GTiff",
                geobox=GeoBox(band.shape, Affine(*band.transform), self.crs),
                scale=band.scale,
                offset=band.offset,
                nodata=band.nodata,
                sha256=band.sha256 if checked else "",
            )
            for name, band in self.bands.items()
        }
        return Scene(
            scene_id=self.scene_id,
            tile=self.tile,
            date=date,
            known_at=known_at,
            known_at_basis=self.known_at_basis,
            provider=self.provider,
            bands=bands,
            baseline=self.baseline,
            synthetic=self.synthetic,
            sha256=self.sha256,
            state=self.state,
        )

    def order(self) -> Order:
        """Return what this was downloaded for."""
        return Order(
            scene_id=self.scene_id,
            tile=self.tile,
            date=day(self.date),
            provider=self.provider,
            version=self.version,
            baseline=self.baseline,
            bands=tuple(self.bands),
            size=self.size,
            detail=self.detail,
        )


_RECORD = TypeAdapter(Record)


def folder_name(order: Order) -> str:
    """Return the name of a scene's folder: its id, and a hash of all that decides what is downloaded."""
    what = [order.provider, order.scene_id, order.version, sorted(order.bands), order.detail]
    code = sha256_text(json.dumps(what, sort_keys=True))[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', order.scene_id)[:120]}-{code}"


def file_name(band: str) -> str:
    """Return the name of a band's file."""
    return f"{BANDS[band].code}.tif"


def write_record(folder: Path, record: Record) -> None:
    """Write ``scene.json``, whole or not at all."""
    content = asdict(record)
    del content["folder"]
    content["sha256"] = record.sha256
    write_json(folder / RECORD, {**content, "seal": _seal(content)})


def read_record(folder: Path) -> Record:
    """Read ``scene.json``.

    Raises
    ------
    SourceError
        It is damaged, was changed by hand, or is none that a store writes.
    """
    file = folder / RECORD
    content = read_json(file)
    try:
        sealed = content.pop("seal") == _seal(content) and "folder" not in content
        said = content.pop("sha256")
        record = replace(_RECORD.validate_python(content), folder=folder)
        for name, band in record.bands.items():
            _check_band(name, band, record.crs)
        known = day(record.date) <= day(record.known_at)
        day(record.seen)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError, SchemaError, SourceError) as err:
        raise SourceError(f"{file}: is no record of a scene ({err}); fetch it again") from err
    if not sealed or record.sha256 != said or not record.bands or not known:
        raise SourceError(f"{file}: is damaged, or was changed after it was written; fetch it again")
    return record


def _seal(content: Mapping[str, Any]) -> str:
    """Return a hash of all that a record says: a scale or a day that changes must not pass in silence."""
    return sha256_text(json.dumps(content, sort_keys=True))


def _check_band(name: str, band: BandRecord, crs: str) -> None:
    if band.href != file_name(name) or not _HASH.fullmatch(band.sha256) or not band.scale > 0:
        raise ValueError(f"band {name} is not as a store writes it")
    check_grid(GeoBox(band.shape, Affine(*band.transform), crs))


def newest(records: Iterable[Record], states: Sequence[str] = (OK, EVICTED, QUARANTINED)) -> dict[str, Record]:
    """Return for each overpass the newest of its versions that is in one of ``states``."""
    found: dict[str, Record] = {}
    for record in records:
        if record.state in states and (record.scene_id not in found or record.edition > found[record.scene_id].edition):
            found[record.scene_id] = record
    return found
