"""Tables at the doors of the process models: daily weather packed for the kernels, and runs as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.errors import ConfigError, SchemaError, listing
from rs_forecast.kernels import series
from rs_forecast.schema import day

Days = NDArray[np.int64]
Floats = NDArray[np.float64]


class Runs(NamedTuple):
    """Runs of which many are often the same: fields of one weather cell that were sown on one day."""

    site: Days
    """Position of the site among ``sites`` of each run that is not like another."""
    first: Days
    """Its first day, counted from 1970."""
    which: NDArray[np.intp]
    """Of each run asked for, which of these it is."""
    sites: pd.Index


def day_number(value: object) -> int:
    """Return a day, counted from 1970."""
    return int(day(value).to_datetime64().astype("datetime64[D]").astype(np.int64))


def day_numbers(dates: pd.Series) -> Days:
    """Return days, counted from 1970."""
    return dates.to_numpy("datetime64[D]").view(np.int64)


def days_of(numbers: NDArray[np.integer[Any]]) -> NDArray[np.datetime64]:
    """Return days counted from 1970 as the tables hold them."""
    return numbers.astype(np.int64).view("datetime64[D]").astype("datetime64[us]")


def checked(value: int, name: str, least: int) -> int:
    """Return a whole number that is at least ``least``; ConfigError if it is not."""
    if value < least:
        raise ConfigError(f"{name}: found {value}, allowed is a whole number of at least {least}")
    return int(value)


def category(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> pd.Categorical[Any]:
    """Return names by their numbers; missing where the number is -1."""
    return pd.Categorical.from_codes(codes, pd.Index(names))


def pack_runs(runs: pd.DataFrame) -> Runs:
    """Return runs as numbers, each kind once. A run without site or start has none, and gives NaN.

    Raises
    ------
    SchemaError
        ``runs`` has not the columns ``site`` and ``start``, or ``start`` holds no days.
    """
    _require(runs, ("site", "start"), "runs", "name what each run is: the weather's site, and its first day")
    if not pd.api.types.is_datetime64_dtype(runs["start"].dtype):
        raise SchemaError(
            f"runs: column start holds {runs['start'].dtype}, allowed are days; use rs_forecast.schema.days"
        )
    site, names = pd.factorize(runs["site"])
    open_ = runs["start"].isna().to_numpy()
    key = np.empty(len(runs), np.dtype([("site", np.int64), ("first", np.int64)]))
    key["site"], key["first"] = np.where(open_, -1, site), np.where(open_, 0, day_numbers(runs["start"]))
    span = key["first"].max(initial=0) - key["first"].min(initial=0) + 1
    code = key["site"] * span + (key["first"] - key["first"].min(initial=0))
    _, chosen, which = np.unique(code, return_index=True, return_inverse=True)
    kinds = key[chosen]
    return Runs(kinds["site"].copy(), kinds["first"].copy(), which, pd.Index(names))


def pack_weather(
    weather: pd.DataFrame,
    sites: pd.Index,
    names: Sequence[str],
    issued: object,
    *,
    since: int = 0,
    need: Sequence[str] = (),
) -> tuple[Days, dict[str, Floats], Days]:
    """Return days, values by name, and where the rows of each of ``sites`` begin.

    Rows after ``issued`` and before the day ``since`` are left out.

    A variable that is not among the columns is missing on all days.

    Raises
    ------
    SchemaError
        A column of ``need`` is not there, or a site has two rows of one day.
    LeakageError
        A row was known only after ``issued``.
    """
    _require(weather, ("site", "date", *need), "weather", "without it the model has nothing to go by")
    until = None if issued is None else day(issued)
    if until is not None and "known_at" in weather:
        schema.check_known(weather, until, "weather")
    days = day_numbers(weather["date"])
    use = days >= since if until is None else (days >= since) & (days <= day_number(until))
    rows = weather.loc[use]
    key = sites.get_indexer(pd.Index(rows["site"]))
    rows, key = rows.loc[key >= 0], key[key >= 0]
    days = day_numbers(rows["date"])
    order, starts = series.pack(key, days, len(sites))
    days, key = days[order], key[order]
    twice = np.flatnonzero((days[1:] == days[:-1]) & (key[1:] == key[:-1]))
    if len(twice):
        site, on = sites[key[twice[0]]], days_of(days[twice[:1]])[0].astype("datetime64[D]")
        raise SchemaError(
            f"weather: {len(twice)} rows repeat a site and day, the first is {site} on {on}; "
            "give one row a site and day, such as the newest known by rs_forecast.asof"
        )
    values = {
        name: rows[name].to_numpy(np.float64)[order] if name in rows else np.full(len(days), np.nan) for name in names
    }
    return days, values, starts


def _require(table: pd.DataFrame, columns: Sequence[str], what: str, why: str) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SchemaError(f"{what}: column {listing(missing)} is missing. Found: {listing(table.columns, 20)}; {why}")
