"""What came of the downloads: scene by scene, and what is missing when the disk is full."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from rs_forecast.errors import BusyError, OutputError, SourceError
from rs_forecast.sources._archive_record import QUARANTINED, Record
from rs_forecast.sources.order import Order
from rs_forecast.workspace import no_room


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a call of :meth:`rs_forecast.sources.archive.SceneArchive.obtain` did, by scene id."""

    new: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """There before; also those that were evicted earlier, and are not asked for again."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Scenes that cannot be had, and why."""
    later: Mapping[str, str] = field(default_factory=dict)
    """Scenes for which the provider says later, and how."""
    unwritten: Mapping[str, str] = field(default_factory=dict)
    """Scenes that could not be written here, and those not begun because of it, and why."""
    shortage: str = ""
    """What is missing because the store cannot be written, the room that it takes, and what to do; else empty."""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    """Those, new or there before, whose pixels contradict their metadata, and how."""
    evicted: tuple[str, ...] = ()
    """Scenes that gave way for the budget."""
    bytes: int = 0
    """Size of what is new."""


class NotBegunError(BusyError):
    """A download that was put off before it began."""


class Outcome:
    """Takes in what came of each download."""

    def __init__(self) -> None:
        self.new: list[Record] = []
        self.failed: dict[str, str] = {}
        self.later: dict[str, str] = {}
        self.put_off: dict[str, str] = {}
        self.full: dict[str, OutputError] = {}

    def take(self, name: str, future: Future[Record]) -> None:
        """Put what came of one download where it belongs; an error of ours in the program passes."""
        try:
            self.new.append(future.result())
        except NotBegunError as err:
            self.put_off[name] = str(err)
        except BusyError as err:
            self.later[name] = str(err)
        except OutputError as err:
            self.full[name] = err
        except SourceError as err:
            self.failed[name] = str(err)

    def fetched(self, folder: Path, orders: Iterable[Order], workers: int) -> Fetched:
        """Return all of it; ``orders`` are those that were to be downloaded into ``folder``, so many at once."""
        new = sorted(self.new, key=lambda record: (record.date, record.scene_id))
        unwritten = {name: str(err) for name, err in self.full.items()}
        unwritten |= (
            dict.fromkeys(self.put_off, "not begun, since another scene could not be written") if unwritten else {}
        )
        missing = [order for order in orders if order.scene_id in unwritten]
        return Fetched(
            new=tuple(record.scene_id for record in new),
            failed=dict(sorted(self.failed.items())),
            later=dict(sorted((self.later | ({} if unwritten else self.put_off)).items())),
            unwritten=dict(sorted(unwritten.items())),
            shortage=_shortage(folder, missing, workers, [*self.full.values()]) if unwritten else "",
            quarantined={record.scene_id: record.reason for record in new if record.state == QUARANTINED},
            bytes=sum(record.size for record in new),
        )


def _shortage(folder: Path, missing: Sequence[Order], workers: int, errors: Sequence[OutputError]) -> str:
    """Say what is missing, and how much room it takes: the files, and as much again for what is in the making."""
    sizes = sorted((order.size for order in missing), reverse=True)
    need, free = sum(sizes) + sum(sizes[:workers]), shutil.disk_usage(folder).free
    count = f"{len(missing)} scene{'s are' if len(missing) > 1 else ' is'} missing"
    if not any(map(_for_room, errors)) and free >= need:
        return f"the store cannot be written: {errors[0]}. {count}; what is complete is kept, call fetch again then"
    room = f"about {need / 1e6:.1f} MB are" if need else "nobody knows how much is"
    full = "the disk is full" if free < need or not need else "the disk is full, or a quota used up"
    return (
        f"{full}: {count}, for which {room} needed, and {free / 1e6:.1f} MB are free in {folder}. What is "
        "complete is kept; make room there and call fetch again"
    )


def _for_room(err: OutputError) -> bool:
    return isinstance(err.__cause__, OSError) and no_room(err.__cause__)
