"""How far a frame's picture has moved against a reference, and whether that can be trusted."""

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from corroscope.errors import FrameError
from corroscope.frames.refinement import Tiles, contrast_texture, robust_spread
from corroscope.frames.resampling import check_frame

SMALLEST_SIDE_PX: Final = 32
"""Frames smaller than this hold too little texture to tell a shift."""

SEARCH_SHARE: Final = 0.25
"""Share of a side within which a shift is searched for."""

NEAR_PX: Final = 8.0
"""How far the shift may be from where it was said to be near."""

LEAST_PEAK: Final = 6.5
"""Height of the peak of the phase correlation, in standard deviations, for a match.

On the real patches, pairs of unlike surface reach 5.5 at most, halves of one surface at
two times 12 at least.
"""

LEAST_CORRELATION: Final = 0.3
"""Correlation of aligned texture under which two pictures are not of one surface.

On the real patches, halves of one surface reach 0.76 at least.
"""

LARGEST_SIGMA_PX: Final = 0.25
"""Standard error above which a shift is not held for known.

On the real patches, unlike surface has 0.44 at least, halves of one surface 0.08 at most.
"""

LEAST_TEXTURE: Final = 1e-4
"""Contrast under which a reference is held for blank; polished metal has a hundredfold."""

_COARSE_SIDE_PX: Final = 640
_TAPER_SHARE: Final = 0.125
_BAND: Final = (0.01, 0.25)

_Image = NDArray[np.float32]
_Vector = NDArray[np.float64]


class Alignment(NamedTuple):
    """Where a frame's picture is against the reference.

    What is at ``(y, x)`` in the reference is at ``(y + dy_px, x + dx_px)`` in the frame.

    Attributes
    ----------
    dy_px
        Rows by which the picture has moved; NaN where it is not aligned.
    dx_px
        Columns; likewise.
    correlation
        Of the fine texture of the two after alignment, without what has changed: 1 for
        equal ones. Noise lowers it.
    sigma_px
        Standard error of the shift, in the direction in which it is known least; infinite
        where it is not aligned.
    aligned
        False where the shift cannot be trusted: another surface, a blank, covered or
        saturated frame.
    """

    dy_px: float
    dx_px: float
    correlation: float
    sigma_px: float
    aligned: bool


