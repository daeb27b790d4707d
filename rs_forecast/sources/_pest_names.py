"""Pests by any name that people write: the catalogue's, Vietnamese, an abbreviation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from rs_forecast.catalog import Pest
from rs_forecast.errors import listing, suggest
from rs_forecast.schema import Problem
from rs_forecast.sources._vietnamese import match_key, unmarked_twin

_NUMBER = re.compile(r"^(?:[-+*•]|\d{1,2}[.)/])\s*(?=\D)")
"""What a list puts before a name: ``1. Rầy nâu``, ``- chuột``."""
_WITH_UNIT = re.compile(r"(?P<name>.+?)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]", re.DOTALL)


class PestNames:
    """Finds the catalogue's name of a pest. Spelling is matched loosely, marks never."""

    def __init__(self, pests: Mapping[str, Pest]) -> None:
        self._spellings = {name: (name, name.replace("_", " "), *pest.aliases) for name, pest in pests.items()}
        self._bearers: dict[str, list[str]] = {}
        for name, spellings in self._spellings.items():
            for key in {_key(text) for text in spellings}:
                self._bearers.setdefault(key, []).append(name)

    def find(self, text: str) -> str | None:
        """Return the catalogue's name, None where there is none or more than one."""
        if text in self._spellings:
            return text
        found = self._bearers.get(_key(text), [])
        return found[0] if len(found) == 1 else None

    def rule(self, text: str) -> str:
        """Return what is allowed where ``text`` is found, with what it may have meant."""
        several = self._bearers.get(_key(text), [])
        if len(several) > 1:
            return f"a pest that one name means; several are called so: {listing(several)}. Write the one that is meant"
        known = [spelling for spellings in self._spellings.values() for spelling in spellings]
        twin = unmarked_twin(text, known)
        if twin is not None:
            return f'a known pest (did you mean "{twin}"? Marks differ)'
        near = suggest(text, self._spellings) or suggest(text, known)
        return f"a known pest ({near[2:]})" if near else "a known pest"

    def resolve(self, names: pd.Series) -> tuple[pd.Series, list[Problem]]:
        """Return ``names`` as the catalogue's, unknown ones as they are, and a problem for each of these."""
        unique = [str(name) for name in names.dropna().unique()]
        found = {name: self.find(name) for name in unique}
        moved = {name: new for name, new in found.items() if new is not None and new != name}
        strange = names[names.isin([name for name in unique if found[name] is None])]
        rules = {name: self.rule(name) for name in strange.unique()[:5]}
        problems = [Problem(row, "pest", name, rules.get(name, "a known pest")) for row, name in strange.items()]
        return (names.replace(moved) if moved else names), problems


def split_unit(heading: str) -> tuple[str, str | None]:
    """Return a heading's name and unit: ``Rầy nâu (con/m2)`` has both."""
    found = _WITH_UNIT.fullmatch(heading.strip())
    return (found["name"], found["unit"].strip()) if found else (heading.strip(), None)


def _key(text: str) -> str:
    return _NUMBER.sub("", match_key(text.replace("_", " ").replace("-", " ")).strip(" .:;"))
