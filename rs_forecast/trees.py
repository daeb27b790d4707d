"""LightGBM's trees laid out for :mod:`rs_forecast.kernels.trees`: margins and exact TreeSHAP of millions of rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels import trees as kernels
from rs_forecast.kernels._jit import share_out
from rs_forecast.kernels.trees import MOST_SPLITS, UNSEEN, WANTED, Pieces

FloatArray = NDArray[np.float64]
Codes = NDArray[np.uint16]
_Slices = Sequence[Codes]

_BLOCK = 1 << 16
"""Rows whose codes are held at a time."""
_SLICE = 1 << 12
"""Rows that a thread works through at a time."""
_ZERO = 1e-35
"""LightGBM takes what is no further from 0 than this as 0."""


class _Column(NamedTuple):
    """A feature's values as a split sees them."""

    feature: int
    missing: float = 0.0
    """What stands for a missing value: -inf goes left, inf right, 0 is a value like any other."""
    zero: bool = False
    """Whether 0 counts as missing."""
    left: tuple[int, ...] = ()
    """Of a categorical split, the categories that go left."""

    def of(self, value: FloatArray) -> FloatArray:
        """Return ``value`` so that comparing it with the threshold sends each row the split's way."""
        if self.left:
            return np.where(np.isin(np.trunc(value), self.left), -1.0, 1.0)
        missing = np.isnan(value)
        if self.zero:
            missing |= np.abs(value) <= _ZERO
        return np.where(missing, self.missing, value)


class _Step(NamedTuple):
    """A split on the way to a leaf, whether the way goes right, and the share of training rows that went there."""

    split: int
    column: _Column
    threshold: float
    right: bool
    share: float


class _Leaf(NamedTuple):
    value: float
    path: tuple[_Step, ...]


class Trees:
    """The trees of a model, ready to be run on many rows.

    Parameters
    ----------
    booster
        A fitted model with one output.
    group
        For each feature the number of the group that its contributions are told with; by default each is its own.

    Raises
    ------
    ValueError
        A leaf lies deeper than 14 splits.
    """

    def __init__(self, booster: lgb.Booster, group: Sequence[int] | None = None) -> None:
        self._group = np.arange(booster.num_feature()) if group is None else np.asarray(group, dtype=np.int64)
        self.groups = int(self._group.max(initial=-1)) + 1
        trees = [list(_leaves(tree["tree_structure"])) for tree in booster.dump_model()["tree_info"]]
        self.base = sum(leaf.value * math.prod(step.share for step in leaf.path) for tree in trees for leaf in tree)
        """What all rows start from: the trees' mean over the training rows [log-odds]."""
        parts = [part for tree in trees for part in _parted(tree)]
        self._columns = sorted({step.column for part in parts for leaf in part for step in leaf.path})
        self._pieces = _packed(parts, self._columns, self._group)

    def margins(self, values: Sequence[FloatArray]) -> FloatArray:
        """Return the raw margin of each row [log-odds], LightGBM's own to the last bit.

        Parameters
        ----------
        values
            Each feature's values, NaN where missing.
        """
        blocks = self._blocks(values, explain=False)
        parts = [part for table, codes in blocks for part in share_out(table.margins, codes)]
        return np.concatenate([np.empty(0), *parts])

    def contributions(self, values: Sequence[FloatArray]) -> FloatArray:
        """Return what each group of features adds to each row's margin [log-odds], (groups, rows): exact TreeSHAP.

        Parameters
        ----------
        values
            Each feature's values, NaN where missing.
        """
        parts = [part for table, codes in self._blocks(values) for _, part in share_out(table.explain, codes)]
        return np.concatenate([np.empty((self.groups, 0)), *parts], axis=1)

    def strongest(
        self, values: Sequence[FloatArray], most: int, smallest: float
    ) -> tuple[FloatArray, NDArray[np.int16]]:
        """Return margins, and which groups contribute most, as :func:`rs_forecast.kernels.trees.strongest` tells it."""

        def work(table: _Table, codes: Codes) -> tuple[FloatArray, NDArray[np.int16]]:
            margin, parts = table.explain(codes)
            return margin, kernels.strongest(parts, most, smallest)

        found = [
            part for table, codes in self._blocks(values) for part in share_out(functools.partial(work, table), codes)
        ]
        margins, ranks = zip(*found, strict=True) if found else ((), ())
        return (
            np.concatenate([np.empty(0), *margins]),
            np.concatenate([np.empty((most, 0), dtype=np.int16), *ranks], axis=1),
        )

    def _blocks(self, values: Sequence[FloatArray], *, explain: bool = True) -> Iterator[tuple[_Table, _Slices]]:
        """Yield the rows' codes, and a table that holds all of them."""
        table = _Table(self._pieces, self.groups, explain=explain)
        for block in _slices(0, len(values[0]), _BLOCK):
            codes = share_out(lambda rows: self._codes(values, rows), _slices(block.start, block.stop, _SLICE))
            table.grow(codes)
            yield table, codes

    def _codes(self, values: Sequence[FloatArray], rows: slice) -> Codes:
        ready = np.empty((len(self._columns), rows.stop - rows.start))
        for row, column in zip(ready, self._columns, strict=True):
            row[:] = column.of(values[column.feature][rows])
        codes = np.empty((ready.shape[1], len(self._pieces.leaf_start) - 1), dtype=np.uint16)
        kernels.encode(ready, self._pieces, codes)
        return codes


