"""Contributions of features, put into words an agronomist uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from rs_forecast.catalog import WEATHER_FEATURES
from rs_forecast.kernels._jit import share_out

FloatArray = NDArray[np.float64]

STRONGEST = 3
SMALLEST = 0.01
"""A contribution nearer to 0 than this [log-odds] is no reason."""
NOTHING = "nothing stands out"
_AT_ONCE = 1 << 16
"""Rows whose texts are joined at a time."""


@dataclass(frozen=True, kw_only=True)
class FeatureWords:
    """What a feature is called, and how its value is shown. Features of the same words are told as one."""

    name: str
    words: str
    unit: str = ""
    show: Literal["number", "share", "yes_no", "log1p", "nothing"] = "number"

    def told(self, values: FloatArray) -> tuple[NDArray[np.intp], list[str]]:
        """Return ``values`` as texts: for each value the number of its text, and the texts.

        A text is empty where a value would say nothing.
        """
        if self.show == "nothing":
            return np.zeros(len(values), dtype=np.intp), [""]
        kinds, found = pd.factorize(self._rounded(values), use_na_sentinel=False)
        return kinds, [self._text(value) for value in found]

    def _rounded(self, values: FloatArray) -> FloatArray:
        if self.show == "yes_no":
            return np.where(np.isnan(values), np.nan, values > 0)
        if self.show == "share":
            return np.rint(100 * values) + 0.0  # never -0
        return _three_digits(np.expm1(values) if self.show == "log1p" else values)

    def _text(self, value: float) -> str:
        if np.isnan(value):
            return "unknown"
        if self.show == "yes_no":
            return "yes" if value else "no"
        if self.show == "share":
            return f"{value:.0f} %"
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # never 8.13e+03
        return f"{text} {self.unit}".strip()


def _three_digits(values: FloatArray) -> FloatArray:
    """Round to three digits, and no further than to whole numbers."""
    size = np.abs(values)
    power = np.floor(np.log10(np.where(size > 0, size, 1.0)))
    scale = 10.0 ** np.clip(2 - power, 0, 300)
    return np.asarray(np.rint(values * scale) / scale + 0.0)  # never -0


_NAMED = (
    FeatureWords(name="survey_last_event", words="an event at the field's last visit", show="yes_no"),
    FeatureWords(name="survey_last_log1p", words="the count at the field's last visit", show="log1p"),
    FeatureWords(name="survey_last_age_days", words="time since the field's last visit", unit="days"),
    FeatureWords(name="survey_near_event_rate", words="infested fields near by", show="share"),
    FeatureWords(name="survey_near_log1p", words="the counts near by", show="log1p"),
    FeatureWords(name="survey_near_visits", words="how many visits there were near by"),
    FeatureWords(name="survey_region_trend", words="the trend of infested fields in the region"),
    FeatureWords(name="survey_region_event_rate", words="infested fields in the region", show="share"),
    FeatureWords(name="area_infested_log1p", words="the area reported infested in its commune or zone", show="log1p"),
    FeatureWords(name="area_infested_change", words="the change of the area reported infested"),
    FeatureWords(name="area_peak_log1p", words="the highest count reported in its commune or zone", show="log1p"),
    FeatureWords(name="area_age_days", words="time since its commune or zone was reported", unit="days"),
    FeatureWords(name="survey_week_event_rate", words="past years at this time", show="share"),
    FeatureWords(name="crop_age_days", words="the crop's age", unit="days"),
    FeatureWords(name="process_log_intensity", words="the disease's weather since sowing", show="nothing"),
    FeatureWords(name="process_change_7d", words="the disease's weather last week", show="nothing"),
    FeatureWords(name="process_cycles", words="warmth since sowing, in generations of the insect"),
    FeatureWords(name="trap_log1p_14d", words="the light trap's catch a night in two weeks", show="log1p"),
    FeatureWords(name="trap_trend_14d", words="the trend of the light trap's catch", show="nothing"),
    FeatureWords(name="trap_days_since_peak", words="time since the light trap's last peak", unit="days"),
    FeatureWords(name="trap_cycle", words="how far the generation after that peak is", show="share"),
    FeatureWords(name="crop_age_error_days", words="how surely the crop's age is known", unit="days"),
    FeatureWords(name="sowing_spread_near_days", words="how far sowing is spread near by", unit="days"),
    FeatureWords(name="sowing_vs_near_days", words="later or earlier sowing than near by", unit="days"),
    FeatureWords(name="week_sin", words="the time of year", show="nothing"),
    FeatureWords(name="week_cos", words="the time of year", show="nothing"),
    FeatureWords(name="data_age_days", words="time since the last clear look from space", unit="days"),
    FeatureWords(name="clear_looks_90d", words="how many clear looks there were in 90 days"),
    FeatureWords(name="horizon_weeks", words="the weeks ahead", unit="weeks"),
    FeatureWords(name="pest", words="the pest itself", show="nothing"),
)
FEATURE_WORDS: dict[str, FeatureWords] = {
    **{row.name: FeatureWords(name=row.name, words=row.words, unit=row.unit) for row in WEATHER_FEATURES.values()},
    **{row.name: row for row in _NAMED},
}
"""Features with words of their own; those of signals are worded by rule."""

_SIGNAL = re.compile(r"(?P<index>[a-z][a-z0-9_]*?)_(?P<stat>mean|std|p10|p50|p90)_(?P<when>\w+)")
_STATS = {
    "mean": "{}",
    "std": "the spread of {} in the field",
    "p10": "{} of the field's weakest tenth",
    "p50": "the field's median {}",
    "p90": "{} of the field's strongest tenth",
}
_ENDINGS = {
    "_vs_near": "{} against the fields near by",
    "_spread_last": "the spread of {} in the field, at the last clear look",
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
    for ending, words in _ENDINGS.items():
        if feature.endswith(ending):
            return FeatureWords(name=feature, words=words.format(feature.removesuffix(ending).upper()))
    signal = _SIGNAL.fullmatch(feature)
    if not signal:
        return FeatureWords(name=feature, words=feature.replace("_", " "))
    for pattern, words in _WHEN:
        if when := pattern.fullmatch(signal["when"]):
            index = _STATS[signal["stat"]].format(signal["index"].upper())
            return FeatureWords(name=feature, words=f"{index}, {when.expand(words)}")
    return FeatureWords(name=feature, words=feature.replace("_", " "))


@dataclass(frozen=True)
class Group:
    """Features told as one: their words, and their places among the model's features."""

    words: FeatureWords
    features: tuple[int, ...]


