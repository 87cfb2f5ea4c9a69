"""What the console script makes of what a verb raises."""

from __future__ import annotations

import signal

import pytest
from typer.testing import CliRunner

from xmcbench.cli import app as cli
from xmcbench.cli.ls import Kind
from xmcbench.errors import DataError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            KeyboardInterrupt(),
            128 + signal.SIGINT,
            "interrupted; run the same command again: downloads and runs resume\n",
        ),
        (DataError("it broke", "mend it"), 4, "error: it broke\n  mend it\n"),
        (SystemExit(3), 3, ""),
    ],
)
def test_every_end_has_its_exit_code_and_a_word(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(*_: object) -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["xmcbench", "ls", "methods"])
    monkeypatch.setattr("xmcbench.cli.ls.KINDS", {"methods": Kind(verb)})
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("group", [[], ["data"], ["peers"], ["board"], ["check"]])
def test_no_summary_of_a_command_is_cut_off_in_80_columns(group: list[str]) -> None:
    shown = CliRunner().invoke(cli.app, [*group, "--help"], env={"COLUMNS": "80"}).stdout
    _, summaries = shown.split("Commands:")
    assert not [line for line in summaries.splitlines() if line.endswith("...")]