class _Table:
    """What the codes that came up so far give."""

    def __init__(self, pieces: Pieces, groups: int, *, explain: bool) -> None:
        self._pieces, self._groups, self._explain = pieces, groups, explain
        self._room = 1 + np.diff(pieces.group_start) * explain
        self._entry = np.full((len(pieces.leaf_start) - 1, 1 << MOST_SPLITS), UNSEEN, dtype=np.int32)
        self._given, self._used = np.empty(1 << 16), 0

    def grow(self, codes: Sequence[Codes]) -> None:
        """Compute what codes give that have not come up before."""
        share_out(lambda part: kernels.ask(part, self._entry), codes)
        piece, code = np.nonzero(self._entry == WANTED)
        ends = self._used + np.cumsum(self._room[piece])
        at = np.concatenate([[self._used], ends])
        if at[-1] > len(self._given):
            self._given = np.concatenate([self._given[: self._used], np.empty(2 * at[-1] - self._used)])
        slices = _slices(0, len(piece), _SLICE)
        share_out(lambda some: self._fill(piece[some], code[some], at[some.start : some.stop + 1]), slices)
        self._entry[piece, code] = at[:-1]
        self._used = int(at[-1])

    def _fill(self, piece: NDArray[np.int64], code: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        kernels.fill(self._pieces, piece, code, at, self._given, explain=self._explain)

    def margins(self, codes: Codes) -> FloatArray:
        return kernels.add_up(codes, self._entry, self._given)

    def explain(self, codes: Codes) -> tuple[FloatArray, FloatArray]:
        return kernels.explain(codes, self._entry, self._given, self._pieces, self._groups)


def _slices(start: int, stop: int, step: int) -> list[slice]:
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def _leaves(node: Mapping[str, Any], path: tuple[_Step, ...] = ()) -> Iterator[_Leaf]:
    """Yield the leaves below a node of LightGBM's dump, from left to right."""
    if "split_feature" not in node:
        yield _Leaf(float(node["leaf_value"]), path)
        return
    column, threshold = _column(node)
    for right, side in enumerate(("left_child", "right_child")):
        share = _count(node[side]) / _count(node)
        yield from _leaves(node[side], (*path, _Step(node["split_index"], column, threshold, bool(right), share)))


def _count(node: Mapping[str, Any]) -> int:
    return int(node["internal_count"] if "internal_count" in node else node["leaf_count"])


def _column(node: Mapping[str, Any]) -> tuple[_Column, float]:
    """Return how a split sees its feature, and the threshold."""
    feature = int(node["split_feature"])
    if node["decision_type"] == "==":
        return _Column(feature, left=tuple(int(name) for name in node["threshold"].split("||"))), 0.0
    if node["missing_type"] == "None":
        return _Column(feature, missing=0.0), float(node["threshold"])
    missing = -np.inf if node["default_left"] else np.inf
    return _Column(feature, missing, zero=node["missing_type"] == "Zero"), float(node["threshold"])


def _parted(tree: Sequence[_Leaf]) -> Iterator[list[_Leaf]]:
    """Part a tree's leaves into pieces of at most so many splits as a code has bits."""
    piece: list[_Leaf] = []
    splits: set[int] = set()
    for leaf in tree:
        own = {step.split for step in leaf.path}
        if len(own) > MOST_SPLITS:
            raise ValueError(f"a leaf lies {len(own)} splits deep; at most {MOST_SPLITS} are allowed")
        if piece and len(splits | own) > MOST_SPLITS:
            yield piece
            piece, splits = [], set()
        piece.append(leaf)
        splits |= own
    yield piece


def _packed(parts: Sequence[Sequence[_Leaf]], columns: Sequence[_Column], group: NDArray[np.int64]) -> Pieces:
    """Lay pieces out for the kernels."""
    number = {column: n for n, column in enumerate(columns)}
    split_start, leaf_start, path_start, group_start = [0], [0], [0], [0]
    split: list[tuple[int, float]] = []
    value: list[float] = []
    on_path: list[tuple[int, int, float, int]] = []
    groups: list[int] = []
    for part in parts:
        steps = {step.split: step for leaf in part for step in leaf.path}
        bit = {name: 1 << n for n, name in enumerate(steps)}
        own = list(dict.fromkeys(int(group[step.column.feature]) for step in steps.values()))
        split += [(number[step.column], step.threshold) for step in steps.values()]
        for leaf in part:
            value.append(leaf.value)
            for feature in dict.fromkeys(step.column.feature for step in leaf.path):
                here = [step for step in leaf.path if step.column.feature == feature]
                bits, rights = (sum(bit[s.split] for s in some) for some in (here, [s for s in here if s.right]))
                on_path.append((bits, rights, math.prod(s.share for s in here), own.index(int(group[feature]))))
            path_start.append(len(on_path))
        groups += own
        for starts, rows in ((split_start, split), (leaf_start, value), (group_start, groups)):
            starts.append(len(rows))
    column, threshold = zip(*split, strict=True) if split else ((), ())
    mask, want, share, place = zip(*on_path, strict=True) if on_path else ((), (), (), ())
    return Pieces(
        split_start=np.array(split_start),
        column=np.array(column, dtype=np.int64),
        threshold=np.array(threshold, dtype=np.float64),
        leaf_start=np.array(leaf_start),
        value=np.array(value),
        path_start=np.array(path_start),
        mask=np.array(mask, dtype=np.uint16),
        want=np.array(want, dtype=np.uint16),
        share=np.array(share, dtype=np.float64),
        place=np.array(place, dtype=np.int64),
        group_start=np.array(group_start),
        group=np.array(groups, dtype=np.int64),
    )
