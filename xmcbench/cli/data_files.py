"""`xmcbench data verify` and `where`: what files of data sets are on this machine, and whether they are right."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import AsJson
from xmcbench.cli.terminal import columns, number, print_table, print_text, say
from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry
    from xmcbench.data.inventory import State

DAMAGED = "imported, but damaged: see `xmcbench data verify`"


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; default: all with local files.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check hashes of local files and counts of parsed data sets.

    Every file is read, also those of imported data sets, whose hashes were recorded by the import.

    Example: xmcbench data verify eurlex-4.3k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.imported import imported_names
    from xmcbench.data.inventory import data_set, verified

    everything: list[Entry | str] = [*catalogue().values(), *imported_names()]
    targets = [data_set(name) for name in names] if names else everything
    reports, problems = [], []
    for target in {target if isinstance(target, str) else target.name: target for target in targets}.values():
        if isinstance(target, str):
            name, (rows, counts, differences) = target, _verified_import(target)
        else:
            name, rows, counts, differences = target.name, verified(target), "counts as expected", []
            if not rows and not names:
                continue
            if all(row.ok for row in rows):
                counts, differences = _check_counts(target)
        faults = list(dict.fromkeys(row.problem for row in rows if not row.ok))
        problems += [*faults, *(f"{name}: {line}" for line in differences)]
        reports.append({"dataset": name, "files": [vars(row) for row in rows], "counts": counts})
        if as_json:
            continue
        if rows:
            cells = [(r.dataset, r.file, r.place, number(r.size), "ok" if r.ok else "WRONG", r.hash) for r in rows]
            titles = ("data set", "file", "place", "bytes", "state", "compared with")
            short = {"compared with": _short_hash}
            print_table([titles, *cells], right=("bytes",), short=short, drop=("data set", "bytes"))
        print_text(f"{name}: {counts if rows or isinstance(target, str) else _without_files(target)}")
    if as_json:
        _json({"ok": not problems, "problems": problems, "datasets": reports})
        if problems:
            raise typer.Exit(DataError.exit_code)
    elif problems:
        raise DataError("\n".join(problems))


def _verified_import(name: str) -> tuple[list[State], str, list[str]]:
    """(state of each file, a verdict, faults of meta.json) of an imported data set."""
    from xmcbench.data.imported import find_imported
    from xmcbench.data.inventory import imported_states

    try:
        imported = find_imported(name)
    except DataError as error:
        return [], "DAMAGED", [str(error)]
    rows = imported_states(imported, verify=True)
    whole = rows and all(row.ok for row in rows)
    return rows, f"as imported, revision {imported.revision}" if whole else "DAMAGED", []


def where(
    name: Annotated[str | None, typer.Argument(help="A data set; default: all.")] = None, as_json: AsJson = False
) -> None:
    """Show where files are: local, imported, in a mirror or missing.

    Example: xmcbench data where eurlex-4k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.home import home
    from xmcbench.data.imported import find_imported, imported_names
    from xmcbench.data.inventory import data_set, have, imported_states, is_parsed, states
    from xmcbench.data.places import folder, instructions, mirror

    everything: list[Entry | str] = [*catalogue().values(), *imported_names()]
    targets = [data_set(name)] if name else everything
    by_name = {target if isinstance(target, str) else target.name: target for target in targets}
    parsed = {known: is_parsed(known) for known in by_name}
    summaries = {known: _summary(target) for known, target in by_name.items()}
    files = [
        state
        for known, target in by_name.items()
        if name or summaries[known] != DAMAGED
        for state in (imported_states(find_imported(target)) if isinstance(target, str) else states(target))
    ]
    if as_json:
        complete = {known: summary not in ("missing", DAMAGED) for known, summary in summaries.items()}
        places = {"home": str(home()), "mirror": str(mirror() or "") or None}
        _json({**places, "parsed": parsed, "complete": complete, "files": [vars(state) for state in files]})
        return
    typer.echo(columns([("home", home()), ("mirror", mirror() or "none (XMCBENCH_MIRROR)")]))
    if name is None:
        print_table(
            [("data set", "files", "parsed"), *((k, summaries[k], "yes" if parsed[k] else "no") for k in by_name)]
        )
        return
    [(name, target)] = by_name.items()
    missing = not isinstance(target, str) and bool(target.forms) and not have(target)
    lost = " but its source files are missing, and loading needs them;" if missing else ""
    parse = f"yes,{lost} {home() / 'parsed' / name}" if parsed[name] else "no"
    if isinstance(target, str):
        place: object = find_imported(target).folder
    else:
        place = folder(target) if target.forms else summaries[name]
    typer.echo(columns([("parsed", parse), ("files", place)]))
    if files:
        cells = [(s.form, s.file, s.place, number(s.size), s.hash, s.path) for s in files]
        titles = ("form", "file", "place", "bytes", "hash", "path")
        print_table([titles, *cells], right=("bytes",), short={"hash": _short_hash}, drop=("path", "form"))
    if missing and not isinstance(target, str):
        for view in target.views:
            say(f"\nBy hand, for view {view}:\n  {instructions(target, view)}")


def _check_counts(entry: Entry) -> tuple[str, list[str]]:
    """A verdict and the differences from the expected counts, if the default view is parsed and its files are local."""
    from xmcbench.data import load
    from xmcbench.data.inventory import differing, have, is_parsed
    from xmcbench.data.validate import counts

    view = entry.default_view
    if not is_parsed(entry.name, view) or (entry.forms and not have(entry, view)):
        return "not parsed from these files yet, so nothing was counted", []
    differences = differing(entry, counts(load(entry.name, offline=True)))
    return "counts DIFFER" if differences else "counts as expected", differences


def _without_files(entry: Entry) -> str:
    if not entry.forms:
        return "needs no files"
    known = all(f.hash_known for form in entry.forms for f in ([form.archive] if form.archive else form.files))
    return "no local files" + ("" if known else "; no hash is published: it is recorded at first download")


def _summary(target: Entry | str) -> str:
    """Whether the files of at least one form, or of an import, are complete, and where; hashes are not compared."""
    from xmcbench.data.imported import find_imported
    from xmcbench.data.inventory import have, imported_states

    if isinstance(target, str):
        try:
            states = imported_states(find_imported(target))
        except DataError:
            return DAMAGED
        return DAMAGED if any(state.size is None for state in states) else "complete, imported"
    if not target.forms:
        return "needs none: it is generated"
    return f"complete, {place}" if (place := have(target)) else "missing"


def _short_hash(words: str) -> str:
    """Shorten a description of a hash: eight hexadecimal digits, without explanations."""
    short = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1…", words)
    return short.split(", ")[0].split(": ")[0]


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))
