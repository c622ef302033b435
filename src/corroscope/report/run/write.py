"""Writing the report of a run: one page, and the figures as files beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from corroscope.outputs import output_folder
from corroscope.report.page import Section, facts, paragraph, render, write_page
from corroscope.report.run.activity import activity
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import FOLDER, Drawing, keep, of
from corroscope.report.run.glance import glance
from corroscope.report.run.listings import event_table, pit_table
from corroscope.report.run.motion import motion
from corroscope.report.run.pit_growth import growth
from corroscope.report.run.player import player
from corroscope.report.run.quality import quality
from corroscope.report.run.raster import raster
from corroscope.report.run.size_distribution import sizes
from corroscope.report.run.time_courses import births, courses
from corroscope.report.run.transients import transients
from corroscope.report.style import report_style

PAGE: Final = "report.html"

FIGURES: Final = (
    "activity", "around-transients", "births", "corrected-counts", "directions", "ejections",
    "msd", "pit-distance", "pit-growth", "quality", "sizes", "speed-size", "time-courses",
)  # fmt: skip
"""Names of all figures that a report may have."""


def write_run_report(page: RunPage, folder: Path) -> None:
    """Write the report of a run.

    Parameters
    ----------
    page
        What it shows.
    folder
        Gets ``report.html``, one file that loads nothing, and ``figures`` with each figure as SVG
        and its numbers as CSV. Files there of figures that an earlier report had and this one has
        not are removed.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    figures = output_folder(folder / FOLDER)
    made: set[str] = set()

    def kept(blocks: Sequence[Drawing | Markup]) -> list[Markup]:
        made.update(block.name for block in blocks if isinstance(block, Drawing))
        return [keep(one, folder) if isinstance(one, Drawing) else one for one in blocks]

    with report_style():
        film = player(page)
        sections = [
            Section("At a glance", glance(page)),
            Section("Film", film.blocks),
            Section("Map of activity", kept(activity(page))),
            Section("Courses in time", kept(courses(page))),
            Section("Births of pits", kept(births(page))),
            Section("Growth of pits", kept(growth(page))),
            Section("Ejections of each pit", kept(raster(page))),
            Section("Sizes of particles", kept(sizes(page))),
            Section("Motion of particles", kept(motion(page))),
            Section("Current and events", kept(transients(page))),
            Section("Quality", kept(quality(page))),
            Section("Table of pits", pit_table(page)),
            Section("Table of events", event_table(page)),
            Section("How it was done", _how(page)),
        ]
    write_page(
        folder / PAGE,
        title=page.title,
        lead=[_lead(page)],
        sections=sections,
        style=render("run.css"),
        script=render("player.js") if film.moves else "",
    )
    for name in set(FIGURES) - made:
        for ending in (".csv", ".svg"):
            (figures / name).with_suffix(ending).unlink(missing_ok=True)


def _lead(page: RunPage) -> str:
    known = {name: value for name, value in page.conditions.items() if value is not None}
    units = {"_mm": "mM", "_v": "V", "_cm2": "cm²", "_um": "µm"}
    told = []
    for name, value in known.items():
        unit = next((unit for ending, unit in units.items() if name.endswith(ending)), "")
        plain = next((name.removesuffix(ending) for ending in units if name.endswith(ending)), name)
        told.append(f"{plain.replace('_', ' ')} {_short(value)} {unit}".strip())
    number = of(len(page.frames), "frame")
    return f"{number}; {', '.join(told)}." if told else f"{number}; conditions are not known."


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _how(page: RunPage) -> list[Markup]:
    told = paragraph(
        "Intervals are of 95 %. Those of medians take particles, or pits, of this one run as "
        "independent: they say nothing of how other runs would differ."
    )
    return [told, facts(page.manifest)]
