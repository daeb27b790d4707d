"""Formulas of bands evaluated apart from the package, a bound on what 32 bits may lose; and spyndex's."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import numpy as np

_HALF_ULP = 2.0**-24
"""Largest relative error of one rounding to float32."""
_TINY = 2.0**-126
"""Below this float32 loses digits, or may flush to 0."""

S2_OF_SPYNDEX = {
    "A": "coastal", "B": "blue", "G": "green", "R": "red", "RE1": "red_edge1", "RE2": "red_edge2",
    "RE3": "red_edge3", "N": "nir", "N2": "nir_narrow", "S1": "swir1", "S2": "swir2",
}  # fmt: skip


def evaluate(text, bands):
    """Return the formula's values in float64, and how far off a float32 evaluation may be.

    Each operation adds one rounding (the functions of a maths library four) to the errors that its operands bring.
    """
    with np.errstate(all="ignore"):
        return _value(ast.parse(text.strip(), mode="eval").body, bands)


def _value(node, bands):
    if isinstance(node, ast.Name):
        value = np.asarray(bands[node.id], np.float64)
        return value, np.zeros_like(value)
    if isinstance(node, ast.Constant):
        return _rounded(np.float64(node.value), 0.0)
    if isinstance(node, ast.UnaryOp):
        value, error = _value(node.operand, bands)
        return (-value if isinstance(node.op, ast.USub) else value), error
    if isinstance(node, ast.Call):
        return _call(node.func.id, [_value(arg, bands) for arg in node.args])
    return _binary(type(node.op), _value(node.left, bands), _value(node.right, bands))


def _rounded(value, error, roundings=1, sure=False):
    """Add what rounding ``value`` brings; 0 where infinity or NaN is sure, infinity where nothing is known."""
    error = np.where(np.isnan(error), np.inf, error)
    return value, np.where(sure, 0.0, error + roundings * _HALF_ULP * (np.abs(value) + error) + _TINY)


def _binary(kind, left, right):
    (a, da), (b, db) = left, right
    missing = np.isnan(a) | np.isnan(b)
    endless = (np.isinf(a) & (da == 0)) | (np.isinf(b) & (db == 0))
    signs = (np.abs(a) > da) & (np.abs(b) > db)  # known, so that infinity cannot meet a 0
    if kind is ast.Add:
        return _rounded(a + b, da + db, sure=missing | endless)
    if kind is ast.Sub:
        return _rounded(a - b, da + db, sure=missing | endless)
    if kind is ast.Mult:
        return _rounded(a * b, np.abs(a) * db + np.abs(b) * da + da * db, sure=missing | (endless & signs))
    if kind is ast.Div:
        room = np.abs(b) - db
        error = np.where(room > 0, (da + np.abs(a / b) * db) / room, np.inf)
        by_zero = (b == 0) & (db == 0)  # infinity or NaN: missing in either case
        return _rounded(a / b, error, sure=missing | by_zero | (endless & signs))
    if kind is ast.Pow:
        if np.ndim(b) == 0 and b == 2:  # also of what is below 0
            return _rounded(a**2, 2 * np.abs(a) * da + da**2, 4, sure=missing | endless)
        ends = np.maximum(a - da, 0) ** b, (a + da) ** b
        return _rounded(a**b, np.maximum(*(np.abs(end - a**b) for end in ends)), 4, sure=missing)
    raise AssertionError(kind)


def _call(name, args):
    (a, da) = args[0]
    if name in ("min", "max"):
        (b, db) = args[1]
        return (np.minimum if name == "min" else np.maximum)(a, b), np.maximum(da, db)
    if name == "abs":
        return np.abs(a), da
    function = {"sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh}[name]
    value, sure = function(a), np.isnan(a) | (np.isinf(a) & (da == 0))
    ends = [function(np.maximum(a - da, 0) if name in ("sqrt", "log") else a - da), function(a + da)]
    return _rounded(value, np.maximum(*(np.abs(end - value) for end in ends)), 4, sure=sure)


def spyndex_indices():
    """Return spyndex's catalogue from its packaged file; importing the package would load Earth Engine's classes."""
    return json.loads(_spyndex_file("spectral-indices-dict.json"))["SpectralIndices"]


def spyndex_constants():
    """Return the default values of spyndex's constants."""
    found = json.loads(_spyndex_file("constants.json"))
    return {name: row["default"] for name, row in found.items() if row["default"] is not None}


def _spyndex_file(name):
    (folder,) = importlib.util.find_spec("spyndex").submodule_search_locations
    return (Path(folder) / "data" / name).read_text(encoding="utf-8")
