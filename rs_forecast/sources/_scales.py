"""Scale and offset of whole numbers: from the file, a STAC item beside it, or the config; never from the date."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rs_forecast.errors import ConfigError, DataWarning, SourceError
from rs_forecast.workspace import read_json

Scale = tuple[float, float]
"""(scale, offset): reflectance is ``raw * scale + offset``."""


def config_scale(scale: float | None, offset: float | None) -> Scale | None:
    """Return what the config says of files that declare nothing; None if it says nothing.

    Raises
    ------
    ConfigError
        There is an offset without a scale.
    """
    if scale is None:
        if offset is not None:
            raise ConfigError(f"[imagery] offset = {offset} stands without a scale; set both, such as scale = 1e-4")
        return None
    return float(scale), float(offset or 0.0)


def refuse_undeclared(what: str) -> NoReturn:
    """Raise the error of whole numbers whose meaning nobody declares."""
    raise SourceError(
        f"{what} holds whole numbers and declares no scale, so reflectance would be a guess (the offset of -0.1 came "
        "with processing baseline 04.00, and archives were reprocessed). Keep the product's STAC item beside it, or "
        "set [imagery] scale and offset"
    )


def stac_scales(folder: Path) -> dict[str, Scale]:
    """Return scale and offset by file name, from the STAC items in ``folder``.

    Those of STAC 1.0 have them in ``raster:bands``, those of 1.1 in ``bands`` or in the asset itself. A file that is no
    STAC item is passed over; one that cannot be read is named in a :class:`DataWarning`.
    """
    found: dict[str, Scale] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            content = read_json(file)
            if content.get("type") == "Feature":
                found.update(_asset_scales(content.get("assets") or {}))
        except (SourceError, AttributeError, LookupError, TypeError, ValueError) as err:
            warnings.warn(DataWarning(f"{file}: not used as a STAC item ({err}); fetch it again"), stacklevel=4)
    return found


def _asset_scales(assets: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Scale]]:
    for asset in assets.values():
        scale = asset_scale(asset)
        if scale is not None:
            yield Path(asset["href"]).name, scale


def asset_scale(asset: Mapping[str, Any]) -> Scale | None:
    """Return what a STAC asset says of its numbers, or None; TypeError or ValueError where that is no number."""
    band = (asset.get("raster:bands") or asset.get("bands") or [{}])[0]
    scale = band.get("scale", band.get("raster:scale", asset.get("raster:scale")))
    offset = band.get("offset", band.get("raster:offset", asset.get("raster:offset")))
    return None if scale is None else (float(scale), float(offset or 0.0))
