"""Scenes as a provider delivers them: one COG a band, digital numbers, scale and offset in the band's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from rs_forecast.catalog import BANDS as CATALOG_BANDS
from rs_forecast.simulate._rng import generator
from rs_forecast.simulate._span import Span
from rs_forecast.simulate.clouds import Sky, draw_sky
from rs_forecast.simulate.crops import Crops, day_number
from rs_forecast.simulate.land import CRS, Land
from rs_forecast.simulate.pest import Infestation
from rs_forecast.simulate.pixels import Pixels, make_pixels
from rs_forecast.simulate.spectra import BANDS, SURFACES, paddy

TILE = "48PWS"
CLOUD = np.array([0.58, 0.57, 0.58, 0.59, 0.60, 0.60, 0.61, 0.61, 0.42, 0.36])
HAZE = np.array([0.022, 0.014, 0.009, 0.007, 0.006, 0.005, 0.004, 0.003, 0.001, 0.0])
"""What haze adds on a hazy day."""

NOISE, TEXTURE = 0.012, 0.035
"""Relative noise of the sensor, and of the ground from place to place (the same on all dates)."""

UNDER_WATER = 8
"""Days before sowing when a field is flooded for puddling."""

_RESOLUTION = {band.code: band.resolution for band in CATALOG_BANDS.values()}


@dataclass(frozen=True, kw_only=True)
class Studio:
    """All that a scene is made from; the day is still to be named."""

    seed: int
    pixels: Pixels
    sown: np.ndarray
    harvested: np.ndarray
    """(season, parcel) days since 1970-01-01."""
    mondays: pd.DatetimeIndex
    burn: np.ndarray
    """(week, parcel) share of the canopy."""
    nitrogen: np.ndarray
    last_year: int
    texture: dict[int, np.ndarray]
    """(pixel,) factor by pixel size."""


def make_studio(land: Land, crops: Crops, pest: Infestation, span: Span, seed: int) -> Studio:
    """Return what all scenes share."""
    pixels = make_pixels(land)
    rng = generator(seed, "ground")
    texture = {size: 1 + TEXTURE * rng.standard_normal(np.prod(shape)) for size, shape in pixels.shapes.items()}
    return Studio(
        seed=seed,
        pixels=pixels,
        sown=crops.sown,
        harvested=crops.harvested,
        mondays=pest.mondays,
        burn=pest.burn.astype(np.float32),
        nitrogen=pest.nitrogen,
        last_year=span.end.year,
        texture=texture,
    )


def write_scene(studio: Studio, day: pd.Timestamp, folder: Path) -> Path:
    """Write the scene of one day as ``<folder>/<scene_id>/<scene_id>_<band>.tif`` and return its folder."""
    rng = generator(studio.seed, "scene", day_number(day))
    product = _product(studio, day, rng)
    units = _unit_reflectance(studio, day)
    sky = draw_sky(studio.pixels.shapes[20], day.day_of_year, rng)
    seen = _swath(studio.pixels.shapes[20], rng)
    haze = rng.gamma(1.5, 0.35)
    target = folder / product.scene_id
    target.mkdir(parents=True, exist_ok=True)
    for number, code in enumerate(BANDS):
        size = _RESOLUTION[code]
        ground = studio.pixels.shares[size] @ units[:, number]
        ground = ground * studio.texture[size] * (1 + NOISE * rng.standard_normal(len(ground)))
        image = _through_sky(ground.reshape(studio.pixels.shapes[size]), sky, number, haze)
        values = np.clip(np.rint(image * 10_000) + product.added, 1, 65_535)
        values = np.where(_to_size(seen, size), values, 0).astype(np.uint16)
        _write_cog(target / f"{product.scene_id}_{code}.tif", values, code, size, studio.pixels, product)
    scl = np.where(seen, _classes(studio, units, sky), 0).astype(np.uint8)
    _write_cog(target / f"{product.scene_id}_SCL.tif", scl, "SCL", 20, studio.pixels, product)
    return target


@dataclass(frozen=True, kw_only=True)
class _Product:
    scene_id: str
    day: pd.Timestamp
    baseline: str
    added: int
    """To the digital numbers: 1000 from processing baseline 04.00 on."""


def _product(studio: Studio, day: pd.Timestamp, rng: np.random.Generator) -> _Product:
    """Draw the processing baseline: archives are reprocessed piecemeal, so that the day does not tell it."""
    age = studio.last_year - day.year
    old = rng.random() < min(0.5, 0.15 + 0.12 * age)
    baseline = str(rng.choice(["02.14", "03.01"] if old else ["05.00", "05.10", "05.11"]))
    scene_id = f"SYN_{TILE}_{day:%Y%m%d}_0_L2A"
    return _Product(scene_id=scene_id, day=day, baseline=baseline, added=0 if old else 1000)


def _unit_reflectance(studio: Studio, day: pd.Timestamp) -> np.ndarray:
    """Return (unit, band) reflectance of fields, strangers' fields and other surfaces on one day."""
    number = day_number(day)
    growing = (studio.sown - UNDER_WATER <= number) & (number < studio.harvested)
    age = np.where(growing.any(axis=0), number - np.where(growing, studio.sown, 0).max(axis=0), np.nan)
    last = np.where(studio.harvested <= number, studio.harvested, 0).max(axis=0)
    week = max(0, int(studio.mondays.searchsorted(day, side="right")) - 1)
    rice = paddy(age, number - last, studio.nitrogen, np.where(age > 7, studio.burn[week], 0.0))
    return np.concatenate([rice[studio.pixels.field_of], np.array(list(SURFACES.values()))])


