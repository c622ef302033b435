"""The exceptions of corroscope.

Whatever goes wrong because of what a user gave raises one of these. The message is
one line: what is wrong, where, and what to do. The command line prints it and exits
with code 2::

    CorroscopeError
    ├── FrameError          an image that is missing, broken or not an image
    ├── DatasetError        a folder of images and masks that does not fit together
    ├── LeakageError        patches on both sides of a split show a common piece of metal
    ├── AnnotationError     a click, a point or an object that cannot be, or a store of them
    ├── BundleError         a model bundle that is missing, incomplete or altered
    ├── EngineError         an inference engine that is unknown or cannot run here
    ├── CurrentError        a record of current that cannot be read, or does not fit the frames
    ├── TrackingError       tables of particles and frames that do not fit together
    ├── StudioError         a studio that cannot be opened, or is asked what it does not serve
    ├── SettingsError       a setting outside its range
    ├── OutputError         an output that cannot be written, or would overwrite another
    ├── ExportError         an exported network that does not agree with the trained one
    ├── MissingExtraError   an optional part of corroscope that is not installed
    └── BatchError          some inputs of a batch failed, the others were done
"""

from collections.abc import Mapping
from typing import Final

MOST_LISTED: Final = 5
"""Failures that a message tells of; all are in `BatchError.failures`."""


class CorroscopeError(Exception):
    """Base of every exception that corroscope raises on purpose."""


class FrameError(CorroscopeError):
    """An image that is missing, broken or not an image."""


class DatasetError(CorroscopeError):
    """A folder of images and masks that does not fit together."""


class LeakageError(CorroscopeError):
    """Patches on both sides of a split, or in two datasets, show a common piece of metal."""


class AnnotationError(CorroscopeError):
    """A click, a point or an annotated object that cannot be, or a store that is broken."""


class BundleError(CorroscopeError):
    """A model bundle that is missing, incomplete or altered."""


class EngineError(CorroscopeError):
    """An inference engine that is unknown or cannot run here."""


class CurrentError(CorroscopeError):
    """A record of current that cannot be read, or that does not belong to the frames."""


class TrackingError(CorroscopeError):
    """Tables of particles and frames that do not fit together."""


class StudioError(CorroscopeError):
    """A studio that cannot be opened, or is asked for what it does not serve."""


class SettingsError(CorroscopeError):
    """A setting outside its range."""


class OutputError(CorroscopeError):
    """An output that cannot be written, or would overwrite another one."""


class ExportError(CorroscopeError):
    """An exported network whose output differs from that of the trained one."""


class MissingExtraError(CorroscopeError):
    """An optional part of corroscope that is not installed."""


class BatchError(CorroscopeError):
    """Some inputs of a batch failed; the results of the others are written.

    Parameters
    ----------
    failures
        For each input that failed, its name and the message of its error.
    done
        How many inputs were done.

    Attributes
    ----------
    failures : dict of str to str
        As given.
    done : int
        As given.
    """

    def __init__(self, failures: Mapping[str, str], done: int) -> None:
        self.failures = dict(failures)
        self.done = done
        total = done + len(self.failures)
        listed = "; ".join(list(self.failures.values())[:MOST_LISTED])
        more = len(self.failures) - MOST_LISTED
        if more > 0:
            listed += f"; and {more} more"
        super().__init__(f"{len(self.failures)} of {total} inputs failed, {done} done: {listed}")
