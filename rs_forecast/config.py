"""The configuration: one TOML file to one frozen :class:`Config`. An unknown key is an error that names its line."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import tomllib
import zoneinfo
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from rs_forecast.catalog import (
    INDICES,
    LEVELS,
    PESTS,
    PRESETS,
    SEASONS,
    STAGES,
    CropStage,
    Index,
    Level,
    Pest,
    Season,
)
from rs_forecast.catalog._table import Table
from rs_forecast.catalog.bands import SCL_MASKED
from rs_forecast.catalog.own import read_own_levels, read_own_pests
from rs_forecast.catalog.seasons import check_seasons
from rs_forecast.errors import ConfigError, RsForecastError, suggest

_PLANNED = {"scouting": "the scouting list"}
"""Tables of the format that this version does not read yet: refused by name, so that nobody thinks they count."""


_PLACED = ("workspace", "output")
_DOWNLOADED = ("stac", "sentinelhub")
_KEYS_OF = {
    "path": ("local",), "scale": ("local",), "offset": ("local",), "url": ("stac",), "base_url": ("sentinelhub",),
    "token_url": ("sentinelhub",), "collection": _DOWNLOADED, "allow_hosts": _DOWNLOADED, "budget_gb": _DOWNLOADED,
}  # fmt: skip
"""Keys of ``[imagery]`` that only some sources know."""
_SERVICES = ("power", "open-meteo")
_WEATHER_KEYS_OF = {
    **dict.fromkeys(("path",), ("csv", "netcdf")), **dict.fromkeys(("url", "allow_hosts"), _SERVICES),
    **dict.fromkeys(
        ("columns", "encoding", "units", "interpolate", "timezone", "accumulated", "stamps", "wet_rh"), ("csv",)
    ),
}  # fmt: skip
"""Keys of ``[weather]`` that only some sources know."""
_MOST_DILATED_M = 100
_SECRET_KEY = re.compile(
    r"(sh_)?client_?(id|secret)|(access_|refresh_)?token|.*secret.*|.*passw(or)?d.*|api_?key|credentials?|user(_?name)?",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"https?://[^/?#\s]*@|[?&](sig|token|key|api_?key|access_token|password)=", re.IGNORECASE)


def _from_config(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path())
    try:
        return Path(base) / path.expanduser()
    except RuntimeError as err:  # ~somebody, and nobody has that name
        raise ValueError("allowed is a path that exists here") from err


def _catalogue(url: str, info: ValidationInfo) -> str:
    """Return an address or a name as it is, the path of a catalogue on disk as one from the config file."""
    return str(_from_config(Path(url), info)) if url.endswith(".json") and "://" not in url else url


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError("allowed is a name such as Asia/Ho_Chi_Minh or UTC") from err
    return name


def _rising_levels(levels: Mapping[str, float]) -> Mapping[str, float]:
    values = [levels[name] for name in ("light", "medium", "heavy") if name in levels]
    if values != sorted(set(values)):
        raise ValueError("allowed are values that rise from light to heavy")
    return levels


def _rising(limits: tuple[float, ...]) -> tuple[float, ...]:
    if list(limits) != sorted(set(limits)) or not all(0 < v < 1 for v in limits):
        raise ValueError("allowed are three rising numbers between 0 and 1")
    return limits


def _unique[T](items: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(items)) < len(items):
        raise ValueError("allowed is each item once")
    return items


ConfigPath = Annotated[Path, AfterValidator(_from_config)]
"""A path, relative to the config file."""

Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$")]
"""The address of a service, without a name, password or token in it."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A name that ends up in columns and file names."""

DateOrder = Literal["dmy", "mdy"]
Decimal = Literal[".", ","]
Thousands = Literal[".", ",", " ", "'"]
"""How a source writes days and numbers; undeclared is 2026-03-02 and 1054.5."""

