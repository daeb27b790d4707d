"""Which rows train and which are scored: seasons forward in time, and blocks that keep neighbours together.

A random split lets next week and the field next door into training and flatters every model (doi 10.1111/ecog.02881),
so there is none here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.errors import ConfigError, LeakageError, NoDataError, listing
from rs_forecast.schema import NOT_ASSESSABLE, PARCEL, check_dataset

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

MIN_EVENTS = 10
"""Fewer events than this teach a model nothing that a base rate does not say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """One season to be scored, by row number in the dataset."""

    name: str
    """The season."""
    cutoff: pd.Timestamp
    """First issue date among the test rows; all that trains was known by then."""
    train: IntArray
    test: IntArray
    train_events: int
    test_events: int
    left_out: str = ""
    """Why the season cannot be scored; empty if it can."""


def season_forward(dataset: pd.DataFrame, *, max_folds: int | None = None, min_events: int = MIN_EVENTS) -> list[Fold]:
    """Return one fold a season, oldest first: trained on labels known by the season's first issue date.

    All pests and horizons of a season are in one fold. A season is left out if its training rows hold fewer than
    ``min_events`` events, or no non-event; :func:`season_folds` tells which and why.

    Parameters
    ----------
    dataset
        Rows of :func:`rs_forecast.build_dataset`; those without a label, or not assessable, are in no fold.
    max_folds
        Keep the last so many; all by default.

    Raises
    ------
    NoDataError
        No season can be scored.
    LeakageError
        A label was known before its forecast was issued.
    """
    folds = season_folds(dataset, max_folds=max_folds, min_events=min_events)
    usable = [fold for fold in folds if not fold.left_out]
    if not usable:
        raise NoDataError(_none_usable(dataset, folds, min_events))
    return usable


def season_folds(dataset: pd.DataFrame, *, max_folds: int | None = None, min_events: int = MIN_EVENTS) -> list[Fold]:
    """Return every season as a fold, oldest first, those that cannot be scored with ``left_out`` filled in."""
    if max_folds is not None and max_folds < 1:
        raise ConfigError(f"max_folds is {max_folds}; allowed is 1 or more, or None for all")
    check_dataset(dataset)
    _refuse_early_labels(dataset)
    folds = list(_folds(dataset, min_events))
    if max_folds is None:
        return folds
    kept = {fold.name for fold in [f for f in folds if not f.left_out][-max_folds:]}
    older = f"only the last {max_folds} are scored"
    return [f if f.left_out or f.name in kept else replace(f, left_out=older) for f in folds]


def labelled(dataset: pd.DataFrame) -> BoolArray:
    """Return which rows can train or be scored: somebody looked, and the parcel is assessable."""
    rows: BoolArray = (dataset["label"].notna() & (dataset["status"] != NOT_ASSESSABLE)).to_numpy(dtype=bool)
    return rows


def time_blocks(dataset: pd.DataFrame, blocks: int) -> IntArray:
    """Return a block number per row, to fit on all blocks but one: whole seasons together, in order of time.

    Blocks hold about equal numbers of events. Where seasons do not do, as when one holds all events, whole valid weeks
    stay together instead. Rows of the same parcel and valid week, and so of the same label, are never parted.

    Raises
    ------
    NoDataError
        However it is parted, the rows outside some block hold no event, or nothing but events.
    """
    for unit in ("season", "valid_from"):
        number = _by_events(dataset, unit, blocks)
        label = dataset["label"].to_numpy(dtype=float)
        outside = [label[number != block] for block in np.unique(number)]
        if len(outside) > 1 and all(0 < part.sum() < len(part) for part in outside):
            return number
    raise NoDataError(
        f"all events are of one week, so that nothing is left to check the model on. Found: {span(dataset)}. "
        "Needed: events in at least two valid weeks; add surveys"
    )


def bootstrap_blocks(dataset: pd.DataFrame) -> IntArray:
    """Return a block number per row, for resampling: season x sub-zone, else season x commune, else valid week.

    Rows of one block are taken together because neighbours share their weather, their sowing and their hoppers.
    """
    for column in ("sub_zone", "commune_code"):
        if dataset[column].notna().any():
            keys = [dataset["season"], dataset[column]]
            break
    else:
        keys = [dataset["valid_from"]]
    return np.asarray(dataset.groupby(keys, dropna=False).ngroup(), dtype=np.intp)


def span(dataset: pd.DataFrame) -> str:
    """Return what a dataset holds, in words: rows, labels, events, and the days they were issued on."""
    rows = labelled(dataset)
    if not rows.any():
        return f"{len(dataset)} rows, none with a label on an assessable parcel"
    issued = dataset.loc[rows, "issued"]
    events = int(dataset.loc[rows, "label"].sum())
    return f"{rows.sum()} labelled rows with {events} events, issued {issued.min():%Y-%m-%d} to {issued.max():%Y-%m-%d}"


def _folds(dataset: pd.DataFrame, min_events: int) -> Iterator[Fold]:
    rows = labelled(dataset)
    season, label = dataset["season"], dataset["label"].to_numpy(dtype=float)
    known = dataset["label_known_at"]
    for name in dataset.groupby("season")["valid_from"].min().sort_values(kind="stable").index:
        test = rows & (season == name).to_numpy()
        if not test.any():
            continue
        cutoff: Any = dataset.loc[test, "issued"].min()
        train = rows & (known <= cutoff).to_numpy() & ~test
        events, others = int(label[train].sum()), int(train.sum() - label[train].sum())
        yield Fold(
            name=str(name),
            cutoff=cutoff,
            train=np.flatnonzero(train),
            test=np.flatnonzero(test),
            train_events=events,
            test_events=int(label[test].sum()),
            left_out=_too_little(events, others, min_events),
        )


def _by_events(dataset: pd.DataFrame, unit: str, blocks: int) -> IntArray:
    first = dataset.groupby(unit)["valid_from"].min().sort_values(kind="stable")
    events = dataset.groupby(unit)["label"].sum().reindex(first.index).to_numpy(dtype=float)
    middle = np.cumsum(events) - events / 2
    number = np.floor(blocks * middle / max(events.sum(), 1.0)).clip(0, blocks - 1)
    return np.asarray(dataset[unit].map(pd.Series(number, index=first.index)), dtype=np.intp)


def _too_little(events: int, others: int, min_events: int) -> str:
    if events < min_events:
        return f"{events} events known before it, {min_events} needed"
    return "" if others else "no visit without an event known before it"


def _refuse_early_labels(dataset: pd.DataFrame) -> None:
    early = dataset["label"].notna() & (dataset["label_known_at"] <= dataset["issued"])
    if early.any():
        row = dataset.loc[early].iloc[0]
        raise LeakageError(
            f"{int(early.sum())} labels were known when their forecast was issued, the first for parcel {row[PARCEL]}: "
            f"issued {row['issued']:%Y-%m-%d}, known {row['label_known_at']:%Y-%m-%d}. "
            "A label lies in the week that is forecast; check known_at of the surveys"
        )


def _none_usable(dataset: pd.DataFrame, folds: list[Fold], min_events: int) -> str:
    found = span(dataset)
    if folds:
        found += "; " + listing((f"{f.name}: {f.left_out}" for f in reversed(folds)), sep="; ")
    return (
        f"no season can be scored. Found: {found}. Needed: a season with labels, and {min_events} events known before "
        "its first issue date; add surveys of earlier seasons"
    )
