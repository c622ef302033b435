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
    Column("time_s", "float64", "s", "time from the first frame; empty where unknown"),
    Column("particle", "int64", "", "1, 2, … in each image, from top to bottom"),
    Column("y_px", "float64", "px", "row of the centroid, pixel centres at integers"),
    Column("x_px", "float64", "px", "column of the centroid"),
    Column("y_ref_px", "float64", "px", "row in the reference; empty without one"),
    Column("x_ref_px", "float64", "px", "column in the reference"),
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

FRAMES: Final = (
    Column("image", "str", "", "file name of the frame"),
    Column("frame", "int64", "", "0, 1, … in order of time"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("dy_px", "float64", "px", "rows by which the picture has moved since the reference"),
    Column("dx_px", "float64", "px", "columns by which it has moved"),
    Column("gain", "float64", "", "brightness against the reference"),
)
"""One row for each frame of a sequence."""

ALIGNED_FRAMES: Final = (
    *FRAMES,
    Column("drift_sigma_px", "float64", "px", "standard error of the drift as measured"),
    Column("correlation", "float64", "", "of the texture with the reference's, aligned"),
    Column("aligned", "bool", "", "whether its own drift was measured and is believed"),
    Column("flagged", "bool", "", "no drift of its own, or one unlike that of frames around it"),
    Column("remark", "str", "", "what is wrong with it; empty for a good frame"),
)
"""One row for each frame that was to be aligned; numbers are empty where unknown."""

SEGMENTED_FRAMES: Final = (
    *ALIGNED_FRAMES[:-1],
    Column("segmented", "bool", "", "false for a gap: nothing is known of its particles"),
    Column("particles", "Int64", "", "number of particles found; empty in a gap"),
    ALIGNED_FRAMES[-1],
)
"""One row for each frame of a run."""

TRUE_PARTICLES: Final = (
    Column("image", "str", "", "file name of the frame"),
    Column("frame", "int64", "", "0, 1, … in order of time"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("particle", "int64", "", "its number in the frame's instance mask, the same in all"),
    Column("y_px", "float64", "px", "row of its centre, pixel centres at integers"),
    Column("x_px", "float64", "px", "column of its centre"),
    Column("y_ref_px", "float64", "px", "row in the reference frame"),
    Column("x_ref_px", "float64", "px", "column in the reference frame"),
    Column("area_px", "int64", "px²", "number of its pixels in the instance mask"),
    Column("equivalent_diameter_px", "float64", "px", "diameter of the disc of this area"),
    Column("contrast", "float64", "", "mean share of the light that it takes away there"),
    Column("pit", "int64", "", "the pit that ejected it"),
)
"""One row for each particle that can be seen in a synthetic frame."""

TRUE_TRACKS: Final = (
    Column("track", "int64", "", "1, 2, … in order of birth"),
    *TRUE_PARTICLES,
    Column("blur_px", "float64", "px", "radius of its blur out of focus"),
    Column("state", "str", "", "afloat, settled or stuck"),
    Column("aggregate", "int64", "", "smallest track among those that it clings to, or its own"),
    Column("seen", "bool", "", "whether it can be seen; if not, it is in no mask"),
)
"""One row for each product in a synthetic frame, whether it can be seen or not."""

PITS: Final = (
    Column("pit", "int64", "", "1, 2, … in order of birth"),
    Column("frame", "int64", "", "0, 1, … in order of time"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("y_ref_px", "float64", "px", "row of its centre in the reference frame"),
    Column("x_ref_px", "float64", "px", "column of its centre"),
    Column("area_px", "float64", "px²", "open area"),
    Column("growing", "bool", "", "whether it grows"),
)
"""One row for each pit in each frame since its birth."""

EVENTS: Final = (
    Column("event", "str", "", "nucleation or death of a pit, ejection of a particle"),
    Column("frame", "int64", "", "the first frame at that time or later"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("pit", "int64", "", "the pit"),
    Column("track", "int64", "", "the particle's track; 0 where it is about a pit"),
)
"""One row for each event, in order of time."""

TRACKS: Final = (
    Column("track", "int64", "", "1, 2, … in order of their first frames"),
    *PARTICLES,
    Column("state", "str", "", "afloat, or settled where it has come to rest"),
    Column("step_s", "float64", "s", "time since the track's row before; empty in its first"),
    Column("step_y_px", "float64", "px", "rows moved since then, in the reference"),
    Column("step_x_px", "float64", "px", "columns moved since then"),
    Column("speed_px_s", "float64", "px/s", "length of that step over its time"),
    Column(
        "joined", "bool", "", "whether its particle is a clump that other tracks are in as well"
    ),
)
"""One row for each particle in a track; a clump is a row of each track in it."""

TRACK_SUMMARY: Final = (
    Column("track", "int64", "", "as in the table of tracks"),
    Column("first_frame", "int64", "", "in which it was first seen"),
    Column("last_frame", "int64", "", "in which it was last seen"),
    Column("first_s", "float64", "s", "time of its first frame"),
    Column("last_s", "float64", "s", "time of its last frame"),
    Column("seen", "int64", "", "number of frames in which it was found"),
    Column("missed", "int64", "", "usable frames in between in which it was not"),
    Column("y_first_px", "float64", "px", "row where it was first seen, in the reference"),
    Column("x_first_px", "float64", "px", "column where it was first seen"),
    Column("y_last_px", "float64", "px", "row where it was last seen"),
    Column("x_last_px", "float64", "px", "column where it was last seen"),
    Column("area_px", "float64", "px²", "median area, at rest if it came to rest"),
    Column("contrast", "float64", "", "median contrast over the same rows"),
    Column("path_px", "float64", "px", "length of its path while afloat"),
    Column("displacement_px", "float64", "px", "from where it was first seen to where last"),
    Column("speed_px_s", "float64", "px/s", "median over its steps afloat; empty without one"),
    Column("direction_deg", "float64", "°", "of its displacement, 0 along x, 90 up in the picture"),
    Column("settled_s", "float64", "s", "time from which it is at rest; empty if it never is"),
    Column("merged_into", "int64", "", "track of the clump that it went into; 0 for none"),
    Column("quality", "float64", "", "probability that all its links are right"),
    Column("pit", "int64", "", "mother pit; 0 where none is known"),
    Column("pit_probability", "float64", "", "of that pit, among all pits and none"),
    Column("pit_distance_px", "float64", "px", "from that pit to where it was last seen"),
    Column(
        "ejected_probability",
        "float64",
        "",
        "that this pit, or any where none is named, ejected it when it was first seen",
    ),
    Column("ejected_s", "float64", "s", "when it left its mother pit, by its flight"),
)
"""One row for each track."""

OPENINGS: Final = (
    Column("frame", "int64", "", "0, 1, … in order of time"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("opening", "int64", "", "1, 2, … in each frame"),
    Column("y_px", "float64", "px", "row of the centroid"),
    Column("x_px", "float64", "px", "column of the centroid"),
    Column("y_ref_px", "float64", "px", "row in the reference"),
    Column("x_ref_px", "float64", "px", "column in the reference"),
    Column("area_px", "int64", "px²", "number of dark pixels"),
    Column(
        "soft_area_px", "float64", "px²", "light that is missing there, as area of full darkness"
    ),
    Column("depth", "float64", "", "share of the background's light missing in its darkest part"),
    Column("bbox_top_px", "int64", "px", "first row"),
    Column("bbox_left_px", "int64", "px", "first column"),
    Column("bbox_bottom_px", "int64", "px", "last row + 1"),
    Column("bbox_right_px", "int64", "px", "last column + 1"),
)
"""One row for each dark region that the reference did not have: a pit's opening, or a particle."""

FOLLOWED_PITS: Final = (
    *PITS,
    Column("equivalent_radius_px", "float64", "px", "radius of the disc of this area"),
    Column(
        "measured", "bool", "", "false where the frame does not show it and the area is a guess"
    ),
)
"""One row for each pit in each frame since its birth."""

PIT_SUMMARY: Final = (
    Column("pit", "int64", "", "1, 2, … in order of birth"),
    Column("y_ref_px", "float64", "px", "row of its centre in the reference"),
    Column("x_ref_px", "float64", "px", "column of its centre"),
    Column("born_frame", "int64", "", "first frame at its birth or later"),
    Column("born_s", "float64", "s", "birth: where its area, as fitted, is nothing"),
    Column("born_low_s", "float64", "s", "lower end of the 95 % interval of its birth"),
    Column("born_high_s", "float64", "s", "upper end"),
    Column("died_s", "float64", "s", "when it ceased to grow; empty if it did not"),
    Column("area_px", "float64", "px²", "area when last seen"),
    Column("equivalent_radius_px", "float64", "px", "radius of the disc of this area"),
    Column("exponent", "float64", "", "n of area = c · age^n; empty where too little was seen"),
    Column("exponent_low", "float64", "", "lower end of its 95 % interval"),
    Column("exponent_high", "float64", "", "upper end"),
    Column("coefficient_px", "float64", "px²", "c of that law: area at the age of 1 s"),
    Column("fitted", "int64", "", "number of areas that the law was fitted to"),
    Column("kind", "str", "", "stable, metastable, dead, or undecided where too little was seen"),
    Column("merged_into", "int64", "", "pit that it grew together with; 0 for none"),
    Column("merged_s", "float64", "s", "when; empty where it did not"),
)
"""One row for each pit."""

FOLLOWED_EVENTS: Final = (
    *EVENTS,
    Column("particles", "int64", "", "number of particles that it is about; 0 for a pit alone"),
    Column("probability", "float64", "", "that it happened, at this pit where one is named"),
)
"""One row for each nucleation, death, merger, ejection, burst and settling, in order of time."""

RATES: Final = (
    Column("pit", "int64", "", "0 for all together, whatever their pit"),
    Column("frame", "int64", "", "0, 1, … in order of time"),
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("ejections", "Int64", "", "since the usable frame before; empty in a gap"),
    Column("ejections_total", "int64", "", "in this frame or before"),
    Column("ejections_per_s", "float64", "1/s", "smoothed; empty where times are unknown"),
    Column("births", "int64", "", "pits born since the frame before"),
    Column("growing", "int64", "", "pits that grow"),
    Column("particles", "Int64", "", "particles seen; empty in a gap"),
)
"""One row for each frame, of all pits together and of each."""

JUDGED_PARTICLES: Final = (
    Column("side", "str", "", "annotated or predicted"),
    Column("particle", "int64", "", "1, 2, … on each side of an image, from top to bottom"),
    Column("y_px", "float64", "px", "row of the centroid, pixel centres at integers"),
    Column("x_px", "float64", "px", "column of the centroid"),
    Column("area_px", "int64", "px²", "number of pixels that are not ignored"),
    Column("contrast", "float64", "", "mean share of the background's light that is missing"),
    Column("score", "float64", "", "mean probability over the particle's pixels"),
    Column("partner", "int64", "", "its particle of the other side, at IoU ≥ 0.3; 0 for none"),
    Column("iou", "float64", "", "intersection over union with the partner; empty without"),
    Column("partner_area_px", "float64", "px²", "area of the partner; empty without one"),
    Column("matched_iou_30", "bool", "", "whether it is of a pair at IoU ≥ 0.3"),
    Column("matched_iou_50", "bool", "", "whether it is of a pair at IoU ≥ 0.5"),
    Column("matched_3px", "bool", "", "whether it is of a pair with centroids ≤ 3 px apart"),
)
"""One row for each particle of a prediction or of an annotation, and what became of it."""
