"""Boosted trees read as tables: what a piece of a tree gives depends only on which way its splits go.

A piece is a set of leaves with the splits on their paths, at most :data:`MOST_SPLITS`. The ways they go are the bits of
a code; what a code gives, the leaf's value and each group's Shapley value, is computed once and looked up for every
other row with that code.

Shapley values are those of a tree that sends an absent feature down both ways, weighted by the training rows that went
there (doi 10.1038/s42256-019-0138-9). For a leaf they are those of a product game, taken from the integral along the
diagonal of its multilinear extension (doi 10.1287/mnsc.18.5.64), a polynomial that Gauss-Legendre points integrate
exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

FloatArray = NDArray[np.float64]

MOST_SPLITS = 14
"""Splits of a piece; its table has room for two to this power codes."""
UNSEEN, WANTED = -1, -2
"""In ``entry``: a code that has not come up, and one that has and waits for :func:`fill`."""

_POINTS, _WEIGHTS = np.zeros((MOST_SPLITS + 1, 8)), np.zeros((MOST_SPLITS + 1, 8))
for _count in range(1, MOST_SPLITS + 1):  # for so many features on a path
    _n = (_count + 1) // 2
    _points, _weights = np.polynomial.legendre.leggauss(_n)
    _POINTS[_count, :_n], _WEIGHTS[_count, :_n] = (_points + 1) / 2, _weights / 2


class Pieces(NamedTuple):
    """Pieces one after another: splits, leaves, the features on the leaves' paths, and the groups in a piece."""

    split_start: NDArray[np.int64]
    column: NDArray[np.int64]
    threshold: FloatArray
    leaf_start: NDArray[np.int64]
    value: FloatArray
    path_start: NDArray[np.int64]
    mask: NDArray[np.uint16]
    """Per feature on a leaf's path, the bits of its splits there, and how they must stand."""
    want: NDArray[np.uint16]
    share: FloatArray
    """The share of training rows that go the path's way at these splits."""
    place: NDArray[np.int64]
    """The group's place in the piece."""
    group_start: NDArray[np.int64]
    group: NDArray[np.int64]


def encode(ready: FloatArray, pieces: Pieces, codes: NDArray[np.uint16]) -> None:
    """Write the code of each row in each piece.

    Parameters
    ----------
    ready
        (columns, rows), without NaN: what is greater than a split's threshold goes right.
    codes
        (rows, pieces), overwritten.
    """
    _encode(ready, pieces, codes)


def ask(codes: NDArray[np.uint16], entry: NDArray[np.int32]) -> None:
    """Mark in ``entry`` (pieces, codes) the codes that have not come up before. Threads may do so at the same time."""
    _ask(codes, entry)


def fill(
    pieces: Pieces,
    piece: NDArray[np.int64],
    code: NDArray[np.int64],
    at: NDArray[np.int64],
    out: FloatArray,
    *,
    explain: bool,
) -> None:
    """Write to ``out[at:]`` what each ``code`` of a ``piece`` gives: the leaf's value, the groups' contributions.

    Without ``explain`` only the value.
    """
    _fill(pieces, piece, code, at, out, explain, _POINTS, _WEIGHTS)


def add_up(codes: NDArray[np.uint16], entry: NDArray[np.int32], table: FloatArray) -> FloatArray:
    """Return each row's margin, its leaves' values added in the order of the trees."""
    out: FloatArray = _add_up(codes, entry, table)
    return out


def explain(
    codes: NDArray[np.uint16], entry: NDArray[np.int32], table: FloatArray, pieces: Pieces, groups: int
) -> tuple[FloatArray, FloatArray]:
    """Return each row's margin, and what each group adds to it, (groups, rows)."""
    margin, parts = np.zeros(len(codes)), np.zeros((groups, len(codes)))
    _explain(codes, entry, table, pieces.group_start, pieces.group, margin, parts)
    return margin, parts


def strongest(parts: FloatArray, most: int, smallest: float) -> NDArray[np.int16]:
    """Return which groups add most, up or down: (most, rows), strongest first, the former of equals first.

    A group is told by its number + 1, with a minus where it takes away; 0 where none is left.

    Parameters
    ----------
    parts
        (groups, rows).
    smallest
        Above 0; what is nearer to 0 does not count.
    """
    out = np.zeros((most, parts.shape[1]), dtype=np.int16)
    _strongest(parts, smallest, out)
    return out


