"""The checks of the contract battery. Each function returns a remark or None, or raises `Broken`."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.context import LEFT_OUT
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, TimeLimit
from xmcbench.method import Footprint, Machine
from xmcbench.npz_files import read_npz
from xmcbench.testing.describing import info_problems
from xmcbench.testing.subject import Counter, K, Subject, crash, generator_states, move_generators, sealed
from xmcbench.testing.worlds import VARIANTS, holding, small, usual
from xmcbench.topk import PAD, TopK

# Required shares of equal ids where the order of floating-point sums may change, so that near-ties may swap.
ALIKE = 0.99  # with another number of threads; methods declared deterministic must be bit-identical
ALONE = 0.9  # with another number of rows, which changes the blocks of sums; of 100 ids


class Broken(AssertionError):
    """A check failed; the message says what to change."""


Check = Callable[[Subject], str | None]


def need(holds: bool, message: str) -> None:
    if not holds:
        raise Broken(message)


def valid(top: Any, n_rows: int, n_labels: int, k: int) -> TopK:
    """Check that `top` is a well-formed TopK for these rows, and return it."""
    if not isinstance(top, TopK):
        raise Broken(f"predict returned a {type(top).__name__}, not an xmcbench.TopK")
    try:
        top.check(n_rows, n_labels)
    except DataError as error:
        raise Broken(str(error)) from error
    need(top.scores.dtype == np.float32, f"scores are {top.scores.dtype}, not float32")
    need(top.scores.shape == top.ids.shape, f"ids {top.ids.shape} and scores {top.scores.shape} differ in shape")
    need(top.k <= k, f"{top.k} columns were returned for k = {k}")
    padding = top.ids < 0
    need(bool((top.scores[padding] == -np.inf).all()), "a padded position (id -1) has a score; it must be -inf")
    need(bool(np.isfinite(top.scores[~padding]).all()), "a label has a score that is not finite")
    return top


def same(one: TopK, other: TopK, what: str) -> None:
    """Require bit-identical predictions."""
    if np.array_equal(one.ids, other.ids) and np.array_equal(one.scores, other.scores):
        return
    need(one.ids.shape == other.ids.shape, f"{what}: {one.ids.shape} predictions became {other.ids.shape}")
    rows = ((one.ids != other.ids) | (one.scores != other.scores)).any(axis=1)
    raise Broken(f"{what}: {int(rows.sum())} of {len(rows)} rows changed, the first is row {int(rows.argmax())}")


def alike(one: TopK, other: TopK, what: str) -> None:
    """Require at least 99 % equal ids."""
    need(one.ids.shape == other.ids.shape, f"{what}: {one.ids.shape} predictions became {other.ids.shape}")
    share = float((one.ids == other.ids).mean()) if one.ids.size else 1.0
    need(share >= ALIKE, f"{what}: only {share:.1%} of the ids are equal, {ALIKE:.0%} are required")


def repeated(subject: Subject, one: TopK, other: TopK, what: str) -> None:
    """Require bit-identical predictions on a CPU, similar ones on a GPU, where the order of sums may vary."""
    (alike if subject.device == "cuda" else same)(one, other, what)


def refitted(subject: Subject, other: TopK, what: str) -> str | None:
    """Compare the predictions of another fit with the base fit, unless the method can't be seeded."""
    if not subject.method.info.seeded:
        return "not compared: info.seeded is False, so two fits may differ"
    repeated(subject, subject.base.top, other, what)
    return None


def info_is_complete(subject: Subject) -> None:
    """Report all problems of `info` together."""
    problems = info_problems(subject.method.info)
    need(not problems, "; ".join(problems))


def skip_accepts_small(subject: Subject) -> None:
    reason = subject.skip_reason(usual())
    need(reason is None, f"skip declines the small data set: {reason!r}; it must return None for it")


def footprint_grows(subject: Subject) -> str | None:
    """A given footprint has a positive number of bytes, which more rows never lower."""
    estimate = getattr(subject.build(), "footprint", None)
    if estimate is None:
        return "has no footprint: what its runs need is unknown, and they always start"
    before, data = 0, usual().facts()
    for times in (1, 2, 16, 1024):
        counts = ("n_train", "n_test", "entries", "test_entries", "pairs", "text_bytes")
        rows = dataclasses.replace(data, **{name: times * getattr(data, name) for name in counts})
        found = estimate(rows, Machine(1, subject.device))
        if found is None:
            return "is unknown for some numbers of rows"
        if not isinstance(found, Footprint):
            raise Broken(f"footprint returned a {type(found).__name__}, not a Footprint or None")
        whole = type(found.memory) is int and type(found.disk) is int
        need(whole and found.memory > 0 and found.disk >= 0, f"{found} are no whole numbers of bytes above zero")
        need(found.memory >= before, f"{times} times the rows need {found.memory:,} bytes, fewer rows {before:,}")
        before = found.memory
    return None


