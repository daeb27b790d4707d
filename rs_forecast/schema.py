"""Names of columns and dimensions, and one ``check_*`` per table.

A table is tidy, keyed by ``parcel_id`` (or ``site``) and days. Its columns are rows of :class:`Field`
below; the checks, the readers' messages and the tables in ``docs/`` are made from those rows.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.errors import DataWarning, LeakageError, SchemaError, listing, suggest

if TYPE_CHECKING:
    import geopandas as gpd
    import pandera.pandas as pa

TIME, Y, X = "time", "y", "x"
DIMS = (TIME, Y, X)

PARCEL = "parcel_id"
ROW = "row"
"""Name of the index of a table just read: the row's number in its file, the header being row 1."""

STATS = ("mean", "std", "p10", "p50", "p90")
"""Statistics of a signal; its columns are ``<index>_<stat>``."""

RISK_CLASSES = ("low", "moderate", "high", "very_high")
NOT_ASSESSABLE = "not_assessable"
STATUSES = ("ok", "stale", "no_imagery", NOT_ASSESSABLE)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column of a table."""

    name: str
    kind: Literal["text", "day", "number"]
    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    required: bool = True
    nullable: bool = False

    @property
    def rule(self) -> str:
        """What a cell may hold, in words."""
        if self.allowed:
            return "one of " + ", ".join(self.allowed)
        if self.kind == "text":
            return "a text"
        if self.kind == "day":
            return "a day such as 2026-03-02"
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"a number from {self.low:g} to {self.high:g}{unit}"
        if self.low is not None:
            return f"a number of at least {self.low:g}{unit}"
        return f"a number{unit}"


def _weather_field(name: str, unit: str, low: float, high: float, doc: str) -> Field:
    return Field(name=name, kind="number", doc=doc, unit=unit, low=low, high=high, required=False, nullable=True)


_ID = Field(name=PARCEL, kind="text", doc="the parcel")
_KNOWN = Field(name="known_at", kind="day", doc="the day the office could have had the row")

WEATHER_VARIABLES = (
    _weather_field("temp_mean", "°C", -60, 55, "mean air temperature of the day"),
    _weather_field("temp_min", "°C", -70, 50, "lowest air temperature of the day"),
    _weather_field("temp_max", "°C", -50, 60, "highest air temperature of the day"),
    _weather_field("rh_mean", "%", 0, 100, "mean relative humidity"),
    _weather_field("rh_min", "%", 0, 100, "lowest relative humidity"),
    _weather_field("rh_max", "%", 0, 100, "highest relative humidity"),
    _weather_field("rain_sum", "mm", 0, 1900, "rain of the day"),
    _weather_field("wind_mean", "m/s", 0, 110, "mean wind speed"),
    _weather_field("radiation_sum", "MJ/m2", 0, 50, "global radiation of the day"),
    _weather_field("sunshine_hours", "h", 0, 24, "hours of sunshine"),
    _weather_field("wet_hours", "h", 0, 24, "hours with wet leaves"),
)
WEATHER_NAMES = tuple(field.name for field in WEATHER_VARIABLES)

WEATHER = (
    Field(name="site", kind="text", doc="grid cell or station"),
    Field(name="date", kind="day", doc="the day the values are of"),
    _KNOWN,
    *WEATHER_VARIABLES,
)
WEATHER_WEIGHTS = (
    _ID,
    Field(name="site", kind="text", doc="grid cell or station"),
    Field(name="weight", kind="number", doc="share of the site in the parcel's weather", low=0, high=1),
)
SURVEYS = (
    _ID,
    Field(name="date", kind="day", doc="the day of the visit"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="value", kind="number", doc="what was counted; a zero is a finding (absence)", low=0),
    Field(name="unit", kind="text", doc="unit of the value"),
    Field(name="stage", kind="text", doc="stage of the crop", required=False, nullable=True),
    Field(name="method", kind="text", doc="how it was counted", required=False, nullable=True),
    Field(name="reason", kind="text", doc="why the field was visited", required=False, nullable=True,
          allowed=("routine", "random", "map", "complaint")),
    Field(name="treated_on", kind="day", doc="last treatment before the visit", required=False, nullable=True),
)  # fmt: skip
AREAS = (
    Field(name="place", kind="text", doc="code of a commune, a sub-zone, or the province"),
    Field(name="week", kind="day", doc="Monday of the week that is reported"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="stage", kind="text", doc="stage of the crop", required=False, nullable=True),
    *(
        Field(name=name, kind="number", doc=doc, unit=unit, low=0, required=False, nullable=True)
        for name, doc, unit in (
            ("low", "lower end of the common density or rate", ""),
            ("high", "upper end of the common density or rate", ""),
            ("peak", "highest density or rate found", ""),
            ("infested_ha", "infested area", "ha"),
            ("light_ha", "lightly infested, as reported", "ha"),
            ("medium_ha", "infested to a medium degree, as reported", "ha"),
            ("heavy_ha", "heavily infested, as reported", "ha"),
            ("lost_ha", "area lost", "ha"),
            ("last_year_ha", "infested in the same period of last year", "ha"),
            ("treated_ha", "treated area", "ha"),
        )
    ),
    Field(name="distribution", kind="text", doc="where, in words", required=False, nullable=True),
)  # fmt: skip
"""Weekly reports of whole areas: the columns of the plant protection service's annex."""
CROPS = (
    _ID,
    Field(name="season", kind="text", doc="season of the crop", required=False, nullable=True),
    Field(name="crop", kind="text", doc="crop grown", required=False, nullable=True),
    Field(name="variety", kind="text", doc="variety", required=False, nullable=True),
    Field(name="sown", kind="day", doc="day of sowing"),
    Field(name="harvested", kind="day", doc="day of harvest", required=False, nullable=True),
    _KNOWN,
)
TRAPS = (
    Field(name="trap_id", kind="text", doc="the trap"),
    Field(name="lon", kind="number", doc="longitude of the trap, WGS 84", unit="°E", low=-180, high=180),
    Field(name="lat", kind="number", doc="latitude of the trap, WGS 84", unit="°N", low=-90, high=90),
    Field(name="date", kind="day", doc="the day the trap was emptied"),
    _KNOWN,
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="count", kind="number", doc="what was in it, of all its nights together; a zero is a finding", low=0,
          nullable=True),
    Field(name="nights", kind="number", doc="nights it was lit for; 0: the count says nothing", low=0, high=366),
    Field(name="working", kind="text", doc="whether it worked; no: the count says nothing", allowed=("yes", "no")),
)  # fmt: skip
SIGNALS = (
    _ID,
    Field(name="date", kind="day", doc="day of the overpass"),
    _KNOWN,
    Field(name="tile", kind="text", doc="tile of the scene"),
    Field(name="scene_id", kind="text", doc="the scene"),
    Field(name="geom_hash", kind="text", doc="hash of the parcel's geometry"),
    Field(name="valid_weight", kind="number", doc="clear pixels in the parcel, by coverage", unit="pixels", low=0),
    Field(name="valid_fraction", kind="number", doc="clear share of the parcel's area", low=0, high=1.000001),
)  # fmt: skip

