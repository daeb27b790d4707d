"""Features of the date alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast.features._columns import Columns, everywhere


def calendar_features(count: int, valid_from: pd.Timestamp) -> Columns:
    """Return the valid week's place in the year as ``week_sin`` and ``week_cos``."""
    angle = 2 * np.pi * (valid_from.day_of_year - 1) / 365.25
    return {"week_sin": everywhere(np.sin(angle), count), "week_cos": everywhere(np.cos(angle), count)}
