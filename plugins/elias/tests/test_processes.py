"""One model over two and three processes: the losses and predictions of one process, also after one is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from xmcbench_elias import Elias
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import DividedBow, Shard, ShardedModel, whole_weights
from xmcbench_elias.params import EliasParams
from xmcbench_elias.search.merging import among_best
from xmcbench_elias.training import stages

from tests.together import together
from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.encoders.bow import Bag, BowEncoder
from xmcbench.encoders.weights import Arrays
from xmcbench.method import Machine
from xmcbench.methods import training
from xmcbench.processes import Ranks
from xmcbench.testing.worlds import tiny
from xmcbench.topk import PAD

# The shortlist leaves labels out, batches are not divisible by three, and labels not by two or three.
SMALL = EliasParams(
    width=9, leaf=5, train_beam=3, beam=3, batch=31, shortlist_leaves=2, row_leaves=2, shortlist_weight=5.0,
    ranker="all", dual_epochs=1, stage1_epochs=2, stage2_epochs=2, finish_epochs=1, average=1,
)  # fmt: skip
OUTPUTS = ("final", "model", "dual", "stage1")


class Killed(Reporter):
    """Kills this process in epoch 2 of stage 2."""

    name = ""

    def phase(self, name: str) -> None:
        self.name = name

    def progress(self, done: float, total: float, note: str) -> None:
        if self.name == "stage 2" and done > 1.5:
            os.kill(os.getpid(), signal.SIGKILL)


def fitted(ranks: Ranks | None, folder: str, file: str, victim: str = "", recluster: str = "0") -> None:
    """Fit, and save losses and predictions; a process of rank `victim` is killed."""
    torch.set_num_threads(1)
    training.CHECKPOINT_EVERY = 0.0
    data = tiny()
    train, held = carve(data.train_data(), 0)
    Path(folder).mkdir(exist_ok=True)
    reporter = Killed() if ranks is not None and str(ranks.rank) == victim else Reporter()
    ctx = RunContext(
        Path(folder), validation=held, validation_is_carved=True, ranks=ranks, reporter=reporter, identity={"a": 1}
    )
    method = Elias(replace(SMALL, recluster=int(recluster)))
    gathered: list[Arrays] = []

    def noted(model: ShardedModel, where: Path) -> Arrays | None:
        weights = whole_weights(model, where)
        gathered.extend([] if weights is None else [weights])
        return weights

    if ranks is not None:  # in a process of its own
        stages.whole_weights = noted  # type: ignore[attr-defined]
    method.fit(train, ctx)
    if ranks is not None and ranks.rank == 0:
        n_bytes = sum(weight.nbytes for weights in gathered for weight in weights.values())
        Path(folder, "gathered").write_text(f"{n_bytes} {len(gathered[0]['encoder.embed'])}")
    if ranks is not None and ranks.rank:
        assert method.fitted is None
        return
    arrays: dict[str, NDArray[np.generic]] = {}
    for output in OUTPUTS:
        top = method.predict(data.test_inputs(), 10, replace(ctx, query={"output": output}, ranks=None))
        arrays |= {f"{output} ids": top.ids, f"{output} scores": top.scores}
    epochs = ctx.notes["epochs"]
    for name in ("loss", "validation nDCG@5", "adjacency at the clamp", "clusters at the clamp"):
        arrays[name] = np.array([epoch[name] for epoch in epochs], np.float64)
    np.savez(file, **arrays)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    fitted(None, str(folder), str(folder / "out.npz"))
    torch.set_num_threads(threads)
    return folder / "out.npz"


def assert_same(one: Path, other: Path) -> None:
    with np.load(one) as expected, np.load(other) as actual:
        assert set(expected) == set(actual)
        for name in expected:
            if name.endswith("ids"):
                np.testing.assert_array_equal(actual[name], expected[name], name)
            elif name.endswith("scores"):
                valid = expected[name.replace("scores", "ids")] != PAD
                np.testing.assert_allclose(actual[name][valid], expected[name][valid], rtol=0, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_two_processes_give_the_losses_and_predictions_of_one(alone: Path, tmp_path: Path) -> None:
    assert together(2, fitted, tmp_path / "work", tmp_path / "out.npz") == [0, 0]
    assert_same(alone, tmp_path / "out.npz")
    gathered, n_words = map(int, (tmp_path / "work" / "gathered").read_text().split())
    facts = replace(tiny().facts(), n_features=n_words, available=frozenset({"features"}))
    one, two = (Elias(SMALL).footprint(facts, Machine(1, "cpu", count)) for count in (1, 2))
    assert gathered <= two.disk - one.disk <= 1.5 * gathered, "whole networks in files count as disk"
    assert two.memory == one.memory


def test_three_processes_of_which_one_was_killed_give_them_too(alone: Path, tmp_path: Path) -> None:
    """The others end; the next start resumes from the last checkpoint that all have."""
    arguments = tmp_path / "work", tmp_path / "out.npz"
    codes = together(3, fitted, *arguments, 1)
    assert (codes[1], codes[0] > 0, codes[2] > 0) == (-9, True, True)
    assert not (tmp_path / "out.npz").exists()
    saved = sorted(path.name for path in (tmp_path / "work" / "checkpoints").glob("stage 2,*"))
    assert saved == [f"stage 2, rank {rank} of 3, a.npz" for rank in range(3)]  # of epoch 1
    (tmp_path / "work" / "checkpoints" / "stage 1, rank 2 of 3, b.npz").unlink()  # one was killed before it saved it
    assert together(3, fitted, *arguments) == [0, 0, 0]
    assert_same(alone, tmp_path / "out.npz")


@pytest.mark.slow
def test_two_processes_cluster_again_as_one_does(tmp_path: Path) -> None:
    """By the encoder that both have trained, with labels that rank 0 collects from both."""
    for count, codes in ((1, [0]), (2, [0, 0])):
        arguments = tmp_path / f"work {count}", tmp_path / f"{count}.npz", "", 1
        assert together(count, fitted, *arguments) == codes
    assert_same(tmp_path / "1.npz", tmp_path / "2.npz")
    first, *again = (
        np.load(tmp_path / f"work {count}" / "checkpoints" / f"{name}.npz")["clusters"]
        for name, count in (("clusters", 1), ("clusters again", 1), ("clusters again", 2))
    )
    np.testing.assert_array_equal(*again)
    assert not np.array_equal(first, again[0])


class Nobody(Ranks):
    """A rank without the others, for what needs no exchange."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count, self.nodes = rank, count, ["here"] * count

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """This process's term alone."""
        return tensor


