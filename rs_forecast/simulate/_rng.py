"""Random numbers that depend on the seed and on what they are for, and on nothing else."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator of one component, such as the weather, or of one scene of it.

    Each component has its own stream: another number of parcels leaves the weather as it was.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *keys)))


def autoregressive(rng: np.random.Generator, steps: int, columns: int, *, memory: float, sd: float) -> np.ndarray:
    """Return (steps, columns) of a stationary AR(1) process; ``memory`` is its correlation from step to step."""
    noise = rng.standard_normal((steps, columns)) * sd
    out = np.empty_like(noise)
    out[0] = noise[0]
    step_sd = np.sqrt(1.0 - memory**2)
    for t in range(1, steps):
        out[t] = memory * out[t - 1] + step_sd * noise[t]
    return out
