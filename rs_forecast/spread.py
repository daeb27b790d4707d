"""Tasks on a dask.distributed cluster, for those who have one. Nothing else in the package knows of it."""

from __future__ import annotations

import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rs_forecast.errors import ConfigError, SourceError, listing

_ANSWER = 20
"""Seconds in which a scheduler must answer."""
_AHEAD = 3
"""Tasks handed over at a time, per thread of the cluster: results wait for each other no longer than that."""


def on_cluster[Shared, Item, Result](
    scheduler: Any, task: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
) -> Iterator[Result]:
    """Yield ``task(shared, item)`` for each item, in their order, as computed on a cluster.

    Parameters
    ----------
    scheduler
        Address of a scheduler, such as ``tcp://10.0.0.5:8786``, or a :class:`distributed.Client`.
    task
        A function of a module that the workers can import. Files that it reads must be where the items say, on all of
        them.
    shared
        What every task needs; it is sent to each worker once.
    items
        One a task.

    Raises
    ------
    ConfigError
        The package ``distributed`` is missing, no scheduler answers, it has no worker, or a worker has another version
        of this package, whose numbers might differ.
    SourceError
        The cluster lost a task.
    """
    with _client(scheduler) as client:
        threads = _checked(client)
        sent = client.scatter(shared, broadcast=True, hash=False)
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(client.submit(task, sent, item, pure=False))
                if len(waiting) >= _AHEAD * threads:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            client.cancel(list(waiting))


@contextmanager
def _client(scheduler: Any) -> Iterator[Any]:
    try:
        import distributed
    except ImportError as err:
        raise ConfigError("a scheduler needs the package distributed; install rs-forecast[dask]") from err
    if isinstance(scheduler, distributed.Client):
        yield scheduler
        return
    try:
        connect: Any = distributed.Client
        client = connect(scheduler, timeout=_ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as err:
        raise ConfigError(
            f"no scheduler answers at {scheduler!r} ({err}); start one with `dask scheduler`, give its address as "
            "tcp://host:8786, or leave the scheduler out and this machine does the work"
        ) from err
    with client:
        yield client


def _checked(client: Any) -> int:
    """Return how many threads the workers have, all of this version."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ConfigError(f"the scheduler at {client.scheduler.address} has no worker; start some with `dask worker`")
    ours = importlib.metadata.version("rs-forecast")
    others = {name: found for name, found in client.run(_version).items() if found != ours}
    if others:
        named = listing(f"{name} has {found}" for name, found in others.items())
        raise ConfigError(f"this is rs-forecast {ours}, and {named}; install the same version on every worker")
    return sum(int(worker["nthreads"]) for worker in workers.values())


def _version() -> str:
    try:
        return importlib.metadata.version("rs-forecast")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _result(future: Any) -> Any:
    import distributed

    try:
        return future.result()
    except (distributed.KilledWorker, distributed.CancelledError, OSError) as err:
        raise SourceError(
            f"the cluster lost a task ({err}); look at the workers' memory and logs, then run it again"
        ) from err
