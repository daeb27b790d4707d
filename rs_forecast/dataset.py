"""Signals, weather, surveys and crops joined into rows that a model learns from, or forecasts.

Training rows and live rows come from the same code: a training row is what a live row would have been on its issue
date, with the label that surveys brought later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import features, schema
from rs_forecast.asof import AsOf, Tables
from rs_forecast.catalog import PESTS, SEASONS, Pest, Season
from rs_forecast.catalog.seasons import season_of
from rs_forecast.errors import ConfigError, NoDataError
from rs_forecast.kernels._jit import share_out
from rs_forecast.looks import packed_looks
from rs_forecast.phenology import Sown, find_sown, longest_stand

_ZONES = ("sub_zone", "commune_code")
_WEEK = pd.Timedelta(weeks=1)
RICE = "rice"
"""The crop that is sown into water: its sowing is seen from space."""
_SQUARE_M = 1500.0
"""Side of the squares in which parcels without sub-zone and commune are neighbours [m]."""
_LARGE = 1_000_000
"""Numbers below which a second thread is not worth its start."""
_NEVER = np.datetime64("NaT", "us")


class _Ground(NamedTuple):
    """The parcels, as arrays in one order."""

    ids: pd.Index
    rank: NDArray[np.intp]
    """Place of each parcel in the order of the ids."""
    zone: NDArray[np.int64]
    near: NDArray[np.int64]
    """The zone, or where there is none a square of the ground."""
    texts: pd.DataFrame
    """Commune, sub-zone and crop, as far as they are known."""
    spots: tuple[NDArray[np.float64], Any] | None
    """A point in each parcel, (parcel, 2) [m], and its CRS; where there are traps to measure from."""


class _Asked(NamedTuple):
    """Rows wanted of one issue date, for a pest and weeks ahead."""

    pest: Pest
    horizon: int
    where: NDArray[np.intp]
    """Positions of the parcels."""
    label: NDArray[np.float64]
    known_at: NDArray[np.datetime64]
    """The day each label was known."""


def build_dataset(
    parcels: gpd.GeoDataFrame,
    signals: pd.DataFrame | None,
    weather: tuple[pd.DataFrame, pd.DataFrame] | None,
    surveys: pd.DataFrame | None,
    *,
    pest: str | Sequence[str],
    horizon_weeks: int | Sequence[int],
    issued: Any = None,
    until: Any = None,
    crops: pd.DataFrame | None = None,
    traps: pd.DataFrame | None = None,
    areas: pd.DataFrame | None = None,
    pests: Mapping[str, Pest] = PESTS,
    seasons: Sequence[Season] = tuple(SEASONS.values()),
    ahead: features.Ahead | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> gpd.GeoDataFrame:
    """Return rows keyed by ``(parcel_id, issued, pest, horizon_weeks)``, with features as known at ``issued``.

    Parameters
    ----------
    parcels, signals, weather, surveys, crops, traps, areas
        Tables of :func:`read_parcels`, :func:`extract_signals`, :func:`get_weather`, :func:`read_surveys`,
        ``read_crops``, ``read_traps`` and ``read_areas``; a source that is not there is None. Areas give features,
        never labels.
    pest, horizon_weeks
        One or more pests, and weeks ahead.
    issued
        The issue date of live rows, one per parcel. Without it the rows are training rows: one per parcel, valid week
        and pest that was surveyed, issued on the Monday ``horizon_weeks`` before the valid week's.
    until
        For training rows: only labels known by this day.
    pests
        The pests that may be named.
    seasons
        Seasons that split the year.
    ahead
        What weather features of the coming days are made from: ``forecast``, ``climatology`` or ``none``. By default
        forecasts where four of five issue dates have one on record, those of training rows, or for live rows the
        Mondays of the year before; else none. ``attrs["weather_ahead"]`` says which, and of how many there is one. Live
        rows must have what their model was trained on: ``model.weather_ahead``.
    progress
        Called with (issue dates done, in all).

    Returns
    -------
    GeoDataFrame
        Columns of ``schema.DATASET``, features, and the parcel's geometry. ``label`` is 1 where any survey dated in the
        valid week reaches the threshold, 0 where none does, NaN where there is none.

    Raises
    ------
    NoDataError
        No survey of the pests gives a label.
    """
    schema.check_parcels(parcels, outlines=False)  # which are only handed on here
    rows = [pests[name] for name in ([pest] if isinstance(pest, str) else pest)]
    horizons = [int(h) for h in ([horizon_weeks] if isinstance(horizon_weeks, int) else horizon_weeks)]
    if not rows or not horizons or min(horizons) < 1:
        raise ConfigError(
            f"a forecast needs a pest and weeks ahead of at least 1; found {pest!r} and {horizon_weeks!r}"
        )
    tables = tables_of(signals, weather, surveys, crops, traps, areas)
    ground = _ground(parcels, measured=len(tables.traps) > 0)
    if issued is not None:
        day = schema.day(issued)
        unknown = np.arange(len(parcels)), np.full(len(parcels), np.nan), np.full(len(parcels), _NEVER)
        wanted = {day: [_Asked(p, h, *unknown) for p in rows for h in horizons]}
    else:
        wanted = _labelled(tables.surveys, rows, horizons, ground.ids, until)
    share = features.archived_share(tables.weather, wanted if issued is None else _mondays_before(day))
    ahead = ahead or features.choose_ahead(share)
    history = AsOf(tables)
    parts, places = [], []
    for done, (day, asked) in enumerate(sorted(wanted.items()), start=1):
        in_order = [_sorted(one, ground) for one in sorted(asked, key=lambda one: (one.pest.name, one.horizon))]
        parts.append(_rows_at(day, in_order, history.at(day), ground, seasons, ahead))
        places += [one.where for one in in_order]
        if progress is not None:
            progress(done, len(wanted))
    table = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    geometry = parcels.geometry.array[np.concatenate(places)]
    out = gpd.GeoDataFrame(table, geometry=geometry, crs=parcels.crs, copy=False)
    if weather is not None:
        out.attrs["weather_ahead"] = {"by": ahead, "archived": round(share, 4)}
    out.attrs["synthetic"] = any(
        bool(t.attrs.get("synthetic"))
        for t in (parcels, signals, surveys, crops, traps, areas, *(weather or ()))
        if t is not None
    )
    return out


def _rows_at(
    issued: pd.Timestamp,
    asked: Sequence[_Asked],
    known: Tables,
    ground: _Ground,
    seasons: Sequence[Season],
    ahead: features.Ahead,
) -> pd.DataFrame:
    looks = packed_looks(known.signals, ground.ids, issued)
    imagery, last_look = features.signal_features(known.signals, ground.ids, ground.zone, issued, looks)
    paddy = may_be_rice(ground.texts["crop"])
    sown = find_sown(known.signals, known.crops, ground.ids, issued, paddy=paddy, looks=looks)
    if ahead != "forecast":  # no feature rests on forecasts that most training rows had not
        known = replace(known, weather=known.weather.loc[known.weather["known_at"] >= known.weather["date"]])
    weather = features.weather_features(known.weather, known.weights, ground.ids, issued, ahead)
    monday = issued - pd.Timedelta(days=issued.day_of_week)
    weeks = {one.horizon: monday + one.horizon * _WEEK for one in asked}
    visits = {
        pest.name: features.survey_features(known.surveys, pest, ground.ids, ground.zone, issued, list(weeks.values()))
        for pest in {one.pest.name: one.pest for one in asked}.values()
    }
    models = _process_columns(known, {one.pest.name: one.pest for one in asked}, ground, sown, issued)
    reported = {
        name: {} if known.areas is None else features.area_features(known.areas, pest, _inside(ground), issued)
        for name, pest in {one.pest.name: one.pest for one in asked}.items()
    }
    columns = [
        {
            **imagery,
            **weather,
            **models[one.pest.name],
            **visits[one.pest.name][list(weeks).index(one.horizon)],
            **reported[one.pest.name],
            **features.crop_features(sown, ground.near, weeks[one.horizon], longest_stand(paddy)),
            **features.calendar_features(len(ground.ids), weeks[one.horizon]),
        }
        for one in asked
    ]
    status = [_status(one.pest, found, ground)[one.where] for one, found in zip(asked, columns, strict=True)]
    head = _head(issued, asked, weeks, ground, seasons)
    head["status"] = pd.array(schema.STATUSES, dtype="str")[np.concatenate(status)]
    head["last_clear_obs"] = last_look[np.concatenate([one.where for one in asked])]
    head = head[[field.name for field in schema.DATASET]]
    block = np.empty((len(columns[0]), len(head)))  # (feature, row), filled in place: a province has 1e8 numbers
    rows = [slice(None) if np.array_equal(one.where, np.arange(len(ground.ids))) else one.where for one in asked]
    names = list(columns[0])

    def fill(k: int) -> None:
        np.concatenate([found[names[k]][at] for found, at in zip(columns, rows, strict=True)], out=block[k])

    share_out(fill, range(len(names)), threads=None if block.size > _LARGE else 1)
    return pd.concat([head, pd.DataFrame(block.T, columns=names, copy=False)], axis=1)


def _process_columns(
    known: Tables, pests: Mapping[str, Pest], ground: _Ground, sown: Sown, issued: pd.Timestamp
) -> dict[str, features.Columns]:
    """Return what process models and traps say, by pest; all pests have the columns that one of them has."""
    out: dict[str, features.Columns] = {name: {} for name in pests}
    modelled = any(pest.process for pest in pests.values())
    for name, pest in pests.items():
        if modelled:
            out[name] |= features.process_features(known.weather, known.weights, ground.ids, sown.date, pest, issued)
        if ground.spots is not None:
            out[name] |= features.trap_features(
                known.traps, known.weather, known.weights, ground.ids, ground.spots, pest, issued
            )
    return out


def _head(
    issued: pd.Timestamp,
    asked: Sequence[_Asked],
    weeks: Mapping[int, pd.Timestamp],
    ground: _Ground,
    seasons: Sequence[Season],
) -> pd.DataFrame:
    """Return the columns of ``schema.DATASET`` that come from what is asked; of each, its rows follow one another."""
    where = np.concatenate([one.where for one in asked])
    counts = [len(one.where) for one in asked]
    monday = np.array([weeks[one.horizon] for one in asked], "datetime64[us]")
    columns = {
        schema.PARCEL: ground.ids.array[where],
        "issued": np.full(len(where), issued.to_datetime64(), "datetime64[us]"),
        "pest": pd.array([one.pest.name for one in asked], dtype="str").repeat(counts),
        "horizon_weeks": np.repeat([float(one.horizon) for one in asked], counts),
        "valid_from": np.repeat(monday, counts),
        "valid_to": np.repeat(monday + np.timedelta64(6, "D"), counts),
        "season": _seasons([weeks[one.horizon].date() for one in asked], asked, ground, seasons),
        "commune_code": ground.texts["commune_code"].array[where],
        "sub_zone": ground.texts["sub_zone"].array[where],
        "label": np.concatenate([one.label for one in asked]),
        "label_known_at": np.concatenate([one.known_at for one in asked]),
    }
    return pd.DataFrame(columns, copy=False)


def _mondays_before(issued: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the Mondays of the year before ``issued``: what was known on them is known by now."""
    return [issued - pd.Timedelta(days=issued.day_of_week) - weeks * _WEEK for weeks in range(1, 53)]


