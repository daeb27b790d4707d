"""Exports of ODK Central, ODK Briefcase and KoboToolbox: what phones sent in, with groups, repeats and submission days.

KoboToolbox writes one workbook (or a CSV of the main table) with ``group/field``, ``_point_latitude``,
``_submission_time``, ``_index``, and a sheet a repeat joined by ``_parent_index``. Central and Briefcase write one CSV
a table with ``group-field``, ``point-Latitude``, ``SubmissionDate``, ``KEY``, and a repeat's ``PARENT_KEY``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from rs_forecast.catalog import Pest
from rs_forecast.errors import DataWarning, SchemaError, listing
from rs_forecast.schema import PARCEL, ROW, Problem
from rs_forecast.sources._pest_names import PestNames
from rs_forecast.sources._survey_doors import PLAIN, melted, renamed
from rs_forecast.sources._tables import as_text, excel_sheets, raw_cells

_SENT = ("_submission_time", "SubmissionDate", "_submission__submission_time")
_STATE = ("_validation_status", "ReviewState", "_submission__validation_status")
_REFUSED = ("validation_status_not_approved", "not approved", "rejected")
_VISIT = ("date", "visit_date", "ngay", "today", "start")
"""Fields that say the day of the visit, the surest first."""
_LATITUDE = re.compile(r"(?:(?P<path>.*)/)?_(?P<kobo>.+)_latitude|(?P<central>.+)-Latitude")
_POINT = re.compile(r"\[?\s*(-?\d+(?:\.\d+)?)[\s,]+(-?\d+(?:\.\d+)?)(?:[\s,]+-?\d+(?:\.\d+)?)*\s*\]?")
_POINT_NAMES = ("location", "point", "gps", "geopoint", "_geolocation")
ABSENT = "absent"
"""Field of our form: pests that were looked for and not found."""


class _Link(NamedTuple):
    key: str
    parent: str


_LINKS = (_Link("_index", "_parent_index"), _Link("KEY", "PARENT_KEY"))


def odk_cells(
    file: Path,
    encoding: str | None,
    columns: Mapping[str, str],
    pests: Mapping[str, Pest],
    units: Mapping[str, str],
    timezone: str,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return an export's cells under our names, one row a visit and pest.

    Findings are a repeat with ``pest`` and ``value``, or a question a pest; pests under ``absent`` are zeros. What was
    rejected at review is named and left out.

    Raises
    ------
    SchemaError
        A declared column is not there, a repeat does not join, or no finding is in it.
    """
    main, repeat, problems = _tables(file, encoding)
    visits, refused = _visits(main, columns, timezone, file.name)
    parts = [_zeros(visits, pests)]
    if repeat is not None:
        own = {ours: theirs for ours, theirs in columns.items() if theirs in repeat}
        found = _short(renamed(repeat, own, file.name))
        joined, lost = _joined(visits, found, file.name)
        problems += lost
    else:
        joined = visits
    if {"pest", "value"} <= set(joined):
        parts.append(joined)
    elif any(PestNames(pests).find(str(c)) for c in joined.columns):
        known = PestNames(pests)
        asked = [c for c in joined.columns if c in PLAIN or known.find(str(c))]
        parts.append(melted(joined[asked], pests, units, file.name))
    elif parts[0].empty:
        raise SchemaError(
            f"{file.name}: no finding is in it; allowed are pest and value, or a question named as a pest. Found: "
            f"{listing(joined.columns, 20)}. Map them under [surveys.columns]"
        )
    out = pd.concat([part for part in parts if len(part)] or parts[:1])
    problems += [
        Problem(row, "review", state, "a submission that was not rejected") for row, state in _hit(out, refused)
    ]
    out = out[[c for c in out.columns if c in PLAIN]]
    return _with_units(out, pests, units), problems


