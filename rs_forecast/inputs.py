"""Everything a config names, read: parcels, signals, weather, surveys, crops, traps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_forecast.catalog import PROVIDERS
from rs_forecast.config import Config
from rs_forecast.cube import find_scenes
from rs_forecast.errors import NoDataError, SchemaError, SourceError
from rs_forecast.features import SIGNAL_STATS
from rs_forecast.signals import empty_signals
from rs_forecast.sources.areas import areas_as_surveys, read_areas
from rs_forecast.sources.communes import Communes, in_todays_communes, read_communes
from rs_forecast.sources.crops import read_crops
from rs_forecast.sources.parcels import read_parcels
from rs_forecast.sources.scene import Scene, scenes_table
from rs_forecast.sources.surveys import read_surveys
from rs_forecast.sources.traps import read_traps
from rs_forecast.sources.weather import Weather, get_weather
from rs_forecast.sources.weather_services import SERVICES
from rs_forecast.store import SignalStore
from rs_forecast.workspace import Workspace

_CSV_OPTIONS = ("units", "interpolate", "timezone", "accumulated", "stamps", "wet_rh")

Tell = Callable[[str, int, int], None]
"""Progress: what is being done, how many of it are done, of how many."""

LONGEST_SILENCE = {"weather": 15, "imagery": 30, "surveys": 35, "areas": 35}
"""Days before the issue date after which a source counts as missing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Everything a config names, read. What could not be had is None or empty, and ``missing`` says so."""

    parcels: gpd.GeoDataFrame
    signals: pd.DataFrame | None
    weather: Weather | None
    surveys: pd.DataFrame | None
    crops: pd.DataFrame | None
    traps: pd.DataFrame | None
    areas: pd.DataFrame | None
    scenes: pd.DataFrame
    missing: tuple[str, ...]
    known_at: tuple[str, ...]
    """What was assumed of the days rows were known, in words."""
    synthetic: bool


def read_inputs(config: Config, *, until: pd.Timestamp | None = None, tell: Tell | None = None) -> Inputs:
    """Read what ``config`` names. Imagery after ``until`` is not looked at, and none is decoded twice.

    Errors of the parcels and of the tables of the office are raised. Imagery or weather that cannot be had leaves a gap
    that is named in ``missing``.
    """
    parcels = config_parcels(config)
    report_progress(tell, "parcels", 1, 1)
    surveys = config_surveys(config, parcels)
    crops, traps = config_crops(config, parcels), config_traps(config)
    areas = config_areas(config)
    report_progress(tell, "surveys", 1, 1)
    missing: list[str] = []
    weather = _attempt("weather", missing, lambda: config_weather(config, parcels))
    found = _attempt("imagery", missing, lambda: _imagery(config, parcels, until, tell))
    none = None if config.imagery.source == "none" else empty_signals(config.imagery.indices)
    scenes, signals, marked = found or (scenes_table([]), none, False)
    tables = (parcels, surveys, crops, traps, areas, *(weather or ()))
    return Inputs(
        parcels=parcels,
        signals=signals,
        weather=weather,
        surveys=surveys,
        crops=crops,
        traps=traps,
        areas=areas,
        scenes=scenes,
        missing=tuple(missing),
        known_at=(
            *_assumed(config, {"surveys": surveys, "areas": areas, "crops": crops, "traps": traps}, scenes),
            *_assumed_weather(config),
        ),
        synthetic=marked or any(bool(t.attrs.get("synthetic")) for t in tables if t is not None),
    )


def config_parcels(config: Config) -> gpd.GeoDataFrame:
    """Read the parcels that ``config`` names, with today's codes of their communes where a table of them is named."""
    part = config.parcels
    parcels = read_parcels(
        part.path, id=part.id, columns=part.columns, crs=part.crs, encoding=part.encoding, layer=part.layer
    )
    communes = config_communes(config)
    return parcels if communes is None else in_todays_communes(parcels, communes, config.today)


def config_communes(config: Config) -> Communes | None:
    """Read the communes that ``config`` names."""
    return None if config.region.communes is None else read_communes(config.region.communes)


def config_surveys(config: Config, parcels: gpd.GeoDataFrame) -> pd.DataFrame | None:
    """Read the surveys that ``config`` names; reports of areas, where the parcels are these areas."""
    part = config.surveys
    if part.path is None:
        return None
    if part.layout == "areas" or part.layout == "annex":  # noqa: PLR1714 - it narrows the type
        return areas_as_surveys(_areas(config, "surveys"), parcels, config.all_pests)
    return read_surveys(
        part.path,
        parcels,
        layout=part.layout,
        units=part.units,
        within_m=part.within_m,
        timezone=config.region.timezone,
        delay_days=part.delay_days,
        **part.written,
        pests=config.all_pests,
        today=config.today,
        communes=config_communes(config),
    )


def config_areas(config: Config) -> pd.DataFrame | None:
    """Read the area data that ``config`` names for features."""
    return None if config.areas.path is None else _areas(config, "areas")


def _areas(config: Config, name: str) -> pd.DataFrame:
    part = getattr(config, name)
    return read_areas(
        part.path,
        layout=part.layout,
        delay_days=part.delay_days,
        place=part.place,
        **part.written,
        pests=config.all_pests,
        today=config.today,
        communes=config_communes(config),
        part=name,
    )


def config_crops(config: Config, parcels: gpd.GeoDataFrame) -> pd.DataFrame | None:
    """Read the crops that ``config`` names."""
    part = config.crops
    if part.path is None:
        return None
    return read_crops(
        part.path,
        parcels,
        columns=part.columns,
        encoding=part.encoding,
        date_order=part.date_order,
        today=config.today,
    )


