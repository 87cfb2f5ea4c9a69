"""Token ids: of few texts in memory, of many in a folder that is built once, checked, and built again when damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.damage import change_sealed, flip
from xmcbench.data.home import home
from xmcbench.data.texts import Texts
from xmcbench.encoders import tokens
from xmcbench.encoders.pretrained import load_tokenizer
from xmcbench.encoders.tokens import Tokeniser, TokenRows, texts_hash

MANY = [f"{'fever ' * (i % 5)}{'abcdefghij'[i % 10]} arm" for i in range(300)]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, small thresholds; where token folders will be."""
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tokens, "FEW", 100)
    monkeypatch.setattr(tokens, "BLOCK", 64)
    return home() / "tokens"


def tokeniser(folder: Path, max_length: int = 16) -> Tokeniser:
    return Tokeniser(load_tokenizer(folder), max_length, 64)


def test_batch_by_hand() -> None:
    rows = TokenRows(np.array([5, 6, 7, 8, 9, 10], np.uint16), np.array([0, 2, 5, 6]), 3)
    ids, mask = rows.batch(np.array([2, 1]), "cpu")
    assert ids.tolist() == [[10, 3, 3], [7, 8, 9]]
    assert mask is not None
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert rows.batch(slice(0, 1), "cpu").mask is None
    assert rows.batch(np.empty(0, np.int64), "cpu").ids.shape == (0, 0)
    part = rows.part(1, 3)
    assert (part.ids.tolist(), part.lengths.tolist()) == ([7, 8, 9, 10], [3, 1])


def test_ids_are_the_tokenizers_own(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    rows = tokeniser(tiny, 5)(MANY[:7])
    for row, text in enumerate(MANY[:7]):
        expected = tokenizer(text, truncation=True, max_length=5)["input_ids"]
        assert rows.ids[rows.offsets[row] : rows.offsets[row + 1]].tolist() == expected
    assert rows.ids.dtype == np.uint16
    assert len(tokeniser(tiny)([])) == 0


def test_an_empty_text_without_special_tokens_is_one_of_padding(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    tokenizer.backend_tokenizer.post_processor = __import__("tokenizers").processors.Sequence([])
    rows = Tokeniser(tokenizer, 8, None)(["", "arm"])
    assert rows.lengths.tolist() == [1, 1]
    assert rows.ids[0] == tokenizer.pad_token_id


def test_a_lone_surrogate_is_read_as_a_question_mark(tiny: Path) -> None:
    one, other = (tokeniser(tiny)([text]).ids.tolist() for text in ("arm\ud800", "arm?"))
    assert one == other


def test_few_leave_nothing_on_disk_and_many_are_read_back(tiny: Path, folders: Path) -> None:
    tokenise = tokeniser(tiny)
    few = tokenise(MANY[:100])
    assert not folders.exists()
    told: list[tuple[int, int]] = []
    many = tokenise(MANY, lambda done, total: told.append((done, total)))
    assert told == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300)]
    np.testing.assert_array_equal(many.ids[: len(few.ids)], few.ids)
    again = tokenise(Texts.pack(MANY), pytest.fail)  # nobody is told, since nothing is done
    np.testing.assert_array_equal(again.ids, many.ids)
    np.testing.assert_array_equal(again.offsets, many.offsets)
    assert len([path for path in folders.iterdir() if path.is_dir()]) == 1


def test_key_is_of_texts_and_of_all_that_decides_ids(tiny: Path, folders: Path) -> None:
    assert tokeniser(tiny).key == tokeniser(tiny).key != tokeniser(tiny, 15).key
    assert texts_hash(["ab", "c"]) == texts_hash(Texts.pack(["x", "ab", "c"])[1:]) != texts_hash(["a", "bc"])
    tokeniser(tiny)(MANY)
    tokeniser(tiny)([*MANY[:-1], "left arm"])
    tokeniser(tiny, 15)(MANY)
    assert len([path for path in folders.iterdir() if path.is_dir()]) == 3


HARM: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size - 4),
    "one bit": flip,
    "out of range, sealed": lambda path: change_sealed(path, 3, 9999),
    "empty row, sealed": lambda path: change_sealed(path, 3, int(np.load(path)[2])),
}


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        *[(name, harm) for name in ("ids.npy", "offsets.npy", "meta.json") for harm in ("cut", "one bit")],
        ("ids.npy", "out of range, sealed"),
        ("offsets.npy", "out of range, sealed"),
        ("offsets.npy", "empty row, sealed"),
    ],
)
def test_a_damaged_folder_is_made_again(tiny: Path, folders: Path, name: str, harm: str) -> None:
    expected = tokeniser(tiny)(MANY)
    (folder,) = (path for path in folders.iterdir() if path.is_dir())
    HARM[harm](folder / name)
    with pytest.warns(UserWarning, match="damaged: it is tokenised again"):
        found = tokeniser(tiny)(MANY)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_a_stop_leaves_nothing(tiny: Path, folders: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokeniser(tiny)(MANY, stop)
    assert [path for path in folders.iterdir() if path.is_dir()] == []


BUILD = """
import sys, time
from pathlib import Path
from xmcbench.encoders import tokens
from xmcbench.encoders.pretrained import load_tokenizer
tokens.FEW, tokens.BLOCK = 100, 64
def told(done, total):
    print(done, flush=True)
    if sys.argv[2] == "stop" and done > 100: time.sleep(600)
rows = tokens.Tokeniser(load_tokenizer(Path(sys.argv[1])), 16, 64)(["arm " * (i % 7) for i in range(300)], told)
print("sum", int(rows.ids.sum()))
"""


def start(tiny: Path, how: str) -> subprocess.Popen[str]:
    command: list[Any] = [sys.executable, "-c", BUILD, tiny, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})


def test_two_at_once_tokenise_once_and_a_killed_one_leaves_nothing_taken_for_whole(tiny: Path, folders: Path) -> None:
    child = start(tiny, "stop")
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["64\n", "128\n"]
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    left = [path.name for path in folders.iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].startswith(".tmp-")
    said = [process.communicate(timeout=120)[0] for process in [start(tiny, "go") for _ in range(2)]]
    assert sorted(len(one.splitlines()) for one in said) == [1, 6]  # one built, the other waited and read
    assert len({one.splitlines()[-1] for one in said}) == 1
    assert [path.name.startswith(".") for path in folders.iterdir() if path.is_dir()] == [False]
