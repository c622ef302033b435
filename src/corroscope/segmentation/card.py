"""What a bundle says of itself: ``model.json``, and ``MODEL_CARD.md`` for a person to read."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from corroscope.segmentation.rescoring import Rescoring

FORMAT: Final = 1
"""Version of the bundle's layout; a reader refuses what it does not know."""

SCORES: Final = {
    "dice": "Dice, pooled over pixels",
    "iou": "intersection over union, pooled",
    "precision": "precision of pixels",
    "recall": "recall of pixels",
    "accuracy": "accuracy of pixels (high even when nothing is found)",
    "particle_f1_iou30": "particle F1 at IoU ≥ 0.3",
    "particle_f1_iou50": "particle F1 at IoU ≥ 0.5",
    "particle_f1_3px": "particle F1 at centroids ≤ 3 px apart",
    "particle_precision": "particle precision at IoU ≥ 0.3",
    "particle_recall": "particle recall at IoU ≥ 0.3",
    "count_bias": "count bias (found / annotated - 1)",
}
"""Rows of the table of scores."""

BLIND: Final = """\
- It sees one frame. A dark speck that was there before corrosion began looks like a
  corrosion product to it; only a comparison with an earlier frame can tell.
"""

COMPARES: Final = """\
- Without a reference it sees one frame: a dark speck that was there before corrosion began
  looks like a corrosion product to it. With one, what it finds is what has appeared since,
  so a reference that was taken too late hides what was there by then.
"""

LIMITS: Final = """\
- It has been judged on the data named above and on nothing else. On another
  microscope, metal or magnification, annotate some frames and run `corroscope
  evaluate` before trusting a number.
"""


