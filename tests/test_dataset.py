"""Labels, keys and statuses by hand, features against pandas."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from tables import PEST, START, make_parcels, make_tables

from rs_forecast import schema
from rs_forecast.asof import AsOf, Tables
from rs_forecast.catalog import PESTS, WEATHER_FEATURES, Season
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import ConfigError, NoDataError
from rs_forecast.features.surveys import VISIT_DAYS
from rs_forecast.looks import MIN_CLEAR

PARCELS = make_parcels()
DAY = pd.Timedelta(days=1)


def build(tables: Tables, parcels: gpd.GeoDataFrame = PARCELS, **options: object) -> gpd.GeoDataFrame:
    given = {"pest": PEST, "horizon_weeks": 1, **options}
    return build_dataset(
        parcels, tables.signals, (tables.weather, tables.weights), tables.surveys, crops=tables.crops, **given
    )


@pytest.fixture(scope="module")
def tables() -> Tables:
    return make_tables(np.random.default_rng(7))


def surveys(*rows: tuple[str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["parcel_id", "date", "value"])
    table["date"] = pd.to_datetime(table["date"]).astype("datetime64[us]")
    return table.assign(known_at=table["date"] + 3 * DAY, pest=PEST, unit="insects/m2")


def test_a_label_is_whether_any_survey_of_the_week_reaches_the_threshold() -> None:
    table = surveys(
        ("p0", "2024-05-06", 749.0), ("p0", "2024-05-12", 750.0),  # Monday and Sunday of one week
        ("p1", "2024-05-13", 0.0),
    )  # fmt: skip
    rows = build_dataset(PARCELS, None, None, table, pest=PEST, horizon_weeks=2)
    found = rows.set_index("parcel_id")
    assert found["label"].to_dict() == {"p0": 1.0, "p1": 0.0}
    assert found.loc["p0", "valid_from"] == pd.Timestamp("2024-05-06")
    assert found.loc["p0", "valid_to"] == pd.Timestamp("2024-05-12")
    assert found.loc["p0", "issued"] == pd.Timestamp("2024-04-22")
    assert found.loc["p0", "label_known_at"] == pd.Timestamp("2024-05-15")
    assert len(rows) == 2, "no survey, no label"


def test_until_leaves_out_labels_nobody_had_yet() -> None:
    table = surveys(("p0", "2024-05-06", 749.0), ("p0", "2024-05-08", 900.0))
    assert build_dataset(PARCELS, None, None, table, pest=PEST, horizon_weeks=1, until="2024-05-10")["label"][0] == 0.0
    with pytest.raises(NoDataError, match="known by 2024-05-01"):
        build_dataset(PARCELS, None, None, table, pest=PEST, horizon_weeks=1, until="2024-05-01")


def test_live_rows_are_the_training_rows_of_their_day(tables: Tables) -> None:
    history = build(tables, horizon_weeks=[1, 2])
    issued = history["issued"].iloc[len(history) // 2]
    today = build(tables, horizon_weeks=[1, 2], issued=issued)
    assert today["label"].isna().all()
    assert len(today) == 2 * len(PARCELS)
    key = list(schema.DATASET_KEY)
    both = history.loc[history["issued"] == issued].merge(today, on=key, suffixes=("", "_live"))
    assert len(both)
    for name in schema.feature_names(history):
        np.testing.assert_array_equal(both[name], both[f"{name}_live"], err_msg=name)


@pytest.mark.parametrize(("issued", "monday"), [("2024-05-06", "2024-05-13"), ("2024-05-12", "2024-05-13")])
def test_the_valid_week_follows_the_issue_week(tables: Tables, issued: str, monday: str) -> None:
    rows = build(tables, issued=issued)
    assert (rows["valid_from"] == pd.Timestamp(monday)).all()


def test_features_equal_plain_pandas(tables: Tables) -> None:
    issued = START + 600 * DAY
    rows = build(tables, issued=issued).set_index("parcel_id")
    known = AsOf(tables).at(issued)
    clear = known.signals.loc[(known.signals["valid_fraction"] >= MIN_CLEAR) & (known.signals["date"] <= issued)]
    for parcel, own in clear.groupby("parcel_id"):
        row = rows.loc[parcel]
        last = own.sort_values("date").iloc[-1]
        assert row["last_clear_obs"] == last["date"]
        assert row["data_age_days"] == (issued - last["date"]).days
        assert row["ndvi_mean_last"] == last["ndvi_mean"]
        assert row["ndvi_spread_last"] == pytest.approx(last["ndvi_p90"] - last["ndvi_p10"])
        month = own.loc[own["date"] > issued - 30 * DAY, "ndvi_mean"]
        assert row["ndvi_mean_30d"] == pytest.approx(month.mean(), nan_ok=True)
        two = own.loc[own["date"] > issued - 60 * DAY]
        if len(two) > 1:
            t = (two["date"] - issued).dt.days
            assert row["lswi_mean_slope_60d"] == pytest.approx(np.polyfit(t, two["lswi_mean"], 1)[0])
    near = rows.groupby("sub_zone")["ndvi_mean_30d"].transform("mean")
    np.testing.assert_allclose(rows["ndvi_vs_near"], rows["ndvi_mean_30d"] - near)


def test_a_dip_in_a_fields_own_series_counts_as_cloudy(tables: Tables) -> None:
    issued = START + 600 * DAY
    looks = tables.signals.iloc[[0] * 5].reset_index(drop=True)
    looks["date"] = looks["known_at"] = [issued - n * DAY for n in (25, 20, 15, 10, 5)]
    looks = looks.assign(ndvi_mean=0.5, valid_fraction=1.0)
    for look, counts in ((3, False), (4, True)):  # the newest is not judged
        here = looks.index == look
        low = looks.assign(ndvi_mean=looks["ndvi_mean"].mask(here, 0.1))
        clouded = looks.assign(valid_fraction=looks["valid_fraction"].mask(here, 0.0))
        as_low, as_clouded = (build(replace(tables, signals=table), issued=issued) for table in (low, clouded))
        columns = [name for name in as_low if name.startswith(("ndvi", "lswi", "data_age", "clear_looks"))]
        assert as_low[columns].equals(as_clouded[columns]) is not counts


def test_survey_features_equal_plain_pandas(tables: Tables) -> None:
    issued = START + 600 * DAY
    rows = build(tables, issued=issued).set_index("parcel_id")
    known = tables.surveys.loc[tables.surveys["known_at"] <= issued].merge(PARCELS[["parcel_id", "sub_zone"]])
    known["event"] = known["value"] >= PESTS[PEST].threshold
    recent = known.loc[known["date"] > issued - VISIT_DAYS * DAY]
    for parcel, row in rows.iterrows():
        own = known.loc[known["parcel_id"] == parcel].sort_values(["date", "value"])
        assert row["survey_last_event"] == own["event"].iloc[-1]
        assert row["survey_last_age_days"] == (issued - own["date"].iloc[-1]).days
        zone = recent.loc[recent["sub_zone"] == row["sub_zone"], "event"]
        assert row["survey_near_event_rate"] == pytest.approx(zone.mean(), nan_ok=True)
    assert rows["survey_region_event_rate"].iloc[0] == pytest.approx(recent["event"].mean())


def test_weather_features_equal_plain_pandas(tables: Tables) -> None:
    issued = START + 800 * DAY
    row = build(tables, issued=issued).iloc[0]
    known = AsOf(tables).at(issued).weather
    past = known.loc[known["date"] <= issued]
    expected: dict[str, float] = {}
    for name in ("temp_mean_30d", "rain_sum_7d", "humid_days_14d", "gdd12_30d", "temp_mean_anomaly_30d"):
        feature = WEATHER_FEATURES[name]
        values = []
        for _, site in past.groupby("site"):
            series = site.set_index("date")[feature.variable]
            newest = series.index.max()

            def window(end: pd.Timestamp, s: pd.Series = series, f: object = feature) -> pd.Series:
                return s.loc[(s.index > end - f.window_days * DAY) & (s.index <= end)]  # type: ignore[attr-defined]

            own = window(newest)
            values.append(
                {
                    "mean": own.mean(),
                    "sum": own.mean() * feature.window_days,
                    "days_above": (own >= feature.base).sum(),
                    "sum_above": (own - feature.base).clip(lower=0).sum(),
                    "anomaly": own.mean()
                    - np.mean([window(newest - round(365.25 * y) * DAY).mean() for y in (1, 2) if
                               len(window(newest - round(365.25 * y) * DAY)) >= feature.window_days * 2 / 3]),
                }[feature.how]
            )  # fmt: skip
        expected[name] = 0.7 * values[0] + 0.3 * values[1]
    for name, value in expected.items():
        assert row[name] == pytest.approx(value), name


def test_crop_age_counts_to_the_valid_week() -> None:
    crops = pd.DataFrame(
        {
            "parcel_id": ["p0", "p0", "p1"],
            "sown": pd.to_datetime(["2024-01-10", "2024-04-20", "2023-06-01"]).astype("datetime64[us]"),
            "known_at": pd.to_datetime(["2024-01-20", "2024-05-30", "2023-06-05"]).astype("datetime64[us]"),
        }
    )
    rows = build_dataset(PARCELS, None, None, None, crops=crops, pest=PEST, horizon_weeks=1, issued="2024-05-06")
    age = rows.set_index("parcel_id")["crop_age_days"]
    assert age["p0"] == (pd.Timestamp("2024-05-13") - pd.Timestamp("2024-01-10")).days, "the April sowing is not known"
    assert np.isnan(age["p1"]), "a crop of last year is gone"
    assert np.isnan(age["p2"])


def test_status_says_what_a_forecast_rests_on(tables: Tables) -> None:
    issued = START + 600 * DAY
    parcels = PARCELS.copy()
    parcels.loc[0, "crop"] = "banana"
    signals = tables.signals.loc[tables.signals["parcel_id"] != "p1"]
    old = (signals["parcel_id"] == "p2") & (signals["date"] > issued - 60 * DAY)
    given = Tables(**{**vars(tables), "signals": signals.loc[~old]})
    status = build(given, parcels, issued=issued).set_index("parcel_id")["status"]
    assert status["p0"] == "not_assessable"
    assert status["p1"] == "no_imagery"
    assert status["p2"] == "stale"


def test_a_parcel_outside_every_source_is_not_assessable() -> None:
    rows = build_dataset(PARCELS, None, None, None, pest=PEST, horizon_weeks=1, issued="2024-05-06")
    assert set(rows["status"]) == {"not_assessable"}


def test_seasons_cross_the_turn_of_the_year(tables: Tables) -> None:
    seasons = [Season(name="dx", start="11-01"), Season(name="ht", start="03-01")]
    rows = build(tables, issued="2024-01-15", seasons=seasons)
    assert set(rows["season"]) == {"2023 dx"}


def test_order_of_inputs_does_not_matter(tables: Tables) -> None:
    issued = START + 500 * DAY
    mixed = Tables(**{name: t.sample(frac=1, random_state=4) for name, t in vars(tables).items() if t is not None})
    pd.testing.assert_frame_equal(build(tables, issued=issued), build(mixed, issued=issued))


def test_unknown_pest_and_bad_horizon_are_told(tables: Tables) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        build(tables, pest="brown_planthoper", issued="2024-01-01")
    with pytest.raises(ConfigError, match="at least 1"):
        build(tables, horizon_weeks=0, issued="2024-01-01")
