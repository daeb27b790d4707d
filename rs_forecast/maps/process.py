"""What process models say as files: one raster and one file of parcels a pest, each marked as not calibrated.

The numbers are shares of past years, no probabilities: no file speaks of risk, and none has classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from rs_forecast.errors import NoDataError
from rs_forecast.grid import output_geobox
from rs_forecast.kernels.pyramid import halve_mean
from rs_forecast.maps.classes import PROBABILITY_NODATA
from rs_forecast.maps.cog import CogWriter, Look
from rs_forecast.maps.layer import SYNTHETIC, check_file_name
from rs_forecast.maps.products import parcels_of
from rs_forecast.maps.rasters import check_size, shares, write_cogs
from rs_forecast.maps.styles import share_style
from rs_forecast.maps.vectors import find_transformer, geometry_texts, write_features
from rs_forecast.schema import PARCEL
from rs_forecast.workspace import unwritable

MARK = "process model, not calibrated"
SAYS = "share of past years with less favourable weather"
PROPERTIES = (
    "parcel_id", "pest", "issued", "process_index", "model", "sown", "sown_basis", "past_years", "status", "reasons",
    "note",
)  # fmt: skip
_COLOURS = ("#f1eef6", "#bdc9e1", "#74a9cf", "#2b8cbe", "#045a8d")
"""ColorBrewer's PuBu, a fifth of the years each: no colour of a risk class, and of rising darkness in print."""
_NOTHING = "#c8c0b0"


def write_process_products(
    table: gpd.GeoDataFrame,
    folder: Path,
    *,
    crs: Any = None,
    resolution: float = 10.0,
    synthetic: bool = False,
    notes: Sequence[str] = (),
    geojson: bool = True,
    geoparquet: bool = False,
) -> list[Path]:
    """Write the table of :func:`rs_forecast.process_map.process_map` into a folder that exists; return the files.

    Per pest ``<pest>_process.tif`` (cloud-optimised, float32, -9999 where there is no parcel or it is not assessable),
    ``<pest>_process.geojson``, and for both ``<pest>_process.qml``. With ``geoparquet`` also
    ``<pest>_process.parquet``, in the parcels' CRS.

    Parameters
    ----------
    crs, resolution, synthetic, notes, geojson, geoparquet
        As in :func:`rs_forecast.write_risk_map`.

    Raises
    ------
    NoDataError
        The table is empty.
    ConfigError, SchemaError, OutputError
        As in :func:`rs_forecast.write_risk_map`.
    """
    if table.empty:
        raise NoDataError("the table of process models has no row, so there is nothing to map")
    parcels = parcels_of(table)
    geobox = output_geobox(parcels, crs, resolution)
    check_size(geobox)
    find_transformer(parcels.crs, str(geobox.crs))
    layers = [rows for _, rows in table.assign(note=MARK).groupby("pest", sort=True)]
    texts = geometry_texts(parcels.geometry) if geojson else []
    try:
        cogs = [_cog(rows, geobox, folder, synthetic=synthetic, notes=notes) for rows in layers]
        written = write_cogs(cogs, [shares(rows["process_index"]) for rows in layers], parcels, geobox)
        for rows in layers:
            stem = folder / _stem(rows)
            if geojson:
                path = stem.with_suffix(".geojson")
                about = _members(rows, synthetic=synthetic, notes=notes)
                written.append(write_features(path, rows, PROPERTIES, texts, about))
            if geoparquet:
                written.append(_write_parquet(rows, stem.with_suffix(".parquet")))
            written.append(_write_style(rows, stem.with_suffix(".qml"), synthetic=synthetic, notes=notes))
    except OSError as err:
        raise unwritable(folder, err) from err
    return written


def _stem(rows: gpd.GeoDataFrame) -> str:
    pest = str(rows["pest"].iloc[0])
    check_file_name(pest)
    return f"{pest}_process"


def _title(*, synthetic: bool) -> str:
    return f"{SYNTHETIC}: {MARK}: {SAYS}" if synthetic else f"{MARK}: {SAYS}"


def _about(rows: gpd.GeoDataFrame) -> dict[str, str]:
    first = rows.iloc[0]
    return {"pest": first["pest"], "issued": f"{first['issued']:%Y-%m-%d}", "model": first["model"]}


def _cog(rows: gpd.GeoDataFrame, geobox: Any, folder: Path, *, synthetic: bool, notes: Sequence[str]) -> CogWriter:
    title = _title(synthetic=synthetic)
    tags = {"TIFFTAG_IMAGEDESCRIPTION": title, **{name.upper(): text for name, text in _about(rows).items()}}
    tags |= {"NOTE": MARK, "SYNTHETIC": "yes" if synthetic else "no"}
    tags |= {"NOTES": "\n".join(notes)} if notes else {}
    look = Look(dtype="float32", nodata=PROBABILITY_NODATA, description=title, unit="1", tags=tags)
    return CogWriter(folder / f"{_stem(rows)}.tif", geobox, look, halve_mean)


def _members(rows: gpd.GeoDataFrame, *, synthetic: bool, notes: Sequence[str]) -> dict[str, Any]:
    """Return what the file of parcels says of all of them."""
    name = f"{_stem(rows)} ({MARK})"
    return {
        "name": f"{name} ({SYNTHETIC})" if synthetic else name,
        "title": _title(synthetic=synthetic),
        "synthetic": synthetic,
        **_about(rows),
        "notes": list(notes),
    }


def _write_parquet(rows: gpd.GeoDataFrame, path: Path) -> Path:
    rows[[*PROPERTIES, rows.geometry.name]].to_parquet(path, index=False, compression="zstd")
    return path


def _write_style(rows: gpd.GeoDataFrame, path: Path, *, synthetic: bool, notes: Sequence[str]) -> Path:
    mark = f"{MARK}, {SYNTHETIC}" if synthetic else MARK
    ends = np.linspace(0, 100, len(_COLOURS) + 1).round().astype(int).tolist()
    steps = [
        (high / 100, f"weather more favourable than in {low}-{high} % of past years ({mark})", colour)
        for low, high, colour in zip(ends[:-1], ends[1:], _COLOURS, strict=True)
    ]
    about = _about(rows)
    lines = [_title(synthetic=synthetic), f"{about['pest']}, issued {about['issued']}, model {about['model']}", *notes]
    text = share_style("process_index", steps, (f"not assessable ({mark})", _NOTHING), lines, PARCEL)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
