"""``rs-forecast surveys``: look at a file of surveys, and make a form for phones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rs_forecast.errors import ConfigError, listing, suggest

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at surveys, and make a form for phones.")

_Config = Annotated[Path | None, typer.Option(metavar="CONFIG", help="Whose pests, parcels and communes count.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Excel or GeoJSON; never written to.")],
    config: _Config = None,
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Where the rows understood go; a new file.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report for machines, as JSON.")] = False,
) -> None:
    """Say what a file is taken for, what is refused and why. 0 all understood, 3 some rows refused, 4 none left."""
    from rs_forecast.config import load_config
    from rs_forecast.survey_check import check_surveys_file

    settings = None if config is None else load_config(config)
    found = check_surveys_file(file, settings, out=out)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False, default=str))
    else:
        typer.echo(found.text())
        if out is not None and found.rows:
            typer.echo(f"\n{found.rows} rows written to {out}")
    raise typer.Exit(found.exit_code)


@app.command()
def form(
    out: Annotated[Path, typer.Option(metavar="XLSX", help="A new file, for ODK Central or KoboToolbox.")],
    config: _Config = None,
    crop: Annotated[str | None, typer.Option(help="Only pests of this crop, such as rice.")] = None,
) -> None:
    """Write a form (XLSForm) in English and Vietnamese; what phones send in is read with layout = "odk"."""
    from rs_forecast.catalog import PESTS
    from rs_forecast.config import load_config
    from rs_forecast.survey_form import write_form

    known = PESTS if config is None else load_config(config).all_pests
    crops = sorted({pest.crop for pest in known.values() if pest.crop})
    if crop is not None and crop not in crops:
        raise ConfigError(f"--crop: found {crop!r}{suggest(crop, crops) or ';'} allowed are {listing(crops, 20)}")
    chosen = {name: pest for name, pest in known.items() if crop is None or pest.crop in ("", crop)}
    typer.echo(f"{write_form(out, chosen)}: {len(chosen)} pests")
