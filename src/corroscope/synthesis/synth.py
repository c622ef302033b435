"""`corroscope synth`: a synthetic run, or patches out of many, with the truth beside them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import OutputError, SettingsError
from corroscope.outputs import (
    MANIFEST,
    made_by,
    output_folder,
    replacing,
    versions,
    write_json,
    write_mask,
    write_png,
    write_tiff,
)
from corroscope.settings import check_settings, merge_settings
from corroscope.synthesis.current import potentiostat_text, record_current
from corroscope.synthesis.experiment import Experiment, Scene
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.settings import SynthSettings
from corroscope.tables import EVENTS, FRAMES, PITS, TRUE_PARTICLES, TRUE_TRACKS
from corroscope.tabulation import TableWriter, write_table

OWN: Final = (MANIFEST, "current.mpt", "frames", "patches", "truth")
"""All that this command writes into its folder; whatever else lies there stays."""

HIDDEN: Final = ".synth-"
"""How the name of the folder begins in which a run is made before it takes its place."""

PATCH_PX: Final = 200
"""Side of a patch unless asked for otherwise."""

Progress = Callable[[int, int], object]


def synth(
    *,
    out: str | Path,
    settings: SynthSettings | None = None,
    frames: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    patches: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Make a synthetic corrosion sequence with its truth.

    Writes ``frames/`` (TIFF files named as the microscope does), ``current.mpt`` and
    ``truth/``: ``masks/``, ``instances/``, and the tables ``particles``, ``tracks``,
    ``pits``, ``events`` and ``frames`` as CSV and Parquet (columns in
    `corroscope.tables`); and ``manifest.json``. With ``patches``, makes a dataset for
    `corroscope.train` instead, in ``patches/``: that many, each of a run of its own, with
    masks.

    Parameters
    ----------
    out
        Output folder, made if missing.
    settings
        Every setting; see `corroscope.synthesis.settings.make_synth_settings`.
    frames, size, seed
        Number of frames, their side in pixels, and the seed, instead of what the
        settings say.
    patches
        Number of patches; a sequence by default.
    force
        Replace an earlier synthetic run in ``out``.
    progress
        Called with the number of frames done and in all.

    Returns
    -------
    Path
        The output folder.

    Raises
    ------
    SettingsError
        If a setting is out of range.
    OutputError
        If the folder is not empty, or cannot be written to.

    Examples
    --------
    >>> from corroscope.synthesis.settings import make_synth_settings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = synth(out=f"{folder}/run", settings=make_synth_settings(preset="tiny"))
    ...     sorted(entry.name for entry in made.iterdir())
    ['current.mpt', 'frames', 'manifest.json', 'truth']
    """
    settings = settings or SynthSettings()
    given = {"frames": frames, "height_px": size, "width_px": size, "seed": seed}
    if patches is not None:
        if patches < 1:
            raise SettingsError(f"patches: {patches} (allowed: at least 1)")
        if frames is not None:
            raise SettingsError("patches are single pictures; leave the number of frames out")
        side = PATCH_PX if size is None else size
        given |= {"height_px": side, "width_px": side}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = check_settings(SynthSettings, merge_settings(settings.model_dump(), changes))
    with _whole_or_not_at_all(Path(out), force) as folder:
        if patches is None:
            _write_run(folder, settings, progress)
        else:
            _write_patches(folder, settings, patches, progress)
    return Path(out)


def frame_name(settings: SynthSettings, time_s: float) -> str:
    """Name of a frame as the microscope gives it: chloride, potential, wall clock.

    Parameters
    ----------
    settings
        Of the run.
    time_s
        Time from the first frame.

    Returns
    -------
    str
        There is no date in it: after midnight the clock begins anew.

    Examples
    --------
    >>> frame_name(SynthSettings(), 5.5)
    '30mM_1.6V-w-snaps-18-28-01.946.tif'
    """
    cell = settings.cell
    clock = cell.start + timedelta(seconds=time_s)
    clock_text = f"{clock:%H-%M-%S}.{clock.microsecond // 1000:03d}"
    return f"{cell.concentration_mm:g}mM_{cell.potential_v:g}V-w-snaps-{clock_text}.tif"


