"""Model presets: parameters of LightGBM under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Boosting rounds and parameters, handed to LightGBM as they are."""

    name: str
    rounds: int
    params: Mapping[str, float | int]
    doc: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))


PRESETS: Table[Preset] = Table(
    "preset",
    (
        Preset(
            name="default",
            rounds=120,
            params={
                "learning_rate": 0.06,
                "num_leaves": 15,
                "max_bin": 63,
                "min_data_in_leaf": 40,
                "lambda_l2": 5.0,
                "feature_fraction": 0.7,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
            },
            doc="small trees: some thousands to a million labelled rows",
        ),
        Preset(
            name="small",
            rounds=80,
            params={"learning_rate": 0.05, "num_leaves": 5, "min_data_in_leaf": 15, "lambda_l2": 10.0},
            doc="a few hundred labelled rows",
        ),
    ),
)
