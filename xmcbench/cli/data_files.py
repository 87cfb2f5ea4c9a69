"""`xmcbench data verify` and `where`: what files of data sets are on this machine, and whether they are right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import AsJson, warn_of_lost_hashes
from xmcbench.cli.terminal import columns, number, print_table, print_text, say
from xmcbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry
    from xmcbench.data.inventory import State
    from xmcbench.data.validate import Counts

DAMAGED = "imported, but damaged: see `xmcbench data verify`"


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(autocompletion=completion.datasets, help="Data sets; default: all with local files."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check hashes of local files and of parsed data sets, and counts.

    Every file is read, also those of imported data sets, whose hashes were recorded by the import. Damaged files of a
    parsed data set are only a cache: it is parsed again, with a warning.

    Example: xmcbench data verify eurlex-4.3k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.imported import imported_names
    from xmcbench.data.inventory import data_set, generated, is_parsed, verified

    everything: list[Entry | str] = [*catalogue().values(), *generated(), *imported_names()]
    targets = [data_set(name) for name in names] if names else everything
    reports, problems = [], []
    for target in {target if isinstance(target, str) else target.name: target for target in targets}.values():
        if isinstance(target, str):
            name, (rows, counts, differences) = target, _verified_import(target)
        else:
            name, rows, counts, differences = target.name, verified(target), "counts as expected", []
            if not rows and not names and not is_parsed(name):
                continue
            if all(row.ok for row in rows):
                counts, differences = _check_parsed(target)
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
        print_text(f"{name}: {'' if rows or isinstance(target, str) else _without_files(target) + '; '}{counts}")
    if as_json:
        _json({"ok": not problems, "problems": problems, "datasets": reports})
        if problems:
            raise typer.Exit(DataError.exit_code)
    elif problems:
        raise DataError("\n".join(problems))


def _verified_import(name: str) -> tuple[list[State], str, list[str]]:
    """(state of each file, a verdict, other problems) of an imported data set."""
    from xmcbench.data.home import reading
    from xmcbench.data.imported import find_imported
    from xmcbench.data.inventory import imported_states

    try:
        with reading(name):
            imported = find_imported(name)
            rows = imported_states(imported, verify=True)
    except DataError as error:
        return [], "DAMAGED", [str(error)]
    if not rows or not all(row.ok for row in rows):
        return rows, "DAMAGED", []
    views, _, problems = _reread(imported.name, imported.views)
    return rows, f"as imported, revision {imported.revision}{_hashed(views)}", problems


def where(
    name: Annotated[
        str | None, typer.Argument(autocompletion=completion.datasets, help="A data set; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where files are: local, imported, in a mirror or missing.

    Example: xmcbench data where eurlex-4k
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.home import home
    from xmcbench.data.imported import find_imported, imported_names
    from xmcbench.data.inventory import data_set, have, is_parsed
    from xmcbench.data.places import folder, instructions, mirror

    warn_of_lost_hashes()
    everything: list[Entry | str] = [*catalogue().values(), *imported_names()]
    targets = [data_set(name)] if name else everything
    by_name = {target if isinstance(target, str) else target.name: target for target in targets}
    parsed = {known: is_parsed(known) for known in by_name}
    summaries = {known: _summary(target) for known, target in by_name.items()}
    files = [
        state for known, target in by_name.items() if name or summaries[known] != DAMAGED for state in _states(target)
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


def _check_parsed(entry: Entry) -> tuple[str, list[str]]:
    """A verdict on the parsed views whose files are local, and problems: differences from the expected counts."""
    from xmcbench.data.inventory import differing, have

    views = [view for view in entry.views if not entry.forms or have(entry, view)]
    hashed, counted, problems = _reread(entry.name, views)
    if problems:
        return "can't be loaded", problems
    if not hashed:
        return "not parsed from these files yet, so nothing was counted", []
    differences = list(dict.fromkeys(line for counts in counted for line in differing(entry, counts)))
    return f"counts {'DIFFER' if differences else 'as expected'}{_hashed(hashed)}", differences


def _reread(name: str, views: Iterable[str]) -> tuple[list[str], list[Counts], list[str]]:
    """(parsed views whose files were all hashed, their counts, problems) of a data set."""
    from xmcbench.data import load
    from xmcbench.data.inventory import is_parsed
    from xmcbench.data.validate import counts

    hashed, counted, problems = [], [], []
    for view in (view for view in views if is_parsed(name, view)):
        try:
            counted.append(counts(load(name, view, offline=True, verify=True)))
            hashed.append(view)
        except DataError as error:
            problems.append(str(error))
    return hashed, counted, problems


def _hashed(views: list[str]) -> str:
    return f"; parsed views are whole: {', '.join(views)}" if views else ""


def _without_files(entry: Entry) -> str:
    if not entry.forms:
        return "needs no files"
    known = all(f.hash_known for form in entry.forms for f in ([form.archive] if form.archive else form.files))
    return "no local files" + ("" if known else "; no hash is published: it is recorded at first download")


def _summary(target: Entry | str) -> str:
    """Whether the files of at least one form, or of an import, are complete, and where; hashes are not compared."""
    from xmcbench.data.inventory import have

    if isinstance(target, str):
        try:
            states = _states(target)
        except (DataError, UsageError):  # the second if another process removed it meanwhile
            return DAMAGED
        return DAMAGED if any(state.size is None for state in states) else "complete, imported"
    if not target.forms:
        return "needs none: it is generated"
    return f"complete, {place}" if (place := have(target)) else "missing"


def _states(target: Entry | str) -> list[State]:
    """State of every file of an entry or of an import, without reading the files."""
    from xmcbench.data.home import reading
    from xmcbench.data.imported import find_imported
    from xmcbench.data.inventory import imported_states, states

    if not isinstance(target, str):
        return states(target)
    with reading(target):
        return imported_states(find_imported(target))


def _short_hash(words: str) -> str:
    """Shorten a description of a hash: eight hexadecimal digits, without explanations."""
    short = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1…", words)
    return short.split(", ")[0].split(": ")[0]


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))
