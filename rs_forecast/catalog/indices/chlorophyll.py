"""Indices of chlorophyll, most of them on the red edge: they go on rising where NDVI no longer does."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    Index(
        name="ndre",
        group="chlorophyll",
        formula="(nir - red_edge1) / (nir + red_edge1)",
        valid=(-1.0, 1.0),
        doi="10.1016/S0176-1617(11)81633-0",
        doc="chlorophyll of a closed canopy, a proxy of nitrogen",
    ),
    Index(
        name="ndvi705",
        group="chlorophyll",
        formula="(red_edge2 - red_edge1) / (red_edge2 + red_edge1)",
        valid=(-1.0, 1.0),
        doi="10.1016/S0176-1617(11)81633-0",
        doc="chlorophyll by the red edge alone: the first to fall when leaves yellow",
    ),
    # On the bands of NDRE. Clevers and Gitelson (2013) take red_edge3 for Sentinel-2.
    Index(
        name="cire",
        group="chlorophyll",
        formula="nir / red_edge1 - 1",
        valid=(-1.0, 15.0),
        doi="10.1078/0176-1617-00887",
        doc="chlorophyll of the canopy, near linear to it, and so nitrogen",
    ),
    Index(
        name="cig",
        group="chlorophyll",
        formula="nir / green - 1",
        valid=(-1.0, 30.0),
        doi="10.1078/0176-1617-00887",
        doc="chlorophyll of the canopy by the green band, all of it at 10 m",
    ),
    # Without a red edge the denominator is noise around 0.
    Index(
        name="mtci",
        group="chlorophyll",
        formula="(red_edge2 - red_edge1) / (red_edge1 - red)",
        valid=(0.0, 10.0),
        doi="10.1080/0143116042000274015",
        doc="position of the red edge, and so chlorophyll; only over green",
    ),
    Index(
        name="ireci",
        group="chlorophyll",
        formula="(red_edge3 - red) / (red_edge1 / red_edge2)",
        valid=(-1.0, 5.0),
        doi="10.1016/j.isprsjprs.2013.04.007",
        doc="chlorophyll of the whole canopy by four bands; made for Sentinel-2",
    ),
    # A line between 705 and 740 nm, drawn on a little; beyond, there is no red edge.
    Index(
        name="s2rep",
        group="chlorophyll",
        formula="705 + 35 * ((red_edge3 + red) / 2 - red_edge1) / (red_edge2 - red_edge1)",
        valid=(680.0, 760.0),
        unit="nm",
        doi="10.1016/j.isprsjprs.2013.04.007",
        doc="wavelength of the red edge: long in stands well fed with nitrogen, short in starved ones",
    ),
    # 850, 710 and 680 nm in the paper.
    Index(
        name="datt",
        group="chlorophyll",
        formula="(nir_narrow - red_edge1) / (nir_narrow - red)",
        valid=(-1.0, 2.0),
        doi="10.1080/014311699211778",
        doc="chlorophyll of leaves, little moved by their shine",
    ),
    Index(
        name="mcari",
        group="chlorophyll",
        formula="((red_edge1 - red) - 0.2 * (red_edge1 - green)) * (red_edge1 / red)",
        valid=(-1.0, 5.0),
        doi="10.1016/S0034-4257(00)00113-9",
        doc="depth of the chlorophyll absorption; moved by leaf area too",
    ),
    Index(
        name="tcari",
        group="chlorophyll",
        formula="3 * ((red_edge1 - red) - 0.2 * (red_edge1 - green) * (red_edge1 / red))",
        valid=(-3.0, 3.0),
        doi="10.1016/S0034-4257(02)00018-4",
        doc="depth of the chlorophyll absorption, the soil damped: high in pale leaves",
    ),
    Index(
        name="tcari_osavi",
        group="chlorophyll",
        formula=(
            "3 * ((red_edge1 - red) - 0.2 * (red_edge1 - green) * (red_edge1 / red))"
            " / (1.16 * (nir - red) / (nir + red + 0.16))"
        ),
        valid=(-3.0, 3.0),
        doi="10.1016/S0034-4257(02)00018-4",
        doc="chlorophyll of leaves with leaf area taken out: low where well fed; only over green",
    ),
    Index(
        name="mcari_osavi",
        group="chlorophyll",
        formula=(
            "((red_edge1 - red) - 0.2 * (red_edge1 - green)) * (red_edge1 / red)"
            " / (1.16 * (nir - red) / (nir + red + 0.16))"
        ),
        valid=(-3.0, 5.0),
        doi="10.1016/S0034-4257(00)00113-9",
        doc="chlorophyll of leaves with leaf area taken out: high in pale leaves; only over green",
    ),
    Index(
        name="mcari_osavi705",
        group="chlorophyll",
        formula=(
            "((red_edge2 - red_edge1) - 0.2 * (red_edge2 - green)) * (red_edge2 / red_edge1)"
            " / (1.16 * (red_edge2 - red_edge1) / (red_edge2 + red_edge1 + 0.16))"
        ),
        valid=(-3.0, 10.0),
        doi="10.1016/j.agrformet.2008.03.005",
        doc="the same ratio on the red edge, for closed canopies: high where chlorophyll is",
    ),
    Index(
        name="tci",
        group="chlorophyll",
        formula="1.2 * (red_edge1 - green) - 1.5 * (red - green) * sqrt(red_edge1 / red)",
        valid=(-1.5, 5.0),
        doi="10.1109/TGRS.2007.904836",
        doc="chlorophyll of crop leaves by a triangle of green, red and red edge: high in pale leaves",
    ),
    Index(
        name="cvi",
        group="chlorophyll",
        formula="nir * red / green ** 2",
        valid=(0.0, 30.0),
        doi="10.1007/s11119-008-9075-z",
        doc="chlorophyll of leaves by bands of 10 m, for flat-leaved crops",
    ),
    Index(
        name="tgi",
        group="chlorophyll",
        formula="-0.5 * (190 * (red - green) - 120 * (red - blue))",
        valid=(-95.0, 95.0),
        unit="nm",
        doi="10.1016/j.jag.2012.07.020",
        doc="area of the green peak: chlorophyll in visible light; high in pale leaves",
    ),
)
