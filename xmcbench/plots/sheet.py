"""The look of all figures: fonts and colours, the title above the panels, legend and notes below, files."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.errors import UsageError, install_extra
from xmcbench.escaping import clean
from xmcbench.files import atomic

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

SUFFIXES = (".svg", ".png")
DPI = 150  # of png files
STYLE: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a8a8a",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.dpi": 72,  # one pixel is one point, the unit of sizes of text and marks
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "svg.hashsalt": "xmcbench",  # equal numbers give an identical file
    "text.hinting": "no_hinting",  # text is as wide in files as where its place was found
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "xtick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.color": "#555555",
    "ytick.labelsize": 8,
}
LONGEST = 32  # characters of a name in a figure
NARROW = 3.4  # points: width of a character of a note, rather too few


@contextmanager
def style() -> Iterator[None]:
    """Figures are made and saved within this; the settings of a user's matplotlibrc don't count.

    Raises UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib.style
    except ImportError as error:
        raise UsageError("figures need matplotlib", f"Install it {install_extra('plot')}") from error
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # see `missing_glyphs`
        yield


def panels(columns: int, rows: int = 1, width: float = 4.4, height: float = 3.9) -> tuple[Figure, list[Axes]]:
    """A figure of panels, row by row; `width` and `height` of each in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    FigureCanvasAgg(figure)  # measures texts with one renderer, where a bare figure makes one for each
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def finish(figure: Figure, title: str, legend: Iterable[Artist], notes: Sequence[str]) -> None:
    """Add the title above the panels, and below them the legend and the notes; the figure grows by their height."""
    width, height = figure.get_size_inches()
    points = 72 * width
    left = 8 / points
    head = figure.text(left, 0, "", size=11, weight="bold", va="top", gid="title")
    foot = figure.text(left, 0, "", size=7.5, color="#555555", va="bottom", gid="notes", linespacing=1.3)
    head_height = _wrap(head, [title], points - 16) + 12
    foot_height = _wrap(foot, notes, points - 16) + 10
    key, key_height = None, 0.0
    if handles := list(legend):
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(points / (34 + 5.2 * longest))))
        key = figure.legend(handles=handles, loc="lower left", ncols=columns, borderaxespad=0)
        key_height = key.get_window_extent().height + 4
    whole = 72 * height + head_height + foot_height + key_height
    figure.set_size_inches(width, whole / 72)
    head.set_y(1 - 6 / whole)
    foot.set_y(4 / whole)
    if key is not None:
        key.set_bbox_to_anchor((left, foot_height / whole))
    bottom, panels_height = (foot_height + key_height) / whole, 72 * height / whole
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(left, bottom, 1 - 2 * left, panels_height))  # type: ignore[call-arg]
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # long names of ticks are known from the first time on
    figure.set_layout_engine("none")  # labels are placed where the panels are now


def _wrap(text: Text, paragraphs: Sequence[str], width: float) -> float:
    """Break the paragraphs into lines of at most `width` points; returns the height."""
    for characters in range(int(width / NARROW), 10, -4):
        lines = (textwrap.wrap(clean(paragraph), characters) for paragraph in paragraphs)
        text.set_text("\n".join(line for of_one in lines for line in of_one))
        if text.get_window_extent().width <= width:
            break
    return float(text.get_window_extent().height)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis for values from `low` to `high`: 0.1, 1, 10, and if it is short 0.2, 0.5."""
    from matplotlib.axis import XAxis
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    side_by_side = isinstance(axis, XAxis) and high >= 10_000  # long numbers, which would overlap
    short = high / low < (20 if side_by_side else 200)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_of(families: Iterable[str], palette: Mapping[str, str]) -> list[Artist]:
    """A mark for each family."""
    from matplotlib.lines import Line2D

    marks = sorted({*families})
    return [
        Line2D([], [], color=palette[name], marker="o", linestyle="", label=clean(name)[:LONGEST]) for name in marks
    ]


def save(figure: Figure, path: Path, notes: Sequence[str] = ()) -> None:
    """Write the figure whole or not at all; DataError if the file can't be written.

    An svg file has the title and `notes` as text, for readers who don't see the figure.
    """
    title = " ".join(text.get_text().replace("\n", " ") for text in figure.texts if text.get_gid() == "title")
    about: dict[str, str | None] = {"Title": title, "Description": " ".join(map(clean, notes))}
    if path.suffix == ".svg":
        about["Date"] = None
    with atomic(path) as file:
        figure.savefig(file, format=path.suffix[1:], metadata=about, dpi=DPI)


@contextmanager
def missing_glyphs() -> Iterator[list[str]]:
    """Collects a message on characters that the font of figures lacks."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
    missing = {name for one in caught for name in re.findall(r"\(\\N\{([^}]*)\}\) missing", str(one.message))}
    if missing:
        messages.append(f"The font of figures has boxes for: {', '.join(sorted(missing))}.")


def check_file(path: Path) -> None:
    """UsageError if a figure can't be written in the form that the file's name asks for."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: a figure is written as svg or png", "Give a file name with .svg or .png at its end.")


def short_names(labels: Sequence[str]) -> list[str]:
    """The labels for a figure: one line, at most `LONGEST` characters, and different if the labels differ."""
    names: list[str] = []
    for label in labels:
        name = clean(label)
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 13]}…{name[-12:]}"
        number = names.count(name) + sum(other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({number + 1})" if name in names else name)
    return names
