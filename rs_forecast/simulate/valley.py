"""The valley as a whole: its tables in memory, and its files on disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import geopandas as gpd
import pandas as pd
import pyogrio

from rs_forecast.errors import ConfigError
from rs_forecast.simulate._span import TRUTH_AFTER_END, Span, make_span
from rs_forecast.simulate.crops import Crops, crops_table, simulate_crops
from rs_forecast.simulate.imagery import make_studio, write_scene
from rs_forecast.simulate.land import Land, simulate_land
from rs_forecast.simulate.pest import Hopper, Infestation, simulate_pest
from rs_forecast.simulate.surveys import simulate_surveys
from rs_forecast.simulate.texts import CONFIG, NOTE
from rs_forecast.simulate.weather import simulate_weather

Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of all work that is done, 0-1."""

_WORTH_A_PROCESS = 12  # scenes a worker; fewer are written before another process has started


class Arguments(TypedDict):
    """What a valley is a function of."""

    seed: int
    parcels: int
    years: int
    image_years: float
    end: str


DESCRIPTION = "SYNTHETIC: a made-up rice valley; no such field exists"


@dataclass(frozen=True, kw_only=True)
class ValleyTables:
    """Everything but the imagery, in memory; tables have the columns of design.md."""

    parcels: gpd.GeoDataFrame
    communes: gpd.GeoDataFrame
    weather: pd.DataFrame
    surveys: pd.DataFrame
    crops: pd.DataFrame
    truth: pd.DataFrame
    """``parcel_id week density event``, then ``crop_age_days`` and ``oracle``: the chance of the event as known a week
    before by one who knows all that happened up to then. Standing crops only; goes on four weeks after the end."""


@dataclass(frozen=True, kw_only=True)
class Valley:
    """A valley on disk."""

    root: Path
    config: Path
    parcels: Path
    communes: Path
    weather: Path
    surveys: Path
    crops: Path
    scenes: Path
    truth_file: Path
    truth: pd.DataFrame
    """As :attr:`ValleyTables.truth`."""


@dataclass(frozen=True, kw_only=True)
class _World:
    span: Span
    land: Land
    crops: Crops
    pest: Infestation
    tables: ValleyTables


def simulate(
    out: str | Path,
    *,
    seed: int = 0,
    parcels: int = 1000,
    years: int = 6,
    image_years: float = 3,
    end: str = "2026-03-02",
    workers: int = 2,
    progress: Progress | None = None,
) -> Valley:
    """Write a synthetic rice valley with known truth, ready to train on: a function of its arguments alone.

    Parameters
    ----------
    out
        Folder to write to: new, empty, or an older valley, which is replaced.
    seed
        Another number, another valley.
    parcels
        Number of fields, at least 20.
    years, image_years
        Years of tables before ``end``, and those of the last of them that have imagery.
    end
        Last day. Valleys that differ in it alone, within a calendar year, share their past.
    workers
        Processes that write imagery; the files are the same for any number.
    progress
        Told what is being done and how much of all is done, 0-1.

    Raises
    ------
    ConfigError
        An argument is out of range, or ``out`` holds something else than a synthetic valley.
    """
    tell = progress or (lambda _what, _share: None)
    span = make_span(end, years, image_years)
    arguments: Arguments = {
        "seed": seed, "parcels": parcels, "years": years, "image_years": span.image_years, "end": f"{span.end:%Y-%m-%d}"
    }  # fmt: skip
    root = Path(out)
    _make_room(root)
    tell("simulating fields, weather, crops, hoppers and surveys", 0.0)
    world = _build(span, parcels, seed, Hopper())
    valley = _valley(root, world.tables.truth)
    (root / "SYNTHETIC.md").write_text(NOTE.format(**arguments), encoding="utf-8", newline="\n")
    _write_tables(valley, world.tables)
    _write_imagery(valley.scenes, world, arguments, workers, tell)
    valley.config.write_text(CONFIG, encoding="utf-8", newline="\n")
    tell("done", 1.0)
    return valley


def simulate_tables(
    *, seed: int = 0, parcels: int = 1000, years: int = 6, end: str = "2026-03-02", hopper: Hopper | None = None
) -> ValleyTables:
    """Return what :func:`simulate` writes, but for the imagery; ``hopper`` changes the sizes of the pest's model.

    Raises
    ------
    ConfigError
        An argument is out of range.
    """
    return _build(make_span(end, years, 0), parcels, seed, hopper or Hopper()).tables


