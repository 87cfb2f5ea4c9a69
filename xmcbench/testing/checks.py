"""The checks of the contract battery, one function each: it returns a remark or None, or raises `Broken`."""

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

from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, TimeLimit
from xmcbench.testing.describing import info_problems
from xmcbench.testing.subject import Counter, K, Subject, crash, generator_states, move_generators, sealed
from xmcbench.testing.variants import VARIANTS, holding, small, usual
from xmcbench.topk import PAD, TopK

# Shares of equal ids asked where floating-point sums may run in another order, so that near-ties may swap.
ALIKE = 0.99  # other number of threads; methods declared deterministic have to be equal bit for bit
ALONE = 0.9  # other number of rows, which changes how sums are cut into blocks; of 100 ids


class Broken(AssertionError):
    """A check that doesn't hold; the text says what to change."""


Check = Callable[[Subject], str | None]


def need(holds: bool, message: str) -> None:
    if not holds:
        raise Broken(message)


def valid(top: Any, n_rows: int, n_labels: int, k: int) -> TopK:
    """`top`, if it is a well-formed TopK of these rows."""
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
    need(bool((top.scores[padding] == -np.inf).all()), "a padded place (id -1) has a score; it must be -inf")
    need(bool(np.isfinite(top.scores[~padding]).all()), "a label has a score that is not finite")
    return top


def same(one: TopK, other: TopK, what: str) -> None:
    """Bit for bit."""
    if np.array_equal(one.ids, other.ids) and np.array_equal(one.scores, other.scores):
        return
    need(one.ids.shape == other.ids.shape, f"{what}: {one.ids.shape} predictions became {other.ids.shape}")
    rows = ((one.ids != other.ids) | (one.scores != other.scores)).any(axis=1)
    raise Broken(f"{what}: {int(rows.sum())} of {len(rows)} rows changed, the first is row {int(rows.argmax())}")


def alike(one: TopK, other: TopK, what: str) -> None:
    """At least 99 % of the ids equal."""
    need(one.ids.shape == other.ids.shape, f"{what}: {one.ids.shape} predictions became {other.ids.shape}")
    share = float((one.ids == other.ids).mean()) if one.ids.size else 1.0
    need(share >= ALIKE, f"{what}: only {share:.1%} of the ids are equal, {ALIKE:.0%} are asked")


def repeated(subject: Subject, one: TopK, other: TopK, what: str) -> None:
    """Bit for bit on a CPU; on a GPU, where sums may run in any order, nearly."""
    (alike if subject.device == "cuda" else same)(one, other, what)


def refitted(subject: Subject, other: TopK, what: str) -> str | None:
    """The base's predictions beside those of another fit; where nothing is seeded there is nothing to compare."""
    if not subject.method.info.seeded:
        return "not compared: info.seeded is False, so no two fits are the same"
    repeated(subject, subject.base.top, other, what)
    return None


def info_is_complete(subject: Subject) -> None:
    """All problems of `info` are reported together."""
    problems = info_problems(subject.method.info)
    need(not problems, "; ".join(problems))


def skip_takes_the_smallest(subject: Subject) -> None:
    answer = subject.declines(usual())
    need(answer is None, f"skip declines the smallest world: {answer!r}; it must return None there")


def predicts(subject: Subject) -> None:
    base = subject.base
    top = valid(base.top, base.data.test.labels.shape[0], base.data.n_labels, K)
    need(bool((top.ids >= 0).any(axis=1).mean() > 0.5), "most rows got no label at all")


def runs_on(subject: Subject, make: Callable[[], Dataset]) -> str | None:
    data = sealed(make(), subject.new_folder())
    declined = subject.declines(data)
    if declined is not None:
        need(isinstance(declined, str) and bool(declined.strip()), f"skip returned {declined!r}, not a sentence")
        return f"declined: {declined}"
    model = subject.fit(data)
    top = valid(subject.predict(model, data.test_inputs()), data.test.labels.shape[0], data.n_labels, K)
    return None if (top.ids >= 0).any() else "no label was predicted for any row"


