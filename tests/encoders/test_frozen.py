"""The frozen encoder: embeddings made once and by blocks, the layer on top, what is kept and read back."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from tests.data.damage import change_sealed, flip
from xmcbench.data.home import home
from xmcbench.encoders import frozen as module
from xmcbench.encoders.encoder import buckets, embed
from xmcbench.encoders.frozen import DenseRows, FrozenEncoder
from xmcbench.encoders.making import load_encoder, new_encoder, save_encoder
from xmcbench.encoders.params import EncoderParams
from xmcbench.errors import DataError, Diverged
from xmcbench.method import Inputs, TrainData

WORDS = ["fever", "arm", "left", "yellow", "of", "the"]
MANY = [" ".join(WORDS[: 1 + i % 6]) + " " + "abcdefghij"[i // 6 % 10] for i in range(90)]  # 60 that differ


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, small thresholds; where folders of embeddings will be."""
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "FEW", 20)
    monkeypatch.setattr(module, "BLOCK", 25)
    return home() / "embeddings"


def made(folder: Path, seed: int = 0, **values: Any) -> FrozenEncoder:
    params = EncoderParams(encoder=str(folder), frozen=True, max_length=32, **{"precision": "float32", **values})
    found = new_encoder(params, Inputs(None, MANY, None, 1), None, seed, "cpu")
    assert isinstance(found, FrozenEncoder)
    return found


def whole(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def never(*_: Any) -> None:
    raise AssertionError("embedded again")


def test_a_copy_has_a_layer_of_its_own_and_shares_the_transformer(tiny: Path, folders: Path) -> None:
    encoder = made(tiny)
    copied = copy.deepcopy(encoder)
    assert copied.transformer is encoder.transformer
    assert torch.equal(copied.inner, encoder.inner)
    with torch.no_grad():
        copied.inner += 1
    assert not torch.equal(copied.inner, encoder.inner)


def test_starts_as_the_transformers_embedding_and_moves_with_training(tiny: Path, folders: Path) -> None:
    encoder = made(tiny)
    rows = encoder.rows(Inputs(None, MANY, None, 1))
    expected = embed(encoder.transformer, encoder.transformer.label_rows(MANY), "cpu")
    found = embed(encoder, rows, "cpu")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in encoder.named_parameters()} == {"inner", "bias", "outer"}
    optimiser = torch.optim.SGD(encoder.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (encoder(rows.batch(np.arange(9), "cpu")) ** 2).mean().backward()
        optimiser.step()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in encoder.parameters())
    assert not np.allclose(embed(encoder, rows, "cpu"), found, atol=1e-3)
    assert all(p.grad is None for p in encoder.transformer.parameters())


def test_layer_by_hand(tiny: Path) -> None:
    encoder = made(tiny)
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoder.outer.normal_(generator=torch.Generator().manual_seed(2))
        hidden = (x @ encoder.inner.T + encoder.bias).clamp(min=0)
        torch.testing.assert_close(encoder(x), x + hidden @ encoder.outer.T)
        dropped = encoder(x, 0.5, torch.Generator().manual_seed(3))
    assert 0 < (dropped == 0).float().mean() < 1
    assert torch.equal(made(tiny, 5).inner, made(tiny, 5).inner)
    assert not torch.equal(made(tiny, 5).inner, made(tiny, 6).inner)


def test_rows_are_embedded_once_and_shared_by_texts_that_are_the_same(tiny: Path, folders: Path) -> None:
    told: list[tuple[int, int]] = []
    encoder = made(tiny)
    rows = encoder.label_rows(MANY, lambda done, total: told.append((done, total)))
    assert told[0] == (90, 90)  # tokenised
    assert told[-1] == (60, 60)
    assert rows.distinct.shape == (60, 16)
    np.testing.assert_array_equal(rows.batch(np.array([0, 60]), "cpu")[0], rows.batch(slice(60, 61), "cpu")[0])
    assert len(whole(folders)) == 1
    np.testing.assert_array_equal(made(tiny).label_rows(MANY, never).distinct, rows.distinct)


def test_few_are_not_kept(tiny: Path, folders: Path) -> None:
    encoder = made(tiny)
    rows = encoder.label_rows([*MANY[:3], MANY[0]])
    assert not folders.exists()
    assert rows.which.tolist() == [0, 1, 2, 0]
    many = encoder.label_rows(MANY)
    few = rows.batch(np.arange(4), "cpu")
    torch.testing.assert_close(few, many.batch(np.array([0, 1, 2, 0]), "cpu"), rtol=1e-4, atol=1e-5)
    assert encoder.label_rows([]).batch(np.empty(0, np.int64), "cpu").shape == (0, 16)


def test_rows_to_predict_for_are_not_kept_but_training_rows_are(tiny: Path, folders: Path) -> None:
    encoder = made(tiny)
    rows = encoder.rows(Inputs(None, MANY, None, 1))
    assert not folders.exists()
    train = TrainData(None, MANY, None, 1, sp.csr_matrix((90, 1), dtype=np.float32))
    np.testing.assert_allclose(encoder.rows(train).distinct, rows.distinct, rtol=1e-4, atol=1e-5)
    assert len(whole(folders)) == 1


