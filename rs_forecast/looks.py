"""Which looks at a field count: clear, under cloud, or a dip in the field's own series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.asof import SIGNAL_KEY, Versions
from rs_forecast.kernels import doubt, series

MIN_CLEAR = 0.5
"""Share of a parcel that must be clear for a look to count."""
DIP_INDICES = ("ndvi", "evi")
"""The first that is there tells dips; cloud and shadow lower both."""
DROP, DROP_DAYS = 0.1, 45
"""How far below the looks around it a dip lies, and how near these are [days]. On real fields: one look in 25."""

CLEAR, CLOUDY, DIP = (np.int8(code) for code in range(3))
"""Kinds of a look. A dip is a clear look that is taken as cloudy all the same."""

Codes = NDArray[np.int64]


class Looks(NamedTuple):
    """Looks at parcels as arrays, by parcel, then day."""

    rows: NDArray[np.intp] | slice
    """Which row of the signals each is."""
    days: Codes
    """Counted from 1970."""
    starts: Codes
    """Parcel ``k`` holds the looks ``starts[k]:starts[k + 1]``."""
    fraction: NDArray[np.float64]
    """Clear share of the parcel; 0 for a dip."""
    clear: NDArray[np.bool_]
    """Whether the look counts."""


def packed_looks(signals: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp) -> Looks:
    """Return the looks at the parcels ``ids`` up to ``issued``, which must all be known by then, and which count."""
    schema.check_known(signals, issued, "signals")
    rows, key = rows_of_parcels(signals[schema.PARCEL], ids, (signals["date"] <= issued).to_numpy())
    days = day_numbers(signals["date"])[rows]
    order, starts = series.pack(key, days, len(ids))
    if not isinstance(order, slice):
        days, rows = days[order], np.arange(len(signals))[rows][order]
    fraction = signals["valid_fraction"].to_numpy()[rows]
    fraction = np.where(dips(signals, rows, days, starts, fraction >= MIN_CLEAR), 0.0, fraction)
    return Looks(rows, days, starts, fraction, ~(fraction < MIN_CLEAR))


def judged_looks(signals: pd.DataFrame, issued: Any = None) -> tuple[pd.DataFrame, NDArray[np.int8]]:
    """Return the looks known at ``issued``, and the kind of each as features see it on that day.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals`, or of the signals store.
    issued
        A day; by default all rows count as known.

    Returns
    -------
    looks, kind
        The rows of ``signals``, of each parcel and day the newest version known, by parcel, then day; and ``CLEAR``,
        ``CLOUDY`` or ``DIP`` for each. The newest clear look of a parcel is never a dip: nothing follows that tells.
    """
    day = signals["known_at"].max() if issued is None else schema.day(issued)
    looks = Versions(signals, SIGNAL_KEY).at(day)
    if issued is not None and (looks["date"] > day).any():
        looks = looks.loc[looks["date"] <= day]
    own = looks[schema.PARCEL]
    code = own.cat.codes.to_numpy() if isinstance(own.dtype, pd.CategoricalDtype) else pd.factorize(own)[0]
    starts = np.flatnonzero(np.diff(code, prepend=-1, append=-1)) if len(code) else np.zeros(1, np.int64)
    clear = looks["valid_fraction"].to_numpy() >= MIN_CLEAR
    days = looks["date"].to_numpy("datetime64[D]").view(np.int64)
    kind = np.where(clear, CLEAR, CLOUDY)
    kind[dips(looks, slice(None), days, starts, clear)] = DIP
    return looks, kind


def dips(
    signals: pd.DataFrame,
    rows: NDArray[np.intp] | slice,
    days: NDArray[np.int64],
    starts: NDArray[np.int64],
    clear: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return which looks are residual cloud or shadow, as far as greenness tells: :mod:`rs_forecast.kernels.doubt`.

    ``rows`` of ``signals`` are packed by parcel and day, as are ``days``, ``clear`` and the answer.
    """
    for name in DIP_INDICES:
        if f"{name}_mean" in signals:
            value = np.where(clear, signals[f"{name}_mean"].to_numpy()[rows], np.nan)
            return doubt.dips(days, value.astype(np.float64), starts, DROP_DAYS, DROP)
    return np.zeros(len(days), np.bool_)


def rows_of_parcels(
    parcel: pd.Series, ids: pd.Index, use: NDArray[np.bool_]
) -> tuple[NDArray[np.intp] | slice, NDArray[np.integer[Any]]]:
    """Return which rows of those to ``use`` are of parcels among ``ids``, and each one's position there."""
    if isinstance(parcel.dtype, pd.CategoricalDtype):  # each parcel looked up once, not once a row
        key, names = parcel.cat.codes.to_numpy(), parcel.cat.categories
        if not names.equals(ids):
            key = np.append(ids.get_indexer(names), -1)[key]
    else:
        key = places(parcel, ids)
    kept = use & (key >= 0)
    return (slice(None), key) if kept.all() else (np.flatnonzero(kept), key[kept])


def places(parcel: pd.Series, ids: pd.Index) -> Codes:
    """Return the position of each parcel among ``ids``, -1 for none."""
    names = pd.Index(parcel)
    return np.arange(len(ids)) if names.equals(ids) else ids.get_indexer(names)


def day_numbers(dates: pd.Series) -> Codes:
    """Return days as whole numbers, counted from 1970."""
    return dates.to_numpy("datetime64[D]").view(np.int64)


def day_number(day: pd.Timestamp) -> int:
    """Return one day as a whole number, counted from 1970."""
    return int(day.to_datetime64().astype("datetime64[D]").astype(np.int64))