@jit
def _encode(ready, pieces, codes):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    few = 1024  # rows whose values stay in the cache from piece to piece
    code = np.empty(few, dtype=np.uint16)
    for start in range(0, ready.shape[1], few):
        n = min(few, ready.shape[1] - start)
        for p in range(codes.shape[1]):
            code[:] = 0
            for s in range(pieces.split_start[p], pieces.split_start[p + 1]):
                bit, threshold = np.uint16(1 << (s - pieces.split_start[p])), pieces.threshold[s]
                value = ready[pieces.column[s], start : start + n]
                for i in range(n):
                    code[i] |= bit if value[i] > threshold else np.uint16(0)
            for i in range(n):
                codes[start + i, p] = code[i]


@jit
def _ask(codes, entry):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for i in range(codes.shape[0]):
        for p in range(codes.shape[1]):
            if entry[p, codes[i, p]] == UNSEEN:
                entry[p, codes[i, p]] = WANTED


@jit
def _fill(pieces, piece, code, at, out, explain, points, weights):  # type: ignore[no-untyped-def]  # pragma: no cover
    factor, after = np.empty(MOST_SPLITS), np.empty(MOST_SPLITS + 1)
    for k in range(len(piece)):
        p, row = piece[k], out[at[k] : at[k + 1]]
        row[:] = 0.0
        for leaf in range(pieces.leaf_start[p], pieces.leaf_start[p + 1]):
            first, depth = pieces.path_start[leaf], pieces.path_start[leaf + 1] - pieces.path_start[leaf]
            reached = True
            for j in range(first, first + depth):
                reached &= code[k] & pieces.mask[j] == pieces.want[j]
            if reached:
                row[0] = pieces.value[leaf]
            if not explain:
                continue
            for q in range((depth + 1) // 2):
                t = points[depth, q]
                for j in range(depth):
                    present = code[k] & pieces.mask[first + j] == pieces.want[first + j]
                    factor[j] = pieces.share[first + j] * (1 - t) + (t if present else 0.0)
                after[depth] = weights[depth, q] * pieces.value[leaf]
                for j in range(depth - 1, -1, -1):
                    after[j] = after[j + 1] * factor[j]
                before = 1.0
                for j in range(depth):
                    present = code[k] & pieces.mask[first + j] == pieces.want[first + j]
                    gain = (1.0 if present else 0.0) - pieces.share[first + j]
                    row[1 + pieces.place[first + j]] += gain * before * after[j + 1]
                    before *= factor[j]


@jit
def _add_up(codes, entry, table):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    out = np.zeros(codes.shape[0])
    for i in range(codes.shape[0]):
        for p in range(codes.shape[1]):
            out[i] += table[entry[p, codes[i, p]]]
    return out


@jit
def _explain(codes, entry, table, group_start, group, margin, parts):  # type: ignore[no-untyped-def]  # pragma: no cover
    at = np.empty(codes.shape[0], dtype=np.int64)
    for p in range(codes.shape[1]):
        own = entry[p]
        for i in range(codes.shape[0]):
            at[i] = own[codes[i, p]]
            margin[i] += table[at[i]]
        for g in range(group_start[p], group_start[p + 1]):
            part, gives = parts[group[g]], table[1 + g - group_start[p] :]
            for i in range(codes.shape[0]):
                part[i] += gives[at[i]]


@jit
def _strongest(parts, smallest, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    most = out.shape[0]
    sizes = np.zeros(out.shape)
    for c in range(parts.shape[0]):
        for i in range(parts.shape[1]):
            size = abs(parts[c, i])
            if size < smallest or size <= sizes[most - 1, i]:
                continue
            k = most - 1
            while k > 0 and sizes[k - 1, i] < size:
                sizes[k, i], out[k, i] = sizes[k - 1, i], out[k - 1, i]
                k -= 1
            sizes[k, i], out[k, i] = size, c + 1 if parts[c, i] > 0 else -c - 1
