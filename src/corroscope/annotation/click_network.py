"""The click network: how likely each pixel belongs to the particle that was clicked."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.surroundings import PLANES, WINDOW_PX
from corroscope.errors import BundleError
from corroscope.segmentation.engines import import_onnxruntime

_AT_ONCE: Final = 64  # more do not fit the processor's cache


class ClickNetwork:
    """A network as `corroscope.learning.clicks.to_onnx` writes it.

    Parameters
    ----------
    content
        The ONNX file.
    name
        What to call it in errors.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot read it, or it is another kind of network.
    """

    def __init__(self, content: bytes, name: str = "click network") -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # too small to share out
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no public base class
            raise BundleError(f"{name}: not a network ({error}); install corroscope anew") from None
        shape = self._session.get_inputs()[0].shape[1:]
        if shape != [PLANES, WINDOW_PX, WINDOW_PX]:
            raise BundleError(f"{name}: takes {shape} numbers, so it is not a click network")

    def belonging(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of each pixel to belong to the clicked particle.

        Parameters
        ----------
        planes
            ``(clicks, 5, 24, 24)`` float32, from `corroscope.annotation.surroundings`.

        Returns
        -------
        ndarray of float32
            ``(clicks, 24, 24)``.

        Examples
        --------
        >>> shipped_click_network().belonging(np.zeros((2, 5, 24, 24), np.float32)).shape
        (2, 24, 24)
        """
        probability = np.empty((len(planes), WINDOW_PX, WINDOW_PX), np.float32)
        for start in range(0, len(planes), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            probability[part] = self._session.run(None, {"planes": planes[part]})[0]
        return probability


def read_click_network(path: str | Path) -> ClickNetwork:
    """Read a click network of one's own.

    Parameters
    ----------
    path
        The ONNX file.

    Returns
    -------
    ClickNetwork
        Ready for use.

    Raises
    ------
    BundleError
        If the file cannot be read or is no click network.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; name a click network") from None
    return ClickNetwork(content, str(path))


@cache
def shipped_click_network() -> ClickNetwork:
    """Load the click network that comes with the package, once.

    Returns
    -------
    ClickNetwork
        See ``annotation/shipped/MODEL_CARD.md`` for what it was trained on.
    """
    file = resources.files("corroscope.annotation") / "shipped" / "click.onnx"
    return ClickNetwork(file.read_bytes(), "the shipped click network")
