"""Indices of greenness."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    Index(
        name="ndvi",
        group="greenness",
        formula="(nir - red) / (nir + red)",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(79)90013-0",
        doc="greenness; saturates in a closed canopy",
    ),
    Index(
        name="evi",
        group="greenness",
        formula="2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)",
        valid=(-1.0, 2.0),
        doi="10.1016/S0034-4257(02)00096-2",
        doc="greenness that saturates later than NDVI; explodes over cloud and snow, hence the range",
    ),
    Index(
        name="evi2",
        group="greenness",
        formula="2.5 * (nir - red) / (nir + 2.4 * red + 1)",
        valid=(-1.0, 1.5),
        doi="10.1016/j.rse.2008.06.006",
        doc="EVI without the blue band: steadier under haze, all of it at 10 m",
    ),
    Index(
        name="gndvi",
        group="greenness",
        formula="(nir - green) / (nir + green)",
        valid=(-1.0, 1.0),
        doi="10.1016/S0034-4257(96)00072-7",
        doc="greenness by the green band; follows chlorophyll longer than NDVI",
    ),
    # The paper's weight is 0.1 to 0.2.
    Index(
        name="wdrvi",
        group="greenness",
        formula="(0.1 * nir - red) / (0.1 * nir + red)",
        valid=(-1.0, 1.0),
        doi="10.1078/0176-1617-01176",
        doc="NDVI stretched so that dense stands still differ",
    ),
    # The kernel's width is the mean of both bands, as the paper advises; tanh(1) is 0.7616.
    Index(
        name="kndvi",
        group="greenness",
        formula="tanh(((nir - red) / (nir + red)) ** 2)",
        valid=(0.0, 0.7616),
        doi="10.1126/sciadv.abc7447",
        doc="NDVI by a kernel: less noise, less saturation; near 0 on soil and water alike",
    ),
    Index(
        name="sr",
        group="greenness",
        formula="nir / red",
        valid=(0.0, 50.0),
        doi="10.2307/1936256",
        doc="ratio of near infrared to red; rises with leaf area where NDVI is flat, and is noisy there",
    ),
    # With the paper's gamma of 1.
    Index(
        name="arvi",
        group="greenness",
        formula="(nir - 2 * red + blue) / (nir + 2 * red - blue)",
        valid=(-1.0, 1.0),
        doi="10.1109/36.134076",
        doc="NDVI with haze and smoke taken out by the blue band",
    ),
    Index(
        name="gemi",
        group="greenness",
        formula=(
            "(2 * (nir ** 2 - red ** 2) + 1.5 * nir + 0.5 * red) / (nir + red + 0.5)"
            " * (1 - 0.25 * (2 * (nir ** 2 - red ** 2) + 1.5 * nir + 0.5 * red) / (nir + red + 0.5))"
            " - (red - 0.125) / (1 - red)"
        ),
        valid=(-1.0, 1.2),
        doi="10.1007/BF00031911",
        doc="greenness little moved by haze; not for bare, bright soil",
    ),
    Index(
        name="vari",
        group="greenness",
        formula="(green - red) / (green + red - blue)",
        valid=(-1.0, 1.0),
        doi="10.1016/S0034-4257(01)00289-9",
        doc="share of the ground under green, from visible light alone",
    ),
    Index(
        name="ngrdi",
        group="greenness",
        formula="(green - red) / (green + red)",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(79)90013-0",
        doc="green against red: falls below 0 when a stand ripens or dries up",
    ),
    Index(
        name="gli",
        group="greenness",
        formula="(2 * green - red - blue) / (2 * green + red + blue)",
        valid=(-1.0, 1.0),
        doi="10.1080/10106040108542184",
        doc="green leaves against soil in visible light, as in photographs from drones",
    ),
    Index(
        name="gcc",
        group="greenness",
        formula="green / (red + green + blue)",
        valid=(0.0, 1.0),
        doi="10.1016/0034-4257(87)90088-5",
        doc="share of green in visible light; what field cameras report",
    ),
    Index(
        name="ndpi",
        group="greenness",
        formula="(nir - 0.74 * red - 0.26 * swir1) / (nir + 0.74 * red + 0.26 * swir1)",
        valid=(-1.0, 1.0),
        doi="10.1016/j.rse.2017.04.031",
        doc="greenness for phenology: the soil, wet or dry, moves it less than NDVI",
    ),
)
