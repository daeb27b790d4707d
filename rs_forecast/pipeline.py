"""The whole line on one page: read, extract, train, forecast, publish."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.baselines import BASELINES, baseline_from_dict
from rs_forecast.catalog import WEATHER_FEATURES
from rs_forecast.config import Config, load_config
from rs_forecast.cube import find_scenes
from rs_forecast.dataset import build_dataset
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, RsForecastError, SchemaError, SourceError, listing
from rs_forecast.evaluate import Report, cross_validate
from rs_forecast.grid import metric_crs
from rs_forecast.maps import write_products
from rs_forecast.model import RiskModel
from rs_forecast.registry import choose, register
from rs_forecast.risk import risk_table
from rs_forecast.signals import empty_signals, extract_signals
from rs_forecast.sources.crops import read_crops
from rs_forecast.sources.parcels import read_parcels
from rs_forecast.sources.scene import scenes_table
from rs_forecast.sources.surveys import read_surveys
from rs_forecast.sources.weather import Weather, get_weather
from rs_forecast.workspace import (
    MANIFEST,
    Workspace,
    atomic_folder,
    check_writable,
    read_json,
    recover,
    sha256_file,
    sha256_text,
    write_json,
)

Tell = Callable[[str, int, int], None]
"""Progress: what is being done, how many of it are done, of how many."""

PUBLISHED, UNCHANGED, DEGRADED = "published", "unchanged", "degraded"
LATEST = "latest.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Everything a config names, read. What could not be had is None or empty, and ``missing`` says so."""

    parcels: gpd.GeoDataFrame
    signals: pd.DataFrame | None
    weather: Weather | None
    surveys: pd.DataFrame
    crops: pd.DataFrame | None
    scenes: pd.DataFrame
    missing: tuple[str, ...]
    known_at: tuple[str, ...]
    """What was assumed of the days rows were known, in words."""
    synthetic: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A registered model, and how it was found to be."""

    model: RiskModel
    report: Report
    folder: Path
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did."""

    status: str
    """``published``, ``unchanged`` or ``degraded``."""
    issued: str
    week: str
    folder: str
    model_id: str
    products: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    areas: dict[str, Any] = field(default_factory=dict)
    """Hectares per risk class, by product."""
    kept: str = ""
    """Name of the folder that keeps what was published for the week before."""

    @property
    def exit_code(self) -> int:
        """0 published or unchanged, 3 degraded."""
        return 3 if self.degraded else 0

    @property
    def line(self) -> str:
        """The one line for a log."""
        kept = f", in place of an older one kept as {self.kept}" if self.kept else ""
        more = f", degraded: {'; '.join(self.degraded)}" if self.degraded else ""
        notes = f"({len(self.warnings)} warnings{kept}{more})"
        return f"{self.status} {self.week} by {self.model_id}: {self.folder} {notes}"


def read_inputs(config: Config, *, until: pd.Timestamp | None = None, tell: Tell | None = None) -> Inputs:
    """Read what ``config`` names. Imagery after ``until`` is not looked at.

    Without parcels and surveys there is nothing to do, and their errors are raised. Imagery or weather that cannot be
    had leaves a gap that is named in ``missing``.
    """
    part = config.parcels
    parcels = read_parcels(
        part.path, id=part.id, columns=part.columns, crs=part.crs, encoding=part.encoding, layer=part.layer
    )
    _tell(tell, "parcels", 1, 1)
    surveys = read_surveys(
        config.surveys.path,
        parcels,
        delay_days=config.surveys.delay_days,
        columns=config.surveys.columns,
        encoding=config.surveys.encoding,
        pests=config.all_pests,
        today=config.today,
    )
    crops = _crops(config, parcels)
    _tell(tell, "surveys", 1, 1)
    missing: list[str] = []
    weather = _attempt("weather", missing, lambda: _weather(config, parcels))
    found = _attempt("imagery", missing, lambda: _imagery(config, parcels, until, tell))
    none = None if config.imagery.source == "none" else empty_signals(config.imagery.indices)
    scenes, signals, marked = found or (scenes_table([]), none, False)
    tables = (parcels, surveys, crops, *(weather or ()))
    return Inputs(
        parcels=parcels,
        signals=signals,
        weather=weather,
        surveys=surveys,
        crops=crops,
        scenes=scenes,
        missing=tuple(missing),
        known_at=_assumed(config, surveys, crops),
        synthetic=marked or any(bool(t.attrs.get("synthetic")) for t in tables if t is not None),
    )


def history_of(config: Config, inputs: Inputs, until: pd.Timestamp, tell: Tell | None = None) -> gpd.GeoDataFrame:
    """Return training rows with the labels known by ``until``."""
    return _dataset(config, inputs, tell, until=until)


