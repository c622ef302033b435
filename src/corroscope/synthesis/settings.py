"""Every setting of a synthetic sequence, with its meaning, unit and range."""

import math
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corroscope.errors import SettingsError
from corroscope.settings import check_settings, merge_settings

Share = Annotated[float, Field(ge=0, le=1)]

ROD: Final = 1.65
"""How much larger the radius of a needle is than that of a grain."""

GIANT: Final = 2.5
"""SDs of the logarithm of the radius that no particle exceeds."""

MOST_SAMPLES: Final = 10_000_000
"""Of the current: its record is made in one piece."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Surface(_Settings):
    """Polished metal before corrosion; contrasts are shares of the reflected light."""

    scratch_angle_deg: float = Field(34, ge=-180, le=180, description="of the polish; 0 = along x")
    scratch_spread_deg: float = Field(2, ge=0, le=90, description="SD of single scratches' angles")
    scratches_per_mpx: float = Field(150, ge=0, le=5000, description="single scratches seen apart")
    stripes: float = Field(0.0110, ge=0, le=0.2, description="SD of the fine polish")
    grain: float = Field(0.0130, ge=0, le=0.2, description="SD of the isotropic grain")
    haze: float = Field(0.0075, ge=0, le=0.2, description="SD of shades some 10 px wide")
    specks_per_mpx: float = Field(
        800, ge=0, le=20000, description="dark specks there from the start"
    )
    smudges_per_mpx: float = Field(
        50, ge=0, le=5000, description="faint stains and dust out of focus"
    )
    inclusions_per_mpx: float = Field(20, ge=0, le=5000, description="dark round inclusions")


class Pits(_Settings):
    """Pits: where and when they are born, how they grow and die."""

    per_mpx: float = Field(16, ge=0, le=1000, description="mean number by the end")
    fewest: int = Field(1, ge=0, le=1000, description="born at least")
    clustering: Share = Field(0.2, description="share born near an older pit")
    nucleation: float = Field(
        0.35, gt=0, le=10, description="time constant of nucleation, in durations of the run"
    )
    area_px: float = Field(
        1200, gt=0, le=1e6, description="median area of a pit that grew through the whole run"
    )
    area_spread: float = Field(0.6, ge=0, le=3, description="SD of the logarithm of that area")
    exponent: float = Field(1.0, ge=0.2, le=3, description="n in area ~ age^n")
    metastable: Share = Field(0.25, description="share that dies early")
    lifetime: float = Field(
        0.3, gt=0, le=10, description="mean life of those, in durations of the run"
    )
    lace: Share = Field(0.2, description="how much of the rim a lacy cover hides")
    halo: Share = Field(0.2, description="light that the grey halo takes away beside the pit")


class Particles(_Settings):
    """Corrosion products: how many, what they look like, how they move."""

    per_mpx: float = Field(640, ge=0, le=20000, description="mean number ejected by the end")
    burst: float = Field(4, ge=1, le=1000, description="mean number in one burst of a pit")
    radius_px: float = Field(1.25, ge=0.3, le=200, description="median radius of its own shadow")
    radius_spread: float = Field(0.36, ge=0, le=2, description="SD of the logarithm of the radius")
    rods: Share = Field(0.06, description="share of needles")
    clumps: Share = Field(0.2, description="share of clumps of several grains")
    opacity: tuple[float, float] = Field((0.6, 0.95), description="range of light taken away")
    speed_px_s: float = Field(250, ge=0, le=1e4, description="median speed at 10 px from the pit")
    drift_px_s: float = Field(3, ge=0, le=1e4, description="speed of the common drift")
    diffusion_px2_s: float = Field(4, ge=0, le=1e4, description="diffusion coefficient")
    settling_s: float = Field(5, gt=0, le=1e6, description="mean time until it has settled")
    suspended: Share = Field(0.14, description="share that never settles")
    defocus_px: float = Field(4.0, ge=0, le=100, description="mean blur radius while afloat")
    sticking: Share = Field(0.9, description="share that stays where it touched the metal")
    faintest: float = Field(
        0.05, gt=0, le=1, description="contrast under which truth holds a particle for unseen"
    )

    @property
    def largest_radius_px(self) -> float:
        """Radius of the largest particle that can come."""
        return self.radius_px * ROD * math.exp(GIANT * self.radius_spread)


class Bubbles(_Settings):
    """Gas bubbles, which look like rings and are no corrosion products."""

    per_mpx: float = Field(5, ge=0, le=1000, description="mean number born by the end")
    radius_px: float = Field(6, ge=1, le=200, description="median radius at detachment")
    lifetime: float = Field(0.5, gt=0, le=10, description="mean life, in durations of the run")


class Camera(_Settings):
    """What stands between the metal and the file."""

    point_spread_px: float = Field(0.69, ge=0, le=20, description="SD of the point spread")
    grey: float = Field(206, gt=0, le=255, description="grey level of bright metal")
    unevenness: Share = Field(0.08, description="light missing in the corners, at most")
    gain_end: float = Field(0.95, ge=0.5, le=1.5, description="gain at the end; 1 at the start")
    drift_px: float = Field(4, ge=0, le=100, description="how far the stage has moved by the end")
    noise_grey: float = Field(2.52, ge=0, le=100, description="SD of noise on bright metal")
    read_noise_grey: float = Field(0.8, ge=0, le=100, description="part of it without light")
    exposure_s: float = Field(0.02, ge=0, le=100, description="time over which motion blurs")
    jpeg_quality: int = Field(0, ge=0, le=100, description="0: no JPEG in between")
    dropped: float = Field(0.0, ge=0, le=0.9, description="share of frames lost")
    clock_jitter: float = Field(0.05, ge=0, le=0.4, description="SD of the clock, in intervals")


class Cell(_Settings):
    """The electrochemical cell, for file names and current."""

    concentration_mm: float = Field(30, gt=0, le=1e4, description="chloride, mmol/l")
    potential_v: float = Field(1.6, ge=-10, le=10, description="potential, V")
    start: datetime = Field(
        datetime(2024, 1, 15, 18, 27, 56, 446000),
        ge=datetime(1900, 1, 1),
        le=datetime(2999, 1, 1),
        description="wall clock of the first frame",
    )
    lead_s: float = Field(
        2.0, ge=0, le=86400, description="how long the current is recorded before"
    )
    pixel_size_um: float = Field(0.5, gt=0, le=1000, description="side of a pixel, µm")
    sampling_s: float = Field(0.1, gt=0, le=1000, description="interval of the current's record")
    passive_ua: float = Field(2.0, ge=0, le=1e6, description="current without pits, µA")
    noise_ua: float = Field(0.05, ge=0, le=1e6, description="SD of the current's noise, µA")


class SynthSettings(_Settings):
    """Settings of `corroscope.synth`.

    The defaults of surface, particles and camera were fitted to real frames, see
    ``docs/synthetic.md``.
    """

    frames: int = Field(20, ge=1, le=1_000_000, description="number of frames")
    height_px: int = Field(1024, ge=64, le=20000, description="height of a frame")
    width_px: int = Field(1024, ge=64, le=20000, description="width of a frame")
    interval_s: float = Field(1.0, ge=0.002, le=86400, description="time between frames")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of everything")
    surface: Surface = Surface()
    pits: Pits = Pits()
    particles: Particles = Particles()
    bubbles: Bubbles = Bubbles()
    camera: Camera = Camera()
    cell: Cell = Cell()

    @model_validator(mode="after")
    def _fits_together(self) -> "SynthSettings":
        low, high = self.particles.opacity
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"particles.opacity: {low, high} (allowed: two rising numbers, above 0, at most 1)"
            )
        largest, least = self.particles.largest_radius_px, min(self.height_px, self.width_px)
        if largest > least / 4:
            raise ValueError(
                f"particles.radius_px: {self.particles.radius_px:g} with a spread of "
                f"{self.particles.radius_spread:g} makes particles too large for frames of "
                f"{least} px (allowed: at most "
                f"{self.particles.radius_px * least / 4 / largest:.3g})"
            )
        if self.camera.exposure_s > self.interval_s:
            raise ValueError(
                f"camera.exposure_s: {self.camera.exposure_s:g} is longer than the interval "
                f"(allowed: at most {self.interval_s:g})"
            )
        if self.duration_s / self.cell.sampling_s > MOST_SAMPLES:
            raise ValueError(
                f"cell.sampling_s: {self.cell.sampling_s:g} gives too many samples of the current "
                f"(allowed: at least {self.duration_s / MOST_SAMPLES:.3g})"
            )
        if self.camera.read_noise_grey > self.camera.noise_grey:
            raise ValueError(
                f"camera.read_noise_grey: {self.camera.read_noise_grey} is a part of noise_grey "
                f"(allowed: at most {self.camera.noise_grey:g})"
            )
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self.height_px, self.width_px

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the end of the last interval."""
        return self.frames * self.interval_s


