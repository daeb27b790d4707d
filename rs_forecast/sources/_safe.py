"""Sentinel-2 Level-2A products as ESA ships them: SAFE folders, or zips of them, read in place.

Scale and offset come from ``MTD_MSIL2A.xml``: ``(DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE``, where products
before processing baseline 04.00 have no offset. The date says nothing of it: archives were processed again.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import shapely

from rs_forecast.catalog.bands import BAND_OF_CODE, SCL
from rs_forecast.errors import DataWarning, SchemaError, SourceError, listing
from rs_forecast.schema import day
from rs_forecast.sources._headers import read_header
from rs_forecast.sources._overpass import Product as Found
from rs_forecast.sources._overpass import part_id, parts_of, strip_of
from rs_forecast.sources._paths import check_archive
from rs_forecast.sources._scales import Scale
from rs_forecast.sources.scene import BandFile, Scene, check_bands

METADATA = "MTD_MSIL2A.xml"
_MOST_METADATA = 20_000_000
_MOST_UNPACKED = 8 * 1024**3
"""Bytes that a zipped product may declare; a real one has one to two thousand million."""
_IMAGE = re.compile(r"_([A-Z0-9]{3})_(10|20|60)m\.jp2$")
_NAME = re.compile(r"S2[A-D]_MSIL2A_(\d{8})T\d{6}_N\d{4}_R(\d{3})_T(\d{2}[C-X][A-Z]{2})_\w+")
_BAND_OF_ID = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""ESA's band numbers in the offsets' list, for products whose metadata do not spell them out."""


@dataclass(frozen=True)
class Product:
    """A SAFE product: the folder, or the zip and the folder in it."""

    file: Path
    root: str = ""

    @property
    def name(self) -> str:
        """Name of the product, without ``.SAFE``."""
        return (PurePosixPath(self.root).name or self.file.name).removesuffix(".SAFE")

    def members(self) -> list[str]:
        """Return the product's files, relative to it.

        Raises
        ------
        SourceError
            The zip declares more than a product can hold.
        """
        if not self.root:
            return sorted(str(f.relative_to(self.file).as_posix()) for f in self.file.rglob("*") if f.is_file())
        with zipfile.ZipFile(self.file) as archive:
            check_archive(archive, self.file.name, "imagery", most=_MOST_UNPACKED)
            names = archive.namelist()
        return sorted(name.removeprefix(f"{self.root}/") for name in names if name.startswith(f"{self.root}/"))

    def href(self, member: str) -> str:
        """Return how GDAL opens a file of the product."""
        return f"/vsizip/{self.file.resolve()}/{self.root}/{member}" if self.root else str(self.file / member)

    def read(self, member: str) -> bytes:
        """Return a small file of the product."""
        if not self.root:
            with (self.file / member).open("rb") as stream:
                return stream.read(_MOST_METADATA)
        with zipfile.ZipFile(self.file) as archive, archive.open(f"{self.root}/{member}") as stream:
            return stream.read(_MOST_METADATA)


@dataclass(frozen=True, kw_only=True)
class _About:
    """What the metadata say."""

    baseline: str
    made: str
    date: pd.Timestamp
    strip: str
    outline: shapely.Polygon | None
    scales: Mapping[str, Scale]
    """By band code; of bands without an entry the scale is not told."""


def find_products(folders: Iterable[Path], zips: Iterable[Path]) -> Iterator[Product]:
    """Yield the products among folders that hold ``MTD_MSIL2A.xml``, and zips that hold such a folder."""
    for folder in folders:
        yield Product(folder)
    for file in zips:
        try:
            with zipfile.ZipFile(file) as archive:
                roots = [n.rpartition("/")[0] for n in archive.namelist() if n.rpartition("/")[2] == METADATA]
        except (zipfile.BadZipFile, OSError) as err:
            warnings.warn(DataWarning(f"{file}: not a readable zip ({err}); copy it again"), stacklevel=4)
            continue
        for root in roots:
            if {"", ".", ".."} & set(root.split("/")):
                message = (
                    f"{file}: left out, the product in it is not in a folder of its own; unpack it into <name>.SAFE"
                )
                warnings.warn(DataWarning(message), stacklevel=4)
            else:
                yield Product(file, root)