def _seasons(
    weeks: Sequence[dt.date], asked: Sequence[_Asked], ground: _Ground, seasons: Sequence[Season]
) -> pd.api.extensions.ExtensionArray:
    """Return the season of each row's valid week, by sub-zone where any season is of some alone."""
    own = sorted({zone for season in seasons for zone in season.sub_zones})
    code = pd.Index(own).get_indexer(pd.Index(ground.texts["sub_zone"])) if own else np.zeros(len(ground.ids), np.int64)
    names = []
    for week, one in zip(weeks, asked, strict=True):
        elsewhere = season_of(week, seasons)
        if own:
            found = pd.array([*(season_of(week, seasons, zone) for zone in own), elsewhere], dtype="str")
            names.append(found[code[one.where]])
        else:
            names.append(pd.array([elsewhere], dtype="str").repeat(len(one.where)))
    return pd.array(np.concatenate([part.to_numpy(object) for part in names]), dtype="str")


def _sorted(asked: _Asked, ground: _Ground) -> _Asked:
    """Return what is asked with its parcels in the order of their ids."""
    order = np.argsort(ground.rank[asked.where], kind="stable")
    if (order[1:] > order[:-1]).all():
        return asked
    return asked._replace(where=asked.where[order], label=asked.label[order], known_at=asked.known_at[order])


