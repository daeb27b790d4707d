"""Weather grids of hours: ERA5 and ERA5-Land of the Climate Data Store, made days by the rules of hourly tables.

Rain and radiation of ERA5-Land run from 00 UTC to the next, those of ERA5 on single levels are amounts of the hour.
Both call them ``tp`` and ``ssrd``, in the same units, and ``GRIB_stepType`` is ``accum`` in both: a file does not tell,
so it must be said. https://confluence.ecmwf.int/pages/viewpage.action?pageId=197702790
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.errors import ConfigError, DataWarning, SchemaError, listing
from rs_forecast.sources._grid_files import converter, header, steps_of, values_of
from rs_forecast.sources._hourly import HOURLY_NAMES, SUMS, Stamps, hours_in_range, to_daily

HOUR_MAP = {
    "t2m": "temp",
    "2m_temperature": "temp",
    "d2m": "dewpoint",
    "2m_dewpoint_temperature": "dewpoint",
    "tp": "rain",
    "total_precipitation": "rain",
    "ssrd": "radiation",
    "surface_solar_radiation_downwards": "radiation",
    "u10": "wind_u",
    "10m_u_component_of_wind": "wind_u",
    "v10": "wind_v",
    "10m_v_component_of_wind": "wind_v",
    **{name: name for name in HOURLY_NAMES},
}
"""Names of hourly values in files, in lower case -> ours."""

_HOUR = np.timedelta64(1, "h")
_BATCH_ROWS = 500_000
_RISING_DAYS = 5
"""Days with a rise and none with a fall, from which on a sum is taken to run, whatever is declared."""
_SLACK = 1e-3
"""As much as a running sum may fall by, since files round [mm, MJ/m2]."""

Files = Sequence[tuple[Path, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How hours become days: arguments of :func:`rs_forecast.sources.weather.to_daily`.

    ``accumulated`` is None where nobody has said which sums run through the day.
    """

    accumulated: Sequence[str] | None = None
    stamps: Stamps = "end"
    timezone: str = "UTC"
    wet_rh: float | None = None


class _Plan(NamedTuple):
    """Of all files together: the hours, and for each file its steps among them, and our name of each variable."""

    times: NDArray[np.datetime64]
    at: list[NDArray[np.intp]]
    ours: list[dict[str, str]]


