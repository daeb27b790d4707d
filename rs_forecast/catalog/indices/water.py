"""Indices of water: of leaves, of the soil, and standing in the paddy."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    Index(
        name="lswi",
        group="water",
        formula="(nir - swir1) / (nir + swir1)",
        valid=(-1.0, 1.0),
        doi="10.1016/j.rse.2004.12.009",
        doc="water of leaves and soil (NDMI, NDII); above NDVI in a flooded paddy",
    ),
    Index(
        name="ndwi",
        group="water",
        formula="(green - nir) / (green + nir)",
        valid=(-1.0, 1.0),
        doi="10.1080/01431169608948714",
        doc="open water, at 10 m; near 0 over a paddy under water, far below under plants",
    ),
    Index(
        name="mndwi",
        group="water",
        formula="(green - swir1) / (green + swir1)",
        valid=(-1.0, 1.0),
        doi="10.1080/01431160600589179",
        doc="open water, better apart from houses and soil than NDWI",
    ),
    Index(
        name="ndfi",
        group="water",
        formula="(red - swir2) / (red + swir2)",
        valid=(-1.0, 1.0),
        doi="10.1371/journal.pone.0088741",
        doc="flooding of rice fields: the best pair of bands for water under young rice",
    ),
    Index(
        name="awei_sh",
        group="water",
        formula="blue + 2.5 * green - 1.5 * (nir + swir1) - 0.25 * swir2",
        valid=(-3.25, 3.5),
        doi="10.1016/j.rse.2013.08.029",
        doc="open water (above 0) where clouds and trees throw shadows",
    ),
    Index(
        name="awei_nsh",
        group="water",
        formula="4 * (green - swir1) - (0.25 * nir + 2.75 * swir2)",
        valid=(-7.0, 4.0),
        doi="10.1016/j.rse.2013.08.029",
        doc="open water (above 0) in open country",
    ),
    Index(
        name="msi",
        group="water",
        formula="swir1 / nir",
        valid=(0.0, 5.0),
        doi="10.1016/0034-4257(89)90046-1",
        doc="water stress of leaves: rises as they dry",
    ),
    # Above 1 where swir2 is the brighter: kept to 2 for the noise over water.
    Index(
        name="nmdi",
        group="water",
        formula="(nir - (swir1 - swir2)) / (nir + (swir1 - swir2))",
        valid=(-1.0, 2.0),
        doi="10.1029/2007GL031021",
        doc="drought: of bare soil, where it rises with dryness, and of leaves, where it falls",
    ),
    # The paper's SWIR band is that of SPOT-VEGETATION, 1.65 µm; lists that name swir2 err.
    Index(
        name="gvmi",
        group="water",
        formula="((nir + 0.1) - (swir1 + 0.02)) / ((nir + 0.1) + (swir1 + 0.02))",
        valid=(-1.0, 1.0),
        doi="10.1016/S0034-4257(02)00037-8",
        doc="water of the whole canopy, per area of ground",
    ),
)