def only_what_it_needs(subject: Subject) -> str | None:
    """A data set may hold nothing but what `info.needs` names, and features or texts, since rows are made of them."""
    info, data = subject.method.info, small()
    kinds = set(info.needs)
    declined = []
    for rows in [set[str]()] if kinds & {"features", "texts"} else [{"features"}, {"texts"}]:
        world = sealed(holding(data, kinds | rows), subject.new_folder())
        held = " and ".join(sorted(kinds | rows)).replace("_", " ")
        answer = subject.declines(world)
        if answer is not None:
            declined.append(f"declined where there are only {held}: {answer}")
            continue
        try:
            top = subject.predict(subject.fit(world), world.test_inputs())
        except Exception as error:
            raise Broken(
                f"where there are only {held} (all else is None), {crash(error, subject.method)}; "
                f"info.needs is {tuple(info.needs)}: name all it can't do without, or decline in skip"
            ) from error
        valid(top, world.test.labels.shape[0], world.n_labels, K)
    return "; ".join(declined) or None


def no_rows(subject: Subject) -> None:
    base = subject.base
    none = base.data.test_inputs().rows(slice(0, 0))
    valid(subject.predict(base.model, none), 0, base.data.n_labels, K)


def k_above_labels(subject: Subject) -> None:
    base = subject.base
    k = base.data.n_labels + 7
    top = valid(subject.predict(base.model, base.data.test_inputs(), k), base.top.n_rows, base.data.n_labels, k)
    need(bool((top.ids >= 0).sum() >= (base.top.ids >= 0).sum()), f"asking for {k} labels gave fewer than {K} did")


def rows_alone(subject: Subject) -> None:
    base = subject.base
    inputs = base.data.test_inputs()
    equal = []
    for rows in ([0], [2, 1], [3, 4, 5, 6, 7, 8, 9]):
        part = valid(subject.predict(base.model, inputs.rows(np.array(rows))), len(rows), base.data.n_labels, K)
        equal.append(padded(part.ids) == padded(base.top.ids)[rows])
    share = float(np.concatenate(equal).mean())
    need(share >= ALONE, f"a row predicted alone gets other labels than among others: {share:.0%} are the same")


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
    if seeded:  # imports may draw, sklearn's does: they happen once, and are no doing of the method
        move_generators()
        before = generator_states(subject.device)
        model = subject.fit(subject.base.data)
        subject.predict(model, subject.base.data.test_inputs())
        seeded = [name for name, state in generator_states(subject.device).items() if state != before[name]]
    need(not seeded, f"the global state of {', '.join(seeded)} changed: draw from ctx.rng or a seeded generator")


def threads_alike(subject: Subject) -> str | None:
    base = subject.base
    two = subject.predict(subject.fit(base.data, threads=2), base.data.test_inputs(), threads=2)
    what = "with two threads instead of one"
    if subject.method.info.deterministic or not subject.method.info.seeded:
        return refitted(subject, two, what)
    alike(base.top, two, what)
    return None


def saved_and_loaded(subject: Subject) -> None:
    """In another place, after the fit's own folder is gone: as `save` wrote it is all there is."""
    base = subject.base
    written, moved = subject.new_folder(), subject.new_folder() / "model"
    base.model.save(written)
    written.rename(moved)
    away = base.run.rename(base.run.with_name(base.run.name + "-away"))
    try:
        fresh = subject.build()
        fresh.load(moved)
        repeated(subject, base.top, subject.predict(fresh, base.data.test_inputs()), "after save and load")
    finally:
        away.rename(base.run)


def no_pickle(subject: Subject) -> None:
    folder = subject.new_folder()
    subject.base.model.save(folder)
    found = [f"{path.relative_to(folder)} ({why})" for path in sorted(folder.rglob("*")) if (why := pickled(path))]
    need(not found, f"save wrote {', '.join(found)}; keep to npz, safetensors and JSON")


def pickled(path: Path) -> str:
    """Why a file can't be read without running code from it, or ""."""
    if not path.is_file():
        return ""
    if path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".pth"}:
        return f"*{path.suffix} files are pickles"
    with open(path, "rb") as file:
        start = file.read(2)
    if len(start) == 2 and start[0] == 0x80 and start[1] in range(2, 6):
        return "starts like a pickle"
    if zipfile.is_zipfile(path) and any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist()):
        return "holds a pickle"
    if path.suffix in {".npz", ".npy"}:
        try:
            loaded: Any = np.load(path, allow_pickle=False)
            for name in getattr(loaded, "files", ()):
                loaded[name]
        except ValueError as error:
            return f"object arrays: {error}"
    return ""