def train(config: Config, *, until: Any = None, tell: Tell | None = None, inputs: Inputs | None = None) -> Trained:
    """Train on the labels known by ``until`` (today), hold the model against the baselines, register it."""
    last = _not_later(config, until, "until")
    workspace = Workspace(config.workspace.dir)
    with noted() as notes, workspace.lock():
        check_writable(workspace.models)
        inputs = inputs or read_inputs(config, until=last, tell=tell)
        history = history_of(config, inputs, last, tell)
        options: dict[str, Any] = {"preset": config.forecast.preset, "seed": config.forecast.seed, "progress": tell}
        report = cross_validate(history, **options)
        model = RiskModel.fit(history, pests=config.all_pests, known_at=inputs.known_at, **options)
        stand_in = BASELINES[report.gate.best_baseline]().fit(history)
        model = model.with_evaluation({**report.to_dict(), "stand_in": stand_in.to_dict()})
        folder = register(model, workspace.models)
    return Trained(model=model, report=report, folder=folder, warnings=tuple(notes))


def evaluate(config: Config, *, until: Any = None, tell: Tell | None = None) -> tuple[Report, tuple[str, ...]]:
    """Return the score report on the labels known by ``until`` (today), and the warnings."""
    last = _not_later(config, until, "until")
    with noted() as notes:
        history = history_of(config, read_inputs(config, until=last, tell=tell), last, tell)
        report = cross_validate(history, preset=config.forecast.preset, seed=config.forecast.seed, progress=tell)
    return report, tuple(notes)


def run(
    config: Config | str | Path, *, issued: Any = None, tell: Tell | None = None, inputs: Inputs | None = None
) -> RunReport:
    """Forecast for every parcel as of ``issued`` (today in the region) and publish the week's folder.

    The same inputs publish nothing twice: the report then says ``unchanged``. Other inputs in a week that is published
    replace it, and the older folder is kept as ``<week>.r<n>``.

    Raises
    ------
    NoDataError
        There is no model that may forecast, or no parcel that it can forecast for.
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
            model = choose(workspace.models, _targets(config), day)
            inputs = inputs or read_inputs(config, until=day, tell=tell)
            live = _dataset(config, inputs, None, issued=day)
            live, lost = _with_features_of(model, live)
            risk, stands_in = _forecast(config, model, live)
        degraded = [*inputs.missing, *_ended(inputs, day), *lost, *stands_in, *_too_little(config, risk)]
        return _publish(config, inputs, model, risk, live, degraded, notes)


@contextlib.contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the :class:`DataWarning` messages of a block, each once, for when it has ended well.

    Other warnings pass, and so do all of them when the block ends in an error.
    """
    notes: list[str] = []
    passing: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            passing = caught
            yield notes
        notes += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, DataWarning))
        passing = [w for w in caught if not issubclass(w.category, DataWarning)]
    finally:
        for w in passing:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def _targets(config: Config) -> list[tuple[str, int]]:
    return [(pest, weeks) for pest in config.forecast.pests for weeks in config.forecast.horizons_weeks]


def _crops(config: Config, parcels: gpd.GeoDataFrame) -> pd.DataFrame | None:
    part = config.crops
    if part.path is None:
        return None
    return read_crops(part.path, parcels, columns=part.columns, encoding=part.encoding, today=config.today)


def _weather(config: Config, parcels: gpd.GeoDataFrame) -> Weather | None:
    part = config.weather
    if part.source == "none":
        return None
    options = {"latency_days": part.latency_days, "columns": part.columns or None, "encoding": part.encoding}
    given = {name: value for name, value in options.items() if value is not None}
    return get_weather(parcels, source=part.source, path=part.path, **given)


def _imagery(
    config: Config, parcels: gpd.GeoDataFrame, until: pd.Timestamp | None, tell: Tell | None
) -> tuple[pd.DataFrame, pd.DataFrame, bool] | None:
    part = config.imagery
    if part.source == "none":
        return None
    scenes = find_scenes(
        part.source, part.path, end=until, latency_days=part.latency_days, scale=part.scale, offset=part.offset
    )
    signals = extract_signals(
        scenes,
        parcels,
        [config.all_indices[name] for name in part.indices],
        mask_classes=part.mask_classes,
        mask_dilate_m=part.mask_dilate_m,
        progress=lambda done, of: _tell(tell, "scenes", done, of),
    )
    return scenes_table(scenes), signals, any(scene.synthetic for scene in scenes)


def _attempt[Found](what: str, missing: list[str], get: Callable[[], Found]) -> Found | None:
    try:
        return get()
    except (SourceError, NoDataError, SchemaError) as err:
        missing.append(f"no {what}: {err}")
        return None


