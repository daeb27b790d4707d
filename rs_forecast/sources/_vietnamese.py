"""Words of Vietnamese: which runs of letters can be a syllable, and a key under which spellings of a name meet.

A syllable is an initial, a vowel or several, a final, and at most one tone. Unicode can hold the same name in several
ways: composed or not, with the tone on one vowel or the other (hoà, hòa), with a look-alike of đ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

TONES = "\u0300\u0301\u0303\u0309\u0323"
"""Grave, acute, tilde, hook, dot below: combining marks that say a syllable's tone."""

_STOPPED = "\u0301\u0323"
"""Tones that a syllable ending in c, ch, k, p or t may have."""

_VOWELS = frozenset("aeiouy")
_LOOK_ALIKE = str.maketrans({"ð": "đ", "Ð": "Đ", "ɖ": "đ", "Ɖ": "Đ"})
_SPACES = re.compile(r"\s+")
_SYLLABLE = re.compile(
    "(?:ngh|ch|gh|gi|kh|ng|nh|ph|qu|th|tr|[bcdđghklmnpqrstvx])?"
    "(?P<nucleus>uyê[u]?|iêu|yêu|oai|oao|oay|oeo|uây|uôi|uya|uyu|uêu|ươi|ươu|"
    "ai|ao|au|ay|âu|ây|eo|êu|ia|iê|iu|oa|oă|oe|oi|oo|ôi|ơi|ua|uâ|uă|ui|uê|uô|uơ|uy|ưa|ưi|ươ|ưu|yê|[aăâeêioôơuưy])"
    "(?P<final>ch|nh|ng|[ckmnpt])?"
)
_BEFORE_NH = ("a", "ê", "i", "y", "oa", "uê", "uy")


def match_key(text: str) -> str:
    """Return a key that is equal for spellings of one name, and different where letters or marks differ.

    Case, runs of spaces, composed and decomposed letters, and the place of a tone in its group of vowels do not
    matter: ``Hoà  Bình`` and ``hòa bình`` meet. No mark is taken away: ``Hòa``, ``Hỏa`` and ``Hoa`` stay three.
    """
    plain = unicodedata.normalize("NFC", text).translate(_LOOK_ALIKE).casefold()
    out: list[str] = []
    tones: list[str] = []
    for char in unicodedata.normalize("NFD", _SPACES.sub(" ", plain).strip()):
        if char in TONES and out:
            tones.append(char)
            continue
        if tones and not unicodedata.combining(char) and char not in _VOWELS:
            out += tones
            tones = []
        out.append(char)
    return unicodedata.normalize("NFC", "".join(out + tones))


def without_marks(text: str) -> str:
    """Return the key with every mark taken away: for a suggestion, never for a match."""
    bare = unicodedata.normalize("NFD", match_key(text)).replace("đ", "d")
    return "".join(char for char in bare if not unicodedata.combining(char))


def unmarked_twin(name: str, known: Iterable[str]) -> str | None:
    """Return the only one of ``known`` that equals ``name`` when marks are taken away, or None."""
    bare = without_marks(name)
    twins = {other for other in known if without_marks(other) == bare}
    return twins.pop() if len(twins) == 1 else None


def is_syllable(word: str) -> bool:
    """Return whether ``word`` can be a syllable of Vietnamese."""
    letters: list[str] = []
    tones: list[str] = []
    for char in unicodedata.normalize("NFD", word.casefold()):
        (tones if char in TONES else letters).append(char)
    found = _SYLLABLE.fullmatch(unicodedata.normalize("NFC", "".join(letters)))
    if found is None or len(tones) > 1:
        return False
    final = found["final"] or ""
    if final in ("ch", "nh") and found["nucleus"] not in _BEFORE_NH:
        return False
    return final not in ("c", "ch", "k", "p", "t") or (bool(tones) and tones[0] in _STOPPED)
