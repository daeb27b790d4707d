"""Checks of imagery, of what is computed from it, and of the model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pandas as pd

from rs_forecast.doctor.finding import Finding, Patient, late, ok, span, warning
from rs_forecast.errors import ConfigError, NoDataError, listing
from rs_forecast.fetch import fetch
from rs_forecast.inputs import config_scenes
from rs_forecast.registry import choose
from rs_forecast.sources._hub_settings import Hub, client_config
from rs_forecast.store.parts import scan
from rs_forecast.workspace import Workspace

_ASKED_DAYS = 30


def check_imagery(patient: Patient) -> Iterator[Finding]:
    """Scenes that a run can use; asked for at the provider only if online."""
    part = patient.config.imagery
    if part.source == "none":
        yield warning("imagery", 'source = "none"', "set [imagery] source; a forecast without imagery is degraded")
        return
    if part.source == "sentinelhub":
        yield from _credentials()
    if part.source != "local" and patient.online:
        yield from _asked(patient)
    try:
        scenes = config_scenes(patient.config)
    except NoDataError as err:
        start = patient.today - dt.timedelta(days=365)
        mend = "" if part.source == "local" else f"rs-forecast fetch CONFIG --start {start:%Y-%m-%d}"
        yield warning("imagery", str(err), mend)
        return
    patient.marked["imagery"] = any(scene.synthetic for scene in scenes)
    dates = pd.DataFrame({"date": [scene.date for scene in scenes]})
    yield late("imagery", f"{len(scenes)} scenes, {span(dates)}", dates, patient)


def _credentials() -> Iterator[Finding]:
    """See that there are credentials; what they are is never shown."""
    try:
        client_config(Hub())
    except ConfigError as err:
        yield warning("imagery", str(err), "")
    else:
        yield ok("imagery", "credentials of Sentinel Hub are there; --online asks whether they are good")


def _asked(patient: Patient) -> Iterator[Finding]:
    start = patient.today - dt.timedelta(days=_ASKED_DAYS)
    plan = fetch(patient.config, start=f"{start:%Y-%m-%d}", dry_run=True)
    yield ok("imagery", f"{plan.source} answers: {len(plan.scenes)} scenes since {start:%Y-%m-%d}")


def check_signals(patient: Patient) -> Iterator[Finding]:
    """Whether what was computed before is whole."""
    folder = Workspace(patient.config.workspace.dir).data / "signals"
    if not folder.is_dir():
        yield ok("signals", "nothing is stored yet; the first run computes all")
        return
    parts, damaged = scan(folder)
    if damaged:
        which = listing(damage.path.name for damage in damaged)
        text = f"{len(damaged)} of {len(parts) + len(damaged)} files are damaged: {which}"
        yield warning("signals", text, "nothing to do: the next run names them and computes them again")
    else:
        yield ok("signals", f"{len(parts)} files are whole")


def check_model(patient: Patient) -> Iterator[Finding]:
    """Whether there is a model for what is to be forecast, and whether it may."""
    if patient.config.surveys.path is None:
        yield ok("model", "none is needed without surveys: process models stand in")
        return
    forecast = patient.config.forecast
    targets = [(pest, weeks) for pest in forecast.pests for weeks in forecast.horizons_weeks]
    model = choose(Workspace(patient.config.workspace.dir).models, targets, patient.today)
    gate = model.card.get("evaluation", {}).get("gate", {})
    last = model.card["training"]["label_known_last"]
    found = f"{model.model_id}, labels known up to {last}"
    if gate.get("passed"):
        yield ok("model", found)
    else:
        why = listing(gate.get("reasons", ["it was never held against the baselines"]), 1, "; ")
        mend = "a baseline will stand in; train again when there are more surveys"
        yield warning("model", f"{found}, does not beat the baselines ({why})", mend)
