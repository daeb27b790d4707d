"""Statistics of pixels under parcels, each pixel weighted by the share of it that the parcel covers.

Mean and standard deviation are those of the weighted population. Quantiles are exactextract's: pixels of equal value
are merged, the merged values ``x_0 < ... < x_{n-1}`` with weights ``w`` stand at

    s_k = k w_k + (n - 1) (w_0 + ... + w_{k-1})

and the quantile ``q`` is read by straight lines between them at ``q (n - 1) (w_0 + ... + w_{n-1})``. With equal weights
this is the usual linear rule.

Values are put in order by numpy's own sort, which compares many at once with the processor's vector instructions: each
value is packed with its weight into one whole number, and the parcels are padded to rows of a few lengths. A share then
has 32 bits, which is a ten-millionth of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit, share_out
from rs_forecast.kernels.bandmath import Program

QUANTILES = (0.1, 0.5, 0.9)
_ENTRIES = 1 << 15
"""Entries that a thread works through at a time, so that their values and keys stay near the processor."""
_STEP = 16
"""Rows of keys have lengths that are multiples of this."""
_LARGEST = np.float32(3.4e38)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A key behind all others: a pixel without a value, or the end of a row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
    """Values of bands at the entries of a coverage table, as their files have them."""

    values: NDArray[np.uint16] | NDArray[np.float32]
    """(band, entry); reflectance is ``value * scale + offset``, cut at 0."""
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    nodata: NDArray[np.float64]
    """The value that says that there is none, by band; NaN where no value does."""
    valid: NDArray[np.bool_]
    """Which entries are clear, and inside all bands."""


def reflectance(values: NDArray[np.float32]) -> Raw:
    """Return (band, entry) reflectance, NaN where there is none, as what :func:`parcel_signals` takes."""
    one = np.ones(len(values))
    return Raw(
        values=values, scale=one, offset=0.0 * one, nodata=np.nan * one, valid=np.ones(values.shape[1], np.bool_)
    )


def parcel_signals(
    raw: Raw,
    program: Program,
    weight: NDArray[np.float64] | NDArray[np.float32],
    starts: NDArray[np.int64],
    *,
    quantiles: tuple[float, ...] = QUANTILES,
    threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return statistics of indices per parcel, and each parcel's valid weight [pixels], in one pass over the pixels.

    Parameters
    ----------
    raw
        The bands of ``program``, in its order.
    program
        The indices.
    weight, starts
        Those of the coverage table.
    quantiles
        Shares, 0-1.
    threads
        By default one a core. The result does not depend on it.

    Returns
    -------
    Statistics (parcel, index, statistic): mean, standard deviation, then the quantiles, NaN where no pixel has a value;
    and the weight (parcel) of pixels that are valid and have a value in every band.
    """
    parcels = len(starts) - 1
    out = np.full((parcels, len(program.start) - 1, 2 + len(quantiles)), np.nan, np.float32)
    seen = np.zeros(parcels)
    shares = np.array(quantiles, np.float64)

    room = _Room()

    def part(ends: tuple[int, int]) -> None:
        first, last = ends
        begin, end = starts[first], starts[last]
        own = starts[first : last + 1] - begin
        values = room.take("values", (len(raw.values), end - begin), np.float32)
        bands = (raw.values, begin, raw.scale, raw.offset, raw.nodata)
        if _reflectance(*bands, raw.valid[begin:end], weight[begin:end], own, values, seen[first:last]):
            layers = program.run(values, room.take("layers", (out.shape[1], end - begin), np.float32))
            _statistics(layers, weight[begin:end], own, shares, out[first:last], room)

    share_out(part, _parts(starts), threads)
    return out, seen


