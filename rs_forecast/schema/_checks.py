"""One check a table: it passes, or says what is wrong and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from rs_forecast.errors import LeakageError, SchemaError, listing
from rs_forecast.schema._fields import (
    _ID,
    AREAS,
    CROPS,
    DATASET,
    DATASET_KEY,
    PARCEL,
    RISK,
    SIGNALS,
    SURVEYS,
    TRAPS,
    WEATHER,
    WEATHER_WEIGHTS,
)
from rs_forecast.schema._order import in_order, sort_codes
from rs_forecast.schema._problems import Problem, describe, find_problems, shown

if TYPE_CHECKING:
    import geopandas as gpd


def check_parcels(parcels: gpd.GeoDataFrame, source: str = "parcels", *, outlines: bool = True) -> None:
    """Raise :class:`SchemaError` unless ``parcels`` has unique text ids, a CRS and valid polygons.

    With ``outlines`` false the polygons are not looked at, which takes a second a million.
    """
    if PARCEL not in parcels.columns or parcels.crs is None:
        what = "a column parcel_id" if PARCEL not in parcels.columns else "a CRS"
        raise SchemaError(f"{source}: the parcels have not {what}; read them with read_parcels")
    _raise_any(find_problems(pd.DataFrame(parcels[[PARCEL]]), (_ID,), source), source)
    _refuse_duplicates(parcels, [PARCEL], source)
    if not outlines:
        return
    polygon = parcels.geom_type.isin(["Polygon", "MultiPolygon"])
    bad = ~polygon | parcels.geometry.is_empty | ~parcels.geometry.is_valid
    if bad.any():
        raise SchemaError(
            f"{source}: parcel {listing(parcels.loc[bad, PARCEL])} has no valid polygon; "
            "read the file with read_parcels, which repairs or names it"
        )


def check_weather(rows: pd.DataFrame, weights: pd.DataFrame, source: str = "weather") -> None:
    """Raise :class:`SchemaError` unless rows per site and weights per parcel are usable."""
    _raise_any(find_problems(rows, WEATHER, source), source)
    _raise_any(find_problems(weights, WEATHER_WEIGHTS, source), source)
    _refuse_duplicates(rows, ["site", "date", "known_at"], source)


def check_surveys(surveys: pd.DataFrame, source: str = "surveys") -> None:
    """Raise :class:`SchemaError` unless every row of ``surveys`` is usable."""
    _raise_any(find_problems(surveys, SURVEYS, source), source)


def check_areas(areas: pd.DataFrame, source: str = "areas") -> None:
    """Raise :class:`SchemaError` unless every row of ``areas`` is usable, one a place, week, pest, stage, version."""
    _raise_any(find_problems(areas, AREAS, source), source)
    _refuse_duplicates(areas, ["place", "week", "pest", "stage", "known_at"], source)


def check_crops(crops: pd.DataFrame, source: str = "crops") -> None:
    """Raise :class:`SchemaError` unless every row of ``crops`` is usable."""
    _raise_any(find_problems(crops, CROPS, source), source)


def check_traps(traps: pd.DataFrame, source: str = "traps") -> None:
    """Raise :class:`SchemaError` unless every row of ``traps`` is usable."""
    _raise_any(find_problems(traps, TRAPS, source), source)
    _refuse_duplicates(traps, ["trap_id", "pest", "date", "known_at"], source)


def check_known(table: pd.DataFrame, issued: pd.Timestamp, what: str) -> None:
    """Raise :class:`LeakageError` if ``table`` holds a row that was not known at ``issued``."""
    late = table["known_at"] > issued
    if late.any():
        rows = table.loc[late]
        first = [f"{row.known_at:%Y-%m-%d}" for row in rows.head(3).itertuples()]
        raise LeakageError(
            f"{what}: {len(rows)} rows were known only after the issue date {issued:%Y-%m-%d} (known at "
            f"{listing(first)}); cut the tables with rs_forecast.asof before features are computed"
        )


def check_signals(signals: pd.DataFrame, source: str = "signals") -> None:
    """Raise :class:`SchemaError` unless ``signals`` is a table of :func:`rs_forecast.extract_signals`."""
    _raise_any(find_problems(signals, SIGNALS, source), source)
    _refuse_duplicates(signals, [PARCEL, "date", "known_at"], source)


def check_dataset(dataset: pd.DataFrame, source: str = "dataset") -> None:
    """Raise :class:`SchemaError` unless ``dataset`` is one of :func:`rs_forecast.build_dataset`."""
    _raise_any(find_problems(dataset, DATASET, source), source)
    _refuse_duplicates(dataset, list(DATASET_KEY), source)


def check_risk(risk: gpd.GeoDataFrame, source: str = "risk") -> None:
    """Raise :class:`SchemaError` unless ``risk`` is a table of :meth:`rs_forecast.RiskModel.predict`."""
    _raise_any(find_problems(risk, RISK, source), source)
    _refuse_duplicates(risk, list(DATASET_KEY), source)
    if risk.crs is None:
        raise SchemaError(f"{source}: the risk table has no CRS; it comes from the parcels")


def _raise_any(problems: Sequence[Problem], source: str) -> None:
    if problems:
        raise SchemaError(describe(problems, source))


def _refuse_duplicates(table: pd.DataFrame, key: list[str], source: str) -> None:
    if any(in_order([_sortable(table[k]) for k in order], strictly=True) for order in (key, [*key[1:], key[0]])):
        return  # as our own tables come, by parcel or part by part
    twice = table.duplicated(key)
    if twice.any():
        first = ", ".join(f"{k}={shown(v)}" for k, v in table.loc[twice, key].iloc[0].items())
        raise SchemaError(f"{source}: {int(twice.sum())} rows repeat an earlier key, the first is {first}")


def _sortable(values: pd.Series) -> Any:
    """Return values whose neighbours can be compared; texts and numbers are so as they stand."""
    if values.dtype == "str":
        return values.array
    return values.to_numpy() if values.dtype.kind in "fiu" else sort_codes(values)
