"""The brown planthopper's true density in every field and week.

A Gompertz model: a field's log density moves a part of the way, each week, to a capacity which crop, weather, variety,
nitrogen and the hoppers' own good and bad times set; broods of the generation clock and arrivals from ripening fields
nearby come on top. What drives it is what the literature names (crop age, temperature, humidity, nitrogen, synchrony of
sowing, a generation of some 22 days in the delta); the sizes are chosen, not estimated. Nobody may learn biology here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from scipy.special import ndtr

from rs_forecast.catalog import PESTS
from rs_forecast.simulate._rng import autoregressive, generator
from rs_forecast.simulate._span import Span
from rs_forecast.simulate.crops import VARIETIES, Crops, day_number
from rs_forecast.simulate.land import Land
from rs_forecast.simulate.weather import region_mean

PEST = "brown_planthopper"
THRESHOLD = PESTS[PEST].threshold


@dataclass(frozen=True, kw_only=True)
class Hopper:
    """Sizes of what moves the log density; all of them without unit unless one is given."""

    base_rate: float = 0.11
    """Share of the standing fields and weeks with the event, which the general level is set to reach."""
    process_noise: float = 0.42
    """Chance of a week in one field: what nobody can forecast."""
    return_rate: float = 0.38
    """Part of the way to capacity in a week."""
    region_sd: float = 0.7
    """Outbreak years and quiet ones, the same for all fields; last year's calendar does not know them."""
    region_memory: float = 0.93
    """Correlation from week to week."""
    zone_sd: float = 0.75
    zone_memory: float = 0.9
    nitrogen: float = 0.4
    """Capacity per standard deviation of the field's nitrogen."""
    field_sd: float = 0.35
    """What else tells fields apart for good."""
    brood: float = 0.55
    """Weekly growth at the peak of a brood."""
    generation: float = 340.0
    """Degree-days above ``base_temp``: 22.4 days at 27 °C."""
    base_temp: float = 11.8
    arrivals: float = 1.6
    """Part of its neighbours' emigrants that a field takes in."""
    neighbours: int = 20


@dataclass(frozen=True, kw_only=True)
class Infestation:
    """Truth. Arrays are (week, parcel)."""

    mondays: pd.DatetimeIndex
    age: np.ndarray
    """Age of the crop [d], -1 without one."""
    density: np.ndarray
    """[insects/m2], 0 without a crop."""
    oracle: np.ndarray
    """Chance of the event as known a week before by one who knows everything up to then."""
    burn: np.ndarray
    """Hopperburn, the dead share of the canopy, 0-1."""
    nitrogen: np.ndarray
    """(parcel,) standard score."""

    def truth(self, parcel_ids: np.ndarray, span: Span, after: pd.Timedelta) -> pd.DataFrame:
        """Return one row per field and week with a standing crop: parcel_id, week, density, event, age, oracle."""
        shown = (self.mondays >= span.start) & (self.mondays <= span.end + after)
        week, parcel = np.nonzero((self.age >= 0) & shown[:, None])
        density = self.density[week, parcel].round(1)
        return pd.DataFrame(
            {
                "parcel_id": parcel_ids[parcel],
                "week": self.mondays[week],
                "density": density,
                "event": np.asarray(PESTS[PEST].is_event(density), bool),
                "crop_age_days": self.age[week, parcel],
                "oracle": self.oracle[week, parcel].round(4),
            }
        )


@dataclass(frozen=True, kw_only=True)
class _Drivers:
    age: np.ndarray
    capacity: np.ndarray
    """(week, parcel) log capacity, but for the general level."""
    growth: np.ndarray
    """(week, 1) of the broods."""
    noise: np.ndarray
    near: csr_matrix
    """(parcel, parcel) weights of neighbours, each row adding up to 1."""
    leaving: np.ndarray
    """(week, parcel) share of the hoppers that fly off."""


def simulate_pest(
    land: Land, crops: Crops, weather: pd.DataFrame, span: Span, seed: int, hopper: Hopper
) -> Infestation:
    """Return the truth; the general level is searched so that the event has ``hopper.base_rate``."""
    rng = generator(seed, "field quality")
    nitrogen = rng.standard_normal(len(land.parcels))
    drivers = _drivers(land, crops, weather, span, seed, hopper, nitrogen)
    standing = drivers.age >= 0
    low, high = 0.0, 12.0
    for _ in range(11):
        level = (low + high) / 2
        rate = (_grow(drivers, level, hopper)[0] >= THRESHOLD)[standing].mean()
        low, high = (low, level) if rate > hopper.base_rate else (level, high)
    density, oracle = _grow(drivers, (low + high) / 2, hopper)
    return Infestation(
        mondays=span.mondays,
        age=drivers.age,
        density=density,
        oracle=oracle,
        burn=_burn(density, standing),
        nitrogen=nitrogen,
    )


