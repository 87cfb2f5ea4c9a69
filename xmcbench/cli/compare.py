"""`xmcbench compare A B`: paired intervals and tests, the comparison rule, and where two runs differ most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import MOST_SAMPLES, ONLY_DATASET, RESULTS, RUN, AsJson, Results, readable_records
from xmcbench.cli.show import chosen
from xmcbench.cli.terminal import number, percent, print_table, print_text, say
from xmcbench.errors import DataError, RegressionError, UsageError, counted
from xmcbench.escaping import clean

if TYPE_CHECKING:
    from xmcbench.comparison.differences import Differences
    from xmcbench.comparison.paired import Gap
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store


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
    """Compare two runs, metric by metric.

    A name means the mean over all its seeds that the other side has, too. Shows B − A with a 95 % interval and a
    paired test over the same test rows, from which the verdict follows. If the data set is on this machine, also shows
    the labels and the test rows with the largest differences.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.comparison.paired import over_the_same_rows, seeds_of, with_common_seeds
    from xmcbench.records.store import Store

    store = Store(results)
    records = readable_records(store)
    first, second = store.find_pair(a, b, dataset, records)
    _note_earlier_revisions(first, second)
    all_a, all_b = (seeds_of(run, store.fitting(text, records, dataset)) for run, text in ((first, a), (second, b)))
    runs_a, runs_b = with_common_seeds(all_a, all_b, first, second)
    stores = _store_of(store, a), _store_of(store, b)
    if as_json:  # otherwise the first lines of the output have the run ids
        _name_runs("A", a, runs_a)
        _name_runs("B", b, runs_b)
    else:
        _print_runs("A", runs_a)
        _print_runs("B", runs_b)
    notes = _notes(runs_a, runs_b, all_a, all_b)
    for note in notes:
        say(f"note: {note}", err=True)
    gaps, grouped, unpaired = over_the_same_rows(stores, runs_a, runs_b, samples)
    if unpaired:
        say(unpaired, err=True)
    if not as_json:
        print_gaps(gaps, grouped)
    most_different, reason = _differences(stores, runs_a[0], runs_b[0], differ)
    if as_json:
        report = {"metrics": [vars(gap) for gap in gaps], "near_duplicates_together": grouped, "notes": notes}
        report |= {"differences": None if most_different is None else asdict(most_different), "no_differences": reason}
        print(json.dumps({**_runs_as_json("a", runs_a), **_runs_as_json("b", runs_b), **report}, allow_nan=False))
    elif most_different is not None:
        seeds = f"; A with seed {runs_a[0].seed}, B with seed {runs_b[0].seed}"
        print_differences(most_different, seeds if len(runs_a) + len(runs_b) > 2 else "")
    elif reason:
        say(f"\nno differences shown: {reason}")
    if check:
        _check(runs_a[0], runs_b[0], gaps)


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


def _notes(runs_a: list[Record], runs_b: list[Record], all_a: list[Record], all_b: list[Record]) -> list[str]:
    """What a reader may not expect of the runs that are compared."""
    ids = [[run.run_id for run in runs] for runs in (runs_a, runs_b)]
    if ids[0] == ids[1]:
        return ["A and B are the same run" if len(ids[0]) == 1 else "A and B are the same runs"]
    notes = []
    if runs_a[0].seed != runs_b[0].seed and not any(run.method.deterministic for run in (runs_a[0], runs_b[0])):
        notes.append(f"different seeds: {runs_a[0].seed} of A, {runs_b[0].seed} of B; A and B share no seed")
    if runs_a[0].k != runs_b[0].k:
        notes.append(f"A predicts {runs_a[0].k} labels per row, B {runs_b[0].k}: labels beyond that count as misses")
    for side, used, found in (("A", runs_a, all_a), ("B", runs_b, all_b)):
        if unused := [str(run.seed) for run in found if run not in used]:
            notes.append(f"{side} also has {'seed' if len(unused) == 1 else 'seeds'} {', '.join(unused)}, not used")
    return notes


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
    from xmcbench.comparison.compare import FAIL, UNKNOWN

    if worse := [gap.metric for gap in gaps if gap.verdict == FAIL]:
        raise RegressionError(f"B, {second.method.label}, is worse than A, {first.method.label}: {', '.join(worse)}")
    if all(gap.verdict == UNKNOWN for gap in gaps):
        failed = [f"{r.run_id} has status {r.status}" for r in (first, second) if r.status != "ok"]
        reasons = failed or sorted({gap.why for gap in gaps}) or [f"{first.run_id} has no metrics"]
        hint = "Both runs need the same metrics and stored rows, on the same data and the same kind of device."
        raise RegressionError(f"nothing could be compared: {', '.join(reasons)}", hint)


def _runs_as_json(side: str, runs: Sequence[Record]) -> dict[str, object]:
    """The newest run of a side, and the seed of each run used."""
    newest = max(runs, key=lambda run: (run.started_utc, run.run_id))
    return {side: newest.run_id, f"{side}_runs": {run.run_id: run.seed for run in runs}}


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
        f"verdict: INCONCLUSIVE unless p ≤ {ALPHA} and 0 is outside the interval"
    )
    titles = ("metric", "A", "B", "B − A", "interval", "p", "won", "lost", "verdict")
    rows = []
    for gap in gaps:
        difference, low, high = (percent(x, sign=True) for x in (gap.difference, gap.low, gap.high))
        paired = ["", "", "", ""]
        if gap.p_adjusted is not None:
            paired = [f"[{low}, {high}]", _p(gap.p_adjusted), number(gap.won), number(gap.lost)]
        verdict = gap.verdict + (f" ({gap.why})" if gap.why else "")
        rows.append((gap.metric, percent(gap.expected), percent(gap.got), difference, *paired, verdict))
    print_table([titles, *rows], right=titles[1:-1], drop=("won", "lost"))
    counts = Counter(gap.verdict for gap in gaps)
    print_text(f"{counted(len(gaps), 'metric')}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))


def _p(value: float) -> str:
    if value >= 0.0001:
        return f"{value:.4f}"
    return f"{value:.0e}" if value > 0 else "<1e-308"  # less than a float


def print_differences(differences: Differences, seeds: str = "") -> None:
    """Print the labels and documents with the largest gains of B, then of A; `seeds` says of which runs."""
    labels = [
        (x.label, *map(number, (x.train_rows, x.test_rows, x.a_hits, x.b_hits)), x.text or "")
        for x in differences.labels
    ]
    documents = [
        (x.row, *map(number, (x.true_labels, x.a_hits, x.b_hits)), x.text or "") for x in differences.documents
    ]
    first = f"within the first {differences.k}"
    for kind, titles, rows, meaning in (
        ("labels", ("label", "train rows", "test rows", "A", "B", "text"), labels, f"test rows with a hit {first}"),
        ("documents", ("test row", "labels", "A", "B", "text"), documents, f"hits {first}"),
    ):
        if rows:
            say(f"\n{kind} that differ most: {meaning}{seeds}")
            print_table([titles, *rows], right=titles[:-1])
        else:
            say(f"\n{kind}: both runs have the same hits {first}")
