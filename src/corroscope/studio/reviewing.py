"""Review: proposals in order of doubt, verdicts on them, and how often verdicts repeat."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from corroscope.annotation.instances import Instance, iou
from corroscope.annotation.proposals import Proposal, propose
from corroscope.annotation.record import Record, read_record
from corroscope.segmentation.bundle import load_bundle
from corroscope.studio.answers import Answer
from corroscope.studio.drawing import drawn, shape_gesture
from corroscope.studio.workplace import Plane, Workplace

SAME: Final = 0.3
"""IoU from which a proposal is an object that is there."""

REPEATS: Final = 0.1
"""Share of verdicts that are asked for once more, unannounced."""

BETWEEN: Final = 10
"""Verdicts on others until one is asked for again: the first is no longer in mind by then."""

FILE: Final = "reviews.jsonl"


class Asked(BaseModel):
    """Who proposes, and on what."""

    model_config = ConfigDict(extra="forbid")
    by: Literal["contrast", "network"] = "contrast"
    plane: Plane = "frame"


class Verdict(BaseModel):
    """What somebody thinks of a proposal."""

    model_config = ConfigDict(extra="forbid")
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    verdict: Literal["accept", "reject"]
    by: Literal["contrast", "network"]
    score: float = Field(ge=0, le=1)


def proposals(place: Workplace, name: str, content: bytes) -> Answer:
    """Propose what may be particles in an image.

    Parameters
    ----------
    place, name
        The folder and the image.
    content
        An `Asked` as JSON.

    Returns
    -------
    dict
        ``proposals``, the most doubtful first, without those that are annotated or rejected; a
        tenth of what has been judged once is strewn among them, where there are any. ``judged``,
        how many verdicts there are on this image; ``agreement``.
    """
    asked = Asked.model_validate_json(content)
    picture = place.picture(name, asked.plane)
    if asked.by == "network":
        found = propose(picture.pixels, load_bundle())
    else:
        found = propose(picture.grey)
    with place.store() as store:
        objects = store.objects(name)
    verdicts = _verdicts(_path(place))
    given = _given(verdicts, name)
    undecided, repeats = [], []
    for proposal in found:
        key = _key(proposal.instance)
        there = [n for n, one in objects.items() if iou(proposal.instance, one) >= SAME]
        told = _told(proposal, key) | {"hides": there}
        # What was accepted is there; if it is not, somebody has taken that back.
        if not there and (key not in given or verdicts[given[key][-1]]["verdict"] == "accept"):
            undecided.append(told)
        elif key in given and _comes_back(key, given[key], len(verdicts)):
            repeats.append(told)
    undecided.sort(key=lambda one: -one["doubt"])
    return {
        "proposals": _strewn(repeats, undecided),
        "judged": len(given),
        "agreement": agreement(verdicts),
    }


def _given(verdicts: list[Answer], name: str) -> dict[str, list[int]]:
    """Which of the verdicts are on each proposal in an image."""
    given: dict[str, list[int]] = {}
    for number, verdict in enumerate(verdicts):
        if verdict["image"] == name:
            given.setdefault(verdict["key"], []).append(number)
    return given


def _comes_back(key: str, given: list[int], verdicts: int) -> bool:
    """A fixed share, the same whoever asks how often; each once, when the first is forgotten."""
    drawn_by_lot = int(key[:8], 16) < REPEATS * 2**32
    return drawn_by_lot and len(given) == 1 and verdicts - given[0] > BETWEEN


def _strewn(repeats: list[Answer], undecided: list[Answer]) -> list[Answer]:
    """Each before some undecided one, so that nothing tells it from those."""
    if not undecided:
        return []
    place = {one["key"]: int(one["key"][8:], 16) % len(undecided) for one in repeats}
    told = list(undecided)
    for one in sorted(repeats, key=lambda one: (place[one["key"]], one["key"]), reverse=True):
        told.insert(place[one["key"]], one)
    return told


def judge(place: Workplace, name: str, content: bytes) -> Answer:
    """Keep a verdict, in ``annotation/reviews.jsonl``.

    Parameters
    ----------
    place, name
        The folder and the image.
    content
        A `Verdict` as JSON.

    Returns
    -------
    dict
        ``judged``, on this image, and ``agreement``.
    """
    verdict = Verdict.model_validate_json(content)
    with place.store():  # one at a time
        record = Record(_path(place))
        try:
            record.append(
                {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "annotator": place.annotator,
                    "image": name,
                    **verdict.model_dump(),
                }
            )
        finally:
            record.close()
    verdicts = _verdicts(_path(place))
    judged = {v["key"] for v in verdicts if v["image"] == name}
    return {"judged": len(judged), "agreement": agreement(verdicts)}


def agreement(verdicts: list[Answer]) -> Answer:
    """Compare each verdict with the one before on the same proposal.

    One that came so soon after the other that that was still in mind is a correction, and does
    not count.

    Parameters
    ----------
    verdicts
        In order of time.

    Returns
    -------
    dict
        ``repeats``, ``same``, and Cohen's ``kappa`` (J. Cohen, *A coefficient of agreement for
        nominal scales*, Educ. Psychol. Meas. 20 (1960) 37–46, doi:10.1177/001316446002000104);
        None where it has no meaning.

    Examples
    --------
    >>> first = [{"image": "a", "key": str(k), "verdict": "accept"} for k in range(12)]
    >>> agreement([*first, first[0], first[1] | {"verdict": "reject"}, first[1]])
    {'repeats': 2, 'same': 1, 'kappa': 0.0}
    """
    last: dict[tuple[str, str], int] = {}
    pairs = []
    for number, verdict in enumerate(verdicts):
        which = (verdict["image"], verdict["key"])
        if which in last and number - last[which] > BETWEEN:
            before = verdicts[last[which]]
            pairs.append((before["verdict"] == "accept", verdict["verdict"] == "accept"))
        last[which] = number
    same = sum(one == two for one, two in pairs)
    kappa = None
    if pairs:
        first, second = np.mean(pairs, axis=0)
        chance = first * second + (1 - first) * (1 - second)
        kappa = (
            None if chance == 1 else round(float((same / len(pairs) - chance) / (1 - chance)), 3)
        )
    return {"repeats": len(pairs), "same": same, "kappa": kappa}


def _told(proposal: Proposal, key: str) -> Answer:
    return {
        "key": key,
        "score": round(proposal.score, 4),
        "doubt": round(1 - abs(2 * proposal.score - 1), 4),
        "gesture": shape_gesture(proposal.instance),
        **{k: v for k, v in drawn(0, proposal.instance).items() if k in ("area_px", "at", "rings")},
    }


def _key(instance: Instance) -> str:
    """The same for the same pixels, also tomorrow."""
    told = repr((instance.corner_px, instance.mask.shape)).encode() + instance.mask.tobytes()
    return hashlib.blake2b(told, digest_size=8).hexdigest()


def _path(place: Workplace) -> Path:
    return place.base / FILE


def _verdicts(path: Path) -> list[Answer]:
    return read_record(path)[1:]
