"""One folder for each training, numbered, and the record that lets it be resumed."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Final

from corroscope.errors import SettingsError
from corroscope.outputs import output_folder, write_json

RECORD: Final = "manifest.json"
"""What was asked for, on what data, with which versions; written before the first step."""

ASKED: Final = frozenset({"dataset_sha256", "settings", "cross_validate", "name", "source"})
"""What a record must hold for its training to be resumed."""

METRICS: Final = "metrics.json"
"""What came out; written last, so its presence means that the run is complete."""


def new_run(out: str | Path, record: dict[str, Any]) -> Path:
    """Make the next of ``train1``, ``train2``, … and write down what was asked for.

    Parameters
    ----------
    out
        Folder of all runs.
    record
        What was asked for.

    Returns
    -------
    Path
        The run's own folder.
    """
    out = output_folder(out)
    number = max(_numbers(out), default=0)
    while True:
        number += 1
        folder = out / f"train{number}"
        with contextlib.suppress(FileExistsError):  # another training was quicker
            folder.mkdir()
            break
    write_json(folder / RECORD, record)
    return folder


def unfinished_run(out: str | Path, dataset_sha256: str) -> tuple[Path, dict[str, Any]]:
    """Find the newest run, which must be resumable.

    Parameters
    ----------
    out
        Folder of all runs.
    dataset_sha256
        Hash of the data at hand.

    Returns
    -------
    folder : Path
        The run's folder.
    record : dict
        What was asked for.

    Raises
    ------
    SettingsError
        If there is no run, the newest is complete or has no readable record, or it
        was started on other data.
    """
    numbers = _numbers(Path(out))
    if not numbers:
        raise SettingsError(f"{out}: no training to resume there; start one without --resume")
    folder = Path(out) / f"train{max(numbers)}"
    if (folder / METRICS).exists():
        raise SettingsError(f"{folder}: is complete, nothing to resume; start anew without it")
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if not (record.keys() >= ASKED and isinstance(record["settings"], dict)):
            raise ValueError("incomplete")
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"{folder / RECORD}: missing or broken, so the training cannot be resumed; start anew"
        ) from error
    if record["dataset_sha256"] != dataset_sha256:
        raise SettingsError(
            f"{folder}: was started on other data than the dataset given; resume it with the "
            "same images and masks, or start anew"
        )
    return folder, record


def run_folders(out: str | Path) -> dict[int, Path]:
    """List the runs in a folder.

    Parameters
    ----------
    out
        Folder of all runs; there are none where it is missing.

    Returns
    -------
    dict of int to Path
        Folders by number, the newest first.

    Examples
    --------
    >>> run_folders("missing")
    {}
    """
    return {number: Path(out) / f"train{number}" for number in sorted(_numbers(Path(out)))[::-1]}


def _numbers(out: Path) -> list[int]:
    """Numbers of the runs; as numbers, for train10 comes after train2."""
    if not out.is_dir():
        return []
    found = (re.fullmatch(r"train([1-9]\d*)", entry.name) for entry in out.iterdir())
    return [int(match[1]) for match in found if match]
