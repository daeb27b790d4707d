"""exactextract on the very pixels that signals are made from: indices by the plain formula, clouds by brute force."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import scenes as made
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource

from rs_forecast.catalog import INDICES, Index

NDRE_NARROW = Index(
    name="ndre_narrow",
    formula="(nir_narrow - red_edge1) / (nir_narrow + red_edge1)",
    valid=(-1.0, 1.0),
    doi="",
    doc="NDRE of 20 m bands",
)
OPS = {"mean": "mean", "std": "stdev", "p10": "quantile_10", "p50": "quantile_50", "p90": "quantile_90"}
"""Our statistics, and what exactextract calls them."""


def exact(values: np.ndarray, parcels: gpd.GeoDataFrame, west: float, north: float, size: float) -> pd.DataFrame:
    """Return exactextract's statistics of one raster, named as ours, by parcel."""
    rows, cols = values.shape
    source = NumPyRasterSource(
        values.astype(np.float32), west, north - rows * size, west + cols * size, north, srs_wkt=parcels.crs.to_wkt()
    )
    ops = ["mean", "stdev", "quantile(q=0.1)", "quantile(q=0.5)", "quantile(q=0.9)", "count"]
    found = exact_extract(source, parcels, ops, include_cols=["parcel_id"], output="pandas")
    return found.set_index("parcel_id").astype(float).rename(columns={theirs: ours for ours, theirs in OPS.items()})


def plain_index(name: str, band: dict[str, np.ndarray]) -> np.ndarray:
    """Return an index by the plain formula, in float32, NaN outside its valid range."""
    formulas = {
        "ndvi": lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"]),
        "evi": lambda b: (
            np.float32(2.5)
            * (b["nir"] - b["red"])
            / (b["nir"] + np.float32(6) * b["red"] - np.float32(7.5) * b["blue"] + np.float32(1))
        ),
        "ndre": lambda b: (b["nir"] - b["red_edge1"]) / (b["nir"] + b["red_edge1"]),
        "lswi": lambda b: (b["nir"] - b["swir1"]) / (b["nir"] + b["swir1"]),
        "ndre_narrow": lambda b: (b["nir_narrow"] - b["red_edge1"]) / (b["nir_narrow"] + b["red_edge1"]),
    }
    with np.errstate(all="ignore"):
        value = formulas[name](band)
    low, high = NDRE_NARROW.valid if name == "ndre_narrow" else INDICES[name].valid
    return np.where((value >= low) & (value <= high), value, np.float32(np.nan))


def clear_of(scl: np.ndarray, metres: float = 20.0, pixel: float = 20.0) -> np.ndarray:
    """Return which pixels of a classification are clear, by brute force."""
    return ~(made.grown(np.isin(scl, (3, 8, 9, 10, 11)), pixel, metres) | np.isin(scl, (0, 1)))


def assert_like_exact(signals: pd.DataFrame, band: dict[str, np.ndarray], parcels, west, north, size, names) -> int:
    """Hold the signals of one date against exactextract on ``band``, NaN where not valid; return the rows compared."""
    valid = ~np.isnan(np.stack(list(band.values()))).any(axis=0)
    masked = {name: np.where(valid, values, np.float32(np.nan)) for name, values in band.items()}
    seen = exact(np.where(valid, np.float32(1), np.float32(np.nan)), parcels, west, north, size)["count"]
    ours = signals.set_index("parcel_id").reindex(seen.index)
    np.testing.assert_allclose(ours["valid_weight"].fillna(0.0), seen, rtol=1e-6, atol=1e-5)
    for name in names:
        theirs = exact(plain_index(name, masked), parcels, west, north, size)
        some = theirs["count"] > 1e-5
        for stat in OPS:
            tolerance = 1e-6 if stat == "mean" else 1e-5
            np.testing.assert_allclose(
                ours.loc[some, f"{name}_{stat}"], theirs.loc[some, stat], rtol=0, atol=tolerance, err_msg=stat
            )
    return int((seen > 1e-5).sum())


def scene_bands(truth: made.Truth, codes=made.CODES, *, metres: float = 20.0) -> dict[str, np.ndarray]:
    """Return a synthetic scene's reflectance at 10 m by band name, NaN where it is not clear."""
    clear = clear_of(truth.numbers["SCL"], metres).repeat(2, axis=0).repeat(2, axis=1)
    names = {"B02": "blue", "B04": "red", "B05": "red_edge1", "B08": "nir", "B8A": "nir_narrow", "B11": "swir1"}
    return {names[code]: np.where(clear, truth.at_10m(code), np.float32(np.nan)) for code in codes}
