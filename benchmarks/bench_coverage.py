"""Coverage of parcels: the time per 100,000, the agreement with exactextract, and how time grows with the parcels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from contestants import COVERAGE, REFERENCE
from measure import Job, as_rows, circumstances, medians, run_all, settings, table_path
from report import draw_bars, print_circumstances, print_table, write_json
from tile import Tile, most_parcels
from work import PIXEL

OURS = "rs_forecast"


def main() -> None:
    """Run, compare and report."""
    chosen = settings(__doc__)
    counts = [
        n for n in (chosen.parcels // 10, chosen.parcels, chosen.parcels * 10) if 0 < n <= most_parcels(chosen.size)
    ]
    tile, found = chosen.tile(counts), circumstances()
    first = [Job(kind="coverage", name=name, count=chosen.parcels) for name in chosen.chosen(list(COVERAGE))]
    others = [Job(kind="coverage", name=OURS, count=count) for count in counts if count != chosen.parcels]
    with tempfile.TemporaryDirectory() as scratch:
        runs = run_all([*first, *others], tile, chosen.repeats, Path(scratch))
        tables = {job.name: pd.read_parquet(table_path(Path(scratch), job)) for job in first}
    rows, differences = medians(runs), compared(tables, tile, chosen.parcels)
    print_circumstances(found)
    print(f"coverage of parcels on {chosen.size} x {chosen.size} pixels, medians of {chosen.repeats}\n")
    cells = [
        [row.name, f"{row.count:,}", f"{row.wall:.3f}", f"{row.wall / row.count * 1e5:.3f}", f"{row.cpu:.2f}",
         f"{row.process_wall:.1f}", f"{row.peak_mb:,.0f}"]
        for row in sorted(rows, key=lambda row: (row.name, row.count))
    ]  # fmt: skip
    print_table(("", "parcels", "wall [s]", "s / 100,000", "CPU [s]", "process [s]", "peak [MB]"), cells)
    for name, value in differences.items():
        print(f"{name}: {value:.3g}")
    stem = chosen.results / f"coverage_{chosen.size}_{chosen.parcels}"
    work = {"size": chosen.size, "parcels": counts, "repeats": chosen.repeats}
    record = {**found, "work": work, "medians": as_rows(rows), "differences": differences, "runs": as_rows(runs)}
    write_json(stem.with_suffix(".json"), record)
    equal = [row for row in rows if row.count == chosen.parcels]
    draw_bars(stem.with_suffix(".png"), equal, f"coverage of {chosen.parcels:,} parcels")


def compared(tables: dict[str, pd.DataFrame], tile: Tile, count: int) -> dict[str, float]:
    """Return the largest differences between the coverages, and from the area of the polygons."""
    out = {}
    if OURS in tables:
        area = gpd.read_parquet(tile.parcels(count)).area.to_numpy() / PIXEL**2
        covered = np.bincount(tables[OURS]["parcel"], tables[OURS]["weight"], minlength=count)
        out["sum of weights against area, largest relative difference"] = float((np.abs(covered - area) / area).max())
    if len(tables) == len(COVERAGE):
        both = tables[OURS].merge(tables[REFERENCE], on=["parcel", "pixel"], how="outer", suffixes=("", "_exact"))
        gap = both["weight"].fillna(0.0) - both["weight_exact"].fillna(0.0)
        out["weights against exactextract, largest difference"] = float(gap.abs().max())
        out["pixels that only one of them has"] = float(both[["weight", "weight_exact"]].isna().any(axis=1).sum())
    return out


if __name__ == "__main__":
    main()
