"""Vector files as tables of features: one driver, one layer, texts in the encoding they are in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyogrio

from rs_forecast.errors import DataWarning, SchemaError, SourceError, listing
from rs_forecast.sources._encodings import (
    CARRIER,
    check_encoding,
    from_carrier,
    is_tcvn3,
    mend_texts,
    readings,
    warn_of_misread,
)
from rs_forecast.sources._paths import vector_format
from rs_forecast.sources._tables import nearest

_BYTES = ("ESRI Shapefile", "MapInfo File")
"""Drivers whose texts are in an encoding of the file's own; the others are Unicode by their format."""

_NOISE = ("invalid value", "Unable to save auxiliary")
"""Warnings that say nothing to a user: of a NaN coordinate, whose parcel is named later; of statistics not kept."""


def read_vector(
    file: Path, what: str, *, layer: str | None = None, encoding: str | None = None, name: str = ""
) -> tuple[pd.DataFrame, list[str]]:
    """Return every feature of a layer with every column, and the file's descriptive texts.

    Parameters
    ----------
    layer
        By default the only one with geometry.
    encoding
        Of the texts; of a file that is Unicode by its format, of what was pasted into it.
    name
        What messages call the file.

    Raises
    ------
    SourceError, SchemaError
        The file cannot be read, is of another kind than its name says, or has several layers.
    """
    name = name or file.name
    kind = vector_format(file, what)
    check_encoding(encoding, name)
    uri = f"{kind.prefix}{file}"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layer = _layer(uri, layer, name, what)
            code = _carried(encoding, kind.driver)
            info = pyogrio.read_info(uri, layer=layer, encoding=code)
            if info["driver"] != kind.driver:
                raise SourceError(f"{what}: {name} is {info['driver']} inside, not {kind.driver} as its name says")
            frame = pyogrio.read_dataframe(uri, layer=layer, encoding=code, force_2d=True, on_invalid="ignore")
    except UnicodeDecodeError as err:
        raise SchemaError(
            f"{name}: its texts are not {err.encoding} (byte {err.start} of a cell); declare under [{what}] what they "
            f"are:{readings(err.object)}"
        ) from err
    except (RuntimeError, ValueError, OSError) as err:
        raise SourceError(f"{what}: {name} cannot be read as {kind.driver} ({one_line(err)}); export it again") from err
    for message in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)):
        if not message.startswith(_NOISE):
            warnings.warn(DataWarning(f"{name}: {message}"), stacklevel=4)
    if is_tcvn3(encoding):
        frame = _from_tcvn3(frame, kind.driver, name)
    elif encoding is None and kind.driver == "ESRI Shapefile":
        _warn_of_encoding(frame, str(info["encoding"]), file, name, what)
    else:
        warn_of_misread(_texts(frame), name, what, 5)
    texts = [f"{k}={v}" for meta in ("layer_metadata", "dataset_metadata") for k, v in (info[meta] or {}).items()]
    return frame, [str(info["layer_name"]), *texts]


def one_line(err: Exception) -> str:
    """Return an error's text without its line breaks."""
    return " ".join(str(err).split())


def _carried(encoding: str | None, driver: str) -> str | None:
    """Return the encoding a driver is told: of TCVN3 one that loses no byte, and none where texts are Unicode."""
    if not is_tcvn3(encoding):
        return encoding
    return CARRIER if driver in _BYTES else None


def _from_tcvn3(frame: pd.DataFrame, driver: str, name: str) -> pd.DataFrame:
    """Return ``frame`` with its texts and column names as TCVN3 says."""
    names = [c for c in frame.columns if c != "geometry"]
    texts = list(frame[names].select_dtypes(["object", "str"]).columns)
    if driver in _BYTES:
        frame = frame.assign(**{c: frame[c].map(from_carrier, na_action="ignore") for c in texts})
        return frame.rename(columns={c: from_carrier(c) for c in names})
    return frame.assign(**{c: mend_texts(frame[c], name) for c in texts})


def _texts(frame: pd.DataFrame) -> Iterator[str]:
    """Yield each text with letters beyond ASCII once a column, and names of columns first."""
    columns = [c for c in frame.columns if c != "geometry"]
    yield from (c for c in columns if not c.isascii())
    for column in frame[columns].select_dtypes(["object", "str"]):
        yield from (cell for cell in frame[column].unique() if isinstance(cell, str) and not cell.isascii())


def _warn_of_encoding(frame: pd.DataFrame, encoding: str, file: Path, name: str, what: str) -> None:
    """Say so when texts of a shapefile were decoded by a guess, and what else they may be."""
    if any(file.with_suffix(suffix).exists() for suffix in (".cpg", ".CPG")):
        warn_of_misread(_texts(frame), name, what, 6)
        return
    odd = next(_texts(frame), None)
    if odd is None:
        return
    try:
        others = readings(odd.encode(encoding))
    except (LookupError, UnicodeEncodeError):
        others = ' encoding = "utf-8", "windows-1258" or "tcvn3"'
    text = (
        f"{name}: it declares no encoding (there is no .cpg), so texts are read as {encoding}, such as {odd!r}. If "
        f"that looks wrong, declare under [{what}] what it is:{others}"
    )
    warnings.warn(DataWarning(text), stacklevel=5)


def _layer(uri: str, wanted: str | None, name: str, what: str) -> str | None:
    """Return the layer asked for, or the only one with geometry; tables such as QGIS's layer_styles do not count."""
    layers = [str(layer) for layer, kind in pyogrio.list_layers(uri) if kind is not None]
    if wanted is not None and wanted not in layers:
        raise SchemaError(f'{name}: it has no layer "{wanted}"{nearest(wanted, layers)} Found: {listing(layers, 20)}')
    if wanted is not None:
        return wanted
    if len(layers) > 1:
        raise SchemaError(
            f"{name}: it has {len(layers)} layers ({listing(layers)}); name the one with the {what}: "
            f'layer = "{layers[0]}" under [{what}], or read_{what}(..., layer="{layers[0]}")'
        )
    return layers[0] if layers else None
