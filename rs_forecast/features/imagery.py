"""Features of the parcels' own imagery."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.features._columns import Columns, each, group_mean, mean_of, past_years
from rs_forecast.kernels import series
from rs_forecast.kernels.series import Window
from rs_forecast.looks import MIN_CLEAR, Codes, Looks, day_number, packed_looks

SIGNAL_STATS = ("mean", "p10", "p90")
"""Statistics of an index that features are made from."""

_MONTH, _QUARTER, _SLOPE = Window("mean", 30), Window("mean", 90), Window("slope", 60)


def signal_features(
    signals: pd.DataFrame, ids: pd.Index, zone: Codes, issued: pd.Timestamp, found: Looks | None = None
) -> tuple[Columns, NDArray[np.datetime64]]:
    """Return features of the parcels' own imagery, and the day of each one's last clear look (NaT where none).

    For each index: ``<index>_mean_last``, ``_mean_30d``, ``_mean_90d``, ``_mean_slope_60d`` [1/day], ``_spread_last``
    (p90 - p10), ``_anomaly_30d`` (against the same days of past years) and ``_vs_near`` (against the mean of its zone);
    with them ``data_age_days`` and ``clear_looks_90d``. A look that is a dip in the parcel's own NDVI, or EVI, counts
    as cloudy: :func:`rs_forecast.kernels.doubt.dips`.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals` known at ``issued``.
    ids
        All parcels.
    zone
        Zone of each parcel.
    issued
        The issue date.
    found
        The looks, where :func:`rs_forecast.looks.packed_looks` has been asked already.
    """
    rows, days, starts, fraction, clear = packed_looks(signals, ids, issued) if found is None else found
    query, at = each(len(ids), day_number(issued))
    newest = series.last_rows(days, fraction, fraction, starts, query, at, clear)
    age = at - series.at_rows(days, newest)
    (looks,) = series.windows(days, fraction, starts, query, at, [Window("count_above", 90, 0, MIN_CLEAR)])
    out: Columns = {"data_age_days": age, "clear_looks_90d": looks}
    past = past_years(_MONTH, days, at)
    for name in _index_names(signals):
        mean, high, low = (signals[f"{name}_{stat}"].to_numpy()[rows] for stat in ("mean", "p90", "p10"))
        newest = series.last_rows(days, mean, mean, starts, query, at, clear)
        both = series.last_rows(days, high, low, starts, query, at, clear)
        month, quarter, slope, *years = series.windows(
            days, mean, starts, query, at, [_MONTH, _QUARTER, _SLOPE, *past], clear
        )
        out[f"{name}_mean_last"] = series.at_rows(mean, newest)
        out[f"{name}_mean_30d"] = month
        out[f"{name}_mean_90d"] = quarter
        out[f"{name}_mean_slope_60d"] = slope
        out[f"{name}_spread_last"] = series.at_rows(high, both) - series.at_rows(low, both)
        out[f"{name}_anomaly_30d"] = month - mean_of(years, len(ids))
        out[f"{name}_vs_near"] = month - group_mean(month, zone)
    last = np.full(len(ids), np.datetime64("NaT", "us"), "datetime64[us]")
    seen = ~np.isnan(age)
    last[seen] = issued.to_datetime64() - age[seen].astype("timedelta64[D]")
    return out, last


def _index_names(signals: pd.DataFrame) -> list[str]:
    return [str(c).removesuffix("_mean") for c in signals.columns if str(c).endswith("_mean")]
