"""A synthetic run: the state of everything at each time, pictures of it, and its truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.synthesis.bubbles import draw_bubbles, make_bubbles
from corroscope.synthesis.camera import Takes, blur, expose, make_lamp, plan_takes
from corroscope.synthesis.ejection import eject
from corroscope.synthesis.pits import draw_pit, found_pits
from corroscope.synthesis.settings import SynthSettings
from corroscope.synthesis.shapes import overlap, shadow
from corroscope.synthesis.surface import draw_surface
from corroscope.synthesis.transport import Swarm, move

OUTLINE: Final = 0.58
"""Share of its contrast at which a particle seems to end."""

LONGEST_SMEAR_PX: Final = 64.0
"""A product that moves further during the exposure is too faint to be seen anyway."""

CROSS: Final = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
"""Annotators draw a particle's outline about a pixel outside of that."""


@dataclass(frozen=True)
class Scene:
    """One picture and its truth.

    Attributes
    ----------
    index
        Which of the planned frames it is.
    time_s
        When it was taken, from the first frame.
    drift_px
        Rows and columns from the reference frame to this one.
    gain
        Of the camera.
    frame
        ``(height, width)`` uint8.
    instances
        ``(height, width)`` int32: the track of the particle seen there; 0 for none.
    tracks
        A row for each product that is in the picture: ``particle`` (its number in
        ``instances``, which is its track), places, ``contrast``, ``state``, ``seen``.
    pits
        A row for each pit born so far: place, area, whether it grows.
    """

    index: int
    time_s: float
    drift_px: tuple[float, float]
    gain: float
    frame: NDArray[np.uint8]
    instances: NDArray[np.int32]
    tracks: pd.DataFrame
    pits: pd.DataFrame

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``(height, width)``, true in particles."""
        return np.asarray(self.instances > 0)


class Window(NamedTuple):
    """A part of the surface, in pixels of the reference frame."""

    top: int
    left: int
    height: int
    width: int


class Experiment:
    """Everything that happens in a synthetic run, fixed by its settings alone.

    Parameters
    ----------
    settings
        Of the run.

    Attributes
    ----------
    settings : SynthSettings
        As given.
    takes : Takes
        When and how frames are taken.
    pits : list of Pit
        In order of birth.
    products : list of Product
        Corrosion products, in order of birth; the first one is track 1.

    Examples
    --------
    >>> from corroscope.synthesis.settings import make_synth_settings
    >>> scenes = list(Experiment(make_synth_settings({"frames": 2}, "tiny")).scenes())
    >>> [scene.frame.shape for scene in scenes]
    [(192, 224), (192, 224)]
    """

    def __init__(self, settings: SynthSettings) -> None:
        self.settings = settings
        # Each part has a source of its own: more pits do not change the scratches.
        names = ("pits", "products", "bubbles", "camera", "surface", "lamp", "motion")
        seeds = dict(zip(names, np.random.SeedSequence(settings.seed).spawn(7), strict=True))
        self._seeds = {name: seeds[name] for name in ("surface", "lamp", "motion")}
        self.takes: Takes = plan_takes(settings, np.random.default_rng(seeds["camera"]))
        self.pits = found_pits(settings.shape, settings, np.random.default_rng(seeds["pits"]))
        self.products = eject(
            self.pits, settings.shape, settings, np.random.default_rng(seeds["products"])
        )
        self._bubbles = make_bubbles(
            settings.shape, settings, np.random.default_rng(seeds["bubbles"])
        )

    def scenes(self) -> Iterator[Scene]:
        """Take all pictures, one at a time.

        Yields
        ------
        Scene
            In order of time, without those that the camera lost.
        """
        yield from self._run(Window(0, 0, *self.settings.shape), np.flatnonzero(self.takes.kept))

    def scenes_through(self, window: Window, indices: Sequence[int]) -> Iterator[Scene]:
        """Take some pictures through a window.

        The metal behind it is another one than in `scenes`, with the same polish. Places
        in ``tracks`` count from the window's corner, those in ``pits`` from the surface's.

        Parameters
        ----------
        window
            The part of the surface.
        indices
            Which of the planned frames, in rising order.

        Yields
        ------
        Scene
            As if all pictures in between had been taken.
        """
        yield from self._run(window, np.asarray(indices))

    def _run(self, window: Window, indices: NDArray[np.int64]) -> Iterator[Scene]:
        settings = self.settings
        surface, lamps, motion = map(np.random.default_rng, self._seeds.values())
        # What the drift brings into the picture has to be there.
        margin = int(np.ceil(np.abs(self.takes.drift_px).max())) + 4
        shape = (window.height + 2 * margin, window.width + 2 * margin)
        metal = draw_surface(shape, settings.surface, surface)
        lamp = make_lamp(settings.shape, settings.camera.unevenness, lamps)
        lamp = lamp[window.top :, window.left :][: window.height, : window.width]
        swarm, particles = Swarm(self.products), settings.particles
        angle = motion.uniform(0, 2 * np.pi)
        drift_px_s = (
            particles.drift_px_s * float(np.sin(angle)),
            particles.drift_px_s * float(np.cos(angle)),
        )
        for index, time_s in enumerate(self.takes.time_s[: int(indices[-1]) + 1]):
            move(
                swarm,
                self.pits,
                float(time_s),
                particles.diffusion_px2_s,
                particles.sticking,
                drift_px_s,
                motion,
            )
            if index in indices:
                yield self._take(index, window, metal, margin, lamp, swarm)

    def _take(
        self,
        index: int,
        window: Window,
        metal: NDArray[np.float32],
        margin: int,
        lamp: NDArray[np.float32],
        swarm: Swarm,
    ) -> Scene:
        settings, time_s = self.settings, float(self.takes.time_s[index])
        drift = (float(self.takes.drift_px[index, 0]), float(self.takes.drift_px[index, 1]))
        gain = float(self.takes.gain[index])
        shift = (drift[0] - window.top, drift[1] - window.left)
        # The first picture has no drift and is drawn in the same way: a picture that is
        # not interpolated would be sharper than the others.
        move_by = np.array([[1, 0, drift[1] - margin], [0, 1, drift[0] - margin]], np.float64)
        size = (window.width, window.height)
        light = np.asarray(
            cv2.warpAffine(metal, move_by, size, flags=cv2.INTER_LANCZOS4), np.float32
        )
        pit_rows = []
        opened = np.zeros(light.shape, bool)
        for pit in self.pits:
            if pit.born_s > time_s:
                break
            here = draw_pit(light, pit, time_s, shift)
            if here is not None:
                opened |= here
            pit_rows.append(
                {
                    "pit": pit.number,
                    "y_ref_px": pit.y_px,
                    "x_ref_px": pit.x_px,
                    "area_px": float(pit.area_px(time_s)),
                    "growing": pit.lives(time_s),
                }
            )
        draw_bubbles(light, self._bubbles, time_s, shift)
        instances = np.zeros(light.shape, np.int32)
        tracks = self._draw_products(light, instances, opened, swarm, shift, drift)
        rng = np.random.default_rng([settings.seed, 1, index])
        return Scene(
            index=index,
            time_s=time_s,
            drift_px=drift,
            gain=gain,
            frame=expose(light, lamp, gain, settings.camera, rng),
            instances=instances,
            tracks=tracks,
            pits=pd.DataFrame(pit_rows, columns=PIT_COLUMNS),
        )

    def _draw_products(
        self,
        light: NDArray[np.float32],
        instances: NDArray[np.int32],
        opened: NDArray[np.bool_],
        swarm: Swarm,
        shift: tuple[float, float],
        drift: tuple[float, float],
    ) -> pd.DataFrame:
        settings = self.settings
        rows: list[dict[str, Any]] = []
        for number in np.flatnonzero(swarm.born):
            product, place = self.products[number], swarm.place_px[number]
            y, x = float(place[0] + shift[0]), float(place[1] + shift[1])
            row, column = round(y), round(x)
            far = float(np.abs(product.outline).max() + swarm.blur_px[number]) + LONGEST_SMEAR_PX
            if not (-far < row < light.shape[0] + far and -far < column < light.shape[1] + far):
                continue
            offset = (y - row, x - column)
            cover, reach = shadow(product.outline, offset, float(swarm.blur_px[number]))
            smear = swarm.speed_px_s[number] * settings.camera.exposure_s
            cover, reach = _smeared(cover, reach, smear)
            here, there = overlap(light.shape, row - reach, column - reach, cover.shape)
            if here[0].start == here[0].stop or here[1].start == here[1].stop:
                continue
            light[here] *= 1 - np.float32(product.opacity) * cover[there]
            # What a person sees of it, through the same optics.
            rim = 4 + int(9 * settings.camera.point_spread_px)
            seen = product.opacity * blur(np.pad(cover, rim), settings.camera.point_spread_px)
            peak = float(seen.max())
            body = cv2.dilate((seen >= OUTLINE * peak).astype(np.uint8), CROSS)
            here, there = overlap(light.shape, row - reach - rim, column - reach - rim, seen.shape)
            visible = (body[there] > 0) & ~opened[here]
            is_seen = peak >= settings.particles.faintest and bool(visible.any())
            if is_seen:
                instances[here][visible] = number + 1
            rows.append(
                {
                    "particle": int(number) + 1,
                    "pit": product.pit,
                    "y_px": y,
                    "x_px": x,
                    "y_ref_px": y - drift[0],
                    "x_ref_px": x - drift[1],
                    "contrast": float(seen[body > 0].mean()),
                    "blur_px": float(swarm.blur_px[number]),
                    "state": "stuck" if swarm.stuck[number] else
                             "settled" if swarm.settled[number] else "afloat",
                    "aggregate": int(swarm.aggregate[number]),
                    "seen": is_seen,
                }
            )  # fmt: skip
        tracks = pd.DataFrame(rows, columns=TRACK_COLUMNS)
        # Later ones may hide earlier ones; what is left of each counts.
        areas = np.bincount(instances.ravel(), minlength=len(self.products) + 1)
        tracks["area_px"] = areas[tracks["particle"].to_numpy(int)]
        tracks["equivalent_diameter_px"] = np.sqrt(4 * tracks["area_px"] / np.pi)
        tracks["seen"] &= tracks["area_px"] > 0
        return tracks


TRACK_COLUMNS: Final = [
    "particle", "pit", "y_px", "x_px", "y_ref_px", "x_ref_px", "contrast", "blur_px",
    "state", "aggregate", "seen",
]  # fmt: skip

PIT_COLUMNS: Final = ["pit", "y_ref_px", "x_ref_px", "area_px", "growing"]


def _smeared(
    cover: NDArray[np.float32], reach: int, smear_px: NDArray[np.float64]
) -> tuple[NDArray[np.float32], int]:
    """Blur along the path that a product takes during the exposure."""
    length = float(np.hypot(*smear_px))
    if length < 0.7:
        return cover, reach
    smear_px = smear_px * min(1.0, LONGEST_SMEAR_PX / length)
    length = min(length, LONGEST_SMEAR_PX)
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    ends = [np.rint((half + sign * smear_px[::-1] / 2) * 16).astype(int) for sign in (-1, 1)]
    start, stop = (tuple(int(v) for v in end) for end in ends)
    cv2.line(kernel, start, stop, 255, 1, cv2.LINE_AA, 4)
    weights = kernel.astype(np.float32) / max(float(kernel.sum()), 1.0)
    padded = np.pad(cover, half)
    return np.asarray(cv2.filter2D(padded, -1, weights), np.float32), reach + half
