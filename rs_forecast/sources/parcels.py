"""Parcels: any polygons of an office, made valid, with unique ids and a coordinate system that can be right."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError, listing
from rs_forecast.schema import PARCEL, check_parcels
from rs_forecast.sources._crop_names import catalogue_crops
from rs_forecast.sources._crs import settle_crs
from rs_forecast.sources._paths import input_file, unzipped_shapefile
from rs_forecast.sources._tables import as_text, mark_synthetic, nearest
from rs_forecast.sources._vectors import one_line, read_vector

OPTIONAL = ("commune_code", "sub_zone", "crop")
"""Text columns that are kept when the file has them."""

_FEATURE = "feature"
_LEAST_AREA = 1e-4
"""A parcel smaller than this is a line or a speck [ha]; a pixel is 0.01 ha."""


def read_parcels(
    path: str | os.PathLike[str],
    *,
    id: str | None = None,  # noqa: A002 - the word of the config
    columns: Mapping[str, str] | None = None,
    crs: object = None,
    encoding: str | None = None,
    layer: str | None = None,
) -> gpd.GeoDataFrame:
    """Read field, sub-zone or commune polygons from a vector file.

    Parameters
    ----------
    path
        GeoPackage, GeoJSON, shapefile (zipped too), FlatGeobuf, GeoParquet, KML, GML, MapInfo.
    id
        Column that holds the ids; by default ``parcel_id`` if there is one, else ids are made from the geometry.
    columns
        Our name -> the file's name, such as ``{"sub_zone": "TIEUVUNG"}``.
    crs
        For a file that declares none.
    encoding
        Of the texts, for a file that declares none, such as ``"windows-1258"`` or ``"tcvn3"`` (ABC fonts).
    layer
        For a file with several.

    Returns
    -------
    GeoDataFrame
        ``parcel_id`` (text, unique), ``commune_code``, ``sub_zone``, ``crop`` where given (as the catalogue calls it:
        ``lúa`` is rice), mapped columns, and valid two-dimensional ``geometry``, in the file's order and CRS.
        ``attrs["synthetic"]`` if the file says SYNTHETIC.

    Raises
    ------
    SourceError
        The file cannot be opened, or is of another kind than its name says.
    SchemaError
        Ids repeat, a column is missing, or the CRS is missing or contradicted by the coordinates.
    NoDataError
        No usable polygon is left.

    Warns
    -----
    DataWarning
        Names parcels repaired or left out, and says when ids were made.
    """
    file = input_file(path, "parcels")
    frame, texts = _read(file, layer, encoding)
    frame = settle_crs(frame, crs, file.name)
    wanted = dict(columns or {})
    frame = _named(frame, _id_column(frame, id, wanted, file.name), file.name)
    frame = _clean(frame, file.name)
    frame = _without_repeats(frame, file.name)
    out = _select(frame, wanted, file.name)
    if "crop" in out:
        out["crop"] = catalogue_crops(out["crop"])
    check_parcels(out, file.name)
    return mark_synthetic(out, texts)


def _read(file: Path, layer: str | None, encoding: str | None) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Return every feature with every column, and the file's descriptive texts."""
    if file.suffix.lower() in (".parquet", ".geoparquet"):
        return _read_parquet(file), []
    if file.suffix.lower() == ".zip":
        with unzipped_shapefile(file, "parcels", layer) as shape:
            frame, texts = read_vector(shape, "parcels", encoding=encoding, name=file.name)
    else:
        frame, texts = read_vector(file, "parcels", layer=layer, encoding=encoding)
    return _numbered(frame, file.name), texts


def _read_parquet(file: Path) -> gpd.GeoDataFrame:
    try:
        frame = gpd.read_parquet(file)
    except (ValueError, OSError, KeyError) as err:
        raise SourceError(f"parcels: {file.name} cannot be read as GeoParquet ({one_line(err)})") from err
    frame = frame.set_geometry(shapely.force_2d(frame.geometry.array), crs=frame.crs)
    return _numbered(frame, file.name)


def _numbered(frame: pd.DataFrame, name: str) -> gpd.GeoDataFrame:
    if not isinstance(frame, gpd.GeoDataFrame):
        raise SchemaError(f"{name}: the layer has no geometry, only columns {listing(frame.columns, 20)}")
    if frame.empty:
        raise NoDataError(f"{name}: it holds no feature; export the polygons again")
    if frame.geometry.name != "geometry":
        frame = frame.drop(columns="geometry", errors="ignore").rename_geometry("geometry")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name=_FEATURE)
    return frame


def _id_column(frame: gpd.GeoDataFrame, given: str | None, wanted: dict[str, str], name: str) -> str | None:
    mapped = wanted.pop(PARCEL, None)
    if given and mapped and given != mapped:
        raise ConfigError(
            f'{name}: the ids are asked from "{given}" (id) and "{mapped}" (columns); keep one of the two'
        )
    column = given or mapped
    if column is None:
        return PARCEL if PARCEL in frame.columns else None
    _require(frame, column, "id", name)
    return column