def _through_sky(ground: np.ndarray, sky: Sky, band: int, haze: float) -> np.ndarray:
    """Return what the satellite sees of ``ground``: shaded, hazy, and behind clouds."""
    size = 20 * sky.shade.shape[0] // ground.shape[0]
    opacity = _to_size(sky.opacity, size)
    lit = ground * _to_size(sky.shade, size) + haze * HAZE[band]
    return np.asarray(lit * (1 - opacity) + (CLOUD[band] + 0.15 * opacity) * opacity)


def _to_size(grid20: np.ndarray, size: int) -> np.ndarray:
    return grid20 if size == 20 else grid20.repeat(2, axis=0).repeat(2, axis=1)


def _swath(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return what the orbit covered: all of it, but for a few scenes that its edge cuts."""
    cut, lean = rng.uniform(0.35, 0.9), rng.uniform(0.1, 0.25)
    if rng.random() > 0.05:
        return np.ones(shape, bool)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(x < shape[1] * cut + lean * (shape[0] - y))


def _classes(studio: Studio, units: np.ndarray, sky: Sky) -> np.ndarray:
    """Return the scene classification: cloud and shadow from the sky, the ground from its own reflectance."""
    bands = [BANDS.index(code) for code in ("B03", "B04", "B8A")]
    green, red, nir = (studio.pixels.shares[20] @ units[:, bands]).T
    vegetated, water = (nir - red) / (nir + red) > 0.45, (green > nir) & (nir < 0.11)
    ground = np.where(vegetated, 4, np.where(water, 6, 5)).reshape(sky.scl.shape)
    return np.where(sky.scl > 0, sky.scl, ground)


def _write_cog(path: Path, values: np.ndarray, code: str, size: int, pixels: Pixels, product: _Product) -> None:
    """Write one band as COG: georeferenced, nodata 0, and with the tags of its product."""
    profile = {
        "driver": "COG", "compress": "DEFLATE", "predictor": "YES", "level": 1,
        "dtype": values.dtype, "count": 1, "height": values.shape[0], "width": values.shape[1],
        "crs": CRS, "transform": pixels.transform(size), "nodata": 0,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
        file.set_band_description(1, code)
        if code != "SCL":
            file.scales, file.offsets = (1e-4,), (-product.added * 1e-4,)
        file.update_tags(
            SYNTHETIC="YES",
            TIFFTAG_IMAGEDESCRIPTION=f"SYNTHETIC {code} of a made-up rice valley; no satellite saw this",
            PROCESSING_BASELINE=product.baseline,
            DATETIME=f"{product.day:%Y-%m-%d}",
            TILE=TILE,
        )