def _build(span: Span, parcels: int, seed: int, hopper: Hopper) -> _World:
    if parcels < 20:
        raise ConfigError(f"simulate: parcels is {parcels}, allowed is at least 20; the valley is made for 1000")
    if seed < 0:
        raise ConfigError(f"simulate: seed is {seed}, allowed is 0 or a positive whole number")
    land = simulate_land(parcels, seed)
    weather = simulate_weather(span.days, seed)
    crops = simulate_crops(land.sub_zone, span, seed)
    pest = simulate_pest(land, crops, weather, span, seed, hopper)
    ids = land.parcels["parcel_id"].to_numpy()
    written = (weather["date"] >= span.start) & (weather["date"] <= span.end)
    tables = ValleyTables(
        parcels=land.parcels,
        communes=land.communes,
        weather=weather[written].reset_index(drop=True),
        surveys=simulate_surveys(land, pest, span, seed),
        crops=crops_table(crops, ids, span, seed),
        truth=pest.truth(ids, span, TRUTH_AFTER_END),
    )
    return _World(span=span, land=land, crops=crops, pest=pest, tables=tables)


def _valley(root: Path, truth: pd.DataFrame) -> Valley:
    return Valley(
        root=root,
        config=root / "rs_forecast.toml",
        parcels=root / "parcels.gpkg",
        communes=root / "communes.gpkg",
        weather=root / "weather.csv",
        surveys=root / "surveys.csv",
        crops=root / "crops.csv",
        scenes=root / "scenes",
        truth_file=root / "truth.csv",
        truth=truth,
    )


def _make_room(root: Path) -> None:
    """Make the folder; take an older valley's imagery away, so that no scene of it stays among the new ones."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())) and not (root / "SYNTHETIC.md").is_file():
        raise ConfigError(f"{root}: exists and is no synthetic valley; name a new or an empty folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / "rs_forecast.toml").unlink(missing_ok=True)
        for scene in (root / "scenes").glob("SYN_*"):
            shutil.rmtree(scene)
    except OSError as err:
        raise ConfigError(f"{root}: cannot be written to ({err.strerror}); name another folder") from err


def _write_tables(valley: Valley, tables: ValleyTables) -> None:
    _write_layer(tables.parcels, valley.parcels, "parcels")
    _write_layer(tables.communes, valley.communes, "communes")
    for path, table in (
        (valley.weather, tables.weather),
        (valley.surveys, tables.surveys),
        (valley.crops, tables.crops),
        (valley.truth_file, tables.truth),
    ):
        table.to_csv(path, index=False, date_format="%Y-%m-%d", lineterminator="\n")


def _write_layer(frame: gpd.GeoDataFrame, path: Path, layer: str) -> None:
    path.unlink(missing_ok=True)
    with _fixed_clock():
        frame.to_file(
            path,
            layer=layer,
            driver="GPKG",
            engine="pyogrio",
            VERSION="1.2",  # QGIS 3.22 warns of newer ones
            layer_metadata={"DESCRIPTION": DESCRIPTION, "SYNTHETIC": "YES"},
            dataset_metadata={"SYNTHETIC": "YES"},
        )


@contextlib.contextmanager
def _fixed_clock() -> Iterator[None]:
    """Keep the time of writing out of GeoPackages: the same arguments give the same bytes."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2020-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _write_imagery(folder: Path, world: _World, arguments: Arguments, workers: int, tell: Progress) -> None:
    """Write the scenes, each worker every ``workers``-th of them; this process is one of the workers."""
    days = world.span.overpasses
    workers = max(1, min(workers, len(days) // _WORTH_A_PROCESS))
    helpers = [_start_helper(folder, arguments, share, workers) for share in range(1, workers)]
    try:
        tell("measuring which field lies in which pixel", 0.05)
        studio = make_studio(world.land, world.crops, world.pest, world.span, arguments["seed"])
        for number, day in enumerate(days[::workers]):
            tell(f"writing {len(days)} scenes", 0.08 + 0.92 * workers * number / len(days))
            write_scene(studio, day, folder)
        for share, helper in enumerate(helpers, 1):
            if helper.wait() != 0:
                for day in days[share::workers]:
                    write_scene(studio, day, folder)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _start_helper(folder: Path, arguments: Arguments, share: int, workers: int) -> subprocess.Popen[bytes]:
    """Start another interpreter on a share of the scenes.

    Threads are no faster, since rasterio holds the interpreter's lock while GDAL compresses; and a process pool hangs
    in a script without ``if __name__ == "__main__":``. The helper makes the same valley from the same arguments.
    """
    task = json.dumps({"folder": str(folder.absolute()), "arguments": arguments, "share": share, "workers": workers})
    package_home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(  # noqa: S603 - our own module, our own arguments
        [sys.executable, "-m", "rs_forecast.simulate._helper", task],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def write_share(folder: Path, arguments: Arguments, share: int, workers: int) -> None:
    """Write every ``workers``-th scene from number ``share`` on: what a helper does."""
    span = make_span(arguments["end"], arguments["years"], arguments["image_years"])
    world = _build(span, arguments["parcels"], arguments["seed"], Hopper())
    studio = make_studio(world.land, world.crops, world.pest, world.span, arguments["seed"])
    for day in span.overpasses[share::workers]:
        write_scene(studio, day, folder)
