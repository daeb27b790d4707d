"""A Sentinel Hub on this machine: OAuth, Catalog and Process over http, with faults on demand; SYNTHETIC ground.

The evalscript is not run: the outputs that it declares are filled from :mod:`ground_truth`.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from ground_truth import centres, ground
from pyproj import Transformer
from rasterio.io import MemoryFile
from tls import SecureServer

from rs_forecast.sources.sentinelhub import Hub

Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(kw_only=True)
class Fault:
    """What goes wrong at ``where`` (``token``, ``search``, ``process``), ``times`` over, after ``after`` answers."""

    where: str
    times: int = 1
    after: int = 0
    answer: Answer | None = None
    """Sent instead of the good one."""
    change: Callable[[bytes], bytes] | None = None
    """What becomes of the good answer's body."""
    drop: bool = False
    """Whether the connection ends in the middle of the body."""
    act: Callable[[], None] | None = None
    """Done first."""


def failing(where: str, status: int, *, times: int = 1, after: int = 0, body: Any = None, **headers: str) -> Fault:
    """Return the fault of a status other than 200."""
    content = json.dumps(body or {"error": {"status": status, "message": f"planted {status}"}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(where=where, times=times, after=after, answer=(status, named, content))


def product(day: str, tile: str = "48PWS", *, baseline: str = "0510", made: str = "20240201T000000") -> str:
    """Return the id of a product as the catalogue has it."""
    return f"S2B_MSIL2A_{day}T031129_N{baseline}_R075_T{tile}_{made}"


@dataclass
class HubServer:
    """The double: what it has, what it was asked, what will go wrong."""

    products: dict[str, shapely.Geometry] = field(default_factory=dict)
    """Footprint in degrees by product id."""
    times: dict[str, pd.Timestamp] = field(default_factory=dict)
    """When products were sensed whose id does not tell."""
    gone: set[str] = field(default_factory=set)
    """Products in the catalogue without pixels."""
    faults: list[Fault] = field(default_factory=list)
    page: int = 2
    token_seconds: int = 3600
    user: str = field(default_factory=lambda: f"user-{secrets.token_hex(8)}")
    secret: str = field(default_factory=lambda: f"secret-{secrets.token_hex(16)}")
    tokens: list[str] = field(default_factory=list)
    """All that were given; the last is the one that is valid, unless it was revoked."""
    revoked: set[str] = field(default_factory=set)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """(where, body) of each request, in order."""
    url: str = ""
    port: int = 0
    spent: float = 0.0
    """Processing units of all images that were made, those that came damaged too."""
    heard: list[str] = field(default_factory=list)
    """User-Agent of each request."""
    change_pixels: Callable[[str, np.ndarray], np.ndarray] | None = None

    def hub(self, **settings: Any) -> Hub:
        """Return the settings that lead here, impatient unless told otherwise."""
        quick = {"retry_seconds": 0.005, "patience_seconds": 5.0, "timeout_seconds": 5.0}
        return Hub(base_url=self.url, token_url=f"{self.url}/auth/token", **quick | settings)

    def add(self, *days: str, tile: str = "48PWS", epsg: int = 32648, around: tuple[float, ...] | None = None) -> None:
        """Have a product of each day, which covers ``around`` (left, bottom, right, top [m]) or the whole tile."""
        corners = around or (499_980, 1_090_200, 609_780, 1_200_000)
        to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
        shape = shapely.transform(shapely.box(*corners), to_degrees.transform, interleaved=False)
        self.products |= {product(day, tile): shape for day in days}

    def count(self, where: str) -> int:
        """Return how often a part was asked."""
        return sum(name == where for name, _ in self.asked)

    def revoke(self) -> None:
        """Make all tokens given so far worthless."""
        self.revoked |= set(self.tokens)

    def sensed(self, name: str) -> pd.Timestamp:
        """Return when a product was sensed."""
        return self.times.get(name) or pd.Timestamp(name.split("_")[2], tz="UTC")

    def answer(self, where: str, body: Any, bearer: str) -> Answer:
        """Return what a healthy service answers."""
        if where == "token":
            return self._token(body)
        if bearer not in self.tokens or bearer in self.revoked:
            return 401, {}, json.dumps({"error": {"message": f"token {bearer} is not valid"}}).encode()
        return self._search(body) if where == "search" else self._process(body)

    def _token(self, form: Mapping[str, list[str]]) -> Answer:
        if form.get("client_id") != [self.user] or form.get("client_secret") != [self.secret]:
            said = f"{form.get('client_secret')} is wrong"  # a careless service
            return 401, {}, json.dumps({"error": "invalid_client", "error_description": said}).encode()
        self.tokens.append(f"token-{secrets.token_hex(16)}")
        given = {"access_token": self.tokens[-1], "expires_in": self.token_seconds, "token_type": "Bearer"}
        return 200, {}, json.dumps(given).encode()

    def _search(self, body: Mapping[str, Any]) -> Answer:
        first, last = (pd.Timestamp(text) for text in body["datetime"].split("/"))
        area, start = shapely.box(*body["bbox"]), int(body.get("next", 0))
        found = [
            name
            for name, shape in sorted(self.products.items())
            if first <= self.sensed(name) <= last and shape.intersects(area)
        ]
        end = min(start + min(self.page, body["limit"]), len(found))
        items = [
            {
                "type": "Feature",
                "id": name,
                "geometry": shapely.geometry.mapping(self.products[name]),
                "properties": {"datetime": f"{self.sensed(name):%Y-%m-%dT%H:%M:%SZ}", "eo:cloud_cover": 12.5},
            }
            for name in found[start:end]
        ]
        context = {"limit": body["limit"], "returned": len(items)} | ({"next": end} if end < len(found) else {})
        return 200, {}, json.dumps({"type": "FeatureCollection", "features": items, "context": context}).encode()

    def _process(self, body: Mapping[str, Any]) -> Answer:
        width, height = body["output"]["width"], body["output"]["height"]
        if max(width, height) > 2500:
            return 400, {}, b'{"error": {"message": "The requested image is larger than 2500 pixels"}}'
        setup = json.loads(re.search(r"return (\{\"input\".*\});", body["evalscript"])[1])
        sources = iter(setup["input"][0]["bands"])
        images = {
            part["id"]: self._image([next(sources) for _ in range(part["bands"])], part["sampleType"].lower(), body)
            for part in setup["output"]
        }
        units = width * height * (len(setup["input"][0]["bands"]) - 1) / (512 * 512 * 3)
        headers = {"X-ProcessingUnits-Spent": str(units)}
        self.spent += units
        names = [response["identifier"] for response in body["output"]["responses"]]
        if len(names) == 1:
            return 200, headers | {"Content-Type": "image/tiff"}, images[names[0]]
        return 200, headers | {"Content-Type": "application/tar"}, tarred({f"{n}.tif": images[n] for n in names})

    def _image(self, codes: list[str], dtype: str, body: Mapping[str, Any]) -> bytes:
        bounds = tuple(body["input"]["bounds"]["bbox"])
        epsg = int(body["input"]["bounds"]["properties"]["crs"].rsplit("/", 1)[1])
        size = (bounds[2] - bounds[0]) / body["output"]["width"]
        span = body["input"]["data"][0]["dataFilter"]["timeRange"]
        first, last = pd.Timestamp(span["from"]), pd.Timestamp(span["to"])
        seen = [name for name in sorted(self.products) if first <= self.sensed(name) <= last and name not in self.gone]
        x, y = centres(bounds, size)
        layers = [self._layer(code, x, y, seen) for code in codes]
        return tiff(np.stack(layers).astype(dtype), bounds, size, epsg)

    def _layer(self, code: str, x: np.ndarray, y: np.ndarray, seen: list[str]) -> np.ndarray:
        if not seen:
            return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.uint16)
        date = self.sensed(seen[0]).tz_localize(None)
        layer = (ground("SCL", x, y, date) > 0).astype(np.uint8) if code == "dataMask" else ground(code, x, y, date)
        return layer if self.change_pixels is None else self.change_pixels(code, layer)


def tiff(values: np.ndarray, bounds: tuple[float, ...], size: float, epsg: int, **options: Any) -> bytes:
    """Return an image (band, row, column) as the bytes of a GeoTIFF."""
    count, height, width = values.shape
    profile = {"count": count, "height": height, "width": width, "dtype": values.dtype.name, "crs": f"EPSG:{epsg}"}
    profile |= {"transform": Affine(size, 0, bounds[0], 0, -size, bounds[3]), "compress": "deflate"} | options
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile) as target:
            target.write(values)
        return bytes(memory.getbuffer())


