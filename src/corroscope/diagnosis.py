"""`corroscope doctor`: what is installed, and what will be used."""

import importlib.util
from typing import Final, NamedTuple

from corroscope.errors import CorroscopeError
from corroscope.outputs import versions
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import ENGINES, available_processors, start_engine


class Finding(NamedTuple):
    """One line of a diagnosis.

    Attributes
    ----------
    subject
        What was looked at.
    finding
        What was found.
    well
        Whether that is as it should be; None where either is.
    """

    subject: str
    finding: str
    well: bool | None


_EXTRAS: Final = (
    ("train", "lightning"), ("video", "av"), ("smp", "segmentation_models_pytorch"),
)  # fmt: skip


def doctor() -> list[Finding]:
    """Look at the installation.

    Returns
    -------
    list of Finding
        Versions, processors, engines with their precision, the shipped bundle, and
        which optional parts are installed.

    Examples
    --------
    >>> any(finding.well is False for finding in doctor())
    False
    """
    found = [Finding(name, version, True) for name, version in versions("numpy").items()]
    found.append(Finding("processors", str(available_processors()), True))
    try:
        bundle = load_bundle()
    except CorroscopeError as error:
        found.append(Finding("bundle", str(error), False))
    else:
        found.append(Finding("bundle", repr(bundle), True))
        for name in ENGINES:
            try:
                engine = start_engine(bundle, name)
            except CorroscopeError as error:
                found.append(Finding(name, str(error), False))
            else:
                default = ", the default" if name == ENGINES[0] else ""
                version = versions(name)[name]
                found.append(
                    Finding(name, f"{version}, {engine.device}, {engine.precision}{default}", True)
                )
    for extra, module in _EXTRAS:
        installed = importlib.util.find_spec(module) is not None
        hint = "installed" if installed else f"not installed: pip install 'corroscope[{extra}]'"
        found.append(Finding(f"[{extra}]", hint, installed or None))
    return found
