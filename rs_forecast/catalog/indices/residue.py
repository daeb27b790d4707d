"""Indices of fields after harvest: bare, tilled, under straw, burnt."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    # The first paper has no DOI; this one has the formula, with swir1, for Sentinel-2. Others take swir2.
    Index(
        name="bsi",
        group="residue",
        formula="((swir1 + red) - (nir + blue)) / ((swir1 + red) + (nir + blue))",
        valid=(-1.0, 1.0),
        doi="10.3390/rs13030474",
        doc="bare soil: rises after harvest and tillage",
    ),
    Index(
        name="mbi",
        group="residue",
        formula="(swir1 - swir2 - nir) / (swir1 + swir2 + nir) + 0.5",
        valid=(-0.5, 1.5),
        doi="10.3390/land10030231",
        doc="bare fields in the fallow of South-East Asia, apart from houses",
    ),
    Index(
        name="dbsi",
        group="residue",
        formula="(swir1 - green) / (swir1 + green) - (nir - red) / (nir + red)",
        valid=(-2.0, 2.0),
        doi="10.3390/land7030081",
        doc="dry, bare soil against green and water",
    ),
    # The tillage index of van Deventer et al. (1997) has no DOI; this paper gives the same ratio, as NSDSI3.
    Index(
        name="ndti",
        group="residue",
        formula="(swir1 - swir2) / (swir1 + swir2)",
        valid=(-1.0, 1.0),
        doi="10.1016/j.isprsjprs.2019.06.012",
        doc="straw on the field: high under residue, low when tilled; moved by topsoil moisture",
    ),
    Index(
        name="nbr",
        group="residue",
        formula="(nir - swir2) / (nir + swir2)",
        valid=(-1.0, 1.0),
        doi="10.1080/10106049109354290",
        doc="burnt straw: falls where a field has burnt",
    ),
    Index(
        name="bais2",
        group="residue",
        formula=(
            "(1 - sqrt(red_edge2 * red_edge3 * nir_narrow / red)) * ((swir2 - nir_narrow)"
            " / sqrt(swir2 + nir_narrow) + 1)"
        ),
        valid=(-1.0, 6.0),
        doi="10.3390/ecrs-2-05177",
        doc="burnt fields: made for Sentinel-2; up to 1 for scars, above for fires",
    ),
    Index(
        name="mirbi",
        group="residue",
        formula="10 * swir2 - 9.8 * swir1 + 2",
        valid=(-7.8, 12.0),
        doi="10.1080/01431160110053185",
        doc="burnt against unburnt straw and grass, by both short-wave bands",
    ),
)
