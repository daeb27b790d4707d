"""The model card: what a model is and was made from, as plain JSON, and what must be whole before it is loaded."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from rs_forecast.baselines import targets
from rs_forecast.calibration import Calibration
from rs_forecast.catalog import Pest, Preset
from rs_forecast.errors import SourceError, listing
from rs_forecast.reasons import words_of
from rs_forecast.workspace import sha256_text

MODEL_FILE, CARD_FILE = "model.txt", "card.json"
CARD_VERSION = 1
_PEST, _HORIZON = "pest", "horizon_weeks"
_LIMITS = (
    "The probability holds for fields, seasons and visits like those trained on.",
    (
        "lower and upper are the 90 % range of the calibration over resampled season x sub-zone blocks; errors of the "
        "trees, of weather and imagery, and a changing world come on top."
    ),
    "Reasons tell what moved the model's number, not what causes the pest.",
)
_ESSENTIALS = (
    "format", "synthetic", "pests", "targets", "features", "dropped_features", "pest_codes", "training", "preset",
    "seed", "calibration",
)  # fmt: skip
"""Parts of the card that, with the text, make the model what it is; its id is made from them."""
_CARD = dict.fromkeys(_ESSENTIALS, object) | {"format": int, "features": list, "model_id": str, "sha256": dict}


def make_card(
    text: str,
    rows: pd.DataFrame,
    *,
    features: Sequence[str],
    dropped: Mapping[str, str],
    codes: Mapping[str, int],
    preset: Preset,
    seed: int,
    calibration: Calibration,
    pests: Mapping[str, Pest],
    known_at: Sequence[str],
    synthetic: bool,
    weather_ahead: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the card of a model.

    Parameters
    ----------
    text
        The trees.
    rows
        The labelled rows that it was fitted to.
    features, dropped
        The features in the model's order, and those left out, with the reason.
    codes
        The number of each pest among the features.
    pests
        The catalogue, from which what is known of the pests goes into the card.
    known_at
        What was assumed of the days rows became known, in words.
    weather_ahead
        What weather features of the coming days were made from: ``attrs`` of the dataset.
    """
    card = {
        "format": CARD_VERSION,
        "synthetic": synthetic,
        "pests": [_pest_row(pest, pests) for pest in codes],
        "targets": target_rows(rows),
        "features": [_feature_row(name) for name in features],
        "dropped_features": dict(dropped),
        "pest_codes": dict(codes),
        "training": _training(rows) | ({"weather_ahead": weather_ahead} if weather_ahead else {}),
        "preset": _preset_row(preset),
        "seed": seed,
        "calibration": calibration.to_dict(),
        "known_at": list(known_at),
        **_about(text),
    }
    return {"model_id": id_of(text, card), **card}


def _training(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "events": int(rows["label"].sum()),
        "parcels": int(rows["parcel_id"].nunique()),
        "seasons": list(rows.groupby("season")["valid_from"].min().sort_values(kind="stable").index),
        "issued_first": f"{rows['issued'].min():%Y-%m-%d}",
        "issued_last": f"{rows['issued'].max():%Y-%m-%d}",
        "label_known_last": f"{rows['label_known_at'].max():%Y-%m-%d}",
    }


def target_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the pests and horizons [weeks] among labelled rows, each with its rows and events."""
    found = []
    for pest, weeks in targets(rows):
        label = rows.loc[(rows[_PEST] == pest) & (rows[_HORIZON] == weeks), "label"]
        found.append({"pest": pest, _HORIZON: weeks, "rows": len(label), "events": int(label.sum())})
    return found


def _feature_row(name: str) -> dict[str, str]:
    words = words_of(name)
    return {"name": name, "unit": words.unit, "words": words.words}


def _preset_row(preset: Preset) -> dict[str, Any]:
    return {"name": preset.name, "rounds": preset.rounds, "params": dict(preset.params)}


def _pest_row(name: str, pests: Mapping[str, Pest]) -> dict[str, Any]:
    if name not in pests:
        return {"name": name}
    plain: dict[str, Any] = json.loads(json.dumps(asdict(pests[name])))
    return plain


def _about(text: str) -> dict[str, Any]:
    return {
        "limits": list(_LIMITS),
        "evaluation": None,
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("rs-forecast", "lightgbm", "numpy", "pandas", "scipy")},
        },
        "sha256": {MODEL_FILE: sha256_text(text)},
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def id_of(text: str, card: Mapping[str, Any]) -> str:
    """Return the id of a model, made from its trees and what of the card makes it what it is."""
    essentials = json.dumps({key: card[key] for key in _ESSENTIALS}, sort_keys=True, ensure_ascii=False)
    return f"rf-{sha256_text(text + essentials)[:12]}"


def check_card(card: Mapping[str, Any], folder: Path) -> None:
    """Raise :class:`SourceError` unless ``card`` has the parts and the format that this version reads."""
    wrong = [key for key, kind in _CARD.items() if key not in card or not isinstance(card[key], kind)]
    if wrong:
        raise damaged(folder, f"{CARD_FILE} lacks {listing(wrong)}")
    if card["format"] != CARD_VERSION:
        raise SourceError(
            f"{folder}: {CARD_FILE} has format {card['format']}, this version reads {CARD_VERSION}; train again, or "
            "use the version of rs_forecast that wrote it"
        )


def damaged(folder: Path, what: str) -> SourceError:
    """Return the error of a model that is not as it was written."""
    return SourceError(f"{folder}: {what}. It is not loaded; bring it back from a copy, or train again")
