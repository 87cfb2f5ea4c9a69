"""ELIAS on other encoders than a bag of given features: texts, dense ones, labels read from their texts."""

from __future__ import annotations

import dataclasses
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from xmcbench_elias import Elias
from xmcbench_elias.network.source import JoinedTexts, Source
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.training.building import build
from xmcbench_elias.training.stages import with_carved_rows
from xmcbench_elias.training.train import optimisers

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.encoders.bow import BowEncoder
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.method import Inputs
from xmcbench.npz_files import read_npz
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK

DATA = tiny()
SMALL = EliasParams(width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=2, stage1_epochs=4, stage2_epochs=3)
WORDS, LONGEST = 512, 64


class HashedRows:
    """Numbers of words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.words = [[zlib.crc32(word.encode()) % WORDS for word in text.split()] for text in texts]
        self.lengths: NDArray[np.int64] = np.array([len(row) for row in self.words], np.int64)

    def __len__(self) -> int:
        return len(self.words)

    def batch(self, which: NDArray[Any], device: str) -> Tensor:
        """(n, longest) int64, padded with −1, as a transformer would pad."""
        rows = [self.words[int(i)] for i in which]
        longest = max(map(len, rows), default=0)
        assert longest * len(rows) <= 128 * 16, "a batch of all rows would not fit"
        return torch.tensor([row + [-1] * (longest - len(row)) for row in rows], dtype=torch.int64).view(len(rows), -1)


class Hashed(nn.Module):
    """Mean word vectors, frozen ones, through a layer and a layer norm; all its gradients are dense."""

    kind: ClassVar[str] = "hashed"
    part = LONGEST

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.width = 24
        generator = torch.Generator().manual_seed(seed)
        self.words = nn.Parameter(torch.randn(WORDS, 24, generator=generator), requires_grad=False)
        self.layer = nn.Parameter(torch.randn(24, 24, generator=generator) * 0.3)
        self.norm = nn.LayerNorm(24)
        self.register_buffer("places", torch.arange(3))

    def rows(self, inputs: Inputs, progress: Any = None) -> HashedRows:
        if inputs.texts is None:
            raise DataError("rows have no texts")
        return HashedRows(inputs.texts)

    def label_rows(self, texts: Sequence[str], progress: Any = None) -> HashedRows:
        return HashedRows(texts)

    def forward(self, batch: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        known = (batch >= 0).float()[:, :, None]
        mean = (self.words[batch.clamp(min=0)] * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        out: Tensor = self.norm(mean + torch.relu(mean @ self.layer))
        return out

    def tables(self) -> list[nn.Parameter]:
        return []

    def save(self, folder: Path) -> None:
        write_npz(folder / "hashed.npz", {key: value.numpy() for key, value in self.state_dict().items()})

    @classmethod
    def load(cls, folder: Path) -> Hashed:
        made = cls(seed=1)
        made.load_state_dict({k: torch.from_numpy(v) for k, v in read_npz(folder / "hashed.npz").items()})
        return made


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> EliasParams:
    """Parameters whose encoder is `Hashed`, made once."""
    made: list[Hashed] = []

    def new(*given: Any) -> Hashed:
        assert not made, "read from disk twice in a fit"
        made.append(Hashed())
        return made[0]

    monkeypatch.setattr("xmcbench_elias.network.source.new_encoder", new)
    monkeypatch.setattr("xmcbench_elias.network.source.load_encoder", Hashed.load)
    monkeypatch.setattr("xmcbench_elias.saving.load_encoder", Hashed.load)
    return dataclasses.replace(SMALL, encoder="hashed", encoder_rate=1e-2, rate=1e-2)


class Locked(Reporter):
    """Can't be copied, as those of the terminal can't."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def fitted(folder: Path, params: EliasParams, reporter: Reporter | None = None) -> tuple[Elias, RunContext]:
    train, held = carve(DATA.train_data(), 0)
    ctx = RunContext(folder, validation=held, validation_is_carved=True, reporter=reporter or Reporter())
    method = Elias(params)
    method.fit(train, ctx)
    return method, ctx


def top(run: tuple[Elias, RunContext], **query: Any) -> TopK:
    return run[0].predict(DATA.test_inputs(), 5, dataclasses.replace(run[1], query=query))


def same(one: tuple[Elias, RunContext], other: tuple[Elias, RunContext]) -> None:
    for output in ("final", "model", "dual", "stage1"):
        a, b = top(one, output=output), top(other, output=output)
        assert np.array_equal(a.ids, b.ids)
        assert np.array_equal(a.scores, b.scores)


def hits(run: tuple[Elias, RunContext]) -> float:
    return float(np.take_along_axis(DATA.test.labels.toarray(), top(run, output="model").ids[:, :1], 1).mean())


@pytest.mark.parametrize("values", [{}, {"label_texts": False}, {"dual_epochs": 0}], ids=["texts", "features", "none"])
def test_any_encoder_learns_and_is_saved(hashed: EliasParams, values: dict[str, Any], tmp_path: Path) -> None:
    params = dataclasses.replace(hashed, members=2, average=2, recluster=1, finish_epochs=1, **values)
    run = fitted(tmp_path, params, Locked())
    assert hits(run) > 3 * DATA.test.labels.toarray().mean()
    assert run[1].notes["settings"]["width"] == 24
    (tmp_path / "model").mkdir()
    run[0].save(tmp_path / "model")
    again = Elias(run[0].params)
    again.load(tmp_path / "model")
    same((again, run[1]), run)
    one = again.predict(DATA.test_inputs().rows(np.array([7])), 5, run[1])
    np.testing.assert_array_equal(one.ids[0], top(run).ids[7])
    assert again.predict(DATA.test_inputs().rows(np.arange(0)), 5, run[1]).n_rows == 0


