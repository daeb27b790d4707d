"""All tables together, held against the catalogue and against each other."""

from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from rs_forecast.catalog import INDICES, LEVELS, PESTS, PRESETS, SEASONS, STAGES, CropStage, Index, Level, Pest, Season
from rs_forecast.catalog._table import Table
from rs_forecast.catalog.own import read_own_levels, read_own_pests
from rs_forecast.catalog.seasons import check_seasons
from rs_forecast.config._parts import (
    AreasConfig,
    CatalogConfig,
    ComputeConfig,
    CropsConfig,
    ForecastConfig,
    ImageryConfig,
    IndexConfig,
    OutputConfig,
    ParcelsConfig,
    PestConfig,
    RegionConfig,
    RunConfig,
    SeasonConfig,
    StageConfig,
    SurveysConfig,
    TrapsConfig,
    WeatherConfig,
    WorkspaceConfig,
)
from rs_forecast.config._types import Name, Part
from rs_forecast.errors import ConfigError, RsForecastError

_DOWNLOADED = ("stac", "sentinelhub")
_KEYS_OF = {
    "path": ("local",), "scale": ("local",), "offset": ("local",), "url": ("stac",), "base_url": ("sentinelhub",),
    "token_url": ("sentinelhub",), "collection": _DOWNLOADED, "allow_hosts": _DOWNLOADED, "budget_gb": _DOWNLOADED,
}  # fmt: skip
"""Keys of ``[imagery]`` that only some sources know."""
_SERVICES = ("power", "open-meteo")
_WEATHER_KEYS_OF = {
    **dict.fromkeys(("path",), ("csv", "netcdf")), **dict.fromkeys(("url", "allow_hosts"), _SERVICES),
    **dict.fromkeys(("columns", "encoding", "units", "interpolate", "timezone"), ("csv",)),
    **dict.fromkeys(("accumulated", "stamps", "wet_rh"), ("csv", "netcdf")),
}  # fmt: skip
"""Keys of ``[weather]`` that only some sources know."""
_MOST_DILATED_M = 100


