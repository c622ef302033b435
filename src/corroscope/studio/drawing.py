"""Objects as the page draws them."""

import base64
from functools import lru_cache
from typing import Any

import numpy as np

from corroscope.annotation.instances import Instance
from corroscope.annotation.outlines import polygons


@lru_cache(maxsize=50_000)
def rings(instance: Instance) -> list[list[int]]:
    """Outline an object along its pixels' edges.

    Parameters
    ----------
    instance
        The object.

    Returns
    -------
    list of list of int
        Rings, outer ones and holes, each ``[row, col, row, col, …]`` in corner coordinates of the
        image: pixel (0, 0) reaches from 0 to 1.

    Examples
    --------
    >>> rings(Instance.of(np.ones((1, 2), bool), corner_px=(4, 5)))
    [[4, 5, 4, 7, 5, 7, 5, 5]]
    """
    corner = np.array(instance.corner_px)
    return [
        (ring + corner).astype(int).ravel().tolist()
        for piece in polygons(instance.mask)
        for ring in (piece.outer, *piece.holes)
    ]


def drawn(number: int, instance: Instance) -> dict[str, Any]:
    """Describe an annotated object.

    Parameters
    ----------
    number
        Its number.
    instance
        The object.

    Returns
    -------
    dict
        What JSON can hold.
    """
    rows, cols = np.nonzero(instance.mask)
    return {
        "number": number,
        "label": instance.label,
        "area_px": instance.area_px,
        "at": [
            float(rows.mean() + instance.corner_px[0]),
            float(cols.mean() + instance.corner_px[1]),
        ],
        "rings": rings(instance),
    }


def shape_gesture(instance: Instance) -> dict[str, Any]:
    """Describe an object so that the page can hand it back as a gesture.

    Parameters
    ----------
    instance
        The object.

    Returns
    -------
    dict
        As `corroscope.studio.gestures.Shape`.
    """
    return {
        "kind": "shape",
        "corner": list(instance.corner_px),
        "size": list(instance.mask.shape),
        "bits": base64.b64encode(np.packbits(instance.mask).tobytes()).decode(),
    }
