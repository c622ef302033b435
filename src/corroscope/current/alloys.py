"""Alloys: what one mole of electrons dissolves of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from corroscope.errors import CurrentError

ATOMIC_WEIGHT: Final = {
    "Al": 26.982, "Co": 58.933, "Cr": 51.996, "Cu": 63.546, "Fe": 55.845, "Mg": 24.305,
    "Mn": 54.938, "Mo": 95.95, "Ni": 58.693, "Ti": 47.867, "W": 183.84, "Zn": 65.38,
}  # fmt: skip
"""Grams per mole, IUPAC 2021."""

FARADAY_C_MOL: Final = 96485.33212
"""Charge of one mole of electrons (CODATA 2018)."""


@dataclass(frozen=True)
class Alloy:
    """An alloy and how it dissolves.

    Attributes
    ----------
    name
        Its name.
    mass_fraction
        Of each element that counts; the rest does not.
    valence
        Electrons that an atom of it gives off.
    density_g_cm3
        Of the alloy.
    """

    name: str
    mass_fraction: Mapping[str, float]
    valence: Mapping[str, int]
    density_g_cm3: float

    def equivalent_weight(self) -> float:
        """Grams that one mole of electrons dissolves.

        Fractions are brought to a sum of 1; all elements dissolve as they are contained.

        Returns
        -------
        float
            Grams per mole of electrons.

        References
        ----------
        ASTM G102-89(2015), *Calculation of corrosion rates and related information from
        electrochemical measurements*, eq. 4 and table 1.

        Examples
        --------
        >>> round(find_alloy("304").equivalent_weight(), 2)
        25.12
        """
        whole = sum(self.mass_fraction.values())
        electrons = sum(
            part / whole * self.valence[element] / ATOMIC_WEIGHT[element]
            for element, part in self.mass_fraction.items()
        )
        return 1 / electrons

    def volume_um3(self, charge_uc: float) -> float:
        """Volume that a charge dissolves, V = Q · EW / (F · density).

        Parameters
        ----------
        charge_uc
            Microcoulombs.

        Returns
        -------
        float
            Cubic micrometres.

        Examples
        --------
        >>> round(find_alloy("Fe").volume_um3(1.0), 1)
        36.8
        """
        grams = charge_uc * 1e-6 * self.equivalent_weight() / FARADAY_C_MOL
        return grams / self.density_g_cm3 * 1e12


_STEEL: Final = {"Fe": 2, "Cr": 3, "Ni": 2, "Mo": 3, "Mn": 2}
_LIGHT: Final = {"Al": 3, "Mg": 2, "Cu": 1, "Zn": 2, "Mn": 2}

ALLOYS: Final = {
    alloy.name: alloy
    for alloy in (
        Alloy("Fe", {"Fe": 1.0}, _STEEL, 7.87),
        Alloy("carbon steel", {"Fe": 1.0}, _STEEL, 7.86),
        Alloy("304", {"Fe": 0.7175, "Cr": 0.19, "Ni": 0.0925}, _STEEL, 7.94),
        Alloy("304L", {"Fe": 0.71, "Cr": 0.19, "Ni": 0.10}, _STEEL, 7.94),
        Alloy("316", {"Fe": 0.685, "Cr": 0.17, "Ni": 0.12, "Mo": 0.025}, _STEEL, 7.98),
        Alloy("316L", {"Fe": 0.685, "Cr": 0.17, "Ni": 0.12, "Mo": 0.025}, _STEEL, 7.98),
        Alloy("430", {"Fe": 0.83, "Cr": 0.17}, _STEEL, 7.72),
        Alloy("Al", {"Al": 1.0}, _LIGHT, 2.70),
        Alloy("2024", {"Al": 0.935, "Cu": 0.044, "Mg": 0.015, "Mn": 0.006}, _LIGHT, 2.78),
        Alloy("7075", {"Al": 0.903, "Zn": 0.056, "Mg": 0.025, "Cu": 0.016}, _LIGHT, 2.80),
        Alloy("Mg", {"Mg": 1.0}, _LIGHT, 1.74),
        Alloy("Ni", {"Ni": 1.0}, _STEEL, 8.90),
        Alloy("Zn", {"Zn": 1.0}, _LIGHT, 7.13),
    )
}
"""Alloys by name: nominal compositions, the lowest usual valence of each element as in the first
column of table 1 of ASTM G102, nominal densities as in ASTM G1."""


def find_alloy(name: str) -> Alloy:
    """Find an alloy by its name.

    Parameters
    ----------
    name
        As in `ALLOYS`; case, blanks and a leading ``AISI`` or ``AA`` do not matter.

    Returns
    -------
    Alloy
        Its composition, valences and density.

    Raises
    ------
    CurrentError
        If it is unknown.

    Examples
    --------
    >>> find_alloy("AISI 316l").name
    '316L'
    """
    bare = _bare(name)
    for alloy in ALLOYS.values():
        if _bare(alloy.name) == bare:
            return alloy
    raise CurrentError(
        f"alloy {name!r} is unknown; give one of {', '.join(ALLOYS)}, or in Python "
        "its composition by make_alloy"
    )


def make_alloy(
    name: str,
    mass_fraction: Mapping[str, float],
    valence: Mapping[str, int],
    density_g_cm3: float,
) -> Alloy:
    """Make an alloy of one's own.

    Parameters
    ----------
    name
        Any.
    mass_fraction
        Of each element; shares below 1 % are usually left out.
    valence
        Electrons that each gives off.
    density_g_cm3
        Of the alloy.

    Returns
    -------
    Alloy
        Checked.

    Raises
    ------
    CurrentError
        If an element, its valence, a fraction or the density is unknown or impossible.

    Examples
    --------
    >>> round(make_alloy("Cu", {"Cu": 1}, {"Cu": 2}, 8.94).equivalent_weight(), 2)
    31.77
    """
    if not mass_fraction:
        raise CurrentError(f"alloy {name}: no element; give mass fractions such as Fe 0.7")
    for element, part in mass_fraction.items():
        if element not in ATOMIC_WEIGHT:
            raise CurrentError(
                f"alloy {name}: element {element!r} is unknown; "
                f"known are {', '.join(ATOMIC_WEIGHT)}"
            )
        if not 0 < part <= 1:
            raise CurrentError(
                f"alloy {name}: fraction {part:g} of {element} (allowed: above 0, at most 1)"
            )
        if valence.get(element, 0) < 1:
            raise CurrentError(f"alloy {name}: {element} has no valence; give at least 1")
    if sum(mass_fraction.values()) > 1 + 1e-6:
        raise CurrentError(
            f"alloy {name}: fractions add up to {sum(mass_fraction.values()):g} "
            "(allowed: at most 1)"
        )
    if not density_g_cm3 > 0:
        raise CurrentError(f"alloy {name}: density {density_g_cm3:g} g/cm³ (allowed: above 0)")
    return Alloy(name, dict(mass_fraction), dict(valence), density_g_cm3)


def _bare(name: str) -> str:
    return "".join(name.split()).casefold().removeprefix("aisi").removeprefix("aa")