def _status(pest: Pest, found: features.Columns, ground: _Ground) -> NDArray[np.int64]:
    """What each parcel's forecast would rest on, as a place in ``schema.STATUSES``."""
    ok, stale, no_imagery, not_assessable = range(len(schema.STATUSES))
    age = found["data_age_days"]
    out = np.where(np.isnan(age), no_imagery, np.where(age > pest.stale_after_days, stale, ok))
    crop = ground.texts["crop"]
    if pest.crop:
        out[(crop.notna() & (crop != pest.crop)).to_numpy()] = not_assessable
    bare = np.arange(len(out))
    for name, column in found.items():
        if name not in features.EVERYWHERE:
            bare = bare[np.isnan(column[bare])]
    out[bare] = not_assessable
    return out


def _labelled(
    surveys: pd.DataFrame, pests: Sequence[Pest], horizons: Sequence[int], ids: pd.Index, until: Any
) -> dict[pd.Timestamp, list[_Asked]]:
    """Return what the surveys give labels for, by issue date."""
    known = surveys if until is None else surveys.loc[surveys["known_at"] <= schema.day(until)]
    wanted: dict[pd.Timestamp, list[_Asked]] = {}
    for pest in pests:
        own = known.loc[(known["pest"] == pest.name) & known[schema.PARCEL].isin(ids)]
        visits = pd.DataFrame(
            {
                schema.PARCEL: own[schema.PARCEL],
                "week": own["date"] - pd.to_timedelta(own["date"].dt.day_of_week, unit="D"),
                "label": np.asarray(pest.is_event(own["value"].to_numpy()), np.float64),
                "known_at": own["known_at"],
            }
        )
        labels = visits.groupby(["week", schema.PARCEL], as_index=False).agg({"label": "max", "known_at": "max"})
        for week in pd.DatetimeIndex(labels["week"].unique()):
            group = labels.loc[labels["week"] == week]
            at = ids.get_indexer(pd.Index(group[schema.PARCEL]))
            for horizon in horizons:
                one = _Asked(pest, horizon, at, group["label"].to_numpy(), group["known_at"].to_numpy("datetime64[us]"))
                wanted.setdefault(week - horizon * _WEEK, []).append(one)
    if not wanted:
        raise NoDataError(
            f"{len(surveys)} survey rows give no label for {', '.join(p.name for p in pests)}"
            + (f" known by {schema.day(until):%Y-%m-%d}" if until is not None else "")
        )
    return wanted


