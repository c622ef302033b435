"""A dataset folder that patches are picked into, one by one, and taken out of again."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from corroscope.annotation.record import read_record
from corroscope.annotation.stored import FOLDER as ANNOTATION
from corroscope.annotation.stored import JOURNAL, image_pairs
from corroscope.cutting import Grid
from corroscope.errors import OutputError, StudioError
from corroscope.frames.reading import is_image, read_frame
from corroscope.outputs import (
    MANIFEST,
    made_by,
    output_folder,
    read_manifest,
    versions,
    write_json,
)
from corroscope.patch_folder import write_pixels
from corroscope.studio.patches.decisions import Decisions, Entry, Key
from corroscope.studio.patches.files import Files, described, digest
from corroscope.studio.patches.index import INDEX, Row, change_index
from corroscope.studio.workplace import within

COMMAND: Final = "annotate"

RECORD: Final = "patches.jsonl"

State = Literal["kept", "skipped", "undecided"]

_RESERVED: Final = (ANNOTATION, "difference", "export")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Picked:
    """A folder of patches in the folder of their frames.

    Parameters
    ----------
    folder
        The frames.
    name
        Of the folder in it, which need not exist.

    Attributes
    ----------
    path
        The folder.

    Raises
    ------
    StudioError
        If the name will not do, the folder lies by a link elsewhere or holds something else.
    AnnotationError
        If the record of decisions is damaged.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED or is_image(name):
            raise StudioError(
                f"dataset {name!r}: use up to 64 letters, digits, '.', '_' and '-', no ending of "
                f"an image, and not {', '.join(_RESERVED)}"
            )
        self._frames = folder
        self.path = folder / name
        within(folder, self.path)
        self._check_ours()
        self._decisions = Decisions(self._file(RECORD))

    @property
    def fresh(self) -> bool:
        """Whether what is known of it is still so."""
        return self._decisions.fresh

    @property
    def annotated(self) -> bool:
        """Whether it has a journal of its own: somebody annotates the patches themselves."""
        return (self.path / ANNOTATION / JOURNAL).exists()

    def state(self, key: Key) -> State:
        """Tell what was decided about a patch.

        Parameters
        ----------
        key
            The patch.

        Returns
        -------
        str
            A patch that was kept and whose file is gone is undecided.
        """
        entry = self._decisions.last.get(key, {"decision": "undecide"})
        if entry["decision"] == "keep" and (self.path / entry["patch"]).exists():
            return "kept"
        return "skipped" if entry["decision"] == "skip" else "undecided"

    def kept(self) -> dict[Key, Entry]:
        """List what is kept.

        Returns
        -------
        dict
            By patch, in order of decision, what is remembered of it: ``patch``, its file name,
            ``files``, digests by name, and what `keep` was told.
        """
        last = self._decisions.last
        return {key: entry for key, entry in last.items() if self.state(key) == "kept"}

    @property
    def grid(self) -> Grid | None:
        """How the patches that are kept were cut; None where none is."""
        return next((key.grid for key in self.kept()), None)

    def check_grid(self, grid: Grid) -> None:
        """See that patches of a grid may be picked.

        Parameters
        ----------
        grid
            How frames are to be cut.

        Raises
        ------
        StudioError
            If patches of another one are here: two patches would claim one name.
        """
        other = self.grid
        if other is not None and other != grid:
            raise StudioError(
                f"{self.path}: holds patches of {other.size_px}/{other.stride_px}; go on with "
                f"these, or choose another name for {grid.size_px}/{grid.stride_px}"
            )

    def complete(self, entry: Entry) -> bool:
        """Whether all files are there that were written for a patch.

        Parameters
        ----------
        entry
            What is remembered of it.

        Returns
        -------
        bool
            By their names alone.
        """
        return all((self.path / name).exists() for name in entry["files"])

    def stale(self, entry: Entry, masks: Files) -> bool:
        """Tell whether masks are no longer what is annotated in the frame.

        Parameters
        ----------
        entry
            What is remembered of a patch that is kept.
        masks
            As they would be written now.

        Returns
        -------
        bool
            Also where one is missing.
        """
        was = {name: told for name, told in entry["files"].items() if name != entry["patch"]}
        return not self.complete(entry) or was != {n: digest(mask) for n, mask in masks.items()}

    def keep(self, annotator: str, key: Key, files: Files, row: Row, told: Entry) -> None:
        """Write a patch, its masks and its line of ``index.csv``.

        Parameters
        ----------
        annotator
            Who decides.
        key
            The patch.
        files
            What to write, the patch first. One that is kept already is left as it is.
        row
            Its line of the index.
        told
            What else to remember.

        Raises
        ------
        StudioError
            If a file of that name was not written here, or patches of another grid are here.
        AnnotationError, OutputError
            If something cannot be written.
        """
        if self.state(key) != "kept":
            self._begin(key.grid)
            self._may_write(key, files)
            # First of all: whatever happens then, what is written is known for ours.
            self._decisions.append(annotator, key, "keep", {**told, **described(files)})
            self._write(files)
        self._index({row["image"]: row})

    def renew(self, annotator: str, key: Key, files: Files, told: Entry) -> None:
        """Write the masks of a patch that is kept anew.

        Parameters
        ----------
        annotator, key, told
            As for `keep`.
        files
            As they would be written now, the patch first.

        Raises
        ------
        StudioError
            If the masks are annotated here by now, another program has changed them, or the
            frame is no longer what was cut.
        AnnotationError, OutputError
            If something cannot be written.
        """
        entry = self._decisions.last[key]
        patch, remembered = entry["patch"], {**told, **described(files)}
        if self.annotated:
            raise StudioError(
                f"{self.path}: is annotated on its own by now; its masks are left as they are"
            )
        if remembered["files"][patch] != entry["files"][patch]:
            raise StudioError(
                f"{key.image}: is not as it was when {patch} was cut; take the patch back and keep "
                "it again"
            )
        needless = entry["files"].keys() - files.keys()
        self._may_write(key, files)
        self._unchanged(entry, needless)
        self._write({name: pixels for name, pixels in files.items() if name != patch})
        self._remove(needless)
        self._decisions.append(annotator, key, "keep", remembered)

    def skip(self, annotator: str, key: Key) -> None:
        """Pass a patch over, and take it out if it was kept.

        Parameters
        ----------
        annotator, key
            As for `keep`.

        Raises
        ------
        StudioError, AnnotationError, OutputError
            As `undecide`.
        """
        self._begin(key.grid)
        self._take_out(key)
        self._decisions.append(annotator, key, "skip", {})

    def undecide(self, annotator: str, key: Key) -> None:
        """Take a decision back, and with it exactly what it wrote.

        Parameters
        ----------
        annotator, key
            As for `keep`.

        Raises
        ------
        StudioError
            If the patch was annotated or changed since, or another program annotates here;
            nothing is touched then.
        AnnotationError, OutputError
            If something cannot be written.
        """
        self._take_out(key)
        if key in self._decisions.last:
            self._decisions.append(annotator, key, "undecide", {})

    def close(self) -> None:
        """Close the record."""
        self._decisions.close()

    def _file(self, name: str) -> Path:
        within(self._frames, self.path / name)
        return self.path / name

    def _check_ours(self) -> None:
        if not self.path.exists() or made_by(self.path) == COMMAND or self._file(RECORD).exists():
            return
        if not self.path.is_dir() or any(p.name[0] != "." for p in self.path.iterdir()):
            raise StudioError(
                f"{self.path}: holds something else than patches picked here; choose another name"
            )

    def _begin(self, grid: Grid) -> None:
        self.check_grid(grid)
        output_folder(self.path)
        path = self._file(MANIFEST)
        if not path.exists() or read_manifest(self.path).get("patches") != grid._asdict():
            manifest = {
                "command": COMMAND,
                "versions": versions(),
                "frames": self._frames.resolve().name,
                "patches": grid._asdict(),
            }
            write_json(path, manifest)

    def _write(self, files: Files) -> None:
        for name, pixels in files.items():
            write_pixels(self._file(name), pixels)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._file(name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{self.path / name}: cannot be removed ({error.strerror}); give the right to "
                    "write"
                ) from error

    def _may_write(self, key: Key, files: Files) -> None:
        """See that nothing is overwritten but what was written here, or is the same."""
        ours = self._decisions.last.get(key, {}).get("files", {})
        for name, pixels in files.items():
            path = self._file(name)
            if path.exists() and digest(read_frame(path)) not in (digest(pixels), ours.get(name)):
                raise StudioError(
                    f"{path}: is there and was not written here as it is; move it away first"
                )

    def _unchanged(self, entry: Entry, names: Iterable[str]) -> None:
        for name in names:
            path = self._file(name)
            if path.exists() and digest(read_frame(path)) != entry["files"][name]:
                raise StudioError(f"{path}: was changed since it was written; it is left as it is")

    def _take_out(self, key: Key) -> None:
        if self.state(key) != "kept":
            return
        entry = self._decisions.last[key]
        patch = entry["patch"]
        with self._alone():
            for journal in (self.path / ANNOTATION).rglob(JOURNAL):
                # A mask that was found when the folder was opened is where its journal begins.
                if any(
                    line["image"] == patch and line["action"] != "begin"
                    for line in read_record(journal)[1:]
                ):
                    raise StudioError(
                        f"{self.path / patch}: was annotated on its own since; it is left as it is"
                    )
            self._unchanged(entry, entry["files"])
            pair = image_pairs(self.path)[patch]
            for mask in (pair.mask, pair.ignore):
                if mask is not None and mask.name not in entry["files"]:
                    raise StudioError(
                        f"{mask}: was not written here; move it away to take the patch back"
                    )
            self._index({patch: None})
            self._remove(name for name in entry["files"] if name != patch)
            self._remove([patch])  # last: it is the sign of being kept

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep another studio from opening the folder meanwhile."""
        if not (self.path / ANNOTATION).exists():
            yield
            return
        within(self._frames, self.path / ANNOTATION / ".lock")
        try:
            with FileLock(self.path / ANNOTATION / ".lock", timeout=0):
                yield
        except Timeout:
            raise StudioError(
                f"{self.path}: is being annotated by another program; close that first"
            ) from None

    def _index(self, changes: Mapping[str, Row | None]) -> None:
        ours = {entry.get("patch") for entry in self._decisions.last.values()}
        change_index(
            self._file(INDEX),
            changes,
            gone=lambda name: name in ours and not (self.path / name).exists(),
        )
