"""The table of particles and what is made of it: detection, strata, sizes."""

import contextlib
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage, optimize

from corroscope.scoring.counts import Counts, count
from corroscope.scoring.detection import CRITERIA, detection_average_precision, detection_curve
from corroscope.scoring.particles import judge_particles
from corroscope.scoring.scores import scores
from corroscope.scoring.sizes import area_errors, size_distance
from corroscope.scoring.strata import AREA_EDGES_PX, quantile_edges, stratify
from corroscope.tables import JUDGED_PARTICLES

EIGHT = np.ones((3, 3), bool)


def blobs(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 52)), rng.uniform(0.4, 2))
    return np.asarray(noise > np.quantile(noise, 1 - share))


def judged(seed: int) -> tuple[pd.DataFrame, Counts]:
    """A table of some images, and what was counted on them."""
    rng = np.random.default_rng(seed)
    tables, total = [], Counts()
    for _ in range(3):
        annotation, ignored = blobs(rng, 0.12), blobs(rng, 0.1)
        prediction = np.roll(annotation, rng.integers(-1, 2, 2), (0, 1)) ^ blobs(rng, 0.03)
        values = rng.random((2, *annotation.shape))
        tables.append(
            judge_particles(
                prediction, annotation, ignored, contrast=-values[0], probability=values[1]
            )
        )
        total += count(prediction, annotation, ignored)
    return pd.concat(tables, ignore_index=True), total


# The table


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_table_tells_what_is_counted(seed: int) -> None:
    table, total = judged(seed)
    for side in ("annotated", "predicted"):
        rows = table[table["side"] == side]
        assert len(rows) == getattr(total, side)
        for criterion in CRITERIA:
            assert rows[criterion].sum() == getattr(total, criterion)
        paired = rows[rows["partner"] > 0]
        assert len(paired) == total.matched_iou_30
        assert paired["area_px"].sum() == getattr(total, f"matched_{side}_px")
        assert paired["iou"].sum() == pytest.approx(total.iou_sum_30)
        assert rows["iou"].notna().eq(rows["matched_iou_30"]).all()
        assert rows["partner_area_px"].notna().eq(rows["matched_iou_30"]).all()
    predicted = table[table["side"] == "predicted"]
    assert table["area_px"].sum() - predicted["area_px"].sum() == (
        total.true_positive + total.false_negative
    )


@given(st.integers(0, 2**32 - 1))
def test_a_table_measures_particles_as_scipy_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    annotation, prediction = blobs(rng, 0.1), blobs(rng, 0.1)
    contrast, probability = -rng.random((2, *annotation.shape))
    table = judge_particles(prediction, annotation, contrast=contrast, probability=-probability)
    for side, mask in (("annotated", annotation), ("predicted", prediction)):
        rows = table[table["side"] == side]
        labels, number = ndimage.label(mask, EIGHT)  # in the order of first pixels
        each = np.arange(1, number + 1)
        assert rows["particle"].tolist() == each.tolist()
        np.testing.assert_array_equal(rows["area_px"], ndimage.sum_labels(mask, labels, each))
        centres = np.reshape(ndimage.center_of_mass(mask, labels, each), (-1, 2))
        np.testing.assert_allclose(rows[["y_px", "x_px"]], centres)
        np.testing.assert_allclose(rows["contrast"], ndimage.mean(-contrast, labels, each))
        np.testing.assert_allclose(rows["score"], ndimage.mean(-probability, labels, each))


@given(st.integers(0, 2**32 - 1))
def test_partners_name_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    annotation = blobs(rng, 0.12)
    table = judge_particles(np.roll(annotation, 1, 0) ^ blobs(rng, 0.03), annotation)
    annotated, predicted = (
        table[table["side"] == side].set_index("particle") for side in ("annotated", "predicted")
    )
    paired = annotated[annotated["partner"] > 0]
    others = predicted.loc[paired["partner"]]
    assert others["partner"].tolist() == paired.index.tolist()
    assert others["iou"].tolist() == paired["iou"].tolist()
    assert others["area_px"].tolist() == paired["partner_area_px"].tolist()
    assert others["partner_area_px"].tolist() == paired["area_px"].tolist()


def test_a_table_of_nothing_has_all_columns() -> None:
    nothing = np.zeros((5, 6), bool)
    table = judge_particles(nothing, nothing)
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        column.name: column.dtype for column in JUDGED_PARTICLES
    }


def test_a_table_without_images_has_no_contrast_and_no_score() -> None:
    table = judge_particles(np.ones((2, 2), bool), np.ones((2, 2), bool))
    assert table[["contrast", "score"]].isna().all(axis=None)


