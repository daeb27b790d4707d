"""What the pictures show, read back from what was drawn."""

from __future__ import annotations

import builtins
import io

import numpy as np
import pandas as pd
import pytest
from look_oracle import plain_looks
from matplotlib.colors import to_hex
from matplotlib.dates import num2date
from tables import START, make_parcels, make_tables

from rs_forecast.clouds import cloud_csv, cloud_report, weekly_clouds
from rs_forecast.errors import ConfigError, NoDataError, SchemaError
from rs_forecast.plots import plot_clouds, plot_series

SIGNALS = make_tables(np.random.default_rng(5), days=300).signals
PARCELS = make_parcels()
DAY = pd.Timedelta(days=1)
KINDS = {"clear": "clear", "under cloud (less than 50% clear)": "cloudy", "left out as a dip": "dip"}


def days(numbers):
    """Return drawn places on the axis of time as days."""
    if np.issubdtype(np.asarray(numbers).dtype, np.datetime64):
        return [pd.Timestamp(n) for n in numbers]
    return [pd.Timestamp(day).tz_localize(None) for day in num2date(numbers)]


def points(axes):
    """Return {kind: {day: value}} of the markers drawn."""
    marks = [line for line in axes.lines if line.get_marker() != "None"]
    return {
        KINDS[line.get_label().rpartition(": ")[0]]: dict(
            zip(days(line.get_xdata(orig=True)), line.get_ydata(), strict=True)
        )
        for line in marks
    }


@pytest.mark.parametrize("after", [None, 40, 150, 299])
def test_a_series_shows_each_look_as_what_it_counts_for_on_the_day(after):
    issued = None if after is None else START + after * DAY
    figure = plot_series(SIGNALS, "p1", "lswi", issued=issued)
    above, below = figure.axes
    rule = plain_looks(SIGNALS, issued or pd.Timestamp("2100-01-01"))
    due = {day: kind for (parcel, day), kind in rule.items() if parcel == "p1"}
    drawn = points(above)
    assert {day: kind for kind, own in drawn.items() for day in own} == due
    own = SIGNALS[SIGNALS["parcel_id"] == "p1"].sort_values("known_at")
    known = own if issued is None else own[own["known_at"] <= issued]
    newest = known.groupby("date").last()
    for by_day in drawn.values():
        for day, value in by_day.items():
            assert value == newest.loc[day, "lswi_mean"]
    (joined,) = (line for line in above.lines if line.get_marker() == "None")
    assert days(joined.get_xdata(orig=True)) == sorted(day for day, kind in due.items() if kind == "clear")
    stems = {}
    for lines in below.collections:
        for (x, low), (_, high) in lines.get_segments():
            assert low == 0
            stems[days([x])[0]] = high
    assert stems == newest["valid_fraction"].to_dict()
    counts = [text.get_text().rpartition(": ")[2] for text in figure.legends[0].get_texts()]
    assert counts == [str(list(due.values()).count(kind)) for kind in ("clear", "cloudy", "dip")]
    assert ("as known on" in figure.get_suptitle()) == (issued is not None)


def test_kinds_differ_in_shape_and_lightness_not_in_hue_alone():
    marks = [line for line in plot_series(SIGNALS, "p1").axes[0].lines if line.get_marker() != "None"]
    shapes = [(line.get_marker(), line.get_markerfacecolor() == "none") for line in marks]
    assert len(set(shapes)) == 3
    assert [to_hex(line.get_color()) for line in marks] == ["#0072b2", "#7f7f7f", "#d55e00"]


def test_overpasses_of_the_parcels_own_tiles_that_saw_nothing_are_marked():
    date = START + DAY * np.arange(0, 60, 5)
    scenes = pd.DataFrame({"date": date, "known_at": date + 7 * DAY, "tile": ["48PWS"] * 11 + ["48PXS"]})
    figure = plot_series(SIGNALS, "p1", issued=START + 50 * DAY, scenes=scenes)
    (ticks,) = (line for line in figure.axes[1].lines if line.get_marker() == "|")
    seen = set(SIGNALS.loc[(SIGNALS["parcel_id"] == "p1") & (SIGNALS["known_at"] <= START + 50 * DAY), "date"])
    due = [day for day in date[:9] if day not in seen]
    assert 0 < len(due) < 9
    assert days(ticks.get_xdata(orig=True)) == due
    assert figure.legends[0].get_texts()[-1].get_text() == f"overpass without a clear pixel: {len(due)}"


