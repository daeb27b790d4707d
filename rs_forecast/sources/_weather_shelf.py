"""Weather from services, kept: a file a cell, rows added and never changed, so that what was known when stays known.

A row is first kept with the day it could be known: a day that came while the shelf was watched, from the day it came;
one fetched long after, from ``latency_days`` after it. A value that changes later is a new row, known from then on; so
is every forecast, known from the day it was fetched.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rs_forecast.errors import DataWarning
from rs_forecast.schema import WEATHER_NAMES
from rs_forecast.sources._weather_service import Cell, Days, Service
from rs_forecast.workspace import sha256_text, write_atomic

WATCHED_DAYS = 10
"""Days from the day a row was due up to which its arrival tells when it was known; as of scenes."""
_ABOUT = b"rs_forecast"
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The files of one service under ``folder``; None keeps nothing."""

    folder: Path | None
    service: Service
    url: str
    latency_days: int

    def read(self, cell: Cell) -> tuple[pd.DataFrame, pd.Timestamp | None]:
        """Return what is kept of a cell (``date, known_at``, variables), and the day it was first asked for."""
        file = self._file(cell)
        if file is None or not file.is_file():
            return _empty(), None
        try:
            table = pq.read_table(file)
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            rows = table.to_pandas(ignore_metadata=True)
            rows = rows[["date", "known_at", *WEATHER_NAMES]].astype(_empty().dtypes.to_dict())
            return rows, pd.Timestamp(about["watched_since"]).as_unit("us")
        except (OSError, KeyError, ValueError, pa.ArrowException) as err:
            kind = type(err).__name__
            text = (
                f"weather: {file} is damaged ({kind}); its days are fetched anew, what it knew of old forecasts is lost"
            )
            warnings.warn(DataWarning(text), stacklevel=2)
            return _empty(), None

    def lacking(self, cell: Cell, wanted: Days, today: pd.Timestamp) -> Days | None:
        """Return the days to ask for, from the first to the last that is not there for good; None for none."""
        rows, _ = self.read(cell)
        settled = rows["date"] < today - self.service.settled_days * _DAY
        there = rows.loc[settled & (rows["known_at"] >= rows["date"]), "date"]
        days = pd.date_range(wanted.first, wanted.last)
        todo = days[~days.isin(there)]
        return Days(todo[0].as_unit("us"), todo[-1].as_unit("us")) if len(todo) else None

    def add(self, cell: Cell, came: pd.DataFrame, asked: Days, today: pd.Timestamp) -> int:
        """Keep what came of a cell; return how many rows are new."""
        old, since = self.read(cell)
        came = _whole(came, asked, today, self.service)
        newest = old.sort_values("known_at", kind="stable").drop_duplicates("date", keep="last").set_index("date")
        before = newest.reindex(came["date"])[list(WEATHER_NAMES)].reset_index(drop=True)
        given = came[list(WEATHER_NAMES)].reset_index(drop=True)
        # a service that is short of a value for once does not take it back
        both = given.fillna(before)
        known = came["date"].isin(newest.index).to_numpy()
        seen = newest["known_at"].reindex(came["date"]).to_numpy("datetime64[us]")
        day = came["date"].to_numpy("datetime64[us]")
        forecast = known & (seen < day) & (day < today.to_datetime64())
        both = both.where(~pd.Series(forecast), given)  # but a forecast's value is no observation's
        same = (np.isclose(both, before, rtol=0, atol=1e-6, equal_nan=True)).all(axis=1)
        fresh = ~known | forecast | ~same
        rows = both.assign(date=day, known_at=self._known_at(day, known & ~forecast, since, today))
        rows = rows.loc[fresh & ~(known & (seen >= rows["known_at"].to_numpy()) & same)]
        if rows.empty and since is not None:
            return 0
        # fetched again on one day: what came last counts
        out = pd.concat([old, rows[old.columns]], ignore_index=True).drop_duplicates(["date", "known_at"], keep="last")
        self._write(cell, out.sort_values(["date", "known_at"]), since or today)
        return len(rows)

    def _known_at(self, day: Any, again: Any, since: pd.Timestamp | None, today: pd.Timestamp) -> Any:
        now = today.to_datetime64()
        due = day + np.timedelta64(self.latency_days, "D")
        watched = (due >= (since or today).to_datetime64()) & (due >= now - np.timedelta64(WATCHED_DAYS, "D"))
        return np.where(watched | again, now, np.minimum(due, now))

    def _file(self, cell: Cell) -> Path | None:
        if self.folder is None:
            return None
        key = json.dumps([self.url.rstrip("/"), dict(self.service.variables)], sort_keys=True)
        return self.folder / f"{cell.site.replace(' ', '_')}-{sha256_text(key)[:8]}.parquet"

    def _write(self, cell: Cell, rows: pd.DataFrame, since: pd.Timestamp) -> None:
        file = self._file(cell)
        if file is None:
            return
        about = {"site": cell.site, "service": self.service.name, "watched_since": f"{since:%Y-%m-%d}"}
        table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata({_ABOUT: json.dumps(about)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_atomic(file, sink.getvalue().to_pybytes())


def kept_rows(shelf: Shelf, cells: Sequence[Cell]) -> pd.DataFrame:
    """Return all that is kept of the cells, with their ``site``."""
    parts = [shelf.read(cell)[0].assign(site=cell.site) for cell in cells]
    return pd.concat(parts, ignore_index=True) if parts else _empty().assign(site="")


def _whole(came: pd.DataFrame, asked: Days, today: pd.Timestamp, service: Service) -> pd.DataFrame:
    """Return the days asked for; one that is settled and did not come is kept as empty, so as not to be asked again."""
    came = came.loc[came["date"].between(asked.first, asked.last)].reindex(columns=["date", *WEATHER_NAMES])
    void = came[list(WEATHER_NAMES)].isna().all(axis=1)
    last = today - (service.settled_days + 1) * _DAY
    settled = pd.date_range(asked.first, min(asked.last, last))
    came = came.loc[~void | came["date"].isin(settled)]
    gone = settled[~settled.isin(came["date"])]
    empty = pd.DataFrame({"date": gone}).astype({"date": "datetime64[us]"}).reindex(columns=came.columns)
    parts = [part for part in (came, empty.astype(came.dtypes.to_dict())) if len(part)]
    return pd.concat(parts, ignore_index=True).sort_values("date").reset_index(drop=True) if parts else came


def _empty() -> pd.DataFrame:
    days = {name: pd.Series(dtype="datetime64[us]") for name in ("date", "known_at")}
    return pd.DataFrame({**days, **{name: pd.Series(dtype="float64") for name in WEATHER_NAMES}})