Keys = tuple[str | int, ...]
"""Keys, and numbers in lists, that lead to a value."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ControlPointConfig(_Part):
    """One of ``[[region.control_points]]``: a place in a national system and in WGS 84."""

    name: str = ""
    crs: str | int
    x: float
    y: float
    lon: Annotated[float, Field(ge=-180, le=180)]
    lat: Annotated[float, Field(ge=-90, le=90)]


class RegionConfig(_Part):
    """``[region]``."""

    name: str = "region"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    communes: ConfigPath | None = None
    control_points: tuple[ControlPointConfig, ...] = ()
    control_tolerance_m: Annotated[float, Field(gt=0, le=100)] = 1.0


class WorkspaceConfig(_Part):
    """``[workspace]``: the folder that holds data/ and models/."""

    dir: ConfigPath = Path()


class ParcelsConfig(_Part):
    """``[parcels]``."""

    path: ConfigPath
    id: str | None = None
    columns: Mapping[str, str] = {}
    crs: str | int | None = None
    encoding: str | None = None
    layer: str | None = None


class CropsConfig(_Part):
    """``[crops]``."""

    path: ConfigPath | None = None
    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None


class ImageryConfig(_Part):
    """``[imagery]``. Scenes of ``stac`` and ``sentinelhub`` are downloaded by ``rs-forecast fetch``."""

    source: Literal["local", "stac", "sentinelhub", "none"] = "none"
    path: ConfigPath | tuple[ConfigPath, ...] | None = None
    url: Annotated[str, AfterValidator(_catalogue)] | None = None
    base_url: Address | None = None
    token_url: Address | None = None
    collection: str | None = None
    allow_hosts: Annotated[tuple[str, ...], AfterValidator(_unique)] = ()
    workers: Annotated[int, Field(ge=1, le=32)] = 4
    budget_gb: Annotated[float, Field(gt=0)] | None = None
    indices: Annotated[tuple[str, ...], AfterValidator(_unique)] = ("ndvi", "evi", "ndre", "lswi")
    mask_classes: tuple[int, ...] = SCL_MASKED
    mask_dilate_m: Annotated[float, Field(ge=0, le=2000)] = 20.0
    latency_days: Annotated[int, Field(ge=0, le=60)] = 1
    scale: Annotated[float, Field(gt=0)] | None = None
    offset: float | None = None


class WeatherConfig(_Part):
    """``[weather]``. Weather of ``power`` and ``open-meteo`` is downloaded by ``rs-forecast fetch``."""

    source: Literal["csv", "netcdf", "power", "open-meteo", "none"] = "none"
    path: ConfigPath | None = None
    latency_days: Annotated[int, Field(ge=0, le=60)] | None = None
    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    units: Mapping[str, str] = {}
    interpolate: Literal["nearest", "idw"] = "nearest"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Of the times of hourly rows that do not say their offset."""
    accumulated: Annotated[tuple[Literal["rain", "radiation", "sunshine", "wet"], ...], AfterValidator(_unique)] = ()
    stamps: Literal["end", "start"] = "end"
    wet_rh: Annotated[float, Field(ge=50, le=100)] | None = None
    url: Address | None = None
    allow_hosts: Annotated[tuple[str, ...], AfterValidator(_unique)] = ()


class SurveysConfig(_Part):
    """``[surveys]``."""

    path: ConfigPath
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    layout: Literal["long", "wide", "odk", "areas", "annex"] = "long"
    columns: Mapping[str, str] = {}
    units: Mapping[str, str] = {}
    """Pest -> unit of its column, where ``layout`` is wide and the unit is not the catalogue's."""
    within_m: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How far outside a parcel a point may lie and still count for it [m]."""
    place: str | None = None
    """Commune, sub-zone or province that an annex is of, where its sheets do not say."""
    encoding: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None


class AreasConfig(_Part):
    """``[areas]``: hectares infested by commune, sub-zone or province, as a table or a folder of weekly annexes."""

    path: ConfigPath | None = None
    layout: Literal["areas", "annex"] = "areas"
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    place: str | None = None
    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None


class TrapsConfig(_Part):
    """``[traps]``: light-trap counts."""

    path: ConfigPath | None = None
    delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    columns: Mapping[str, str] = {}
    encoding: str | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None


class CatalogConfig(_Part):
    """``[catalog]``: a folder of an office's own rows, ``pests.csv`` and ``levels.csv``."""

    path: ConfigPath | None = None


