"""EPIRICE: five rice diseases, driven by daily weather from the crop's emergence on.

Savary et al. 2012, https://doi.org/10.1016/j.cropro.2011.11.009; the equations stand in
:mod:`rs_forecast.kernels.epirice`, the constants in :mod:`rs_forecast.catalog.diseases`.

A relative driver, to be calibrated on surveys, never "percent of leaves": the model knows neither variety nor nitrogen
nor treatment, takes a day for wet by its mean humidity, and lets leaf blast infect at 0.6 of its rate at 25 °C and 0.2
at 30 °C, so that in the tropics it makes almost none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rs_forecast.catalog.diseases import DISEASES, Disease
from rs_forecast.errors import ConfigError
from rs_forecast.kernels import epirice as kernel
from rs_forecast.process._tables import Floats, Runs, category, checked, day_number, days_of, pack_runs, pack_weather

DAYS = 120
"""Days of a run, emergence being the first."""
VARIABLES = ("temp_mean", "rh_mean", "rain_sum")
"""Columns of the weather that are read."""
CHANGE_DAYS = 7
MOST_LAG = 15
"""Days by which weather may end before the issue date [days]."""


def epirice_course(
    weather: pd.DataFrame,
    runs: pd.DataFrame,
    diseases: Sequence[Disease | str] = tuple(DISEASES),
    *,
    days: int = DAYS,
    carry_days: int = 0,
) -> pd.DataFrame:
    """Return every day of every run.

    Parameters
    ----------
    weather
        Rows of ``schema.WEATHER``, one a site and day, with ``temp_mean`` [°C], ``rh_mean`` [%], ``rain_sum`` [mm].
    runs
        ``site`` and ``start``, the day of emergence.
    diseases
        Rows of the catalogue, or their names.
    days
        Length of a run [days].
    carry_days
        A missing value within a site's rows takes the last one that is at most so many days older. 0: none does.

    Returns
    -------
    DataFrame
        One row a run, disease and day: ``run`` (the index of ``runs``), ``disease``, ``day`` (1 on emergence),
        ``date``; stocks ``sites``, ``latent``, ``infectious``, ``removed``, ``senesced``, ``diseased`` [per m2]; the
        day's ``rateinf``, ``rtransfer``, ``rgrowth``, ``rsenesced`` [per m2 and day]; ``intensity``, the share that is
        visibly or latently diseased, and ``audpc``, its area up to the day [days]. From the day after the first one
        whose infections cannot be told, for want of weather, all is NaN: no weather is made up. Days up to onset need
        none, and a day that is dry for certain needs no temperature.

    Raises
    ------
    SchemaError
        A column is missing, or a site has two rows of one day.
    ConfigError
        No such disease, or ``days`` or ``carry_days`` out of range.
    """
    chosen, table = _epidemics(diseases, days)
    packed, carry = pack_runs(runs), checked(carry_days, "carry_days", 0)
    air = _weather(weather, packed, None, carry, need=VARIABLES)
    states = kernel.courses(air, packed.site, packed.first, table, carry=carry)
    states = states[:, :, packed.which].transpose(0, 2, 1, 3)  # state, run, disease, day
    count = (len(runs), len(chosen), days)
    first = packed.first[packed.which]
    number = np.broadcast_to(np.arange(days), count)
    columns = {
        "run": np.repeat(runs.index.to_numpy(), len(chosen) * days),
        "disease": category(
            np.broadcast_to(np.arange(len(chosen))[:, None], count).ravel(), [disease.name for disease in chosen]
        ),
        "day": number.ravel() + 1,
        "date": days_of((first[:, None, None] + number).ravel()),
        **{name: values.ravel() for name, values in zip(kernel.STATES, states, strict=True)},
    }
    return pd.DataFrame(columns)


def epirice_at(
    weather: pd.DataFrame,
    runs: pd.DataFrame,
    issued: object,
    diseases: Sequence[Disease | str] = tuple(DISEASES),
    *,
    days: int = DAYS,
    carry_days: int = 0,
    most_lag: int = MOST_LAG,
) -> pd.DataFrame:
    """Return the intensity of each disease as of ``issued``, and its change over the week before, for each run.

    Where weather ends, or has a gap, before ``issued``, the newest day known counts, if it is at most ``most_lag`` days
    old. Runs of one site and day are made once, so that a million fields cost what their weather cells do.

    Parameters
    ----------
    weather, runs, diseases, days, carry_days
        As in :func:`epirice_course`; weather as known at ``issued``. A variable without column is missing.
    issued
        The issue date.
    most_lag
        Oldest reading that still counts [days].

    Returns
    -------
    DataFrame
        Index of ``runs``; for each disease ``<name>_intensity`` and ``<name>_intensity_change_7d`` (of a younger crop:
        since emergence), and ``lag_days``, the age of the oldest of the readings [days]. NaN before emergence, after
        ``days`` days, and where the weather does not suffice.

    Raises
    ------
    SchemaError, ConfigError
        As in :func:`epirice_course`.
    LeakageError
        A row of ``weather`` was known only after ``issued``.
    """
    chosen, table = _epidemics(diseases, days)
    packed, at = pack_runs(runs), day_number(issued)
    carry, lag = checked(carry_days, "carry_days", 0), checked(most_lag, "most_lag", 0)
    air = _weather(weather, packed, issued, carry)
    now, before, age = kernel.readings(air, packed.site, packed.first, table, at, CHANGE_DAYS, lag, carry)
    columns = {}
    for k, disease in enumerate(chosen):
        columns[f"{disease.name}_intensity"] = now[k][packed.which]
        columns[f"{disease.name}_intensity_change_{CHANGE_DAYS}d"] = (now[k] - before[k])[packed.which]
    columns["lag_days"] = age.max(axis=0)[packed.which]
    return pd.DataFrame(columns, index=runs.index)


def _weather(weather: pd.DataFrame, runs: Runs, issued: object, carry: int, need: Sequence[str] = ()) -> kernel.Weather:
    since = int(runs.first.min(initial=0)) - carry
    days, values, starts = pack_weather(weather, runs.sites, VARIABLES, issued, since=since, need=need)
    temp, rh, rain = (values[name] for name in VARIABLES)
    return kernel.Weather(days, temp, rh, rain, starts)


def _epidemics(diseases: Sequence[Disease | str], days: int) -> tuple[list[Disease], kernel.Epidemics]:
    chosen = [DISEASES[d] if isinstance(d, str) else d for d in diseases]
    if not chosen:
        raise ConfigError("diseases is empty; name at least one of " + ", ".join(DISEASES))
    return chosen, as_arrays(chosen, checked(days, "days", 1))


def as_arrays(diseases: Sequence[Disease], days: int) -> kernel.Epidemics:
    """Return rows of the catalogue as the kernel takes them."""
    constants = np.array(
        [
            (
                d.onset, d.first_sites, d.first_infections, d.rate, d.latent_days, d.infectious_days, d.aggregation,
                d.most_sites, d.senescence, d.growth, d.wet_rh, d.wet_rain,
            )
            for d in diseases
        ],
        np.float64,
    )  # fmt: skip
    curve = np.full((len(diseases), 2, max(len(d.temperature) for d in diseases)), np.nan)
    for k, disease in enumerate(diseases):
        curve[k, :, : len(disease.temperature)] = np.transpose(disease.temperature)
    return kernel.Epidemics(constants, np.array([_ages(d, days) for d in diseases]), curve)


def _ages(disease: Disease, days: int) -> Floats:
    x, y = np.transpose(disease.age)
    effect: Floats = np.interp(np.arange(days), x, y, left=0.0, right=0.0)
    return effect
