from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from flanders import SQUARES, square_file, square_parcels
from hypothesis import given, settings
from hypothesis import strategies as st
from look_oracle import plain_looks
from tables import START, make_parcels, make_tables

from rs_forecast import extract_signals
from rs_forecast.clouds import ALL, REPORT_WEEKS, cloud_csv, cloud_report, cloud_summary, weekly_clouds
from rs_forecast.errors import SchemaError
from rs_forecast.sources.local import open_scenes

PARCELS = pd.DataFrame({"parcel_id": ["a", "b", "c", "d"], "commune_code": ["1", "1", "2", None]})


def signals(*rows):
    table = pd.DataFrame(rows, columns=["parcel_id", "date", "valid_fraction"])
    table["date"] = table["known_at"] = pd.to_datetime(table["date"]).astype("datetime64[us]")
    table["valid_weight"] = table["valid_fraction"] * 50
    table = table.assign(tile="48PWS", scene_id="x", geom_hash="0")
    table = table.astype({"valid_fraction": float, "valid_weight": float})
    return table.astype(dict.fromkeys(("parcel_id", "tile", "scene_id", "geom_hash"), "str"))


def test_weeks_and_zones_by_hand():
    found = weekly_clouds(
        signals(
            ("a", "2024-01-01", 1.0), ("b", "2024-01-01", 0.49), ("a", "2024-01-06", 0.9),
            ("b", "2024-01-16", 0.5), ("c", "2024-01-21", 0.0), ("elsewhere", "2024-01-21", 1.0),
        ),
        PARCELS,
        by="commune_code",
    ).set_index(["week", "zone"])  # fmt: skip
    columns = ["parcels", "looks", "looked_at", "clear", "clear_share", "clear_share_4_weeks", "median_age_days"]
    assert found.columns.tolist() == columns
    first, second, third = (pd.Timestamp(day) for day in ("2024-01-01", "2024-01-08", "2024-01-15"))
    assert found.index.tolist() == [(week, zone) for week in (first, second, third) for zone in ("", "1", "2")]
    assert found.loc[(first, "1")].tolist() == [2, 2, 2, 1, 0.5, 0.5, 1.0]
    assert found.loc[(second, "1")].tolist() == [2, 0, 0, 0, 0.0, 0.5, 8.0]
    assert found.loc[(third, "1")].tolist() == [2, 1, 1, 1, 0.5, 1.0, (15 + 5) / 2]
    assert found.loc[(third, "2"), ["parcels", "looks", "looked_at", "clear"]].tolist() == [1, 1, 1, 0]
    assert found.loc[[(third, "2"), (third, "")], "median_age_days"].isna().all()


def test_without_a_look_there_is_no_week_and_a_column_that_is_not_there_is_told():
    assert weekly_clouds(signals(), PARCELS).empty
    with pytest.raises(SchemaError, match=r"no column 'sub_zone'.*parcel_id, commune_code"):
        weekly_clouds(signals(("a", "2024-01-01", 1.0)), PARCELS, by="sub_zone")


@pytest.mark.parametrize("column", [pd.Categorical(["1", "1", "2", None]), [1.0, 1.0, 2.0, np.nan]])
def test_zones_may_be_categories_or_numbers_with_a_gap(column):
    found = weekly_clouds(signals(("a", "2024-01-01", 1.0)), PARCELS.assign(zone=column), by="zone")
    assert found["zone"].tolist() == ["", "1", "2"]


LOOK = st.tuples(st.sampled_from("abcd"), st.integers(0, 40), st.sampled_from([0.0, 0.4, 0.5, 1.0]))


@given(st.lists(LOOK, min_size=1, max_size=25))
def test_property_zones_add_up_to_all(rows):
    start = pd.Timestamp("2023-12-20")
    table = signals(*((parcel, start + pd.Timedelta(days=day), share) for parcel, day, share in rows))
    table = table.drop_duplicates(["parcel_id", "date"])
    parted, whole = weekly_clouds(table, PARCELS, by="commune_code"), weekly_clouds(table, PARCELS)
    for name in ("parcels", "looked_at", "clear"):
        assert parted.groupby("week")[name].sum().tolist() == whole[name].tolist()
    assert (whole["clear"] <= whole["looked_at"]).all()
    assert (whole["week"].dt.day_of_week == 0).all()
    assert whole["week"].diff().dropna().eq(pd.Timedelta(days=7)).all()


def scenes(*days, late=0):
    date = pd.Series(pd.to_datetime(list(days)).astype("datetime64[us]"))
    return pd.DataFrame({"date": date, "known_at": date + pd.Timedelta(days=late), "tile": "48PWS"})


def test_weeks_under_cloud_are_told_from_weeks_without_imagery():
    rows = signals(("a", "2024-01-02", 1.0))
    days = ("2023-12-27", "2024-01-02", "2024-01-03", "2024-01-03", "2024-01-18")
    found = weekly_clouds(rows, PARCELS, scenes=scenes(*days))
    assert found["overpasses"].tolist() == [1, 2, 0, 1]
    assert found["looks"].tolist() == [0, 1, 0, 0]
    assert found["clear_share"].tolist() == [0, 0.25, 0, 0]
    found = weekly_clouds(rows, PARCELS, scenes=scenes(*days, late=3), issued="2024-01-20")
    assert found["overpasses"].tolist() == [1, 2, 0], "known on the 21st; nor is its week over"
    found = weekly_clouds(rows, PARCELS, scenes=scenes(*days, late=3), issued="2024-01-21")
    assert found["overpasses"].tolist() == [1, 2, 0, 1]


