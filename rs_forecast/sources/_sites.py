"""Weather per site: which site serves which parcel, and what is refused whatever the source."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from rs_forecast.errors import DataWarning, NoDataError, SchemaError, listing
from rs_forecast.schema import (
    PARCEL,
    WEATHER,
    WEATHER_NAMES,
    WEATHER_VARIABLES,
    WEATHER_WEIGHTS,
    Problem,
    check_weather,
    day,
    describe,
)

KEY = ["site", "date", "known_at"]

_EARTH_KM = 6371.0088
FAR_KM = 100.0
"""From here on the weather of a site says little about a parcel's; such parcels are named."""
_SLACK = 1.0
"""By how much a mean may lie outside minimum and maximum: they come from other hours, or are rounded [°C, %]."""
_TYPES = {"text": "str", "day": "datetime64[us]", "number": "float64"}


class Weather(NamedTuple):
    """Daily weather: rows per site, and the share of each site in each parcel's weather (sums to 1)."""

    rows: pd.DataFrame
    weights: pd.DataFrame


def no_weather() -> Weather:
    """Return tables with the right columns and no row."""
    rows = pd.DataFrame({f.name: pd.Series(dtype=_TYPES[f.kind]) for f in WEATHER})
    weights = pd.DataFrame({f.name: pd.Series(dtype=_TYPES[f.kind]) for f in WEATHER_WEIGHTS})
    return Weather(rows, weights)


