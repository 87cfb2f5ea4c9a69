"""xmcbench data: fetch, verify, where, clean, stats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from xmcbench.cli.show import BarReporter, LineReporter
    from xmcbench.data.catalogue import Entry

data_app = typer.Typer(name="data", help="Data sets: get them, check them, see where they lie.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="Data sets, as `xmcbench ls datasets` lists them.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]
Offline = Annotated[bool, typer.Option("--offline", help="No network: this machine and XMCBENCH_MIRROR only.")]
View = Annotated[str | None, typer.Option("--view", help="bow, text, …; the data set's default if not given.")]


@data_app.command()
def fetch(names: Names, view: View = None, offline: Offline = False) -> None:
    """Download what is missing and check all of it.

    Example: xmcbench data fetch eurlex-4.3k wiki10-31k
    """
    from xmcbench.cli.plain import columns
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.inventory import described

    failed: list[DataError] = []
    for found in [described(name) for name in names]:  # all names are known before the first byte is asked for
        with _reporting(found.name) as reporter:
            try:
                files = fetch_files(found, view, offline=offline, progress=reporter)
            except DataError as error:
                failed.append(error)
                continue
        rows = [(found.name, role, str(path)) for role, path in files.items()]
        typer.echo(columns(rows or [(found.name, "needs no files: it is made here")]))
    if failed:
        raise DataError("\n".join(str(error) for error in failed))


@data_app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all that are here if none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read every file that is here, compare its hash, and compare the counts of what is parsed.

    Example: xmcbench data verify eurlex-4.3k
    """
    from xmcbench.cli.plain import hanging, table
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.inventory import described, verified

    reports, problems = [], []
    for found in [described(name) for name in names] if names else list(catalogue().values()):
        rows = verified(found)
        if not rows and not names:
            continue
        counted = _counted(found) if all(row.ok for row in rows) else []
        problems += [row.problem for row in rows if not row.ok] + [f"{found.name}: {line}" for line in counted or []]
        reports.append({"dataset": found.name, "files": [vars(row) for row in rows], "counts": _words(counted)})
        if not as_json:
            shown = [(r.dataset, r.file, r.place, _size(r.size), "ok" if r.ok else "WRONG", r.hash) for r in rows]
            titles = ("data set", "file", "place", "bytes", "state", "compared with")
            if rows:
                typer.echo(table([titles, *shown], short={"compared with": _short_hash}, drop=("data set", "bytes")))
            typer.echo(hanging(f"{found.name}: " + (_words(counted) if rows else _nothing_here(found)), 0))
    if as_json:
        _json({"ok": not problems, "problems": problems, "datasets": reports})
        if problems:
            raise typer.Exit(DataError.exit_code)
    elif problems:
        raise DataError("\n".join(problems))


@data_app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="One data set; all if not given.")] = None, as_json: AsJson = False
) -> None:
    """Folders and files: which are here, in a mirror, missing.

    Example: xmcbench data where eurlex-4k
    """
    from xmcbench.cli.plain import columns, table
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.home import home
    from xmcbench.data.inventory import described, have, is_parsed, states
    from xmcbench.data.places import folder, instructions, mirror

    chosen = [described(name)] if name else list(catalogue().values())
    files = [state for found in chosen for state in states(found)]
    if as_json:
        parsed = {found.name: is_parsed(found) for found in chosen}
        complete = {found.name: not found.forms or bool(have(found)) for found in chosen}
        places = {"home": str(home()), "mirror": None if mirror() is None else str(mirror())}
        _json({**places, "parsed": parsed, "complete": complete, "files": [vars(state) for state in files]})
        return
    typer.echo(columns([("home", home()), ("mirror", mirror() or "none (XMCBENCH_MIRROR)")]))
    if name is None:
        rows = [(e.name, _summary(e), _yes(is_parsed(e))) for e in chosen]
        typer.echo(table([("data set", "files", "parsed"), *rows]))
        return
    found = chosen[0]
    typer.echo(columns([("parsed", _parsed(found)), ("files", folder(found) if found.forms else _summary(found))]))
    if files:
        shown = [(s.form, s.file, s.place, _size(s.size), s.hash, s.path) for s in files]
        titles = ("form", "file", "place", "bytes", "hash", "path")
        typer.echo(table([titles, *shown], short={"hash": _short_hash}, drop=("path", "form")))
    if found.forms and not have(found):
        for view in found.views:
            typer.echo(f"\nBy hand, for view {view}:\n  {instructions(found, view)}")