@pytest.mark.parametrize(
    ("attrs", "given", "said"),
    [
        ({}, None, False),
        ({"synthetic": True}, None, True),
        ({}, True, True),
        ({"synthetic": True}, False, False),
    ],
)
def test_titles_say_synthetic(attrs, given, said):
    table = SIGNALS.copy()
    table.attrs = attrs
    assert plot_series(table, "p1", synthetic=given).get_suptitle().startswith("SYNTHETIC") is said
    weekly = weekly_clouds(table, PARCELS)
    assert plot_clouds(weekly, synthetic=given).axes[0].get_title().startswith("SYNTHETIC") is said


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(NoDataError, match=r"parcel 'p11' has no signals; did you mean \"p1\"\?"):
        plot_series(SIGNALS, "p11")
    with pytest.raises(NoDataError, match=r"parcel 'xyz' has no signals; 6 have, such as p0"):
        plot_series(SIGNALS, "xyz")
    with pytest.raises(SchemaError, match=r"no index 'ndwi'.*found ndvi, lswi"):
        plot_series(SIGNALS, "p1", "ndwi")
    with pytest.raises(NoDataError, match=r"no look was known on 2021-01-01; the first became known on 2022-01-"):
        plot_series(SIGNALS, "p1", issued="2021-01-01")
    with pytest.raises(NoDataError, match="no week"):
        plot_clouds(weekly_clouds(SIGNALS.iloc[:0], PARCELS))
    parted = weekly_clouds(SIGNALS, PARCELS, "sub_zone")
    with pytest.raises(SchemaError, match="is not named; the report has z0, z1, z2"):
        plot_clouds(parted)
    with pytest.raises(SchemaError, match="'z9' is not there"):
        plot_clouds(parted, "z9")


def test_the_calendar_holds_every_week_of_the_report_in_its_place():
    table = SIGNALS.assign(date=SIGNALS["date"] + 330 * DAY, known_at=SIGNALS["known_at"] + 330 * DAY)
    scenes = pd.DataFrame({"date": table["date"].unique()}).assign(known_at=lambda t: t["date"])
    scenes = scenes[scenes["date"].dt.month != 2]
    weekly = weekly_clouds(table, PARCELS, scenes=scenes)
    axes = plot_clouds(weekly).axes[0]
    cells = axes.collections[0].get_array()
    assert cells.shape == (2, 53)
    due = {tuple(row.week.isocalendar())[:2]: row.clear_share for row in weekly.itertuples()}
    shown = {(2022 + k, w + 1): cells[k, w] for k in range(2) for w in range(53) if not np.ma.getmaskarray(cells)[k, w]}
    assert shown == due
    assert {2022, 2023} == {year for year, _ in due}
    assert (2023, 1) in due
    assert axes.collections[0].get_clim() == (0, 1)
    assert axes.yaxis_inverted(), "years run down"
    (crosses,) = axes.lines
    bare = weekly.loc[weekly["overpasses"] == 0, "week"]
    assert 0 < len(bare) < len(weekly)
    assert sorted(crosses.get_xdata()) == sorted(bare.dt.isocalendar()["week"])


def test_a_published_report_can_be_drawn_and_says_synthetic_by_its_column():
    scenes = pd.DataFrame({"date": SIGNALS["date"].unique()}).assign(known_at=lambda t: t["date"])
    report = cloud_report(SIGNALS, PARCELS, scenes, START + 290 * DAY)
    again = pd.read_csv(io.StringIO(cloud_csv(report, synthetic=True)), parse_dates=["week"], dtype={"zone": "str"})
    for zone, words in ((None, "all together (6 fields)"), ("c1", "c1 (3 fields)")):
        axes = plot_clouds(again, zone).axes[0]
        assert words in axes.get_title()
        assert axes.get_title().startswith("SYNTHETIC")
        cells = axes.collections[0].get_array()
        own = again[again["zone"] == (zone or "all")]
        assert cells.compressed().tolist() == own["clear_share"].tolist()


def test_pictures_can_be_saved_and_want_matplotlib(tmp_path, monkeypatch):
    for name, figure in (("a", plot_series(SIGNALS, "p1")), ("b", plot_clouds(weekly_clouds(SIGNALS, PARCELS)))):
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    real = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"rs-forecast\[plots\]"):
        plot_series(SIGNALS, "p1")
