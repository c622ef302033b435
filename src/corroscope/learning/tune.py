"""`corroscope tune`: a search for better settings, and an honest word on whether it found any."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from corroscope.errors import OutputError, SettingsError
from corroscope.learning.dataset import dataset_hash, read_dataset
from corroscope.learning.final import BUNDLE
from corroscope.learning.fit import check_machine
from corroscope.learning.search import Asked, Search
from corroscope.learning.settings import TrainSettings
from corroscope.learning.side_by_side import side_by_side, threads_each, worker_count
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
    number = workers or worker_count(accelerator, trials)
    job = _Job(
        Path(dataset), annotated_only, Path(out), asked, trials, name or "tuned",
        source or "not stated", accelerator,
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
        _work_off(search, job, number, tell)
        verdict = conclude(search)
    built = load_bundle(search.finals().place("all") / BUNDLE)
    write_bundle(folder / BUNDLE, built.network, built.card)
    with replacing(folder / "trials.csv") as temporary:
        verdict.trials.to_csv(temporary, index=False, float_format="%.6g")
    write_tuning(tuning_page(search, verdict, read_manifest(folder)), folder / "report.html")
    write_json(folder / "metrics.json", verdict.metrics)
    return Tuned(load_bundle(folder / BUNDLE), verdict)


def _work_off(search: Search, job: _Job, workers: int, tell: Callable[[], None]) -> None:
    """Do what there is to do; processes take a while to start, so only where there is something."""
    if search.over(job.trials):
        tell()
    elif workers == 1:
        search.work(job.trials, tell)
    else:
        side_by_side(
            _take_part,
            [job] * workers,
            threads=threads_each(workers),
            what="the search",
            again="the same command",
            tell=tell,
        )


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


def _take_part(job: _Job) -> None:
    """What each process does."""
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