DATASET_KEY = (PARCEL, "issued", "pest", "horizon_weeks")
DATASET = (
    _ID,
    Field(name="issued", kind="day", doc="day the forecast is made on"),
    Field(name="pest", kind="text", doc="the pest's name in the catalog"),
    Field(name="horizon_weeks", kind="number", doc="weeks ahead", low=1, high=52),
    Field(name="valid_from", kind="day", doc="Monday of the week that is forecast"),
    Field(name="valid_to", kind="day", doc="Sunday of the week that is forecast"),
    Field(name="season", kind="text", doc="season of the valid week"),
    Field(name="commune_code", kind="text", doc="commune", nullable=True),
    Field(name="sub_zone", kind="text", doc="dyke sub-zone", nullable=True),
    Field(name="status", kind="text", doc="what the forecast rests on", allowed=STATUSES),
    Field(name="last_clear_obs", kind="day", doc="last clear look from space", nullable=True),
    Field(name="label", kind="number", doc="1 if the event was found, 0 if not, NaN if nobody looked",
          low=0, high=1, nullable=True),
    Field(name="label_known_at", kind="day", doc="the day the label was known", nullable=True),
)  # fmt: skip
RISK = (
    *DATASET[:6],
    Field(name="probability", kind="number", doc="chance of the event in the valid week", low=0, high=1, nullable=True),
    Field(name="lower", kind="number", doc="lower bound of the probability", low=0, high=1, nullable=True),
    Field(name="upper", kind="number", doc="upper bound of the probability", low=0, high=1, nullable=True),
    Field(name="risk_class", kind="text", doc="class of the probability", allowed=(*RISK_CLASSES, NOT_ASSESSABLE)),
    Field(name="reasons", kind="text", doc="what weighed most, strongest first", nullable=True),
    Field(name="last_clear_obs", kind="day", doc="last clear look from space", nullable=True),
    Field(name="data_age_days", kind="number", doc="days since that look", low=0, nullable=True),
    Field(name="status", kind="text", doc="what the forecast rests on", allowed=STATUSES),
    Field(name="model_id", kind="text", doc="model or baseline that made the forecast"),
)  # fmt: skip

