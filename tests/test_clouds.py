from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from flanders import SQUARES, square_file, square_parcels
from hypothesis import given
from hypothesis import strategies as st

from rs_forecast import extract_signals
from rs_forecast.clouds import weekly_clouds
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
    first, second, third = (pd.Timestamp(day) for day in ("2024-01-01", "2024-01-08", "2024-01-15"))
    assert found.index.tolist() == [(week, zone) for week in (first, second, third) for zone in ("", "1", "2")]
    assert found.loc[(first, "1")].tolist() == [2, 2, 2, 1, 0.5, 1.0]
    assert found.loc[(second, "1")].tolist() == [2, 0, 0, 0, 0.0, 8.0]
    assert found.loc[(third, "1")].tolist() == [2, 1, 1, 1, 0.5, (15 + 5) / 2]
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


def test_real_fields_are_seen_clear_in_some_weeks_and_not_in_others(shared_data):
    square = SQUARES[0]
    parcels = square_parcels(shared_data, square)
    scenes = open_scenes([square_file(shared_data, square, f"S2_L2A_{size}m") for size in (10, 20)], scale=1e-4)
    found = weekly_clouds(extract_signals(scenes, parcels, indices=["ndvi"]), parcels)
    assert found["parcels"].eq(len(parcels)).all()
    assert found["clear_share"].max() > 0.9
    assert found["clear_share"].min() == 0.0
    assert np.isfinite(found["median_age_days"].iloc[-1])
