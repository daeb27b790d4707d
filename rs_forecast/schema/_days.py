"""Days as tables hold them."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import Any

import pandas as pd

from rs_forecast.errors import SchemaError

_DAY = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{8}"
_PLAIN_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def days(values: Any) -> pd.Series:
    """Return ``values`` as days without time of day or zone, ``datetime64[us]``; what cannot be read becomes NaT.

    A text must begin with a whole day, ``2026-03-02`` or ``20260302``: 02/03/2026 means two days, and 45000 none.
    """
    series = pd.Series(values)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_localize(None)
    elif not pd.api.types.is_datetime64_dtype(series.dtype):
        text = series.astype("str").str.strip()
        whole = text.where(text.str.fullmatch(_DAY)).str.slice(0, 10)
        series = pd.to_datetime(whole, errors="coerce", format="ISO8601")
    return series.dt.normalize().astype("datetime64[us]")


def day(value: Any) -> pd.Timestamp:
    """Return one day, without time of day.

    Raises
    ------
    SchemaError
        ``value`` cannot be read as a day.
    """
    if isinstance(value, str) and _PLAIN_DAY.fullmatch(value):  # as we write it; without a table, also on any thread
        with contextlib.suppress(ValueError):
            return pd.Timestamp(dt.date.fromisoformat(value)).as_unit("us")
    stamp = days([value]).iloc[0]
    if pd.isna(stamp):
        raise SchemaError(f"found {value!r} where a day is due; write it as 2026-03-02")
    return pd.Timestamp(stamp)
