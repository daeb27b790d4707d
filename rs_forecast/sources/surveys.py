"""Surveys: what was counted on a parcel on a day, and when the office knew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import NoDataError, SchemaError, listing
from rs_forecast.schema import PARCEL, SURVEYS, Problem, check_surveys, day, describe, drop_rows
from rs_forecast.sources._notation import Notation
from rs_forecast.sources._tables import LAT, LON, as_spelled, mark_synthetic, read_table, unknown_names
from rs_forecast.sources.communes import Communes, in_current_communes

_OPTIONAL = frozenset({PARCEL, "known_at"})
_INPUT = tuple(replace(f, required=False, nullable=True) if f.name in _OPTIONAL else f for f in SURVEYS)
_NAMES = [field.name for field in SURVEYS]
_TYPES = {"text": "str", "day": "datetime64[us]", "number": "float64"}
_POINT = "lon, lat"
_MEND = "mend the rows in the file"


def read_surveys(
    path: str | os.PathLike[str],
    parcels: gpd.GeoDataFrame,
    *,
    delay_days: int = 7,
    columns: Mapping[str, str] | None = None,
    pests: Mapping[str, Pest] | None = None,
    today: object = None,
    encoding: str | None = None,
    date_order: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    communes: Communes | None = None,
) -> pd.DataFrame:
    """Read field surveys (CSV, XLSX, or GeoJSON points), one row a parcel, day and pest.

    A zero is a finding and stays. A row by point goes to the parcel it lies in.

    Parameters
    ----------
    delay_days
        Days from a visit to the office, for rows without ``known_at`` [days].
    columns
        Our name -> the file's name.
    pests
        Known pests by name; by default the catalog's.
    today
        No visit may be later; by default today in UTC.
    date_order, decimal, thousands
        How the file writes days (``"dmy"``, ``"mdy"``) and numbers, where it is not 2026-03-02 and 1054.5.
    communes
        Under which old codes and names of communes count as those of today, where parcels are communes.

    Returns
    -------
    DataFrame
        Columns of ``schema.SURVEYS``, sorted by parcel, date and pest. ``attrs["known_at_assumed"]`` counts rows whose
        ``known_at`` is assumed, ``attrs["delay_days"]`` says how, ``attrs["synthetic"]`` marks simulated rows.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, or lacks a column.
    NoDataError
        No row can be used.

    Warns
    -----
    DataWarning
        Names each row left out, and why.
    """
    notation = Notation(date_order=date_order, decimal=decimal, thousands=thousands)
    table, problems, source = read_table(
        path, (*_INPUT, LON, LAT), what="surveys", columns=columns, encoding=encoding, notation=notation
    )
    _require_place(table, source)
    known = PESTS if pests is None else pests
    now = day(today) if today is not None else day(pd.Timestamp.now("UTC"))
    table, lost = _placed(table, parcels)
    problems = _once(problems, lost, table)
    table = table.reindex(columns=_NAMES).astype({f.name: _TYPES[f.kind] for f in SURVEYS})
    table[PARCEL] = as_spelled(table[PARCEL], parcels[PARCEL])
    if communes is not None:
        table[PARCEL] = in_current_communes(table, parcels[PARCEL], communes, source)
    problems += unknown_names(table[PARCEL], "a parcel_id of the parcels", parcels[PARCEL])
    problems += _pest_problems(table, known) + _date_problems(table, now)
    if {p.row for p in problems} >= set(table.index):
        raise NoDataError(f"{describe(problems, source)}. No row is left; {_MEND}")
    table = _known(drop_rows(table, problems, source, _MEND), delay_days)
    check_surveys(table, source)
    return mark_synthetic(table, table["method"].unique())


def _require_place(table: pd.DataFrame, source: str) -> None:
    if PARCEL not in table and not {"lon", "lat"} <= set(table):
        raise SchemaError(
            f"{source}: no column says where; allowed is parcel_id, or lon and lat [degrees, WGS 84]. "
            f"Found: {listing(table.columns, 20)}. Rename the column, or map it under [surveys.columns]"
        )


def _once(problems: list[Problem], lost: list[Problem], table: pd.DataFrame) -> list[Problem]:
    """Say about a row's place one thing only, and nothing of coordinates where the parcel is named."""
    outside = {p.row for p in lost if p.column == _POINT}
    silent = outside | set(table.index[table[PARCEL].notna()])
    cells = [p for p in problems if p.column not in ("lon", "lat") or p.row not in silent]
    told = {p.row for p in cells if p.column in ("lon", "lat")}
    return cells + [p for p in lost if p.column == _POINT or p.row not in told]


