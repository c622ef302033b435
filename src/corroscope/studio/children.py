"""Commands that the page starts: each in a process of its own, which ends with the studio."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from corroscope.errors import StudioError

PATIENCE_S: Final = 15.0
"""How long a command may take to stop when the studio is closed."""

INTERRUPTED: Final = 130
"""What a command returns that was stopped."""

_LOOK_S: Final = 0.5
_TAIL_BYTES: Final = 1 << 14

# Where the studio was started in the background, its children would ignore what stops them.
_MAIN: Final = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from corroscope.cli import main; sys.exit(main())"
)

# Windows has other words for a group of processes and for Ctrl-C.
_OWN_GROUP: Final[int] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_INTERRUPT: Final[int] = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT)


class Child:
    """One ``corroscope`` command at a time, in a process of its own.

    Parameters
    ----------
    changed
        Called from another thread about twice a second while the command runs, and when it has
        ended.
    """

    def __init__(self, changed: Callable[[], None] | None = None) -> None:
        self._changed = changed or (lambda: None)
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: threading.Thread | None = None
        self._log: Path | None = None

    def start(self, arguments: Sequence[str], log: Path) -> None:
        """Start a command.

        Parameters
        ----------
        arguments
            Words after ``corroscope``.
        log
            File for what it says on standard error. One that is there is replaced, and if it is
            a link, then the link and not what it leads to.

        Raises
        ------
        StudioError
            If one is running, or the process or its log cannot be made.
        """
        with self._starting:
            if self.running:
                raise StudioError("one is running already; stop it first, or wait")
            command = [sys.executable, "-P", "-c", _MAIN, *arguments]
            try:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.unlink(missing_ok=True)
                with log.open("xb") as errors:
                    self._process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=errors,
                        # Ctrl-C in the terminal is for the studio, which ends its children.
                        start_new_session=True,
                        creationflags=_OWN_GROUP,
                    )
            except (OSError, ValueError) as error:
                raise StudioError(f"{log}: cannot start `corroscope` there ({error})") from error
            self._log = log
            self._watch = threading.Thread(
                target=self._look, args=(self._process,), name="child", daemon=True
            )
            self._watch.start()

    @property
    def running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last command; None while it runs and before the first."""
        return None if self._process is None else self._process.poll()

    def last_error_line(self) -> str:
        """Read the last line that the command wrote on standard error.

        Returns
        -------
        str
            Empty where it wrote none.
        """
        if self._log is None or self._log.is_symlink():
            return ""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                tail = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """Ask the command to stop, as Ctrl-C does, and do not wait for it."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended
                process.send_signal(_INTERRUPT)

    def close(self) -> None:
        """Stop the command and wait until it has ended; one that does not listen is ended.

        Whoever is interrupted while waiting, ends it at once: it must not outlive the studio.
        """
        process = self._process
        if process is None:
            return
        try:
            self.stop()
            for end in (process.terminate, lambda: _kill(process)):
                try:
                    process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    end()
        except BaseException:
            _kill(process)
            raise
        process.wait()
        if self._watch is not None:
            self._watch.join()

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
                break
            self._changed()
        self._changed()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it has started itself."""
    with contextlib.suppress(OSError):  # it has just ended
        if process.poll() is None and hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
