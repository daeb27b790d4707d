"""A second process that writes its share of a valley's scenes; started by :func:`rs_forecast.simulate.simulate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rs_forecast.simulate.valley import write_share

if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    write_share(Path(task["folder"]), task["arguments"], task["share"], task["workers"])
