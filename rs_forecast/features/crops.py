"""Features of the crop that stands on a parcel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast import asof, schema
from rs_forecast.features._columns import Columns, day_number, day_numbers, each, places
from rs_forecast.kernels import series

LONGEST_CROP = 150
"""Days after sowing beyond which a crop is taken as gone [days]."""


def crop_features(crops: pd.DataFrame, ids: pd.Index, issued: pd.Timestamp, valid_from: pd.Timestamp) -> Columns:
    """Return ``crop_age_days``: days from the newest known sowing to the valid week; NaN where unknown or long gone."""
    asof.check_known(crops, issued, "crops")
    sown = crops.loc[crops["sown"] <= valid_from]
    key = places(sown[schema.PARCEL], ids)
    sown, key = sown.loc[key >= 0], key[key >= 0]
    days = day_numbers(sown["sown"])
    order, starts = series.pack(key, days, len(ids))
    query, at = each(len(ids), day_number(valid_from))
    _, age = series.last_value(days[order], np.ones(len(days)), starts, query, at)
    return {"crop_age_days": np.where(age <= LONGEST_CROP, age, np.nan)}
