"""A STAC API and a server of files with ranges, on loopback, that misbehave when told to.

Its images show the SYNTHETIC ground of :mod:`ground_truth` as Cloud Optimized GeoTIFFs or JPEG 2000.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from ground_truth import centres, ground, size_of
from pyproj import Transformer
from rasterio.io import MemoryFile
from tls import SecureServer

EPSG = 32648
WEST, NORTH = 499_980.0, 1_200_000.0
SIDE = 15_360
"""Side of a scene [m]: 6 by 6 cells, 1536 pixels of 10 m."""
KEYS = {"B02": "blue", "B04": "red", "B05": "rededge1", "B08": "nir", "B8A": "nir08", "B11": "swir16", "SCL": "scl"}
"""Asset keys of Earth Search."""
CONFORMS = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]

Fault = Callable[["Handler"], bool]
"""Answers a request wrongly and returns True, or False to let it pass."""


@dataclass
class Server:
    """What the server holds, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, int, Fault]] = field(default_factory=list)
    """(pattern of the path, how many times, fault)."""
    page: int = 2
    ranges: bool = True
    token: str = ""
    """The signature that files want in the query, if any."""
    tokens: list[str] = field(default_factory=list)
    """Signatures that the token service gives out, the last of them again and again."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    port: int = 0
    heard: list[str] = field(default_factory=list)
    """User-Agent and Authorization of each request."""
    sent: int = 0
    """Bytes of files."""

    def fail(self, pattern: str, fault: Fault, times: int = 10**9) -> None:
        """Answer the next ``times`` requests whose path matches by ``fault``."""
        self.faults.append((pattern, times, fault))

    def fault_for(self, path: str) -> Fault | None:
        for number, (pattern, times, fault) in enumerate(self.faults):
            if times > 0 and re.search(pattern, path):
                self.faults[number] = pattern, times - 1, fault
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("POST", body)

    def do_GET(self) -> None:
        self.answer("GET", {})

    def answer(self, method: str, body: dict[str, Any]) -> None:
        parts = urlsplit(self.path)  # a proxy is asked for the whole address
        self.state.asked.append((method, parts.path))
        self.state.hosts.append(parts.netloc)
        self.state.heard.append(f"{self.headers.get('User-Agent')} {self.headers.get('Authorization', '')}")
        fault = self.state.fault_for(parts.path)
        if fault is not None and fault(self):
            return
        if parts.path == "/stac":
            self.reply(200, landing(self.state.url))
        elif parts.path == "/stac/search":
            self.reply(200, found(self.state, body))
        elif parts.path.startswith("/sas/"):
            tokens = self.state.tokens
            token = tokens.pop(0) if len(tokens) > 1 else tokens[0]
            self.reply(200, {"msft:expiry": "2099-01-01T00:00:00Z", "token": token})
        elif parts.path in self.state.files:
            self.send_file(self.state.files[parts.path], parse_qs(parts.query))
        else:
            self.reply(404, {"detail": "nothing here"})

    def send_file(self, data: bytes, query: dict[str, list[str]]) -> None:
        if self.state.token and query.get("sig") != [self.state.token]:
            self.reply(403, {"detail": f"signature {query.get('sig')} is refused"})
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not asked or not self.state.ranges:
            self.reply(200, data, kind="image/tiff")
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
        if start >= len(data):
            self.reply(416, b"", extra={"Content-Range": f"bytes */{len(data)}"})
            return
        extra = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        self.reply(206, data[start:stop], kind="image/tiff", extra=extra)

    def reply(
        self,
        status: int,
        content: Any,
        *,
        kind: str = "application/json",
        extra: dict[str, str] | None = None,
        cut: int | None = None,
        declare: int | None = None,
    ) -> None:
        """Send an answer; ``cut`` breaks the connection after so many bytes of the body."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw) if declare is None else declare))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            part = raw if cut is None else raw[:cut]
            if status in {200, 206} and kind == "image/tiff":
                self.state.sent += len(part)
            with contextlib.suppress(OSError):
                self.wfile.write(part)
        if cut is not None:
            self.close_connection = True


