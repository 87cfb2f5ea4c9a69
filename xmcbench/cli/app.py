"""The command line: one module per command, with heavy imports inside functions."""

from __future__ import annotations

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
from xmcbench.cli.errors import errors
from xmcbench.cli.explain import explain
from xmcbench.cli.info import cite, info
from xmcbench.cli.ls import ls
from xmcbench.cli.model import model_app
from xmcbench.cli.new import new
from xmcbench.cli.options import Command
from xmcbench.cli.peers import peers_app
from xmcbench.cli.plot import EPILOG as PLOT_EPILOG
from xmcbench.cli.plot import plot
from xmcbench.cli.predict import EPILOG as PREDICT_EPILOG
from xmcbench.cli.predict import predict
from xmcbench.cli.run import EPILOG, run
from xmcbench.cli.score import EPILOG as SCORE_EPILOG
from xmcbench.cli.score import score
from xmcbench.cli.serve import serve
from xmcbench.cli.submit import submission, submit
from xmcbench.cli.verify import verify

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
for command in (compare, errors, explain, merge, submit, verify):
    app.command()(command)
app.command(epilog=SCORE_EPILOG)(score)
app.command(epilog=PREDICT_EPILOG)(predict)
app.command(epilog=PLOT_EPILOG)(plot)
for other in (ls, info, cite, doctor, new, serve):
    app.command()(other)
check_app.command()(submission)
data_app.command("verify")(verify_files)
data_app.command()(where)
data_app.command("import", epilog=IMPORT_EPILOG)(import_)
data_app.command("export")(export)
groups = {"data": data_app, "model": model_app, "peers": peers_app, "board": board_app, "check": check_app}
for name, group in groups.items():
    app.add_typer(group, name=name)
for group in (app, *groups.values()):
    for registered in group.registered_commands:
        registered.cls = Command
