"""Cross-validation forward in time: the model beside every baseline, on the same rows, and the gate to publication."""

from __future__ import annotations

import io
import json
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from rs_forecast.baselines import BASELINES, target_words, targets
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SchemaError, listing
from rs_forecast.model import Progress, RiskModel, feature_matrix
from rs_forecast.schema import DATASET_KEY
from rs_forecast.scores import SCORES, brier_losses, log_losses
from rs_forecast.splits import MIN_EVENTS, Fold, bootstrap_blocks, season_folds, season_forward
from rs_forecast.workspace import write_atomic

FloatArray = NDArray[np.float64]

MODEL = "rs_forecast"
"""Name of our own model in scores and predictions."""
MAX_FOLDS = 4
SAMPLES = 2000
CONFIDENCE = 0.95
_KEPT = (*DATASET_KEY, "valid_from", "season", "commune_code", "sub_zone", "label")
_WIDTH = 80


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether the model may be published, and why; ``best_baseline`` has the lowest log score of them."""

    passed: bool
    best_baseline: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report:
    """What a cross-validation found. Print it; :meth:`to_json` and :meth:`plot` write it down."""

    scores: pd.DataFrame
    """One row per pest, horizon and model: rows, events, and each of :data:`rs_forecast.scores.SCORES`."""
    predictions: pd.DataFrame
    """The rows that were scored: key, label, fold, and one column of probabilities per model."""
    folds: pd.DataFrame
    """One row per season, those left out with the reason."""
    gate: Gate
    preset: str
    seed: int
    synthetic: bool

    @property
    def models(self) -> list[str]:
        """Names of all that was scored, our model first."""
        return [str(name) for name in self.scores["model"].unique()]

    def to_dict(self) -> dict[str, Any]:
        """Return scores, folds and gate as plain JSON, for a model's card; predictions stay out."""
        return {
            "synthetic": self.synthetic,
            "preset": self.preset,
            "seed": self.seed,
            "scores": _records(self.scores),
            "folds": _records(self.folds),
            "gate": {**asdict(self.gate), "reasons": list(self.gate.reasons)},
        }

    def to_json(self) -> str:
        """Return :meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def plot(self, path: str | Path) -> Path:
        """Draw reliability and precision against recall of every model, as PNG; return the path.

        Raises
        ------
        ConfigError
            matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as err:
            raise ConfigError("a plot needs matplotlib; install it with: pip install 'rs-forecast[plots]'") from err
        figure = Figure(figsize=(11, 5), layout="constrained")
        reliability, ranking = figure.subplots(1, 2)
        _draw_reliability(reliability, self)
        _draw_ranking(ranking, self)
        figure.suptitle(("SYNTHETIC data: " if self.synthetic else "") + _headline(self))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
        return write_atomic(Path(path), buffer.getvalue())

    def __str__(self) -> str:
        return "\n".join([*_score_lines(self), "", *_fold_lines(self.folds), "", *_gate_lines(self.gate)])


def cross_validate(
    history: pd.DataFrame,
    *,
    preset: str = "default",
    models: Mapping[str, Any] | None = None,
    max_folds: int | None = MAX_FOLDS,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Score the model and every baseline on the last ``max_folds`` seasons, each forecast from labels known before it.

    Parameters
    ----------
    history
        Rows of :func:`rs_forecast.build_dataset`.
    preset
        Name in the catalogue of presets.
    models
        scikit-learn classifiers by name, unfitted. Each is cloned, fitted and scored on the same rows, with the same
        features, missing values as NaN.

    Raises
    ------
    NoDataError
        No season can be scored.
    ConfigError
        An entry of ``models`` is no classifier, has a name that is taken, or cannot take missing values.
    """
    models = models or {}
    _refuse_models(models)
    total = len(season_forward(history, max_folds=max_folds))  # NoDataError if there is none
    folds, parts, notes = [], [], []
    for fold in season_folds(history, max_folds=max_folds):
        done, part, note = fold, None, ""
        if not fold.left_out:
            done, part, note = _forecast(history, fold, models, preset=preset, seed=seed, threads=threads)
        folds.append(done)
        notes.append(note)
        if part is not None:
            parts.append(part)
        if progress and not fold.left_out:
            progress("seasons scored", sum(not f.left_out for f in folds), total)
    if not parts:
        why = listing((f"{fold.name}: {fold.left_out}" for fold in reversed(folds)), sep="; ")
        raise NoDataError(f"no season can be scored: {why}")
    predictions = pd.concat(parts, ignore_index=True)
    return Report(
        scores=_scores(predictions, [MODEL, *BASELINES, *models]),
        predictions=predictions,
        folds=_fold_table(folds, notes),
        gate=judge(predictions, seed=seed),
        preset=preset,
        seed=seed,
        synthetic=bool(history.attrs.get("synthetic", False)),
    )


def judge(predictions: pd.DataFrame, *, seed: int = 0) -> Gate:
    """Return whether the model beats every baseline on the held-out rows, pests and horizons pooled.

    It must have the lower log score and the lower Brier score, each with the 95 % interval of the difference above 0
    over resampled season x sub-zone blocks. A gain that may be luck is not published.
    """
    label = predictions["label"].to_numpy(dtype=float)
    names = [MODEL, *BASELINES]
    losses = {
        "log score": np.stack([log_losses(predictions[name].to_numpy(dtype=float), label) for name in names], axis=1),
        "Brier": np.stack([brier_losses(predictions[name].to_numpy(dtype=float), label) for name in names], axis=1),
    }
    best = names[1 + int(np.argmin(losses["log score"][:, 1:].mean(axis=0)))]
    events = int(label.sum())
    if events < MIN_EVENTS:
        few = f"{events} events in the held-out seasons, {MIN_EVENTS} needed to judge"
        return Gate(passed=False, best_baseline=best, reasons=(few,))
    blocks = bootstrap_blocks(predictions)
    failed, gains = [], []
    for score, loss in losses.items():
        low, high = _interval(loss[:, 1:] - loss[:, :1], blocks, seed)
        for i, name in enumerate(BASELINES):
            ours, theirs = loss[:, 0].mean(), loss[:, 1 + i].mean()
            told = (
                f"{score} {ours:.4f} against {theirs:.4f} of {name}: "
                f"gain {theirs - ours:.4f} (95 % interval {low[i]:.4f} to {high[i]:.4f})"
            )
            if low[i] <= 0:
                failed.append(told)
            elif name == best:
                gains.append(told)
    return Gate(passed=not failed, best_baseline=best, reasons=tuple(failed or gains))


def _interval(gain: FloatArray, blocks: NDArray[np.intp], seed: int) -> tuple[FloatArray, FloatArray]:
    """Return both ends of the interval of each column's mean, over resampled blocks."""
    number = int(blocks.max()) + 1
    size = np.bincount(blocks, minlength=number)
    total = np.stack([np.bincount(blocks, column, minlength=number) for column in gain.T], axis=1)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=SAMPLES)
    means = (drawn @ total) / (drawn @ size)[:, None]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


