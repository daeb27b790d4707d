"""The forecast model: LightGBM's log-odds, calibrated out of fold, kept as text and a card."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import geopandas as gpd
import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.baselines import Target, refuse_uncovered, target_words
from rs_forecast.calibration import Calibration, fit_calibration
from rs_forecast.card import CARD_FILE, MODEL_FILE, check_card, damaged, id_of, make_card, target_rows
from rs_forecast.catalog import PESTS, PRESETS, Pest, Preset
from rs_forecast.errors import DataWarning, NoDataError, SchemaError, listing
from rs_forecast.features import Ahead
from rs_forecast.reasons import SMALLEST, STRONGEST, groups_of, reason_texts
from rs_forecast.risk import CLASS_LIMITS, risk_table
from rs_forecast.schema import DATASET_KEY, NOT_ASSESSABLE, check_dataset, feature_names
from rs_forecast.splits import MIN_EVENTS, bootstrap_blocks, labelled, span, time_blocks
from rs_forecast.trees import Trees
from rs_forecast.workspace import atomic_folder, read_json, sha256_text, write_json

FloatArray = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with what was done, how many of it, and of how many."""

INNER_FOLDS = 4
_SMALL = 20_000_000
"""Below so many cells a second thread gains nothing, and loses much where cores are busy with other work."""
BASE = "base"
"""Column of :meth:`RiskModel.explain` that holds what all rows start from."""

