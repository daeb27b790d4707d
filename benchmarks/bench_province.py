"""A province on Monday morning: from stored signals of five tiles to the finished risk map of a million parcels.

Everything is SYNTHETIC, signals and labels are random numbers: what is measured is time and memory, not skill.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from measure import HERE, Settings, circumstances, settings
from odc.geo.geobox import GeoBox
from report import print_circumstances, print_table, write_json
from tile import CRS, NORTH, WEST, make_parcels

from rs_forecast import RiskModel, build_dataset, write_risk_map
from rs_forecast.catalog.bands import SCL, SCL_MASKED
from rs_forecast.ground import geometry_hashes
from rs_forecast.signals import MASK_DILATE_M, index_rows
from rs_forecast.sources.scene import BandFile, Scene
from rs_forecast.store import SignalStore
from rs_forecast.store.parts import parcels_hash, write_part
from rs_forecast.store.recipe import Recipe
from rs_forecast.store.shelf import Shelf, head_of

TILES, DATES = 5, 12
INDICES = ("ndvi", "evi", "ndre", "lswi")
STATS = ("mean", "p10", "p90")
PEST, HORIZONS = "brown_planthopper", (1, 2)
ISSUED = pd.Timestamp("2026-03-02")
STAGES = ("read signals", "features", "forecast", "map")
_SITES = 20


def main() -> None:
    """Make the province if it is missing, run in fresh processes, report."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(run(Path(sys.argv[2]))))
        return
    chosen = settings(__doc__)
    folder = chosen.data / f"province_{chosen.size}_{chosen.parcels * 10}"
    if not (folder / "made").exists():
        make(folder, chosen)
    print(f"province of {TILES} tiles in {folder}", flush=True)
    found, runs = circumstances(), []
    for turn in range(chosen.repeats):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "bench_province.py"), "--child", str(folder)],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  round {turn + 1}: {runs[-1]['total']:.1f} s", flush=True)
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print_circumstances(found)
    print(
        f"{middle['parcels']:,.0f} parcels in {TILES} tiles, {DATES} dates, {len(INDICES)} indices, {len(HORIZONS)} "
        f"horizons, medians of {chosen.repeats}\n"
    )
    print_table(("", "seconds"), [(name, f"{middle[name]:.1f}") for name in (*STAGES, "total")])
    print(f"peak memory {middle['peak_mb']:,.0f} MB")
    work = {"size": chosen.size, "parcels": middle["parcels"], "tiles": TILES, "dates": DATES}
    write_json(
        chosen.results / f"province_{chosen.size}.json", {**found, "work": work, "medians": middle, "runs": runs}
    )


