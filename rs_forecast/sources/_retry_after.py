"""How long a server asks to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(said: str | None, unit: float = 1.0) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for; None where there is none, or nonsense.

    Parameters
    ----------
    said
        The header: a number, or a date.
    unit
        What the number counts [s].
    """
    text = str(said or "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        return float(text) * unit
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return max((due.replace(tzinfo=due.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