def _drivers(
    land: Land, crops: Crops, weather: pd.DataFrame, span: Span, seed: int, hopper: Hopper, nitrogen: np.ndarray
) -> _Drivers:
    mondays, n = span.mondays, len(land.parcels)
    numbers = [day_number(monday) for monday in mondays]
    age = np.stack([crops.age(day) for day in numbers])
    row = np.stack([crops.row(day) for day in numbers])
    taste = np.array([shift for _, shift in VARIETIES])[crops.variety[row, np.arange(n)]]
    weeks, zone = len(mondays), land.sub_zone
    region = autoregressive(generator(seed, "outbreaks"), weeks, 1, memory=hopper.region_memory, sd=hopper.region_sd)
    local = autoregressive(
        generator(seed, "sub-zones"), weeks, int(zone.max()) + 1, memory=hopper.zone_memory, sd=hopper.zone_sd
    )
    field = hopper.nitrogen * nitrogen + hopper.field_sd * generator(seed, "field rest").standard_normal(n)
    comfort, brood = _weather_effects(weather, mondays, hopper)
    return _Drivers(
        age=age,
        capacity=region + local[:, zone] + field + taste + comfort[:, None] + _of_age(age),
        growth=hopper.brood * brood[:, None],
        noise=generator(seed, "hopper noise").standard_normal((weeks, n)),
        near=_neighbours(land.centres, hopper.neighbours),
        leaving=np.where(age > 80, 0.35, 0.04),
    )


def _weather_effects(weather: pd.DataFrame, mondays: pd.DatetimeIndex, hopper: Hopper) -> tuple[np.ndarray, np.ndarray]:
    """Return per week how well the last two weeks suited hoppers, and where the generation clock stands."""
    daily = region_mean(weather)
    off = (daily["temp_mean"] - 27.5).abs()
    hot, cold = (daily["temp_max"] - 32).clip(lower=0), (20 - daily["temp_min"]).clip(lower=0)
    comfort = -0.18 * off - 0.22 * hot - 0.3 * cold + 0.06 * (daily["rh_mean"] - 80) - 0.008 * daily["rain_sum"]
    phase = 2 * np.pi * (daily["temp_mean"] - hopper.base_temp).clip(lower=0).cumsum() / hopper.generation
    by_day = pd.DataFrame({"comfort": comfort.rolling(14, min_periods=1).mean(), "brood": np.cos(phase)})
    weekly = by_day.reindex(mondays - pd.Timedelta(days=1))
    return weekly["comfort"].to_numpy(), weekly["brood"].to_numpy()


def _of_age(age: np.ndarray) -> np.ndarray:
    """Return the capacity a crop's age adds: it builds up from tillering to heading, and ripening ends it."""
    points = [(0, -5.0), (15, -2.4), (26, -0.8), (38, 0.2), (50, 0.6), (66, 0.5), (78, -0.5), (90, -2.2), (105, -3.6)]
    days, values = zip(*points, strict=True)
    return np.asarray(np.interp(age, days, values))


def _neighbours(centres: np.ndarray, count: int) -> csr_matrix:
    """Return weights that fall with distance over the nearest fields, 300 m being the e-folding length."""
    n = len(centres)
    distance, other = cKDTree(centres).query(centres, k=min(count + 1, n))
    weight = np.exp(-distance[:, 1:] / 300.0)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(n), weight.shape[1])
    return csr_matrix((weight.ravel(), (rows, other[:, 1:].ravel())), shape=(n, n))


def _grow(drivers: _Drivers, level: float, hopper: Hopper) -> tuple[np.ndarray, np.ndarray]:
    """Step through the weeks; return density and the chance of the event given the week before, both (week, parcel)."""
    weeks, n = drivers.age.shape
    density, oracle = np.zeros((weeks, n)), np.zeros((weeks, n))
    now = np.zeros(n)
    for week in range(1, weeks):
        host = drivers.age[week] >= 7
        arriving = hopper.arrivals * (drivers.near @ (now * drivers.leaving[week - 1]))
        now = np.where(drivers.age[week] > drivers.age[week - 1], now, 0.0)  # harvested in between: a new crop
        x = np.log1p(now * (1 - drivers.leaving[week - 1]) + arriving)
        mean = x + hopper.return_rate * (level + drivers.capacity[week - 1] - x) + drivers.growth[week - 1]
        now = np.where(host, np.maximum(np.expm1(mean + hopper.process_noise * drivers.noise[week]), 0.0), 0.0)
        density[week] = now
        oracle[week] = np.where(host, ndtr((mean - np.log1p(THRESHOLD)) / hopper.process_noise), 0.0)
    return density, oracle


def _burn(density: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """Return the dead share of the canopy: weeks of many hoppers add up, and the next crop starts green."""
    burn = np.zeros_like(density)
    for week in range(1, len(density)):
        more = 0.16 * np.clip((density[week - 1] - 1200.0) / 1500.0, 0.0, 1.8)
        burn[week] = np.where(standing[week], np.minimum(burn[week - 1] + more, 0.85), 0.0)
    return burn
