"""QGIS styles (``.qml``), one beside each raster and file of parcels, so that a file opens styled.

Written for QGIS 3.22; later ones read them too. QGIS takes ``x.qml`` for ``x.tif``, ``x.geojson`` and
``x.parquet`` alike.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from rs_forecast.maps.classes import CLASSES, DECIMALS, percent
from rs_forecast.maps.layer import RiskLayer
from rs_forecast.schema import NOT_ASSESSABLE, PARCEL, RISK_CLASSES

QGIS_VERSION = "3.22.0"
OUTLINE = "#5a5a5a"
DARKEST = "#4a0012"
"""Where the probability's scale would end, beyond the colour of "very high"."""
OUTLINE_FROM_SCALE = 100_000
"""On a map smaller than 1 : this, outlines of fields would cover the fields."""


def write_styles(layer: RiskLayer, folder: Path, *, parcels: bool = True) -> list[Path]:
    """Write the styles of the layer's probability raster, class raster and, if there are any, files of parcels."""
    texts = {
        f"{layer.stem}_probability.qml": probability_style(layer),
        f"{layer.stem}_class.qml": class_style(layer),
    }
    if parcels:
        texts[f"{layer.stem}.qml"] = parcel_style(layer)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]


def class_style(layer: RiskLayer) -> str:
    """Return the style of a class raster: a legend row for each class, and none else."""
    root = _root(layer, "risk class")
    renderer = _raster_renderer(root, type="paletted")
    palette = ET.SubElement(renderer, "colorPalette")
    for name, label in layer.legend.items():
        row = CLASSES[name]
        ET.SubElement(palette, "paletteEntry", value=str(row.code), color=row.colour, label=label, alpha="255")
    return _text(root)


def probability_style(layer: RiskLayer) -> str:
    """Return the style of a probability raster: each risk class in two steps, so that class limits stay visible."""
    root = _root(layer, "probability")
    _stepped(
        root,
        [
            ("inf" if high == 1 else f"{step_end(high):.{DECIMALS + 1}f}", f"{percent(low)}-{percent(high)} %", colour)
            for low, high, colour in probability_steps(layer.limits)
        ],
    )
    return _text(root)


def parcel_style(layer: RiskLayer) -> str:
    """Return the style of a GeoJSON: parcels by risk class, those not assessable hatched."""
    root = _root(layer, "risk class")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="risk_class", symbollevels="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, (name, label) in enumerate(layer.legend.items()):
        marked = layer.marked(label)  # a raster's legend has its title; this one has nothing but rows
        ET.SubElement(categories, "category", value=name, symbol=str(number), label=marked, render="true")
        symbol = ET.SubElement(symbols, "symbol", name=str(number), type="fill", alpha="1")
        _fill(symbol, CLASSES[name].colour)
        if name == NOT_ASSESSABLE:
            _hatch(symbol)
    ET.SubElement(root, "previewExpression").text = f'"{PARCEL}"'
    ET.SubElement(root, "layerGeometryType").text = "2"
    return _text(root)


def category_style(column: str, rows: Sequence[tuple[str, str, str]], notes: Sequence[str], display: str) -> str:
    """Return the style of polygons by the values of a column.

    Parameters
    ----------
    rows
        Value, label and colour of each legend row; an empty value stands for all others.
    notes
        What QGIS shows beside the layer's name.
    display
        Column that names a feature.
    """
    root = _noted_root(notes)
    _by_category(root, column, rows, display)
    return _text(root)


def share_style(
    column: str, steps: Sequence[tuple[float, str, str]], none: tuple[str, str], notes: Sequence[str], display: str
) -> str:
    """Return the one style of a raster and of polygons that both hold a share and have the same file name.

    QGIS takes of it what is for the kind of layer: the pipe for a raster, the renderer for polygons.

    Parameters
    ----------
    column
        Column of the polygons that holds the share.
    steps
        Upper end (which belongs to the step), label and colour of each step, rising to 1.
    none
        Label and colour of polygons without a share.
    notes, display
        As in :func:`category_style`.
    """
    root = _noted_root(notes)
    half = 0.5 / 10**DECIMALS  # a share of float32 may lie above the end that it equals in decimals
    ends = ["inf" if high == 1 else f"{high + half:.{DECIMALS + 1}f}" for high, *_ in steps]
    _stepped(root, [(end, label, colour) for end, (_, label, colour) in zip(ends, steps, strict=True)])
    cases = " ".join(f"WHEN \"{column}\" <= {high:g} THEN '{number}'" for number, (high, *_) in enumerate(steps))
    rows = [(str(number), label, colour) for number, (_, label, colour) in enumerate(steps)]
    _by_category(root, f"CASE {cases} END", [*rows, ("", *none)], display)
    return _text(root)


