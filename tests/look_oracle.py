"""The rule of which looks count, in plain Python, for tests to hold the code against."""

from __future__ import annotations

import pandas as pd


def plain_looks(signals: pd.DataFrame, issued: pd.Timestamp) -> dict[tuple[str, pd.Timestamp], str]:
    """Return ``clear``, ``cloudy`` or ``dip`` by (parcel, day), from NDVI, as known at ``issued``."""
    newest = {}
    for row in signals.itertuples():
        key = (row.parcel_id, row.date)
        known = row.known_at <= issued and row.date <= issued
        if known and (key not in newest or newest[key].known_at < row.known_at):
            newest[key] = row
    out = {key: "clear" if row.valid_fraction >= 0.5 else "cloudy" for key, row in newest.items()}
    for parcel in {parcel for parcel, _ in newest}:
        series = [newest[key] for key in sorted(newest) if key[0] == parcel and out[key] == "clear"]
        before = None
        for at, look in enumerate(series):
            after = series[at + 1] if at + 1 < len(series) else None
            sides = [side for side in (before, after) if side is not None and abs((side.date - look.date).days) <= 45]
            if len(sides) == 2 and all(look.ndvi_mean < side.ndvi_mean - 0.1 for side in sides):
                out[parcel, look.date] = "dip"
            else:
                before = look
    return out
