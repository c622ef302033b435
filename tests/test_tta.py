"""Test-time augmentation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.frames.contrast import relative_contrast
from corroscope.outputs import read_manifest, write_png
from corroscope.pipeline.efficiency import operating_point_remark, read_efficiency
from corroscope.segmentation.segment import segment
from corroscope.segmentation.segmenter import Segmenter
from corroscope.segmentation.tta import average_over_ways
from corroscope.synthesis.experiment import Scene

Plane = NDArray[np.float32]
MakeScene = Callable[[tuple[int, int], int], Scene]


def test_all_eight_ways_are_taken_once_and_come_back() -> None:
    contrast = np.arange(12, dtype=np.float32).reshape(3, 4)
    seen = []

    def probability(frame: Plane, reference: Plane | None) -> Plane:
        assert reference is not None
        assert np.array_equal(reference, 2 * frame)
        assert frame.flags.c_contiguous
        seen.append(frame.tobytes() + bytes(frame.shape))
        return frame

    mean = average_over_ways(probability, contrast, 2 * contrast)
    assert len(set(seen)) == 8
    assert np.array_equal(mean, contrast)
    assert mean.dtype == np.float32


@pytest.mark.parametrize("compared", [False, True])
def test_what_is_said_turns_with_the_frame(crowded: MakeScene, compared: bool) -> None:
    contrast = relative_contrast(crowded((96, 64), 3).frame)
    reference = np.zeros_like(contrast) if compared else None
    turned = None if reference is None else np.ascontiguousarray(reference.T)
    plain, averaged = (Segmenter(precision="f32", tta=tta) for tta in (False, True))
    once = averaged.probability(contrast, reference)
    again = averaged.probability(np.ascontiguousarray(contrast.T), turned).T
    assert np.allclose(once, again, atol=1e-5)
    assert once.max() > 0.3
    # The network alone is of another opinion, or there would be nothing to average.
    alone = plain.probability(contrast, reference)
    other = plain.probability(np.ascontiguousarray(contrast.T), turned).T
    assert np.abs(alone - other).max() > 0.02


def test_it_is_told_in_the_manifest(tmp_path: Path, crowded: MakeScene) -> None:
    frame_file = tmp_path / "frame.png"
    write_png(frame_file, crowded((96, 64), 3).frame)
    for tta in (False, True):
        segment(frame_file, out=tmp_path / str(tta), tta=tta)
        assert read_manifest(tmp_path / str(tta))["settings"]["tta"] is tta


def test_counts_are_not_corrected_by_what_was_measured_without() -> None:
    _, settings = read_efficiency()
    assert operating_point_remark(settings, Segmenter()) is None
    assert operating_point_remark(settings, Segmenter(tta=True)) == (
        "Counts are not corrected: the efficiency was measured with test-time augmentation False, "
        "not True."
    )
