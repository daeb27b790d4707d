import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rs_forecast.catalog import Pest
from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.maps.classes import CLASSES, check_classes, check_limits, class_codes, legend, published
from rs_forecast.maps.styles import probability_steps
from rs_forecast.risk import CLASS_LIMITS, risk_classes
from rs_forecast.schema import NOT_ASSESSABLE, RISK_CLASSES

HOPPER = Pest(name="hopper", crop="rice", event="density >= 750", unit="insects/m2", doc="")


def test_legend_says_what_each_class_means():
    assert legend(CLASS_LIMITS, HOPPER) == {
        "low": "low: 0-10 % chance of >= 750 insects/m2",
        "moderate": "moderate: 10-30 % chance of >= 750 insects/m2",
        "high": "high: 30-60 % chance of >= 750 insects/m2",
        "very_high": "very high: 60-100 % chance of >= 750 insects/m2",
        "not_assessable": "not assessable: no forecast, the risk is unknown",
    }


def test_legend_names_what_is_counted_unless_it_is_a_density():
    blast = Pest(name="leaf_blast", crop="rice", event="incidence > 5", unit="%", doc="")
    assert legend((0.05, 0.125, 0.5), blast)["moderate"] == "moderate: 5-12.5 % chance of incidence > 5 %"


def test_no_class_shares_a_word_with_the_severity_levels():
    words = " ".join(c.words for c in CLASSES.values())
    assert not any(level in words for level in ("light", "medium", "heavy", "severe", "epidemic"))


@pytest.mark.parametrize(
    "limits",
    [(0.1, 0.3), (0.3, 0.1, 0.6), (0.1, 0.1, 0.6), (0, 0.3, 0.6), (0.1, 0.3, 1), (1, 2, 3), (0.1, float("nan"), 0.6)],
)
def test_limits_that_make_no_classes_are_refused(limits):
    with pytest.raises(ConfigError, match=r"class_limits: found .* three rising"):
        check_limits(limits)


@given(
    st.lists(st.integers(1, 999), min_size=3, max_size=3, unique=True),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
@example([100, 300, 600], [0.29997, 0.3, 0.1, 0.09999999999, 0.60004, 0.59996, 1.0, 0.0])
def test_a_published_probability_stays_in_its_class(thousandths, values):
    limits = tuple(sorted(t / 1000 for t in thousandths))
    probability = np.array(values)
    shown = published(probability, limits)
    assert (np.searchsorted(limits, shown, "right") == np.searchsorted(limits, probability, "right")).all()
    assert (np.abs(shown - probability) < 1e-4).all()
    assert [float(f"{v:.4f}") for v in shown] == shown.tolist()
    raster = shown.astype("float32").astype("float64")
    assert np.round(raster, 4).tolist() == shown.tolist()


def test_rounding_is_to_the_nearest_away_from_limits():
    assert published(np.array([0.12344, 0.12346, np.nan]), CLASS_LIMITS).tolist()[:2] == [0.1234, 0.1235]
    assert published(np.array([0.29997]), CLASS_LIMITS).tolist() == [0.2999]
    assert published(np.array([0.33334]), (0.1, 0.33333, 0.6)).tolist() == [0.3334]


def _rows(probability, risk_class):
    return pd.DataFrame({"parcel_id": ["p1"], "probability": [probability], "risk_class": [risk_class]})


@pytest.mark.parametrize(
    ("probability", "risk_class"),
    [(0.2, "high"), (0.2, "low"), (0.61, "high"), (np.nan, "low"), (0.2, NOT_ASSESSABLE)],
)
def test_a_class_that_the_legend_would_belie_is_refused(probability, risk_class):
    with pytest.raises(SchemaError, match=r"p1 is .* at probability"):
        check_classes(_rows(probability, risk_class), CLASS_LIMITS)


@pytest.mark.parametrize(
    ("probability", "risk_class"),
    [(0.0, "low"), (0.3, "high"), (0.3, "moderate"), (0.6, "very_high"), (1.0, "very_high"), (np.nan, NOT_ASSESSABLE)],
)
def test_a_class_within_its_limits_passes(probability, risk_class):
    check_classes(_rows(probability, risk_class), CLASS_LIMITS)


@given(st.lists(st.floats(0, 1) | st.just(np.nan), min_size=1), st.sampled_from([(0.1, 0.3, 0.6), (1 / 7, 1 / 3, 0.9)]))
def test_classes_of_a_forecast_pass(values, limits):
    probability = np.array(values)
    ids = [f"p{i}" for i in range(len(values))]
    risk = pd.DataFrame({"parcel_id": ids, "probability": probability, "risk_class": risk_classes(probability, limits)})
    check_classes(risk, limits)


# ------------------------------------------------------------------------------------------------------------- colours
# Machado, Oliveira and Fernandes 2009, 10.1109/TVCG.2009.113, severity 1.0, on linear RGB
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(colour: str, vision: str = "full") -> np.ndarray:
    """CIE L*a*b* (D65) of ``#rrggbb`` as seen with a kind of vision."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISION[vision] @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.95047, 1, 1.08883])  # all above the linear part's end but black
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lab_of_known_colours():
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


def test_classes_darken_with_the_risk():
    lightness = [lab(CLASSES[name].colour)[0] for name in RISK_CLASSES]
    assert (np.diff(lightness) < -10).all()
    steps = [lab(colour)[0] for _, _, colour in probability_steps(CLASS_LIMITS)]
    assert (np.diff(steps) < -4).all()


@pytest.mark.parametrize("vision", VISION)
def test_every_pair_of_classes_differs_for_every_reader(vision):
    seen = [lab(row.colour, vision) for row in CLASSES.values()]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) > 18


def test_a_copy_in_black_and_white_keeps_five_greys():
    lightness = sorted(lab(row.colour)[0] for row in CLASSES.values())
    assert min(np.diff(lightness)) > 12


def test_codes_of_class_names():
    names = pd.Series(["very_high", "low", "not_assessable", "low", "moderate", "high", "nonsense", None], dtype="str")
    codes = class_codes(names)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [3, 0, 254, 0, 1, 2, 255, 255]
    assert class_codes(names[:0]).tolist() == []
