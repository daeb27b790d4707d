"""What can go wrong, as types. Every message says what was found, what is allowed and what to do next."""

from __future__ import annotations

import contextlib
import difflib
import warnings
from collections.abc import Iterable, Iterator


class RsForecastError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(RsForecastError):
    """The configuration, or an argument, is not usable as written."""


class SchemaError(RsForecastError):
    """A table, or a vector file, has not the columns, types or values it must have."""


class SourceError(RsForecastError):
    """A file or a service could not be read, or holds something else than it declares."""


class NoDataError(RsForecastError):
    """Everything asked for could be read, and nothing usable is in it."""


class OutputError(RsForecastError):
    """What was made could not be written."""


class LeakageError(RsForecastError):
    """A row known only after the issue date reached a feature."""


class BusyError(RsForecastError):
    """Another run holds the lock, or a provider says later: the same call may pass in a while."""


class DataWarning(UserWarning):
    """A row, parcel or scene was left out or mended. The message names it; the rest goes on."""


@contextlib.contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the :class:`DataWarning` messages of a block, each once, for when it has ended well.

    Other warnings pass, and so do all of them when the block ends in an error.
    """
    notes: list[str] = []
    passing: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            passing = caught
            yield notes
        notes += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, DataWarning))
        passing = [w for w in caught if not issubclass(w.category, DataWarning)]
    finally:
        for w in passing:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` for the known name nearest to ``name``, else an empty text."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def listing(items: Iterable[object], most: int = 5, sep: str = ", ") -> str:
    """Join the first ``most`` items and count the rest: ``a, b, c and 7 more``."""
    texts = [str(item) for item in items]
    shown = sep.join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"