def _tables(file: Path, encoding: str | None) -> tuple[pd.DataFrame, pd.DataFrame | None, list[Problem]]:
    """Return the main table, the repeat if there is one, and rows of a wrong length."""
    if file.suffix.lower() == ".xlsx":
        sheets = {
            name: sheet.set_axis([str(c).strip() for c in sheet.columns], axis=1).set_axis(
                pd.RangeIndex(2, len(sheet) + 2, name=ROW)
            )
            for name, sheet in excel_sheets(file, "surveys").items()
        }
        first, *others = sheets.items()
        repeats = [(name, sheet) for name, sheet in others if any(link.parent in sheet for link in _LINKS)]
        return first[1], _only_repeat(repeats, file.name), []
    main, problems = raw_cells(file, "surveys", encoding)
    repeats = []
    for other in sorted(file.parent.glob(f"{file.stem}-*.csv")):
        table, lost = raw_cells(other, "surveys", encoding)
        repeats.append((other.name, table))
        problems += lost
    return main, _only_repeat(repeats, file.name), problems


def _only_repeat(repeats: list[tuple[str, pd.DataFrame]], name: str) -> pd.DataFrame | None:
    """Return the repeat that holds findings, rows named after where it is."""
    holding = [(where, t) for where, t in repeats if any(str(c).endswith(("pest", "value")) for c in t)] or repeats
    if not holding:
        return None
    where, table = holding[0]
    if len(repeats) > 1:
        text = f"{name}: of its repeats only {where!r} is read, not {listing(w for w, _ in repeats if w != where)}"
        warnings.warn(DataWarning(text), stacklevel=5)
    return table.set_axis([f"{row} of {where}" for row in table.index])


def _visits(
    main: pd.DataFrame, columns: Mapping[str, str], timezone: str, name: str
) -> tuple[pd.DataFrame, dict[object, str]]:
    """Return the main table under our names, and what was rejected, by row."""
    own = {ours: theirs for ours, theirs in columns.items() if theirs in main}
    raw = renamed(main, own, name)
    state = next((c for c in _STATE if c in raw), None)
    states = {} if state is None else as_text(raw[state]).dropna().to_dict()
    refused = {row: said for row, said in states.items() if said.lower() in _REFUSED}
    raw = _with_point(raw)
    sent = next((c for c in _SENT if c in raw), None)
    raw = _short(raw)
    if sent is not None and "known_at" not in raw:
        raw["known_at"] = _day_in(raw[sent], timezone)
    if "date" not in raw:
        lower = {str(c).lower(): c for c in reversed(raw.columns)}
        visit = next((lower[c] for c in _VISIT if c in lower), None)
        if visit is None:
            raise SchemaError(
                f"{name}: no question says the day of the visit; allowed are {', '.join(_VISIT)}. Found: "
                f"{listing(raw.columns, 20)}. Map yours: [surveys] columns = {{ date = ... }}"
            )
        raw["date"] = as_text(raw[visit]).str.slice(0, 10)  # a start has its own zone: its day is the phone's
    return raw, refused