@pytest.mark.parametrize("count", [2, 3])
def test_labels_are_divided_without_rest(count: int) -> None:
    entries = np.array([[6, 0, 3, 7], [1, 5, 7, 7]])  # of 7 labels
    found: list[set[tuple[int, int, int]]] = []
    for rank in range(count):
        shard = Shard(Nobody(rank, count), 7)
        columns, labels = shard.columns(entries, rank)
        rows, places = np.nonzero(labels < shard.size)
        own = rows, columns[rows, places], labels[rows, places] * count + rank
        found.append(set(zip(*(part.tolist() for part in own), strict=True)))
        assert shard.own(np.arange(7)).tolist() == list(range(rank, 7, count))
        assert shard.size == len(range(rank, 7, count))
    everything = {(0, 0, 6), (0, 1, 0), (0, 2, 3), (1, 0, 1), (1, 1, 5)}
    assert set.union(*found) == everything
    assert sum(map(len, found)) == len(everything)


def test_a_batch_keeps_the_rows_and_this_processs_labels() -> None:
    batch = Batch(None, torch.tensor([0, 3, 3, 5]), torch.tensor([0, 4, 5, 1, 6]))
    own = Shard(Nobody(1, 2), 7).batch(batch)
    assert (own.true_indptr.tolist(), own.true_labels.tolist()) == ([0, 1, 1, 2], [2, 0])
    part = batch.part(slice(1, 3))
    assert (part.true_indptr.tolist(), part.true_labels.tolist()) == ([0, 0, 2], [1, 6])


@pytest.mark.parametrize(("n_labels", "block"), [(7, 16), (40, 16), (70, 16), (64, 16), (33, 1 << 14)])
def test_initial_weights_are_those_of_one_process(n_labels: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench_elias.network.sharded.DRAWN", block)
    entries = np.arange(n_labels)[None]

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    encoder = BowEncoder(2, 5, generator())
    whole = EliasModel(encoder, torch.from_numpy(entries), n_labels, 10.0, 0.15, generator())
    for rank in range(3):
        shard = Shard(Nobody(rank, 3), n_labels)
        model = ShardedModel(encoder, entries, shard, 10.0, 0.15, generator())
        assert torch.equal(model.label_weight, shard.own(whole.label_weight))
        assert torch.equal(model.cluster_weight, whole.cluster_weight)


def test_features_are_divided_without_rest_and_have_the_gradients_of_one_process() -> None:
    whole = BowEncoder(7, 5, torch.Generator().manual_seed(3))
    batch = Bag(torch.tensor([0, 3, 3, 5]), torch.tensor([0, 4, 6, 1, 4]), torch.tensor([1.0, -2.0, 0.5, 3.0, 1.0]))
    expected = whole.summed(batch)
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    total, gradient = torch.zeros(3, 5), torch.zeros(7, 5)
    for rank in range(3):
        encoder = DividedBow(whole, Nobody(rank, 3))
        part = encoder.summed(batch)
        total += part.detach()
        part.backward(2 * expected.detach())  # the same in all processes
        assert encoder.embed.grad is not None
        gradient[rank::3] = encoder.embed.grad.to_dense()
    torch.testing.assert_close(total, expected.detach())
    assert whole.embed.grad is not None
    torch.testing.assert_close(gradient, whole.embed.grad.to_dense())


class Thread(Nobody):
    """A rank that is a thread of this process; all of them exchange through one list."""

    def __init__(self, rank: int, given: list[torch.Tensor], barrier: threading.Barrier) -> None:
        super().__init__(rank, len(given))
        self.given, self.barrier = given, barrier

    def stacked(self, tensor: torch.Tensor) -> torch.Tensor:
        self.given[self.rank] = tensor
        self.barrier.wait(60)
        stacked = torch.stack(self.given)
        self.barrier.wait(60)
        return stacked

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.stacked(tensor).sum(dim=0, dtype=tensor.dtype)

    def largest(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.stacked(tensor).amax(dim=0)

    def dealt(self, tensor: torch.Tensor, shares: Sequence[slice]) -> torch.Tensor:
        return self.stacked(tensor)[:, shares[self.rank]]


def threads(count: int, work: Callable[[Thread], torch.Tensor]) -> list[torch.Tensor]:
    """What `work` returns for each rank."""
    given, barrier = [torch.empty(0)] * count, threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda rank: work(Thread(rank, given, barrier)), range(count)))


