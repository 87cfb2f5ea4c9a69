from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.context import FailSafeReporter, Reporter, RunContext
from xmcbench.errors import TimeLimit, WriteError


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    return RunContext(tmp_path)


@given(seed=st.integers(0, 2**40), other=st.integers(0, 2**40), purpose=st.text(), another=st.text())
def test_seeds_depend_on_the_run_and_the_purpose_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, other: int, purpose: str, another: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "seeds"
    one = RunContext(folder, root_seed=seed)
    assert one.seed(purpose) == RunContext(folder, root_seed=seed, threads=7).seed(purpose)
    assert 0 <= one.seed(purpose) < 2**31
    if purpose != another:
        assert one.seed(purpose) != one.seed(another)
    if seed != other:
        assert one.seed(purpose) != RunContext(folder, root_seed=other).seed(purpose)


def test_a_seed_is_what_it_always_was(ctx: RunContext) -> None:
    """Results on record were made with it."""
    assert ctx.seed("shuffle") == 1_864_311_941  # first four bytes of sha256("0/shuffle"), halved
    assert ctx.rng("shuffle").integers(1 << 30) == np.random.default_rng(1_864_311_941).integers(1 << 30)


def test_drawing_more_for_one_purpose_changes_no_other(ctx: RunContext) -> None:
    before = ctx.rng("b").random(3)
    ctx.rng("a").random(1000)
    assert np.array_equal(ctx.rng("b").random(3), before)


def test_phases_add_up_and_are_timed_even_if_they_fail(ctx: RunContext) -> None:
    for _ in range(2):
        with ctx.phase("sleep"):
            time.sleep(0.02)
    with pytest.raises(ZeroDivisionError), ctx.phase("fail"):
        _ = 1 / 0
    assert 0.04 <= ctx.phases["sleep"] < 5
    assert ctx.phases["fail"] > 0


def test_phases_are_measured_by_the_clock_of_the_run(tmp_path: Path) -> None:
    ctx = RunContext(tmp_path, clock=iter([10.0, 12.5]).__next__)
    with ctx.phase("train"):
        pass
    assert ctx.phases == {"train": 2.5}


def test_past_the_deadline_progress_and_phase_raise(tmp_path: Path) -> None:
    RunContext(tmp_path, deadline=time.monotonic() + 60).progress(0, 1)
    ctx = RunContext(tmp_path, deadline=time.monotonic())
    with pytest.raises(TimeLimit):
        ctx.progress(1, 1)
    with pytest.raises(TimeLimit), ctx.phase("more"):
        raise AssertionError("the phase must not begin")


def test_the_reporter_hears_everything(tmp_path: Path) -> None:
    heard: list[tuple[object, ...]] = []

    class Ear(Reporter):
        def phase(self, name: str) -> None:
            heard.append((name,))

        def progress(self, done: float, total: float, note: str) -> None:
            heard.append((done, total, note))

        def score(self, name: str, value: float) -> None:
            heard.append((name, value))

    ctx = RunContext(tmp_path, reporter=Ear())
    with ctx.phase("train"):
        ctx.progress(1, 2, "half")
        ctx.score("P@1", 0.5)
    ctx.selected("epoch 3", "P@1", 5)
    ctx.note("clusters", 8)
    assert heard == [("train",), (1, 2, "half"), ("P@1", 0.5)]
    assert ctx.selection == {"what": "epoch 3", "by": "P@1", "tried": 5}
    assert ctx.notes == {"clusters": 8}


def test_a_context_for_one_part_of_a_query_lists_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = RunContext(tmp_path)
    monkeypatch.setattr(Path, "glob", lambda *_: pytest.fail("a folder was listed"))
    assert replace(ctx, query={"beam": 1}).checkpoints.load("a") is None


def test_a_reporter_that_fails_once_is_asked_no_more() -> None:
    class Failing(Reporter):
        calls = 0

        def progress(self, done: float, total: float, note: str) -> None:
            self.calls += 1
            raise ValueError("bad bar")

    failing = Failing()
    reporter = FailSafeReporter(failing)
    with pytest.warns(UserWarning, match=r"progress is shown no longer \(ValueError: bad bar\)"):
        reporter.progress(1, 2, "")
    reporter.progress(2, 2, "")
    assert failing.calls == 1


def test_a_stop_passes_a_fail_safe_reporter() -> None:
    class Stopped(Reporter):
        def phase(self, name: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FailSafeReporter(Stopped()).phase("fit")


def test_a_part_has_a_folder_of_its_own_and_the_seeds_of_the_whole(ctx: RunContext) -> None:
    part = ctx.part("ranker/trees", notes={})
    assert part.folder == ctx.folder / "ranker" / "trees"
    assert part.folder.is_dir()
    assert ctx.part("ranker/trees").seed("x") == ctx.seed("x")
    part.note("levels", 3)
    assert not ctx.notes
    (ctx.folder / "file").touch()
    with pytest.raises(WriteError, match=r"file: can't write"):
        ctx.part("file")
