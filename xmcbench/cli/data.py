"""`xmcbench data`: fetch, remove, clean and stats. `data_files` has verify and where, `data_io` import and export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import RESULTS, AsJson, DatasetView, Offline, Results, readable_records
from xmcbench.cli.terminal import columns, make_console, number, print_table, print_text, say
from xmcbench.errors import DataError, UsageError, counted, unknown

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

AT_AN_END = 50  # of a long list of labels, how many are shown at both ends
data_app = typer.Typer(name="data", help="Fetch, verify, locate, import and export data sets.", no_args_is_help=True)


@data_app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(autocompletion=completion.datasets, help="Data sets listed by `xmcbench ls datasets`."),
    ],
    view: DatasetView = None,
    offline: Offline = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Accept files whose hash at the first download is lost or differs.")
    ] = False,
) -> None:
    """Download missing files and verify all files.

    The hash of a file for which none is published is recorded at its first download. Another file is accepted only
    with --trust, which records the hash anew; scores on the two are not comparable.

    Example: xmcbench data fetch eurlex-4.3k wiki10-31k
    """
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.home import reading, sweep_home
    from xmcbench.data.imported import check_files, find_imported
    from xmcbench.data.inventory import data_set
    from xmcbench.running.progress import reporter

    sweep_home()
    failed = []
    for target in [data_set(name) for name in dict.fromkeys(names)]:  # finds all names before the first download
        if isinstance(target, str):
            try:
                with reading(target):
                    imported = find_imported(target)
                    imported.view(view)  # refuses an unknown view
                    check_files(imported)
            except DataError as error:
                failed.append(str(error))
            else:
                typer.echo(columns([(target, "needs no download: it is imported", imported.folder)]))
            continue
        with reporter(make_console(stderr=True), target.name) as progress:
            try:
                files = fetch_files(target, view, offline=offline, progress=progress, trust=trust)
            except DataError as error:
                failed.append(str(error))
                continue
        rows = [(target.name, role, path) for role, path in files.items()]
        typer.echo(columns(rows or [(target.name, "needs no files: it is generated")]))
    if failed:
        raise DataError("\n".join(failed))


def _confirm(question: str) -> None:
    """Ask; UsageError if the answer is no, or if nobody can answer, as in a script."""
    try:
        agreed = typer.confirm(question)
    except (typer.Abort, OSError, ValueError) as error:  # the last two: standard input can't be read
        typer.echo()  # ends the line of the question
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        agreed = False
    if not agreed:
        raise UsageError("nothing was removed", "Use --yes to remove without confirmation.")


@data_app.command()
def remove(
    name: Annotated[str, typer.Argument(autocompletion=completion.imports, help="An imported data set.")],
    results: Results = RESULTS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Remove an imported data set.

    Records of runs on it stay in their results folders. Data sets of the catalogue can't be removed: `data clean`
    removes their files.

    Example: xmcbench data remove mine
    """
    from xmcbench.data.catalogue import names as catalogue_names
    from xmcbench.data.home import imported, sweep_home
    from xmcbench.data.imported import imported_names, is_imported, remove_imported
    from xmcbench.data.inventory import size_of
    from xmcbench.records.store import Store

    sweep_home()  # what a killed removal left, of a data set that is no longer listed
    if not is_imported(name):
        if name.casefold() in catalogue_names() or name.strip().casefold().startswith("synthetic["):
            hint = f"`xmcbench data clean {name} --downloads` removes its files from the cache."
            raise UsageError(f"{name} is a data set of the catalogue, which can't be removed", hint)
        raise unknown("imported data set", name, imported_names())
    folder = imported() / name.casefold()
    say(f"{folder}, {size_of(folder):,} bytes")
    on_it = [record for record in readable_records(Store(results)) if record.dataset.name == folder.name]
    if on_it:
        methods = ", ".join(dict.fromkeys(record.method.label for record in on_it))
        records = "1 record" if len(on_it) == 1 else f"{len(on_it):,} records"
        print_text(f"{records} of runs on {folder.name} in {results} will stay: {methods}")
        typer.echo("Without the data they can't be scored again; the same files imported again give the same data.")
    if not yes:
        _confirm(f"Remove {folder.name}?")
    remove_imported(folder.name)
    say(f"removed {folder.name}")


@data_app.command()
def clean(
    name: Annotated[
        str | None, typer.Argument(autocompletion=completion.datasets, help="A data set; default: all.")
    ] = None,
    downloads: Annotated[bool, typer.Option("--downloads", help="Also remove downloaded files.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Remove parsed data sets from the cache.

    Imported data sets, recorded hashes and what a process uses at this moment stay. Without a name, also removes cached
    tokens and embeddings of encoders.

    Example: xmcbench data clean eurlex-4.3k --downloads
    """
    from xmcbench.data.inventory import removable, remove

    if not (folders := removable(name, downloads)):
        typer.echo("nothing to remove")
        return
    print_table([("bytes", "folder"), *((number(size), path) for path, size in folders)], right=("bytes",))
    total = sum(size for _, size in folders)
    if not yes:
        _confirm(f"Remove {len(folders)} folders, {total:,} bytes?")
    kept = remove([path for path, _ in folders])
    for path, reason in kept.items():
        print_text(f"{path} stays: {reason}")
    removed = [size for path, size in folders if path not in kept]
    typer.echo(f"removed {counted(len(removed), 'folder')}, {counted(sum(removed), 'byte')}")


@data_app.command()
def stats(
    name: Annotated[str, typer.Argument(autocompletion=completion.datasets, help="A data set.")],
    view: DatasetView = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="The labels instead, with the number of their rows.")
    ] = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Show counts and known issues, or the labels.

    Examples: `xmcbench data stats icd10cm` · `xmcbench data stats mine --labels`
    """
    from xmcbench.data import load
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.inventory import differing
    from xmcbench.data.validate import counts
    from xmcbench.running.progress import reporter

    with reporter(make_console(stderr=True), name) as progress:
        data = load(name, view, offline=offline, progress=progress)
    if labels:
        _show_labels(data, as_json)
        return
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


def _show_labels(data: Dataset, as_json: bool) -> None:
    """Labels by falling number of training rows, then of test rows; on screen, only both ends of a long list."""
    import numpy as np

    from xmcbench.data.spec import title_of

    train, test = (np.bincount(rows.labels.indices, minlength=data.n_labels) for rows in (data.train, data.test))
    order = np.lexsort((-test, -train)).tolist()
    name, text = data.naming.name, data.naming.text
    found = [(i, title_of(name(i), text(i)), int(train[i]), int(test[i])) for i in order]
    titles = ("label", "name", "train_rows", "test_rows")
    if as_json:
        _json([dict(zip(titles, row, strict=True)) for row in found])
        return
    rows = [(str(label), number(of_train), number(of_test), name) for label, name, of_train, of_test in found]
    if (left_out := len(rows) - 2 * AT_AN_END) > 0:
        rest = ("…", "", "", f"({counted(left_out, 'label')} left out; --json has all)")
        rows = [*rows[:AT_AN_END], rest, *rows[-AT_AN_END:]]
    print_table([("label", "train rows", "test rows", "name"), *rows], right=("label", "train rows", "test rows"))


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))
