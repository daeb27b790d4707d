from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.catalog import BANDS, INDICES, Index
from rs_forecast.catalog.formula import parse
from rs_forecast.errors import ConfigError
from rs_forecast.kernels.bandmath import link

FUNCTIONS = {
    "sqrt": np.sqrt, "abs": np.abs, "exp": np.exp, "log": np.log, "tanh": np.tanh, "min": np.minimum, "max": np.maximum,
}  # fmt: skip
NAMES = ("nir", "red", "blue")
ANY = (-np.inf, np.inf)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def by_python(text, bands):
    """Evaluate a formula as Python does, on numpy arrays; its numbers take the type of the bands."""
    kind = next(iter(bands.values())).dtype.type
    names = {**FUNCTIONS, **bands, "K": kind, "__builtins__": {}}
    with np.errstate(all="ignore"):
        return np.asarray(eval(_NUMBER.sub(r"K(\g<0>)", text), names))  # noqa: S307 - the oracle; texts of this file


def run(text, bands, valid=ANY):
    program = link([parse(text)], [valid])
    return program.run(np.array([bands[name] for name in program.bands], np.float32))[0]


def random_bands(seed, size=3000, low=0.0, high=1.2):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(low, high, size).astype(np.float32) for name in BANDS}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("seed", [1, 2])
def test_oracle_every_index_is_its_plain_formula(name, seed):
    index, bands = INDICES[name], random_bands(seed)
    found = run(index.formula, bands, index.valid)
    assert found.dtype == np.float32
    low, high = index.valid
    inside = np.isfinite(found)
    assert inside.mean() > 0.2
    assert ((found[inside] >= low) & (found[inside] <= high)).all()
    exact = by_python(index.formula, {k: v.astype(np.float64) for k, v in bands.items()})
    sure = (exact > low + 1e-3) & (exact < high - 1e-3)
    assert inside[sure].all()
    np.testing.assert_allclose(found[sure], exact[sure], rtol=1e-4, atol=1e-5)
    assert not inside[(exact < low - 1e-3) | (exact > high + 1e-3)].any()


@pytest.mark.parametrize("name", INDICES)
def test_every_index_of_a_missing_band_is_missing(name):
    index = INDICES[name]
    for band in index.parsed.names:
        bands = random_bands(3, 500)
        bands[band][::2] = np.nan
        found = run(index.formula, bands, index.valid)
        assert np.isnan(found[::2]).all()
        assert np.isfinite(found[1::2]).any()


@pytest.mark.parametrize("name", INDICES)
def test_every_index_bears_extremes(name):
    index = INDICES[name]
    values = np.array([0, 1e-30, 1e-4, 1, 10, 1e30, np.inf, -np.inf, -1, np.nan], np.float32)
    grids = np.meshgrid(*[values] * len(index.parsed.names))
    found = run(index.formula, {n: g.ravel() for n, g in zip(index.parsed.names, grids, strict=True)}, index.valid)
    low, high = index.valid
    assert (np.isnan(found) | ((found >= low) & (found <= high))).all()


def test_known_values():
    bands = {
        "nir": np.array([0.4, 0.5]), "red": np.array([0.1, 0.5]), "blue": np.array([0.05, 0.0]),
        "red_edge1": np.array([0.2, 0.5]), "swir1": np.array([0.3, 0.1]),
    }  # fmt: skip
    by_hand = {
        "ndvi": [0.6, 0.0],
        "evi": [2.5 * 0.3 / (0.4 + 0.6 - 0.375 + 1), 0.0],
        "ndre": [1 / 3, 0.0],
        "lswi": [1 / 7, 2 / 3],
    }
    for name, values in by_hand.items():
        np.testing.assert_allclose(run(INDICES[name].formula, bands, INDICES[name].valid), values, rtol=1e-6)


def test_several_formulas_share_bands_and_keep_their_own_ranges():
    bands = random_bands(5)
    rows = [INDICES[name] for name in ("ndvi", "evi", "ndre", "lswi")]
    program = link([row.parsed for row in rows], [row.valid for row in rows])
    assert program.bands == ("nir", "red", "blue", "red_edge1", "swir1")
    found = program.run(np.array([bands[name] for name in program.bands]))
    for row, values in zip(rows, found, strict=True):
        np.testing.assert_array_equal(values, run(row.formula, bands, row.valid))


