"""Sowing dates: the rule against plain Python, what is learned against numpy, and all of it against SYNTHETIC truth."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_forecast.asof import AsOf
from rs_forecast.dataset import tables_of
from rs_forecast.errors import LeakageError
from rs_forecast.features.crops import crop_features
from rs_forecast.kernels.greening import DRY, UNKNOWN, WET, Greenings, Rules, greenings
from rs_forecast.phenology import BASES, COVERAGE, LONGEST_SEEN, find_sown, learned_lead, longest_stand

RULES = Rules(green=0.4, gap=40, soaked=60, hidden=20, apart=60)
DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-01-01").as_unit("us")
ISSUED = START + 60 * DAY
IDS = pd.Index(["a", "b"])


# ---------------------------------------------------------------------------------------------------------- the rule
def plain_greenings(days, values, waters, rules=RULES):
    """Return (crossing, gap, wet, over) of one parcel."""
    found, before, last = [], None, None
    for number, (day, value) in enumerate(zip(days, values, strict=True)):
        if value < rules.green:
            before = number
            if found and found[-1][3] is None and day - last >= rules.apart:
                found[-1][3] = day
            continue
        if before is not None:
            low = days[before]
            crossing = low + (day - low) * (rules.green - values[before]) / (value - values[before])
            looks = zip(days[:number], values[:number], waters[:number], strict=True)
            wet = any(w == WET and v < rules.green and day - d <= rules.soaked for d, v, w in looks)
            dry = not wet and waters[before] == DRY and day - low < rules.hidden
            if day - low <= rules.gap and not dry and (last is None or crossing - last >= rules.apart):
                found.append([crossing, day - low, wet, None])
                last = crossing
        before = None
    return found


@given(seed=st.integers(0, 1 << 30), parcels=st.integers(1, 9), every=st.integers(2, 30))
@settings(max_examples=40)
def test_greenings_are_those_of_the_rule_in_plain_python(seed, parcels, every):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 40, parcels)
    days = [np.sort(rng.choice(np.arange(40 * every), n, replace=False)) for n in counts]
    values = [np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0, 0.9, n)) for n in counts]
    waters = [rng.choice([DRY, WET, UNKNOWN], n).astype(np.int8) for n in counts]
    starts = np.concatenate([[0], counts.cumsum()]).astype(np.int64)
    found = greenings(
        np.concatenate(days).astype(np.int64), np.concatenate(values), np.concatenate(waters), starts, RULES
    )
    for p in range(parcels):
        seen = ~np.isnan(values[p])
        expected = plain_greenings(days[p][seen].tolist(), values[p][seen].tolist(), waters[p][seen].tolist())
        rows = slice(found.starts[p], found.starts[p + 1])
        np.testing.assert_allclose(found.day[rows], [e[0] for e in expected])
        assert found.gap[rows].tolist() == [e[1] for e in expected]
        assert found.wet[rows].tolist() == [e[2] for e in expected]
        never = np.iinfo(np.int64).max
        assert found.over[rows].tolist() == [never if e[3] is None else e[3] for e in expected]


def looks(*rows, parcel="a"):
    """Return signals of (days before the issue date, NDVI, LSWI)."""
    table = pd.DataFrame(rows, columns=["ago", "ndvi_mean", "lswi_mean"])
    table["date"] = ISSUED - pd.to_timedelta(table.pop("ago"), unit="D")
    table["date"] = table["date"].astype("datetime64[us]")
    return table.assign(
        parcel_id=parcel, known_at=table["date"] + DAY, tile="T", scene_id="s", geom_hash="x", valid_weight=40.0,
        valid_fraction=1.0,
    )  # fmt: skip


FLOODED, GREEN = (0.1, 0.3), (0.7, 0.4)
DRY_SOIL = (0.2, -0.1)


def crops(*rows):
    table = pd.DataFrame(rows, columns=["parcel_id", "ago", "delay"])
    sown = ISSUED - pd.to_timedelta(table["ago"], unit="D")
    table["sown"] = sown.astype("datetime64[us]")
    table["known_at"] = (sown + pd.to_timedelta(table["delay"], unit="D")).astype("datetime64[us]")
    return table[["parcel_id", "sown", "known_at"]]


def sown_of(signals, told=None, **options):
    known = AsOf(tables_of(signals, None, None, told, None)).at(ISSUED)
    return find_sown(known.signals, known.crops, IDS, ISSUED, **options)


def test_a_flooded_field_that_turned_green_was_sown_some_weeks_before():
    found = sown_of(looks((40, *FLOODED), (30, *FLOODED), (20, *GREEN)))
    crossing = (ISSUED - START).days + (START - pd.Timestamp(0)).days - 30 + 10 * 0.3 / 0.6
    assert BASES[found.basis[0]] == "imagery"
    assert found.day[0] == round(crossing - 20)
    assert found.error[0] == 4 + 10 / 2
    assert (BASES[found.basis[1]], np.isnan(found.day[1]), np.isnan(found.error[1])) == ("none", True, True)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(30, *FLOODED), (20, *GREEN)], True),
        ([(30, *DRY_SOIL), (20, *GREEN)], False),  # no water in all that time: no paddy was sown
        ([(50, *FLOODED), (30, *DRY_SOIL), (20, *GREEN)], True),  # drained after sowing
        ([(45, *DRY_SOIL), (20, *GREEN)], True),  # water may have stood there unseen
        ([(62, *FLOODED), (20, *GREEN)], False),  # too long: anything may have happened
        ([(30, 0.1, np.nan), (20, 0.7, np.nan)], True),
        ([(30, 0.5, 0.5), (20, *GREEN)], False),  # never bare
        ([(30, *FLOODED)], False),  # not green yet
    ],
)
def test_which_series_tell_of_a_sowing(rows, found):
    assert np.isfinite(sown_of(looks(*rows)).day[0]) == found


def test_water_unseen_widens_the_error_and_without_lswi_greening_alone_counts():
    rows = [(30, *DRY_SOIL), (20, *GREEN)]
    alone = sown_of(looks(*rows).drop(columns="lswi_mean"))
    assert alone.error[0] == 4 + 5 + 5
    evi = looks((30, *FLOODED), (20, *GREEN)).rename(columns={"ndvi_mean": "evi_mean"})
    assert np.isfinite(sown_of(evi).day[0])
    assert np.isnan(sown_of(looks(*rows).drop(columns=["ndvi_mean"])).day).all()
    assert np.isnan(sown_of(looks((30, *FLOODED), (20, *GREEN)), paddy=np.array([False, True])).day).all()


def test_a_field_that_is_bare_again_or_was_sown_too_long_ago_carries_no_crop():
    rows = [(105, *FLOODED), (95, *GREEN), (40, *GREEN)]
    assert np.isfinite(sown_of(looks(*rows)).day[0]) == (LONGEST_SEEN >= 105 + 20 - 5)
    rows = [(90, *FLOODED), (80, *GREEN), (40, *GREEN)]
    assert np.isfinite(sown_of(looks(*rows)).day[0])
    assert np.isnan(sown_of(looks(*rows, (10, *DRY_SOIL))).day[0])


def test_what_the_office_was_told_comes_first_unless_a_later_crop_is_seen():
    seen = looks((30, *FLOODED), (20, *GREEN))
    for ago, basis in ((40, "table"), (70, "table"), (140, "imagery"), (151, "imagery")):
        found = sown_of(seen, crops(("a", ago, 5)))
        assert BASES[found.basis[0]] == basis, ago
        assert found.row[0] == 0
        if basis == "table":
            assert found.error[0] == 0
    assert BASES[sown_of(seen, crops(("a", 40, 41))).basis[0]] == "imagery", "nobody knew of it yet"
    assert BASES[sown_of(None, crops(("b", 151, 5))).basis[1]] == "none"


def test_crops_other_than_rice_stand_longer():
    rice = np.array([True, False])
    for ago, found in ((150, [True, True]), (151, [False, True]), (330, [False, True]), (331, [False, False])):
        sown = sown_of(None, crops(("a", ago, 5), ("b", ago, 5)), paddy=rice)
        assert np.isfinite(sown.day).tolist() == found, ago
        age = crop_features(sown, np.zeros(2, np.int64), ISSUED, longest_stand(rice))["crop_age_days"]
        assert np.isfinite(age).tolist() == found, ago


@pytest.mark.parametrize("late", ["signals", "crops"])
def test_a_row_known_later_is_refused(late):
    signals, told = looks((30, *FLOODED), (20, *GREEN)), crops(("a", 40, 5))
    {"signals": signals, "crops": told}[late].loc[0, "known_at"] = ISSUED + DAY
    with pytest.raises(LeakageError, match=late):
        find_sown(signals, told, IDS, ISSUED)


@given(seed=st.integers(0, 10_000), parcels=st.integers(1, 120))
@settings(max_examples=30)
def test_the_lead_is_learned_from_sowings_told_of_fields_seen(seed, parcels):
    rng = np.random.default_rng(seed)
    per = rng.integers(0, 4, parcels)
    owner = np.repeat(np.arange(parcels), per)
    number = np.concatenate([np.arange(n) for n in per]) if per.sum() else np.zeros(0)
    day = 20_000 + 120.0 * number + rng.uniform(0, 20, len(owner))
    starts = np.concatenate([[0], per.cumsum()]).astype(np.int64)
    found = Greenings(starts, day, np.ones(len(day), np.int64), np.ones(len(day), bool), np.zeros(len(day), np.int64))
    told = [np.sort(20_000 + 120 * np.arange(n) - rng.integers(5, 80, n)) for n in rng.integers(0, 4, parcels)]
    told_starts = np.concatenate([[0], np.cumsum([len(t) for t in told])]).astype(np.int64)
    assumed = rng.uniform(1, 9, len(day))
    lead = learned_lead(found, assumed, np.concatenate(told).astype(np.int64), told_starts)
    after = []
    for who, when, error in zip(owner, day, assumed, strict=True):
        before = [t for t in told[who] if t <= when]
        if before and when - max(before) <= 60:
            after.append((when - max(before), error))
    if len(after) < 30:
        assert lead == (20.0, 1.0, 0)
        return
    days, errors = np.array(after).T
    assert lead.pairs == len(days)
    assert lead.days == np.median(days)
    ratio = np.abs(days - lead.days) / errors
    assert (ratio <= lead.scale).mean() >= COVERAGE
    assert (ratio < lead.scale).mean() <= COVERAGE + 1 / len(days)


# --------------------------------------------------------------------------------------------------- SYNTHETIC truth
@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield importlib.import_module("scripts.sowing_dates")


@pytest.fixture(scope="module")
def fields(script):
    return script.make_fields(100)


@pytest.mark.parametrize(("cloud", "found", "median"), [(0.0, 0.99, 5), (0.7, 0.6, 6)])
@pytest.mark.parametrize("told", [True, False])
def test_sowing_dates_are_found_and_lie_within_the_stated_error(script, fields, cloud, found, median, told):
    crops = script.crops_of(fields, np.arange(len(fields.ids)) % 2 == 0) if told else None
    held = script.measure(fields, script.signals_of(fields, cloud), crops)
    assert held.fields > 1000
    assert held.share > found
    assert held.median <= median
    assert held.held >= COVERAGE
    assert held.wrong < 0.01
    assert held.stated < (5 if told else 16)


def test_evi_does_for_ndvi(script, fields):
    held = script.measure(fields, script.signals_of(fields, 0.0, ("evi", "lswi")), None)
    assert held.share > 0.99
    assert held.median <= 5


@pytest.mark.slow
def test_the_guide_holds_what_the_script_prints(script):
    assert script.report() in (ROOT / "docs" / "guide.md").read_text("utf-8")
