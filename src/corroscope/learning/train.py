"""`corroscope train`: a folder of annotated patches in, a bundle and its record out."""

from collections.abc import Callable, Sequence
from pathlib import Path

from corroscope.errors import SettingsError
from corroscope.learning.checkpoints import start_from
from corroscope.learning.course import Course, Machine, Origin
from corroscope.learning.dataset import Patch, dataset_hash, frame_hash, read_dataset
from corroscope.learning.export import export_bundle
from corroscope.learning.fit import check_machine
from corroscope.learning.judge import choice_of
from corroscope.learning.networks import build_network
from corroscope.learning.progress import Progress, at_work, plain
from corroscope.learning.provenance import frames_seen, training_record
from corroscope.learning.runs import METRICS, new_run, unfinished_run
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.side_by_side import worker_count
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import code_hash, versions, write_json
from corroscope.report.curves import draw_curves
from corroscope.segmentation.bundle import Bundle, load_bundle
from corroscope.segmentation.card import Card


def train(
    dataset: str | Path,
    *,
    out: str | Path,
    settings: TrainSettings | None = None,
    cross_validate: bool = False,
    resume: bool = False,
    start: str | Path | None = None,
    name: str | None = None,
    source: str | None = None,
    annotated_only: bool = False,
    accelerator: str = "auto",
    devices: int | str = 1,
    workers: int | None = 1,
    progress: Callable[[Progress], object] | None = None,
) -> Bundle:
    """Train a network on annotated patches, from random weights or from an earlier run.

    Makes a folder ``train1``, ``train2``, … under ``out`` with ``bundle/``,
    ``metrics.json``, ``curves.png``, ``examples.png`` and the TensorBoard log. While it runs,
    ``epochs.json`` there has the figures of each epoch so far, ``predictions/`` pictures of
    what the network finds in some validation patches, and ``process.json`` tells which process
    is at work or how it ended; each fold of a cross-validation has such figures in its own
    ``fold1``, ``fold2``, …

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Folder of all runs.
    settings
        Every setting; the defaults are those of the bundle that is shipped.
    cross_validate
        Train once for each fold, to be judged on surface it has not seen, then once
        on all patches for the bundle. Without it, one fold is kept for validation:
        quicker, but a part of the patches is not learnt from.
    resume
        Go on with the newest run under ``out``, as it was started: settings, name and
        the like cannot be given again.
    start
        Folder of an earlier run, whose weights to start from; of the same architecture,
        widths and dilations.
    name, source
        Name of the bundle and where the data come from, for its card.
    annotated_only
        Leave out images without a mask, which are an error otherwise.
    accelerator, devices
        As Lightning's Trainer understands them. With several devices others are
        spawned, so a script needs the usual ``if __name__ == "__main__":``.
    workers
        How many networks of a cross-validation are trained at the same time, each in a process
        of its own; None for as many as there are cores, 1 on a GPU. Processes are spawned, as
        for several devices. With another number, each has other threads, and weights differ by
        rounding.
    progress
        Called when the training of a network begins and after each of its epochs, with
        `corroscope.learning.progress.Progress`. With several devices it is called in another
        process, so it must be one that can be sent there (no lambda). With several workers it is
        called about once a second for each network that has gone on, and first for all, those that
        wait included; epochs in between may be passed over.

    Returns
    -------
    Bundle
        The trained bundle.

    Raises
    ------
    DatasetError, FrameError
        If the dataset cannot be read or split.
    SettingsError
        If there is nothing to resume or nothing to learn, no such machine, several workers
        for one network or several devices, or another process is at work on the run to be
        resumed.
    ExportError
        If an engine does not agree with the trained network.
    """
    if resume and (settings or cross_validate or start or name or source):
        raise SettingsError("--resume goes on with a run as it was started; give nothing else")
    _check_workers(workers, devices)
    check_machine(accelerator, devices)
    patches = read_dataset(dataset, annotated_only=annotated_only)
    if not any(patch.mask.any() for patch in patches):
        raise SettingsError(f"{dataset}: no mask has a particle, nothing to learn; annotate some")
    sha256 = dataset_hash(patches)
    if resume:
        folder, record = unfinished_run(out, sha256)
        settings = make_settings(record["settings"])
        cross_validate, name, source = record["cross_validate"], record["name"], record["source"]
        start = record.get("start")
    settings = settings or TrainSettings()
    name, source = name or "own", source or "not stated"
    shared = shared_surface(patches)
    splits = surface_folds(shared, settings.folds)
    fits = len(splits) + 1 if cross_validate else 1
    machine = _machine(accelerator, devices, workers, fits)
    # What cannot be had fails before anything is written.
    network = build_network(settings)
    earlier: Card | None = None
    if start is not None:
        start_from(network, Path(start))
        earlier = load_bundle(Path(start) / "bundle").card
    used = versions("torch", "lightning", "numpy", "cv2")
    if not resume:
        record = {
            "command": "train",
            "dataset_sha256": sha256,
            "settings": settings.model_dump(mode="json"),
            "cross_validate": cross_validate,
            "start": None if start is None else str(Path(start).resolve()),
            "name": name,
            "source": source,
            "versions": used,
            "code_sha256": code_hash(),
        }
        folder = new_run(out, record)
    with at_work(folder):
        course = Course(
            Origin(Path(dataset), annotated_only),
            patches,
            settings,
            folder,
            None if start is None else Path(start),
            machine,
            progress,
        )
        network, history, metrics = (
            course.cross_validated(splits, shared)
            if cross_validate
            else course.validated(splits[0], shared)
        )
        if earlier is not None:
            metrics["method"] += _memory(course.judged, earlier)
        draw_curves(history, folder / "curves.png")
        choice = choice_of(metrics)
        bundle = export_bundle(
            network,
            settings,
            folder / "bundle",
            name=name,
            point=choice.point,
            rescoring=choice.rescoring,
            training=training_record(
                patches, settings, used, cross_validated=cross_validate, earlier=earlier
            ),
            metrics=metrics,
            provenance={"source": source},
        )
        write_json(folder / METRICS, {**metrics, "history": plain(history)})
    return bundle


def _check_workers(workers: int | None, devices: int | str) -> None:
    if workers is None:
        return
    if workers < 1:
        raise SettingsError(f"--workers: {workers} (allowed: at least 1)")
    if workers > 1 and devices not in (1, "1"):
        raise SettingsError("--workers and --devices exclude each other; give one of them")


def _machine(accelerator: str, devices: int | str, workers: int | None, fits: int) -> Machine:
    if workers is None:
        workers = worker_count(accelerator, fits) if devices in (1, "1") else 1
    if workers > 1 and fits == 1:
        raise SettingsError(
            "--workers are for --cross-validate: a single network is trained by one process"
        )
    return Machine(accelerator, devices, workers)


def _memory(patches: Sequence[Patch], earlier: Card) -> str:
    """Says of how many patches the scores are memory, since an earlier run knew them."""
    known = sum(frame_hash(patch)[:16] in frames_seen(earlier) for patch in patches)
    if not known:
        return ""
    return (
        f"; {known} of these patches were learnt from in the run that this one started from, so "
        "on them the scores measure memory"
    )
