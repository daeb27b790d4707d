"""NASA POWER and Open-Meteo on loopback, in their real formats; they misbehave when told to. SYNTHETIC weather."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Query = dict[str, str]
Change = Callable[[Any], Any]
"""Changes the content of an answer."""
Fault = Callable[["Handler"], None]
"""Answers in place of the service."""

POWER_UNITS = {"T2M": "C", "T2M_MIN": "C", "T2M_MAX": "C", "RH2M": "%", "PRECTOTCORR": "mm/day", "WS10M": "m/s",
               "ALLSKY_SFC_SW_DWN": "MJ/m^2/day"}  # fmt: skip
METEO_UNITS = {
    "temperature_2m_mean": "°C", "temperature_2m_min": "°C", "temperature_2m_max": "°C",
    "relative_humidity_2m_mean": "%", "relative_humidity_2m_min": "%", "relative_humidity_2m_max": "%",
    "precipitation_sum": "mm", "wind_speed_10m_mean": "m/s", "shortwave_radiation_sum": "MJ/m²",
    "sunshine_duration": "s",
}  # fmt: skip
LEVEL = {"T2M": 27, "T2M_MIN": 23, "T2M_MAX": 32, "RH2M": 80, "PRECTOTCORR": 4, "WS10M": 2, "ALLSKY_SFC_SW_DWN": 18,
         "temperature_2m_mean": 27, "temperature_2m_min": 23, "temperature_2m_max": 32, "relative_humidity_2m_mean": 80,
         "relative_humidity_2m_min": 60, "relative_humidity_2m_max": 95, "precipitation_sum": 4,
         "wind_speed_10m_mean": 2, "shortwave_radiation_sum": 18, "sunshine_duration": 18000}  # fmt: skip


def value(name: str, day: dt.date, lon: float, lat: float) -> float:
    """A number that tells its day and place."""
    return round(LEVEL[name] + (day.toordinal() % 7) / 10 + (lat - 10) + (lon - 105) / 10, 3)


@dataclass
class Service:
    """What it is to do, and what it was asked."""

    today: dt.date = dt.date(2026, 3, 2)
    url: str = ""
    asked: list[tuple[str, Query]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """Taken one a request, first in first out."""
    change: Change | None = None
    archive_behind: int = 5
    solar_behind: int = 7
    met_behind: int = 3


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    state: Service

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.state.asked.append((parts.path, query))
        if self.state.faults:
            self.state.faults.pop(0)(self)
            return
        if parts.path == "/api/temporal/daily/point":
            content: Any = power(self.state, query)
        elif parts.path in ("/v1/archive", "/v1/forecast"):
            content = open_meteo(self.state, query, archive=parts.path == "/v1/archive")
        else:
            self.reply(404, {"detail": "Not Found"})
            return
        if self.state.change is not None:
            content = self.state.change(content)
        refused = isinstance(content, dict) and content.get("error")
        self.reply(400 if refused else 200, content)

    def reply(self, status: int, content: Any, *, kind: str = "application/json", **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(raw)


def power(state: Service, query: Query) -> dict[str, Any]:
    """Answer as https://power.larc.nasa.gov/docs/services/api/temporal/daily/ does; what is not there yet is -999."""
    first, last = (dt.date.fromisoformat(query[name]) for name in ("start", "end"))
    lon, lat = float(query["longitude"]), float(query["latitude"])
    names = query["parameters"].split(",")
    series: dict[str, dict[str, float]] = {name: {} for name in names}
    for name in names:
        behind = state.solar_behind if name.startswith("ALLSKY") else state.met_behind
        for day in days(first, last):
            there = (state.today - day).days >= behind
            series[name][f"{day:%Y%m%d}"] = value(name, day, lon, lat) if there else -999.0
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat, 3.41]},
        "properties": {"parameter": series},
        "header": {"title": "SYNTHETIC daily data", "api": {"name": "POWER Daily API", "version": "v2.8.0"},
                   "sources": ["MERRA2"], "fill_value": -999.0, "time_standard": query["time-standard"],
                   "start": query["start"], "end": query["end"]},
        "messages": [],
        "parameters": {name: {"units": POWER_UNITS[name], "longname": name} for name in names},
        "times": {"data": 0.1, "process": 0.01},
    }  # fmt: skip


def open_meteo(state: Service, query: Query, *, archive: bool) -> Any:
    """Answer as https://open-meteo.com/en/docs does: an object for one place, a list for several."""
    first, last = (dt.date.fromisoformat(query[name]) for name in ("start_date", "end_date"))
    end = state.today if archive else state.today + dt.timedelta(days=15)
    begin = dt.date(1940, 1, 1) if archive else state.today - dt.timedelta(days=92)
    if first < begin or last > end:
        reason = f"Parameter 'start_date' is out of allowed range from {begin} to {end}"
        return {"error": True, "reason": reason}
    answers = []
    for place, (lat, lon) in enumerate(zip(query["latitude"].split(","), query["longitude"].split(","), strict=True)):
        daily: dict[str, list[Any]] = {"time": [day.isoformat() for day in days(first, last)]}
        for name in query["daily"].split(","):
            daily[name] = [
                None if archive and (state.today - day).days < state.archive_behind
                else value(name, day, float(lon), float(lat)) + (0.0 if archive else 0.5)
                for day in days(first, last)
            ]  # fmt: skip
        answer = {
            "latitude": round(float(lat) + 0.02, 6), "longitude": round(float(lon) - 0.03, 6), "elevation": 3.0,
            "generationtime_ms": 0.1, "utc_offset_seconds": 25200, "timezone": query["timezone"],
            "timezone_abbreviation": "GMT+7",
            "daily_units": {"time": "iso8601", **{name: METEO_UNITS[name] for name in query["daily"].split(",")}},
            "daily": daily,
        }  # fmt: skip
        answers.append(answer | ({"location_id": place} if place else {}))
    return answers if len(answers) > 1 else answers[0]


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def status(code: int, content: Any = None, **headers: str) -> Fault:
    """Return the fault that answers with a status."""
    return lambda handler: handler.reply(code, {"detail": "told to"} if content is None else content, **headers)


def html(handler: Handler) -> None:
    """Answer 200 with a page, as a gateway in trouble does."""
    handler.reply(200, b"<!DOCTYPE html><html><head><title>Bad gateway</title></head></html>", kind="text/html")


def truncated(handler: Handler) -> None:
    """Send half of a JSON text as if it were all of it."""
    handler.reply(200, json.dumps(power(handler.state, handler.state.asked[-1][1])).encode()[:200])


def empty(handler: Handler) -> None:
    """Send nothing."""
    handler.reply(200, b"")


def broken_off(handler: Handler) -> None:
    """Close the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"type": "Fea')
    handler.close_connection = True


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """Yield a running service."""
    state = Service()
    handler = type("Bound", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
