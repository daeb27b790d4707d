"""The command line: thin over :mod:`rs_forecast.pipeline`, with progress, exit codes and ``--json``."""

from __future__ import annotations

import json
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rs_forecast.errors import (
    BusyError,
    ConfigError,
    DataWarning,
    NoDataError,
    RsForecastError,
    SchemaError,
    SourceError,
    suggest,
)
from rs_forecast.survey_commands import app as surveys

if TYPE_CHECKING:
    from rs_forecast.catalog import Index

if TYPE_CHECKING:
    from rs_forecast.config import Config

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Forecasts of crop pests, field by field. Exit codes: 0 published, unchanged or all fetched, 3 published "
    "degraded or partly fetched, 4 nothing usable, 2 bad usage or config, 75 try later, 1 failure.",
)
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

_CODES: tuple[tuple[type[RsForecastError], int], ...] = (
    (ConfigError, 2),
    (NoDataError, 4),
    (SchemaError, 4),
    (SourceError, 4),
    (BusyError, 75),
    (RsForecastError, 1),
)
_MOST_WARNINGS = 20


def _day(text: str | None) -> str | None:
    from rs_forecast.schema import day

    try:
        return text if text is None else f"{day(text):%Y-%m-%d}"
    except SchemaError as err:
        raise ConfigError(f"the command line: {err}") from err


ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report for machines, as JSON.")]
Day = Annotated[
    str | None, typer.Option(metavar="DAY", callback=_day, help="A day such as 2026-03-02; by default today.")
]


Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A dask.distributed scheduler that takes the imagery, such as tcp://host:8786."
    ),
]


def _load(path: Path, scheduler: str | None) -> Config:
    from rs_forecast.config import ComputeConfig, load_config

    config = load_config(path)
    if scheduler is None:
        return config
    try:
        return config.model_copy(update={"compute": ComputeConfig(scheduler=scheduler)})
    except ValueError as err:
        raise ConfigError(f"--scheduler: found {scheduler!r}, allowed is an address such as tcp://host:8786") from err


def _version(asked: bool) -> None:
    from rs_forecast import __version__

    if asked:
        typer.echo(f"rs-forecast {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False
) -> None:
    """Options of every command."""
    del version  # its callback has done it


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the valley and its maps.")] = Path("demo"),
    parcels: Annotated[int, typer.Option(min=50, max=20_000, help="Fields in the valley.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another valley.")] = 0,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a SYNTHETIC valley and run the whole line on it, offline: simulate, train, evaluate, forecast, publish."""
    from rs_forecast.demo import run_demo

    with _Bars() as tell:
        result = run_demo(out, parcels=parcels, seed=seed, tell=tell)
    _warn(result.warnings)
    if as_json:
        _print_json({**result.report_dict(), "exit_code": result.report.exit_code})
    else:
        typer.echo(result.text())
    raise typer.Exit(result.report.exit_code)


@app.command("init")
def init_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project, new or not.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write a config with every table explained, and the folders it names; nothing that is there is touched."""
    from rs_forecast.starter import write_start

    made = [str(path) for path in write_start(folder)]
    if as_json:
        _print_json({"made": made, "exit_code": 0})
    else:
        typer.echo("\n".join(made))
        typer.echo(f"Put your files where {made[0]} says, then: rs-forecast doctor {made[0]}")


