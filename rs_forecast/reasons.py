"""Contributions of features, put into words an agronomist uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.catalog import WEATHER_FEATURES

FloatArray = NDArray[np.float64]

STRONGEST = 3
SMALLEST = 0.01
"""A contribution nearer to 0 than this [log-odds] is no reason."""
NOTHING = "nothing stands out"


@dataclass(frozen=True, kw_only=True)
class FeatureWords:
    """What a feature is called, and how its value is shown. Features of the same words are told as one."""

    name: str
    words: str
    unit: str = ""
    show: Literal["number", "share", "yes_no", "log1p", "nothing"] = "number"

    def value(self, value: float) -> str:
        """Return ``value`` as text, empty where a number would say nothing."""
        if self.show == "nothing":
            return ""
        if np.isnan(value):
            return "unknown"
        if self.show == "yes_no":
            return "yes" if value > 0 else "no"
        if self.show == "share":
            return f"{100 * value:.0f} %"
        number = np.expm1(value) if self.show == "log1p" else value
        text = f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"  # never 8.13e+03
        return f"{text} {self.unit}".strip()


_NAMED = (
    FeatureWords(name="survey_last_event", words="an event at the field's last visit", show="yes_no"),
    FeatureWords(name="survey_last_log1p", words="the count at the field's last visit", show="log1p"),
    FeatureWords(name="survey_last_age_days", words="time since the field's last visit", unit="days"),
    FeatureWords(name="survey_near_event_rate", words="infested fields near by", show="share"),
    FeatureWords(name="survey_near_log1p", words="the counts near by", show="log1p"),
    FeatureWords(name="survey_region_event_rate", words="infested fields in the region", show="share"),
    FeatureWords(name="survey_week_event_rate", words="past years at this time", show="share"),
    FeatureWords(name="crop_age_days", words="the crop's age", unit="days"),
    FeatureWords(name="week_sin", words="the time of year", show="nothing"),
    FeatureWords(name="week_cos", words="the time of year", show="nothing"),
    FeatureWords(name="data_age_days", words="time since the last clear look from space", unit="days"),
    FeatureWords(name="horizon_weeks", words="the weeks ahead", unit="weeks"),
    FeatureWords(name="pest", words="the pest itself", show="nothing"),
)
FEATURE_WORDS: dict[str, FeatureWords] = {
    **{row.name: FeatureWords(name=row.name, words=row.words, unit=row.unit) for row in WEATHER_FEATURES.values()},
    **{row.name: row for row in _NAMED},
}
"""Features with words of their own; those of signals are worded by rule, ``ndvi_mean_slope_60d``."""

_SIGNAL = re.compile(r"(?P<index>[a-z][a-z0-9_]*?)_(?P<stat>mean|std|p10|p50|p90)_(?P<when>\w+)")
_STATS = {
    "mean": "{}",
    "std": "the spread of {} in the field",
    "p10": "{} of the field's weakest tenth",
    "p50": "the field's median {}",
    "p90": "{} of the field's strongest tenth",
}
_WHEN = (
    (re.compile(r"last"), "at the last clear look"),
    (re.compile(r"(\d+)d"), r"over \1 days"),
    (re.compile(r"slope_(\d+)d"), r"trend of \1 days"),
    (re.compile(r"anomaly_(\d+)d"), r"over \1 days against other years"),
)


def words_of(feature: str) -> FeatureWords:
    """Return the words of a feature; of one that nobody has worded, its name with spaces."""
    if feature in FEATURE_WORDS:
        return FEATURE_WORDS[feature]
    signal = _SIGNAL.fullmatch(feature)
    if not signal:
        return FeatureWords(name=feature, words=feature.replace("_", " "))
    for pattern, words in _WHEN:
        if when := pattern.fullmatch(signal["when"]):
            index = _STATS[signal["stat"]].format(signal["index"].upper())
            return FeatureWords(name=feature, words=f"{index}, {when.expand(words)}")
    return FeatureWords(name=feature, words=feature.replace("_", " "))


def reason_texts(contributions: pd.DataFrame, values: pd.DataFrame, most: int = STRONGEST) -> list[str]:
    """Return per row the strongest contributions in words: ``raised by humidity last week (91 %); lowered by ...``.

    Parameters
    ----------
    contributions
        Per row and feature what the feature adds to the margin [log-odds].
    values
        The features' values, same rows, same columns.
    """
    groups = _groups(contributions.columns)
    each, seen = contributions.to_numpy(dtype=float), values.to_numpy(dtype=float)
    sums = np.stack([each[:, columns].sum(axis=1) for _, columns in groups], axis=1)
    order = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :most]
    return [
        "; ".join(_reason(groups[g], sums[row, g], seen[row]) for g in order[row] if abs(sums[row, g]) >= SMALLEST)
        or NOTHING
        for row in range(len(sums))
    ]


_Group = tuple[FeatureWords, list[int]]


def _groups(features: Sequence[str] | pd.Index) -> list[_Group]:
    found: dict[str, _Group] = {}
    for column, feature in enumerate(features):
        words = words_of(str(feature))
        found.setdefault(words.words, (words, []))[1].append(column)
    return list(found.values())


def _reason(group: _Group, contribution: float, row: FloatArray) -> str:
    words, columns = group
    value = words.value(row[columns[0]]) if len(columns) == 1 else ""
    return f"{'raised' if contribution > 0 else 'lowered'} by {words.words}" + (f" ({value})" if value else "")
