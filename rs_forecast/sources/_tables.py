"""Tables from outside: CSV, Excel and point GeoJSON as text cells, turned into what a schema's fields say."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyogrio

from rs_forecast.errors import DataWarning, NoDataError, SchemaError, SourceError, listing, suggest
from rs_forecast.schema import PARCEL, ROW, Field, Problem, describe, find_problems, parse_columns
from rs_forecast.sources._encodings import check_encoding, decode, is_tcvn3, mend_texts, warn_of_misread
from rs_forecast.sources._notation import MISSING, Notation, plain_cells
from rs_forecast.sources._paths import check_archive, input_file, read_bytes, vector_format
from rs_forecast.sources._vietnamese import match_key, unmarked_twin

LON = Field(
    name="lon", kind="number", doc="longitude, WGS 84", unit="°E", low=-180, high=180, required=False, nullable=True
)
LAT = Field(
    name="lat", kind="number", doc="latitude, WGS 84", unit="°N", low=-90, high=90, required=False, nullable=True
)

SYNTHETIC = "SYNTHETIC"
_COMMA = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})*,\d+|[-+]?\d+,\d+")
_UNDECLARED = Notation()
_BYTES = (".csv", ".txt", ".tsv")
"""Files whose text is in an encoding of its own; the others are Unicode by their format."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{8}")
_EXTRA = "\0extra"


def read_table(
    path: str | os.PathLike[str] | None,
    fields: Sequence[Field],
    *,
    what: str,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    notation: Notation = _UNDECLARED,
    one_of: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[Problem], str]:
    """Return the file's cells as ``fields`` say, what is wrong with single cells, and the file's name.

    Of the columns ``one_of`` any is enough. The table has the columns of ``fields`` that the file has; its index is the
    row in the file, the header being row 1. A cell that cannot be turned is missing in the table and named among the
    problems.

    Raises
    ------
    SourceError, SchemaError, ConfigError, NoDataError
        The file cannot be opened or decoded, has no rows, or lacks a required column.
    """
    file = input_file(path, what)
    raw, problems = raw_cells(file, what, encoding)
    found = {*raw.columns, *(columns or {})}
    if any(name in found for name in one_of):
        fields = [field for field in fields if field.name not in one_of or field.name in found]
    table, problems = parse_cells(raw, problems, fields, file.name, what, columns or {}, notation)
    return table, problems, file.name


