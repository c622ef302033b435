"""Which patches show a common piece of metal, and splits that never divide one.

Scratches are the fingerprint of a surface. A network that has seen a patch in
training knows the scratches and the static specks of its neighbours as well, so a
random split, or one by file name, measures memory and not recognition.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from corroscope.errors import DatasetError
from corroscope.frames.contrast import relative_contrast
from corroscope.learning.dataset import Patch

SMALLEST_OVERLAP = 0.10
"""Fraction of the smaller patch that two patches must share for pixels to tell."""

SAME_SURFACE_CORRELATION = 0.36
"""Correlation of whitened texture from which two overlapping pieces are one surface.

On the real patches, pairs that share surface reach 0.43 at least, others 0.30 at most.
"""


def shared_surface(patches: Sequence[Patch]) -> NDArray[np.bool_]:
    """Which pairs of patches show a common piece of metal.

    From positions where both patches have one, from surface groups where both have
    one, else from the pixels: the normalised cross-correlation of whitened texture
    over every overlap of at least `SMALLEST_OVERLAP`. Positions are taken as given: patches
    that only touch do not share, although drift may bring a strip of a few pixels of
    the one into the other at another time.

    Parameters
    ----------
    patches
        ``n`` patches.

    Returns
    -------
    ndarray of bool
        ``(n, n)``, symmetric, true on the diagonal.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 160), dtype=np.uint8)
    >>> empty = np.zeros((96, 96), bool)
    >>> left, right = Patch("a", metal[:, :96], empty), Patch("b", metal[:, 64:], empty)
    >>> other = Patch("c", metal[::-1, :96], empty)
    >>> shared_surface([left, right, other]).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    count = len(patches)
    shared = np.eye(count, dtype=bool)
    textures = _Textures(patches)
    for i in range(count):
        for j in range(i):
            shared[i, j] = shared[j, i] = _share(patches[i], patches[j], textures, i, j)
    return shared


def surface_folds(shared: NDArray[np.bool_], folds: int) -> list[tuple[list[int], list[int]]]:
    """Split patches into folds whose training and validation share no surface.

    Every patch is validated once. Patches are put in an order in which neighbours
    on the metal stand together (reverse Cuthill–McKee, surface by surface) and that
    order is cut into equal parts. A patch that shares surface with one under
    validation is left out of that fold's training.

    Parameters
    ----------
    shared
        ``(n, n)``, what `shared_surface` returned.
    folds
        Number of folds, at least 2.

    Returns
    -------
    list of (list of int, list of int)
        Indices for training and for validation, for each fold.

    Raises
    ------
    DatasetError
        If a fold would have nothing to train on, because the patches show too few
        separate pieces of surface.

    Examples
    --------
    >>> shared = np.eye(4, dtype=bool)
    >>> shared[0, 3] = shared[3, 0] = True
    >>> for training, validation in sorted(surface_folds(shared, 2)):
    ...     print(training, validation)
    [0, 3] [1, 2]
    [1, 2] [0, 3]
    """
    count = len(shared)
    if not 2 <= folds <= count:
        raise DatasetError(
            f"{folds} folds of {count} patches are not possible; ask for 2 or more, and "
            "annotate at least as many patches"
        )
    order = reverse_cuthill_mckee(sparse.csr_matrix(shared), symmetric_mode=True)
    splits = []
    for part in np.array_split(order, folds):
        neighbours = shared[part].any(axis=0)
        training = np.flatnonzero(~neighbours)
        if training.size == 0:
            raise DatasetError(
                f"all {count} patches share surface with those of one fold, nothing is left to "
                "train on; annotate patches from other places"
            )
        splits.append((training.tolist(), sorted(part.tolist())))
    return splits


def _share(a: Patch, b: Patch, textures: "_Textures", i: int, j: int) -> bool:
    if a.corner_px is not None and b.corner_px is not None:
        return all(
            start_a < start_b + length_b and start_b < start_a + length_a
            for start_a, length_a, start_b, length_b in zip(
                a.corner_px, a.frame.shape, b.corner_px, b.frame.shape, strict=True
            )
        )
    if a.surface_group is not None and b.surface_group is not None:
        return a.surface_group == b.surface_group
    return textures.best_correlation(i, j) >= SAME_SURFACE_CORRELATION


class _Textures:
    """Spectra and energies of all patches, so that a pair costs one inverse transform."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = patches
        rows = 2 * max(p.frame.shape[0] for p in patches)
        cols = 2 * max(p.frame.shape[1] for p in patches)
        self._shape = (fft.next_fast_len(rows, real=True), fft.next_fast_len(cols, real=True))
        self._spectra: dict[int, tuple[NDArray[np.complex64], ...]] = {}

    def best_correlation(self, i: int, j: int) -> float:
        """Highest correlation over all shifts of patch ``j`` against patch ``i``."""
        texture_i, energy_i, support_i = self._of(i)
        texture_j, energy_j, support_j = self._of(j)

        def correlate(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float32]:
            return np.asarray(fft.irfft2(a * b.conj(), self._shape, workers=1), np.float32)

        overlap = correlate(support_i, support_j)
        smallest = min(self._patches[i].frame.size, self._patches[j].frame.size)
        energy = correlate(energy_i, support_j) * correlate(support_i, energy_j)
        valid = (overlap >= SMALLEST_OVERLAP * smallest) & (energy > 0)
        product = correlate(texture_i, texture_j)
        return float((product[valid] / np.sqrt(energy[valid])).max(initial=0.0))

    def _of(self, index: int) -> tuple[NDArray[np.complex64], ...]:
        if index not in self._spectra:
            texture = _whitened(self._patches[index].frame)
            planes = (texture, texture**2, np.ones_like(texture))
            self._spectra[index] = tuple(
                np.asarray(fft.rfft2(plane, self._shape), np.complex64) for plane in planes
            )
        return self._spectra[index]


def _whitened(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """Fine texture in which every direction and scale counts alike.

    Polishing scratches run in parallel all over a surface, so that two pieces of it
    correlate wherever they are. Divided by the patch's own spectrum, what is left to
    correlate is where each scratch and speck is, and that is unlike anywhere else.
    """
    # Clipping keeps one dark pit from deciding alone.
    contrast = np.clip(relative_contrast(frame, 8.0), -0.05, 0.05)
    rim = [(length // 2, length // 2) for length in contrast.shape]
    mirrored = np.pad(contrast, rim, mode="reflect")
    spectrum = fft.fft2(mirrored)
    power = ndimage.gaussian_filter(np.abs(spectrum) ** 2, 4, mode="wrap")
    frequency = np.hypot(
        fft.fftfreq(mirrored.shape[0])[:, None], fft.fftfreq(mirrored.shape[1])[None]
    )
    # Neither what is left of the background nor the camera's noise between pixels.
    band = np.exp(-((frequency / 0.25) ** 4)) * (frequency > 0.01)
    white = fft.ifft2(spectrum * band / np.sqrt(power + np.finfo(np.float32).tiny)).real
    inner = white[rim[0][0] : rim[0][0] + contrast.shape[0], rim[1][0] :][:, : contrast.shape[1]]
    spread = float(inner.std()) or 1.0
    return np.asarray(np.clip((inner - inner.mean()) / spread, -4, 4), np.float32)
