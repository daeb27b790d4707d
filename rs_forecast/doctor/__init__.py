"""``rs-forecast doctor``: everything a run will need, looked at beforehand, and how to mend what is missing.

A check is a function that yields findings. It may raise any error of ours, which is then what it found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rs_forecast.config import load_config
from rs_forecast.doctor.finding import Check, Diagnosis, Finding, Patient, fail, ok, warning
from rs_forecast.doctor.images import check_imagery, check_model, check_signals
from rs_forecast.doctor.machine import check_disk, check_environment, check_folders, check_timezone
from rs_forecast.doctor.tables import (
    check_areas,
    check_communes,
    check_control,
    check_crops,
    check_parcels,
    check_surveys,
    check_traps,
    check_weather,
)
from rs_forecast.errors import ConfigError, RsForecastError, listing, noted

__all__ = ["CHECKS", "Diagnosis", "Finding", "examine"]


def examine(path: str | Path, *, online: bool = False) -> Diagnosis:
    """Check everything that a run of a config will need; nothing is written, and nothing raised.

    Parameters
    ----------
    online
        Also ask the imagery's provider for scenes of late; without it nothing reaches for the network.
    """
    try:
        config = load_config(path)
    except ConfigError as err:
        mend = "mend the file; `rs-forecast init DIR` writes one with every table explained"
        return Diagnosis(config=str(path), findings=(fail("config", str(err), mend),))
    patient = Patient(config=config, online=online)
    findings = [ok("config", f"{path} is read")]
    for name, check in CHECKS.items():
        if name in NEED_PARCELS and patient.parcels is None:
            findings.append(warning(name, "not looked at, for there are no parcels to read it for", "mend the parcels"))
            continue
        findings += _carefully(name, check, patient)
    return Diagnosis(config=str(path), findings=tuple(findings))


def _carefully(name: str, check: Check, patient: Patient) -> list[Finding]:
    """Return what a check finds, its warnings among it; an error of any kind is a finding too."""
    try:
        with noted() as notes:
            found = list(check(patient))
    except RsForecastError as err:
        vital = name not in NOT_VITAL or (name == "weather" and patient.config.surveys.path is None)
        spared = not vital and not isinstance(err, ConfigError)
        return [warning(name, str(err), "") if spared else fail(name, str(err), "")]
    except Exception as err:  # noqa: BLE001 - a doctor that falls ill itself helps nobody
        mend = "report this with the file that causes it; it is a fault of the program"
        return [fail(name, f"the check itself failed ({type(err).__name__}: {err})", mend)]
    return found + [warning(name, note, "") for note in notes]


def _check_synthetic(patient: Patient) -> Iterator[Finding]:
    made_up = [name for name, marked in patient.marked.items() if marked]
    real = [name for name, marked in patient.marked.items() if not marked]
    if made_up and real:
        mend = "a map made from both is marked SYNTHETIC; replace what is made up"
        yield warning("synthetic", f"{listing(made_up)} say that they are SYNTHETIC, {listing(real)} do not", mend)
    elif made_up:
        yield ok("synthetic", "everything here is SYNTHETIC, and so are all maps")


CHECKS: Mapping[str, Check] = {
    "timezone": check_timezone,
    "environment": check_environment,
    "folders": check_folders,
    "disk": check_disk,
    "control points": check_control,
    "communes": check_communes,
    "parcels": check_parcels,
    "surveys": check_surveys,
    "areas": check_areas,
    "crops": check_crops,
    "traps": check_traps,
    "weather": check_weather,
    "imagery": check_imagery,
    "signals": check_signals,
    "model": check_model,
    "synthetic": _check_synthetic,
}
"""All checks, in order."""

NEED_PARCELS = ("surveys", "crops", "weather")
"""Checks that read tables of parcels."""

NOT_VITAL = ("weather", "imagery")
"""Sources without which a run goes on, degraded."""
