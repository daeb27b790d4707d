"""Draw the class rasters of a published week side by side, as a picture for a page.

python scripts/draw_week.py demo/outputs/2026-W10 docs/demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rs_forecast.maps.classes import CLASSES


def draw(week: Path, picture: Path) -> None:
    """Draw every ``*_class.tif`` of ``week`` into one PNG."""
    files = sorted(week.glob("*_class.tif"))
    figure = Figure(figsize=(6 * len(files), 5.6), layout="constrained")
    for axes, file in zip(np.atleast_1d(figure.subplots(1, len(files))), files, strict=True):
        with rasterio.open(file) as src:
            codes, bounds, title = src.read(1), src.bounds, src.descriptions[0]
        shown = np.ones((*codes.shape, 3))
        for row in CLASSES.values():
            shown[codes == row.code] = to_rgb(row.colour)
        axes.imshow(shown, extent=(bounds.left, bounds.right, bounds.bottom, bounds.top), interpolation="nearest")
        axes.set_title(title.replace(", valid", "\nvalid"), fontsize=9)
        axes.ticklabel_format(style="plain", useOffset=False)
        axes.tick_params(labelsize=7)
    found = [Patch(facecolor=row.colour, edgecolor="grey", label=row.words) for row in CLASSES.values()]
    figure.legend(handles=found, loc="outside lower center", ncols=len(found), frameon=False)
    figure.savefig(picture, dpi=90, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("week", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    draw(arguments.week, arguments.picture)