def plain_report(table, parcels, issued, weeks):
    """The report of all parcels in plain Python."""
    looks = plain_looks(table, issued)
    monday = issued - pd.Timedelta(days=issued.day_of_week)
    past = monday + pd.Timedelta(weeks=1) if issued.day_of_week == 6 else monday
    days = [day for _, day in looks]
    week = max(min(days) - pd.Timedelta(days=min(days).day_of_week), past - pd.Timedelta(weeks=weeks)) if days else past
    out = []
    while week < past:
        sunday = week + pd.Timedelta(days=6)
        inside = {key: kind for key, kind in looks.items() if week <= key[1] <= sunday}
        last = {p: max((d for (q, d), k in looks.items() if q == p and k == "clear" and d <= sunday), default=None)
                for p in parcels["parcel_id"]}  # fmt: skip
        ages = [(sunday - day).days for day in last.values() if day is not None]
        clear = len({parcel for (parcel, _), kind in inside.items() if kind == "clear"})
        out.append(
            (
                week, len(parcels), len({day for _, day in inside}), len({parcel for parcel, _ in inside}), clear,
                clear / len(parcels), sum(age < 28 for age in ages) / len(parcels),
                float(np.median(ages)) if ages else -1.0,
            )
        )  # fmt: skip
        week += pd.Timedelta(weeks=1)
    return out


@given(st.integers(0, 10_000), st.integers(-10, 400), st.sampled_from([3, 60]))
@settings(max_examples=10)
def test_property_a_report_is_what_was_known_on_its_day_of_weeks_that_were_over(seed, day, weeks):
    table, parcels = make_tables(np.random.default_rng(seed), days=300).signals, make_parcels()
    issued = START + pd.Timedelta(days=day)
    found = weekly_clouds(table, parcels, issued=issued, weeks=weeks)
    rows = found.drop(columns="zone").fillna({"median_age_days": -1.0})
    assert [tuple(row) for row in rows.itertuples(index=False)] == plain_report(table, parcels, issued, weeks)
    later = table.loc[table["known_at"] <= issued]
    pd.testing.assert_frame_equal(weekly_clouds(later, parcels, issued=issued, weeks=weeks), found)
    parted = weekly_clouds(table, parcels, "sub_zone", issued=issued, weeks=weeks)
    for name in ("parcels", "looked_at", "clear"):
        assert parted.groupby("week")[name].sum().tolist() == found[name].tolist()
    for zone, own in parted.groupby("zone"):
        alone = weekly_clouds(table, parcels[parcels["sub_zone"] == zone], issued=issued, weeks=weeks)
        same = own.merge(alone, on="week", suffixes=("", "_alone"))
        assert len(same) == len(alone)
        for name in ("looks", "clear", "clear_share_4_weeks", "median_age_days"):
            np.testing.assert_array_equal(same[name], same[f"{name}_alone"])


def test_the_published_report_has_all_then_communes_and_reads_back():
    table, parcels = make_tables(np.random.default_rng(3), days=600).signals, make_parcels()
    issued = START + pd.Timedelta(days=500)
    overpasses = scenes(*table["date"].unique())
    found = cloud_report(table, parcels, overpasses, issued)
    assert found["zone"].unique().tolist() == [ALL, "c0", "c1"]
    assert found.groupby("zone").size().tolist() == [REPORT_WEEKS] * 3
    last = found[found["zone"] == ALL].iloc[-1]
    assert last["week"] == START + pd.Timedelta(weeks=70), "the week before the one of the issue date"
    assert cloud_summary(found) == {
        "week": f"{last['week']:%Y-%m-%d}", "clear_share": round(last["clear_share"], 4),
        "clear_share_4_weeks": round(last["clear_share_4_weeks"], 4), "median_age_days": last["median_age_days"],
    }  # fmt: skip
    text = cloud_csv(found, synthetic=True)
    again = pd.read_csv(io.StringIO(text), parse_dates=["week"], dtype={"zone": "str"})
    assert again.pop("synthetic").eq("yes").all()
    pd.testing.assert_frame_equal(again, found, atol=1e-4, check_dtype=False)
    assert cloud_csv(found, synthetic=False).count(",no\n") == len(found)
    assert "\r" not in text
    nameless = parcels.assign(commune_code=None)
    assert cloud_report(table, nameless, overpasses, issued)["zone"].unique().tolist() == [ALL]


def test_before_the_first_look_there_is_no_report():
    table, parcels = make_tables(np.random.default_rng(3), days=60).signals, make_parcels()
    found = cloud_report(table, parcels, scenes(), START)
    assert found.empty
    assert cloud_summary(found) == {}
    clouded = cloud_report(table.iloc[:0], parcels, scenes(START), START + pd.Timedelta(days=6))
    assert clouded["clear"].tolist() == [0, 0, 0]
    assert cloud_summary(clouded)["median_age_days"] is None


def test_real_fields_are_seen_clear_in_some_weeks_and_not_in_others(shared_data):
    square = SQUARES[0]
    parcels = square_parcels(shared_data, square)
    images = open_scenes([square_file(shared_data, square, f"S2_L2A_{size}m") for size in (10, 20)], scale=1e-4)
    found = weekly_clouds(extract_signals(images, parcels, indices=["ndvi"]), parcels)
    assert found["parcels"].eq(len(parcels)).all()
    assert found["clear_share"].max() > 0.9
    assert found["clear_share"].min() == 0.0
    assert np.isfinite(found["median_age_days"].iloc[-1])