def zonal_stats(
    values: NDArray[np.float32],
    weight: NDArray[np.float64],
    starts: NDArray[np.int64],
    quantiles: tuple[float, ...] = QUANTILES,
) -> NDArray[np.float64]:
    """Return (parcel, layer, statistic): mean, standard deviation, then the quantiles; NaN where no pixel is valid.

    Parameters
    ----------
    values
        (layer, entry); NaN is not valid.
    weight
        For each entry of the coverage table, the pixel's covered share.
    starts
        Entries of parcel ``p`` are ``starts[p]:starts[p + 1]``.
    quantiles
        Shares, 0-1.
    """
    out = np.full((len(starts) - 1, len(values), 2 + len(quantiles)), np.nan)
    shares = np.array(quantiles, np.float64)
    room = _Room()
    for first, last in _parts(starts):
        begin, end = starts[first], starts[last]
        own = starts[first : last + 1] - begin
        layers = np.ascontiguousarray(values[:, begin:end])
        _statistics(layers, weight[begin:end], own, shares, out[first:last], room)
    return out


class _Room(threading.local):
    """A thread's arrays, used again for each part: asking the system for new ones took a fifth of the time."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array of this shape, with whatever is in it."""
        size = int(np.prod(shape))
        if name not in self._arrays or len(self._arrays[name]) < size:
            self._arrays[name] = np.empty(size, dtype)
        return self._arrays[name][:size].reshape(shape)


