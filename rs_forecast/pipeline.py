"""The whole line on one page: read, extract, train, forecast, publish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.baselines import BASELINES, baseline_from_dict
from rs_forecast.catalog import WEATHER_FEATURES
from rs_forecast.config import Config, load_config
from rs_forecast.content import Content, forecast_content, process_content
from rs_forecast.crop_status import crop_status
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import ConfigError, NoDataError, listing, noted
from rs_forecast.evaluate import Report, cross_validate
from rs_forecast.features import Ahead, ahead_text
from rs_forecast.fetch import keep_up
from rs_forecast.fetch_weather import keep_weather
from rs_forecast.grid import metric_crs
from rs_forecast.inputs import Inputs, Tell, read_inputs, report_progress, silent
from rs_forecast.model import RiskModel
from rs_forecast.process_map import covered, process_map
from rs_forecast.publish import RunReport, publish
from rs_forecast.registry import choose, register
from rs_forecast.risk import risk_table
from rs_forecast.workspace import Workspace, check_writable

NO_SURVEYS = "no surveys: process models stand in, not calibrated"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A registered model, and how it was found to be."""

    model: RiskModel
    report: Report
    folder: Path
    warnings: tuple[str, ...]


class _Week(NamedTuple):
    """What a run has made of a week, to be published."""

    inputs: Inputs
    content: Content
    crops: gpd.GeoDataFrame
    degraded: list[str]


def history_of(config: Config, inputs: Inputs, until: pd.Timestamp, tell: Tell | None = None) -> gpd.GeoDataFrame:
    """Return training rows with the labels known by ``until``; NoDataError without surveys."""
    _require_surveys(config, inputs)
    return _dataset(config, inputs, tell, until=until)


def train(config: Config, *, until: Any = None, tell: Tell | None = None, inputs: Inputs | None = None) -> Trained:
    """Train on the labels known by ``until`` (today), hold the model against the baselines, register it.

    Raises
    ------
    NoDataError
        No surveys are named, or none gives a label.
    """
    _require_surveys(config, inputs)
    last = _not_later(config, until, "until")
    workspace = Workspace(config.workspace.dir)
    with noted() as notes, workspace.lock():
        check_writable(workspace.models)
        inputs = inputs or read_inputs(config, until=last, tell=tell)
        history = history_of(config, inputs, last, tell)
        options: dict[str, Any] = {"preset": config.forecast.preset, "seed": config.forecast.seed, "progress": tell}
        report = cross_validate(history, **options)
        model = RiskModel.fit(history, pests=config.all_pests, known_at=_assumed(inputs, history), **options)
        stand_in = BASELINES[report.gate.best_baseline]().fit(history)
        model = model.with_evaluation({**report.to_dict(), "stand_in": stand_in.to_dict()})
        folder = register(model, workspace.models)
    return Trained(model=model, report=report, folder=folder, warnings=tuple(notes))


def evaluate(config: Config, *, until: Any = None, tell: Tell | None = None) -> tuple[Report, tuple[str, ...]]:
    """Return the score report on the labels known by ``until`` (today), and the warnings; NoDataError without any."""
    _require_surveys(config, None)
    last = _not_later(config, until, "until")
    with noted() as notes:
        history = history_of(config, read_inputs(config, until=last, tell=tell), last, tell)
        report = cross_validate(history, preset=config.forecast.preset, seed=config.forecast.seed, progress=tell)
    return report, tuple(notes)


def run(
    config: Config | str | Path,
    *,
    issued: Any = None,
    offline: bool = False,
    tell: Tell | None = None,
    inputs: Inputs | None = None,
) -> RunReport:
    """Forecast for every parcel as of ``issued`` (today in the region) and publish the week's folder.

    The newest scenes and weather are fetched first (:func:`rs_forecast.fetch.keep_up`) where their source is one to
    download from, unless the run is ``offline`` or was given its ``inputs``.

    The same inputs publish nothing twice: the report then says ``unchanged``. Other inputs in a week that is published
    replace it, and the older folder is kept as ``<week>.r<n>``.

    Without surveys nothing has been learned: then process models stand in, not calibrated, for the pests that have one
    (:mod:`rs_forecast.process_map`), and the week is degraded.

    Raises
    ------
    NoDataError
        There is no model that may forecast, or no parcel that it can forecast for; without surveys, no process model.
    BusyError
        Another run holds the workspace.
    """
    config = config if isinstance(config, Config) else load_config(config)
    day = _not_later(config, issued, "issued")
    if config.output.crs is not None:
        metric_crs(config.output.crs)
    workspace = Workspace(config.workspace.dir)
    with workspace.lock():
        check_writable(config.output.dir)  # before the long work, not after it
        with noted() as notes:
            make = _surveyed_week if _has_surveys(config, inputs) else _unsurveyed_week
            week = make(config, day, inputs, offline=offline, tell=tell)
        return publish(config, *week, notes)