def _dataset(
    config: Config, inputs: Inputs, tell: Tell | None, *, issued: Any = None, until: Any = None
) -> gpd.GeoDataFrame:
    dataset = build_dataset(
        inputs.parcels,
        inputs.signals,
        inputs.weather,
        inputs.surveys,
        crops=inputs.crops,
        pest=config.forecast.pests,
        horizon_weeks=config.forecast.horizons_weeks,
        issued=issued,
        until=until,
        pests=config.all_pests,
        seasons=config.all_seasons,
        progress=lambda done, of: _tell(tell, "issue dates", done, of),
    )
    dataset.attrs["synthetic"] = inputs.synthetic
    return dataset


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


def _ended(inputs: Inputs, issued: pd.Timestamp) -> list[str]:
    """Say which source has brought nothing for so long that the forecast rests on old news."""
    tables = {
        "weather": None if inputs.weather is None else inputs.weather.rows,
        "imagery": inputs.scenes if len(inputs.scenes) else None,
        "surveys": inputs.surveys,
    }
    said = []
    for name, table in tables.items():
        if table is None:
            continue
        known = table.loc[table["known_at"] <= issued, "date"]
        last = known.max()
        if known.empty or (issued - last).days > _LONGEST_SILENCE[name]:
            since = "have not begun" if known.empty else f"end on {last:%Y-%m-%d}, {(issued - last).days} days before"
            said.append(f"{name}: the rows known at the issue date {since}")
    return said


_LONGEST_SILENCE = {"weather": 15, "imagery": 30, "surveys": 35}
"""Days before the issue date after which a source counts as missing."""


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
    return name in WEATHER_FEATURES or name.endswith("_mean_last") or name in ("crop_age_days", "survey_last_event")


def _too_little(config: Config, risk: gpd.GeoDataFrame) -> list[str]:
    area = risk.geometry.to_crs(risk.estimate_utm_crs()).area
    share = float(area[risk["probability"].notna()].sum() / area.sum())
    if share == 0:
        raise NoDataError("no parcel can be assessed: none grows a host crop or lies near any source")
    if share < config.run.min_assessable:
        return [f"{share:.0%} of the area is assessable, below [run] min_assessable = {config.run.min_assessable:.0%}"]
    return []


def _publish(
    config: Config,
    inputs: Inputs,
    model: RiskModel,
    risk: gpd.GeoDataFrame,
    live: gpd.GeoDataFrame,
    degraded: Sequence[str],
    notes: Sequence[str],
) -> RunReport:
    issued = risk["issued"].iloc[0]
    week = f"{issued.isocalendar().year}-W{issued.isocalendar().week:02d}"
    folder = config.output.dir.resolve() / week
    digest = _digest(config, risk, live, degraded)
    common: dict[str, Any] = {
        "issued": f"{issued:%Y-%m-%d}",
        "week": week,
        "folder": str(folder),
        "model_id": str(risk["model_id"].iloc[0]),
        "degraded": tuple(degraded),
        "warnings": tuple(notes),
        "areas": _areas(risk),
    }
    recover(folder, keep=_spare(folder))
    older = _published(folder)
    if older == {}:
        notes = [*notes, f"{folder}: what was published there is damaged or not ours; it is kept under another name"]
    if older is not None and older.get("inputs_sha256") == digest:
        _point_to(config.output.dir.resolve(), week, issued)
        return RunReport(status=UNCHANGED, products=tuple(older["products"]), **common)
    spare = _spare(folder) if older is not None else None
    common["kept"] = spare.name if spare is not None else ""
    with atomic_folder(folder, keep=spare) as stage:
        written = write_products(
            risk,
            stage,
            crs=config.output.crs,
            resolution=config.output.resolution,
            class_limits=config.forecast.class_limits,
            synthetic=inputs.synthetic,
            notes=tuple(degraded),
            pests=config.all_pests,
        )
        names = sorted(path.name for path in written)
        products = {name: sha256_file(stage / name) for name in names}
        write_json(stage / MANIFEST, _manifest(config, inputs, model, common, digest, products))
    _point_to(config.output.dir.resolve(), week, issued)
    return RunReport(status=DEGRADED if degraded else PUBLISHED, products=tuple(names), **common)


def _manifest(
    config: Config, inputs: Inputs, model: RiskModel, common: dict[str, Any], digest: str, products: dict[str, str]
) -> dict[str, Any]:
    """What the products were made from. Nothing in it depends on when or where the run was."""
    scenes = inputs.scenes.assign(
        date=inputs.scenes["date"].astype("str").str[:10], known_at=inputs.scenes["known_at"].astype("str").str[:10]
    )
    return {
        "region": config.region.name,
        "synthetic": inputs.synthetic,
        "state": "draft",
        "issued": common["issued"],
        "week": common["week"],
        "degraded": list(common["degraded"]),
        "areas_ha": common["areas"],
        "model_id": common["model_id"],
        "trained_model": model.model_id,
        "evaluation": model.card.get("evaluation", {}),
        "known_at": list(inputs.known_at),
        "inputs_sha256": digest,
        "config_sha256": sha256_text(config.model_dump_json(exclude=_PLACES)),
        "input_files": _input_files(config),
        "scenes": json.loads(scenes.to_json(orient="records")),
        "products": products,
        "warnings": list(common["warnings"]),
        "versions": _versions(),
    }


