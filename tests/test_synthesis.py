"""The synthetic laboratory: what it draws, what it says of it, and what it refuses."""

import dataclasses
import hashlib
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

import corroscope
from corroscope.errors import OutputError, SettingsError
from corroscope.frames.reading import read_frame
from corroscope.learning.dataset import read_dataset
from corroscope.synthesis.bubbles import Bubble, draw_bubbles
from corroscope.synthesis.camera import expose, plan_takes
from corroscope.synthesis.current import pit_charge_uc, potentiostat_text, record_current
from corroscope.synthesis.ejection import Product, eject
from corroscope.synthesis.experiment import Experiment, Scene
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.pits import Pit, draw_pit, found_pits
from corroscope.synthesis.settings import Camera, Cell, SynthSettings, make_synth_settings
from corroscope.synthesis.shapes import clump, grain, rod, shadow
from corroscope.synthesis.surface import draw_surface
from corroscope.synthesis.synth import frame_name
from corroscope.synthesis.transport import Swarm, move


def tiny(**changes: Any) -> SynthSettings:
    return make_synth_settings(changes, "tiny")


QUIET: dict[str, Any] = {
    "pits": {"per_mpx": 0, "fewest": 0},
    "bubbles": {"per_mpx": 0},
    "camera": {"noise_grey": 0, "read_noise_grey": 0, "unevenness": 0},
}
"""Metal alone, without noise."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corroscope.synth(out=tmp_path_factory.mktemp("synth") / "run", settings=tiny())


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What is written


def test_one_seed_one_run(run: Path, tmp_path: Path) -> None:
    again = corroscope.synth(out=tmp_path / "again", settings=tiny())
    assert hashes(again) == hashes(run)
    other = corroscope.synth(out=tmp_path / "other", settings=tiny(), seed=1)
    assert not set(hashes(other / "frames").values()) & set(hashes(run / "frames").values())


def test_tables_fit_the_masks(run: Path) -> None:
    particles = pd.read_csv(run / "truth" / "particles.csv")
    tracks = pd.read_csv(run / "truth" / "tracks.csv")
    takes = pd.read_csv(run / "truth" / "frames.csv")
    assert takes["image"].tolist() == sorted(p.name for p in (run / "frames").iterdir())
    assert particles["frame"].nunique() >= 3
    for image in takes["image"]:
        stem = Path(image).stem
        labels = tifffile.imread(run / "truth" / "instances" / f"{stem}_instances.tif")
        mask = read_frame(run / "truth" / "masks" / f"{stem}_mask.png")
        assert np.array_equal(labels > 0, mask == 255)
        of_frame = particles[particles["image"] == image].set_index("particle")
        assert sorted(of_frame.index) == sorted(set(np.unique(labels).tolist()) - {0})
        areas = np.bincount(labels.ravel())
        assert of_frame["area_px"].tolist() == [areas[i] for i in of_frame.index]
    seen = tracks[tracks["seen"]]
    assert len(seen) == len(particles)
    diameters = particles["equivalent_diameter_px"] ** 2 * np.pi / 4
    assert diameters.to_numpy() == pytest.approx(particles["area_px"].to_numpy())
    assert (tracks["track"] == tracks["particle"]).all()
    assert (tracks.loc[~tracks["seen"], "area_px"] == 0).all()
    drift = takes.set_index("frame").loc[particles["frame"], ["dy_px", "dx_px"]].to_numpy()
    moved = particles[["y_px", "x_px"]].to_numpy() - particles[["y_ref_px", "x_ref_px"]].to_numpy()
    assert moved == pytest.approx(drift, abs=1e-3)


def test_parquet_knows_the_units(run: Path) -> None:
    for name in ("particles", "tracks", "pits", "events", "frames"):
        schema = pq.read_schema(run / "truth" / f"{name}.parquet")
        field = schema.field("time_s")
        assert field.metadata[b"unit"] == b"s"
        table = pd.read_parquet(run / "truth" / f"{name}.parquet")
        assert len(table) == len(pd.read_csv(run / "truth" / f"{name}.csv"))


def test_every_ejection_has_a_living_mother(run: Path) -> None:
    events = pd.read_csv(run / "truth" / "events.csv")
    takes = pd.read_csv(run / "truth" / "frames.csv")
    born = events[events["event"] == "nucleation"].set_index("pit")["time_s"]
    died = events[events["event"] == "death"].set_index("pit")["time_s"]
    ejections = events[events["event"] == "ejection"]
    assert len(ejections) > 10
    assert events["time_s"].is_monotonic_increasing
    times_s = takes["time_s"].tolist()
    for event in ejections.to_dict("records"):
        assert born[event["pit"]] <= event["time_s"] <= died.get(event["pit"], np.inf)
        assert times_s[event["frame"]] >= event["time_s"]
        assert event["frame"] == 0 or times_s[event["frame"] - 1] < event["time_s"]
    tracks = pd.read_csv(run / "truth" / "tracks.csv").groupby("track")
    mothers = ejections.set_index("track")["pit"]
    for track, rows in tracks:
        assert set(rows["pit"]) == {mothers[track]}


def test_manifest_remakes_the_run(run: Path, tmp_path: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    settings = make_synth_settings(manifest["settings"])
    again = corroscope.synth(out=tmp_path, settings=settings)
    assert hashes(again) == hashes(run)


def test_frames_are_where_the_command_says(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    out = corroscope.synth(
        out=tmp_path, frames=2, size=96, seed=4, progress=lambda *step: steps.append(step)
    )
    frames = sorted((out / "frames").iterdir())
    assert [read_frame(path).shape for path in frames] == [(96, 96)] * 2
    assert steps == [(1, 2), (2, 2)]


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    peaks = []
    for frames in (1, 2, 6):  # the first one pays for imports
        tracemalloc.start()
        corroscope.synth(out=tmp_path / str(frames), settings=tiny(frames=frames))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame_bytes = 192 * 224
    assert peaks[2] - peaks[1] < 4 * frame_bytes


def test_patches_can_be_learnt_from(tmp_path: Path) -> None:
    out = corroscope.synth(out=tmp_path / "a", patches=3, seed=2, size=128)
    patches = read_dataset(out / "patches")
    assert [patch.frame.shape for patch in patches] == [(128, 128)] * 3
    assert len({patch.surface_group for patch in patches}) == 3
    more = corroscope.synth(out=tmp_path / "b", patches=4, seed=2, size=128)
    for one, two in zip(patches, read_dataset(more / "patches"), strict=False):
        assert np.array_equal(one.frame, two.frame)
        assert np.array_equal(one.mask, two.mask)


# Folders


def test_a_folder_with_something_in_it_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; choose another folder or add --force"):
        corroscope.synth(out=tmp_path, settings=tiny())
    corroscope.synth(out=tmp_path, settings=tiny(), force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    corroscope.synth(out=tmp_path, settings=tiny(frames=2), force=True)
    assert len(list((tmp_path / "frames").iterdir())) == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_somebodys_frames_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "real.tif").write_text("precious")
    for content in (None, "[]", "{", '{"command": "segment"}'):
        if content is not None:
            (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(OutputError, match="is not of a synthetic run and would be lost"):
            corroscope.synth(out=tmp_path, settings=tiny(), force=True)
    assert (tmp_path / "frames" / "real.tif").read_text() == "precious"


def test_an_interrupted_run_leaves_nothing_and_keeps_the_old_one(run: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corroscope.synth(out=tmp_path / "new", settings=tiny(), progress=interrupt)
    assert not (tmp_path / "new").exists()
    old = Path(shutil.copytree(run, tmp_path / "old"))
    with pytest.raises(KeyboardInterrupt):
        corroscope.synth(out=old, settings=tiny(seed=9), force=True, progress=interrupt)
    assert hashes(old) == hashes(run)


def test_what_cannot_be_moved_into_place_changes_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, rename = Path(shutil.copytree(run, tmp_path / "old")), Path.rename
    (old / ".synth-killed").mkdir()

    def stuck(self: Path, target: Path) -> Path:
        if self.name == "truth" and target.parent == old and self.parent.name == "new":
            raise OSError(39, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(OutputError, match="cannot be written .*; nothing was changed"):
        corroscope.synth(out=old, settings=tiny(seed=9), force=True)
    assert hashes(old) == hashes(run)


def test_refused_settings_leave_no_folder(tmp_path: Path) -> None:
    settings = tiny(interval_s=86400, frames=2, camera={"clock_jitter": 0}, cell={"sampling_s": 9})
    with pytest.raises(SettingsError, match="two frames one name"):
        corroscope.synth(out=tmp_path / "new", settings=settings)
    assert not (tmp_path / "new").exists()


def test_a_killed_run_does_not_make_a_folder_full(tmp_path: Path) -> None:
    (tmp_path / ".synth-killed").mkdir()
    assert (corroscope.synth(out=tmp_path, settings=tiny(frames=1)) / "frames").is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be used as output folder"):
        corroscope.synth(out=tmp_path / "file", settings=tiny())


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 0}, r"frames: 0 \(allowed: at least 1, at most 1000000\)"),
        ({"interval_s": 0}, r"interval_s: 0 \(allowed: at least 0.002, at most 86400\)"),
        ({"pits": {"per_mpx": -1}}, r"pits.per_mpx: -1 \(allowed: at least 0, at most 1000\)"),
        ({"particles": {"burst": 0}}, r"particles.burst: 0 \(allowed: at least 1"),
        ({"particles": {"rods": 1.2}}, r"particles.rods: 1.2 \(allowed: at least 0, at most 1\)"),
        ({"camera": {"dropped": 1}}, r"camera.dropped: 1 \(allowed: at least 0, at most 0.9\)"),
        ({"particles": {"radius_px": 100}}, r"particles.radius_px: 100 .* at most 11.8\)"),
        ({"particles": {"radius_spread": 2}}, r"with a spread of 2 makes particles too large"),
        ({"particles": {"opacity": (0.9, 0.2)}}, r"particles.opacity: .* two rising numbers"),
        ({"camera": {"exposure_s": 2}}, r"camera.exposure_s: 2 .* at most 1\)"),
        ({"cell": {"sampling_s": 1e-8}}, r"cell.sampling_s: 1e-08 .* at least 5e-07\)"),
        ({"cell": {"start": "9999-12-31"}}, r"cell.start: .* at most 2999"),
        ({"camera": {"noise_grey": 0.1}}, r"camera.read_noise_grey: 0.8 .* at most 0.1"),
        ({"camera": {"zoom": 2}}, r"camera.zoom: 2 \(there is no such setting\)"),
        ({"seed": "x"}, r"seed: 'x' \(Input should be a valid integer"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_synth_settings(changes, "tiny")


def test_unknown_preset() -> None:
    with pytest.raises(
        SettingsError, match="preset 'huge': unknown; choose from tiny, demo, frame"
    ):
        make_synth_settings(preset="huge")
    assert make_synth_settings(preset="frame").shape == (2448, 2452)


def test_what_the_command_is_given_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="frames: 0"):
        corroscope.synth(out=tmp_path, frames=0)
    with pytest.raises(SettingsError, match=r"patches: 0 \(allowed: at least 1\)"):
        corroscope.synth(out=tmp_path, patches=0)
    with pytest.raises(SettingsError, match="leave the number of frames out"):
        corroscope.synth(out=tmp_path, patches=1, frames=2)
    assert not list(tmp_path.iterdir())


def test_two_frames_of_one_name_are_refused(tmp_path: Path) -> None:
    settings = tiny(interval_s=86400, frames=2, camera={"clock_jitter": 0}, cell={"sampling_s": 9})
    with pytest.raises(SettingsError, match="interval_s: 86400 gives two frames one name"):
        corroscope.synth(out=tmp_path, settings=settings)
    assert not list(tmp_path.iterdir())


# Clock, stage, camera


def test_names_cross_midnight() -> None:
    settings = make_synth_settings({"cell": {"start": "2024-01-15T23:59:59.900"}})
    assert frame_name(settings, 0) == "30mM_1.6V-w-snaps-23-59-59.900.tif"
    assert frame_name(settings, 0.1) == "30mM_1.6V-w-snaps-00-00-00.000.tif"


def test_clock_rises_and_first_frame_is_the_reference() -> None:
    settings = SynthSettings(
        frames=500, interval_s=0.002, camera=Camera(clock_jitter=0.4, exposure_s=0)
    )
    takes = plan_takes(settings, np.random.default_rng(0))
    assert (np.diff(takes.time_s) >= 0.001 - 1e-9).all()
    assert takes.drift_px[0].tolist() == [0, 0]
    assert takes.gain[0] == 1
    assert takes.gain[-1] == pytest.approx(settings.camera.gain_end)
    assert np.hypot(*takes.drift_px[-1]) == pytest.approx(settings.camera.drift_px, abs=0.6)


def test_lost_frames_leave_a_gap(tmp_path: Path) -> None:
    out = corroscope.synth(out=tmp_path, settings=tiny(frames=30, camera={"dropped": 0.5}))
    manifest = json.loads((out / "manifest.json").read_text())
    takes = pd.read_csv(out / "truth" / "frames.csv")
    assert 5 < len(manifest["lost"]) < 25
    assert len(takes) == manifest["frames"] == 30 - len(manifest["lost"])
    assert takes["frame"].tolist() == list(range(len(takes)))
    assert takes["time_s"].diff().max() > 1.5


def test_picture_moves_and_fades_as_the_truth_says() -> None:
    settings = tiny(frames=6, **QUIET | {"particles": {"per_mpx": 0}})
    scenes = list(Experiment(settings).scenes())
    first, last = scenes[0], scenes[-1]
    shift = phase_cross_correlation(first.frame, last.frame, upsample_factor=50)[0]
    assert -shift == pytest.approx(last.drift_px, abs=0.1)
    assert np.median(last.frame) / np.median(first.frame) == pytest.approx(last.gain, abs=0.01)


def test_noise_is_that_of_the_settings() -> None:
    light = np.ones((300, 300), np.float32)
    camera = Camera(noise_grey=3, read_noise_grey=1, point_spread_px=0, grey=200)
    bright = expose(light, light, 1, camera, np.random.default_rng(0))
    dark = expose(0 * light + 0.05, light, 1, camera, np.random.default_rng(0))
    assert bright.std() == pytest.approx(3, abs=0.1)
    assert dark.std() == pytest.approx(np.sqrt(1 + 8 * 0.05), abs=0.1)


def test_jpeg_in_between_costs_detail() -> None:
    plain, coded = (
        next(Experiment(tiny(frames=1, camera={"jpeg_quality": quality})).scenes()).frame
        for quality in (0, 30)
    )
    difference = plain.astype(float) - coded
    assert 0.5 < np.abs(difference).mean() < 8


# Surface


def test_polish_runs_along_its_angle() -> None:
    for angle in (0, 60, -45):
        surface = make_synth_settings({"surface": {"scratch_angle_deg": angle}}).surface
        metal = draw_surface((256, 256), surface, np.random.default_rng(0))
        gy, gx = np.gradient(ndimage.gaussian_filter(metal, 1))
        across = 0.5 * np.arctan2(2 * (gx * gy).mean(), (gx * gx).mean() - (gy * gy).mean())
        along = np.degrees(across) + 90
        assert (along - angle + 90) % 180 - 90 == pytest.approx(0, abs=8)


def test_static_specks_are_there_from_the_start_and_in_no_mask() -> None:
    scene = next(Experiment(tiny(frames=1)).scenes())
    assert not scene.mask.any()
    dark = ndimage.median_filter(scene.frame, 31) - scene.frame.astype(float) > 25
    assert ndimage.label(dark)[1] >= 3


# Pits


def test_pits_grow_as_a_power_of_age_and_stop_when_they_die() -> None:
    settings = make_synth_settings({"pits": {"exponent": 0.7, "metastable": 1.0, "per_mpx": 99}})
    pits = found_pits((512, 512), settings, np.random.default_rng(1))
    assert [pit.number for pit in pits] == list(range(1, len(pits) + 1))
    for pit in pits:
        assert pit.area_px(pit.born_s) == 0
        if pit.died_s - pit.born_s > 0.1:
            ages = np.array([0.02, 0.04, 0.08])
            slope = np.polyfit(np.log(ages), np.log(pit.area_px(pit.born_s + ages)), 1)[0]
            assert slope == pytest.approx(0.7)
        assert pit.area_px(pit.died_s + 5) == pit.area_px(pit.died_s)
        assert not pit.lives(pit.died_s)
        assert pit.lives(pit.born_s)


def test_open_pixels_are_the_area_and_never_close_again() -> None:
    settings = make_synth_settings({"pits": {"fewest": 1, "per_mpx": 0, "metastable": 0}})
    pit = found_pits((300, 300), settings, np.random.default_rng(5))[0]
    before = np.zeros((300, 300), bool)
    times = np.linspace(pit.born_s + 1, settings.duration_s, 5)
    for time_s in times:
        shift = (150 - pit.y_px, 150 - pit.x_px)
        opened = draw_pit(np.ones((300, 300), np.float32), pit, float(time_s), shift)
        assert opened is not None
        assert opened.sum() == pytest.approx(float(pit.area_px(time_s)), abs=1)
        assert not (before & ~opened).any()
        before = opened
    outside = draw_pit(np.ones((300, 300), np.float32), pit, float(times[-1]), (900, 0))
    assert outside is None


def test_clustered_pits_are_nearer_to_each_other() -> None:
    def spacing(clustering: float) -> float:
        settings = make_synth_settings({"pits": {"per_mpx": 30, "clustering": clustering}})
        pits = found_pits((1000, 1000), settings, np.random.default_rng(2))
        places = np.array([(pit.y_px, pit.x_px) for pit in pits])
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        np.fill_diagonal(apart, np.inf)
        return float(np.median(apart.min(axis=1)))

    assert spacing(0.9) < spacing(0.0) / 1.5


# Products


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(0)
    return [draw_patch((200, 200), SynthSettings(), rng) for _ in range(60)]


def test_areas_and_contrasts_are_those_of_real_particles(scenes: list[Scene]) -> None:
    """Real ones: 10/20/103 px and 14/40/76 grey levels at 5, 50 and 95 %."""
    areas, contrasts = [], []
    for scene in scenes:
        labels, _ = ndimage.label(scene.mask, np.ones((3, 3)))
        dark = cv2.medianBlur(scene.frame, 41) - scene.frame.astype(float)
        for label, place in enumerate(ndimage.find_objects(labels), start=1):
            inside = labels[place] == label
            if inside.shape[0] < 100 and inside.sum() > 3:
                areas.append(inside.sum())
                contrasts.append(dark[place][inside].mean())
    assert np.quantile(areas, [0.05, 0.5, 0.95]) == pytest.approx([10, 20, 103], rel=0.35)
    assert np.quantile(contrasts, [0.05, 0.5, 0.95]) == pytest.approx([14, 40, 76], rel=0.35)


def test_what_is_out_of_focus_is_larger_and_fainter() -> None:
    outline = grain(2.0, np.random.default_rng(0))
    sharp, _ = shadow(outline, (0, 0), 0)
    faint, _ = shadow(outline, (0, 0), 5)
    assert faint.max() < sharp.max() / 2
    assert (faint > faint.max() / 2).sum() > 2 * (sharp > sharp.max() / 2).sum()
    assert faint.sum() == pytest.approx(sharp.sum(), rel=0.02)


@pytest.mark.parametrize("shape", [grain, rod, clump])
@pytest.mark.parametrize("radius_px", [0.6, 1.5, 6.0])
def test_shadows_have_their_area_and_place(shape: Any, radius_px: float) -> None:
    outline = shape(radius_px, np.random.default_rng(3))
    for offset in ((0.0, 0.0), (0.4, -0.3)):
        cover, reach = shadow(outline, offset, 0)
        assert cover.sum() == pytest.approx(np.pi * radius_px**2, rel=0.05)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        middle = outline_centroid(outline)
        found = [(y * cover).sum() / cover.sum(), (x * cover).sum() / cover.sum()]
        assert found == pytest.approx(np.add(offset, middle).tolist(), abs=0.1)


def outline_centroid(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    after = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]
    return np.asarray(((outline + after) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))


def product(**changes: Any) -> Product:
    values: dict[str, Any] = {
        "pit": 1, "born_s": 0.0, "y_px": 110.0, "x_px": 100.0,
        "outline": grain(2.0, np.random.default_rng(0)), "radius_px": 2.0, "opacity": 0.9,
        "speed_px_s": 50.0, "settling_s": np.inf, "defocus_px": 4.0,
    }  # fmt: skip
    return Product(**values | changes)


@pytest.fixture
def pit() -> Pit:
    made = found_pits((200, 200), SynthSettings(), np.random.default_rng(0))[0]
    return dataclasses.replace(made, y_px=100.0, x_px=100.0)


def test_flow_falls_off_as_one_over_distance(pit: Pit) -> None:
    """Squared distance grows evenly, in one step as in many."""
    for steps in (1, 7):
        swarm = Swarm([product()])
        for time_s in np.linspace(0, 3, steps + 1):
            move(swarm, [pit], float(time_s), 0, 1, (0, 0), np.random.default_rng(0))
        away = swarm.place_px[0] - (100, 100)
        assert away == pytest.approx([np.sqrt(10**2 + 2 * 50 * 10 * 3), 0])


def test_drift_and_diffusion(pit: Pit) -> None:
    swarm = Swarm([product(speed_px_s=0.0) for _ in range(2000)])
    rng = np.random.default_rng(0)
    for time_s in (0.0, 1.0, 5.0):
        move(swarm, [pit], time_s, 4.0, 1, (3, -2), rng)
    away = swarm.place_px - (110, 100)
    assert away.mean(axis=0) == pytest.approx([15, -10], abs=0.5)
    assert away.var(axis=0) == pytest.approx([2 * 4 * 5] * 2, rel=0.1)


def test_what_has_settled_sticks_in_focus(pit: Pit) -> None:
    swarm, rng = Swarm([product(settling_s=2.0)]), np.random.default_rng(0)
    move(swarm, [pit], 0.0, 4, 1, (1, 1), rng)
    move(swarm, [pit], 1.0, 4, 1, (1, 1), rng)
    assert swarm.blur_px[0] > 1
    assert not swarm.settled[0]
    move(swarm, [pit], 2.5, 4, 1, (1, 1), rng)
    there = swarm.place_px.copy()
    assert swarm.settled[0]
    assert swarm.stuck[0]
    assert swarm.blur_px[0] == 0
    move(swarm, [pit], 9.0, 4, 1, (1, 1), rng)
    assert np.array_equal(swarm.place_px, there)


def test_some_roll_on_after_settling(pit: Pit) -> None:
    swarm, rng = Swarm([product(settling_s=0.5)]), np.random.default_rng(0)
    for time_s in (0.0, 1.0, 2.0):
        move(swarm, [pit], time_s, 0, 0, (5, 0), rng)
    assert swarm.settled[0]
    assert not swarm.stuck[0]
    move(swarm, [pit], 3.0, 0, 0, (5, 0), rng)
    assert swarm.speed_px_s[0] == pytest.approx([5, 0])


def test_what_comes_down_on_another_clings_to_it(pit: Pit) -> None:
    first = product(settling_s=0.1, speed_px_s=0.0)
    second = product(born_s=2.0, settling_s=0.5, speed_px_s=0.0, x_px=103.0)
    far = product(born_s=2.0, settling_s=0.5, speed_px_s=0.0, x_px=150.0)
    swarm, rng = Swarm([first, second, far]), np.random.default_rng(0)
    for time_s in (0.0, 1.0, 2.0, 2.1, 3.0):
        move(swarm, [pit], time_s, 0, 1 if time_s < 2 else 0, (0.1, 0), rng)
    assert swarm.aggregate.tolist() == [1, 1, 3]
    assert swarm.stuck.tolist() == [True, True, False]
    move(swarm, [pit], 4.0, 0, 0, (0.1, 0), rng)
    assert swarm.blur_px.tolist() == [0, 0, 0]


def test_an_aggregate_has_the_number_of_its_first_born(pit: Pit) -> None:
    """The first born comes down last."""
    first = product(settling_s=6.0, speed_px_s=0.0, x_px=103.0, defocus_px=0.5)
    second = product(born_s=0.5, settling_s=0.5, speed_px_s=0.0)
    swarm, rng = Swarm([first, second]), np.random.default_rng(0)
    for time_s in (0.0, 1.0, 2.0, 3.5):
        move(swarm, [pit], time_s, 0, 1, (0, 0), rng)
        if time_s < 3:  # rising still, so it passes the other by
            assert swarm.aggregate.tolist() == [1, 2]
    assert swarm.aggregate.tolist() == [1, 1]


def test_what_sticks_is_carried_no_further(pit: Pit) -> None:
    """One long step takes it about as far as many short ones, and not for its whole length."""
    places = []
    for steps in (1, 300):
        swarm = Swarm([product(settling_s=1.0)])
        for time_s in np.linspace(0, 30, steps + 1):
            move(swarm, [pit], float(time_s), 0, 1, (3, 0), np.random.default_rng(0))
        assert swarm.speed_px_s.tolist() == [[0, 0]]
        places.append(swarm.place_px[0])
    assert places[0] == pytest.approx(places[1], abs=1)


def test_no_pits_no_products() -> None:
    settings = tiny(pits={"per_mpx": 0, "fewest": 0})
    rng = np.random.default_rng(0)
    assert eject(found_pits((99, 99), settings, rng), (99, 99), settings, rng) == []
    scenes = list(Experiment(settings).scenes())
    assert not any(scene.mask.any() for scene in scenes)


def test_motion_during_the_exposure_smears() -> None:
    changes: dict[str, Any] = {
        "pits": {"fewest": 4, "metastable": 0, "nucleation": 0.05},
        "particles": {"per_mpx": 900, "speed_px_s": 100, "suspended": 1, "defocus_px": 0},
    }
    widths = []
    for exposure_s in (0.0, 0.4):
        settings = make_synth_settings(
            {**changes, "camera": {"exposure_s": exposure_s}, "seed": 3}, "tiny"
        )
        scene = list(Experiment(settings).scenes())[-1]
        widths.append(scene.tracks.loc[scene.tracks["seen"], "area_px"].mean())
    assert widths[1] > 1.2 * widths[0]


def test_bubbles_are_rings_that_grow_and_go() -> None:
    def radius(time_s: float) -> float:
        light = np.ones((41, 41), np.float32)
        draw_bubbles(light, [Bubble(20, 20, 1, 9, 8)], time_s, (0, 0))
        y, x = np.nonzero(light < 0.6)
        return float(np.hypot(y - 20, x - 20).mean()) if y.size else 0.0

    assert radius(0.5) == radius(9.5) == 0
    assert radius(2) == pytest.approx(4, abs=0.7)
    assert radius(8.9) == pytest.approx(8, abs=0.7)


# Current


def test_charge_is_that_of_the_dissolved_volume() -> None:
    cell = Cell(noise_ua=0, passive_ua=1.5, sampling_s=0.05)
    settings = make_synth_settings({"pits": {"per_mpx": 20, "area_px": 2000}})
    pits = found_pits((512, 512), settings, np.random.default_rng(0))
    time_s, current_ua = record_current(pits, cell, 20, np.random.default_rng(0))
    charge_uc = (current_ua - 1.5).sum() * cell.sampling_s
    end = np.array([time_s[-1] + cell.sampling_s / 2])
    assert charge_uc == pytest.approx(
        sum(float(pit_charge_uc(pit, end, cell.pixel_size_um)[0]) for pit in pits), rel=1e-6
    )
    # A half sphere of 10 µm radius, by hand: 2 · 96485 · 2.0944e-9 cm³ / 7.0923 cm³/mol.
    ten = next(p for p in pits if p.area_px(20.0) > 0)
    area = float(ten.area_px(20.0))
    um = float(np.sqrt(100 * np.pi / area))  # the pixel size at which it measures 10 µm
    assert pit_charge_uc(ten, np.array([20.0]), um)[0] == pytest.approx(56.98, rel=1e-3)


def test_potentiostat_file(run: Path) -> None:
    lines = (run / "current.mpt").read_bytes().decode("cp1252").split("\r\n")
    assert lines[0] == "EC-Lab ASCII FILE"
    header = int(lines[1].split(":")[1])
    assert lines[header - 1] == "time/s\tEwe/V\t<I>/mA"
    # It begins two seconds before the first frame.
    assert "Acquisition started on : 01/15/2024 18:27:54.446" in lines
    rows = np.array([line.split("\t") for line in lines[header:] if line], float)
    assert rows[0, 0] == 0
    assert (rows[:, 1] == 1.6).all()
    assert 1e3 * rows[:20, 2].mean() == pytest.approx(2.0, abs=0.1)  # passive, µA


def test_potentiostat_text_has_whole_milliseconds() -> None:
    text = potentiostat_text(np.array([-0.5]), np.array([1.0]), Cell())
    assert "18:27:55.946" in text
