"""Simple forecasts that a model has to beat, and that stand in for it where it does not.

Each is fitted to labelled rows, per pest and horizon, and shrunk to the base rate as if it had seen ``PRIOR_VISITS``
more visits at that rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.errors import NoDataError, SchemaError, SourceError, listing
from rs_forecast.schema import check_dataset
from rs_forecast.splits import labelled, span

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
Target = tuple[str, int]
"""A pest and a horizon [weeks]."""

PRIOR_VISITS = 10.0
WEEKS = 52
"""Weeks of the circle of the year; ISO week 53 counts as 52."""
WEEK_WEIGHTS = {-2: 1 / 3, -1: 2 / 3, 0: 1.0, 1: 2 / 3, 2: 1 / 3}
"""What a visit counts for the weeks around its own."""
MAX_AGE_DAYS = 28
"""An older visit says nothing of the parcel any more."""
NEAR_RATES = (0.0, 0.1, 0.3)
"""Upper ends of the classes of the share of events near by; above the last is a class of its own."""
NEAR_STATES = ("near_none", "near_few", "near_some", "near_many")
STATES = ("event", "none", *NEAR_STATES, "unknown")
"""What persistence knows of a parcel: its own last visit, else the visits near by, else nothing."""


class Baseline(Protocol):
    """A forecast without a model. It is plain data: :meth:`to_dict` gives JSON and ``from_dict`` takes it back."""

    name: ClassVar[str]
    words: ClassVar[str]

    def fit(self, history: pd.DataFrame) -> Self:
        """Learn from the labelled rows of ``history``; return self."""
        ...

    def predict(self, dataset: pd.DataFrame) -> FloatArray:
        """Return the probability of the event, row by row."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return all that was learned as plain JSON."""
        ...


def targets(dataset: pd.DataFrame) -> list[Target]:
    """Return the pests and horizons of ``dataset``, sorted."""
    pairs = dataset[["pest", "horizon_weeks"]].drop_duplicates()
    return sorted((str(pest), int(weeks)) for pest, weeks in pairs.itertuples(index=False))


def target_words(target: Target) -> str:
    """Return the target in words: ``brown_planthopper, 1 week ahead``."""
    pest, weeks = target
    return f"{pest}, {weeks} week{'s' if weeks > 1 else ''} ahead"


def refuse_uncovered(dataset: pd.DataFrame, covered: list[Target], what: str) -> None:
    """Raise :class:`SchemaError` if ``dataset`` holds a pest or horizon that ``what`` was not fitted to."""
    foreign = [target for target in targets(dataset) if target not in covered]
    if foreign:
        raise SchemaError(
            f"{what} does not cover {_in_words(foreign)}; it was fitted to {_in_words(covered)}. "
            "Ask for those, or fit one to rows with the others"
        )


@dataclass
class BaseRate:
    """The share of visits that found the event, whatever the season and the field."""

    name: ClassVar[str] = "base_rate"
    words: ClassVar[str] = "share of all visits that found it"

    rates: dict[Target, float] = field(default_factory=dict)

    def fit(self, history: pd.DataFrame) -> Self:
        """Learn the rate per pest and horizon."""
        self.rates = {target: float(rows["label"].mean()) for target, rows in _by_target(history)}
        return self

    def predict(self, dataset: pd.DataFrame) -> FloatArray:
        """Return the rate of the row's pest and horizon."""
        return _per_target(self.name, dataset, self.rates, lambda rows, rate: np.full(len(rows), rate))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"name": self.name, "targets": _rows(self.rates, "rate")}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """Return the baseline that :meth:`to_dict` wrote."""
        return cls({_target(row): float(row["rate"]) for row in card["targets"]})


@dataclass
class AlwaysNo:
    """Probability 0 everywhere: what an office does that waits."""

    name: ClassVar[str] = "always_no"
    words: ClassVar[str] = "no event anywhere"

    def fit(self, history: pd.DataFrame) -> Self:
        """Learn nothing."""
        check_dataset(history)
        return self

    def predict(self, dataset: pd.DataFrame) -> FloatArray:
        """Return zeros."""
        return np.zeros(len(dataset))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"name": self.name}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:  # noqa: ARG003 - the others need it
        """Return the baseline that :meth:`to_dict` wrote."""
        return cls()


