"""All figures of following corrosion, on seeds that nothing was developed with.

``python benchmarks/tracking.py [PART …]`` (half an hour; ``make following``): links, pits, events,
efficiency, current; all of them unless some are named. Each part is a script of its own, with
options of its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

PARTS: Final = {
    "links": ["tracking_links.py", "--network", "--seeds", "900"],
    "pits": ["tracking_pits.py", "--seeds", "904", "905"],
    "events": ["tracking_events.py", "--seeds", "906", "907"],
    "efficiency": ["tracking_efficiency.py"],
    "current": ["tracking_current.py", "--seeds", *map(str, range(900, 908))],
}
"""What each part is called, and its script, with the seeds of the figures in the docs."""


def main() -> None:
    """Run the parts one after the other; each in a process, so that none warms another."""
    parser = argparse.ArgumentParser(description="All figures of following corrosion.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], metavar="PART")
    for part in parser.parse_args().parts or PARTS:
        script, *options = PARTS[part]
        print(f"\n== {part}", flush=True)
        here = Path(__file__).parent / script
        subprocess.run([sys.executable, str(here), *options], check=True)


if __name__ == "__main__":
    main()