class Aligner:
    """Measures how far frames have moved against one reference.

    A coarse shift comes from phase correlation (Kuglin & Hines 1975, Proc. IEEE Int. Conf.
    on Cybernetics and Society, 163–165) of reduced frames: parallel scratches correlate
    wherever they are, their phases do not. It is refined to sub-pixels by Gauss–Newton
    steps (Lucas & Kanade 1981, IJCAI, 674–679; driven by the reference's gradient, Baker &
    Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd) with Tukey's biweight, so that
    pits and particles do not count. Both look at contrast against the local
    background, which neither gain nor slow illumination changes.

    Parameters
    ----------
    reference
        ``(height, width)``, integer or floating point grey levels; at least 32 px a side.

    Raises
    ------
    FrameError
        If the reference is no grey frame, is too small, has pixels that are not finite,
        or shows nothing.

    Notes
    -----
    Large frames are compared in 16 tiles spread over the frame, in each part that whose
    texture tells most about the direction that it tells least about (Shi & Tomasi 1994,
    doi:10.1109/CVPR.1994.323794). The standard error is a sandwich estimate over blocks of
    16 px, which holds for neighbouring pixels that err together (White 1980,
    doi:10.2307/1912934); it does not know of errors that the whole frame has in common.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (140, 140)).astype(np.float32)
    >>> metal = cv2.GaussianBlur(metal, (0, 0), 1.5)
    >>> found = Aligner(metal[10:138, 10:138]).measure(metal[7:135, 12:140] * 0.9)
    >>> round(found.dy_px, 1), round(found.dx_px, 1), found.aligned
    (3.0, -2.0, True)
    """

    def __init__(self, reference: NDArray[Any]) -> None:
        check_frame(reference, "reference", SMALLEST_SIDE_PX)
        self._shape = reference.shape
        self._reduction = -(-max(reference.shape) // _COARSE_SIDE_PX)
        coarse = _reduced(reference, self._reduction)
        texture = contrast_texture(coarse)
        if robust_spread(texture) < LEAST_TEXTURE:
            raise FrameError(
                "the reference shows no texture at all; choose a frame with the surface in focus"
            )
        self._phases = _phases(texture)
        self._levels = {self._reduction: Tiles(coarse)}
        if self._reduction > 1:
            self._levels[1] = Tiles(reference)

    def measure(self, frame: NDArray[Any], near: tuple[float, float] | None = None) -> Alignment:
        """Measure how far a frame's picture has moved.

        Parameters
        ----------
        frame
            ``(height, width)``, of the reference's size; grey levels of any scale.
        near
            Rows and columns near which the shift is, to 8 px; without it, it is searched for
            up to a quarter of the sides. May be further than that, as long as the two
            pictures overlap.

        Returns
        -------
        Alignment
            Shift and how well it is known.

        Raises
        ------
        FrameError
            If the frame is no grey frame, is of another size than the reference, or has
            pixels that are not finite, or if ``near`` is not finite.
        """
        check_frame(frame, "frame", SMALLEST_SIDE_PX)
        if frame.shape != self._shape:
            raise FrameError(
                f"the frame is {frame.shape[0]}×{frame.shape[1]} px, the reference "
                f"{self._shape[0]}×{self._shape[1]} px; give frames of one size"
            )
        if near is not None and not np.isfinite(near).all():
            raise FrameError(f"near {near} px is no place to search at; leave it out")
        coarse = _reduced(frame, self._reduction)
        shift = self._search(coarse, near)
        if shift is None:
            return Alignment(np.nan, np.nan, 0.0, np.inf, False)
        for scale, level in self._levels.items():
            refined = level.refine(frame if scale == 1 else coarse, shift / scale)
            if refined is None:
                return Alignment(np.nan, np.nan, 0.0, np.inf, False)
            shift, sigma_px = refined.shift_px * scale, refined.sigma_px * scale
            correlation = refined.correlation
        if correlation < LEAST_CORRELATION or sigma_px > LARGEST_SIGMA_PX:
            return Alignment(np.nan, np.nan, correlation, np.inf, False)
        return Alignment(float(shift[0]), float(shift[1]), correlation, sigma_px, True)

    def _search(self, coarse: _Image, near: tuple[float, float] | None) -> _Vector | None:
        """Shift to the nearest coarse pixel, in pixels of the frame; None without a match."""
        product = _phases(contrast_texture(coarse)) * self._phases.conj()
        surface = fft.irfft2(product, coarse.shape, workers=1)
        spread = float(surface.std())
        if spread == 0:
            return None
        lengths = np.array(coarse.shape)
        if near is None:
            centre, reach = np.zeros(2), SEARCH_SHARE * lengths
        else:
            centre = np.asarray(near, np.float64) / self._reduction
            reach = np.full(2, max(NEAR_PX / self._reduction, 1.0))
        # The transform is periodic: of all shifts that look alike, that next to the centre.
        away = [
            (np.arange(n) - c + n / 2) % n - n / 2 for n, c in zip(lengths, centre, strict=True)
        ]
        allowed = (np.abs(away[0]) <= reach[0])[:, None] & (np.abs(away[1]) <= reach[1])
        place = np.unravel_index(np.argmax(np.where(allowed, surface, -np.inf)), surface.shape)
        if surface[place] < LEAST_PEAK * spread:
            return None
        offset = np.array([away[0][place[0]], away[1][place[1]]])
        return np.asarray((centre + offset) * self._reduction, np.float64)


def _reduced(image: NDArray[Any], reduction: int) -> _Image:
    height, width = (n // reduction for n in image.shape)
    whole = image[: height * reduction, : width * reduction]
    if whole.dtype not in (np.uint8, np.uint16, np.float32):
        whole = whole.astype(np.float32)
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _phases(texture: _Image) -> NDArray[np.complex64]:
    """Phases of the spectrum, within the band that holds neither shades nor noise."""
    # Clipped once more: a pit would have a say at every frequency.
    most = 3 * robust_spread(texture)
    rows, columns = (_taper(length) for length in texture.shape)
    seen = np.clip(texture, -most, most) * rows[:, None] * columns
    spectrum = fft.rfft2(seen, workers=1)
    frequency = np.hypot(
        fft.fftfreq(texture.shape[0])[:, None], fft.rfftfreq(texture.shape[1])[None]
    )
    band = (frequency > _BAND[0]) * np.exp(-((frequency / _BAND[1]) ** 4) / 2)
    size = np.abs(spectrum)
    phases = np.zeros_like(spectrum)
    return np.asarray(np.divide(spectrum * band, size, out=phases, where=size > 0), np.complex64)


def _taper(length: int) -> _Image:
    """Weights that fall to nothing at both ends, where the picture meets its repetition."""
    rim = int(_TAPER_SHARE * length)
    rise = np.sin(np.pi / 2 * (np.arange(rim) + 0.5) / rim) ** 2
    return np.concatenate([rise, np.ones(length - 2 * rim), rise[::-1]]).astype(np.float32)
