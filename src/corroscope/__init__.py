"""Recognise corrosion products in microscopy of pitting corrosion.

Each command of the command line is a function here, with the same name and arguments;
names are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corroscope.comparison.compare import compare
    from corroscope.demonstration import demo
    from corroscope.diagnosis import doctor
    from corroscope.errors import CorroscopeError
    from corroscope.frames.opening import open_sequence
    from corroscope.frames.reading import read_frame
    from corroscope.learning.audit import audit
    from corroscope.learning.evaluate import evaluate
    from corroscope.learning.train import train
    from corroscope.learning.tune import tune
    from corroscope.pipeline.run import run
    from corroscope.preparation import prepare
    from corroscope.segmentation.bundle import load_bundle
    from corroscope.segmentation.segment import segment
    from corroscope.segmentation.segmenter import Segmenter
    from corroscope.studio.annotate import annotate
    from corroscope.studio.notebook import Annotator
    from corroscope.synthesis.synth import synth

__all__ = [
    "Annotator",
    "CorroscopeError",
    "Segmenter",
    "annotate",
    "audit",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "load_bundle",
    "open_sequence",
    "prepare",
    "read_frame",
    "run",
    "segment",
    "synth",
    "train",
    "tune",
]

_HOMES = {
    "Annotator": "corroscope.studio.notebook",
    "CorroscopeError": "corroscope.errors",
    "Segmenter": "corroscope.segmentation.segmenter",
    "annotate": "corroscope.studio.annotate",
    "audit": "corroscope.learning.audit",
    "compare": "corroscope.comparison.compare",
    "demo": "corroscope.demonstration",
    "doctor": "corroscope.diagnosis",
    "evaluate": "corroscope.learning.evaluate",
    "load_bundle": "corroscope.segmentation.bundle",
    "open_sequence": "corroscope.frames.opening",
    "prepare": "corroscope.preparation",
    "read_frame": "corroscope.frames.reading",
    "run": "corroscope.pipeline.run",
    "segment": "corroscope.segmentation.segment",
    "synth": "corroscope.synthesis.synth",
    "train": "corroscope.learning.train",
    "tune": "corroscope.learning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'corroscope' has no attribute {name!r}")
    try:
        home = importlib.import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        if name not in ("train", "tune") or (error.name or "").startswith("corroscope"):
            raise
        from corroscope.errors import MissingExtraError

        package = (error.name or "").partition(".")[0]
        raise MissingExtraError(
            f"training needs {package}, which is not installed; pip install 'corroscope[train]'"
        ) from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return __all__