def test_images_of_another_shape() -> None:
    mask, values = np.zeros((2, 2), bool), np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"values of shape \(2, 3\) for masks of \(2, 2\)"):
        judge_particles(mask, mask, contrast=values)
    with pytest.raises(ValueError, match=r"values of shape \(2, 3\) for masks of \(2, 2\)"):
        judge_particles(mask, mask, probability=values)


# Detection


def lattice(rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Particles in cells of their own, so that none has two candidates for a partner."""
    annotation, prediction = np.zeros((2, 80, 80), bool)
    for top in range(0, 80, 16):
        for left in range(0, 80, 16):
            height, width = rng.integers(2, 8, 2)
            y, x = top + rng.integers(2, 6), left + rng.integers(2, 6)
            annotation[y : y + height, x : x + width] = rng.random() < 0.7
            height, width = height + rng.integers(-1, 2), width + rng.integers(-1, 2)
            y, x = y + rng.integers(-1, 2), x + rng.integers(-1, 2)
            prediction[y : y + height, x : x + width] = rng.random() < 0.7
    return annotation, prediction


def coco_precision(
    images: list[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]],
    iou: float,
    recalls: NDArray[np.float64],
) -> float:
    """Average precision by COCO's own evaluation."""

    def regions(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        labels, number = ndimage.label(mask, EIGHT)
        return [labels == one for one in range(1, number + 1)]

    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1}], "info": {}}
    found = []
    for image, (annotation, prediction, probability) in enumerate(images, 1):
        truth["images"].append({"id": image, "height": 80, "width": 80})
        for region in regions(annotation):
            encoded = coco_mask.encode(np.asfortranarray(region.astype(np.uint8)))
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": 1,
                 "segmentation": encoded, "area": int(region.sum()), "iscrowd": 0,
                 "bbox": coco_mask.toBbox(encoded).tolist()}
            )  # fmt: skip
        for region in regions(prediction):
            encoded = coco_mask.encode(np.asfortranarray(region.astype(np.uint8)))
            found.append({"image_id": image, "category_id": 1, "segmentation": encoded,
                          "score": float(probability[region].mean())})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(found), "segm")
        evaluation.params.iouThrs = np.array([iou])
        evaluation.params.recThrs = recalls
        evaluation.params.maxDets = [1000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e9]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["precision"].mean())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("percent", [30, 50])
def test_average_precision_is_that_of_coco(seed: int, percent: int) -> None:
    rng = np.random.default_rng(seed)
    images = [(*lattice(rng), rng.random((80, 80))) for _ in range(3)]
    table = pd.concat(
        [judge_particles(guess, truth, probability=scored) for truth, guess, scored in images]
    )
    criterion = f"matched_iou_{percent}"
    expected = coco_precision(images, percent / 100, np.linspace(0, 1, 101))
    assert detection_average_precision(table, criterion) == pytest.approx(expected)
    # The exact integral is what COCO comes to with many recalls.
    fine = coco_precision(images, percent / 100, np.linspace(0, 1, 20001))
    exact = detection_average_precision(table, criterion, points=None)
    assert exact == pytest.approx(fine, abs=1e-4)
    assert 0 < exact < 1


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_curve_ends_at_the_pooled_scores(seed: int) -> None:
    table, total = judged(seed)
    named = scores(total)
    for criterion, suffix in zip(CRITERIA, ("", "_iou50", "_3px"), strict=True):
        curve = detection_curve(table, criterion)
        assert curve["score"].is_monotonic_decreasing
        assert curve["precision"].iloc[-1] == pytest.approx(named[f"particle_precision{suffix}"])
        assert curve["recall"].iloc[-1] == pytest.approx(named[f"particle_recall{suffix}"])


def test_equal_scores_are_one_point() -> None:
    table = pd.DataFrame({
        "side": ["annotated"] * 2 + ["predicted"] * 3,
        "score": [np.nan, np.nan, 0.5, 0.5, 0.5],
        "matched_iou_30": [True, False, True, False, False],
    })  # fmt: skip
    for order in (table, table[::-1]):
        (point,) = detection_curve(order, "matched_iou_30").itertuples(index=False)
        assert tuple(point) == (0.5, 1 / 3, 0.5)


def test_detection_of_nothing() -> None:
    none, some = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    some[2:5, 2:5] = True
    for points in (101, None):
        missed = judge_particles(none, some, probability=some * 0.9)
        assert detection_average_precision(missed, "matched_iou_30", points=points) == 0
        false = judge_particles(some, none, probability=some * 0.9)
        assert np.isnan(detection_average_precision(false, "matched_iou_30", points=points))
    assert detection_curve(false, "matched_iou_30")["recall"].isna().all()


