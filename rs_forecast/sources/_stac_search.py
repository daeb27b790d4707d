"""Asking a STAC catalogue what it has: an API that searches, or a static catalogue that is walked."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pandas as pd
import requests
import shapely
from shapely.geometry import shape

from rs_forecast.errors import BusyError, ConfigError, DataWarning, RsForecastError, SourceError
from rs_forecast.sources._network import reason
from rs_forecast.sources._stac_http import LATER, Patience, adapt, check_address, shown
from rs_forecast.sources._stac_sign import missing_extra

_PAGE = 100
_MOST_LINKS = 100_000


def search(
    url: str,
    collection: str,
    area: shapely.Geometry,
    days: tuple[pd.Timestamp, pd.Timestamp],
    *,
    allow_hosts: tuple[str, ...] = (),
    patience: Patience | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield items (as in the catalogue, with absolute hrefs) that may lie in ``area`` and on ``days``, both included.

    Raises
    ------
    ConfigError
        ``pystac-client`` is not installed, or the catalogue's address is refused.
    BusyError
        The catalogue says later, or cannot be reached.
    SourceError
        It is none, or answers nonsense.
    """
    door = _Door(url, allow_hosts, patience or Patience())
    root = door.read(url)
    if any("item-search" in str(text) for text in root.get("conformsTo") or ()):
        found = door.ask(collection, area, days)
    else:
        found = _Walk(door, collection).items(url, root)
    for item in found:
        if _meets(item, area, days):
            yield item


class _Door:
    """All reading of one catalogue: over pystac-client's own session, or from the folder of a local one."""

    def __init__(self, url: str, allow_hosts: tuple[str, ...], patience: Patience) -> None:
        try:
            from pystac_client.stac_api_io import StacApiIO
        except ImportError as err:
            raise missing_extra(err) from err
        self.url, self.allow_hosts, self.patience = url, allow_hosts, patience
        self.folder = None if "://" in url else Path(url).resolve().parent
        if self.folder is None:
            try:
                check_address(url, allow_hosts)
            except SourceError as err:
                raise ConfigError(f"[imagery] url: {err}") from err
        self.io = StacApiIO(timeout=patience.timeout, max_retries=None)
        adapt(self.io.session, allow_hosts, patience)
        self.io.request = self._again(self.io.request)  # type: ignore[method-assign]

    def read(self, href: str) -> dict[str, Any]:
        """Return one JSON file of the catalogue; a local one has all its files in its own folder."""
        if self.folder is not None:
            file = local_file(href, self.folder)
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as err:
                raise SourceError(f"{file}: cannot be read as JSON ({err})") from err
        else:
            check_address(href, self.allow_hosts)
            content = self._in_our_words(lambda: self.io.read_json(href))
        if not isinstance(content, dict):
            raise SourceError(f"{shown(href)}: holds {type(content).__name__}, an object is due")
        return content

    def ask(
        self, collection: str, area: shapely.Geometry, days: tuple[pd.Timestamp, pd.Timestamp]
    ) -> Iterator[dict[str, Any]]:
        """Yield what the API's search finds, page by page."""
        from pystac_client import Client

        client = self._in_our_words(lambda: Client.open(self.url, stac_io=self.io, timeout=self.patience.timeout))
        query = client.search(
            collections=[collection] if collection else None,
            intersects=json.loads(shapely.to_geojson(area)),
            datetime=f"{days[0]:%Y-%m-%d}T00:00:00Z/{days[1]:%Y-%m-%d}T23:59:59Z",
            limit=_PAGE,
            max_items=None,
        )
        pages = query.pages_as_dicts()
        seen: set[str] = set()
        while True:
            page = self._in_our_words(lambda: next(pages, None))
            if page is None:
                return
            before = len(seen)
            seen.update(json.dumps(item, sort_keys=True, default=str) for item in page["features"])
            if page["features"] and len(seen) == before:
                raise SourceError(f"{shown(self.url)}: its search turns in a circle, a page brings nothing new")
            for item in page["features"]:
                if not isinstance(item, dict):
                    raise SourceError(f"{shown(self.url)}: answers no STAC (an item is {item!r:.40})")
                yield _absolute(item, _own_address(item) or self.url)

    def _again(self, request: Callable[..., str]) -> Callable[..., str]:
        """Return ``request`` asking again when an answer broke off; before that the session's adapter does."""
        from pystac_client.exceptions import APIError

        def patient(*args: Any, **kwargs: Any) -> str:
            for tried in range(1, self.patience.tries):
                try:
                    return request(*args, **kwargs)
                except APIError as err:
                    if not isinstance(err.__context__, requests.exceptions.ChunkedEncodingError):
                        raise
                self.patience.pause(tried)
            return request(*args, **kwargs)

        return patient

    def _in_our_words(self, call: Callable[[], Any]) -> Any:
        from pystac_client.exceptions import APIError

        try:
            return call()
        except APIError as err:
            status = getattr(err, "status_code", None)
            if isinstance(err.__context__, RsForecastError):
                raise err.__context__ from None
            if status in LATER:
                raise BusyError(f"{shown(self.url)}: the catalogue answers {status}; try later") from None
            if status is not None:
                text = " ".join(str(err).split())[:200]
                raise SourceError(f"{shown(self.url)}: the catalogue answers {status}: {text}") from None
            why = reason(err.__context__)
            raise BusyError(f"{shown(self.url)}: the catalogue cannot be reached ({why}); try later") from None
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            raise SourceError(f"{shown(self.url)}: answers no STAC ({type(err).__name__}: {err})") from err


