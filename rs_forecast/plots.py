"""Pictures of what was seen: one field's series, and a calendar of how much of the fields was seen clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rs_forecast import schema
from rs_forecast.clouds import ALL
from rs_forecast.errors import ConfigError, NoDataError, SchemaError, listing, suggest
from rs_forecast.looks import CLEAR, CLOUDY, DIP, MIN_CLEAR, judged_looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Style(NamedTuple):
    """How a kind of look is drawn. Colours are Okabe and Ito's, and the shapes alone tell the kinds too."""

    words: str
    marker: str
    colour: str
    filled: bool


_STYLES = {
    CLEAR: _Style("clear", "o", "#0072B2", filled=True),
    CLOUDY: _Style(f"under cloud (less than {MIN_CLEAR:.0%} clear)", "o", "#7F7F7F", filled=False),
    DIP: _Style("left out as a dip", "X", "#D55E00", filled=True),
}
_NOTHING = "overpass without a clear pixel"
_NO_SCENE = "x: no scene in the week"


def plot_series(
    signals: pd.DataFrame,
    parcel_id: str,
    index: str = "ndvi",
    *,
    issued: Any = None,
    scenes: pd.DataFrame | None = None,
    synthetic: bool | None = None,
) -> Figure:
    """Draw one parcel's looks in time, and under each how much of the parcel it saw clear.

    Each look is drawn as what features take it for on the issue date: clear, under cloud (its value is that of the
    pixels that were clear), or a dip, which is left out as residual cloud or shadow.

    Parameters
    ----------
    signals
        Rows of :func:`rs_forecast.extract_signals`, or of the signals store.
    parcel_id
        The parcel.
    index
        The index whose mean is drawn.
    issued
        A day: only what was known on it is drawn. By default everything is.
    scenes
        The imagery's scenes, one row each with ``date``, ``known_at`` and ``tile``: then overpasses over the parcel's
        tiles that saw nothing of it are marked too.
    synthetic
        Whether the title says SYNTHETIC; by default as ``signals.attrs["synthetic"]`` says.

    Returns
    -------
    Figure
        Two axes, one above the other. Save it with ``savefig``; in a notebook it shows itself after
        ``%matplotlib inline``.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    SchemaError
        ``signals`` have no such index.
    NoDataError
        No look at the parcel is known.
    """
    schema.check_signals(signals)
    column = _column(signals, index)
    own = signals.loc[(signals[schema.PARCEL] == parcel_id).to_numpy()]
    if own.empty:
        names = signals[schema.PARCEL].unique()
        hint = suggest(parcel_id, map(str, names)) or f"; {len(names)} have, such as {listing(names)}"
        raise NoDataError(f"parcel {parcel_id!r} has no signals{hint}")
    looks, kind = judged_looks(own, issued)
    if looks.empty:
        raise NoDataError(
            f"parcel {parcel_id!r}: no look was known on {schema.day(issued):%Y-%m-%d}; the first became known on "
            f"{own['known_at'].min():%Y-%m-%d}"
        )
    figure = _figure(9.0, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_values(above, looks["date"], looks[column], kind)
    _draw_shares(below, looks["date"], looks["valid_fraction"], kind)
    if scenes is not None:
        _draw_nothing(below, _unseen(scenes, looks, issued))
    above.set(ylabel=f"{index}, mean of the field")
    below.set(ylabel="share clear", ylim=(-0.05, 1.05), yticks=(0, 0.5, 1))
    marked = signals.attrs.get("synthetic", False) if synthetic is None else synthetic
    when = "" if issued is None else f", as known on {schema.day(issued):%Y-%m-%d}"
    figure.suptitle(f"{_mark(marked)}{index} of {parcel_id}{when}", fontsize=11)
    _legend(figure, above, below)
    return figure


def plot_clouds(weekly: pd.DataFrame, zone: str | None = None, *, synthetic: bool | None = None) -> Figure:
    """Draw a calendar of clouds: a row a year, a cell an ISO week, its colour the share of the fields seen clear.

    Weeks that the report does not cover stay white. Where it knows of scenes, a cross marks weeks without any.

    Parameters
    ----------
    weekly
        Report of :func:`rs_forecast.clouds.weekly_clouds`, or a published ``clouds.csv`` with ``week`` read as days.
    zone
        The zone to draw; by default all parcels together, or the only one there is.
    synthetic
        Whether the title says SYNTHETIC; by default as ``weekly.attrs["synthetic"]`` or its column says.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    NoDataError
        The report is empty.
    SchemaError
        There is no such zone, or several and none is named.
    """
    own, name = _of_zone(weekly, zone)
    year, week = (own["week"].dt.isocalendar()[part].to_numpy(np.int64) for part in ("year", "week"))
    years = np.arange(year.min(), year.max() + 1)
    shares = np.full((len(years), 53), np.nan)
    shares[year - years[0], week - 1] = own["clear_share"]
    cells = np.ma.masked_invalid(shares)
    figure = _figure(9.0, 1.7 + 0.45 * len(years))
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        np.arange(54) + 0.5, np.arange(len(years) + 1) - 0.5, cells, cmap="cividis", vmin=0, vmax=1, edgecolors="white"
    )
    words = "ISO week"
    if "overpasses" in own and (bare := (own["overpasses"] == 0).to_numpy()).any():
        axes.plot(week[bare], (year - years[0])[bare], "x", color="white", markersize=5)
        words = f"{words} ({_NO_SCENE})"
    means = [cells[k].mean() for k in range(len(years))]
    labels = [f"{y}\nmean {m:.0%}" if m is not np.ma.masked else str(y) for y, m in zip(years, means, strict=True)]
    axes.set(xlabel=words, xticks=np.arange(1, 54, 4), yticks=np.arange(len(years)), yticklabels=labels)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    figure.colorbar(mesh, ax=axes, format="{x:.0%}", ticks=(0, 0.5, 1), aspect=10, pad=0.01)
    fields = int(own["parcels"].iloc[-1])
    marked = _is_synthetic(weekly) if synthetic is None else synthetic
    axes.set_title(f"{_mark(marked)}fields seen clear in each week, {name} ({fields} fields)", fontsize=11)
    return figure


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise ConfigError("a plot needs matplotlib; install it with: pip install 'rs-forecast[plots]'") from err
    return Figure(figsize=(width, height), layout="constrained")