def _ground(parcels: gpd.GeoDataFrame, *, measured: bool) -> _Ground:
    texts = pd.DataFrame({name: texts_of(parcels, name) for name in (*_ZONES, "crop")}, copy=False)
    zone = texts["sub_zone"].fillna(texts["commune_code"])
    near = _near(parcels, zone)
    zone = zone.fillna("")
    ids = pd.Index(parcels[schema.PARCEL])
    rank = np.arange(len(ids)) if ids.is_monotonic_increasing else np.argsort(ids.argsort())
    spots = None
    if measured:
        points = parcels.geometry.to_crs(parcels.estimate_utm_crs()).centroid
        spots = np.column_stack([points.x, points.y]), points.crs
    return _Ground(ids, rank, pd.factorize(zone)[0].astype(np.int64), near, texts, spots)


def _near(parcels: gpd.GeoDataFrame, zone: pd.Series) -> NDArray[np.int64]:
    """Return the number of each parcel's zone, or of a square of the ground where it has none."""
    lost = zone.isna().to_numpy()
    code = pd.factorize(zone)[0].astype(np.int64)
    if lost.any():
        geometry = parcels.geometry[lost]
        middle = geometry.to_crs(geometry.estimate_utm_crs()).bounds.to_numpy().reshape(-1, 2, 2).mean(axis=1)
        _, square = np.unique(np.floor(middle / _SQUARE_M), axis=0, return_inverse=True)
        code[lost] = code.max(initial=-1) + 1 + square.ravel()
    return code


