"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from xmcbench.cli import completion
from xmcbench.errors import UsageError
from xmcbench.escaping import clean, clean_lines
from xmcbench.files import folder_fault, user_path

if TYPE_CHECKING:
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store


def folder_value(text: str | Path) -> Path:
    """The value of an option that names a folder to write to; it exists or, as far as its name tells, can be made."""
    if not str(text):
        raise typer.BadParameter("it is empty; give the path of a folder")
    if fault := folder_fault(Path(text)):
        raise typer.BadParameter(f"{clean(text)[:200]}: {fault}; give the path of a folder you may write to")
    return Path(text)


AS_FOLDER: dict[str, Any] = {"parser": folder_value, "metavar": "PATH"}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DatasetView = Annotated[
    str | None,
    typer.Option("--view", autocompletion=completion.views, help="bow, text, … Default: the data set's default view."),
]
Metrics = Annotated[
    str | None, typer.Option(autocompletion=completion.metrics, help="Comma-separated; default: the standard set.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Use no network, only local files and XMCBENCH_MIRROR.")]
Results = Annotated[Path, typer.Option(**AS_FOLDER, envvar="XMCBENCH_RESULTS", help="Results folder.")]
ONLY_DATASET = typer.Option("--dataset", autocompletion=completion.datasets, help="Only runs on this data set.")
RUN: dict[str, Any] = {
    "autocompletion": completion.runs,
    "help": "Run id or a part of it, record file, label, or method name (newest run).",
}
LARGEST_ID = 2**31 - 1  # of labels, so that there are no more labels, and no larger k
LARGEST_SEED = 2**63 - 1  # that a record holds
MOST_SAMPLES = 1_000_000  # of a bootstrap

RESULTS = Path("results")
PROPENSITY = "0.55,1.5"  # Jain et al. 2016, section 5: except for Wikipedia (0.5,0.4) and Amazon (0.6,2.6)


class Command(typer.core.TyperCommand):
    """A command that checks what is given once for all options: no second value, which the parser would silently use
    instead of the first, no text that isn't UTF-8, and paths that can exist."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand `~` in paths.

        Raises UsageError: an option that takes one value is given twice, or a value can't be a text or a path.
        """
        if ctx.resilient_parsing:  # a shell completes a value; without its option, the parser finds the other ones
            return super().parse_args(ctx, args[:-1] if args[-1:] and args[-1].startswith("-") else args)
        parsed: Any = self.make_parser(ctx).parse_args(args=list(args))
        values, _, given = parsed
        single = [p for p in given if p.param_type_name == "option" and not p.multiple and not p.is_flag]
        for option in single:
            if single.count(option) > 1:
                listed = "comma-separated" in (option.help or "").casefold()
                hint = "Put its values into one, with commas between them." if listed else "Give it once."
                raise UsageError(f"{option.opts[-1]} is given {single.count(option)} times", hint)
        rest = super().parse_args(ctx, args)
        for param in self.get_params(ctx):
            if param.name in ctx.params:  # not --help
                value, raw, name = ctx.params[param.name], values.get(param.name), _name(param)
                if isinstance(value, list):
                    value = [_checked(*pair, name) for pair in zip(value, raw or value, strict=True)]
                ctx.params[param.name] = _checked(value, raw, name)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Raises RuntimeError for two errors that typer takes for its own: the end of its input, and a closed pipe."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _checked(value: Any, raw: object, name: str) -> Any:
    """The value of an option or argument, for a path with `~` expanded; `raw` is the text that was given, if any.

    Raises UsageError: the path or argument is empty, the path is too long, or the text has bytes that are not UTF-8.
    """
    if raw == "" and (isinstance(value, Path) or name.isupper()):  # an option that is no path may be empty
        raise UsageError(f"{name} is empty", "Give a path (. is the current folder) or a name.")
    if isinstance(value, Path):
        value = user_path(raw if isinstance(raw, str) else str(value), f"{name} ")
        try:
            value.lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UsageError(f"{name} {str(value)[:60]}…: the name is too long", "Give a shorter path.") from error
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{name} {value!r} is not UTF-8", "Write it in UTF-8.") from error
    return value


def _name(param: Any) -> str:
    """How messages name an option or argument: --results, FROM."""
    return str(param.opts[-1]) if param.param_type_name == "option" else str(param.name).upper()


def check_output_file(option: str, path: Path | None, source: Path | None = None) -> None:
    """UsageError unless `path` may become a file: it is no folder, no pipe or device, and not the file that is read."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder", "Give the name of a file.")
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{option} {path} is no regular file", f"Leave out {option}: the output then goes to the pipe."
        )
    if path.exists() and source is not None and source.exists() and os.path.samefile(path, source):
        raise UsageError(f"{option} {path} is the file that is read", "Give another file.")


def propensity_of(text: str) -> tuple[float, float]:
    """A and B of Jain et al. 2016 from text.

    Raises
    ------
    UsageError : not two numbers, or outside the formula's domain, see `xmcbench.data.catalogue.propensity_fault`.
    """
    from xmcbench.data.catalogue import propensity_fault

    try:
        a, b = map(float, text.split(","))
    except ValueError as error:
        raise UsageError(f"--propensity {text!r} is not A,B", f"Two numbers, such as {PROPENSITY}.") from error
    if fault := propensity_fault(a, b):
        raise UsageError(f"--{fault}", f"Such as {PROPENSITY}.")
    return a, b


def readable_records(store: Store) -> list[Record]:
    """The records of a results folder; damaged records are left out with a warning."""
    damaged: list[str] = []
    records = store.records(damaged)
    for text in damaged:
        typer.echo(f"warning: left out: {clean_lines(text)}", err=True)
    return records


def warn_of_lost_hashes() -> None:
    """Say on standard error if recorded hashes of downloads may be lost; for commands that go on without them."""
    from xmcbench.data.ledger import damage

    if problem := damage():
        typer.echo(f"warning: {clean_lines(problem)}", err=True)


def forbid_network(offline: bool) -> None:
    """With `offline`, Hugging Face libraries don't use the network either; they read this when first imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
