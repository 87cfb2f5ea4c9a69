"""`xmcbench data`: fetch, verify, where, clean and stats."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import AsJson, DatasetView, Offline
from xmcbench.cli.terminal import columns, make_console, number, print_table, print_text
from xmcbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry

data_app = typer.Typer(name="data", help="Fetch, verify, locate, import and export data sets.", no_args_is_help=True)


@data_app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets listed by `xmcbench ls datasets`.")],
    view: DatasetView = None,
    offline: Offline = False,
) -> None:
    """Download missing files and verify all files.

    Example: xmcbench data fetch eurlex-4.3k wiki10-31k
    """
    from xmcbench.cli.progress import reporter
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.inventory import described

    failed = []
    for entry in [described(name) for name in names]:  # resolves all names before the first download
        with reporter(make_console(stderr=True), entry.name) as progress:
            try:
                files = fetch_files(entry, view, offline=offline, progress=progress)
            except DataError as error:
                failed.append(str(error))
                continue
        rows = [(entry.name, role, path) for role, path in files.items()]
        typer.echo(columns(rows or [(entry.name, "needs no files: it is generated")]))
    if failed:
        raise DataError("\n".join(failed))


@data_app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; default: all with local files.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check hashes of local files and counts of parsed data sets.

    Example: xmcbench data verify eurlex-4.3k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.inventory import described, verified

    reports, problems = [], []
    for entry in [described(name) for name in names] if names else list(catalogue().values()):
        rows = verified(entry)
        if not rows and not names:
            continue
        counts, differences = _check_counts(entry) if all(row.ok for row in rows) else ("counts as expected", [])
        problems += [row.problem for row in rows if not row.ok] + [f"{entry.name}: {line}" for line in differences]
        reports.append({"dataset": entry.name, "files": [vars(row) for row in rows], "counts": counts})
        if as_json:
            continue
        if rows:
            cells = [(r.dataset, r.file, r.place, number(r.size), "ok" if r.ok else "WRONG", r.hash) for r in rows]
            titles = ("data set", "file", "place", "bytes", "state", "compared with")
            short = {"compared with": _short_hash}
            print_table([titles, *cells], right=("bytes",), short=short, drop=("data set", "bytes"))
        print_text(f"{entry.name}: {counts if rows else _without_files(entry)}")
    if as_json:
        _json({"ok": not problems, "problems": problems, "datasets": reports})
        if problems:
            raise typer.Exit(DataError.exit_code)
    elif problems:
        raise DataError("\n".join(problems))


@data_app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A data set; default: all.")] = None, as_json: AsJson = False
) -> None:
    """Show where files are: local, in a mirror or missing.

    Example: xmcbench data where eurlex-4k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.home import home
    from xmcbench.data.inventory import described, have, is_parsed, states
    from xmcbench.data.places import folder, instructions, mirror

    entries = [described(name)] if name else list(catalogue().values())
    files = [state for entry in entries for state in states(entry)]
    if as_json:
        parsed = {entry.name: is_parsed(entry) for entry in entries}
        complete = {entry.name: not entry.forms or bool(have(entry)) for entry in entries}
        places = {"home": str(home()), "mirror": str(mirror() or "") or None}
        _json({**places, "parsed": parsed, "complete": complete, "files": [vars(state) for state in files]})
        return
    typer.echo(columns([("home", home()), ("mirror", mirror() or "none (XMCBENCH_MIRROR)")]))
    if name is None:
        rows = [(e.name, _summary(e), "yes" if is_parsed(e) else "no") for e in entries]
        print_table([("data set", "files", "parsed"), *rows])
        return
    entry = entries[0]
    lost = " but its source files are missing, and loading needs them;" if entry.forms and not have(entry) else ""
    parse = f"yes,{lost} {home() / 'parsed' / entry.name}" if is_parsed(entry) else "no"
    typer.echo(columns([("parsed", parse), ("files", folder(entry) if entry.forms else _summary(entry))]))
    if files:
        cells = [(s.form, s.file, s.place, number(s.size), s.hash, s.path) for s in files]
        titles = ("form", "file", "place", "bytes", "hash", "path")
        print_table([titles, *cells], right=("bytes",), short={"hash": _short_hash}, drop=("path", "form"))
    if entry.forms and not have(entry):
        for view in entry.views:
            typer.echo(f"\nBy hand, for view {view}:\n  {instructions(entry, view)}")