@data_app.command()
def clean(
    name: Annotated[str | None, typer.Argument(help="One data set; all if not given.")] = None,
    downloads: Annotated[bool, typer.Option("--downloads", help="Downloaded files as well as parsed ones.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Remove parsed caches; imported data sets and recorded hashes stay.

    Without a name the tokens and embeddings that encoders keep go as well.

    Example: xmcbench data clean eurlex-4.3k --downloads
    """
    from xmcbench.cli.plain import columns
    from xmcbench.data.inventory import removable, remove

    there = removable(name, downloads)
    if not there:
        typer.echo("nothing to remove")
        return
    typer.echo(columns([("bytes", "folder"), *((_size(size), path) for path, size in there)]))
    total = sum(size for _, size in there)
    if not yes and not typer.confirm(f"Remove {len(there)} folders, {total:,} bytes?"):
        raise UsageError("nothing was removed", "Give --yes to remove without a question.")
    remove([path for path, _ in there], lambda path: None)
    typer.echo(f"removed {len(there)} folders, {total:,} bytes")


@data_app.command()
def stats(name: str, view: View = None, offline: Offline = False, as_json: AsJson = False) -> None:
    """Counts beside expected ones, and what is known to be odd about the data set.

    Example: xmcbench data stats icd10cm
    """
    from xmcbench.cli.plain import columns, hanging, table
    from xmcbench.data import load
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.inventory import counts, differing

    with _reporting(name) as reporter:
        data = load(name, view, offline=offline, progress=reporter)
    found = catalogue().get(data.name)  # None: imported
    counted = counts(data)
    expected = dict(found.expected) if found else {}
    differs = differing(found, counted) if found else []
    issues = list(found.known_issues) if found else []
    head = {"name": data.name, "view": data.view, "revision": data.revision, "content_hash": data.content_hash}
    if as_json:
        _json({**head, "counts": counted, "expected": expected, "differs": differs, "known_issues": issues})
        return
    typer.echo(columns(head.items()))
    shown = [(key, _size(value), _size(expected.get(key))) for key, value in counted.items() if value is not None]
    typer.echo(table([("count", "here", "expected"), *shown]))
    lines = []
    if found:
        lines = [f"expected: {found.expected_source}", f"licence: {found.licence}; {found.redistribution}"]
        lines += [f"not {other}: {why}" for other, why in found.same_name_as.items()]
    for line in [*lines, *(f"- {text}" for text in [*(f"DIFFERS {d}" for d in differs), *issues])]:
        typer.echo(hanging(line, 0))


def _counted(found: Entry) -> list[str] | None:
    """Differences between counted and expected in the default view; None if it can't be counted as it lies here."""
    from xmcbench.data import load
    from xmcbench.data.inventory import counts, differing, have, is_parsed

    if not is_parsed(found, found.default_view) or (found.forms and not have(found, found.default_view)):
        return None
    return differing(found, counts(load(found.name, offline=True)))


def _words(counted: list[str] | None) -> str:
    if counted is None:
        return "not parsed from these files yet, so nothing was counted"
    return "counts DIFFER" if counted else "counts as expected"


def _nothing_here(found: Entry) -> str:
    if not found.forms:
        return "needs no files"
    known = all(f.hash_known for form in found.forms for f in ([form.archive] if form.archive else form.files))
    return "none of its files is here" + ("" if known else "; no hash is published: it is recorded at first download")


def _summary(found: Entry) -> str:
    """One form is all there, or it isn't; or there is nothing to have."""
    from xmcbench.data.inventory import have

    if not found.forms:
        return "needs none: it is made here"
    place = have(found)
    return f"here, {place}" if place else "missing"


def _parsed(found: Entry) -> str:
    """Whether it is parsed and where; a parse is opened only if the files it was made from are here as well."""
    from xmcbench.data.home import home
    from xmcbench.data.inventory import have, is_parsed

    if not is_parsed(found):
        return "no"
    gone = " but its source files are gone, and a load needs them;" if found.forms and not have(found) else ""
    return f"yes,{gone} {home() / 'parsed' / found.name}"


def _short_hash(words: str) -> str:
    """The first eight of its hexadecimal digits, and no more words than needed."""
    import re

    short = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1…", words)
    return short.split(", ")[0].split(": ")[0]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _size(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _reporting(name: str) -> BarReporter | LineReporter:
    """A bar on a terminal, lines elsewhere, on standard error; standard output is for results."""
    from rich.console import Console

    from xmcbench.cli.show import reporter

    return reporter(Console(stderr=True), name)
