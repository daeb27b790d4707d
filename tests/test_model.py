from __future__ import annotations

import json
import re
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from datasets import PEST, make_history, make_live

from rs_forecast.card import CARD_FILE, MODEL_FILE
from rs_forecast.catalog import PESTS, PRESETS, Pest
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, SourceError
from rs_forecast.model import RiskModel, feature_matrix
from rs_forecast.schema import check_risk, feature_names

HISTORY = make_history(0, years=2, parcels=30)
LIVE = make_live(HISTORY)
BORER = Pest(name="stem_borer", crop="rice", event="density >= 3", unit="egg masses/m2", doc="bores")


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return RiskModel.fit(HISTORY, preset="small", known_at=["surveys: date + 7 days, assumed"])


@pytest.fixture(scope="module")
def pooled() -> RiskModel:
    history = make_history(1, years=2, parcels=20, horizons=(1, 2), pests=(PEST, "stem_borer"))
    return RiskModel.fit(history, preset="small", pests=PESTS.over([BORER]))


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "models" / model.model_id)


def test_same_data_and_seed_give_the_same_model_to_the_bit(model):
    again = RiskModel.fit(HISTORY.sample(frac=1, random_state=1), preset="small", known_at=["else"])
    assert again.text == model.text
    assert again.model_id == model.model_id
    assert re.fullmatch(r"rf-[0-9a-f]{12}", model.model_id)
    drop = ("known_at",)
    assert {k: v for k, v in again.card.items() if k not in drop} == {
        k: v for k, v in model.card.items() if k not in drop
    }


def test_other_seed_or_data_give_another_id(model):
    assert RiskModel.fit(HISTORY, preset="small", seed=1).model_id != model.model_id
    assert RiskModel.fit(HISTORY.iloc[:-30], preset="small").model_id != model.model_id


@pytest.mark.slow
def test_the_default_preset_draws_samples_and_is_still_the_same_on_any_number_of_threads():
    first, second = (RiskModel.fit(HISTORY, threads=threads) for threads in (1, 2))
    assert PRESETS["default"].params["bagging_fraction"] < 1
    assert first.text == second.text


def test_predict_gives_a_risk_table_of_the_rows_in_their_order(model):
    risk = model.predict(LIVE)
    check_risk(risk)
    assert list(risk["parcel_id"]) == list(LIVE["parcel_id"])
    assert risk.crs == LIVE.crs
    assert set(risk["model_id"]) == {model.model_id}
    np.testing.assert_array_equal(risk["probability"], model.predict_probability(LIVE))
    out = (LIVE["status"] == "not_assessable").to_numpy()
    assert out.sum() == 2
    assert risk.loc[out, ["probability", "lower", "upper", "reasons"]].isna().all(axis=None)
    sure = risk.loc[~out]
    assert ((sure["lower"] <= sure["probability"]) & (sure["probability"] <= sure["upper"])).all()
    assert sure["reasons"].str.match(r"(raised|lowered) by .+").all()
    assert (sure["reasons"].str.count(";") <= 2).all()


def test_class_limits_are_used(model):
    risk = model.predict(LIVE, class_limits=(0.001, 0.002, 0.003))
    assert set(risk.loc[risk["probability"].notna(), "risk_class"]) == {"very_high"}


def test_oracle_raw_lightgbm_with_the_same_parameters(model):
    rows = HISTORY[HISTORY["label"].notna()].sort_values(["parcel_id", "issued"])
    names = feature_names(HISTORY)
    params = {"objective": "binary", "seed": 0, "deterministic": True, "force_row_wise": True, "num_threads": 1}
    preset = PRESETS["small"]
    booster = lgb.train(
        {**params, **preset.params, "verbosity": -1},
        lgb.Dataset(rows[names].to_numpy(), rows["label"]),
        num_boost_round=preset.rounds,
    )
    raw = booster.predict(LIVE[names].to_numpy(), raw_score=True)
    card = model.card["calibration"]
    expected = 1 / (1 + np.exp(-(card["slope"] * raw + card["intercept"])))
    p = model.predict_probability(LIVE)
    np.testing.assert_allclose(p[~np.isnan(p)], expected[~np.isnan(p)], rtol=1e-12)


