"""The command line: one command, thin subcommands that import what they need."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corroscope.errors import BatchError, CorroscopeError, SettingsError

if TYPE_CHECKING:
    from corroscope.learning.progress import Progress

FAILED = 2
"""Exit code when something that was given is at fault."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after ``corroscope``; those of the process by default.

    Returns
    -------
    int
        Exit code: 0; 2 with one line on standard error; 130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except CorroscopeError as error:
        print(f"corroscope {chosen.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        resumes = chosen.command in ("run", "tune")
        kept = "; the same command goes on where it was" if resumes else ""
        print(f"corroscope {chosen.command}: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corroscope", description="Recognise corrosion products in microscopy."
    )
    parser.add_argument("--version", action="version", version=metadata.version("corroscope"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(_command(commands, "demo", _demo, "find particles in an example made on the spot"))
    _add_segment(_command(commands, "segment", _segment, "find particles in images"))
    _add_run(_command(commands, "run", _run, "find particles in every frame of a sequence"))
    _add_prepare(_command(commands, "prepare", _prepare, "align a sequence and subtract"))
    _add_synth(_command(commands, "synth", _synth, "make a sequence whose truth is known"))
    _add_train(_command(commands, "train", _train, "train a network from scratch"))
    _add_tune(_command(commands, "tune", _tune, "search for better settings"))
    _add_audit(_command(commands, "audit", _audit, "find patches that show the same metal"))
    _add_evaluate(_command(commands, "evaluate", _evaluate, "score a bundle on annotated patches"))
    _add_annotate(_command(commands, "annotate", _annotate, "annotate and review in the browser"))
    _add_export(_command(commands, "export", _export, "write annotations for other programs"))
    _add_import(_command(commands, "import", _import, "take over other programs' annotations"))
    _command(commands, "doctor", _doctor, "say what is installed and what will be used")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + "."
    )
    parser.set_defaults(run=run)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="corroscope-demo", metavar="DIR", help="output folder")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="BUNDLE", help="bundle folder (default: the shipped one)"
    )
    parser.add_argument("--engine", default="openvino", help="openvino (default) or onnxruntime")
    parser.add_argument(
        "--precision", default="auto", help="f32, bf16, or auto (default): bf16 where there is some"
    )


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, TIFF or JPEG files")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    _add_model(parser)
    parser.add_argument(
        "--reference", metavar="IMAGE", help="the same place before corrosion began"
    )
    _add_operating_point(parser)


