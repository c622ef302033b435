"""Training from the page: ``corroscope train`` on the folder, in a process of its own."""

import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from corroscope.errors import MissingExtraError, SettingsError, StudioError
from corroscope.learning.progress import EPOCHS, PROCESS, read_process, status
from corroscope.learning.runs import METRICS, run_folders
from corroscope.learning.settings import make_settings
from corroscope.settings import merge_settings, parse_setting
from corroscope.studio.answers import Answer
from corroscope.studio.children import INTERRUPTED, PATIENCE_S, Child
from corroscope.studio.trained import (
    blank,
    overview,
    resume_words,
    runs_folder,
    said,
    train_words,
)
from corroscope.studio.workplace import Workplace, within

LOG: Final = "train.log"
"""What the process said on standard error; of the newest one only."""

_NEEDED: Final = ("torch", "lightning", "onnx", "tensorboard")
_LOOK_S: Final = 0.1


class Asked(BaseModel):
    """What is to be trained."""

    model_config = ConfigDict(extra="forbid")
    settings: list[Annotated[str, StringConstraints(max_length=300)]] = Field([], max_length=100)
    cross_validate: bool = False


class Start(Asked):
    """What is to be trained, or that the newest training is to be resumed."""

    resume: bool = False


class Training:
    """One training at a time on a folder.

    What has become of each is read from its folder, so that it outlives the studio.

    Parameters
    ----------
    place
        The folder; when it is closed, the training is stopped.
    tell
        Tells all pages.
    """

    def __init__(self, place: Workplace, tell: Callable[[str, Answer], None]) -> None:
        self._place = place
        self._tell = tell
        self._child = Child(self._look)
        self._asking = threading.Lock()
        self._number = 0  # of the run that the process works on, or will make
        self._stopped = False
        self._seen: list[Any] = []
        place.close_with(self._child.close)

    def state(self) -> Answer:
        """Tell what there is and what can be done.

        Returns
        -------
        dict
            ``runs``, as `overview`; one that has no folder yet is ``starting``. The ``problem``
            of one that ended before it had any; what training ``needs`` that is not there; and
            whether there are other architectures (``smp``).
        """
        runs = overview(self._place)
        mine = next((run for run in runs if run["number"] == self._number), None)
        problem = self._problem()
        if self._child.running and (mine is None or mine["status"] in ("stopped", "failed")):
            for run in runs:
                run["resumable"] = False
            if mine is None:
                mine = blank(self._number)
                runs.insert(0, mine)
            mine |= {"status": "starting", "problem": ""}
        return {
            "needs": _missing(self._place),
            "smp": find_spec("segmentation_models_pytorch") is not None,
            "problem": "" if mine is not None and mine["problem"] == problem else problem,
            "runs": runs,
        }

    def check(self, content: bytes) -> Answer:
        """See whether a training could be started with such settings.

        Parameters
        ----------
        content
            An `Asked` as JSON.

        Returns
        -------
        dict
            The ``command`` that does the same, or the ``problem``.
        """
        asked = Asked.model_validate_json(content)
        try:
            return {"command": said(self._words(asked)), "problem": ""}
        except SettingsError as error:
            return {"command": "", "problem": str(error)}

    def start(self, content: bytes) -> Answer:
        """Start a training, or resume the newest.

        Parameters
        ----------
        content
            A `Start` as JSON.

        Returns
        -------
        dict
            As `state`.

        Raises
        ------
        SettingsError
            If a setting is unknown or out of its range.
        StudioError
            If one is at work, or its folder is a link out of this one.
        MissingExtraError
            If what training needs is not installed.
        """
        asked = Start.model_validate_json(content)
        words = resume_words(self._place) if asked.resume else self._words(asked)
        if needs := _missing(self._place):
            raise MissingExtraError(needs)
        out = runs_folder(self._place)
        with self._asking:
            runs = run_folders(out)
            for number, folder in runs.items():
                within(self._place.folder, folder)
                if status(folder).word == "running":
                    raise StudioError(f"training {number} is at work; stop it first, or wait")
            self._number = max(runs, default=0) + (not asked.resume)
            self._stopped = False
            self._child.start(words, out / LOG)
        return self.state()

    def stop(self) -> Answer:
        """Stop the training; it can be resumed.

        Returns
        -------
        dict
            As `state`, when it has ended.

        Raises
        ------
        StudioError
            If it is at work on another machine.
        """
        with self._asking:
            self._stopped = True
            self._child.close()
            for folder in run_folders(runs_folder(self._place)).values():
                within(self._place.folder, folder)
                if status(folder).word == "running":
                    _stop_process(folder)
        self._tell("training", {})
        return self.state()

    def _words(self, asked: Asked) -> list[str]:
        changes: dict[str, Any] = {}
        for setting in asked.settings:
            changes = merge_settings(changes, parse_setting(setting))
        settings = make_settings(changes).model_dump(mode="json")
        record = {"settings": settings, "cross_validate": asked.cross_validate}
        return train_words(self._place, record)

    def _problem(self) -> str:
        """Why the process ended, if nobody wanted it to."""
        code = self._child.returncode
        if code in (None, 0, INTERRUPTED) or self._stopped:
            return ""
        line = self._child.last_error_line().removeprefix("corroscope train: ")
        return line or f"the training's process ended without a word (exit code {code})"

    def _look(self) -> None:
        """Tell the pages when something has changed in the run's folder."""
        folder = self._place.folder / "runs" / f"train{self._number}"
        files = [folder / PROCESS, folder / METRICS, *sorted(folder.glob(f"**/{EPOCHS}"))]
        seen = [self._child.running, *((path, _changed_ns(path)) for path in files)]
        if seen != self._seen:
            self._seen = seen
            self._tell("training", {})


def _missing(place: Workplace) -> str:
    """What training needs and does not have, in one line."""
    if place.second:
        return (
            "a second, blind annotation must not see what was learnt from the first; open the "
            "folder without --second to train"
        )
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if not missing:
        return ""
    return (
        f"Training needs {', '.join(missing)}; install with pip install 'corroscope[train]' and "
        "start the studio again"
    )


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _stop_process(folder: Path) -> None:
    """End a training that another studio or a terminal has started."""
    process = read_process(folder)
    if process is None or process.machine != platform.node():
        raise StudioError(f"{folder}: another machine is training there; stop it on that one")
    # The lock is held, so the number is that of whoever holds it.
    for end in (signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)):
        os.kill(process.process, end if os.name != "nt" else signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if status(folder).word != "running":
                return
            time.sleep(_LOOK_S)
    raise StudioError(f"{folder}: process {process.process} cannot be stopped; end it by hand")
