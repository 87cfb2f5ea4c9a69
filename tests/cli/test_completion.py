"""What shells complete, asked as a shell asks: by the variables of typer's protocol, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_startup import HEAVY
from xmcbench.cli import completion
from xmcbench.data.catalogue import catalogue
from xmcbench.metrics.names import ALL, DEFAULT, METRICS, parse
from xmcbench.plots.kinds import KINDS

ASKED = """
import sys
from xmcbench.cli.main import main
sys.argv = ["xmcbench"]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
TREE, OVR = "20261128T095645-tree-mine-7be66e68", "20261128T095732-ovr-mine-8093662a"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with results, and with a home that has an import; files are as small as completion needs them."""
    for name in (TREE, OVR, ".tmp-1"):
        path = tmp_path / "results" / "records" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    for name in (TREE, ".tmp-2"):
        (tmp_path / "results" / "models" / name).mkdir(parents=True)
    for name, meta in (("mine", {"views": ["bow", "own"]}), ("mist", "damaged")):
        path = tmp_path / "home" / "imported" / name / "meta.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(meta))
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XMCBENCH_RESULTS", raising=False)
    return tmp_path


def completed(folder: Path, words: str, **environment: str) -> list[str]:
    """What bash would offer for the last word of `words`, which is "" if they end with a blank."""
    count = len(words.split()) - (not words.endswith(" "))
    env = {**os.environ, "_XMCBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    command = [sys.executable, "-c", ASKED]
    done = subprocess.run(command, cwd=folder, env=env | environment, capture_output=True, text=True, timeout=60)
    (modules,) = done.stderr.splitlines()  # and no message
    assert set(modules.split()).isdisjoint({*HEAVY, "rich"}), "an answer takes less than 0.3 s without these"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("xmcbench run xr", ["xrlinear"]),
        ("xmcbench run tree --seeds 1 --seeds 2 xr", ["xrlinear"]),
        ("xmcbench run tree --dataset mi", ["mine", "mist"]),
        ("xmcbench run tree --dataset mine --view ", ["bow", "own"]),
        ("xmcbench run tree --dataset mist --view ", []),
        ("xmcbench run tree --dataset Eurlex-4.3K --view t", ["title", "text"]),
        ("xmcbench data stats mine --view o", ["own"]),
        ("xmcbench run tree --metrics R,PSP", ["R,PSP@1", "R,PSP@3", "R,PSP@5", "R,PSP@10", "R,PSP@100"]),
        ("xmcbench compare 2026", [OVR, TREE]),
        ("xmcbench compare --results elsewhere 2026", []),
        ("xmcbench verify parab", ["parabel"]),
        ("xmcbench predict 2026", [TREE]),
        ("xmcbench data remove ", ["mine", "mist"]),
        ("xmcbench data where syn", ["synthetic"]),
        ("xmcbench cite PSn", ["PSnDCG"]),
        ("xmcbench plot 2026", [OVR, TREE]),
        ("xmcbench plot tree --kind re", ["recall"]),
        ("xmcbench plot --metric PSP@1", ["PSP@1", "PSP@10", "PSP@100"]),
        ("xmcbench plot --dataset mi", ["mine", "mist"]),
        ("xmcbench plot --dataset mine --view ", ["bow", "own"]),
        ("xmcbench errors tree --by RP", ["RPrec"]),
        ("xmcbench expl", ["explain"]),
    ],
)
def test_names_are_completed(folder: Path, words: str, expected: list[str]) -> None:
    assert completed(folder, words) == expected


def test_results_may_be_named_by_the_environment_or_be_missing(folder: Path) -> None:
    (folder / "results").rename(folder / "other")
    assert completed(folder, "xmcbench errors 2026") == []
    assert completed(folder, "xmcbench errors 2026", XMCBENCH_RESULTS="other") == [OVR, TREE]


def test_a_home_that_cannot_be_leaves_the_prompt_alone(folder: Path) -> None:
    assert completed(folder, "xmcbench data remove m", XMCBENCH_HOME="x" * 5000) == []


def test_zsh_and_fish_ask_in_their_own_way(folder: Path) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "xmcbench run xr", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    for shell, expected in (("zsh", '"xrlinear"'), ("fish", "xrlinear")):
        assert expected in " ".join(completed(folder, "", _XMCBENCH_COMPLETE=f"complete_{shell}", **asked))


def test_a_name_with_control_characters_is_left_out(folder: Path) -> None:
    (folder / "results" / "records" / "2027\x1b[2J.json").write_text("{")
    assert completed(folder, "xmcbench compare 202") == [OVR, TREE]


def test_the_names_are_all_that_there_are() -> None:
    context: object = None
    names = completion.metrics(context, "")  # type: ignore[arg-type]
    assert [parse(name).metric for name in names] == [
        *(m for m in completion.WITH_CUT for _ in completion.CUTS),
        *completion.WHOLE,
    ]
    assert {*completion.WITH_CUT, *completion.WHOLE} == set(METRICS)
    assert completion.FIGURES == KINDS
    assert {d.metric for d in ALL if d.cut == "needed"} == set(completion.WITH_CUT)
    assert set(DEFAULT) <= set(names)
    assert set(catalogue()) <= set(completion.datasets(context, ""))  # type: ignore[arg-type]
