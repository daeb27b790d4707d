"""Our cloud-optimised GeoTIFFs, as GDAL and tifffile read them."""

import itertools
import struct

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rs_forecast.kernels.pyramid import halve_mean, halve_mode
from rs_forecast.maps.cog import BLOCK, CogWriter, Look, level_shapes

NODATA = {"float32": -9999.0, "uint8": 255}
HALVE = {"float32": halve_mean, "uint8": halve_mode}


def geobox(shape):
    return GeoBox(shape, Affine(10, 0, 500_000, 0, -10, 1_200_000), "EPSG:32648")


def look(kind):
    return Look(dtype=kind, nodata=NODATA[kind], description="độ", unit="1", tags={"PEST": "x", "NOTES": 'a & "b"\nc'})


def raster(kind, shape, seed=0):
    """Patches of one value each, with and without gaps."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 5, (shape[0] // 7 + 1, shape[1] // 5 + 1))
    values = np.kron(patches, np.ones((7, 5)))[: shape[0], : shape[1]]
    gaps = rng.random(shape) < 0.2
    return np.where((values == 4) | gaps, NODATA[kind], values / (4 if kind == "float32" else 1)).astype(kind)


def write(path, values, *, each=map, largest=None):
    kind = values.dtype.name
    writer = CogWriter(path, geobox(values.shape), look(kind), HALVE[kind])
    rows, cols = (-(-side // BLOCK) for side in values.shape)
    padded = np.full((rows * BLOCK, cols * BLOCK), NODATA[kind], kind)
    padded[: values.shape[0], : values.shape[1]] = values
    for row in range(rows):
        line = padded[row * BLOCK : (row + 1) * BLOCK]
        for block in each(lambda c, line=line: writer.encode(c, line[:, c * BLOCK : (c + 1) * BLOCK]), range(cols)):
            writer.append(block)
        writer.end_row(each)
    return writer.finish(**({} if largest is None else {"largest": largest}))


def halved_by_rule(values, nodata, kind):
    """The rule, square by square: what has data counts; the mean, or the most frequent value, the lowest of equals."""
    out = np.full([-(-side // 2) for side in values.shape], nodata, values.dtype)
    for row, col in np.ndindex(out.shape):
        square = values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        found = square[square != nodata]
        if len(found) and kind == "float32":
            out[row, col] = found.astype("float64").sum() / len(found)
        elif len(found):
            names, counts = np.unique(found, return_counts=True)
            out[row, col] = names[counts.argmax()]
    return out


@pytest.fixture(scope="module", params=["float32", "uint8"])
def written(request, tmp_path_factory):
    values = raster(request.param, (1300, 1801))
    return values, write(tmp_path_factory.mktemp("cog") / "a.tif", values)


def test_gdal_reads_the_pixels_and_what_they_are(written):
    values, path = written
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), values)
        assert file.tags(ns="IMAGE_STRUCTURE") == {"LAYOUT": "COG", "COMPRESSION": "DEFLATE", "INTERLEAVE": "BAND"}
        assert (file.crs.to_epsg(), file.transform) == (32648, geobox(values.shape).affine)
        assert (file.descriptions, file.units, file.nodata) == (("độ",), ("1",), NODATA[values.dtype.name])
        assert (file.tags()["PEST"], file.tags()["NOTES"]) == ("x", 'a & "b"\nc')
        assert file.block_shapes == [(BLOCK, BLOCK)]
        assert file.profile["tiled"]
        assert file.checksum(1) >= 0  # every block through GDAL's own check of the structure


def test_tifffile_reads_the_same(written):
    values, path = written
    with tifffile.TiffFile(path) as file:
        assert [page.shape for page in file.pages] == level_shapes(values.shape)
        np.testing.assert_array_equal(file.pages[0].asarray(), values)
        assert not file.is_bigtiff


def test_overviews_follow_the_plain_rule(written):
    values, path = written
    kind = values.dtype.name
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4]
    for level in range(2):
        values = halved_by_rule(values, NODATA[kind], kind)
        with rasterio.open(path, overview_level=level) as file:
            np.testing.assert_array_equal(file.read(1), values)


def test_the_order_in_the_file_is_that_of_a_cog(written):
    """Directories before data, the largest image first; blocks of the smallest first, row by row, none between."""
    _, path = written
    raw = path.read_bytes()
    assert raw[8:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\nLAYOUT=IFDS_BEFORE_DATA\n")
    with tifffile.TiffFile(path) as file:
        directories = [page.offset for page in file.pages]
        pages = [(page.dataoffsets, page.databytecounts) for page in file.pages]
        types = [page.tags.get("NewSubfileType") for page in file.pages]
        assert all(tag.offset % 2 == 0 and tag.code for page in file.pages for tag in page.tags)
    assert directories == sorted(directories)
    assert directories[0] == 8 + 43 + 140 + 1
    assert [tag.value if tag else 0 for tag in types] == [0, 1, 1]
    blocks = [block for offsets, counts in reversed(pages) for block in zip(offsets, counts, strict=True)]
    assert directories[-1] < blocks[0][0]
    for (offset, count), (following, _) in itertools.pairwise(blocks):
        assert following == offset + count + 8
    for offset, count in blocks:
        assert struct.unpack_from("<I", raw, offset - 4) == (count,)
        assert raw[offset + count : offset + count + 4] == raw[offset + count - 4 : offset + count]
    assert len(raw) == blocks[-1][0] + blocks[-1][1] + 4


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 1), (1, 1025), (1537, 3)])
@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_odd_sizes(tmp_path, shape, kind):
    values = raster(kind, shape)
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), values)
        levels = len(file.overviews(1))
    assert levels == len(level_shapes(shape)) - 1
    for level in range(levels):
        values = halved_by_rule(values, NODATA[kind], kind)
        with rasterio.open(path, overview_level=level) as file:
            np.testing.assert_array_equal(file.read(1), values)


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_overviews_are_gdals_but_for_ties(tmp_path, kind):
    """GDAL's own COG driver over the same pixels: the same means; of classes, ours is the lower where they differ."""
    values = raster(kind, (1300, 1800))
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        profile = {"count": 1, "dtype": kind, "nodata": file.nodata, "crs": file.crs, "transform": file.transform}
    how = {"float32": "average", "uint8": "mode"}[kind]
    with rasterio.open(
        tmp_path / "b.tif", "w", driver="COG", width=1800, height=1300, **profile, overview_resampling=how
    ) as file:
        file.write(values, 1)
    with rasterio.open(path, overview_level=0) as ours, rasterio.open(tmp_path / "b.tif", overview_level=0) as theirs:
        a, b = ours.read(1), theirs.read(1)
    if kind == "float32":
        np.testing.assert_allclose(a, b, rtol=1e-6)
    else:
        assert ((a == 255) == (b == 255)).all()
        assert (a <= b).all()
        assert (a == b).mean() > 0.8


