"""What a pest's process model says of each parcel, from the weather since its crop was sown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import DISEASES, INSECTS, Pest
from rs_forecast.errors import ConfigError
from rs_forecast.features._columns import Columns, main_sites
from rs_forecast.process.epirice import MOST_LAG, epirice_at
from rs_forecast.process.stages import stages_at

LEAST_INTENSITY = 1e-9
"""Below this an epidemic is as good as none; its logarithm stands for all smaller ones."""


def process_features(
    weather: pd.DataFrame,
    weights: pd.DataFrame,
    ids: pd.Index,
    sown: NDArray[np.datetime64],
    pest: Pest,
    issued: pd.Timestamp,
) -> Columns:
    """Return what the model that the catalogue names for ``pest`` says; NaN where it has none, or too little to go by.

    ``process_log_intensity`` and ``process_change_7d``: EPIRICE's intensity of the disease (its base-10 logarithm) and
    how it changed in a week, a relative driver, no share of leaves. ``process_cycles``: generations of the insect that
    the degree-days since sowing are enough for.

    Parameters
    ----------
    weather, weights
        Rows known at ``issued``, and which sites a parcel has; the one of greatest weight counts.
    ids
        All parcels.
    sown
        The day the standing crop was sown on, NaT where unknown.
    """
    schema.check_known(weather, issued, "weather")
    nothing = np.full(len(ids), np.nan)
    out = {"process_log_intensity": nothing, "process_change_7d": nothing, "process_cycles": nothing}
    if weather.empty or np.isnat(sown).all() or not pest.process:
        return out
    runs = pd.DataFrame({"site": main_sites(weights, ids), "start": sown.astype("datetime64[us]")})
    told = process_reading(weather, runs, pest, issued)
    value = told["value"].to_numpy(np.float64)
    if pest.process in DISEASES:
        out["process_log_intensity"] = np.log10(np.maximum(value, LEAST_INTENSITY))
        out["process_change_7d"] = told["change_7d"].to_numpy(np.float64)
    else:
        out["process_cycles"] = value
    return out


def process_reading(
    weather: pd.DataFrame, runs: pd.DataFrame, pest: Pest, at: object, *, most_lag: int = MOST_LAG
) -> pd.DataFrame:
    """Return what the process model of ``pest`` says of each run as of the day ``at``.

    Parameters
    ----------
    weather, runs
        As in :func:`rs_forecast.process.epirice.epirice_at`; ``start`` is the day of sowing.
    most_lag
        Days by which weather may end before ``at`` [days].

    Returns
    -------
    DataFrame
        Index of ``runs``: ``value`` (a disease's intensity, or an insect's generations), ``change_7d`` (of a disease,
        over a week), ``lag_days`` (how many days before ``at`` the day lies that was read); NaN where there is none.

    Raises
    ------
    ConfigError
        The catalogue has no such model.
    """
    if pest.process in DISEASES:
        told = epirice_at(weather, runs, at, [pest.process], most_lag=most_lag)
        names = {f"{pest.process}_intensity": "value", f"{pest.process}_intensity_change_7d": "change_7d"}
        return told.rename(columns=names)
    if pest.process in INSECTS:
        told = stages_at(weather, runs, at, pest.process, most_lag=most_lag)
        cycles = told["generation"] + told["cycle_fraction"]
        return pd.DataFrame({"value": cycles, "change_7d": np.nan, "lag_days": told["lag_days"]}, index=runs.index)
    raise ConfigError(f"pest {pest.name!r}: there is no process model {pest.process!r}")
