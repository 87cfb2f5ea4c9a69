"""What stands on a run's line, whatever the width of the terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from xmcbench.cli.progress import BarReporter


@pytest.mark.parametrize("width", [80, 110, 160])
def test_phase_and_score_stand_whole_on_one_line_and_the_name_gives_way(width: int) -> None:
    console = Console(file=StringIO(), width=width, force_terminal=True)
    reporter = BarReporter(console, "tree[tune] on synthetic[labels=500,rows=4000]")
    reporter.phase("tuning 3 of 6: cost=0.3 beam=10")
    reporter.progress(1, 2, "train level 1 of 2")
    reporter.score("nDCG@5", 0.8184)
    with console.capture() as shown:
        console.print(reporter.progress_bar.get_renderable(), end="")
    (line,) = [line for line in Text.from_ansi(shown.get()).plain.splitlines() if line.strip()]
    assert "tuning 3 of 6: cost=0.3 beam=10" in line
    assert "nDCG@5 81.84" in line
    assert line.startswith("tree[tun"), "enough of the name is left"
