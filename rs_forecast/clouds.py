"""How much of the fields was seen clear, week by week: what a forecast can rest on, and what it cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.errors import SchemaError
from rs_forecast.features import MIN_CLEAR

ALL = "all"
"""Zone of a report that is not parted."""


def weekly_clouds(signals: pd.DataFrame, parcels: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Return for each ISO week and zone how many parcels were looked at from space, and how many were seen clear.

    A parcel is seen clear in a week when in one look at least half of its weight counts, as features want it.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals`, or of the signals store.
    parcels
        All parcels, so that those that nobody looked at count too.
    by
        Column of ``parcels`` to part the report by, such as ``commune_code``; parcels without a value are a zone
        of their own, the empty text.

    Returns
    -------
    DataFrame
        ``week`` (its Monday), ``zone``, ``parcels``, ``looks`` (dates with an overpass), ``looked_at``, ``clear``
        [parcels], ``clear_share`` (0-1, of all parcels), ``median_age_days`` [days] (from the last clear look to the
        week's Sunday, over the parcels that have had one). From the first week with a look to the last.

    Raises
    ------
    SchemaError
        ``parcels`` has no column ``by``.
    """
    schema.check_signals(signals)
    if by is not None and by not in parcels:
        raise SchemaError(f"parcels have no column {by!r} to part the report by; found {', '.join(map(str, parcels))}")
    zones = pd.Series(ALL, index=parcels.index, dtype="str") if by is None else _texts(parcels[by])
    zone_of = pd.Series(zones.to_numpy(), index=pd.Index(parcels[schema.PARCEL].astype("str")), dtype="str")
    rows = pd.DataFrame(
        {
            "parcel_id": signals[schema.PARCEL].astype("str"),
            "date": signals["date"],
            "week": _monday(signals["date"]),
            "clear": (signals["valid_fraction"] >= MIN_CLEAR).to_numpy(),
        }
    )
    rows = rows[rows["parcel_id"].isin(zone_of.index)]
    rows["zone"] = zone_of.reindex(rows["parcel_id"]).to_numpy()
    keys = _all_weeks(rows["week"], sorted(zone_of.unique()))
    grouped = rows.groupby(["week", "zone"])
    out = pd.DataFrame(index=keys)
    out["parcels"] = zone_of.value_counts().reindex(keys.get_level_values("zone")).to_numpy()
    out["looks"] = grouped["date"].nunique().reindex(keys, fill_value=0)
    out["looked_at"] = grouped["parcel_id"].nunique().reindex(keys, fill_value=0)
    seen = rows[rows["clear"]]
    out["clear"] = seen.groupby(["week", "zone"])["parcel_id"].nunique().reindex(keys, fill_value=0)
    out["clear_share"] = out["clear"] / out["parcels"]
    out["median_age_days"] = _median_age(seen, keys)
    return out.reset_index()


def _texts(zones: pd.Series) -> pd.Series:
    texts: pd.Series = zones.astype("object").convert_dtypes().astype("string").fillna("").astype("str")
    return texts


def _monday(dates: pd.Series) -> pd.Series:
    mondays: pd.Series = dates - pd.to_timedelta(dates.dt.day_of_week, unit="D")
    return mondays


def _all_weeks(weeks: pd.Series, zones: list[str]) -> pd.MultiIndex:
    span = pd.date_range(weeks.min(), weeks.max(), freq="7D") if len(weeks) else pd.DatetimeIndex([])
    return pd.MultiIndex.from_product([span.astype("datetime64[us]"), zones], names=["week", "zone"])


def _median_age(seen: pd.DataFrame, keys: pd.MultiIndex) -> pd.Series:
    """Return the median age of the parcels' last clear look at each week's end, by week and zone."""
    parts = []
    for week in keys.get_level_values("week").unique():
        sunday = week + pd.Timedelta(days=6)
        last = seen[seen["date"] <= sunday].groupby(["zone", "parcel_id"])["date"].max()
        age = (sunday - last).dt.days.groupby("zone").median()
        parts.append(pd.Series(age.to_numpy(dtype=np.float64), pd.MultiIndex.from_product([[week], age.index])))
    found: pd.Series = pd.concat(parts) if parts else pd.Series(dtype=np.float64)
    aligned: pd.Series = found.reindex(keys)
    return aligned