def test_key_is_of_all_that_decides_an_embedding(tiny: Path, tmp_path: Path, folders: Path) -> None:
    one = made(tiny)
    one.label_rows(MANY)
    made(tiny, seed=3).label_rows(MANY)  # the layer's weights are none of it
    assert len(whole(folders)) == 1
    made(tiny, precision="bfloat16").label_rows(MANY)
    made(tiny, pooling="cls").label_rows(MANY)
    one.label_rows(MANY[:-1])
    other = tmp_path / "other"
    with torch.no_grad():
        next(one.transformer.parameters()).add_(0.1)
    save_encoder(one.transformer, other)
    made(other).label_rows(MANY)
    assert len(whole(folders)) == 5


def test_a_stop_goes_on_from_the_last_whole_block(tiny: Path, folders: Path) -> None:
    def stop(done: int, total: int) -> None:
        if total == 60 and done > 30:
            raise KeyboardInterrupt

    encoder = made(tiny)
    with pytest.raises(KeyboardInterrupt):
        encoder.label_rows(MANY, stop)
    (block,) = whole(folders)
    assert block.endswith(".0")
    told: list[int] = []
    rows = encoder.label_rows(MANY, lambda done, total: told.append(done) if total == 60 else None)
    assert min(told) > 25
    assert len(whole(folders)) == 1
    expected = embed(encoder.transformer, encoder.transformer.label_rows(MANY), "cpu")
    np.testing.assert_allclose(rows.distinct[rows.which], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("harm", ["cut", "one bit", "not finite, sealed", "no such row, sealed"])
def test_a_damaged_folder_is_made_again(tiny: Path, folders: Path, harm: str) -> None:
    expected = made(tiny).label_rows(MANY)
    folder = folders / whole(folders)[0]
    if harm == "cut":
        os.truncate(folder / "embeddings.npy", (folder / "embeddings.npy").stat().st_size - 4)
    elif harm == "one bit":
        flip(folder / "embeddings.npy")
    elif harm == "not finite, sealed":
        change_sealed(folder / "embeddings.npy", 2, np.nan)
    else:
        change_sealed(folder / "which.npy", 2, 60)
    with pytest.warns(UserWarning, match="damaged"):
        found = made(tiny).label_rows(MANY)
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.which, expected.which)


def test_embeddings_that_are_not_finite_are_named_and_not_cached(tiny: Path, folders: Path) -> None:
    encoder = made(tiny)
    with torch.no_grad():
        next(encoder.transformer.parameters()).fill_(np.nan)
    with pytest.raises(Diverged, match="not finite"):
        encoder.label_rows(MANY)
    assert whole(folders) == []


KILL = """
import sys, time
from pathlib import Path
from xmcbench.encoders import frozen
from xmcbench.encoders.making import new_encoder
from xmcbench.encoders.params import EncoderParams
from xmcbench.method import Inputs, TrainData
frozen.FEW, frozen.BLOCK = 20, 25
texts = sys.stdin.read().splitlines()
params = EncoderParams(encoder=sys.argv[1], frozen=True, max_length=32, precision="float32")
encoder = new_encoder(params, Inputs(None, texts, None, 1), None, 0, "cpu")
def told(done, total):
    if total == 60 and done > 25:
        print("half", flush=True)
        time.sleep(600)
encoder.label_rows(texts, told)
"""


def test_killed_half_way(tiny: Path, folders: Path) -> None:
    command: list[Any] = [sys.executable, "-c", KILL, tiny]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n".join(MANY))
    child.stdin.close()
    assert child.stdout.readline() == "half\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert [name.partition(".")[2] for name in whole(folders)] == ["0"]  # the first block, nothing of the second
    encoder = made(tiny)
    rows = encoder.label_rows(MANY)
    expected = embed(encoder.transformer, encoder.transformer.label_rows(MANY), "cpu")
    np.testing.assert_allclose(rows.distinct[rows.which], expected, rtol=1e-4, atol=1e-5)
    assert not [path for path in folders.iterdir() if path.name.startswith(".tmp-")]


def test_kept_and_read_back(tiny: Path, tmp_path: Path, folders: Path) -> None:
    encoder = made(tiny)
    with torch.no_grad():
        encoder.outer.normal_(generator=torch.Generator().manual_seed(2))
    expected = embed(encoder, encoder.label_rows(MANY), "cpu")
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert isinstance(again, FrozenEncoder)
    rows = again.label_rows(MANY, never)  # the weights are the same, wherever they were read from
    np.testing.assert_array_equal(embed(again, rows, "cpu"), expected)


@pytest.mark.parametrize("harm", ["no layer", "cut", "another layer", "no transformer"])
def test_a_damaged_model_is_named(tiny: Path, tmp_path: Path, harm: str) -> None:
    save_encoder(made(tiny), tmp_path)
    if harm == "no layer":
        (tmp_path / "frozen.npz").unlink()
    elif harm == "cut":
        (tmp_path / "frozen.npz").write_bytes((tmp_path / "frozen.npz").read_bytes()[:100])
    elif harm == "another layer":
        np.savez(tmp_path / "frozen.npz", inner=np.zeros((3, 3)))
    else:
        shutil.rmtree(tmp_path / "transformer")
    with pytest.raises(DataError, match=r"transformer\.json" if harm == "no transformer" else r"frozen\.npz"):
        load_encoder(tmp_path)


def test_buckets_of_dense_rows() -> None:
    rows = DenseRows(np.zeros((10, 16), np.float32), np.zeros(100, np.int64))
    assert [len(which) for which in buckets(rows.lengths, 16 * 40)] == [40, 40, 20]
