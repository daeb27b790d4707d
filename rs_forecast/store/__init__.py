"""The signals store: statistics of scenes kept between runs, so that a week's job computes only what is new."""

from rs_forecast.store.store import SignalStore, Update

__all__ = ["SignalStore", "Update"]
