from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import make_history, make_live

from rs_forecast.errors import ConfigError, SchemaError
from rs_forecast.risk import risk_classes, risk_table
from rs_forecast.schema import RISK, check_risk

LIVE = make_live(make_history(1, years=1, parcels=8))


def test_a_class_begins_at_its_limit():
    p = np.array([0.0, 0.0999, 0.1, 0.2999, 0.3, 0.6, 1.0, np.nan])
    expected = ["low", "low", "moderate", "moderate", "high", "very_high", "very_high", "not_assessable"]
    assert risk_classes(p).tolist() == expected


@pytest.mark.parametrize("limits", [(0.1, 0.3), (0.3, 0.1, 0.6), (0.0, 0.3, 0.6), (0.1, 0.3, 1.0), (0.1, 0.1, 0.6)])
def test_class_limits_must_rise_between_0_and_1(limits):
    with pytest.raises(ConfigError, match="3 rising numbers"):
        risk_classes(np.array([0.5]), limits)


def test_the_table_of_a_baseline():
    risk = risk_table(LIVE, np.full(len(LIVE), 0.2), model_id="climatology", reasons="time of year")
    check_risk(risk)
    assert list(risk.columns) == [*(field.name for field in RISK), "geometry"]
    assert risk.crs == LIVE.crs
    out = (risk["status"] == "not_assessable").to_numpy()
    assert out.sum() == 2
    assert (risk.loc[~out, "probability"] == 0.2).all()
    assert (risk.loc[~out, "reasons"] == "time of year").all()
    assert risk.loc[out, ["probability", "lower", "upper", "reasons"]].isna().all(axis=None)
    assert (risk.loc[out, "risk_class"] == "not_assessable").all()
    assert set(risk.loc[~out, "risk_class"]) == {"moderate"}
    look = LIVE["last_clear_obs"]
    days = (LIVE["issued"] - look).dt.days.astype(float)
    pd.testing.assert_series_equal(risk["data_age_days"], days, check_names=False)
    assert risk["data_age_days"].isna().sum() == 1


def test_rows_keep_their_index_their_order_and_what_the_dataset_says_of_itself():
    live = LIVE.iloc[::-1]
    live.attrs["synthetic"] = True
    risk = risk_table(live, np.linspace(0, 1, len(live)), model_id="m", reasons=[f"row {k}" for k in range(len(live))])
    assert risk.index.equals(live.index)
    assert risk.attrs == {"synthetic": True}
    taken_over = [field.name for field in RISK if field.name in live.columns and field.name != "data_age_days"]
    pd.testing.assert_frame_equal(pd.DataFrame(risk[taken_over]), pd.DataFrame(live[taken_over]))
    assert risk["geometry"].geom_equals(live["geometry"]).all()
    ok = (live["status"] != "not_assessable").to_numpy()
    assert (risk["reasons"].to_numpy() == [f"row {k}" for k in range(len(live))])[ok].all()
    assert set(risk.dtypes[["pest", "risk_class", "reasons", "status", "model_id"]].astype(str)) == {"str"}


def test_an_empty_table_stays_a_table():
    risk = risk_table(LIVE.iloc[:0], np.empty(0), model_id="m", reasons=[])
    assert list(risk.columns) == [*(field.name for field in RISK), "geometry"]


def test_without_geometry_or_crs_it_is_refused():
    p = np.full(len(LIVE), 0.2)
    with pytest.raises(SchemaError, match="no geometry with a CRS"):
        risk_table(pd.DataFrame(LIVE.drop(columns="geometry")), p, model_id="m")
    with pytest.raises(SchemaError, match="no geometry with a CRS"):
        risk_table(LIVE.set_crs(None, allow_override=True), p, model_id="m")
