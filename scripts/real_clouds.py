"""Measure on real fields how often they are seen clear, and what leaving dips out does to their series.

    python -m scripts.real_clouds WORLDCEREAL_FOLDER [--jolanda FOLDER] [--pictures docs]

prints the tables of docs/real-pixels.md, and draws its pictures. Nothing but the numbers and pictures is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_forecast import extract_signals
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.clouds import weekly_clouds
from rs_forecast.cube import find_scenes
from rs_forecast.kernels.coverage import coverage_table
from rs_forecast.looks import CLEAR, CLOUDY, DIP, judged_looks
from rs_forecast.plots import plot_clouds, plot_series
from rs_forecast.signals import MASK_DILATE_M
from rs_forecast.sources.scene import scenes_table
from scripts.flanders_square import vectorise

SQUARES = ("00002806639B424A", "0000280849BAC91C")
SHOWN = SQUARES[0]
SPAN = 30
"""Days from the look before to the look after within which a look is held against the line between them."""
DRAWS = 200
CREDIT = (
    "Contains modified Copernicus Sentinel data 2017-2018. Fields: crop labels of the WorldCereal training cubes "
    "(Flanders LPIS, free open data licence Flanders)."
)

Floats = NDArray[np.float64]


class Square(NamedTuple):
    """One square: its fields, its scenes, and the fields' signals under three masks."""

    name: str
    parcels: gpd.GeoDataFrame
    scenes: pd.DataFrame
    unmasked: pd.DataFrame
    masked: pd.DataFrame
    grown: pd.DataFrame


class Series(NamedTuple):
    """Looks of many fields by field, then day, with two indices."""

    field: NDArray[np.int64]
    day: NDArray[np.int64]
    ndvi: Floats
    lswi: Floats

    def at(self, rows: NDArray[np.bool_]) -> Series:
        """Return some of the looks."""
        return Series(self.field[rows], self.day[rows], self.ndvi[rows], self.lswi[rows])


def read_square(folder: Path) -> Square:
    """Return a square's signals: without a mask, with the scene classes masked, and with that mask grown."""
    parcels = vectorise(next(folder.glob("OUTPUT_*.nc")))
    scenes = find_scenes("local", folder)
    signals = [
        extract_signals(scenes, parcels, ["ndvi", "lswi"], mask_classes=classes, mask_dilate_m=metres)
        for classes, metres in (((0,), 0.0), (SCL_MASKED, 0.0), (SCL_MASKED, MASK_DILATE_M))
    ]
    return Square(folder.name, parcels, scenes_table(scenes), *signals)


def read_jolanda(folder: Path) -> tuple[pd.DataFrame, gpd.GeoDataFrame, pd.DataFrame]:
    """Return signals, fields and scenes of two fields at Jolanda di Savoia, of which there are NDVI and SCL alone."""
    parcels = gpd.read_file(folder / "sampleroi.geojson").to_crs(32632).rename(columns={"id": "parcel_id"})
    parts, dates = [], []
    for file in sorted((folder / "NDVI").glob("*.tif")):
        date = pd.Timestamp(file.name.split("_")[1])
        dates.append(date)
        with rasterio.open(file) as src, rasterio.open(folder / "SCL" / file.name.replace("NDVI", "SCL")) as scl:
            box = GeoBox(src.shape, src.transform, "EPSG:32632")
            x, y = src.transform @ np.stack(np.meshgrid(np.arange(src.width) + 0.5, np.arange(src.height) + 0.5))
            classes = scl.read(1)[rasterio.transform.rowcol(scl.transform, x.ravel(), y.ravel())]
            ndvi = np.where(src.read(1) == src.nodata, np.nan, src.read(1) / 1e4).ravel()
        cover = coverage_table(parcels, box)
        pixel = cover.row * box.width + cover.col
        valid = cover.weight * ~np.isin(classes, SCL_MASKED)[pixel] * np.isfinite(ndvi[pixel])
        weight, area = (np.bincount(cover.parcel, w, minlength=len(parcels)) for w in (valid, cover.weight))
        total = np.bincount(cover.parcel, valid * np.nan_to_num(ndvi[pixel]), minlength=len(parcels))
        part = {"parcel_id": parcels["parcel_id"], "date": date, "valid_weight": weight}
        part |= {"valid_fraction": weight / area, "ndvi_mean": total / np.maximum(weight, 1e-9)}
        parts.append(pd.DataFrame(part)[weight > 0])
    table = pd.concat(parts, ignore_index=True).assign(tile="jolanda", scene_id="sen2rts", geom_hash="0")
    table["known_at"] = table["date"]
    table = table.astype(dict.fromkeys(("date", "known_at"), "datetime64[us]"))
    scenes = pd.DataFrame({"date": dates, "known_at": dates, "tile": "jolanda"})
    return table, parcels, scenes


