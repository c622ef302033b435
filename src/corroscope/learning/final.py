"""What comes after a search: default and best on surface held out, then the best on everything."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from torch import nn

from corroscope.learning.clusters import clusters_of
from corroscope.learning.dataset import Patch
from corroscope.learning.export import export_bundle
from corroscope.learning.fit import fit
from corroscope.learning.judge import finite, finite_bounds
from corroscope.learning.operating_points import count_at, operating_point, point_of
from corroscope.learning.predict import predict
from corroscope.learning.progress import at_work, status
from corroscope.learning.provenance import training_record
from corroscope.learning.runs import METRICS
from corroscope.learning.settings import TrainSettings
from corroscope.learning.surfaces import surface_groups
from corroscope.learning.trial import Ground
from corroscope.outputs import output_folder, versions, write_json
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores
from corroscope.segmentation.bundle import load_bundle

Fit = Literal["default", "best", "all"]
"""Default and best on surface held out; the best on everything."""

BUNDLE: Final = "bundle"
_FOLDER: Final = "final"


@dataclass(frozen=True)
class Candidate:
    """A configuration.

    Attributes
    ----------
    settings
        All settings, with the epochs of the last training.
    start
        Folder of an earlier run whose weights to start from.
    trial
        Name of its trial's folder.
    """

    settings: TrainSettings
    start: Path | None
    trial: str


@dataclass(frozen=True)
class Finals:
    """All that the last fits need.

    Attributes
    ----------
    folder
        The search's folder.
    ground
        Patches to develop on.
    held_out, shared_held_out
        Patches that had no say in anything; ``(n, n)``, which of them share surface.
    everything
        All patches, those lost between the two included.
    default, best
        What is compared; the same object where the search found nothing better.
    name, source
        For the bundle's card.
    """

    folder: Path
    ground: Ground
    held_out: Sequence[Patch]
    shared_held_out: NDArray[np.bool_]
    everything: Sequence[Patch]
    default: Candidate
    best: Candidate
    name: str
    source: str

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The last fits."""
        return ("default", "all") if self.best is self.default else ("default", "best", "all")

    @property
    def judge_of_best(self) -> Fit:
        """The fit that tells what the best configuration reaches on surface held out."""
        return "default" if self.best is self.default else "best"

    def place(self, which: Fit) -> Path:
        """Folder of a fit; of another configuration it is another, for a search may go on."""
        trial = self.default.trial if which == "default" else self.best.trial
        kind = "everything" if which == "all" else "held-out"
        return self.folder / _FOLDER / f"{kind}-{trial}"

    def figures(self, which: Fit) -> Path:
        """Where a fit leaves its figures, when it is done."""
        return self.place(which) / METRICS


def do_next(finals: Finals) -> bool:
    """Do one of the last fits that nobody has done or is doing.

    Parameters
    ----------
    finals
        What there is to do.

    Returns
    -------
    bool
        False if there was none left to take.
    """
    for which in finals.fits:
        if which == "all" and not finals.figures(finals.judge_of_best).exists():
            continue  # the bundle's threshold and scores come from there
        place = output_folder(finals.place(which))
        with contextlib.ExitStack() as held:
            with FileLock(finals.folder / _FOLDER / ".lock"):
                if status(place).word in ("finished", "running"):
                    continue
                held.enter_context(at_work(place))
            _do(finals, which, place)
        return True
    return False


def all_done(finals: Finals) -> bool:
    """Tell whether the last fits are done.

    Parameters
    ----------
    finals
        What there is to do.

    Returns
    -------
    bool
        True when each has left its figures.
    """
    return all(finals.figures(which).exists() for which in finals.fits)


def counts_held_out(finals: Finals, which: Fit) -> list[Counts]:
    """Read what a configuration had right and wrong on the patches held out.

    Parameters
    ----------
    finals
        What was to be done.
    which
        ``default`` or ``best``.

    Returns
    -------
    list of Counts
        For each patch.
    """
    return [Counts(**one) for one in _read(finals, which)["counts"]]


def _read(finals: Finals, which: Fit) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(finals.figures(which).read_text(encoding="utf-8"))
    return content


def _do(finals: Finals, which: Fit, place: Path) -> None:
    candidate = finals.default if which == "default" else finals.best
    ground = finals.ground
    # The operating point is chosen on one fold, which is not learnt from: those of the
    # trials, whose networks learn for a few epochs only, would not fit.
    training, validation = ground.splits[0]
    network, _ = fit(
        finals.everything if which == "all" else [ground.patches[i] for i in training],
        [],
        candidate.settings,
        place,
        start=candidate.start,
        synthetic=ground.synthetic,
        accelerator=ground.accelerator,
    )
    if which == "all":
        write_json(place / METRICS, _export(finals, network, place / BUNDLE))
        return
    choosing = [ground.patches[i] for i in validation]
    point = operating_point(choosing, predict(network, choosing, candidate.settings))
    found = predict(network, finals.held_out, candidate.settings)
    pairs = zip(finals.held_out, found, strict=True)
    counts = [asdict(count_at(patch, probability, *point)) for patch, probability in pairs]
    write_json(place / METRICS, {**point._asdict(), "counts": counts})


def _export(finals: Finals, network: nn.Module, folder: Path) -> dict[str, Any]:
    best, chosen = finals.best, _read(finals, finals.judge_of_best)
    counts = counts_held_out(finals, finals.judge_of_best)
    clusters = clusters_of(finals.shared_held_out)
    bounds = intervals(counts, clusters.labels.tolist(), np.random.default_rng(best.settings.seed))
    metrics = {
        **point_of(chosen)._asdict(),
        "scores": finite(scores(sum(counts, Counts()))),
        "intervals_95": finite_bounds(bounds),
        "patches": len(finals.held_out),
        "surfaces": len(set(surface_groups(finals.shared_held_out).tolist())),
        "method": "surface held out from a search for settings, judged by a network of the same "
        "settings that learnt from a part of the other patches only, at the operating point "
        f"that this bundle has; intervals by resampling {clusters.words}",
    }
    earlier = None if best.start is None else load_bundle(best.start / BUNDLE).card
    export_bundle(
        network,
        best.settings,
        folder,
        name=finals.name,
        point=point_of(chosen),
        training=training_record(
            finals.everything,
            best.settings,
            versions("torch", "lightning", "optuna", "numpy", "cv2"),
            cross_validated=False,
            earlier=earlier,
        ),
        metrics=metrics,
        provenance={"source": finals.source},
    )
    return metrics
