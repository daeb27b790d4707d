"""Open-Meteo, daily values: the archive for what was, the forecast API for the newest days and the coming ones.

https://open-meteo.com/en/docs. The free service is for non-commercial use; who needs more has an agreement, or runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rs_forecast.errors import NoDataError, SourceError
from rs_forecast.sources._weather_http import Client
from rs_forecast.sources._weather_service import Cell, Days, Service, settled_table

_ARCHIVE_HOST = "https://archive-api.open-meteo.com"
_RECENT_DAYS = 30
"""Days before today that the forecast API is asked for, where the archive is behind; it has 92."""
_NEAR = 0.35
"""How far the middle of a model's cell may lie from what was asked [degrees]."""


def ask(
    client: Client, url: str, cells: Sequence[Cell], days: Days, today: pd.Timestamp, timezone: str
) -> dict[str, pd.DataFrame]:
    """Return the days of each cell; the archive's values where it has them, the forecast models' else."""
    url = url.rstrip("/")
    past = Days(days.first, min(days.last, today - pd.Timedelta(days=1)))
    recent = Days(max(days.first, today - pd.Timedelta(days=_RECENT_DAYS)), days.last)
    archive = f"{_ARCHIVE_HOST if url == OPEN_METEO.url else url}/v1/archive"
    parts = [
        _ask(client, where, cells, span, timezone)
        for where, span in ((archive, past), (f"{url}/v1/forecast", recent))
        if span.number > 0
    ]
    tables = {cell.site: [part[cell.site].set_index("date") for part in parts] for cell in cells}
    return {
        site: (own[0] if len(own) == 1 else own[0].combine_first(own[1])).reset_index() for site, own in tables.items()
    }


def _ask(client: Client, url: str, cells: Sequence[Cell], days: Days, timezone: str) -> dict[str, pd.DataFrame]:
    content = client.ask(
        url,
        {
            "latitude": ",".join(f"{cell.lat:.4f}" for cell in cells),
            "longitude": ",".join(f"{cell.lon:.4f}" for cell in cells),
            "daily": ",".join(OPEN_METEO.variables.values()),
            "start_date": f"{days.first:%Y-%m-%d}",
            "end_date": f"{days.last:%Y-%m-%d}",
            "timezone": timezone,
            "wind_speed_unit": "ms",
            "precipitation_unit": "mm",
            "temperature_unit": "celsius",
        },
    )
    if isinstance(content, dict) and content.get("error"):
        raise NoDataError(f"open-meteo: the service says {content.get('reason', 'error')!r}")
    answers = content if isinstance(content, list) else [content]
    placed = [(*_place(answer), answer) for answer in answers]
    return {cell.site: _table(answer) for cell, answer in zip(cells, _in_order(placed, cells), strict=True)}


def _place(answer: Any) -> tuple[float, float]:
    try:
        return float(answer["longitude"]), float(answer["latitude"])
    except (KeyError, TypeError, ValueError) as err:
        raise SourceError(
            f"open-meteo: an answer does not say where it is of ({type(err).__name__}); check [weather] url"
        ) from None


def _in_order(placed: Sequence[tuple[float, float, Any]], cells: Sequence[Cell]) -> list[Any]:
    """Return the answers in the order of the cells, by where they say they are, whatever order they came in."""
    if len(placed) != len(cells):
        raise SourceError(f"open-meteo: {len(placed)} answers came for {len(cells)} places; try later")
    asked = np.array([(cell.lon, cell.lat) for cell in cells])
    given = np.array([(lon, lat) for lon, lat, _ in placed])
    away = np.abs(asked[:, None] - given[None]).max(axis=2)
    own = np.arange(len(cells))
    if (away[own, own] <= away.min(axis=1) + 1e-9).all() and (away[own, own] <= _NEAR).all():
        return [answer for _, _, answer in placed]  # neighbours may share a model's cell
    nearest = away.argmin(axis=1)
    if len(set(nearest.tolist())) < len(cells) or (away[own, nearest] > _NEAR).any():
        lon, lat = given[0]
        raise SourceError(
            f"open-meteo: the answers are of other places than were asked for, the first of {lon:g}, {lat:g}, asked "
            f"was {cells[0].lon:g}, {cells[0].lat:g}; check [weather] url"
        )
    return [placed[k][2] for k in nearest]


def _table(answer: Any) -> pd.DataFrame:
    try:
        daily, units = answer["daily"], answer["daily_units"]
        dates = list(daily["time"])
        given = {ours: list(daily[theirs]) for ours, theirs in OPEN_METEO.variables.items() if theirs in daily}
        declared = {ours: str(units[OPEN_METEO.variables[ours]]) for ours in given}
    except (KeyError, TypeError) as err:
        raise SourceError(
            f"open-meteo: the answer has not the parts that it should have ({type(err).__name__}: {err}); check "
            "[weather] url"
        ) from None
    return settled_table("open-meteo", dates, given, declared, float("nan"))


OPEN_METEO = Service(
    name="open-meteo",
    url="https://api.open-meteo.com",
    step=0.1,
    offset=0.0,
    variables={
        "temp_mean": "temperature_2m_mean",
        "temp_min": "temperature_2m_min",
        "temp_max": "temperature_2m_max",
        "rh_mean": "relative_humidity_2m_mean",
        "rh_min": "relative_humidity_2m_min",
        "rh_max": "relative_humidity_2m_max",
        "rain_sum": "precipitation_sum",
        "wind_mean": "wind_speed_10m_mean",
        "radiation_sum": "shortwave_radiation_sum",
        "sunshine_hours": "sunshine_duration",
    },
    ahead_days=15,
    settled_days=14,
    together=40,
    first_day="1940-01-01",
    ask=ask,
)
"""Sixteen days with today."""