def predicts(subject: Subject) -> None:
    base = subject.base
    top = valid(base.top, base.data.test.labels.shape[0], base.data.n_labels, K)
    need(bool((top.ids >= 0).any(axis=1).mean() > 0.5), "most rows got no label at all")


def runs_on(subject: Subject, make: Callable[[], Dataset]) -> str | None:
    data = sealed(make(), subject.new_folder())
    reason = subject.skip_reason(data)
    if reason is not None:
        need(isinstance(reason, str) and bool(reason.strip()), f"skip returned {reason!r}, not a sentence")
        return f"declined: {reason}"
    model = subject.fit(data)
    top = valid(subject.predict(model, data.test_inputs()), data.test.labels.shape[0], data.n_labels, K)
    return None if (top.ids >= 0).any() else "no label was predicted for any row"


def only_what_it_needs(subject: Subject) -> str | None:
    """A data set may lack everything but `info.needs` and features or texts, of which it always has one."""
    info, data = subject.method.info, small()
    kinds = set(info.needs)
    declined = []
    for rows in [set[str]()] if kinds & {"features", "texts"} else [{"features"}, {"texts"}]:
        world = sealed(holding(data, kinds | rows), subject.new_folder())
        available = " and ".join(sorted(kinds | rows)).replace("_", " ")
        reason = subject.skip_reason(world)
        if reason is not None:
            declined.append(f"declined where there are only {available}: {reason}")
            continue
        try:
            top = subject.predict(subject.fit(world), world.test_inputs())
        except Exception as error:
            raise Broken(
                f"where there are only {available} (all else is None), {crash(error, subject.method)}; "
                f"info.needs is {tuple(info.needs)}: add everything the method requires, or decline in skip"
            ) from error
        valid(top, world.test.labels.shape[0], world.n_labels, K)
    return "; ".join(declined) or None


def no_rows(subject: Subject) -> None:
    base = subject.base
    inputs = base.data.test_inputs().rows(slice(0, 0))
    valid(subject.predict(base.model, inputs), 0, base.data.n_labels, K)


def k_above_labels(subject: Subject) -> None:
    base = subject.base
    k = base.data.n_labels + 7
    top = valid(subject.predict(base.model, base.data.test_inputs(), k), base.top.n_rows, base.data.n_labels, k)
    need(bool((top.ids >= 0).sum() >= (base.top.ids >= 0).sum()), f"asking for {k} labels gave fewer than {K} did")


def rows_alone(subject: Subject) -> None:
    base = subject.base
    inputs = base.data.test_inputs()
    matches = []
    for rows in ([0], [2, 1], [3, 4, 5, 6, 7, 8, 9]):
        top = valid(subject.predict(base.model, inputs.rows(np.array(rows))), len(rows), base.data.n_labels, K)
        matches.append(padded(top.ids) == padded(base.top.ids)[rows])
    share = float(np.concatenate(matches).mean())
    need(share >= ALONE, f"a row predicted alone gets other labels than in a batch: {share:.0%} are the same")