def test_detection_without_scores_or_by_an_unknown_criterion() -> None:
    some = np.ones((3, 3), bool)
    with pytest.raises(ValueError, match="predicted particles without a score"):
        detection_curve(judge_particles(some, some), "matched_iou_30")
    for judge in (detection_curve, detection_average_precision):
        with pytest.raises(ValueError, match="iou: must be one of matched_iou_30, "):
            judge(judge_particles(some, some, probability=some * 0.5), "iou")


# Strata


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(CRITERIA))
def test_classes_of_size_are_those_of_pandas(seed: int, criterion: str) -> None:
    table, _ = judged(seed)
    found = stratify(table, "area_px", AREA_EDGES_PX, criterion)
    classes = pd.cut(table["area_px"], list(AREA_EDGES_PX), right=False, labels=False)
    means = table.groupby(["side", classes])[criterion].agg(["size", "sum", "mean"])
    for side, names in (("annotated", ["annotated", "found", "recall"]),
                        ("predicted", ["predicted", "right", "precision"])):  # fmt: skip
        expected = means.loc[side].reindex(range(len(AREA_EDGES_PX) - 1))
        expected[["size", "sum"]] = expected[["size", "sum"]].fillna(0)
        np.testing.assert_allclose(found[names], expected)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_classes_of_contrast_hold_equally_many(seed: int, classes: int) -> None:
    table, total = judged(seed)
    found = stratify(
        table, "contrast", quantile_edges(table, "contrast", classes), "matched_iou_30"
    )
    if total.annotated >= classes:
        assert len(found) == classes
        assert np.ptp(found["annotated"]) <= 1
    assert found["annotated"].sum() == total.annotated
    assert found["predicted"].sum() == total.predicted


def test_equal_contrasts_stay_in_one_class() -> None:
    table = pd.DataFrame({"side": ["annotated"] * 5, "contrast": [0.2] * 5})
    assert quantile_edges(table, "contrast", 4) == (-np.inf, 0.2, np.inf)
    assert quantile_edges(table[:0], "contrast", 4) == (-np.inf, np.inf)


def test_strata_that_cannot_be() -> None:
    some = np.ones((3, 3), bool)
    table = judge_particles(some, some)
    with pytest.raises(ValueError, match="iou: must be one of"):
        stratify(table, "area_px", (0, 9), "iou")
    for edges in ((0, 9, 9), (3,)):
        with pytest.raises(ValueError, match="must rise, and be two or more"):
            stratify(table, "area_px", edges, "matched_3px")
    with pytest.raises(ValueError, match=r"area_px: .* not in 0.0 to 9.0"):
        stratify(table, "area_px", (0, 9), "matched_3px")
    with pytest.raises(ValueError, match="contrast: some values are unknown"):
        stratify(table, "contrast", (-np.inf, np.inf), "matched_3px")


# Sizes


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_area_errors_are_those_of_the_pairs(seed: int) -> None:
    table, total = judged(seed)
    found = area_errors(table)
    assert found.pairs == total.matched_iou_30
    paired = table[(table["side"] == "annotated") & (table["partner"] > 0)]
    ratio = pd.Series(paired["partner_area_px"] / paired["area_px"])
    expected = [
        (ratio - 1).median(), (ratio - 1).abs().median(), np.log(ratio).mean(), np.log(ratio).std(),
    ]  # fmt: skip
    np.testing.assert_allclose(found[1:], expected)


def test_area_errors_of_one_pair_and_of_none() -> None:
    some, none = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    one = area_errors(judge_particles(some, some))
    assert one[:4] == (1, 0, 0, 0)
    assert np.isnan(one.sd_log_ratio)
    nothing = area_errors(judge_particles(some, none))
    assert nothing.pairs == 0
    assert np.isnan(nothing[1:]).all()


@given(st.integers(0, 2**32 - 1))
def test_distance_of_sizes_is_the_cheapest_transport(seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 12))
    areas = rng.integers(1, 200, (2, number))
    table = pd.DataFrame(
        {"side": ["annotated"] * number + ["predicted"] * number, "area_px": areas.ravel()}
    )
    cost = np.abs(np.log(areas[0])[:, None] - np.log(areas[1]))
    cheapest = cost[optimize.linear_sum_assignment(cost)].mean()
    assert size_distance(table) == pytest.approx(cheapest)


def test_distance_of_sizes_off_by_a_factor_and_of_none() -> None:
    areas = [3, 10, 40, 90]
    table = pd.DataFrame(
        {
            "side": ["annotated"] * 4 + ["predicted"] * 8,
            "area_px": areas + [2 * a for a in areas] * 2,
        }
    )
    assert size_distance(table) == pytest.approx(np.log(2))
    for side in ("annotated", "predicted"):
        assert np.isnan(size_distance(table[table["side"] == side]))
    assert np.isnan(size_distance(table[:0]))
