"""`corroscope evaluate`: figures, what is memory, and what is written of it."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import corroscope
from corroscope.errors import DatasetError, SettingsError
from corroscope.learning.clusters import clusters_of
from corroscope.learning.dataset import Patch, frame_hash, read_dataset
from corroscope.learning.judgement import judge_bundle, summarise, warnings_of
from corroscope.learning.pictured import picture
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores
from corroscope.segmentation.bundle import load_bundle, write_bundle
from corroscope.segmentation.rescoring import Rescoring
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Scene


def _summed(table: pd.DataFrame) -> Counts:
    return sum((Counts(*row) for row in table[list(vars(Counts()))].to_numpy().tolist()), Counts())


def test_what_is_written(dataset: Path, tmp_path: Path) -> None:
    metrics = corroscope.evaluate(dataset, out=tmp_path / "out")
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["seen_in_training"] == metrics["tainted"] == 0
    assert metrics["warnings"] == []
    assert (tmp_path / "out" / "examples.png").stat().st_size > 0
    per_image = pd.read_csv(tmp_path / "out" / "per_image.csv")
    assert len(per_image) == 6
    pooled = scores(_summed(per_image))
    for name, value in metrics["scores"].items():
        assert np.isclose(
            pooled[name], np.nan if value is None else value, atol=1e-4, equal_nan=True
        )
    particles = pd.read_csv(tmp_path / "out" / "particles.csv")
    annotated = particles[particles["side"] == "annotated"]
    assert annotated["matched_iou_30"].sum() == per_image["matched_iou_30"].sum()
    strata = pd.read_csv(tmp_path / "out" / "strata.csv")
    assert set(strata["by"]) == {"area_px", "contrast"}
    for _, classes in strata.groupby("by"):
        assert classes["annotated"].sum() == len(annotated)
    curve = pd.read_csv(tmp_path / "out" / "pixel_curve.csv")
    at = curve.iloc[(curve["threshold"] - load_bundle().card.threshold).abs().argmin()]
    # Small particles are dropped afterwards, so that only nearly the same is to be expected.
    assert abs(at["recall"] - metrics["scores"]["recall"]) < 0.1
    reliability = pd.read_csv(tmp_path / "out" / "reliability.csv")
    share = reliability["pixels"] / reliability["pixels"].sum()
    error = (share * (reliability["predicted"] - reliability["observed"]).abs()).sum()
    assert np.isclose(error, metrics["calibration_error"], atol=1e-4)
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"Evaluation of {load_bundle().card.name}" in page
    assert f"Model card: {load_bundle().card.name}" in page


def test_a_bundle_with_a_peak(dataset: Path, tmp_path: Path) -> None:
    """Particles without a sure pixel are left out of counts, and everything says so."""
    shipped = load_bundle()
    high = shipped.card.model_copy(update={"peak": 0.9, "rescoring": None, "name": "sure"})
    bundle = write_bundle(tmp_path / "sure", shipped.network, high)
    metrics = corroscope.evaluate(dataset, out=tmp_path / "out", model=bundle.folder)
    plain = corroscope.evaluate(
        dataset, out=tmp_path / "plain", threshold=high.threshold, min_area=high.min_area_px
    )
    found = [pd.read_csv(tmp_path / name / "particles.csv") for name in ("out", "plain")]
    sure, all_of_them = ((table["side"] == "predicted").sum() for table in found)
    assert 0 < sure < all_of_them
    assert metrics["scores"]["particle_recall"] < plain["scores"]["particle_recall"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["peak"] == 0.9
    page = (tmp_path / "out" / "report.html").read_text()
    assert "or more, 0.9 or more in one pixel, and at least" in page


def test_a_bundle_that_judges_once_more_and_another_operating_point(
    dataset: Path, tmp_path: Path
) -> None:
    """With a threshold everything is as without a second look, and everything says which it was."""
    shipped = load_bundle()
    threshold, peak = shipped.card.threshold, shipped.card.peak
    look = Rescoring(
        threshold=0.3, min_area_px=5, reach_px=100, sure=0.5, pit_contrast=-0.15, pit_px=9,
        weights=(1, 0, 0), intercept=-1, decision=0.5,
    )  # fmt: skip
    card = shipped.card.model_copy(update={"rescoring": look, "name": "twice"})
    folder = write_bundle(tmp_path / "twice", shipped.network, card).folder
    twice = corroscope.evaluate(dataset, out=tmp_path / "out", model=folder)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "candidates of 0.3 or more, at least 5 px, judged once more by what is around" in page
    given = corroscope.evaluate(
        dataset, out=tmp_path / "given", model=folder, threshold=threshold, peak=peak
    )
    own = corroscope.evaluate(dataset, out=tmp_path / "own", threshold=threshold, peak=peak)
    assert twice["scores"] != given["scores"] == own["scores"]
    few = corroscope.evaluate(dataset, out=tmp_path / "few", model=folder, min_area=20)
    assert few["scores"]["particle_recall"] < twice["scores"]["particle_recall"]
    said = {
        name: json.loads((tmp_path / name / "manifest.json").read_text())["settings"]["rescoring"]
        for name in ("out", "given", "own", "few")
    }
    told = look.model_dump(mode="json")
    assert said == {"out": told, "given": None, "own": None, "few": told}
    with pytest.raises(SettingsError, match="threshold 1: must lie between 0 and 1"):
        corroscope.evaluate(dataset, out=tmp_path / "no", threshold=1)
    assert not (tmp_path / "no").exists()


def test_same_evaluation_same_figures(dataset: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        corroscope.evaluate(dataset, out=tmp_path / name)
    for file in ("metrics.json", "particles.csv", "per_image.csv", "report.html", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_real_patches(real_folder: Path, tmp_path: Path) -> None:
    metrics = corroscope.evaluate(real_folder, out=tmp_path)
    assert metrics["seen_in_training"] == metrics["tainted"] == metrics["patches"] == 74
    assert metrics["untainted"] is None
    assert metrics["warnings"][0].startswith("74 of 74 patches were used to train this bundle")
    assert metrics["surfaces"] == 9
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["bundle"]["name"] == load_bundle().card.name
    assert metrics["agreement"]["pairs"] == 70
    page = (tmp_path / "report.html").read_text()
    assert "74 of 74 patches were used to train" in page
    assert (tmp_path / "report.html").stat().st_size < 5e6


@pytest.fixture
def neighbours(
    tmp_path: Path, crowded: Callable[[tuple[int, int], int], Scene]
) -> tuple[Path, list[Patch]]:
    """Two patches that overlap, and six of other surface."""
    folder = tmp_path / "neighbours"
    folder.mkdir()
    wide = crowded((128, 200), 0)
    scenes = {
        "left": (wide.frame[:, :128], wide.mask[:, :128]),
        "right": (wide.frame[:, 72:], wide.mask[:, 72:]),
    }
    for number in range(1, 7):
        scene = crowded((128, 128), number)
        scenes[f"other{number}"] = (scene.frame, scene.mask)
    for name, (frame, mask) in scenes.items():
        cv2.imwrite(str(folder / f"{name}.png"), frame)
        cv2.imwrite(str(folder / f"{name}_mask.png"), mask.astype(np.uint8) * 255)
    return folder, read_dataset(folder)


def _bundle_that_has_seen(patch: Patch, folder: Path) -> Path:
    bundle = load_bundle()
    training = {**bundle.card.training, "frames_sha256": [frame_hash(patch)[:16]]}
    write_bundle(folder, bundle.network, bundle.card.model_copy(update={"training": training}))
    return folder


def test_surface_of_the_training_is_told_from_other_surface(
    neighbours: tuple[Path, list[Patch]], tmp_path: Path
) -> None:
    """A patch that overlaps one of the training is no fair test, though it was not learnt from."""
    folder, patches = neighbours
    left = next(patch for patch in patches if patch.name == "left.png")
    model = _bundle_that_has_seen(left, tmp_path / "model")
    metrics = corroscope.evaluate(folder, model=model, out=tmp_path / "out")
    assert (metrics["patches"], metrics["seen_in_training"], metrics["tainted"]) == (8, 1, 2)
    assert metrics["untainted"]["patches"] == 6
    table = pd.read_csv(tmp_path / "out" / "per_image.csv").set_index("image")
    assert set(table.index[table["tainted"]]) == {"left.png", "right.png"}
    expected = scores(_summed(table[~table["tainted"]]))["dice"]
    assert np.isclose(metrics["untainted"]["scores"]["dice"], expected, atol=1e-4)
    assert metrics["warnings"][0].startswith("1 of 8 patches were used to train")
    assert metrics["warnings"][1].startswith("1 more of 8 patches show surface")
    assert metrics["warnings"][2].startswith("On the 6 patches of other surface: Dice 0.")


def test_surface_of_another_dataset(neighbours: tuple[Path, list[Patch]], tmp_path: Path) -> None:
    """The bundle knows the hashes of what it learnt from, but not its surface."""
    folder, _ = neighbours
    trained = tmp_path / "trained"
    trained.mkdir()
    for name in ("left.png", "left_mask.png"):
        (folder / name).rename(trained / name)
    without = corroscope.evaluate(folder, out=tmp_path / "a")
    assert without["tainted"] == 0
    metrics = corroscope.evaluate(folder, trained_on=trained, out=tmp_path / "b")
    assert (metrics["seen_in_training"], metrics["tainted"]) == (0, 1)
    assert metrics["untainted"]["patches"] == 6
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["trained_on_sha256"] is not None


def test_trained_on_nothing(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        corroscope.evaluate(dataset, trained_on=tmp_path / "nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_particle_anywhere(tmp_path: Path) -> None:
    """What is 0/0 is told as undefined, and the page is written all the same."""
    folder = tmp_path / "empty"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        frame = rng.normal(200, 2, (64, 64)).astype(np.uint8)
        cv2.imwrite(str(folder / f"<b>{number}.png"), frame)
        cv2.imwrite(str(folder / f"<b>{number}_mask.png"), np.zeros((64, 64), np.uint8))
    metrics = corroscope.evaluate(folder, out=tmp_path / "out")
    assert metrics["scores"]["dice"] is None
    assert metrics["scores"]["accuracy"] == 1
    assert metrics["scores"]["false_positives_per_empty_image"] == 0
    assert metrics["per_image"]["dice"]["undefined"] == 2
    assert metrics["average_precision"] is None
    assert metrics["agreement"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>0" not in page
    assert "&lt;b&gt;0" in page


def test_mistakes_shown_are_the_worst(real_folder: Path) -> None:
    segmenter = Segmenter()
    found = judge_bundle(real_folder, read_dataset(real_folder)[:12], None, segmenter)
    metrics = summarise(found)
    metrics["warnings"] = warnings_of(metrics)
    page = picture(found, metrics, {})
    particles = found.measured.particles
    wrong = particles[~particles["matched_iou_30"]]
    weight = (wrong["area_px"] * wrong["score"])[wrong["side"] == "predicted"]
    shown = [crop.area_px * crop.score for crop in page.false_alarms]
    assert np.allclose(shown, sorted(weight, reverse=True)[: len(shown)])
    for crop in page.false_alarms:
        assert crop.prediction.any()
        assert crop.frame.shape == crop.annotation.shape == (48, 48)
    assert page.confusion[0] + page.confusion[1] == page.annotated_area_px.size
    assert page.confusion[0] + page.confusion[2] == page.predicted_area_px.size
    assert [example.name for example in page.examples] == page.per_image.sort_values(
        "dice", kind="stable"
    )["image"].tolist()


def test_intervals_are_over_blocks_where_surfaces_are_few() -> None:
    chain = np.abs(np.subtract.outer(np.arange(40), np.arange(40))) <= 1
    found = clusters_of(chain)
    assert found.words == "3 blocks of neighbouring patches"
    assert clusters_of(np.eye(6, dtype=bool)).words == "6 separate pieces of surface"