def may_be_rice(crop: pd.Series) -> NDArray[np.bool_]:
    """Return which parcels may grow rice: those that do, and those of which nothing is known."""
    return np.asarray((crop.isna() | (crop == RICE)).to_numpy(), np.bool_)


def _inside(ground: _Ground) -> tuple[Any, ...]:
    """Return the areas a report on which tells of a parcel, nearest first: itself, its sub-zone, its commune."""
    return (ground.ids, *(ground.texts[name] for name in _ZONES))


def texts_of(parcels: gpd.GeoDataFrame, name: str) -> Any:
    """Return a column of the parcels as texts, all missing if they have none."""
    if name not in parcels.columns:
        return pd.array([None], dtype="str").repeat(len(parcels))
    own = parcels[name]
    return own.array if own.dtype == "str" else own.astype("str").where(own.notna(), None).astype("str").array


def tables_of(
    signals: pd.DataFrame | None,
    weather: tuple[pd.DataFrame, pd.DataFrame] | None,
    surveys: pd.DataFrame | None,
    crops: pd.DataFrame | None,
    traps: pd.DataFrame | None,
    areas: pd.DataFrame | None = None,
) -> Tables:
    """Return the sources as tables, checked; one that is not there is an empty table."""
    rows, weights = weather if weather is not None else (None, None)
    tables = Tables(
        signals=_or_empty(signals, schema.SIGNALS),
        weather=_told(_or_empty(rows, schema.WEATHER)),
        weights=_or_empty(weights, schema.WEATHER_WEIGHTS),
        surveys=_or_empty(surveys, schema.SURVEYS),
        crops=_or_empty(crops, schema.CROPS),
        traps=_or_empty(traps, schema.TRAPS),
        areas=areas,
    )
    if areas is not None:
        schema.check_areas(areas)
    schema.check_signals(tables.signals)
    schema.check_weather(tables.weather, tables.weights)
    schema.check_surveys(tables.surveys)
    schema.check_crops(tables.crops)
    schema.check_traps(tables.traps)
    return tables


def _told(weather: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the variables that their source never tells of."""
    silent = [name for name in schema.WEATHER_NAMES if name in weather and weather[name].isna().all()]
    return weather.drop(columns=silent)


def _or_empty(table: pd.DataFrame | None, fields: Sequence[schema.Field]) -> pd.DataFrame:
    if table is not None:
        return table
    kinds = {"text": "str", "day": "datetime64[us]", "number": "float64"}
    return pd.DataFrame({f.name: pd.Series(dtype=kinds[f.kind]) for f in fields if f.required})
