"""Time and memory of `corroscope run` over many frames as large as the microscope's.

    python benchmarks/run.py [--frames 200]

Twenty synthetic frames are shown to and fro, so that drift goes on smoothly, under names with
clocks of their own. Afterwards the run is called again, to see what a finished run costs.
"""

import argparse
import os
import resource
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import corroscope
from corroscope.synthesis.settings import make_synth_settings

DIFFERENT = 20


def resident_mb() -> float:
    """Resident memory of this process, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_frames(folder: Path, number: int) -> None:
    """Fill a folder with frames."""
    settings = make_synth_settings({"frames": DIFFERENT}, "frame")
    made = corroscope.synth(out=folder / "made", settings=settings) / "frames"
    with corroscope.open_sequence(made) as sequence:
        names = list(sequence.names)
    there_and_back = [*range(DIFFERENT), *range(DIFFERENT - 1, -1, -1)]
    frames = folder / "frames"
    frames.mkdir()
    start = datetime(2000, 1, 1, 18, 27, 56)
    for count in range(number):
        clock = start + timedelta(seconds=1.2 * count)
        text = f"{clock:%H-%M-%S}.{clock.microsecond // 1000:03d}"
        source = made / names[there_and_back[count % len(there_and_back)]]
        os.link(source, frames / f"30mM_1.6V-w-snaps-{text}.tif")


def main() -> None:
    """Print memory and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_frames(folder, chosen.frames)
        memory_mb: dict[str, list[float]] = {"align": [], "segment": []}
        ended: dict[str, float] = {}
        begun = time.perf_counter()

        def note(stage: str, *_: int) -> None:
            memory_mb[stage].append(resident_mb())
            ended[stage] = time.perf_counter() - begun

        particles = corroscope.run(folder / "frames", out=folder / "out", progress=note)
        took_s = time.perf_counter() - begun
        begun = time.perf_counter()
        again = corroscope.run(folder / "frames", out=folder / "out")
        again_s = time.perf_counter() - begun
    assert len(again) == len(particles)
    print(f"{chosen.frames} frames of 2448×2452 px, {len(particles)} particles, {took_s:.0f} s")
    print(
        f"  aligning {ended['align'] / chosen.frames:.2f} s a frame, segmenting "
        f"{(ended['segment'] - ended['align']) / chosen.frames:.2f} s; "
        f"called again: {again_s:.1f} s in all"
    )
    print(f"  most memory ever: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
    for stage, values in memory_mb.items():
        early = values[min(19, len(values) - 1)]
        print(
            f"  {stage}: resident memory after frame 20 {early:.0f} MB, halfway "
            f"{values[len(values) // 2]:.0f} MB, after the last {values[-1]:.0f} MB, "
            f"most {max(values):.0f} MB"
        )


if __name__ == "__main__":
    main()
