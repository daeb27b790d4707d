"""Sentinel-2 Level-2A from STAC catalogues: Earth Search, Planetary Computer, Copernicus Data Space, static ones.

:func:`plan` asks a catalogue which scenes there are; :func:`download` copies of each only the blocks under parcels.
Nothing here trusts a catalogue: an address it gives must be public, a file it names must be the kind that it says, and
an item that does not tell what its numbers mean is left out and named.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import geopandas as gpd
import requests
import shapely

from rs_forecast.catalog.bands import BANDS
from rs_forecast.errors import ConfigError, DataWarning, NoDataError, SourceError, listing, suggest
from rs_forecast.schema import day
from rs_forecast.sources._overpass import Product, part_id, parts_of
from rs_forecast.sources._stac_cells import SIDE, Cells, Frame, find_cells, read_cells, search_area
from rs_forecast.sources._stac_http import Patience, Remote, Signer, check_address, new_session, shown
from rs_forecast.sources._stac_items import DRIVERS, Found, Image, read_item
from rs_forecast.sources._stac_read import FOOTPRINT, Meaning, copy_local, copy_remote, is_copied
from rs_forecast.sources._stac_search import geometry_of, local_file, search
from rs_forecast.sources._stac_sign import planetary_computer_signer, s3_signer
from rs_forecast.sources.order import Order
from rs_forecast.workspace import sha256_text

__all__ = ["CDSE", "EARTH_SEARCH", "PLANETARY_COMPUTER", "Catalogue", "download", "find_catalogue", "plan"]

_PATIENCE = Patience()
_BLOCK_CELLS = 4
"""Cells along a block of 1024 pixels of 10 m, or 512 of 20 m: what one order of blocks costs, for the estimate."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A STAC catalogue, and what must be known of it beyond its items."""

    url: str = "https://earth-search.aws.element84.com/v1"
    """Address of an API or of a static catalogue, or the path of the latter's ``catalog.json``."""
    collection: str = "sentinel-2-c1-l2a"
    name: str = "earth-search"
    """Name of the provider in orders."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may have private addresses."""
    signing: str = ""
    """``planetary-computer``, ``s3``, or nothing."""
    s3_endpoint: str = ""
    """Where ``s3://`` addresses are read."""
    offset_from_baseline: bool = False
    """Whether the numbers are ESA's own, with the offset of their processing baseline, and items do not say so."""
    patience: Patience = _PATIENCE


EARTH_SEARCH = Catalogue()
PLANETARY_COMPUTER = Catalogue(
    url="https://planetarycomputer.microsoft.com/api/stac/v1",
    collection="sentinel-2-l2a",
    name="planetary-computer",
    signing="planetary-computer",
    offset_from_baseline=True,
)
CDSE = Catalogue(
    url="https://stac.dataspace.copernicus.eu/v1",
    collection="sentinel-2-l2a",
    name="cdse",
    signing="s3",
    s3_endpoint="https://eodata.dataspace.copernicus.eu",
)
_PRESETS = {catalogue.name: catalogue for catalogue in (EARTH_SEARCH, PLANETARY_COMPUTER, CDSE)}


def find_catalogue(url: str = "", collection: str = "", allow_hosts: Iterable[str] = ()) -> Catalogue:
    """Return the catalogue at ``url``: a preset's name or address, or any other; Earth Search by default."""
    host = urlsplit(url).netloc
    known = next((c for c in _PRESETS.values() if not url or url == c.name or host == urlsplit(c.url).netloc), None)
    if known is None and "://" not in url and not url.endswith(".json"):
        raise ConfigError(
            f"[imagery] url: found {url!r}, allowed are {listing(_PRESETS)}, an address, or the path of a catalog.json"
            f"{suggest(url, _PRESETS)}"
        )
    if known is None:
        if not collection and not url.endswith(".json"):
            raise ConfigError(
                f"[imagery] url: {url} has many collections; name one with collection, such as sentinel-2-l2a"
            )
        known = Catalogue(url=url, collection=collection, name="stac")
    given = known.url if url in {"", known.name} else url
    return replace(known, url=given, collection=collection or known.collection, allow_hosts=tuple(allow_hosts))


