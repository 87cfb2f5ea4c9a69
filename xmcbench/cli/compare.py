"""`xmcbench compare A B`: one sentence, paired intervals and tests, and where two runs differ most.

`xmcbench.api.comparing` compares; this module prints.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.amounts import p_value
from xmcbench.cli import completion
from xmcbench.cli.options import MOST_SAMPLES, ONLY_DATASET, RESULTS, RUN, AsJson, Results, readable_records
from xmcbench.cli.show import chosen
from xmcbench.cli.terminal import make_console, number, percent, print_table, print_text, say, styled
from xmcbench.errors import DataError, RegressionError, UsageError, counted
from xmcbench.escaping import clean

if TYPE_CHECKING:
    from xmcbench.api.comparing import Comparison
    from xmcbench.comparison.differences import Differences
    from xmcbench.comparison.paired import Gap
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store

STYLE = {"better": "green", "worse": "red", "inconclusive": "yellow", "same": "dim", "unknown": "dim"}  # of verdicts


def compare(
    a: Annotated[str, typer.Argument(**RUN)],
    b: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.runs,
            help="The run to compare with A; for a name, preferably a run on the same data.",
        ),
    ],
    dataset: Annotated[str | None, ONLY_DATASET] = None,
    results: Results = RESULTS,
    samples: Annotated[
        int, typer.Option(min=100, max=MOST_SAMPLES, help="Bootstrap resamples of the test rows.")
    ] = 1000,
    differ: Annotated[
        int, typer.Option(min=0, max=1000, help="Labels and documents to show; 0: don't load the data.")
    ] = 5,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 if B is worse, or nothing can be judged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: one sentence, and B − A metric by metric.

    A name means the mean over all its seeds that the other side has, too. Each difference has a 95 % interval and a
    paired test over the same test rows, from which the verdict on B follows: better, worse or inconclusive. If the data
    set is on this machine, also shows the labels and the test rows with the largest differences.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.api.comparing import Side, compare_runs
    from xmcbench.comparison.sides import seeds_of
    from xmcbench.records.store import Store

    store = Store(results)
    records = readable_records(store)
    pair = store.find_pair(a, b, dataset, records)
    _note_earlier_revisions(*pair)
    sides = [
        Side(run, seeds_of(run, store.fitting(text, records, dataset)), _store_of(store, text))
        for run, text in zip(pair, (a, b), strict=True)
    ]
    comparison = compare_runs(*sides, samples=samples)
    runs_a, runs_b = comparison.runs
    if as_json:  # otherwise the first lines of the output have the run ids
        _name_runs("A", a, runs_a)
        _name_runs("B", b, runs_b)
    else:
        _print_runs("A", runs_a)
        _print_runs("B", runs_b)
    for text in (*(f"note: {note}" for note in comparison.notes), comparison.unpaired):
        if text:
            say(text, err=True)
    if not as_json:
        print_gaps(comparison.gaps, comparison.grouped)
    most_different, reason = _differences((sides[0].store, sides[1].store), runs_a[0], runs_b[0], differ)
    if as_json:
        print(json.dumps(_as_json(comparison, most_different, reason), allow_nan=False))
    else:
        if most_different is not None:
            seeds = f"; A with seed {runs_a[0].seed}, B with seed {runs_b[0].seed}"
            print_differences(most_different, seeds if len(runs_a) + len(runs_b) > 2 else "")
        elif reason:
            say(f"\nno differences shown: {reason}")
        print_headline(comparison)
    if check:
        _check(runs_a[0], runs_b[0], comparison.gaps)


def _note_earlier_revisions(first: Record, second: Record) -> None:
    """Tell of runs on an import that was imported again since."""
    from xmcbench.data.imported import replaced_by

    for letter, record in {first.run_id: ("A", first), second.run_id: ("B", second)}.values():
        if now := replaced_by(record.dataset.name, record.dataset.revision):
            was = f"{letter} is on revision {record.dataset.revision} of {clean(record.dataset.name)}"
            say(f"note: {was}, which was imported again since: now {now}", err=True)


def _store_of(store: Store, text: str) -> Store:
    """The results folder of a run: for a record file, the folder that contains it."""
    from xmcbench.records.store import Store, is_record_file

    return Store(Path(text).resolve().parents[1]) if is_record_file(text) else store


def _differences(
    stores: tuple[Store, Store], first: Record, second: Record, count: int
) -> tuple[Differences | None, str | None]:
    """The largest differences, or the reason why they are unknown; (None, None) if not requested.

    Raises
    ------
    DataError : a file was changed, or has other rows and labels.
    """
    from xmcbench.comparison.differences import differences
    from xmcbench.comparison.rescoring import dataset_of, final
    from xmcbench.records.store import NotKept

    if count == 0:
        return None, None
    if first.dataset.content_hash != second.dataset.content_hash:
        return None, "the two runs are on different data"
    try:
        topk_a, topk_b = (home.predictions(record) for home, record in zip(stores, (first, second), strict=True))
    except NotKept as error:
        return None, str(error)
    try:
        dataset = dataset_of(first, offline=True)
    except (DataError, UsageError) as error:
        return None, str(error)
    return differences(final(first, topk_a, dataset), final(second, topk_b, dataset), dataset, count), None


def _check(first: Record, second: Record, gaps: Sequence[Gap]) -> None:
    """Raise RegressionError if B is worse, or if nothing was judged: a check without comparison must not pass."""
    from xmcbench.comparison.paired import UNKNOWN, WORSE

    if worse := [gap.metric for gap in gaps if gap.verdict == WORSE]:
        raise RegressionError(f"B, {second.method.label}, is worse than A, {first.method.label}: {', '.join(worse)}")
    if all(gap.verdict == UNKNOWN for gap in gaps):
        failed = [f"{r.run_id} has status {r.status}" for r in (first, second) if r.status != "ok"]
        reasons = failed or sorted({gap.why for gap in gaps}) or [f"{first.run_id} has no metrics"]
        hint = "Both runs need the same metrics and stored rows, on the same data and the same kind of device."
        raise RegressionError(f"nothing could be compared: {', '.join(reasons)}", hint)


def _as_json(comparison: Comparison, differences: Differences | None, reason: str | None) -> dict[str, object]:
    """What --json prints: the newest run of each side, the seed of each run used, and all numbers."""
    sides: dict[str, object] = {}
    for side, runs in zip("ab", comparison.runs, strict=True):
        newest = max(runs, key=lambda run: (run.started_utc, run.run_id))
        sides |= {side: newest.run_id, f"{side}_runs": {run.run_id: run.seed for run in runs}}
    return {
        **sides,
        "headline": comparison.headline,
        "verdict": comparison.verdict,
        "costs": asdict(comparison.costs),
        "metrics": [vars(gap) for gap in comparison.gaps],
        "near_duplicates_together": comparison.grouped,
        "notes": comparison.notes,
        "differences": None if differences is None else asdict(differences),
        "no_differences": reason,
    }


def print_headline(comparison: Comparison) -> None:
    """Print the sentence last, where a reader of a terminal looks; its claim in the colour of the verdict."""
    text = styled(f"{comparison.headline[:1].upper()}{comparison.headline[1:]}.", "")
    text.stylize(f"bold {STYLE[comparison.verdict]}", 0, text.plain.index(": ") + 1)
    typer.echo()
    make_console().print(text)


def _name_runs(letter: str, text: str, runs: Sequence[Record]) -> None:
    """Say on standard error which runs a name means."""
    for run in runs:
        if text != run.run_id:
            seed = f", seed {run.seed}" if len(runs) > 1 else ""
            say(f"{letter} is {clean(run.run_id)}{seed}", err=True)


def _print_runs(letter: str, runs: Sequence[Record]) -> None:
    """Print which runs A or B is."""
    first = runs[0]
    seeds = [run.seed for run in runs]
    data = f"{first.method.label} on {first.dataset.name} ({first.dataset.view})"
    if len(runs) == 1:
        status = "" if first.status == "ok" else f", status {first.status}"
        print_text(f"{letter}: {data}, {'no seed' if None in seeds else f'seed {seeds[0]}'}{status}, {first.run_id}")
    else:
        print_text(f"{letter}: {data}, mean of seeds {', '.join(map(str, seeds))}")
    for run in runs:
        if len(runs) > 1:
            print_text(f"   seed {run.seed}: {run.run_id}")
        if text := chosen(run):
            print_text(f"   tuned: {text}")


def print_gaps(gaps: Sequence[Gap], grouped: bool) -> None:
    """Print a table of metrics in percent. `grouped`: near-duplicate rows were resampled and swapped together."""
    from xmcbench.comparison.paired import ALPHA

    grouping = ", near-duplicates together" if grouped else ""
    tested = sum(gap.p is not None for gap in gaps)
    adjustment = f", adjusted for {counted(tested, 'metric')} (Holm)" if tested > 1 else ""
    print_text(
        f"percent; interval: 95 % of B − A over the same test rows{grouping}, of each metric alone; "
        f"p: paired randomisation test{adjustment}; won, lost: rows in which B is better or worse; "
        f"verdict on B: inconclusive unless p ≤ {ALPHA} and 0 is outside the interval"
    )
    titles = ("metric", "A", "B", "B − A", "interval", "p", "won", "lost", "verdict")
    rows = []
    for gap in gaps:
        difference, low, high = (percent(x, sign=True) for x in (gap.difference, gap.low, gap.high))
        paired = ["", "", "", ""]
        if gap.p_adjusted is not None:
            paired = [f"[{low}, {high}]", p_value(gap.p_adjusted), number(gap.won), number(gap.lost)]
        verdict = styled(gap.verdict, STYLE[gap.verdict])
        rows.append((gap.metric, percent(gap.expected), percent(gap.got), difference, *paired, verdict))
    print_table([titles, *rows], right=titles[1:-1], drop=("won", "lost", "interval", "p"))
    counts = Counter(gap.verdict for gap in gaps)
    print_text(f"{counted(len(gaps), 'metric')}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    for why in dict.fromkeys(gap.why for gap in gaps if gap.why):
        print_text(f"unknown, {why}: {', '.join(gap.metric for gap in gaps if gap.why == why)}")


def print_differences(differences: Differences, seeds: str = "") -> None:
    """Print the labels and documents with the largest gains of B, then of A; `seeds` says of which runs."""
    labels = [
        (x.label, *map(number, (x.train_rows, x.test_rows, x.a_hits, x.b_hits)), x.text or "")
        for x in differences.labels
    ]
    documents = [
        (x.row if x.id is None else x.id, *map(number, (x.true_labels, x.a_hits, x.b_hits)), x.text or "")
        for x in differences.documents
    ]
    row_title = "test row" if all(x.id is None for x in differences.documents) else "id"
    first = f"within the first {differences.k}"
    for kind, titles, rows, meaning in (
        ("labels", ("label", "train rows", "test rows", "A", "B", "text"), labels, f"test rows with a hit {first}"),
        ("documents", (row_title, "labels", "A", "B", "text"), documents, f"hits {first}"),
    ):
        if rows:
            say(f"\n{kind} that differ most: {meaning}{seeds}")
            print_table([titles, *rows], right=titles[:-1])
        else:
            say(f"\n{kind}: both runs have the same hits {first}")
