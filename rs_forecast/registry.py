"""Registered models: one folder each under ``models/``, and which of them may forecast on a given day."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rs_forecast.card import CARD_FILE
from rs_forecast.errors import DataWarning, NoDataError, RsForecastError, listing
from rs_forecast.model import RiskModel
from rs_forecast.schema import day
from rs_forecast.workspace import read_json

_Dated = tuple[pd.Timestamp, int, Path]
"""Day of a model's last label, its training rows, its folder."""


def register(model: RiskModel, folder: Path) -> Path:
    """Write ``model`` to ``folder/<model_id>``, replacing an equal one; return its folder."""
    return model.save(folder / model.model_id)


def choose(folder: Path, targets: Iterable[tuple[str, int]], issued: pd.Timestamp) -> RiskModel:
    """Return the newest model that covers ``targets`` and has seen no label known after ``issued``.

    The newest is the one whose last label is; of equals, the one with more rows, then the greater id.

    Raises
    ------
    NoDataError
        There is none. A damaged model is passed over and named in a :class:`DataWarning`.
    """
    wanted = set(targets)
    fitting: list[_Dated] = []
    late: list[_Dated] = []
    for card_file in sorted(folder.glob(f"*/{CARD_FILE}")):
        try:
            card = read_json(card_file)
            last = day(card["training"]["label_known_last"])
            covered = {(row["pest"], int(row["horizon_weeks"])) for row in card["targets"]}
            rows = int(card["training"]["rows"])
        except (RsForecastError, KeyError, TypeError, ValueError) as err:
            _warn(card_file, err)
            continue
        if wanted <= covered:
            (fitting if last <= issued else late).append((last, rows, card_file.parent))
    for _, _, path in sorted(fitting, reverse=True):
        try:
            return RiskModel.load(path)
        except RsForecastError as err:
            _warn(path, err)
    raise NoDataError(_none(folder, wanted, late, issued))


def _none(folder: Path, wanted: set[tuple[str, int]], late: list[_Dated], issued: pd.Timestamp) -> str:
    what = listing(f"{pest} at {weeks} weeks" for pest, weeks in sorted(wanted))
    if late:
        first = min(last for last, _, _ in late)
        return (
            f"{folder}: the models for {what} have learned from labels known up to {first:%Y-%m-%d} or later, which "
            f"nobody had on {issued:%Y-%m-%d}; train one with: rs-forecast train CONFIG --until {issued:%Y-%m-%d}"
        )
    return f"{folder}: no usable model covers {what}; train one with: rs-forecast train CONFIG"


def _warn(path: Path, err: Exception) -> None:
    warnings.warn(DataWarning(f"model {path}: passed over ({err})"), stacklevel=4)