def probability_steps(limits: tuple[float, ...]) -> Iterator[tuple[float, float, str]]:
    """Yield low end, high end and colour of each step of the probability's scale: two a class.

    The first step of a class has the class's colour, the second lies half way to the next class's.
    """
    colours = [CLASSES[name].colour for name in RISK_CLASSES]
    ends = (0.0, *limits, 1.0)
    for low, high, colour, following in zip(ends, ends[1:], colours, [*colours[1:], DARKEST], strict=False):
        middle = round((low + high) / 2, DECIMALS)
        yield low, middle, colour
        yield middle, high, _between(colour, following)


def step_end(high: float) -> float:
    """Return where a step up to ``high`` ends for QGIS, which counts a step's end to it and not to the next.

    It is half way between the last published probability below ``high`` and the next.
    """
    unit = 10.0**DECIMALS
    return (math.ceil(round(high * unit, 6)) - 0.5) / unit


def _between(first: str, second: str) -> str:
    channels = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (first, second)]
    return "#" + "".join(f"{int(v):02x}" for v in (channels[0] + channels[1]) // 2)


def _root(layer: RiskLayer, what: str) -> ET.Element:
    """Return the root with the layer's notes, which QGIS shows beside its name in the layer tree."""
    return _noted_root([layer.title(what), f"issued {layer.issued}, model {layer.model_id}", *layer.notes])


def _noted_root(lines: Iterable[str]) -> ET.Element:
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="AllStyleCategories")
    ET.SubElement(root, "userNotes", value="".join(f"<p>{html.escape(line)}</p>" for line in lines))
    return root


def _stepped(root: ET.Element, steps: Iterable[tuple[str, str, str]]) -> None:
    """Colour a raster of shares by steps: upper end, label and colour of each."""
    renderer = _raster_renderer(root, type="singlebandpseudocolor", classificationMin="0", classificationMax="1")
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="DISCRETE",
        classificationMode="1",
        clip="0",
        minimumValue="0",
        maximumValue="1",
    )
    for upper, label, colour in steps:
        ET.SubElement(shader, "item", value=upper, color=colour, label=label, alpha="255")


def _by_category(root: ET.Element, column: str, rows: Sequence[tuple[str, str, str]], display: str) -> None:
    """Colour polygons by the values of a column or expression."""
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=column, symbollevels="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, (value, label, colour) in enumerate(rows):
        ET.SubElement(categories, "category", value=value, symbol=str(number), label=label, render="true")
        _fill(ET.SubElement(symbols, "symbol", name=str(number), type="fill", alpha="1"), colour)
    ET.SubElement(root, "previewExpression").text = f'"{display}"'
    ET.SubElement(root, "layerGeometryType").text = "2"


def _raster_renderer(root: ET.Element, **attributes: str) -> ET.Element:
    pipe = ET.SubElement(root, "pipe")
    return ET.SubElement(pipe, "rasterrenderer", attributes | {"band": "1", "opacity": "1", "alphaBand": "-1"})


def _fill(symbol: ET.Element, colour: str) -> None:
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
    _options(layer, {"color": _rgba(colour), "style": "solid", "outline_color": _rgba(OUTLINE),
                     "outline_style": "solid", "outline_width": "0.1", "outline_width_unit": "MM"})  # fmt: skip
    properties = ET.SubElement(ET.SubElement(layer, "data_defined_properties"), "Option", type="Map")
    ET.SubElement(properties, "Option", name="name", type="QString", value="")
    inner = ET.SubElement(properties, "Option", name="properties", type="Map")
    style = ET.SubElement(inner, "Option", name="outlineStyle", type="Map")
    ET.SubElement(style, "Option", name="active", type="bool", value="true")
    expression = f"if(@map_scale > {OUTLINE_FROM_SCALE}, 'no', 'solid')"
    ET.SubElement(style, "Option", name="expression", type="QString", value=expression)
    ET.SubElement(style, "Option", name="type", type="int", value="3")
    ET.SubElement(properties, "Option", name="type", type="QString", value="collection")


def _hatch(symbol: ET.Element) -> None:
    pattern = {"class": "LinePatternFill", "enabled": "1", "pass": "0", "locked": "0"}
    layer = ET.SubElement(symbol, "layer", pattern)
    _options(layer, {"angle": "45", "distance": "1", "distance_unit": "MM", "color": _rgba("#ffffff")})
    line = ET.SubElement(layer, "symbol", name=f"@{symbol.get('name')}@1", type="line", alpha="1")
    stroke = ET.SubElement(line, "layer", {"class": "SimpleLine", "enabled": "1", "pass": "0", "locked": "0"})
    _options(stroke, {"line_color": _rgba("#ffffff"), "line_width": "0.2", "line_width_unit": "MM",
                      "line_style": "solid"})  # fmt: skip


def _options(layer: ET.Element, values: Mapping[str, str]) -> None:
    options = ET.SubElement(layer, "Option", type="Map")
    for name, value in values.items():
        ET.SubElement(options, "Option", name=name, type="QString", value=value)


def _rgba(colour: str) -> str:
    return ",".join([*(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)), "255"])


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{ET.tostring(root, encoding='unicode')}\n"
