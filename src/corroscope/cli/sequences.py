"""Commands about frames and annotations."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corroscope.cli.given import given_settings
from corroscope.errors import BatchError, CorroscopeError, SettingsError


def do_demo(chosen: argparse.Namespace) -> None:
    """Make an example and find its particles."""
    import corroscope

    made = corroscope.demo(out=chosen.out)
    folder = made.folder.resolve()
    dice, f1 = made.scores["dice"], made.scores["particle_f1_iou30"]
    print(
        f"Found {len(made.particles)} particles in {made.frames} frames, each anew in every frame "
        f"(Dice {dice:.2f}, F1 {f1:.2f} on known truth)."
    )
    print(f"Report:    {folder / 'run' / 'report.html'}")
    print(f"Overview:  {folder / 'overview.png'}")
    print(f"Sequence:  {folder / 'sequence' / 'frames'}  (truth beside it)")
    print(f"Result:    {folder / 'run'}  (particles.csv, tracks.csv, pits.csv, masks, …)")


def do_segment(chosen: argparse.Namespace) -> None:
    """Find particles in images."""
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
            tta=chosen.tta,
            threshold=chosen.threshold,
            min_area=chosen.min_area,
            peak=chosen.peak,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    print(f"{len(particles)} particles in {len(chosen.images)} images: {chosen.out}")


def do_run(chosen: argparse.Namespace) -> None:
    """Find and follow what there is in a sequence."""
    import pandas as pd

    import corroscope

    with _bars() as show, _remarks(chosen.out):
        particles = corroscope.run(
            chosen.sequence,
            out=chosen.out,
            model=chosen.model,
            pixel_size=chosen.pixel_size,
            engine=chosen.engine,
            precision=chosen.precision,
            tta=chosen.tta,
            threshold=chosen.threshold,
            min_area=chosen.min_area,
            peak=chosen.peak,
            current=chosen.current,
            current_unit=chosen.current_unit,
            alloy=chosen.alloy,
            efficiency=chosen.efficiency,
            progress=show,
            **_of_sequence(chosen),
        )
    tracks = pd.read_parquet(Path(chosen.out) / "track_summary.parquet", columns=["track"])
    print(
        f"{len(particles)} particles in all frames, {len(tracks)} tracks: {chosen.out}  "
        "(particles.csv, tracks.csv, …)"
    )
    print(f"Report:  {Path(chosen.out) / 'report.html'}")


def do_prepare(chosen: argparse.Namespace) -> None:
    """Align a sequence and subtract."""
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


def do_annotate(chosen: argparse.Namespace) -> None:
    """Open the studio."""
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


def do_export(chosen: argparse.Namespace) -> None:
    """Write annotations for other programs."""
    from corroscope.annotation import export_annotations, read_annotations

    images = read_annotations(chosen.dataset, second=chosen.second)
    exported = export_annotations(images, chosen.out, chosen.format)
    for loss in exported.losses:
        print(f"Note: {loss}")
    objects = sum(len(image.instances) for image in images)
    print(f"{objects} objects in {len(images)} images: {chosen.out}")


def do_import(chosen: argparse.Namespace) -> None:
    """Take over annotations."""
    from corroscope.annotation import Store, import_annotations

    with Store(chosen.into, chosen.annotator) as store:
        sizes = {name: store.shape(name) for name in store.images}
        images = import_annotations(chosen.path, chosen.format, sizes)
        for image in images:
            how = {"import": str(chosen.path), "format": chosen.format}
            store.replace_all(image.name, image.instances, how)
    objects = sum(len(image.instances) for image in images)
    print(f"{objects} objects in {len(images)} images: {chosen.into}  (undo in the studio)")


@contextmanager
def _remarks(out: str) -> Iterator[None]:
    """Tell what is out of the ordinary about a sequence: gaps, midnight, times, its current."""
    from corroscope.outputs import read_manifest

    failure: BatchError | None = None
    try:
        yield
    except BatchError as error:  # tables are written, and so is the manifest
        failure = error
    manifest = read_manifest(out)
    for remark in manifest["sequence"]["remarks"]:
        print(f"Note: {remark}")
    offset = (manifest.get("current") or {}).get("offset")
    if offset is not None and not offset["believed"]:
        print(f"Note: the clock of the current could not be matched: {offset['reason']}")
    if failure is not None:
        if (report := Path(out) / "report.html").exists():
            print(f"Report:  {report}")
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


def do_synth(chosen: argparse.Namespace) -> None:
    """Make a sequence whose truth is known."""
    from tqdm import tqdm

    import corroscope
    from corroscope.synthesis.settings import make_synth_settings

    changes = given_settings(chosen)
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


def do_doctor(_: argparse.Namespace) -> None:
    """Tell what is installed."""
    import corroscope

    found = corroscope.doctor()
    for finding in found:
        mark = "-" if finding.well is None else "ok" if finding.well else "NO"
        print(f"{mark:3}{finding.subject:14}{finding.finding}")
    ill = [finding.subject for finding in found if finding.well is False]
    if ill:
        raise CorroscopeError(f"not well: {', '.join(ill)}; install corroscope anew")