_PEST, _HORIZON = "pest", "horizon_weeks"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RiskModel:
    """A fitted model. :meth:`fit` or :meth:`load` makes one; nothing changes it."""

    text: str
    """LightGBM's model text."""
    card: dict[str, Any]
    """What the model is and was made from, as plain JSON."""

    @classmethod
    def fit(
        cls,
        history: pd.DataFrame,
        *,
        preset: str = "default",
        seed: int = 0,
        threads: int | None = None,
        progress: Progress | None = None,
        pests: Mapping[str, Pest] = PESTS,
        known_at: Sequence[str] = (),
    ) -> Self:
        """Fit trees to the labelled rows of ``history``, and their calibration to out-of-fold margins.

        Same rows, in any order, and same seed give the same model to the bit, on any number of threads.

        Parameters
        ----------
        history
            Rows of :func:`rs_forecast.build_dataset`; those without a label, or not assessable, are passed over.
        preset
            Name in the catalogue of presets.
        threads
            Threads of LightGBM; by default one for a small table, else all cores.
        pests
            The catalogue, with a user's own pests; what is known of the history's pests goes into the card.
        known_at
            What was assumed of the days rows became known, in words, for the card.

        Raises
        ------
        NoDataError
            Fewer than 10 events, one class only, or no usable feature.
        SchemaError
            ``history`` is no dataset, or a feature is not numeric.
        """
        check_dataset(history)
        rows = history.loc[labelled(history)].sort_values(list(DATASET_KEY), kind="stable")
        _refuse_too_few(rows, history)
        names, dropped = _usable_features(rows, feature_names(history))
        codes = {str(pest): code for code, pest in enumerate(sorted(rows[_PEST].unique()))}
        names += [name for name, kinds in ((_HORIZON, set(rows[_HORIZON])), (_PEST, set(codes))) if len(kinds) > 1]
        x, label = feature_matrix(rows, names, codes).to_numpy(), rows["label"].to_numpy(dtype=float)
        train = _Trainer(names, PRESETS[preset], seed, threads)
        blocks = time_blocks(rows, INNER_FOLDS)
        margin = _out_of_fold(train, x, label, blocks, progress)
        calibration = fit_calibration(margin, label, bootstrap_blocks(rows), seed=seed)
        text = train(x, label)
        if progress:
            progress("models fitted", len(set(blocks)) + 1, len(set(blocks)) + 1)
        card = make_card(
            text,
            rows,
            features=names,
            dropped=dropped,
            codes=codes,
            preset=PRESETS[preset],
            seed=seed,
            calibration=calibration,
            pests=pests,
            known_at=known_at,
            synthetic=bool(history.attrs.get("synthetic", False)),
            weather_ahead=history.attrs.get("weather_ahead"),
        )
        return cls(text=text, card=card)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that :meth:`save` wrote; nothing in it is executed.

        Raises
        ------
        SourceError
            The folder holds no model, or one that is damaged or was changed by hand.
        """
        folder = Path(folder)
        card = read_json(folder / CARD_FILE)
        check_card(card, folder)
        try:
            raw = (folder / MODEL_FILE).read_bytes()
            text = raw.decode()
        except (OSError, UnicodeDecodeError) as err:
            raise damaged(folder, f"{MODEL_FILE} cannot be read ({err})") from err
        # Before LightGBM sees it: a damaged text ends the interpreter.
        if sha256_text(text) != card["sha256"].get(MODEL_FILE):
            raise damaged(folder, f"{MODEL_FILE} is not the file that {CARD_FILE} was written for (SHA-256 differs)")
        if id_of(text, card) != card["model_id"]:
            raise damaged(folder, f"{CARD_FILE} was changed after it was written")
        model = cls(text=text, card=card)
        try:
            model.targets, model.calibration  # noqa: B018 - whatever cannot be read shows here
        except (KeyError, TypeError, ValueError) as err:
            raise damaged(folder, f"{CARD_FILE} cannot be understood ({err!r})") from err
        if model._booster.feature_name() != model.features:
            raise damaged(folder, f"{MODEL_FILE} and {CARD_FILE} name different features")
        return model

    def save(self, folder: str | Path) -> Path:
        """Write ``model.txt`` and ``card.json`` to ``folder``, both or neither; return the folder."""
        with atomic_folder(Path(folder)) as stage:
            (stage / MODEL_FILE).write_bytes(self.text.encode())
            write_json(stage / CARD_FILE, self.card)
        return Path(folder)

    def with_evaluation(self, evaluation: Mapping[str, Any]) -> Self:
        """Return the model with scores and gate in its card, as ``Report.to_dict`` gives them; its id stays."""
        return replace(self, card={**self.card, "evaluation": dict(evaluation)})

    @property
    def model_id(self) -> str:
        """Id made from the content: same data, preset and seed, same id."""
        return str(self.card["model_id"])

    @property
    def features(self) -> list[str]:
        """Features in the model's order, with ``horizon_weeks`` and ``pest`` where it covers several."""
        return [str(row["name"]) for row in self.card["features"]]

    @property
    def targets(self) -> list[Target]:
        """Pests and horizons [weeks] the model covers."""
        return [(str(row["pest"]), int(row[_HORIZON])) for row in self.card["targets"]]

    @property
    def weather_ahead(self) -> Ahead | None:
        """What weather features of the coming days were made from, if it was told."""
        found: Ahead | None = self.card["training"].get("weather_ahead", {}).get("by")
        return found

    @cached_property
    def calibration(self) -> Calibration:
        """The step from margin to probability."""
        return Calibration.from_dict(self.card["calibration"])

    def predict(self, dataset: pd.DataFrame, class_limits: Sequence[float] = CLASS_LIMITS) -> gpd.GeoDataFrame:
        """Return the risk table of ``dataset``: one row a parcel, pest and horizon, in the parcels' CRS.

        Parameters
        ----------
        dataset
            Rows of :func:`rs_forecast.build_dataset` with the features that the model was fitted to, in any order;
            others are passed over.
        class_limits
            Probabilities at which the classes moderate, high and very high begin.

        Raises
        ------
        SchemaError
            A feature is missing, or the model does not cover a pest or horizon.
        """
        values = self._values(dataset)
        groups = groups_of(self.features)
        margin, ranks = self._grouped.strongest(values, STRONGEST, SMALLEST)
        lower, upper = self.calibration.bounds(margin)
        return risk_table(
            dataset,
            self.calibration.probability(margin),
            lower=lower,
            upper=upper,
            reasons=reason_texts(ranks, groups, values),
            model_id=self.model_id,
            class_limits=class_limits,
        )

    def predict_probability(self, dataset: pd.DataFrame) -> FloatArray:
        """Return the probability of the event, row by row; NaN where the row is not assessable."""
        margin = self._trees.margins(self._values(dataset))
        assessable = (dataset["status"] != NOT_ASSESSABLE).to_numpy()
        return np.where(assessable, self.calibration.probability(margin), np.nan)

    def explain(self, dataset: pd.DataFrame) -> pd.DataFrame:
        """Return what each feature adds to each row's margin [log-odds], and the ``base`` all rows start from.

        The columns of a row add up to its raw margin, before calibration. Exact TreeSHAP,
        doi 10.1038/s42256-019-0138-9.
        """
        parts = self._trees.contributions(self._values(dataset))
        return pd.DataFrame(parts.T, index=dataset.index, columns=self.features).assign(**{BASE: self._trees.base})

    @cached_property
    def _booster(self) -> lgb.Booster:
        return lgb.Booster(model_str=self.text)

    @cached_property
    def _trees(self) -> Trees:
        return Trees(self._booster)

    @cached_property
    def _grouped(self) -> Trees:
        """The trees, with contributions of the features that are told as one."""
        places = {place: n for n, group in enumerate(groups_of(self.features)) for place in group.features}
        return Trees(self._booster, [places[n] for n in range(len(places))])

    def _values(self, dataset: pd.DataFrame) -> list[FloatArray]:
        check_dataset(dataset)
        refuse_uncovered(dataset, self.targets, f"the model {self.model_id}")
        by = dataset.attrs.get("weather_ahead", {}).get("by")
        if by and self.weather_ahead and by != self.weather_ahead:
            raise SchemaError(
                f"weather to come is by {by} in the dataset, and by {self.weather_ahead} in what the model learned "
                "from; build the rows with build_dataset(..., ahead=model.weather_ahead), or train again"
            )
        return list(feature_columns(dataset, self.features, self.card["pest_codes"]).values())

    def __repr__(self) -> str:
        training = self.card["training"]
        synthetic = "SYNTHETIC, " if self.card["synthetic"] else ""
        covered = listing(map(target_words, self.targets), sep="; ")
        return f"RiskModel({self.model_id}: {synthetic}{covered}; {training['rows']} rows, {training['events']} events)"