def _mark(synthetic: Any) -> str:
    return "SYNTHETIC data: " if synthetic else ""


def _is_synthetic(weekly: pd.DataFrame) -> bool:
    said = "synthetic" in weekly and bool((weekly["synthetic"] == "yes").any())
    return said or bool(weekly.attrs.get("synthetic", False))


def _column(signals: pd.DataFrame, index: str) -> str:
    names = [str(name).removesuffix("_mean") for name in signals if str(name).endswith("_mean")]
    if index not in names:
        raise SchemaError(f"signals hold no index {index!r}{suggest(index, names)}; found {listing(names)}")
    return f"{index}_mean"


def _draw_values(axes: Axes, date: pd.Series, value: pd.Series, kind: Any) -> None:
    counts = kind == CLEAR
    axes.plot(date[counts], value[counts], color=_STYLES[CLEAR].colour, linewidth=0.8, alpha=0.6)
    for code, style in _STYLES.items():
        own = kind == code
        face = style.colour if style.filled else "none"
        axes.plot(
            date[own], value[own], linestyle="none", marker=style.marker, markersize=5.5, color=style.colour,
            markerfacecolor=face, label=f"{style.words}: {own.sum()}",
        )  # fmt: skip
    axes.grid(color="#E5E5E5", linewidth=0.6)


def _draw_shares(axes: Axes, date: pd.Series, share: pd.Series, kind: Any) -> None:
    for code, style in _STYLES.items():
        own = kind == code
        axes.vlines(date[own], 0, share[own], colors=style.colour, linewidth=2, label=style.words)
    axes.axhline(MIN_CLEAR, color="#404040", linewidth=0.8, linestyle="--")


def _draw_nothing(axes: Axes, dates: pd.DatetimeIndex) -> None:
    axes.plot(
        dates, np.zeros(len(dates)), linestyle="none", marker="|", markersize=6, color="#404040",
        label=f"{_NOTHING}: {len(dates)}",
    )  # fmt: skip


def _unseen(scenes: pd.DataFrame, looks: pd.DataFrame, issued: Any) -> pd.DatetimeIndex:
    """Return the days with a scene of a tile that the parcel lies in, and no look at the parcel."""
    own = scenes.loc[scenes["tile"].isin(looks["tile"].astype("str").unique())]
    if issued is not None:
        own = own.loc[own["known_at"] <= schema.day(issued)]
    days = pd.DatetimeIndex(own["date"].unique())
    return days[~days.isin(looks["date"])].sort_values()


def _legend(figure: Figure, above: Axes, below: Axes) -> None:
    handles, labels = above.get_legend_handles_labels()
    for handle, label in zip(*below.get_legend_handles_labels(), strict=True):
        if label.startswith(_NOTHING):
            handles.append(handle)
            labels.append(label)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)


def _of_zone(weekly: pd.DataFrame, zone: str | None) -> tuple[pd.DataFrame, str]:
    if weekly.empty:
        raise NoDataError("the report has no week, so there is nothing to draw; no look was known")
    zones = [str(name) for name in weekly["zone"].unique()]
    chosen = zone if zone is not None else ALL if ALL in zones else zones[0] if len(zones) == 1 else None
    if chosen not in zones:
        found = "is not named" if chosen is None else f"{chosen!r} is not there"
        raise SchemaError(f"the zone to draw {found}; the report has {listing(zones)}")
    words = {ALL: "all together", "": "without a zone"}.get(chosen, chosen)
    return weekly.loc[weekly["zone"] == chosen], words
