"""Every numba flag of the package, in one place.

``fastmath`` stays off: NaN marks missing pixels, and the flag lets the compiler assume there are none.
``error_model="numpy"`` gives inf and NaN on division by zero, as array code does, and lets loops vectorise.
"""

from __future__ import annotations

import functools
from typing import Any

import numba

jit: Any = functools.partial(numba.njit, nogil=True, error_model="numpy", cache=False)
"""Compile a kernel that runs without the interpreter lock, so that threads run it side by side."""

parallel_jit: Any = functools.partial(jit, parallel=True)
"""The same with ``prange`` spread over the cores; never called from inside a worker thread."""
