"""Options and summaries of all commands."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from xmcbench.cli import app as cli
from xmcbench.errors import UsageError
from xmcbench.running.plan import dataset_names

LEFT_RUNNING = """
import sys, threading, time
from xmcbench.cli import main
main.THREADS_SECONDS = 0.2
threading.Thread(target=time.sleep, args=(600,)).start()
sys.argv = ["xmcbench", *sys.argv[1:]]
main.main()
"""


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["ls", "nothing"], 2)])
def test_a_thread_left_running_does_not_keep_the_process(words: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_RUNNING, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert ("xmcbench " if code == 0 else "error: ") in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "tree", "--seeds", "0", "--seeds=1"], "--seeds is given 2 times\n  Put its values into one"),
        (
            ["run", "tree", "--metrics", "P@1", "--metrics", "P@5"],
            "--metrics is given 2 times\n  Put its values into one",
        ),
        (["run", "tree", "--k", "1", "--k", "2"], "--k is given 2 times\n  Give it once."),
        (["data", "import", "--name", "a", "--texts", "x", "--texts", "y"], "--texts is given 2 times"),
        (["data", "stats", "a", "--view", "bow", "--view", "text"], "--view is given 2 times"),
        (["run", "tree", "--dataset", "icd10cm,edict"], "--dataset 'icd10cm,edict' is not one data set\n  Repeat"),
        (["run", "tree", "--dataset", "icd10cm", "--dataset", "synthetic[rows=1,rows=2]"], "rows is given twice"),
        (["check", "method", "tree", "--set", "k=1", "--set", "cost=1"], "unknown parameter"),
        (["check", "method", "tree", "--set", "cost=1", "--set", "cost=2"], "cost is given twice"),
    ],
)
def test_an_option_with_one_value_is_given_once(words: list[str], says: str) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)


@pytest.mark.parametrize("group", ["", "data", "model", "peers", "board", "check"])
def test_summaries_of_commands_are_whole_on_80_columns(group: str) -> None:
    result = CliRunner().invoke(cli.app, [*group.split(), "--help"], env={"COLUMNS": "80"})
    _, commands = result.output.split("Commands:\n")
    assert [line for line in commands.splitlines() if line.endswith("...")] == []


def test_flags_and_lists_may_repeat() -> None:
    shown = CliRunner().invoke(cli.app, ["ls", "metrics", "--json", "--json"])
    assert shown.exit_code == 0, shown.output
    assert CliRunner().invoke(cli.app, ["run", "--help"]).exit_code == 0
    assert dataset_names(["Eurlex-4.3K", "eurlex-4.3k", "synthetic[test=5,rows=10]", "Synthetic[rows=10, test=5]"]) == [
        "eurlex-4.3k",
        "synthetic[rows=10,test=5]",
    ]


@pytest.mark.parametrize("group", [[], ["data"], ["peers"], ["board"], ["check"]])
def test_no_summary_of_a_command_is_cut_off_in_80_columns(group: list[str]) -> None:
    shown = CliRunner().invoke(cli.app, [*group, "--help"], env={"COLUMNS": "80"}).stdout
    _, summaries = shown.split("Commands:")
    assert not [line for line in summaries.splitlines() if line.endswith("...")]
