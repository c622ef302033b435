"""Runs that the page starts: ``corroscope run`` on the folder, one at a time."""

import json
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from corroscope.errors import StudioError
from corroscope.outputs import output_folder, write_json
from corroscope.studio.answers import Answer
from corroscope.studio.children import INTERRUPTED, Child
from corroscope.studio.results.result import JOURNAL
from corroscope.studio.results.results import Results
from corroscope.studio.workplace import Workplace, within

STAGES: Final = ("align", "segment")
"""What a run does with every frame, one after the other."""

OPTIONS: Final = ".json"
LOG: Final = ".log"
"""Endings of what stands beside a result: what was asked for, and standard error."""

_TAKEN: Final = ("", OPTIONS, LOG)


class Options(BaseModel):
    """Options of ``corroscope run`` that the page has a field for."""

    model_config = ConfigDict(extra="forbid")
    pixel_size: FiniteFloat | None = Field(None, gt=0)
    interval: FiniteFloat | None = Field(None, gt=0)
    threshold: FiniteFloat | None = Field(None, gt=0, lt=1)


class Start(BaseModel):
    """A new run, or one to go on with."""

    model_config = ConfigDict(extra="forbid")
    options: Options = Options()
    again: int | None = None
    """Number of the result to go on with, as it was begun."""


class Runs:
    """The run that the page has started, and what has become of it.

    Parameters
    ----------
    place
        The folder that is worked on.
    results
        Its results.
    tell
        Tells all pages.
    """

    def __init__(
        self, place: Workplace, results: Results, tell: Callable[[str, Answer], None]
    ) -> None:
        self._place = place
        self._results = results
        self._tell = tell
        self._child = Child(lambda: tell("results", self.status()))
        self._starting = threading.Lock()
        self._out: Path | None = None
        self._options = Options()
        self._progress = Progress(Path())
        self._stopped = False
        place.close_with(self._child.close)

    def status(self) -> Answer:
        """Tell how far the run is.

        Returns
        -------
        dict
            ``running``; of the last run besides ``stopping``, ``number``, ``name``, ``stage`` with
            the number of frames ``done`` of ``total``, the ``command`` and, where it has ended
            before its end, ``problem``.
        """
        if self._out is None:
            return {"running": False}
        running = self._child.running
        stage, done = self._progress.look()
        problem = None
        if not running and self._child.returncode != 0:
            problem = self._child.last_error_line() or "the run was ended from outside"
            if self._stopped or self._child.returncode == INTERRUPTED:
                problem = f"{self._out.name} was stopped; it goes on where it was"
        return {
            "running": running,
            "stopping": running and self._stopped,
            "number": self._results.number(self._out),
            "name": self._out.name,
            "stage": stage,
            "done": min(done, len(self._place.names)),
            "total": len(self._place.names),
            "command": self._command(self._out, self._options),
            "problem": problem,
        }

    def next(self) -> Answer:
        """Tell what a new run would be.

        Returns
        -------
        dict
            Its ``name`` and, without options, its ``command``.
        """
        out = self._next()
        return {"name": out.name, "command": self._command(out, Options())}

    def start(self, content: bytes) -> Answer:
        """Start a run, or go on with one.

        Parameters
        ----------
        content
            A `Start` as JSON.

        Returns
        -------
        dict
            As `status`.

        Raises
        ------
        StudioError
            If one is running, or that which is to go on was not started from the page.
        """
        asked = Start.model_validate_json(content)
        with self._starting:
            if self._child.running:
                raise StudioError("a run is going on already; stop it first, or wait")
            if asked.again is None:
                out, options = self._next(), asked.options
                within(self._place.folder, out)
            else:
                out, options = self._again(asked.again)
            output_folder(self._results.home)
            # Of the options the journal knows only those that decide what is found.
            write_json(_beside(out, OPTIONS), options.model_dump())
            words = _words(self._place.folder.absolute(), out.absolute(), options)
            self._child.start(words, _beside(out, LOG))
            self._options, self._out, self._stopped = options, out, False
            self._progress = Progress(out / JOURNAL)
        return self.status()

    def stop(self) -> Answer:
        """Stop the run as Ctrl-C does; what is done is kept.

        Returns
        -------
        dict
            As `status`.
        """
        self._stopped = self._child.running
        self._child.stop()
        return self.status()

    def options(self, number: int) -> Options | None:
        """Find with which options the page has started a run.

        Parameters
        ----------
        number
            Of its result.

        Returns
        -------
        Options or None
            None where something else has.
        """
        folder = self._results[number].folder
        file = _beside(folder, OPTIONS)
        if folder.parent != self._results.home.absolute() or file.is_symlink():
            return None
        try:
            return Options.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None

    def command(self, number: int) -> str | None:
        """Write the command of a run that the page has started.

        Parameters
        ----------
        number
            Of its result.

        Returns
        -------
        str or None
            None where something else has started it.
        """
        options = self.options(number)
        return None if options is None else self._command(self._results[number].folder, options)

    def _again(self, number: int) -> tuple[Path, Options]:
        try:
            options = self.options(number)
        except KeyError:
            options = None
        if options is None:
            raise StudioError(
                "this run was not started from here; the command that has started it goes on"
            )
        out = self._results[number].folder
        within(self._place.folder, out)
        return out, options

    def _next(self) -> Path:
        number = 1
        while any(_there(_beside(self._results.home / f"run{number}", s)) for s in _TAKEN):
            number += 1
        return self._results.home / f"run{number}"

    def _command(self, out: Path, options: Options) -> str:
        out = self._results.home / out.name  # as the folder was given, not as it is numbered
        return shlex.join(["corroscope", *_words(self._place.folder, out, options)])


class Progress:
    """How far a run is, by its journal.

    Parameters
    ----------
    journal
        The file, which need not be there yet.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._end = 0
        self._done = dict.fromkeys(STAGES, 0)
        self._looking = threading.Lock()

    def look(self) -> tuple[str, int]:
        """Read what has been added to the journal.

        Returns
        -------
        stage : str
            The last that has begun.
        done : int
            Frames that it is through with.
        """
        with self._looking:
            try:
                with self._journal.open("rb") as lines:
                    lines.seek(self._end)
                    for line in lines:
                        if not line.endswith(b"\n"):
                            break
                        self._end += len(line)
                        self._count(line)
            except OSError:  # not begun
                pass
            stage = STAGES[1] if self._done[STAGES[1]] else STAGES[0]
            return stage, self._done[stage]

    def _count(self, line: bytes) -> None:
        for stage in STAGES:
            if line.startswith(json.dumps({"stage": stage})[:-1].encode()):
                self._done[stage] += 1


def _words(folder: Path, out: Path, options: Options) -> list[str]:
    words = ["run", str(folder), "--out", str(out)]
    for name, value in options.model_dump(exclude_none=True).items():
        words += [f"--{name.replace('_', '-')}", f"{value:.15g}"]
    return words


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def _there(file: Path) -> bool:
    return file.exists() or file.is_symlink()
