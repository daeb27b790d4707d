"""Bytes to text: Unicode, Windows code pages, and TCVN3, the code of the ABC fonts that older offices still hold.

TCVN3 is the third set of TCVN 5712:1993. Python has no codec for it, so its table stands here, whole (the first set,
VN1, which contains the others). The fonts have capitals with tones only as separate fonts (.VnTimeH) over the codes of
small letters: such texts decode to small letters, and names are compared without case.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable

import pandas as pd

from rs_forecast.errors import ConfigError, DataWarning, SchemaError
from rs_forecast.sources._vietnamese import is_syllable

CARRIER = "ISO-8859-1"
"""Reads each byte as the character of its number, so that nothing is lost before the table is applied; GDAL knows it
by this name."""

_TCVN3 = re.compile(r"tcvn[-_ ]?(3|5712([-_:]1)?([-_:]1993)?)?|abc", re.IGNORECASE)
_LOW = {
    0x01: "Ú", 0x02: "Ụ", 0x04: "Ừ", 0x05: "Ử", 0x06: "Ữ", 0x11: "Ứ", 0x12: "Ự", 0x13: "Ỳ", 0x14: "Ỷ", 0x15: "Ỹ",
    0x16: "Ý", 0x17: "Ỵ",
}  # fmt: skip
_HIGH = (
    "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ"  # 80-9F
    "\u00a0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴ"  # A0-BF; B0-B4 follow the letter they mark
    "ẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịò"  # C0-DF
    "Ổỏõóọồổỗốộờởỡớợù"  # E0-EF
    "ỖủũúụừửữứựỳỷỹýỵỐ"  # F0-FF
)
_TABLE = _LOW | dict(enumerate(_HIGH, start=0x80))
_MISREAD = {code: char for code, char in _TABLE.items() if code > 0xA0 and not unicodedata.combining(char)}
"""What a reader of Latin-1 makes of TCVN3; ° ± ² ³ ´ are left, for where they stand they are mostly meant."""

_CANDIDATES = ("utf-8", "tcvn3", "windows-1258", "windows-1252")
_CELL = re.compile(rb"[^,;\t\r\n]*")
_WORD = re.compile(r"[^\s!-@\[-`{-~]+")
_DECLARE = 'encoding = "{}"'


def is_tcvn3(encoding: str | None) -> bool:
    """Return whether the name is one of TCVN3's: tcvn3, abc, tcvn, tcvn-5712."""
    return encoding is not None and _TCVN3.fullmatch(encoding.strip()) is not None


def check_encoding(encoding: str | None, name: str) -> None:
    """Raise ConfigError for an encoding that is not known."""
    if is_tcvn3(encoding):
        return
    try:
        "".encode(encoding or "utf-8")
    except LookupError as err:
        raise ConfigError(f'{name}: {err}; allowed is an encoding such as "utf-8", "windows-1258" or "tcvn3"') from err


def decode(data: bytes, encoding: str | None, name: str) -> str:
    """Return ``data`` as composed text (NFC): as declared, else by its mark, else as UTF-8; never by a guess.

    Raises
    ------
    SchemaError
        It is no text, or not in that encoding; the message says how candidates would read the first such cell.
    ConfigError
        There is no such encoding.
    """
    check_encoding(encoding, name)
    if encoding is None and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    if encoding is None and b"\0" in data[:4096]:
        raise SchemaError(f"{name}: it is not text; save the table as CSV (UTF-8)")
    try:
        return _decoded(data, encoding or "utf-8-sig")
    except UnicodeDecodeError as err:
        row = data.count(b"\n", 0, err.start) + 1
        raise SchemaError(
            f"{name}: row {row} is not {err.encoding} (byte {err.start} is 0x{data[err.start]:02x}); save it as CSV "
            f"(UTF-8), or declare what it is:{readings(_cell(data, err.start))}"
        ) from err


def from_carrier(text: str) -> str:
    """Return what the bytes of TCVN3 say that were read with :data:`CARRIER`."""
    return _composed(text.translate(_TABLE))


def mended(text: str) -> str:
    """Return TCVN3 that some program took for Latin-1 as the text it is; one with other letters stays as it is."""
    if text.isascii() or max(text) > "\xff":
        return text
    return _composed(text.translate(_MISREAD))


def is_misread(text: str) -> bool:
    """Return whether ``text`` looks like TCVN3 taken for Latin-1: mended, every word is a syllable; as it is, not."""
    if text.isascii() or max(text) > "\xff":
        return False
    words = [word for word in _WORD.findall(text) if not word.isascii() and (len(word) > 1 or word.isalpha())]
    as_it_is = all(is_syllable(word) for word in words)
    return bool(words) and not as_it_is and all(is_syllable(mended(word)) for word in words)


def readings(cell: bytes) -> str:
    """Return, a line each, what a cell would read as in each candidate encoding, the likeliest first."""
    found: dict[str, str] = {}
    for encoding in _CANDIDATES:
        try:
            text = _decoded(cell, encoding)
        except UnicodeDecodeError:
            continue
        if text not in found.values():
            found[encoding] = text
    ranked = sorted(found.items(), key=lambda item: -_share_of_syllables(item[1]))
    return "".join(f"\n  {_DECLARE.format(encoding):<26} reads {text!r}" for encoding, text in ranked)


def warn_of_misread(texts: Iterable[object], name: str, place: str, stacklevel: int = 3) -> None:
    """Name TCVN3 that some program took for Latin-1, once a file, with what it would say and how to declare it."""
    odd = next((text for text in texts if isinstance(text, str) and is_misread(text)), None)
    if odd is not None:
        message = (
            f"{name}: texts such as {odd!r} look like TCVN3 (ABC fonts) taken for Latin-1, and would read "
            f'{mended(odd)!r}. If that is right, set encoding = "tcvn3" under [{place}], or save the file in Unicode'
        )
        warnings.warn(DataWarning(message), stacklevel=stacklevel)


def mend_texts(values: pd.Series, name: str) -> pd.Series:
    """Return a column of texts from a Unicode file declared as TCVN3, mended; name texts that have to stay."""
    marked = [v for v in values.unique() if isinstance(v, str) and not v.isascii()]
    stay = [v for v in marked if max(v) > "\xff"]
    if stay and len(stay) < len(marked):
        text = (
            f"{name}: declared as TCVN3, but texts such as {stay[0]!r} hold letters of Unicode. These stay as they are"
        )
        warnings.warn(DataWarning(text), stacklevel=4)
    return values.map({v: mended(v) for v in marked}.get).fillna(values) if marked else values


def _decoded(data: bytes, encoding: str) -> str:
    return from_carrier(data.decode(CARRIER)) if is_tcvn3(encoding) else _composed(data.decode(encoding))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _cell(data: bytes, at: int) -> bytes:
    """Return the cell around a byte, 60 bytes at most."""
    before = data[max(at - 30, 0) : at]
    start = at - len(re.split(rb"[,;\t\r\n]", before)[-1])
    found = _CELL.match(data, start, start + 60)
    return found[0].strip() if found else data[at : at + 1]


def _share_of_syllables(text: str) -> float:
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    return sum(is_syllable(word) for word in words) / max(len(words), 1)