def run(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage, and the peak of memory, on a province made before."""
    dict(_stages(folder, few=2000))  # compiles
    taken = dict(_stages(folder))
    parcels = len(gpd.read_parquet(folder / "parcels.parquet", columns=["parcel_id", "geometry"]))
    return {**taken, "total": sum(taken.values()), "peak_mb": _high_water() / 1e6, "parcels": parcels}


def _stages(folder: Path, few: int | None = None) -> Iterator[tuple[str, float]]:
    parcels = gpd.read_parquet(folder / "parcels.parquet").iloc[:few]
    surveys = pd.read_parquet(folder / "surveys.parquet")
    weather = pd.read_parquet(folder / "weather.parquet"), pd.read_parquet(folder / "weights.parquet").iloc[:few]
    model = RiskModel.load(folder / "model")
    scenes = _scenes(_size_of(folder))
    clock = time.perf_counter()

    def lap(name: str) -> tuple[str, float]:
        nonlocal clock
        before, clock = clock, time.perf_counter()
        return name, clock - before

    signals = SignalStore(folder / "signals").read(scenes, parcels, INDICES, stats=STATS)
    yield lap(STAGES[0])
    live = build_dataset(parcels, signals, weather, surveys, pest=PEST, horizon_weeks=HORIZONS, issued=ISSUED)
    yield lap(STAGES[1])
    risk = model.predict(live)
    yield lap(STAGES[2])
    with tempfile.TemporaryDirectory(dir=folder) as out:
        write_risk_map(risk, Path(out) / "map", crs=CRS, synthetic=True, geojson=False, geoparquet=True)
        yield lap(STAGES[3])


def make(folder: Path, chosen: Settings) -> None:
    """Draw parcels, signals, weather and surveys, and train a small model on them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    (folder / "size").write_text(str(chosen.size))
    each = chosen.parcels * 10 // TILES
    tiles = []
    for k in range(TILES):
        part = make_parcels(each, size=chosen.size, seed=k)
        part.geometry = part.translate(k * chosen.size * 10.0)
        tiles.append(
            part.assign(parcel_id=[f"t{k}-{n:06d}" for n in range(len(part))], tile=k)[
                ["parcel_id", "geometry", "tile"]
            ]
        )
    parcels = gpd.GeoDataFrame(pd.concat(tiles, ignore_index=True), crs=CRS)
    parcels["commune_code"] = (np.arange(len(parcels)) * 100 // len(parcels)).astype(str)
    _make_signals(folder / "signals", parcels, _scenes(chosen.size), rng)
    weather, weights = _weather(parcels, rng)
    surveys = _surveys(parcels, rng)
    parcels.drop(columns="tile").to_parquet(folder / "parcels.parquet")
    for name, table in (("weather", weather), ("weights", weights), ("surveys", surveys)):
        table.to_parquet(folder / f"{name}.parquet")
    some = parcels[parcels["parcel_id"].isin(surveys["parcel_id"])]
    signals = SignalStore(folder / "signals").read(_scenes(chosen.size), some, INDICES, stats=STATS)
    history = build_dataset(some, signals, (weather, weights), surveys, pest=PEST, horizon_weeks=HORIZONS)
    RiskModel.fit(history).save(folder / "model")
    (folder / "made").touch()


def _scenes(size: int) -> list[Scene]:
    """Scenes of which nothing is on disk but their signals."""
    out = []
    for k in range(TILES):
        west = WEST + k * size * 10.0
        fine = GeoBox((size, size), Affine(10, 0, west, 0, -10, NORTH), CRS)
        coarse = GeoBox((size // 2, size // 2), Affine(20, 0, west, 0, -20, NORTH), CRS)
        grids = {"blue": fine, "red": fine, "nir": fine, "red_edge1": coarse, "swir1": coarse, SCL: coarse}
        for n in range(DATES):
            date = ISSUED - pd.Timedelta(days=5 * (DATES - n))
            bands = {
                name: BandFile(href="none", driver="GTiff", geobox=grid, scale=1e-4, offset=-0.1, nodata=0.0)
                for name, grid in grids.items()
            }
            out.append(
                Scene(
                    scene_id=f"t{k}_{date:%Y%m%d}", tile=f"48PW{'STUVX'[k]}", date=date, known_at=date, baseline="",
                    known_at_basis="assumed", provider="local", bands=bands, synthetic=True,
                )
            )  # fmt: skip
    return out


def _make_signals(folder: Path, parcels: gpd.GeoDataFrame, scenes: list[Scene], rng: np.random.Generator) -> None:
    recipe = Recipe(indices=tuple(index_rows(INDICES)), mask_classes=SCL_MASKED, mask_dilate_m=MASK_DILATE_M)
    shelf = Shelf(folder)
    names = {row.name: code for code, row in recipe.by_hash.items()}
    hashes = np.array(geometry_hashes(parcels))
    for scene in scenes:
        own = parcels["tile"].to_numpy() == int(scene.scene_id[1])
        count = int(own.sum())
        target = shelf.target(scene, recipe, dict.fromkeys(recipe.used(scene), scene.scene_id), scene.date)
        clear = rng.random(count) < 0.8
        values: dict[str, Any] = {"valid_weight": clear * 80.0, "valid_fraction": clear * 0.99}
        for name in names:
            middle = rng.uniform(0.1, 0.8, count).astype(np.float32)
            for stat, step in (("mean", 0.0), ("std", 0.0), ("p10", -0.1), ("p50", 0.0), ("p90", 0.1)):
                values[f"{name}_{stat}"] = np.where(clear, middle + np.float32(step), np.nan).astype(np.float32)
        outlines = hashes[own].tolist()
        head = head_of(target, recipe, names, parcels_hash(outlines), 1)
        write_part(folder, head, parcels["parcel_id"][own].tolist(), outlines, values)


def _weather(parcels: gpd.GeoDataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    days = pd.date_range(ISSUED - pd.Timedelta(days=400), ISSUED).astype("datetime64[us]")
    rows = pd.DataFrame(
        {
            "site": np.repeat([f"s{k}" for k in range(_SITES)], len(days)),
            "date": np.tile(days, _SITES),
            "known_at": np.tile(days, _SITES),
        }
    ).astype({"site": "str"})
    for name, low, high in (("temp_mean", 22, 32), ("rain_sum", 0, 20), ("rh_mean", 60, 95)):
        rows[name] = rng.uniform(low, high, len(rows))
    site = pd.Series([f"s{k}" for k in np.arange(len(parcels)) * _SITES // len(parcels)], dtype="str")
    weights = pd.DataFrame({"parcel_id": parcels["parcel_id"].astype("str"), "site": site, "weight": 1.0})
    return rows, weights


def _surveys(parcels: gpd.GeoDataFrame, rng: np.random.Generator) -> pd.DataFrame:
    visited = parcels["parcel_id"].sample(min(4000, len(parcels)), random_state=0).to_numpy()
    parts = []
    for week in range(1, 6):
        date = ISSUED - pd.Timedelta(days=7 * week)
        value = rng.choice([0.0, 100.0, 900.0], len(visited), p=[0.6, 0.25, 0.15])
        parts.append(pd.DataFrame({"parcel_id": visited, "date": date, "known_at": date, "value": value}))
    table = pd.concat(parts, ignore_index=True).assign(pest=PEST, unit="insects/m2")
    return table.astype(
        {"parcel_id": "str", "pest": "str", "unit": "str", "date": "datetime64[us]", "known_at": "datetime64[us]"}
    )


def _size_of(folder: Path) -> int:
    return int((folder / "size").read_text())


def _high_water() -> float:
    """Return the highest resident memory of this process [bytes]."""
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
