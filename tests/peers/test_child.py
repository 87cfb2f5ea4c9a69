"""A child process answers, fails, dies, talks nonsense and never outlives its owner."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import TimeLimit, XmcError
from xmcbench.peers.child import Child
from xmcbench.peers.pecos import WORKER, Pecos, PecosParams
from xmcbench.peers.pecos_worker import Garbled, receive, send


def nothing() -> None:
    pass


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_messages_come_back_as_they_were() -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.empty((0, 4), np.int64)}
    stream = io.BytesIO()
    for number in range(2):
        send(stream, {"number": number}, arrays)
    stream.seek(0)
    for number in range(2):
        message = receive(stream.read)
        assert message is not None
        assert message[0] == {"number": number}
        for name, array in arrays.items():
            np.testing.assert_array_equal(message[1][name], array)
            assert message[1][name].dtype == array.dtype
    assert receive(stream.read) is None


@pytest.mark.parametrize(
    "text",
    [
        b"XM",
        b"nonsense and more of it",
        b"XMCB\xff\xff\xff\xff",
        b"XMCB\x00\x00\x00\x05{...}",
        b"XMCB\x00\x00\x00\x02{}",
        b'XMCB\x00\x00\x00\x1f{"arrays": [["a", "|O", [1]]]}  ',
        b'XMCB\x00\x00\x00\x1f{"arrays": [["a", "<f4", [9]]]} short',
    ],
)
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(Garbled):
        receive(io.BytesIO(text).read)


def test_a_child_that_talks_nonsense() -> None:
    child = Child("demo", [sys.executable, "-c", "print('hello there', flush=True); import time; time.sleep(60)"])
    with pytest.raises(XmcError, match=r"invalid answer.*hel"):
        child.ask({}, {}, nothing)
    assert not psutil.pid_exists(child.pid)
    with pytest.raises(XmcError, match="has ended"):
        child.ask({}, {}, nothing)


def test_a_child_that_dies_leaves_its_last_words() -> None:
    child = Child("demo", [sys.executable, "-c", "import sys; sys.exit('out of luck')"])
    with pytest.raises(XmcError, match=r"exit code 1\nout of luck"):
        child.ask({}, {"x": np.zeros(1 << 20, np.float32)}, nothing)


def test_a_child_that_hangs_up() -> None:
    child = Child("demo", [sys.executable, "-c", "import os, time; os.close(1); time.sleep(60)"])
    with pytest.raises(XmcError, match="closed its output without an answer"):
        child.ask({}, {}, nothing)
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_reads_nothing_does_not_outlast_the_deadline() -> None:
    child = Child("demo", [sys.executable, "-c", "import time; time.sleep(60)"])
    end = time.monotonic() + 0.5

    def tick() -> None:
        if time.monotonic() > end:
            raise TimeLimit("the time limit has passed")

    with pytest.raises(TimeLimit):
        child.ask({}, {"x": np.zeros(1 << 20, np.float32)}, tick)
    assert time.monotonic() < end + 20
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_can_not_be_started(tmp_path: Path) -> None:
    with pytest.raises(XmcError, match="can't be started"):
        Child("demo", [tmp_path / "nowhere"])


def test_it_goes_with_its_owner() -> None:
    child = Child("demo", [sys.executable, "-c", "import time; time.sleep(60)"])
    pid = child.pid
    assert psutil.pid_exists(pid)
    del child
    gc.collect()
    assert not psutil.pid_exists(pid)


@pytest.mark.usefixtures("fake_pecos")
class TestWorker:
    """The real worker, around the stand-in for the library."""

    def test_its_account_is_on_record_and_its_chatter_is_not(
        self, world: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        method, ctx = Pecos(PecosParams(trees=2)), RunContext(tmp_path)
        ours = np.ones(1 << 26)  # half a gibibyte, which is none of the worker's
        method.fit(world.train_data(), ctx)
        method.predict(world.test_inputs(), 5, ctx)
        for verb in ("train", "load", "predict"):
            assert 0 < ctx.notes[f"{verb}_seconds"] < 60
            assert 10 << 20 < ctx.notes[f"{verb}_peak_rss_bytes"] < ours.nbytes
        assert ctx.notes["libpecos"] == "1.2.8"
        assert capfd.readouterr() == ("", "")

    def test_an_error_keeps_its_message(self, world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FAKE_PECOS", "raise")
        with pytest.raises(XmcError, match="pecos: ValueError: no clusters today"):
            Pecos(PecosParams()).fit(world.train_data(), RunContext(tmp_path))
        monkeypatch.delenv("FAKE_PECOS")
        Pecos(PecosParams()).fit(world.train_data(), RunContext(tmp_path))

    def test_a_worker_killed_while_it_trains(
        self, world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_PECOS", "die")
        with pytest.raises(XmcError, match=r"signal 9\n(.*\n)*a last word") as error:
            Pecos(PecosParams()).fit(world.train_data(), RunContext(tmp_path))
        assert "memory" in error.value.hint

    def test_a_worker_killed_between_two_questions(self, world: Dataset, tmp_path: Path) -> None:
        method, ctx = Pecos(PecosParams()), RunContext(tmp_path)
        method.fit(world.train_data(), ctx)
        top = method.predict(world.test_inputs(), 5, ctx)
        assert method._child is not None
        os.kill(method._child.pid, signal.SIGKILL)
        with pytest.raises(XmcError, match="signal 9"):
            method.predict(world.test_inputs(), 5, ctx)
        again = method.predict(world.test_inputs(), 5, ctx)  # a new one is started
        np.testing.assert_array_equal(top.ids, again.ids)

    def test_a_time_limit_and_ctrl_c_end_it(
        self, world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_PECOS", "sleep")
        others = set(workers(os.getpid()))  # of methods of other tests, until they are collected
        with pytest.raises(TimeLimit):
            Pecos(PecosParams()).fit(world.train_data(), RunContext(tmp_path, deadline=time.monotonic() + 1.0))
        until(lambda: not set(workers(os.getpid())) - others)

        class Stop(RunContext):
            def check(self) -> None:
                if workers(os.getpid()):
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Pecos(PecosParams()).fit(world.train_data(), Stop(tmp_path))
        until(lambda: not set(workers(os.getpid())) - others)

    def test_it_ends_in_the_midst_of_training_when_its_owner_is_killed(self, tmp_path: Path) -> None:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path)], env={**os.environ, "FAKE_PECOS": "sleep"}
        )
        until(lambda: bool(workers(owner.pid)))
        worker = workers(owner.pid)[0]
        time.sleep(0.5)  # it is training by now, or about to
        owner.kill()
        owner.wait()
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)

    def test_nonsense_sent_to_it_ends_it(self) -> None:
        from xmcbench.peers import environment

        for text in (b"", b"what is this\n"):
            done = subprocess.run([environment.python(), "-P", WORKER], input=text, capture_output=True, timeout=60)
            assert done.stdout == b""


OWNER = """
import sys
from pathlib import Path
from xmcbench.context import RunContext
from xmcbench.peers.pecos import Pecos, PecosParams
from xmcbench.testing.worlds import tiny
Pecos(PecosParams()).fit(tiny().train_data(), RunContext(Path(sys.argv[1])))
"""


def workers(pid: int) -> list[psutil.Process]:
    """Worker processes below one."""
    return [p for p in psutil.Process(pid).children(recursive=True) if WORKER.name in " ".join(p.cmdline())]