def week_rows(name: str, signals: pd.DataFrame, parcels: gpd.GeoDataFrame, scenes: pd.DataFrame) -> list[str]:
    """Return a place's row of the table of weeks."""
    found = weekly_clouds(signals, parcels, scenes=scenes)
    looks, kind = judged_looks(signals)
    span = f"{found['week'].min():%Y-%m-%d} to {found['week'].max() + pd.Timedelta(days=6):%Y-%m-%d}"
    dates, fields = scenes["date"].nunique(), len(parcels)
    return [
        name, str(fields), span, str(dates), f"{len(looks) / (dates * fields):.0%}",
        f"{(kind == CLEAR).sum() / (dates * fields):.0%}", f"{found['clear_share'].mean():.0%}",
        f"{(found['clear'] == 0).sum()} of {len(found)}", f"{found['clear_share_4_weeks'].iloc[3:].min():.0%}",
        f"{found['median_age_days'].max():.0f}",
    ]  # fmt: skip


def residuals(series: Series, name: str) -> Floats:
    """Return how far each look lies from the line between the looks before and after it."""
    day, value = series.day.astype(np.float64), getattr(series, name)
    near = (series.field[2:] == series.field[:-2]) & (day[2:] - day[:-2] <= SPAN)
    share = (day[1:-1] - day[:-2]) / (day[2:] - day[:-2])
    away: Floats = (value[1:-1] - value[:-2] - share * (value[2:] - value[:-2]))[near]
    return away


def spread(series: Series) -> Floats:
    """Return median and root mean square of the residuals of NDVI, and root mean square of those of LSWI."""
    ndvi, lswi = residuals(series, "ndvi"), residuals(series, "lswi")
    return np.array([np.median(np.abs(ndvi)), np.sqrt(np.mean(ndvi**2)), np.sqrt(np.mean(lswi**2))])


def series_of(squares: list[Square], mask: str) -> tuple[Series, NDArray[np.int8]]:
    """Return all looks under a mask, and the kind of each."""
    parts, kinds = [], []
    for number, square in enumerate(squares):
        looks, kind = judged_looks(getattr(square, mask))
        field = square.parcels.set_index("parcel_id").index.get_indexer(pd.Index(looks["parcel_id"]))
        day = looks["date"].to_numpy("datetime64[D]").astype(np.int64)
        values = (looks[f"{name}_mean"].to_numpy(np.float64) for name in ("ndvi", "lswi"))
        parts.append(Series(field + 1000 * number, day, *values))
        kinds.append(kind)
    return Series(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), np.concatenate(kinds)


def without_any(series: Series, dropped: NDArray[np.int64], rng: np.random.Generator) -> Series:
    """Return ``series`` with as many looks of each field left out at random as ``dropped`` says; ends stay."""
    keep = np.ones(len(series.day), np.bool_)
    for field, count in enumerate(dropped):
        own = np.flatnonzero(series.field == field)
        keep[rng.choice(own[1:-1], count, replace=False)] = False
    return series.at(keep)