def _require(frame: gpd.GeoDataFrame, column: str, ours: str, name: str) -> None:
    found = [str(c) for c in frame.columns if c != "geometry"]
    if column not in found:
        same = [c for c in found if c.lower() == column.lower()]
        near = f'; did you mean "{same[0]}"?' if same else nearest(column, found)
        raise SchemaError(
            f'{name}: it has no column "{column}" for {ours}{near} Found: {listing(found, 20) or "no column"}'
        )


def _named(frame: gpd.GeoDataFrame, column: str | None, name: str) -> gpd.GeoDataFrame:
    """Return ``frame`` with text ids; rows without an id are named and left out."""
    if column is None:
        made = made_ids(frame)
        found = listing((c for c in frame.columns if c != "geometry"), 20)
        text = (
            f'{name}: no column "{PARCEL}" (found: {found or "none"}), so ids are made from the geometry, such as '
            f'"{made.iloc[0]}"; a field drawn anew is a new parcel. To use a column, set `id` under [parcels]'
        )
        warnings.warn(DataWarning(text), stacklevel=3)
        return frame.assign(**{PARCEL: made})
    ids = as_text(frame[column])
    if len(ids) > 1 and ids.notna().all() and (ids == ids.iloc[0]).all():
        raise SchemaError(_constant_id(frame, column, str(ids.iloc[0]), name))
    none = ids.index[ids.isna()]
    if len(none):
        text = f'{name}: {_FEATURE} {listing(none)} without an id in "{column}". Left out; give each parcel an id'
        warnings.warn(DataWarning(text), stacklevel=3)
    return frame.assign(**{PARCEL: ids}).drop(index=none)


def _constant_id(frame: gpd.GeoDataFrame, column: str, value: str, name: str) -> str:
    unique = [str(c) for c in frame.columns if c != "geometry" and frame[c].notna().all() and frame[c].is_unique]
    other = f"set id to a column that differs on every row ({listing(unique)})" if unique else "no other column serves"
    how = f'rename the column "{column}"' if column == PARCEL else "leave out `id` under [parcels]"
    return (
        f'{name}: "{column}" holds the same value {value!r} on all {len(frame)} features, so it names the file and not '
        f"the parcel; {other}. Or {how}: then ids are made from the geometry"
    )


def made_ids(frame: gpd.GeoDataFrame) -> pd.Series:
    """Return an id per geometry, ``p-`` and 12 hex digits; start point, direction and row order do not matter.

    Coordinates are rounded to 1e-7 degrees or 1 mm, so that a copy in another format keeps its ids.
    """
    digits = 7 if frame.crs is not None and frame.crs.is_geographic else 3
    # -0.0 and 0.0 are equal and have other bytes
    rounded = shapely.transform(frame.geometry.array, lambda xy: np.round(xy, digits) + 0.0)
    keys = shapely.to_wkb(shapely.normalize(rounded), byte_order=1, include_srid=False)
    return pd.Series([_digest(key) for key in keys], index=frame.index, dtype="str")


def _digest(key: bytes | None) -> str:
    return f"p-{hashlib.sha256(key or b'').hexdigest()[:12]}"