@dataclass
class Climatology:
    """The share of visits that found the event around this week of the year, in the years that were seen.

    ``(sum k_i event_i + prior * rate) / (sum k_i + prior)``: ``k_i`` is 1 for a visit in the same ISO week, 2/3 one
    week off, 1/3 two weeks off, around the turn of the year too; ``rate`` is that of all visits.
    """

    name: ClassVar[str] = "climatology"
    words: ClassVar[str] = "how often it was found at this time of year"

    prior: float = PRIOR_VISITS
    weeks: dict[Target, list[float]] = field(default_factory=dict)
    """Per pest and horizon one probability for each of 52 weeks."""

    def fit(self, history: pd.DataFrame) -> Self:
        """Learn the probability of each week of the year."""
        self.weeks = {target: self._curve(rows).tolist() for target, rows in _by_target(history)}
        return self

    def predict(self, dataset: pd.DataFrame) -> FloatArray:
        """Return the probability of the valid week's place in the year."""
        return _per_target(self.name, dataset, self.weeks, lambda rows, curve: np.array(curve)[_week(rows)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"name": self.name, "prior": self.prior, "targets": _rows(self.weeks, "weeks")}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """Return the baseline that :meth:`to_dict` wrote."""
        weeks = {_target(row): [float(p) for p in row["weeks"]] for row in card["targets"]}
        return cls(prior=float(card["prior"]), weeks=weeks)

    def _curve(self, rows: pd.DataFrame) -> FloatArray:
        week, label = _week(rows), rows["label"].to_numpy(dtype=np.float64)
        visits, events = np.bincount(week, minlength=WEEKS), np.bincount(week, label, minlength=WEEKS)
        near_events, near_visits = _around(events), _around(visits)
        return (near_events + self.prior * label.mean()) / (near_visits + self.prior)


@dataclass
class Persistence:
    """As at the last visit: the parcel's own if it is at most 28 days old, else the share of events near by.

    Each of the ``STATES`` has the share of events that followed it in training, shrunk to the base rate.
    """

    name: ClassVar[str] = "persistence"
    words: ClassVar[str] = "what followed the last visit's finding"

    prior: float = PRIOR_VISITS
    states: dict[Target, dict[str, float]] = field(default_factory=dict)
    """Per pest and horizon the probability after each state."""

    def fit(self, history: pd.DataFrame) -> Self:
        """Learn what followed each state; rows without survey features all are in the state "unknown"."""
        self.states = {}
        for target, rows in _by_target(history):
            seen = rows["label"].groupby(_state(rows)).agg(["sum", "count"]).reindex(STATES, fill_value=0)
            shrunk = (seen["sum"] + self.prior * rows["label"].mean()) / (seen["count"] + self.prior)
            self.states[target] = {str(state): float(p) for state, p in shrunk.items()}
        return self

    def predict(self, dataset: pd.DataFrame) -> FloatArray:
        """Return the probability of the row's state."""
        return _per_target(self.name, dataset, self.states, lambda rows, p: _floats(_state(rows).map(p)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"name": self.name, "prior": self.prior, "targets": _rows(self.states, "states")}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """Return the baseline that :meth:`to_dict` wrote."""
        states = {_target(row): {s: float(row["states"][s]) for s in STATES} for row in card["targets"]}
        return cls(prior=float(card["prior"]), states=states)


BASELINES: dict[str, type[Climatology | Persistence | BaseRate | AlwaysNo]] = {
    kind.name: kind for kind in (Climatology, Persistence, BaseRate, AlwaysNo)
}
"""Baselines by name: ``BASELINES["climatology"]().fit(history)``."""


def baseline_from_dict(card: Mapping[str, Any]) -> Baseline:
    """Return the fitted baseline that ``to_dict`` wrote.

    Raises
    ------
    SourceError
        ``card`` is not one of a known baseline.
    """
    name = card.get("name")
    if name not in BASELINES:
        raise SourceError(f"the card is of the baseline {name!r}; known are {listing(BASELINES)}. Train again")
    try:
        return BASELINES[name].from_dict(card)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise SourceError(f"the card of the baseline {name!r} is damaged ({err!r}); train again") from err


def _state(rows: pd.DataFrame) -> pd.Series:
    def column(name: str) -> FloatArray:
        return _floats(rows[name]) if name in rows.columns else np.full(len(rows), np.nan)

    last, near = column("survey_last_event"), column("survey_near_event_rate")
    fresh = np.isfinite(last) & (column("survey_last_age_days") <= MAX_AGE_DAYS)
    near_class = np.searchsorted(NEAR_RATES, near, side="left")
    states = np.select(
        [fresh & (last > 0), fresh, *(np.isfinite(near) & (near_class == i) for i in range(len(NEAR_STATES)))],
        ["event", "none", *NEAR_STATES],
        default="unknown",
    )
    return pd.Series(states, index=rows.index)


def _by_target(history: pd.DataFrame) -> Iterator[tuple[Target, pd.DataFrame]]:
    check_dataset(history)
    rows = history.loc[labelled(history)]
    if rows.empty:
        raise NoDataError(f"a baseline needs labelled rows. Found: {span(history)}")
    for target, part in rows.groupby(["pest", "horizon_weeks"]):
        pest, weeks = cast("tuple[str, float]", target)
        yield (str(pest), int(weeks)), part


def _per_target[T](
    name: str, dataset: pd.DataFrame, known: Mapping[Target, T], of: Callable[[pd.DataFrame, T], FloatArray]
) -> FloatArray:
    check_dataset(dataset)
    refuse_uncovered(dataset, sorted(known), f"the baseline {name}")
    out = np.full(len(dataset), np.nan)
    for (pest, weeks), learned in known.items():
        rows = ((dataset["pest"] == pest) & (dataset["horizon_weeks"] == weeks)).to_numpy()
        out[rows] = of(dataset.loc[rows], learned)
    return out


def _around(per_week: NDArray[Any]) -> FloatArray:
    """Return per week the weighted sum over the weeks around it, on the circle."""
    total = np.zeros(WEEKS)
    for shift, weight in WEEK_WEIGHTS.items():
        total += weight * np.roll(per_week, shift)
    return total


def _week(rows: pd.DataFrame) -> IntArray:
    """Return the valid week's place in the year, 0 to 51."""
    week = np.asarray(rows["valid_from"].dt.isocalendar().week, dtype=np.intp)
    return np.minimum(week, WEEKS) - 1


def _floats(column: pd.Series) -> FloatArray:
    return np.asarray(column, dtype=np.float64)


def _rows(known: Mapping[Target, object], key: str) -> list[dict[str, Any]]:
    return [{"pest": pest, "horizon_weeks": weeks, key: value} for (pest, weeks), value in known.items()]


def _target(row: Mapping[str, Any]) -> Target:
    return str(row["pest"]), int(row["horizon_weeks"])


def _in_words(of: list[Target]) -> str:
    return listing(map(target_words, of), 8, sep="; ") or "nothing yet"
