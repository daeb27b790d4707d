"""One run of one entry, in a process of its own: import, compile on a small tile, then the call on the clock."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import psutil
from contestants import ready
from tile import Tile
from work import Work


def main() -> None:
    """Read the job from the command line; print the measurements as the last line."""
    job = json.loads(sys.argv[1])
    out = Path(job["out"])
    warm = Work(Tile(folder=Path(job["warm"]["folder"]), size=job["warm"]["size"]), job["warm"]["count"])
    ready(job["kind"], job["name"], warm, out)()()
    work = Work(Tile(folder=Path(job["folder"]), size=job["size"]), job["count"], job["cut"])
    entry = ready(job["kind"], job["name"], work, out)
    gc.collect()
    cpu, start = _cpu(), time.perf_counter()
    after = entry()
    wall, cpu = time.perf_counter() - start, _cpu() - cpu
    after()
    print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


def _cpu() -> float:
    """Return the seconds of processor that this process and its children have used, user and system."""
    me = psutil.Process()
    own = me.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in me.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
