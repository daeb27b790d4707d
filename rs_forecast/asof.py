"""The only code that knows time order: tables as they were known at an issue date.

A row may be used on the day ``issued`` if ``known_at <= issued``. Where the same thing was reported more than once, the
newest version known by then counts: a reprocessed scene replaces its first version from the day it was there, and a
weather observation replaces the forecast of its day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rs_forecast import schema

SIGNAL_KEY = (schema.PARCEL, "date")
WEATHER_KEY = ("site", "date")
TRAP_KEY = ("trap_id", "pest", "date")
AREA_KEY = ("place", "week", "pest", "stage")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What a forecast is made from. An absent source is an empty table."""

    signals: pd.DataFrame
    weather: pd.DataFrame
    weights: pd.DataFrame
    surveys: pd.DataFrame
    crops: pd.DataFrame
    traps: pd.DataFrame
    areas: pd.DataFrame | None = None
    """None where no area data are used; then their features are not there either."""


class Versions:
    """A table that gives, for any day, the newest version of each row known by then."""

    def __init__(self, table: pd.DataFrame, key: Sequence[str]) -> None:
        codes = [schema.sort_codes(table[column]) for column in (*key, "known_at")]
        if schema.in_order(codes):
            self._table = table.reset_index(drop=True)
        else:
            order = np.lexsort(codes[::-1])
            self._table = table.take(order).reset_index(drop=True)
            codes = [column[order] for column in codes]
        self._known = self._table["known_at"].to_numpy("datetime64[us]")
        same = np.ones(max(len(table) - 1, 0), bool)
        for column in codes[:-1]:
            same &= column[1:] == column[:-1]
        self._with_newer = np.flatnonzero(same)
        """Rows of which the next is a newer version."""

    def at(self, issued: pd.Timestamp) -> pd.DataFrame:
        """Return the rows known at ``issued``, sorted by key."""
        use = self._known <= issued.to_datetime64()
        use[self._with_newer[use[self._with_newer + 1]]] = False
        return self._table if use.all() else self._table.loc[use]


class AsOf:
    """All tables, ready to be cut at any issue date."""

    def __init__(self, tables: Tables) -> None:
        self._signals = Versions(tables.signals, SIGNAL_KEY)
        self._weather = Versions(tables.weather, WEATHER_KEY)
        self._traps = Versions(tables.traps, TRAP_KEY)
        # of several visits of one day the highest finding is the last, as it is for the label
        self._surveys = tables.surveys.sort_values([schema.PARCEL, "date", "value", "known_at"], kind="stable")
        self._crops = tables.crops.sort_values([schema.PARCEL, "sown", "known_at"], kind="stable")
        self._weights = tables.weights
        self._areas = None if tables.areas is None else Versions(tables.areas, AREA_KEY)

    def at(self, issued: pd.Timestamp) -> Tables:
        """Return the tables as the office had them on the day ``issued``."""
        return Tables(
            signals=self._signals.at(issued),
            weather=self._weather.at(issued),
            weights=self._weights,
            surveys=self._surveys.loc[self._surveys["known_at"] <= issued],
            crops=self._crops.loc[self._crops["known_at"] <= issued],
            traps=self._traps.at(issued),
            areas=None if self._areas is None else self._areas.at(issued),
        )
