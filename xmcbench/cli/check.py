"""`xmcbench check method NAME`: run the contract battery on a method. `xmcbench.cli.scores` has `check scores`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from xmcbench.cli.scores import scores
from xmcbench.errors import UsageError

check_app = typer.Typer(
    help="Check a method against the contract, or scores against expected scores.", no_args_is_help=True
)


@check_app.command()
def method(
    name: Annotated[str, typer.Argument(help="A registered name, or path/to/file.py:Class.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter, such as fewer epochs.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. Default: cpu, or cuda for a method that needs it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of findings as JSON.")] = False,
) -> None:
    """Check a method against the contract.

    Prints one line per check; exit code 1 if any fails. If the basic fit fails, the checks that need it are not made.
    """
    from xmcbench.runs import registry
    from xmcbench.testing.contract import findings

    params = _parameters(registry.get(name), settings or [])
    results = []
    for finding in findings(name, params=params, device=device):
        results.append(finding)
        if not as_json:
            _print(finding)
    failed = sum(finding.ok is False for finding in results)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in results], indent=1))
    else:
        passed = sum(finding.ok is True for finding in results)
        unchecked = f", {len(results) - passed - failed} not made" if passed + failed < len(results) else ""
        typer.echo(f"{name}: {passed} of {len(results)} checks hold{unchecked}")
    if failed:
        raise typer.Exit(1)


check_app.command()(scores)


def _parameters(method: Any, settings: list[str]) -> Any:
    from xmcbench.runs.plan import parse_value

    values = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} lacks '='", "Write --set NAME=VALUE.")
        values[name.strip()] = parse_value(method.info, name.strip(), value)
    try:
        return method.info.parameters(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{method.info.name}: {error}") from error


def _print(finding: Any) -> None:
    from xmcbench.cli.plain import hanging

    marks = {True: typer.style("ok    ", fg="green"), False: typer.style("FAILED", fg="red", bold=True), None: "–     "}
    text = finding.check + (f": {finding.message}" if finding.message else "")
    typer.echo(f"{marks[finding.ok]} {hanging(text, 7)}")