PRESETS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {
        "frames": 5,
        "height_px": 192,
        "width_px": 224,
        "pits": {"per_mpx": 30},
        "particles": {"per_mpx": 500},
    },
    "demo": {"frames": 30, "height_px": 612, "width_px": 816, "seed": 18},
    "frame": {"frames": 20, "height_px": 2448, "width_px": 2452},
}
"""What `tiny` (tests), `demo` and `frame` (the microscope's whole frame) change."""


def make_synth_settings(
    changes: dict[str, Any] | None = None, preset: str | None = None
) -> SynthSettings:
    """Check settings given by name, on top of a preset.

    Parameters
    ----------
    changes
        Settings that differ, nested as in `SynthSettings`.
    preset
        One of `PRESETS`.

    Returns
    -------
    SynthSettings
        All settings.

    Raises
    ------
    SettingsError
        If a name is unknown or a value is out of range; the message tells the range.

    Examples
    --------
    >>> make_synth_settings({"frames": 3}, "tiny").shape
    (192, 224)
    >>> make_synth_settings({"pits": {"per_mpx": -1}})
    Traceback (most recent call last):
    corroscope.errors.SettingsError: pits.per_mpx: -1 (allowed: at least 0, at most 1000)
    """
    if preset is not None and preset not in PRESETS:
        raise SettingsError(f"preset {preset!r}: unknown; choose from {', '.join(PRESETS)}")
    start = PRESETS[preset] if preset else {}
    return check_settings(SynthSettings, merge_settings(start, changes or {}))
