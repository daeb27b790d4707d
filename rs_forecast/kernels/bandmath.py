"""Programs of band formulas, run over blocks of pixels.

One compiled kernel runs the stack operations of any set of formulas, each operation over a whole block of pixels, so a
new formula needs no compilation and the loop over a block vectorises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_forecast.catalog.formula import (
    ABS,
    ADD,
    CONST,
    DIV,
    EXP,
    LOAD,
    LOG,
    MIN,
    MUL,
    NEG,
    POW,
    SQRT,
    SUB,
    UNARY,
    Formula,
)
from rs_forecast.kernels._jit import jit

_BLOCK = 1024
"""Pixels a block: the stack of a formula then stays in the first-level cache."""


@dataclass(frozen=True, eq=False)
class Program:
    """Formulas made ready for the kernel, over bands in a fixed order."""

    bands: tuple[str, ...]
    op: NDArray[np.int8]
    arg: NDArray[np.float32]
    start: NDArray[np.int64]
    valid: NDArray[np.float32]
    """Lowest and highest value of each formula; outside, a pixel is NaN."""
    depth: int

    def run(self, values: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return (formula, pixel) float32 from ``values`` (band, pixel) float32, in ``out`` if given; NaN stays."""
        if out is None:
            out = np.empty((len(self.start) - 1, values.shape[1]), np.float32)
        _run(self.op, self.arg, self.start, self.valid, self.depth, np.ascontiguousarray(values, np.float32), out)
        return out


def link(formulas: Sequence[Formula], valid: Sequence[tuple[float, float]]) -> Program:
    """Join ``formulas`` into one program over all the bands they name."""
    bands = tuple(dict.fromkeys(name for formula in formulas for name in formula.names))
    op, arg, start = [], [], [0]
    for formula in formulas:
        for code, value in formula.steps:
            op.append(code)
            arg.append(float(bands.index(value)) if isinstance(value, str) else float(value or 0.0))
        start.append(len(op))
    return Program(
        bands=bands,
        op=np.array(op, np.int8),
        arg=np.array(arg, np.float32),
        start=np.array(start, np.int64),
        valid=np.array(valid, np.float32).reshape(-1, 2),
        depth=max((formula.depth for formula in formulas), default=1),
    )


@jit
def _run(op, arg, start, valid, depth, values, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    stack = np.empty((depth + 1, _BLOCK), np.float32)
    pixels = values.shape[1]
    for begin in range(0, pixels, _BLOCK):
        size = min(_BLOCK, pixels - begin)
        for f in range(len(start) - 1):
            top = -1
            for s in range(start[f], start[f + 1]):
                top = _step(op[s], arg[s], stack, top, values, begin, size)
            low, high = valid[f, 0], valid[f, 1]
            source, target = stack[0], out[f, begin : begin + size]
            for i in range(size):
                target[i] = source[i] if (source[i] >= low) & (source[i] <= high) else np.float32(np.nan)


@jit
def _step(code, value, stack, top, values, begin, size):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    # rows first: an index into a row is known not to be negative, and the loop vectorises
    if code == LOAD:
        source, target = values[int(value), begin : begin + size], stack[top + 1]
        for i in range(size):
            target[i] = source[i]
        return top + 1
    if code == CONST:
        target = stack[top + 1]
        for i in range(size):
            target[i] = value
        return top + 1
    if code in UNARY:
        _unary(code, stack[top], size)
        return top
    a, b = stack[top - 1], stack[top]
    if code == ADD:
        for i in range(size):
            a[i] += b[i]
    elif code == SUB:
        for i in range(size):
            a[i] -= b[i]
    elif code == MUL:
        for i in range(size):
            a[i] *= b[i]
    elif code == DIV:
        for i in range(size):
            a[i] /= b[i]
    elif code == POW:
        for i in range(size):  # IEEE says x ** 0 is 1 and 1 ** x is 1, for NaN too
            a[i] = np.float32(np.nan) if np.isnan(a[i]) or np.isnan(b[i]) else a[i] ** b[i]
    elif code == MIN:
        for i in range(size):
            a[i] = np.minimum(a[i], b[i])
    else:
        for i in range(size):
            a[i] = np.maximum(a[i], b[i])
    return top - 1


@jit
def _unary(code, a, size):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    if code == NEG:
        for i in range(size):
            a[i] = -a[i]
    elif code == SQRT:
        for i in range(size):
            a[i] = np.sqrt(a[i])
    elif code == ABS:
        for i in range(size):
            a[i] = abs(a[i])
    elif code == EXP:
        for i in range(size):
            a[i] = np.exp(a[i])
    elif code == LOG:
        for i in range(size):
            a[i] = np.log(a[i])
    else:
        for i in range(size):
            a[i] = np.tanh(a[i])