def read_products(products: Iterable[Product], latency: pd.Timedelta) -> Iterator[Scene]:
    """Yield a scene for each overpass, or each part of one; of what was processed more than once, the newest.

    A product that cannot be used is named in a :class:`DataWarning` and left out.
    """
    found: dict[str, list[Found[tuple[Product, Scene]]]] = {}
    for product in products:
        try:
            about = _about(product)
            scene = _scene(product, about, latency)
        except (SourceError, OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as err:
            warnings.warn(DataWarning(f"scene {product.name}: left out. {err}"), stacklevel=4)
            continue
        age = (about.baseline, about.made)
        item = Found(age=age, strip=about.strip, outline=about.outline, what=(product, scene))
        found.setdefault(scene.scene_id, []).append(item)
    for scene_id, items in found.items():
        parts, passed = parts_of(items)
        for older in passed:
            name = older.what[0].name
            message = f"scene {name}: passed over, its overpass is there twice, as new or newer: {scene_id}"
            warnings.warn(DataWarning(message), stacklevel=4)
        for number, part in enumerate(parts):
            yield replace(part.what[1], scene_id=part_id(scene_id, number))


def _scene(product: Product, about: _About, latency: pd.Timedelta) -> Scene:
    named = _NAME.fullmatch(product.name)
    members = product.members()
    granules = sorted({member.split("/")[1] for member in members if member.startswith("GRANULE/")})
    if len(granules) > 1:
        raise SourceError(f"{product.file}: holds {len(granules)} granules ({listing(granules)}); one is due, split it")
    files = _images(members)
    if not files:
        raise SourceError(f"{product.file}: holds no image of a band; the product is incomplete, fetch it again")
    tile = named[3] if named else _tile_of(files)
    bands = {band: _band_file(product, member, band, about) for band, member in sorted(files.items())}
    check_bands(bands)
    scene_id = f"{product.name[:3]}_L2A_{about.date:%Y%m%d}_R{named[2]}_{tile}" if named else product.name
    return Scene(
        scene_id=scene_id,
        tile=tile,
        date=about.date,
        known_at=about.date + latency,
        known_at_basis="assumed",
        provider="local",
        bands=bands,
        baseline=about.baseline,
    )


def _images(members: Iterable[str]) -> dict[str, str]:
    """Return the image of each band of the catalogue, in its finest resolution."""
    found: dict[str, tuple[int, str]] = {}
    for member in members:
        match = _IMAGE.search(member)
        if match and match[1] in BAND_OF_CODE and "/IMG_DATA/" in f"/{member}":
            band, item = BAND_OF_CODE[match[1]], (int(match[2]), member)
            found[band] = min(found.get(band, item), item)
    return {band: member for band, (_, member) in found.items()}


def _tile_of(files: Mapping[str, str]) -> str:
    found = re.search(r"_?T?(\d{2}[C-X][A-Z]{2})_", PurePosixPath(next(iter(files.values()))).name)
    return found[1] if found else "local"


def _band_file(product: Product, member: str, band: str, about: _About) -> BandFile:
    href = product.href(member)
    header = read_header(href, "JP2OpenJPEG")
    if band == SCL:
        scale: Scale = (1.0, 0.0)
    else:
        code = next(code for code, name in BAND_OF_CODE.items() if name == band)
        if code not in about.scales:
            raise SourceError(f"{product.name}: {METADATA} tells no offset for {code}, though it does for others")
        scale = about.scales[code]
    return BandFile(href=href, driver="JP2OpenJPEG", geobox=header.geobox, scale=scale[0], offset=scale[1], nodata=0.0)


def _about(product: Product) -> _About:
    try:
        root = _parsed(product.read(METADATA))
    except (OSError, KeyError, ValueError, ET.ParseError) as err:
        raise SourceError(f"{product.name}: {METADATA} cannot be read ({err}); fetch the product again") from err
    texts = {name: _text(root, name) for name in ("PROCESSING_BASELINE", "GENERATION_TIME", "PRODUCT_START_TIME")}
    try:
        date = day(texts["PRODUCT_START_TIME"][:10])
    except SchemaError as err:
        raise SourceError(f"{product.name}: {METADATA} tells no day of the overpass ({err})") from err
    granule = next(iter(root.iter("Granule")), None)
    return _About(
        baseline=texts["PROCESSING_BASELINE"],
        made=texts["GENERATION_TIME"],
        date=date,
        strip="" if granule is None else strip_of(granule.get("datastripIdentifier")),
        outline=_outline(root),
        scales=_scales(product, root),
    )


def _parsed(raw: bytes) -> ET.Element:
    text = raw.decode("utf-8-sig")
    if len(raw) >= _MOST_METADATA or "<!DOCTYPE" in text:
        raise ValueError("it is too long, or declares a document type, which no product does")
    return ET.fromstring(text)  # noqa: S314 - without a document type nothing can be expanded


def _scales(product: Product, root: ET.Element) -> dict[str, Scale]:
    try:
        quantification = float(_text(root, "BOA_QUANTIFICATION_VALUE"))
        offsets = {item.get("band_id", ""): float(item.text or "") for item in root.iter("BOA_ADD_OFFSET")}
    except ValueError as err:
        raise SourceError(f"{product.name}: {METADATA} holds a scale or offset that is no number ({err})") from err
    if not quantification > 0:
        raise SourceError(f"{product.name}: {METADATA} tells BOA_QUANTIFICATION_VALUE {quantification}; above 0 is due")
    codes = {item.get("bandId", ""): _code(item.get("physicalBand", "")) for item in root.iter("Spectral_Information")}
    codes = codes or {str(number): code for number, code in enumerate(_BAND_OF_ID)}
    if not offsets:
        return dict.fromkeys(codes.values(), (1 / quantification, 0.0))
    return {codes[n]: (1 / quantification, offset / quantification) for n, offset in offsets.items() if n in codes}


def _code(physical: str) -> str:
    """Return ``B04`` for ESA's ``B4``."""
    return f"B0{physical[1:]}" if re.fullmatch(r"B\d", physical) else physical


def _outline(root: ET.Element) -> shapely.Polygon | None:
    """Return where the product has pixels, in degrees; None where the metadata do not tell, or no outline."""
    text = next((item.text or "" for item in root.iter("EXT_POS_LIST")), "")
    try:
        corners = np.array(text.split(), float).reshape(-1, 2)[:, ::-1]  # written as latitude, longitude
        outline = shapely.make_valid(shapely.Polygon(corners))
    except (ValueError, shapely.errors.ShapelyError):
        return None
    return outline if outline.area > 0 else None


def _text(root: ET.Element, name: str) -> str:
    """Return the text of the first element of a name, wherever it stands: its place moved between baselines."""
    element = next(root.iter(name), None)
    if element is None or not (element.text or "").strip():
        known = listing(sorted({item.tag.rpartition("}")[2] for item in root})[:5])
        raise SourceError(f"{METADATA} has no {name} (it holds {known}); fetch the product again")
    return (element.text or "").strip()
