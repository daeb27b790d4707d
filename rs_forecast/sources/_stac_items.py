"""STAC items of Sentinel-2 Level-2A as the providers write them: which band is which asset, and what its numbers mean.

Reflectance is ``DN * scale + offset`` with the item's own scale and offset. An item that has none, or contradicts
itself, is refused: archives were processed again, so the date does not tell.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rs_forecast.catalog.bands import BAND_OF_CODE, BANDS, SCL
from rs_forecast.errors import SchemaError, SourceError, listing
from rs_forecast.schema import day
from rs_forecast.sources._overpass import strip_of
from rs_forecast.sources._scales import Scale, asset_scale
from rs_forecast.sources._stac_cells import Frame

_ID = re.compile(r"(S2[A-D])_MSIL2A_(\d{8})T\d{6}(?:_N\d{4})?_R(\d{3})_T(\d{2}[C-X][A-Z]{2})_(\d{8}T\d{6})")
_TILE = re.compile(r"\d{2}[C-X][A-Z]{2}")
_SEQUENCE = re.compile(r"S2[A-D]_\w{5}_\d{8}_(\d+)_L2A")
_SIZE = re.compile(r"[_-](\d{2})m$")
_NAMES = {
    **{code.lower(): name for code, name in BAND_OF_CODE.items()},
    **{name: name for name in BANDS},
    "rededge1": "red_edge1", "rededge2": "red_edge2", "rededge3": "red_edge3", "rededge071": "red_edge1",
    "rededge075": "red_edge2", "rededge078": "red_edge3", "nir08": "nir_narrow", "swir16": "swir1", "swir22": "swir2",
}  # fmt: skip
"""Asset keys, band names and common names. ``rededge`` alone is three bands, and says nothing."""
_DRIVERS = {"image/tiff": "GTiff", "image/jp2": "JP2OpenJPEG"}
_ENDINGS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}
DRIVERS = tuple(_DRIVERS.values())
"""What GDAL may open an image as."""
_NOT_DATA = {"overview", "thumbnail", "visual", "metadata"}
_OFFSET_FROM = "04.00"
"""Processing baseline from which ESA adds 1000 to all digital numbers."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One band of an item."""

    href: str
    driver: str
    scale: float
    offset: float
    size: int
    """Bytes of the file; estimated where the item does not say."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An item, read."""

    item_id: str
    scene_id: str
    tile: str
    date: pd.Timestamp
    baseline: str
    strip: str
    """What tells it from other parts of its overpass, see :class:`rs_forecast.sources._overpass.Product`."""
    made: str
    """When it was processed; of two processings the one with the greater (baseline, made) counts."""
    version: str
    images: Mapping[str, Image]
    frame: Frame | None
    """None where the item does not tell its grid."""


def read_item(item: Mapping[str, Any], bands: Sequence[str], *, offset_from_baseline: bool = False) -> Found:
    """Read an item.

    Parameters
    ----------
    item
        As in the catalogue, with absolute hrefs.
    bands
        Names of the bands that are wanted.
    offset_from_baseline
        For a provider that passes ESA's numbers on unchanged and does not say what they mean: they mean what the
        item's processing baseline makes them mean.

    Raises
    ------
    SourceError
        A band, or scale and offset of one, is missing; or the item contradicts itself.
    """
    try:
        return _read(item, bands, offset_from_baseline=offset_from_baseline)
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        raise SourceError(f"is not a STAC item as it should be ({type(err).__name__}: {err})") from err