def test_the_range_is_inclusive_and_beyond_it_a_pixel_is_missing():
    values = np.array([-1.5, -1.0, 0.0, 2.0, 2.5, np.inf, np.nan], np.float32)
    nan = np.nan
    np.testing.assert_array_equal(run("nir", {"nir": values}, (-1.0, 2.0)), [nan, -1.0, 0.0, 2.0, nan, nan, nan])


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 5000])
def test_blocks_of_any_length(size):
    bands = random_bands(7, size)
    np.testing.assert_array_equal(run("nir - 2 * red", bands), by_python("nir - 2 * red", bands))


@st.composite
def formulas(draw, depth=3):
    """A formula as a text, brackets left out at random so that Python's precedence decides."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([*NAMES, "2", "0.5", "1.25", "3"]))
    left, right = draw(formulas(depth=depth - 1)), draw(formulas(depth=depth - 1))
    sign = draw(st.sampled_from(["+", "-", "*", "/"]))
    form = draw(st.sampled_from(["{0} {2} {1}"] * 3 + ["({0} {2} {1})", "-{0}", "+{0}", "sqrt({0})", "abs({0})",
                                 "min({0}, {1})", "max({0}, {1})"]))  # fmt: skip
    return form.format(left, right, sign)


@settings(max_examples=400)
@given(text=formulas(depth=5), seed=st.integers(0, 99))
def test_property_any_formula_is_what_python_makes_of_it(text, seed):
    bands = {name: values for name, values in random_bands(seed, 40, -1.0, 1.0).items() if name in NAMES}
    if not re.search("nir|red|blue", text):
        with pytest.raises(ConfigError, match="names no band"):
            parse(text)
        return
    np.testing.assert_array_equal(run(text, bands), by_python(text, bands))  # the same bits: both count in float32
    for name in parse(text).names:
        holed = {**bands, name: np.full(40, np.nan, np.float32)}
        assert np.isnan(run(text, holed)).all()


@pytest.mark.parametrize("text", ["nir ** 2", "nir ** 0.5", "2 ** red", "nir ** red", "-nir ** 2", "2 ** -red ** 2"])
def test_powers(text):
    bands = random_bands(11)
    np.testing.assert_allclose(run(text, bands), by_python(text, bands), rtol=2e-6)


@pytest.mark.parametrize(
    "text", ["exp(nir - red)", "log(nir)", "log(-nir)", "tanh(nir / red)", "-exp(-nir) * log(red + 1)", "exp(99 * nir)"]
)
def test_exponentials(text):
    bands = random_bands(12)
    np.testing.assert_allclose(run(text, bands), by_python(text, bands), rtol=2e-6)
    edges = {name: np.array([0, -1, np.nan, 1e30, np.inf], np.float32) for name in NAMES}
    np.testing.assert_allclose(run(text, edges), by_python(text, edges), rtol=2e-6)


@pytest.mark.parametrize("text", ["nir ** 0", "1 ** nir", "(nir - nir) ** 0", "min(nir, 1)", "max(1, nir)", "0 * nir"])
def test_missing_stays_missing_where_floating_point_would_forget_it(text):
    found = run(text, {"nir": np.array([np.nan, 0.5], np.float32)})
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("nir ** red ** blue", "nir ** (red ** blue)"),
        ("nir - red - blue", "(nir - red) - blue"),
        ("nir / red * blue", "(nir / red) * blue"),
        ("-nir ** 2", "-(nir ** 2)"),
        ("nir + red * blue", "nir + (red * blue)"),
        ("+nir", "nir"),
        ("2*nir", "2.0 * nir"),
        ("nir", "((nir))"),
    ],
)
def test_texts_of_one_meaning_parse_alike(one, other):
    assert parse(one) == parse(other)
    assert parse(one).hash == parse(other).hash


@given(text=formulas(depth=4).map(lambda text: f"nir * ({text})"), data=st.data())
def test_property_the_hash_ignores_spaces(text, data):
    tokens = re.findall(r"\w+(?:\.\d+)?|[-+*/(),]", text)
    spaced = "".join(token + data.draw(st.sampled_from(["", " ", "   "])) for token in tokens)
    assert parse(f"  {spaced} ").hash == parse(text).hash


@pytest.mark.parametrize(
    "other", ["nir - blue", "red - nir", "nir + red", "nir - red * 1", "nir - red - 0.0", "-(nir - red)"]
)
def test_the_hash_changes_with_the_meaning(other):
    assert parse(other).hash != parse("nir - red").hash


def test_numbers_and_order_count_in_the_hash():
    texts = [
        "2 * nir",
        "2.5 * nir",
        "nir * 2",
        "nir ** 2",
        "min(nir, 2)",
        "max(nir, 2)",
        "nir - 2",
        "2 - nir",
        "nir / 2",
    ]
    assert len({parse(text).hash for text in texts}) == len(texts)


NO_FORMULAS = [
    "", "   ", "nir +", "(nir", "nir)", "nir red", "nir = red", "nir; red", "nir, red", "nir\nred", "nir : red",
    "nir.real", "nir.__class__", "nir[0]", "nir[:]", "nir()", "nir(red)", "sqrt", "sqrt()", "sqrt(nir, red)",
    "min(nir)", "min(nir, red, blue)", "min(*nir)", "sqrt(**nir)", "sqrt(x=nir)", "sqrt(nir)(red)", "sin(nir)",
    "eval('nir')", "__import__('os')", "__import__", "().__class__", "print(nir)", "open('x')", "exec(nir)",
    "[nir]", "(nir, red)", "{nir}", "{nir: red}", "[n for n in nir]", "{n for n in nir}", "(n for n in nir)",
    "lambda: nir", "(x := nir)", "nir if red else blue", "nir and red", "nir or red", "not nir", "~nir",
    "nir < red", "nir == red", "nir in red", "nir is red", "nir % 2", "nir // 2", "nir @ red", "nir & red",
    "nir | red", "nir ^ red", "nir << 2", "'nir'", "b'nir'", "f'{nir}'", "'\\d'", "nir + '1'", "None", "True * nir",
    "nir + False", "...", "2j * nir", "await nir", "yield nir", "*nir", "nir!", "nir$", "nir?", "\x00", "nir\x00",
    "nir − red", "nir × red", "nir÷red", "nir²", "√nir", "１ * nir ＋ red", "nir\u200b", "\u202enir",
    "1 + 1", "2", "min(1, 2)", "1e999 * nir", "-1e999 * nir", f"{'9' * 400} * nir", "1e39 * nir", "1if nir else 2",
    "0777 * nir", "nir" + " + nir" * 400, "-" * 1900 + "nir", "(" * 900 + "nir" + ")" * 900,
    "sqrt(" * 300 + "nir" + ")" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_FORMULAS, ids=lambda text: ascii(text)[:24])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ConfigError, match=r"^index 'x'"):
        parse(text, NAMES, "index 'x'")


@settings(max_examples=300)
@given(text=st.text(st.sampled_from("nired blue+-*/().,[]:'\"_0123456789exj{}=<>@%&|~\\\n\t#;!²"), max_size=40))
def test_property_any_text_parses_or_is_refused(text):
    try:
        formula = parse(text, NAMES)
    except ConfigError as err:
        assert "formula" in str(err)  # noqa: PT017 - most texts are refused, a few are formulas
    else:
        assert set(formula.names) <= set(NAMES)
        assert formula.names


def test_the_stack_is_as_high_as_the_formula_needs():
    assert parse("nir + red + blue").depth == 2
    assert parse("nir + (red + (blue + 1))").depth == 4
    deep = " + (".join(["nir"] * 60) + ")" * 59
    assert parse(deep).depth == 60
    assert run(deep, {"nir": np.ones(3, np.float32)}).tolist() == [60.0] * 3


def test_an_unknown_band_is_answered_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"index 'x': there is no band 'nirr'; did you mean \"nir\"\? Known: nir, red"
    ):
        parse("nirr - red", NAMES, "index 'x'")
    with pytest.raises(ConfigError, match=r"no band 'zzz'\. Known"):
        parse("zzz - red", NAMES)


def test_letters_that_python_takes_for_the_same_are_the_same_band():
    assert parse("ｎｉｒ - red", NAMES) == parse("nir - red", NAMES)


def test_an_index_refuses_a_range_turned_round_and_a_name_of_a_band():
    with pytest.raises(ConfigError, match=r"valid \[1.0, -1.0\]"):
        Index(name="x", formula="nir", valid=(1.0, -1.0), doi="", doc="")
    with pytest.raises(ConfigError, match="a band has that name"):
        Index(name="nir", formula="red", valid=(-1.0, 1.0), doi="", doc="")
