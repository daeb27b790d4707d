"""A generation clock for hoppers: peaks of light traps, and what is to be expected after each.

A peak is known only when it has been passed: nothing here looks beyond the day it is asked on, and asked later it gives
the same peaks and newer ones. From the newest peak, when adults fly in and lay, a cohort is aged by degree-days to the
nymphs and the adults that should follow.

In the delta traps peak about monthly, five or six days earlier each month, three times a crop, and a cycle takes 22.38
days on Jasmine 85 (Nguyen Van Huynh et al., https://thnlscantho-3.page.tl/). The degree-days are INFERRED from that
cycle, see :mod:`rs_forecast.catalog.insects`; the limits of a peak below are ours. Traps catch less under a full moon.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.catalog.insects import INSECTS, Insect
from rs_forecast.errors import SchemaError, listing
from rs_forecast.process._tables import Days, Floats, day_number, day_numbers, days_of
from rs_forecast.process.stages import MOST_LAG, stage_names, stages_at
from rs_forecast.schema import check_traps, day

BEFORE, PASSED = 10, 5
"""Days before a peak over which it is the highest, and after it over which nothing is higher [days]."""
RISE = 2.0
"""A peak's nightly count plus one is so many times the lowest on either side."""
LEAST_LOOKS = 3
"""Counts that are needed on either side of a peak."""
LEAST_COUNT = 10.0
"""Fewer a night are no peak."""
CROP_DAYS = 120
"""Days over which peaks are counted [days]."""


def trap_peaks(
    traps: pd.DataFrame,
    issued: object,
    pest: str = "brown_planthopper",
    *,
    before: int = BEFORE,
    passed: int = PASSED,
    rise: float = RISE,
    least_looks: int = LEAST_LOOKS,
    least_count: float = LEAST_COUNT,
) -> pd.DataFrame:
    """Return the peaks of ``pest`` in each trap that were known on the day ``issued``.

    The count of a night is that of a row over its nights; a row of a trap that did not work, or had no night, is
    missing. Nightly counts are levelled on a log scale over three days. A peak is higher than all levels of the
    ``before`` days, no lower than those of the ``passed`` days after it, at least ``rise`` times the lowest of each,
    and at least ``least_count``; each side needs ``least_looks`` counts. It is known a day after the last of them.

    Parameters
    ----------
    traps
        Rows of ``schema.TRAPS`` known at ``issued``; of several versions of a row the newest counts.
    issued
        The issue date; rows after it are left out.

    Returns
    -------
    DataFrame
        ``trap_id``, ``peak`` (its day), ``known_on``, ``per_night`` (its level), sorted by trap and day.

    Raises
    ------
    SchemaError
        ``traps`` is no table of :func:`rs_forecast.sources.traps.read_traps`.
    LeakageError
        A row was known only after ``issued``.
    """
    names, first, counts = _nightly(traps, day(issued), pest)
    level = _levelled(counts)
    low_before, high_before, looks_before = _side(level, [-k for k in range(1, before + 1)])
    low_after, high_after, looks_after = _side(level, list(range(1, passed + 1)))
    step = np.log(rise)
    with np.errstate(invalid="ignore"):
        peak = (level > high_before) & (level >= high_after) & (level >= np.log1p(least_count))
        peak &= (level - low_before >= step) & (level - low_after >= step)
    peak &= (looks_before >= least_looks) & (looks_after >= least_looks)
    trap, at = np.nonzero(peak)
    found = pd.DataFrame(
        {
            "trap_id": pd.Series(names[trap], dtype="str"),
            "peak": days_of(first + at),
            "known_on": days_of(first + at + passed + 1),
            "per_night": np.expm1(level[trap, at]),
        }
    )
    return found[found["known_on"] <= day(issued)].reset_index(drop=True)


