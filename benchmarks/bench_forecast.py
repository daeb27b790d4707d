"""Margins and contributions of a model's trees for many rows: ours beside LightGBM itself.

Everything is SYNTHETIC: what is measured is time and agreement, not skill.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
from measure import circumstances, settings
from numpy.typing import NDArray
from report import print_circumstances, print_table, write_json

from rs_forecast.catalog import PRESETS
from rs_forecast.kernels._jit import cores
from rs_forecast.trees import Trees

FEATURES, TRAINED = 50, 40_000
CUT = 100
"""LightGBM's contributions are taken of every so manieth row, and its time multiplied: marked with *."""
FloatArray = NDArray[np.float64]


def main() -> None:
    """Train, run in turns, compare and report."""
    chosen = settings(__doc__)
    x = make_rows(chosen.parcels * 10)
    booster = _trained(x)
    trees, values = Trees(booster), list(np.ascontiguousarray(x.T))
    few = np.ascontiguousarray(x[::CUT])
    entries: dict[str, tuple[Callable[[], FloatArray], int]] = {
        "margins, rs_forecast": (lambda: trees.margins(values), 1),
        "margins, LightGBM": (lambda: _asked(booster, x, raw_score=True), 1),
        "contributions, rs_forecast": (lambda: trees.contributions(values), 1),
        "contributions, LightGBM": (lambda: _asked(booster, few, pred_contrib=True), CUT),
    }
    trees.margins([column[:100] for column in values])  # compiles
    trees.contributions([column[:100] for column in values])
    found = circumstances()
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    results: dict[str, FloatArray] = {}
    for turn in range(chosen.repeats):
        for name in chosen.chosen(list(entries)):
            work, times = entries[name]
            clock = time.perf_counter()
            results[name] = work()
            seconds[name].append((time.perf_counter() - clock) * times)
            print(f"  round {turn + 1}: {name} {seconds[name][-1]:.2f} s", flush=True)
    medians = {name: statistics.median(runs) for name, runs in seconds.items() if runs}
    print_circumstances(found)
    print(f"{len(x):,} rows, {FEATURES} features, {booster.num_trees()} trees, medians of {chosen.repeats}\n")
    star = {name: "*" if times > 1 else "" for name, (_, times) in entries.items()}
    print_table(("", "seconds"), [(name, f"{wall:.2f}{star[name]}") for name, wall in medians.items()])
    differences = compared(results)
    for name, value in differences.items():
        print(f"{name}: {value:.3g}")
    work_done = {"rows": len(x), "features": FEATURES, "trees": booster.num_trees(), "extrapolated": CUT}
    record = {**found, "work": work_done, "medians": medians, "differences": differences, "runs": seconds}
    write_json(chosen.results / f"forecast_{len(x)}.json", record)


def make_rows(count: int) -> FloatArray:
    """Return features that hang together, as those of fields do, a tenth of them missing."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(count, 8))
    x = hidden @ rng.normal(size=(8, FEATURES)) + 0.5 * rng.normal(size=(count, FEATURES))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def compared(results: dict[str, FloatArray]) -> dict[str, float]:
    """Return the largest differences from LightGBM's own numbers."""
    out = {}
    if "margins, rs_forecast" in results and "margins, LightGBM" in results:
        gap = results["margins, rs_forecast"] - results["margins, LightGBM"]
        out["margins, largest difference"] = float(np.abs(gap).max())
    if "contributions, rs_forecast" in results and "contributions, LightGBM" in results:
        gap = results["contributions, rs_forecast"][:, ::CUT].T - results["contributions, LightGBM"][:, :-1]
        out["contributions, largest difference"] = float(np.abs(gap).max())
    return out


def _asked(booster: lgb.Booster, x: FloatArray, **what: bool) -> FloatArray:
    return np.asarray(booster.predict(x, num_threads=cores(), **what))


def _trained(x: FloatArray) -> lgb.Booster:
    preset, part = PRESETS["default"], x[:TRAINED]
    rng = np.random.default_rng(1)
    logit = np.nan_to_num(part[:, 0] * part[:, 1] - part[:, 2] + 2 * np.sin(part[:, 3]))
    label = (rng.random(len(part)) < 1 / (1 + np.exp(-logit / 4))).astype(float)
    params = {"objective": "binary", "verbosity": -1, "seed": 0, **preset.params}
    return lgb.train(params, lgb.Dataset(part, label, params=params), num_boost_round=preset.rounds)


if __name__ == "__main__":
    main()