def config_traps(config: Config) -> pd.DataFrame | None:
    """Read the light-trap counts that ``config`` names."""
    part = config.traps
    if part.path is None:
        return None
    return read_traps(
        part.path,
        delay_days=part.delay_days,
        **part.written,
        pests=config.all_pests,
        today=config.today,
    )


def config_weather(config: Config, parcels: gpd.GeoDataFrame) -> Weather | None:
    """Read the weather that ``config`` names."""
    part = config.weather
    if part.source == "none":
        return None
    options: dict[str, Any] = {"latency_days": part.latency_days}
    path = part.path
    if part.source in SERVICES:
        path = weather_folder(config)
        options |= {"url": part.url, "offline": True, "today": config.today}
    elif part.source == "csv":
        options |= {name: value or None for name, value in part.written.items()}
        options |= {name: getattr(part, name) or None for name in _CSV_OPTIONS}
        options |= {"day_timezone": config.region.timezone, "today": config.today}
    elif part.source == "netcdf":
        options |= {"accumulated": part.accumulated, "stamps": part.stamps, "wet_rh": part.wet_rh}
        options["day_timezone"] = config.region.timezone
    return get_weather(parcels, source=part.source, path=path, **options)


def config_scenes(config: Config, until: pd.Timestamp | None = None) -> list[Scene]:
    """Return the scenes that ``config`` can use up to a day, not yet decoded."""
    part = config.imagery
    if part.source == "local":
        options: dict[str, Any] = {"path": part.path, "scale": part.scale, "offset": part.offset}
    else:
        options = {"path": scenes_folder(config), "evicted": True}  # what was computed of an evicted one still counts
    return find_scenes(part.source, end=until, latency_days=part.latency_days, **options)


def scenes_folder(config: Config) -> Path:
    """Return the folder in which downloaded scenes of the config's source are kept."""
    return Workspace(config.workspace.dir).data / "scenes" / config.imagery.source


def weather_folder(config: Config) -> Path:
    """Return the folder in which weather of the config's service is kept."""
    return Workspace(config.workspace.dir).data / "weather" / config.weather.source


def silent(inputs: Inputs, issued: pd.Timestamp) -> list[str]:
    """Say, source by source, which has brought nothing for so long that the forecast rests on old news."""
    tables = {
        "weather": None if inputs.weather is None else inputs.weather.rows,
        "imagery": inputs.scenes if len(inputs.scenes) else None,
        "surveys": inputs.surveys,
        "areas": None if inputs.areas is None else inputs.areas.rename(columns={"week": "date"}),
    }
    said = []
    for name, table in tables.items():
        if table is None:
            continue
        known = table.loc[table["known_at"] <= issued, "date"]
        last = known.max()
        if known.empty or (issued - last).days > LONGEST_SILENCE[name]:
            since = "have not begun" if known.empty else f"end on {last:%Y-%m-%d}, {(issued - last).days} days before"
            said.append(f"{name}: the rows known at the issue date {since}")
    return said


def report_progress(tell: Tell | None, what: str, done: int, of: int) -> None:
    """Tell how far the work is, where anybody listens."""
    if tell is not None:
        tell(what, done, of)


def _imagery(
    config: Config, parcels: gpd.GeoDataFrame, until: pd.Timestamp | None, tell: Tell | None
) -> tuple[pd.DataFrame, pd.DataFrame, bool] | None:
    part = config.imagery
    if part.source == "none":
        return None
    scenes = config_scenes(config, until)
    store = SignalStore(Workspace(config.workspace.dir).data / "signals")
    signals = store.signals(
        scenes,
        parcels,
        [config.all_indices[name] for name in part.indices],
        mask_classes=part.mask_classes,
        mask_dilate_m=part.mask_dilate_m,
        stats=SIGNAL_STATS,
        seen=config.today,
        scheduler=config.compute.scheduler,
        progress=lambda done, of: report_progress(tell, "scenes", done, of),
    )
    signals.attrs["synthetic"] = any(scene.synthetic for scene in scenes)
    return scenes_table(scenes), signals, signals.attrs["synthetic"]


def _attempt[Found](what: str, missing: list[str], get: Callable[[], Found]) -> Found | None:
    try:
        return get()
    except (SourceError, NoDataError, SchemaError) as err:
        missing.append(f"no {what}: {err}")
        return None


def _assumed_weather(config: Config) -> tuple[str, ...]:
    name = config.weather.source
    if name == "none":
        return ()
    days = config.weather.latency_days
    late = PROVIDERS[name].latency_days if days is None else days
    rest = "rows fetched long after their day" if name in SERVICES else "rows without known_at"
    return (f"weather: {rest} taken as known {late} days after their day",)


def _assumed(config: Config, tables: Mapping[str, pd.DataFrame | None], scenes: pd.DataFrame) -> tuple[str, ...]:
    said = []
    visit = "visit" if config.surveys.layout in ("long", "wide", "odk") else "week's Sunday"
    since = {"surveys": visit, "areas": "week's Sunday", "crops": "sowing", "traps": "count"}
    for name, table in tables.items():
        count = 0 if table is None else int(table.attrs.get("known_at_assumed", 0))
        if table is not None and count:
            days = table.attrs.get("delay_days")
            said.append(f"{name}: {count} rows taken as known {days} days after the {since[name]}")
    measured = int((scenes["known_at_basis"] == "measured").sum())
    if config.imagery.source != "none" and (measured == 0 or measured < len(scenes)):
        which = f"{len(scenes) - measured} of {len(scenes)} scenes" if measured else "scenes"
        said.append(f"imagery: {which} taken as known {config.imagery.latency_days} days after the overpass")
    return tuple(said)