def _clean(frame: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Repair polygons that cross themselves, leave out what is no polygon; both by name."""
    why = _unusable(frame)
    frame, out = frame[why == ""], dict(why[why != ""].items())
    ids = frame[PARCEL]
    repaired = _repaired(frame, name)
    area = _hectares(repaired)
    small = area.index[~(area >= _LEAST_AREA)]
    out |= {i: f"an area of {area[i] * 1e4:.2g} m2, no field" for i in small}
    if out:
        named = {**dict.fromkeys(out, ""), **ids.to_dict()}
        text = listing((f"{_called(named[i], i)}: {reason}" for i, reason in sorted(out.items())), 10, "; ")
        warnings.warn(DataWarning(f"{name}: {len(out)} left out: {text}. Draw them again"), stacklevel=3)
    kept = repaired.drop(index=small)
    if kept.empty:
        raise NoDataError(f"{name}: no usable polygon is left of {len(frame) + len(why[why != ''])}")
    return kept


def _called(parcel_id: object, feature: Hashable) -> str:
    return f'parcel "{parcel_id}" ({_FEATURE} {feature})' if parcel_id else f"{_FEATURE} {feature}"


def _unusable(frame: gpd.GeoDataFrame) -> pd.Series:
    """Return for each feature why no polygon can come of it, or an empty text."""
    geometry = frame.geometry.array
    why = pd.Series("", index=frame.index, dtype=object)
    kinds = frame.geom_type
    why[~kinds.isin(["Polygon", "MultiPolygon", "GeometryCollection"])] = (
        "a " + kinds.astype(object).fillna("") + ", a "
    )
    why[why != ""] += "polygon is due"
    why[shapely.is_missing(geometry) | shapely.is_empty(geometry)] = "no geometry"
    xy, owner = shapely.get_coordinates(geometry, return_index=True)
    bad = ~np.isfinite(xy).all(axis=1)
    if frame.crs.is_geographic:
        bad |= (np.abs(xy) > [180.0, 90.0]).any(axis=1)
    why.iloc[np.unique(owner[bad])] = "a coordinate that is no number or no place on earth"
    return why


def _repaired(frame: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    wrong = ~frame.geometry.is_valid | (frame.geom_type == "GeometryCollection")
    if not wrong.any():
        return frame
    before = frame[wrong]
    parts = [_polygons(g) for g in shapely.make_valid(before.geometry.array, method="structure", keep_collapsed=False)]
    after = before.set_geometry(gpd.GeoSeries(parts, index=before.index, crs=frame.crs))
    was, now = _hectares(before), _hectares(after)
    items = [
        f"{_called(name_, i)}: {_reason(shape)}, area {was[i]:.4f} ha as drawn, {now[i]:.4f} ha repaired"
        for i, name_, shape in zip(before.index, before[PARCEL], before.geometry, strict=True)
    ]
    text = f"{name}: {len(items)} repaired: {listing(items, 10, '; ')}. Check their outlines"
    warnings.warn(DataWarning(text), stacklevel=4)
    geometry = frame.geometry.copy()
    geometry[wrong] = after.geometry
    return frame.set_geometry(geometry)


def _polygons(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return the polygon part of a geometry."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    return shapely.union_all([g for g in shapely.get_parts(geometry) if g.geom_type in ("Polygon", "MultiPolygon")])


def _reason(geometry: shapely.Geometry) -> str:
    text = str(shapely.is_valid_reason(geometry))
    if text == "Valid Geometry":
        return "polygons mixed with lines or points"
    return re.sub(r"\[(\S+) (\S+)\]", lambda m: f" at {float(m[1]):.8g} {float(m[2]):.8g}", text)


def _hectares(frame: gpd.GeoDataFrame) -> pd.Series:
    """Return areas [ha]; of degrees in the UTM zone of the middle."""
    if frame.empty:
        return pd.Series(dtype="float64")
    metric = frame.geometry.to_crs(frame.estimate_utm_crs()) if frame.crs.is_geographic else frame.geometry
    factor = 1.0 if frame.crs.is_geographic else frame.crs.axis_info[0].unit_conversion_factor
    return pd.Series(metric.area * factor**2 / 1e4)


def _without_repeats(frame: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Drop a parcel that is there twice with one geometry; refuse one id for several geometries."""
    shape = pd.Series(shapely.to_wkb(shapely.normalize(frame.geometry.array)), index=frame.index)
    again = frame.assign(_shape=shape).duplicated([PARCEL, "_shape"])
    if again.any():
        text = listing(_called(p, i) for i, p in frame.loc[again, PARCEL].items())
        warnings.warn(DataWarning(f"{name}: {text} repeats an earlier one exactly. Left out"), stacklevel=3)
        frame = frame[~again]
    twice = frame.duplicated(PARCEL, keep=False)
    if twice.any():
        groups = frame[twice].groupby(PARCEL, sort=True).groups
        text = listing((f'"{key}" ({_FEATURE}s {listing(rows)})' for key, rows in groups.items()), 5)
        raise SchemaError(
            f"{name}: {len(groups)} ids stand for several parcels: {text}. Ids must be unique: mend them, set `id` "
            "under [parcels] to a column that differs on every row, or rename the column and ids are made from the "
            "geometry"
        )
    return frame


def _select(frame: gpd.GeoDataFrame, wanted: Mapping[str, str], name: str) -> gpd.GeoDataFrame:
    """Return the columns of the table, ours by name; the rest is dropped."""
    if "geometry" in wanted:
        raise ConfigError(f'{name}: "geometry" under columns cannot be mapped; it is the shape itself')
    out: dict[str, Any] = {PARCEL: frame[PARCEL]}
    for ours in dict.fromkeys([*OPTIONAL, *wanted]):
        # a shapefile keeps ten letters of a name
        short = ours[:10] if ours not in frame.columns and ours not in wanted else ours
        theirs = wanted.get(ours, short)
        if ours in wanted:
            _require(frame, theirs, ours, name)
        if theirs in frame.columns:
            out[ours] = as_text(frame[theirs]) if ours in OPTIONAL else frame[theirs]
    return gpd.GeoDataFrame(out, geometry=frame.geometry, crs=frame.crs).reset_index(drop=True)