@pytest.mark.parametrize(("levels", "n_rows"), [(2, 5), (1000, 5), (2, 2)])  # fewer rows than ranks, too
def test_the_best_of_all_labels_are_kept_ties_by_lower_id(levels: int, n_rows: int) -> None:
    rng, n_labels, size = np.random.default_rng(levels), 13, 4
    whole = -torch.from_numpy(rng.integers(-1, levels - 1, (n_rows, n_labels)).astype(np.float32))  # 0 is −0.0
    whole[:, ::2] += 0.0  # here it is 0.0
    whole[0] = -torch.inf  # no label is reached
    best = torch.from_numpy(np.argsort(-whole.numpy(), axis=1, kind="stable")[:, :size].copy())
    expected = torch.zeros(whole.shape, dtype=torch.bool).scatter_(1, best, True) & (whole > -torch.inf)
    tops = [whole[:, rank::3].sort(dim=1, descending=True, stable=True) for rank in range(3)]
    labels = [top.indices[:, :size] for top in tops]

    def work(ranks: Thread) -> torch.Tensor:
        scores = tops[ranks.rank].values[:, :size]
        return among_best(scores, labels[ranks.rank], size, Shard(ranks, n_labels))

    for rank, kept in enumerate(threads(3, work)):
        own = torch.zeros(n_rows, len(range(rank, n_labels, 3)), dtype=torch.bool).scatter_(1, labels[rank], kept)
        assert torch.equal(own, expected[:, rank::3])


def test_values_of_the_graph_and_their_gradient_are_those_of_one_process() -> None:
    n_labels, entries = 11, np.array([[0, 2, 3, 7, 10], [1, 4, 5, 11, 11], [6, 11, 11, 11, 11], [3, 6, 9, 0, 8]])
    counts = np.array([[3, 9, 0, 1, 50], [2, 2, 2, 0, 0], [0, 0, 0, 0, 0], [1, 400, 0, 3, 7]], np.float32)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    shares = torch.rand(entries.shape, generator=generator())

    def gradient_of(model: EliasModel, shares: torch.Tensor) -> torch.Tensor:
        assert model.adjacency is not None
        values = model.log_entries()
        (values * shares)[model.filled].sum().backward()  # type: ignore[no-untyped-call]
        assert model.adjacency.grad is not None
        return torch.stack([values.detach(), model.adjacency.grad])

    whole = EliasModel(BowEncoder(3, 2, generator()), torch.from_numpy(entries), n_labels, 10.0, 0.6, generator())
    whole.put_graph(entries, counts)
    expected = gradient_of(whole, shares)
    assert (expected[0][whole.filled] == 0).any()  # some values are clamped

    def work(ranks: Thread) -> torch.Tensor:
        shard = Shard(ranks, n_labels)
        model = ShardedModel(BowEncoder(3, 2, generator()), entries, shard, 10.0, 0.6, generator())
        model.put_graph(entries, counts)
        columns, _ = shard.columns(entries, ranks.rank)
        return gradient_of(model, torch.from_numpy(np.take_along_axis(shares.numpy(), columns, 1)))

    for rank, got in enumerate(threads(3, work)):
        columns, labels = Shard(Nobody(rank, 3), n_labels).columns(entries, rank)
        filled = torch.from_numpy(labels < len(range(rank, n_labels, 3)))
        wanted = expected.gather(2, torch.from_numpy(columns).expand(2, *columns.shape))
        torch.testing.assert_close(got[:, filled], wanted[:, filled])
