"""What a check looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

from rs_forecast.config import Config
from rs_forecast.inputs import LONGEST_SILENCE

State = Literal["ok", "warning", "fail"]

EXIT_CODES: Mapping[State, int] = {"ok": 0, "warning": 3, "fail": 4}
"""As of a run: 0 all is there, 3 it would be degraded, 4 it would end with nothing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    name: str
    state: State
    found: str
    mend: str = ""
    """What to do about it; empty if nothing is to be done."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    config: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The worst of all."""
        states = {finding.state for finding in self.findings}
        return "fail" if "fail" in states else "warning" if "warning" in states else "ok"

    @property
    def exit_code(self) -> int:
        """0, 3 or 4 as :data:`EXIT_CODES`; 2 if the config itself is not usable."""
        broken = any(f.name == "config" and f.state == "fail" for f in self.findings)
        return 2 if broken else EXIT_CODES[self.state]

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain data."""
        return {
            "config": self.config,
            "status": self.state,
            "exit_code": self.exit_code,
            "checks": [asdict(finding) for finding in self.findings],
        }

    def text(self) -> str:
        """Return the findings for a person, a block each, and a last line that sums them up."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.state:<8}{finding.name:<16}{finding.found}")
            lines += [f"{'':<24}-> {finding.mend}"] if finding.mend else []
        counts = {state: sum(f.state == state for f in self.findings) for state in EXIT_CODES}
        said = {"ok": "all is there", "warning": "a run would be degraded", "fail": "a run would end with nothing"}
        total = ", ".join(f"{count} {state}" for state, count in counts.items())
        return "\n".join([*lines, f"{self.state}: {said[self.state]} ({total})"])


@dataclass
class Patient:
    """What the checks look at, read once."""

    config: Config
    online: bool
    parcels: Any = None
    marked: dict[str, bool] = field(default_factory=dict)
    """Source -> whether it says that it is SYNTHETIC."""

    @property
    def today(self) -> pd.Timestamp:
        """Today in the region."""
        return pd.Timestamp(self.config.today)


Check = Callable[[Patient], Iterator[Finding]]


def ok(name: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(name=name, state="ok", found=found)


def warning(name: str, found: str, mend: str) -> Finding:
    """Return what would make a run degraded."""
    return Finding(name=name, state="warning", found=found, mend=mend)


def fail(name: str, found: str, mend: str) -> Finding:
    """Return what would leave a run with nothing."""
    return Finding(name=name, state="fail", found=found, mend=mend)


def span(table: pd.DataFrame, column: str = "date") -> str:
    """Return the first and last day of a table, in words."""
    return f"{table[column].min():%Y-%m-%d} to {table[column].max():%Y-%m-%d}"


def late(name: str, found: str, table: pd.DataFrame, patient: Patient) -> Finding:
    """Return what was found of a source; a warning if a run of today would call it silent."""
    age = (patient.today - table["date"].max()).days
    if age <= LONGEST_SILENCE[name]:
        return ok(name, found)
    text = f"{found}: the last is {age} days old, and a run calls {LONGEST_SILENCE[name]} days silence"
    return warning(name, text, "bring the file up to date; a forecast of an earlier day is not concerned")
