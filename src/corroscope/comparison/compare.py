"""`corroscope compare`: results of one kind side by side. Needs no torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from corroscope.comparison.evaluations import compare_evaluations
from corroscope.comparison.runs import compare_runs
from corroscope.errors import SettingsError
from corroscope.outputs import made_by

_COMPARED: Final[dict[str | None, Callable[[Sequence[Path], str | Path], dict[str, Any]]]] = {
    "evaluate": compare_evaluations,
    "run": compare_runs,
}
"""How results are compared, by the command that wrote them."""


def compare(results: Sequence[str | Path], *, out: str | Path) -> dict[str, Any]:
    """Compare results of one command.

    Evaluations on one dataset are compared with the first of them, as
    `corroscope.comparison.evaluations.compare_evaluations` says. Runs are put together by their
    conditions, as `corroscope.comparison.runs.compare_runs` says.

    Parameters
    ----------
    results
        Folders that ``corroscope evaluate``, or that ``corroscope run`` has written, at least two.
    out
        Output folder, made if missing.

    Returns
    -------
    dict
        What ``metrics.json`` holds.

    Raises
    ------
    SettingsError
        If there are fewer than two results, one is neither, they are of different kinds, or two
        runs are of the same sequence.
    DatasetError
        If evaluations are of different patches.
    OutputError
        If a result is incomplete, or the output cannot be written.
    """
    folders = [Path(result) for result in results]
    if len(folders) < 2:
        raise SettingsError(f"{len(folders)} result given; comparing needs at least two")
    commands = [made_by(folder) for folder in folders]
    for folder, command in zip(folders, commands, strict=True):
        if command not in _COMPARED:
            what = "no result" if command is None else f"written by {command}"
            raise SettingsError(
                f"{folder}: {what}; give folders that corroscope evaluate, or that corroscope run "
                "has written"
            )
        if command != commands[0]:
            raise SettingsError(
                f"{folder}: written by {command}; give folders of one kind, {folders[0]} was "
                f"written by {commands[0]}"
            )
    return _COMPARED[commands[0]](folders, out)
