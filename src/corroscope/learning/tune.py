"""`corroscope tune`: a search for better settings, and an honest word on whether it found any."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final, NamedTuple

import torch

from corroscope.errors import CorroscopeError, OutputError, SettingsError
from corroscope.learning.dataset import dataset_hash, read_dataset
from corroscope.learning.final import BUNDLE
from corroscope.learning.fit import check_machine
from corroscope.learning.search import POLL_S, Asked, Search, share_cores
from corroscope.learning.settings import TrainSettings
from corroscope.learning.space import DEFAULT_SPACE, Space, check_space
from corroscope.learning.study import usable
from corroscope.learning.tuning_page import tuning_page
from corroscope.learning.verdict import Verdict, conclude
from corroscope.outputs import (
    MANIFEST,
    code_hash,
    output_folder,
    read_manifest,
    replacing,
    versions,
    write_json,
)
from corroscope.report.tuning import write_tuning
from corroscope.segmentation.bundle import Bundle, load_bundle, write_bundle
from corroscope.settings import check_settings

FIXED: Final = ("epochs", "folds", "patience", "seed")
"""Settings that cannot be varied: they belong to the search itself."""

MOST_WORKERS: Final = 8


class Tuned(NamedTuple):
    """What a search gives.

    Attributes
    ----------
    bundle
        The best configuration, trained on all patches.
    verdict
        Whether it is better than the default.
    """

    bundle: Bundle
    verdict: Verdict


class _Job(NamedTuple):
    """What a process needs to take part."""

    dataset: Path
    annotated_only: bool
    folder: Path
    asked: Asked
    trials: int
    name: str
    source: str
    accelerator: str
    workers: int


def tune(
    dataset: str | Path,
    *,
    out: str | Path,
    trials: int = 20,
    settings: TrainSettings | None = None,
    space: Space | None = None,
    folds: int = 3,
    epochs: int = 12,
    held_out: float = 0.2,
    workers: int | None = None,
    name: str | None = None,
    source: str | None = None,
    annotated_only: bool = False,
    accelerator: str = "auto",
    progress: Callable[[int, int, float | None], None] | None = None,
) -> Tuned:
    """Search for better settings; compare the best with the default on surface held out.

    A part of the surface is set aside. On the rest every trial is cross-validated by folds that
    share no surface, the default settings first; a trial that does worse after a fold than the
    median of those completed before, from the fifth on, is ended. Then default and best are
    trained anew and judged on what was set aside, and the best on everything, for the bundle.

    Writes ``study.db``, ``trials.csv``, ``metrics.json``, ``report.html`` and ``bundle/``.
    Called again on the same folder it goes on where it was; called by several processes, or on
    several machines that share the folder, these share the trials.

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Folder of the search.
    trials
        How many trials there shall be, those of earlier calls included.
    settings
        Settings that are not varied, and those of the first trial; ``epochs`` are those of the
        last trainings.
    space
        What is varied; see `corroscope.learning.space`.
    folds, epochs
        Folds that a trial is judged on, and epochs of each of its fits.
    held_out
        Share of the patches that is set aside.
    workers
        Processes; by default one for each core, at most 8, or a single one with a graphics card.
        With one, the same seed gives the same trials, also after a kill.
    name, source
        Name of the bundle and where the data come from, for its card.
    annotated_only
        Leave out images without a mask, which are an error otherwise.
    accelerator
        As Lightning's Trainer understands it.
    progress
        Called with the trials done, the trials wanted and the best value so far.

    Returns
    -------
    Tuned
        The bundle, and whether it is better than the default.

    Raises
    ------
    DatasetError, FrameError
        If the dataset cannot be read or split.
    SettingsError
        If a setting, the space or a number is not allowed, or the folder holds another search.
    """
    asked_settings = settings or TrainSettings()
    space = check_space(DEFAULT_SPACE if space is None else space)
    fixed = next((name for name in FIXED if name in space), None)
    if fixed is not None:
        raise SettingsError(
            f"{fixed}: belongs to the search itself and cannot be varied; leave it out"
        )
    for setting, instead in (("folds", "--folds"), ("patience", "--epochs")):
        if getattr(asked_settings, setting) != getattr(TrainSettings(), setting):
            raise SettingsError(f"{setting}: has no say in a search; use {instead}")
    for what, number in (("--trials", trials), ("--workers", workers)):
        if number is not None and number < 1:
            raise SettingsError(f"{what} {number}: at least 1")
    check_machine(accelerator, 1)
    patches = read_dataset(dataset, annotated_only=annotated_only)
    if not any(patch.mask.any() for patch in patches):
        raise SettingsError(f"{dataset}: no mask has a particle, nothing to learn; annotate some")
    asked = check_settings(
        Asked,
        {
            "dataset_sha256": dataset_hash(patches),
            "settings": asked_settings,
            "space": space,
            "folds": folds,
            "epochs": epochs,
            "held_out": held_out,
        },
    )
    number = workers or _workers(accelerator, trials)
    job = _Job(
        Path(dataset), annotated_only, Path(out), asked, trials, name or "tuned",
        source or "not stated", accelerator, number,
    )  # fmt: skip
    # What cannot be had fails before anything is written.
    search = Search(
        job.folder, patches, asked, name=job.name, source=job.source, accelerator=accelerator
    )
    folder = _folder(out, asked)

    def tell() -> None:
        if progress is not None:
            progress(search.done, trials, search.best_value)

    with usable(folder):
        search.open()
        if number == 1:
            search.work(trials, tell)
        else:
            _in_processes(job, tell)
        verdict = conclude(search)
    built = load_bundle(search.finals().place("all") / BUNDLE)
    write_bundle(folder / BUNDLE, built.network, built.card)
    with replacing(folder / "trials.csv") as temporary:
        verdict.trials.to_csv(temporary, index=False, float_format="%.6g")
    write_tuning(tuning_page(search, verdict, read_manifest(folder)), folder / "report.html")
    write_json(folder / "metrics.json", verdict.metrics)
    return Tuned(load_bundle(folder / BUNDLE), verdict)


def _folder(out: str | Path, asked: Asked) -> Path:
    """The search's folder, which must not be that of another search."""
    folder = output_folder(out)
    wanted = asked.model_dump(mode="json")
    if (folder / MANIFEST).exists():
        record = read_manifest(folder)
        if record.get("command") != "tune":
            raise OutputError(f"{folder}: holds something else than a search; give another --out")
        differs = [name for name, value in wanted.items() if record["asked"].get(name) != value]
        if differs:
            raise SettingsError(
                f"{folder}: holds a search with other {', '.join(differs)}; ask for the same, or "
                "give another --out"
            )
        return folder
    write_json(
        folder / MANIFEST,
        {
            "command": "tune",
            "asked": wanted,
            "versions": versions("torch", "lightning", "optuna", "numpy", "cv2"),
            "code_sha256": code_hash(),
        },
    )
    return folder


