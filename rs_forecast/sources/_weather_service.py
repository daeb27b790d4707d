"""What a weather service is to the rest: its grid, its variables, how late and how far ahead it is, how to ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_forecast.errors import SourceError, listing
from rs_forecast.schema import PARCEL, WEATHER_NAMES
from rs_forecast.sources._sites import weigh
from rs_forecast.sources._units import UNITS, conversion
from rs_forecast.sources._weather_http import Client


class Cell(NamedTuple):
    """A cell of a service's grid, by its middle [degrees, WGS 84]."""

    site: str
    lon: float
    lat: float


class Days(NamedTuple):
    """Days to ask for, the first and the last."""

    first: pd.Timestamp
    last: pd.Timestamp

    @property
    def number(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1


Ask = Callable[[Client, str, Sequence[Cell], Days, pd.Timestamp, str], dict[str, pd.DataFrame]]
"""(client, url, cells, days, today, time zone) -> per site ``date`` and variables in our units."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service."""

    name: str
    url: str
    step: float
    """Side of a grid cell [degrees]."""
    offset: float
    """Where the middle of a cell lies, from multiples of ``step`` [degrees]."""
    variables: Mapping[str, str]
    """Ours -> theirs."""
    ahead_days: int
    """Days after today that it forecasts."""
    settled_days: int
    """Days after which its values change no more; younger ones are asked for again."""
    together: int
    """Cells in one request."""
    first_day: str
    ask: Ask

    def cells(self, parcels: gpd.GeoDataFrame) -> tuple[list[Cell], pd.DataFrame]:
        """Return the cells that hold parcels, and the weight table."""
        middle = parcels.geometry.representative_point().to_crs(4326)
        lon, lat = (self._middle(part.to_numpy()) for part in (middle.x, middle.y))
        site = [f"cell {b:.4f} {a:.4f}" for a, b in zip(lon, lat, strict=True)]
        found = {name: Cell(name, a, b) for name, a, b in zip(site, lon.tolist(), lat.tolist(), strict=True)}
        return [found[name] for name in sorted(found)], weigh(parcels[PARCEL], site)

    def _middle(self, degrees: np.ndarray) -> np.ndarray:
        return np.round(np.floor((degrees - self.offset) / self.step + 0.5) * self.step + self.offset, 4)


def settled_table(
    service: str, dates: Sequence[Any], columns: Mapping[str, Sequence[Any]], units: Mapping[str, str], fill: float
) -> pd.DataFrame:
    """Return ``date`` and variables in our units from what a service has answered for one cell.

    Raises
    ------
    SourceError
        A day or a value is none, a column has another length, or a unit is not known.
    """
    days = pd.to_datetime(pd.Series(list(dates), dtype="str"), errors="coerce", format="ISO8601")
    if days.isna().any() or days.duplicated().any():
        raise SourceError(f"{service}: its days are no days, or repeat ({listing(dates)}); try later")
    out = {"date": days.astype("datetime64[us]")}
    for name in WEATHER_NAMES:
        if name not in columns:
            continue
        how = conversion(name, units.get(name, ""))
        if how is None:
            raise SourceError(
                f"{service}: {name} comes in {units.get(name, 'no unit')!r}; known are {listing(UNITS[name], 20)}"
            )
        if len(columns[name]) != len(days):
            raise SourceError(f"{service}: {len(columns[name])} values of {name} came for {len(days)} days; try later")
        try:
            values = pd.Series(list(columns[name]), dtype="float64")
        except (TypeError, ValueError):
            raise SourceError(f"{service}: {name} holds what is no number ({listing(columns[name], 3)})") from None
        out[name] = values.mask(values == fill) * how.factor + how.offset
    return pd.DataFrame(out)
