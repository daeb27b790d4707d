"""What a benchmark leaves behind: a table on the screen, JSON, a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import Median


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the first to the left and the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    for number, line in enumerate(lines):
        print(
            "  ".join(
                cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
        )
        if number == 0:
            print("  ".join("-" * w for w in widths))


def print_circumstances(found: Mapping[str, object]) -> None:
    """Print the date, the machine and the versions."""
    machine, versions = dict(found["machine"]), dict(found["versions"])  # type: ignore[call-overload]
    print(
        f"\n{found['date']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, load before {machine['load_before']}"
    )
    print(", ".join(f"{name} {number}" for name, number in versions.items()))


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the record of a benchmark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def draw_bars(path: Path, rows: Sequence[Median], title: str) -> None:
    """Draw the seconds of each entry as a bar, on a logarithmic axis: they differ by orders of magnitude."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = {"signals": "#7a8ca3", "coverage": "#7a8ca3", "decode": "#c9c2a5"}
    names = [f"{row.name}, extrapolated" if row.extrapolated else row.name for row in rows]
    own = ["#2e7d4f" if row.name.startswith("rs_forecast") else colours[row.kind] for row in rows]
    bars = axes.barh(names, [row.wall for row in rows], color=own)
    axes.bar_label(bars, [f"{row.wall:,.0f} s" if row.wall >= 100 else f"{row.wall:.3g} s" for row in rows], padding=3)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel("seconds, median, logarithmic")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    print(f"written: {path}")
