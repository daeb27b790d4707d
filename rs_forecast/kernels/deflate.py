"""Compression of raster blocks that are mostly runs, some five times as fast as a general compressor's fastest level.

A map of fields repeats itself in three ways only: a pixel equals the one before it, the one above it, or the one above
and to the right (an edge that leans to the left). So no other matches are looked for. What comes out is an ordinary
zlib stream (RFC 1950 and 1951) with the fixed codes, which every reader of TIFF knows.
"""

from __future__ import annotations

import functools
from typing import Any

import deflate
import numpy as np
from numpy.typing import NDArray

from rs_forecast.kernels._jit import jit

type Codes = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""Bits, the first one lowest, and how many they are."""

_SHORTEST, _LONGEST = 3, 258
"""Bytes of a match."""
_FARTHEST = 2**15
"""Bytes that a match may reach back."""
_HEADER = b"\x78\x01"


def compress_block(block: NDArray[Any]) -> bytes:
    """Return the bytes of ``block``, (y, x) of 1 or 4 bytes a pixel, as a zlib stream.

    The same block gives the same stream. Source: RFC 1951, https://doi.org/10.17487/RFC1951.
    """
    block = np.ascontiguousarray(block)
    raw = block.view(np.uint8).ravel()
    items = block.view(f"u{block.itemsize}").ravel()
    words = np.empty(len(raw) * 9 // 32 + 4, "<u4")  # no code is longer than 9 bits a byte
    width = block.shape[1] if block.shape[1] * block.itemsize <= _FARTHEST else 1
    backs = (1, width, max(width - 1, 1))
    match = _match_codes(tuple(back * block.itemsize for back in backs))
    end = _encode(items, raw, np.array(backs), words, *_literal_codes(), *match)
    return b"".join([_HEADER, words.view(np.uint8)[:end].tobytes(), deflate.adler32(raw).to_bytes(4, "big")])


def _reversed_bits(value: int, count: int) -> int:
    return int(f"{value:0{count}b}"[::-1], 2)


@functools.cache
def _literal_codes() -> Codes:
    """Codes of the 256 bytes and of the length symbols after them, by the fixed table of RFC 1951, 3.2.6."""
    codes = [*range(0x30, 0xC0), *range(0x190, 0x200), *range(0x18), *range(0xC0, 0xC8)]
    counts = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
    pairs = zip(codes, counts, strict=True)
    return np.array([_reversed_bits(*pair) for pair in pairs], np.uint64), np.array(counts)


@functools.lru_cache(maxsize=8)
def _match_codes(backs: tuple[int, ...]) -> Codes:
    """Codes of a match of each length up to 258 bytes, at each of the distances ``backs`` [bytes]."""
    pairs = [[_match_code(length, back) for length in range(_LONGEST + 1)] for back in backs]
    both = np.array(pairs, np.uint64)
    return np.ascontiguousarray(both[..., 0]), both[..., 1].astype(np.int64)


def _match_code(length: int, distance: int) -> tuple[int, int]:
    """Symbols and extra bits of a match and their number (RFC 1951, 3.2.5); nothing for a length that is none."""
    if length < _SHORTEST:
        return 0, 0
    extra = [0] * 8 + [k for k in range(1, 6) for _ in range(4)]
    symbol, rest = (28, 0) if length == _LONGEST else _symbol(length, _SHORTEST, extra)
    literal, counts = _literal_codes()
    code, count = int(literal[257 + symbol]), int(counts[257 + symbol])
    code, count = code | rest << count, count + ([*extra, 0][symbol])
    extra = [max(k // 2 - 1, 0) for k in range(30)]
    symbol, rest = _symbol(distance, 1, extra)
    return code | (_reversed_bits(symbol, 5) | rest << 5) << count, count + 5 + extra[symbol]


def _symbol(value: int, first: int, extra: list[int]) -> tuple[int, int]:
    """Symbol that stands for ``value``, and what its extra bits must add."""
    starts = np.cumsum([first, *(1 << bits for bits in extra)])
    symbol = int(np.searchsorted(starts, value, side="right")) - 1
    return symbol, value - int(starts[symbol])


@jit
def _run(items, i, back):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """How many items from ``i`` on equal those ``back`` before them."""
    n = len(items)
    if i < back:
        return 0
    k = i
    while k < n and items[k] == items[k - back]:
        k += 1
    return k - i


@jit
def _put(words, state, bits, count):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Append bits; ``state`` is (words written, bits that wait, their number), and fewer than 32 wait."""
    end, wait, waiting = state
    wait |= bits << np.uint64(waiting)
    waiting += count
    words[end] = np.uint32(wait)  # written again until it is full: no branch to guess
    full = waiting >> 5
    return end + full, wait >> np.uint64(full << 5), waiting & 31


@jit
def _put_match(words, state, size, which, match, match_count):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Append a match of ``size`` bytes in pieces of 3 to 258."""
    left = size
    while left > 0:
        step = min(left, 258)
        if 0 < left - step < 3:
            step = left - 3
        state = _put(words, state, match[which, step], match_count[which, step])
        left -= step
    return state


@jit
def _encode(items, raw, backs, words, literal, literal_count, match, match_count):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write one final block with the fixed codes to ``words``; return its number of bytes."""
    n, size = len(items), len(raw) // len(items)
    least = 1 if size >= 3 else 3  # items of a match
    state = _put(words, (0, np.uint64(0), 0), np.uint64(3), 3)
    i = 0
    while i < n:
        which, found = 0, _run(items, i, backs[0])
        above = _run(items, i, backs[1])
        if above > found:
            which, found = 1, above
        if found < least:
            which, found = 2, _run(items, i, backs[2])
        if found < least:
            for b in range(i * size, i * size + size):
                state = _put(words, state, literal[raw[b]], literal_count[raw[b]])
            i += 1
        else:
            state = _put_match(words, state, found * size, which, match, match_count)
            i += found
    end, wait, waiting = _put(words, state, literal[256], literal_count[256])
    words[end] = np.uint32(wait)
    return end * 4 + (waiting + 7) // 8