def _forecast(
    history: pd.DataFrame,
    fold: Fold,
    models: Mapping[str, Any],
    *,
    preset: str,
    seed: int,
    threads: int | None,
) -> tuple[Fold, pd.DataFrame | None, str]:
    """Return the fold, its scored rows, or none and the fold with the reason, and what else is to be told."""
    train, test = history.iloc[fold.train], history.iloc[fold.test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # told in the table of folds
        try:
            model = RiskModel.fit(train, preset=preset, seed=seed, threads=threads)
        except NoDataError as err:
            return replace(fold, left_out=str(err)), None, ""
    known = [(str(pest), int(weeks)) in model.targets for pest, weeks in test[["pest", "horizon_weeks"]].to_numpy()]
    new = [target for target in targets(test) if target not in model.targets]
    test, rows = test.loc[known], fold.test[known]
    if test.empty:
        return replace(fold, left_out="none of its pests and horizons was known before it"), None, ""
    part = pd.DataFrame(test[list(_KEPT)]).assign(fold=fold.name)
    part[MODEL] = model.predict_probability(test)
    for name, kind in BASELINES.items():
        part[name] = kind().fit(train).predict(test)
    x, x_test = (feature_matrix(rows_of, model.features, model.card["pest_codes"]) for rows_of in (train, test))
    for name, estimator in models.items():
        part[name] = _estimate(name, estimator, x, train["label"].astype(int), x_test)
    dropped = model.card["dropped_features"]
    notes = [f"no label known before it: {listing(map(target_words, new))}"] if new else []
    notes += [f"features that teach nothing: {listing(dropped, 3)}"] if dropped else []
    return replace(fold, test=rows, test_events=int(test["label"].sum())), part, "; ".join(notes)


def _estimate(name: str, estimator: Any, x: pd.DataFrame, y: pd.Series, x_test: pd.DataFrame) -> FloatArray:
    try:
        fitted = clone(estimator).fit(x, y)
        p = fitted.predict_proba(x_test)[:, list(fitted.classes_).index(1)]
    except ValueError as err:
        if x.isna().to_numpy().any() and "NaN" in str(err):
            raise ConfigError(
                f"models: {name!r} cannot take missing values, and the features have some. Fill them inside: "
                f"make_pipeline(SimpleImputer(add_indicator=True), {type(estimator).__name__}(...))"
            ) from err
        raise ConfigError(f"models: {name!r} failed: {err}") from err
    probability = np.asarray(p, dtype=np.float64)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise SchemaError(f"models: {name!r} gave a probability that is missing or outside 0 to 1")
    return probability


def _refuse_models(models: Mapping[str, Any]) -> None:
    taken = {MODEL, *BASELINES, *_KEPT, "fold"} & set(models)
    if taken:
        raise ConfigError(f"models: the name {listing(sorted(taken))} is taken; choose another")
    for name, estimator in models.items():
        if not (hasattr(estimator, "fit") and hasattr(estimator, "predict_proba")):
            raise ConfigError(
                f"models: {name!r} is {estimator!r}; a scikit-learn classifier with fit and predict_proba is due"
            )


def _scores(predictions: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    rows = []
    for pest, weeks in targets(predictions):
        part = predictions[(predictions["pest"] == pest) & (predictions["horizon_weeks"] == weeks)]
        label = part["label"].to_numpy(dtype=float)
        for name in names:
            found = {
                score.name: score.function(part[name], label, *([part[score.reference]] if score.reference else []))
                for score in SCORES.values()
            }
            key = {"pest": pest, "horizon_weeks": weeks, "model": name}
            rows.append({**key, "n": len(part), "events": int(label.sum()), **found})
    return pd.DataFrame(rows)


def _fold_table(folds: list[Fold], notes: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "season": fold.name,
            "cutoff": fold.cutoff,
            "train_rows": len(fold.train),
            "train_events": fold.train_events,
            "test_rows": len(fold.test),
            "test_events": fold.test_events,
            "left_out": fold.left_out,
            "notes": note,
        }
        for fold, note in zip(folds, notes, strict=True)
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain JSON: days as text, NaN as null."""

    def plain(value: Any) -> Any:
        if isinstance(value, pd.Timestamp):
            return f"{value:%Y-%m-%d}"
        value = value.item() if isinstance(value, np.generic) else value
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return [{str(key): plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _headline(report: Report) -> str:
    used = int((report.folds["left_out"] == "").sum())
    rows, events = len(report.predictions), int(report.predictions["label"].sum())
    return f"{used} seasons held out forward in time: {rows} forecasts, {events} of them of an event"


def _score_lines(report: Report) -> Iterator[str]:
    if report.synthetic:
        yield "SYNTHETIC data: these scores say nothing of real fields."
    yield _headline(report)
    width = min(max(map(len, report.models)), 24)
    for pest, weeks in targets(report.scores):
        rows = report.scores[(report.scores["pest"] == pest) & (report.scores["horizon_weeks"] == weeks)]
        first = rows.iloc[0]
        yield ""
        yield target_words((pest, weeks))
        yield f"{first['n']} visits, {first['events']} events, base rate {first['base_rate']:.3f}"
        yield f"  {'':<{width}}  {'PR-AUC':>8}  {'Brier':>8}  {'Brier skill':>11}  {'log score':>9}"
        for _, row in rows.iterrows():
            yield (
                f"  {row['model']:<{width}.{width}}  {_cell(row['pr_auc'], 8, 3)}  {_cell(row['brier'], 8, 4)}  "
                f"{_cell(row['brier_skill'], 11, 3)}  {_cell(row['log_score'], 9, 4)}"
            )


def _cell(value: float, width: int, digits: int) -> str:
    return f"{value:>{width}.{digits}f}" if np.isfinite(value) else f"{'-':>{width}}"


def _fold_lines(folds: pd.DataFrame) -> Iterator[str]:
    width = min(max(map(len, [*folds["season"], "season"])), 24)
    yield f"{'season':<{width}}  {'cutoff':<10}  train  events   test  events"
    for reason, rows in groupby((row for _, row in folds.iterrows()), key=itemgetter("left_out")):
        group = list(rows)
        if reason:  # a run of seasons left out for one reason is one line
            last = f" to {group[-1]['season']}" if len(group) > 1 else ""
            told = f"{group[0]['season']}{last}: left out, {reason}"
            yield from textwrap.wrap(told, _WIDTH, subsequent_indent=" " * 4)
            continue
        for row in group:
            counts = ((row["train_rows"], 7), (row["train_events"], 8), (row["test_rows"], 7), (row["test_events"], 8))
            name = f"{row['season']:<{width}.{width}}  {row['cutoff']:%Y-%m-%d}"
            yield name + "".join(f"{count:>{space}}" for count, space in counts)
            if row["notes"]:
                yield from textwrap.wrap(row["notes"], _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)


def _gate_lines(gate: Gate) -> Iterator[str]:
    verdict = (
        "passed, better than every baseline" if gate.passed else "NOT FOR PUBLICATION, not better than every baseline"
    )
    yield f"Gate: {verdict}"
    yield f"  best baseline: {gate.best_baseline}"
    for reason in gate.reasons:
        yield from textwrap.wrap(reason, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _draw_reliability(axes: Any, report: Report) -> None:
    label = report.predictions["label"].to_numpy(dtype=int)
    for name in report.models:
        p = report.predictions[name].to_numpy(dtype=float)
        seen, said = calibration_curve(label, p, n_bins=10, strategy="quantile")
        axes.plot(said, seen, marker="o", markersize=4, label=name)
    axes.axline((0, 0), slope=1, color="grey", linewidth=1, linestyle="--")
    axes.set(xlabel="probability that was forecast", ylabel="share of visits with the event", title="Reliability")
    axes.legend()


def _draw_ranking(axes: Any, report: Report) -> None:
    label = report.predictions["label"].to_numpy(dtype=int)
    for name in report.models:
        precision, recall, _ = precision_recall_curve(label, report.predictions[name].to_numpy(dtype=float))
        axes.plot(recall, precision, label=name, drawstyle="steps-post")
    axes.axhline(label.mean(), color="grey", linewidth=1, linestyle="--")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall (dashed: base rate)", ylim=(0, 1.02))
    axes.legend()
