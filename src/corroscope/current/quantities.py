"""Names of columns → what they hold and in which unit, in the spellings of several programs."""

import re
from typing import Final, NamedTuple

from corroscope.errors import CurrentError

CURRENT_UA: Final = {"A": 1e6, "mA": 1e3, "µA": 1.0, "nA": 1e-3, "pA": 1e-6}
"""Units of current, in microamperes."""

TIME_S: Final = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0}
"""Units of time, in seconds."""

POTENTIAL_V: Final = {"V": 1.0, "mV": 1e-3}
"""Units of potential, in volts."""

AREA_CM2: Final = {"cm2": 1.0, "mm2": 1e-2, "m2": 1e4, "µm2": 1e-8}
"""Units of area, in square centimetres."""

_SPELLINGS: Final = {
    **{unit: unit for units in (CURRENT_UA, TIME_S, POTENTIAL_V) for unit in units},
    "uA": "µA", "uAmp": "µA", "uAmps": "µA", "µAmp": "µA", "µAmps": "µA", "microA": "µA",
    "Amp": "A", "Amps": "A", "amp": "A", "amps": "A", "Ampere": "A", "ampere": "A",
    "Amperes": "A", "amperes": "A", "mAmp": "mA", "mAmps": "mA", "milliA": "mA",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "Sec": "s", "Seconds": "s",
    "us": "µs", "msec": "ms", "mins": "min", "minute": "min", "minutes": "min",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "Hours": "h",
    "Volt": "V", "Volts": "V", "volt": "V", "volts": "V", "mVolt": "mV",
}  # fmt: skip

_KINDS: Final = {
    "time": re.compile(r"(?:corrected|elapsed|test|total|run|relative)?time|t|zeit|temps|tiempo"),
    "clock": re.compile(
        r"date|datetime|timestamp|date(?:/|and|&)?time|datum|datumzeit|heure|uhrzeit|horodatage"
        r"|absolutetime|clock"
    ),
    "current": re.compile(
        r"<?i>?[0-9]?|iw?e?|im|imeas|i\.?meas(?:ured)?|<?current>?[0-9]?|we\([0-9]\)\.current"
        r"|measuredcurrent|cellcurrent|wecurrent|strom|courant|corriente"
    ),
    "potential": re.compile(
        r"<?ewe>?|<ewe|e|<?e>?|vf|em|potential|we\([0-9]\)\.potential|potentialapplied|voltage"
        r"|potenti[ae]l|spannung|tension"
    ),
}


class Heading(NamedTuple):
    """What the name of a column says.

    Attributes
    ----------
    name
        As in the file.
    kind
        ``time``, ``clock``, ``current``, ``potential``, ``density`` (current per area) or
        empty.
    unit
        As in `CURRENT_UA` and its like; empty without one.
    unit_text
        The unit as it stands in the file, be it known or not.
    """

    name: str
    kind: str
    unit: str
    unit_text: str


def read_heading(name: str, unit_below: str = "") -> Heading:
    """Tell what a column holds from its name.

    Parameters
    ----------
    name
        ``I/mA``, ``<I>/mA``, ``WE(1).Current (A)``, ``Corrected time (s)``, ``current_ua``…
    unit_below
        Its cell in a row of units below, if there is one.

    Returns
    -------
    Heading
        What was found.

    Examples
    --------
    >>> read_heading("<I>/mA")[1:3], read_heading("Zeit [min]")[1:3], read_heading("I")[1:3]
    (('current', 'mA'), ('time', 'min'), ('current', ''))
    >>> read_heading("j (mA/cm²)").kind
    'density'
    """
    stem, unit_text = _split(name)
    if unit_below:
        unit_text = unit_below.strip().strip("()[]").strip()
    unit = known_unit(unit_text)
    bare = re.sub(r"[\s_]+", "", stem).casefold().strip("\"'")
    if re.search(r"(?:A|amps?)\s*(?:/|·|\*|\.|per)?\s*[cmµu]?m\^?(?:2|²|-2|⁻²)", unit_text):
        return Heading(name, "density", "", unit_text)
    for kind, pattern in _KINDS.items():
        if pattern.fullmatch(bare):
            return Heading(name, kind, unit, unit_text)
    return Heading(name, "", unit, unit_text)


def known_unit(text: str) -> str:
    """Bring a unit into the spelling of `CURRENT_UA`, `TIME_S` and `POTENTIAL_V`.

    Parameters
    ----------
    text
        As in a file or given by a user.

    Returns
    -------
    str
        Empty where it is none of these units.

    Examples
    --------
    >>> known_unit("uA"), known_unit("seconds"), known_unit("V vs. Ref."), known_unit("dB")
    ('µA', 's', 'V', '')
    """
    plain = text.strip().replace("\N{GREEK SMALL LETTER MU}", "µ")
    plain = re.sub(r"\s*(?:vs\.?|v\.?s\.?)\s.*$", "", plain)
    return _SPELLINGS.get(plain, "")


def current_unit(text: str) -> str:
    """Check a unit of current that a user gave.

    Parameters
    ----------
    text
        Such as ``mA`` or ``uA``.

    Returns
    -------
    str
        In the spelling of `CURRENT_UA`.

    Raises
    ------
    CurrentError
        If it is no unit of current.

    Examples
    --------
    >>> current_unit("uA")
    'µA'
    """
    unit = known_unit(text)
    if unit not in CURRENT_UA:
        raise CurrentError(f"{text!r} is no unit of current; give one of {', '.join(CURRENT_UA)}")
    return unit


def _split(name: str) -> tuple[str, str]:
    """Name and unit of ``I (A)``, ``I [A]``, ``I/A``, ``I, A``, ``I_A``."""
    text = name.strip().strip("\"'").strip()
    for pattern in (
        r"(.+?)\s*\(([^()]*)\)$",
        r"(.+?)\s*\[([^\[\]]*)\]$",
        r"([^/]+?)\s*/\s*(.+)$",
        r"(.+?)\s*,\s*(.+)$",
        r"(.+)\s+in\s+(\S+)$",
        r"(.+?)[_ ]([A-Za-zµμ]+)$",
    ):
        found = re.match(pattern, text)
        if not found:
            continue
        stem, unit = found.group(1), found.group(2).strip()
        if pattern.startswith((r"(.+?)[_ ]", r"(.+)\s+in")):
            lowered = {spelling.casefold(): spelling for spelling in _SPELLINGS}
            spelt = unit if known_unit(unit) else lowered.get(unit.casefold(), "")
            if not spelt or not stem:
                continue
            unit = spelt
        return stem, unit
    return text, ""
