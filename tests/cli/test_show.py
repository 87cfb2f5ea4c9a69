"""What `xmcbench run` prints of a finished run, and below the table of results."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from xmcbench.cli import show
from xmcbench.records.record import Costs


def test_a_finished_run_names_its_compilation() -> None:
    from tests.minimal import minimal_raw
    from xmcbench.records import record_file

    def line(**costs: Any) -> str:
        return show.line(record_file.of(minimal_raw(costs=costs)))

    assert line(fit_seconds=1.0, compile_seconds=12.0).endswith("fit 1.0 s · compiling 12 s, once")
    assert "compiling" not in line(fit_seconds=1.0, compile_seconds=0.0)
    assert Costs().compile_excluded is False, "records that lack the field include compilation in their times"


def test_a_note_names_its_runs_unless_it_is_of_all() -> None:
    from tests.minimal import minimal_raw
    from xmcbench.records import record_file

    method = minimal_raw("r", "tree")["method"] | {"deterministic": False}

    def run(seed: int, *notes: str) -> Any:
        return record_file.of(minimal_raw(f"r{seed}", seed=seed, method=method, notes={"scoring": list(notes)}))

    console = Console(file=StringIO(), width=200)
    show.print_results(console, [run(0, "12 rows tie", "few labels"), run(1, "15 rows tie", "few labels")])
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in said if line.startswith("note: ")] == [
        "note: tree, seed 0: 12 rows tie",
        "note: few labels",
        "note: tree, seed 1: 15 rows tie",
    ]
