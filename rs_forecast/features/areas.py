"""Features of what is reported of the area that a parcel lies in: its sub-zone or its commune, or the parcel itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.catalog import Pest
from rs_forecast.features._columns import Columns

AREA_FEATURES = ("area_infested_log1p", "area_infested_change", "area_peak_log1p", "area_age_days")


def area_features(areas: pd.DataFrame, pest: Pest, places: Sequence[Any], issued: pd.Timestamp) -> Columns:
    """Return what the newest report known at ``issued`` says of ``pest`` where each parcel lies.

    ``area_infested_log1p``: log1p of the infested area [ha]; ``area_infested_change``: by how much that has risen since
    the report before; ``area_peak_log1p``: log1p of the highest density or rate; ``area_age_days``: days since the
    Monday of its week. NaN where nothing was reported. A report is told to each field of its area as what it is, the
    area's: nothing is divided among them.

    Parameters
    ----------
    places
        Names of areas, one a parcel each, the one that counts first in front.
    """
    schema.check_known(areas, issued, "areas")
    own = areas.loc[(areas["pest"] == pest.name) & (areas["week"] <= issued)]
    by = own.groupby(["place", "week"])
    weeks = by["infested_ha"].sum(min_count=1).to_frame("infested")
    weeks["peak"] = by["peak"].max().fillna(by["high"].max())
    weeks = weeks.transform(np.log1p).reset_index()
    weeks["change"] = weeks.groupby("place")["infested"].diff()
    last = weeks.groupby("place").tail(1).set_index("place")
    row = np.full(len(places[0]), -1)
    for names in places:
        row = np.where(row < 0, last.index.get_indexer(pd.Index(names)), row)

    def told(values: pd.Series) -> NDArray[np.float64]:
        return np.append(values.to_numpy(np.float64), np.nan).take(row, mode="wrap")

    age = (issued - last["week"]).dt.days
    found = (told(last["infested"]), told(last["change"]), told(last["peak"]), told(age))
    return dict(zip(AREA_FEATURES, found, strict=True))
