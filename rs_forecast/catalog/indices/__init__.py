"""Spectral indices, each a formula over the band names of :mod:`rs_forecast.catalog.bands`; one file a group."""

from __future__ import annotations

from rs_forecast.catalog._table import Table
from rs_forecast.catalog.indices import canopy, chlorophyll, greenness, residue, senescence, soil_adjusted, water
from rs_forecast.catalog.indices._index import GROUPS, OWN, Index

__all__ = ["GROUPS", "INDICES", "OWN", "Index"]

INDICES: Table[Index] = Table(
    "index",
    (
        *greenness.ROWS,
        *chlorophyll.ROWS,
        *canopy.ROWS,
        *water.ROWS,
        *senescence.ROWS,
        *soil_adjusted.ROWS,
        *residue.ROWS,
    ),
)
