"""read_traps: what a trap says, when it was known, and which rows are left out by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rs_forecast.errors import DataWarning, NoDataError, SchemaError
from rs_forecast.schema import TRAPS, check_traps
from rs_forecast.sources.traps import read_traps

HEADER = "trap_id,lon,lat,date,pest,count,nights,working,known_at"
BPH = "brown_planthopper"
GOOD = f"T-9,105.4,10.4,2026-05-02,{BPH},120,,,"


def read(folder, *rows, header=HEADER, **options):
    path = folder / "traps.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return read_traps(path, today="2026-11-21", **options)


def test_rows_come_as_the_schema_says(tmp_path):
    traps = read(
        tmp_path, f"T-2,105.4,10.4,2026-05-02,{BPH},0,7,yes,2026-05-03", f"T-1,105.2,10.1,2026-05-02,{BPH},120,,,",
        delay_days=3,
    )  # fmt: skip
    check_traps(traps)
    assert list(traps.columns) == [field.name for field in TRAPS]
    assert traps["trap_id"].tolist() == ["T-1", "T-2"]
    assert traps["count"].tolist() == [120.0, 0.0]  # a zero is a finding
    assert traps["nights"].tolist() == [1.0, 7.0]
    assert traps["working"].tolist() == ["yes", "yes"]
    assert traps["known_at"].tolist() == [pd.Timestamp("2026-05-05"), pd.Timestamp("2026-05-03")]
    assert traps.attrs == {"known_at_assumed": 1, "delay_days": 3}


def test_only_six_columns_are_needed(tmp_path):
    traps = read(tmp_path, f"T-1,105.2,10.1,2026-05-02,{BPH},12", header="trap_id,lon,lat,date,pest,count")
    assert traps.loc[0, ["count", "nights", "working"]].tolist() == [12.0, 1.0, "yes"]
    with pytest.raises(SchemaError, match=r"column count is missing.*map it under \[traps.columns\]"):
        read(tmp_path, f"T-1,105.2,10.1,2026-05-02,{BPH}", header="trap_id,lon,lat,date,pest")


@pytest.mark.parametrize("word", ["no", "No", "0", "false", "không", "khong"])
def test_a_trap_that_did_not_work_says_nothing(tmp_path, word):
    traps = read(
        tmp_path, f"T-1,105.2,10.1,2026-05-02,{BPH},0,1,{word},", f"T-1,105.2,10.1,2026-05-03,{BPH},,0,yes,",
        f"T-1,105.2,10.1,2026-05-04,{BPH},0,1,có,",
    )  # fmt: skip
    np.testing.assert_array_equal(traps["count"], [np.nan, np.nan, 0.0])
    assert traps["working"].tolist() == ["no", "yes", "yes"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"T-1,105.2,10.1,2026-05-02,{BPH},,1,yes,", "count: found nothing, allowed is .* working = no"),
        (f"T-1,105.2,10.1,2026-05-02,{BPH},-3,1,yes,", "count: found -3.0, allowed is a number of at least 0"),
        (f"T-1,105.2,10.1,2026-05-02,{BPH},many,1,yes,", "count: found 'many'"),
        (f"T-1,105.2,10.1,2026-05-02,{BPH},3,1,perhaps,", "working: found 'perhaps', allowed is yes or no"),
        (f"T-1,105.2,10.1,2026-05-02,{BPH},3,-1,,", "nights: found -1.0, allowed is a number from 0 to 366"),
        (f"T-1,105.2,10.1,2027-05-02,{BPH},3,,,", "date: found 2027-05-02, allowed is a day not after today"),
        (f"T-1,105.2,10.1,2026-05-02,{BPH},3,,,2026-05-01", "known_at: found 2026-05-01, allowed is a day not before"),
        ("T-1,105.2,10.1,2026-05-02,brown_plant_hopper,3,,,", 'pest: .*did you mean "brown_planthopper"'),
        (f"T-1,205.2,10.1,2026-05-02,{BPH},3,,,", "lon: found 205.2, allowed is a number from -180 to 180"),
        (f"T-1,,10.1,2026-05-02,{BPH},3,,,", "lon: found nothing"),
        (f",105.2,10.1,2026-05-02,{BPH},3,,,", "trap_id: found nothing, allowed is a text"),
    ],
)
def test_a_bad_row_is_left_out_by_name(tmp_path, row, message):
    with pytest.warns(DataWarning, match=rf"traps\.csv: row 2, column {message}"):
        traps = read(tmp_path, row, GOOD)
    assert traps["trap_id"].tolist() == ["T-9"]
    with pytest.raises(NoDataError, match="No row is left; mend the rows in the file"):
        read(tmp_path, row)


def test_rows_that_disagree_go_and_rows_that_agree_count_once(tmp_path):
    same, other = GOOD, GOOD.replace("120", "90")
    assert len(read(tmp_path, same, same)) == 1
    with pytest.warns(
        DataWarning, match="row 2, column count: found 120.0, allowed is one row a trap, pest and day; row 3"
    ):
        traps = read(tmp_path, same, other, f"T-1,105.2,10.1,2026-05-02,{BPH},3,,,")
    assert traps["trap_id"].tolist() == ["T-1"]


def test_a_correction_is_a_version_of_its_own(tmp_path):
    traps = read(tmp_path, GOOD + "2026-05-03", GOOD.replace("120", "90") + "2026-05-09")
    assert traps["count"].tolist() == [120.0, 90.0]


def test_a_trap_stands_in_one_place(tmp_path):
    rows = [f"T-9,105.4,10.4,2026-05-0{d},{BPH},3,,," for d in (1, 2, 3)]
    with pytest.warns(
        DataWarning, match="row 5, column lon, lat: found '105.9, 10.4', allowed is the place of its other"
    ):
        traps = read(tmp_path, *rows, f"T-9,105.9,10.4,2026-05-04,{BPH},3,,,")
    assert len(traps) == 3


def test_simulated_traps_say_so(tmp_path):
    assert read(tmp_path, GOOD.replace("T-9", "SYNTHETIC-9")).attrs["synthetic"]
