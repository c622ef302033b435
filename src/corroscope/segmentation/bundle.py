"""A model as shipped: ``model.onnx``, ``model.json`` and nothing that runs code."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from corroscope.errors import BundleError
from corroscope.outputs import output_folder, replacing, write_json
from corroscope.segmentation.card import FORMAT, Card, render_model_card

NETWORK_FILE: Final = "model.onnx"
CARD_FILE: Final = "model.json"
READABLE_FILE: Final = "MODEL_CARD.md"
SHIPPED: Final = Path(__file__).parent / "shipped"
"""The bundle that comes with corroscope."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read and checked.

    Attributes
    ----------
    folder
        Where it was read from.
    network
        The bytes of ``model.onnx``.
    card
        What ``model.json`` says.
    """

    folder: Path
    network: bytes
    card: Card

    def __repr__(self) -> str:
        sees = "sees single frames" if self.card.channels == 1 else "compares with a reference"
        return (
            f"<Bundle {self.card.name!r}: {self.card.architecture}, {sees}, "
            f"{self.card.parameters:,} parameters, {self.card.network_sha256[:12]}>"
        )


def load_bundle(path: str | Path | None = None) -> Bundle:
    """Read a bundle and check that it is whole and unaltered.

    Parameters
    ----------
    path
        Folder with ``model.onnx`` and ``model.json``; without it, the bundle that
        comes with corroscope.

    Returns
    -------
    Bundle
        The bundle.

    Raises
    ------
    BundleError
        If a file is missing, truncated or altered, or of a later format.

    Examples
    --------
    >>> load_bundle().card.pooling_stride_px
    8
    """
    folder = SHIPPED if path is None else Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise BundleError(
            f"{folder}: {what}; give the folder that holds {NETWORK_FILE} and {CARD_FILE}"
        )
    card = _read_card(folder / CARD_FILE)
    network = _read(folder / NETWORK_FILE)
    if hashlib.sha256(network).hexdigest() != card.network_sha256:
        raise BundleError(
            f"{folder / NETWORK_FILE}: truncated or altered (its SHA-256 is not the one in "
            f"{CARD_FILE}); copy the bundle anew or train it again"
        )
    return Bundle(folder, network, card)


def write_bundle(folder: str | Path, network: bytes, card: Card) -> Bundle:
    """Write a bundle; the card comes last, so that it never stands without its network.

    Parameters
    ----------
    folder
        Where to; made if missing.
    network
        The ONNX file's bytes, whose hash the card names.
    card
        What to write to ``model.json``.

    Returns
    -------
    Bundle
        What `load_bundle` reads back.
    """
    folder = output_folder(folder)
    with replacing(folder / NETWORK_FILE) as temporary:
        temporary.write_bytes(network)
    with replacing(folder / READABLE_FILE) as temporary:
        temporary.write_text(render_model_card(card), encoding="utf-8")
    content = card.model_dump(mode="json")
    write_json(folder / CARD_FILE, {**content, "card_sha256": _card_hash(content)})
    return load_bundle(folder)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; copy the whole bundle, or train it again") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); check its rights") from error


def _read_card(path: Path) -> Card:
    try:
        content = json.loads(_read(path))
    except ValueError as error:  # broken UTF-8 as well as broken JSON
        raise BundleError(
            f"{path}: truncated or no JSON ({error}); copy the bundle anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise BundleError(
            f"{path}: bundle format {found!r}, this version reads {FORMAT}; update corroscope "
            "or export the bundle again"
        )
    claimed = content.pop("card_sha256", None)
    if claimed != _card_hash(content):
        raise BundleError(
            f"{path}: altered (its own SHA-256 does not fit); copy the bundle anew, and give "
            "another threshold, peak or smallest area as an option instead of editing it"
        )
    try:
        return Card(**content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path}: {name}: {first['msg']}; export the bundle again") from error


def _card_hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
