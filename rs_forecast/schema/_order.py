"""Whether rows stand in order, without sorting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_BLOCK = 100_000
"""Rows that are compared in one go."""


def sort_codes(values: pd.Series) -> NDArray[Any]:
    """Return numbers that stand in the order of ``values``: texts, categories of texts, or days; an empty cell last."""
    if pd.api.types.is_datetime64_dtype(values.dtype):
        whole = values.to_numpy("datetime64[us]").view(np.int64)
        return np.where(values.isna(), np.iinfo(np.int64).max, whole) if values.hasnans else whole
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, names = values.cat.codes.to_numpy(), values.cat.categories
        if names.is_monotonic_increasing and not values.hasnans:
            return codes
        rank = np.append(np.argsort(names.argsort()), len(names))
        return np.asarray(rank[codes])
    codes, names = pd.factorize(values, sort=True)
    return np.where(codes < 0, len(names), codes)


def in_order(keys: Sequence[NDArray[Any]], *, strictly: bool = False) -> bool:
    """Whether rows rise by ``keys``, the first weighing most; ``strictly``: and none repeats another."""
    for first in range(0, max(len(keys[0]) - 1, 0), _BLOCK):  # what is made on the way stays in the processor's cache
        last = min(first + _BLOCK, len(keys[0]) - 1)
        settled = np.zeros(last - first, bool)
        for key in keys:
            before, after = key[first:last], key[first + 1 : last + 1]
            if (~settled & (after < before)).any():
                return False
            settled |= after > before
        if strictly and not settled.all():
            return False
    return True
