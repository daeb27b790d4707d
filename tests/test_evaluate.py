from __future__ import annotations

import builtins
import json

import numpy as np
import pandas as pd
import pytest
from datasets import PEST, make_history
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rs_forecast.baselines import BASELINES
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError
from rs_forecast.evaluate import MODEL, Report, cross_validate, judge
from rs_forecast.model import RiskModel
from rs_forecast.schema import DATASET_KEY
from rs_forecast.splits import season_forward

HISTORY = make_history(0, years=2, parcels=40, horizons=(1, 2))
NAMES = [MODEL, *BASELINES]


def _estimators():
    linear = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression())
    return {"linear": linear, "dummy": DummyClassifier(strategy="prior")}


@pytest.fixture(scope="module")
def report() -> Report:
    return cross_validate(HISTORY, preset="small", models=_estimators(), max_folds=2)


def test_scores_have_one_row_per_pest_horizon_and_model(report):
    key = ["pest", "horizon_weeks", "model"]
    columns = [*key, "n", "events", "base_rate", "pr_auc", "brier", "brier_skill", "log_score"]
    assert list(report.scores.columns) == columns
    expected = [(PEST, weeks, name) for weeks in (1, 2) for name in (*NAMES, "linear", "dummy")]
    assert list(report.scores[key].itertuples(index=False, name=None)) == expected
    assert len(report.scores[["horizon_weeks", "n", "events"]].drop_duplicates()) == 2
    climatology = report.scores[report.scores["model"] == "climatology"]
    assert (climatology["brier_skill"] == 0).all()


def test_oracle_scores_of_scikit_learn_on_the_predictions(report):
    for row in report.scores.itertuples():
        part = report.predictions[report.predictions["horizon_weeks"] == row.horizon_weeks]
        label, p = part["label"], part[row.model]
        assert row.n == len(part)
        assert row.events == label.sum()
        assert row.base_rate == pytest.approx(label.mean())
        assert row.pr_auc == pytest.approx(average_precision_score(label, p))
        assert row.brier == pytest.approx(brier_score_loss(label, p))
        assert row.log_score == pytest.approx(log_loss(label, np.clip(p, 1e-6, 1 - 1e-6)))
        reference = brier_score_loss(label, part["climatology"])
        assert row.brier_skill == pytest.approx(1 - row.brier / reference, abs=1e-12)


def test_predictions_are_those_of_models_fitted_to_each_fold_alone(report):
    folds = season_forward(HISTORY, max_folds=2)
    assert list(report.predictions["fold"].unique()) == [fold.name for fold in folds]
    for fold in folds:
        train, test = HISTORY.iloc[fold.train], HISTORY.iloc[fold.test]
        part = report.predictions[report.predictions["fold"] == fold.name]
        pd.testing.assert_frame_equal(
            part[[*DATASET_KEY, "label"]].reset_index(drop=True),
            pd.DataFrame(test[[*DATASET_KEY, "label"]]).reset_index(drop=True),
        )
        ours = RiskModel.fit(train, preset="small").predict_probability(test)
        np.testing.assert_array_equal(part[MODEL], ours)
        for name, kind in BASELINES.items():
            np.testing.assert_array_equal(part[name], kind().fit(train).predict(test))
        for horizon in (1, 2):
            rows = (part["horizon_weeks"] == horizon).to_numpy()
            assert rows.any()
        np.testing.assert_allclose(part["dummy"], train["label"].mean())


def test_labels_after_the_cutoff_do_not_reach_a_forecast(report):
    fold = season_forward(HISTORY, max_folds=2)[0]
    later = (HISTORY["label_known_at"] > fold.cutoff).to_numpy()
    flipped = HISTORY.assign(label=HISTORY["label"].where(~later, 1 - HISTORY["label"]))
    again = cross_validate(flipped, preset="small", max_folds=2)
    before, after = (r.predictions[r.predictions["fold"] == fold.name] for r in (report, again))
    np.testing.assert_array_equal(before[NAMES], after[NAMES])
    assert (before["label"].to_numpy() == 1 - after["label"].to_numpy()).all()


def test_same_seed_gives_the_same_report(report):
    again = cross_validate(HISTORY, preset="small", models=_estimators(), max_folds=2)
    assert again.to_json() == report.to_json()
    assert str(again) == str(report)