def inputs_untouched(subject: Subject) -> None:
    changed = subject.base.changed
    need(not changed, f"written into: {', '.join(changed)}; copy before changing")


def silent(subject: Subject) -> None:
    printed = subject.base.printed.strip()
    need(not printed, f"printed {printed[:300]!r}; use ctx.progress, ctx.score and ctx.note")


def stays_in_its_folder(subject: Subject) -> None:
    base = subject.base
    need(not base.moved, "the current folder was changed")
    need(not base.strays, f"left {'; '.join(base.strays)}: write below ctx.folder, and remove temporary files")


def goes_on_after_interruption(subject: Subject) -> str | None:
    base = subject.base
    if base.reported == 0:
        return "reports no phase and no progress, so there is nothing to interrupt"
    again = Counter()
    for stop_at in sorted({base.reported, max(1, base.reported // 2)}):
        run, again = subject.new_folder(), Counter()
        try:
            subject.fit(base.data, run=run, reporter=Counter(stop_at))
        except KeyboardInterrupt:
            pass
        else:
            raise Broken(f"fit swallowed a KeyboardInterrupt raised at report {stop_at}")
        model = subject.fit(base.data, run=run, reporter=again)
        top = subject.predict(model, base.data.test_inputs())
        said = f"interrupted at report {stop_at} of {base.reported}, then fitted again in the same folder"
        refitted(subject, top, said)
    if 1 < base.reported <= again.calls:  # the last interruption was at the last report: all but the end was done
        return "it starts over rather than going on; ctx.checkpoints can save a long fit's work"
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
    """Each value works, comes from ctx.query alone, and leaves fit as it was."""
    base, info = subject.base, subject.method.info
    if not info.query_parameters():
        return "has none"
    remark = None
    usual_values = {name: getattr(subject.params, name) for name in info.query_parameters()}
    for name, values in info.query_parameters().items():
        for value in values:
            top = subject.predict(base.model, base.data.test_inputs(), query={**usual_values, name: value})
            valid(top, base.top.n_rows, base.data.n_labels, K)
        other = next((v for v in values if v != usual_values[name]), None)
        if other is None:
            raise Broken(f"parameter {name}: its query values hold nothing but {usual_values[name]!r}")
        model = subject.fit(base.data, params=dataclasses.replace(subject.params, **{name: other}))
        top = subject.predict(model, base.data.test_inputs())
        said = f"built with {name}={other!r}, then asked with {name}={usual_values[name]!r} in ctx.query"
        remark = refitted(subject, top, said)
    return remark


def notes_are_json(subject: Subject) -> None:
    base = subject.base
    try:
        json.dumps([base.notes, base.selection], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(f"ctx.note or ctx.selected was given something that can't go on record: {error}") from error


CHECKS: dict[str, Check] = {
    "info is complete": info_is_complete,
    "skip takes the smallest world": skip_takes_the_smallest,
    "fits and predicts": predicts,
    **{f"runs on {title}": partial(runs_on, make=make) for title, make in VARIANTS.items()},
    "needs no more than info.needs says": only_what_it_needs,
    "predicts for no rows": no_rows,
    "predicts more places than there are labels": k_above_labels,
    "predicts a row alone as among others": rows_alone,
    "test labels change nothing": test_labels_permuted,
    "the same seed gives the same predictions": repeatable,
    "other seeds change nothing where that is declared": seeds_matter_as_declared,
    "global random generators stay untouched": generators_untouched,
    "the number of threads changes nothing": threads_alike,
    "a loaded model predicts as the saved one": saved_and_loaded,
    "saved files hold no pickle": no_pickle,
    "inputs are not written into": inputs_untouched,
    "prints nothing": silent,
    "writes only into its folder": stays_in_its_folder,
    "notes can go on record": notes_are_json,
    "an interrupted fit goes on": goes_on_after_interruption,
    "a time limit stops fit": keeps_the_deadline,
    "query parameters are read from ctx.query": query_parameters,
}