def padded(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.pad(ids, ((0, 0), (0, K - ids.shape[1])), constant_values=PAD)


def test_labels_permuted(subject: Subject) -> str | None:
    world = usual()
    order = np.random.default_rng(0).permutation(world.test.labels.shape[0])
    test = dataclasses.replace(world.test, labels=world.test.labels[order][:, ::-1].tocsr())
    data = sealed(dataclasses.replace(world, test=test), subject.new_folder())
    return refitted(subject, subject.predict(subject.fit(data), data.test_inputs()), "with the test labels permuted")


def repeatable(subject: Subject) -> str | None:
    base = subject.base
    repeated(
        subject, base.top, subject.predict(base.model, base.data.test_inputs()), "second predict of the same model"
    )
    again = subject.predict(subject.fit(base.data), base.data.test_inputs())
    return refitted(subject, again, "second fit with the same seed, one thread")


def seeds_matter_as_declared(subject: Subject) -> str | None:
    if not subject.method.info.deterministic:
        return "not declared deterministic: several seeds will be run"
    base = subject.base
    model = subject.fit(base.data, root_seed=1)
    other = subject.predict(model, base.data.test_inputs(), root_seed=1)
    repeated(subject, base.top, other, "info.deterministic is True, but with another seed")
    return None


def generators_untouched(subject: Subject) -> None:
    seeded = subject.base.seeded
    if seeded:  # importing a library, such as sklearn, may draw numbers once: not the method's fault, so try again
        move_generators()
        before = generator_states(subject.device)
        model = subject.fit(subject.base.data)
        subject.predict(model, subject.base.data.test_inputs())
        seeded = [name for name, state in generator_states(subject.device).items() if state != before[name]]
    need(not seeded, f"the global state of {', '.join(seeded)} changed: draw from ctx.rng or a seeded generator")


def threads_alike(subject: Subject) -> str | None:
    base = subject.base
    other = subject.predict(subject.fit(base.data, threads=2), base.data.test_inputs(), threads=2)
    what = "with two threads instead of one"
    if subject.method.info.deterministic or not subject.method.info.seeded:
        return refitted(subject, other, what)
    alike(base.top, other, what)
    return None


def saved_and_loaded(subject: Subject) -> None:
    """Load from another folder after the run's folder is gone, so that only the saved files are available."""
    base = subject.base
    saved, moved = subject.new_folder(), subject.new_folder() / "model"
    base.model.save(saved)
    saved.rename(moved)
    renamed_run = base.run.rename(base.run.with_name(base.run.name + "-away"))
    try:
        loaded = subject.build()
        loaded.load(moved)
        repeated(subject, base.top, subject.predict(loaded, base.data.test_inputs()), "after save and load")
    finally:
        renamed_run.rename(base.run)


def no_pickle(subject: Subject) -> None:
    folder = subject.new_folder()
    subject.base.model.save(folder)
    pickles = [f"{path.relative_to(folder)} ({why})" for path in sorted(folder.rglob("*")) if (why := pickled(path))]
    need(not pickles, f"save wrote {', '.join(pickles)}; use only npz, safetensors and JSON")


def pickled(path: Path) -> str:
    """The reason why reading the file could run code from it, or ""."""
    if not path.is_file():
        return ""
    if path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".pth"}:
        return f"*{path.suffix} files are pickles"
    with open(path, "rb") as file:
        start = file.read(2)
    if len(start) == 2 and start[0] == 0x80 and start[1] in range(2, 6):
        return "starts like a pickle"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith(".pkl") for name in archive.namelist()):
                    return "holds a pickle"
        if path.suffix == ".npz":
            read_npz(path)
        elif path.suffix == ".npy":
            np.load(path, allow_pickle=False)
    except Exception as error:  # numpy and zipfile raise many types
        return f"can't be read without pickle: {error}"
    return ""


def inputs_untouched(subject: Subject) -> None:
    changed = subject.base.changed
    need(not changed, f"modified: {', '.join(changed)}; copy arrays before changing them")


def silent(subject: Subject) -> None:
    printed = subject.base.printed.strip()
    need(not printed, f"printed {printed[:300]!r}; use ctx.progress, ctx.score and ctx.note")


def stays_in_its_folder(subject: Subject) -> None:
    base = subject.base
    need(not base.moved, "the current folder was changed")
    need(not base.strays, f"left files {'; '.join(base.strays)}: write below ctx.folder, and remove temporary files")


