"""Patches of a frame, those in which most happens first, to be kept for a dataset or skipped."""

import shlex
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from corroscope.annotation.instances import IGNORE, paint
from corroscope.annotation.store import Store
from corroscope.cutting import Cut, Grid
from corroscope.errors import CorroscopeError, SettingsError, StudioError
from corroscope.patch_folder import patch_file
from corroscope.studio.answers import Answer
from corroscope.studio.patches.decisions import Entry, Key
from corroscope.studio.patches.files import Files, mask_files
from corroscope.studio.patches.index import index_row
from corroscope.studio.patches.order import held, measured
from corroscope.studio.patches.origins import read_origins
from corroscope.studio.patches.picked import Picked
from corroscope.studio.workplace import Workplace

GRID: Final = Grid(200, 100)
"""How frames are cut where nobody says otherwise."""

DATASET: Final = "dataset"

MOST: Final = 10_000
"""Patches of a frame; more are refused."""


class Asked(BaseModel):
    """How to cut, and for which dataset."""

    model_config = ConfigDict(extra="forbid")
    grid: str | None = Field(default=None, max_length=32)
    dataset: str = Field(default=DATASET, max_length=64)


class Decide(Asked):
    """What to do with a patch; ``empty`` keeps it, with a mask that says that nothing is there."""

    do: Literal["keep", "empty", "skip", "undecide"]
    row: int = Field(ge=0)
    column: int = Field(ge=0)


class Renew(Asked):
    """Write the stale masks of a frame's patches anew."""

    do: Literal["renew"]


_ACT: TypeAdapter[Decide | Renew] = TypeAdapter(
    Annotated[Decide | Renew, Field(discriminator="do")]
)


class Patching:
    """The patches of a folder's frames, and the datasets that they are picked into.

    Parameters
    ----------
    place
        The folder of the frames.
    """

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._datasets: dict[str, Picked] = {}
        place.close_with(self._close)

    def patches(self, name: str, content: bytes) -> Answer:
        """List the patches of a frame.

        Parameters
        ----------
        name
            The frame.
        content
            An `Asked` as JSON. Without a grid, the one that the dataset has.

        Returns
        -------
        dict
            ``grid``; ``patches``, those in which most happens first; ``measure``, by what that is
            told; ``places``, from where it is known which metal they show; and what `decide` tells
            of the dataset.

        Raises
        ------
        SettingsError
            If the grid will not do.
        StudioError
            If the dataset will not do, or this is a second annotation.
        """
        asked = Asked.model_validate_json(content)
        shape = self._place.picture(name).pixels.shape
        with self._place.store() as store:
            picked = self._dataset(asked.dataset)
            grid, cuts = _cuts(asked.grid, picked, shape)
            picked.check_grid(grid)
            states = [picked.state(Key.of(name, grid, cut)) for cut in cuts]
            counts = held(store.objects(name).values(), cuts)
            overview = self._overview(store, picked, grid)
        measure, values = measured(self._place, name, cuts)
        told = [
            _told(cut, state) | {"measure": value, "objects": count}
            for cut, state, value, count in zip(cuts, states, values, counts, strict=True)
        ]
        told.sort(key=lambda patch: -patch["measure"])  # where alike: row by row
        return {
            "grid": f"{grid.size_px}/{grid.stride_px}",
            "measure": measure,
            "places": read_origins(self._place.folder).source,
            "patches": told,
            **overview,
        }

    def decide(self, name: str, content: bytes) -> Answer:
        """Keep a patch, skip it or take that back, or renew the masks of those that are kept.

        Parameters
        ----------
        name
            The frame.
        content
            A `Decide` or `Renew` as JSON.

        Returns
        -------
        dict
            ``patch``, as it is now; ``kept``, all patches of the dataset; ``own``, whether the
            dataset has annotations of its own; ``commands``.

        Raises
        ------
        StudioError
            If there is no such patch, one that is to be empty is not, or as `Picked`.
        AnnotationError, OutputError
            If something cannot be written.
        """
        asked = _ACT.validate_json(content)
        shape = self._place.picture(name).pixels.shape
        answer: Answer = {}
        with self._place.store() as store:
            picked = self._dataset(asked.dataset)
            grid, cuts = _cuts(asked.grid, picked, shape)
            if isinstance(asked, Renew):
                self._renew(store, picked, name)
            else:
                at = (asked.row, asked.column)
                cut = next((cut for cut in cuts if (cut.row, cut.column) == at), None)
                if cut is None:
                    raise StudioError(f"{name}: has no patch in row {at[0]}, column {at[1]}")
                key = Key.of(name, grid, cut)
                self._decide(store, picked, asked.do, key, cut)
                answer["patch"] = _told(cut, picked.state(key))
            return answer | self._overview(store, picked, grid)

    def _decide(self, store: Store, picked: Picked, do: str, key: Key, cut: Cut) -> None:
        annotator = self._place.annotator
        if do == "skip":
            picked.skip(annotator, key)
        elif do == "undecide":
            picked.undecide(annotator, key)
        else:
            files, told = self._cut_out(store, key, cut, empty=do == "empty")
            if do == "empty" and any(mask.any() for mask in list(files.values())[1:]):
                raise StudioError(f"{key.image}: this patch is not empty: it holds annotations")
            if do == "empty" and picked.state(key) == "kept":
                picked.renew(annotator, key, files, told)
            else:
                origin = read_origins(self._place.folder).of(key.image)
                row = index_row(next(iter(files)), key.image, cut, origin)
                picked.keep(annotator, key, files, row, told)

    def _cut_out(self, store: Store, key: Key, cut: Cut, *, empty: bool) -> tuple[Files, Entry]:
        """The files of a patch as they would be written now, and what to remember of them."""
        pixels = self._place.picture(key.image).pixels
        name = patch_file(cut.name(Path(key.image).stem), pixels)
        masks = mask_files(name, *_masks(store, key.image, cut, empty=empty))
        revision = store.progress(key.image).revision
        corner = [cut.y0_px, cut.x0_px]
        return {name: pixels[cut.box], **masks}, {
            "revision": revision,
            "empty": empty,
            "corner": corner,
        }

    def _renew(self, store: Store, picked: Picked, name: str) -> None:
        for key, entry in picked.kept().items():
            if key.image == name and _stale(store, picked, key, entry):
                cut = _cut_of(key, entry)
                files, told = self._cut_out(store, key, cut, empty=entry["empty"])
                picked.renew(self._place.annotator, key, files, told)

    def _dataset(self, name: str) -> Picked:
        if self._place.second:
            raise StudioError(
                "patches take the first annotation with them; open the folder without --second"
            )
        picked = self._datasets.get(name)
        if picked is None or not picked.fresh:
            if picked is not None:
                picked.close()
            self._datasets[name] = picked = Picked(self._place.folder, name)
        return picked

    def _close(self) -> None:
        for picked in self._datasets.values():
            picked.close()

    def _overview(self, store: Store, picked: Picked, grid: Grid) -> Answer:
        kept = [
            {
                "id": self._place.opaque.get(key.image),
                "row": key.row,
                "column": key.column,
                "name": entry["patch"],
                "annotated": len(entry["files"]) > 1,
                "stale": _stale(store, picked, key, entry),
            }
            for key, entry in picked.kept().items()
        ]
        return {
            "dataset": picked.path.name,
            "kept": kept,
            "own": picked.annotated,
            "commands": self._commands(picked, grid, kept),
        }

    def _commands(self, picked: Picked, grid: Grid, kept: list[Answer]) -> Answer:
        """The same in bulk, and what comes next."""
        folder, source = self._place.folder, read_origins(self._place.folder).source
        out = folder.resolve().parent if source == "aligned" else Path("prepared")
        sequence = str(folder) if source in ("drift", "nothing") else "SEQUENCE"
        cutting = ["--patches", f"{grid.size_px}/{grid.stride_px}"]
        train = ["corroscope", "train", str(picked.path), "--out", "runs"]
        if not all(one["annotated"] for one in kept):
            train.append("--annotated-only")
        return {
            "bulk": shlex.join(["corroscope", "prepare", sequence, "--out", str(out), *cutting]),
            "annotate": shlex.join(["corroscope", "annotate", str(picked.path)]),
            "train": shlex.join(train),
        }