def test_property_order_of_rows_and_columns_does_not_matter(model, pooled):
    tables = ((model, LIVE), (pooled, make_live(make_history(1, years=1, parcels=20, pests=(PEST, "stem_borer")))))
    for fitted, table in tables:
        p = pd.Series(fitted.predict_probability(table), index=table.index)
        for seed in range(3):
            columns = np.random.default_rng(seed).permutation(table.columns)
            moved = table.sample(frac=1, random_state=seed)[columns].assign(extra=1.0)
            again = pd.Series(fitted.predict_probability(moved), index=moved.index)
            pd.testing.assert_series_equal(again.reindex(p.index), p, check_exact=True)


def test_a_row_gets_the_same_alone_as_among_others(model):
    np.testing.assert_array_equal(model.predict_probability(LIVE.iloc[[6]]), model.predict_probability(LIVE)[6:7])


def test_contributions_add_up_to_the_raw_margin(model, pooled):
    live = make_live(make_history(1, years=1, parcels=20, horizons=(1, 2), pests=(PEST, "stem_borer")))
    for fitted, table in ((model, LIVE), (pooled, live)):
        parts = fitted.explain(table)
        assert list(parts.columns) == [*fitted.features, "base"]
        x = feature_matrix(table, fitted.features, fitted.card["pest_codes"])
        raw = lgb.Booster(model_str=fitted.text).predict(x.to_numpy(), raw_score=True)
        np.testing.assert_allclose(parts.sum(axis=1), raw, atol=1e-9)


def test_a_pooled_model_knows_pests_and_horizons(pooled):
    assert pooled.features[-2:] == ["horizon_weeks", "pest"]
    assert pooled.targets == [(PEST, 1), (PEST, 2), ("stem_borer", 1), ("stem_borer", 2)]
    assert pooled.card["pest_codes"] == {PEST: 0, "stem_borer": 1}
    assert [Pest(**row) for row in pooled.card["pests"]] == [PESTS[PEST], BORER]
    assert "pest" in pooled.text.split("feature_names=")[1].split("\n")[0].split()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"horizon_weeks": 3.0}, f"{PEST}, 3 weeks ahead; it was fitted to {PEST}, 1 week ahead"),
        ({"pest": "leaf_folder"}, "does not cover leaf_folder, 1 week ahead"),
    ],
)
def test_another_pest_or_horizon_is_refused(model, change, said):
    with pytest.raises(SchemaError, match=said):
        model.predict(LIVE.assign(**change))


def test_a_missing_feature_is_named(model):
    with pytest.raises(SchemaError, match="has not the feature rh_mean_7d, crop_age_days"):
        model.predict(LIVE.drop(columns=["rh_mean_7d", "crop_age_days"]))


@pytest.mark.parametrize(("value", "said"), [("wet", "not numeric"), (np.inf, "infinite")])
def test_an_unusable_feature_is_named(model, value, said):
    with pytest.raises(SchemaError, match=f"feature rh_mean_7d .*{said}"):
        model.predict(LIVE.assign(rh_mean_7d=value))
    with pytest.raises(SchemaError, match=f"feature rh_mean_7d .*{said}"):
        RiskModel.fit(HISTORY.assign(rh_mean_7d=value))


def test_a_feature_name_that_lightgbm_cannot_hold_is_refused():
    with pytest.raises(SchemaError, match="'leaf wetness'"):
        RiskModel.fit(HISTORY.assign(**{"leaf wetness": HISTORY["rh_mean_7d"]}))


def test_features_that_teach_nothing_are_left_out_and_named(model):
    idle = HISTORY.assign(evi_mean_last=np.nan, rain_days_14d=3.0)
    with pytest.warns(DataWarning, match=r"evi_mean_last \(all values missing\), rain_days_14d \(always the same\)"):
        fitted = RiskModel.fit(idle, preset="small")
    assert fitted.features == model.features
    assert fitted.text == model.text
    assert set(fitted.card["dropped_features"]) == {"evi_mean_last", "rain_days_14d"}
    bare = HISTORY.drop(columns=feature_names(HISTORY)).assign(evi_mean_last=np.nan)
    with pytest.warns(DataWarning), pytest.raises(NoDataError, match="no feature has values"):
        RiskModel.fit(bare)


