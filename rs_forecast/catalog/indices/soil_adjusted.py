"""Indices of greenness that take out the soil, for young and thin stands."""

from __future__ import annotations

from rs_forecast.catalog.indices._index import Index

ROWS = (
    Index(
        name="savi",
        group="soil_adjusted",
        formula="1.5 * (nir - red) / (nir + red + 0.5)",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(88)90106-X",
        doc="greenness of a half-closed stand with the soil's brightness taken out",
    ),
    # As the paper has it; some put 1.16 before it.
    Index(
        name="osavi",
        group="soil_adjusted",
        formula="(nir - red) / (nir + red + 0.16)",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(95)00186-7",
        doc="greenness with the soil taken out, tuned for crops",
    ),
    # MSAVI2 of the paper.
    Index(
        name="msavi",
        group="soil_adjusted",
        formula="(2 * nir + 1 - sqrt((2 * nir + 1) ** 2 - 8 * (nir - red))) / 2",
        valid=(-1.0, 1.0),
        doi="10.1016/0034-4257(94)90134-1",
        doc="greenness of seedlings: finds by itself how much soil to take out",
    ),
)
