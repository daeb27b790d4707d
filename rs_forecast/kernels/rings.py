"""Polygons as plain arrays, and numbers that tell them apart."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import cores, jit, share_out


@dataclass(frozen=True, kw_only=True, eq=False)
class Rings:
    """Polygons as plain arrays: points, in rings, in polygons."""

    points: NDArray[np.float64]
    """(point, 2): x and y; a ring ends with its first point."""
    ring_starts: NDArray[np.int64]
    """Points of ring ``r`` are ``ring_starts[r]:ring_starts[r + 1]``."""
    hole: NDArray[np.bool_]
    """Whether the ring is a hole."""
    starts: NDArray[np.int64]
    """Rings of polygon ``p`` are ``starts[p]:starts[p + 1]``."""

    def digest(self) -> str:
        """Return a SHA-256 of all outlines, that changes when a point, a ring or their order does."""
        found = hashlib.sha256()
        for part in (self.points, self.ring_starts, self.hole, self.starts):
            found.update(np.ascontiguousarray(part).view(np.uint8).data)
        return found.hexdigest()

    def hashes(self, salt: str = "", threads: int | None = None) -> list[str]:
        """Return :meth:`hash_numbers` as sixteen hex digits each."""
        text = self.hash_numbers(salt, threads).astype(">u8").tobytes().hex()
        return [text[at : at + 16] for at in range(0, len(text), 16)]

    def hash_numbers(self, salt: str = "", threads: int | None = None) -> NDArray[np.uint64]:
        """Return a number per polygon; they tell outlines apart, whatever point a ring begins with."""
        seed = np.uint64(int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "little"))
        bits = (self.points + 0.0).view(np.uint64)  # a negative zero is a zero
        found = np.empty(len(self.starts) - 1, np.uint64)
        cuts = np.linspace(0, len(found), 4 * cores() + 1).astype(int).tolist()

        def part(ends: tuple[int, int]) -> None:
            _hash(bits, self.ring_starts, self.hole, self.starts, seed, ends[0], ends[1], found)

        share_out(part, itertools.pairwise(cuts), threads)
        return found


@jit
def _mix(value):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Spread 64 bits over 64 bits: the finaliser of splitmix64 (Steele et al. 2014, doi:10.1145/2714064.2660195)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@jit
def _hash(bits, ring_starts, hole, starts, seed, first, last, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """One number a polygon: the mixed sum over its rings, each the sum over its edges, in either direction."""
    for p in range(first, last):
        total = np.uint64(seed)
        for r in range(starts[p], starts[p + 1]):
            ring = np.uint64(1) if hole[r] else np.uint64(2)
            for k in range(ring_starts[r], ring_starts[r + 1] - 1):
                here = _mix(bits[k, 0] + _mix(bits[k, 1] + np.uint64(1)))
                there = _mix(bits[k + 1, 0] + _mix(bits[k + 1, 1] + np.uint64(1)))
                ring += _mix(here + there)
            total += _mix(ring)
        out[p] = _mix(total)
