"""The current of a synthetic run, and the text file that a potentiostat would write."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.synthesis.pits import Pit
from corroscope.synthesis.settings import Cell

FARADAY_C_MOL: Final = 96485.33212
"""Charge of one mole of electrons."""

ELECTRONS: Final = 2
"""Given off by each atom that dissolves: iron to Fe²⁺."""

MOLAR_VOLUME_UM3: Final = 7.09e12
"""Of iron, in cubic micrometres per mole: 55.845 g/mol over 7.874 g/cm³."""

HEADER_LINES: Final = 9
"""Lines of the text file up to and with the names of the columns."""


def pit_charge_uc(
    pit: Pit, time_s: NDArray[np.float64], pixel_size_um: float
) -> NDArray[np.float64]:
    """Charge that has flown out of a pit, by Faraday's law.

    The pit is a half sphere below its open area, Q = n F V / V_m.

    Parameters
    ----------
    pit
        The pit.
    time_s
        ``(n,)``, times from the first frame.
    pixel_size_um
        Side of a pixel.

    Returns
    -------
    ndarray of float64
        ``(n,)``, microcoulombs.

    Examples
    --------
    >>> from corroscope.synthesis.pits import found_pits
    >>> from corroscope.synthesis.settings import SynthSettings
    >>> pit = found_pits((256, 256), SynthSettings(), np.random.default_rng(0))[0]
    >>> charge = pit_charge_uc(pit, np.array([pit.born_s, pit.born_s + 5]), 0.5)
    >>> float(charge[0]), bool(charge[1] > 0)
    (0.0, True)
    """
    radius_um = np.sqrt(pit.area_px(time_s) / np.pi) * pixel_size_um
    moles = 2 / 3 * np.pi * radius_um**3 / MOLAR_VOLUME_UM3
    return np.asarray(1e6 * ELECTRONS * FARADAY_C_MOL * moles)


def record_current(
    pits: Sequence[Pit], cell: Cell, duration_s: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Record the current of a run: what all pits give, a passive background, noise.

    Parameters
    ----------
    pits
        All pits.
    cell
        Sampling, background, noise; the record begins ``cell.lead_s`` before the frames.
    duration_s
        Time from the first frame to the end.
    rng
        Source of the noise.

    Returns
    -------
    time_s : ndarray of float64
        ``(n,)``, from the first frame; negative before it.
    current_ua : ndarray of float64
        ``(n,)``, microamperes.

    Examples
    --------
    >>> time_s, current_ua = record_current([], Cell(noise_ua=0), 10, np.random.default_rng(0))
    >>> float(time_s[0]), float(current_ua[0])
    (-2.0, 2.0)
    """
    time_s = np.arange(-cell.lead_s, duration_s + cell.sampling_s / 2, cell.sampling_s)
    edges = np.append(time_s, time_s[-1] + cell.sampling_s) - cell.sampling_s / 2
    current = np.full(time_s.shape, cell.passive_ua)
    for pit in pits:
        current += np.diff(pit_charge_uc(pit, edges, cell.pixel_size_um)) / cell.sampling_s
    return time_s, current + cell.noise_ua * rng.standard_normal(time_s.shape)


def potentiostat_text(
    time_s: NDArray[np.float64], current_ua: NDArray[np.float64], cell: Cell
) -> str:
    r"""Write a record of current as the text file of a potentiostat at constant potential.

    The layout is that of BioLogic's EC-Lab text files (``.mpt``): a header whose length
    stands in its second line, the wall clock of the start, columns parted by tabs.

    Parameters
    ----------
    time_s
        ``(n,)``, from the first frame.
    current_ua
        ``(n,)``, microamperes; written in milliamperes as such files have it.
    cell
        For potential and clock.

    Returns
    -------
    str
        The file's text; times count from the record's own start.

    Examples
    --------
    >>> text = potentiostat_text(np.array([-2.0, -1.9]), np.array([2.0, 2.1]), Cell())
    >>> text.splitlines()[-1].split("\t")
    ['0.1000', '1.6000', '0.00210000']
    """
    begun = cell.start + timedelta(seconds=float(time_s[0]))
    clock = begun.strftime("%m/%d/%Y %H:%M:%S.") + f"{begun.microsecond // 1000:03d}"
    header = [
        "EC-Lab ASCII FILE",
        f"Nb header lines : {HEADER_LINES}",
        "",
        "Chronoamperometry / Chronocoulometry",
        "",
        "File : synthetic, made by corroscope",
        f"Acquisition started on : {clock}",
        "",
        "time/s\tEwe/V\t<I>/mA",
    ]
    rows = [
        f"{t - time_s[0]:.4f}\t{cell.potential_v:.4f}\t{i / 1000:.8f}"
        for t, i in zip(time_s, current_ua, strict=True)
    ]
    return "\n".join([*header, *rows]) + "\n"
