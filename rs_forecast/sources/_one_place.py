"""Stations that follow one another at one place: a logger that was replaced, or a name that was changed."""

from __future__ import annotations

import warnings

import pandas as pd

from rs_forecast.errors import DataWarning, listing

_PLACE = ["lon", "lat", "elevation"]


def joined(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return ``table`` with stations at one place, whose records do not overlap, as one station ``<name> + <name>``.

    A parcel takes its nearest station: of two at the same distance it would take one, and miss the days of the other.
    Stations at one place whose records overlap stay apart and are named.

    Parameters
    ----------
    table
        ``station``, ``time`` or ``date``, and ``lon, lat, elevation`` where the file has them.
    """
    when, written = ("time", "%Y-%m-%d %H:%M UTC") if "time" in table else ("date", "%Y-%m-%d")
    sites = table.reindex(columns=["station", *_PLACE]).drop_duplicates()
    moving = sites["station"].duplicated(keep=False)  # which is refused elsewhere
    names: dict[str, str] = {}
    for _, place in sites[~moving].dropna(subset=["lon", "lat"]).groupby(_PLACE, dropna=False):
        stations, lon, lat = place["station"].tolist(), place["lon"].iloc[0], place["lat"].iloc[0]
        if len(stations) < 2:
            continue
        record = table.loc[table["station"].isin(stations)].groupby("station")[when].agg(["min", "max"])
        record = record.sort_values("min", kind="stable")
        texts = [f"{name} ({first:{written}} to {last:{written}})" for name, first, last in record.itertuples()]
        told = f"{source}: stations {listing(texts, sep=' and ')} stand at one place, {lon:g}, {lat:g}"
        if (record["min"].iloc[1:].to_numpy() > record["max"].iloc[:-1].to_numpy()).all():
            names |= dict.fromkeys(record.index, " + ".join(record.index))
            told += f", one after the other; they are taken as one, {' + '.join(record.index)}"
        else:
            told += ", at the same time; without interpolation a parcel takes one of them. Keep one, or mend lon, lat"
        warnings.warn(DataWarning(told), stacklevel=3)
    return table.assign(station=table["station"].replace(names)) if names else table