def _short(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the table with questions under their own names, without groups; of two of one name the first."""
    central = "KEY" in raw.columns
    groups = {str(c) for c in raw.columns}

    def short(name: str) -> str:
        if name in PLAIN or name.startswith("_"):
            return name
        parent, _, last = name.rpartition("/")
        if parent in groups or parent.rpartition("/")[2] == ABSENT:  # a choice of a question with several
            return name
        return last.rpartition("-")[2] if central and last not in (*_SENT, "KEY") else last

    out = raw.set_axis([short(str(c)) for c in raw.columns], axis=1)
    return out.loc[:, ~out.columns.duplicated()]


def _with_point(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the table with ``lon`` and ``lat``, from the first question of a point."""
    if {"lon", "lat"} <= set(raw):
        return raw
    for column in raw.columns:
        found = _LATITUDE.fullmatch(str(column))
        if found:
            other = re.sub("latitude$", "longitude", re.sub("Latitude$", "Longitude", str(column)))
            if other in raw:
                return raw.assign(lat=raw[column], lon=raw[other])
    for column in raw.columns:
        last = re.split("[/-]", str(column))[-1].lower()
        if last in _POINT_NAMES:
            parts = as_text(raw[column]).str.extract(f"^{_POINT.pattern}$")
            return raw.assign(lat=parts[0], lon=parts[1])
    return raw


def _day_in(cells: pd.Series, timezone: str) -> pd.Series:
    """Return the day in ``timezone`` of moments that are in UTC unless they say otherwise; else as they are."""
    texts = as_text(cells)
    moments = pd.to_datetime(texts, utc=True, errors="coerce", format="mixed")
    days = moments.dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")
    return days.where(moments.notna(), texts)


def _joined(visits: pd.DataFrame, found: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the repeat's rows with what their visit says, and those whose visit is not there."""
    link = next((k for k in _LINKS if k.key in visits and k.parent in found), None)
    if link is None:
        allowed = " or ".join(f"{k.key} and {k.parent}" for k in _LINKS)
        raise SchemaError(f"{name}: its repeat does not say which visit a row belongs to ({allowed}); export it again")
    keys = as_text(visits[link.key])
    if keys.duplicated().any():
        raise SchemaError(f"{name}: {link.key} {keys[keys.duplicated()].iloc[0]!r} is there twice; export it again")
    parent = as_text(found[link.parent])
    lost = found.index[~parent.isin(keys)]
    problems = [Problem(row, link.parent, parent[row], f"a {link.key} of the main table") for row in lost]
    found = found[parent.isin(keys)]
    place = pd.Index(keys).get_indexer(pd.Index(parent[found.index]))
    above = visits.iloc[place].set_axis(found.index)
    own = [c for c in found.columns if c in PLAIN]
    rest = above[[c for c in above.columns if c not in own]].assign(_visit=visits.index[place])
    return pd.concat([rest, found[own]], axis=1), problems


def _zeros(visits: pd.DataFrame, pests: Mapping[str, Pest]) -> pd.DataFrame:
    """Return a zero for each pest that was looked for and not found."""
    known = PestNames(pests)
    fixed = [c for c in visits.columns if c in PLAIN and c not in ("pest", "value", "unit")]
    rows, labels = [], []
    split = {c: str(c).rpartition("/")[2] for c in visits.columns if str(c).rpartition("/")[0].endswith(ABSENT)}
    said = as_text(visits[ABSENT]).fillna("") if ABSENT in visits else pd.Series("", index=visits.index)
    for row in visits.index:
        named = str(said[row]).split()
        if not named:
            named = [pest for c, pest in split.items() if str(visits.loc[row, c]).lower() in ("1", "1.0", "true")]
        for text in named:
            rows.append({**visits.loc[row, fixed], "pest": known.find(text) or text, "value": 0, "_visit": row})
            labels.append(f"{row} ({ABSENT}: {text})")
    return pd.DataFrame(rows, index=labels, columns=[*fixed, "pest", "value", "_visit"], dtype=object)


def _hit(table: pd.DataFrame, refused: Mapping[object, str]) -> list[tuple[object, str]]:
    """Return rows of a rejected visit, with what was said."""
    visit = table["_visit"] if "_visit" in table else pd.Series(None, index=table.index, dtype=object)
    own = visit.where(visit.notna(), pd.Series([_number(row) for row in table.index], index=table.index))
    return [(row, refused[v]) for row, v in own.items() if v in refused]


def _number(label: object) -> object:
    """Return the row in the main table that a label begins with."""
    first = str(label).split(" ", 1)[0]
    return int(first) if first.isdecimal() else label


def _with_units(table: pd.DataFrame, pests: Mapping[str, Pest], units: Mapping[str, str]) -> pd.DataFrame:
    """Return the table with units: its own, else as declared, else the catalogue's."""
    known = PestNames(pests)
    names = as_text(table["pest"]).map(lambda text: known.find(text) if isinstance(text, str) else None)
    declared = {known.find(text) or text: unit for text, unit in units.items()}
    usual = names.map({name: declared.get(name, pest.unit) for name, pest in pests.items()})
    own = as_text(table["unit"]) if "unit" in table else pd.Series(None, index=table.index, dtype="str")
    return table.assign(unit=own.where(own.notna(), usual), **({} if PARCEL in table else {PARCEL: None}))


def looks_like_export(columns: Iterable[object]) -> bool:
    """Whether a main table has the columns that an export of ODK or KoboToolbox has, whatever the form."""
    names = {str(column) for column in columns}
    return {"SubmissionDate", "KEY"} <= names or {"_submission_time", "_uuid"} <= names
