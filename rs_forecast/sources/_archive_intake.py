"""Files that have just come, before they become a scene of the store: opened, decoded once, hashed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import deflate
import numpy as np
import rasterio.errors

from rs_forecast.catalog.bands import SCL
from rs_forecast.errors import SourceError
from rs_forecast.sources._archive_record import OK, QUARANTINED, BandRecord, Record, file_name
from rs_forecast.sources._headers import Header, read_header
from rs_forecast.sources._plausible import implausible
from rs_forecast.sources._scales import refuse_undeclared
from rs_forecast.sources._tiff import read_blocks, read_layout
from rs_forecast.sources.order import Order
from rs_forecast.sources.scene import check_bands
from rs_forecast.workspace import sha256_file


def take_in(order: Order, stage: Path, *, edition: int, seen: str, known_at: str, basis: str) -> Record:
    """Return the record of the files in ``stage``.

    Raises
    ------
    SourceError
        A band is missing, damaged, on another grid than the rest, or does not say what its numbers mean. Its file is
        removed, so that the next call downloads it again.
    """
    bands: dict[str, BandRecord] = {}
    crs = ""
    tags: dict[str, str] = {}
    for name in sorted(order.bands):
        file = stage / file_name(name)
        try:
            header = _checked(name, file)
        except SourceError:
            file.unlink(missing_ok=True)
            raise
        bands[name] = _band(name, file, header)
        crs = crs or (header.geobox.crs.to_wkt() if header.geobox.crs else "")
        tags |= header.tags
    record = Record(
        scene_id=order.scene_id,
        tile=order.tile,
        date=f"{order.date:%Y-%m-%d}",
        known_at=known_at,
        known_at_basis=basis,
        seen=seen,
        provider=order.provider,
        version=order.version,
        edition=edition,
        baseline=order.baseline or tags.get("PROCESSING_BASELINE", ""),
        synthetic=tags.get("SYNTHETIC", "").upper() == "YES",
        state=OK,
        reason="",
        detail=dict(order.detail),
        crs=crs,
        bands=bands,
        folder=stage,
    )
    scene = record.scene(checked=False)
    try:
        check_bands(scene.bands)
    except SourceError:
        for name in bands:
            (stage / file_name(name)).unlink()
        raise
    reason = implausible(scene)
    return replace(record, state=QUARANTINED, reason=reason) if reason else record


def _checked(name: str, file: Path) -> Header:
    if not file.is_file() or file.is_symlink():
        raise SourceError(f"{file.name}: the provider has not written it; fetch the scene again")
    header = read_header(str(file), "GTiff", quiet=False)
    if name != SCL and header.whole and header.scale == (1.0, 0.0):
        refuse_undeclared(f"{file.name}:")
    try:
        layout = read_layout(str(file), "GTiff")
        down = -(-layout.shape[0] // layout.block[0])
        there = np.flatnonzero(layout.places[:, 1]).tolist() if layout.plain else range(down * layout.across)
        for _ in read_blocks(layout, there):
            pass  # a block that is cut short or damaged raises
    except (OSError, ValueError, deflate.DeflateError, rasterio.errors.RasterioError) as err:
        raise SourceError(f"{file.name}: is damaged ({err}); fetch the scene again") from err
    return header


def _band(name: str, file: Path, header: Header) -> BandRecord:
    scale, offset = (1.0, 0.0) if name == SCL else header.scale
    nodata = 0.0 if header.nodata is None and header.whole and name != SCL else header.nodata
    return BandRecord(
        href=file.name,
        scale=scale,
        offset=offset,
        nodata=nodata,
        resolution=abs(float(header.geobox.affine.a)),
        transform=tuple(float(v) for v in tuple(header.geobox.affine)[:6]),
        shape=(int(header.geobox.shape[0]), int(header.geobox.shape[1])),
        sha256=sha256_file(file),
        size=file.stat().st_size,
    )