@app.command()
def doctor(
    config: ConfigFile,
    *,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask the imagery's provider; else nothing reaches for the network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check everything a run will need, and say how to mend what is missing. 0 all there, 3 degraded, 4 no run."""
    from rs_forecast.doctor import examine

    diagnosis = examine(config, online=online)
    if as_json:
        _print_json(diagnosis.to_dict())
    else:
        typer.echo(diagnosis.text())
    raise typer.Exit(diagnosis.exit_code)


@app.command()
def fetch(
    config: ConfigFile,
    start: Day = None,
    end: Day = None,
    other: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Copy from a store of scenes filled elsewhere instead.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was evicted or is in quarantine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download the scenes and the weather that the config's sources have and the store lacks; a kill is resumed."""
    from rs_forecast import fetch as work
    from rs_forecast.fetch_weather import fetch_weather, has_service

    settings = _load(config, None)
    if other is None and start is None:
        raise ConfigError("fetch: give --start DAY, or --from DIR to copy a store of scenes")
    if other is not None and (start or end or dry_run or again):
        raise ConfigError(
            "fetch: --from copies all that is newer there; take out --start, --end, --dry-run and --again"
        )
    imagery, weather = None, None
    with _Bars() as tell:
        if other is not None:
            imagery = work.import_scenes(settings, other, tell=tell)
        else:
            if has_service(settings):
                first, last = work.asked_days(settings, start, end)
                weather = fetch_weather(settings, start=first, end=last, dry_run=dry_run, tell=tell)
            if weather is None or settings.imagery.source in work.downloaded():
                told = None if as_json else (lambda plan: _err.print(plan.plan()))
                imagery = work.fetch(
                    settings, start=start, end=end, dry_run=dry_run, again=again, tell=tell, planned=told
                )
    reports = [report for report in (weather, imagery) if report is not None]
    code = max((report.exit_code for report in reports), default=0)
    _warn(imagery.warnings if imagery else ())
    if as_json:
        content = imagery.to_dict() if imagery else {}
        _print_json({**content, **({"weather": weather.to_dict()} if weather else {}), "exit_code": code})
    else:
        typer.echo("\n".join(report.plan() if dry_run else report.result() for report in reports))
    if imagery and imagery.fetched.shortage:
        _err.print(f"error: {imagery.fetched.shortage}")
    raise typer.Exit(code)


@app.command()
def train(config: ConfigFile, until: Day = None, scheduler: Scheduler = None, *, as_json: AsJson = False) -> None:
    """Train on the labels known by a day, hold the model against the baselines, and register it."""
    from rs_forecast import pipeline

    with _Bars() as tell:
        result = pipeline.train(_load(config, scheduler), until=until, tell=tell)
    _warn(result.warnings)
    if as_json:
        _print_json({"model": result.model.card, "folder": str(result.folder), "warnings": list(result.warnings)})
    else:
        typer.echo(f"{result.report}\n\nregistered {result.model.model_id} in {result.folder}")


@app.command()
def evaluate(
    config: ConfigFile,
    until: Day = None,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json and scores.png.")] = None,
    scheduler: Scheduler = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print the scores of the model beside each baseline, on seasons held out forward in time."""
    from rs_forecast import pipeline
    from rs_forecast.workspace import write_atomic

    with _Bars() as tell:
        report, notes = pipeline.evaluate(_load(config, scheduler), until=until, tell=tell)
    _warn(notes)
    if out is not None:
        write_atomic(out / "scores.json", report.to_json())
        report.plot(out / "scores.png")
    typer.echo(report.to_json() if as_json else str(report))


@app.command()
def run(
    config: ConfigFile,
    issued: Day = None,
    scheduler: Scheduler = None,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; forecast from what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the newest scenes, forecast for every parcel, publish the week's maps; the same inputs: nothing twice."""
    from dataclasses import asdict

    from rs_forecast import pipeline

    with _Bars() as tell:
        report = pipeline.run(_load(config, scheduler), issued=issued, offline=offline, tell=tell)
    _warn(report.warnings)
    if as_json:
        _print_json({**asdict(report), "exit_code": report.exit_code})
    else:
        typer.echo(report.line)
    raise typer.Exit(report.exit_code)


@app.command()
def indices(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="A config file (TOML), to list its own indices too.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only this group, such as water.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the spectral indices: formula, bands, valid range, what they tell, and the paper."""
    from rs_forecast.catalog import INDICES
    from rs_forecast.catalog.indices import GROUPS
    from rs_forecast.config import load_config

    if group is not None and group not in GROUPS:
        raise ConfigError(f"there is no group {group!r}{suggest(group, GROUPS) or '.'} Known: {', '.join(GROUPS)}")
    table = INDICES if config is None else load_config(config).all_indices
    rows = [row for row in table.values() if group in (None, row.group)]
    if as_json:
        _print_json({"groups": GROUPS, "indices": [_index_dict(row) for row in rows]})
    else:
        typer.echo(_index_text(rows))


app.add_typer(surveys, name="surveys")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in a message and an exit code, never in a traceback."""
    warnings.showwarning = _show_warning
    try:
        app(arguments, standalone_mode=True)
    except RsForecastError as err:
        _err.print(f"error: {err}")
        code = next(code for kind, code in _CODES if isinstance(err, kind))
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            _print_json({"status": "failed", "exit_code": code, "error": str(err)})
        sys.exit(code)
    except KeyboardInterrupt:
        _err.print("interrupted; what was published before stands")
        sys.exit(1)


def _index_dict(row: Index) -> dict[str, Any]:
    return {
        "name": row.name,
        "group": row.group,
        "formula": row.formula,
        "bands": row.parsed.names,
        "valid": row.valid,
        "unit": row.unit,
        "doc": row.doc,
        "doi": row.doi or None,
    }


def _index_text(rows: Sequence[Index]) -> str:
    """Return the rows group by group, in lines of 80 columns at most, whatever the terminal is."""
    from rs_forecast.catalog.indices import GROUPS

    blocks = []
    for group, words in GROUPS.items():
        members = [row for row in rows if row.group == group]
        if members:
            blocks += [f"{group}: {words}", *map(_index_block, members)]
    return "\n\n".join(blocks or ["no index is in this group"])


def _index_block(row: Index) -> str:
    unit = "" if row.unit == "1" else f" {row.unit}"
    facts = f"bands {', '.join(row.parsed.names)}; valid {row.valid[0]:g} to {row.valid[1]:g}{unit}"
    paragraphs = (row.doc, row.formula, facts, *([f"doi {row.doi}"] if row.doi else []))
    wrap = textwrap.TextWrapper(63, break_long_words=False, break_on_hyphens=False)  # a DOI is never cut
    lines = [line for text in paragraphs for line in wrap.wrap(text)]
    name = f"  {row.name}"
    first, rest = (lines[0], lines[1:]) if len(name) < 16 else ("", lines)
    return "\n".join([f"{name:<17}{first}".rstrip(), *(f"{'':<17}{line}" for line in rest)])


class _Bars:
    """A progress bar per kind of work on a terminal; a line per kind of work elsewhere."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=_err
        )
        if _err.is_terminal:
            self._progress.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        if _err.is_terminal:
            self._progress.stop()

    def _tell(self, what: str, done: int, of: int) -> None:
        new = what not in self._tasks
        if new:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done, total=of)
        if new and not _err.is_terminal:
            _err.print(f"{what} ...")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning that an error let through; where it stands in the code says nothing to a user of ours."""
    del file, line  # part of the signature that Python calls
    place = "" if issubclass(category, DataWarning) else f" ({category.__name__}, {filename}:{lineno})"
    _err.print(f"warning: {message}{place}")


def _warn(notes: tuple[str, ...]) -> None:
    for note in notes[:_MOST_WARNINGS]:
        _err.print(f"warning: {note}")
    if len(notes) > _MOST_WARNINGS:
        _err.print(f"warning: and {len(notes) - _MOST_WARNINGS} more; --json and the manifest hold them all")


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))
