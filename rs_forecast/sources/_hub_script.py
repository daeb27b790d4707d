"""What Sentinel Hub is asked to send of each pixel, as the program that it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rs_forecast.catalog.bands import BANDS, SCL

BANDS_OUT, MASK_OUT = "bands", "mask"
"""Names of the outputs."""


def evalscript(codes: Sequence[str]) -> str:
    """Return the program that the service runs for some bands of one pixel size.

    Reflectance bands become ``bands`` (UINT16, DN); the scene classification, if it is among them, and the data mask
    become ``mask`` (UINT8).
    """
    reflectance, classes = split(codes)
    outputs = [{"id": BANDS_OUT, "bands": len(reflectance), "sampleType": "UINT16"}] if reflectance else []
    outputs.append({"id": MASK_OUT, "bands": len(classes), "sampleType": "UINT8"})
    setup = {"input": [{"bands": [*reflectance, *classes], "units": "DN"}], "output": outputs}
    returned = {BANDS_OUT: reflectance, MASK_OUT: classes} if reflectance else {MASK_OUT: classes}
    body = ", ".join(f"{name}: [{', '.join(f's.{code}' for code in found)}]" for name, found in returned.items())
    return (
        "//VERSION=3\n"
        f"function setup() {{ return {json.dumps(setup)}; }}\n"
        f"function evaluatePixel(s) {{ return {{{body}}}; }}\n"
    )


def split(codes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return reflectance bands, and what is asked for as bytes: classes, if they are among them, and the data mask."""
    classes = BANDS[SCL].code
    return [code for code in codes if code != classes], [code for code in codes if code == classes] + ["dataMask"]