def plan(
    parcels: gpd.GeoDataFrame,
    start: object,
    end: object,
    bands: Sequence[str],
    catalogue: Catalogue = EARTH_SEARCH,
) -> list[Order]:
    """Return what the catalogue has over ``parcels`` from ``start`` to ``end``, both included, by date and tile.

    Of several processings of one overpass over a tile the newest counts; parts of one are a scene each. An item that
    cannot be used is left out and named in a :class:`~rs_forecast.errors.DataWarning`.

    Parameters
    ----------
    parcels
        Polygons with a CRS.
    bands
        Names of :mod:`rs_forecast.catalog.bands`.

    Raises
    ------
    ConfigError
        A band is unknown, the catalogue's address is refused, or ``rs-forecast[stac]`` is not installed.
    NoDataError
        There are no parcels.
    BusyError, SourceError
        The catalogue says later, or cannot be read.
    """
    unknown = [band for band in bands if band not in BANDS]
    if unknown or not bands:
        raise ConfigError(f"bands: found {listing(unknown) or 'none'}, allowed are {listing(BANDS, 20)}")
    if parcels.empty:
        raise NoDataError("there is no parcel to look for imagery over")
    ground = _Ground(parcels.geometry)
    items = search(
        catalogue.url, catalogue.collection, search_area(parcels.geometry), (day(start), day(end)),
        allow_hosts=catalogue.allow_hosts, patience=catalogue.patience,
    )  # fmt: skip
    overpasses: dict[str, list[Product[tuple[Found, Cells | None]]]] = {}
    for item in items:
        try:
            found = read_item(item, bands, offset_from_baseline=catalogue.offset_from_baseline)
            what = (found, ground.cells(item, found))
        except SourceError as err:
            _tell_left_out(item.get("id"), err)
            continue
        age = (found.baseline, found.made, found.item_id)
        product = Product(age=age, strip=found.strip, outline=geometry_of(item), what=what)
        overpasses.setdefault(found.scene_id, []).append(product)
    orders = []
    for scene_id, products in overpasses.items():
        for number, part in enumerate(parts_of(products)[0]):
            found, cells = part.what
            if cells is None:
                continue
            try:
                order = _order(found, cells, bands, catalogue)
            except SourceError as err:
                _tell_left_out(found.item_id, err)
                continue
            orders.append(replace(order, scene_id=part_id(scene_id, number)))
    return sorted(orders, key=lambda o: (o.date, o.tile, o.scene_id))


def _tell_left_out(name: object, err: SourceError) -> None:
    warnings.warn(DataWarning(f"scene {name}: left out. It {err}"), stacklevel=3)


def download(order: Order, folder: Path, catalogue: Catalogue = EARTH_SEARCH) -> None:
    """Fetch one scene, see :class:`rs_forecast.sources.order.Download`: the blocks under parcels, nothing for the rest.

    An order may have been kept since, or come from elsewhere: its addresses are judged again.
    """
    try:
        cells = read_cells(order.detail["cells"])
        images = {band: Image(**order.detail["images"][band]) for band in order.bands}
    except (LookupError, TypeError, ValueError) as err:
        raise SourceError(f"scene {order.scene_id}: the order cannot be read ({err}); plan again") from err
    wrong = [image.driver for image in images.values() if image.driver not in DRIVERS]
    if wrong:
        raise SourceError(f"scene {order.scene_id}: is to be opened as {wrong[0]}, allowed are {listing(DRIVERS)}")
    footprint = _footprint(order.detail["cells"])
    with new_session(catalogue.allow_hosts, catalogue.patience) as session:
        sign = _signer(catalogue, session)
        for band, image in images.items():
            code, name = BANDS[band].code, f"scene {order.scene_id}, {BANDS[band].code}"
            target = folder / f"{code}.tif"
            if is_copied(target, footprint):
                continue
            meaning = Meaning(
                scale=image.scale,
                offset=image.offset,
                tags={"PROCESSING_BASELINE": order.baseline, FOOTPRINT: footprint, "SCENE": order.scene_id},
            )
            try:
                place = _place(image.href, catalogue)
            except SourceError as err:
                raise SourceError(f"{name}: {err}") from err
            if isinstance(place, Path):
                copy_local(place, image.driver, target, cells, meaning, name=name)
            else:
                remote = Remote(place, session, catalogue.patience, sign, name)
                copy_remote(remote, image.driver, target, cells, meaning)


