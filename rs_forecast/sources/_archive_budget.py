"""Room on the disk: scenes that can be fetched again give way, and their records stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from rs_forecast.sources._archive_record import EVICTED, OK, Record, newest, write_record

_USED = "used"
"""An empty file in a scene's folder; its time is that of the last opening. Without it nobody has opened the scene."""
_DAY_S = 86_400
"""A scene opened within a day [s] may still be read."""
_STAMP_S = 3_600
"""Openings closer together than this [s] are one."""


def note_use(records: Iterable[Record]) -> None:
    """Note that scenes are opened now; in a store that may only be read nothing is noted."""
    now = time.time()
    for record in records:
        file = record.folder / _USED
        with suppress(OSError):
            if now - _last_use(record) > _STAMP_S:
                file.touch()
                os.utime(file, (now, now))


def evict(records: Sequence[Record], budget: float) -> list[Record]:
    """Remove files until at most ``budget`` bytes are left, and return the records, ``evicted``, of what went.

    First go older versions of an overpass, and those in quarantine, then what was opened longest ago, and of these the
    oldest day. What was opened within a day stays, for it may be read now; and the newest version of an overpass stays
    until it was opened once, so that the weekly job has computed from it before it goes.
    """
    current = {id(record) for record in newest(records, (OK, EVICTED)).values()}
    used = {id(record): _last_use(record) for record in records}
    present = [record for record in records if record.state != EVICTED]
    now, left = time.time(), sum(record.size for record in present)

    def may_go(record: Record) -> bool:
        opened = used[id(record)]
        return now - opened > _DAY_S and not (id(record) in current and opened == 0)

    gone: list[Record] = []

    def turn(record: Record) -> tuple[bool, int, str, str]:
        return id(record) in current, int(used[id(record)] // _DAY_S), record.date, record.scene_id

    for record in sorted(filter(may_go, present), key=turn):
        if left <= budget:
            break
        gone.append(replace(record, state=EVICTED))
        write_record(record.folder, gone[-1])
        clear(gone[-1])
        left -= record.size
    return gone


def clear(record: Record) -> None:
    """Remove the band files of an evicted scene; a kill may have left some."""
    for band in record.bands.values():
        (record.folder / band.href).unlink(missing_ok=True)


def _last_use(record: Record) -> float:
    """Return when a scene was last opened [s]; 0 for never."""
    try:
        return (record.folder / _USED).stat().st_mtime
    except OSError:
        return 0.0
