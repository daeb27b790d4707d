"""The synthetic valley: the same for the same arguments, and like a delta where it matters."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely

from rs_forecast import schema
from rs_forecast.catalog import PESTS
from rs_forecast.errors import ConfigError, RsForecastError
from rs_forecast.simulate import Hopper, Valley, ValleyTables, simulate, simulate_tables
from rs_forecast.simulate import valley as module
from rs_forecast.simulate._rng import autoregressive, generator
from rs_forecast.simulate._span import make_span
from rs_forecast.simulate.clouds import MISSED, draw_sky
from rs_forecast.simulate.land import simulate_land
from rs_forecast.simulate.pixels import make_pixels
from rs_forecast.simulate.spectra import BANDS, paddy
from rs_forecast.simulate.surveys import _count
from rs_forecast.simulate.weather import simulate_weather

SMALL = {"seed": 3, "parcels": 60, "years": 2, "image_years": 4 / 12, "end": "2026-01-31"}
THRESHOLD = PESTS["brown_planthopper"].threshold


@pytest.fixture(scope="module")
def valley(tmp_path_factory: pytest.TempPathFactory) -> Valley:
    return simulate(tmp_path_factory.mktemp("valley"), workers=1, **SMALL)


@pytest.fixture(scope="module")
def tables() -> ValleyTables:
    """The valley of the demo, without its imagery."""
    return simulate_tables(seed=0)


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def read_band(valley: Valley, scene: str, code: str) -> np.ndarray:
    """Reflectance (or class) as the file itself says it is to be read, NaN where it has no data."""
    with rasterio.open(valley.scenes / scene / f"{scene}_{code}.tif") as src:
        return np.asarray((src.read(1, masked=True).astype(float) * src.scales[0] + src.offsets[0]).filled(np.nan))


def scene_names(valley: Valley) -> list[str]:
    return sorted(path.name for path in valley.scenes.iterdir())


# ---------------------------------------------------------------------------------------- the same for the same


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    arguments = {"parcels": 30, "years": 1, "image_years": 1 / 12, "workers": 1}
    one, other = (simulate(tmp_path / name, **arguments) for name in ("one", "other"))
    assert hashes(one.root) == hashes(other.root)
    assert len(hashes(one.root)) == 8 + 11 * len(scene_names(one))


def test_the_share_of_a_helper_that_fails_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(
        module, "_start_helper", lambda *_: subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    )
    made = simulate(tmp_path / "v", parcels=30, years=1, image_years=1 / 12, workers=2)
    assert len(scene_names(made)) == len(make_span("2026-03-02", 1, 1 / 12).overpasses)


@pytest.mark.slow
def test_workers_write_the_same_bytes(valley: Valley, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH_A_PROCESS", 1)
    started = []
    start = module._start_helper
    monkeypatch.setattr(module, "_start_helper", lambda *task: started.append(start(*task)) or started[-1])
    told: list[tuple[str, float]] = []
    again = simulate(tmp_path / "again", workers=2, progress=lambda what, share: told.append((what, share)), **SMALL)
    assert hashes(again.root) == hashes(valley.root)
    assert [helper.returncode for helper in started] == [0]  # it did its share itself
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > len(scene_names(valley)) / 2


def test_another_seed_gives_another_valley() -> None:
    one, other = (simulate_tables(seed=seed, parcels=60, years=1) for seed in (0, 1))
    assert not one.weather.equals(other.weather)
    assert not one.parcels.geometry.equals(other.parcels.geometry)
    assert not one.surveys.equals(other.surveys)


def test_another_number_of_parcels_leaves_the_weather() -> None:
    one, other = (simulate_tables(seed=0, parcels=n, years=1) for n in (60, 120))
    pd.testing.assert_frame_equal(one.weather, other.weather)
    assert (len(one.parcels), len(other.parcels)) == (60, 120)


def test_a_later_end_leaves_the_past() -> None:
    early, late = (simulate_tables(seed=0, parcels=60, years=2, end=end) for end in ("2026-03-02", "2026-03-23"))
    last = pd.Timestamp("2026-03-02")
    for name, day in (("weather", "date"), ("surveys", "date"), ("truth", "week"), ("crops", "known_at")):
        one, other = getattr(early, name), getattr(late, name)
        first = max(one[day].min(), other[day].min())
        one, other = (t[(t[day] >= first) & (t[day] <= last)].reset_index(drop=True) for t in (one, other))
        if name == "crops":  # reported per crop: rows of crops older than the later valley are not in it
            keep = other["sown"].min()
            one, other = (t[t["sown"] >= keep].reset_index(drop=True) for t in (one, other))
        assert len(one) > 100, name
        pd.testing.assert_frame_equal(one, other)


def test_an_older_valley_is_replaced_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    arguments = {"parcels": 30, "years": 1, "end": "2026-03-02", "workers": 1}
    simulate(folder, image_years=20 / 365, **arguments)
    (folder / "outputs").mkdir()
    (folder / "outputs" / "kept.txt").write_text("mine")
    second = simulate(folder, seed=5, image_years=0, **arguments)
    assert not list(second.scenes.glob("*"))
    assert (folder / "outputs" / "kept.txt").read_text() == "mine"
    fields = tmp_path / "own fields"
    fields.mkdir()
    (fields / "parcels.gpkg").write_text("precious")
    with pytest.raises(ConfigError, match="no synthetic valley"):
        simulate(fields, **arguments)
    assert (fields / "parcels.gpkg").read_text() == "precious"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"parcels": 3}, "at least 20"),
        ({"years": 0}, "at least 1"),
        ({"image_years": -1}, "at least 0"),
        ({"seed": -1}, "positive"),
        ({"end": "yesterday"}, "2026-03-02"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, argument: dict[str, int], words: str) -> None:
    with pytest.raises(RsForecastError, match=words):
        simulate(tmp_path / "v", **argument)
    assert not (tmp_path / "v" / "rs_forecast.toml").exists()


def test_autoregressive_has_the_memory_and_spread_it_is_asked_for() -> None:
    x = autoregressive(generator(0, "test"), 4000, 5, memory=0.8, sd=2.0)
    assert x.std() == pytest.approx(2.0, rel=0.08)
    assert np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.03)


# ----------------------------------------------------------------------------------------------------- the land


def test_fields_are_valid_apart_and_of_the_deltas_size(tables: ValleyTables) -> None:
    parcels = tables.parcels
    schema.check_parcels(parcels)
    shapes = parcels.geometry.to_numpy()
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert (left == right).all()
    hectares = parcels.area / 1e4
    assert hectares.between(0.1, 2.0).all()
    assert 0.4 < hectares.median() < 0.6
    box = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapes)).reshape(-1, 5, 2)
    sides = np.linalg.norm(np.diff(box, axis=1), axis=2)[:, :2]
    assert np.median(sides.max(axis=1) / sides.min(axis=1)) > 2.5  # long and narrow
    place = parcels.to_crs(4326).union_all().centroid
    assert abs(place.x - 105.4) < 0.05
    assert abs(place.y - 10.4) < 0.05


def test_sub_zones_nest_in_communes(tables: ValleyTables) -> None:
    parcels, communes = tables.parcels, tables.communes
    assert len(parcels) == 1000
    assert 20 <= parcels["sub_zone"].nunique() <= 24
    assert len(communes) == 6
    assert len(parcels.drop_duplicates(["sub_zone", "commune_code"])) == parcels["sub_zone"].nunique()
    inside = gpd.sjoin(parcels, communes, predicate="within")
    assert len(inside) == len(parcels)
    assert (inside["commune_code"] == inside["code"]).all()


def test_pixel_shares_add_up_and_keep_the_area() -> None:
    land = simulate_land(60, 0)
    pixels = make_pixels(land)
    for size in (10, 20):
        shares = pixels.shares[size]
        assert shares.sum(axis=1) == pytest.approx(1.0)
        area = np.asarray(shares[:, : len(land.parcels)].sum(axis=0)).ravel() * size**2
        assert area == pytest.approx(land.parcels.area.to_numpy(), rel=0.12)
    fine = np.asarray(pixels.shares[10].sum(axis=0)) * 100
    assert fine == pytest.approx(np.asarray(pixels.shares[20].sum(axis=0)) * 400)
    assert pixels.origin[0] % 60 == pixels.origin[1] % 60 == 0


# -------------------------------------------------------------------------------------------- weather and crops


def test_weather_is_a_monsoon_deltas() -> None:
    table = simulate_weather(make_span("2026-03-02", 6, 3).days, 0)
    wet = table["date"].dt.month.between(5, 11)
    yearly = table.groupby([table["date"].dt.year, "station"])["rain_sum"].sum().loc[2020:2025]
    assert yearly.between(700, 2300).all()
    assert 1100 < yearly.mean() < 1700
    assert table.loc[~wet, "rain_sum"].sum() < 0.15 * table["rain_sum"].sum()
    monthly = table.groupby(table["date"].dt.month)["temp_mean"].mean()
    assert monthly.between(25.5, 29.5).all()
    assert monthly.idxmax() in (4, 5)
    assert (table["temp_min"] < table["temp_mean"]).all()
    assert (table["temp_mean"] < table["temp_max"]).all()
    first = table[table["station"] == "SYNTHETIC-1"]["temp_mean"]
    assert first.autocorr(1) > 0.6  # a day is like its eve


def test_tables_pass_the_schema(tables: ValleyTables) -> None:
    schema.check_surveys(tables.surveys.astype({"date": "datetime64[us]", "known_at": "datetime64[us]"}))
    schema.check_crops(tables.crops)
    rows = tables.weather.rename(columns={"station": "site"})
    weights = pd.DataFrame({"parcel_id": ["SYN-00001"], "site": ["SYNTHETIC-1"], "weight": [1.0]})
    schema.check_weather(rows, weights)
    assert tables.weather["date"].min() == pd.Timestamp("2020-03-02")
    assert tables.weather["date"].max() == pd.Timestamp("2026-03-02")
    assert tables.weather.groupby("station")["date"].nunique().eq(2192).all()


def test_everything_is_known_after_it_happened(tables: ValleyTables) -> None:
    for table in (tables.weather, tables.surveys):
        assert (table["known_at"] > table["date"]).all()
    delay = (tables.surveys["known_at"] - tables.surveys["date"]).dt.days
    assert delay.between(2, 9).all()
    assert delay.between(3, 5).mean() > 0.6
    crops = tables.crops
    assert (crops["known_at"] > crops["harvested"].fillna(crops["sown"])).all()  # no harvest before it is known


def test_three_crops_a_year_in_waves(tables: ValleyTables) -> None:
    crops = tables.crops.drop_duplicates(["parcel_id", "season"], keep="last")
    crops = crops[crops["season"].str[:4].astype(int).between(2021, 2025)]
    name = crops["season"].str[5:]
    month = crops["sown"].dt.month
    allowed = {"dong_xuan": {11, 12}, "he_thu": {3, 4, 5}, "thu_dong": {7, 8}}
    for season, months in allowed.items():
        assert set(month[name == season]) <= months, season
    grown = crops.groupby("parcel_id").size()
    assert 0.85 * 3 * 5 * 0.85 < grown.mean() < 0.85 * 3 * 5  # 85 % reported, some thu_dong skipped
    length = (crops["harvested"] - crops["sown"]).dt.days.dropna()
    assert length.between(95, 105).all()
    zone = crops["parcel_id"].map(tables.parcels.set_index("parcel_id")["sub_zone"])
    start = crops["sown"].astype("int64") / 86_400e6
    assert start.groupby([crops["season"], zone]).std().median() < 4  # one wave a sub-zone
    assert start.groupby(crops["season"]).std().median() > 9  # but not all together
    order = crops.sort_values(["parcel_id", "sown"])
    before = order.groupby("parcel_id")["harvested"].shift()
    assert (order["sown"] > before)[before.notna()].all()


# ----------------------------------------------------------------------------------------------------- the pest


@pytest.mark.parametrize("seed", range(5))
def test_base_rate_is_that_of_a_pest_worth_forecasting(seed: int) -> None:
    truth = simulate_tables(seed=seed).truth
    assert 0.05 <= truth["event"].mean() <= 0.20
    season = truth.groupby([truth["week"].dt.year, (truth["week"].dt.month - 1) // 4])["event"].mean()
    season = season[season.index.get_level_values(0).isin(range(2021, 2026))]
    assert season.min() < 0.06  # quiet seasons
    assert season.max() > 0.16  # and outbreaks


def test_truth_says_what_it_is(tables: ValleyTables) -> None:
    truth = tables.truth
    assert list(truth.columns[:4]) == ["parcel_id", "week", "density", "event"]
    assert (truth["week"].dt.day_of_week == 0).all()
    assert not truth.duplicated(["parcel_id", "week"]).any()
    assert (truth["event"] == (truth["density"] >= THRESHOLD)).all()
    assert truth["week"].max() == pd.Timestamp("2026-03-30")  # forecasts of the last day can be scored


def test_event_needs_a_crop_of_susceptible_age(tables: ValleyTables) -> None:
    rate = tables.truth.groupby(pd.cut(tables.truth["crop_age_days"], [-1, 25, 45, 85, 110]))["event"].mean()
    young, tillering, heading, ripe = rate
    assert young < 0.005 < tillering < heading
    assert ripe < heading
    assert heading > 0.15


def test_oracle_is_calibrated_and_beats_climatology_and_persistence(tables: ValleyTables) -> None:
    truth = tables.truth.sort_values(["parcel_id", "week"]).reset_index(drop=True)
    event = truth["event"].astype(float)
    bins = truth.groupby((truth["oracle"] * 10).clip(upper=9.99).astype(int))
    gap = bins["oracle"].mean() - bins["event"].mean()
    assert gap.abs().max() < 0.03
    week = truth["week"].dt.isocalendar().week.astype(int)
    climatology = event.groupby(week).transform("mean")  # in hindsight, and so harder to beat than a real one
    before = event.groupby(truth["parcel_id"]).shift().fillna(0)
    persistence = event.groupby(before).transform("mean")  # the true state, calibrated: far more than an office has
    brier = {
        name: float(((p - event) ** 2).mean())
        for name, p in (("oracle", truth["oracle"]), ("climatology", climatology), ("persistence", persistence))
    }
    oracle = 1 - brier["oracle"] / brier["climatology"]
    assert 0.4 < oracle < 0.8
    assert 1 - brier["persistence"] / brier["climatology"] < 0.6 * oracle


def test_process_noise_is_what_the_oracle_cannot_know() -> None:
    def skill(noise: float) -> float:
        truth = simulate_tables(seed=1, parcels=200, years=3, hopper=Hopper(process_noise=noise)).truth
        event = truth["event"].astype(float)
        return float(1 - ((truth["oracle"] - event) ** 2).mean() / event.var())

    assert skill(0.1) > skill(0.42) > skill(1.2)


# --------------------------------------------------------------------------------------------------- the visits


def test_few_fields_are_visited_and_more_where_trouble_is(tables: ValleyTables) -> None:
    surveys = tables.surveys
    week = surveys["date"] - pd.to_timedelta(surveys["date"].dt.day_of_week, unit="D")
    share = surveys.groupby(week)["parcel_id"].nunique() / len(tables.parcels)
    assert share.max() <= 0.15
    assert 0.07 < share.mean() < 0.12
    assert set(surveys["date"].dt.day_of_week) == {0, 1}
    assert not surveys.assign(week=week).duplicated(["parcel_id", "week"]).any()
    found = (surveys["value"] >= THRESHOLD).groupby(surveys["reason"]).mean()
    assert set(found.index) == {"routine", "random", "complaint"}
    assert found["complaint"] > 2 * found["random"]
    assert (surveys["value"] == 0).sum() > 100  # absence is a finding
    panel = surveys[surveys["reason"] == "routine"]
    assert panel["parcel_id"].nunique() < 0.08 * len(tables.parcels)


def test_counts_scatter_round_the_truth(tables: ValleyTables) -> None:
    surveys = tables.surveys.assign(week=tables.surveys["date"].dt.to_period("W").dt.start_time)
    both = surveys.merge(tables.truth, on=["parcel_id", "week"], how="left", validate="one_to_one")
    assert both["density"].notna().all()  # only fields with a crop are visited
    many = both[both["density"] > 200]
    ratio = many["value"] / many["density"]
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    assert 0.2 < ratio.std() < 0.4


def test_counts_are_negative_binomial() -> None:
    seen = _count(np.full(200_000, 50.0), generator(0, "test")) * 2  # animals in two square metres
    assert seen.mean() == pytest.approx(100, rel=0.01)
    assert seen.var() == pytest.approx(100 + 100**2 / 12, rel=0.03)


# --------------------------------------------------------------------------------------------------- the images


def index(spectrum: np.ndarray, one: str, other: str) -> np.ndarray:
    a, b = spectrum[:, BANDS.index(one)], spectrum[:, BANDS.index(other)]
    return (a - b) / (a + b)


def test_rice_looks_as_its_age() -> None:
    age = np.array([2, 25, 60, 97, np.nan, np.nan])
    rest = np.array([0, 0, 0, 0, 4, 80])
    look = paddy(age, rest, np.zeros(6), np.zeros(6))
    ndvi, lswi = index(look, "B08", "B04"), index(look, "B08", "B11")
    assert lswi[0] > ndvi[0]  # under water
    assert ndvi[0] < ndvi[1] < ndvi[2] > ndvi[3]
    assert ndvi[2] > 0.8
    assert lswi[4] < 0  # dry straw
    assert lswi[5] > lswi[4]  # let flood
    assert ((look > 0) & (look < 0.6)).all()


def test_nitrogen_shows_in_the_red_edge_and_hopperburn_in_the_near_infrared() -> None:
    rich, poor, burnt = paddy(np.full(3, 60.0), np.zeros(3), np.array([1.0, -1.0, 0.0]), np.array([0, 0, 0.6]))[:, None]
    ndre = {name: float(index(look, "B08", "B05")[0]) for name, look in (("rich", rich), ("poor", poor))}
    ndvi = {name: float(index(look, "B08", "B04")[0]) for name, look in (("rich", rich), ("poor", poor))}
    assert ndre["rich"] - ndre["poor"] > 0.05
    assert ndre["rich"] - ndre["poor"] > 3 * (ndvi["rich"] - ndvi["poor"])  # NDVI has saturated
    assert burnt[0, BANDS.index("B08")] < 0.8 * poor[0, BANDS.index("B08")]


@pytest.mark.parametrize("seed", range(3))
def test_clouds_by_season(seed: int) -> None:
    days = make_span("2026-03-02", 6, 3).overpasses
    skies = [draw_sky((110, 120), day.day_of_year, generator(seed, "sky", n)) for n, day in enumerate(days)]
    share = np.array([np.isin(sky.scl, (8, 9, 10)).mean() for sky in skies])
    masked = np.array([(sky.scl > 0).mean() for sky in skies])
    wet = np.asarray(days.month >= 5) & np.asarray(days.month <= 11)
    for cloud in (share, masked):
        assert 0.60 < cloud[wet].mean() < 0.80
        assert 0.20 < cloud[~wet].mean() < 0.45
    missed = np.mean([((sky.opacity > 0) & (sky.scl == 0)).mean() for sky in skies if (sky.scl > 0).mean() < 0.7])
    assert 0.3 * MISSED < missed < 0.02


def test_files_are_cogs_that_say_what_they_are(valley: Valley) -> None:
    names = scene_names(valley)
    assert len(names) == 24
    codes = {*BANDS, "SCL"}
    for name in names[::6]:
        files = {path.stem.removeprefix(f"{name}_"): path for path in (valley.scenes / name).iterdir()}
        assert set(files) == codes
        for code, path in files.items():
            with rasterio.open(path) as src:
                tags = src.tags()
                assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert (src.crs.to_epsg(), src.nodata, src.descriptions) == (32648, 0, (code,))
                assert src.dtypes == (("uint8",) if code == "SCL" else ("uint16",))
                assert src.res == ((10, 10) if code in ("B02", "B03", "B04", "B08") else (20, 20))
                assert src.transform.c % 60 == src.transform.f % 60 == 0
                assert tags["SYNTHETIC"] == "YES"
                assert tags["DATETIME"].replace("-", "") == name.split("_")[2]
                if code != "SCL":
                    added = tags["PROCESSING_BASELINE"] >= "04.00"
                    assert src.scales == (1e-4,)
                    assert src.offsets == ((-0.1,) if added else (0.0,))


def test_the_date_does_not_tell_the_offset(valley: Valley) -> None:
    added = []
    for name in scene_names(valley):
        with rasterio.open(valley.scenes / name / f"{name}_B02.tif") as src:
            added.append(src.offsets[0] != 0)
    first, last = added.index(False), len(added) - 1 - added[::-1].index(False)
    assert any(added[first:last])  # products with an offset lie between products without


def test_reflectance_is_the_same_with_and_without_offset(valley: Valley) -> None:
    """The river changes little: read by their own metadata both kinds of products agree; raw, they are 1000 apart."""
    read: dict[bool, list[float]] = {True: [], False: []}
    raw: dict[bool, list[float]] = {True: [], False: []}
    for name in scene_names(valley):
        water = read_band(valley, name, "SCL") == 6
        if water.sum() < 50:
            continue
        path = valley.scenes / name / f"{name}_B12.tif"  # haze leaves it alone
        with rasterio.open(path) as src:
            numbers, offset = src.read(1)[water], src.offsets[0]
            read[offset != 0].append(float(np.median(numbers * src.scales[0] + offset)))
            raw[offset != 0].append(float(np.median(numbers)))
    assert min(len(read[True]), len(read[False])) >= 2
    assert np.median(read[True]) == pytest.approx(np.median(read[False]), abs=0.003)
    assert np.median(raw[True]) - np.median(raw[False]) == pytest.approx(1000, abs=30)


def test_clear_pixels_are_ground_and_clouds_are_bright(valley: Valley) -> None:
    for name in scene_names(valley):
        scl, blue = read_band(valley, name, "SCL"), read_band(valley, name, "B02")
        scl = scl.repeat(2, axis=0).repeat(2, axis=1)
        cloud, clear, shadow = (np.isin(scl, classes) for classes in ([9], [4, 5, 6], [3]))
        if cloud.sum() > 100:
            assert np.median(blue[cloud]) > 0.35
        if clear.sum() > 100:
            assert np.percentile(blue[clear], 90) < 0.2
        if min(clear.sum(), shadow.sum()) > 400:
            assert np.median(blue[shadow]) < np.median(blue[clear])


def test_fields_green_up_in_the_images(valley: Valley) -> None:
    """NDVI of a field's own pixels, clear ones only, follows the age of its crop."""
    parcels = gpd.read_file(valley.parcels)
    truth = valley.truth
    pairs = []
    for name in scene_names(valley):
        scl = read_band(valley, name, "SCL")
        clear = np.isin(scl, [4, 5, 6]).repeat(2, axis=0).repeat(2, axis=1)
        red, nir = read_band(valley, name, "B04"), read_band(valley, name, "B08")
        with rasterio.open(valley.scenes / name / f"{name}_B04.tif") as src:
            points = parcels.geometry.representative_point()
            rows, columns = rasterio.transform.rowcol(src.transform, points.x, points.y)
        ndvi = ((nir - red) / (nir + red))[rows, columns]
        day = pd.Timestamp(name.split("_")[2])
        now = truth[truth["week"] == day - pd.Timedelta(days=day.day_of_week)].set_index("parcel_id")["crop_age_days"]
        age = parcels["parcel_id"].map(now).to_numpy() + day.day_of_week
        pairs.append(np.column_stack([age, ndvi])[clear[rows, columns]])
    age, ndvi = np.concatenate(pairs).T
    young, grown = ndvi[age < 12], ndvi[(age > 48) & (age < 75)]
    assert min(len(young), len(grown)) > 15
    assert np.nanmedian(young) < 0.3
    assert np.nanmedian(grown) > 0.65


