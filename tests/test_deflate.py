import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.kernels.deflate import compress_block

KINDS = ("uint8", "float32", "int32")


def field_map(rng, rows, cols, kind):
    """Rectangles upon each other, their edges leaning at times: what a raster of fields looks like."""
    out = np.zeros((rows, cols))
    row, col = np.indices(out.shape)
    for _ in range(rng.integers(0, 30)):
        top, left = rng.integers(-5, (rows, cols))
        high, wide, lean = rng.integers(1, 40), rng.integers(1, 400), rng.choice([0, 0, 0.3, -0.5, 1])
        inside = (row >= top) & (row < top + high) & (np.abs(col - left - lean * (row - top)) < wide / 2)
        out[inside] = rng.choice([rng.integers(0, 4), rng.random() * 250])
    return out.astype(kind)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 30), cols=st.integers(1, 700), kind=st.sampled_from(KINDS))
def test_oracle_zlib_gives_the_block_back(seed, rows, cols, kind):
    block = field_map(np.random.default_rng(seed), rows, cols, kind)
    assert zlib.decompress(compress_block(block)) == block.tobytes()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS), values=st.sampled_from([1, 2, 3, 250]))
def test_oracle_zlib_gives_noise_back(seed, kind, values):
    rng = np.random.default_rng(seed)
    block = rng.integers(0, values, rng.integers(1, 60, 2)).astype(kind)
    assert zlib.decompress(compress_block(block)) == block.tobytes()


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 257, 258, 259, 260, 261, 262, 516, 517, 518, 519, 520, 521, 65536])
def test_runs_around_the_longest_match(kind, length):
    for before in (0, 1, 5):
        block = np.concatenate([np.arange(before), np.full(length, 7), [9]]).astype(kind)[None]
        assert zlib.decompress(compress_block(block)) == block.tobytes()


@pytest.mark.parametrize("width", [1, 2, 3, 5, 63, 64, 65, 512, 1024, 8192, 8193, 32768, 32769])
def test_blocks_of_any_width(width):
    """The distance of a match is the width: every number of extra bits occurs."""
    rng = np.random.default_rng(width)
    line = rng.integers(0, 256, width)
    block = np.array([line, line, np.roll(line, -1), np.roll(line, 1)]).astype("uint8")
    for kind in ("uint8", "float32"):
        raw = compress_block(block.astype(kind))
        assert zlib.decompress(raw) == block.astype(kind).tobytes()
    if 64 < width <= 32768:
        assert len(compress_block(block)) < 2.4 * width + 200  # the second line and the third cost next to nothing


def test_the_largest_bytes_fit():
    """They have the longest codes; a block without any run grows by an eighth and no more."""
    block = np.random.default_rng(0).integers(144, 256, (512, 512)).astype("uint8")
    raw = compress_block(block)
    assert zlib.decompress(raw) == block.tobytes()
    assert len(raw) <= block.size * 9 // 8 + 16


def test_a_map_of_fields_becomes_small_and_a_slice_is_as_good_as_a_copy():
    whole = field_map(np.random.default_rng(5), 512, 1024, "float32")
    assert len(compress_block(whole)) < whole.nbytes / 40
    assert compress_block(whole[:, 100:612]) == compress_block(whole[:, 100:612].copy())
