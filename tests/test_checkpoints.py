from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xmcbench.checkpoints import Checkpoints
from xmcbench.context import RunContext


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    return RunContext(tmp_path)


def test_checkpoints_come_back_as_they_were(ctx: RunContext) -> None:
    kept = ctx.checkpoints
    assert kept.load("a") is None
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.empty((0, 4), np.int64)}
    kept.save("a", arrays, {"epoch": 3, "name": "é"})
    kept.save("b", {"x": np.zeros(1)})
    loaded, meta = kept.load("a") or ({}, {})
    assert meta == {"epoch": 3, "name": "é"}
    assert set(loaded) == {"w", "empty"}
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert np.array_equal(loaded[name], array)
    kept.save("a", {"w": np.zeros(1)})
    replaced, meta = kept.load("a") or ({}, {})
    assert (list(replaced), meta) == (["w"], {})
    kept.drop("a")
    kept.drop("a")
    assert kept.load("a") is None
    assert kept.load("b") is not None


def test_another_context_on_the_same_folder_finds_them(tmp_path: Path) -> None:
    RunContext(tmp_path).checkpoints.save("a", {"w": np.ones(2)})
    assert RunContext(tmp_path).checkpoints.load("a") is not None


def test_a_checkpoint_with_any_byte_changed_is_equal_or_rejected(tmp_path: Path) -> None:
    arrays = {"ids": np.arange(9, dtype=np.int32), "scores": np.linspace(0, 1, 4).reshape(2, 2)}
    original = Checkpoints(tmp_path / "original", {"seed": 0})
    original.save("state", arrays, {"epoch": 3})
    content = (tmp_path / "original" / "state.npz").read_bytes()
    path, reasons = tmp_path / "state.npz", []

    def reject(path: Path, fault: str) -> None:
        reasons.append(fault)
        path.unlink()

    damaged = Checkpoints(tmp_path, {"seed": 0}, reject)
    versions = [bytes([*content[:i], content[i] ^ (1 << i % 8), *content[i + 1 :]]) for i in range(len(content))]
    for number, text in enumerate([*versions, *(content[:i] for i in range(0, len(content), 37)), content + b"x"]):
        path.write_bytes(text)
        rejected = len(reasons)
        loaded = damaged.load("state")
        if loaded is None:
            assert len(reasons) == rejected + 1
            continue
        assert loaded[1] == {"epoch": 3}, number
        assert list(loaded[0]) == ["ids", "scores"]
        for name, array in arrays.items():
            assert loaded[0][name].dtype == array.dtype, number
            assert np.array_equal(loaded[0][name], array), number
    assert len(reasons) > len(content) // 2


def test_a_checkpoint_belongs_to_its_fit_and_name(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"seed": 0}).save("a", {"w": np.ones(2)})
    with pytest.warns(UserWarning, match=r"a\.npz: not the checkpoint .* another fit .* set aside as a\.npz\.bad"):
        assert Checkpoints(tmp_path, {"seed": 1}).load("a") is None
    (tmp_path / "a.npz.bad").rename(tmp_path / "b.npz")
    with pytest.warns(UserWarning, match=r"b\.npz: not the checkpoint"):
        assert Checkpoints(tmp_path, {"seed": 0}).load("b") is None
    np.savez(tmp_path / "c.npz", w=np.ones(2), __meta__=np.array("{}"))
    with pytest.warns(UserWarning, match=r"c\.npz: not the checkpoint"):
        assert Checkpoints(tmp_path).load("c") is None


def test_arrays_of_all_kinds_come_back_but_objects_are_refused(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["é", "ab"]),
        "number": np.array(3),
        "dates": np.array(["2020-01-01"], "datetime64[D]"),
        "strided": np.arange(10)[::3],
        "big-endian": np.arange(3, dtype=">i4"),
        "none": np.empty((0, 3), np.float32),
    }
    kept = Checkpoints(tmp_path)
    kept.save("a", arrays)
    loaded, _ = kept.load("a") or ({}, {})
    assert {name: (a.dtype, a.tolist()) for name, a in loaded.items()} == {
        name: (a.dtype, a.tolist()) for name, a in arrays.items()
    }
    with pytest.raises(TypeError, match="Python objects"):
        kept.save("a", {"x": np.array([{}])})
    assert kept.load("a") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


WRITER = """
import sys, numpy as np
from dataclasses import replace
from pathlib import Path
from xmcbench.checkpoints import Checkpoints
kept, step = Checkpoints(Path(sys.argv[1])), 0
while True:
    step += 1
    kept.save("state", {"a": np.full(300_000, step), "b": np.full(300_000, step)}, {"step": step})
    print(step, flush=True)
"""


def test_a_checkpoint_survives_kill_9_whole(tmp_path: Path) -> None:
    for after in range(1, 5):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(after):
            child.stdout.readline()
        time.sleep(0.003 * after)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        kept = Checkpoints(tmp_path)
        arrays, meta = kept.load("state") or ({}, {})
        assert meta["step"] >= after
        assert (arrays["a"] == meta["step"]).all()
        assert (arrays["b"] == meta["step"]).all()
        kept.save("more", {})
        assert {p.name for p in tmp_path.iterdir()} == {"state.npz", "more.npz"}  # the killed one left nothing


def test_large_arrays_are_mapped_and_survive_their_checkpoint(ctx: RunContext) -> None:
    ctx.checkpoints.save("a", {"w": np.arange(100_000)})
    loaded = (ctx.checkpoints.load("a") or ({}, {}))[0]["w"]
    assert isinstance(loaded.base, np.memmap)
    ctx.checkpoints.save("a", {"w": np.zeros(100_000)})
    ctx.checkpoints.drop("a")
    assert np.array_equal(loaded, np.arange(100_000))
    loaded[:] = 0  # copy-on-write
