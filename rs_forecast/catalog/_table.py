"""A catalogue is a tuple of frozen rows, indexed by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from rs_forecast.errors import ConfigError, suggest


class Named(Protocol):
    """A row: anything with a name."""

    @property
    def name(self) -> str:
        """The row's name, unique in its table."""
        ...


RowT = TypeVar("RowT", bound=Named)


class Table(Mapping[str, RowT]):
    """Rows by name, in the order given; a name that is not there is answered with the nearest one."""

    def __init__(self, what: str, rows: Iterable[RowT]) -> None:
        self._what = what
        self._rows: dict[str, RowT] = {}
        for row in rows:
            if row.name in self._rows:
                raise ConfigError(f"the {what} {row.name!r} is declared twice")
            self._rows[row.name] = row

    def __getitem__(self, name: str) -> RowT:
        """Return the row called ``name``; ConfigError if there is none."""
        if name not in self._rows:
            known = ", ".join(self._rows)
            raise ConfigError(f"there is no {self._what} {name!r}{suggest(name, self._rows) or '.'} Known: {known}")
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def plus(self, rows: Iterable[RowT]) -> Table[RowT]:
        """Return a table with a user's own rows added; a name twice is refused."""
        own = tuple(rows)
        for row in own:
            if row.name in self._rows:
                raise ConfigError(
                    f"the {self._what} {row.name!r} is declared twice: the catalogue has that name; choose another"
                )
        return Table(self._what, (*self._rows.values(), *own))

    def over(self, rows: Iterable[RowT]) -> Table[RowT]:
        """Return a table in which a user's own rows stand in place of those of the same name, and after the others."""
        return Table(self._what, {**self._rows, **Table(self._what, rows)}.values())