def test_a_value_or_missing_is_kept_as_a_feature():
    history = HISTORY.assign(flag=np.where(HISTORY["rh_mean_7d"] > 80, 1.0, np.nan))
    assert "flag" in RiskModel.fit(history, preset="small").features


def test_one_class_or_too_few_events_say_what_was_found():
    seen = HISTORY["label"].notna()
    for label in (0.0, 1.0):
        with pytest.raises(NoDataError, match=rf"too little to learn from.*{seen.sum()} labelled rows"):
            RiskModel.fit(HISTORY.assign(label=HISTORY["label"].where(~seen, label)))
    few = HISTORY.index[HISTORY["label"] == 1][9:]
    with pytest.raises(NoDataError, match=f"9 events.*{PEST}, 1 week ahead: 9.*Needed: 10 events"):
        RiskModel.fit(HISTORY.drop(index=few))
    with pytest.raises(NoDataError, match="none with a label"):
        RiskModel.fit(LIVE)


def test_ten_events_are_enough_to_give_probabilities():
    few = HISTORY.index[HISTORY["label"] == 1][10:]
    for preset in PRESETS:
        fitted = RiskModel.fit(HISTORY.drop(index=few), preset=preset)
        p = fitted.predict_probability(LIVE)
        assert np.nanmean(p) == pytest.approx(10 / fitted.card["training"]["rows"], rel=2)


def test_unknown_preset_and_wrong_table_are_refused():
    with pytest.raises(ConfigError, match="did you mean"):
        RiskModel.fit(HISTORY, preset="defualt")
    with pytest.raises(SchemaError, match="column label"):
        RiskModel.fit(HISTORY.rename(columns={"label": "lable"}))
    with pytest.raises(SchemaError, match="no geometry"):
        RiskModel.fit(HISTORY, preset="small").predict(pd.DataFrame(LIVE.drop(columns="geometry")))


def test_a_fitted_model_has_learned_the_signal_and_is_calibrated(model):
    fresh = make_history(7, years=2, parcels=30)
    seen = fresh["label"].notna()
    p, y = model.predict_probability(fresh)[seen], fresh.loc[seen, "label"].to_numpy()
    assert abs(p.mean() - y.mean()) < 0.03
    top = p >= np.quantile(p, 0.9)
    assert y[top].mean() > 2 * y.mean()
    assert abs(p[top].mean() - y[top].mean()) < 0.12


def test_progress_is_told(model):
    told = []
    RiskModel.fit(HISTORY, preset="small", progress=lambda *args: told.append(args))
    assert told == [("models fitted", done, 5) for done in (1, 2, 3, 4, 5)]


def test_the_card_says_what_the_model_is(model):
    card = json.loads(json.dumps(model.card, allow_nan=False))
    rows = HISTORY[HISTORY["label"].notna()]
    assert card == model.card
    assert card["synthetic"] is True
    assert "SYNTHETIC" in repr(model)
    assert card["pests"][0]["event"] == PESTS[PEST].event
    assert card["targets"] == [
        {"pest": PEST, "horizon_weeks": 1, "rows": len(rows), "events": int(rows["label"].sum())}
    ]
    assert [row["name"] for row in card["features"]] == feature_names(HISTORY)
    assert {"name": "rh_mean_7d", "unit": "%", "words": "humidity last week"} in card["features"]
    assert card["training"]["issued_first"] == f"{rows['issued'].min():%Y-%m-%d}"
    assert card["training"]["label_known_last"] == f"{rows['label_known_at'].max():%Y-%m-%d}"
    assert card["known_at"] == ["surveys: date + 7 days, assumed"]
    assert len(card["calibration"]["samples"]) >= 50
    assert card["preset"] == {"name": "small", "rounds": 80, "params": dict(PRESETS["small"].params)}
    assert set(card["versions"]) >= {"lightgbm", "numpy"}


