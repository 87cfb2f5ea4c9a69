"""The command line: one module per command, with heavy imports inside functions."""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated

import typer

from xmcbench import __version__
from xmcbench.cli.board import board_app, merge
from xmcbench.cli.check import check_app
from xmcbench.cli.compare import compare
from xmcbench.cli.data import data_app
from xmcbench.cli.data_files import verify as verify_files
from xmcbench.cli.data_files import where
from xmcbench.cli.data_io import EPILOG as IMPORT_EPILOG
from xmcbench.cli.data_io import export, import_
from xmcbench.cli.doctor import doctor
from xmcbench.cli.info import cite, info
from xmcbench.cli.ls import ls
from xmcbench.cli.new import new
from xmcbench.cli.options import EachOptionOnce
from xmcbench.cli.peers import peers_app
from xmcbench.cli.run import EPILOG, run
from xmcbench.cli.score import EPILOG as SCORE_EPILOG
from xmcbench.cli.score import score
from xmcbench.cli.verify import verify
from xmcbench.errors import XmcError
from xmcbench.escaping import clean_lines

THREADS_SECONDS = 10.0  # that threads have to end after a command
INTERRUPTED = 130  # 128 + SIGINT, the convention of shells

app = typer.Typer(
    name="xmcbench",
    help="Extreme multi-label classification: run methods on real data, compared honestly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"xmcbench {__version__}")
        raise typer.Exit


app.command(epilog=EPILOG, no_args_is_help=True)(run)
for command in (compare, merge, verify):
    app.command()(command)
app.command(epilog=SCORE_EPILOG)(score)
for other in (ls, info, cite, doctor, new):
    app.command()(other)
data_app.command("verify")(verify_files)
data_app.command()(where)
data_app.command("import", epilog=IMPORT_EPILOG)(import_)
data_app.command("export")(export)
for name, group in (("data", data_app), ("peers", peers_app), ("board", board_app), ("check", check_app)):
    app.add_typer(group, name=name)
for group in (app, data_app, peers_app, board_app, check_app):
    for registered in group.registered_commands:
        registered.cls = EachOptionOnce


def main() -> None:
    """Entry point of the console script: an XmcError becomes a message on standard error and an exit code.

    Waiting OpenMP threads sleep unless the user sets OMP_WAIT_POLICY. By default they spin on a core that other thread
    pools (torch, numba) or programs need, which slows down a busy machine many times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # set before an OpenMP library is loaded, which reads it
    try:
        _call_app()
    except SystemExit as stop:
        _end_despite_threads(stop.code if isinstance(stop.code, int) else 0)
        raise


def _call_app() -> None:
    try:
        app()
    except XmcError as error:
        typer.echo(f"error: {clean_lines(error)}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        # typer turns Ctrl-C into an exit without a message
        typer.echo("interrupted; run the same command again: downloads and runs resume", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)


def _end_despite_threads(code: int) -> None:
    """End the process in `THREADS_SECONDS` if a method left threads running, for which Python would wait forever."""
    if all(thread.daemon or thread is threading.current_thread() for thread in threading.enumerate()):
        return
    sys.stdout.flush()
    timer = threading.Timer(THREADS_SECONDS, os._exit, [code])
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
