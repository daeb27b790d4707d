"""Names: spellings that are one, and marks that are not spelling."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast.sources._tables import as_spelled, unknown_names
from rs_forecast.sources._vietnamese import is_syllable, match_key, unmarked_twin, without_marks

_TONES = "\u0300\u0301\u0303\u0309\u0323"
_TEXT = (
    "hoà khoẻ thuý giữa nước ruộng lúa xã phường tịnh biên nghiêng quốc quyết khuỷu ngoằn ngoèo đắk rươi hươu gì giếng "
    "tuyệt ức uyển oẳn yên yếu khuya quạ chuối thuở"
)
WORDS = _TEXT.split()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hoà", "hòa"), ("thuý", "thúy"), ("khoẻ", "khỏe"), ("Hoà  Bình", " HÒA BÌNH "), ("loà xoà", "lòa xòa"),
        ("Ðông", "Đông"), ("Tịnh\u00a0Biên", "Tịnh Biên"),
    ],
)  # fmt: skip
def test_spellings_of_one_name_meet(one, other):
    assert match_key(one) == match_key(other)
    for form in ("NFC", "NFD"):
        assert match_key(unicodedata.normalize(form, one)) == match_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("hòa", "hoa"), ("hòa", "hóa"), ("hòa", "hỏa"), ("đa", "da"), ("bơ", "bo"), ("tân", "tan"), ("cân", "căn"),
     ("Thạnh", "Thành"), ("élan", "elán"), ("P-1", "P-2"), ("hòa bình", "hòabình")],
)  # fmt: skip
def test_marks_and_letters_are_no_spelling(one, other):
    assert match_key(one) != match_key(other)


@given(st.lists(st.sampled_from(WORDS), min_size=1), st.lists(st.sampled_from(WORDS), min_size=1))
def test_keys_are_equal_only_where_letters_and_tones_are(one, other):
    """An independent way to say it: per word, the letters without tones, and the tone."""

    def said(words):
        parts = []
        for word in words:
            plain = unicodedata.normalize("NFD", word)
            parts.append(("".join(c for c in plain if c not in _TONES), [c for c in plain if c in _TONES]))
        return parts

    assert (match_key(" ".join(one)) == match_key(" ".join(other))) == (said(one) == said(other))


@given(st.text(max_size=30))
def test_a_key_is_its_own_key(text):
    assert match_key(match_key(text)) == match_key(text)


@pytest.mark.parametrize("word", WORDS)
def test_syllables_are_known(word):
    assert is_syllable(word)
    assert is_syllable(unicodedata.normalize("NFD", word.upper()))


@pytest.mark.parametrize("word", ["fa", "bhà", "café", "àá", "hoacp", "lat", "Français", "", "zơ", "bơnh", "tiªu"])
def test_what_is_no_syllable_is_none(word):
    assert not is_syllable(word)


def test_marks_are_taken_away_for_a_suggestion_alone():
    assert without_marks("Đồng Tháp") == "dong thap"
    assert unmarked_twin("Dong Thap", ["Đồng Tháp", "An Giang"]) == "Đồng Tháp"
    assert unmarked_twin("Hoa", ["Hòa", "Hóa"]) is None


def test_ids_are_joined_over_spellings_and_never_over_marks():
    known = ["Hòa Bình 1", "Hoa Bình 1", "a-1", "A-2", "a-2"]
    given_ = pd.Series(["HOÀ BÌNH 1", "A-1", "A-2", "Hoá Bình 1", None, "x"], name="parcel_id", index=range(2, 8))
    found = as_spelled(given_, known)
    # exact first; a key that two ids share is no match
    assert found.tolist()[:4] == ["Hòa Bình 1", "a-1", "A-2", "Hoá Bình 1"]
    assert found.isna().tolist() == [False] * 4 + [True, False]
    problems = unknown_names(found, "a parcel_id of the parcels", known)
    assert [problem.found for problem in problems] == ["Hoá Bình 1", "x"]
    only = unknown_names(pd.Series(["Hoa Binh 7"], name="parcel_id"), "a parcel_id", ["Hòa Bình 7", "x"])
    assert only[0].rule == 'a parcel_id (did you mean "Hòa Bình 7"? Marks differ)'