def _read(item: Mapping[str, Any], bands: Sequence[str], *, offset_from_baseline: bool) -> Found:
    facts = item["properties"]
    named = next(filter(None, (_ID.search(str(text)) for text in (facts.get("s2:product_uri"), item["id"]))), None)
    baseline = _baseline(facts)
    assets = _assets(item["assets"])
    missing = [band for band in bands if band not in assets]
    if missing:
        raise SourceError(
            f"has no asset for {listing(missing)} (it has {listing(sorted(assets)) or 'none that we know'})"
        )
    said = {band: _scale(assets[band], baseline if offset_from_baseline else "") for band in bands if band != SCL}
    unsaid = [band for band, scale in said.items() if scale is None]
    if unsaid:
        raise SourceError(
            f"tells no scale and offset for {listing(unsaid)}, so reflectance would be a guess. Use a collection that "
            "does, such as sentinel-2-c1-l2a of Earth Search"
        )
    scales: dict[str, Scale] = {band: scale for band, scale in said.items() if scale is not None}
    _check_flag(facts, baseline, scales)
    made = str(facts.get("s2:generation_time") or facts.get("processing:datetime") or (named[5] if named else ""))
    date = day(f"{named[2][:4]}-{named[2][4:6]}-{named[2][6:]}") if named else _date(facts)
    tile, scene_id = _identity(item["id"], facts, date, named)
    return Found(
        item_id=str(item["id"]),
        scene_id=scene_id,
        tile=tile,
        date=date,
        baseline=baseline,
        strip=_strip(item["id"], facts),
        made=_stamp(made or facts.get("updated") or ""),
        version=_version(facts, baseline, made, [assets[band] for band in bands]),
        images={band: _image(assets[band], scales.get(band, (1.0, 0.0)), band) for band in bands},
        frame=_frame(facts, [assets[band] for band in bands]),
    )


def _baseline(facts: Mapping[str, Any]) -> str:
    text = str(facts.get("s2:processing_baseline") or facts.get("processing:version") or "")
    digits = re.fullmatch(r"N?(\d{2})\.?(\d{2})", text)
    return f"{digits[1]}.{digits[2]}" if digits else ""


