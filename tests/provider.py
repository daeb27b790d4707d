"""A provider of SYNTHETIC scenes for tests: deterministic GeoTIFFs by the house's rules, with faults on demand."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scenes as made

from rs_forecast.catalog import BANDS
from rs_forecast.sources import _archive_intake
from rs_forecast.sources.archive import SceneArchive
from rs_forecast.sources.order import Order

NAMES = ("red", "nir", "scl")
FIRST = pd.Timestamp("2024-01-01")


def order(number: int, *, version: str = "1", bands: tuple[str, ...] = NAMES, **detail: object) -> Order:
    """Return the order of a scene, one every five days."""
    date = FIRST + pd.Timedelta(days=5 * number)
    return Order(
        scene_id=f"S2_48PWS_{date:%Y%m%d}",
        tile="48PWS",
        date=date,
        provider="fake",
        version=version,
        baseline="05.10",
        bands=bands,
        size=3000,
        units=0.25,
        detail={"number": number, **detail},
    )


def pixels(order: Order, band: str) -> np.ndarray:
    """Return the digital numbers of a band: plain fields with a pond, other ones for each scene and version."""
    code = BANDS[band].code
    fine = 20 // made.SIZE[code]
    rows, cols = 24 * fine, 24 * fine
    pond = np.zeros((rows, cols), bool)
    pond[: rows // 2, : cols // 2] = True
    if band == "scl":
        return np.where(pond, 6, 4).astype(np.uint8)
    water, plants = {"red": (400, 500), "nir": (200, 3500)}[band]
    rng = np.random.default_rng([order.detail["number"], len(band), sum(map(ord, order.version))])
    return (np.where(pond, water, plants) + rng.integers(0, 200, (rows, cols)) + 1000).astype(np.uint16)


@dataclass
class Fake:
    """Downloads by writing; counts the bands it writes. ``before`` is called with each order and may raise."""

    before: object = None
    slow: float = 0.0
    offset: float = -0.1
    written: list[str] = field(default_factory=list)

    def __call__(self, order: Order, folder: Path) -> None:
        """Write what is missing, band by band, each by a temporary name and a rename."""
        if self.before is not None:
            self.before(order, folder)
        for band in order.bands:
            file = folder / f"{BANDS[band].code}.tif"
            if file.exists():
                continue
            temporary = file.with_suffix(".part")
            scale = None if band == "scl" else 1e-4
            made.write_band(
                temporary,
                pixels(order, band),
                made.SIZE[file.stem],
                scale=scale,
                offset=self.offset,
                tags={"PROCESSING_BASELINE": "05.10"},
            )
            time.sleep(self.slow)
            temporary.replace(file)
            self.written.append(f"{order.scene_id}/{file.name}")


def main(folder: str, options: str) -> None:
    """Fill a store as a program of its own, so that it can be killed."""
    said = json.loads(options)
    _archive_intake.implausible = "".format  # finds nothing: the pixels are good, and compiling kernels takes its time
    print("ready", flush=True)  # noqa: T201
    done = SceneArchive(folder).obtain(
        [order(number) for number in range(said["scenes"])],
        Fake(slow=said["slow"]),
        seen="2026-03-02",
        workers=said.get("workers", 4),
        wait_s=said.get("wait_s", 60),
    )
    print(json.dumps({"new": done.new, "kept": done.kept}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