def test_a_killed_run_goes_on_and_ends_the_same(
    hashed: EliasParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    monkeypatch.setattr("xmcbench_elias.network.source.new_encoder", lambda *_: Hashed())
    known = fitted(tmp_path / "whole", hashed)
    for phase, at in (("dual encoder", 3), ("stage 1", 25), ("stage 2", 15), ("stage 2, all rows", 12)):
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / phase, hashed, stop(phase, at))
        same(fitted(tmp_path / phase, hashed), known)


def test_bow_reads_texts_where_rows_and_labels_have_them(tmp_path: Path) -> None:
    run = fitted(tmp_path, dataclasses.replace(SMALL, members=2))
    assert hits(run) > 3 * DATA.test.labels.toarray().mean()
    first, second = (model.encoder for model in run[0].fitted.models)  # type: ignore[union-attr]
    dual = run[0].fitted.dual.encoder  # type: ignore[union-attr]
    assert isinstance(first, BowEncoder)
    assert isinstance(second, BowEncoder)
    assert isinstance(dual, BowEncoder)
    assert first.vocabulary is not None
    assert first.vocabulary is second.vocabulary is dual.vocabulary
    (tmp_path / "model").mkdir()
    run[0].save(tmp_path / "model")
    again = Elias(run[0].params)
    again.load(tmp_path / "model")
    same((again, run[1]), run)


FILES = [
    *("rest.npz", "stage1.npz", "model.npz", "encoder/bow.npz", "encoder/encoder.json"),
    *("dual/bow.npz", "dual/encoder.json", "trees/tree.npz", "all/ovr.npz"),
]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["cut", "gone", "another"])
def test_a_damaged_model_is_named(file: str, harm: str, saved: Path, tmp_path: Path) -> None:
    for path in (path for path in saved.rglob("*") if path.is_file()):
        (tmp_path / path.relative_to(saved)).parent.mkdir(exist_ok=True)
        (tmp_path / path.relative_to(saved)).write_bytes(path.read_bytes())
    damaged = tmp_path / file
    if harm == "cut":
        damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    elif harm == "gone":
        damaged.unlink()
    elif file.endswith("json"):
        damaged.write_text("{}")
    else:
        write_npz(damaged, {"a": np.zeros(3)})
    with pytest.raises(DataError, match=Path(file).name):
        Elias(SMALL).load(tmp_path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose encoder is a bag of texts."""
    folder = tmp_path_factory.mktemp("saved")
    run = fitted(tmp_path_factory.mktemp("fit"), dataclasses.replace(SMALL, stage1_epochs=1))
    run[0].save(folder)
    return folder


def test_rates_and_decay_of_an_encoder() -> None:
    source = Source(Hashed(), 24)
    params = settled(dataclasses.replace(SMALL, encoder="hashed", rate=5e-3), 40)
    model = build(source, 40, np.arange(40)[None], params, 0)
    groups = optimisers(model, params, 0.5).dense.groups
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    names = {name: found.get(id(p)) for name, p in model.named_parameters()}
    assert names.pop("encoder.words") is None  # frozen
    assert names.pop("label_weight") is None  # a table
    assert names.pop("encoder.layer") == (0.5e-4, 0.01)
    assert names.pop("encoder.norm.weight") == names.pop("encoder.norm.bias") == (0.5e-4, 0.0)
    assert names.pop("cluster_weight") == (2.5e-3, 0.01)
    assert names.pop("cluster_bias") == names.pop("label_bias") == (2.5e-3, 0.0)
    assert not names


def test_rates_of_what_starts_anew_in_a_stage() -> None:
    params = settled(SMALL, 40)
    model = build(Source(BowEncoder(60, 1, torch.Generator()), 16), 40, np.arange(40)[None], params, 0)
    model.put_graph(np.arange(40)[None], np.ones((1, 40), np.float32))
    made = optimisers(model, params, 0.5, 0.25)
    rates = {id(table.table): table.rate for table in made.tables}
    assert rates == {id(model.encoder.tables()[0]): 0.5 * 2e-2, id(model.label_weight): 0.25 * 2e-2}
    assert made.dense.groups[-1]["params"] == [model.adjacency]
    assert made.dense.groups[-1]["lr"] == 0.25 * 3e-3


def test_models_start_from_copies() -> None:
    source = Source(Hashed(), 24)
    one, other = (source.new(torch.Generator()) for _ in range(2))
    assert isinstance(one, Hashed)
    assert isinstance(other, Hashed)
    assert torch.equal(one.layer, other.layer)
    assert one.layer is not other.layer


def test_carved_rows_bring_their_texts(tmp_path: Path) -> None:
    train, held = carve(DATA.train_data(), 0)
    joined = with_carved_rows(train, RunContext(tmp_path, validation=held, validation_is_carved=True))
    assert list(joined.texts or []) == [*(train.texts or []), *(held.texts or [])]
    assert list(joined.label_texts or []) == list(DATA.label_texts or [])
    texts = JoinedTexts(["a", "b"], ["c"])
    assert (texts[-1], texts[1], texts[1:], len(texts)) == ("c", "b", ["b", "c"], 3)
    with pytest.raises(IndexError):
        texts[3]
