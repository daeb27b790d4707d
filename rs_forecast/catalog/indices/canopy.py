"""Proxies of leaf area and absorbed light, by formulas with published coefficients.

No line from NDVI to FAPAR stands here: the coefficients cited for one and the same paper differ.
"""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    # Below 0 over water and bright soil; kept to -1, since a cut at 0 would lift the mean of a bare field.
    Index(
        name="lai_seli",
        group="canopy",
        formula="5.405 * (nir_narrow - red_edge1) / (nir_narrow + red_edge1) - 0.114",
        valid=(-1.0, 5.3),
        unit="m2/m2",
        doi="10.3390/s19040904",
        doc="green leaf area, by a line through many crops made for Sentinel-2 (error some 0.7)",
    ),
    Index(
        name="lai_evi",
        group="canopy",
        formula="3.618 * 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1) - 0.118",
        valid=(-1.0, 7.2),
        unit="m2/m2",
        doi="10.1016/S0034-4257(01)00342-X",
        doc="green leaf area by EVI, from crops in Denmark: for comparing, not for absolute values",
    ),
    Index(
        name="seli",
        group="canopy",
        formula="(nir_narrow - red_edge1) / (nir_narrow + red_edge1)",
        valid=(-1.0, 1.0),
        doi="10.3390/s19040904",
        doc="green leaf area, without a unit; saturates later than NDVI",
    ),
    Index(
        name="ndi45",
        group="canopy",
        formula="(red_edge1 - red) / (red_edge1 + red)",
        valid=(-1.0, 1.0),
        doi="10.3390/s110707063",
        doc="green leaf area by the foot of the red edge; also algae on open water (NDCI)",
    ),
    # MCARI2 of the same paper is the same by algebra.
    Index(
        name="mtvi2",
        group="canopy",
        formula=(
            "1.5 * (1.2 * (nir - green) - 2.5 * (red - green))"
            " / sqrt((2 * nir + 1) ** 2 - (6 * nir - 5 * sqrt(red)) - 0.5)"
        ),
        valid=(-2.0, 4.5),
        doi="10.1016/j.rse.2003.12.013",
        doc="green leaf area, little moved by chlorophyll and soil",
    ),
    # The root over the sum, as Haboudane et al. (2004) quote it; others leave the 1 outside.
    Index(
        name="msr",
        group="canopy",
        formula="(nir / red - 1) / sqrt(nir / red + 1)",
        valid=(-1.0, 7.0),
        doi="10.1080/07038992.1996.10855178",
        doc="leaf area, nearer to a line than NDVI",
    ),
    Index(
        name="ttvi",
        group="canopy",
        formula="0.5 * ((865 - 740) * (red_edge3 - red_edge2) - (nir_narrow - red_edge2) * (783 - 740))",
        valid=(-62.5, 62.5),
        unit="nm",
        doi="10.3390/rs12010016",
        doc="leaf area of wheat by the shoulder of the red edge",
    ),
    Index(
        name="rdvi",
        group="canopy",
        formula="(nir - red) / sqrt(nir + red)",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(94)00114-3",
        doc="light taken up by the canopy (FAPAR), near linear to it",
    ),
    Index(
        name="nirv",
        group="canopy",
        formula="(nir - red) / (nir + red) * nir",
        valid=(-0.2, 1.0),
        doi="10.1126/sciadv.1602244",
        doc="near infrared that plants reflect: follows photosynthesis, and so growth",
    ),
)