class Card(BaseModel):
    """What ``model.json`` says about a network.

    Probabilities come from the network, which is fully convolutional, shown what
    `corroscope.segmentation.inputs.network_input` makes of a frame's
    ``relative_contrast(frame, background_sigma_px)``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    name: str = Field(description="name of the bundle", min_length=1)
    architecture: str = Field(description="as in the training settings")
    parameters: int = Field(description="number of weights", ge=1)
    background_sigma_px: float = Field(description="SD of the Gaussian background", gt=0)
    channels: Literal[1, 3] = Field(
        1, description="planes that it is shown: 1 a frame alone, 3 with a reference as well"
    )
    contrast_scale: float = Field(description="relative contrast that becomes 1", gt=0)
    threshold: float = Field(description="probability of a particle's pixels", gt=0, lt=1)
    min_area_px: int = Field(description="particles with fewer pixels are dropped", ge=1)
    peak: float = Field(
        0.0, description="probability that a particle must reach in one pixel", ge=0, lt=1
    )
    rescoring: Rescoring | None = Field(
        None, description="how candidates of single frames are judged once more"
    )
    receptive_field_px: int | None = Field(
        description="how far an output pixel sees; none if it sees the whole window", ge=0
    )
    pooling_stride_px: int = Field(description="windows start on multiples of it", ge=1)
    network_sha256: str = Field(description="of model.onnx", pattern="^[0-9a-f]{64}$")
    training: dict[str, Any] = Field(description="data, its hash, settings, versions")
    metrics: dict[str, Any] = Field(description="what was measured, on what, and how")
    provenance: dict[str, str] = Field(description="data source, citation, licence")


def render_model_card(card: Card) -> str:
    """Write a bundle's card as Markdown.

    Parameters
    ----------
    card
        The card.

    Returns
    -------
    str
        Markdown, with everything the card knows; what it does not is left out.

    Examples
    --------
    >>> from corroscope.segmentation.bundle import load_bundle
    >>> render_model_card(load_bundle().card).splitlines()[0]
    '# Model card: reference-3'
    """
    sees = card.receptive_field_px
    sight = "one at a time" if card.channels == 1 else "alone or compared with a reference"
    earlier = card.training.get("started_from")
    start = f"weights of `{earlier['name']}`" if earlier else "random weights"
    lines = [
        f"# Model card: {card.name}",
        "",
        "Finds corrosion products, dark particles ejected from pits, in grey frames of in-situ",
        f"microscopy of pitting corrosion, {sight}.",
        "",
        f"- Architecture: `{card.architecture}`, {card.parameters:,} parameters, trained from "
        f"{start}",
        f"- Input: relative contrast against a Gaussian background of "
        f"σ = {card.background_sigma_px:g} px, native resolution"
        + ("" if card.channels == 1 else "; its difference to the reference; where there is one"),
        f"- A pixel sees {'the whole window' if sees is None else f'{sees} px each way'}",
        f"- Operating point: probability ≥ {card.threshold:g}, at least {card.min_area_px} px"
        + (f", at least one of them ≥ {card.peak:g}" if card.peak > card.threshold else "")
        + _where_used(card),
        *([] if card.rescoring is None else [_rescored(card.rescoring)]),
        f"- SHA-256 of `model.onnx`: `{card.network_sha256}`",
        "",
    ]
    if card.provenance:
        lines += ["## Data", ""]
        lines += [f"- {name.capitalize()}: {text}" for name, text in card.provenance.items()]
        if "patches" in card.training:
            lines.append(
                f"- {card.training['patches']} patches, {card.training['particle_pixels']:,} "
                f"particle pixels, SHA-256 `{card.training['dataset_sha256']}`"
            )
        if earlier:
            lines.append(
                f"- `{earlier['name']}`, from whose weights it started, learnt from: "
                f"{earlier.get('source', 'not stated')}, SHA-256 `{earlier['dataset_sha256']}`"
            )
        lines.append("")
    if "scores" in card.metrics:
        lines += ["## How well it does", "", *_scores(card.metrics), ""]
    if "compared" in card.metrics:
        lines += ["## What a reference is worth", "", *_compared(card.metrics["compared"]), ""]
    lines += ["## What it cannot do", "", (BLIND if card.channels == 1 else COMPARES) + LIMITS]
    return "\n".join(lines)


def _where_used(card: Card) -> str:
    if card.channels == 1:
        return "" if card.rescoring is None else "; used where a threshold is given"
    if card.rescoring is None:
        return "; chosen without a reference, used with one as well"
    return "; chosen and used with a reference"


def _rescored(rescoring: Rescoring) -> str:
    probability, company, pit = rescoring.weights
    return (
        f"- Without a reference, candidates (probability ≥ {rescoring.threshold:g}, at least "
        f"{rescoring.min_area_px} px) are judged once more by what is around them: kept where "
        f"{probability:.2f} · logit(p) {company:+.2f} · log(1 + c) {pit:+.2f} · log(1 + d) "
        f"{rescoring.intercept:+.2f} is the logit of {rescoring.decision:g} or more; p is the mean "
        "probability of a candidate's pixels, c the sum of those of others above "
        f"{rescoring.sure:g} within {rescoring.reach_px} px along both axes, over the share of "
        "that square in the frame, d the distance from the nearest pit, a region "
        f"{rescoring.pit_px} px wide with a smoothed contrast below {rescoring.pit_contrast:g}, "
        f"{rescoring.reach_px} px at most"
    )


def _scores(metrics: dict[str, Any]) -> list[str]:
    rows = [
        f"{metrics['patches']} patches of {metrics['surfaces']} separate pieces of surface; "
        f"{metrics['method']}.",
        "",
        "| score | value | 95 % interval |",
        "|---|---|---|",
    ]
    for name, meaning in SCORES.items():
        value, (low, high) = metrics["scores"][name], metrics["intervals_95"][name]
        number = "undefined" if value is None else f"{value:.3f}"
        between = "undefined" if low is None else f"{low:.3f} to {high:.3f}"
        rows.append(f"| {meaning} | {number} | {between} |")
    error = metrics.get("calibration_error")
    if error is not None:
        rows += [
            "",
            f"Near particles a probability is off by {error:.3f} on average (expected calibration "
            "error, 15 bins).",
        ]
    return rows


def _compared(counts: dict[str, int]) -> list[str]:
    def share(part: str, whole: str) -> str:
        return f"{counts[part] / counts[whole]:.1%}" if counts[whole] else "none"

    lines = [
        f"{counts['pairs']} pairs of patches of one surface at two times, each judged by a network "
        "that has not seen that surface; overlapping patches count their particles again.",
        "",
        "| | number | |",
        "|---|---|---|",
        f"| found alone, unmarked, and dark earlier already | {counts['specks']} | "
        f"{share('specks_gone', 'specks')} gone with the reference |",
        f"| dark blobs, unmarked, and dark earlier already | {counts['blobs']} | "
        f"{share('blobs_gone', 'blobs')} not found with the reference |",
        f"| marked particles that had arrived in between | {counts['arrived']} | "
        f"{share('arrived_compared', 'arrived')} found with the reference, "
        f"{share('arrived_alone', 'arrived')} without |",
    ]
    found = counts.get("found")
    if found is not None:
        both = found + counts["arrived"]
        f1 = f"{2 * counts['arrived_compared'] / both:.3f}" if both else "undefined"
        lines.append(
            f"| found with the reference | {found} | {share('arrived_compared', 'found')} had "
            f"arrived: particle F1 {f1} at IoU ≥ 0.3 |"
        )
    return lines
