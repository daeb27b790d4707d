"""When the crop on each parcel was sown, as it could be known on an issue date.

What the office was told comes first. Where it was told nothing, a paddy shows its sowing from space: the field lies
under water, when LSWI reaches the greenness index, LSWI + 0.05 >= NDVI or EVI (Xiao et al. 2005,
doi:10.1016/j.rse.2004.12.009, and 2006, doi:10.1016/j.rse.2005.10.004), and turns green some weeks later. The day on
which it turns green is found to within the gap between two looks; how long after sowing that is, and how far off it may
be, is learned from those sowings that the office was told of, else assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.kernels import greening, series
from rs_forecast.kernels.greening import Greenings, Rules
from rs_forecast.looks import Codes, Looks, day_number, day_numbers, packed_looks, places

Floats = NDArray[np.float64]

BASES = ("none", "table", "imagery", "calendar")
"""Where a sowing date is from."""
NONE, TABLE, IMAGERY, CALENDAR = (np.int8(code) for code in range(4))

LONGEST_CROP = 150
"""Days after sowing beyond which a crop of rice is taken as gone [days]."""
LONGEST_OTHER = 330
"""The same for other crops that the office told of [days]: beet stands for half a year and more, winter wheat for ten
months."""
LONGEST_SEEN = 110
"""The same for one seen from space alone [days]: clouds may hide its harvest, and the stages add up to 95 at most."""
SHORTEST_CROP = 60
"""Sowings of a parcel that are nearer to each other are one [days]: the shortest rice takes some 80 to the harvest."""
COVERAGE = 0.8
"""Share of sowing dates from imagery that lie within their stated error."""

WATER, MARGIN = "lswi", 0.05
GREEN = {"ndvi": 0.4, "evi": 0.25}
"""Greenness from which a field counts as green, of the first index that is there: more than bare ground."""
_GAP, _SOAKED, _HIDDEN = 40, 60, 20

_LEAD = 20.0
"""Days from sowing to green that are assumed where the office's sowings do not tell [days]."""
_FIRM, _UNSEEN = 4.0, 5.0
"""Error beside half the gap, and what is added where no water was seen: a fallow may have greened by weeds [days]."""
_PAIRS = 30
"""Sowings seen and told below which nothing is learned from them."""
_SPAN = 1 << 20
"""More than any number of days, so that parcel and day make one number."""


class Sown(NamedTuple):
    """The newest sowing of each parcel."""

    day: Floats
    """Counted from 1970, NaN where unknown."""
    error: Floats
    """Half of the range that holds the true day in ``COVERAGE`` of cases [days]; 0 where the office was told."""
    basis: NDArray[np.int8]
    """Place in ``BASES``."""
    row: NDArray[np.int64]
    """Row of the table of crops that tells of the parcel's newest sowing, whatever the basis; -1 for none."""

    @property
    def date(self) -> NDArray[np.datetime64]:
        """The day as a date, NaT where unknown."""
        out = np.full(len(self.day), np.datetime64("NaT", "us"), "datetime64[us]")
        known = ~np.isnan(self.day)
        out[known] = self.day[known].astype(np.int64).astype("datetime64[D]")
        return out


class Lead(NamedTuple):
    """How sowing goes with turning green."""

    days: float
    """From sowing to green."""
    scale: float
    """What assumed errors are multiplied with."""
    pairs: int
    """Sowings it was learned from; 0 where it is assumed."""


def find_sown(
    signals: pd.DataFrame,
    crops: pd.DataFrame,
    ids: pd.Index,
    issued: pd.Timestamp,
    *,
    paddy: NDArray[np.bool_] | None = None,
    looks: Looks | None = None,
) -> Sown:
    """Return the newest sowing of each parcel known at ``issued``.

    One seen from space stands for one that the office was told of only if it is later by ``SHORTEST_CROP`` days: the
    next crop, which nobody has reported yet. One older than :func:`longest_stand` is none; one seen from space is none
    after ``LONGEST_SEEN`` days, or once the field has been bare or under water again.

    Parameters
    ----------
    signals, crops
        Rows known at ``issued``; of a crop told more than once the last row counts.
    ids
        All parcels.
    paddy
        Which parcels may grow rice; on others nothing is seen from space. By default all.
    looks
        The looks, where :func:`rs_forecast.looks.packed_looks` has been asked already.

    Raises
    ------
    LeakageError
        A row was known only after ``issued``.
    """
    schema.check_known(crops, issued, "crops")
    today = day_number(issued)
    told, days, starts, rows = _told(crops, ids, today)
    table = series.at_rows(days, told)
    seen, error = _seen(signals, ids, issued, paddy, looks, (days, starts))
    recent = today - table <= (LONGEST_CROP if paddy is None else longest_stand(paddy))
    later = np.isfinite(seen) & (today - seen <= LONGEST_SEEN) & ~(seen - table < SHORTEST_CROP)
    basis = np.where(later, IMAGERY, np.where(recent, TABLE, NONE)).astype(np.int8)
    return Sown(
        day=np.select([later, recent], [seen, table], np.nan),
        error=np.select([later, recent], [error, 0.0], np.nan),
        basis=basis,
        row=np.where(told >= 0, rows[told] if len(rows) else -1, -1),
    )


