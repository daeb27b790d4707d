"""The demo: a SYNTHETIC valley, and the whole line on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rs_forecast.config import load_config
from rs_forecast.errors import ConfigError, noted
from rs_forecast.inputs import Tell, read_inputs
from rs_forecast.pipeline import Trained, run, train
from rs_forecast.publish import RunReport
from rs_forecast.schema import day
from rs_forecast.simulate import simulate

ISSUED = "2026-03-02"
"""The Monday the demo forecasts on: the last day of the valley's record."""
_MARK = "SYNTHETIC.md"


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoResult:
    """What the demo made."""

    folder: Path
    trained: Trained
    report: RunReport
    warnings: tuple[str, ...]

    def report_dict(self) -> dict[str, Any]:
        """Return the run's report and the scores, as plain values."""
        return {"run": asdict(self.report), "scores": self.trained.report.to_dict(), "folder": str(self.folder)}

    def text(self) -> str:
        """Return what a person wants to see at the end."""
        maps = Path(self.report.folder)
        areas = "\n".join(
            f"  {name}: " + ", ".join(f"{kind.replace('_', ' ')} {ha:g} ha" for kind, ha in classes.items())
            for name, classes in self.report.areas.items()
        )
        return (
            f"{self.trained.report}\n\n"
            f"SYNTHETIC maps for the week {self.report.week}, issued {self.report.issued}:\n{areas}\n\n"
            f"{self.report.line}\n"
            f"Open the .geojson and .tif files of {maps} in QGIS; their styles load by themselves."
        )


def run_demo(out: Path, *, parcels: int = 1000, seed: int = 0, tell: Tell | None = None) -> DemoResult:
    """Simulate a valley in ``out``, train, evaluate, forecast and publish.

    A valley that is there with the same arguments is used again.

    Raises
    ------
    ConfigError
        ``out`` holds something else than a demo.
    """
    out = out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / _MARK).exists():
        raise ConfigError(f"{out}: holds other things than a demo; name a new folder with --out")
    simulate(
        out,
        seed=seed,
        parcels=parcels,
        end=ISSUED,
        progress=None if tell is None else lambda _, share: tell("simulated valley", round(share * 100), 100),
    )
    config = load_config(out / "rs_forecast.toml")
    with noted() as notes:
        inputs = read_inputs(config, until=day(ISSUED), tell=tell)
    trained = train(config, until=ISSUED, tell=tell, inputs=inputs)
    report = run(config, issued=ISSUED, tell=tell, inputs=inputs)
    return DemoResult(
        folder=out, trained=trained, report=report, warnings=(*notes, *trained.warnings, *report.warnings)
    )
