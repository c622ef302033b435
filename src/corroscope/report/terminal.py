"""Curves of a training as text, for a terminal that redraws them after each epoch."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

PANELS: Final = {
    "loss": "training loss",
    "dice": "Dice",
    "particle_f1_iou30": "particle F1 (IoU 0.3)",
}
"""What has a curve, and what it is called."""

_NARROWEST: Final = 24
"""Columns below which panels stand one above the other."""

_MOST_ROWS: Final = 8
_FEWEST_ROWS: Final = 2
_GAP: Final = 3  # columns between panels

_BRAILLE: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the eight dots of a Braille character, by row and column (Unicode, from U+2800)."""

Points = Sequence[tuple[int, float]]


class _Marks(NamedTuple):
    """The signs to draw with."""

    rows: int  # dots in a character
    columns: int
    axis: str
    corner: str
    base: str
    ellipsis: str


_UNICODE: Final = _Marks(4, 2, "│", "└", "─", "…")
_ASCII: Final = _Marks(1, 1, "|", "+", "-", ".")


def draw_terminal(
    history: Sequence[Mapping[str, float | None]],
    *,
    width: int = 80,
    height: int = 24,
    epochs: int | None = None,
    epoch_s: float | None = None,
    title: str = "",
    unicode: bool = True,
) -> str:
    """Draw loss and validation scores over the epochs, with the newest figures and the time left.

    Parameters
    ----------
    history
        For each epoch ``epoch`` (from 0), ``loss``, ``learning_rate`` and, where there was a
        validation, ``dice`` and ``particle_f1_iou30``. What is missing, None or not finite is a
        gap in its curve.
    width, height
        Of the terminal, in characters. No line is longer; there are fewer lines than `height`,
        so that the cursor can go back to the first. Where there is no room the curves are left
        out, and figures last.
    epochs
        Epochs at most: the end of the axis. By default the axis ends with the history.
    epoch_s
        How long an epoch takes, in seconds.
    title
        What is being trained; stands first.
    unicode
        Whether the terminal knows more than ASCII. With it a character holds 4 × 2 dots, else
        one.

    Returns
    -------
    str
        Lines with a newline between, none at the end.

    Examples
    --------
    >>> history = [{"epoch": k, "loss": 1 / (1 + k), "learning_rate": 0.001} for k in range(5)]
    >>> print(draw_terminal(history, width=40, height=9, epochs=8, epoch_s=40, unicode=False))
    epoch 5 of 8, at most 2 min left
    loss 0.200   rate 0.001
    training loss
    1.000 |**
          | ***
          |    ******
    0.200 |         **********
          +1------------------------------ 8
    """
    marks = _UNICODE if unicode else _ASCII
    last = max((_epoch(row) for row in history), default=0)
    end = max(last, epochs or 0, 1)
    lines = [_progress(last, epochs, epoch_s, title), *_figures(history, width)]
    shown = {name: label for name, label in PANELS.items() if _points(history, name)}
    room = height - 1 - len(lines)
    abreast = min(len(shown), (width + _GAP) // (_NARROWEST + _GAP))
    if shown and abreast:
        # Title and axis of each panel; panels that do not fit are left out, the last first.
        floors = min(-(-len(shown) // abreast), room // (_FEWEST_ROWS + 2))
        names = list(shown)[: floors * abreast]
        abreast = -(-len(names) // floors) if floors else 0
        for first in range(0, len(names), max(abreast, 1)):
            panels = [
                _panel(
                    shown[name],
                    _points(history, name),
                    end,
                    (width - _GAP * (abreast - 1)) // abreast,
                    min(_MOST_ROWS, room // floors - 2),
                    marks,
                )
                for name in names[first : first + abreast]
            ]
            lines += [(" " * _GAP).join(row) for row in zip(*panels, strict=True)]
    lines = [_shortened(line.rstrip(), width, marks) for line in lines[: max(height - 1, 1)]]
    text = "\n".join(lines)
    return text if unicode else text.encode("ascii", "replace").decode()


def redrawn(text: str, earlier: str = "") -> str:
    r"""Add to a text what a terminal needs to show it in place of an earlier one.

    Parameters
    ----------
    text
        What is to be shown.
    earlier
        What was shown before, and nothing since; empty for the first time.

    Returns
    -------
    str
        With the ANSI sequences that take the cursor to the first line of the earlier text and
        clear what is below; ends with a newline.

    Examples
    --------
    >>> redrawn("two\nlines")
    'two\nlines\n'
    >>> redrawn("new", "two\nlines")
    '\x1b[2F\x1b[Jnew\n'
    """
    back = f"\x1b[{earlier.count(chr(10)) + 1}F\x1b[J" if earlier else ""
    return f"{back}{text}\n"


def _epoch(row: Mapping[str, float | None]) -> int:
    return int(row["epoch"] or 0) + 1


def _points(history: Sequence[Mapping[str, float | None]], name: str) -> list[tuple[int, float]]:
    """Epoch, from 1, and value, where there is one."""
    rows = ((_epoch(row), row.get(name)) for row in history)
    return [(epoch, value) for epoch, value in rows if value is not None and math.isfinite(value)]


def _progress(last: int, epochs: int | None, epoch_s: float | None, title: str) -> str:
    line = f"{title}: " if title else ""
    line += f"epoch {last}" + ("" if epochs is None else f" of {epochs}")
    if epochs is not None and epoch_s is not None and last < epochs:
        line += f", at most {_duration((epochs - last) * epoch_s)} left"
    return line


def _duration(seconds: float) -> str:
    """In its two largest units at most."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _figures(history: Sequence[Mapping[str, float | None]], width: int) -> list[str]:
    """The newest figures, on as many lines as they need."""
    if not history:
        return []
    parts = []
    for name, label in (("loss", "loss"), ("dice", "Dice"), ("particle_f1_iou30", "particle F1")):
        points = _points(history, name)
        if not any(name in row for row in history):
            continue
        current = next((f"{v:.3f}" for e, v in points[-1:] if e == _epoch(history[-1])), "unknown")
        best = max(points, key=lambda point: point[1], default=None)
        told = "" if name == "loss" or best is None else f" (best {best[1]:.3f}, epoch {best[0]})"
        parts.append(f"{label} {current}{told}")
    rate = history[-1].get("learning_rate")
    parts += [] if rate is None else [f"rate {rate:.2g}"]
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]}   {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, part]
    return [line for line in lines if line]


def _panel(label: str, points: Points, end: int, width: int, rows: int, marks: _Marks) -> list[str]:
    """One curve under its title, with the bounds of both axes; all lines have one width."""
    low, high = min(v for _, v in points), max(v for _, v in points)
    bounds = [_bound(high), _bound(low)]
    margin = max(len(bound) for bound in bounds)
    inner = width - margin - 2
    lines = [label.ljust(width)]
    for number, drawn in enumerate(_curve(points, end, inner, rows, marks)):
        bound = bounds[0] if number == 0 else bounds[1] if number == rows - 1 else ""
        if low == high:
            bound = bounds[0] if number == rows // 2 else ""
        lines.append(f"{bound:>{margin}} {marks.axis}{drawn}")
    told = f" {end}" if end > 1 else ""
    base = "1".ljust(inner - len(told), marks.base) + told
    return [_shortened(line, width, marks).ljust(width) for line in (
        *lines, f"{'':{margin}} {marks.corner}{base}"
    )]  # fmt: skip


def _bound(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2g}"


def _curve(points: Points, end: int, width: int, rows: int, marks: _Marks) -> list[str]:
    """The dots of a curve, as ``rows`` lines of ``width`` characters."""
    across, down = width * marks.columns, rows * marks.rows
    low, high = min(v for _, v in points), max(v for _, v in points)

    def place(epoch: float, value: float) -> tuple[int, int]:
        column = round((epoch - 1) / max(end - 1, 1) * (across - 1))
        share = 0.5 if low == high else (high - value) / (high - low)
        # In the middle of the middle row, where its bound stands.
        flat = (rows // 2) * marks.rows + marks.rows // 2
        return flat if low == high else round(share * (down - 1)), column

    dots = {place(epoch, value) for epoch, value in points}
    for (epoch, value), (later, then) in pairwise(points):
        if later == epoch + 1:  # else there is a gap
            steps = 2 * (across // end + down) + 1
            dots |= {
                place(epoch + k / steps, value + k / steps * (then - value)) for k in range(steps)
            }
    if marks is _ASCII:
        return ["".join(" *"[(r, c) in dots] for c in range(width)) for r in range(rows)]
    cells = [[0x2800] * width for _ in range(rows)]
    for row, column in dots:
        cells[row // 4][column // 2] |= _BRAILLE[row % 4][column % 2]
    return ["".join(" " if cell == 0x2800 else chr(cell) for cell in line) for line in cells]


def _shortened(line: str, width: int, marks: _Marks) -> str:
    return line if len(line) <= width else line[: max(width - 1, 0)] + marks.ellipsis
