from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.catalog import WEATHER_FEATURES
from rs_forecast.kernels.trees import strongest
from rs_forecast.reasons import NOTHING, SMALLEST, STRONGEST, groups_of, reason_texts, words_of


@pytest.mark.parametrize("name", WEATHER_FEATURES)
def test_weather_features_have_the_words_and_unit_of_their_row(name):
    row = WEATHER_FEATURES[name]
    assert (words_of(name).words, words_of(name).unit) == (row.words, row.unit)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ndvi_mean_last", "NDVI, at the last clear look"),
        ("lswi_p10_30d", "LSWI of the field's weakest tenth, over 30 days"),
        ("ndre_std_slope_60d", "the spread of NDRE in the field, trend of 60 days"),
        ("nd_vi2_mean_anomaly_30d", "ND_VI2, over 30 days against other years"),
        ("ndvi_mean_of_old", "ndvi mean of old"),
        ("ndre_vs_near", "NDRE against the fields near by"),
        ("ndvi_spread_last", "the spread of NDVI in the field, at the last clear look"),
        ("soil_ph", "soil ph"),
    ],
)
def test_other_features_are_worded_by_rule(name, words):
    assert words_of(name).words == words


def _texts(contributions, values):
    groups = groups_of(list(contributions))
    parts = list(contributions.values())
    sums = np.array([[sum(parts[n] for n in group.features)] for group in groups], dtype=float)
    columns = [np.array([values[name]], dtype=float) for name in contributions]
    return reason_texts(strongest(sums, STRONGEST, SMALLEST), groups, columns)[0]


def test_the_three_strongest_come_first_with_direction_and_value():
    contributions = {"rain_sum_7d": 0.1, "rh_mean_7d": -0.9, "survey_last_event": 0.5, "survey_near_event_rate": 0.4}
    values = {"rain_sum_7d": 3.0, "rh_mean_7d": 66.42, "survey_last_event": 1.0, "survey_near_event_rate": 0.25}
    assert _texts(contributions, values) == (
        "lowered by humidity last week (66.4 %); raised by an event at the field's last visit (yes); "
        "raised by infested fields near by (25 %)"
    )


def test_counts_are_told_as_counts_and_missing_values_as_unknown():
    told = _texts(
        {"survey_last_log1p": 1.0, "crop_age_days": -0.5}, {"survey_last_log1p": np.log1p(420), "crop_age_days": np.nan}
    )
    assert told == "raised by the count at the field's last visit (420); lowered by the crop's age (unknown)"


def test_features_of_the_same_words_are_told_as_one():
    told = _texts(
        {"week_sin": 0.4, "rain_sum_7d": 0.6, "week_cos": 0.5}, {"week_sin": 0, "rain_sum_7d": 1, "week_cos": 1}
    )
    assert told == "raised by the time of year; raised by rain last week (1 mm)"
    told = _texts(
        {"week_sin": 0.4, "rain_sum_7d": 0.3, "week_cos": -0.4}, {"week_sin": 0, "rain_sum_7d": 1, "week_cos": 1}
    )
    assert told == "raised by rain last week (1 mm)"


def test_small_contributions_are_no_reason():
    assert _texts({"rain_sum_7d": 0.001}, {"rain_sum_7d": 3.0}) == NOTHING


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20))
def test_property_values_are_told_to_three_digits(values):
    kinds, texts = words_of("rain_sum_7d").told(np.array(values))
    for value, kind in zip(values, kinds, strict=True):
        told = float(texts[kind].removesuffix(" mm"))
        assert abs(told - value) <= max(0.5, 0.5e-2 * abs(value)) * (1 + 1e-9)
        assert "e+" not in texts[kind]
        assert not texts[kind].startswith("-0 ")


def test_values_are_told_in_their_way():
    def told(feature, *values):
        kinds, texts = words_of(feature).told(np.array(values, dtype=float))
        return [texts[kind] for kind in kinds]

    assert told("ndvi_mean_last", 0.12345, -0.5, 99.96, 1234.5, 0, np.nan) == [
        "0.123", "-0.5", "100", "1234", "0", "unknown",
    ]  # fmt: skip
    assert told("survey_near_event_rate", 0.254, 0, np.nan) == ["25 %", "0 %", "unknown"]
    assert told("survey_last_event", 1, 0, np.nan) == ["yes", "no", "unknown"]
    assert told("survey_last_log1p", np.log1p(420), 0) == ["420", "0"]
    assert told("week_sin", 0.3, np.nan) == ["", ""]