# ---------------------------------------------------------------------------------------------------- SYNTHETIC


def test_everything_says_synthetic(valley: Valley) -> None:
    assert "SYNTHETIC" in (valley.root / "SYNTHETIC.md").read_text(encoding="utf-8")
    assert "SYNTHETIC" in valley.config.read_text(encoding="utf-8")
    for path in (valley.parcels, valley.communes):
        info = pyogrio.read_info(path)
        assert info["layer_metadata"]["SYNTHETIC"] == "YES"
        assert info["dataset_metadata"]["SYNTHETIC"] == "YES"
    assert gpd.read_file(valley.communes)["name"].str.contains("SYNTHETIC").all()
    assert pd.read_csv(valley.surveys)["method"].eq("SYNTHETIC count").all()
    assert pd.read_csv(valley.weather)["station"].str.startswith("SYNTHETIC").all()
    assert pd.read_csv(valley.crops)["variety"].str.startswith("SYNTHETIC").all()
    assert pd.read_csv(valley.truth_file)["parcel_id"].str.startswith("SYN-").all()


def test_config_names_files_that_are_there(valley: Valley) -> None:
    config = tomllib.loads(valley.config.read_text(encoding="utf-8"))
    assert config["region"]["name"] == "synthetic-valley"
    named = [
        config["region"]["communes"],
        *(config[k]["path"] for k in ("parcels", "crops", "imagery", "weather", "surveys")),
    ]
    assert all((valley.root / name).exists() for name in named)
    assert list(config["forecast"]["pests"]) == ["brown_planthopper"]
