"""Write the tables of docs/guide.md from the rows they describe; with --check, fail if they are not up to date."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from rs_forecast.catalog import INDICES, INSECTS, PESTS, STAGES, WEATHER_FEATURES
from rs_forecast.catalog.indices import GROUPS
from rs_forecast.schema import WEATHER_VARIABLES

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide.md"
BEGIN, END = "<!-- tables:begin (made by scripts/make_tables.py) -->", "<!-- tables:end -->"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables() -> str:
    """Return all tables, each under its heading."""
    weather = ((f"`{f.name}`", f"{f.doc} [{f.unit}]", f"{f.low:g} to {f.high:g}") for f in WEATHER_VARIABLES)
    pests = ((f"`{p.name}`", p.crop, p.event_text, "yes" if p.verified else "no", p.source) for p in PESTS.values())
    features = ((f"`{w.name}`", f"{w.words} [{w.unit}]") for w in WEATHER_FEATURES.values())
    stages = ((s.crop, s.stage, s.label, f"{s.bbch[0]}-{s.bbch[1]}", _days(s.days)) for s in STAGES.values())
    return "\n\n".join(
        (
            "### Weather variables",
            table(("column", "what", "allowed"), weather),
            "### Weather features",
            table(("feature", "what"), features),
            "### Indices",
            *index_tables(),
            "### Pests",
            table(("pest", "crop", "event", "threshold verified", "source of the threshold"), pests),
            "### Insects by degree-days",
            table(("insect", "stage", "lower [°C]", "upper [°C]", "needs [°C d]", "verified"), insect_rows()),
            "### Stages",
            table(("crop", "stage", "label", "BBCH", "days"), stages),
        )
    )


def insect_rows() -> Iterator[tuple[str, ...]]:
    """Yield a row a stage."""
    for insect in INSECTS.values():
        for s in insect.stages:
            upper = f"{s.upper:g}" if math.isfinite(s.upper) else "none found"
            verified = "yes" if insect.verified else "no"
            yield f"`{insect.name}`", s.name, f"{s.lower:g}", upper, f"{s.degree_days:.1f}", verified


def _days(days: tuple[float, float]) -> str:
    return f"{days[0]:.3g}-{days[1]:.3g}" if days[1] else "a moment"


def index_tables() -> Iterator[str]:
    """Yield a table a group of indices, under the group's name; the link holds the DOI."""
    for group, words in GROUPS.items():
        rows = [
            (
                f"[`{i.name}`](https://doi.org/{quote(i.doi)})",
                i.doc,
                f"`{i.formula}`",
                f"{i.valid[0]:g} to {i.valid[1]:g}{'' if i.unit == '1' else f' {i.unit}'}",
            )
            for i in INDICES.values()
            if i.group == group
        ]
        if rows:
            yield f"#### {group}: {words}"
            yield table(("index and paper", "what it tells", "formula", "valid"), rows)


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = GUIDE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"
    if check and new != text:
        print("docs/guide.md is behind the catalogue; call: python scripts/make_tables.py", file=sys.stderr)
        return 1
    if not check:
        GUIDE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