def tarred(members: Mapping[str, bytes]) -> bytes:
    """Return a tar of some files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


class _Handler(BaseHTTPRequestHandler):
    double: HubServer
    lock: threading.Lock

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        where = {"token": "token", "search": "search", "process": "process"}[self.path.rstrip("/").rsplit("/", 1)[1]]
        body = parse_qs(raw.decode()) if where == "token" else json.loads(raw)
        with self.lock:
            self.double.asked.append((where, body))
            self.double.heard.append(self.headers.get("User-Agent", ""))
            fault = self._fault(where)
        if fault and fault.act:
            fault.act()
        if fault and fault.answer:
            status, headers, content = fault.answer
        else:
            status, headers, content = self.double.answer(where, body, self.headers.get("Authorization", "")[7:])
        if fault and fault.change:
            content = fault.change(content)
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault and fault.drop else content)

    def _fault(self, where: str) -> Fault | None:
        for fault in self.double.faults:
            if fault.where == where and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[HubServer]:
    """Run a double on a free port of 127.0.0.1; with ``tls`` by https, for whoever gives it a host in ``url``."""
    double = HubServer()
    handler = type("Handler", (_Handler,), {"double": double, "lock": threading.Lock()})
    server = SecureServer(("127.0.0.1", 0), handler)
    server.tls, double.port = tls, server.server_address[1]
    double.url = f"http://127.0.0.1:{double.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
