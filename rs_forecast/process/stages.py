"""Stages of insects by degree-days, from the day a cohort starts: single sine, lower and upper threshold, level cutoff.

The method stands in :mod:`rs_forecast.kernels.cohorts`, the constants in :mod:`rs_forecast.catalog.insects`. Constants
were measured at steady temperatures in cabinets; weather is that of a screen at 2 m and not of the canopy, where
hoppers sit. The first day counts whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rs_forecast.catalog.insects import INSECTS, Insect
from rs_forecast.kernels import cohorts
from rs_forecast.process._tables import Runs, category, checked, day_number, days_of, pack_runs, pack_weather

VARIABLES = ("temp_min", "temp_max", "temp_mean")
"""Columns of the weather that are read; the mean only where minimum or maximum is missing."""
MOST_LAG = 15
"""Days by which weather may end before the issue date [days]."""


def stage_course(
    weather: pd.DataFrame, runs: pd.DataFrame, insect: Insect | str, *, days: int = 120, carry_days: int = 0
) -> pd.DataFrame:
    """Return where each cohort stands at the end of every day.

    Parameters
    ----------
    weather
        Rows of ``schema.WEATHER``, one a site and day, with ``temp_min`` and ``temp_max``, or ``temp_mean`` [°C].
    runs
        ``site`` and ``start``, the day the first stage begins, such as that of egg laying.
    insect
        Row of the catalogue, or its name.
    days
        Days that are told [days].
    carry_days
        A day without temperature within a site's rows takes that of the last one, at most so many days older.

    Returns
    -------
    DataFrame
        One row a run and day: ``run`` (the index of ``runs``), ``date``, ``generation`` (cycles gone through),
        ``stage`` (its name, or what the catalogue has after the last), ``fraction`` (share of the stage gone through),
        ``degree_days`` gathered [°C d]. From the first day without temperature on all is missing.

    Raises
    ------
    SchemaError, ConfigError
        A table lacks a column, a site has two rows of one day, or there is no such insect.
    """
    row, packed = _insect(insect), pack_runs(runs)
    carry = checked(carry_days, "carry_days", 0)
    air = _weather(weather, packed, None, carry)
    state, _ = cohorts.courses(air, packed.site, packed.first, as_arrays(row), checked(days, "days", 1), 0, carry)
    told = cohorts.Cohorts(*(values[packed.which].ravel() for values in state))
    first = packed.first[packed.which]
    return pd.DataFrame(
        {
            "run": np.repeat(runs.index.to_numpy(), days),
            "date": days_of((first[:, None] + np.arange(days)).ravel()),
            "generation": told.generation,
            "stage": stage_names(told.stage, row),
            "fraction": told.fraction,
            "degree_days": told.heat,
        }
    )


def stage_dates(
    weather: pd.DataFrame,
    runs: pd.DataFrame,
    insect: Insect | str,
    *,
    generations: int = 1,
    days: int = 150,
    carry_days: int = 0,
) -> pd.DataFrame:
    """Return when each stage of each cohort ended.

    Parameters
    ----------
    generations
        Cycles that are told; of an insect whose constants do not close the cycle, the first alone.
    weather, runs, insect, days, carry_days
        As in :func:`stage_course`.

    Returns
    -------
    DataFrame
        One row a run, generation and stage: ``run``, ``generation`` (0 is the first), ``stage``, ``ended`` (a day;
        NaT if it has not, or weather does not tell) and ``days`` from the start of the first day to it [days].

    Raises
    ------
    SchemaError, ConfigError
        As in :func:`stage_course`.
    """
    row, packed = _insect(insect), pack_runs(runs)
    carry = checked(carry_days, "carry_days", 0)
    cycles = checked(generations, "generations", 1) if row.closed else 1
    events = cycles * len(row.stages)
    air = _weather(weather, packed, None, carry)
    _, ended = cohorts.courses(air, packed.site, packed.first, as_arrays(row), checked(days, "days", 1), events, carry)
    ended = ended[packed.which]
    known = ~np.isnan(ended)
    dates = np.full(ended.shape, np.datetime64("NaT", "us"))
    first = np.broadcast_to(packed.first[packed.which][:, None], ended.shape)
    dates[known] = days_of(first[known] + np.ceil(ended[known]).astype(np.int64) - 1)
    return pd.DataFrame(
        {
            "run": np.repeat(runs.index.to_numpy(), events),
            "generation": np.tile(np.repeat(np.arange(cycles), len(row.stages)), len(runs)),
            "stage": [stage.name for stage in row.stages] * (cycles * len(runs)),
            "ended": dates.ravel(),
            "days": ended.ravel(),
        }
    )


def stages_at(
    weather: pd.DataFrame,
    runs: pd.DataFrame,
    issued: object,
    insect: Insect | str,
    *,
    carry_days: int = 0,
    most_lag: int = MOST_LAG,
) -> pd.DataFrame:
    """Return where each cohort stands at the end of ``issued``.

    Where weather ends, or has a gap, before ``issued``, the newest day known counts, if it is at most ``most_lag`` days
    old.

    Parameters
    ----------
    weather, runs, insect, carry_days
        As in :func:`stage_course`; weather as known at ``issued``.
    issued
        The issue date.
    most_lag
        Oldest reading that still counts [days].

    Returns
    -------
    DataFrame
        Index of ``runs``: ``generation``, ``stage`` (its number, from 0; the number of stages where the last is over
        and none follows), ``fraction`` (share of the stage gone through), ``cycle_fraction`` (share of the degree-days
        of a cycle, 0 to 1), ``degree_days`` gathered since the start [°C d], ``lag_days``. NaN before the start and
        where weather does not suffice.

    Raises
    ------
    SchemaError, ConfigError
        As in :func:`stage_course`.
    LeakageError
        A row of ``weather`` was known only after ``issued``.
    """
    row, packed = _insect(insect), pack_runs(runs)
    carry, lag = checked(carry_days, "carry_days", 0), checked(most_lag, "most_lag", 0)
    air = _weather(weather, packed, issued, carry)
    stages = as_arrays(row)
    state, late = cohorts.readings(air, packed.site, packed.first, stages, day_number(issued), lag, carry)
    before = np.append(0.0, np.cumsum(stages.need))
    place = np.where(np.isnan(state.stage), 0, state.stage).astype(np.int64)
    cycle = (before[place] + state.fraction * np.append(stages.need, 0.0)[place]) / before[-1]
    columns = {
        "generation": state.generation, "stage": state.stage, "fraction": state.fraction, "cycle_fraction": cycle,
        "degree_days": state.heat, "lag_days": late,
    }  # fmt: skip
    return pd.DataFrame({name: values[packed.which] for name, values in columns.items()}, index=runs.index)


def as_arrays(insect: Insect) -> cohorts.Stages:
    """Return a row of the catalogue as the kernel takes it."""
    lower, upper, need = np.array([(s.lower, s.upper, s.degree_days) for s in insect.stages], np.float64).T.copy()
    return cohorts.Stages(lower, upper, need, insect.closed)


def stage_names(numbers: np.ndarray, insect: Insect) -> pd.Categorical[Any]:
    """Return the names of stages by their numbers; missing where the number is."""
    names: Sequence[str] = [stage.name for stage in insect.stages]
    codes = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
    return category(codes, [*names, f"after: {insect.after}"])


def _insect(insect: Insect | str) -> Insect:
    return INSECTS[insect] if isinstance(insect, str) else insect


def _weather(weather: pd.DataFrame, runs: Runs, issued: object, carry: int) -> cohorts.Weather:
    since = int(runs.first.min(initial=0)) - carry
    need = [] if "temp_mean" in weather or issued is not None else list(VARIABLES[:2])
    days, values, starts = pack_weather(weather, runs.sites, VARIABLES, issued, since=since, need=need)
    low, high, mean = (values[name] for name in VARIABLES)
    return cohorts.Weather(days, low, high, mean, starts)