def _workers(accelerator: str, trials: int) -> int:
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return 1
    return max(1, min(os.cpu_count() or 1, trials, MOST_WORKERS))


def _in_processes(job: _Job, tell: Callable[[], None]) -> None:
    """Share the work among processes, which end with this one."""
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(job.workers):
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_take_part, args=(job, theirs), daemon=True)
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    try:
        waiting = list(workers)
        while waiting:
            ended = wait([worker.sentinel for worker, _ in waiting], timeout=POLL_S)
            for worker, ours in waiting:
                if worker.sentinel in ended:
                    worker.join()  # before that it has no exit code
                    _raise_what_it_said(worker.exitcode, ours)
            waiting = [(worker, ours) for worker, ours in waiting if worker.sentinel not in ended]
            tell()
    finally:
        for worker, _ in workers:
            worker.terminate()
        for worker, _ in workers:
            worker.join()


def _raise_what_it_said(exitcode: int | None, said: Connection) -> None:
    try:
        error = said.recv()
    except EOFError:
        error = None
    if isinstance(error, CorroscopeError):
        raise error
    if exitcode != 0:
        raise OutputError(
            f"a process of the search ended with code {exitcode}: killed, or out of memory; the "
            "same command goes on where it was, with fewer --workers if it was memory"
        )


def _take_part(job: _Job, said: Connection) -> None:
    """What each process does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    share_cores(job.workers, os.cpu_count() or 1)
    try:
        patches = read_dataset(job.dataset, annotated_only=job.annotated_only)
        search = Search(
            job.folder,
            patches,
            job.asked,
            name=job.name,
            source=job.source,
            accelerator=job.accelerator,
        )
        with usable(job.folder):
            search.open()
            search.work(job.trials, lambda: None)
    except CorroscopeError as error:
        said.send(error)
    except KeyboardInterrupt:
        os._exit(1)


def _end_with(sentinel: int) -> None:
    """A process that outlived the command would go on unseen."""
    wait([sentinel])
    os._exit(1)
