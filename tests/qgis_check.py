"""Open every product of a folder in QGIS itself, and print what QGIS shows as JSON.

Run by QGIS's own Python: ``QT_QPA_PLATFORM=offscreen /usr/bin/python3 qgis_check.py FOLDER PICTURES``.
``test_maps_qgis.py`` runs it and judges what it prints; the pictures are for a person to look at.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsLayerNotesUtils,
    QgsLayerTree,
    QgsLayerTreeModel,
    QgsLegendRenderer,
    QgsLegendSettings,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsRenderContext,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor, QImage, QPainter

DPI = 96


def main() -> None:
    folder, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    messages: list[str] = []
    QgsApplication.messageLog().messageReceived.connect(lambda text, tag, _: messages.append(f"{tag}: {text}"))
    report = {}
    for path in sorted([*folder.glob("*.tif"), *folder.glob("*.geojson"), *folder.glob("*.gpkg")]):
        layer = open_layer(path)
        report[path.name] = describe(layer) if layer.isValid() else {"valid": False}
        if layer.isValid() and pictures.is_dir():
            draw(layer, pictures / f"{path.stem}_{path.suffix[1:]}.png")
    print(json.dumps({"layers": report, "messages": messages}))  # noqa: T201 - this is the report
    sys.stdout.flush()
    os._exit(0)  # leaving QGIS in good order crashes while layers live


def open_layer(path: Path):
    if path.suffix == ".tif":
        return QgsRasterLayer(str(path), path.stem)
    return QgsVectorLayer(str(path), path.stem, "ogr")


def describe(layer) -> dict:
    """What QGIS makes of one file: place, legend, notes, and the colours of its pixels at full size."""
    extent = layer.extent()
    facts = {
        "valid": True,
        "crs": layer.crs().authid(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        "legend": legend_rows(layer),
        "notes": QgsLayerNotesUtils.layerNotes(layer),
    }
    if isinstance(layer, QgsRasterLayer):
        provider = layer.dataProvider()
        image = render(layer, QSize(layer.width(), layer.height()))
        pixels = (image.pixelColor(x, y) for y in range(image.height()) for x in range(image.width()))
        facts |= {
            "renderer": layer.renderer().type(),
            "nodata": provider.sourceNoDataValue(1),
            "band": layer.bandName(1),
            "colours": Counter(p.name() if p.alpha() == 255 else f"alpha {p.alpha()}" for p in pixels),
        }
    else:
        facts |= {
            "renderer": layer.renderer().type(),
            "features": layer.featureCount(),
            "fields": {field.name(): field.typeName() for field in layer.fields()},
            "display": layer.displayExpression(),
            "flags": int(layer.flags()),
        }
    return facts


def legend_rows(layer) -> list:
    """Text of each row that QGIS puts below the layer's name."""
    model, node = legend_model(layer)
    return [row.data(Qt.DisplayRole) for row in model.layerLegendNodes(node)]


def legend_model(layer):
    tree = QgsLayerTree()
    node = tree.addLayer(layer)
    model = QgsLayerTreeModel(tree)
    model.tree = tree  # or Python drops it
    return model, node


def render(layer, size: QSize, background: str = "#00000000") -> QImage:
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(size)
    settings.setOutputDpi(DPI)
    settings.setFlag(QgsMapSettings.Antialiasing, isinstance(layer, QgsVectorLayer))
    settings.setBackgroundColor(QColor(background))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def draw(layer, path: Path) -> None:
    """Save a picture with the map and QGIS's own legend."""
    margin, width, height = 20, 900, 880
    image = QImage(width + 620, height + 2 * margin, QImage.Format_ARGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    painter.drawImage(margin, margin, render(layer, QSize(width, height), "#ffffff"))
    painter.translate(width + 2 * margin, margin)
    painter.scale(DPI / 25.4, DPI / 25.4)  # a legend is drawn in millimetres
    model, _ = legend_model(layer)
    context = QgsRenderContext.fromQPainter(painter)
    context.setScaleFactor(DPI / 25.4)
    QgsLegendRenderer(model, QgsLegendSettings()).drawLegend(context)
    painter.end()
    image.save(str(path))


main()