class _Ground:
    """Parcels as seen from scenes, each view computed once."""

    def __init__(self, parcels: gpd.GeoSeries) -> None:
        self.parcels = parcels
        self.tree = shapely.STRtree(parcels.to_crs(4326).to_numpy())
        self.known: dict[Frame, Cells] = {}

    def cells(self, item: Mapping[str, Any], found: Found) -> Cells | None:
        """Return where parcels lie in an item; None where none does."""
        outline = geometry_of(item)
        if outline is not None and not len(self.tree.query(outline, predicate="intersects")):
            return None
        frame = found.frame or self._own_frame()
        if frame not in self.known:
            self.known[frame] = find_cells(self.parcels, frame)
        cells = self.known[frame]
        return cells if cells.touched.any() else None

    def _own_frame(self) -> Frame:
        """Return a frame around the parcels, for an item that does not tell its grid: good in the parcels' zone."""
        crs = self.parcels.estimate_utm_crs()
        left, bottom, right, top = self.parcels.to_crs(crs).total_bounds
        return Frame(epsg=crs.to_epsg(), west=left - SIDE, north=top + SIDE, wide=right - left + 2 * SIDE,
                     high=top - bottom + 2 * SIDE)  # fmt: skip


def _order(found: Found, cells: Cells, bands: Sequence[str], catalogue: Catalogue) -> Order:
    images = {band: _placed(image, catalogue) for band, image in found.images.items()}
    share = _share(cells)
    sizes = (image.size * (share if image.driver == "GTiff" else 1.0) for image in images.values())
    return Order(
        scene_id=found.scene_id,
        tile=found.tile,
        date=found.date,
        provider=catalogue.name,
        version=found.version,
        baseline=found.baseline,
        bands=tuple(bands),
        size=round(sum(sizes)),
        detail={
            "item": found.item_id,
            "images": {band: vars(image) for band, image in images.items()},
            "cells": cells.plain(),
            "footprint": _footprint(cells.plain()),
        },
    )


def _share(cells: Cells) -> float:
    """Return the share of a scene that lies in blocks which are to be read."""
    n = _BLOCK_CELLS
    rows, cols = cells.touched.shape
    blocks = [cells.touched[r : r + n, c : c + n].any() for r in range(0, rows, n) for c in range(0, cols, n)]
    return sum(map(bool, blocks)) / len(blocks)


def _footprint(cells: Mapping[str, Any]) -> str:
    return sha256_text(json.dumps(cells, sort_keys=True))[:16]


def _placed(image: Image, catalogue: Catalogue) -> Image:
    """Return the image with an address that can be read, and holds no credential."""
    href = image.href
    parts = urlsplit(href)
    if parts.scheme == "s3" and catalogue.s3_endpoint:
        href = f"{catalogue.s3_endpoint}/{parts.netloc}{parts.path}"
    elif parts.query and catalogue.signing:
        href = href.partition("?")[0]
    elif parts.query and any(word in parts.query.lower() for word in ("sig=", "signature=", "token=", "key=")):
        raise SourceError(f"has a signed address, {shown(href)}?...; signatures run out, save items unsigned")
    _place(href, catalogue)
    return replace(image, href=href)


def _place(href: str, catalogue: Catalogue) -> Path | str:
    """Return where an image is: a file of the local catalogue's folder, or an address; SourceError if refused."""
    if "://" not in catalogue.url and urlsplit(href).scheme not in {"http", "https"}:
        return local_file(href, Path(catalogue.url).resolve().parent)
    check_address(href, catalogue.allow_hosts)
    return href


def _signer(catalogue: Catalogue, session: requests.Session) -> Signer | None:
    if catalogue.signing == "planetary-computer":
        return planetary_computer_signer(session, catalogue.patience.timeout)
    return s3_signer(catalogue.s3_endpoint) if catalogue.signing == "s3" else None