def _cuts(text: str | None, picked: Picked, shape: tuple[int, ...]) -> tuple[Grid, list[Cut]]:
    grid = picked.grid or GRID if text is None else Grid.parse(text)
    count = len(grid.corners(shape[0])) * len(grid.corners(shape[1]))
    if count > MOST:
        raise SettingsError(
            f"patches: {grid.size_px}/{grid.stride_px} makes {count} of a frame (allowed: {MOST}); "
            "choose a larger stride"
        )
    return grid, list(grid.cuts(shape))


def _cut_of(key: Key, entry: Entry) -> Cut:
    y0, x0 = entry["corner"]
    return Cut(key.row, key.column, y0, x0, key.size_px)


def _told(cut: Cut, state: str) -> Answer:
    corner = [cut.y0_px, cut.x0_px]
    return {"row": cut.row, "column": cut.column, "corner": corner, "state": state}


def _masks(
    store: Store, name: str, cut: Cut, *, empty: bool
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Mask and ignore mask of a patch; ``empty`` where somebody has said that it is."""
    if not store.progress(name).annotated:
        return (np.zeros((cut.size_px, cut.size_px), bool) if empty else None), None
    objects, shape = store.objects(name).values(), store.shape(name)
    particles = paint(objects, shape)[cut.box]
    return particles, paint(objects, shape, IGNORE)[cut.box] & ~particles


def _stale(store: Store, picked: Picked, key: Key, entry: Entry) -> bool:
    try:
        revision = store.progress(key.image).revision
        if revision == entry["revision"] and picked.complete(entry):
            return False  # nothing was done since, nothing need be compared
        masks = _masks(store, key.image, _cut_of(key, entry), empty=entry["empty"])
    except CorroscopeError:
        return False  # a frame that is gone; one that cannot be read is told among the images
    return picked.stale(entry, mask_files(entry["patch"], *masks))
