"""Opening files from outside: a regular file on this computer, of the kind its name says, of a sane size."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rs_forecast.errors import ConfigError, SourceError, listing

_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/{1,2}")
"""A scheme of two letters or more: one letter is a drive of Windows."""

_POINTERS = (b"<ogrvrt", b"<vrtdataset", b"gdal_streamed_alg", b"<ogrwfs", b"<ogcapi", b"<!entity")
"""Contents that make GDAL open other files or addresses than the one named."""

_UNPACKED_MAX = 2 * 1024**3
_UNPACKED_FREE = 50 * 1024**2
_RATIO_MAX = 200
_MEMBERS_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class VectorFormat:
    """How a vector file is opened. ``prefix`` makes GDAL try no other driver; else ``magic`` is checked before."""

    driver: str
    prefix: str = ""
    magic: bytes = b""


VECTOR_FORMATS = {
    ".gpkg": VectorFormat(driver="GPKG", prefix="GPKG:", magic=b"SQLite format 3\0"),
    ".geojson": VectorFormat(driver="GeoJSON", prefix="GeoJSON:"),
    ".json": VectorFormat(driver="GeoJSON", prefix="GeoJSON:"),
    ".geojsonl": VectorFormat(driver="GeoJSONSeq", prefix="GeoJSONSeq:"),
    ".shp": VectorFormat(driver="ESRI Shapefile", magic=b"\x00\x00\x27\x0a"),
    ".fgb": VectorFormat(driver="FlatGeobuf", magic=b"fgb"),
    ".sqlite": VectorFormat(driver="SQLite", prefix="SQLite:", magic=b"SQLite format 3\0"),
    ".kml": VectorFormat(driver="LIBKML"),
    ".gml": VectorFormat(driver="GML"),
    ".tab": VectorFormat(driver="MapInfo File"),
    ".mif": VectorFormat(driver="MapInfo File"),
}


def input_file(path: str | os.PathLike[str] | None, what: str) -> Path:
    """Return ``path`` as an existing regular file.

    Raises
    ------
    ConfigError
        No path is given.
    SourceError
        An address, a folder, or nothing stands there.
    """
    file = input_path(path, what)
    if file.is_dir():
        raise SourceError(f"{what}: {file} is a folder, a file is due. It holds {_contents(file)}; name one of them")
    return file


def input_path(path: str | os.PathLike[str] | None, what: str) -> Path:
    """Return ``path`` as an existing regular file or folder; raises as :func:`input_file`."""
    if path is None or not os.fspath(path):
        raise ConfigError(f"{what}: no path is given; set `path` under [{what}], or pass it as an argument")
    text = os.fspath(path)
    scheme = _ADDRESS.match(text)
    if scheme or text.startswith("/vsi") or "<" in text or "\0" in text:
        shown = f"an address ({scheme[1]}:)" if scheme else repr(text[:40])
        raise SourceError(f"{what}: found {shown}, allowed is a file on this computer; download it and give its path")
    file = Path(text).expanduser()
    if not file.exists():
        raise SourceError(f"{what}: {file} does not exist{_near(file)}")
    if not file.is_file() and not file.is_dir():
        raise SourceError(f"{what}: {file} is neither a file nor a folder; copy its contents into a file")
    return file


def read_bytes(file: Path, what: str) -> bytes:
    """Return the contents of ``file``; SourceError if they cannot be read, or there are none."""
    try:
        data = file.read_bytes()
    except OSError as err:
        raise SourceError(f"{what}: {file} cannot be read ({err.strerror}); check its permissions") from err
    if not data.strip():
        raise SourceError(f"{what}: {file} is empty ({len(data)} bytes); export it again")
    return data


def vector_format(file: Path, what: str) -> VectorFormat:
    """Return how the vector file is to be opened; SourceError for a kind unknown, or contents of another kind."""
    suffix = file.suffix.lower()
    found = VECTOR_FORMATS.get(suffix)
    if found is None:
        known = listing([*VECTOR_FORMATS, ".zip (a shapefile)", ".parquet"], most=20)
        raise SourceError(
            f"{what}: {file.name} has the ending {suffix or 'of no kind'!r}, allowed are {known}; "
            "save it as a GeoPackage (.gpkg), for example in QGIS: Export > Save Features As"
        )
    head = _head(file, what)
    if any(pointer in head.lower() for pointer in _POINTERS):
        raise SourceError(
            f"{what}: {file.name} only points at other data (a virtual format under another name); "
            "give the file that holds the data"
        )
    if not head.startswith(found.magic):
        raise SourceError(
            f"{what}: {file.name} is not {found.driver} inside, whatever its name says; "
            "copy it again, or give it the ending of what it is"
        )
    if suffix == ".shp" and not any(file.with_suffix(s).exists() for s in (".shx", ".SHX")):
        raise SourceError(
            f"{what}: {file.with_suffix('.shx').name} is missing beside {file.name}; "
            "a shapefile is several files (.shp .shx .dbf .prj): copy all of them"
        )
    return found


@contextmanager
def unzipped_shapefile(file: Path, what: str, layer: str | None = None) -> Iterator[Path]:
    """Yield the shapefile of a zip, unpacked into a temporary folder with its side files.

    Only members with the shapefile's stem are unpacked, under their bare names, after their declared sizes were
    checked; unpacking never writes more than declared.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as err:
        raise SourceError(f"{what}: {file.name} is not a readable zip ({err}); copy it again") from err
    with archive, tempfile.TemporaryDirectory(prefix="rs_forecast_") as folder:
        check_archive(archive, file.name, what)
        shape = _one_shape(archive, file.name, what, layer)
        for member in archive.infolist():
            if _stem(member.filename) == _stem(shape) and "__MACOSX" not in member.filename:
                target = Path(folder) / f"{Path(shape).stem}{Path(member.filename).suffix.lower()}"
                try:
                    target.write_bytes(archive.read(member))
                except (zipfile.BadZipFile, RuntimeError, OSError, NotImplementedError) as err:
                    raise SourceError(f"{what}: {member.filename} in {file.name} cannot be unpacked ({err})") from err
        yield Path(folder) / f"{Path(shape).stem}.shp"


