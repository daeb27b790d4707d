"""The risk table: probabilities made into classes, beside what the forecast rests on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.schema import NOT_ASSESSABLE, RISK, RISK_CLASSES, check_risk

FloatArray = NDArray[np.float64]

CLASS_LIMITS = (0.1, 0.3, 0.6)
"""Probabilities at which moderate, high and very high begin."""


def risk_table(
    dataset: pd.DataFrame,
    probability: FloatArray,
    *,
    model_id: str,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
    reasons: pd.Series | Sequence[str] | str = "",
    class_limits: Sequence[float] = CLASS_LIMITS,
) -> gpd.GeoDataFrame:
    """Return the risk table of a forecast, from a model or from a baseline that stands in for it.

    Rows that are not assessable get no probability and no reasons.
    """
    if "geometry" not in dataset.columns or getattr(dataset, "crs", None) is None:
        raise SchemaError("the dataset has no geometry with a CRS; forecast from what build_dataset returns")
    assessable = (dataset["status"] != NOT_ASSESSABLE).to_numpy() & np.isfinite(probability)
    missing = np.full(len(dataset), np.nan)
    texts = pd.Series([reasons] * len(dataset) if isinstance(reasons, str) else reasons, dtype="str")
    age = (dataset["issued"] - dataset["last_clear_obs"]).dt.days.astype("float64")
    found = dataset.assign(
        probability=np.where(assessable, probability, np.nan),
        lower=np.where(assessable, missing if lower is None else lower, np.nan),
        upper=np.where(assessable, missing if upper is None else upper, np.nan),
        risk_class=risk_classes(np.where(assessable, probability, np.nan), class_limits),
        reasons=texts.where(pd.Series(assessable)).to_numpy(),
        data_age_days=age,
        model_id=model_id,
    )
    risk: gpd.GeoDataFrame = found[[*(field.name for field in RISK), "geometry"]].astype(
        {"reasons": "str", "risk_class": "str"}
    )
    check_risk(risk)
    return risk


def risk_classes(probability: FloatArray, limits: Sequence[float] = CLASS_LIMITS) -> NDArray[np.object_]:
    """Return the class of each probability; a class begins at its limit, NaN is not assessable."""
    rising = [0.0, *limits, 1.0]
    if len(limits) != len(RISK_CLASSES) - 1 or any(a >= b for a, b in pairwise(rising)):
        raise ConfigError(f"class_limits are {list(limits)}; allowed are 3 rising numbers between 0 and 1")
    names = np.array([*RISK_CLASSES, NOT_ASSESSABLE], dtype=object)
    number = np.searchsorted(np.asarray(limits, dtype=float), probability, side="right")
    return names[np.where(np.isnan(probability), len(RISK_CLASSES), number)]
