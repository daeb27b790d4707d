"""Hourly weather into days: which hour belongs to which day, sums that are kept running, and days that lack hours."""

from __future__ import annotations

import warnings
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from rs_forecast.errors import ConfigError, DataWarning, SchemaError, listing, suggest
from rs_forecast.schema import Field, Problem, describe
from rs_forecast.sources._magnus import humidity, saturation
from rs_forecast.sources._units import UNITS, conversion


def _field(name: str, unit: str, low: float | None, high: float | None, doc: str) -> Field:
    return Field(name=name, kind="number", doc=doc, unit=unit, low=low, high=high, required=False, nullable=True)


HOURLY_VARIABLES = (
    _field("temp", "°C", -70, 60, "air temperature"),
    _field("dewpoint", "°C", -90, 40, "dew point, from which humidity is made where rh is not there"),
    _field("rh", "%", 0, 100, "relative humidity"),
    _field("rain", "mm", 0, 500, "rain of the hour"),
    _field("wind", "m/s", 0, 110, "wind speed"),
    _field("wind_u", "m/s", -110, 110, "wind from the west, with wind_v in place of wind"),
    _field("wind_v", "m/s", -110, 110, "wind from the south"),
    _field("radiation", "MJ/m2", 0, 6, "global radiation of the hour"),
    _field("sunshine", "h", 0, 1, "sunshine of the hour"),
    _field("wet", "h", 0, 1, "time with wet leaves in the hour"),
)
"""Variables of an hour, in our units."""
HOURLY_NAMES = tuple(field.name for field in HOURLY_VARIABLES)

SUMS = {"rain": "rain_sum", "radiation": "radiation_sum", "sunshine": "sunshine_hours", "wet": "wet_hours"}
"""Amounts of an hour -> of a day."""
LEAST_HOURS = 20
"""Hours of 24 that a day must have; its sums are then taken to 24 hours at their mean."""
_HOUR = pd.Timedelta(hours=1)
_LONGEST_TORN = 3.0
"""Hours that a running sum may span over a midnight: of more, nobody knows which day they fell on."""
_MM = 1e-3
"""What a running sum may fall by, since files round [mm, MJ/m2]."""

Stamps = Literal["end", "start"]


def to_daily(
    hours: pd.DataFrame,
    *,
    timezone: str = "UTC",
    accumulated: Collection[str] = (),
    stamps: Stamps = "end",
    wet_rh: float | None = None,
    source: str = "weather",
) -> pd.DataFrame:
    """Return one row a site and day from hourly rows.

    Parameters
    ----------
    hours
        ``site``, ``time`` (UTC, without zone), and any of :data:`HOURLY_VARIABLES` in our units. Two rows of a site
        and hour are refused.
    timezone
        The zone whose midnights part the days.
    accumulated
        Sums (``rain``, ``radiation``) that run from 00 UTC: each value is what fell since then, the one at 00 UTC all
        of the day before, as ERA5-Land has it.
    stamps
        Whether a sum is of the hour that ends, or that starts, at its time. A running sum always ends there. What is
        no sum belongs to the day of its time.
    wet_rh
        Without a column ``wet``, hours with at least this relative humidity count as wet [%].
    source
        Name for messages.

    Returns
    -------
    DataFrame
        ``site``, ``date`` and variables of ``schema.WEATHER_VARIABLES``. A variable needs 20 hours of a day's 24, and
        is missing else.

    Raises
    ------
    SchemaError
        An hour is given twice, or a sum said to be running falls within a day.
    ConfigError
        There is no such time zone, or variable to be accumulated.
    """
    _check(hours, accumulated, stamps, source)
    rows = hours.sort_values(["site", "time"], kind="stable").reset_index(drop=True)
    rows = _derived(rows, wet_rh)
    parts: dict[str, pd.Series] = {}
    day = _days(rows["time"], timezone)
    for name, stats in {"temp": ("mean", "min", "max"), "rh": ("mean", "min", "max"), "wind": ("mean",)}.items():
        if name in rows:
            found = rows.groupby(["site", day])[name].agg(["count", *stats])
            parts |= {f"{name}_{stat}": found[stat].where(found["count"] >= LEAST_HOURS) for stat in stats}
    for name, ours in SUMS.items():
        if name in rows:
            parts[ours] = _day_sum(rows, name, timezone, stamps, source, running=name in accumulated)
    out = pd.DataFrame(parts).dropna(how="all")
    out.index.names = ["site", "date"]
    return out.sort_index().reset_index().astype({"date": "datetime64[us]"})


