"""Features of the crop that stands on a parcel."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.features._columns import Columns, day_number, day_numbers, each, places
from rs_forecast.kernels import series

LONGEST_CROP = 150
"""Days after sowing beyond which a crop is taken as gone [days]."""


def crop_features(crops: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp, valid_from: pd.Timestamp) -> Columns:
    """Return ``crop_age_days``: days from the newest known sowing to the valid week; NaN where unknown or long gone."""
    sown = newest_sowing(crops, ids, issued, valid_from)
    age = (valid_from.to_datetime64() - sown) / np.timedelta64(1, "D")
    return {"crop_age_days": np.asarray(age, np.float64)}


def newest_sowing(
    crops: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp, by: pd.Timestamp | None = None
) -> NDArray[np.datetime64]:
    """Return the day of each parcel's newest sowing up to the day ``by`` (``issued``), as known at ``issued``.

    NaT where none is known, or the crop is long gone.
    """
    schema.check_known(crops, issued, "crops")
    until = issued if by is None else by
    sown = crops.loc[crops["sown"] <= until]
    key = places(sown[schema.PARCEL], ids)
    sown, key = sown.loc[key >= 0], key[key >= 0]
    days = day_numbers(sown["sown"])
    order, starts = series.pack(key, days, len(ids))
    query, at = each(len(ids), day_number(until))
    _, age = series.last_value(days[order], np.ones(len(days)), starts, query, at)
    out = np.full(len(ids), np.datetime64("NaT", "us"))
    standing = age <= LONGEST_CROP
    out[standing] = until.to_datetime64() - age[standing].astype("timedelta64[D]")
    return out