def _write_run(folder: Path, settings: SynthSettings, progress: Progress | None) -> None:
    experiment = Experiment(settings)
    kept = np.flatnonzero(experiment.takes.kept)
    times_s = experiment.takes.time_s[kept]
    names = [frame_name(settings, float(time_s)) for time_s in times_s]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"interval_s: {settings.interval_s:g} gives two frames one name, since names hold no "
            "date; choose another interval or fewer frames"
        )
    masks = output_folder(folder / "truth" / "masks")
    instances = output_folder(folder / "truth" / "instances")
    frames = output_folder(folder / "frames")
    with ExitStack() as tables:
        particles, tracks, pits, takes = (
            tables.enter_context(TableWriter(folder / "truth" / name, columns))
            for name, columns in (
                ("particles", TRUE_PARTICLES),
                ("tracks", TRUE_TRACKS),
                ("pits", PITS),
                ("frames", FRAMES),
            )
        )
        for number, scene in enumerate(experiment.scenes()):
            name, stem = names[number], Path(names[number]).stem
            write_tiff(frames / name, scene.frame)
            write_mask(masks / f"{stem}_mask.png", scene.mask)
            many = len(experiment.products) > np.iinfo(np.uint16).max
            labels = scene.instances.astype("uint32" if many else "uint16")
            write_tiff(instances / f"{stem}_instances.tif", labels, compress=True)
            of_frame: dict[str, Any] = {"image": name, "frame": number, "time_s": scene.time_s}
            rows = scene.tracks.assign(track=scene.tracks["particle"], **of_frame)
            tracks.write(rows)
            particles.write(rows[rows["seen"]])
            pits.write(scene.pits.assign(**of_frame))
            takes.write(_take_row(scene, of_frame))
            if progress is not None:
                progress(number + 1, len(kept))
    write_table(folder / "truth" / "events", _events(experiment, times_s), EVENTS)
    seed = np.random.default_rng([settings.seed, 2])
    current = record_current(experiment.pits, settings.cell, float(times_s[-1]), seed)
    with replacing(folder / "current.mpt") as temporary:
        text = potentiostat_text(*current, settings.cell)
        temporary.write_text(text, encoding="cp1252", newline="\r\n")
    lost = np.flatnonzero(~experiment.takes.kept).tolist()
    made = {"frames": len(kept), "lost": lost, "pits": len(experiment.pits),
            "products": len(experiment.products)}  # fmt: skip
    _write_manifest(folder, settings, made)


def _take_row(scene: Scene, of_frame: dict[str, Any]) -> pd.DataFrame:
    dy, dx = scene.drift_px
    return pd.DataFrame([{**of_frame, "dy_px": dy, "dx_px": dx, "gain": scene.gain}])


def _events(experiment: Experiment, times_s: NDArray[np.float64]) -> pd.DataFrame:
    """What was born and what died by the last frame, in order of time."""
    end = times_s[-1]
    happened: list[tuple[str, float, int, int]] = [
        ("nucleation", pit.born_s, pit.number, 0) for pit in experiment.pits
    ]
    happened += [("death", pit.died_s, pit.number, 0) for pit in experiment.pits]
    happened += [
        ("ejection", product.born_s, product.pit, track)
        for track, product in enumerate(experiment.products, start=1)
    ]
    happened = sorted((row for row in happened if row[1] <= end), key=lambda row: row[1])
    events = pd.DataFrame(happened, columns=["event", "time_s", "pit", "track"])
    return events.assign(frame=np.searchsorted(times_s, events["time_s"]))


def _write_patches(
    folder: Path, settings: SynthSettings, number: int, progress: Progress | None
) -> None:
    patches = output_folder(folder / "patches")
    digits = len(str(number))
    with replacing(patches / "index.csv") as index:
        lines = ["image,surface_group"]
        for count in range(1, number + 1):
            # Each from its own seed: more patches leave the first ones as they were.
            rng = np.random.default_rng([settings.seed, 3, count])
            scene = draw_patch(settings.shape, settings, rng)
            stem = f"patch_{count:0{digits}d}"
            write_png(patches / f"{stem}.png", scene.frame)
            write_mask(patches / f"{stem}_mask.png", scene.mask)
            lines.append(f"{stem}.png,{count}")
            if progress is not None:
                progress(count, number)
        index.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_manifest(folder, settings, {"patches": number})


def _write_manifest(folder: Path, settings: SynthSettings, made: dict[str, Any]) -> None:
    manifest = {
        "command": "synth",
        **made,
        "settings": settings.model_dump(mode="json"),
        "versions": versions("numpy", "scipy", "cv2"),
    }
    write_json(folder / MANIFEST, manifest)


@contextmanager
def _whole_or_not_at_all(out: Path, force: bool) -> Iterator[Path]:
    """A folder to write to, whose content stands in ``out`` once all went well."""
    new = not out.exists()
    output_folder(out)
    # What a killed run has left behind is not worth a question.
    present = [path for path in out.iterdir() if not path.name.startswith(HIDDEN)]
    if present and not force:
        raise OutputError(f"{out}: is not empty; choose another folder or add --force")
    old = [path for path in present if path.name in OWN]
    if old and made_by(out) != "synth":
        raise OutputError(
            f"{out}: {old[0].name} is not of a synthetic run and would be lost; choose another "
            "folder"
        )
    try:
        with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=out) as temporary:
            whole, aside = Path(temporary, "new"), Path(temporary, "old")
            whole.mkdir()
            aside.mkdir()
            yield whole
            _exchange(out, whole, aside)
    except BaseException:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise


def _exchange(out: Path, whole: Path, aside: Path) -> None:
    """Put new content in the place of old; if that fails, put the old one back."""
    # The manifest goes first and comes last: a folder that has one is whole.
    names = sorted(OWN, key=lambda name: name == MANIFEST)
    done: list[tuple[Path, Path]] = []
    moves = [(out / name, aside / name) for name in reversed(names)]
    moves += [(whole / name, out / name) for name in names]
    try:
        for source, target in moves:
            if source.exists():
                source.rename(target)
                done.append((source, target))
    except OSError as error:
        for source, target in reversed(done):
            target.rename(source)
        raise OutputError(
            f"{out}: cannot be written ({error.strerror}); nothing was changed, try another folder"
        ) from error