class Config(Part):
    """Everything a run depends on, checked. Paths are absolute, or relative to the working folder."""

    region: RegionConfig = RegionConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    parcels: ParcelsConfig
    crops: CropsConfig = CropsConfig()
    imagery: ImageryConfig = ImageryConfig()
    weather: WeatherConfig = WeatherConfig()
    surveys: SurveysConfig = SurveysConfig()
    traps: TrapsConfig = TrapsConfig()
    areas: AreasConfig = AreasConfig()
    catalog: CatalogConfig = CatalogConfig()
    forecast: ForecastConfig
    output: OutputConfig = OutputConfig()
    run: RunConfig = RunConfig()
    compute: ComputeConfig = ComputeConfig()
    seasons: tuple[SeasonConfig, ...] = ()
    stages: tuple[StageConfig, ...] = ()
    indices: Mapping[Name, IndexConfig] = {}
    pests: Mapping[Name, PestConfig] = {}

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        """Refuse names that no catalogue row, built in or declared here, answers to."""
        for number, season in enumerate(self.seasons):
            with _blamed_on("seasons", number):
                _own_season(season)
        with _blamed_on("seasons"):
            check_seasons(self.all_seasons)
        for number, stage in enumerate(self.stages):
            with _blamed_on("stages", number):
                CropStage(**dict(stage))
        with _blamed_on("stages"):
            _ = self.all_stages
        with _blamed_on("catalog", "path"):
            _ = self.all_levels, self._office_pests
        with _blamed_on("pests"):
            pests = self.all_pests
        for name, own in self.indices.items():
            with _blamed_on("indices", name):
                INDICES.plus([_own_index(name, own)])
        indices = self.all_indices
        with _blamed_on("forecast", "pests"):
            _ = [pests[name] for name in self.forecast.pests]
        with _blamed_on("forecast", "preset"):
            _ = PRESETS[self.forecast.preset]
        with _blamed_on("imagery", "indices"):
            _ = [indices[name] for name in self.imagery.indices]
        for part in ("imagery", "weather"):
            source, path = getattr(self, part).source, getattr(self, part).path
            with _blamed_on(part, "source"):
                if source not in ("none", *_DOWNLOADED, *_SERVICES) and path is None:
                    raise ConfigError(f'source = "{source}" needs a path')
        for part in ("surveys", "areas", "weather", "traps"):
            signs = getattr(self, part)
            with _blamed_on(part, "thousands"):
                if signs.thousands is not None and signs.thousands == (signs.decimal or "."):
                    other = "," if signs.thousands == "." else "."
                    raise ConfigError(f'{signs.thousands!r} is the decimal sign; declare decimal = "{other}" too')
        for part, table in (("imagery", _KEYS_OF), ("weather", _WEATHER_KEYS_OF)):
            own = getattr(self, part)
            for key, owners in table.items():
                with _blamed_on(part, key):
                    if key in own.model_fields_set and own.source not in ("none", *owners):
                        raise ConfigError(f'belongs to source = "{" or ".join(owners)}"; take it out')
        with _blamed_on("imagery", "mask_dilate_m"):
            if self.imagery.source in _DOWNLOADED and self.imagery.mask_dilate_m > _MOST_DILATED_M:
                raise ConfigError(
                    f"allowed are up to {_MOST_DILATED_M} m: no pixels further from parcels are downloaded"
                )
        return self

    @property
    def all_pests(self) -> Table[Pest]:
        """The catalogue's pests, the office's in place of them, and in place of both those declared in the config."""
        known = PESTS.over(self._office_pests)
        return known.over(_own_pest(name, part, known) for name, part in self.pests.items())

    @cached_property
    def _office_pests(self) -> tuple[Pest, ...]:
        return () if self.catalog.path is None else read_own_pests(self.catalog.path)

    @cached_property
    def all_levels(self) -> Table[Level]:
        """The severity levels of the catalogue, the office's in place of them."""
        return LEVELS if self.catalog.path is None else LEVELS.over(read_own_levels(self.catalog.path))

    @property
    def all_indices(self) -> Table[Index]:
        """The catalogue's indices and those declared in the config."""
        return INDICES.plus(_own_index(name, part) for name, part in self.indices.items())

    @property
    def all_seasons(self) -> tuple[Season, ...]:
        """The seasons of the config, else the catalogue's thirds of the year."""
        return tuple(map(_own_season, self.seasons)) or tuple(SEASONS.values())

    @property
    def all_stages(self) -> tuple[CropStage, ...]:
        """The catalogue's stages; those that the config declares for a crop stand in place of the catalogue's."""
        own = Table("stage", (CropStage(**dict(part)) for part in self.stages))
        crops = {row.crop for row in own.values()}
        return (*(row for row in STAGES.values() if row.crop not in crops), *own.values())

    @property
    def today(self) -> dt.date:
        """The day it is in the region."""
        return dt.datetime.now(zoneinfo.ZoneInfo(self.region.timezone)).date()


def _own_pest(name: str, part: PestConfig, known: Table[Pest]) -> Pest:
    """Return a pest as declared; what the config does not say of a known one is the catalogue's."""
    given = {key: getattr(part, key) for key in part.model_fields_set}
    given["levels"] = tuple(sorted(part.levels.items(), key=lambda item: item[1]))
    given["units"] = tuple(part.units.items())
    source = f"declared in the config as {part.event} {part.unit}"
    if name in known:
        if part.unit == known[name].unit and "units" not in part.model_fields_set:
            given["units"] = known[name].units  # which lead to that unit, and to no other
        return replace(known[name], **given, source=source, verified=False)
    return Pest(name=name, **{"doc": part.doc, "crop": part.crop, **given}, source=source)


def _own_season(part: SeasonConfig) -> Season:
    return Season(**dict(part))


def _own_index(name: str, part: IndexConfig) -> Index:
    return Index(name=name, doi="", **dict(part))


@contextlib.contextmanager
def _blamed_on(*path: str | int) -> Iterator[None]:
    """Give an error of the catalogue its place in the config."""
    try:
        yield
    except RsForecastError as err:
        raise PydanticCustomError("catalog", "{text}", {"text": str(err), "path": path}) from err
