"""Imagery from Sentinel Hub, by default Copernicus Data Space: searched first, then fetched under the parcels only.

Bands come as harmonised digital numbers, each at its own pixel size on the Sentinel-2 grid of the tile's UTM zone, so
that nothing is resampled. What is no data is told by the provider's mask, and is 0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rs_forecast.catalog.bands import BANDS, SCL
from rs_forecast.errors import SourceError
from rs_forecast.schema import day
from rs_forecast.sources._hub_images import new_band_files, read_answer
from rs_forecast.sources._hub_orders import orders_of, read_items
from rs_forecast.sources._hub_script import BANDS_OUT, MASK_OUT, evalscript, split
from rs_forecast.sources._hub_settings import Hub, client_config
from rs_forecast.sources._hub_windows import Bounds, footprints
from rs_forecast.sources.order import Order

if TYPE_CHECKING:
    from rs_forecast.sources._hub_service import Service

__all__ = ["Hub", "download", "evalscript", "plan"]

LOGGER = logging.getLogger(__name__)
_SPENT = "x-processingunits-spent"


def plan(parcels: gpd.GeoDataFrame, start: Any, end: Any, bands: Iterable[str], hub: Hub | None = None) -> list[Order]:
    """Return what the provider has of the parcels' land: one order a tile and overpass, by date.

    Parameters
    ----------
    parcels
        Polygons with a CRS.
    start, end
        First and last day (UTC), both included.
    bands
        Names of :mod:`rs_forecast.catalog.bands`; the scene classification is added.
    hub
        The service; by default Copernicus Data Space.

    Returns
    -------
    list of Order
        Empty if there is nothing. ``size`` counts bytes before their compression; ``units`` follows the provider's
        definition (https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/). ``version`` changes when a
        product is processed again, and when other land is asked for.

    Raises
    ------
    ConfigError, SourceError, BusyError
        There are no credentials or they are refused; the search is refused; the provider says later. An item that
        cannot be read is named in a :class:`DataWarning`.
    """
    hub = hub or Hub()
    chosen = tuple(dict.fromkeys([*(BANDS[name].name for name in bands), SCL]))
    client_config(hub)  # without credentials there is no need to look at the parcels
    parts = footprints(parcels)
    service = _service(hub)
    first, last = (f"{day(date):%Y-%m-%d}T{clock}Z" for date, clock in ((start, "00:00:00"), (end, "23:59:59")))
    orders = []
    for zone in sorted({part.epsg for part in parts}):
        land = {part.tile: (part, part.in_degrees()) for part in parts if part.epsg == zone}
        bounds = shapely.total_bounds([shape for _, shape in land.values()]).tolist()
        items = read_items(service.search(tuple(bounds), first, last))
        for part, shape in land.values():
            orders += orders_of(part, shape, items, chosen, hub)
    return sorted(orders, key=lambda order: (order.date, order.tile, order.scene_id))


def download(
    order: Order, folder: Path, *, hub: Hub | None = None, spent: Callable[[float], None] | None = None
) -> None:
    """Fetch ``order`` into ``folder``, as :class:`rs_forecast.sources.order.Download` says.

    Parameters
    ----------
    order
        From :func:`plan`.
    folder
        Exists, and is this call's alone.
    hub
        The service that the order was planned at. Addresses are never taken from an order: whoever could change one
        would be sent the credentials.
    spent
        Told of the processing units that each request cost, as the provider counts them.
    """
    hub = hub or Hub()
    planned = order.detail["base_url"], order.detail["collection"]
    if planned != (hub.base_url, hub.collection):
        raise SourceError(
            f"{order.scene_id}: was planned at {planned[0]} ({planned[1]}), the service is {hub.base_url} "
            f"({hub.collection}); plan again"
        )
    missing = [name for name in order.bands if not (folder / f"{BANDS[name].code}.tif").is_file()]
    service = _service(hub) if missing else None
    for size in sorted({BANDS[name].resolution for name in missing}):
        codes = [BANDS[name].code for name in missing if BANDS[name].resolution == size]
        _fetch_size(service, order, folder, codes, size, spent or (lambda _: None))


def _service(hub: Hub) -> Service:
    from rs_forecast.sources._hub_service import Service

    return Service(hub)


def _fetch_size(
    service: Any, order: Order, folder: Path, codes: Sequence[str], size: int, spent: Callable[[float], None]
) -> None:
    """Fetch all bands of one pixel size, window by window."""
    detail = order.detail
    tags = {"PROCESSING_BASELINE": order.baseline, "SCENE_ID": order.scene_id, "VERSION": order.version}
    valid = False
    with new_band_files(folder, codes, tuple(detail["bounds"]), detail["epsg"], size, tags) as files:
        for window in detail["windows"]:
            images = _masked(_fetch_window(service, order, codes, size, window, spent), codes)
            valid = valid or any(image.any() for image in images.values())
            files.write(tuple(window), images)
        if not valid:
            raise SourceError(
                f"{order.scene_id}: is in the catalogue, but the service has no pixel of it in the parcels' windows; "
                "it was withdrawn, or the parcels lie beyond the swath"
            )


def _masked(found: Mapping[str, NDArray[Any]], codes: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return each band with 0 where the mask says so, and only there: a valid number that was cut to 0 becomes 1."""
    reflectance, classes = split(codes)
    seen = found[MASK_OUT][-1] > 0
    images = {code: found[MASK_OUT][n] * seen for n, code in enumerate(classes[:-1])}
    for n, code in enumerate(reflectance):
        images[code] = np.where(seen, np.maximum(found[BANDS_OUT][n], 1), 0).astype(np.uint16)
    return images