class ForecastConfig(_Part):
    """``[forecast]``."""

    pests: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_unique)]
    horizons_weeks: Annotated[
        tuple[Annotated[int, Field(ge=1, le=26)], ...], Field(min_length=1), AfterValidator(_unique)
    ] = (1, 2)
    class_limits: Annotated[tuple[float, float, float], AfterValidator(_rising)] = (0.1, 0.3, 0.6)
    preset: str = "default"
    seed: Annotated[int, Field(ge=0)] = 0


class OutputConfig(_Part):
    """``[output]``."""

    dir: ConfigPath = Path("outputs")
    crs: str | int | None = None
    resolution: Annotated[float, Field(gt=0, le=1000)] = 10.0
    geojson: bool = True
    geoparquet: bool = False


class RunConfig(_Part):
    """``[run]``: what a weekly run does, and when it counts as degraded."""

    min_assessable: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the area that can be assessed below which a publication is degraded."""
    fetch_days: Annotated[int, Field(ge=0, le=365)] = 30
    """Days back from the issue date whose missing scenes a run downloads; 0: none."""


class ComputeConfig(_Part):
    """``[compute]``: address of a dask.distributed scheduler; by default one process does the work."""

    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls|ucx)://.+")] | None = None


class SeasonConfig(_Part):
    """One of ``[[seasons]]``: sown each year from ``start`` to ``end``, or in one year from ``from`` to ``to``."""

    name: str
    start: str = ""
    end: str = ""
    first: dt.date | None = Field(default=None, alias="from")
    last: dt.date | None = Field(default=None, alias="to")
    sub_zones: Annotated[tuple[str, ...], AfterValidator(_unique)] = ()

    @model_validator(mode="after")
    def _begins(self) -> SeasonConfig:
        if not self.start and self.first is None:
            raise PydanticCustomError(
                "season", "allowed is a start such as '11-01', for every year, or a from such as '2024-11-01', for one"
            )
        return self


class StageConfig(_Part):
    """One of ``[[stages]]``, in the order in which they follow one another."""

    crop: str
    stage: Name
    label: str
    bbch: tuple[int, int]
    days: tuple[float, float]


class IndexConfig(_Part):
    """``[indices.NAME]``: an index of one's own."""

    formula: str
    valid: tuple[float, float] = (-1.0, 1.0)
    doc: str = "declared in the config"