def daily_rows(files: Files, cells: pd.DataFrame, reading: Reading, source: str) -> pd.DataFrame:
    """Return ``site, date`` and daily variables of ``cells`` (``site, i, j``), as :func:`to_daily` makes them.

    Raises
    ------
    ConfigError
        There are sums, and nobody has said whether they run through the day.
    SchemaError
        Values are not hourly, a unit is missing or unknown, or a sum is not what it is said to be.
    """
    plan = _planned(files, source)
    running = _running(files, plan, reading, source)
    values = _hours(files, plan, cells, source)
    for name in set(SUMS) & set(values) - set(running):
        _refuse_if_running(values[name], plan.times, name, source)
    together = max(1, _BATCH_ROWS // len(plan.times))
    out = []
    for first in range(0, len(cells), together):
        part = slice(first, first + together)
        site = cells["site"].to_numpy()[part]
        rows = pd.DataFrame({"site": np.repeat(site, len(plan.times)), "time": np.tile(plan.times, len(site))})
        rows = rows.assign(**{name: grid[part].ravel() for name, grid in values.items()})
        rows = hours_in_range(rows.dropna(how="all", subset=list(values)), source, running, grid=True)
        daily = to_daily(
            rows, timezone=reading.timezone, accumulated=running, stamps=reading.stamps, wet_rh=reading.wet_rh,
            source=source,
        )  # fmt: skip
        out.append(daily)
    return pd.concat(out, ignore_index=True)


def _planned(files: Files, source: str) -> _Plan:
    """Return which hours and variables the files hold, without reading these."""
    steps, ours = [], []
    for file, names in files:
        here = [HOUR_MAP[name.lower()] for name in names]
        twice = next((name for name in here if here.count(name) > 1), None)
        if twice:
            both = [name for name in names if HOUR_MAP[name.lower()] == twice]
            raise SchemaError(f"{file.name}: {listing(both)} are both {twice}; keep one of them")
        steps.append(steps_of(file, names[0]))
        ours.append(dict(zip(names, here, strict=True)))
        if len(np.unique(steps[-1])) < len(steps[-1]):
            raise SchemaError(f"{file.name}: it has an hour more than once; keep one step an hour")
    times = np.unique(np.concatenate(steps))
    _refuse_unless_hourly(times, files, source)
    return _Plan(times, [np.searchsorted(times, each) for each in steps], ours)


def _refuse_unless_hourly(times: NDArray[np.datetime64], files: Files, source: str) -> None:
    gaps, counts = np.unique(np.diff(times), return_counts=True)
    usual = gaps[np.argmax(counts)] if gaps.size else np.timedelta64(24, "h")
    if usual == _HOUR:
        return
    name = files[0][1][0]
    if usual >= np.timedelta64(24, "h"):
        raise SchemaError(
            f"{source}: {name} has one value a day or fewer, and does not say whether mean, minimum, maximum or sum; "
            f"name it as what it is (temp_mean, temp_min, rain_sum ...), or fetch all 24 hours"
        )
    raise SchemaError(
        f"{source}: values of {name} are {usual / _HOUR:g} hours apart, hours are due; fetch all 24 hours of the days"
    )


def _running(files: Files, plan: _Plan, reading: Reading, source: str) -> tuple[str, ...]:
    """Return the sums that run through the day; refuses amounts of which nobody has said so, and rates said to run."""
    amounts: dict[str, str] = {}
    for (file, _), ours in zip(files, plan.ours, strict=True):
        with header(file) as data:
            for name, our in ours.items():
                converter(data[name], our, file.name)
                unit = str(data[name].attrs.get("units", ""))
                if our not in SUMS or our in ("sunshine", "wet"):
                    continue
                if not _is_rate(unit):
                    amounts[our] = name
                elif our in (reading.accumulated or ()):
                    raise SchemaError(
                        f"{file.name}: {name} is in {unit}, a rate, and cannot run through the day; take {our} out of "
                        "[weather] accumulated"
                    )
    if amounts and reading.accumulated is None:
        said = listing(f'"{name}"' for name in amounts)
        raise ConfigError(
            f"{source}: {listing(amounts.values())} may be amounts of each hour (ERA5 on single levels) or run from "
            f"00 UTC (ERA5-Land), and the file does not say which; declare [weather] accumulated = [] for amounts of "
            f"each hour, or accumulated = [{said}] if they run"
        )
    there = {name for ours in plan.ours for name in ours.values()}
    return tuple(name for name in reading.accumulated or () if name in there or name not in SUMS)


def _is_rate(unit: str) -> bool:
    text = unit.replace("*", "").replace("^", "").replace(" ", "")
    return text.startswith("W") or any(end in text for end in ("s-1", "/s", "h-1", "/h", "hr-1"))


def _hours(files: Files, plan: _Plan, cells: pd.DataFrame, source: str) -> dict[str, NDArray[np.float64]]:
    """Return each variable (cell, hour) in our unit; where files disagree, none is taken."""
    out: dict[str, NDArray[np.float64]] = {}
    torn: dict[str, NDArray[np.bool_]] = {}
    for (file, names), at, ours in zip(files, plan.at, plan.ours, strict=True):
        values = values_of(file, names, cells)
        with header(file) as data:
            how = {name: converter(data[name], ours[name], file.name) for name in names}
        for name in names:
            new, our = how[name](values.pop(name)), ours[name]
            if our in SUMS:
                new[(new < 0) & (new > -_SLACK)] = 0.0  # packing leaves dry hours a hair below nought
            kept = out.setdefault(our, np.full((len(cells), len(plan.times)), np.nan))
            old = kept[:, at]
            differ = ~np.isnan(old) & ~np.isnan(new) & (old != new)
            if differ.any():
                torn.setdefault(our, np.zeros(kept.shape, bool))[:, at] |= differ
            kept[:, at] = np.where(np.isnan(new), old, new)
    if torn:
        first, where = next(iter(torn.items()))
        cell, hour = np.argwhere(where)[0]
        text = (
            f"{source}: files disagree on {sum(int(bad.sum()) for bad in torn.values())} values, the first {first} of "
            f"{cells['site'].iloc[cell]} at {pd.Timestamp(plan.times[hour]):%Y-%m-%d %H:%M} UTC"
        )
        warnings.warn(DataWarning(f"{text}. Taken as missing; keep one of the files"), stacklevel=5)
        for name, bad in torn.items():
            out[name][bad] = np.nan
    return out


def _refuse_if_running(values: NDArray[np.float64], times: NDArray[np.datetime64], name: str, source: str) -> None:
    """Raise SchemaError if a sum declared as one of each hour only ever rises within the UTC day."""
    began = (times - _HOUR).astype("datetime64[D]")  # 00 UTC closes the day before
    step = np.diff(values, axis=1)[:, began[1:] == began[:-1]]
    day = began[1:][began[1:] == began[:-1]]
    rising = len(np.unique(day[(step > _SLACK).any(axis=0)]))
    if rising >= _RISING_DAYS and not (step < -_SLACK).any():
        raise SchemaError(
            f"{source}: {name} is declared as amounts of each hour, yet on {rising} days it rises from 01 to 00 UTC "
            f'and never falls: it runs through the day, as in ERA5-Land. Declare [weather] accumulated = ["{name}"]'
        )
