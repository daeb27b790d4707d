"""NASA POWER, daily values at a point: https://power.larc.nasa.gov/docs/services/api/temporal/daily/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rs_forecast.errors import NoDataError, SourceError, listing
from rs_forecast.sources._weather_http import Client
from rs_forecast.sources._weather_service import Cell, Days, Service, settled_table

_PATH = "/api/temporal/daily/point"


def ask(
    client: Client, url: str, cells: Sequence[Cell], days: Days, today: pd.Timestamp, timezone: str
) -> dict[str, pd.DataFrame]:
    """Return the days of each cell, a request each. Days are those of UTC: the service knows no other zone."""
    del today, timezone
    found = {}
    for cell in cells:
        content = client.ask(
            f"{url.rstrip('/')}{_PATH}",
            {
                "parameters": ",".join(POWER.variables.values()),
                "community": "AG",
                "longitude": f"{cell.lon:.4f}",
                "latitude": f"{cell.lat:.4f}",
                "start": f"{days.first:%Y%m%d}",
                "end": f"{days.last:%Y%m%d}",
                "format": "JSON",
                "time-standard": "UTC",
            },
        )
        found[cell.site] = _table(content, cell)
    return found


def _table(content: Any, cell: Cell) -> pd.DataFrame:
    try:
        header, series, about = content["header"], content["properties"]["parameter"], content["parameters"]
        standard, fill = str(header.get("time_standard", "")), float(header["fill_value"])
        lon, lat = (float(part) for part in content["geometry"]["coordinates"][:2])
        given = {ours: dict(series[theirs]) for ours, theirs in POWER.variables.items() if theirs in series}
        units = {ours: str(about[POWER.variables[ours]]["units"]) for ours in given}
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        said = content.get("messages") if isinstance(content, dict) else None
        if said:
            raise NoDataError(f"power: the service says {listing(map(str, said))}") from None
        raise SourceError(
            f"power: the answer has not the parts that it should have ({type(err).__name__}: {err}); check "
            "[weather] url"
        ) from None
    if standard.upper() != "UTC":
        raise SourceError(f"power: the days are of {standard or 'no zone'}, UTC was asked for; check [weather] url")
    if abs(lon - cell.lon) > POWER.step or abs(lat - cell.lat) > POWER.step:
        raise SourceError(f"power: the answer is of {lon:g}, {lat:g}, asked was {cell.lon:g}, {cell.lat:g}")
    if not given:
        raise NoDataError(f"power: no variable came for {cell.site}; due are {listing(POWER.variables.values(), 20)}")
    dates = sorted({day for values in given.values() for day in values})
    columns = {name: [values.get(day, fill) for day in dates] for name, values in given.items()}
    return settled_table("power", dates, columns, units, fill)


POWER = Service(
    name="power",
    url="https://power.larc.nasa.gov",
    step=0.5,
    offset=0.25,
    variables={
        "temp_mean": "T2M",
        "temp_min": "T2M_MIN",
        "temp_max": "T2M_MAX",
        "rh_mean": "RH2M",
        "rain_sum": "PRECTOTCORR",
        "wind_mean": "WS10M",
        "radiation_sum": "ALLSKY_SFC_SW_DWN",
    },
    ahead_days=0,
    settled_days=90,
    together=1,
    first_day="1981-01-01",
    ask=ask,
)
"""Up to 20 parameters a point. Near real time gives way to MERRA-2 after some two months."""
