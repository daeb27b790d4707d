"""What a week's folder holds beside clouds and crops: a forecast, or without surveys what process models say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_forecast import schema
from rs_forecast.catalog import Pest
from rs_forecast.config import Config
from rs_forecast.maps import write_products
from rs_forecast.maps.process import MARK, SAYS, write_process_products
from rs_forecast.model import RiskModel
from rs_forecast.process_map import LEAST_YEARS, model_name

PROCESS_MODELS = "process-models"
"""What stands for the model's id where no model has learned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """The maps of one issue date, not yet written."""

    issued: pd.Timestamp
    model_id: str
    """What made them."""
    tables: tuple[gpd.GeoDataFrame, ...]
    """All tables that decide the maps; the outlines are those of the first."""
    areas: Mapping[str, Any]
    """Hectares by product, for the report."""
    told: Mapping[str, Any]
    """What the manifest says of the model."""
    write: Callable[[Path], list[Path]]
    """Writes the maps into a folder that exists, and returns the files."""


def forecast_content(
    config: Config,
    model: RiskModel,
    risk: gpd.GeoDataFrame,
    live: gpd.GeoDataFrame,
    *,
    degraded: Sequence[str],
    synthetic: bool,
) -> Content:
    """Return the maps of a risk table, made by ``model`` or by what stands in for it from the rows ``live``."""
    write = functools.partial(
        write_products,
        risk,
        class_limits=config.forecast.class_limits,
        pests=config.all_pests,
        **_options(config, degraded, synthetic=synthetic),
    )
    return Content(
        issued=risk["issued"].iloc[0],
        model_id=str(risk["model_id"].iloc[0]),
        tables=(risk, live),
        areas=_by_class(risk),
        told={"trained_model": model.model_id, "evaluation": model.card.get("evaluation", {})},
        write=write,
    )


def process_content(
    config: Config,
    table: gpd.GeoDataFrame,
    pests: Sequence[Pest],
    not_covered: Sequence[str],
    *,
    degraded: Sequence[str],
    synthetic: bool,
) -> Content:
    """Return the maps of the table of :func:`rs_forecast.process_map.process_map`."""
    return Content(
        issued=table["issued"].iloc[0],
        model_id=PROCESS_MODELS,
        tables=(table,),
        areas=_assessable(table),
        told={
            "process_models": {pest.name: model_name(pest) for pest in pests},
            "process_index": f"{MARK}: {SAYS}; no probability; at least {LEAST_YEARS} past years",
            "not_covered": list(not_covered),
        },
        write=functools.partial(write_process_products, table, **_options(config, degraded, synthetic=synthetic)),
    )


def _options(config: Config, degraded: Sequence[str], *, synthetic: bool) -> dict[str, Any]:
    part = config.output
    return {
        "crs": part.crs, "resolution": part.resolution, "geojson": part.geojson, "geoparquet": part.geoparquet,
        "synthetic": synthetic, "notes": tuple(degraded),
    }  # fmt: skip


def _by_class(risk: gpd.GeoDataFrame) -> dict[str, Any]:
    """Hectares per class, by product."""
    hectares = _hectares(risk)
    out: dict[str, Any] = {}
    for (pest, weeks), rows in risk.groupby(["pest", "horizon_weeks"]):
        by_class = hectares[rows.index].groupby(rows["risk_class"]).sum()
        classes = (*schema.RISK_CLASSES, schema.NOT_ASSESSABLE)
        out[f"{pest}_h{int(weeks)}"] = {name: round(float(by_class.get(name, 0.0)), 2) for name in classes}
    return out


def _assessable(table: gpd.GeoDataFrame) -> dict[str, Any]:
    """Hectares with an index and without, by product."""
    hectares, told = _hectares(table), table["process_index"].notna()
    return {
        f"{pest}_process": {
            "assessable": round(float(hectares[told & (table["pest"] == pest)].sum()), 2),
            schema.NOT_ASSESSABLE: round(float(hectares[~told & (table["pest"] == pest)].sum()), 2),
        }
        for pest in table["pest"].unique()
    }


def _hectares(table: gpd.GeoDataFrame) -> pd.Series:
    hectares: pd.Series = table.geometry.to_crs(table.estimate_utm_crs()).area / 1e4
    return hectares