_BLOCK = 100_000
"""Rows that are compared in one go."""
_DAY = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{8}"
_PLAIN_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NOT_FEATURES = frozenset(field.name for field in DATASET) | {"geometry"}


def feature_names(dataset: pd.DataFrame) -> list[str]:
    """Return the dataset's feature columns in order: all that is neither key, label nor bookkeeping.

    ``horizon_weeks`` is a key, and the model adds it by itself.
    """
    return [str(name) for name in dataset.columns if name not in _NOT_FEATURES]


class Problem(NamedTuple):
    """One cell that may not stay as it is."""

    row: Hashable
    column: str
    found: object
    rule: str


def days(values: Any) -> pd.Series:
    """Return ``values`` as days without time of day or zone, ``datetime64[us]``; what cannot be read becomes NaT.

    A text must begin with a whole day, ``2026-03-02`` or ``20260302``: 02/03/2026 means two days, and 45000 none.
    """
    series = pd.Series(values)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_localize(None)
    elif not pd.api.types.is_datetime64_dtype(series.dtype):
        text = series.astype("str").str.strip()
        whole = text.where(text.str.fullmatch(_DAY)).str.slice(0, 10)
        series = pd.to_datetime(whole, errors="coerce", format="ISO8601")
    return series.dt.normalize().astype("datetime64[us]")


def day(value: Any) -> pd.Timestamp:
    """Return one day, without time of day.

    Raises
    ------
    SchemaError
        ``value`` cannot be read as a day.
    """
    if isinstance(value, str) and _PLAIN_DAY.fullmatch(value):  # as we write it; without a table, also on any thread
        with contextlib.suppress(ValueError):
            return pd.Timestamp(dt.date.fromisoformat(value)).as_unit("us")
    stamp = days([value]).iloc[0]
    if pd.isna(stamp):
        raise SchemaError(f"found {value!r} where a day is due; write it as 2026-03-02")
    return pd.Timestamp(stamp)


def parse_columns(table: pd.DataFrame, fields: Sequence[Field]) -> tuple[pd.DataFrame, list[Problem]]:
    """Turn text cells into what ``fields`` say, and name each cell that cannot be turned.

    Columns that no field names are kept as they are. A cell that is empty stays empty here; whether it may is for
    :func:`find_problems` to say.
    """
    out = table.copy()
    problems: list[Problem] = []
    for field in fields:
        if field.name not in out.columns:
            continue
        raw = out[field.name]
        if field.kind == "day":
            parsed: pd.Series = days(raw)
        elif field.kind == "number":
            parsed = pd.to_numeric(raw, errors="coerce").astype("float64")
        else:
            parsed = raw.astype("str").where(raw.notna(), None).astype("str")
        lost = parsed.isna() & raw.notna()
        problems += [Problem(row, field.name, raw.loc[row], field.rule) for row in raw.index[lost]]
        out[field.name] = parsed
    return out, problems


def find_problems(table: pd.DataFrame, fields: Sequence[Field], source: str) -> list[Problem]:
    """Return each cell of ``table`` that breaks its field's rule.

    Raises
    ------
    SchemaError
        A required column is missing, or a column has another type than its field.
    """
    missing = [f.name for f in fields if f.required and f.name not in table.columns]
    if missing:
        near = suggest(missing[0], map(str, table.columns)) or "."
        raise SchemaError(
            f"{source}: column {listing(missing)} is missing{near} Found: {listing(table.columns, 20)}. "
            f"Rename the column, or map it in the config"
        )
    if all(_is_clean(table[field.name], field) for field in fields if field.name in table.columns):
        return []
    import pandera.pandas as pa

    try:
        _pandera(tuple(fields)).validate(_as_texts(table, fields), lazy=True)
    except pa.errors.SchemaErrors as err:
        return _problems(err.failure_cases, fields, source)
    return []


def sort_codes(values: pd.Series) -> NDArray[Any]:
    """Return numbers that stand in the order of ``values``: texts, categories of texts, or days; an empty cell last."""
    if pd.api.types.is_datetime64_dtype(values.dtype):
        whole = values.to_numpy("datetime64[us]").view(np.int64)
        return np.where(values.isna(), np.iinfo(np.int64).max, whole) if values.hasnans else whole
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, names = values.cat.codes.to_numpy(), values.cat.categories
        if names.is_monotonic_increasing and not values.hasnans:
            return codes
        rank = np.append(np.argsort(names.argsort()), len(names))
        return np.asarray(rank[codes])
    codes, names = pd.factorize(values, sort=True)
    return np.where(codes < 0, len(names), codes)