class _Walk:
    """All items of a static catalogue, link by link; what cannot be read is named and passed over."""

    def __init__(self, door: _Door, collection: str) -> None:
        self.door, self.collection = door, collection
        self.seen: set[str] = set()

    def items(self, href: str, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items below a catalogue or collection, each once."""
        if content.get("type") == "Collection" and self.collection and content.get("id") != self.collection:
            return
        for link in content.get("links") or ():
            if link.get("rel") not in {"child", "item"}:
                continue
            target = join(href, str(link.get("href")))
            if target in self.seen or len(self.seen) >= _MOST_LINKS:
                continue
            self.seen.add(target)
            try:
                below = self.door.read(target)
            except SourceError as err:
                warnings.warn(DataWarning(f"{shown(target)}: passed over. {err}"), stacklevel=4)
                continue
            if link["rel"] == "child":
                yield from self.items(target, below)
            elif below.get("type") == "Feature":
                yield _absolute(below, target)


def join(base: str, href: str) -> str:
    """Return ``href`` as seen from the file ``base``, an address or a path."""
    if "://" in base:
        return urljoin(base, href)
    if "://" in href or href.startswith("/"):
        return href
    return str(Path(base).parent / href)


def local_file(href: str, folder: Path) -> Path:
    """Return a file in the folder of a local catalogue; SourceError for one that lies, or leads, elsewhere."""
    parts = urlsplit(href)
    if parts.scheme not in {"", "file"} or href.startswith("/vsi") or parts.netloc:
        raise SourceError(f"{shown(href) if parts.netloc else href} is no file in the catalogue's folder {folder}")
    file = Path(unquote(parts.path) if parts.scheme else href).resolve()
    if not file.is_relative_to(folder):
        raise SourceError(f"{file} lies outside the catalogue's folder {folder}, where its files must be")
    return file


def _own_address(item: Mapping[str, Any]) -> str:
    return next((str(link.get("href")) for link in item.get("links") or () if link.get("rel") == "self"), "")


def _absolute(item: dict[str, Any], base: str) -> dict[str, Any]:
    assets = {
        key: {**asset, "href": asset["href"] if str(asset["href"]).startswith("/") else join(base, str(asset["href"]))}
        for key, asset in (item.get("assets") or {}).items()
        if isinstance(asset, dict) and "href" in asset
    }
    return {**item, "assets": assets}


def _meets(item: Mapping[str, Any], area: shapely.Geometry, days: tuple[pd.Timestamp, pd.Timestamp]) -> bool:
    """Whether an item may lie there and then; one that cannot be told passes, and is judged later."""
    facts = item.get("properties") or {}
    when = pd.to_datetime(str(facts.get("datetime") or facts.get("start_datetime")), errors="coerce", utc=True)
    if not pd.isna(when) and not days[0] <= when.tz_localize(None).normalize() <= days[1]:
        return False
    outline = geometry_of(item)
    return outline is None or bool(shapely.intersects(outline, area))


def geometry_of(item: Mapping[str, Any]) -> shapely.Geometry | None:
    """Return an item's outline [degrees], made valid; None if it has none."""
    try:
        return shapely.make_valid(shape(item["geometry"]))
    except (AttributeError, LookupError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None
