"""Crops by the names that offices write: a pest's host is found under any of them."""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class Host:
    """One crop. ``name`` is what pests and stages call it."""

    name: str
    aliases: tuple[str, ...]
    """Other names, Vietnamese ones first; their spelling is matched loosely, marks never."""
    doc: str


HOSTS: Table[Host] = Table(
    "crop",
    (
        Host(
            name="rice",
            aliases=("lúa", "cây lúa", "lúa nước", "ruộng lúa", "đất lúa", "lua", "cay lua", "paddy", "paddy rice"),
            doc="rice, flooded",
        ),
        Host(name="maize", aliases=("ngô", "bắp", "cây ngô", "cây bắp", "ngo", "bap", "corn"), doc="maize"),
        Host(name="wheat", aliases=("lúa mì", "lúa mỳ", "lua mi", "winter wheat"), doc="wheat"),
        Host(name="sugar_beet", aliases=("củ cải đường", "sugarbeet", "beet"), doc="sugar beet"),
    ),
)
