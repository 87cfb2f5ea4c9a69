"""What a block changes of the process is restored; `tests/records/faulty.py` has methods that change it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from xmcbench.runs.undisturbed import undisturbed


def test_a_folder_that_was_moved_or_removed_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with undisturbed():
        (tmp_path / "a").rename(tmp_path / "b")
        os.chdir("/")
    assert Path.cwd() == tmp_path / "b"
    (tmp_path / "b").rmdir()
    with undisturbed():
        os.chdir("/")
    with undisturbed():
        pass


def test_generators_are_independent_inside_and_unchanged_outside() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).rand()
    drawn = []
    for _ in range(2):
        with undisturbed():
            drawn.append((random.random(), np.random.rand()))  # noqa: NPY002
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            torch.manual_seed(0)
    assert len({*drawn, expected}) == 3
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(1))


def test_settings_are_restored_after_an_error() -> None:
    before = dict(os.environ), sys.getrecursionlimit(), torch.get_default_dtype(), np.geterr(), list(warnings.filters)

    def change() -> None:
        os.environ.clear()
        os.environ["NEW"] = "1"
        sys.setrecursionlimit(300)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        np.seterr(all="raise")
        warnings.simplefilter("error")
        raise GeneratorExit

    with pytest.raises(GeneratorExit), undisturbed():
        change()
    after = dict(os.environ), sys.getrecursionlimit(), torch.get_default_dtype(), np.geterr(), list(warnings.filters)
    assert after == before
    assert torch.is_grad_enabled()
