"""What a bundle's card says of its training."""

from collections.abc import Sequence
from typing import Any

from corroscope.learning.dataset import Patch, dataset_hash, frame_hash
from corroscope.learning.settings import TrainSettings
from corroscope.segmentation.card import Card


def training_record(
    patches: Sequence[Patch],
    settings: TrainSettings,
    versions: dict[str, str],
    *,
    cross_validated: bool,
    earlier: Card | None,
) -> dict[str, Any]:
    """Describe a training: data, settings, versions.

    Parameters
    ----------
    patches
        All that were learnt from, for their weights or for when to stop.
    settings, versions
        What it was done with.
    cross_validated
        Whether the scores are those of other networks, one for each fold.
    earlier
        Card of the run whose weights it started from.

    Returns
    -------
    dict
        As `corroscope.segmentation.card.Card` holds it.
    """
    return {
        "dataset_sha256": dataset_hash(list(patches)),
        "frames_sha256": sorted(
            {frame_hash(patch)[:16] for patch in patches} | frames_seen(earlier)
        ),
        "patches": len(patches),
        "particle_pixels": int(sum(patch.mask.sum() for patch in patches)),
        "cross_validated": cross_validated,
        "started_from": None
        if earlier is None
        else {
            "name": earlier.name,
            "dataset_sha256": earlier.training["dataset_sha256"],
            **earlier.provenance,
        },
        "settings": settings.model_dump(mode="json"),
        "versions": versions,
    }


def frames_seen(earlier: Card | None) -> set[str]:
    """Tell which frames a training has learnt from.

    Parameters
    ----------
    earlier
        Its card; None for no training.

    Returns
    -------
    set of str
        The first 16 digits of their hashes.

    Examples
    --------
    >>> frames_seen(None)
    set()
    """
    return set() if earlier is None else set(earlier.training.get("frames_sha256", []))
