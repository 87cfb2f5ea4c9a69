"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from xmcbench.errors import UsageError
from xmcbench.escaping import clean_lines

if TYPE_CHECKING:
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DatasetView = Annotated[str | None, typer.Option("--view", help="bow, text, … Default: the data set's default view.")]
Metrics = Annotated[str | None, typer.Option(help="Comma-separated; default: the standard set.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use no network, only local files and XMCBENCH_MIRROR.")]
Results = Annotated[Path, typer.Option(envvar="XMCBENCH_RESULTS", help="Results folder.")]
RUN = "Run id or a part of it, record file, label, or method name (newest run)."

LARGEST_ID = 2**31 - 1  # of labels, so that there are no more labels, and no larger k
LARGEST_SEED = 2**63 - 1  # that a record holds
MOST_SAMPLES = 1_000_000  # of a bootstrap

RESULTS = Path("results")
PROPENSITY = "0.55,1.5"  # Jain et al. 2016, section 5: except for Wikipedia (0.5,0.4) and Amazon (0.6,2.6)


class EachOptionOnce(typer.core.TyperCommand):
    """A command that refuses a second value of an option, of which the parser would silently use the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises UsageError: an option that takes one value is given twice."""
        given: list[Any] = self.make_parser(ctx).parse_args(args=list(args))[2]
        single = [p for p in given if p.param_type_name == "option" and not p.multiple and not p.is_flag]
        for option in single:
            if single.count(option) > 1:
                listed = "comma-separated" in (option.help or "").casefold()
                hint = "Put its values into one, with commas between them." if listed else "Give it once."
                raise UsageError(f"{option.opts[-1]} is given {single.count(option)} times", hint)
        return super().parse_args(ctx, args)


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


def forbid_network(offline: bool) -> None:
    """With `offline`, Hugging Face libraries don't use the network either; they read this when first imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