def _surveyed_week(
    config: Config, day: pd.Timestamp, inputs: Inputs | None, *, offline: bool, tell: Tell | None
) -> _Week:
    """Forecast by the trained model, or by the baseline that stands in for it."""
    model = choose(Workspace(config.workspace.dir).models, _targets(config), day)
    inputs, lacking = _kept_up(config, day, inputs, offline=offline, tell=tell)
    live = _dataset(config, inputs, None, issued=day, ahead=model.weather_ahead)
    live, lost = _with_features_of(model, live)
    crops = _crops(config, inputs, day)
    risk, stands_in = _forecast(config, model, live)
    degraded = [*lacking, *lost, *stands_in, *_too_little(config, risk, "probability")]
    content = forecast_content(config, model, risk, live, degraded=degraded, synthetic=inputs.synthetic)
    return _Week(inputs, content, crops, degraded)


def _unsurveyed_week(
    config: Config, day: pd.Timestamp, inputs: Inputs | None, *, offline: bool, tell: Tell | None
) -> _Week:
    """Let process models say how this year's weather ranks among past years."""
    pests, others = covered([config.all_pests[name] for name in config.forecast.pests])
    if not pests:
        known = listing(sorted(pest.name for pest in config.all_pests.values() if pest.process), 20)
        raise NoDataError(
            f"no surveys, and no process model for {listing(others, 20)}: there is nothing to publish. Name a file in "
            f"[surveys] path and train, or pests with a process model in [forecast] pests: {known}"
        )
    inputs, lacking = _kept_up(config, day, inputs, offline=offline, tell=tell)
    crops = _crops(config, inputs, day)
    table = process_map(crops, inputs.weather, pests=pests, issued=day)
    uncovered = [f"not covered: {listing(others, 20)} (no process model)"] if others else []
    degraded = [NO_SURVEYS, *uncovered, *lacking, *_too_little(config, table, "process_index")]
    content = process_content(config, table, pests, others, degraded=degraded, synthetic=inputs.synthetic)
    return _Week(inputs, content, crops, degraded)


def _kept_up(
    config: Config, day: pd.Timestamp, inputs: Inputs | None, *, offline: bool, tell: Tell | None
) -> tuple[Inputs, list[str]]:
    """Return the inputs, fetched up to ``day`` where that is asked for, and what is lacking."""
    lacking = [] if offline or inputs else [*keep_up(config, day, tell=tell), *keep_weather(config, day, tell=tell)]
    inputs = inputs or read_inputs(config, until=day, tell=tell)
    return inputs, [*lacking, *inputs.missing, *silent(inputs, day)]


def _crops(config: Config, inputs: Inputs, day: pd.Timestamp) -> gpd.GeoDataFrame:
    return crop_status(
        inputs.parcels, inputs.signals, inputs.crops,
        issued=day, seasons=config.all_seasons, stages=config.all_stages,
    )  # fmt: skip


def _has_surveys(config: Config, inputs: Inputs | None) -> bool:
    return config.surveys.path is not None if inputs is None else inputs.surveys is not None


def _require_surveys(config: Config, inputs: Inputs | None) -> None:
    if not _has_surveys(config, inputs):
        raise NoDataError(
            "no surveys: there is nothing to learn from. Name a file of them in [surveys] path (rs-forecast surveys "
            "form makes a form to collect them with); until then rs-forecast run publishes what process models say, "
            "not calibrated"
        )


