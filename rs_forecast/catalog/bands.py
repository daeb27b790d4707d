"""Bands of the Sentinel-2 instrument and of its Level-2A product."""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band. ``name`` is what formulas call it; ``code`` is what files call it."""

    name: str
    code: str
    resolution: int
    """Native pixel size [m]."""
    wavelength: float
    """Centre wavelength of Sentinel-2A [nm]; 0 for a class band."""
    doc: str


BANDS: Table[Band] = Table(
    "band",
    (
        Band(name="coastal", code="B01", resolution=60, wavelength=442.7, doc="coastal aerosol"),
        Band(name="blue", code="B02", resolution=10, wavelength=492.7, doc="blue"),
        Band(name="green", code="B03", resolution=10, wavelength=559.8, doc="green"),
        Band(name="red", code="B04", resolution=10, wavelength=664.6, doc="red"),
        Band(name="red_edge1", code="B05", resolution=20, wavelength=704.1, doc="red edge, lower slope"),
        Band(name="red_edge2", code="B06", resolution=20, wavelength=740.5, doc="red edge, middle"),
        Band(name="red_edge3", code="B07", resolution=20, wavelength=782.8, doc="red edge, shoulder"),
        Band(name="nir", code="B08", resolution=10, wavelength=832.8, doc="near infrared"),
        Band(name="nir_narrow", code="B8A", resolution=20, wavelength=864.7, doc="near infrared, narrow"),
        Band(name="swir1", code="B11", resolution=20, wavelength=1613.7, doc="short-wave infrared, 1.6 µm"),
        Band(name="swir2", code="B12", resolution=20, wavelength=2202.4, doc="short-wave infrared, 2.2 µm"),
        Band(name="scl", code="SCL", resolution=20, wavelength=0.0, doc="scene classification"),
    ),
)
BAND_OF_CODE = {band.code: band.name for band in BANDS.values()}

SCL = "scl"
SCL_CLASSES = {
    0: "no data",
    1: "saturated or defective",
    2: "dark area or topographic shadow",
    3: "cloud shadow",
    4: "vegetation",
    5: "not vegetated",
    6: "water",
    7: "unclassified",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
    11: "snow or ice",
}
"""Classes of the Level-2A scene classification."""

SCL_MASKED = (0, 1, 3, 8, 9, 10, 11)
"""Classes taken as not clear unless the config says otherwise. Dark areas and unclassified pixels stay: flooded
paddies fall among them."""
