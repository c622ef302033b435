"""The columns of every table, with type, unit and meaning."""

from typing import Final, NamedTuple


class Column(NamedTuple):
    """One column of a table.

    Attributes
    ----------
    name
        Its name, which ends with its unit where it has one.
    dtype
        Its pandas dtype.
    unit
        Its unit; empty for a number without one.
    meaning
        What it says, in one line.
    """

    name: str
    dtype: str
    unit: str
    meaning: str


PARTICLES: Final = (
    Column("image", "str", "", "file name of the image"),
    Column("frame", "int64", "", "0, 1, … in the order given"),
    Column("time_s", "float64", "s", "time of the frame; empty where unknown"),
    Column("particle", "int64", "", "1, 2, … in each image, from top to bottom"),
    Column("y_px", "float64", "px", "row of the centroid, pixel centres at integers"),
    Column("x_px", "float64", "px", "column of the centroid"),
    Column("area_px", "int64", "px²", "number of pixels"),
    Column("equivalent_diameter_px", "float64", "px", "diameter of the disc of this area"),
    Column("eccentricity", "float64", "", "of the ellipse with these second moments, 0 a disc"),
    Column("contrast", "float64", "", "mean share of the background's light that is missing"),
    Column("score", "float64", "", "mean probability over the particle's pixels"),
    Column("bbox_top_px", "int64", "px", "first row"),
    Column("bbox_left_px", "int64", "px", "first column"),
    Column("bbox_bottom_px", "int64", "px", "last row + 1"),
    Column("bbox_right_px", "int64", "px", "last column + 1"),
)
"""One row for each particle of each image."""

PARTICLES_UM: Final = (
    Column("y_um", "float64", "µm", "y_px times the pixel size"),
    Column("x_um", "float64", "µm", "x_px times the pixel size"),
    Column("area_um2", "float64", "µm²", "area_px times the pixel size squared"),
    Column("equivalent_diameter_um", "float64", "µm", "in micrometres"),
)
"""Further columns, where the pixel size is known."""