def nearest_site(parcels: gpd.GeoDataFrame, sites: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the weight table in which each parcel takes its nearest site.

    ``sites`` has columns ``site, lon, lat`` [degrees, WGS 84]. Distances are along straight lines through a sphere,
    which orders sites as the great circle does.
    """
    sites = sites.sort_values("site").reset_index(drop=True)
    middle = parcels.geometry.representative_point().to_crs(4326)
    tree = cKDTree(on_sphere(sites["lon"].to_numpy(), sites["lat"].to_numpy()))
    chord, index = tree.query(on_sphere(middle.x.to_numpy(), middle.y.to_numpy()))
    km = 2 * _EARTH_KM * np.arcsin(np.clip(chord / 2, 0, 1))
    far = km > FAR_KM
    if far.any():
        _refuse_if_swapped(middle, sites, source)
        text = listing(parcels.loc[far, PARCEL])
        at = int(np.argmax(km))
        warnings.warn(
            DataWarning(
                f"{source}: {int(far.sum())} parcels are more than {FAR_KM:g} km from their nearest site ({text}; the "
                f"farthest {km[at]:.0f} km from {sites['site'][index[at]]}). Check lon and lat, or give weather of the "
                "place; without it they have none"
            ),
            stacklevel=3,
        )
    return weigh(parcels.loc[~far, PARCEL], sites["site"].to_numpy()[index[~far]])


def kilometres(middle: gpd.GeoSeries, sites: pd.DataFrame) -> np.ndarray:
    """Return the distances (point, site) [km] of points in degrees from ``sites`` with ``lon, lat``."""
    here = on_sphere(middle.x.to_numpy(), middle.y.to_numpy())
    there = on_sphere(sites["lon"].to_numpy(), sites["lat"].to_numpy())
    chord = np.linalg.norm(here[:, None, :] - there[None, :, :], axis=2)
    return np.asarray(2 * _EARTH_KM * np.arcsin(np.clip(chord / 2, 0, 1)))


def _refuse_if_swapped(middle: gpd.GeoSeries, sites: pd.DataFrame, source: str) -> None:
    """Raise SchemaError if the sites would lie near with longitude and latitude exchanged."""
    other = sites.loc[sites["lon"].abs() <= 90].head(1000).rename(columns={"lon": "lat", "lat": "lon"})
    if len(other) and kilometres(middle.iloc[:1], other).min() < FAR_KM:
        raise SchemaError(
            f"{source}: the sites lie far from the parcels, and would lie near with lon and lat exchanged (the first "
            f"is at lon {sites['lon'].iloc[0]:g}, lat {sites['lat'].iloc[0]:g}); exchange the two columns"
        )


def weigh(parcel_ids: pd.Series, sites: object) -> pd.DataFrame:
    """Return the weight table that gives each parcel one site."""
    table = pd.DataFrame({PARCEL: parcel_ids.to_numpy(), "site": sites, "weight": 1.0})
    return table.astype({PARCEL: "str", "site": "str"})


def in_range(rows: pd.DataFrame, source: str, problems: list[Problem], *, grid: bool = False) -> pd.DataFrame:
    """Return ``rows`` with cells out of range, or minimum above maximum, missing; each named with ``problems``.

    The cell is left out and not the row: the row's other variables may be right. The rows of a ``grid`` have no row
    number in a file and are named by cell and day.

    Raises
    ------
    SchemaError
        No value of a column is in its range: the column is in another unit.
    """
    out = rows.copy()
    found = list(problems)
    for field in WEATHER_VARIABLES:
        if field.name not in out:
            continue
        values = out[field.name]
        bad = (values < field.low) | (values > field.high)
        # one value throughout is a code for missing
        if bad.any() and bad.sum() == values.notna().sum() and values.min() < values.max():
            raise SchemaError(_other_unit(field.name, float(values[bad].iloc[0]), field.rule, source))
        found += [Problem(row, field.name, value, field.rule) for row, value in values[bad].items()]
        out.loc[bad, field.name] = np.nan
    for low, mean, high in (("temp_min", "temp_mean", "temp_max"), ("rh_min", "rh_mean", "rh_max")):
        if low in out and high in out:
            bad = out[low] > out[high]
            pairs = zip(out.index[bad], out.loc[bad, low], out.loc[bad, high], strict=True)
            found += [Problem(row, low, least, f"at most {high}, {most:g}") for row, least, most in pairs]
            out.loc[bad, [low, high]] = np.nan
        for bound, sign in ((low, -1), (high, 1)):
            if mean in out and bound in out:
                bad = sign * (out[mean] - out[bound]) > _SLACK
                pairs = zip(out.index[bad], out.loc[bad, mean], out.loc[bad, bound], strict=True)
                word = "most" if sign > 0 else "least"
                found += [Problem(row, mean, value, f"at {word} {bound}, {limit:g}") for row, value, limit in pairs]
                out.loc[bad, [mean, bound]] = np.nan
    if grid:
        at = rows.loc[rows.index.isin({p.row for p in found}), ["site", "date"]]
        names = {row: f"of {site} on {date:%Y-%m-%d}" for row, site, date in at.itertuples(name=None)}
        found = [p._replace(row=names[p.row]) for p in found]
    if found:
        text = (
            f"{describe(found, source)}. These cells are taken as missing (of a pair, both); the rest of the row stays"
        )
        warnings.warn(DataWarning(text), stacklevel=3)
    return out


def _other_unit(column: str, value: float, rule: str, source: str) -> str:
    kelvin = column.startswith("temp_") and 200 < value < 340
    hint = (
        f'they look like kelvin; subtract 273.15, or declare units = {{ {column} = "K" }}'
        if kelvin
        else "convert the column, or map the right one"
    )
    return f"{source}: no value of column {column} is {rule}, the first is {value:g}: {hint}"


def refuse_swapped(table: pd.DataFrame, source: str) -> None:
    """Raise SchemaError if latitudes cannot be such and would do as longitudes, and the other way round."""
    if not {"lon", "lat"} <= set(table.columns):
        return
    lat, lon = table["lat"].dropna(), table["lon"].dropna()
    if len(lat) and lat.abs().gt(90).all() and lat.abs().le(180).all() and lon.abs().le(90).all():
        raise SchemaError(
            f"{source}: lat is {lat.iloc[0]:g} and lon {lon.iloc[0]:g}; they look swapped. Exchange the two columns"
        )


def finish(rows: pd.DataFrame, weights: pd.DataFrame, source: str, start: object, end: object) -> Weather:
    """Return checked tables: cut to the days asked for, sorted, without repeats; gaps are named and stay gaps."""
    rows = rows.reindex(columns=[f.name for f in WEATHER])
    rows = rows.astype({f.name: _TYPES[f.kind] for f in WEATHER})
    rows = rows.dropna(subset=list(WEATHER_NAMES), how="all")
    rows = _within(rows, source, start, end)
    rows = _one_a_key(rows, source).sort_values(KEY).reset_index(drop=True)
    if rows.empty:
        raise NoDataError(f"{source}: every row is given twice with different values; keep one of each")
    _name_gaps(rows, source)
    served = weights["site"].isin(rows["site"].unique())
    if not served.all():
        text = f"{source}: no weather for parcel {listing(weights.loc[~served, PARCEL])}; add rows of their sites"
        warnings.warn(DataWarning(text), stacklevel=3)
    weights = weights[served].sort_values([PARCEL, "site"])
    weather = Weather(rows, weights.reset_index(drop=True))
    check_weather(*weather, source)
    return weather


def _within(rows: pd.DataFrame, source: str, start: object, end: object) -> pd.DataFrame:
    if rows.empty:
        raise NoDataError(f"{source}: no weather value can be used; mend the cells that the warnings name")
    first = day(start) if start is not None else rows["date"].min()
    last = day(end) if end is not None else rows["date"].max()
    inside = rows[rows["date"].between(first, last)]
    if inside.empty:
        raise NoDataError(
            f"{source}: no weather from {first:%Y-%m-%d} to {last:%Y-%m-%d}; it holds {rows['date'].min():%Y-%m-%d} to "
            f"{rows['date'].max():%Y-%m-%d}. Extend the file, or ask for other days"
        )
    return inside


def _one_a_key(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Drop rows that repeat a key with equal values; leave out, and name, all rows of a key that disagree."""
    # NaN equals NaN here
    rows = rows[~rows.duplicated()]
    twice = rows.duplicated(KEY, keep=False)
    if not twice.any():
        return rows
    items = []
    for (site, date, _), group in rows[twice].groupby(KEY, sort=True):
        differ = [n for n in WEATHER_NAMES if len(group[n].drop_duplicates()) > 1]
        values = " and ".join(f"{value:g}" for value in group[differ[0]])
        items.append(f"{site} on {date:%Y-%m-%d} (rows {listing(group.index)}: {differ[0]} {values})")
    text = listing(items, sep="; ")
    warnings.warn(
        DataWarning(f"{source}: given more than once with different values: {text}. All left out; keep the right one"),
        stacklevel=4,
    )
    return rows[~twice]


def _name_gaps(rows: pd.DataFrame, source: str) -> None:
    items = []
    for site, dates in rows.groupby("site", sort=True)["date"]:
        present = dates.drop_duplicates()
        step = present.diff().dt.days
        for at in step.index[step > 1]:
            first = present[at] - pd.Timedelta(days=step[at] - 1)
            last = present[at] - pd.Timedelta(days=1)
            span = f"from {first:%Y-%m-%d} to {last:%Y-%m-%d} ({step[at] - 1:.0f} days)"
            items.append(f"{site} {span}" if last > first else f"{site} on {first:%Y-%m-%d} (1 day)")
    if items:
        text = f"{source}: days are missing, and stay missing: {listing(items, sep='; ')}"
        warnings.warn(DataWarning(text), stacklevel=4)


def on_sphere(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return points (n, 3) of the unit sphere."""
    east, north = np.radians(lon), np.radians(lat)
    return np.column_stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