def _assets(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the asset of each band: the finest of several, rather a GeoTIFF than JPEG 2000."""
    found: dict[str, tuple[tuple[bool, int, str], Mapping[str, Any]]] = {}
    for key, asset in assets.items():
        band = _band(key, asset)
        if band is not None:
            size = _SIZE.search(key)
            rank = (_driver(asset) != "GTiff", int(size[1]) if size else 0, key)
            if band not in found or rank < found[band][0]:
                found[band] = rank, asset
    return {band: asset for band, (_, asset) in found.items()}


def _band(key: str, asset: Mapping[str, Any]) -> str | None:
    if _NOT_DATA & set(asset.get("roles") or ()):
        return None
    listed = asset.get("eo:bands") or asset.get("bands") or []
    if len(listed) > 1:
        return None
    plain = _SIZE.sub("", key.lower()).removesuffix("-jp2").removesuffix("-jp2k")
    said = listed[0] if listed else {}
    # keys come first: common names are shared among the bands of the red edge, and of the near infrared
    for text in (plain, said.get("name"), said.get("common_name"), said.get("eo:common_name")):
        band = _NAMES.get(str(text).lower())
        if band is not None:
            return band
    return None


def _driver(asset: Mapping[str, Any]) -> str | None:
    kind = str(asset.get("type") or "").partition(";")[0].strip().lower()
    path = str(asset["href"]).partition("?")[0].lower()
    ending = next((driver for end, driver in _ENDINGS.items() if path.endswith(end)), None)
    if path.endswith(".vrt") or "\n" in path or "<" in path:
        return None
    return _DRIVERS.get(kind) if kind else ending


def _scale(asset: Mapping[str, Any], baseline: str) -> Scale | None:
    said = asset_scale(asset)
    if said is None and baseline:
        return 1e-4, -0.1 if baseline >= _OFFSET_FROM else 0.0
    if said is not None and not (math.isfinite(said[1]) and 0 < said[0] < 1):
        raise SourceError(f"tells scale {said[0]:g} and offset {said[1]:g}, which cannot be of whole numbers")
    return said


def _check_flag(facts: Mapping[str, Any], baseline: str, scales: Mapping[str, Scale]) -> None:
    """Refuse an item of Earth Search whose flag and offsets say different things."""
    applied = facts.get("earthsearch:boa_offset_applied")
    if applied is None or not baseline:
        return
    due = -0.1 if baseline >= _OFFSET_FROM and not applied else 0.0
    wrong = {band: offset for band, (_, offset) in scales.items() if abs(offset - due) > 1e-6}
    if wrong:
        band, offset = next(iter(wrong.items()))
        raise SourceError(
            f"contradicts itself: boa_offset_applied is {applied} at processing baseline {baseline}, so the offset "
            f"is {due:g}, and {band} has {offset:g}. Use the collection sentinel-2-c1-l2a, which has it right"
        )


def _image(asset: Mapping[str, Any], scale: Scale, band: str) -> Image:
    driver = _driver(asset)
    if driver is None:
        raise SourceError(
            f"has {band} as {asset.get('type') or asset['href']}; allowed are GeoTIFF and JPEG 2000, no file that "
            "points at others"
        )
    size = asset.get("file:size")
    rows, cols = asset.get("proj:shape") or (109_800 // BANDS[band].resolution,) * 2
    # a pixel of 16 bits takes some 1.6 bytes when packed
    guess = int(rows) * int(cols) * (0.1 if band == SCL else 1.6)
    return Image(href=str(asset["href"]), driver=driver, scale=scale[0], offset=scale[1], size=int(size or guess))


def _date(facts: Mapping[str, Any]) -> pd.Timestamp:
    try:
        return day(str(facts.get("datetime") or facts.get("start_datetime"))[:10])
    except SchemaError as err:
        raise SourceError(f"tells no day ({err})") from err


def _identity(
    item_id: str, facts: Mapping[str, Any], date: pd.Timestamp, named: re.Match[str] | None
) -> tuple[str, str]:
    """Return tile and scene id: the same for each processing of an overpass over a tile."""
    if named:
        return named[4], f"{named[1]}_L2A_{date:%Y%m%d}_R{named[3]}_{named[4]}"
    told = str(facts.get("grid:code") or facts.get("s2:mgrs_tile") or "").removeprefix("MGRS-")
    parts = [str(facts.get(f"mgrs:{part}", "")) for part in ("utm_zone", "latitude_band", "grid_square")]
    tile = next((m[0] for m in map(_TILE.fullmatch, (told, f"{parts[0]:0>2}{parts[1]}{parts[2]}")) if m), "")
    craft = re.fullmatch(r"sentinel-2([a-d])", str(facts.get("platform", "")).lower())
    orbit = facts.get("sat:relative_orbit")
    if tile and craft and orbit is not None:
        return tile, f"S2{craft[1].upper()}_L2A_{date:%Y%m%d}_R{int(orbit):03d}_{tile}"
    return tile or "local", re.sub(r"[^A-Za-z0-9_.-]", "_", str(item_id))


def _strip(item_id: object, facts: Mapping[str, Any]) -> str:
    """Return when the sensing of the item's piece began; else Earth Search's number of the item on its day."""
    told = strip_of(facts.get("s2:datastrip_id") or facts.get("eopf:datastrip_id"))
    numbered = _SEQUENCE.fullmatch(str(item_id))
    return told or (numbered[1] if numbered else "")


def _version(facts: Mapping[str, Any], baseline: str, made: str, assets: Sequence[Mapping[str, Any]]) -> str:
    """Return a stamp of the processing. ``updated`` moves with every touch of the item: it comes last."""
    sums = [str(asset.get("file:checksum") or "") for asset in assets]
    if all(sums):
        stamp = hashlib.sha256(" ".join(sums).encode()).hexdigest()[:12]
    else:
        stamp = _stamp(made or facts.get("updated") or facts.get("created") or "")
    return "-".join(filter(None, (baseline, stamp))) or "1"


def _stamp(text: object) -> str:
    """Return a time without its signs, which catalogues set in different ways, to the second."""
    return re.sub(r"[^0-9T]", "", str(text).partition(".")[0])[:15]


def _frame(facts: Mapping[str, Any], assets: Sequence[Mapping[str, Any]]) -> Frame | None:
    for place in _places(facts, assets):
        code = str(place.get("proj:code") or f"EPSG:{place.get('proj:epsg')}").removeprefix("EPSG:")
        a, shape = place.get("proj:transform"), place.get("proj:shape")
        if code.isdigit() and a and shape and 1 <= a[0] <= 1000:
            rows, cols = (min(int(n), 40_000) * float(a[0]) for n in shape)
            return Frame(epsg=int(code), west=float(a[2]), north=float(a[5]), wide=cols, high=rows)
    return None


def _places(facts: Mapping[str, Any], assets: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from ({**facts, **asset} for asset in assets)