_PLACES: Any = {
    "workspace": True, "output": {"dir"}, "region": {"communes"}, "parcels": {"path"}, "crops": {"path"},
    "imagery": {"path"}, "weather": {"path"}, "surveys": {"path"},
}  # fmt: skip
"""Where files lie does not count for what is made from them."""


def _input_files(config: Config) -> dict[str, dict[str, str]]:
    """Name and hash of every input table, by what it is; a folder's files one by one."""
    parts = ("parcels", "surveys", "crops", "weather")
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        path: Path | None = getattr(config, part).path
        files = [] if path is None else sorted(path.rglob("*")) if path.is_dir() else [path]
        found[part] = {file.name: sha256_file(file) for file in files if file.is_file()}
    return found


def _digest(config: Config, risk: gpd.GeoDataFrame, live: gpd.GeoDataFrame, degraded: Sequence[str]) -> str:
    """Hash of all that decides the products: the forecast and its features, the outlines, settings and version."""
    tables = [
        pd.util.hash_pandas_object(pd.DataFrame(t.drop(columns="geometry")), index=False).to_numpy().tobytes()
        for t in (risk, live)
    ]
    shapes = risk.geometry.to_wkb().to_numpy()
    settings = [
        config.forecast.class_limits, config.output.crs, config.output.resolution, str(risk.crs), list(degraded),
        [asdict(config.all_pests[name]) for name in config.forecast.pests], importlib.metadata.version("rs-forecast"),
    ]  # fmt: skip
    parts = [*(t.hex() for t in tables), b"".join(shapes).hex(), json.dumps(settings, default=str)]
    return sha256_text("\n".join(parts))


def _areas(risk: gpd.GeoDataFrame) -> dict[str, Any]:
    """Hectares per class, by product."""
    hectares = risk.geometry.to_crs(risk.estimate_utm_crs()).area / 1e4
    out: dict[str, Any] = {}
    for (pest, weeks), rows in risk.groupby(["pest", "horizon_weeks"]):
        by_class = hectares[rows.index].groupby(rows["risk_class"]).sum()
        classes = (*schema.RISK_CLASSES, schema.NOT_ASSESSABLE)
        out[f"{pest}_h{int(weeks)}"] = {name: round(float(by_class.get(name, 0.0)), 2) for name in classes}
    return out


def _published(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a published week that is whole; None where there is none, or a file of it is gone."""
    if not folder.exists():
        return None
    try:
        manifest = read_json(folder / MANIFEST)
        files = dict(manifest["products"])
    except (RsForecastError, KeyError, TypeError, ValueError):
        return {}
    whole = all((folder / name).is_file() and sha256_file(folder / name) == sha for name, sha in files.items())
    return manifest if whole else {}


def _spare(folder: Path) -> Path:
    number = 1
    while folder.with_name(f"{folder.name}.r{number}").exists():
        number += 1
    return folder.with_name(f"{folder.name}.r{number}")


def _point_to(outputs: Path, week: str, issued: pd.Timestamp) -> None:
    """Let ``latest.json`` name the newest week; an older week that is published again does not take it back."""
    pointer = outputs / LATEST
    try:
        newest = str(read_json(pointer).get("issued", ""))
    except RsForecastError:
        newest = ""
    if newest <= f"{issued:%Y-%m-%d}":
        write_json(pointer, {"week": week, "issued": f"{issued:%Y-%m-%d}", "folder": week})


def _assumed(config: Config, surveys: pd.DataFrame, crops: pd.DataFrame | None) -> tuple[str, ...]:
    said = []
    for name, table, delay in (("surveys", surveys, "visit"), ("crops", crops, "sowing")):
        count = 0 if table is None else int(table.attrs.get("known_at_assumed", 0))
        if table is not None and count:
            said.append(f"{name}: {count} rows taken as known {table.attrs.get('delay_days')} days after the {delay}")
    if config.imagery.source != "none":
        said.append(f"imagery: scenes taken as known {config.imagery.latency_days} days after the overpass")
    return tuple(said)


def _versions() -> dict[str, str]:
    names = ("rs-forecast", "numpy", "pandas", "geopandas", "rasterio", "numba", "lightgbm", "scikit-learn", "xarray")
    return {name: importlib.metadata.version(name) for name in names}


def _tell(tell: Tell | None, what: str, done: int, of: int) -> None:
    if tell is not None:
        tell(what, done, of)
