"""What is wrong with a config, in the words of who wrote it: file, line, key, what was found, what is allowed."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rs_forecast.config._types import Keys, Part
from rs_forecast.errors import suggest

_WORDS = {"tuple_type": 'allowed is a list such as ["a", "b"]', "path_type": "allowed is a path, as text"}
"""Where pydantic speaks of Python, and the reader of TOML."""


def message(whole: type[Part], file: Path, text: str, data: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """Return an error of pydantic's in words.

    Parameters
    ----------
    whole
        The class of all tables, for the names of keys that are known.
    file, text, data
        The config file, what it holds, and that as TOML is read.
    item
        One of ``ValidationError.errors()``.
    """
    kind = item["type"]
    loc = (
        item["ctx"]["path"] if kind == "catalog" else item["loc"] if kind == "missing" else _written(data, item["loc"])
    )
    place = f"{file}{line_of(text, loc)}: {'.'.join(map(str, loc)) or 'config'}"
    said = _WORDS.get(kind, item["msg"].removeprefix("Value error, "))
    if kind == "extra_forbidden":
        known = _known(whole, loc[:-1])
        return f"{place}: there is no such key{suggest(str(loc[-1]), known) or '.'} Known here: {', '.join(known)}"
    if kind == "missing":
        return f"{place}: is missing; add it"
    if kind == "catalog":
        return f"{place}: {said}"
    return f"{place}: found {_shown(item['input'])}; {said}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _written(data: Any, loc: Keys) -> Keys:
    """Return what of ``loc`` is in the file; pydantic adds which type of several it tried."""
    found: Keys = ()
    for part in loc:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            data = data[part]
            found += (part,)
    return found


def _known(whole: type[Part], loc: Keys) -> list[str]:
    part: Any = whole
    for name in loc:
        field = part.model_fields.get(name)
        if field is None:  # a name of the user's own, or a number in a list
            break
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        part = next((t for t in inner if issubclass(t, Part)), part)
    return [field.alias or name for name, field in part.model_fields.items()]


def line_of(text: str, loc: Keys) -> str:
    """Return ``, line N`` of what ``loc`` leads to, or of what holds it; an empty text where nothing is written."""
    places = list(_places(text))
    for depth in range(len(loc), 0, -1):
        for number, path in places:
            if path[:depth] == loc[:depth]:
                return f", line {number}"
    return ""


def _places(text: str) -> Iterator[tuple[int, Keys]]:
    """Yield the number of each line that opens a table or sets a key, and the path to it."""
    table: Keys = ()
    seen: Counter[Keys] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            table = _keys(header[2])
            if header[1] == "[[":
                seen[table] += 1
                table += (seen[table] - 1,)
            yield number, table
        elif key := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            yield number, table + _keys(key[1])


def _keys(dotted: str) -> Keys:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
