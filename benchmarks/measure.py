"""Measuring: every run in a fresh process, rounds interleaved, medians, and what the machine was."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
from contestants import CUT
from tile import PARCELS, SEED, SIZE, Tile, make_tile

HERE = Path(__file__).resolve().parent
WARM_SIZE, WARM_PARCELS = 600, 300
LIBRARIES = (
    "numpy", "numba", "pandas", "pyarrow", "geopandas", "shapely", "rasterio", "deflate", "isal", "imagecodecs",
    "exactextract", "rasterstats",
)  # fmt: skip
_TICK = 0.02
"""Between two looks at the memory of a run [s]."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line says."""

    size: int
    parcels: int
    repeats: int
    data: Path
    results: Path
    only: tuple[str, ...]

    def tile(self, counts: Sequence[int]) -> Tile:
        """Return the tile, made if it is missing, with parcels of all ``counts``."""
        print(f"tile of {self.size} pixels in {self.data}", flush=True)
        tile = make_tile(self.data / f"tile_{self.size}", size=self.size, counts=tuple(counts), seed=SEED)
        make_tile(self.data / f"tile_{WARM_SIZE}", size=WARM_SIZE, counts=(WARM_PARCELS,), seed=SEED)
        return tile

    def chosen(self, names: Sequence[str]) -> list[str]:
        """Return the names that ``--only`` leaves."""
        return [name for name in names if not self.only or any(part in name for part in self.only)]


def settings(description: str | None) -> Settings:
    """Read the command line that all programs share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of the 10 m bands")
    parser.add_argument("--parcels", type=int, default=PARCELS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where tiles are made and kept")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--only", nargs="+", default=[], help="entries whose name holds one of these")
    args = parser.parse_args()
    return Settings(**{**vars(args), "only": tuple(args.only)})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry on one tile with so many parcels."""

    kind: str
    """``signals``, ``coverage`` or ``decode``."""
    name: str
    count: int

    @property
    def cut(self) -> int | None:
        """How many of the parcels it gets, if not all."""
        return CUT.get(self.name) if CUT.get(self.name, self.count) < self.count else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """Measurements of one run. ``wall`` and ``cpu`` [s] are of the call, the rest of the whole process."""

    kind: str
    name: str
    count: int
    wall: float
    cpu: float
    process_wall: float
    process_cpu: float
    peak_mb: float
    extrapolated: bool


def run_all(jobs: Sequence[Job], tile: Tile, repeats: int, out: Path) -> list[Run]:
    """Run each job ``repeats`` times, one after the other in every round; tables are left in ``out``."""
    for path in sorted(tile.scenes.glob("*.tif")):
        path.read_bytes()  # so that the first run finds the files in memory as all others do
    runs = []
    for turn in range(repeats):
        for job in jobs:
            runs.append(run_one(job, tile, table_path(out, job)))
            last = runs[-1]
            mark = "*" if last.extrapolated else ""
            print(f"  round {turn + 1}: {job.name}, {job.count} parcels: {last.wall:.2f} s{mark}", flush=True)
    return runs


def table_path(out: Path, job: Job) -> Path:
    """Return where a job leaves its table."""
    return out / f"{job.kind} {job.name} {job.count}.parquet"


def run_one(job: Job, tile: Tile, out: Path) -> Run:
    """Run one job in a fresh process and measure it."""
    warm = {"folder": str(tile.folder.parent / f"tile_{WARM_SIZE}"), "size": WARM_SIZE, "count": WARM_PARCELS}
    order = {
        "kind": job.kind, "name": job.name, "folder": str(tile.folder), "size": tile.size, "count": job.count,
        "cut": job.cut, "out": str(out), "warm": warm,
    }  # fmt: skip
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-W", "ignore", str(HERE / "entrant.py"), json.dumps(order)]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, env={**os.environ, "PYTHONPATH": path})
        watch = _Memory(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        sampled = watch.stop()
        if process.returncode:
            raise RuntimeError(f"{job.name} on {job.count} parcels ended with {process.returncode}; its error is above")
        said.seek(0)
        found = json.loads(said.read().splitlines()[-1])
    factor = job.count / job.cut if job.cut else 1.0
    return Run(
        kind=job.kind,
        name=job.name,
        count=job.count,
        wall=found["wall"] * factor,
        cpu=found["cpu"] * factor,
        process_wall=wall,
        process_cpu=used.ru_utime + used.ru_stime,
        peak_mb=max(sampled, used.ru_maxrss * 1024) / 1e6,
        extrapolated=factor != 1.0,
    )


class _Memory:
    """Watches the memory of a process and its children, summed: shared pages count for each."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._done = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        family: list[psutil.Process] = []
        looks = 0
        while not self._done.wait(_TICK):
            try:
                if looks % 25 == 0:
                    parent = psutil.Process(self._pid)
                    family = [parent, *parent.children(recursive=True)]
                looks += 1
                self._peak = max(self._peak, sum(member.memory_info().rss for member in family))
            except psutil.Error:
                looks = 0  # somebody has ended: look again who is there

    def stop(self) -> int:
        """Return the highest sum seen [bytes]."""
        self._done.set()
        self._thread.join()
        return self._peak


@dataclass(frozen=True, kw_only=True)
class Median:
    """Medians over the runs of one job."""

    kind: str
    name: str
    count: int
    wall: float
    fastest: float
    cpu: float
    process_wall: float
    peak_mb: float
    extrapolated: bool
    runs: int


def medians(runs: Sequence[Run]) -> list[Median]:
    """Return one row a job, in the order of the first round."""
    out = []
    for key in dict.fromkeys((run.kind, run.name, run.count) for run in runs):
        own = [run for run in runs if (run.kind, run.name, run.count) == key]
        middle = {
            name: statistics.median(getattr(run, name) for run in own)
            for name in ("wall", "cpu", "process_wall", "peak_mb")
        }
        out.append(
            Median(
                kind=key[0],
                name=key[1],
                count=key[2],
                fastest=min(run.wall for run in own),
                extrapolated=own[0].extrapolated,
                runs=len(own),
                **middle,
            )
        )
    return out


def circumstances() -> dict[str, object]:
    """Return the date, the machine and the versions, for the record."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "commit": commit,
            "python": platform.python_version(),
            **{name: version(name) for name in ("rs-forecast", *LIBRARIES)},
        },
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())


def as_rows(items: Sequence[Run] | Sequence[Median]) -> list[dict[str, object]]:
    """Return dataclasses as rows for JSON, rounded to what a clock can tell."""
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(item).items()} for item in items]
