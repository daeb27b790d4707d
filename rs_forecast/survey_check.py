"""``rs-forecast surveys check``: what a file of surveys is taken for, what is refused and why, what to declare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.config import Config
from rs_forecast.errors import ConfigError, NoDataError, SchemaError, noted
from rs_forecast.inputs import config_communes, config_parcels
from rs_forecast.schema import PARCEL, SURVEYS, Problem
from rs_forecast.sources._area_cells import find_week
from rs_forecast.sources._odk import looks_like_export
from rs_forecast.sources._paths import input_file
from rs_forecast.sources._tables import excel_sheets, read_cells
from rs_forecast.sources.areas import read_areas
from rs_forecast.sources.surveys import survey_rows
from rs_forecast.survey_names import (
    AREA_NAMES,
    NAMES,
    Match,
    day_order,
    has_slashes,
    match_columns,
    match_contents,
    number_signs,
    pest_columns,
)
from rs_forecast.workspace import write_atomic

_PRINTED = 30
_DATES = [f.name for f in SURVEYS if f.kind == "day"]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found in a file."""

    file: str
    layout: str
    matches: tuple[Match, ...]
    rows: int
    """Rows understood."""
    refused: tuple[Problem, ...]
    notes: tuple[str, ...]
    questions: tuple[str, ...]
    """What only somebody of the office can tell."""
    counts: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Pest -> rows understood, and the highest value."""
    config: str = ""
    """Lines for the config."""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def exit_code(self) -> int:
        """0 all rows understood, 3 some, 4 none."""
        return 4 if not self.rows else 3 if self.refused or self.questions else 0

    def text(self) -> str:
        """Return it in words."""
        lines = [f"{self.file}: taken for layout {self.layout!r}, {self.rows} rows understood"]
        lines += [f"  {m.ours:<14} <- {m.theirs!r}, by {m.why}" for m in self.matches]
        lines += [f"  {pest}: {count} rows, highest {top:g}" for pest, (count, top) in self.counts.items()]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"to be said: {question}" for question in self.questions]
        if self.refused:
            lines.append(f"refused, {len({p.row for p in self.refused})} rows:")
            lines += [f"  row {p.row}, column {p.column}: found {_shown(p.found)}, allowed is {p.rule}" for p in
                      self.refused[:_PRINTED]]  # fmt: skip
            if len(self.refused) > _PRINTED:
                lines.append(f"  and {len(self.refused) - _PRINTED} more; --json has them all")
        return "\n".join([*lines, "", "for the config:", "", self.config])

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "file": self.file,
            "layout": self.layout,
            "columns": [m._asdict() for m in self.matches],
            "rows": self.rows,
            "pests": {pest: {"rows": count, "highest": top} for pest, (count, top) in self.counts.items()},
            "refused": [{**p._asdict(), "row": str(p.row), "found": _shown(p.found)} for p in self.refused],
            "notes": list(self.notes),
            "questions": list(self.questions),
            "config": self.config,
            "exit_code": self.exit_code,
        }


def check_surveys_file(path: Path, config: Config | None = None, *, out: Path | None = None) -> Checked:
    """Look at a file of surveys, propose how to declare it, and write the rows that are understood as our table.

    Parameters
    ----------
    config
        Whose pests, parcels and communes count; without one places are not looked up.
    out
        Where a cleaned copy goes, as CSV.

    Raises
    ------
    ConfigError
        ``out`` is there already: neither the input nor anything else is written over.
    SourceError, SchemaError
        The file cannot be read.
    """
    file = input_file(path, "surveys")
    if out is not None and out.exists():
        raise ConfigError(f"surveys check: {out} is there already and stays as it is; name another file for --out")
    pests: Mapping[str, Pest] = PESTS if config is None else config.all_pests
    with noted() as notes:
        parcels = None if config is None else config_parcels(config)
        options = _proposed(file, config, pests, parcels)
        done = _area_rows(file, options, config, pests) if options.is_area else _rows(
            file, options, config, pests, parcels)  # fmt: skip
    table, problems = done
    bad = {p.row for p in problems}
    good = table[~table.index.isin(list(bad))]
    if out is not None and len(good):
        write_atomic(out, "\ufeff" + _plain(good).to_csv(index=False, lineterminator="\n"))  # Excel asks for the mark
    value = "infested_ha" if options.is_area else "value"
    counts = {str(n): (len(rows), float(rows[value].max())) for n, rows in good.groupby("pest")}
    return Checked(
        file=file.name,
        layout=options.layout,
        matches=options.matches,
        rows=len(good),
        refused=tuple(problems),
        notes=tuple(notes),
        questions=options.questions,
        counts=counts,
        config=options.lines(file),
        table=good,
    )


@dataclass(frozen=True, kw_only=True)
class _Options:
    """How a file is proposed to be read."""

    layout: str
    matches: tuple[Match, ...] = ()
    date_order: str | None = None
    signs: Mapping[str, Any] = field(default_factory=dict)
    questions: tuple[str, ...] = ()

    @property
    def is_area(self) -> bool:
        return self.layout in ("areas", "annex")

    @property
    def columns(self) -> dict[str, str]:
        return {m.ours: m.theirs for m in self.matches if m.ours != m.theirs}

    def lines(self, file: Path) -> str:
        """Return the lines of the config."""
        out = ["[surveys]", f"path = {_quoted(str(file))}"]
        out += [f"layout = {_quoted(self.layout)}"] if self.layout != "long" else []
        out += [f"date_order = {_quoted(self.date_order)}"] if self.date_order else []
        out += [f"{name} = {_quoted(sign)}" for name, sign in self.signs.items()]
        if self.columns:
            pairs = ", ".join(f"{ours} = {_quoted(theirs)}" for ours, theirs in self.columns.items())
            out.append(f"columns = {{ {pairs} }}")
        return "\n".join(out)


def _quoted(text: str) -> str:
    """Return a text of TOML: one of JSON is one."""
    return json.dumps(text, ensure_ascii=False)


def _proposed(
    file: Path, config: Config | None, pests: Mapping[str, Pest], parcels: gpd.GeoDataFrame | None
) -> _Options:
    """Return how to read a file, from its columns and cells."""
    if file.suffix.lower() == ".xlsx" and _has_week(file):
        return _Options(layout="annex")
    encoding = None if config is None else config.surveys.encoding
    cells, _ = read_cells(file, "surveys", encoding)
    if looks_like_export(cells.columns):
        return _Options(layout="odk")
    areas = match_columns(cells, AREA_NAMES)
    if {"place", "week", "pest"} <= {m.ours for m in areas}:
        numbers = [cells[m.theirs] for m in areas if m.ours.endswith("_ha")]
        signs = number_signs(pd.concat(numbers)) if numbers else {}
        return _Options(layout="areas", matches=tuple(areas), signs=signs)
    found = match_columns(cells, NAMES)
    wide = pest_columns(cells, pests)
    ids = None if parcels is None else set(parcels[PARCEL])
    if wide and not {"pest", "value"} <= {m.ours for m in found}:
        found = [m for m in found if m.theirs not in wide and m.ours not in ("pest", "value", "unit")]
        found += [m for m in match_contents(cells, found, pests, ids) if m.ours not in ("pest", "value", "unit")]
        layout, numbers = "wide", [cells[c] for c in wide]
    else:
        found += match_contents(cells, found, pests, ids)
        layout, numbers = "long", [cells[m.theirs] for m in found if m.ours == "value"]
    days = [cells[m.theirs] for m in found if m.ours in _DATES]
    order, questions = _day_order(days)
    signs = number_signs(pd.concat(numbers)) if numbers else {}
    return _Options(layout=layout, matches=tuple(found), date_order=order, signs=signs, questions=questions)


def _day_order(days: Sequence[pd.Series]) -> tuple[str | None, tuple[str, ...]]:
    if not days or not has_slashes(pd.concat(days)):
        return None, ()
    order = day_order(pd.concat(days))
    if order is not None:
        return order, ()
    return None, (
        'days with slashes are there, and none shows which number is the day; add date_order = "dmy" or "mdy"',
    )


def _has_week(file: Path) -> bool:
    """Whether the first rows of some sheet name a week as an annex does."""
    for sheet in excel_sheets(file, "surveys", header=None).values():
        for cell in sheet.head(10).to_numpy().ravel():
            if isinstance(cell, str) and len(cell) < 120:
                try:
                    if find_week(cell) is not None:
                        return True
                except SchemaError:
                    return True  # a week that is none is told when it is read
    return False


def _rows(
    file: Path,
    options: _Options,
    config: Config | None,
    pests: Mapping[str, Pest],
    parcels: gpd.GeoDataFrame | None,
) -> tuple[pd.DataFrame, list[Problem]]:
    own: dict[str, Any] = {}
    if config is not None:
        part = config.surveys
        own = {
            "encoding": part.encoding, "units": part.units, "within_m": part.within_m,
            "timezone": config.region.timezone, "communes": config_communes(config), "today": config.today,
        }  # fmt: skip
    found = survey_rows(
        file,
        parcels,
        columns=options.columns,
        pests=pests,
        date_order=options.date_order,
        layout=options.layout,  # type: ignore[arg-type]
        **options.signs,
        **own,
    )
    return found.table, found.problems


def _area_rows(
    file: Path, options: _Options, config: Config | None, pests: Mapping[str, Pest]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return area data; what is wrong with them is told in notes."""
    own: dict[str, Any] = {}
    if config is not None:
        own = {"place": config.surveys.place, "communes": config_communes(config), "today": config.today}
    try:
        table = read_areas(
            file,
            layout=options.layout,  # type: ignore[arg-type]
            columns=options.columns,
            pests=pests,
            part="surveys",
            **options.signs,
            **own,
        )
    except NoDataError as err:
        raise NoDataError(f"{err}\n\nfor the config, as far as it can be told:\n\n{options.lines(file)}") from err
    return table, []


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as our table: days as 2026-03-02, columns that say nothing left out."""
    out = table.dropna(axis=1, how="all").copy()
    for name in out.select_dtypes("datetime"):
        out[name] = out[name].dt.strftime("%Y-%m-%d")
    return out


def _shown(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return "nothing" if pd.api.types.is_scalar(value) and pd.isna(value) else repr(value)