def in_order(keys: Sequence[NDArray[Any]], *, strictly: bool = False) -> bool:
    """Whether rows rise by ``keys``, the first weighing most; ``strictly``: and none repeats another."""
    for first in range(0, max(len(keys[0]) - 1, 0), _BLOCK):  # what is made on the way stays in the processor's cache
        last = min(first + _BLOCK, len(keys[0]) - 1)
        settled = np.zeros(last - first, bool)
        for key in keys:
            before, after = key[first:last], key[first + 1 : last + 1]
            if (~settled & (after < before)).any():
                return False
            settled |= after > before
        if strictly and not settled.all():
            return False
    return True


def drop_rows(table: pd.DataFrame, problems: Sequence[Problem], source: str, mend: str) -> pd.DataFrame:
    """Leave out the rows that ``problems`` name, with one :class:`DataWarning` that says which and why."""
    if not problems:
        return table
    warnings.warn(DataWarning(f"{describe(problems, source)}. Left out; {mend}"), stacklevel=3)
    return table.drop(index=list({p.row for p in problems} & set(table.index)))


def describe(problems: Sequence[Problem], source: str) -> str:
    """Return the problems in words: file, row, column, what was found, what is allowed."""
    first: dict[tuple[Hashable, str], Problem] = {}
    for p in problems:
        first.setdefault((p.row, p.column), p)
    items = [
        f"row {p.row}, column {p.column}: found {_shown(p.found)}, allowed is {p.rule}"
        for p in sorted(first.values(), key=lambda p: str(p.row).zfill(12))
    ]
    return f"{source}: {listing(items, sep='; ')}"


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
        first = ", ".join(f"{k}={_shown(v)}" for k, v in table.loc[twice, key].iloc[0].items())
        raise SchemaError(f"{source}: {int(twice.sum())} rows repeat an earlier key, the first is {first}")


def _sortable(values: pd.Series) -> Any:
    """Return values whose neighbours can be compared; texts and numbers are so as they stand."""
    if values.dtype == "str":
        return values.array
    return values.to_numpy() if values.dtype.kind in "fiu" else sort_codes(values)


def _is_clean(values: pd.Series, field: Field) -> bool:
    """Whether a column is as its field says, by a look that costs little; what is not is judged with care after."""
    if not field.nullable and values.hasnans:
        return False
    if field.kind == "day":
        return bool(values.dtype == "datetime64[us]")
    if field.kind == "text":
        names = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
        return bool(names.dtype == "str") and (not field.allowed or bool(names.dropna().isin(field.allowed).all()))
    if values.dtype.kind not in "fiu":
        return False
    numbers = values.dropna().to_numpy() if values.hasnans else values.to_numpy()
    if not len(numbers):
        return True
    low, high = numbers.min(), numbers.max()
    in_range = (field.low is None or low >= field.low) and (field.high is None or high <= field.high)
    return bool(in_range and np.isfinite(low) and np.isfinite(high))


def _as_texts(table: pd.DataFrame, fields: Sequence[Field]) -> pd.DataFrame:
    """Return the columns that ``fields`` name, categories of texts as the texts themselves."""
    found = [field for field in fields if field.name in table.columns]
    texts = [f.name for f in found if f.kind == "text" and isinstance(table[f.name].dtype, pd.CategoricalDtype)]
    return pd.DataFrame(table[[field.name for field in found]]).astype(dict.fromkeys(texts, "str"))


def _problems(cases: pd.DataFrame, fields: Sequence[Field], source: str) -> list[Problem]:
    rules = {field.name: field.rule for field in fields}
    wrong_type = cases[cases["index"].isna()]
    if len(wrong_type):
        case = wrong_type.iloc[0]
        column = case["column"] if case["column"] in rules else case["failure_case"]
        raise SchemaError(f"{source}: column {column} holds {case['failure_case']}, allowed is {rules.get(column)}")
    return [
        Problem(row, column, found, rules[column])
        for row, column, found in zip(cases["index"], cases["column"], cases["failure_case"], strict=True)
    ]


@cache
def _pandera(fields: tuple[Field, ...]) -> pa.DataFrameSchema:
    import pandera.pandas as pa

    types: dict[str, Any] = {"text": "str", "day": "datetime64[us]", "number": float}

    def column(field: Field) -> pa.Column:
        checks = []
        if field.low is not None:
            checks.append(pa.Check.ge(field.low))
        if field.high is not None:
            checks.append(pa.Check.le(field.high))
        if field.allowed:
            checks.append(pa.Check.isin(field.allowed))
        if field.kind == "number":
            checks.append(pa.Check(np.isfinite, name="finite"))
        return pa.Column(
            types[field.kind], checks, nullable=field.nullable, required=field.required, coerce=field.kind == "number"
        )

    return pa.DataFrameSchema({field.name: column(field) for field in fields})


def _shown(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return "nothing" if pd.api.types.is_scalar(value) and pd.isna(value) else repr(value)
