"""From a model's raw margin to a probability (Platt), and how sure that step is (block bootstrap)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rs_forecast.kernels._jit import share_out
from rs_forecast.kernels.ranks import line_ranks

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

SAMPLES = 100
RANGE = (0.05, 0.95)
MIN_SLOPE = 1e-6
_DIGITS = 12
_CHUNK = 50_000
_STEPS, _SHORTEST, _RIDGE, _FLAT = 100, 1e-10, 1e-12, 1e-15


@dataclass(frozen=True)
class Platt:
    """``probability = 1 / (1 + exp(-(slope * margin + intercept)))``; the slope is positive, so ranks stay."""

    slope: float
    intercept: float

    def probability(self, margin: FloatArray) -> FloatArray:
        """Return the probability of each margin [log-odds]."""
        return np.asarray(expit(self.slope * margin + self.intercept), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The fit to all out-of-fold margins, and the fits to their bootstrap samples."""

    platt: Platt
    samples: tuple[Platt, ...]

    def probability(self, margin: FloatArray) -> FloatArray:
        """Return the calibrated probability of each margin."""
        return self.platt.probability(margin)

    def bounds(self, margin: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper end of the 90 % range of each margin's probability.

        The range is that of the calibration over the samples: which seasons and sub-zones happened to be visited. It
        leaves out what the trees would have learned from other visits, fields unlike those visited, errors of
        weather and imagery, and a changing world. It is a range of the probability, not of what will be found.
        """
        slope = np.array([sample.slope for sample in self.samples])
        intercept = np.array([sample.intercept for sample in self.samples])
        low, high = np.quantile(np.arange(len(slope)), RANGE, method="inverted_cdf").tolist()

        def of(part: FloatArray) -> FloatArray:
            # The probability rises with the log-odds, so that quantiles may be taken before the curve.
            below, above = expit(line_ranks(part, slope, intercept, low, high))
            middle = self.probability(part)
            return np.stack([np.minimum(below, middle), np.maximum(above, middle)])

        parts = share_out(of, [margin[start : start + _CHUNK] for start in range(0, max(len(margin), 1), _CHUNK)])
        lower, upper = np.concatenate(parts, axis=1)
        return lower, upper

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain JSON."""
        return {
            "method": "platt",
            "slope": self.platt.slope,
            "intercept": self.platt.intercept,
            "samples": [[s.slope, s.intercept] for s in self.samples],
        }

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """Return the calibration that :meth:`to_dict` wrote."""
        samples = tuple(Platt(float(slope), float(intercept)) for slope, intercept in card["samples"])
        return cls(platt=Platt(float(card["slope"]), float(card["intercept"])), samples=samples)


def fit_platt(margin: FloatArray, event: FloatArray, weight: FloatArray | None = None) -> Platt:
    """Fit slope and intercept by maximum likelihood, with Platt's smoothed targets.

    The targets are ``(n1 + 1) / (n1 + 2)`` for the ``n1`` events and ``1 / (n0 + 2)`` for the ``n0`` others, which
    keeps a separable sample finite. The slope is held above 0: a model without skill gets its base rate, not a
    reversed order. Platt (2000), doi 10.7551/mitpress/1113.003.0008; by Newton steps, halved where they overshoot, as
    in doi 10.1007/s10994-007-5018-6.
    """
    w = np.ones_like(margin) if weight is None else weight
    n1, n0 = float((w * event).sum()), float((w * (1 - event)).sum())
    target = np.where(event == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    start = float(np.log((n1 + 1) / (n0 + 1)))
    slope, intercept = _newton(margin, target, w, (0.0, start), free_slope=True)
    if slope < MIN_SLOPE:  # the problem is convex, so that the best allowed slope is the end
        slope, intercept = _newton(margin, target, w, (MIN_SLOPE, start), free_slope=False)
    return Platt(float(f"{slope:.{_DIGITS}g}"), float(f"{intercept:.{_DIGITS}g}"))


def _newton(
    margin: FloatArray, target: FloatArray, w: FloatArray, start: tuple[float, float], *, free_slope: bool
) -> tuple[float, float]:
    """Return slope and intercept of least loss; two numbers need no linear algebra, nor its threads."""

    def loss_at(slope: float, intercept: float) -> float:
        logit = slope * margin + intercept
        return float((w * (np.logaddexp(0.0, logit) - target * logit)).sum())

    slope, intercept = start
    loss = loss_at(slope, intercept)
    for _ in range(_STEPS):
        p = expit(slope * margin + intercept)
        error, curve = w * (p - target), w * p * (1 - p)
        g_slope, g_intercept = float((error * margin).sum()) * free_slope, float(error.sum())
        a, b, c = float((curve * margin**2).sum()), float((curve * margin).sum()) * free_slope, float(curve.sum())
        a, c = a + _RIDGE, c + _RIDGE
        det = a * c - b * b
        d_slope, d_intercept = (b * g_intercept - c * g_slope) / det, (b * g_slope - a * g_intercept) / det
        step = 1.0
        while (new := loss_at(slope + step * d_slope, intercept + step * d_intercept)) > loss and step > _SHORTEST:
            step /= 2
        if step <= _SHORTEST:
            break
        slope, intercept = slope + step * d_slope, intercept + step * d_intercept
        if loss - new <= _FLAT * abs(loss):
            break
        loss = new
    return slope, intercept


def fit_calibration(
    margin: FloatArray, event: FloatArray, block: IntArray, *, seed: int, samples: int = SAMPLES
) -> Calibration:
    """Fit :class:`Calibration` to out-of-fold margins; a sample draws as many blocks as there are, with replacement."""
    rng = np.random.default_rng(seed)
    blocks = int(block.max()) + 1
    fits: list[Platt] = []
    for _ in range(samples):
        drawn = np.bincount(rng.integers(blocks, size=blocks), minlength=blocks)[block].astype(np.float64)
        fits.append(fit_platt(margin[drawn > 0], event[drawn > 0], drawn[drawn > 0]))
    return Calibration(platt=fit_platt(margin, event), samples=tuple(fits))