def parse_cells(
    raw: pd.DataFrame,
    problems: list[Problem],
    fields: Sequence[Field],
    name: str,
    what: str,
    columns: Mapping[str, str],
    notation: Notation,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return cells from any file as ``fields`` say, and ``problems`` with those of single cells; see read_table."""
    raw = _renamed(raw, dict(columns), name, what)
    _require(raw, fields, name, what)
    raw = raw[[field.name for field in fields if field.name in raw.columns]]
    raw, odd = plain_cells(raw, fields, notation, name, what)
    problems += odd
    table = raw.apply(as_text)
    if table.empty:
        lost = f". {describe(problems, name)}" if problems else ""
        raise NoDataError(f"{name}: it has a header and no usable row below it{lost}")
    table, wrong = parse_columns(*_prepared(table, fields, problems))
    problems += [_explained(problem) for problem in wrong]
    return table, problems + find_problems(table, fields, name)


def read_cells(file: Path, what: str, encoding: str | None = None) -> tuple[pd.DataFrame, list[Problem]]:
    """Return every cell of a table file as clean text, missing where empty, and rows of a wrong length."""
    table, problems = raw_cells(file, what, encoding)
    return table.apply(as_text), problems


def raw_cells(file: Path, what: str, encoding: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the cells as the file has them, numbers of Excel as numbers, under clean names, without empty rows."""
    suffix = file.suffix.lower()
    problems: list[Problem] = []
    if suffix in _BYTES:
        table, problems = _csv_cells(file, what, encoding)
    elif suffix == ".xlsx":
        table = _excel_cells(file, what)
    elif suffix in (".geojson", ".json"):
        table = _point_cells(file, what)
    else:
        raise SourceError(
            f"{what}: {file.name} has the ending {suffix or 'of no kind'!r}, allowed are .csv, .txt, .tsv, .xlsx, "
            ".geojson; save the table as CSV (UTF-8)"
        )
    names = [str(clean_text(str(name))) for name in table.columns]
    if suffix not in _BYTES:  # a Unicode file may still hold what somebody pasted from an ABC font
        table, names = _mended(table, names, file.name, what, encoding)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SchemaError(f"{file.name}: column {listing(sorted(twice))} is there twice; rename or delete one of them")
    table = table.set_axis(names, axis=1)
    return table[~_blank(table)], problems


def _blank(table: pd.DataFrame) -> pd.Series:
    """Return which rows have no cell with anything in it."""
    blank = pd.Series(data=True, index=table.index)
    for name in table.columns:
        rest = table.loc[blank, name]
        blank[rest.index] = as_text(rest).isna()
        if not blank.any():
            break
    return blank


def _mended(
    table: pd.DataFrame, names: list[str], name: str, what: str, encoding: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return a Unicode file's cells and names, mended if declared as TCVN3, else warned of where they look like it."""
    check_encoding(encoding, name)
    texts = table.select_dtypes(["object", "str"])
    if is_tcvn3(encoding):
        mended = texts.apply(mend_texts, args=(name,))
        return table.assign(**{str(c): mended[c] for c in texts}), list(mend_texts(pd.Series(names), name))
    warn_of_misread([*names, *(cell for column in texts for cell in texts[column].unique())], name, what, 5)
    return table, names


def as_text(values: pd.Series) -> pd.Series:
    """Return ``values`` as clean text: 12.0 is "12", blanks are missing, accents are composed (NFC)."""
    if isinstance(values.dtype, pd.StringDtype):
        text = values.str.strip()
        if text.str.isascii().all():  # a million cells at once
            return text.mask(text == "")
    return pd.Series([clean_text(value) for value in values], index=values.index, dtype="str")


def clean_text(value: Any) -> str | None:
    """Return one cell as clean text, or None."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip() or None
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if hasattr(value, "is_integer") and value.is_integer() and not isinstance(value, bool):
        return str(int(value))
    return str(value)


def mark_synthetic[TableT: pd.DataFrame](table: TableT, texts: Iterable[object]) -> TableT:
    """Set ``attrs["synthetic"]`` on ``table`` if one of ``texts`` says SYNTHETIC."""
    if any(SYNTHETIC in str(text) for text in texts):
        table.attrs["synthetic"] = True
    return table


def as_spelled(names: pd.Series, known: Iterable[str]) -> pd.Series:
    """Return ``names`` with each unknown one as the only known name that is the same but for spelling.

    Case, spaces and the place of a tone are spelling; letters and marks are not.
    """
    wanted = set(known)
    strange = names[names.notna() & ~names.isin(wanted)].unique()
    if not len(strange):
        return names
    spelled: dict[str, list[str]] = {}
    for name in wanted:
        spelled.setdefault(match_key(name), []).append(name)
    found = {name: same[0] for name in strange if len(same := spelled.get(match_key(name), [])) == 1}
    return names.replace(found) if found else names


def unknown_names(names: pd.Series, allowed: str, known: Iterable[str]) -> list[Problem]:
    """Return a problem for each given name that is not among ``known``; the first few pests with the nearest one."""
    wanted = set(known)
    bad = names[names.notna() & ~names.isin(wanted)]
    likely = list(bad.unique()[:5])
    if names.name == PARCEL:  # the id nearest to a wrong one is another field, unless marks alone were lost
        twins = {name: unmarked_twin(name, wanted) for name in likely}
        rules = {name: f'{allowed} (did you mean "{twin}"? Marks differ)' for name, twin in twins.items() if twin}
    else:
        rules = {name: f"{allowed} ({near[2:]})" for name in likely if (near := suggest(name, wanted))}
    return [Problem(row, str(names.name), name, rules.get(name, allowed)) for row, name in bad.items()]


def _csv_cells(file: Path, what: str, encoding: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    text = decode(read_bytes(file, what), encoding, file.name)
    buffer = io.StringIO(text, newline="")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    try:
        header = next(row for row in csv.reader(buffer, delimiter=separator) if row)
        table = pd.read_csv(
            buffer, sep=separator, header=None, names=[*header, _EXTRA], dtype="str", index_col=False,
            keep_default_na=False, na_values=[""], skip_blank_lines=False,
        )  # fmt: skip
        if not table[_EXTRA].notna().any():
            return table.drop(columns=_EXTRA).set_axis(_rows(len(table))), []
        return _ragged_cells(text, separator)
    except ValueError:  # repeated names, too many cells, a quote left open
        return _ragged_cells(text, separator)
    except csv.Error as err:
        raise SchemaError(f"{file.name}: it cannot be read as CSV ({err}); export it again") from err


def _ragged_cells(text: str, separator: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Read row by row: slower, and it can name rows that are longer than the header."""
    rows = list(csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=separator))
    header, body = rows[0], rows[1:]
    width = len(header)
    rule = (
        f"{width} cells as in the header; write numbers with a decimal point, and a text with {separator!r} in quotes"
    )
    long = [i for i, row in enumerate(body) if len(row) > width and any(row[width:])]
    problems = [Problem(i + 2, f"{width + 1} and on", separator.join(body[i]), rule) for i in long]
    cells = [row[:width] + [""] * (width - len(row)) for row in body]
    table = pd.DataFrame(cells, columns=pd.Index(header), index=_rows(len(cells)), dtype="str")
    return table.drop(index=[problem.row for problem in problems]), problems


def _rows(count: int) -> pd.RangeIndex:
    return pd.RangeIndex(2, count + 2, name=ROW)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence on an unknown name: the nearest known one as a question, or a full stop."""
    return suggest(name, known) or "."


def excel_sheets(file: Path, what: str, *, header: int | None = 0) -> dict[str, pd.DataFrame]:
    """Return the sheets of a workbook by name, cells as Excel has them; of merged cells the first has the value.

    Raises
    ------
    SourceError
        It is no workbook, or too large to be one.
    """
    read_bytes(file, what)
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive(archive, file.name, what)
        book = pd.read_excel(
            file, sheet_name=None, dtype=object, engine="openpyxl", keep_default_na=False, header=header
        )
    except ImportError as err:
        raise SourceError(
            f"{what}: reading {file.name} needs openpyxl: pip install 'rs-forecast[excel]', or save the sheet as CSV "
            "(UTF-8)"
        ) from err
    except (zipfile.BadZipFile, ValueError, KeyError, OSError) as err:
        raise SourceError(f"{what}: {file.name} is not a readable Excel workbook ({err}); save it again") from err
    return {str(name): pd.DataFrame(sheet) for name, sheet in book.items()}


def _excel_cells(file: Path, what: str) -> pd.DataFrame:
    book = excel_sheets(file, what)
    name, sheet = next(iter(book.items()))
    if len(book) > 1:
        others = listing(list(book)[1:])
        warnings.warn(DataWarning(f"{file.name}: only the first sheet {name!r} is read, not {others}"), stacklevel=4)
    return sheet.set_axis(_rows(len(sheet)))


def _point_cells(file: Path, what: str) -> pd.DataFrame:
    kind = vector_format(file, what)
    try:
        frame = pyogrio.read_dataframe(f"{kind.prefix}{file}", datetime_as_string=True, force_2d=True)
    except (RuntimeError, ValueError) as err:
        raise SourceError(f"{what}: {file.name} cannot be read as GeoJSON ({err})") from err
    if "geometry" in frame.columns:
        points = frame.geometry.to_crs(4326).where(frame.geom_type == "Point")
        frame = pd.DataFrame(frame.drop(columns="geometry")).assign(lon=points.x, lat=points.y)
    return pd.DataFrame(frame).set_axis(_rows(len(frame)))


def _renamed(raw: pd.DataFrame, columns: dict[str, str], name: str, what: str) -> pd.DataFrame:
    for ours, theirs in columns.items():
        if theirs not in raw.columns:
            raise SchemaError(
                f'{name}: it has no column "{theirs}" for {ours}{nearest(theirs, raw.columns)} '
                f"Found: {listing(raw.columns, 20)}. Mend [{what}.columns]"
            )
    back = {theirs: ours for ours, theirs in columns.items()}
    return raw.drop(columns=[c for c in columns if c in raw.columns and c not in back]).rename(columns=back)


def _require(raw: pd.DataFrame, fields: Sequence[Field], name: str, what: str) -> None:
    missing = [f.name for f in fields if f.required and f.name not in raw.columns]
    if missing:
        near = nearest(missing[0], raw.columns)
        raise SchemaError(
            f"{name}: column {listing(missing)} is missing{near} Found: {listing(raw.columns, 20)}. "
            f"Rename the column, or map it under [{what}.columns]"
        )


def _prepared(
    table: pd.DataFrame, fields: Sequence[Field], problems: list[Problem]
) -> tuple[pd.DataFrame, Sequence[Field]]:
    """Take words for "missing" out of number and day cells, and days that are no full date."""
    out = table.copy()
    for field in fields:
        if field.name not in out.columns or field.kind == "text":
            continue
        cells = out[field.name]
        cells = cells.mask(cells.str.lower().isin(MISSING))
        if field.kind == "day":
            odd = cells.notna() & ~cells.str.fullmatch(_DAY.pattern).fillna(value=False)
            problems += [Problem(row, field.name, cells[row], field.rule) for row in cells.index[odd]]
            cells = cells.mask(odd).str.slice(0, 10)
        out[field.name] = cells
    return out, fields


def _explained(problem: Problem) -> Problem:
    if isinstance(problem.found, str) and _COMMA.fullmatch(problem.found):
        rule = f'{problem.rule}, with a decimal point and not a comma, unless decimal = "," is declared'
        return problem._replace(rule=rule)
    return problem