@data_app.command()
def clean(
    name: Annotated[str | None, typer.Argument(help="A data set; default: all.")] = None,
    downloads: Annotated[bool, typer.Option("--downloads", help="Also remove downloaded files.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Remove parsed data sets from the cache.

    Imported data sets and recorded hashes stay. Without a name, also removes cached tokens and embeddings of encoders.

    Example: xmcbench data clean eurlex-4.3k --downloads
    """
    from xmcbench.data.inventory import removable, remove

    if not (folders := removable(name, downloads)):
        typer.echo("nothing to remove")
        return
    print_table([("bytes", "folder"), *((number(size), path) for path, size in folders)], right=("bytes",))
    total = sum(size for _, size in folders)
    if not yes and not typer.confirm(f"Remove {len(folders)} folders, {total:,} bytes?"):
        raise UsageError("nothing was removed", "Use --yes to remove without confirmation.")
    remove([path for path, _ in folders])
    typer.echo(f"removed {counted(len(folders), 'folder')}, {counted(total, 'byte')}")


@data_app.command()
def stats(name: str, view: DatasetView = None, offline: Offline = False, as_json: AsJson = False) -> None:
    """Show counts, expected counts and known issues.

    Example: xmcbench data stats icd10cm
    """
    from xmcbench.cli.progress import reporter
    from xmcbench.data import load
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.inventory import differing
    from xmcbench.data.validate import counts

    with reporter(make_console(stderr=True), name) as progress:
        data = load(name, view, offline=offline, progress=progress)
    entry = catalogue().get(data.name)  # None for an imported data set
    actual = counts(data)
    expected, issues = (dict(entry.expected), list(entry.known_issues)) if entry else ({}, [])
    differences = differing(entry, actual) if entry else []
    head = {"name": data.name, "view": data.view, "revision": data.revision, "content_hash": data.content_hash}
    if as_json:
        _json({**head, "counts": actual, "expected": expected, "differs": differences, "known_issues": issues})
        return
    typer.echo(columns(head.items()))
    cells = [(key, number(value), number(expected.get(key))) for key, value in actual.items() if value is not None]
    print_table([("count", "here", "expected"), *cells], right=("here", "expected"))
    if entry:
        lines = [("expected:", entry.expected_source), ("licence:", f"{entry.licence}; {entry.redistribution}")]
        typer.echo(columns([*lines, *((f"not {other}:", why) for other, why in entry.same_name_as.items())]))
    if issues := [*(f"DIFFERS {d}" for d in differences), *issues]:
        typer.echo(columns([("-", issue) for issue in issues]))


def _check_counts(entry: Entry) -> tuple[str, list[str]]:
    """A verdict and the differences from the expected counts, if the default view is parsed and its files are local."""
    from xmcbench.data import load
    from xmcbench.data.inventory import differing, have, is_parsed
    from xmcbench.data.validate import counts

    view = entry.default_view
    if not is_parsed(entry, view) or (entry.forms and not have(entry, view)):
        return "not parsed from these files yet, so nothing was counted", []
    differences = differing(entry, counts(load(entry.name, offline=True)))
    return "counts DIFFER" if differences else "counts as expected", differences


def _without_files(entry: Entry) -> str:
    if not entry.forms:
        return "needs no files"
    known = all(f.hash_known for form in entry.forms for f in ([form.archive] if form.archive else form.files))
    return "no local files" + ("" if known else "; no hash is published: it is recorded at first download")


def _summary(entry: Entry) -> str:
    """Whether the files of at least one form are complete, and where."""
    from xmcbench.data.inventory import have

    if not entry.forms:
        return "needs none: it is generated"
    return f"complete, {place}" if (place := have(entry)) else "missing"


def _short_hash(words: str) -> str:
    """Shorten a description of a hash: eight hexadecimal digits, without explanations."""
    short = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1…", words)
    return short.split(", ")[0].split(": ")[0]


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
