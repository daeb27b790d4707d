from __future__ import annotations

import shutil
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import shapely
from safe import image, metadata, product_name, write_product, zipped
from scenes import CODES, SIZE, fields, numbers, write_scene

from rs_forecast import extract_signals
from rs_forecast.catalog.bands import BAND_OF_CODE
from rs_forecast.errors import DataWarning
from rs_forecast.sources._blocks import read_reflectance
from rs_forecast.sources.local import open_scenes
from rs_forecast.store.store import SignalStore

INDICES = ["ndvi", "ndre", "lswi"]


def one(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (scene,) = open_scenes(path)
    return scene


def signals(path, parcels):
    table = extract_signals(open_scenes(path), parcels, indices=INDICES)
    return table.drop(columns=["scene_id", "geom_hash"], errors="ignore").sort_values("parcel_id", ignore_index=True)


def warned(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        scenes = open_scenes(path)
    return scenes, "\n".join(str(item.message) for item in caught)


def test_a_product_is_a_scene_with_bands_date_tile_and_baseline(tmp_path):
    write_product(tmp_path)
    scene = one(tmp_path)
    assert (scene.scene_id, scene.tile, scene.baseline) == ("S2A_L2A_20240115_R075_48PWS", "48PWS", "05.10")
    assert scene.date == pd.Timestamp("2024-01-15")
    assert set(scene.bands) == {BAND_OF_CODE[code] for code in (*CODES, "SCL")}
    assert {abs(scene.bands[BAND_OF_CODE[code]].geobox.affine.a) for code in ("B05", "SCL")} == {20}


@pytest.mark.parametrize(("baseline", "offset"), [("05.10", -0.1), ("03.01", 0.0)])
@pytest.mark.parametrize("packed", [False, True])
def test_reflectance_is_that_of_the_metadata_not_of_the_date(tmp_path, baseline, offset, packed):
    made = numbers(3)
    root = write_product(tmp_path / "in", baseline=baseline, bands=made)
    if packed:
        zipped(root)
        shutil.rmtree(root)
    scene = one(tmp_path / "in")
    for code in CODES:
        band = scene.bands[BAND_OF_CODE[code]]
        rows, cols = (axis.ravel() for axis in np.indices(band.geobox.shape))
        found = read_reflectance(band, band.geobox, rows, cols).reshape(band.geobox.shape)
        due = np.where(made[code] == 0, np.nan, np.maximum(made[code] / 1e4 + offset, 0))
        np.testing.assert_allclose(found, due, atol=1e-6, err_msg=code)


def test_signals_of_a_product_are_those_of_the_same_ground_as_geotiffs(tmp_path):
    made, parcels = numbers(5), fields()
    write_product(tmp_path / "safe", bands=made)
    write_scene(tmp_path / "tiff", offset=-0.1, bands=made)
    due = signals(tmp_path / "tiff", parcels)
    pd.testing.assert_frame_equal(signals(tmp_path / "safe", parcels), due, check_exact=True)
    root = next((tmp_path / "safe").iterdir())
    zipped(root)
    shutil.rmtree(root)
    pd.testing.assert_frame_equal(signals(tmp_path / "safe", parcels), due, check_exact=True)


def test_of_one_overpass_the_newest_processing_counts(tmp_path):
    write_product(tmp_path, "20220110", seed=1, baseline="03.01")
    write_product(tmp_path, "20220110", seed=2, baseline="05.10")
    scenes, said = warned(tmp_path)
    assert [scene.baseline for scene in scenes] == ["05.10"]
    assert "N0301" in said
    assert "passed over" in said


NORTH_HALF, SOUTH_HALF = shapely.box(105, 10.2, 106, 10.4), shapely.box(105, 10, 106, 10.21)
WHOLE = shapely.union(NORTH_HALF, SOUTH_HALF).envelope


def half_of(made, upper):
    """Return bands without data in the rows of the other half."""
    out = {}
    for code, values in made.items():
        out[code] = values.copy()
        middle = len(values) // 2
        out[code][slice(middle, None) if upper else slice(0, middle)] = 0
    return out


def write_part(folder, made, discriminator, strip, outline, baseline="05.10"):
    stamp = f"2024-01-15T{discriminator[:2]}:{discriminator[2:4]}:{discriminator[4:]}.000000Z"
    offset = -1000 if baseline >= "04.00" else None
    text = metadata(made=stamp, strip=strip, outline=outline, baseline=baseline, offset=offset)
    return write_product(folder, bands=made, discriminator=discriminator, text=text, baseline=baseline)


def test_two_parts_of_an_overpass_both_count_and_give_the_signals_of_the_whole(tmp_path):
    made = numbers(7, gaps=False)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_part(whole, made, "060000", "20240115T030000", WHOLE)
    # the part that was sensed first came last
    write_part(cut, half_of(made, upper=True), "080000", "20240115T030000", NORTH_HALF)
    write_part(cut, half_of(made, upper=False), "060000", "20240115T031142", SOUTH_HALF)
    scenes, said = warned(cut)
    assert said == ""
    assert [s.scene_id for s in scenes] == ["S2A_L2A_20240115_R075_48PWS", "S2A_L2A_20240115_R075_48PWS_2"]
    assert "T080000" in scenes[0].bands["red"].href
    inside = fields(30)
    top, bottom = scenes_bounds(scenes[0])
    middle = (top + bottom) / 2
    bounds = inside.bounds
    inside = inside[(bounds.miny > middle + 45) | (bounds.maxy < middle - 45)].reset_index(drop=True)
    assert (inside.bounds.miny > middle).any()
    assert (inside.bounds.maxy < middle).any()
    pd.testing.assert_frame_equal(signals(cut, inside), signals(whole, inside), check_exact=True)
    store = SignalStore(tmp_path / "store")
    kept = store.signals(scenes, inside, INDICES)
    pd.testing.assert_frame_equal(
        kept[["parcel_id", "ndvi_mean"]].astype({"parcel_id": "str"}),
        signals(whole, inside)[["parcel_id", "ndvi_mean"]],
        rtol=1e-6,
    )


def scenes_bounds(scene):
    box = scene.bands["red"].geobox.boundingbox
    return box.top, box.bottom


A_DAY = "20240115T03"
OVERPASSES = {  # (discriminator, strip, outline, baseline), ...: whose discriminators count, by sensing time
    "processed again": ([("060000", "0000", WHOLE, "03.01"), ("070000", "0000", WHOLE, "05.10")], ["070000"]),
    "received by two stations": ([("060000", "0000", WHOLE, "05.10"), ("070000", "0900", WHOLE, "05.10")], ["070000"]),
    "parts": (
        [("060000", "0000", NORTH_HALF, "05.10"), ("070000", "1100", SOUTH_HALF, "05.10")],
        ["060000", "070000"],
    ),
    "parts, one of them again": (
        [
            ("060000", "0000", NORTH_HALF, "03.01"),
            ("070000", "1100", SOUTH_HALF, "03.01"),
            ("080000", "0000", NORTH_HALF, "05.10"),
        ],
        ["080000", "070000"],
    ),
    "parts, then the whole": (
        [
            ("060000", "0000", NORTH_HALF, "03.01"),
            ("070000", "1100", SOUTH_HALF, "03.01"),
            ("080000", "0000", WHOLE, "05.10"),
        ],
        ["080000"],
    ),
    "the whole, then parts": (
        [
            ("060000", "0000", WHOLE, "03.01"),
            ("070000", "1100", SOUTH_HALF, "05.10"),
            ("080000", "0000", NORTH_HALF, "05.10"),
        ],
        ["080000", "070000"],
    ),
    "no outlines, one strip": ([("060000", "0000", None, "03.01"), ("070000", "0000", None, "05.10")], ["070000"]),
    "no outlines, two strips": (
        [("060000", "1100", None, "05.10"), ("070000", "0000", None, "05.10")],
        ["070000", "060000"],
    ),
    "nothing told": ([("060000", "", None, "05.10"), ("070000", "", None, "05.10")], ["070000"]),
    "strips not told": (
        [("060000", "", SOUTH_HALF, "05.10"), ("070000", "", NORTH_HALF, "05.10")],
        ["070000", "060000"],
    ),
}


@pytest.mark.parametrize("kind", OVERPASSES)
def test_parts_count_beside_each_other_and_the_newest_processing_of_each(tmp_path, kind):
    products, due = OVERPASSES[kind]
    for discriminator, strip, outline, baseline in products:
        write_part(tmp_path, numbers(1), discriminator, strip and f"{A_DAY}{strip}", outline, baseline)
    scenes, said = warned(tmp_path)
    found = [scene.bands["red"].href.split(".SAFE")[0][-6:] for scene in scenes]
    assert found == due
    plain = "S2A_L2A_20240115_R075_48PWS"
    assert [scene.scene_id for scene in scenes] == [plain, f"{plain}_2"][: len(due)]
    assert said.count("passed over") == len(products) - len(due)


@pytest.mark.parametrize("corners", ["", "1 2 3", "1 2 3 4", "north", "nan nan nan nan nan nan", "1 1 1 1 1 1 1 1"])
def test_an_outline_that_is_none_is_not_used(tmp_path, corners):
    text = metadata(outline=WHOLE)
    first, _, rest = text.partition("<EXT_POS_LIST>")
    write_product(tmp_path, text=f"{first}<EXT_POS_LIST>{corners}{rest[rest.index('</EXT') :]}")
    assert one(tmp_path).scene_id == "S2A_L2A_20240115_R075_48PWS"


def without_offset(root):
    text = metadata().replace('<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>', "")
    (root / "MTD_MSIL2A.xml").write_text(text)


def with_another_granule(root):
    (own,) = (root / "GRANULE").iterdir()
    shutil.copytree(own, own.with_name(own.name.replace("48PWS", "48PWT")))


def truncated(root):
    file = image(root, "B04", SIZE["B04"])
    file.write_bytes(file.read_bytes()[:60])


def written(text):
    return lambda root: (root / "MTD_MSIL2A.xml").write_text(text)


BAD = {
    "an offset missing for one band": (without_offset, "no offset for B04"),
    "no quantification": (written(metadata(quantification="")), "no BOA_QUANTIFICATION_VALUE"),
    "quantification 0": (written(metadata(quantification="0")), "above 0 is due"),
    "quantification of letters": (written(metadata(quantification="many")), "is no number"),
    "no XML": (written("<html>Not found</html"), "cannot be read"),
    "another document": (written("<html>Not found</html>"), "has no PROCESSING_BASELINE"),
    "entities": (written(metadata().replace("<n1:L", '<!DOCTYPE x [<!ENTITY a "b">]><n1:L', 1)), "document type"),
    "two granules": (with_another_granule, "holds 2 granules"),
    "images gone": (lambda root: shutil.rmtree(root / "GRANULE"), "holds no image of a band"),
    "an image cut short": (truncated, "cannot be opened as JPEG 2000"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD)
def test_a_bad_product_is_named_and_the_rest_goes_on(tmp_path, spoil, said):
    spoil(write_product(tmp_path))
    write_product(tmp_path, "20240120")
    scenes, told = warned(tmp_path)
    assert [scene.date for scene in scenes] == [pd.Timestamp("2024-01-20")]
    assert product_name().removesuffix(".SAFE") in told
    assert said in told


def test_a_damaged_zip_is_named(tmp_path):
    file = zipped(write_product(tmp_path / "in"))
    shutil.copy(file, tmp_path / "whole.zip")
    (tmp_path / "cut.zip").write_bytes(file.read_bytes()[:-200])
    shutil.rmtree(tmp_path / "in")
    scenes, told = warned(tmp_path)
    assert len(scenes) == 1
    assert "cut.zip: not a readable zip" in told


@pytest.mark.parametrize("inner", ["", "./", "/", "../"])
def test_a_zip_without_a_folder_of_the_product_is_named(tmp_path, inner):
    root = write_product(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for file in root.rglob("*.*"):
            if file.is_file():
                name = f"{inner}{root.name + '/' if inner else ''}{file.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
    scenes, told = warned(tmp_path)
    assert len(scenes) == 1  # the folder
    assert "odd.zip: left out, the product in it is not in a folder of its own" in told
