"""Statistics of pixels under parcels, each pixel weighted by the share of it that the parcel covers.

Mean and standard deviation are those of the weighted population. Quantiles are exactextract's: pixels of equal value
are merged, the merged values ``x_0 < ... < x_{n-1}`` with weights ``w`` stand at

    s_k = k w_k + (n - 1) (w_0 + ... + w_{k-1})

and the quantile ``q`` is read by straight lines between them at ``q (n - 1) (w_0 + ... + w_{n-1})``. With equal weights
this is the usual linear rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

QUANTILES = (0.1, 0.5, 0.9)


def zonal_stats(
    values: NDArray[np.float32],
    pixel: NDArray[np.int64],
    weight: NDArray[np.float64],
    starts: NDArray[np.int64],
    quantiles: tuple[float, ...] = QUANTILES,
) -> NDArray[np.float64]:
    """Return (parcel, layer, statistic): mean, standard deviation, then the quantiles; NaN where no pixel is valid.

    Parameters
    ----------
    values
        (layer, pixel); NaN is not valid.
    pixel
        For each entry of the coverage table, which pixel of ``values`` it is.
    weight
        For each entry, the pixel's covered share.
    starts
        Entries of parcel ``p`` are ``starts[p]:starts[p + 1]``.
    quantiles
        Shares, 0-1.
    """
    out = np.full((len(starts) - 1, len(values), 2 + len(quantiles)), np.nan)
    _stats(np.ascontiguousarray(values), pixel, weight, starts, np.array(quantiles, np.float64), out)
    return out


def valid_weight(
    valid: NDArray[np.bool_], pixel: NDArray[np.int64], weight: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return for each parcel the covered area of its valid pixels [pixels]; arguments as in :func:`zonal_stats`."""
    return np.asarray(_sums(np.where(valid[pixel], weight, 0.0), starts))


@jit
def _sums(values, starts):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    out = np.zeros(len(starts) - 1)
    for p in range(len(starts) - 1):
        for k in range(starts[p], starts[p + 1]):
            out[p] += values[k]
    return out


@jit
def _stats(values, pixel, weight, starts, quantiles, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    longest = 0
    for p in range(len(starts) - 1):
        longest = max(longest, starts[p + 1] - starts[p])
    x, w, s = np.empty(longest), np.empty(longest), np.empty(longest)
    for p in range(len(starts) - 1):
        for layer in range(len(values)):
            n = 0
            total = mean = spread = 0.0
            for k in range(starts[p], starts[p + 1]):
                value = float(values[layer, pixel[k]])
                if np.isnan(value):
                    continue
                x[n], w[n] = value, weight[k]
                n += 1
                total += weight[k]
                step = value - mean
                mean += step * (weight[k] / total)  # in this order the deviation of equal values is 0
                spread += weight[k] * step * (value - mean)
            if n == 0:
                continue
            out[p, layer, 0] = mean
            out[p, layer, 1] = np.sqrt(max(spread, 0.0) / total)  # of one pixel, rounding may leave it below 0
            _quantiles(x[:n], w[:n], s, quantiles, out[p, layer, 2:])


@jit
def _quantiles(x, w, s, quantiles, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    order = np.argsort(x)
    xs, ws = x[order], w[order]
    n = 0
    for k in range(len(xs)):
        if n and xs[n - 1] == xs[k]:
            ws[n - 1] += ws[k]
        else:
            xs[n], ws[n] = xs[k], ws[k]
            n += 1
    before = 0.0
    for k in range(n):
        s[k] = k * ws[k] + (n - 1) * before
        before += ws[k]
    for j in range(len(quantiles)):
        target = quantiles[j] * before * (n - 1)
        right = np.searchsorted(s[:n], target, side="right")
        if right >= n:
            out[j] = xs[n - 1]
            continue
        left = right - 1
        out[j] = xs[left] + (target - s[left]) * (xs[right] - xs[left]) / (s[right] - s[left])