def check_archive(archive: zipfile.ZipFile, name: str, what: str, most: int = _UNPACKED_MAX) -> None:
    """Raise SourceError if the archive's declared contents are out of proportion, or above ``most`` bytes."""
    members = archive.infolist()
    size = sum(m.file_size for m in members)
    packed = max(1, sum(m.compress_size for m in members))
    bomb = size > _UNPACKED_FREE and size > _RATIO_MAX * packed
    if len(members) > _MEMBERS_MAX or size > most or bomb:
        raise SourceError(
            f"{what}: {name} declares {len(members)} files of {size / 1e6:.0f} MB in {packed / 1e6:.1f} MB packed; "
            f"allowed are {_MEMBERS_MAX} files, {most / 1e6:.0f} MB and {_RATIO_MAX} times the packed size. "
            "Unpack it yourself if you trust it"
        )


def _one_shape(archive: zipfile.ZipFile, name: str, what: str, layer: str | None) -> str:
    shapes = [m for m in archive.namelist() if m.lower().endswith(".shp") and "__MACOSX" not in m]
    wanted = [m for m in shapes if layer is None or Path(m).stem == layer]
    if len(wanted) == 1:
        return wanted[0]
    if shapes:
        raise SourceError(
            f"{what}: {name} holds {len(shapes)} shapefiles ({listing(Path(m).stem for m in shapes)}); "
            "name one of them with `layer`"
        )
    raise SourceError(
        f"{what}: {name} holds no shapefile, only {listing(archive.namelist()) or 'nothing'}; "
        "unpack it and give the file"
    )


def _stem(member: str) -> str:
    return str(Path(member).with_suffix("")).lower()


def _head(file: Path, what: str) -> bytes:
    try:
        with file.open("rb") as stream:
            head = stream.read(8192)
    except OSError as err:
        raise SourceError(f"{what}: {file} cannot be read ({err.strerror}); check its permissions") from err
    if not head:
        raise SourceError(f"{what}: {file} is empty (0 bytes); export it again")
    return head


def _near(file: Path) -> str:
    if not file.parent.is_dir():
        return f", nor does the folder {file.parent}; paths in a config are relative to the config file"
    near = difflib.get_close_matches(file.name, [other.name for other in file.parent.iterdir()], n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; its folder holds {_contents(file.parent)}"


def _contents(folder: Path) -> str:
    return listing(sorted(file.name for file in folder.iterdir())) or "nothing"
