"""Time of one frame, file to table, against the reference recipe, both in one run.

The reference recipe is that of the notebooks this project started from: windows of
224×224 every 100 px, one by one, through UNet++ with an EfficientNet-B0 encoder of
segmentation-models-pytorch, in PyTorch; binary windows put together by a logical or.
Its weights are random here, which changes nothing in its time. Neither side is
charged for loading its network.

Run with ``make bench``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from reference_recipe import recipe_network

import corroscope
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.reading import read_frame
from corroscope.segmentation.segment import segment_file
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.settings import SynthSettings
from corroscope.tables import PARTICLES
from corroscope.tabulation import write_table


def reference_recipe(path: Path, network: torch.nn.Module) -> int:
    """Segment a file as the reference code does; the number of windows."""
    frame = cv2.imread(str(path))
    assert frame is not None
    mask = np.zeros(frame.shape[:2], bool)
    windows = 0
    with torch.no_grad():
        for row in range(0, frame.shape[0] - 224 + 1, 100):
            for column in range(0, frame.shape[1] - 224 + 1, 100):
                window = frame[row : row + 224, column : column + 224]
                batch = torch.from_numpy(window.transpose(2, 0, 1)[None].astype(np.float32) / 255)
                found = torch.sigmoid(network(batch))[0, 0].numpy() > 0.5
                mask[row : row + 224, column : column + 224] |= found
                windows += 1
    count, *_ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    assert count >= 1
    return windows


def file_to_table(path: Path, segmenter: corroscope.Segmenter, folder: Path) -> None:
    """From the file to its table of particles, written."""
    nowhere = dict.fromkeys(("time_s", "y_ref_px", "x_ref_px"), float("nan"))
    particles = segmenter(read_frame(path)).particles.assign(image=path.name, frame=0, **nowhere)
    write_table(folder / "particles", particles, PARTICLES)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of one call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=2448)
    parser.add_argument("--width", type=int, default=2456)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", help="bundle folder (default: the shipped one)")
    parser.add_argument("--reference-repeats", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = (chosen.height, chosen.width)
        made = draw_patch(shape, SynthSettings(), np.random.default_rng(0))
        path = folder / "frame.png"
        cv2.imwrite(str(path), made.frame)
        print(f"one frame of {shape[0]}×{shape[1]} px, {torch.get_num_threads()} threads")
        network = recipe_network(in_channels=3).eval()
        windows = 0

        def reference() -> None:
            nonlocal windows
            windows = reference_recipe(path, network)

        slow = seconds(reference, chosen.reference_repeats)
        print(f"reference recipe       {slow:7.2f} s   ({windows} windows)")
        bundle = corroscope.load_bundle(chosen.model)
        contrast = relative_contrast(made.frame)
        for segmenter in (
            corroscope.Segmenter(bundle),
            corroscope.Segmenter(bundle, precision="f32"),
            corroscope.Segmenter(bundle, engine="onnxruntime"),
        ):
            network_alone = seconds(partial(segmenter.probability, contrast), chosen.repeats)
            table = seconds(partial(file_to_table, path, segmenter, folder), chosen.repeats)
            files = seconds(partial(segment_file, path, segmenter, folder), chosen.repeats)
            label = f"{segmenter.engine.name} {segmenter.engine.precision}"
            print(
                f"{label:20}{table:9.2f} s   {slow / table:5.1f} times faster   "
                f"({network_alone:.2f} s in the network; {files:.2f} s for mask and overlay)"
            )


if __name__ == "__main__":
    main()