def _fetch_window(
    service: Any, order: Order, codes: Sequence[str], size: int, window: Bounds, spent: Callable[[float], None]
) -> dict[str, NDArray[Any]]:
    """Return the outputs for one window; what comes damaged is asked for again."""
    hub, what = service.hub, f"{order.scene_id} ({', '.join(codes)})"
    reflectance, classes = split(codes)
    outputs = {BANDS_OUT: (len(reflectance), "uint16")} if reflectance else {}
    outputs |= {MASK_OUT: (len(classes), "uint8")}
    request = _request(service, order, codes, size, window, list(outputs))
    for attempt in range(hub.attempts):
        answer = service.fetch(request, what)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        _count(headers.get(_SPENT), spent)
        try:
            return read_answer(
                answer.content, headers.get("content-type", ""), outputs, window, order.detail["epsg"], size
            )
        except SourceError as err:
            damage = err
            LOGGER.info("%s: try %d of %d failed: %s", what, attempt + 1, hub.attempts, err)
        if attempt + 1 < hub.attempts:
            time.sleep(hub.retry_seconds * 3**attempt)
    raise SourceError(f"{what}: {damage}, {hub.attempts} times; check the proxy, or fetch it again later")


def _request(
    service: Any, order: Order, codes: Sequence[str], size: int, window: Bounds, outputs: Sequence[str]
) -> Any:
    from sentinelhub.api.process import SentinelHubRequest
    from sentinelhub.constants import CRS, MimeType, ResamplingType
    from sentinelhub.geometry import BBox

    left, bottom, right, top = window
    data = SentinelHubRequest.input_data(
        service.collection,
        time_interval=tuple(order.detail["time"]),
        upsampling=ResamplingType.NEAREST,
        downsampling=ResamplingType.NEAREST,
        other_args={"processing": {"harmonizeValues": True}},
    )
    return SentinelHubRequest(
        evalscript=evalscript(codes),
        input_data=[data],
        responses=[SentinelHubRequest.output_response(name, MimeType.TIFF) for name in outputs],
        bbox=BBox((left, bottom, right, top), CRS(str(order.detail["epsg"]))),
        size=((right - left) // size, (top - bottom) // size),
        config=service.config,
    )


def _count(said: str | None, spent: Callable[[float], None]) -> None:
    try:
        spent(float(said)) if said else None
    except ValueError:
        LOGGER.info("the service names its cost as %r", said)
