"""BLASTAM: hours of wet leaves, and whether a day favours infection by leaf blast, from hourly weather.

A day is favourable if its wet period is as long as it must be at its mean temperature, that temperature lies in its
range, and so does the mean of five days up to and with the day. It is ``quasi_1`` if the period has ten hours and the
five days were too cold, ``quasi_2`` too warm, ``quasi_3`` if the period itself was, ``quasi_4`` if it was too short for
its temperature: names of cases, not an order. Sources and limits: :mod:`rs_forecast.catalog.wet_rules`.

The marks are a guide for a wide area: they know neither nitrogen nor variety. In the delta, where five days have 26 to
29 °C, the limits of Japan give ``quasi_2`` or ``none`` for ever; of use there are the hours, and limits that were
fitted to local surveys. Daily weather cannot tell when leaves were wet and for how long: there is no way in for it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast.catalog.wet_rules import WET_RULES, WetRule
from rs_forecast.errors import SchemaError, listing
from rs_forecast.kernels import series, wetness
from rs_forecast.process._tables import Days, Floats, category, days_of

MARKS = ("undecidable", "none", "quasi_1", "quasi_2", "quasi_3", "quasi_4", "favourable")
_NEEDED, _OPTIONAL = ("site", "time", "temp", "rain"), ("rh", "wet", "wind", "sunshine")


def blastam_days(hourly: pd.DataFrame, rule: WetRule | str = "blastam") -> pd.DataFrame:
    """Return the mark and the wet hours of every site and day.

    An hour is wet by rain or humidity, and dry nonetheless in wind or sunshine; where ``wet`` holds a sensor's word,
    that alone counts. Strong rain ends a period. An hour that is missing, or whose values leave it open, is unknown,
    and a day that it could change is ``undecidable``.

    Parameters
    ----------
    hourly
        One row a site and hour: ``site``; ``time``, the beginning of the hour in local time; ``temp`` [°C], ``rain``
        [mm]; ``rh`` [%] or ``wet`` (share of the hour that a sensor was wet, 0-1); if there, ``wind`` [m/s] and
        ``sunshine`` [h]. A column that is not there does not count; a cell that is empty leaves the hour open.
    rule
        Row of the catalogue, or its name; :func:`dataclasses.replace` changes limits.

    Returns
    -------
    DataFrame
        One row a site and day between its first and last hour: ``site``, ``date``; ``mark``, one of ``MARKS``, of the
        24 hours that begin at ``rule.day_begins`` on the eve; ``wet_hours`` of the calendar day [h], NaN if one is
        unknown; ``period_hours`` and ``period_temp`` of the longest wet period known [h, °C]; ``five_day_temp`` [°C].

    Raises
    ------
    SchemaError
        A column is missing, times are no full hours, or a site has two rows of one hour.
    """
    row = WET_RULES[rule] if isinstance(rule, str) else rule
    _require(hourly)
    codes, names = pd.factorize(hourly["site"], sort=True)
    hour = _hours(hourly["time"])
    order, starts = series.pack(codes, hour, len(names))
    hour, codes = hour[order], codes[order]
    _refuse_twice(hour, codes, names)
    none = np.empty(0)

    def column(name: str, absent: Floats) -> Floats:
        return hourly[name].to_numpy(np.float64)[order] if name in hourly else absent

    open_ = np.full(len(hour), np.nan)
    air = wetness.Air(
        temp=column("temp", open_), rain=column("rain", open_), rh=column("rh", open_), wet=column("wet", open_),
        wind=column("wind", none), sun=column("sunshine", none),
    )  # fmt: skip
    wet, part = wetness.hour_codes(hour, air, _limits(row), starts)
    first, last = hour[starts[:-1]] // 24, hour[starts[1:] - 1] // 24
    places = np.append(0, np.cumsum(last - first + 1))
    need = np.array([hours for _, hours in row.need], np.float64)
    marks = wetness.Marks(row.least_hours, *row.temp, *row.five_days, row.need[0][0], row.day_begins)
    found = wetness.day_marks(hour, air.temp, wet, part, starts, need, marks, first, places)
    return pd.DataFrame(
        {
            "site": np.repeat(np.asarray(names), last - first + 1),
            "date": days_of(np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])),
            "mark": category(found.mark + 1, MARKS),
            "wet_hours": found.wet_hours,
            "period_hours": found.period_hours,
            "period_temp": found.period_temp,
            "five_day_temp": found.five_days,
        }
    )


def _limits(row: WetRule) -> wetness.Limits:
    return wetness.Limits(
        row.rh_wets, row.rain_wets, row.measured_wets, row.wind_dries, row.sun_dries, row.rain_cuts, row.rain_cuts_twice
    )


def _require(hourly: pd.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in hourly]
    if not missing and not {"rh", "wet"} & set(hourly.columns):
        missing = ["rh (or wet)"]
    if missing:
        raise SchemaError(
            f"hourly weather: column {listing(missing)} is missing. Found: {listing(hourly.columns, 20)}; columns are "
            f"{listing((*_NEEDED, *_OPTIONAL), 20)}. Daily weather does not suffice: it cannot tell how long leaves "
            "were wet"
        )
    if hourly.empty:
        raise SchemaError("hourly weather: the table has no rows; give one a site and hour")


def _hours(time: pd.Series) -> Days:
    """Return hours counted from 1970."""
    if not pd.api.types.is_datetime64_dtype(time.dtype) or time.isna().any():
        raise SchemaError(
            f"hourly weather: column time holds {time.dtype}{' with gaps' if time.isna().any() else ''}, allowed are "
            "times without zone in every row; convert with pandas.to_datetime, in local time"
        )
    exact = time.to_numpy("datetime64[us]")
    hours = exact.astype("datetime64[h]")
    odd = exact != hours
    if odd.any():
        raise SchemaError(
            f"hourly weather: {int(odd.sum())} rows are not at a full hour, the first at {exact[odd][0]}; give the "
            "beginning of the hour that each row is of"
        )
    return hours.view(np.int64)


def _refuse_twice(hour: Days, codes: np.ndarray, names: pd.Index) -> None:
    twice = np.flatnonzero((hour[1:] == hour[:-1]) & (codes[1:] == codes[:-1]))
    if len(twice):
        at = hour[twice[0]].astype("datetime64[h]")
        raise SchemaError(
            f"hourly weather: {len(twice)} rows repeat a site and hour, the first is {names[codes[twice[0]]]} at {at}; "
            "give one row a site and hour"
        )