def status(code: int, **headers: str) -> Fault:
    """Return the fault that answers with a status."""

    def fault(handler: Handler) -> bool:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.reply(code, {"detail": "told to"}, extra=extra)
        return True

    return fault


def broken_off(handler: Handler) -> bool:
    """Close the connection in the middle of the body."""
    data = handler.state.files.get(urlsplit(handler.path).path, b"{" + b" " * 999)
    start, stop = (int(n) for n in re.findall(r"\d+", handler.headers.get("Range", "0-999")))
    part = data[start : stop + 1]
    extra = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}
    code = 206 if "Range" in handler.headers else 200
    handler.reply(code, part, kind="image/tiff", extra=extra, cut=len(part) // 2)
    return True


def shortened(handler: Handler) -> bool:
    """Send half of a range as if it were all of it."""
    data = handler.state.files[urlsplit(handler.path).path]
    start, stop = (int(n) for n in re.findall(r"\d+", handler.headers["Range"]))
    part = data[start : stop + 1]
    extra = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}
    handler.reply(206, part[: len(part) // 2], kind="image/tiff", extra=extra)
    return True


def landing(url: str) -> dict[str, Any]:
    links = [
        {"rel": "self", "href": f"{url}/stac"},
        {"rel": "root", "href": f"{url}/stac"},
        {"rel": "search", "href": f"{url}/stac/search", "method": "POST", "type": "application/geo+json"},
    ]
    return {"type": "Catalog", "id": "double", "stac_version": "1.0.0", "description": "SYNTHETIC",
            "conformsTo": CONFORMS, "links": links}  # fmt: skip


def found(state: Server, body: dict[str, Any]) -> dict[str, Any]:
    """Answer a search: collections, bounding box of the area, days; pages by a number in the next request's body."""
    begin, end = (text[:10] for text in body["datetime"].split("/"))
    left, bottom, right, top = shapely.geometry.shape(body["intersects"]).bounds
    chosen = [
        item
        for item in state.items
        if begin <= item["properties"]["datetime"][:10] <= end
        and item["collection"] in body["collections"]
        and item["bbox"][0] <= right
        and item["bbox"][2] >= left
        and item["bbox"][1] <= top
        and item["bbox"][3] >= bottom
    ]
    at = int(body.get("token", 0))
    links = []
    if at + state.page < len(chosen):
        after = {**body, "token": at + state.page}
        links = [{"rel": "next", "method": "POST", "href": f"{state.url}/stac/search", "body": after}]
    return {"type": "FeatureCollection", "features": chosen[at : at + state.page], "links": links}


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Yield a running server; with ``tls`` by https, for whoever gives it a host in ``url``."""
    state = Server()
    handler = type("Bound", (Handler,), {"state": state})
    with SecureServer(("127.0.0.1", 0), handler) as server:
        server.tls, state.port = tls, server.server_address[1]
        state.url = f"http://127.0.0.1:{state.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def numbers(code: str, date: str, *, add: int = 0, west: float = WEST, north: float = NORTH) -> np.ndarray:
    """Return the digital numbers of a whole scene; ``add`` is what the processing adds to all that is data."""
    x, y = centres((west, north - SIDE, west + SIDE, north), size_of(code))
    values = ground(code, x, y, date)
    return values if code == "SCL" else np.where(values == 0, 0, values + add).astype(np.uint16)


@lru_cache(maxsize=64)
def _cog(code: str, date: str, add: int, west: float, north: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        values = numbers(code, date, add=add, west=west, north=north)
        return image(code, values, Path(folder) / "made.tif", west=west, north=north)


def image(code: str, values: np.ndarray, path: Path, *, west: float = WEST, north: float = NORTH, **how: Any) -> bytes:
    """Return the bytes of an image: a COG with blocks of 256 pixels unless ``how`` says otherwise."""
    size = size_of(code)
    profile = {"dtype": values.dtype.name, "count": 1, "height": values.shape[0], "width": values.shape[1],
               "crs": f"EPSG:{EPSG}", "transform": Affine(size, 0, west, 0, -size, north)}  # fmt: skip
    options = {"driver": "COG", "compress": "DEFLATE", "blocksize": 256, **how}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", nodata=0, **profile) as plain:
            plain.write(values, 1)
        with memory.open() as plain:
            rasterio.shutil.copy(plain, path, **options)
    return path.read_bytes()


def outline(west: float = WEST, north: float = NORTH) -> tuple[dict[str, Any], list[float]]:
    """Return geometry and bounding box of a scene [degrees]."""
    corners = [(west, north), (west, north - SIDE), (west + SIDE, north - SIDE), (west + SIDE, north)]
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True)
    ring = [to_degrees.transform(*corner) for corner in corners]
    polygon = shapely.Polygon(ring)
    return shapely.geometry.mapping(polygon), list(polygon.bounds)


def item(
    state: Server,
    day: str = "20240115",
    *,
    tile: str = "48PWS",
    baseline: str = "05.10",
    made: str = "20240115T060000",
    style: str = "1.0",
    codes: tuple[str, ...] = ("B04", "B8A", "SCL"),
    offset: float = -0.1,
    west: float = WEST,
    north: float = NORTH,
) -> dict[str, Any]:
    """Return an item as Earth Search (1.0) or Copernicus Data Space (1.1) write it; its files are ``/files/<id>/``."""
    name = f"S2A_MSIL2A_{day}T031129_N{baseline.replace('.', '')}_R075_T{tile}_{made}"
    iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    geometry, bbox = outline(west, north)
    assets = {}
    for code in codes:
        size = size_of(code)
        asset: dict[str, Any] = {
            "href": f"{state.url}/files/{name}/{code}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": [SIDE // size] * 2,
            "proj:transform": [size, 0, west, 0, -size, north],
        }
        if style == "1.0":
            asset["eo:bands"] = [{"name": KEYS[code], "common_name": KEYS[code]}]
            if code != "SCL":
                asset["raster:bands"] = [{"nodata": 0, "data_type": "uint16", "scale": 1e-4, "offset": offset}]
        elif code != "SCL":
            asset |= {"bands": [{"name": code}], "raster:scale": 1e-4, "raster:offset": offset, "nodata": 0}
        assets[KEYS[code] if style == "1.0" else f"{code}_{size}m"] = asset
    facts = {"datetime": f"{iso}T03:20:00Z", "platform": "sentinel-2a", "updated": f"{iso}T09:00:00Z"}
    if style == "1.0":
        facts |= {"s2:product_uri": f"{name}.SAFE", "s2:processing_baseline": baseline, "proj:epsg": EPSG}
    else:
        facts |= {"processing:version": baseline, "proj:code": f"EPSG:{EPSG}", "grid:code": f"MGRS-{tile}",
                  "sat:relative_orbit": 75}  # fmt: skip
    return {
        "type": "Feature",
        "stac_version": f"{style}.0",
        "id": f"S2A_T{tile}_{day}T031129_L2A" if style == "1.0" else name,
        "collection": "sentinel-2-c1-l2a",
        "geometry": geometry,
        "bbox": bbox,
        "properties": facts,
        "assets": assets,
        "links": [],
    }


def publish(state: Server, day: str = "20240115", *, add: int = 1000, **about: Any) -> dict[str, Any]:
    """Put an item and its images on the server; ``add`` is what its digital numbers have been shifted by."""
    made = item(state, day, **{"offset": -add / 1e4, **about})
    place = about.get("west", WEST), about.get("north", NORTH)
    for asset in made["assets"].values():
        path = urlsplit(asset["href"]).path
        code = Path(path).stem
        state.files[path] = _cog(code, day, add, *place)
    state.items.append(made)
    return made