def longest_stand(paddy: NDArray[np.bool_]) -> Floats:
    """Return the days after sowing beyond which a crop that was told of is taken as gone, by whether it may be rice."""
    return np.where(paddy, float(LONGEST_CROP), float(LONGEST_OTHER))


def _told(crops: pd.DataFrame, ids: pd.Index, today: int) -> tuple[Codes, Codes, Codes, Codes]:
    """Return each parcel's newest sowing in a packed list, the list's days and starts, and their rows in ``crops``."""
    key, days = places(crops[schema.PARCEL], ids), day_numbers(crops["sown"])
    rows = np.flatnonzero((key >= 0) & (days <= today))
    order, starts = series.pack(key[rows], days[rows], len(ids))
    rows = rows[order]
    days = days[rows]
    count = np.ones(len(days))
    newest = series.last_rows(days, count, count, starts, np.arange(len(ids)), np.full(len(ids), today))
    return newest, days, starts, rows


def _seen(
    signals: pd.DataFrame,
    ids: pd.Index,
    issued: pd.Timestamp,
    paddy: NDArray[np.bool_] | None,
    looks: Looks | None,
    told: tuple[Codes, Codes],
) -> tuple[Floats, Floats]:
    """Return the newest sowing of each parcel as seen from space, and its error; NaN where none is seen."""
    sown, error = np.full((2, len(ids)), np.nan)
    looks = packed_looks(signals, ids, issued) if looks is None else looks
    found = _greenings(signals, looks)
    if found is None or not len(found.day):
        return sown, error
    assumed = _FIRM + found.gap / 2 + np.where(found.wet, 0.0, _UNSEEN)
    lead = learned_lead(found, assumed, *told)
    last = found.starts[1:] - 1
    standing = (found.starts[1:] > found.starts[:-1]) & (found.over[last] > day_number(issued))
    standing &= True if paddy is None else paddy
    sown[standing] = np.rint(found.day[last[standing]] - lead.days)
    error[standing] = np.ceil(lead.scale * assumed[last[standing]])
    return sown, error


def _greenings(signals: pd.DataFrame, looks: Looks) -> Greenings | None:
    """Return what turned green after water, as far as the indices tell; None without a greenness index."""
    name = next((name for name in GREEN if f"{name}_mean" in signals), None)
    if name is None:
        return None
    value = np.where(looks.clear, signals[f"{name}_mean"].to_numpy()[looks.rows], np.nan).astype(np.float64)
    water = np.full(len(value), greening.UNKNOWN, np.int8)
    if f"{WATER}_mean" in signals:
        wetness = signals[f"{WATER}_mean"].to_numpy()[looks.rows]
        told = ~np.isnan(wetness)
        water[told] = np.where(wetness + MARGIN >= value, greening.WET, greening.DRY)[told]
    rules = Rules(green=GREEN[name], gap=_GAP, soaked=_SOAKED, hidden=_HIDDEN, apart=SHORTEST_CROP)
    return greening.greenings(looks.days, value, water, looks.starts, rules)


def learned_lead(found: Greenings, assumed: Floats, days: Codes, starts: Codes) -> Lead:
    """Return how long after sowing fields turn green, by the sowings that were told of fields that were seen.

    The scale is that of split conformal prediction: of the ratios of the errors found to those assumed, the quantile
    that holds ``COVERAGE`` of them.

    Parameters
    ----------
    found, assumed
        Greenings, and the error assumed of each [days].
    days, starts
        Sowings told, packed by parcel.
    """
    parcel = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    told = np.unique(parcel * _SPAN + days)
    owner = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    before = np.searchsorted(told, owner * _SPAN + np.floor(found.day).astype(np.int64), side="right") - 1
    nearest = told[np.maximum(before, 0)] if len(told) else np.zeros(len(before), np.int64)
    after = found.day - nearest % _SPAN
    pair = (before >= 0) & (nearest // _SPAN == owner) & (after <= SHORTEST_CROP)
    count = int(pair.sum())
    if count < _PAIRS:
        return Lead(_LEAD, 1.0, 0)
    lead = float(np.median(after[pair]))
    ratio = np.sort(np.abs(after[pair] - lead) / assumed[pair])
    return Lead(lead, float(ratio[min(int(np.ceil((count + 1) * COVERAGE)), count) - 1]), count)