def _add_operating_point(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pixel-size", type=float, metavar="UM", help="side of a pixel in µm")
    parser.add_argument("--threshold", type=float, help="probability of a particle's pixels")
    parser.add_argument("--min-area", type=int, metavar="PX", help="smallest particle in pixels")


def _add_sequence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sequence", metavar="SEQUENCE", help="folder of images, multi-page TIFF or video"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--reference", default="first", metavar="WHAT",
        help="first (default), median:K of the first frames, rolling:K frames before, or an image",
    )  # fmt: skip
    parser.add_argument("--flat", metavar="IMAGE", help="flat field: an even surface")
    parser.add_argument("--dark", metavar="IMAGE", help="dark field: no light")
    parser.add_argument("--pattern", metavar="REGEX", help="how file names tell the time")
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between frames")
    parser.add_argument(
        "--start", metavar="HH:MM:SS", help="when it began, where names do not tell"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_sequence(parser)
    _add_model(parser)
    _add_operating_point(parser)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    _add_sequence(parser)
    parser.add_argument(
        "--denoise", type=int, metavar="PX", help="median filter of 3 or 5 px, for the eye"
    )
    parser.add_argument("--equalise", action="store_true", help="raise local contrast, for the eye")
    parser.add_argument(
        "--patches", metavar="SIZE/STRIDE", help="cut patches to annotate, in pixels, as 200/100"
    )
    parser.add_argument(
        "--times", metavar="SHARES",
        help="when frames are cut, as shares of the run (default: 0.25,0.5,0.75,0.95)",
    )  # fmt: skip
    parser.add_argument(
        "--patch-entropy", type=float, metavar="BITS",
        help="leave out patches whose difference has less entropy; 0 keeps all",
    )  # fmt: skip


def _add_settings(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings as TOML")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help=f"one setting, as {example}; may be repeated",
    )  # fmt: skip


def _add_synth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    parser.add_argument("--frames", type=int, metavar="N", help="number of frames")
    parser.add_argument("--size", type=int, metavar="PX", help="height and width in pixels")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of everything")
    parser.add_argument("--preset", help="tiny, demo or frame (2448×2452 px)")
    parser.add_argument(
        "--patches", type=int, metavar="N", help="a dataset of N patches to train on instead"
    )
    _add_settings(parser, "interval_s=30 or pits.per_mpx=5")
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder of images and masks")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of all runs")
    _add_settings(parser, "epochs=80 or augmentation.pasted=2")
    parser.add_argument("--architecture", help="unetpp, unet or smp:NAME")
    parser.add_argument("--encoder", help="encoder of an smp: architecture")
    parser.add_argument("--epochs", type=int, help="epochs at most")
    parser.add_argument("--seed", type=int, help="seed of weights and crops")
    parser.add_argument(
        "--cross-validate", action="store_true",
        help="judge on every patch by folds that share no surface, then learn from all",
    )  # fmt: skip
    parser.add_argument(
        "--annotated-only", action="store_true", help="leave out images that have no mask"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the newest run in DIR")
    parser.add_argument("--start", metavar="RUN", help="start from the weights of an earlier run")
    parser.add_argument("--name", help="name of the bundle")
    parser.add_argument("--source", help="where the data come from")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, … (Lightning's names)")
    parser.add_argument("--devices", default="1", help="number of devices (default: 1)")


def _add_tune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder of images and masks")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the search")
    parser.add_argument("--trials", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--space", metavar="FILE", help="what is varied, as TOML")
    _add_settings(parser, "epochs=60, of what is not varied")
    parser.add_argument(
        "--folds", type=int, default=3, help="folds that a trial is judged on (default: 3)"
    )
    parser.add_argument(
        "--epochs", type=int, default=12, help="epochs of a trial's fits (default: 12)"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.2, metavar="SHARE",
        help="share of the patches that has no say (default: 0.2)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")
    parser.add_argument("--name", help="name of the bundle")
    parser.add_argument("--source", help="where the data come from")
    parser.add_argument(
        "--annotated-only", action="store_true", help="leave out images that have no mask"
    )
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, … (Lightning's names)")


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder of images and masks")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--against", metavar="DATASET", help="another dataset, whose surface must not be in this"
    )
    parser.add_argument(
        "--split", metavar="FILE", help="CSV with columns image and side: no surface on two sides"
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder of images and masks")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    _add_model(parser)
    parser.add_argument(
        "--trained-on", metavar="DATASET",
        help="what the bundle was trained on, to tell patches of the same surface apart",
    )  # fmt: skip


def _add_annotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="folder of images, with masks or without")
    parser.add_argument("--port", type=int, help="where to listen (default: 8766 or the next free)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="another address lets others on the network in"
    )
    parser.add_argument("--annotator", metavar="NAME", help="who annotates (default: the account)")
    parser.add_argument(
        "--second", action="store_true", help="annotate once more, blind, for agreement"
    )
    parser.add_argument(
        "--result", action="append", default=[], metavar="DIR", dest="results",
        help="a result of run on these images, to look at; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--pixel-size", type=float, metavar="UM", help="side of a pixel in µm, for the scale bar"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder of annotated images")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    parser.add_argument("--format", required=True, help="see docs/formats.md")
    parser.add_argument("--second", metavar="NAME", help="the second annotation by NAME instead")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="file or folder of another program")
    parser.add_argument("--into", required=True, metavar="DATASET", help="folder of the images")
    parser.add_argument("--format", required=True, help="see docs/formats.md")
    parser.add_argument("--annotator", required=True, metavar="NAME", help="who annotated them")


def _demo(chosen: argparse.Namespace) -> None:
    import corroscope

    made = corroscope.demo(out=chosen.out)
    folder = made.folder.resolve()
    dice, f1 = made.scores["dice"], made.scores["particle_f1_iou30"]
    print(
        f"Found {len(made.particles)} particles in {made.frames} frames "
        f"(Dice {dice:.2f}, F1 {f1:.2f} on known truth)."
    )
    print(f"Overview:  {folder / 'overview.png'}")
    print(f"Sequence:  {folder / 'sequence' / 'frames'}  (truth beside it)")
    print(f"Result:    {folder / 'run'}  (particles.csv, frames.csv, masks)")


def _segment(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    import corroscope

    with tqdm(total=len(chosen.images), unit="image", disable=not sys.stderr.isatty()) as bar:
        particles = corroscope.segment(
            chosen.images,
            out=chosen.out,
            model=chosen.model,
            reference=chosen.reference,
            pixel_size=chosen.pixel_size,
            engine=chosen.engine,
            precision=chosen.precision,
            threshold=chosen.threshold,
            min_area=chosen.min_area,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    print(f"{len(particles)} particles in {len(chosen.images)} images: {chosen.out}")


def _run(chosen: argparse.Namespace) -> None:
    import corroscope

    with _bars() as show, _remarks(chosen.out):
        particles = corroscope.run(
            chosen.sequence,
            out=chosen.out,
            model=chosen.model,
            pixel_size=chosen.pixel_size,
            engine=chosen.engine,
            precision=chosen.precision,
            threshold=chosen.threshold,
            min_area=chosen.min_area,
            progress=show,
            **_of_sequence(chosen),
        )
    print(
        f"{len(particles)} particles in all frames: {chosen.out}  (overview.png, particles.csv, …)"
    )


def _prepare(chosen: argparse.Namespace) -> None:
    import corroscope

    with _bars() as show, _remarks(chosen.out):
        frames = corroscope.prepare(
            chosen.sequence,
            out=chosen.out,
            denoise=chosen.denoise,
            equalise=chosen.equalise,
            patches=chosen.patches,
            times=_shares(chosen.times),
            patch_entropy_bits=chosen.patch_entropy,
            progress=show,
            **_of_sequence(chosen),
        )
    cut = "patches, browse.png, " if chosen.patches else ""
    print(f"{len(frames)} frames: {chosen.out}  ({cut}aligned, difference, frames.csv, drift.png)")


def _shares(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(share) for share in text.split(",")]
    except ValueError as error:
        raise SettingsError(
            f"--times {text}: give shares of the run with commas between, as 0.25,0.95"
        ) from error


def _annotate(chosen: argparse.Namespace) -> None:
    from corroscope import annotate

    annotate(
        chosen.folder,
        port=chosen.port,
        host=chosen.host,
        annotator=chosen.annotator,
        second=chosen.second,
        results=chosen.results,
        pixel_size=chosen.pixel_size,
        browser=not chosen.no_browser,
        tell=lambda line: print(line, flush=True),
    )


def _export(chosen: argparse.Namespace) -> None:
    from corroscope.annotation import export_annotations, read_annotations

    images = read_annotations(chosen.dataset, second=chosen.second)
    exported = export_annotations(images, chosen.out, chosen.format)
    for loss in exported.losses:
        print(f"Note: {loss}")
    objects = sum(len(image.instances) for image in images)
    print(f"{objects} objects in {len(images)} images: {chosen.out}")


def _import(chosen: argparse.Namespace) -> None:
    from corroscope.annotation import Store, import_annotations

    with Store(chosen.into, chosen.annotator) as store:
        sizes = {name: store.shape(name) for name in store.images}
        images = import_annotations(chosen.path, chosen.format, sizes)
        for image in images:
            how = {"import": str(chosen.path), "format": chosen.format}
            store.replace_all(image.name, image.instances, how)
    objects = sum(len(image.instances) for image in images)
    print(f"{objects} objects in {len(images)} images: {chosen.into}  (undo takes them back)")


@contextmanager
def _remarks(out: str) -> Iterator[None]:
    """Tell what is out of the ordinary about a sequence: gaps, midnight, unknown times."""
    from corroscope.outputs import read_manifest

    failure: BatchError | None = None
    try:
        yield
    except BatchError as error:  # tables are written, and so is the manifest
        failure = error
    for remark in read_manifest(out)["sequence"]["remarks"]:
        print(f"Note: {remark}")
    if failure is not None:
        raise failure


def _of_sequence(chosen: argparse.Namespace) -> dict[str, Any]:
    """Options that all commands about a sequence have."""
    names = ("reference", "flat", "dark", "pattern", "interval")
    start = None if chosen.start is None else _clock_s(chosen.start)
    return {name: getattr(chosen, name) for name in names} | {"start": start}


def _clock_s(text: str) -> float:
    """Seconds since midnight of a wall clock."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?", text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59 or float(found[3] or 0) >= 60:
        raise SettingsError(f"--start {text}: give a wall clock as 18:27:56")
    return 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3] or 0)


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """One bar for each stage, with rate and remaining time."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            for earlier in bars.values():
                earlier.close()
            off = not sys.stderr.isatty()
            bars[stage] = tqdm(total=total, desc=stage, unit="frame", disable=off)
        bars[stage].update(done - bars[stage].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def _synth(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    import corroscope
    from corroscope.synthesis.settings import make_synth_settings

    changes = _changes(chosen)
    given = {"frames": chosen.frames, "height_px": chosen.size, "width_px": chosen.size}
    changes |= {name: value for name, value in given.items() if value is not None}
    settings = make_synth_settings(changes, chosen.preset)
    unit = "patch" if chosen.patches else "frame"
    with tqdm(unit=unit, disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = corroscope.synth(
            out=chosen.out,
            settings=settings,
            frames=chosen.frames,
            size=chosen.size,
            seed=chosen.seed,
            patches=chosen.patches,
            force=chosen.force,
            progress=show,
        )
    if chosen.patches:
        print(f"Dataset:  {made / 'patches'}")
    else:
        print(f"Frames:   {made / 'frames'}")
        print(f"Truth:    {made / 'truth'}")
        print(f"Current:  {made / 'current.mpt'}")


def _train(chosen: argparse.Namespace) -> None:
    import corroscope
    from corroscope.learning.settings import make_settings

    changes = _changes(chosen)
    for name in ("architecture", "encoder", "epochs", "seed"):
        if getattr(chosen, name) is not None:
            changes[name] = getattr(chosen, name)
    devices = int(chosen.devices) if chosen.devices.isdecimal() else chosen.devices
    bundle = corroscope.train(
        chosen.dataset,
        out=chosen.out,
        settings=make_settings(changes) if changes or not chosen.resume else None,
        cross_validate=chosen.cross_validate,
        resume=chosen.resume,
        start=chosen.start,
        name=chosen.name,
        source=chosen.source,
        annotated_only=chosen.annotated_only,
        accelerator=chosen.accelerator,
        devices=devices,
        progress=_Curves() if sys.stderr.isatty() else None,
    )
    _print_scores(bundle.card.metrics)
    print(f"Run:     {bundle.folder.parent}  (curves.png, examples.png, metrics.json)")
    print(f"Bundle:  {bundle.folder}")


class _Curves:
    """Curves of a training, redrawn in place on standard error; can be sent to a process."""

    def __init__(self) -> None:
        self._drawn = ""
        self._fit = 0

    def __call__(self, told: "Progress") -> None:
        """Draw what is known so far, below what belongs to an earlier network."""
        from corroscope.report.terminal import draw_terminal, redrawn

        if told.fit != self._fit:
            self._drawn, self._fit = "", told.fit
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
        text = draw_terminal(
            told.history,
            # In the last column some terminals begin a new line; some do not know their size.
            width=(columns or 80) - 1,
            height=lines or 24,
            epochs=told.epochs,
            epoch_s=told.epoch_s,
            title=f"network {told.fit} of {told.fits}" if told.fits > 1 else "",
            unicode=(sys.stderr.encoding or "").lower().startswith("utf"),
        )
        print(redrawn(text, self._drawn), end="", file=sys.stderr, flush=True)
        self._drawn = text


def _tune(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    import corroscope
    from corroscope.learning.settings import make_settings
    from corroscope.learning.space import read_space

    with tqdm(total=chosen.trials, unit="trial", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, _: int, best: float | None) -> None:
            bar.update(done - bar.n)
            bar.set_postfix_str("" if best is None else f"best {best:.3f}")

        bundle, verdict = corroscope.tune(
            chosen.dataset,
            out=chosen.out,
            trials=chosen.trials,
            settings=make_settings(_changes(chosen)),
            space=read_space(chosen.space) if chosen.space else None,
            folds=chosen.folds,
            epochs=chosen.epochs,
            held_out=chosen.held_out,
            workers=chosen.workers,
            name=chosen.name,
            source=chosen.source,
            annotated_only=chosen.annotated_only,
            accelerator=chosen.accelerator,
            progress=show,
        )
    print(verdict.sentence)
    print(f"Trials:  {bundle.folder.parent / 'trials.csv'}")
    print(f"Bundle:  {bundle.folder}")


def _audit(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    import corroscope

    with tqdm(unit="pair", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = corroscope.audit(
            chosen.dataset,
            out=chosen.out,
            against=chosen.against,
            split=chosen.split,
            progress=show,
        )
    for line in found.summary:
        print(line)
    print(f"Details: {chosen.out}  (surfaces.csv, overlaps.csv)")


def _evaluate(chosen: argparse.Namespace) -> None:
    import corroscope

    metrics = corroscope.evaluate(
        chosen.dataset,
        out=chosen.out,
        model=chosen.model,
        trained_on=chosen.trained_on,
        engine=chosen.engine,
        precision=chosen.precision,
    )
    _print_scores(metrics)
    if metrics["agreement"] is not None:
        agreed = metrics["agreement"]["scores"]
        print(
            f"The annotator agrees with himself to Dice {agreed['dice']:.3f} and particle F1 "
            f"{agreed['particle_f1_iou30']:.3f} ({metrics['agreement']['source']})."
        )
    for warning in metrics["warnings"]:
        print(warning)
    print(f"Report:  {Path(chosen.out) / 'report.html'}")


def _doctor(_: argparse.Namespace) -> None:
    import corroscope

    found = corroscope.doctor()
    for finding in found:
        print(f"{'ok' if finding.well else 'NO':3}{finding.subject:14}{finding.finding}")
    ill = [finding.subject for finding in found if not finding.well]
    if ill:
        raise CorroscopeError(f"not well: {', '.join(ill)}; install corroscope anew")


def _print_scores(metrics: dict[str, Any]) -> None:
    for name, value in metrics["scores"].items():
        low, high = metrics["intervals_95"][name]
        between = "" if low is None else f"   95 %: {low:.3f} to {high:.3f}"
        print(f"{name:20}{'undefined' if value is None else format(value, '.3f')}{between}")


def _changes(chosen: argparse.Namespace) -> dict[str, Any]:
    """Settings by name: those of --config, then those of --set."""
    from corroscope.settings import merge_settings, parse_setting, read_settings

    changes = read_settings(chosen.config) if chosen.config else {}
    for change in chosen.changes:
        changes = merge_settings(changes, parse_setting(change))
    return changes
