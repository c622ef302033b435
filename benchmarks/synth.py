"""Time and memory of synthetic runs; memory must not grow with the number of frames.

    python benchmarks/synth.py

One run each: 200 tiny frames, 20 of 1024×1024 px, 12 as large as the microscope's.
"""

import os
import tempfile
import time
from pathlib import Path

import corroscope
from corroscope.synthesis.settings import make_synth_settings

RUNS = ((200, "tiny"), (20, None), (12, "frame"))


def resident_mb() -> float:
    """Resident memory of this process, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print a row for each run."""
    for frames, preset in RUNS:
        settings = make_synth_settings({"frames": frames}, preset)
        memory_mb: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            corroscope.synth(
                out=Path(folder, "run"),
                settings=settings,
                progress=lambda *_, kept=memory_mb: kept.append(resident_mb()),
            )
            took_s = time.perf_counter() - begun
        height, width = settings.shape
        print(
            f"{frames} frames of {height}×{width} px: {took_s:.1f} s; resident memory after the "
            f"first {memory_mb[0]:.0f} MB, halfway {memory_mb[frames // 2]:.0f} MB, after the "
            f"last {memory_mb[-1]:.0f} MB"
        )


if __name__ == "__main__":
    main()
