"""What of an order is in the store already, and what is to be done for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from rs_forecast.sources._archive_record import OK, Record, folder_name, newest, write_record
from rs_forecast.sources.order import Order

WATCHING_DAYS = 10
"""A scene first seen within so many days of its overpass was seen arriving: a weekly fetch was watching then."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """When an overpass was first seen here, and from which day on it counts as known."""

    seen: str
    known_at: str
    basis: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One download."""

    order: Order
    edition: int
    known: Known
    old: Record | None
    """What is in its place: damaged, evicted or in quarantine."""


def known_from(date: pd.Timestamp, seen: pd.Timestamp, latency_days: int) -> Known:
    """Return what a scene that is first seen on a day is known from."""
    measured = (seen - date).days <= WATCHING_DAYS
    known_at = seen if measured else min(date + pd.Timedelta(days=latency_days), seen)
    return Known(
        seen=f"{seen:%Y-%m-%d}",
        known_at=f"{max(known_at, date):%Y-%m-%d}",
        basis="measured" if measured else "assumed",
    )


def latest(orders: Iterable[Order]) -> list[Order]:
    """Return one order an overpass: the one with the later baseline and version."""
    found: dict[str, Order] = {}
    for order in orders:
        other = found.setdefault(order.scene_id, order)
        if (order.baseline, order.version) > (other.baseline, other.version):
            found[order.scene_id] = order
    return list(found.values())


def answer(order: Order, records: Sequence[Record], *, again: bool) -> Record | None:
    """Return the record of ``records`` that settles an order: of the very same download, or of one with more bands.

    An evicted one, or one in quarantine, settles it unless it is asked for again, or other pixels have come since.
    """
    name, last = folder_name(order), newest(records).get(order.scene_id)
    fits = [r for r in records if r.scene_id == order.scene_id and (r.folder.name == name or _holds(r, order))]
    best = max(fits, key=lambda record: (record.state == OK, record.edition), default=None)
    if best is None or best.state == OK:
        return best
    return None if again or (last is not None and best.edition < last.edition) else best


def job_for(order: Order, records: Sequence[Record], known: Known) -> Job:
    """Return what is to be done for an order; of an overpass that has been here before, the first day counts."""
    same = sorted((r for r in records if r.scene_id == order.scene_id), key=lambda r: r.edition)
    old = next((record for record in same if record.folder.name == folder_name(order)), None)
    if same:
        known = Known(seen=same[0].seen, known_at=same[0].known_at, basis=same[0].known_at_basis)
    last = same[-1].edition if same else 0
    return Job(order=order, edition=last if old is not None and old.edition == last else last + 1, known=known, old=old)


def promote(found: Iterable[Record], records: Sequence[Record]) -> None:
    """Make an older version the newest where it is what is asked for now, such as that of another footprint."""
    last = newest(records)
    for record in found:
        if record.state == OK and record.edition < last[record.scene_id].edition:
            write_record(record.folder, replace(record, edition=last[record.scene_id].edition + 1))


def _holds(record: Record, order: Order) -> bool:
    same = (record.provider, record.version, _text(record.detail)) == (
        order.provider,
        order.version,
        _text(order.detail),
    )
    return same and set(order.bands) <= record.bands.keys()


def _text(detail: object) -> str:
    return json.dumps(detail, sort_keys=True)
