"""The index catalogue: against its texts in float64, against spyndex, on surfaces and pixels; and how it is listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import flanders
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from index_oracle import S2_OF_SPYNDEX, evaluate, spyndex_constants, spyndex_indices

from rs_forecast import add_indices, open_cube
from rs_forecast.catalog import BANDS, INDICES, Index
from rs_forecast.catalog.bands import BAND_OF_CODE, SCL
from rs_forecast.catalog.indices import GROUPS, OWN
from rs_forecast.config import load_config
from rs_forecast.kernels.bandmath import link
from rs_forecast.signals import index_rows
from rs_forecast.simulate.spectra import BANDS as CODES
from rs_forecast.simulate.spectra import SURFACES, paddy

every_index = pytest.mark.parametrize("index", INDICES.values(), ids=list(INDICES))
REFLECTANCE = tuple(name for name in BANDS if name != SCL)

SPYNDEX = {
    "ndvi": "NDVI", "evi": "EVI", "evi2": "EVI2", "gndvi": "GNDVI", "wdrvi": "WDRVI", "kndvi": "kNDVI", "sr": "SR",
    "gemi": "GEMI", "vari": "VARI", "ngrdi": "NGRDI", "gli": "GLI", "gcc": "GCC", "ndpi": "NDPI",
    "ndre": "NDREI", "ndvi705": "NDVI705", "cire": "CIRE", "cig": "CIG", "mtci": "MTCI", "ireci": "IRECI",
    "s2rep": "S2REP", "mcari": "MCARI", "tcari": "TCARI", "tcari_osavi": "TCARIOSAVI", "mcari_osavi": "MCARIOSAVI",
    "mcari_osavi705": "MCARIOSAVI705", "tci": "TCI", "cvi": "CVI", "tgi": "TGI", "seli": "SeLI", "ndi45": "NDCI",
    "mtvi2": "MTVI2", "msr": "MSR", "ttvi": "TTVI", "rdvi": "RDVI", "nirv": "NIRv", "lswi": "LSWI", "ndwi": "NDWI",
    "mndwi": "MNDWI", "awei_sh": "AWEIsh", "msi": "MSI", "nmdi": "NMDI", "psri": "PSRI", "mari": "ARI2", "ndyi": "NDYI",
    "redsi": "REDSI", "dswi": "DSWI5", "savi": "SAVI", "osavi": "OSAVI", "msavi": "MSAVI", "bsi": "BI", "mbi": "MBI",
    "dbsi": "DBSI", "ndti": "NDTillI", "nbr": "NBR", "bais2": "BAIS2", "mirbi": "MIRBI",
}  # fmt: skip
"""Index of ours -> the same one of spyndex, whose names are not all ours."""

CONSTANTS = {
    "savi": {"L": 0.5},  # Huete's; spyndex defaults to 1
    "ndpi": {"alpha": 0.74},  # the paper's; spyndex shares one alpha with WDRVI
}
"""Where spyndex's default constant is another index's."""

NOT_SPYNDEX = {
    "sipi": "on blue, since the coastal band has 60 m",
    "gvmi": "the paper's SWIR band is at 1.65 µm, spyndex takes 2.2 µm",
    "ndti": "spyndex's NDTI is turbidity of water; tillage is its NDTillI",
    "arvi": "spyndex turned the correction round: R - (R - B), where the paper has R - (B - R)",
    "awei_nsh": "spyndex lost the brackets: + 2.75 S2, where the paper subtracts",
    "ndfi": "not there",
    "car": "not there",
    "datt": "not there",
    "ndsvi": "not there",
    "lai_seli": "SeLI by the paper's line",
    "lai_evi": "EVI by the paper's line",
}
"""Rows that are not held against spyndex, or not against its index of the same name."""

OTHER_PAPER = {
    "ndvi": "spyndex links a report without DOI", "evi": "the paper of the MODIS product",
    "ndre": "the wavelengths of Sentinel-2's first red-edge band; spyndex cites a later paper",
    "ndi45": "spyndex has the formula as a water index", "cvi": "the paper that proposed it, two years earlier",
    "lswi": "the paper on paddies", "mari": "the three-band paper; spyndex cites that of ARI",
    "bsi": "spyndex links a report without DOI", "ndti": "spyndex links a paper without DOI",
    "nbr": "spyndex cites a report; this is the first paper",
}  # fmt: skip
"""Rows whose paper is not the one that spyndex names."""


def reflectance(seed, size=4000, high=1.2):
    """Return random bands, float32: also zeros, equal bands and missing values."""
    rng = np.random.default_rng(seed)
    bands = {name: rng.uniform(0, high, size).astype(np.float32) for name in REFLECTANCE}
    for values in bands.values():
        values[rng.random(size) < 0.05] = 0
        values[rng.random(size) < 0.02] = np.nan
    flat = rng.random(size) < 0.05
    for values in bands.values():
        values[flat] = bands["red"][flat]
    return bands


def run(index, bands):
    program = link([index.parsed], [index.valid])
    return program.run(np.array([bands[name] for name in program.bands], np.float32))[0]


def land():
    """Return reflectance of a rice year, from water over green to straw, and of what lies around: (surface, band)."""
    age = np.r_[np.arange(-8, 100, 2.0), np.full(40, np.nan)]
    rest = np.r_[np.zeros(54), np.arange(40) * 2.0]
    nitrogen = np.random.default_rng(0).normal(size=age.size)
    field = paddy(age, rest, nitrogen, np.r_[np.zeros(50), np.full(44, 0.5)])
    values = np.r_[field, [SURFACES[name] for name in ("dyke", "grass", "trees", "village")]].astype(np.float32)
    return {BAND_OF_CODE[code]: values[:, i] for i, code in enumerate(CODES)}


# ------------------------------------------------------------------------------------------------------------ formulas
def assert_equal_within_rounding(index, bands):
    found = run(index, bands)
    exact, error = evaluate(index.formula, bands)
    low, high = (np.float64(np.float32(limit)) for limit in index.valid)
    missing = np.isnan(exact) & np.isfinite(error)
    with np.errstate(invalid="ignore"):
        inside = (exact - error >= low) & (exact + error <= high)
        outside = (exact + error < low) | (exact - error > high)
    assert np.isnan(found[missing | outside]).all()
    assert np.isfinite(found[inside]).all()
    kept = np.isfinite(found) & np.isfinite(exact)
    assert (np.abs(found - exact) <= error)[kept].all()
    assert ((found >= low) & (found <= high) | np.isnan(found)).all()
    return inside


@every_index
@pytest.mark.parametrize("seed", [1, 2])
def test_oracle_every_index_is_its_text_to_the_last_digit_of_float32(index, seed):
    bands = reflectance(seed)
    inside = assert_equal_within_rounding(index, bands)
    assert inside.sum() > 500
    holed = np.any([np.isnan(bands[name]) for name in index.parsed.names], axis=0)
    assert holed.any()
    assert np.isnan(run(index, bands)[holed]).all()


@every_index
@settings(max_examples=40)
@given(data=st.data())
def test_property_every_index_is_its_text_for_any_reflectance(index, data):
    names = index.parsed.names
    value = st.one_of(st.sampled_from([0.0, 1e-4, 0.125, 0.5, 1.0, 1.8, np.nan]), st.floats(0, 2, width=32))
    values = data.draw(arrays.arrays(np.float32, (len(names), 6), elements=value))
    assert_equal_within_rounding(index, dict(zip(names, values, strict=True)))


def test_the_oracle_would_see_a_wrong_formula():
    bands = reflectance(1)
    for text in ("(nir - red) / (nir + red + 1e-5)", "(nir - red) / (nir + red_edge1)", "(red - nir) / (nir + red)"):
        wrong = Index(name="x", formula=text, valid=(-1.0, 1.0), doi="", doc="")
        found, (exact, error) = run(wrong, bands), evaluate(INDICES["ndvi"].formula, bands)
        assert (np.abs(found - exact) > error).any()
    exact, error = evaluate(INDICES["ndvi"].formula, bands)
    assert np.nanmax(error[np.isfinite(error)]) < 1e-6  # the bound is no licence


@pytest.mark.parametrize("text", ["exp(nir - red)", "log(nir)", "tanh(nir / red)", "-log(1 - min(nir, 0.9)) / 0.5"])
def test_oracle_functions_beyond_the_catalogues_own(text):
    own = Index(name="x", formula=text, valid=(-1e30, 1e30), doi="", doc="")
    assert assert_equal_within_rounding(own, reflectance(4)).sum() > 3000


# -------------------------------------------------------------------------------------------------------------- spyndex
def spyndex_value(name, bands, constants):
    values = {**constants, **{short: bands[ours] for short, ours in S2_OF_SPYNDEX.items()}}
    if name.startswith("k"):  # kernels of pairs of bands: radial, as wide as the mean of both
        n, r = values["N"], values["R"]
        with np.errstate(all="ignore"):
            values |= {"kNN": np.ones_like(n), "kNR": np.exp(-((n - r) ** 2) / (2 * (0.5 * (n + r)) ** 2))}
    return evaluate(spyndex_indices()[name]["formula"], values)[0]


@pytest.mark.parametrize("name", SPYNDEX)
def test_oracle_every_index_that_spyndex_has_is_spyndexs(name):
    bands = {band: values.astype(np.float64) for band, values in reflectance(5).items()}
    ours = evaluate(INDICES[name].formula, bands)[0]
    theirs = spyndex_value(SPYNDEX[name], bands, spyndex_constants() | CONSTANTS.get(name, {}))
    both = np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours) < 1e3)
    assert both.sum() > 2500
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-9, atol=1e-9)


def test_every_row_is_held_against_spyndex_or_says_why_not():
    assert {*SPYNDEX, *NOT_SPYNDEX} == set(INDICES)
    assert len(SPYNDEX) >= 50
    theirs = spyndex_indices()
    assert set(SPYNDEX.values()) <= set(theirs)
    upper = {name.upper(): name for name in theirs}
    for name in INDICES:
        same = upper.get(name.upper().replace("_", ""))
        if same and SPYNDEX.get(name) != same:
            assert name in NOT_SPYNDEX, f"{name}: spyndex has {same}"
    for name, why in NOT_SPYNDEX.items():
        if why == "not there":
            assert name.upper() not in upper


def test_papers_are_those_that_spyndex_names_unless_another_is_better():
    theirs, differ = spyndex_indices(), set()
    for name, other in SPYNDEX.items():
        said = theirs[other]["reference"].split("doi.org/")[-1]
        if said.casefold() != INDICES[name].doi.casefold():
            differ.add(name)
    assert differ == set(OTHER_PAPER)


@pytest.mark.parametrize("name", ["arvi", "awei_nsh", "gvmi", "sipi"])
def test_rows_that_differ_from_spyndex_do(name):
    bands = {band: values.astype(np.float64) for band, values in reflectance(6).items()}
    same = {short.upper(): short for short in spyndex_indices()}[name.upper().replace("_", "")]
    ours, theirs = evaluate(INDICES[name].formula, bands)[0], spyndex_value(same, bands, spyndex_constants())
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert not np.allclose(ours[both], theirs[both])


# --------------------------------------------------------------------------------------------------------------- values
BY_HAND = {
    "mtci": (0.30 - 0.10) / (0.10 - 0.04),
    "s2rep": 705 + 35 * ((0.40 + 0.04) / 2 - 0.10) / (0.30 - 0.10),
    "ireci": (0.40 - 0.04) / (0.10 / 0.30),
    "mcari": (0.06 - 0.2 * 0.04) * 2.5,
    "psri": (0.04 - 0.02) / 0.30,
    "kndvi": np.tanh((0.41 / 0.49) ** 2),
    "lai_seli": 5.405 * 0.36 / 0.56 - 0.114,
    "lai_evi": 3.618 * (2.5 * 0.41 / (0.45 + 0.24 - 0.15 + 1)) - 0.118,
    "awei_nsh": 4 * (0.06 - 0.2) - 0.25 * 0.45 - 2.75 * 0.1,
    "gvmi": (0.55 - 0.22) / (0.55 + 0.22),
    "sipi": (0.45 - 0.02) / (0.45 - 0.04),
    "ndfi": (0.04 - 0.1) / (0.04 + 0.1),
    "datt": (0.46 - 0.10) / (0.46 - 0.04),
    "car": 0.45 * (50 - 10),
    "ndsvi": 0.16 / 0.24,
}
CANOPY = {
    "blue": 0.02, "green": 0.06, "red": 0.04, "red_edge1": 0.10, "red_edge2": 0.30, "red_edge3": 0.40, "nir": 0.45,
    "nir_narrow": 0.46, "swir1": 0.20, "swir2": 0.10,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_known_values_of_a_green_canopy(name):
    bands = {band: np.array([value], np.float32) for band, value in CANOPY.items()}
    np.testing.assert_allclose(run(INDICES[name], bands)[0], BY_HAND[name], rtol=1e-6)


@every_index
def test_every_index_is_there_over_every_surface_of_a_rice_year(index):
    assert np.isfinite(run(index, land())).all()


def test_every_index_is_there_over_real_fields(shared_data):
    square = flanders.SQUARES[0]
    parcels = flanders.square_parcels(shared_data, square)
    folder = flanders.square_folder(shared_data, square)
    cube = open_cube(parcels, start="2016-01-01", end="2025-12-31", source="local", path=folder).isel(
        time=slice(None, None, 8)
    )
    values = {name: cube[name].to_numpy().ravel() for name in REFLECTANCE if name in cube}
    clear = np.all([np.isfinite(band) for band in values.values()], axis=0)
    assert clear.sum() > 10_000
    bands = {name: band[clear] for name, band in values.items()}
    lost = {index.name: np.isnan(run(index, bands)).mean() for index in INDICES.values()}
    few = {name: round(share, 4) for name, share in lost.items() if share > 0.005}
    assert set(few) <= {"mtci", "s2rep"}, few  # these are of the red edge, and bare soil has none
    assert max(lost.values()) < 0.1
    assert add_indices(cube, ["s2rep"])["s2rep"].attrs["units"] == "nm"


def test_signs_that_an_agronomist_relies_on():
    def of(name, spectrum):
        bands = {BAND_OF_CODE[code]: np.array([value], np.float32) for code, value in zip(CODES, spectrum, strict=True)}
        return run(INDICES[name], bands)[0]

    from rs_forecast.simulate import spectra

    green, ripe, soil, straw, flooded = (
        getattr(spectra, name) for name in ("CANOPY", "RIPE", "SOIL", "STRAW", "FLOODED")
    )
    starved = green * (1 - 2 * spectra.NITROGEN)
    for name, row in INDICES.items():
        if row.group in ("greenness", "soil_adjusted", "canopy"):
            assert of(name, green) > of(name, soil), name
    for name in ("ndre", "ndvi705", "cire", "mtci", "ireci", "s2rep", "datt", "mcari_osavi705", "cig"):
        assert of(name, green) > of(name, starved), name
    for name in ("tcari", "tcari_osavi", "mcari_osavi", "tci", "tgi"):
        assert of(name, green) < of(name, starved), name
    for name in ("ndwi", "mndwi", "ndfi", "awei_sh", "awei_nsh"):
        assert of(name, flooded) > max(of(name, green), of(name, soil), of(name, straw)), name
    for name in ("psri", "msi"):
        assert of(name, green) < of(name, ripe), name
    for name in ("redsi", "dswi", "nbr"):
        assert of(name, green) > of(name, ripe), name
    for name in ("bsi", "mbi", "dbsi"):
        assert of(name, soil) > max(of(name, green), of(name, flooded)), name
    assert of("ndti", straw) > of("ndti", soil)


# ------------------------------------------------------------------------------------------------------- the catalogue
def test_the_catalogue_is_large_and_its_groups_are_full():
    assert len(INDICES) >= 45
    members = {group: [row for row in INDICES.values() if row.group == group] for group in GROUPS}
    assert not members.pop(OWN)
    assert all(len(rows) >= 3 for rows in members.values())
    assert sum(map(len, members.values())) == len(INDICES)


@every_index
def test_every_row_can_be_read_on_a_line(index):
    assert 10 < len(index.doc) <= 100
    assert not index.doc.endswith(".")
    assert SCL not in index.parsed.names
    assert "coastal" not in index.parsed.names  # 60 m
    assert not set("<> ") & set(index.doi)


# -------------------------------------------------------------------------------------------------------------- configs
LEAST = """\
[parcels]
path = "parcels.gpkg"
[surveys]
path = "surveys.csv"
[forecast]
pests = ["brown_planthopper"]
[imagery]
indices = ["ndvi", "lai_own"]
[indices.lai_own]
formula = "-log(1 - min(max((nir - red) / (nir + red), 0), 0.99)) / 0.5"
valid = [0, 9]
doc = "leaf area by Beer's law"
"""


@pytest.fixture
def config(tmp_path):
    def written(text=""):
        path = tmp_path / "office.toml"
        path.write_text(LEAST + text, encoding="utf-8")
        return path

    return written


def test_an_index_of_ones_own_goes_through_the_same_parser_and_kernel(config):
    table = load_config(config()).all_indices
    own, bands = table["lai_own"], reflectance(7)
    assert own.group == OWN
    assert index_rows([own])[0].parsed == own.parsed
    assert assert_equal_within_rounding(own, bands).sum() > 1000
    twin = Index(name="twin", formula=INDICES["evi"].formula, valid=INDICES["evi"].valid, doi="", doc="")
    assert twin.parsed.hash == INDICES["evi"].parsed.hash
    np.testing.assert_array_equal(run(twin, bands), run(INDICES["evi"], bands))


BAD = [
    ("nirr - red", "there is no band 'nirr'; did you mean \"nir\"? Known: coastal, blue"),
    ("__import__('os')", "cannot be read", "allowed are band names, numbers, + - * / **, brackets and sqrt, abs, exp"),
    ("sin(nir)", "'sin(nir)' is not part of a formula); allowed are band names"),
    ("log(nir, 2)", "log takes 1, not 2"),
    ("1 + 1", "names no band, so it would be the same for every pixel"),
]


@pytest.mark.parametrize(("formula", "said"), [(row[0], row[1:]) for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_formula_is_refused_with_its_line_what_was_found_and_what_is_allowed(config, formula, said):
    path = config(f'[indices.fine]\nformula = "nir"\n[indices.bad]\nformula = "{formula}"\n')
    code, out, err = command("indices", str(path))
    assert (code, out) == (2, "")
    assert f"office.toml, line {LEAST.count(chr(10)) + 3}: indices.bad: index 'bad': " in err
    for words in said:
        assert words in err


def test_a_name_of_the_catalogue_cannot_be_taken(config):
    code, _, err = command("indices", str(config('[indices.gndvi]\nformula = "nir / green"\n')))
    assert code == 2
    assert "the index 'gndvi' is declared twice: the catalogue has that name; choose another" in err


# --------------------------------------------------------------------------------------------------------- the command
def command(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "rs_forecast", *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONUTF8": "1", **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_the_list_is_readable_at_80_columns_whatever_the_terminal_is():
    code, out, err = command("indices", COLUMNS="40")
    assert (code, err) == (0, "")
    assert command("indices", COLUMNS="200")[1] == out
    assert max(map(len, out.splitlines())) <= 80
    flat = re.sub(r"\s+", " ", out)
    for row in INDICES.values():
        bands = ", ".join(row.parsed.names)
        block = f"{row.name} {row.doc} {row.formula} bands {bands}; valid {row.valid[0]:g} to {row.valid[1]:g}"
        assert f"{block}{'' if row.unit == '1' else f' {row.unit}'} doi {row.doi}" in flat
    for group, words in GROUPS.items():
        assert (f"\n{group}: {words}\n" in f"\n{out}") == (group != OWN)


def test_a_group_and_a_config_narrow_and_widen_the_list(config):
    names = r"(?m)^  (\w+)"
    water = [name for name, row in INDICES.items() if row.group == "water"]
    assert re.findall(names, command("indices", "--group", "water")[1]) == water
    out = command("indices", str(config()))[1]
    assert re.findall(names, out) == [*INDICES, "lai_own"]
    assert "leaf area by Beer's law" in out
    assert "doi" not in out[out.index("lai_own") :]
    assert re.findall(names, command("indices", "--group", "own", str(config()))[1]) == ["lai_own"]
    assert command("indices", "--group", "own")[1] == "no index is in this group\n"
    code, out, err = command("indices", "--group", "watr")
    assert (code, out) == (2, "")
    assert "there is no group 'watr'; did you mean \"water\"? Known: greenness, chlorophyll" in err


def test_machines_get_the_same_list(config):
    code, out, _ = command("indices", "--json", str(config()))
    told = json.loads(out)
    assert code == 0
    assert told["groups"] == GROUPS
    assert [row["name"] for row in told["indices"]] == [*INDICES, "lai_own"]
    assert told["indices"][-1]["doi"] is None
    assert next(row for row in told["indices"] if row["name"] == "s2rep") == {
        "name": "s2rep", "group": "chlorophyll", "formula": INDICES["s2rep"].formula,
        "bands": ["red_edge3", "red", "red_edge1", "red_edge2"], "valid": [680.0, 760.0], "unit": "nm",
        "doc": INDICES["s2rep"].doc, "doi": "10.1016/j.isprsjprs.2013.04.007",
    }  # fmt: skip
