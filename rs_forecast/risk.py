"""The risk table: probabilities made into classes, beside what the forecast rests on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.schema import NOT_ASSESSABLE, RISK, RISK_CLASSES, check_risk

FloatArray = NDArray[np.float64]

CLASS_LIMITS = (0.1, 0.3, 0.6)
"""Probabilities at which moderate, high and very high begin."""
_KEPT = ("parcel_id", "issued", "pest", "horizon_weeks", "valid_from", "valid_to", "last_clear_obs", "status")
"""Columns that the risk table takes over from the dataset."""


def risk_table(
    dataset: pd.DataFrame,
    probability: FloatArray,
    *,
    model_id: str,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
    reasons: ExtensionArray | Sequence[str] | str = "",
    class_limits: Sequence[float] = CLASS_LIMITS,
) -> gpd.GeoDataFrame:
    """Return the risk table of a forecast, from a model or from a baseline that stands in for it.

    Rows that are not assessable get no probability and no reasons.
    """
    if "geometry" not in dataset.columns or getattr(dataset, "crs", None) is None:
        raise SchemaError("the dataset has no geometry with a CRS; forecast from what build_dataset returns")
    assessable = (dataset["status"] != NOT_ASSESSABLE).to_numpy() & np.isfinite(probability)
    shown = np.where(assessable, probability, np.nan)
    told = pd.array([reasons], dtype="str").repeat(len(dataset)) if isinstance(reasons, str) else reasons
    texts = pd.Series(told, index=dataset.index, dtype="str")
    columns = {
        **{name: dataset[name] for name in _KEPT},
        "probability": shown,
        "lower": np.nan if lower is None else np.where(assessable, lower, np.nan),
        "upper": np.nan if upper is None else np.where(assessable, upper, np.nan),
        "risk_class": pd.array([*RISK_CLASSES, NOT_ASSESSABLE], dtype="str")[_class_numbers(shown, class_limits)],
        "reasons": texts if assessable.all() else texts.where(assessable),
        "data_age_days": (dataset["issued"] - dataset["last_clear_obs"]).dt.days.astype("float64"),
        "model_id": pd.array([model_id], dtype="str").repeat(len(dataset)),
        "geometry": dataset["geometry"],
    }
    in_order = [*(field.name for field in RISK), "geometry"]
    risk = gpd.GeoDataFrame({name: columns[name] for name in in_order}, index=dataset.index, copy=False)
    risk.attrs = dict(dataset.attrs)
    check_risk(risk)
    return risk


def risk_classes(probability: FloatArray, limits: Sequence[float] = CLASS_LIMITS) -> NDArray[np.object_]:
    """Return the class of each probability; a class begins at its limit, NaN is not assessable."""
    return np.array([*RISK_CLASSES, NOT_ASSESSABLE], dtype=object)[_class_numbers(probability, limits)]


def _class_numbers(probability: FloatArray, limits: Sequence[float]) -> NDArray[np.intp]:
    """Return the place of each probability's class among the risk classes, one more where it is not assessable."""
    rising = [0.0, *limits, 1.0]
    if len(limits) != len(RISK_CLASSES) - 1 or any(a >= b for a, b in pairwise(rising)):
        raise ConfigError(f"class_limits are {list(limits)}; allowed are 3 rising numbers between 0 and 1")
    return np.searchsorted(np.array([*limits, np.inf]), probability, side="right")  # NaN stands behind all
