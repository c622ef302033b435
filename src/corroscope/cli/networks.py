"""Commands about networks: to train, to tune, to judge."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corroscope.cli.given import given_settings

if TYPE_CHECKING:
    from corroscope.learning.progress import Progress


def do_train(chosen: argparse.Namespace) -> None:
    """Train a network."""
    import corroscope
    from corroscope.learning.settings import make_settings

    changes = given_settings(chosen)
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
        workers=chosen.workers,
        progress=_Curves() if sys.stderr.isatty() else None,
    )
    _print_scores(bundle.card.metrics)
    print(f"Run:     {bundle.folder.parent}  (curves.png, examples.png, metrics.json)")
    print(f"Bundle:  {bundle.folder}")


class _Curves:
    """Curves of a training, redrawn in place on standard error; can be sent to a process.

    Of several networks at once one has its curves and each other a line. What has ended stays,
    above those that have not.
    """

    def __init__(self) -> None:
        self._drawn = ""
        self._running: dict[int, Progress] = {}

    def __call__(self, told: "Progress") -> None:
        """Draw what is known so far."""
        from corroscope.report.terminal import redrawn

        columns, lines = os.get_terminal_size(sys.stderr.fileno())
        # In the last column some terminals begin a new line; some do not know their size.
        width, height = (columns or 80) - 1, lines or 24
        self._running[told.fit] = told
        if len(told.history) >= told.epochs:
            del self._running[told.fit]
            self._print(redrawn(_drawn(told, width, height), self._drawn))
            self._drawn = ""
        if self._running:
            first, *others = [self._running[fit] for fit in sorted(self._running)]
            below = [_drawn(other, width, 2) for other in others[: (height - 1) // 2]]
            text = "\n".join([_drawn(first, width, height - len(below)), *below])
            self._print(redrawn(text, self._drawn))
            self._drawn = text

    def _print(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)


def _drawn(told: "Progress", width: int, height: int) -> str:
    from corroscope.report.terminal import draw_terminal

    return draw_terminal(
        told.history,
        width=width,
        height=height,
        epochs=told.epochs,
        epoch_s=told.epoch_s,
        title=f"network {told.fit} of {told.fits}" if told.fits > 1 else "",
        unicode=(sys.stderr.encoding or "").lower().startswith("utf"),
    )


def do_tune(chosen: argparse.Namespace) -> None:
    """Search for better settings."""
    from tqdm import tqdm

    import corroscope
    from corroscope.learning.settings import make_settings

    tune = corroscope.tune  # tells what is not installed, before the space asks for it
    from corroscope.learning.space import read_space

    with tqdm(total=chosen.trials, unit="trial", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, _: int, best: float | None) -> None:
            bar.update(done - bar.n)
            bar.set_postfix_str("" if best is None else f"best {best:.3f}")

        bundle, verdict = tune(
            chosen.dataset,
            out=chosen.out,
            trials=chosen.trials,
            settings=make_settings(given_settings(chosen)),
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
    print(f"Report:  {bundle.folder.parent / 'report.html'}")
    print(f"Bundle:  {bundle.folder}")


def do_audit(chosen: argparse.Namespace) -> None:
    """Find patches that show the same metal."""
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


def do_evaluate(chosen: argparse.Namespace) -> None:
    """Score a bundle."""
    import corroscope

    metrics = corroscope.evaluate(
        chosen.dataset,
        out=chosen.out,
        model=chosen.model,
        trained_on=chosen.trained_on,
        engine=chosen.engine,
        precision=chosen.precision,
        tta=chosen.tta,
        threshold=chosen.threshold,
        min_area=chosen.min_area,
        peak=chosen.peak,
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


def do_compare(chosen: argparse.Namespace) -> None:
    """Compare models, or runs."""
    import corroscope

    metrics = corroscope.compare(chosen.results, out=chosen.out)
    for sentence in [*metrics["sentences"], *metrics.get("why_no_trend", [])]:
        print(sentence)
    for warning in metrics["warnings"]:
        print(warning)
    print(f"Report:  {Path(chosen.out) / 'report.html'}")


def _print_scores(metrics: dict[str, Any]) -> None:
    width = max(map(len, metrics["scores"])) + 2
    for name, value in metrics["scores"].items():
        low, high = metrics["intervals_95"][name]
        between = "" if low is None else f"   95 %: {low:.3f} to {high:.3f}"
        print(f"{name:{width}}{'undefined' if value is None else format(value, '.3f')}{between}")
