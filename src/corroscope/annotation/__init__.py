"""From a click to a mask, and where masks are kept.

Names are imported when they are first used: compiled code is not loaded before.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corroscope.annotation.candidates import candidates_from_click
    from corroscope.annotation.click import contour_from_click, instances_from_clicks, levels
    from corroscope.annotation.exchange import export_annotations, import_annotations
    from corroscope.annotation.instances import AnnotatedImage, Instance
    from corroscope.annotation.proposals import propose
    from corroscope.annotation.store import Store
    from corroscope.annotation.stored import read_annotations
    from corroscope.annotation.wire import contour_from_points, retrace, trace

__all__ = [
    "AnnotatedImage",
    "Instance",
    "Store",
    "candidates_from_click",
    "contour_from_click",
    "contour_from_points",
    "export_annotations",
    "import_annotations",
    "instances_from_clicks",
    "levels",
    "propose",
    "read_annotations",
    "retrace",
    "trace",
]

_HOMES = {
    "AnnotatedImage": "instances",
    "Instance": "instances",
    "Store": "store",
    "candidates_from_click": "candidates",
    "contour_from_click": "click",
    "contour_from_points": "wire",
    "export_annotations": "exchange",
    "import_annotations": "exchange",
    "instances_from_clicks": "click",
    "levels": "click",
    "propose": "proposals",
    "read_annotations": "stored",
    "retrace": "wire",
    "trace": "wire",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'corroscope.annotation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"corroscope.annotation.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
