"""Nothing known after the issue date reaches a feature; and the test that says so can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import PEST, START, make_parcels, make_tables

from rs_forecast import asof, schema
from rs_forecast.asof import AsOf, Tables, Versions
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import DataWarning, LeakageError, SchemaError
from rs_forecast.model import RiskModel
from rs_forecast.schema import feature_names

PARCELS = make_parcels()


def live(tables: Tables, issued: pd.Timestamp, ahead: str | None = None) -> pd.DataFrame:
    return build_dataset(
        PARCELS,
        tables.signals,
        (tables.weather, tables.weights),
        tables.surveys,
        crops=tables.crops,
        traps=tables.traps,
        pest=PEST,
        horizon_weeks=[1, 3],
        issued=issued,
        ahead=ahead,  # type: ignore[arg-type]
    ).drop(columns="geometry")


def tamper(tables: Tables, issued: pd.Timestamp, rng: np.random.Generator) -> Tables:
    """Change, drop and add rows that were known only after ``issued``; leave all others as they are."""

    def one(table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
        late = table["known_at"] > issued
        future = table.loc[late].sample(frac=0.7, random_state=int(rng.integers(1 << 30))).copy()
        for column in future.select_dtypes("float"):
            future[column] = future[column].abs() * rng.uniform(0, 0.9)
        # reports of old days that came in late: the hardest case, since their date lies before the issue date
        old = table.loc[~late].sample(frac=0.3, random_state=int(rng.integers(1 << 30))).copy()
        old["known_at"] = issued + pd.Timedelta(days=int(rng.integers(1, 60)))
        for column in old.select_dtypes("float"):
            old[column] = old[column] * 0.5
        for column in {"date", "sown"} & set(table.columns):
            future[column] += pd.to_timedelta(rng.integers(-20, 20, len(future)), unit="D")
            old[column] += pd.to_timedelta(rng.integers(-20, 20, len(old)), unit="D")
        later = pd.concat([future, old]).drop_duplicates([*key, "known_at"])
        return pd.concat([table.loc[~late], later], ignore_index=True).sample(frac=1, random_state=1)

    return replace(
        tables,
        signals=one(tables.signals, ["parcel_id", "date"]),
        weather=one(tables.weather, ["site", "date"]),
        surveys=one(tables.surveys, ["parcel_id", "date", "value"]),
        crops=one(tables.crops, ["parcel_id", "sown"]),
        traps=one(tables.traps, ["trap_id", "pest", "date"]),
    )


def features_change(seed: int, day: int) -> bool:
    """Return whether any feature of the issue date moves when rows known after it do."""
    rng = np.random.default_rng(seed)
    tables = make_tables(rng)
    issued = START + pd.Timedelta(days=day)
    before, after = live(tables, issued), live(tamper(tables, issued, rng), issued)
    return not before.equals(after)


@given(seed=st.integers(0, 10_000), day=st.integers(30, 880))
@settings(max_examples=25)
def test_no_feature_moves_when_rows_known_later_change(seed: int, day: int) -> None:
    assert not features_change(seed, day)


@pytest.mark.slow
@given(seed=st.integers(0, 1_000_000), day=st.integers(0, 899))
@settings(max_examples=300)
def test_no_feature_moves_on_many_seeds(seed: int, day: int) -> None:
    assert not features_change(seed, day)


@pytest.mark.parametrize("table", ["signals", "weather", "surveys", "crops", "traps"])
def test_a_planted_leak_is_caught_by_the_property(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    cut = AsOf.at

    def leaky(self: AsOf, issued: pd.Timestamp) -> Tables:
        everything = cut(self, pd.Timestamp("2100-01-01").as_unit("us"))
        return replace(cut(self, issued), **{table: getattr(everything, table)})

    monkeypatch.setattr(AsOf, "at", leaky)
    with pytest.raises(LeakageError, match=table):
        features_change(1, 400)
    monkeypatch.setattr(schema, "check_known", lambda *_: None)
    moved = any(features_change(seed, 400) for seed in range(1, 9))  # a crop sown of late is not in every table
    assert moved, "with its guard taken out, the leak must move a feature"


def test_training_rows_keep_their_features_when_later_rows_change() -> None:
    rng = np.random.default_rng(3)
    tables = make_tables(rng)
    issued = START + pd.Timedelta(days=500)

    def history(t: Tables) -> pd.DataFrame:
        rows = build_dataset(
            PARCELS,
            t.signals,
            (t.weather, t.weights),
            t.surveys,
            crops=t.crops,
            traps=t.traps,
            pest=PEST,
            horizon_weeks=1,
        )
        rows = rows.loc[rows["issued"] <= issued].set_index(["parcel_id", "issued"])
        return pd.DataFrame(rows[feature_names(rows)])

    before, after = history(tables), history(tamper(tables, issued, rng))
    both = before.index.intersection(after.index)
    assert len(both) > 100
    pd.testing.assert_frame_equal(before.loc[both], after.loc[both])


@given(seed=st.integers(0, 500), day=st.integers(-5, 950))
def test_versions_are_the_newest_known_of_each_key(seed: int, day: int) -> None:
    table = make_tables(np.random.default_rng(seed), days=200).signals
    issued = START + pd.Timedelta(days=day)
    found = Versions(table, asof.SIGNAL_KEY).at(issued)
    known = table.loc[table["known_at"] <= issued].sort_values("known_at", kind="stable")
    expected = known.groupby(["parcel_id", "date"], as_index=False).last().sort_values(["parcel_id", "date"])
    columns = list(expected.columns)
    pd.testing.assert_frame_equal(found[columns].reset_index(drop=True), expected.reset_index(drop=True))


def test_a_reprocessed_scene_counts_from_the_day_it_was_there() -> None:
    day = [pd.Timestamp(d).as_unit("us") for d in ("2024-01-01", "2024-01-02", "2024-03-01")]
    table = pd.DataFrame({"parcel_id": "a", "date": day[0], "known_at": [day[1], day[2]], "v": [1.0, 2.0]})
    versions = Versions(table, ("parcel_id", "date"))
    assert versions.at(day[0])["v"].tolist() == []
    assert versions.at(day[1])["v"].tolist() == [1.0]
    assert versions.at(day[2])["v"].tolist() == [2.0]


# --------------------------------------------------------------------------------------------- forecasts of the weather


def with_forecasts(tables: Tables, rng: np.random.Generator, share: float = 1.0) -> Tables:
    """Add what was forecast: on each of some days, for the fifteen days after it, with errors that grow."""
    seen = tables.weather
    made = []
    for lead in range(1, 16):
        part = seen.assign(known_at=seen["date"] - pd.Timedelta(days=lead))
        part["temp_mean"] += rng.normal(0, lead / 5, len(part))
        part["rain_sum"] *= rng.uniform(0.2, 2, len(part))
        made.append(part)
    forecasts = pd.concat(made)
    on_record = rng.random(2000) < share
    day = (forecasts["known_at"] - START).dt.days.to_numpy()
    return replace(tables, weather=pd.concat([seen, forecasts[on_record[day]]], ignore_index=True))


def ahead_change(seed: int, day: int, by: str) -> bool:
    """Return whether a feature moves when forecasts and observations known after the issue date do."""
    rng = np.random.default_rng(seed)
    tables = with_forecasts(make_tables(rng), rng)
    issued = START + pd.Timedelta(days=day)
    before, after = (live(t, issued, ahead=by) for t in (tables, tamper(tables, issued, rng)))
    assert before["temp_mean_next7d"].notna().any()
    return not before.equals(after)


@given(seed=st.integers(0, 10_000), day=st.integers(380, 860), by=st.sampled_from(["forecast", "climatology"]))
@settings(max_examples=10)
def test_no_feature_of_coming_days_moves_when_rows_known_later_change(seed: int, day: int, by: str) -> None:
    assert not ahead_change(seed, day, by)


def test_a_planted_leak_of_coming_weather_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = AsOf.at

    def leaky(self: AsOf, issued: pd.Timestamp) -> Tables:
        return replace(cut(self, issued), weather=cut(self, issued + pd.Timedelta(days=30)).weather)

    monkeypatch.setattr(AsOf, "at", leaky)
    with pytest.raises(LeakageError, match="weather"):
        ahead_change(1, 500, "forecast")
    monkeypatch.setattr(schema, "check_known", lambda *_: None)
    assert ahead_change(1, 500, "forecast")


def test_coming_days_are_by_the_newest_forecast_known_and_never_by_what_came_to_pass() -> None:
    tables = make_tables(np.random.default_rng(5))
    issued = START + pd.Timedelta(days=700)
    days = pd.date_range(issued + pd.Timedelta(days=1), periods=7).as_unit("us")
    parts = [
        pd.DataFrame({"site": site, "date": days, "known_at": issued - pd.Timedelta(days=age), "temp_mean": value})
        for site in ("s0", "s1")
        for age, value in ((3, 10.0), (1, 20.0), (-1, 40.0))  # an old one, the newest, one of tomorrow
    ]
    weather = pd.concat([tables.weather, *parts], ignore_index=True)
    forecast = live(replace(tables, weather=weather), issued, ahead="forecast")
    assert forecast["temp_mean_next7d"].to_numpy() == pytest.approx(20.0)
    # without a forecast of humidity, past years stand in: the same days and a week on either side, by pandas
    seen = tables.weather.loc[(tables.weather["known_at"] <= issued) & (tables.weather["date"] <= issued)]
    usual = []
    for site, weight in (("s0", 0.7), ("s1", 0.3)):
        humidity = seen.loc[seen["site"] == site].set_index("date")["rh_mean"]
        end = issued + pd.Timedelta(days=14 - 365)
        usual.append(weight * humidity.loc[end - pd.Timedelta(days=20) : end].mean())
    assert forecast["rh_mean_next7d"].to_numpy() == pytest.approx(sum(usual))
    plain = live(tables, issued, ahead="climatology")
    pd.testing.assert_frame_equal(live(replace(tables, weather=weather), issued, ahead="climatology"), plain)
    assert not any(name.endswith("next7d") for name in live(tables, issued, ahead="none"))


@pytest.mark.parametrize(("share", "by"), [(0.0, "none"), (0.02, "none"), (1.0, "forecast")])
def test_forecasts_count_where_most_issue_dates_have_one_and_the_model_is_held_to_it(share: float, by: str) -> None:
    rng = np.random.default_rng(7)
    tables = with_forecasts(make_tables(rng), rng, share)
    options = {"crops": tables.crops, "pest": PEST, "horizon_weeks": 1}
    given_ = PARCELS, tables.signals, (tables.weather, tables.weights), tables.surveys
    history = build_dataset(*given_, **options)
    told = history.attrs["weather_ahead"]
    # the oracle: on how many issue dates a row known by then is of most of the coming week
    covered = []
    for issued in history["issued"].unique():
        known = tables.weather.loc[tables.weather["known_at"] <= issued, "date"]
        covered.append(known[(known > issued) & (known <= issued + pd.Timedelta(days=7))].nunique() >= 5)
    assert told == {"by": by, "archived": pytest.approx(np.mean(covered), abs=1e-4)}
    with pytest.warns(DataWarning, match="features that teach nothing are left out: sowing_spread_near_days"):
        model = RiskModel.fit(history)
    assert model.weather_ahead == by
    assert ("temp_mean_next7d" in model.features) == (by == "forecast")
    issued = START + pd.Timedelta(days=880)
    assert len(model.predict(build_dataset(*given_, **options, issued=issued, ahead=model.weather_ahead)))
    other = build_dataset(*given_, **options, issued=issued, ahead="climatology")
    with pytest.raises(SchemaError, match=rf"weather to come is by climatology .* and by {by} in what the model"):
        model.predict(other)
