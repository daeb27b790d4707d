"""Indices of ripening, of pigments that come with stress, and of disease."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    Index(
        name="psri",
        group="senescence",
        formula="(red - blue) / red_edge2",
        valid=(-1.0, 1.0),
        doi="10.1034/j.1399-3054.1999.106119.x",
        doc="ripening and dying leaves: carotenoids outlast chlorophyll, and it rises",
    ),
    # On blue: 445 nm of the paper is the coastal band, whose 60 m are wider than a field. The first paper has no DOI.
    Index(
        name="sipi",
        group="senescence",
        formula="(nir - blue) / (nir - red)",
        valid=(0.0, 3.0),
        doi="10.1016/S1360-1385(98)01213-8",
        doc="carotenoids over chlorophyll: rises under stress; only over green",
    ),
    Index(
        name="mari",
        group="senescence",
        formula="nir * (1 / green - 1 / red_edge1)",
        valid=(-5.0, 10.0),
        doi="10.1029/2006GL026457",
        doc="anthocyanins: reddening of stressed or old leaves",
    ),
    Index(
        name="car",
        group="senescence",
        formula="nir * (1 / blue - 1 / red_edge1)",
        valid=(-5.0, 50.0),
        doi="10.1029/2006GL026457",
        doc="carotenoids of leaves; leans on the blue band, so on clean air",
    ),
    Index(
        name="ndsvi",
        group="senescence",
        formula="(swir1 - red) / (swir1 + red)",
        valid=(-1.0, 1.0),
        doi="10.1029/2002EO000411",
        doc="dry plants against bare soil; read it with NDVI, for green makes it high too",
    ),
    Index(
        name="ndyi",
        group="senescence",
        formula="(green - blue) / (green + blue)",
        valid=(-1.0, 1.0),
        doi="10.1016/j.rse.2016.06.016",
        doc="yellow: flowering oilseeds, ripening cereals",
    ),
    Index(
        name="redsi",
        group="senescence",
        formula="((705 - 665) * (red_edge3 - red) - (783 - 665) * (red_edge1 - red)) / (2 * red)",
        valid=(-100.0, 500.0),
        unit="nm",
        doi="10.3390/s18030868",
        doc="disease by the red edge: falls where yellow rust yellows wheat",
    ),
    Index(
        name="dswi",
        group="senescence",
        formula="(nir + green) / (swir1 + red)",
        valid=(0.0, 10.0),
        doi="10.1080/01431160310001618031",
        doc="disease and water stress: falls where leaves lose water and green (DSWI-5)",
    ),
)