def test_a_file_that_would_be_too_large_is_a_bigtiff(tmp_path, written):
    values, path = written
    big = write(tmp_path / "big.tif", values, largest=1000)
    assert big.read_bytes()[:4] == b"II+\0"
    assert path.read_bytes()[:4] == b"II*\0"
    with tifffile.TiffFile(big) as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.pages[0].asarray(), values)
    for level in (None, 0, 1):
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(big, **options) as one, rasterio.open(path, **options) as other:
            np.testing.assert_array_equal(one.read(1), other.read(1))
            assert one.tags(ns="IMAGE_STRUCTURE") == other.tags(ns="IMAGE_STRUCTURE")
            assert (one.crs, one.transform, one.tags()) == (other.crs, other.transform, other.tags())


def test_an_empty_raster_costs_next_to_nothing(tmp_path):
    values = np.full((2000, 3000), -9999, "float32")
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        assert (file.read(1) == -9999).all()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), values=st.integers(1, 4), kind=st.sampled_from(["float32", "uint8"]))
def test_oracle_halves(seed, values, kind):
    rng = np.random.default_rng(seed)
    choices = np.array([NODATA[kind], *rng.random(values)]) if kind == "float32" else np.array([255, 0, 3, 254, 1])
    block = rng.choice(choices, 2 * rng.integers(1, 12, 2)).astype(kind)
    found = HALVE[kind](block, NODATA[kind])
    np.testing.assert_array_equal(found, halved_by_rule(block, block.dtype.type(NODATA[kind]), kind))
    whole = np.zeros((20, 30), kind)
    HALVE[kind](block, NODATA[kind], (whole, 5, 7))
    expected = np.zeros_like(whole)
    expected[5 : 5 + len(found), 7 : 7 + found.shape[1]] = found
    np.testing.assert_array_equal(whole, expected)