def hopper_clock(
    traps: pd.DataFrame,
    weather: pd.DataFrame,
    sites: pd.DataFrame,
    issued: object,
    insect: Insect | str = "brown_planthopper",
    *,
    most_lag: int = MOST_LAG,
    **peak_limits: float,
) -> pd.DataFrame:
    """Return for each trap where the generation that followed its newest known peak stands.

    Parameters
    ----------
    traps
        Rows of ``schema.TRAPS`` known at ``issued``.
    weather
        Rows of ``schema.WEATHER`` known at ``issued``, one a site and day.
    sites
        ``trap_id`` and ``site``: whose weather a trap has. One without gets no clock.
    issued
        The issue date.
    insect
        Row of the catalogue, or its name, which is also that of the pest in ``traps``.
    most_lag
        Days by which weather may end before ``issued`` [days].
    **peak_limits
        Those of :func:`trap_peaks`.

    Returns
    -------
    DataFrame
        One row a trap, index ``trap_id``: ``last_peak``, ``days_since_peak``, ``peaks_120d`` (known peaks of that many
        days); ``generation`` (cycles since the peak), ``stage`` (expected of its offspring), ``cycle_fraction`` (0 to
        1), ``degree_days`` since the peak [°C d]; ``next_nymph_peak``, the middle of the last stage before adults,
        and ``next_adult_peak``, the end of the cycle, both at the mean warmth since the peak; ``lag_days``. Missing
        where no peak is known, or weather does not suffice.

    Raises
    ------
    SchemaError, ConfigError, LeakageError
        As in :func:`trap_peaks` and :func:`rs_forecast.process.stages.stages_at`.
    """
    row = INSECTS[insect] if isinstance(insect, str) else insect
    _require_sites(sites)
    peaks = trap_peaks(traps, issued, row.name, **peak_limits)  # type: ignore[arg-type]
    index = pd.Index(np.sort(traps["trap_id"].unique()), name="trap_id")
    last = peaks.groupby("trap_id")["peak"].max().reindex(index)
    recent = peaks[peaks["peak"] > day(issued) - pd.Timedelta(days=CROP_DAYS)]
    runs = pd.DataFrame(
        {"site": sites.set_index("trap_id")["site"].reindex(index).to_numpy(), "start": last.to_numpy()}, index=index
    )
    state = stages_at(weather, runs, issued, row, most_lag=most_lag)
    nymphs, adults = _expected(runs["start"], state, row, day_number(issued))
    return pd.DataFrame(
        {
            "last_peak": last,
            "days_since_peak": (day(issued) - last).dt.days.astype("float64"),
            "peaks_120d": recent.groupby("trap_id").size().reindex(index, fill_value=0),
            "generation": state["generation"],
            "stage": stage_names(state["stage"].to_numpy(), row),
            "cycle_fraction": state["cycle_fraction"],
            "degree_days": state["degree_days"],
            "next_nymph_peak": nymphs,
            "next_adult_peak": adults,
            "lag_days": state["lag_days"],
        },
        index=index,
    )


def _nightly(traps: pd.DataFrame, issued: pd.Timestamp, pest: str) -> tuple[np.ndarray, int, Floats]:
    """Return traps, the first day, and the count a night, (trap, day); NaN where nothing is known."""
    check_traps(traps)
    schema.check_known(traps, issued, "traps")
    own = traps[(traps["pest"] == pest) & (traps["date"] <= issued)]
    own = own.sort_values("known_at", kind="stable").drop_duplicates(["trap_id", "date"], keep="last")
    names = np.sort(own["trap_id"].unique())
    if own.empty:
        return names, 0, np.empty((0, 0))
    days = day_numbers(own["date"])
    counts = np.full((len(names), int(days.max() - days.min()) + 1), np.nan)
    looked = ((own["working"] == "yes") & (own["nights"] > 0)).to_numpy()
    trap = np.searchsorted(names, own["trap_id"].to_numpy())
    nights = np.where(looked, own["nights"], 1.0)
    counts[trap, days - days.min()] = np.where(looked, own["count"] / nights, np.nan)
    return names, int(days.min()), counts


def _levelled(counts: Floats) -> Floats:
    """Return the mean log1p of three days where the middle one was looked at."""
    log = np.log1p(counts)
    near = np.stack([_shifted(log, k) for k in (-1, 0, 1)])
    there = ~np.isnan(near)
    total = np.where(there, near, 0.0).sum(axis=0)
    return np.where(there[1], total / np.maximum(there.sum(axis=0), 1), np.nan)


def _side(level: Floats, offsets: list[int]) -> tuple[Floats, Floats, Days]:
    """Return the lowest and the highest level at ``offsets`` from each day, and how many there are."""
    low, high = np.full(level.shape, np.inf), np.full(level.shape, -np.inf)
    looks = np.zeros(level.shape, np.int64)
    for k in offsets:
        other = _shifted(level, k)
        low, high = np.fmin(low, other), np.fmax(high, other)
        looks += ~np.isnan(other)
    return low, high, looks


def _shifted(values: Floats, by: int) -> Floats:
    """Return at each day the value of ``by`` days later; NaN beyond the ends."""
    out = np.full(values.shape, np.nan)
    size = values.shape[1]
    if abs(by) < size:
        out[:, max(-by, 0) : size - max(by, 0)] = values[:, max(by, 0) : size - max(-by, 0)]
    return out


def _expected(start: pd.Series, state: pd.DataFrame, insect: Insect, issued: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when the next nymphs and adults peak, if days stay as warm as since the peak."""
    known = issued - state["lag_days"].to_numpy()  # the cohort stands so at the end of this day
    begun = np.where(start.notna(), day_numbers(start), 0)
    rate = state["degree_days"].to_numpy() / (known - begun + 1)
    gone, whole = state["cycle_fraction"].to_numpy() * insect.degree_days, insect.degree_days
    middle = whole - insect.stages[-1].degree_days / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        nymphs = known + np.where(gone < middle, middle - gone, middle + whole - gone) / rate
        adults = known + (whole - gone) / rate
    return _as_days(nymphs), _as_days(adults)


def _as_days(numbers: Floats) -> np.ndarray:
    out = np.full(len(numbers), np.datetime64("NaT", "us"))
    there = np.isfinite(numbers)
    out[there] = days_of(np.ceil(numbers[there]).astype(np.int64))
    return out


def _require_sites(sites: pd.DataFrame) -> None:
    if not {"trap_id", "site"} <= set(sites.columns) or sites["trap_id"].duplicated().any():
        raise SchemaError(
            f"sites: found columns {listing(sites.columns)}; allowed is one row a trap with trap_id and site, the site "
            "whose weather it has"
        )