class PestConfig(_Part):
    """``[pests.NAME]``: a pest that is not in the catalogue."""

    event: str
    unit: str
    crop: str = ""
    levels: Annotated[Mapping[Literal["light", "medium", "heavy"], float], AfterValidator(_rising_levels)] = {}
    aliases: tuple[str, ...] = ()
    units: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Other units of a value, and what it is multiplied by to be in ``unit``."""
    doc: str = "declared in the config"
    stale_after_days: Annotated[int, Field(ge=1)] = 30


class Config(_Part):
    """Everything a run depends on, checked. Paths are absolute, or relative to the working folder."""

    region: RegionConfig = RegionConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    parcels: ParcelsConfig
    crops: CropsConfig = CropsConfig()
    imagery: ImageryConfig = ImageryConfig()
    weather: WeatherConfig = WeatherConfig()
    surveys: SurveysConfig
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


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Raises
    ------
    ConfigError
        The file is missing, is no TOML, or holds a key or value that is not allowed; the line is named.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); name a config file, such as one that demo writes") from err
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{file}: is no valid TOML ({err})") from err
    for name in sorted(_PLANNED.keys() & data.keys()):
        place = f"{file}{_line(text, (name,))}"
        raise ConfigError(f"{place}: [{name}] ({_PLANNED[name]}) is not read by this version; take it out")
    _refuse_credentials(file, text, data)
    for name in _PLACED:  # a default path too is relative to the config file
        data.setdefault(name, {})
    try:
        return Config.model_validate(data, context={"base": file.parent})
    except ValidationError as err:
        raise ConfigError("\n".join(_message(file, text, data, dict(item)) for item in err.errors())) from err


def _refuse_credentials(file: Path, text: str, data: Mapping[str, Any]) -> None:
    """Refuse secrets by the name of their key, or in an address; what they are is never shown."""
    for part in ("imagery", "weather"):
        table = data.get(part)
        for key, value in table.items() if isinstance(table, dict) else ():
            if _SECRET_KEY.fullmatch(key) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
                place = f"{file}{_line(text, (part, key))}: {part}.{key}"
                raise ConfigError(
                    f"{place}: credentials do not belong in a config. Take them out, set SH_CLIENT_ID and "
                    "SH_CLIENT_SECRET in the environment, and renew the secret if anybody has seen this file"
                )


@contextlib.contextmanager
def _blamed_on(*path: str | int) -> Iterator[None]:
    """Give an error of the catalogue its place in the config."""
    try:
        yield
    except RsForecastError as err:
        raise PydanticCustomError("catalog", "{text}", {"text": str(err), "path": path}) from err


_WORDS = {"tuple_type": 'allowed is a list such as ["a", "b"]', "path_type": "allowed is a path, as text"}
"""Where pydantic speaks of Python, and the reader of TOML."""


def _message(file: Path, text: str, data: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    kind = item["type"]
    loc = (
        item["ctx"]["path"] if kind == "catalog" else item["loc"] if kind == "missing" else _written(data, item["loc"])
    )
    place = f"{file}{_line(text, loc)}: {'.'.join(map(str, loc)) or 'config'}"
    said = _WORDS.get(kind, item["msg"].removeprefix("Value error, "))
    if kind == "extra_forbidden":
        known = _known(loc[:-1])
        return f"{place}: there is no such key{suggest(str(loc[-1]), known) or '.'} Known here: {', '.join(known)}"
    if kind == "missing":
        return f"{place}: is missing; add it"
    if kind == "catalog":
        return f"{place}: {said}"
    return f"{place}: found {_shown(item['input'])}; {said}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _written(data: Any, loc: Keys) -> Keys:
    """Return what of ``loc`` is in the file; pydantic adds which type of several it tried."""
    found: Keys = ()
    for part in loc:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            data = data[part]
            found += (part,)
    return found


def _known(loc: Keys) -> list[str]:
    part: Any = Config
    for name in loc:
        field = part.model_fields.get(name)
        if field is None:  # a name of the user's own, or a number in a list
            break
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        part = next((t for t in inner if issubclass(t, _Part)), part)
    return [field.alias or name for name, field in part.model_fields.items()]


def _line(text: str, loc: Keys) -> str:
    """Return ``, line N`` of what ``loc`` leads to, or of what holds it; an empty text where nothing is written."""
    places = list(_places(text))
    for depth in range(len(loc), 0, -1):
        for number, path in places:
            if path[:depth] == loc[:depth]:
                return f", line {number}"
    return ""


def _places(text: str) -> Iterator[tuple[int, Keys]]:
    """Yield the number of each line that opens a table or sets a key, and the path to it."""
    table: Keys = ()
    seen: Counter[Keys] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            table = _keys(header[2])
            if header[1] == "[[":
                seen[table] += 1
                table += (seen[table] - 1,)
            yield number, table
        elif key := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            yield number, table + _keys(key[1])


def _keys(dotted: str) -> Keys:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
