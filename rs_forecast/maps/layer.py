"""One pest and horizon of a risk table: what one set of files shows, and in which words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_forecast.catalog import PESTS, Pest
from rs_forecast.errors import ConfigError, SchemaError, listing
from rs_forecast.maps.classes import DECIMALS, legend, published
from rs_forecast.schema import PARCEL

if TYPE_CHECKING:
    import geopandas as gpd

SYNTHETIC = "SYNTHETIC"


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskLayer:
    """One pest and horizon, for one issue date."""

    pest: Pest
    weeks: int
    issued: str
    """Day of issue, as are the two below: ``2026-03-02``."""
    valid_from: str
    valid_to: str
    limits: tuple[float, ...]
    synthetic: bool
    notes: tuple[str, ...]
    parcel: NDArray[np.int64]
    """Row number of each row of ``table`` in the table of parcels, rising."""
    table: pd.DataFrame
    """Columns of the risk table, probabilities as published."""

    @property
    def stem(self) -> str:
        """Beginning of the names of the layer's files."""
        return f"{self.pest.name}_h{self.weeks}"

    @property
    def model_id(self) -> str:
        """Model, or models, that made the forecast."""
        return ", ".join(sorted(self.table["model_id"].unique()))

    @property
    def legend(self) -> dict[str, str]:
        """What each risk class means, by its name."""
        return legend(self.limits, self.pest)

    def title(self, what: str) -> str:
        """Return a title such as ``probability of density >= 750 insects/m2, <pest>, valid <day> to <day>``.

        The mark of synthetic data comes first: QGIS cuts long titles off.
        """
        mark = f"{SYNTHETIC}: " if self.synthetic else ""
        return f"{mark}{what} of {self.pest.event_text}, {self.pest.name}, valid {self.valid_from} to {self.valid_to}"

    def marked(self, text: str) -> str:
        """Return ``text``, with the mark of synthetic data where it is due."""
        return f"{text} ({SYNTHETIC})" if self.synthetic else text


def split_layers(
    risk: gpd.GeoDataFrame,
    parcels: gpd.GeoDataFrame,
    *,
    limits: tuple[float, ...],
    synthetic: bool,
    notes: Sequence[str],
    pests: Mapping[str, Pest] | None,
) -> Iterator[RiskLayer]:
    """Yield one layer per pest and horizon, in order of their names.

    Raises
    ------
    ConfigError
        A pest is neither in ``pests`` nor in the catalog, or its name cannot be a file's.
    SchemaError
        The rows are of several issue dates, or one layer's are of several weeks.
    """
    position = pd.Series(np.arange(len(parcels)), index=parcels[PARCEL])
    days = _one_day(risk, "issued", "issue dates; write one folder for each")
    known = {name: _find_pest(str(name), pests) for name in risk["pest"].unique()}
    # column by column: to drop one would copy the others
    cells = pd.DataFrame({name: risk[name] for name in risk.columns if name != risk.geometry.name}, copy=False)
    groups: Any = cells.groupby(["pest", "horizon_weeks"], sort=True, observed=True)
    for (name, weeks), rows in groups:
        row_numbers = position.loc[rows[PARCEL]].to_numpy("int64")
        order = np.argsort(row_numbers, kind="stable")
        same = "values within one pest and horizon; build the risk table anew"
        yield RiskLayer(
            pest=known[name],
            weeks=_whole(weeks),
            issued=days,
            valid_from=_one_day(rows, "valid_from", same),
            valid_to=_one_day(rows, "valid_to", same),
            limits=limits,
            synthetic=synthetic,
            notes=tuple(notes),
            parcel=row_numbers[order],
            table=_rounded(rows.iloc[order], limits),
        )


def _rounded(rows: pd.DataFrame, limits: Sequence[float]) -> pd.DataFrame:
    raw = {name: rows[name].to_numpy("float64") for name in ("probability", "lower", "upper")}
    middle = published(raw["probability"], limits)
    lower, upper = (np.round(raw[name], DECIMALS) for name in ("lower", "upper"))
    # the middle may have been held back from a class limit: bounds that enclosed it still do
    lower = np.where(raw["lower"] <= raw["probability"], np.minimum(lower, middle), lower)
    upper = np.where(raw["upper"] >= raw["probability"], np.maximum(upper, middle), upper)
    return rows.assign(probability=middle, lower=lower, upper=upper)


def _find_pest(name: str, pests: Mapping[str, Pest] | None) -> Pest:
    pest = pests[name] if pests is not None and name in pests else PESTS[name]
    check_file_name(name)
    return pest


def check_file_name(pest: str) -> None:
    """Raise :class:`ConfigError` for a pest that no file can be named after."""
    if not re.fullmatch(r"\w[\w-]*", pest):
        raise ConfigError(f"pest {pest!r}: files are named after it; allowed are letters, digits, '_' and '-'")


def _one_day(rows: pd.DataFrame, column: str, what: str) -> str:
    found = [f"{day:%Y-%m-%d}" for day in sorted(rows[column].unique())]
    if len(found) != 1:
        raise SchemaError(f"risk: column {column} holds {len(found)} {what} (found {listing(found)})")
    return found[0]


def _whole(weeks: float) -> int:
    if weeks != int(weeks):
        raise SchemaError(f"risk: horizon_weeks is {weeks:g}, allowed are whole weeks")
    return int(weeks)
