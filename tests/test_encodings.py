"""Text as it comes: TCVN3, Windows-1258, mis-read TCVN3, and what is proposed where nothing is declared."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.sources._encodings import CARRIER, check_encoding, decode, from_carrier, is_misread, mended, readings

_BASES = "aăâeêioôơuưy"
_TONES = ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
LOWER = [unicodedata.normalize("NFC", base + tone) for base in _BASES for tone in _TONES] + ["đ"]
MARKED = sorted({letter for letter in LOWER if not letter.isascii()})
ALL = MARKED + [letter.upper() for letter in MARKED]
"""The 134 letters of Vietnamese beyond ASCII."""

VN3 = MARKED + list("ĂÂÊÔƠƯĐ")
"""Those that the ABC fonts have: capitals with tones are another font over the codes of small letters."""

BYTES = {decode(bytes([code]), "tcvn3", ""): bytes([code]) for code in range(1, 256)}
SYLLABLES = "lúa rầy nâu đồng ruộng bình thạnh phường xã ốc bươu vàng đạo ôn khô vằn"
SENTENCE = "Rầy nâu gây hại lúa hè thu ở Thoại Sơn, mật độ 750 con/m2"


def test_the_alphabet_is_whole():
    assert (len(MARKED), len(ALL)) == (67, 134)


@pytest.mark.skipif(shutil.which("iconv") is None, reason="iconv is not installed")
def test_every_byte_reads_as_glibc_reads_it():
    for code in range(1, 256):
        for text in (bytes([code]), b"a" + bytes([code])):  # a mark of its own follows its letter
            done = subprocess.run(["iconv", "-f", "TCVN", "-t", "UTF-8"], input=text, capture_output=True, check=False)
            if done.returncode and b"not supported" in done.stderr:
                pytest.skip("this iconv does not know TCVN")
            assert decode(text, "tcvn3", "") == unicodedata.normalize("NFC", done.stdout.decode()), hex(code)


def test_every_vietnamese_letter_has_one_byte_of_its_own():
    assert all(letter in BYTES for letter in ALL)
    # a few of the published table by hand: TCVN 5712:1993, VN3
    for letter, code in {
        "à": 0xB5,
        "ạ": 0xB9,
        "ă": 0xA8,
        "đ": 0xAE,
        "Đ": 0xA7,
        "ế": 0xD5,
        "ư": 0xAD,
        "ỹ": 0xFC,
    }.items():
        assert BYTES[letter] == bytes([code])
    assert all(BYTES[letter][0] >= 0xA1 for letter in VN3)


@given(st.text([*VN3, *"abcxyzABCXYZ 0123,;-"], max_size=60))
def test_tcvn3_text_comes_back_composed(text):
    data = b"".join(BYTES[char] for char in text)
    found = decode(data, "ABC", "")
    assert found == text
    assert unicodedata.is_normalized("NFC", found)
    assert from_carrier(data.decode(CARRIER)) == text


@given(st.text([*ALL, *"abcXYZ 01"], max_size=60))
def test_windows_1258_comes_back_composed(text):
    """The code page holds ă â đ ê ô ơ ư whole and tones as marks of their own."""
    parts = []
    for char in text:
        tone = [mark for mark in unicodedata.normalize("NFD", char) if mark in _TONES and mark]
        rest = "".join(mark for mark in unicodedata.normalize("NFD", char) if mark not in _TONES)
        parts.append(unicodedata.normalize("NFC", rest) + "".join(tone))
    assert decode("".join(parts).encode("cp1258"), "windows-1258", "") == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_is_recognised_and_composed(encoding, form):
    assert decode(unicodedata.normalize(form, SENTENCE).encode(encoding), None, "a.csv") == SENTENCE


def test_what_is_not_declared_is_never_guessed_and_every_reading_is_shown():
    text = "ten;mat do\nA;1\nRầy nâu;2\n"
    data = b"".join(BYTES[char] if not char.isascii() else char.encode() for char in text)
    with pytest.raises(
        SchemaError, match=r"a\.csv: row 3 is not utf-8 \(byte 16 is 0xc7\).*declare what it is"
    ) as caught:
        decode(data, None, "a.csv")
    lines = str(caught.value).splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["encoding", "=", '"tcvn3"', "reads", "'Rầy", "nâu'"],
        ["encoding", "=", '"windows-1258"', "reads", "'RÇy", "n©u'"],
    ]
    assert decode(data, "tcvn3", "a.csv") == text
    with pytest.raises(SchemaError, match="it is not text"):
        decode(b"a\0b", None, "a.csv")


def test_a_reading_that_makes_syllables_stands_first():
    assert readings("lúa đỏ".encode()).lstrip().startswith('encoding = "utf-8"')
    assert readings("lúa đông".encode("cp1258")).lstrip().startswith('encoding = "windows-1258"')


def test_an_unknown_encoding_names_some_that_are_known():
    with pytest.raises(ConfigError, match=r'unknown encoding: tcvn9; allowed .*"windows-1258" or "tcvn3"'):
        check_encoding("tcvn9", "a.csv")
    with pytest.raises(ConfigError, match="a text encoding"):
        check_encoding("base64", "a.csv")
    for name in ("tcvn3", "TCVN3", "abc", "tcvn", "tcvn-5712", "TCVN5712-1:1993"):
        check_encoding(name, "a.csv")


@pytest.mark.parametrize(
    ("misread", "meant"),
    [("Tiªu chuÈn ngµnh", "Tiêu chuẩn ngành"), ("RÇy n©u", "Rầy nâu"), ("X· Mü B×nh", "Xã Mỹ Bình")],
)
def test_tcvn3_taken_for_latin_1_is_recognised_and_mended(misread, meant):
    assert is_misread(misread)
    assert mended(misread) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Bình Hòa", "Thửa 1", "café", "Français", "Köln", "Málaga", "São Paulo", "25 °C", "12 m²", "±5 %", "P-0",
        "insects/m2", "Tiêu chuẩn ngành", "Ngã Năm", "lúa hè", "Lô A · B",
    ],
)  # fmt: skip
def test_other_texts_are_not_taken_for_it(text):
    assert not is_misread(text)


@given(st.lists(st.sampled_from(SYLLABLES.split()), min_size=1))
def test_mending_undoes_the_mistake(words):
    text = " ".join(words)
    wrong = "".join(BYTES[char].decode("latin-1") for char in text)
    assert mended(wrong) == text


def test_marked_text_beyond_latin_1_stays():
    assert mended("Rầy nâu") == "Rầy nâu"
    assert pd.Series(["a"]).map(mended).tolist() == ["a"]