def _placed(table: pd.DataFrame, parcels: gpd.GeoDataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Give rows with a point and no ``parcel_id`` the parcel they lie in; name those outside every parcel."""
    ids = table[PARCEL] if PARCEL in table else pd.Series(None, index=table.index, dtype="str")
    rows = ids.index[ids.isna()]
    if not {"lon", "lat"} <= set(table):
        return table.assign(**{PARCEL: ids}), [Problem(row, PARCEL, None, "a parcel_id of the parcels") for row in rows]
    lon, lat = table.loc[rows, "lon"], table.loc[rows, "lat"]
    placeless = rows[(lon.isna() | lat.isna()).to_numpy()]
    rows = rows.difference(placeless)
    lon, lat = lon[rows], lat[rows]
    found = _parcel_of(lon, lat, parcels)
    ids = ids.copy()
    ids[found.index[found.notna()]] = found.dropna()
    outside = found.index[found.isna()]
    swapped = _parcel_of(lat[outside], lon[outside], parcels).notna()
    rule = "a point inside a parcel, degrees in WGS 84"
    lost = [Problem(row, PARCEL, None, "a parcel_id, or lon and lat") for row in placeless]
    lost += [
        Problem(r, _POINT, f"{lon[r]:.6g}, {lat[r]:.6g}", rule + (" (they look swapped)" if swapped[r] else ""))
        for r in outside
    ]
    return table.assign(**{PARCEL: ids}), lost


def _parcel_of(lon: pd.Series, lat: pd.Series, parcels: gpd.GeoDataFrame) -> pd.Series:
    """Return the parcel of each point; of several that overlap, the first by id."""
    out = pd.Series(None, index=lon.index, dtype="str")
    if lon.empty:
        return out
    points = gpd.GeoSeries(shapely.points(lon.to_numpy(), lat.to_numpy()), crs=4326).to_crs(parcels.crs)
    point, parcel = shapely.STRtree(parcels.geometry.array).query(points.array, predicate="intersects")
    hits = pd.DataFrame({"point": point, "id": parcels[PARCEL].to_numpy()[parcel]})
    first = hits.sort_values(["point", "id"]).drop_duplicates("point")
    out.iloc[first["point"].to_numpy()] = first["id"].to_numpy()
    return out


def _pest_problems(table: pd.DataFrame, pests: Mapping[str, Pest]) -> list[Problem]:
    problems = unknown_names(table["pest"], "a known pest", list(pests))
    units = table["pest"].map({name: pest.unit for name, pest in pests.items()})
    wrong = units.notna() & table["unit"].notna() & (units != table["unit"])
    rows = zip(table.index[wrong], table.loc[wrong, "pest"], table.loc[wrong, "unit"], strict=True)
    return problems + [
        Problem(row, "unit", unit, f"{pests[pest].unit}, the unit of {pest}") for row, pest, unit in rows
    ]


def _date_problems(table: pd.DataFrame, now: pd.Timestamp) -> list[Problem]:
    future = table.loc[table["date"] > now, "date"]
    problems = [Problem(row, "date", found, f"a day not after today, {now:%Y-%m-%d}") for row, found in future.items()]
    early = table[table["known_at"] < table["date"]]
    problems += [
        Problem(row, "known_at", found, f"a day not before the visit, {visit:%Y-%m-%d}")
        for row, found, visit in zip(early.index, early["known_at"], early["date"], strict=True)
    ]
    late = table[table["treated_on"] > table["date"]]
    return problems + [
        Problem(row, "treated_on", found, f"a day not after the visit, {visit:%Y-%m-%d}")
        for row, found, visit in zip(late.index, late["treated_on"], late["date"], strict=True)
    ]


def _known(table: pd.DataFrame, delay_days: int) -> pd.DataFrame:
    assumed = table["known_at"].isna()
    known_at = table["known_at"].fillna(table["date"] + np.timedelta64(delay_days, "D")).astype("datetime64[us]")
    out = table.assign(known_at=known_at)
    order = [PARCEL, "date", "pest", "known_at", *(n for n in _NAMES if n not in (PARCEL, "date", "pest", "known_at"))]
    out = out.sort_values(order).reset_index(drop=True)
    out.attrs = {"known_at_assumed": int(assumed.sum()), "delay_days": delay_days}
    return out
