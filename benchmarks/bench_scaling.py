"""Signals of one tile for ever more parcels: time should grow in a straight line above the decoding of the tile."""

from __future__ import annotations

import tempfile
from pathlib import Path

from contestants import FLOOR, OURS
from measure import Job, as_rows, circumstances, medians, run_all, settings
from report import print_circumstances, print_table, write_json
from tile import most_parcels


def main() -> None:
    """Run and report."""
    chosen = settings(__doc__)
    counts = [
        n for n in (chosen.parcels // 10, chosen.parcels, chosen.parcels * 10) if 0 < n <= most_parcels(chosen.size)
    ]
    tile, found = chosen.tile(counts), circumstances()
    jobs = [
        Job(kind="decode" if name == FLOOR else "signals", name=name, count=count)
        for count in counts
        for name in chosen.chosen([*OURS, FLOOR])
    ]
    with tempfile.TemporaryDirectory() as scratch:
        runs = run_all(jobs, tile, chosen.repeats, Path(scratch))
    rows = medians(runs)
    floors = {row.count: row.wall for row in rows if row.name == FLOOR}
    print_circumstances(found)
    print(f"10 indices on {chosen.size} x {chosen.size} pixels, medians of {chosen.repeats}\n")
    cells = []
    for row in sorted(rows, key=lambda row: (row.name == FLOOR, row.name, row.count)):
        above = row.wall - floors[row.count] if row.count in floors else float("nan")
        cells.append([
            row.name, f"{row.count:,}", f"{row.wall:.2f}", f"{row.wall / row.count * 1e6:.1f}",
            f"{above / row.count * 1e6:.1f}", f"{row.cpu:.2f}", f"{row.process_wall:.1f}", f"{row.peak_mb:,.0f}",
        ])  # fmt: skip
    header = ("", "parcels", "wall [s]", "us / parcel", "above the floor", "CPU [s]", "process [s]", "peak [MB]")
    print_table(header, cells)
    work = {"size": chosen.size, "parcels": counts, "repeats": chosen.repeats}
    record = {**found, "work": work, "medians": as_rows(rows), "runs": as_rows(runs)}
    write_json(chosen.results / f"scaling_{chosen.size}_{chosen.parcels}.json", record)


if __name__ == "__main__":
    main()