def test_evaluation_goes_into_the_card_and_leaves_the_id(model, tmp_path):
    scored = model.with_evaluation({"gate": {"passed": True}})
    assert scored.model_id == model.model_id
    assert RiskModel.load(scored.save(tmp_path / "m")).card["evaluation"] == {"gate": {"passed": True}}
    assert model.card["evaluation"] is None


def test_saved_and_loaded_predicts_the_same_to_the_bit(model, pooled, tmp_path):
    live = make_live(make_history(1, years=1, parcels=20, horizons=(1, 2), pests=(PEST, "stem_borer")))
    for fitted, table in ((model, LIVE), (pooled, live)):
        loaded = RiskModel.load(fitted.save(tmp_path / fitted.model_id))
        assert loaded.card == fitted.card
        pd.testing.assert_frame_equal(loaded.predict(table), fitted.predict(table), check_exact=True)
        pd.testing.assert_frame_equal(loaded.explain(table), fitted.explain(table), check_exact=True)


def test_an_empty_table_gives_an_empty_risk_table(model):
    assert len(model.predict(LIVE.iloc[:0])) == 0
    assert model.predict_probability(LIVE.iloc[:0]).shape == (0,)


# A damaged text given to LightGBM would end this process, and with it the test run.


def test_a_truncated_model_is_refused(folder):
    raw = (folder / MODEL_FILE).read_bytes()
    for size in (0, 10, len(raw) // 2, len(raw) - 1):
        (folder / MODEL_FILE).write_bytes(raw[:size])
        with pytest.raises(SourceError, match=r"model\.txt .*SHA-256 differs.*train again"):
            RiskModel.load(folder)


def test_a_flipped_byte_is_refused(folder):
    raw = (folder / MODEL_FILE).read_bytes()
    for at in np.random.default_rng(0).integers(len(raw), size=40):
        for bit in (1, 0x80):
            damaged = bytearray(raw)
            damaged[at] ^= bit
            (folder / MODEL_FILE).write_bytes(bytes(damaged))
            with pytest.raises(SourceError, match=r"model\.txt"):
                RiskModel.load(folder)


def test_windows_line_ends_are_refused_not_guessed(folder):
    text = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(text.replace(b"\n", b"\r\n"))
    with pytest.raises(SourceError, match="SHA-256 differs"):
        RiskModel.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 5}, "changed after it was written"),
        ({"pest_codes": {PEST: 1}}, "changed after it was written"),
        ({"features": []}, "changed after it was written"),
        ({"format": 99}, "format 99"),
        ({"sha256": None}, "lacks sha256"),
        ({"sha256": {}}, "SHA-256 differs"),
    ],
)
def test_a_changed_card_is_refused(folder, model, change, said):
    (folder / CARD_FILE).write_text(json.dumps({**model.card, **change}))
    with pytest.raises(SourceError, match=said):
        RiskModel.load(folder)


def test_a_card_that_lacks_parts_or_is_none_is_refused(folder, model, tmp_path):
    for key in ("calibration", "training", "model_id", "features"):
        (folder / CARD_FILE).write_text(json.dumps({k: v for k, v in model.card.items() if k != key}))
        with pytest.raises(SourceError, match=f"lacks {key}"):
            RiskModel.load(folder)
    (folder / CARD_FILE).write_text("{")
    with pytest.raises(SourceError, match="cannot be read as JSON"):
        RiskModel.load(folder)
    with pytest.raises(SourceError):
        RiskModel.load(tmp_path / "nothing")


def test_a_model_without_its_text_is_refused(folder):
    (folder / MODEL_FILE).unlink()
    with pytest.raises(SourceError, match=r"model\.txt cannot be read"):
        RiskModel.load(folder)


def test_saving_over_a_model_replaces_it_whole(model, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old.txt").write_text("old")
    model.save(tmp_path / "m")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [CARD_FILE, MODEL_FILE]


def test_fitting_warns_of_nothing_on_good_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RiskModel.fit(HISTORY, preset="small")