def _statistics(
    layers: NDArray[np.float32],
    weight: NDArray[np.float64] | NDArray[np.float32],
    starts: NDArray[np.int64],
    quantiles: NDArray[np.float64],
    out: NDArray[Any],
    room: _Room,
) -> None:
    """Fill ``out`` (parcel, layer, statistic) from ``layers`` (layer, entry)."""
    length = -(-np.diff(starts) // _STEP) * _STEP
    order = np.argsort(length, kind="stable")
    ends = np.cumsum(length[order]) * len(layers)
    place = np.empty(len(length), np.int64)
    place[order] = ends - length[order] * len(layers)
    keys = room.take("keys", (int(ends[-1]),), np.uint64)
    _pack(layers, weight, starts, place, length, keys)
    for size in np.unique(length[length > 0]).tolist():
        first, last = np.searchsorted(length[order], [size, size + 1])
        keys[ends[first] - size * len(layers) : ends[last - 1]].reshape(-1, size).sort(axis=1)
    _read(keys, place, length, quantiles, out)


def _parts(starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut the parcels into runs of about as many entries each."""
    cuts = np.searchsorted(starts, np.arange(0, starts[-1] + _ENTRIES, _ENTRIES))
    cuts = np.unique(np.clip(np.append(cuts, [0, len(starts) - 1]), 0, len(starts) - 1))
    return [*zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]


@jit
def _reflectance(raw, first, scale, offset, nodata, valid, weight, starts, values, seen):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Reflectance (band, entry), scaled in double precision and cut at 0; all bands NaN where one has no value.

    Fills each parcel's valid weight, and returns whether there is any.
    """
    bands, entries = values.shape
    ok = valid.copy()
    for b in range(bands):
        a, c, none = scale[b], offset[b], nodata[b]
        source, target = (
            raw[b, first : first + entries],
            values[b],
        )  # rows: an index into a row is known not to be negative, and loops vectorise
        for i in range(entries):
            number = np.float64(source[i])
            value = number * a + c
            ok[i] = ok[i] & (number != none) & (abs(value) <= _LARGEST)
            target[i] = 0.0 if value < 0.0 else value
    some = False
    for p in range(len(starts) - 1):
        for i in range(starts[p], starts[p + 1]):
            if ok[i]:
                seen[p] += weight[i]
                some = True
    for b in range(bands):
        target = values[b]
        for i in range(entries):
            target[i] = target[i] if ok[i] else np.float32(np.nan)
    return some


@jit
def _pack(layers, weight, starts, place, length, keys):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Keys that sort as their values do, weights behind them; a row of ``keys`` per parcel and layer."""
    bits = layers.view(np.uint32)
    shares = weight.astype(np.float32).view(np.uint32)
    for p in range(len(place)):
        begin, n = starts[p], starts[p + 1] - starts[p]
        share = shares[begin : begin + n]
        for f in range(len(layers)):
            at = place[p] + f * length[p]
            value, bit, row = layers[f, begin : begin + n], bits[f, begin : begin + n], keys[at : at + length[p]]
            for i in range(n):
                number = bit[i] if bit[i] != np.uint32(0x80000000) else np.uint32(0)  # a negative zero is a zero
                turned = number ^ (np.uint32(0xFFFFFFFF) if number >> np.uint32(31) else np.uint32(0x80000000))
                key = (np.uint64(turned) << np.uint64(32)) | np.uint64(share[i])
                row[i] = key if abs(value[i]) <= _LARGEST else _LAST
            for i in range(n, length[p]):
                row[i] = _LAST


@jit
def _value(key):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    turned = np.uint32(key >> np.uint64(32))
    return turned ^ (np.uint32(0x80000000) if turned >> np.uint32(31) else np.uint32(0xFFFFFFFF))


@jit
def _read(keys, place, length, quantiles, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Statistics of each row of keys in order; ``out`` stays as it is where no value is valid."""
    longest = 0
    for p in range(len(length)):
        longest = max(longest, length[p])
    bits, shares, before = np.empty(longest, np.uint32), np.empty(longest, np.uint32), np.empty(longest)
    x, w = bits.view(np.float32), shares.view(np.float32)
    for p in range(len(place)):
        for f in range(out.shape[1]):
            at = place[p] + f * length[p]
            row = keys[at : at + length[p]]
            n = len(row)
            while n > 0 and row[n - 1] == _LAST:
                n -= 1
            if n == 0:
                continue
            for i in range(n):
                bits[i] = _value(row[i])
                shares[i] = np.uint32(row[i] & np.uint64(0xFFFFFFFF))
            _summarise(x, w, before, n, quantiles, out[p, f])


@jit
def _summarise(x, w, before, n, quantiles, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """All statistics of values in order; ``before`` is room for the weight before each."""
    repeats = 0
    for i in range(1, n):
        repeats += x[i] == x[i - 1]
    if repeats:
        n = _merge(x, w, n)
    # the sums are of differences to the middle value: digits are kept, and equal values deviate by exactly 0
    base = np.float64(x[n // 2])
    total = first = second = 0.0
    for i in range(n):
        before[i] = total
        share, step = np.float64(w[i]), np.float64(x[i]) - base
        total += share
        first += share * step
        second += share * step * step
    mean = first / total
    out[0] = base + mean
    out[1] = np.sqrt(max(second - first * mean, 0.0) / total)
    for j in range(len(quantiles)):
        out[2 + j] = _quantile(x, w, before, n, quantiles[j] * total * (n - 1))


@jit
def _merge(x, w, n):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Merge equal values, in place; returns how many are distinct. Their weights are added in double precision.

    Without branches: where a run ends cannot be foretold.
    """
    distinct, share = 0, 0.0
    for i in range(n - 1):
        share += w[i]
        ends = x[i + 1] != x[i]
        x[distinct], w[distinct] = x[i], share
        distinct += ends
        share = 0.0 if ends else share
    x[distinct], w[distinct] = x[n - 1], share + w[n - 1]
    return distinct + 1


@jit
def _quantile(x, w, before, n, target):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read one quantile off distinct values in order: between the last that stands at or before it, and the next."""
    k, size = 0, n
    while size > 1:
        half = size // 2
        k += half if (k + half) * w[k + half] + (n - 1) * before[k + half] <= target else 0
        size -= half
    if k == n - 1:
        return np.float64(x[k])
    here, after = k * w[k] + (n - 1) * before[k], (k + 1) * w[k + 1] + (n - 1) * before[k + 1]
    return x[k] + (target - here) * (np.float64(x[k + 1]) - np.float64(x[k])) / (after - here)
