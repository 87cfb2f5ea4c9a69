"""The one line that shows the progress of a run, cut to the width of the terminal.

    elias on icd10cm, run 2 of 5 · stage 1 · epoch 3/8 ▓▓▓░░ 1:24, about 0:40 left

Phase and elapsed time come first. What else has room is shown, the most useful first; the name is shortened before
anything is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

NAME = 16  # cells that a name keeps where other parts need room
PHASE = 10  # cells that a phase keeps
BAR, LONG_BAR = 5, 20  # cells
STYLES = {"phase": "cyan", "bar": "green", "note": "dim", "total": "dim"}
JOINED = {"bar": " ", "left": ", "}  # what stands before a part, if not " · "
IN_ASCII = {"·": "-", "…": ".", "▓": "#", "░": "."}


@dataclass(frozen=True)
class Line:
    """What a progress line can show; texts may be "".

    Attributes
    ----------
    name : what is done, such as "elias[beam=20] on icd10cm". position : "run 2 of 5".
    phase : such as "stage 1". note : within the phase, the most useful clause first: "epoch 3/8, loss 0.12".
    share : of the phase that is done, 0 to 1; None if unknown.
    elapsed, left : times of the phase, "1:24" and "about 0:40 left". best : best validation score.
    total : time of the run, "6:10 in all".
    """

    name: str
    position: str
    phase: str
    note: str
    share: float | None
    elapsed: str
    left: str
    best: str
    total: str


def fitted(line: Line, width: int) -> Text:
    """The line in at most `width` cells of a terminal."""
    position = f", {line.position}" if line.position else ""
    bare = cell_len(_forms(line.name)[-1]) + cell_len(position)
    least = min(bare, NAME + cell_len(position))
    room = width - least - cell_len(" ·  ") - cell_len(line.elapsed)
    parts = {"phase": f" · {_cut(line.phase, max(PHASE, room))}", "elapsed": f" {line.elapsed}"}
    first_clause = line.note.partition(", ")[0]
    for part, text, name_cells in (
        ("left", line.left, least),
        ("bar", _bar(line.share, BAR), least),
        ("note", first_clause, least),
        ("note", line.note, bare),
        ("best", line.best, bare),
        ("total", line.total, bare),
        ("bar", _bar(line.share, LONG_BAR), bare),
    ):
        more = parts | {part: JOINED.get(part, " · ") + text}
        if text and name_cells + cell_len("".join(more.values())) <= width:
            parts = more
    name = _shortened(line.name, width - cell_len(position) - cell_len("".join(parts.values())))
    shown = Text(name + position, end="", no_wrap=True)
    for part in ("phase", "note", "bar", "elapsed", "left", "best", "total"):
        shown.append(parts.get(part, ""), STYLES.get(part))
    shown.truncate(width, overflow="ellipsis")
    return shown


def in_ascii(text: Text) -> Text:
    """The text for a terminal that shows ASCII alone, character by character."""
    text.plain = "".join(IN_ASCII.get(c, c if c.isascii() else "?") for c in text.plain)
    return text


def _bar(share: float | None, cells: int) -> str:
    done = int((share or 0.0) * cells)
    return "" if share is None else "▓" * done + "░" * (cells - done)


def _forms(name: str) -> tuple[str, str, str]:
    """The name, the name without the parameters of its data set, and without any parameters."""
    return name, re.sub(r"\[[^]]*\]$", "", name), re.sub(r"\[[^]]*\]", "", name)


def _shortened(name: str, cells: int) -> str:
    """The longest form of the name that fits, or the shortest one, cut."""
    forms = _forms(name)
    return next((form for form in forms if cell_len(form) <= cells), _cut(forms[-1], max(cells, NAME)))


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"
