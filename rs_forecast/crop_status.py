"""What stands on each parcel on an issue date, as far as the office can know it: sowing, age, stage, with the doubt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from rs_forecast import schema
from rs_forecast.asof import AsOf
from rs_forecast.catalog import SEASONS, STAGES, CropStage, Season
from rs_forecast.catalog.seasons import Sowing, sowings
from rs_forecast.dataset import RICE, may_be_rice, tables_of, texts_of
from rs_forecast.looks import day_number
from rs_forecast.phenology import BASES, CALENDAR, COVERAGE, LONGEST_SEEN, NONE, SHORTEST_CROP, TABLE, Sown, find_sown

UNKNOWN = "unknown"
"""Stage of the hectares on which no crop is known to stand."""
LIKELY = 0.5
"""Chance from which a stage is named."""
_DEVIATIONS = 1.2815515655446004
"""Standard deviations within which a normal error lies in ``COVERAGE`` of cases."""
Floats = NDArray[np.float64]


def crop_status(
    parcels: gpd.GeoDataFrame,
    signals: pd.DataFrame | None,
    crops: pd.DataFrame | None,
    *,
    issued: Any,
    seasons: Sequence[Season] = tuple(SEASONS.values()),
    stages: Sequence[CropStage] = tuple(STAGES.values()),
) -> gpd.GeoDataFrame:
    """Return sowing, age and stage of the crop on each parcel as known at ``issued``.

    A sowing date comes from the table of crops, else from the parcel's own imagery (:mod:`rs_forecast.phenology`),
    else from the calendar: the middle of the newest sowing window that is over. A crop whose harvest is known stands no
    more.

    Parameters
    ----------
    parcels, signals, crops
        Tables of :func:`read_parcels`, :func:`extract_signals` and ``read_crops``; a source that is not there is None.
    seasons, stages
        Seasons with their sowing windows, and stages of crops in order. Parcels of an unknown crop are taken as rice.

    Returns
    -------
    GeoDataFrame
        ``parcel_id commune_code sub_zone crop season``; ``sown``, ``sown_error_days`` (the true day lies within it in
        four cases of five; 0 where the office was told), ``sown_basis`` (table, imagery, calendar, none), ``age_days``;
        ``stage``, ``stage_label``, ``bbch_first``, ``bbch_last``, missing unless the likeliest stage has a chance of
        ``LIKELY``, and ``stage_chance`` (0-1), that chance.
    """
    day = schema.day(issued)
    known = AsOf(tables_of(signals, None, None, crops, None)).at(day)
    texts = pd.DataFrame({name: texts_of(parcels, name) for name in ("commune_code", "sub_zone", "crop")})
    paddy, today = may_be_rice(texts["crop"]), day_number(day)
    sown = find_sown(known.signals, known.crops, pd.Index(parcels[schema.PARCEL]), day, paddy=paddy)
    harvested = _days_told(known.crops, "harvested", sown.row)
    gone = (sown.basis == TABLE) & (harvested <= today)
    sown = sown._replace(basis=np.where(gone, NONE, sown.basis), day=np.where(gone, np.nan, sown.day))
    years = range(day.year - 2, day.year + 1)
    zone, names = pd.factorize(texts["sub_zone"])
    calendars = [sowings(seasons, years, name) for name in (*names, None)]
    before = np.fmax(harvested, _days_told(known.crops, "sown", sown.row) + SHORTEST_CROP)
    sown = _with_calendar(sown, calendars, zone, paddy, today, before)
    age = today - sown.day
    crop = texts["crop"].fillna(RICE)
    stage, chance = _likeliest(age, np.where(np.isnan(age), np.nan, sown.error), crop, stages)
    columns: dict[str, Any] = {
        schema.PARCEL: parcels[schema.PARCEL].array,
        **{str(name): texts[name].array for name in texts},
        "season": _seasons(sown, known.crops, calendars, zone),
        "sown": sown.date,
        "sown_error_days": np.where(np.isnan(age), np.nan, sown.error),
        "sown_basis": pd.array(BASES, dtype="str")[sown.basis],
        "age_days": age,
        **_stage_columns(stage, stages),
        "stage_chance": chance,
    }
    out = gpd.GeoDataFrame(columns, geometry=parcels.geometry.array, crs=parcels.crs)
    tables = (parcels, signals, crops)
    out.attrs["synthetic"] = any(bool(t.attrs.get("synthetic")) for t in tables if t is not None)
    return out


def stage_hectares(status: gpd.GeoDataFrame, stages: Sequence[CropStage] = tuple(STAGES.values())) -> pd.DataFrame:
    """Return the hectares to be expected of each stage by commune, in the order of the stages.

    ``commune_code crop stage stage_label hectares``. A parcel counts for each stage by its chance, so that ages that
    are hardly known do not all fall to one stage. Where no crop is known to stand the stage is ``unknown``: the
    hectares of a commune add up to those of its parcels.
    """
    area = status.geometry.to_crs(status.estimate_utm_crs()).area.to_numpy() / 1e4
    keys = pd.DataFrame({"commune_code": status["commune_code"].fillna(""), "crop": status["crop"].fillna(RICE)})
    parts = []
    unknown = area.copy()
    for own, rows, chances in _chances(status["age_days"], status["sown_error_days"], keys["crop"], stages):
        unknown[rows] = 0.0
        parts += [
            keys.iloc[rows].assign(order=number, hectares=area[rows] * chance)
            for number, chance in zip(own, chances, strict=True)
        ]
    parts.append(keys.assign(order=len(stages), hectares=unknown))
    total = pd.concat(parts).groupby(["commune_code", "crop", "order"])["hectares"].sum().round(4)
    out = total.loc[total > 0].reset_index()
    order = out["order"].to_numpy()
    out["stage"] = pd.array([*(stage.stage for stage in stages), UNKNOWN], dtype="str")[order]
    out["stage_label"] = pd.array([*(stage.label for stage in stages), ""], dtype="str")[order]
    return out[["commune_code", "crop", "stage", "stage_label", "hectares"]]


class _Ends(NamedTuple):
    """When the stages of a crop end: mean and standard deviation [days after sowing]."""

    mean: Floats
    deviation: Floats


def stage_chances(age: Floats, error: Floats, stages: Sequence[CropStage]) -> Floats:
    """Return the chance of each stage of one crop, (stage, parcel); NaN where the age is unknown.

    Both the age and the ends of the stages are doubtful: a normal error that lies within ``error`` in ``COVERAGE`` of
    cases, and stages as long as their rows say, all lengths between equally likely. The last one does not end.
    """
    lengths = np.array([stage.days for stage in stages], np.float64)
    low, high = lengths.cumsum(axis=0)[:-1].T
    ends = _Ends((low + high) / 2, (high - low) / np.sqrt(12))
    deviation = np.hypot(error / _DEVIATIONS, ends.deviation[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        past = ndtr((age - ends.mean[:, None]) / deviation)
    sure = deviation == 0
    past[sure] = np.broadcast_to(age >= ends.mean[:, None], past.shape)[sure]
    past[:, np.isnan(age)] = np.nan
    edge = np.ones((1, len(age))) + 0 * age
    past = np.minimum.accumulate(np.concatenate([edge, past]), axis=0)
    chances: Floats = past - np.concatenate([past[1:], 0 * edge])
    return chances


def _chances(
    age: pd.Series, error: pd.Series, crop: pd.Series, stages: Sequence[CropStage]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.intp], Floats]]:
    """Yield of each crop the places of its stages, the parcels that carry it, and their chances (stage, parcel)."""
    for name in dict.fromkeys(stage.crop for stage in stages):
        own = np.array([number for number, stage in enumerate(stages) if stage.crop == name])
        rows = np.flatnonzero(((crop == name) & age.notna()).to_numpy())
        of_crop = [stages[number] for number in own]
        yield own, rows, stage_chances(age.to_numpy(float)[rows], error.to_numpy(float)[rows], of_crop)


def _likeliest(
    age: Floats, error: Floats, crop: pd.Series, stages: Sequence[CropStage]
) -> tuple[NDArray[np.int64], Floats]:
    """Return the stage of each parcel, as its place in ``stages`` (-1 where none is likely), and the highest chance."""
    place, chance = np.full(len(age), -1), np.full(len(age), np.nan)
    for own, rows, chances in _chances(pd.Series(age), pd.Series(error), crop, stages):
        likeliest = chances.argmax(axis=0)
        chance[rows] = chances[likeliest, np.arange(len(rows))]
        place[rows] = np.where(chance[rows] >= LIKELY, own[likeliest], -1)
    return place, chance


def _stage_columns(place: NDArray[np.int64], stages: Sequence[CropStage]) -> dict[str, Any]:
    def column(values: Sequence[Any], none: Any, kind: Any) -> Any:
        return pd.array([*values, none], dtype=kind)[place]  # -1 is the last

    return {
        "stage": column([s.stage for s in stages], None, "str"),
        "stage_label": column([s.label for s in stages], None, "str"),
        "bbch_first": column([s.bbch[0] for s in stages], np.nan, "float64"),
        "bbch_last": column([s.bbch[1] for s in stages], np.nan, "float64"),
    }


def _with_calendar(
    sown: Sown,
    calendars: Sequence[Sequence[Sowing]],
    zone: NDArray[np.intp],
    paddy: NDArray[np.bool_],
    today: int,
    before: Floats,
) -> Sown:
    """Fill in the middle of the newest sowing window that is over, unless what was told ended later.

    ``zone`` is a place in ``calendars``; ``before`` the day before which nothing can have been sown.
    """
    middle, error = np.full((2, len(calendars)), np.nan)
    for number, calendar in enumerate(calendars):
        over = [s for s in calendar if s.last is not None and _number(s.last) <= today]
        if over:
            first, last = _number(over[-1].first), _number(over[-1].last or over[-1].first)
            middle[number], error[number] = (first + last) // 2, np.ceil(COVERAGE * (last - first) / 2)
    use = (sown.basis == NONE) & paddy & (today - middle[zone] <= LONGEST_SEEN) & ~(middle[zone] <= before)
    return sown._replace(
        day=np.where(use, middle[zone], sown.day),
        error=np.where(use, error[zone], sown.error),
        basis=np.where(use, CALENDAR, sown.basis),
    )


def _seasons(
    sown: Sown, crops: pd.DataFrame, calendars: Sequence[Sequence[Sowing]], zone: NDArray[np.intp]
) -> pd.api.extensions.ExtensionArray:
    """Return the season of each sowing: as it was told, else by the calendar of the sub-zone."""
    out = np.full(len(sown.day), None, object)
    for number, calendar in enumerate(calendars):
        rows = np.flatnonzero((zone % len(calendars) == number) & ~np.isnan(sown.day))
        place = np.searchsorted([_number(s.first) for s in calendar], sown.day[rows], side="right") - 1
        out[rows] = np.array([s.name for s in calendar], object)[place]
    if "season" in crops and len(crops):
        told = crops["season"].to_numpy(object)[sown.row]
        out = np.where((sown.basis == TABLE) & pd.notna(told), told, out)
    return pd.array(out, dtype="str")


def _days_told(crops: pd.DataFrame, column: str, row: NDArray[np.int64]) -> Floats:
    """Return a day of each parcel's row in ``crops`` as a number, NaN for none."""
    out = np.full(len(row), np.nan)
    if column in crops and len(crops):
        told = crops[column].to_numpy("datetime64[D]")[row]
        known = (row >= 0) & ~np.isnat(told)
        out[known] = told[known].astype(np.int64)
    return out


def _number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days
