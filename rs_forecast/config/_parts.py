"""The tables of a config, one class each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.config._types import (
    Address,
    ConfigPath,
    DateOrder,
    Decimal,
    Name,
    Part,
    Thousands,
    catalogue,
    rising,
    rising_levels,
    unique,
    zone,
)


class ControlPointConfig(Part):
    """One of ``[[region.control_points]]``: a place in a national system and in WGS 84."""

    name: str = ""
    crs: str | int
    x: float
    y: float
    lon: Annotated[float, Field(ge=-180, le=180)]
    lat: Annotated[float, Field(ge=-90, le=90)]


class RegionConfig(Part):
    """``[region]``."""

    name: str = "region"
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    communes: ConfigPath | None = None
    control_points: tuple[ControlPointConfig, ...] = ()
    control_tolerance_m: Annotated[float, Field(gt=0, le=100)] = 1.0


class WorkspaceConfig(Part):
    """``[workspace]``: the folder that holds data/ and models/."""

    dir: ConfigPath = Path()


class ParcelsConfig(Part):
    """``[parcels]``."""

    path: ConfigPath
    id: str | None = None
    columns: Mapping[str, str] = {}
    crs: str | int | None = None
    encoding: str | None = None
    layer: str | None = None


class TablePart(Part):
    """A table from outside: how its columns are called, and how its texts, days and numbers are written."""

    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None

    @property
    def written(self) -> dict[str, Any]:
        """All of it, as readers take it."""
        return {name: getattr(self, name) for name in TablePart.model_fields}


class CropsConfig(Part):
    """``[crops]``."""

    path: ConfigPath | None = None
    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None


class ImageryConfig(Part):
    """``[imagery]``. Scenes of ``stac`` and ``sentinelhub`` are downloaded by ``rs-forecast fetch``."""

    source: Literal["local", "stac", "sentinelhub", "none"] = "none"
    path: ConfigPath | tuple[ConfigPath, ...] | None = None
    url: Annotated[str, AfterValidator(catalogue)] | None = None
    base_url: Address | None = None
    token_url: Address | None = None
    collection: str | None = None
    allow_hosts: Annotated[tuple[str, ...], AfterValidator(unique)] = ()
    workers: Annotated[int, Field(ge=1, le=32)] = 4
    budget_gb: Annotated[float, Field(gt=0)] | None = None
    indices: Annotated[tuple[str, ...], AfterValidator(unique)] = ("ndvi", "evi", "ndre", "lswi")
    mask_classes: tuple[int, ...] = SCL_MASKED
    mask_dilate_m: Annotated[float, Field(ge=0, le=2000)] = 20.0
    latency_days: Annotated[int, Field(ge=0, le=60)] = 1
    scale: Annotated[float, Field(gt=0)] | None = None
    offset: float | None = None


class WeatherConfig(TablePart):
    """``[weather]``. Weather of ``power`` and ``open-meteo`` is downloaded by ``rs-forecast fetch``."""

    source: Literal["csv", "netcdf", "power", "open-meteo", "none"] = "none"
    path: ConfigPath | None = None
    latency_days: Annotated[int, Field(ge=0, le=60)] | None = None
    units: Mapping[str, str] = {}
    interpolate: Literal["nearest", "idw"] = "nearest"
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    """Of the times of hourly rows that do not say their offset."""
    accumulated: (
        Annotated[tuple[Literal["rain", "radiation", "sunshine", "wet"], ...], AfterValidator(unique)] | None
    ) = None
    """Hourly sums that run from 00 UTC; for hourly grids with sums it must be given, be it empty."""
    stamps: Literal["end", "start"] = "end"
    wet_rh: Annotated[float, Field(ge=50, le=100)] | None = None
    url: Address | None = None
    allow_hosts: Annotated[tuple[str, ...], AfterValidator(unique)] = ()


class SurveysConfig(TablePart):
    """``[surveys]``. Without them nothing is learned, and a run publishes what process models say."""

    path: ConfigPath | None = None
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    layout: Literal["long", "wide", "odk", "areas", "annex"] = "long"
    units: Mapping[str, str] = {}
    """Pest -> unit of its column, where ``layout`` is wide and the unit is not the catalogue's."""
    within_m: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How far outside a parcel a point may lie and still count for it [m]."""
    place: str | None = None
    """Commune, sub-zone or province that an annex is of, where its sheets do not say."""


class AreasConfig(TablePart):
    """``[areas]``: hectares infested by commune, sub-zone or province, as a table or a folder of weekly annexes."""

    path: ConfigPath | None = None
    layout: Literal["areas", "annex"] = "areas"
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    place: str | None = None


class TrapsConfig(TablePart):
    """``[traps]``: light-trap counts."""

    path: ConfigPath | None = None
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7


class CatalogConfig(Part):
    """``[catalog]``: a folder of an office's own rows, ``pests.csv`` and ``levels.csv``."""

    path: ConfigPath | None = None


class ForecastConfig(Part):
    """``[forecast]``."""

    pests: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(unique)]
    horizons_weeks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=26)], ...], Field(min_length=1), AfterValidator(unique)
    ] = (1, 2)
    class_limits: Annotated[tuple[float, float, float], AfterValidator(rising)] = (0.1, 0.3, 0.6)
    preset: str = "default"
    seed: Annotated[int, Field(ge=0)] = 0


class OutputConfig(Part):
    """``[output]``."""

    dir: ConfigPath = Path("outputs")
    crs: str | int | None = None
    resolution: Annotated[float, Field(gt=0, le=1000)] = 10.0
    geojson: bool = True
    geoparquet: bool = False


class RunConfig(Part):
    """``[run]``: what a weekly run does, and when it counts as degraded."""

    min_assessable: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the area that can be assessed below which a publication is degraded."""
    fetch_days: Annotated[int, Field(ge=0, le=365)] = 30
    """Days back from the issue date whose missing scenes a run downloads; 0: none."""


class ComputeConfig(Part):
    """``[compute]``: address of a dask.distributed scheduler; by default one process does the work."""

    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls|ucx)://.+")] | None = None


class SeasonConfig(Part):
    """One of ``[[seasons]]``: sown each year from ``start`` to ``end``, or in one year from ``from`` to ``to``."""

    name: str
    start: str = ""
    end: str = ""
    first: dt.date | None = Field(default=None, alias="from")
    last: dt.date | None = Field(default=None, alias="to")
    sub_zones: Annotated[tuple[str, ...], AfterValidator(unique)] = ()

    @model_validator(mode="after")
    def _begins(self) -> SeasonConfig:
        if not self.start and self.first is None:
            raise PydanticCustomError(
                "season", "allowed is a start such as '11-01', for every year, or a from such as '2024-11-01', for one"
            )
        return self


class StageConfig(Part):
    """One of ``[[stages]]``, in the order in which they follow one another."""

    crop: str
    stage: Name
    label: str
    bbch: tuple[int, int]
    days: tuple[float, float]


class IndexConfig(Part):
    """``[indices.NAME]``: an index of one's own."""

    formula: str
    valid: tuple[float, float] = (-1.0, 1.0)
    doc: str = "declared in the config"


class PestConfig(Part):
    """``[pests.NAME]``: a pest that is not in the catalogue."""

    event: str
    unit: str
    crop: str = ""
    levels: Annotated[Mapping[Literal["light", "medium", "heavy"], float], AfterValidator(rising_levels)] = {}
    aliases: tuple[str, ...] = ()
    units: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Other units of a value, and what it is multiplied by to be in ``unit``."""
    doc: str = "declared in the config"
    stale_after_days: Annotated[int, Field(ge=1)] = 30