def hourly_units(
    table: pd.DataFrame, units: Mapping[str, str], source: str, names: Sequence[str] = HOURLY_NAMES
) -> pd.DataFrame:
    """Return ``table`` with the columns whose unit is declared in ours.

    Raises
    ------
    ConfigError
        A unit is declared of something else, or is not known.
    """
    out = table.copy()
    for name, declared in units.items():
        if name not in names:
            known = suggest(name, names) or f"; allowed are {listing(names, 20)}"
            raise ConfigError(f"{source}: a unit is declared for {name!r}, which is no variable{known}")
        how = conversion(name, declared)
        if how is None:
            raise ConfigError(
                f"{source}: {name} is declared in {declared!r}; allowed are {listing(UNITS[name], 20)}. Mend "
                "[weather] units"
            )
        if name in out:
            out[name] = out[name] * how.factor + how.offset
    return out


def hours_in_range(
    table: pd.DataFrame,
    source: str,
    accumulated: Collection[str],
    problems: Sequence[Problem] = (),
    *,
    grid: bool = False,
) -> pd.DataFrame:
    """Return ``table`` with values that cannot be missing, each named with ``problems``.

    A sum that runs through a day may be 24 times that of an hour. The rows of a ``grid`` have no row number in a file
    and are named by cell and hour.

    Raises
    ------
    SchemaError
        No value of a column is in its range: the column is in another unit.
    """
    out, found = table.copy(), list(problems)
    for field in HOURLY_VARIABLES:
        if field.name not in out:
            continue
        values = out[field.name]
        high = (field.high or 0.0) * (24 if field.name in accumulated else 1)
        bad = (values < field.low) | (values > high)
        if bad.any() and bad.sum() == values.notna().sum() and values.min() < values.max():
            kelvin = field.name in ("temp", "dewpoint") and 200 < values[bad].iloc[0] < 340
            unit = "K" if kelvin else "..."
            mend = f'declare [weather] units = {{ {field.name} = "{unit}" }}, or map the right column'
            raise SchemaError(
                f"{source}: no value of column {field.name} is {field.rule}, the first is {values[bad].iloc[0]:g}: "
                f"{f'set the unit that the file declares to {unit}' if grid else mend}"
            )
        found += [Problem(row, field.name, value, field.rule) for row, value in values[bad].items()]
        out.loc[bad, field.name] = np.nan
    if grid and found:
        at = table.loc[table.index.isin({p.row for p in found}), ["site", "time"]]
        names = {row: f"of {site} at {time:%Y-%m-%d %H:%M} UTC" for row, site, time in at.itertuples(name=None)}
        found = [p._replace(row=names[p.row]) for p in found]
    if found:
        text = f"{describe(found, source)}. These cells are taken as missing; the rest of the row stays"
        warnings.warn(DataWarning(text), stacklevel=3)
    return out


def utc_times(text: pd.Series, timezone: str) -> pd.Series:
    """Return written times as UTC without zone, NaT where one cannot be read or is not there in the zone.

    A day without a time of day is its midnight. What carries its own offset is taken at its word.
    """
    zoned = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True) & text.str.contains(":")
    own = pd.to_datetime(text.where(zoned), errors="coerce", format="ISO8601", utc=True).dt.tz_localize(None)
    plain = pd.to_datetime(text.mask(zoned), errors="coerce", format="ISO8601")
    local = plain.dt.tz_localize(_zone(timezone), ambiguous="NaT", nonexistent="NaT")
    return own.fillna(local.dt.tz_convert("UTC").dt.tz_localize(None)).astype("datetime64[us]")