def test_the_table_of_folds_tells_every_season(report):
    folds = report.folds
    assert list(folds["season"]) == list(HISTORY.groupby("season")["valid_from"].min().sort_values().index)
    assert (folds["left_out"] == "").sum() == 2
    assert folds.loc[0, "left_out"] == "0 events known before it, 10 needed"
    assert folds.loc[1, "left_out"] == "only the last 2 are scored"
    used = folds[folds["left_out"] == ""]
    assert used["test_rows"].sum() == len(report.predictions)
    assert used["test_events"].sum() == report.predictions["label"].sum()


def test_the_printed_report_is_neat(report):
    text = str(report)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("SYNTHETIC")
    assert f"{PEST}, 1 week ahead" in text
    assert f"{PEST}, 2 weeks ahead" in text
    for name in report.models:
        assert sum(line.split()[:1] == [name] for line in lines) == 2
    row = report.scores.iloc[0]
    assert f"base rate {row['base_rate']:.3f}" in text
    assert f"{row['log_score']:.4f}" in text
    for season in report.folds.loc[report.folds["left_out"] == "", "season"]:
        assert any(line.startswith(f"{season}  ") for line in lines)
    for reason, seasons in report.folds.loc[report.folds["left_out"] != ""].groupby("left_out")["season"]:
        told = f"{seasons.iloc[0]} to {seasons.iloc[-1]}" if len(seasons) > 1 else seasons.iloc[0]
        assert f"{told}: left out, {reason}"[:80] in text
    real = HISTORY.copy()
    real.attrs = {}
    assert "SYNTHETIC" not in str(cross_validate(real, preset="small", max_folds=1))


def test_json_holds_scores_folds_and_gate(report):
    card = json.loads(report.to_json())
    assert card == report.to_dict()
    assert card["synthetic"] is True
    assert card["gate"]["passed"] is report.gate.passed
    assert [row["model"] for row in card["scores"][:5]] == NAMES
    assert card["scores"][0]["brier"] == report.scores.loc[0, "brier"]
    assert card["folds"][0]["cutoff"] == "2020-01-06"


def test_plot_writes_a_picture(report, tmp_path):
    path = report.plot(tmp_path / "out" / "report.png")
    raw = path.read_bytes()
    assert raw.startswith(b"\x89PNG")
    assert report.plot(tmp_path / "again.png").read_bytes() == raw


def test_without_matplotlib_the_plot_says_how_to_get_it(report, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"pip install 'rs-forecast\[plots\]'"):
        report.plot(tmp_path / "report.png")


@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_pass_the_gate(seed):
    gate = cross_validate(make_history(seed, signal=0.0, years=2), preset="small", max_folds=2).gate
    assert not gate.passed
    assert any("gain" in reason for reason in gate.reasons)


def test_real_signal_passes_the_gate(report):
    assert report.gate.passed
    assert report.gate.best_baseline in BASELINES
    assert "better than every baseline" in str(report)


@pytest.mark.slow
def test_the_gate_over_many_seeds():
    noise = [cross_validate(make_history(s, signal=0.0), preset="small").gate.passed for s in range(20)]
    real = [cross_validate(make_history(s), preset="small").gate.passed for s in range(20)]
    assert sum(noise) <= 1
    assert sum(real) >= 19


def _predictions(model_probability):
    """Return 400 rows in 40 blocks, half of them events; every baseline but always_no says 0.5."""
    n = 400
    rows = HISTORY.iloc[:n]
    label = np.arange(n) % 2 == 0
    table = pd.DataFrame(
        {
            "label": label.astype(float),
            "season": "s",
            "sub_zone": [f"z{i // 10}" for i in range(n)],
            "commune_code": "c",
            "valid_from": rows["valid_from"].to_numpy(),
            **dict.fromkeys(BASELINES, 0.5),
        }
    ).assign(always_no=0.0)
    table[MODEL] = model_probability(label)
    return table


def test_the_gate_by_hand():
    better = judge(_predictions(lambda y: np.where(y, 0.6, 0.4)))
    assert better.passed
    # -ln .6 = .5108 against -ln .5 = .6931; every block alike, so that the interval is the mean.
    assert better.reasons[0].startswith("log score 0.5108 against 0.6931 of")
    assert better.reasons[0].endswith("gain 0.1823 (95 % interval 0.1823 to 0.1823)")
    assert not judge(_predictions(lambda y: np.full(len(y), 0.5))).passed
    assert not judge(_predictions(lambda y: np.where(y, 0.4, 0.6))).passed
    # Better by Brier (.2375 against .25), and yet worse by log score: one event in twenty is certainly missed.
    missed = np.where(np.arange(400) % 40 == 0, 1e-6, 0.6)
    mixed = judge(_predictions(lambda y: np.where(y, missed, 0.4)))
    assert not mixed.passed
    assert all(reason.startswith("log score") for reason in mixed.reasons)
    assert mixed.best_baseline != "always_no"