def _targets(config: Config) -> list[tuple[str, int]]:
    return [(pest, weeks) for pest in config.forecast.pests for weeks in config.forecast.horizons_weeks]


def _dataset(
    config: Config,
    inputs: Inputs,
    tell: Tell | None,
    *,
    issued: Any = None,
    until: Any = None,
    ahead: Ahead | None = None,
) -> gpd.GeoDataFrame:
    dataset = build_dataset(
        inputs.parcels,
        inputs.signals,
        inputs.weather,
        inputs.surveys,
        crops=inputs.crops,
        traps=inputs.traps,
        areas=inputs.areas,
        pest=config.forecast.pests,
        horizon_weeks=config.forecast.horizons_weeks,
        issued=issued,
        until=until,
        pests=config.all_pests,
        seasons=config.all_seasons,
        ahead=ahead,
        progress=lambda done, of: report_progress(tell, "issue dates", done, of),
    )
    dataset.attrs["synthetic"] = inputs.synthetic
    return dataset


def _assumed(inputs: Inputs, history: gpd.GeoDataFrame) -> tuple[str, ...]:
    """Return what is assumed of the days rows were known, and what stood for the weather to come."""
    told = history.attrs.get("weather_ahead")
    return inputs.known_at + ((ahead_text(told["by"], told["archived"]),) if told else ())


def _forecast(config: Config, model: RiskModel, live: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Return the risk table by the model, or by the best baseline where the model has not beaten them all."""
    limits = config.forecast.class_limits
    evaluation = model.card.get("evaluation", {})
    if evaluation.get("gate", {}).get("passed"):
        return model.predict(live, limits), []
    if "stand_in" not in evaluation:
        raise NoDataError(f"model {model.model_id} was never held against the baselines; train again")
    baseline = baseline_from_dict(evaluation["stand_in"])
    risk = risk_table(
        live,
        baseline.predict(live),
        model_id=f"baseline-{baseline.name}",
        reasons=f"baseline {baseline.name}: the model does not beat it",
        class_limits=limits,
    )
    why = "; ".join(evaluation["gate"]["reasons"][:1])
    return risk, [f"the baseline {baseline.name} stands in for the model {model.model_id} ({why})"]


def _not_later(config: Config, given: Any, what: str) -> pd.Timestamp:
    """Return the day given, or today; a day to come is refused, for it would hide every Monday until then."""
    today = schema.day(config.today)
    found = today if given is None else schema.day(given)
    if found > today:
        raise ConfigError(f"{what}: found {found:%Y-%m-%d}, allowed is a day up to today, {today:%Y-%m-%d}")
    return found


def _with_features_of(model: RiskModel, live: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Return ``live`` with every feature of the model, empty where no source gives it, and which those are."""
    names = [name for name in model.features if name not in ("pest", "horizon_weeks")]
    absent = [name for name in names if name not in live.columns]
    out = live.assign(**dict.fromkeys(absent, np.nan))
    out.attrs = live.attrs
    lost = [name for name in names if name in absent or (_tells_of_source(name) and out[name].isna().all())]
    if not lost:
        return out, []
    return out, [f"{len(lost)} of {len(names)} features that the model has learned from are missing: {listing(lost)}"]


def _tells_of_source(name: str) -> bool:
    """Whether a feature without any value means that its source is gone; a short window may only be under cloud."""
    return (
        name in WEATHER_FEATURES
        or name.endswith("_mean_last")
        or name in ("crop_age_days", "survey_last_event", "area_age_days")
    )


def _too_little(config: Config, table: gpd.GeoDataFrame, column: str) -> list[str]:
    area = table.geometry.to_crs(table.estimate_utm_crs()).area
    share = float(area[table[column].notna()].sum() / area.sum())
    if share == 0:
        why = "none grows a host crop or lies near any source; rs-forecast doctor says which crops were found"
        if "reasons" in table and column == "process_index":
            why = listing(f"{reason} ({count})" for reason, count in table["reasons"].value_counts().items())
        raise NoDataError(f"no parcel can be assessed: {why}")
    if share < config.run.min_assessable:
        return [f"{share:.0%} of the area is assessable, below [run] min_assessable = {config.run.min_assessable:.0%}"]
    return []
