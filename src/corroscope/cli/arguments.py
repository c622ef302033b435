"""The words that the command line understands."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import metadata
from typing import Any, NoReturn

from corroscope.cli.networks import do_audit, do_compare, do_evaluate, do_train, do_tune
from corroscope.cli.sequences import (
    do_annotate,
    do_demo,
    do_doctor,
    do_export,
    do_import,
    do_prepare,
    do_run,
    do_segment,
    do_synth,
)


class _Parser(argparse.ArgumentParser):
    """One that says in a line what it does not understand, like all that goes wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    # The whole command would be told of what its subcommand does not know, and not where to look.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].split("=")[0]
            near = get_close_matches(word, self._option_string_actions, 1, 0.75)
            meant = f" (did you mean {near[0]}?)" if near else ""
            self.error(f"{word} is not understood{meant}")
        return known, unknown


def parser() -> argparse.ArgumentParser:
    """Build what understands the words after ``corroscope``.

    Returns
    -------
    argparse.ArgumentParser
        What it gives has the ``command`` and what to ``run``.

    Examples
    --------
    >>> parser().parse_args(["segment", "a.png", "--out", "found"]).images
    ['a.png']
    """
    parser = _Parser(prog="corroscope", description="Recognise corrosion products in microscopy.")
    parser.add_argument("--version", action="version", version=metadata.version("corroscope"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add, run, about in (
        ("demo", _add_demo, do_demo, "find particles in an example made on the spot"),
        ("segment", _add_segment, do_segment, "find particles in images"),
        ("run", _add_run, do_run, "find and follow particles and pits through a sequence"),
        ("prepare", _add_prepare, do_prepare, "align a sequence and subtract"),
        ("synth", _add_synth, do_synth, "make a sequence whose truth is known"),
        ("train", _add_train, do_train, "train a network from scratch"),
        ("tune", _add_tune, do_tune, "search for better settings"),
        ("audit", _add_audit, do_audit, "find patches that show the same metal"),
        ("evaluate", _add_evaluate, do_evaluate, "score a bundle on annotated patches"),
        ("compare", _add_compare, do_compare, "compare models on the same patches, or runs"),
        ("annotate", _add_annotate, do_annotate, "annotate and review in the browser"),
        ("export", _add_export, do_export, "write annotations for other programs"),
        ("import", _add_import, do_import, "take over other programs' annotations"),
        ("doctor", _add_nothing, do_doctor, "say what is installed and what will be used"),
    ):
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}."
        )
        command.set_defaults(run=run)
        add(command)
    return parser


def _add_nothing(_: argparse.ArgumentParser) -> None:
    pass


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
    parser.add_argument(
        "--tta", action="store_true", help="average over turned and mirrored frames, 8 times slower"
    )


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, TIFF or JPEG files")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")
    _add_model(parser)
    parser.add_argument(
        "--reference", metavar="IMAGE", help="the same place before corrosion began"
    )
    _add_pixel_size(parser)
    _add_operating_point(parser)


def _add_pixel_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pixel-size", type=float, metavar="UM", help="side of a pixel in µm")


def _add_operating_point(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold", type=float,
        help="probability of a particle's pixels; decides alone unless --peak is given",
    )  # fmt: skip
    parser.add_argument("--min-area", type=int, metavar="PX", help="smallest particle in pixels")
    parser.add_argument(
        "--peak", type=float, help="probability that a particle must reach in one pixel"
    )


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
    _add_pixel_size(parser)
    _add_operating_point(parser)
    parser.add_argument(
        "--current", metavar="FILE", help="record of the current: BioLogic .mpt, Gamry .DTA or CSV"
    )
    parser.add_argument(
        "--current-unit", metavar="UNIT", help="A, mA, µA, nA or pA, where the file does not tell"
    )
    parser.add_argument("--alloy", help="what corrodes, for Faraday's law, as Fe or 316L")
    parser.add_argument(
        "--efficiency", metavar="DIR",
        help="evaluation that tells what the network misses (default: the shipped one)",
    )  # fmt: skip


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
    _add_settings(parser, "epochs=60 or augmentation.pasted=2")
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
    parser.add_argument(
        "--workers", type=int, help="networks of --cross-validate trained at once (default: one "
        "for each core)",
    )  # fmt: skip


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
    _add_operating_point(parser)
    parser.add_argument(
        "--trained-on", metavar="DATASET",
        help="what the bundle was trained on, to tell patches of the same surface apart",
    )  # fmt: skip


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULT",
        help="folders that corroscope evaluate, or that corroscope run has written",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder")


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
