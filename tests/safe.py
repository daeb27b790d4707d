"""Tiny SYNTHETIC Sentinel-2 products as ESA lays them out, from the digital numbers of :mod:`scenes`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from scenes import CRS, NORTH, SIZE, WEST, numbers

BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")

_METADATA = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
 <n1:General_Info>
  <Product_Info>
   {granule}
   <PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
   <PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
   <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
   <GENERATION_TIME>{made}</GENERATION_TIME>
  </Product_Info>
  <Product_Image_Characteristics>
   <QUANTIFICATION_VALUES_LIST>
    <BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>
   </QUANTIFICATION_VALUES_LIST>
   {offsets}
   <Spectral_Information_List>{bands}</Spectral_Information_List>
  </Product_Image_Characteristics>
 </n1:General_Info>
 {footprint}
</n1:Level-2A_User_Product>
"""


def metadata(
    day: str = "20240115",
    *,
    baseline: str = "05.10",
    made: str = "2024-01-15T06:00:00.000000Z",
    offset: int | None = -1000,
    quantification: str = "10000",
    strip: str = "",
    outline: shapely.Polygon | None = None,
) -> str:
    """Return ``MTD_MSIL2A.xml``.

    ``offset`` None is a product from before baseline 04.00; ``strip`` is when the sensing of its datastrip began, and
    ``outline`` where it has pixels, in degrees.
    """
    number = baseline.replace(".", "")
    identifier = f"S2A_OPER_MSI_L2A_DS_2APS_{made[:10].replace('-', '')}T060000_S{strip}_N{number[:2]}.{number[2:]}"
    corners = "" if outline is None else " ".join(f"{y} {x}" for x, y in shapely.get_coordinates(outline))
    footprint = f"<Global_Footprint><EXT_POS_LIST>{corners}</EXT_POS_LIST></Global_Footprint>"
    rows = "".join(f'<BOA_ADD_OFFSET band_id="{n}">{offset}</BOA_ADD_OFFSET>' for n in range(len(BANDS)))
    return _METADATA.format(
        start=f"{day[:4]}-{day[4:6]}-{day[6:]}T03:11:29.024Z",
        baseline=baseline,
        made=made,
        quantification=quantification,
        offsets="" if offset is None else f"<BOA_ADD_OFFSET_VALUES_LIST>{rows}</BOA_ADD_OFFSET_VALUES_LIST>",
        granule=f'<Granule datastripIdentifier="{identifier}"/>' if strip else "",
        footprint="" if outline is None else f"<n1:Geometric_Info>{footprint}</n1:Geometric_Info>",
        bands="".join(f'<Spectral_Information bandId="{n}" physicalBand="{b}"/>' for n, b in enumerate(BANDS)),
    )


def product_name(
    day: str = "20240115", tile: str = "48PWS", baseline: str = "05.10", discriminator: str = "060000"
) -> str:
    """Return the name of a product, with ``.SAFE``."""
    number = baseline.replace(".", "")
    return f"S2A_MSIL2A_{day}T031129_N{number}_R075_T{tile}_{day}T{discriminator}.SAFE"


def write_product(
    folder: Path,
    day: str = "20240115",
    seed: int = 0,
    *,
    tile: str = "48PWS",
    baseline: str = "05.10",
    bands: Mapping[str, np.ndarray] | None = None,
    text: str | None = None,
    corner: tuple[float, float] = (WEST, NORTH),
    discriminator: str = "060000",
) -> Path:
    """Write a product and return its folder; images of 20 m come in 60 m too, as in a real one."""
    root = folder / product_name(day, tile, baseline, discriminator)
    root.mkdir(parents=True)
    offset = -1000 if baseline >= "04.00" else None
    (root / "MTD_MSIL2A.xml").write_text(text or metadata(day, baseline=baseline, offset=offset), encoding="utf-8")
    for code, values in (numbers(seed) if bands is None else bands).items():
        size = SIZE[code]
        write_jp2(image(root, code, size, day, tile), values, size, corner)
        if size == 20:
            write_jp2(image(root, code, 60, day, tile), values[::3, ::3], 60, corner)
    return root


def image(root: Path, code: str, size: int, day: str = "20240115", tile: str = "48PWS") -> Path:
    """Return where a band lies in a product."""
    name = f"T{tile}_{day}T031129_{code}_{size}m.jp2"
    return root / "GRANULE" / f"L2A_T{tile}_A044713_{day}T031129" / "IMG_DATA" / f"R{size}m" / name


def write_jp2(path: Path, values: np.ndarray, size: float, corner: tuple[float, float] = (WEST, NORTH)) -> None:
    """Write a band without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    place = Affine(size, 0, corner[0], 0, -size, corner[1])
    grid = {"crs": CRS, "transform": place, "height": height, "width": width}
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    with rasterio.open(path, "w", driver="JP2OpenJPEG", dtype=values.dtype.name, count=1, **grid, **lossless) as target:
        target.write(values, 1)


def zipped(root: Path) -> Path:
    """Pack a product beside its folder and return the zip."""
    target = root.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, f"{root.name}/{file.relative_to(root).as_posix()}")
    return target