def _check(hours: pd.DataFrame, accumulated: Collection[str], stamps: str, source: str) -> None:
    wrong = [name for name in accumulated if name not in SUMS]
    if wrong:
        raise ConfigError(f"{source}: {wrong[0]!r} is no sum; accumulated may be {listing(SUMS)}")
    if stamps not in ("end", "start"):
        raise ConfigError(f"{source}: stamps is {stamps!r}; allowed are end, start")
    twice = hours.duplicated(["site", "time"])
    if twice.any():
        row = hours.loc[twice].iloc[0]
        raise SchemaError(
            f"{source}: {int(twice.sum())} rows repeat an hour, the first {row['site']} at {row['time']:%Y-%m-%d %H:%M}"
            " UTC; keep one row an hour"
        )


def _derived(rows: pd.DataFrame, wet_rh: float | None) -> pd.DataFrame:
    out = rows.copy()
    if "rh" not in out and {"temp", "dewpoint"} <= set(out):
        out["rh"] = humidity(saturation(out["dewpoint"]), out["temp"])
    if "wind" not in out and {"wind_u", "wind_v"} <= set(out):
        out["wind"] = np.hypot(out["wind_u"], out["wind_v"])
    if "wet" not in out and wet_rh is not None and "rh" in out:
        out["wet"] = (out["rh"] >= wet_rh).astype("float64").where(out["rh"].notna())
    return out


def _day_sum(rows: pd.DataFrame, name: str, timezone: str, stamps: Stamps, source: str, *, running: bool) -> pd.Series:
    value, spans = _increments(rows, name, source) if running else (rows[name], rows[name].notna() * 1.0)
    if running:
        ends = rows["time"] - pd.Timedelta(microseconds=1)
        began = rows["time"] - pd.to_timedelta(spans, unit="h").astype("timedelta64[us]")
        torn = (spans > _LONGEST_TORN) & (_days(began, timezone) != _days(ends, timezone))
        value, spans = value.mask(torn), spans.mask(torn, 0.0)
    # the middle of what a sum spans, so that one up to midnight belongs to the day that ends
    half = pd.to_timedelta(spans.clip(lower=1.0) / 2, unit="h").astype("timedelta64[us]")
    middle = rows["time"] - half if running or stamps == "end" else rows["time"] + half
    total = pd.DataFrame({"value": value, "spans": spans}).groupby([rows["site"], _days(middle, timezone)]).sum()
    mean: pd.Series = total["value"] / total["spans"].where(total["spans"] >= LEAST_HOURS)
    return mean * 24


def _increments(rows: pd.DataFrame, name: str, source: str) -> tuple[pd.Series, pd.Series]:
    """Return what was added since the last value of the same UTC day, and over how many hours."""
    known = rows.loc[rows[name].notna()]
    began = (known["time"] - _HOUR / 2).dt.normalize()  # 00 UTC closes the day before
    groups = [known["site"], began]
    value = known[name] - known.groupby(groups)[name].shift().fillna(0.0)
    before = known["time"].groupby(groups).shift().fillna(began)
    fell = value < -_MM
    if fell.any():
        row = known.loc[fell].iloc[0]
        raise SchemaError(
            f"{source}: {name} falls within the UTC day, first at {row['site']} on {row['time']:%Y-%m-%d %H:%M}, so it "
            f"is no running sum; take {name} out of accumulated, or check the times' zone"
        )
    spans = (known["time"] - before).dt.total_seconds() / 3600
    return value.clip(lower=0.0).reindex(rows.index), spans.reindex(rows.index).fillna(0.0)


def _days(time: pd.Series, timezone: str) -> pd.Series:
    local = time.dt.tz_localize("UTC").dt.tz_convert(_zone(timezone)).dt.tz_localize(None)
    days: pd.Series = local.dt.normalize().rename("date")
    return days


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ConfigError(f"there is no time zone {name!r}; allowed is a name such as Asia/Ho_Chi_Minh or UTC") from err
