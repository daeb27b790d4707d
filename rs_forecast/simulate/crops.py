"""Three rice crops a year, sown in waves: each dyke sub-zone drains and sows together, neighbours at other times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rs_forecast.simulate._rng import generator
from rs_forecast.simulate._span import Span

SEASONS = (("dong_xuan", 11, 13), ("he_thu", 3, 13), ("thu_dong", 7, 13))
"""Name, and the month and day when the first sub-zone sows, give or take 12 days."""

WAVE_DAYS = 36
"""Days from the first sub-zone to the last."""

VARIETIES = (("SYNTHETIC-A", -0.55), ("SYNTHETIC-B", -0.15), ("SYNTHETIC-C", 0.2), ("SYNTHETIC-D", 0.6))
"""Name, and susceptibility to planthoppers as shift of their log density."""

STAGES = ((15, "seedling"), (45, "tillering"), (67, "booting"), (82, "heading"), (200, "ripening"))
"""Age in days below which the stage holds."""

NEVER = np.int32(2**30)


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Every crop of every parcel. Days count from 1970-01-01; arrays are (season, parcel) int32."""

    seasons: tuple[str, ...]
    """Such as ``2023 dong_xuan``: year of sowing and name."""
    sown: np.ndarray
    """Day of sowing; ``NEVER`` where the parcel sat the season out."""
    harvested: np.ndarray
    variety: np.ndarray
    """Row of ``VARIETIES``."""

    def age(self, day: int) -> np.ndarray:
        """Return the age in days of each parcel's standing crop, -1 where there is none."""
        standing = (self.sown <= day) & (day < self.harvested)
        return np.where(standing.any(axis=0), day - np.where(standing, self.sown, 0).max(axis=0), -1)

    def row(self, day: int) -> np.ndarray:
        """Return for each parcel the season of its standing crop, -1 where there is none."""
        standing = (self.sown <= day) & (day < self.harvested)
        return np.where(standing.any(axis=0), standing.argmax(axis=0), -1)


def day_number(day: pd.Timestamp) -> int:
    """Return days since 1970-01-01."""
    return (day - pd.Timestamp(0)).days


def simulate_crops(sub_zone: np.ndarray, span: Span, seed: int) -> Crops:
    """Return the crops of parcels that lie in ``sub_zone`` (parcel,) int."""
    rng = generator(seed, "crops")
    n, zones = len(sub_zone), int(sub_zone.max()) + 1
    wave = rng.permutation(np.linspace(0, WAVE_DAYS, zones))
    usual = rng.integers(0, len(VARIETIES), n)
    names, sown, harvested, varieties = [], [], [], []
    free_from = np.zeros(n, np.int32)
    for year in range(span.first_year - 1, span.end.year + 2):
        for name, month, day in sorted(SEASONS, key=lambda s: s[1]):
            first = day_number(pd.Timestamp(year, month, day))
            due = (
                first
                + wave[sub_zone]
                + np.clip(rng.normal(0, 3, zones), -6, 6)[sub_zone]
                + np.clip(rng.normal(0, 2.5, n), -6, 6)
            )
            start = np.maximum(due.round(), free_from + 6).astype(np.int32)
            variety = np.where(rng.random(n) < 0.7, usual, rng.integers(0, len(VARIETIES), n))
            length = np.clip(98 + variety + rng.normal(0, 2, n), 95, 105).round().astype(np.int32)
            skipped = _skips(name, rng.random(zones)[sub_zone], rng.random(n))
            free_from = np.where(skipped, free_from, start + length).astype(np.int32)
            names.append(f"{year} {name}")
            sown.append(np.where(skipped, NEVER, start))
            harvested.append(np.where(skipped, NEVER, start + length))
            varieties.append(variety)
    return Crops(seasons=tuple(names), sown=np.array(sown), harvested=np.array(harvested), variety=np.array(varieties))


def _skips(season: str, zone_draw: np.ndarray, parcel_draw: np.ndarray) -> np.ndarray:
    """Return who sits the season out: some sub-zones let the flood in in autumn, some farmers rest a field."""
    if season == "thu_dong":
        return np.asarray((zone_draw < 0.12) | (parcel_draw < 0.07))
    return np.asarray(parcel_draw < 0.01)


def crops_table(crops: Crops, parcel_ids: np.ndarray, span: Span, seed: int) -> pd.DataFrame:
    """Return what the office was told: about 85 % of the crops, the sowing first and the harvest in a later row.

    Two rows a crop, since the day of harvest cannot be known when the sowing is: the newest known row holds.
    """
    rng = generator(seed, "crop reports")
    shape = crops.sown.shape
    told, sown_delay = rng.random(shape) < 0.85, rng.integers(7, 21, shape)
    told_harvest, harvest_delay = rng.random(shape) < 0.8, rng.integers(3, 15, shape)
    first, last = day_number(span.start), day_number(span.end)
    season, parcel = np.nonzero(told & (crops.sown >= first - 110) & (crops.sown <= last))
    table = pd.DataFrame(
        {
            "parcel_id": parcel_ids[parcel],
            "season": np.array(crops.seasons)[season],
            "crop": "rice",
            "variety": np.array([name for name, _ in VARIETIES])[crops.variety[season, parcel]],
            "sown": _days(crops.sown[season, parcel]),
            "harvested": pd.NaT,
            "known_at": _days((crops.sown + sown_delay)[season, parcel]),
        }
    )
    harvest = table.assign(
        harvested=_days(crops.harvested[season, parcel]),
        known_at=_days((crops.harvested + harvest_delay)[season, parcel]),
    )[told_harvest[season, parcel] & (crops.harvested[season, parcel] <= last)]
    both = pd.concat([table.astype({"harvested": "datetime64[us]"}), harvest])
    return both.sort_values(["parcel_id", "sown", "known_at"], ignore_index=True)


def stage_of(age: np.ndarray) -> np.ndarray:
    """Return the stage of crops of ``age`` days."""
    limits, names = zip(*STAGES, strict=True)
    return np.array(names)[np.searchsorted(np.array(limits), age, side="right")]


def _days(numbers: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(numbers.astype("datetime64[D]")).as_unit("us")
