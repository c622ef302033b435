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

from corroscope.learning.dataset import Patch
from corroscope.learning.export import export_bundle
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged, count_at, judge, operating_point
from corroscope.learning.predict import predict
from corroscope.learning.progress import at_work, status
from corroscope.learning.provenance import training_record
from corroscope.learning.runs import METRICS
from corroscope.learning.settings import TrainSettings
from corroscope.learning.trial import Ground, indices_judged
from corroscope.outputs import output_folder, versions, write_json
from corroscope.scoring.counts import Counts
from corroscope.segmentation.bundle import load_bundle

Fit = Literal["default", "best", "all"]

BUNDLE: Final = "bundle"
_FOLDER: Final = "final"


@dataclass(frozen=True)
class Candidate:
    """A configuration, and what it predicted when it was cross-validated.

    Attributes
    ----------
    settings
        All settings, with the epochs of the last training.
    start
        Folder of an earlier run whose weights to start from.
    judged
        Predictions of the patches to develop on, by networks that had not seen them.
    """

    settings: TrainSettings
    start: Path | None
    judged: Judged


@dataclass(frozen=True)
class Finals:
    """All that the last fits need.

    Attributes
    ----------
    folder
        The search's folder.
    ground
        Patches to develop on.
    held_out
        Patches that had no say in anything.
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
    everything: Sequence[Patch]
    default: Candidate
    best: Candidate
    name: str
    source: str

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The last fits."""
        return ("default", "all") if self.best is self.default else ("default", "best", "all")


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
        place = output_folder(finals.folder / _FOLDER / which)
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
    return all((finals.folder / _FOLDER / which / METRICS).exists() for which in finals.fits)


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
    name = "default" if finals.best is finals.default else which
    content = json.loads((finals.folder / _FOLDER / name / METRICS).read_text(encoding="utf-8"))
    return [Counts(**one) for one in content["counts"]]


def _do(finals: Finals, which: Fit, place: Path) -> None:
    candidate = finals.default if which == "default" else finals.best
    learnt = finals.everything if which == "all" else finals.ground.patches
    network, _ = fit(
        learnt,
        [],
        candidate.settings,
        place,
        start=candidate.start,
        synthetic=finals.ground.synthetic,
        accelerator=finals.ground.accelerator,
    )
    # Chosen where the search was, so that what is held out has no say.
    point = operating_point(candidate.judged.patches, candidate.judged.probabilities)
    if which == "all":
        write_json(place / METRICS, _export(finals, network, *point))
        return
    found = predict(network, finals.held_out, candidate.settings)
    pairs = zip(finals.held_out, found, strict=True)
    counts = [asdict(count_at(patch, probability, *point)) for patch, probability in pairs]
    write_json(place / METRICS, {"threshold": point[0], "min_area_px": point[1], "counts": counts})


def _export(
    finals: Finals, network: nn.Module, threshold: float, min_area_px: int
) -> dict[str, Any]:
    best, ground = finals.best, finals.ground
    indices = indices_judged(ground, best.judged)
    shared: NDArray[np.bool_] = ground.shared[np.ix_(indices, indices)]
    metrics = judge(best.judged, shared, np.random.default_rng(best.settings.seed))
    metrics["method"] += (
        "; the configuration was chosen by these very scores, so they are somewhat too good; what "
        "it reached on surface held out is in the report of the search"
    )
    earlier = None if best.start is None else load_bundle(best.start / BUNDLE).card
    export_bundle(
        network,
        best.settings,
        finals.folder / BUNDLE,
        name=finals.name,
        threshold=threshold,
        min_area_px=min_area_px,
        training=training_record(
            finals.everything,
            best.settings,
            versions("torch", "lightning", "optuna", "numpy", "cv2"),
            cross_validated=True,
            earlier=earlier,
        ),
        metrics=metrics,
        provenance={"source": finals.source},
    )
    return metrics