def groups_of(features: Sequence[str]) -> list[Group]:
    """Return the features grouped by their words, in the order of their first."""
    found: dict[str, tuple[FeatureWords, list[int]]] = {}
    for place, feature in enumerate(features):
        words = words_of(feature)
        found.setdefault(words.words, (words, []))[1].append(place)
    return [Group(words, tuple(places)) for words, places in found.values()]


def reason_texts(ranks: NDArray[np.int16], groups: Sequence[Group], values: Sequence[FloatArray]) -> ExtensionArray:
    """Return per row, as text, the strongest contributions: ``raised by humidity last week (91 %); lowered by ...``.

    Parameters
    ----------
    ranks
        (reasons, rows): the groups that contribute most, as :meth:`rs_forecast.trees.Trees.strongest` tells them.
    groups
        The groups.
    values
        Each feature's values.
    """
    code = np.zeros(ranks.shape, dtype=np.int32)
    texts: list[str | None] = [None]
    number, raised, rows = np.abs(ranks).ravel(), ranks.ravel() > 0, ranks.shape[1]
    by_group = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[by_group], np.arange(len(groups) + 1), side="right")
    for group, start, end in zip(groups, ends[:-1], ends[1:], strict=True):
        own = by_group[start:end]
        if len(group.features) > 1:
            kinds, told = np.zeros(len(own), dtype=np.intp), [""]
        else:
            kinds, told = group.words.told(values[group.features[0]][own % rows])
        code.ravel()[own] = len(texts) + 2 * kinds + raised[own]
        shown = [f"{group.words.words}" + (f" ({text})" if text else "") for text in told]
        texts += [f"{way} by {text}" for text in shown for way in ("lowered", "raised")]
    code[0, code[0] == 0] = len(texts)
    return _joined(code, pa.array([*texts, NOTHING], pa.large_string()))


def _joined(code: NDArray[np.int32], texts: pa.Array) -> ExtensionArray:
    """Return per column of ``code`` the texts it names, with semicolons between."""

    def join(rows: slice) -> pa.Array:
        parts = [texts.take(pa.array(part[rows])) for part in code]
        return pc.binary_join_element_wise(*parts, pa.scalar("; ", pa.large_string()), null_handling="skip")

    slices = [slice(at, at + _AT_ONCE) for at in range(0, code.shape[1], _AT_ONCE)]
    joined: ExtensionArray = pd.array(pa.chunked_array(share_out(join, slices), pa.large_string()), dtype="str")
    return joined
