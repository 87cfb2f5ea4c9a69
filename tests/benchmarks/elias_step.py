"""One training step of ELIAS, stage 2, against the straight torch form: seconds, memory, and the same losses.

    python tests/benchmarks/elias_step.py [--shape large|small|wide] [--device cuda] [--json] [--repeats N]

A step is beam with teacher forcing, shortlist, both losses, backward and AdamW, from embeddings that are given (random,
with a gradient of their own): the encoder is left out on both sides. Weights, index, embeddings and true labels are
drawn from generators seeded 0, 0, step and step. The straight form gathers (n, K, D) label rows, removes duplicates by
sorting, multiplies by `bmm`, and leaves gradients (dense) and AdamW (dense, fused) to torch. Both sides share teacher
forcing and the formulas of the losses. They take their steps in turns; losses of the first two steps must agree to
1e-4, and gradients of the embeddings to 1e-3 of their norm.

`ratio` is straight / ours in seconds, medians. `memory_ratio` likewise: the most memory of a separate process beyond
what it held before it made weights, index and optimiser; on CUDA the allocator's peak, and `step_memory_ratio` leaves
out what is held between steps (weights and moments). Shape `wide` is the default of --device cuda, which also times
search (top 100). Without a GPU it says so and exits 2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of torch that spin take the cores from numba's

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EliasModel, log_adjacency, log_cluster_scores
from xmcbench_elias.params import EliasParams
from xmcbench_elias.search.search import beam_search, score
from xmcbench_elias.training.loss import classification_loss, shortlist_loss
from xmcbench_elias.training.step import losses, teacher_forced
from xmcbench_elias.training.train import optimisers

from xmcbench.encoders.bow import BowEncoder

TRUE = 5  # labels a row
LAMBDA, BETA_SHARE, ALPHA, EXTRA = 0.05, 0.15, 10.0, 5
RATES = EliasParams()


@dataclass(frozen=True)
class Shape:
    """L, D, C, κ, b, K and the rows of a batch."""

    n_labels: int
    width: int
    clusters: int
    kappa: int
    beam: int
    size: int
    rows: int = 256


SHAPES = {
    "large": Shape(131_072, 384, 2048, 1000, 20, 2000),
    "small": Shape(4_271, 512, 256, 170, 20, 340),
    "wide": Shape(670_091, 768, 8192, 1000, 20, 2000),
}


def index(shape: Shape) -> Tensor:
    """(C, κ) labels: a cluster's own L / C, then others at random; distinct in a row."""
    rng = np.random.default_rng(0)
    leaf = -(-shape.n_labels // shape.clusters)
    out = np.empty((shape.clusters, shape.kappa), np.int64)
    for c in range(shape.clusters):
        others = leaf + rng.choice(shape.n_labels - leaf, shape.kappa - leaf, replace=False, shuffle=False)
        out[c] = (c * leaf + np.concatenate([np.arange(leaf), others])) % shape.n_labels
    return torch.from_numpy(out)


def batch_of(shape: Shape, step: int, device: str) -> tuple[Tensor, Batch]:
    """Embeddings, and true labels."""
    rng = np.random.default_rng(step)
    embeddings = torch.from_numpy(rng.standard_normal((shape.rows, shape.width), np.float32)).to(device)
    true = np.sort([rng.choice(shape.n_labels, TRUE, replace=False) for _ in range(shape.rows)], axis=1)
    indptr, labels = torch.arange(shape.rows + 1) * TRUE, torch.from_numpy(true.ravel())
    return embeddings, Batch(None, indptr.to(device), labels.to(device))


def network(shape: Shape, device: str) -> EliasModel:
    """A model in stage 2 with random logits; cluster scores are spread out as after training."""
    generator = torch.Generator().manual_seed(0)
    model = EliasModel(
        BowEncoder(1, shape.width, generator), index(shape), shape.n_labels, ALPHA, BETA_SHARE, generator
    )
    model.adjacency = torch.nn.Parameter(torch.randn(shape.clusters, shape.kappa, generator=generator))
    model.cluster_weight.data.mul_(10)
    return model.to(device)


class Ours:
    """The step as the method takes it."""

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.model = shape, network(shape, device)
        self.optimisers = optimisers(self.model, RATES, 1.0)
        self.owners = self.model.owners()
        self.generator = torch.Generator(device).manual_seed(0)

    def step(self, given: Tensor, batch: Batch) -> tuple[float, Tensor]:
        """(loss, gradient of the embeddings)."""
        shape, model = self.shape, self.model
        embedding = given.clone().requires_grad_()
        logits = model.cluster_logits(embedding)
        clusters = teacher_forced(logits, ALPHA, batch, self.owners, shape.beam, EXTRA, self.generator)
        loss = losses(model, embedding, logits, clusters, batch, shape.size, LAMBDA * shape.size).total
        loss.backward()
        self.optimisers.step(1.0)
        assert embedding.grad is not None
        return float(loss.detach()), embedding.grad

    @torch.no_grad()
    def search(self, given: Tensor, batch: Batch) -> Tensor:
        """Top 100 scores."""
        _, p = score(self.model, given, batch, self.shape.beam, self.shape.size)
        return p.topk(100, dim=1).values


class Straight:
    """The step as one writes it down in torch."""

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.model = shape, network(shape, device)
        m = self.model
        biases = [m.cluster_bias, m.label_bias]
        groups = [
            {"params": [m.label_weight], "lr": RATES.table_rate, "weight_decay": RATES.decay},
            {"params": [m.cluster_weight], "lr": RATES.rate, "weight_decay": RATES.decay},
            {"params": biases, "lr": RATES.rate, "weight_decay": 0.0},
            {"params": [m.adjacency], "lr": RATES.adjacency_rate, "weight_decay": RATES.decay},
        ]
        self.optimiser = torch.optim.AdamW(groups, fused=True)
        self.owners = m.owners()
        self.generator = torch.Generator(device).manual_seed(0)

    def ranked(self, embedding: Tensor, logits: Tensor, clusters: Tensor) -> tuple[Tensor, ...]:
        """(labels, log path scores, z) of the K best, and all (labels, log path scores), each label at its best."""
        shape, m = self.shape, self.model
        log_clusters = log_cluster_scores(logits, ALPHA).gather(1, clusters)
        log_entries = log_adjacency(m.adjacency, BETA_SHARE * shape.kappa)
        labels = m.entries[clusters].flatten(1)
        scores = (log_clusters[:, :, None] + log_entries[clusters]).flatten(1)
        with torch.no_grad():
            order = scores.sort(dim=1, descending=True, stable=True).indices
            by_label = labels.gather(1, order).sort(dim=1, stable=True)
            order = order.gather(1, by_label.indices)
            again = torch.zeros_like(order, dtype=torch.bool)
            again[:, 1:] = by_label.values[:, 1:] == by_label.values[:, :-1]
            all_labels = by_label.values.masked_fill(again, shape.n_labels)
            best = scores.gather(1, order).masked_fill(again, -torch.inf).topk(shape.size, dim=1).indices
            places = order.gather(1, best)
        labels = labels.gather(1, places)
        rows = F.embedding(labels, m.label_weight)
        z = torch.bmm(rows, embedding[:, :, None])[:, :, 0] + m.label_bias[labels]
        return labels, scores.gather(1, places), z, all_labels, scores.gather(1, order)

    def step(self, given: Tensor, batch: Batch) -> tuple[float, Tensor]:
        """(loss, gradient of the embeddings)."""
        shape = self.shape
        embedding = given.clone().requires_grad_()
        logits = embedding @ self.model.cluster_weight.T + self.model.cluster_bias
        clusters = teacher_forced(logits, ALPHA, batch, self.owners, shape.beam, EXTRA, self.generator)
        labels, scores, z, all_labels, all_scores = self.ranked(embedding, logits, clusters)
        true = batch.true_labels.view(shape.rows, 1, TRUE)
        targets = (labels[:, :, None] == true).any(2)
        first = classification_loss(scores, z, targets, torch.ones_like(targets))
        second = shortlist_loss(all_scores[(all_labels[:, :, None] == true).any(2)], shape.rows)
        loss = first + LAMBDA * second
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        assert embedding.grad is not None
        return float(loss.detach()), embedding.grad

    @torch.no_grad()
    def search(self, given: Tensor, batch: Batch) -> Tensor:
        """Top 100 scores."""
        logits = given @ self.model.cluster_weight.T + self.model.cluster_bias
        _, scores, z, _, _ = self.ranked(given, logits, beam_search(logits, self.shape.beam))
        return (scores + F.logsigmoid(z)).exp().topk(100, dim=1).values


SIDES: dict[str, type[Ours] | type[Straight]] = {"ours": Ours, "straight": Straight}


def agreement(ours: Ours, straight: Straight, shape: Shape, device: str) -> dict[str, float]:
    """Relative differences of losses and of the embeddings' gradients, the larger of two steps."""
    loss, gradient = 0.0, 0.0
    for step in range(2):
        given = batch_of(shape, step, device)
        (one, actual), (other, expected) = ours.step(*given), straight.step(*given)
        loss = max(loss, abs(one - other) / abs(other))
        gradient = max(gradient, float((actual - expected).norm() / expected.norm()))
    assert loss < 1e-4, f"losses differ by {loss}"
    assert gradient < 1e-3, f"gradients differ by {gradient}"
    return {"loss_difference": loss, "gradient_difference": gradient}


def seconds(works: list[Callable[[int], object]], repeats: int, device: str) -> list[float]:
    """Median wall seconds of each call, in turns so that a slow spell of the machine meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for step in range(repeats):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work(step)
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def memory(side: str, shape: Shape, device: str) -> list[int]:
    """[peak, peak of steps beyond what is held between them], bytes; in a process that does nothing else."""
    if device == "cuda":
        work = SIDES[side](shape, device)
        work.step(*batch_of(shape, 0, device))
        torch.cuda.reset_peak_memory_stats()
        standing = torch.cuda.memory_allocated()
        for step in range(1, 3):
            work.step(*batch_of(shape, step, device))
        peak = torch.cuda.max_memory_allocated()
        return [peak, peak - standing]
    tiny = Shape(200, 8, 8, 30, 2, 20, 4)
    SIDES[side](tiny, device).step(*batch_of(tiny, 0, device))  # loads libraries and kernels
    before = status("VmRSS")
    work = SIDES[side](shape, device)
    for step in range(3):
        work.step(*batch_of(shape, step, device))
    return [status("VmHWM") - before, 0]


def status(field: str) -> int:
    """Bytes, from the kernel's account of this process; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def compare(name: str, device: str, repeats: int) -> dict[str, object]:
    """Everything measured at one shape."""
    shape = SHAPES[name]
    child = [sys.executable, __file__, "--shape", name, "--device", device, "--memory"]
    runs = [subprocess.run([*child, side], check=True, capture_output=True, text=True) for side in SIDES]
    mine, other = (json.loads(run.stdout) for run in runs)
    result: dict[str, object] = {"name": "elias step", "shape": vars(shape), "device": device}
    ours, straight = Ours(shape, device), Straight(shape, device)
    result |= agreement(ours, straight, shape, device)
    batches = [batch_of(shape, step, device) for step in range(4)]
    both = [ours, straight]
    fast, slow = seconds([lambda i, s=s: s.step(*batches[i % 4]) for s in both], repeats, device)  # type: ignore[misc]
    result |= {"ours_seconds": fast, "straight_seconds": slow, "ratio": slow / fast}
    result |= {"ours_bytes": mine[0], "straight_bytes": other[0], "memory_ratio": other[0] / mine[0]}
    if device == "cuda":
        result["step_memory_ratio"] = other[1] / mine[1]
        for side in both:
            side.search(*batches[0])
        works = [lambda i, s=s: s.search(*batches[i % 4]) for s in both]  # type: ignore[misc]
        fast, slow = seconds(works, repeats, device)
        result |= {"ours_search_seconds": fast, "straight_search_seconds": slow, "search_ratio": slow / fast}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", choices=SIDES, help="print the memory of one side, [peak, of steps], and stop")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("elias_step: torch finds no CUDA device here; run it on a machine with a GPU.", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(2)
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    name = options.shape or ("wide" if options.device == "cuda" else "large")
    if options.memory:
        print(json.dumps(memory(options.memory, SHAPES[name], options.device)))
        return
    result = compare(name, options.device, options.repeats)
    if options.json:
        print(json.dumps(result))
        return
    print(f"one training step on {options.device}, 2 threads: {SHAPES[name]}")
    for key, value in result.items():
        if key.endswith("bytes"):
            print(f"{key:>26} {float(str(value)) / 2**20:,.0f} MiB")
        elif isinstance(value, float):
            print(f"{key:>26} {value:.3g}")


if __name__ == "__main__":
    main()
