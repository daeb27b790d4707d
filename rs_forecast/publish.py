"""The week's folder: products, manifest and the pointer to the newest, complete or not there at all."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_forecast.clouds import cloud_csv, cloud_report, cloud_summary
from rs_forecast.config import Config
from rs_forecast.content import Content
from rs_forecast.crop_status import stage_hectares
from rs_forecast.errors import RsForecastError
from rs_forecast.inputs import Inputs, weather_folder
from rs_forecast.maps.crop_status import write_crop_status
from rs_forecast.sources.weather_services import SERVICES
from rs_forecast.workspace import (
    MANIFEST,
    atomic_folder,
    read_json,
    recover,
    sha256_file,
    sha256_text,
    write_atomic,
    write_json,
)

PUBLISHED, UNCHANGED, DEGRADED = "published", "unchanged", "degraded"
LATEST = "latest.json"
CLOUDS = "clouds.csv"
_PLACES: Any = {
    "workspace": True, "compute": True, "output": {"dir"}, "region": {"communes"}, "parcels": {"path"},
    "crops": {"path"}, "traps": {"path"}, "imagery": {"path"}, "weather": {"path"}, "surveys": {"path"},
}  # fmt: skip
"""Where files lie, and who does the work, does not count for what is made from them."""


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
    """Hectares per risk class, or assessable and not, by product."""
    clouds: dict[str, Any] = field(default_factory=dict)
    """Shares of the fields seen clear in the last week that was over, and in four; empty without imagery."""
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


def publish(
    config: Config,
    inputs: Inputs,
    content: Content,
    crops: gpd.GeoDataFrame,
    degraded: Sequence[str],
    notes: Sequence[str],
) -> RunReport:
    """Write the week's folder and point to it; nothing is written if the same is published there already.

    Other contents replace it, and the older folder is kept as ``<week>.r<n>``.

    Raises
    ------
    OutputError
        The folder cannot be written; what was published stands.
    """
    issued = content.issued
    week = f"{issued.isocalendar().year}-W{issued.isocalendar().week:02d}"
    folder = config.output.dir.resolve() / week
    clouds, tables = _clouds(inputs, issued)
    digest = _digest(config, [*content.tables, crops], degraded, tables)
    common: dict[str, Any] = {
        "issued": f"{issued:%Y-%m-%d}",
        "week": week,
        "folder": str(folder),
        "model_id": content.model_id,
        "degraded": tuple(degraded),
        "warnings": tuple(notes),
        "areas": dict(content.areas),
        "clouds": clouds,
    }
    recover(folder, keep=_spare(folder))
    older = _published(folder)
    if older is not None and older.get("inputs_sha256") == digest:
        _point_to(config.output.dir.resolve(), week, issued)
        return RunReport(status=UNCHANGED, products=tuple(older["products"]), **common)
    spare = _spare(folder) if older is not None else None
    common["kept"] = spare.name if spare is not None else ""
    with atomic_folder(folder, keep=spare) as stage:
        written = content.write(stage)
        written += [write_atomic(stage / name, text) for name, text in tables.items()]
        written.append(
            write_crop_status(
                crops, stage_hectares(crops, config.all_stages), stage,
                issued=issued, crs=config.output.crs, synthetic=inputs.synthetic,
            )
        )  # fmt: skip
        names = sorted(path.name for path in written)
        products = {name: sha256_file(stage / name) for name in names}
        write_json(stage / MANIFEST, _manifest(config, inputs, content, common, digest, products))
    _point_to(config.output.dir.resolve(), week, issued)
    if older == {}:  # for the report alone: the products do not depend on what stood there
        common["warnings"] += (f"{folder}: what was published there is damaged or not ours; kept as {common['kept']}",)
    return RunReport(status=DEGRADED if degraded else PUBLISHED, products=tuple(names), **common)


def _manifest(
    config: Config, inputs: Inputs, content: Content, common: dict[str, Any], digest: str, products: dict[str, str]
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
        "clouds": common["clouds"],
        "model_id": common["model_id"],
        **content.told,
        "known_at": list(inputs.known_at),
        "inputs_sha256": digest,
        "config_sha256": sha256_text(config.model_dump_json(exclude=_PLACES)),
        "input_files": _input_files(config),
        "scenes": json.loads(scenes.to_json(orient="records")),
        "products": products,
        "warnings": list(common["warnings"]),
        "versions": _versions(),
    }


def _clouds(inputs: Inputs, issued: pd.Timestamp) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the summary of the cloud report, and its table by file name; both empty where no imagery is known."""
    if inputs.signals is None:
        return {}, {}
    report = cloud_report(inputs.signals, inputs.parcels, inputs.scenes, issued)
    if report.empty:
        return {}, {}
    return cloud_summary(report), {CLOUDS: cloud_csv(report, synthetic=inputs.synthetic)}


def _input_files(config: Config) -> dict[str, dict[str, str]]:
    """Name and hash of every input table, by what it is; a folder's files one by one."""
    parts = ("parcels", "surveys", "areas", "crops", "traps", "weather", "catalog")
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        service = part == "weather" and config.weather.source in SERVICES
        path: Path | None = weather_folder(config) if service else getattr(config, part).path
        files = [] if path is None or not path.exists() else sorted(path.rglob("*")) if path.is_dir() else [path]
        if files or part not in ("areas", "catalog"):
            found[part] = {file.name: sha256_file(file) for file in files if file.is_file()}
    return found


def _digest(
    config: Config, tables: Sequence[gpd.GeoDataFrame], degraded: Sequence[str], texts: Mapping[str, str]
) -> str:
    """Hash of all that decides the products: tables, the outlines of the first of them, settings and version.

    ``texts`` are products that are made before it, by name.
    """
    hashes = [
        pd.util.hash_pandas_object(pd.DataFrame(t.drop(columns="geometry")), index=False).to_numpy().tobytes()
        for t in tables
    ]
    shapes = tables[0].geometry.to_wkb().to_numpy()
    settings = [
        config.forecast.class_limits, config.output.crs, config.output.resolution, str(tables[0].crs), list(degraded),
        config.output.geojson, config.output.geoparquet,
        [asdict(config.all_pests[name]) for name in config.forecast.pests], importlib.metadata.version("rs-forecast"),
    ]  # fmt: skip
    parts = [
        *(found.hex() for found in hashes),
        b"".join(shapes).hex(),
        json.dumps(settings, default=str),
        *map(sha256_text, texts.values()),
    ]
    return sha256_text("\n".join(parts))


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


def _versions() -> dict[str, str]:
    names = ("rs-forecast", "numpy", "pandas", "geopandas", "rasterio", "numba", "lightgbm", "scikit-learn", "xarray")
    return {name: importlib.metadata.version(name) for name in names}