def test_a_gain_of_one_lucky_block_is_not_published():
    def lucky(label):
        first = np.arange(len(label)) < 10
        return np.where(first, np.where(label, 0.9, 0.1), 0.5)

    gate = judge(_predictions(lucky))
    assert not gate.passed
    assert "gain 0.0147" in gate.reasons[0]


def test_too_few_held_out_events_cannot_be_judged():
    table = _predictions(lambda y: np.where(y, 0.9, 0.1))
    table["label"] = (np.arange(len(table)) < 9).astype(float)
    gate = judge(table)
    assert not gate.passed
    assert gate.reasons == ("9 events in the held-out seasons, 10 needed to judge",)


def test_an_estimator_that_cannot_take_missing_values_is_told_how():
    with pytest.raises(ConfigError, match=r"'mine' cannot take missing values.*SimpleImputer.*LogisticRegression"):
        cross_validate(HISTORY, preset="small", models={"mine": LogisticRegression()}, max_folds=1)


def test_an_estimator_that_takes_them_is_scored_unchanged():
    mine = HistGradientBoostingClassifier(max_iter=5)
    report = cross_validate(HISTORY, preset="small", models={"mine": mine}, max_folds=1)
    assert report.models[-1] == "mine"
    assert not hasattr(mine, "classes_")


class _Wild(DummyClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) * 30


@pytest.mark.parametrize(
    ("models", "error", "said"),
    [
        ({"climatology": DummyClassifier()}, ConfigError, "climatology is taken"),
        ({"label": DummyClassifier()}, ConfigError, "label is taken"),
        ({"mine": 3}, ConfigError, "'mine' is 3; a scikit-learn classifier"),
        ({"mine": _Wild(strategy="prior")}, SchemaError, "outside 0 to 1"),
    ],
)
def test_unusable_models_are_refused(models, error, said):
    with pytest.raises(error, match=said):
        cross_validate(HISTORY, preset="small", models=models, max_folds=1)


def test_features_that_begin_late_are_told_in_the_folds_and_do_not_warn(recwarn):
    late = HISTORY["issued"] < "2021-09-01"
    history = HISTORY.assign(ndvi_mean_last=HISTORY["ndvi_mean_last"].mask(late))
    report = cross_validate(history, preset="small", max_folds=2)
    assert not [w for w in recwarn if issubclass(w.category, DataWarning)]
    assert report.folds["notes"].str.contains("ndvi_mean_last").any()
    assert "features that teach nothing: ndvi_mean_last" in str(report)


def test_a_pest_first_surveyed_in_a_season_is_not_scored_in_it():
    other = make_history(4, years=2, parcels=40, pests=("stem_borer",))
    last = season_forward(HISTORY)[-1]
    new = other["season"] == last.name
    both = pd.concat([HISTORY[HISTORY["horizon_weeks"] == 1], other[new]], ignore_index=True)
    report = cross_validate(both, preset="small", max_folds=1)
    assert set(report.predictions["pest"]) == {PEST}
    assert "no label known before it: stem_borer, 1 week ahead" in " ".join(str(report).split())
    used = report.folds[report.folds["left_out"] == ""].iloc[0]
    assert used["test_rows"] == len(report.predictions)


def test_a_season_whose_training_cannot_be_parted_is_left_out():
    # All events before the last season are of one week.
    last = season_forward(HISTORY)[-1]
    before = (HISTORY["season"] != last.name).to_numpy()
    week = HISTORY.loc[HISTORY["label"] == 1, "valid_from"].mode()[0]
    only = HISTORY["label"].where(~before | HISTORY["label"].isna(), (HISTORY["valid_from"] == week).astype(float))
    with pytest.raises(NoDataError, match="all events are of one week"):
        cross_validate(HISTORY.assign(label=only), preset="small", max_folds=1)


def test_nothing_to_score_says_what_was_found():
    with pytest.raises(NoDataError, match="none with a label"):
        cross_validate(HISTORY.assign(label=np.nan))


def test_progress_is_told():
    told = []
    cross_validate(HISTORY, preset="small", max_folds=2, progress=lambda *args: told.append(args))
    assert told == [("seasons scored", 1, 2), ("seasons scored", 2, 2)]
