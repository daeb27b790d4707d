"""Measure on SYNTHETIC fields how well sowing dates are found from space, under clear skies and under clouds.

    python -m scripts.sowing_dates

prints the table of docs/guide.md. The fields are those of ``rs_forecast.simulate``, seen every fifth day: reflectance
with noise, no pixels that mix fields, and one clear look in a hundred that is a cloud after all. The office has been
told of half of the parcels, of each sowing ten days late; what is measured are the others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.asof import AsOf
from rs_forecast.dataset import tables_of
from rs_forecast.looks import day_number
from rs_forecast.phenology import COVERAGE, IMAGERY, find_sown
from rs_forecast.simulate._span import make_span
from rs_forecast.simulate.crops import NEVER, Crops, simulate_crops
from rs_forecast.simulate.land import simulate_land
from rs_forecast.simulate.spectra import BANDS, paddy

PARCELS, YEARS, END = 300, 3, "2026-03-02"
CLOUDS = (0.0, 0.4, 0.7, 0.85)
NOISE, CLOUD_AFTER_ALL = 0.02, 0.01
YOUNGEST, OLDEST = 30, 90
"""Ages between which a crop can be asked for [days]: before, it is not green, and after, it may be harvested."""
DELAY = np.timedelta64(10, "D")


class Field(NamedTuple):
    """Fields whose truth is known."""

    ids: pd.Index
    crops: Crops
    days: NDArray[np.int64]
    """Overpasses."""
    indices: dict[str, NDArray[np.float64]]
    """(day, parcel) of each index under a clear sky."""


class Found(NamedTuple):
    """How well sowing dates were found."""

    fields: int
    """Crops asked for, over all issue dates."""
    share: float
    """Of these, found."""
    median: float
    """Median error [days]."""
    stated: float
    """Median of the error that is stated [days]."""
    held: float
    """Share of those found whose true day lies within the stated error."""
    wrong: float
    """Share of those found that are off by more than 30 days: another crop."""


def make_fields(parcels: int = PARCELS, seed: int = 0) -> Field:
    """Return fields, their crops, and their indices as seen through a clear sky."""
    land, span = simulate_land(parcels, seed), make_span(END, YEARS, YEARS)
    crops = simulate_crops(land.sub_zone, span, seed)
    rng = np.random.default_rng(seed)
    days = np.array([day_number(day) for day in span.overpasses])
    nitrogen = rng.standard_normal(parcels)
    seen = []
    for day in days:
        growing = (crops.sown - 8 <= day) & (day < crops.harvested) & (crops.sown != NEVER)
        age = np.where(growing.any(axis=0), day - np.where(growing, crops.sown, 0).max(axis=0), np.nan)
        rest = day - np.where(crops.harvested <= day, crops.harvested, 0).max(axis=0)
        spectrum = paddy(age, rest, nitrogen, np.zeros(parcels))
        seen.append(spectrum * (1 + NOISE * rng.standard_normal(spectrum.shape)))
    return Field(pd.Index(land.parcels["parcel_id"]), crops, days, _indices(np.array(seen)))


def _indices(seen: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    blue, red, nir, swir = (seen[..., BANDS.index(code)] for code in ("B02", "B04", "B08", "B11"))
    return {
        "ndvi": (nir - red) / (nir + red),
        "evi": 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        "lswi": (nir - swir) / (nir + swir),
    }


def signals_of(fields: Field, cloud: float, indices: tuple[str, ...] = ("ndvi", "lswi"), seed: int = 1) -> pd.DataFrame:
    """Return signals of the fields under a sky that hides them to the share ``cloud``; days differ, as in life."""
    rng = np.random.default_rng(seed)
    shape = (len(fields.days), len(fields.ids))
    hidden = rng.beta(max(1.5 * cloud, 1e-9), max(1.5 * (1 - cloud), 1e-9), shape[0]) if 0 < cloud < 1 else cloud
    clear = rng.random(shape) >= np.broadcast_to(hidden, shape[0])[:, None]
    false = rng.random(shape) < CLOUD_AFTER_ALL
    day, parcel = np.nonzero(clear)
    date = fields.days[day].astype("datetime64[D]").astype("datetime64[us]")
    table = pd.DataFrame({"parcel_id": fields.ids[parcel], "date": date, "known_at": date + np.timedelta64(1, "D")})
    table = table.assign(tile="SYN", scene_id="SYNTHETIC", geom_hash="x", valid_weight=40.0, valid_fraction=1.0)
    for name in indices:
        as_cloud = 0.18 if name == "lswi" else 0.03
        table[f"{name}_mean"] = np.where(false, as_cloud, fields.indices[name])[day, parcel]
    return table.sort_values(["parcel_id", "date"], ignore_index=True)


def crops_of(fields: Field, told: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the table of crops of an office that is told of some parcels."""
    season, parcel = np.nonzero((fields.crops.sown != NEVER) & told)
    sown = fields.crops.sown[season, parcel].astype("datetime64[D]").astype("datetime64[us]")
    return pd.DataFrame({"parcel_id": fields.ids[parcel], "sown": sown, "known_at": sown + DELAY})


def measure(fields: Field, signals: pd.DataFrame, crops: pd.DataFrame | None) -> Found:
    """Hold what is found against the truth, every two weeks of the last two years, of parcels nobody told of."""
    history = AsOf(tables_of(signals, None, None, crops, None))
    untold = np.ones(len(fields.ids), bool) if crops is None else ~fields.ids.isin(crops["parcel_id"])
    asked, error, stated = 0, [], []
    for issued in pd.date_range(end=END, periods=52, freq="14D", unit="us"):
        known = history.at(issued)
        sown = find_sown(known.signals, known.crops, fields.ids, issued)
        age = fields.crops.age(day_number(issued))
        want = untold & (age >= YOUNGEST) & (age <= OLDEST)
        have = want & (sown.basis == IMAGERY)
        asked += int(want.sum())
        error.append(sown.day[have] - (day_number(issued) - age[have]))
        stated.append(sown.error[have])
    off, within = np.abs(np.concatenate(error)), np.concatenate(stated)
    return Found(
        asked, len(off) / asked, float(np.median(off)), float(np.median(within)), float((off <= within).mean()),
        float((off > 30).mean()),
    )  # fmt: skip


def report() -> str:
    """Return the table of the guide."""
    fields = make_fields()
    half = np.arange(len(fields.ids)) % 2 == 0
    lines = ["| clouds | the office was told of | found | median error | stated error, median | true day within it |"]
    lines += ["|---|---|---|---|---|---|"]
    for cloud in CLOUDS:
        signals = signals_of(fields, cloud)
        for who, crops in (("half of the fields", crops_of(fields, half)), ("none", None)):
            f = measure(fields, signals, crops)
            lines.append(
                f"| {cloud:.0%} | {who} | {f.share:.0%} | {f.median:.0f} days | {f.stated:.0f} days | {f.held:.0%} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"SYNTHETIC fields; the stated error is meant to hold in {COVERAGE:.0%} of cases\n\n{report()}")
