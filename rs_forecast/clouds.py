"""How much of the fields was seen clear, week by week: what a forecast can rest on, and what it cannot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast import schema
from rs_forecast.errors import SchemaError
from rs_forecast.kernels.series import pack
from rs_forecast.kernels.weeks import count_weeks
from rs_forecast.looks import CLEAR, DIP_INDICES, judged_looks

ALL = "all"
"""Zone of a report that is not parted."""
REPORT_WEEKS = 52
"""Weeks that a published report goes back."""
LATE = 28
"""Days in which a field is seen once or not, for ``clear_share_4_weeks``."""

Numbers = NDArray[np.int64]


def weekly_clouds(
    signals: pd.DataFrame,
    parcels: pd.DataFrame,
    by: str | None = None,
    *,
    issued: Any = None,
    scenes: pd.DataFrame | None = None,
    weeks: int | None = None,
) -> pd.DataFrame:
    """Return for each ISO week and zone how many parcels were looked at from space, and how many were seen clear.

    A parcel is seen clear in a week when one look counts as features want it: at least half of the parcel is clear, and
    the look is no dip in the parcel's own series (:func:`rs_forecast.looks.judged_looks`). So the newest week may yet
    lose a look, when the next one shows that it was a dip.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals`, or of the signals store.
    parcels
        All parcels, so that those that nobody looked at count too.
    by
        Column of ``parcels`` to part the report by, such as ``commune_code``; parcels without a value are a zone
        of their own, the empty text.
    issued
        A day: the report is then as known on it, and ends with the last week that was over. By default all rows count
        as known, and it ends with the last look.
    scenes
        The imagery's scenes, one row each with ``date`` and ``known_at``. They tell weeks of cloud from weeks without
        imagery: a look without one clear pixel leaves no row in ``signals``.
    weeks
        At most so many, the last.

    Returns
    -------
    DataFrame
        ``week`` (its Monday), ``zone``, ``parcels``, ``overpasses`` (dates with a scene anywhere; only where ``scenes``
        are given), ``looks`` (dates with any clear pixel), ``looked_at`` and ``clear`` [parcels] (with any clear pixel;
        seen clear), ``clear_share`` (0-1, of all parcels), ``clear_share_4_weeks`` (the same, in this week or the three
        before it), ``median_age_days`` [days] (from the last clear look to the week's Sunday, over the parcels that
        have had one). From the first week with a look on, without a gap. ``attrs["synthetic"]`` as the tables say.

    Raises
    ------
    SchemaError
        ``parcels`` has no column ``by``.
    """
    schema.check_signals(signals)
    zones = _zones(parcels, by)
    out = _weekly(_looks(signals, parcels, issued, scenes, weeks), zones)
    out.attrs["synthetic"] = any(bool(table.attrs.get("synthetic", False)) for table in (signals, parcels))
    return out


def cloud_report(
    signals: pd.DataFrame, parcels: pd.DataFrame, scenes: pd.DataFrame, issued: pd.Timestamp
) -> pd.DataFrame:
    """Return :func:`weekly_clouds` as it is published: all parcels first, then by commune where they have one.

    The last :data:`REPORT_WEEKS` weeks that were over at ``issued``, as known then. Without any scene it is empty.
    """
    schema.check_signals(signals)
    looks = _looks(signals, parcels, issued, scenes, REPORT_WEEKS)
    parts = [_weekly(looks, _zones(parcels, None))]
    if "commune_code" in parcels and parcels["commune_code"].notna().any():
        parts.append(_weekly(looks, _zones(parcels, "commune_code")))
    return pd.concat(parts, ignore_index=True)


def cloud_csv(report: pd.DataFrame, *, synthetic: bool) -> str:
    """Return a report as CSV: shares with four decimals, a last column that says whether the data are SYNTHETIC."""
    shown = report.assign(week=report["week"].dt.strftime("%Y-%m-%d"), synthetic="yes" if synthetic else "no")
    return shown.round(4).to_csv(index=False, lineterminator="\n")


def cloud_summary(report: pd.DataFrame) -> dict[str, Any]:
    """Return the last week of a report, all parcels together, as plain JSON; empty for an empty report."""
    own = report.loc[report["zone"] == ALL]
    if own.empty:
        return {}
    last = own.iloc[-1]
    age = float(last["median_age_days"])
    return {
        "week": f"{last['week']:%Y-%m-%d}",
        "clear_share": round(float(last["clear_share"]), 4),
        "clear_share_4_weeks": round(float(last["clear_share_4_weeks"]), 4),
        "median_age_days": None if np.isnan(age) else age,
    }


class _Looks(NamedTuple):
    """Looks at the parcels as arrays, by parcel, then day."""

    day: Numbers
    clear: NDArray[np.bool_]
    starts: Numbers
    """Parcel ``k`` holds the looks ``starts[k]:starts[k + 1]``."""
    overpass: Numbers | None
    """Days with a scene, if these were asked for."""
    mondays: Numbers
    """The weeks to report, as the day each begins on."""

    @property
    def first(self) -> int:
        """The day on which the report begins."""
        return int(self.mondays[0]) if len(self.mondays) else 0


def _looks(
    signals: pd.DataFrame, parcels: pd.DataFrame, issued: Any, scenes: pd.DataFrame | None, weeks: int | None
) -> _Looks:
    told_by = [f"{name}_mean" for name in DIP_INDICES if f"{name}_mean" in signals]
    found, kind = judged_looks(signals[[schema.PARCEL, "date", "known_at", "valid_fraction", *told_by]], issued)
    place = _places(found[schema.PARCEL], pd.Index(parcels[schema.PARCEL].astype("str")))
    own = place >= 0
    day, overpass = _days(found["date"])[own], None if scenes is None else _overpasses(scenes, issued)
    days = day if overpass is None else np.concatenate([day, overpass])
    first, past = 0, 0
    if len(days):
        past = _monday(days.max()) + 7 if issued is None else _monday(_days(pd.Series([schema.day(issued)]))[0] + 1)
        first = _monday(days.min()) if weeks is None else max(_monday(days.min()), past - 7 * weeks)
    order, starts = pack(place[own], day, len(parcels))
    return _Looks(day[order], (kind[own] == CLEAR)[order], starts, overpass, np.arange(first, past, 7))


def _weekly(looks: _Looks, zones: pd.Series) -> pd.DataFrame:
    """Return the report by zone, of which ``zones`` gives each parcel's."""
    zone, names = pd.factorize(zones, sort=True)
    weeks = len(looks.mondays)
    sizes = np.bincount(zone, minlength=len(names))
    found = count_weeks(looks.day, looks.clear, looks.starts, zone.astype(np.int64), looks.first, weeks, LATE)
    mondays = looks.mondays.astype("datetime64[D]").astype("datetime64[us]")
    columns: dict[str, NDArray[Any]] = {
        "week": np.repeat(mondays, len(names)),
        "zone": np.tile(np.asarray(names, object), weeks),
        "parcels": np.tile(sizes, weeks),
    }
    if looks.overpass is not None:
        own = looks.overpass[(looks.overpass >= looks.first) & (looks.overpass < looks.first + 7 * weeks)]
        columns["overpasses"] = np.repeat(np.bincount((own - looks.first) // 7, minlength=weeks)[:weeks], len(names))
    columns |= {
        "looks": found.looks.ravel(),
        "looked_at": found.looked_at.ravel(),
        "clear": found.clear.ravel(),
        "clear_share": (found.clear / sizes).ravel(),
        "clear_share_4_weeks": (found.recent / sizes).ravel(),
        "median_age_days": found.median_age.ravel(),
    }
    return pd.DataFrame(columns).astype({"zone": "str"})


def _zones(parcels: pd.DataFrame, by: str | None) -> pd.Series:
    if by is None:
        return pd.Series(ALL, index=parcels.index, dtype="str")
    if by not in parcels:
        raise SchemaError(f"parcels have no column {by!r} to part the report by; found {', '.join(map(str, parcels))}")
    texts: pd.Series = parcels[by].astype("object").convert_dtypes().astype("string").fillna("").astype("str")
    return texts


def _places(parcel: pd.Series, ids: pd.Index) -> Numbers:
    if isinstance(parcel.dtype, pd.CategoricalDtype):  # each parcel looked up once, not once a row
        return ids.get_indexer(parcel.cat.categories)[parcel.cat.codes.to_numpy()]
    return ids.get_indexer(pd.Index(parcel.astype("str")))


def _overpasses(scenes: pd.DataFrame, issued: Any) -> Numbers:
    known = scenes if issued is None or scenes.empty else scenes.loc[scenes["known_at"] <= schema.day(issued)]
    return np.unique(_days(known["date"].astype("datetime64[us]")))


def _days(dates: pd.Series) -> Numbers:
    return dates.to_numpy("datetime64[D]").astype(np.int64)


def _monday(day: int | np.int64) -> int:
    """Return the Monday of a day; day 0, 1970-01-01, was a Thursday."""
    return int((day + 3) // 7 * 7 - 3)
