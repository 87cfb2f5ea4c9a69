"""The line of progress in a real terminal: a pty, whose bytes a small terminal in Python shows."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.test_stopping import SLEEP
from tests.screens import Screen

PROGRAM = """
import os, sys, time
if os.isatty(0):
    os.open(os.ttyname(0), os.O_RDWR)  # from now on this terminal's Ctrl-C reaches the process
from xmcbench.errors import DataError
from xmcbench.running.progress import reporter
from xmcbench.cli.main import main
from xmcbench.cli import ls
from xmcbench.cli.terminal import make_console

def work(_):
    console = make_console()
    print("before")
    with reporter(console, "elias[beam=20] on synthetic[labels=100]", "run 2 of 5") as progress:
        progress.phase("stage 1")
        for step in range(1, {steps}):
            progress.progress(step, 100, f"epoch {{step}}/100, loss 0.1")
            time.sleep(0.02)
            if step == 5:
                print("printed by a method")
                print("said by a method", file=sys.stderr)
        {end}
    return []

ls.KINDS = {{"methods": ls.Kind(work)}}
sys.argv = ["xmcbench", "ls", "methods"]
main()
"""
UNTIL_SEEN = "while not os.path.exists({!r}): time.sleep(0.02)"  # a busy machine may show an update late
NARROW, WIDE = 80, 120
CTRL_C = b"\x03"


class Terminal:
    """A program in a pty, and what its terminal shows."""

    def __init__(self, width: int, *command: str, **environment: str) -> None:
        self.screen, self.text = Screen(width), ""
        self.main, program_side = pty.openpty()
        self.resize(width)
        modes = termios.tcgetattr(program_side)
        modes[3] |= termios.NOFLSH  # else Ctrl-C may discard what the program prints upon it, before this test reads it
        termios.tcsetattr(program_side, termios.TCSANOW, modes)
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            env.pop(name, None)
        streams = {"stdin": program_side, "stdout": program_side, "stderr": program_side}
        self.process = subprocess.Popen([sys.executable, *command], env=env, start_new_session=True, **streams)
        os.close(program_side)
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def resize(self, width: int) -> None:
        self.screen.width = width
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def read_until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.text
            try:
                text = self.decoder.decode(os.read(self.main, 65536))
            except OSError:  # the program has ended
                return
            self.text += text
            self.screen.write(text)

    def read_updates(self, text: str, number: int = 1, since: int = 0) -> None:
        """Read until `text` was written `number` times after `since`, and the line is whole: it ends where it began."""
        self.read_until(lambda: self.text.count(text, since) >= number and self.text.endswith("\r"))

    def finish(self) -> int:
        self.read_until(lambda: False)
        return self.process.wait(10)


@pytest.fixture
def opened() -> Iterator[Callable[..., Terminal]]:
    terminals = []

    def start(*arguments: str, width: int = NARROW, **environment: str) -> Terminal:
        terminals.append(Terminal(width, *arguments, **environment))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.main)


def program(end: str = "pass", steps: int = 30) -> tuple[str, str]:
    return "-c", PROGRAM.format(end=end, steps=steps)


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_line_is_updated_in_one_row_and_taken_away(
    opened: Callable[..., Terminal], width: int, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    terminal = opened(*program(UNTIL_SEEN.format(str(seen))), width=width)
    terminal.read_updates("stage 1", 3)
    assert terminal.screen.shown()[-1].startswith("elias")
    assert ", run 2 of 5" in terminal.screen.shown()[-1]
    seen.touch()
    assert terminal.finish() == 0
    assert terminal.screen.widest < width
    assert terminal.screen.shown() == ["before", "printed by a method", "said by a method", "no methods"]
    assert terminal.screen.cursor_is_shown


def test_a_terminal_that_gets_narrower_and_wider_stays_clean(opened: Callable[..., Terminal]) -> None:
    terminal = opened(*program(steps=3000), width=WIDE)
    terminal.read_updates("said by a method")
    for width in (50, 30, WIDE):
        terminal.resize(width)
        terminal.screen.widest = 0
        seen = len(terminal.text)
        terminal.read_updates("\x1b[J", 3, seen)
        (line,) = [line for line in terminal.screen.shown() if "run 2 of 5" in line]
        assert len(line) < width
    os.write(terminal.main, CTRL_C)
    assert terminal.finish() == 130
    assert terminal.screen.shown()[:3] == ["before", "printed by a method", "said by a method"]
    assert len(terminal.screen.shown()) == 4


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [
        ("raise DataError('a fault')", 4, "error: a fault"),
        (SLEEP, 130, "interrupted; run the same command again: downloads and runs resume"),
    ],
    ids=["exception", "Ctrl-C"],
)
def test_an_error_and_a_stop_leave_a_clean_terminal(
    opened: Callable[..., Terminal], end: str, code: int, last: str
) -> None:
    terminal = opened(*program(end))
    if code == 130:
        terminal.read_until(lambda: "said by a method" in terminal.text)
        os.write(terminal.main, CTRL_C)  # the terminal shows ^C
    assert terminal.finish() == code
    shown = terminal.screen.shown()
    assert shown[:3] == ["before", "printed by a method", "said by a method"]
    assert shown[-1] == last
    assert not [line for line in shown if "run 2 of 5" in line]
    assert terminal.screen.cursor_is_shown


def test_a_second_ctrl_c_erases_the_line_too(opened: Callable[..., Terminal]) -> None:
    sleep = f"\n            {SLEEP}"
    stop = f"print('waiting')\n        try:{sleep}\n        except KeyboardInterrupt:"
    stop += f"\n            print('stopping'){sleep}"
    terminal = opened(*program(stop))
    terminal.read_until(lambda: "waiting" in terminal.text)
    os.write(terminal.main, CTRL_C)
    terminal.read_until(lambda: "stopping" in terminal.text)  # a busy machine may handle the first one late
    time.sleep(1.2)
    os.write(terminal.main, CTRL_C)
    assert terminal.finish() == 130
    assert not [line for line in terminal.screen.shown() if "run 2 of 5" in line]
    assert terminal.screen.shown()[-1].startswith("interrupted; ")


def test_a_killed_program_leaves_the_cursor(opened: Callable[..., Terminal]) -> None:
    terminal = opened(*program(steps=3000))
    terminal.read_updates("stage 1")
    terminal.process.kill()
    terminal.finish()
    assert terminal.screen.cursor_is_shown
    assert terminal.screen.column == 0


def test_an_ascii_terminal_gets_no_escapes(opened: Callable[..., Terminal], tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    terminal = opened(*program(UNTIL_SEEN.format(str(seen))), PYTHONIOENCODING="ascii")
    terminal.read_updates("stage 1", 3)
    assert "run 2 of 5 - stage 1" in terminal.screen.shown()[-1]
    seen.touch()
    assert terminal.finish() == 0
    assert terminal.screen.widest < NARROW
    assert "\\x" not in terminal.text


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}])
def test_a_dumb_terminal_gets_a_log(opened: Callable[..., Terminal], environment: dict[str, str]) -> None:
    terminal = opened(*program(), **environment)
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.text
    assert sum("run 2 of 5 · stage 1 ·" in line for line in terminal.screen.shown()) == 1


def test_a_pipe_gets_whole_lines_even_with_forced_colours() -> None:
    for forced in ({}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}):
        environment = {**os.environ, **forced}
        done = subprocess.run([sys.executable, *program()], env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines() == [
            "before",
            "elias[beam=20] on synthetic[labels=100], run 2 of 5 · stage 1 · 0.0 s",
            "printed by a method",
            "no methods",
        ]
        assert done.stderr == "said by a method\n"


def test_python_shows_progress_on_standard_error_and_leaves_standard_output(tmp_path: Path) -> None:
    code = """
import xmcbench as xb
runs = xb.run("popularity", dataset="synthetic[labels=60,rows=100,test=20]", results={!r})
print(runs[0].label)
"""
    command = [sys.executable, "-c", code.format(str(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "popularity\n"
    lines = done.stderr.splitlines()
    name = "popularity on synthetic[rows=100,test=20,labels=60] · "
    assert [line.removeprefix(name).partition(" · ")[0] for line in lines if line.startswith(name)] == [
        *("predict", "single queries", "score"),
    ]
