"""Scores of event probabilities: ``f(probability, event)``, one number each.

``probability`` is what was forecast (0-1), ``event`` what was found (1 yes, 0 no), row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score

from rs_forecast.errors import NoDataError, SchemaError

FloatArray = NDArray[np.float64]

CLIP = 1e-6
"""A probability nearer to 0 or 1 than this counts as this in the log score, which is infinite at a certain miss."""


def base_rate(probability: ArrayLike, event: ArrayLike) -> float:
    """Return the share of rows with an event; ``probability`` is only checked.

    It is what PR-AUC comes to without skill, so the two are printed side by side.
    """
    return float(_pair(probability, event)[1].mean())


def pr_auc(probability: ArrayLike, event: ArrayLike) -> float:
    """Return the area under the precision-recall curve as average precision, ``sum (R_n - R_n-1) P_n``.

    0 to 1, higher is better; NaN without events. It ranks only: a miscalibrated forecast loses nothing. Sets of
    different base rate cannot be compared by it. doi 10.1371/journal.pone.0118432
    """
    p, y = _pair(probability, event)
    return float(average_precision_score(y, p)) if y.any() else float("nan")


def brier(probability: ArrayLike, event: ArrayLike) -> float:
    """Return the mean of ``(probability - event)^2``: 0 to 1, lower is better.

    Proper. With rare events "never" already scores well, hence :func:`brier_skill`.
    doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    return float(brier_losses(*_pair(probability, event)).mean())


def log_score(probability: ArrayLike, event: ArrayLike) -> float:
    """Return the mean of ``-ln(probability of what happened)`` [nat]: from 0, lower is better.

    Proper, and hard on false certainty: probabilities are first clipped to [1e-6, 1 - 1e-6], so one certain miss
    costs 13.8. doi 10.1198/016214506000001437
    """
    return float(log_losses(*_pair(probability, event)).mean())


def brier_skill(probability: ArrayLike, event: ArrayLike, reference: ArrayLike) -> float:
    """Return ``1 - brier(probability) / brier(reference)``: 1 is perfect, 0 no better than ``reference``.

    NaN where the reference is perfect. Not proper on small samples, and only as telling as its reference: a weak
    climatology makes high skill. doi 10.1175/1520-0493(2004)132<1891:OUCAAR>2.0.CO;2
    """
    of_reference = brier(reference, event)
    return 1.0 - brier(probability, event) / of_reference if of_reference > 0 else float("nan")


def brier_losses(probability: FloatArray, event: FloatArray) -> FloatArray:
    """Return each row's part of the Brier score."""
    return (probability - event) ** 2


def log_losses(probability: FloatArray, event: FloatArray) -> FloatArray:
    """Return each row's part of the log score [nat]."""
    p = np.clip(probability, CLIP, 1.0 - CLIP)
    return -np.where(event == 1, np.log(p), np.log1p(-p))


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score: how it is computed, and which way is better."""

    name: str
    function: Callable[..., float]
    better: Literal["higher", "lower", ""]
    words: str
    reference: str = ""
    """Name of the baseline whose probabilities ``function`` takes as a third argument."""


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(name="base_rate", function=base_rate, better="", words="share of visits with an event"),
        Score(name="pr_auc", function=pr_auc, better="higher", words="area under the precision-recall curve"),
        Score(name="brier", function=brier, better="lower", words="mean squared error of the probability"),
        Score(
            name="brier_skill",
            function=brier_skill,
            better="higher",
            words="Brier score against climatology",
            reference="climatology",
        ),
        Score(name="log_score", function=log_score, better="lower", words="mean surprise [nat]"),
    )
}


def _pair(probability: ArrayLike, event: ArrayLike) -> tuple[FloatArray, FloatArray]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(event, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise SchemaError(f"found {p.shape} probabilities and {y.shape} events; one of each per row is due")
    if not p.size:
        raise NoDataError("there is no row to score")
    if not ((p >= 0) & (p <= 1)).all():
        raise SchemaError("a probability is missing or outside 0 to 1; leave out rows that have none")
    if not np.isin(y, (0.0, 1.0)).all():
        raise SchemaError("an event is neither 0 nor 1; leave out rows that nobody visited")
    return p, y