def resumes_after_interruption(subject: Subject) -> str | None:
    base = subject.base
    if base.reported == 0:
        return "reports no phase and no progress, so there is nothing to interrupt"
    counter = Counter()
    for stop_at in sorted({base.reported, max(1, base.reported // 2)}):
        run, counter = subject.new_folder(), Counter()
        try:
            subject.fit(base.data, run=run, reporter=Counter(stop_at))
        except KeyboardInterrupt:
            pass
        else:
            raise Broken(f"fit swallowed a KeyboardInterrupt raised at report {stop_at}")
        model = subject.fit(base.data, run=run, reporter=counter)
        top = subject.predict(model, base.data.test_inputs())
        what = f"interrupted at report {stop_at} of {base.reported}, then fitted again in the same folder"
        refitted(subject, top, what)
    if 1 < base.reported <= counter.calls:  # the last interruption was at the last report, near the end
        return "it restarts instead of resuming; ctx.checkpoints can save the work of a long fit"
    return None


def keeps_the_deadline(subject: Subject) -> str | None:
    if subject.base.reported == 0:
        return "reports no phase and no progress, so no time limit can stop it"
    try:
        subject.fit(subject.base.data, deadline=0.0)
    except TimeLimit:
        return None
    raise Broken("fit swallowed TimeLimit: let errors of ctx.phase and ctx.progress through")


def query_parameters(subject: Subject) -> str | None:
    """Each value works, is only read from ctx.query, and does not affect fit."""
    base, info = subject.base, subject.method.info
    if not info.query_parameters():
        return "has none"
    remark = None
    usual_values = {name: getattr(subject.params, name) for name in info.query_parameters()}
    for name, values in info.query_parameters().items():
        for value in values:
            top = subject.predict(base.model, base.data.test_inputs(), query={**usual_values, name: value})
            valid(top, base.top.n_rows, base.data.n_labels, K)
        other_value = next((v for v in values if v != usual_values[name]), None)
        if other_value is None:
            raise Broken(f"parameter {name}: {usual_values[name]!r} is its only query value")
        model = subject.fit(base.data, params=dataclasses.replace(subject.params, **{name: other_value}))
        top = subject.predict(model, base.data.test_inputs())
        what = f"fitted with {name}={other_value!r}, then predicting with {name}={usual_values[name]!r} in ctx.query"
        remark = refitted(subject, top, what)
    return remark


def notes_are_json(subject: Subject) -> None:
    base = subject.base
    try:
        json.dumps([base.notes, base.selection], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(f"ctx.notes or ctx.selection got a value that JSON can't represent: {error}") from error
    left_out = [remark for remark in base.notes.get("remarks", ()) if remark.startswith(LEFT_OUT)]
    need(not left_out, f"ctx.note or ctx.selected got a value that is {'; '.join(left_out)}")


def explains(subject: Subject) -> str | None:
    """Each label of a row has steps, and each step is the sum of its reasons."""
    base = subject.base
    if not hasattr(base.model, "explain"):
        return "has no explain"
    row = base.data.test_inputs().rows(slice(0, 1))
    labels = [label for label in base.top.ids[0].tolist() if label != PAD]
    values = {name: getattr(subject.params, name) for name in subject.method.info.query_parameters()}
    context = subject.fit_context(subject.new_folder(), query=values)
    explained = base.model.explain(row, labels, context)
    need(len(explained) == len(labels), f"explain returned {len(explained)} lists of steps for {len(labels)} labels")
    for label, steps in zip(labels, explained, strict=True):
        need(bool(steps), f"explain has no step for label {label}")
        for one in steps:
            total = sum(reason.value for reason in one.reasons)
            close = abs(total - one.value) <= 1e-4 * max(1.0, abs(one.value))
            need(close, f"label {label}: the reasons of {one.title!r} sum to {total:g}, its value is {one.value:g}")
    return None


CHECKS: dict[str, Check] = {
    "info is complete": info_is_complete,
    "skip accepts the small data set": skip_accepts_small,
    "footprint grows with the rows": footprint_grows,
    "fits and predicts": predicts,
    **{f"runs on {title}": partial(runs_on, make=make) for title, make in VARIANTS.items()},
    "info.needs names all requirements": only_what_it_needs,
    "predicts for no rows": no_rows,
    "predicts with k above the number of labels": k_above_labels,
    "predicts a row independently of other rows": rows_alone,
    "test labels change nothing": test_labels_permuted,
    "the same seed gives the same predictions": repeatable,
    "other seeds change nothing if deterministic": seeds_matter_as_declared,
    "global random generators stay untouched": generators_untouched,
    "the number of threads changes nothing": threads_alike,
    "a loaded model predicts as the saved one": saved_and_loaded,
    "saved files hold no pickle": no_pickle,
    "inputs are not modified": inputs_untouched,
    "prints nothing": silent,
    "writes only into its folder": stays_in_its_folder,
    "explain gives sums": explains,
    "notes are JSON-serialisable": notes_are_json,
    "an interrupted fit resumes": resumes_after_interruption,
    "a time limit stops fit": keeps_the_deadline,
    "query parameters are read from ctx.query": query_parameters,
}
