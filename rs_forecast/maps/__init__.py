"""Risk table -> files that a GIS desk opens: GeoTIFF, GeoJSON, QGIS styles."""

from rs_forecast.maps.products import write_products, write_risk_map

__all__ = ["write_products", "write_risk_map"]