def smoothness_rows(squares: list[Square]) -> Iterator[list[str]]:
    """Yield the rows of the table of smoothness."""
    for words, mask in (("no mask", "unmasked"), ("classes masked", "masked"), ("mask grown", "grown")):
        series, kind = series_of(squares, mask)
        counts = series.at(kind != CLOUDY)
        yield [words, str(len(counts.day)), *(f"{value:.4f}" for value in spread(counts))]
    clear = series.at(kind == CLEAR)
    yield ["and dips left out", str(len(clear.day)), *(f"{value:.4f}" for value in spread(clear))]
    dropped = np.bincount(series.field[kind == DIP], minlength=int(series.field.max()) + 1)
    rng = np.random.default_rng(0)
    draws = np.array([spread(without_any(counts, dropped, rng)) for _ in range(DRAWS)])
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    ranges = [f"{a:.4f} to {b:.4f}" for a, b in zip(low, high, strict=True)]
    yield ["instead, as many at random", str(len(counts.day) - dropped.sum()), *ranges]


def cloud_nearby(squares: list[Square]) -> dict[str, tuple[int, int]]:
    """Return, of dips and of other clear looks, how many were on a day with cloud masked over any field; and all."""
    found = {"dips": np.zeros(2, np.int64), "others": np.zeros(2, np.int64)}
    for square in squares:
        looks, kind = judged_looks(square.grown)
        whole = looks["valid_fraction"].gt(0.999).groupby(looks["date"]).sum() == len(square.parcels)
        cloudy = ~looks["date"].map(whole).to_numpy(np.bool_)
        for name, code in (("dips", DIP), ("others", CLEAR)):
            found[name] += ((kind == code) & cloudy).sum(), (kind == code).sum()
    return {name: (int(a), int(b)) for name, (a, b) in found.items()}


def markdown(header: list[str], rows: Any) -> str:
    """Return a table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def draw(square: Square, folder: Path) -> None:
    """Draw the calendar of a square, and the series of the field with the most dips."""
    looks, kind = judged_looks(square.grown)
    field = looks.loc[kind == DIP, "parcel_id"].value_counts().sort_index().idxmax()
    calendar = plot_clouds(weekly_clouds(square.grown, square.parcels, scenes=square.scenes))
    series = plot_series(square.grown, str(field), scenes=square.scenes)
    for name, figure in (("real-clouds.png", calendar), ("real-series.png", series)):
        axes = figure.axes[1 if name == "real-series.png" else 0]
        axes.set_xlabel(f"{axes.get_xlabel()}\n{CREDIT}".lstrip(), fontsize=7)
        figure.savefig(folder / name, dpi=90, metadata={"Software": None})


def report(squares: list[Square], jolanda: Path | None) -> str:
    """Return all tables as text."""
    places = [(f"Flanders {s.name[-4:]}", s.grown, s.parcels, s.scenes) for s in squares]
    if jolanda is not None:
        places.append(("Jolanda di Savoia", *read_jolanda(jolanda)))
    weeks = ["place", "fields", "weeks", "dates", "looks with a clear pixel", "clear looks", "seen clear in a week",
             "weeks without any", "least seen in 4 weeks", "highest median age [days]"]  # fmt: skip
    smooth = ["looks", "number", "NDVI, median", "NDVI, RMS", "LSWI, RMS"]
    near = cloud_nearby(squares)
    told = "; ".join(f"{name} {a} of {b} ({a / b:.0%})" for name, (a, b) in near.items())
    return "\n\n".join(
        (
            markdown(weeks, [week_rows(*place) for place in places]),
            markdown(smooth, smoothness_rows(squares)),
            f"On days with cloud masked over any field of the square: {told}.",
        )
    )


def main() -> None:
    """Print, and draw where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cubes", type=Path, help="folder that holds the two squares' folders")
    parser.add_argument("--jolanda", type=Path, help="folder of the sen2rts sample: NDVI/, SCL/, sampleroi.geojson")
    parser.add_argument("--pictures", type=Path, help="folder to draw into")
    arguments = parser.parse_args()
    squares = [read_square(arguments.cubes / name) for name in SQUARES]
    print(report(squares, arguments.jolanda))
    if arguments.pictures is not None:
        draw(next(square for square in squares if square.name == SHOWN), arguments.pictures)


if __name__ == "__main__":
    main()