def feature_columns(
    dataset: pd.DataFrame, names: Sequence[str], pest_codes: Mapping[str, int]
) -> dict[str, FloatArray]:
    """Return the columns ``names`` of ``dataset`` in that order as float64, pests as their codes.

    Raises
    ------
    SchemaError
        A column is missing, is not numeric, or holds an infinite value.
    """
    missing = [name for name in names if name not in dataset.columns]
    if missing:
        raise SchemaError(
            f"the dataset has not the feature {listing(missing, 10)} that the model was fitted to. Build it with the "
            "same indices and weather as the training data, or train again"
        )
    columns = {name: dataset[name].map(pest_codes) if name == _PEST else dataset[name] for name in names}
    text = [name for name, column in columns.items() if not pd.api.types.is_numeric_dtype(column)]
    if text:
        raise SchemaError(f"feature {listing(text)} is not numeric; drop it, or turn it into numbers")
    values = {name: np.asarray(column.to_numpy(np.float64, na_value=np.nan)) for name, column in columns.items()}
    endless = [name for name, value in values.items() if np.isinf(value).any()]
    if endless:
        raise SchemaError(f"feature {listing(endless)} holds infinite values; make them missing (NaN)")
    return values


def feature_matrix(dataset: pd.DataFrame, names: Sequence[str], pest_codes: Mapping[str, int]) -> pd.DataFrame:
    """Return :func:`feature_columns` as a table with the rows of ``dataset``."""
    return pd.DataFrame(feature_columns(dataset, names, pest_codes), index=dataset.index)


@dataclass(frozen=True)
class _Trainer:
    """Trains trees on a matrix; returns their text."""

    names: list[str]
    preset: Preset
    seed: int
    threads: int | None

    def __call__(self, x: FloatArray, label: FloatArray) -> str:
        params = {
            "objective": "binary",
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads or _threads(x),
            "verbosity": -1,
            **self.preset.params,
        }
        pest = [self.names.index(_PEST)] if _PEST in self.names else []
        data = lgb.Dataset(x, label, feature_name=self.names, categorical_feature=pest, params=params)
        text = str(lgb.train(params, data, num_boost_round=self.preset.rounds).model_to_string())
        # The trees do not depend on the number of threads; so may not the text.
        return re.sub(r"^\[num_threads: -?\d+\]$", "[num_threads: 0]", text, flags=re.MULTILINE)


def _threads(x: FloatArray) -> int:
    return 1 if x.size < _SMALL else 0  # 0 is all cores


def _run(booster: lgb.Booster, x: FloatArray, **what: bool) -> FloatArray:
    return np.asarray(booster.predict(x, num_threads=_threads(x), **what), dtype=np.float64)


def _out_of_fold(
    train: _Trainer, x: FloatArray, label: FloatArray, block: NDArray[np.intp], progress: Progress | None
) -> FloatArray:
    """Return each row's raw margin [log-odds] by a model that has not seen the row's block."""
    margin = np.empty(len(label))
    blocks = np.unique(block)
    for done, number in enumerate(blocks, start=1):
        held = block == number
        booster = lgb.Booster(model_str=train(x[~held], label[~held]))
        margin[held] = _run(booster, x[held], raw_score=True)
        if progress:
            progress("models fitted", done, blocks.size + 1)
    return margin


def _usable_features(rows: pd.DataFrame, names: list[str]) -> tuple[list[str], dict[str, str]]:
    bad = [name for name in names if re.search(r"[\s\",:\[\]{}]", name)]
    if bad:
        raise SchemaError(f'feature {listing(map(repr, bad))} has a space or one of ",:[]{{}} in its name; rename it')
    x = feature_matrix(rows, names, {})
    dropped = {name: "all values missing" for name in names if x[name].isna().all()}
    dropped |= {name: "always the same" for name in names if x[name].min() == x[name].max() and x[name].notna().all()}
    if dropped:
        told = listing((f"{name} ({why})" for name, why in dropped.items()), 12)
        warnings.warn(DataWarning(f"features that teach nothing are left out: {told}"), stacklevel=3)
    usable = [name for name in names if name not in dropped]
    if not usable:
        raise NoDataError(
            f"no feature has values to learn from. Found: {listing(names) or 'no feature column'}. Give imagery, "
            "weather or surveys that reach back before the issue dates"
        )
    return usable, dropped


def _refuse_too_few(rows: pd.DataFrame, history: pd.DataFrame) -> None:
    events = int(rows["label"].sum())
    if events < MIN_EVENTS or events == len(rows):
        each = ((row[_PEST], row[_HORIZON], row["events"]) for row in target_rows(rows))
        by_target = listing((f"{target_words((pest, weeks))}: {found}" for pest, weeks, found in each), 8, sep="; ")
        raise NoDataError(
            f"too little to learn from. Found: {span(history)} (events by target: {by_target or 'none'}). "
            f"Needed: {MIN_EVENTS} events and some visits without; add surveys, or forecast with a baseline"
        )
