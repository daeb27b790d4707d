"""Every numba flag of the package, in one place, and how kernels share the cores.

``fastmath`` stays off: NaN marks missing pixels, and the flag lets the compiler assume there are none.
``error_model="numpy"`` gives inf and NaN on division by zero, as array code does, and lets loops vectorise.

A kernel works through one part of its input on one thread, without the interpreter lock; :func:`share_out` runs the
parts side by side. So no result depends on the number of threads, and numba's own threads, which die after a fork and
abort when two Python threads start them on some machines, are not needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

from rs_forecast.kernels._keep import keep


def jit(kernel: Callable[..., Any]) -> Any:
    """Compile a kernel that runs without the interpreter lock, so that threads run it side by side."""
    return keep(numba.njit(kernel, nogil=True, error_model="numpy", cache=False))


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out[Part, Result](
    work: Callable[[Part], Result], parts: Iterable[Part], threads: int | None = None
) -> Sequence[Result]:
    """Return ``work`` of each part, in their order, on ``threads`` threads (by default one a core)."""
    parts = list(parts)
    threads = min(threads or cores(), len(parts))
    if threads <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
