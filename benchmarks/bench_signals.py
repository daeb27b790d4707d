"""Signals of one tile: ours beside the peers and beside the floor, from the call to the table on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from contestants import FLOOR, FLOORS, REFERENCE, SIGNALS
from measure import Job, Median, as_rows, circumstances, medians, run_all, settings, table_path
from report import draw_bars, print_circumstances, print_table, write_json
from work import COLUMNS

TOLERANCE = 1e-5
"""Of quantiles. They jump with the number of pixels: where exactextract counts one of share 1e-12, ours may not."""


def main() -> None:
    """Run, compare and report."""
    chosen = settings(__doc__)
    tile, found = chosen.tile([chosen.parcels]), circumstances()
    names = [("signals", name) for name in SIGNALS] + [("decode", name) for name in FLOORS]
    wanted = chosen.chosen([name for _, name in names])
    jobs = [Job(kind=kind, name=name, count=chosen.parcels) for kind, name in names if name in wanted]
    with tempfile.TemporaryDirectory() as scratch:
        runs = run_all(jobs, tile, chosen.repeats, Path(scratch))
        tables = {job.name: pd.read_parquet(table_path(Path(scratch), job)) for job in jobs if job.kind == "signals"}
    rows, differences = medians(runs), compared(tables)
    size = sum(file.stat().st_size for file in tile.scenes.glob("*.tif"))
    title = f"10 indices, {chosen.parcels:,} parcels, {chosen.size} x {chosen.size} pixels, {size / 1e6:.0f} MB"
    print_circumstances(found)
    print(f"{title}, medians of {chosen.repeats}\n")
    print_speeds(rows)
    print_differences(differences)
    stem = chosen.results / f"signals_{chosen.size}_{chosen.parcels}"
    work = {"size": chosen.size, "parcels": chosen.parcels, "repeats": chosen.repeats, "bytes": size}
    record = {**found, "work": work, "medians": as_rows(rows), "differences": differences, "runs": as_rows(runs)}
    write_json(stem.with_suffix(".json"), record)
    draw_bars(stem.with_suffix(".png"), rows, title)


def print_speeds(rows: Sequence[Median]) -> None:
    """Print the medians, and how they stand to the floor and to the reference."""
    wall = {row.name: row.wall for row in rows}

    def ratio(above: float | None, below: float | None) -> str:
        return f"{above / below:.2f}" if above and below else "-"

    cells = [
        [
            row.name,
            f"{row.wall:.2f}{'*' if row.extrapolated else ''}",
            f"{row.cpu:.2f}{'*' if row.extrapolated else ''}",
            f"{row.process_wall:.1f}",
            f"{row.peak_mb:,.0f}",
            ratio(row.wall, wall.get(FLOOR)),
            ratio(wall.get(REFERENCE), row.wall),
        ]
        for row in rows
    ]
    header = ("", "wall [s]", "CPU [s]", "process [s]", "peak [MB]", "x floor", f"{REFERENCE} / this")
    print_table(header, cells)
    if any(row.extrapolated for row in rows):
        print("* extrapolated from the first parcels; process and peak are those of the cut")


def compared(tables: dict[str, pd.DataFrame]) -> list[dict[str, object]]:
    """Return for each table how far it lies from the reference's: the median and the largest difference."""
    if REFERENCE not in tables:
        return []
    exact = tables[REFERENCE].set_index("parcel_id")
    kinds = {
        "mean NDVI": ["ndvi_mean"],
        "any mean": [name for name in COLUMNS if name.endswith("_mean")],
        "any std": [name for name in COLUMNS if name.endswith("_std")],
        "any quantile": [name for name in COLUMNS if name[-3:] in ("p10", "p50", "p90")],
        "valid weight [pixels]": ["valid_weight"],
    }
    out: list[dict[str, object]] = []
    for name, table in tables.items():
        if name == REFERENCE:
            continue
        own = table.set_index("parcel_id")
        both = exact.index.intersection(own.index)
        row: dict[str, object] = {
            "name": name,
            "parcels": len(both),
            "only_one_has": len(own.index.symmetric_difference(exact.index)),
        }
        for kind, columns in kinds.items():
            gap = (own.loc[both, columns] - exact.loc[both, columns]).abs().to_numpy()
            row[kind] = {"median": float(np.nanmedian(gap)), "largest": float(np.nanmax(gap))}
            if kind == "any quantile":
                row["quantiles_differ"] = int((np.nan_to_num(gap) > TOLERANCE).any(axis=1).sum())
        out.append(row)
    return out


def print_differences(rows: list[dict[str, object]]) -> None:
    """Print the differences from the reference, median and largest."""
    if not rows:
        return
    kinds = [key for key, value in rows[0].items() if isinstance(value, dict)]
    print(f"\nDifference from {REFERENCE}, median / largest")
    cells = []
    for row in rows:
        gaps = [f"{row[kind]['median']:.1e} / {row[kind]['largest']:.1e}" for kind in kinds]  # type: ignore[index]
        cells.append([str(row["name"]), str(row["parcels"]), *gaps, str(row["quantiles_differ"])])
    print_table(("", "parcels", *kinds, f"parcels with a quantile > {TOLERANCE:g}"), cells)


if __name__ == "__main__":
    main()
