"""read_crops: sowing and harvest, each as the office could have known it."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from rs_forecast.errors import DataWarning, NoDataError
from rs_forecast.schema import CROPS, check_crops
from rs_forecast.sources.crops import read_crops

HEADER = "parcel_id,season,crop,sown,harvested,known_at"


@pytest.fixture(scope="module")
def parcels() -> gpd.GeoDataFrame:
    shapes = [shapely.box(543000 + 300 * i, 1150000, 543200 + 300 * i, 1150200) for i in range(3)]
    return gpd.GeoDataFrame({"parcel_id": [f"P-{i}" for i in range(3)]}, geometry=shapes, crs=32648)


def read(folder: Path, parcels: gpd.GeoDataFrame, *rows: str, **options: object) -> pd.DataFrame:
    path = folder / "crops.csv"
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    return read_crops(path, parcels, today="2026-11-21", **options)


def test_a_given_known_at_is_kept(tmp_path, parcels):
    crops = read(tmp_path, parcels, "P-1,2026 dong_xuan,rice,2026-01-02,2026-04-10,2026-04-11")
    check_crops(crops)
    assert list(crops.columns) == [field.name for field in CROPS]
    assert crops.loc[0, ["sown", "harvested", "known_at"]].tolist() == [
        pd.Timestamp("2026-01-02"),
        pd.Timestamp("2026-04-10"),
        pd.Timestamp("2026-04-11"),
    ]
    assert crops.attrs == {"known_at_assumed": 0, "delay_days": 7}


def test_a_harvest_is_not_known_before_it_happened(tmp_path, parcels):
    crops = read(tmp_path, parcels, "P-1,,rice,2026-01-02,2026-04-10,", delay_days=5)
    assert crops["known_at"].tolist() == [pd.Timestamp("2026-01-07"), pd.Timestamp("2026-04-15")]
    assert crops["harvested"].isna().tolist() == [True, False]
    assert (crops["known_at"] >= crops["harvested"].fillna(crops["sown"])).all()
    assert crops.attrs == {"known_at_assumed": 2, "delay_days": 5}


def test_a_crop_without_harvest_is_one_row(tmp_path, parcels):
    crops = read(tmp_path, parcels, "P-2,,,2026-05-02,,", "P-1,,,2026-05-03,,")
    assert crops["parcel_id"].tolist() == ["P-1", "P-2"]
    assert crops["known_at"].tolist() == [pd.Timestamp("2026-05-10"), pd.Timestamp("2026-05-09")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "P-1,,rice,2026-05-02,2026-04-02,",
            "harvested: found 2026-04-02, allowed is a day not before sown, 2026-05-02",
        ),
        ("P-1,,rice,2027-05-02,,", "sown: found 2027-05-02, allowed is a day not after today, 2026-11-21"),
        ("P-1,,rice,2026-09-02,2026-12-24,", "harvested: found 2026-12-24, allowed is a day not after today"),
        (
            "P-1,,rice,2026-05-02,,2026-05-01",
            "known_at: found 2026-05-01, allowed is a day not before sown, 2026-05-02",
        ),
        (
            "P-1,,rice,2026-05-02,2026-08-02,2026-05-11",
            "known_at: found 2026-05-11, .* not before harvested, 2026-08-02",
        ),
        ("P-7,,rice,2026-05-02,,", r"parcel_id: found 'P-7', allowed is a parcel_id of the parcels\."),
        ("P-1,,rice,,,", "sown: found nothing, allowed is a day such as 2026-03-02"),
        ("P-1,,rice,thang 5,,", "sown: found 'thang 5', allowed is a day such as 2026-03-02"),
    ],
)
def test_a_bad_row_is_left_out_by_name(tmp_path, parcels, row, message):
    with pytest.warns(DataWarning, match=rf"crops\.csv: row 2, column {message}"):
        crops = read(tmp_path, parcels, row, "P-0,,rice,2026-05-02,,")
    assert crops["parcel_id"].tolist() == ["P-0"]


def test_no_row_left_is_no_data(tmp_path, parcels):
    with pytest.raises(NoDataError, match="No row is left"):
        read(tmp_path, parcels, "P-7,,rice,2026-05-02,,")


def test_a_crop_is_known_by_any_of_its_names(tmp_path, parcels):
    crops = read(tmp_path, parcels, "P-0,,Lúa,2026-01-02,,", "P-1,,bắp,2026-01-02,,", "P-2,,rau muống,2026-01-02,,")
    assert crops["crop"].tolist() == ["rice", "maize", "rau muống"]
