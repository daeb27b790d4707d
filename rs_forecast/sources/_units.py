"""Declared units of weather, turned into ours (``schema.WEATHER_VARIABLES``): one table for every source."""

from __future__ import annotations

from typing import NamedTuple

VAPOUR, DEWPOINT = "vapour_pressure", "dewpoint"


class Conversion(NamedTuple):
    """``ours = theirs * factor + offset``."""

    factor: float
    offset: float = 0.0


_TEMPERATURE = {
    "K": Conversion(1.0, -273.15),
    **dict.fromkeys(("degC", "C", "°C", "celsius"), Conversion(1.0)),
    "°F": Conversion(5 / 9, -160 / 9),
}
_PRESSURE = {"hPa": Conversion(1.0), "Pa": Conversion(0.01), "kPa": Conversion(10.0), "mbar": Conversion(1.0)}
_PERCENT = {"%": Conversion(1.0), "percent": Conversion(1.0), "1": Conversion(100.0)}
_HOURS = {
    "h": Conversion(1.0), "hours": Conversion(1.0), "min": Conversion(1 / 60), "s": Conversion(1 / 3600),
}  # fmt: skip
_SPEED = {"m s-1": Conversion(1.0), "km h-1": Conversion(1 / 3.6)}
_DEPTH = {"mm": Conversion(1.0), "kg m-2": Conversion(1.0), "m": Conversion(1000.0)}
_ENERGY = {"J m-2": Conversion(1e-6), "kJ m-2": Conversion(1e-3), "MJ m-2": Conversion(1.0)}

UNITS: dict[str, dict[str, Conversion]] = {
    **dict.fromkeys(("temp_mean", "temp_min", "temp_max", "temp", DEWPOINT), _TEMPERATURE),
    **dict.fromkeys(("rh_mean", "rh_min", "rh_max", "rh"), _PERCENT),
    **dict.fromkeys(("sunshine_hours", "wet_hours"), _HOURS),
    VAPOUR: _PRESSURE,
    **dict.fromkeys(("wind_mean", "wind", "wind_u", "wind_v"), _SPEED),
    "rain_sum": {
        **_DEPTH,
        **{f"{unit} d-1": how for unit, how in _DEPTH.items()},
        **dict.fromkeys(("kg m-2 s-1", "mm s-1"), Conversion(86400.0)),
    },
    "rain": {
        **_DEPTH,
        **{f"{unit} h-1": how for unit, how in _DEPTH.items()},
        **dict.fromkeys(("kg m-2 s-1", "mm s-1"), Conversion(3600.0)),
    },
    "radiation_sum": {
        **_ENERGY,
        **{f"{unit} d-1": how for unit, how in _ENERGY.items()},
        "kWh m-2 d-1": Conversion(3.6),
        "W m-2": Conversion(0.0864),
    },
    "radiation": {**_ENERGY, **{f"{unit} h-1": how for unit, how in _ENERGY.items()}, "W m-2": Conversion(0.0036)},
    "wet": {"1": Conversion(1.0), "h": Conversion(1.0), "min": Conversion(1 / 60), "%": Conversion(0.01)},
    "sunshine": {"1": Conversion(1.0), "h": Conversion(1.0), "min": Conversion(1 / 60), "s": Conversion(1 / 3600)},
}
"""Per variable of a day, or of an hour (``temp``, ``rain`` ...): declared unit -> how it becomes ours."""


def conversion(name: str, declared: str) -> Conversion | None:
    """Return how values of variable ``name`` in a ``declared`` unit become ours; None for a unit that is not known."""
    text = declared.strip().replace("**", "").replace("^", "").replace("²", "2")
    for given, meant in (("/day", " d-1"), ("/hour", " h-1"), ("/m2", " m-2"), ("/s", " s-1"), ("/h", " h-1")):
        text = text.replace(given, meant)
    text = " ".join(text.split()).replace("day-1", "d-1").replace("hr-1", "h-1")
    return UNITS[name].get(text)
