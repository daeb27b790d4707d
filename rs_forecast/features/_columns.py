"""What the features share: columns by parcel, means of groups, past years."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.kernels.series import Window
from rs_forecast.looks import Codes

Columns = dict[str, NDArray[np.float64]]
"""Features by name, a value for each parcel."""


def main_sites(weights: pd.DataFrame, ids: pd.Index) -> NDArray[np.object_]:
    """Return the weather site of greatest weight of each parcel, None where it has none."""
    own = weights.sort_values("weight", kind="stable", ascending=False).drop_duplicates(schema.PARCEL)
    found = own.set_index(schema.PARCEL)["site"].reindex(ids)
    return found.astype("object").where(found.notna(), None).to_numpy()


def group_mean(value: NDArray[np.float64], group: Codes) -> NDArray[np.float64]:
    """Return for each row the mean of its group, NaN where the group has no value."""
    known = ~np.isnan(value)
    size = int(group.max(initial=-1)) + 1
    count = np.bincount(group[known], minlength=size)
    total = np.bincount(group[known], value[known], minlength=size)
    return ratio(total, count)[group]


def ratio(total: NDArray[np.float64], count: NDArray[Any]) -> NDArray[np.float64]:
    """Return total / count, NaN where nothing was counted."""
    out = np.full(len(total), np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


def each(count: int, day: int) -> tuple[Codes, Codes]:
    """Return a query of each of ``count`` keys on one day."""
    return np.arange(count), np.full(count, day)


def everywhere(value: float, count: int) -> NDArray[np.float64]:
    """Return a column that holds one value, which stands in memory once."""
    return np.broadcast_to(np.float64(value), count)


def past_years(window: Window, days: Codes, at: Codes) -> list[Window]:
    """Return the window on the same day of each past year on record."""
    years = int((at.max() - days.min()) / 365.25) if len(days) and len(at) else 0
    return [window._replace(ago=round(365.25 * year)) for year in range(1, years + 1)]


def mean_of(years: Sequence[NDArray[np.float64]] | NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of the years that have a value; NaN where none has."""
    if len(years) == 0:
        return np.full(count, np.nan)
    found = np.isfinite(years)
    return ratio(np.where(found, years, 0.0).sum(axis=0), found.sum(axis=0))
