"""EPIRICE for many sites: ours beside the same equations in numpy, all sites of a day at once.

Weather is SYNTHETIC: what is measured is time and agreement, not skill. Both give the intensity of five diseases on
each of 120 days at every site, from arrays in memory to arrays in memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from measure import circumstances, settings
from numpy.typing import NDArray
from report import print_circumstances, print_table, write_json

from rs_forecast.catalog import DISEASES, Disease
from rs_forecast.kernels import epirice
from rs_forecast.process.epirice import DAYS, as_arrays

FloatArray = NDArray[np.float64]
TOGETHER = 5000
"""Sites that the peer computes at once, so that its arrays stay in the processor's cache."""


def main() -> None:
    """Run in turns, compare and report."""
    chosen = settings(__doc__)
    sites = chosen.parcels
    temp, rh, rain = make_weather(sites)
    entries: dict[str, Callable[[], FloatArray]] = {
        "rs_forecast": lambda: ours(temp, rh, rain),
        "numpy, all sites at once": lambda: peer(temp, rh, rain, sites),
        f"numpy, {TOGETHER} sites at once": lambda: peer(temp, rh, rain, TOGETHER),
    }
    ours(temp[:10], rh[:10], rain[:10])  # compiles
    found = circumstances()
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    cpu: dict[str, list[float]] = {name: [] for name in entries}
    results: dict[str, FloatArray] = {}
    for turn in range(chosen.repeats):
        for name in chosen.chosen(list(entries)):
            results.pop(name, None)
            clock, used = time.perf_counter(), time.process_time()
            results[name] = entries[name]()
            seconds[name].append(time.perf_counter() - clock)
            cpu[name].append(time.process_time() - used)
            print(f"  round {turn + 1}: {name} {seconds[name][-1]:.2f} s", flush=True)
    medians = {name: statistics.median(runs) for name, runs in seconds.items() if runs}
    own = medians.get("rs_forecast")
    print_circumstances(found)
    print(f"{sites:,} sites, {DAYS} days, {len(DISEASES)} diseases, medians of {chosen.repeats}\n")
    rows = [
        (name, f"{wall:.2f}", f"{wall / own:.1f}" if own else "", f"{statistics.median(cpu[name]):.2f}")
        for name, wall in medians.items()
    ]
    print_table(("", "seconds", "times ours", "CPU seconds"), rows)
    differences = compared(results)
    for name, value in differences.items():
        print(f"{name}: {value:.3g}")
    work = {"sites": sites, "days": DAYS, "diseases": len(DISEASES)}
    ratios = {name: wall / own for name, wall in medians.items()} if own else {}
    record = {
        **found,
        "work": work,
        "medians": medians,
        "ratios": ratios,
        "differences": differences,
        "runs": seconds,
        "cpu": cpu,
    }
    write_json(chosen.results / f"process_{sites}.json", record)


def make_weather(sites: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return temperature [°C], humidity [%] and rain [mm] of each site and day, as in a warm and wet season."""
    rng = np.random.default_rng(0)
    shape = sites, DAYS
    temp = 25 + rng.normal(0, 1.5, (sites, 1)) + rng.normal(0, 1.5, shape)
    rain = np.where(rng.random(shape) < 0.4, rng.gamma(0.75, 12, shape), 0.0)
    return temp, np.clip(84 + 4 * (rain > 0) + rng.normal(0, 5, shape), 40, 100), rain


def ours(temp: FloatArray, rh: FloatArray, rain: FloatArray) -> FloatArray:
    """Return intensities, (disease, site, day)."""
    sites = len(temp)
    day = np.tile(np.arange(DAYS), sites)
    starts = np.arange(sites + 1) * DAYS
    weather = epirice.Weather(day, temp.ravel(), rh.ravel(), rain.ravel(), starts)
    table = as_arrays(list(DISEASES.values()), DAYS)
    (found,) = epirice.courses(weather, np.arange(sites), np.zeros(sites, np.int64), table, ["intensity"])
    return found


def peer(temp: FloatArray, rh: FloatArray, rain: FloatArray, together: int) -> FloatArray:
    """Return the same from numpy: a loop over days, arrays over sites."""
    out = np.empty((len(DISEASES), len(temp), DAYS))
    for first in range(0, len(temp), together):
        part = slice(first, first + together)
        air = temp[part].T.copy(), rh[part].T.copy(), rain[part].T.copy()
        for k, disease in enumerate(DISEASES.values()):
            out[k, part] = _peer_disease(disease, *air).T
    return out


def _peer_disease(disease: Disease, temp: FloatArray, rh: FloatArray, rain: FloatArray) -> FloatArray:
    x, y = np.transpose(disease.age)
    age = np.interp(np.arange(DAYS), x, y, left=0, right=0)
    x, y = np.transpose(disease.temperature)
    wet = (rh >= disease.wet_rh) | (rain >= disease.wet_rain)
    rate = disease.rate * age[:, None] * np.interp(temp, x, y, left=0, right=0) * wet
    p, i, sites = disease.latent_days, disease.infectious_days, temp.shape[1]
    new, infectious_in, total = np.zeros((3, DAYS + 1, sites))  # row d is day d; row 0 is before the first
    intensity = np.empty((DAYS, sites))
    s, latent = np.full(sites, disease.first_sites), np.zeros(sites)
    for d in range(1, DAYS + 1):
        latent = latent + new[d - 1]
        if d - p - 2 >= 0:
            latent = latent - new[d - p - 2]
        if d - 1 - p >= 1:
            infectious_in[d] = new[d - 2 - p]
        total[d] = total[d - 1] + infectious_in[d]
        removed = total[max(d - i - 1, 0)]
        diseased = total[d] + latent
        intensity[d - 1] = (diseased - removed) / (s + diseased - removed)
        if d > disease.onset:
            new[d] = (total[d] - removed) * rate[d - 1] * (s / (s + diseased)) ** disease.aggregation
        elif d == disease.onset:
            new[d] = disease.first_infections
        lost = infectious_in[max(d - i, 0)] + disease.senescence * s
        s = s + disease.growth * s * (1 - (s + diseased) / disease.most_sites) - new[d] - lost
    return intensity


def compared(results: dict[str, FloatArray]) -> dict[str, float]:
    """Return how far the peers lie from ours at most."""
    own = results.get("rs_forecast")
    if own is None:
        return {}
    return {
        f"intensity, {name}, largest difference": float(np.abs(values - own).max())
        for name, values in results.items()
        if name != "rs_forecast"
    }


if __name__ == "__main__":
    main()
