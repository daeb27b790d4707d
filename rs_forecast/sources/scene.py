"""What a scene is: one overpass over one tile, as files of bands that nobody has decoded yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from odc.geo.geobox import GeoBox

from rs_forecast.errors import SourceError
from rs_forecast.grid import ALIGNED

_MOST_PIXELS = 40_000**2
_COLUMNS = ("scene_id", "tile", "date", "known_at", "known_at_basis", "provider", "baseline", "sha256", "state")


@dataclass(frozen=True, kw_only=True)
class BandFile:
    """One band of one scene. Reflectance is ``raw * scale + offset``, cut at 0; ``nodata`` is a raw value."""

    href: str
    driver: str
    """GDAL's name of the format, ``GTiff`` or ``JP2OpenJPEG``, or ``NetCDF`` or ``Zarr`` for a variable of a cube."""
    geobox: GeoBox
    scale: float
    offset: float
    nodata: float | None
    variable: str = ""
    step: int = 0
    """In a cube: the variable, and the index along its time dimension."""
    sha256: str = ""
    """Hash of the file, where a store has just held the file against it; empty where nobody has."""

    @property
    def file(self) -> Path:
        """The file on disk: ``href``, or the zip that it lies in."""
        in_zip = re.match(r"/vsizip/(.+?\.zip)/", self.href, re.IGNORECASE)
        return Path(in_zip[1] if in_zip else self.href)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One overpass. ``bands`` are named as in :mod:`rs_forecast.catalog.bands`."""

    scene_id: str
    tile: str
    date: pd.Timestamp
    known_at: pd.Timestamp
    known_at_basis: str
    """``measured`` where a fetch of ours saw it arrive, ``assumed`` for date + latency."""
    provider: str
    bands: Mapping[str, BandFile]
    baseline: str = ""
    synthetic: bool = False
    sha256: str = ""
    """Hash over those of the bands, where a store knows them."""
    state: str = "ok"
    """``ok``; ``evicted`` where the files are gone, and what was computed of them is left."""


def check_grid(grid: GeoBox) -> None:
    """Raise :class:`SourceError` unless ``grid`` can be a satellite image's: square pixels in metres, north up."""
    rows, cols = grid.shape
    if rows * cols > _MOST_PIXELS:
        raise SourceError(f"declares {cols} x {rows} pixels; no Sentinel-2 tile is as large")
    a = grid.affine
    if a.b or a.d or a.a <= 0 or abs(a.a + a.e) > 1e-6 * a.a:
        raise SourceError(f"its pixels are not square and north-up (transform {a.to_gdal()}); write it again so")
    crs = grid.crs
    if crs is None or not crs.projected or crs.units != ("metre", "metre"):
        raise SourceError(
            f"its CRS is {crs or 'missing'}; a projected one in metres is due, such as the tile's UTM zone"
        )


def check_bands(bands: Mapping[str, BandFile]) -> None:
    """Raise :class:`SourceError` unless the bands' pixels nest: each edge of a coarse one on an edge of the finest."""
    finest = min(bands.values(), key=lambda band: abs(band.geobox.affine.a)).geobox
    for name, band in bands.items():
        a, b = band.geobox.affine, finest.affine
        steps = ((a.c - b.c) / b.a, (a.f - b.f) / b.e, a.a / b.a)
        if band.geobox.crs != finest.crs or any(abs(step - round(step)) > ALIGNED for step in steps):
            raise SourceError(
                f"{band.href}: band {name} lies {steps[0]:.2f} columns and {steps[1]:.2f} rows from the finest, so "
                "their pixels do not nest; its georeference is wrong, fetch it again"
            )


def scenes_table(scenes: Iterable[Scene], *, files: bool = False) -> pd.DataFrame:
    """Return one row a scene: ``scene_id tile date known_at known_at_basis provider baseline sha256 state bands``.

    With ``files`` also, for each band of any scene, ``<band>_href``, ``_scale``, ``_offset``, ``_nodata`` and
    ``_resolution`` [m].
    """
    scenes = list(scenes)
    names = [*_COLUMNS, "bands"]
    rows = [{**{name: getattr(scene, name) for name in _COLUMNS}, "bands": " ".join(scene.bands)} for scene in scenes]
    if files:
        found = dict.fromkeys(band for scene in scenes for band in scene.bands)
        names += [f"{band}_{what}" for band in found for what in ("href", "scale", "offset", "nodata", "resolution")]
        for row, scene in zip(rows, scenes, strict=True):
            for band, file in scene.bands.items():
                row |= {f"{band}_{what}": getattr(file, what) for what in ("href", "scale", "offset", "nodata")}
                row[f"{band}_resolution"] = abs(float(file.geobox.affine.a))
    return pd.DataFrame(rows, columns=names)
