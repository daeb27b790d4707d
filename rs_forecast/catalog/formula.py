"""Formulas of bands, parsed and never evaluated as Python.

A formula is text such as ``(nir - red) / (nir + red)``: band names, numbers, ``+ - * / **``, brackets and the functions
``sqrt``, ``abs``, ``exp``, ``log`` (natural), ``tanh``, ``min`` and ``max``. The parsed form is a list of stack
operations, and it is what is hashed; :mod:`rs_forecast.kernels.bandmath` runs it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rs_forecast.errors import ConfigError, suggest

LOAD, CONST, ADD, SUB, MUL, DIV, POW, NEG, SQRT, ABS, MIN, MAX, EXP, LOG, TANH = range(15)
"""Operations: the first two push a band or a number, those of ``UNARY`` take one value, the others two. Hashes hold
these numbers: a new operation goes to the end."""
UNARY = (NEG, SQRT, ABS, EXP, LOG, TANH)

_BINARY = {ast.Add: ADD, ast.Sub: SUB, ast.Mult: MUL, ast.Div: DIV, ast.Pow: POW}
_CALLS = {
    "sqrt": (SQRT, 1), "abs": (ABS, 1), "exp": (EXP, 1), "log": (LOG, 1), "tanh": (TANH, 1), "min": (MIN, 2),
    "max": (MAX, 2),
}  # fmt: skip
_LONGEST = 2000
_LARGEST = 1e30
"""Numbers beyond this have no place in 32-bit pixels."""


@dataclass(frozen=True)
class Formula:
    """A parsed formula: stack operations, each with the name or the number that it takes."""

    steps: tuple[tuple[int, str | float | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Bands in the formula, in order of first use."""
        return tuple(dict.fromkeys(arg for op, arg in self.steps if op == LOAD and isinstance(arg, str)))

    @property
    def hash(self) -> str:
        """Twelve hex digits that change when the formula's meaning does, and not with its spaces."""
        return hashlib.sha256(repr(self.steps).encode()).hexdigest()[:12]

    @property
    def depth(self) -> int:
        """Highest stack that the formula needs."""
        height = top = 0
        for op, _ in self.steps:
            height += 1 if op in (LOAD, CONST) else 0 if op in UNARY else -1
            top = max(top, height)
        return top


def parse(text: str, known: Sequence[str] = (), where: str = "formula") -> Formula:
    """Parse a formula.

    Parameters
    ----------
    text
        The formula.
    known
        Names it may use; any name if empty.
    where
        What the error message calls it.

    Raises
    ------
    ConfigError
        The text is no formula, or names an unknown band, or none.
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"{where}: the formula has {len(text)} characters, allowed are {_LONGEST}")
    steps: list[tuple[int, str | float | None]] = []
    try:
        _emit(ast.parse(text.strip(), mode="eval").body, steps)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise ConfigError(
            f"{where}: {text!r} cannot be read ({err}); allowed are band names, numbers, + - * / **, brackets and "
            f"{', '.join(_CALLS)}"
        ) from err
    formula = Formula(tuple(steps))
    if not formula.names:
        raise ConfigError(f"{where}: {text!r} names no band, so it would be the same for every pixel")
    for name in formula.names:
        if known and name not in known:
            raise ConfigError(
                f"{where}: there is no band {name!r}{suggest(name, known) or '.'} Known: {', '.join(known)}"
            )
    return formula


def _emit(node: ast.AST, steps: list[tuple[int, str | float | None]]) -> None:
    match node:
        case ast.Name(id=name):
            steps.append((LOAD, name))
        case ast.Constant(value=bool()):
            raise ValueError("True and False are no numbers")
        case ast.Constant(value=int() | float() as number):
            if not abs(number) <= _LARGEST:
                raise ValueError("a number is out of all proportion")
            steps.append((CONST, float(number)))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            _emit(operand, steps)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _emit(operand, steps)
            steps.append((NEG, None))
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            _emit(left, steps)
            _emit(right, steps)
            steps.append((_BINARY[type(operation)], None))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS:
            code, count = _CALLS[name]
            if len(args) != count:
                raise ValueError(f"{name} takes {count}, not {len(args)}")
            for item in args:
                _emit(item, steps)
            steps.append((code, None))
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not part of a formula")
