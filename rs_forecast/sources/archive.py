"""The store of downloaded scenes: a folder a version of a scene, complete or not there; what a kill left is resumed.

::

    <workspace>/data/scenes/<provider>/
        <scene_id>-<hash>/       scene.json, B04.tif, ..., SCL.tif
        .<scene_id>-<hash>.new-part/     unfinished; its finished band files are kept for the next call
        .lock                    held by the one process that writes

The hash is of all that decides what is downloaded: provider, scene, version, bands, detail. ``scene.json`` is written
last, and the folder's renaming is the commit. Readers need no lock. An evicted scene keeps its record.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from rs_forecast.errors import BusyError, DataWarning, NoDataError, OutputError, SourceError
from rs_forecast.kernels._jit import cores
from rs_forecast.schema import day
from rs_forecast.sources._archive_budget import clear, evict, note_use
from rs_forecast.sources._archive_intake import take_in
from rs_forecast.sources._archive_jobs import Job, Known, answer, job_for, known_from, latest, promote
from rs_forecast.sources._archive_outcome import Fetched, NotBegunError, Outcome
from rs_forecast.sources._archive_record import (
    EVICTED,
    OK,
    QUARANTINED,
    RECORD,
    Record,
    file_name,
    folder_name,
    newest,
    read_record,
    write_record,
)
from rs_forecast.sources._archive_stage import copy_files, salvage, tidy
from rs_forecast.sources._contents import Contents
from rs_forecast.sources.order import Download, Order
from rs_forecast.sources.scene import Scene
from rs_forecast.workspace import commit_folder, make_folder, no_room, unwritable

__all__ = ["Fetched", "SceneArchive", "open_archive"]

_ABANDONED_S = 14 * 86_400
"""Age [s] at which an unfinished download counts as given up."""

Progress = Callable[[int, int], None]


class SceneArchive:
    """Scenes of one provider in a folder of their own.

    One process writes at a time, others wait for it; any number may read meanwhile. A process killed at any moment
    leaves whole scenes and unfinished folders that no reader looks at.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def records(self) -> list[Record]:
        """Return the records of all versions of all scenes; a damaged one is named in a :class:`DataWarning`."""
        found = []
        for file in sorted(self.folder.glob(f"[!.]*/{RECORD}")):
            try:
                found.append(read_record(file.parent))
            except SourceError as err:
                warnings.warn(DataWarning(f"scene {file.parent.name}: left out. {err}"), stacklevel=2)
        return found

    def states(self, orders: Iterable[Order], *, again: bool = False) -> list[tuple[Order, str]]:
        """Return the orders, one an overpass, each with what the store has of it.

        That is ``there``, ``evicted``, ``quarantined``, or ``missing``, which :meth:`obtain` downloads; with ``again``
        it downloads evicted scenes and those in quarantine too, and they count as missing. Of two orders for one
        overpass the one with the later baseline and version counts.
        """
        matched = self._matched(orders, self.records(), again, remember=False)
        words = {OK: "there", EVICTED: "evicted", QUARANTINED: "quarantined"}
        return [(order, "missing" if found is None else words[found.state]) for order, found in matched]

    def obtain(
        self,
        orders: Iterable[Order],
        download: Download,
        *,
        seen: Any = None,
        latency_days: int = 1,
        workers: int = 4,
        again: bool = False,
        budget: float | None = None,
        wait_s: float = 600,
        progress: Progress | None = None,
    ) -> Fetched:
        """Download what is missing, several scenes at once.

        A scene is known from the day on which a fetch first had it (``measured``) if that is at most 10 days after the
        overpass, because then a fetch was watching; an older one, from an archive, is taken as known ``latency_days``
        after the overpass (``assumed``). Another version of an overpass that is here
        keeps the day of the first: a reprocessed archive does not make history unknowable. The store of signals gives
        the new numbers the day on which it first sees them.

        Parameters
        ----------
        seen
            The day it is; by default today.
        again
            Download what was evicted or put in quarantine too.
        budget
            Bytes that the store may hold; what can be fetched again gives way, see :func:`evict`.
        wait_s
            How long to wait for another process that writes here [s].
        progress
            Called with (scenes done, scenes to download).

        Raises
        ------
        BusyError
            Another process still writes here after ``wait_s``. A provider that says later is no error: no new download
            is begun then, those under way end, and ``later`` holds the rest. So it is when the disk is full: then
            ``unwritten`` holds the rest, and ``shortage`` says how much room it takes.
        OutputError
            The store's folder cannot be made or locked.
        """
        today = pd.Timestamp.today().normalize() if seen is None else day(seen)

        def first_known(order: Order) -> Known:
            return known_from(order.date, today, latency_days)

        return self._obtain(
            orders, download, first_known, workers=workers, again=again, budget=budget, wait_s=wait_s, progress=progress
        )

    def import_archive(
        self,
        other: str | Path,
        *,
        budget: float | None = None,
        wait_s: float = 600,
        progress: Progress | None = None,
    ) -> Fetched:
        """Copy from a store that was filled elsewhere the newest version of each scene that is not here.

        Each file is held against its hash and checked like a downloaded one; ``known_at`` is taken over.

        Raises
        ------
        NoDataError
            There is no scene in ``other``.
        """
        theirs = SceneArchive(other)
        found = newest(theirs.records(), (OK,))
        if not found:
            raise NoDataError(f"{other}: holds no scene; name a folder such as data/scenes/stac of another workspace")
        ours = newest(self.records())
        orders = [
            record.order()
            for name, record in found.items()
            if name not in ours or (ours[name].baseline, ours[name].version) <= (record.baseline, record.version)
        ]

        def copy(order: Order, folder: Path) -> None:
            copy_files(found[order.scene_id], folder)

        def first_known(order: Order) -> Known:
            record = found[order.scene_id]
            return Known(seen=record.seen, known_at=record.known_at, basis=record.known_at_basis)

        got = self._obtain(
            orders, copy, first_known, workers=2, again=True, budget=budget, wait_s=wait_s, progress=progress
        )
        older = found.keys() - {order.scene_id for order in orders}
        return replace(got, kept=tuple(sorted([*got.kept, *older])))

    def scenes(
        self, start: Any = None, end: Any = None, *, latency_days: int | None = None, evicted: bool = False
    ) -> list[Scene]:
        """Return the newest version of each overpass, by date; see :func:`open_archive`."""
        first = day(start) if start is not None else pd.Timestamp.min
        last = day(end) if end is not None else pd.Timestamp.max
        records = [r for r in self.records() if first <= day(r.date) <= last]
        good = newest(records, (OK, EVICTED))
        for record in newest(records).values():
            if record.state == QUARANTINED:
                message = f"scene {record.scene_id}: in quarantine, left out. {record.reason}"
                warnings.warn(DataWarning(message), stacklevel=3)
        present = [record for record in good.values() if record.state == OK]
        bad = self._damaged(present)
        for record in present:
            if record.folder in bad:
                message = f"scene {record.scene_id}: left out, {bad[record.folder]}; fetch it again"
                warnings.warn(DataWarning(message), stacklevel=3)
        note_use(record for record in present if record.folder not in bad)
        chosen = [r for r in good.values() if r.folder not in bad and (r.state == OK or evicted)]
        return [
            record.scene(latency_days, checked=True)
            for record in sorted(chosen, key=lambda r: (r.date, r.tile, r.scene_id))
        ]

    # ------------------------------------------------------------------------------------------------------- inside
    def _obtain(
        self,
        orders: Iterable[Order],
        download: Download,
        first_known: Callable[[Order], Known],
        *,
        workers: int,
        again: bool,
        wait_s: float,
        budget: float | None = None,
        progress: Progress | None,
    ) -> Fetched:
        make_folder(self.folder)
        with self._lock(wait_s):
            self._recover()
            records = self.records()
            matched = self._matched(orders, records, again)
            promote([found for _, found in matched if found is not None], records)
            jobs = [job_for(order, records, first_known(order)) for order, found in matched if found is None]
            outcome = self._download(jobs, download, workers, progress)
            gone = []
            with contextlib.suppress(*([OutputError] if outcome.unwritten else [])):  # said already
                gone = [] if budget is None else self._make_room(budget)
        settled = [found for _, found in matched if found is not None]
        return replace(
            outcome,
            kept=tuple(record.scene_id for record in settled if record.state != QUARANTINED),
            quarantined={r.scene_id: r.reason for r in settled if r.state == QUARANTINED} | dict(outcome.quarantined),
            evicted=tuple(record.scene_id for record in gone),
        )

    @contextlib.contextmanager
    def _lock(self, wait_s: float) -> Iterator[None]:
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=wait_s, poll_interval=0.1)
        except Timeout:
            message = f"another fetch works in {self.folder.resolve()}; try again when it has finished"
            raise BusyError(message) from None
        except OSError as err:
            raise unwritable(self.folder, err) from err
        try:
            yield
        finally:
            lock.release()

    def _recover(self) -> None:
        """Put right what a killed process left: scenes between two renames, files of the evicted, old beginnings."""
        for old in self.folder.glob(".*.old-part"):
            target = self.folder / old.name.removeprefix(".").removesuffix(".old-part")
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(target)
        for stage in self.folder.glob(".*.new-part"):
            if time.time() - stage.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(stage, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # named when the records are read to be used
            for record in self.records():
                if record.state == EVICTED:
                    clear(record)

    def _matched(
        self, orders: Iterable[Order], records: Sequence[Record], again: bool, *, remember: bool = True
    ) -> list[tuple[Order, Record | None]]:
        """Return the orders, one an overpass, with the record that settles each."""
        found = [(order, answer(order, records, again=again)) for order in latest(orders)]
        bad = self._damaged(
            [record for _, record in found if record is not None and record.state == OK], remember=remember
        )
        return [(order, record if record is None or record.folder not in bad else None) for order, record in found]

    def _damaged(self, records: Sequence[Record], *, remember: bool = True) -> dict[Path, str]:
        """Return the folders whose files are not what they were, and what is wrong; hashes are remembered if asked."""
        contents = Contents(self.folder / ".contents.json")
        scenes = {record.folder: record.scene(checked=False) for record in records}
        contents.learn((band for scene in scenes.values() for band in scene.bands.values()), cores())
        bad: dict[Path, str] = {}
        for record in records:
            for name, band in scenes[record.folder].bands.items():
                try:
                    if contents.of(band) != record.bands[name].sha256:
                        bad[record.folder] = f"{band.href} is damaged"
                except SourceError as err:
                    bad[record.folder] = str(err)
        if remember:
            with contextlib.suppress(OutputError):  # a memory lost costs time, nothing else
                contents.save()
        return bad

    def _download(self, jobs: Sequence[Job], download: Download, workers: int, progress: Progress | None) -> Fetched:
        halt, outcome = threading.Event(), Outcome()
        pool = ThreadPoolExecutor(max(1, workers))
        try:
            futures = {pool.submit(self._fetch, job, download, halt): job.order.scene_id for job in jobs}
            for done, future in enumerate(as_completed(futures), start=1):
                outcome.take(futures[future], future)
                if progress is not None:
                    progress(done, len(jobs))
        finally:
            halt.set()  # after an error too: what runs may end, nothing else begins
            pool.shutdown(cancel_futures=True)
        fetched = outcome.fetched(self.folder, [job.order for job in jobs], workers)
        for name, reason in fetched.quarantined.items():
            warnings.warn(DataWarning(f"scene {name}: put in quarantine. {reason}"), stacklevel=4)
        return fetched

    def _fetch(self, job: Job, download: Download, halt: threading.Event) -> Record:
        """Download one scene beside its place, check it, and give it its name."""
        if halt.is_set():
            raise NotBegunError("not begun, since the download of another scene was put off")
        order, target = job.order, self.folder / folder_name(job.order)
        stage = make_folder(self.folder / f".{target.name}.new-part")
        names = {file_name(band) for band in order.bands}
        try:
            tidy(stage, names)
            salvage(job.old, stage)
            download(order, stage)
            tidy(stage, names)
            known = job.known
            record = take_in(
                order, stage, edition=job.edition, seen=known.seen, known_at=known.known_at, basis=known.basis
            )
            write_record(stage, record)
            commit_folder(stage, target)
        except (BusyError, OutputError):
            halt.set()
            tidy(stage, names)
            raise
        except OSError as err:
            if not no_room(err):
                raise SourceError(f"scene {order.scene_id}: {err}; fetch it again") from err
            halt.set()
            tidy(stage, names)
            raise unwritable(stage, err) from err
        return replace(record, folder=target)

    def _make_room(self, budget: float) -> list[Record]:
        records = self.records()
        gone = evict(records, budget)
        left = sum(r.size for r in records if r.state != EVICTED) - sum(r.size for r in gone)
        if left > budget:
            message = (
                f"the store of scenes holds {left / 1e9:.2f} GB, [imagery] budget_gb is {budget / 1e9:g}: the rest was "
                "opened within a day, or not yet at all"
            )
            warnings.warn(DataWarning(message), stacklevel=4)
        return gone


def open_archive(
    path: str | Path,
    *,
    start: Any = None,
    end: Any = None,
    latency_days: int | None = None,
    evicted: bool = False,
) -> list[Scene]:
    """Return the scenes of a store, the newest version of each overpass, by date.

    Parameters
    ----------
    path
        The store's folder.
    start, end
        First and last day, both included; by default all.
    latency_days
        Days after the overpass at which a scene that nobody saw arrive counts as known.
    evicted
        Whether to return evicted scenes too. Their files are gone; the store of signals still has what was computed of
        them.

    Raises
    ------
    NoDataError
        There is none. A scene in quarantine, or whose files are missing or damaged, is left out and named in a
        :class:`DataWarning`; of the damaged ones fetch downloads again what it must.
    """
    scenes = SceneArchive(path).scenes(start, end, latency_days=latency_days, evicted=evicted)
    if not scenes:
        days = "" if start is None and end is None else f" from {start or 'the first day'} to {end or 'the last'}"
        raise NoDataError(f"{path}: there is no usable scene{days}; call rs-forecast fetch first")
    return scenes
