"""Native output is gone inside and comes back after, whatever happens."""

from __future__ import annotations

import os

import pytest

from xmcbench.peers.rows import quiet


def test_both_descriptors_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with quiet():
        os.write(1, b"native")
        os.write(2, b"native")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    os.write(2, b"after")
    said = capfd.readouterr()
    assert said.out == "before\n"
    assert said.err == "after"


def interrupted() -> None:
    with quiet():
        os.write(2, b"native")
        raise KeyboardInterrupt


def test_no_descriptor_is_left_open() -> None:
    before = os.open(os.devnull, os.O_RDONLY)
    os.close(before)
    for _ in range(5):
        with quiet():
            pass
    after = os.open(os.devnull, os.O_RDONLY)
    os.close(after)
    assert after == before
