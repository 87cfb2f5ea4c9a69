"""Search of ELIAS against the straight torch form: queries per second, the latency of one, the share scored.

    python tests/benchmarks/elias_search.py [--shape large|small] [--device cuda] [--json] [--repeats N]
    python tests/benchmarks/elias_search.py --model FOLDER/model.npz --dataset NAME

Both sides get the same embeddings φ, weights and index, and search 20 clusters for a shortlist of K labels. The
straight form gathers the clusters' rows, removes duplicates (`scatter_reduce` into a row of L: faster here than by
sorting), takes the top K, gathers their label weights, (n, K, D), and multiplies by `bmm`; it goes by as many rows as
are fastest of 1, 8, 32 and 128.

Ours must show exactly the labels it shows when it scores whole shortlists (k = K), and the same as the plugin's own
full form in torch (`search.score`), but for places whose scores differ by less than rounding, 1e-5 of them;
`rounded_places` says how many do. In the straight form `topk` settles equal path scores at the cut as it
likes, so there up to 1 % of the places may show another label; `other_places` says how many do.

Sides take turns; `ratio` is straight / ours of median seconds; `memory_ratio` is the most memory beyond weights and
index that a separate process needed (our sorted index counts as ours).

Weights, all from one generator with seed 0: cluster directions are sums of Gaussian steps down a binary tree, as
unit vectors; W_C is 8 times these; a label is 2 times its own cluster's direction and 8 times a random unit vector
drawn for it, its bias −5 ± 1; an embedding is the direction of a cluster, 0.6 times the vectors of 5 of its labels,
and half a random unit vector. A row of the index holds the cluster's own labels, then others from the 64 clusters
around up to 0.6 κ, then others from anywhere; so a label is in κ · C / L of them (16 at shape `large`). Logits of the
adjacency are normal with deviation 1.5, plus 1 for own labels: some 2 % of a are clamped at 1. The stop at k = 10
leaves about half of the shortlist to score, as it did on trained models.

With --model and --dataset (of the same data): a trained model as `xmcbench run elias --keep-models` leaves it in
results/work/FIT/model, and φ of test rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of torch that spin take the cores from ours

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from xmcbench_elias.network.batches import embedded_batch
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.source import Source
from xmcbench_elias.params import EliasParams, sizes
from xmcbench_elias.search.search import score
from xmcbench_elias.search.searcher import Searcher
from xmcbench_elias.training.building import rebuild

from xmcbench.encoders.bow import BowEncoder
from xmcbench.npz_files import read_npz

BEAM, ROWS, SINGLE = 20, 512, 300
ROUNDING = 1e-5


@dataclass(frozen=True)
class Shape:
    """L, D, C, κ and K."""

    n_labels: int
    width: int
    clusters: int
    kappa: int
    size: int


SHAPES = {"large": Shape(131_072, 384, 2048, 1000, 2000), "small": Shape(4_271, 512, 256, 170, 1020)}


@dataclass(frozen=True)
class World:
    """A model, embeddings (n, D) and the size K of the shortlist."""

    model: EliasModel
    queries: Tensor
    size: int


def unit(rng: np.random.Generator, n: int, width: int) -> NDArray[np.float32]:
    x = rng.standard_normal((n, width), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def drawn(shape: Shape) -> World:
    """Weights and queries as the module says."""
    rng = np.random.default_rng(0)
    n_labels, width, n_clusters = shape.n_labels, shape.width, shape.clusters
    direction = np.zeros((1, width), np.float32)
    for _ in range(int(math.log2(n_clusters))):
        direction = np.repeat(direction, 2, axis=0)
        direction += rng.standard_normal(direction.shape, dtype=np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    home = np.arange(n_labels) * n_clusters // n_labels
    own = unit(rng, n_labels, width)
    entries, is_own = index(rng, home, shape)
    generator = torch.Generator().manual_seed(0)
    model = EliasModel(BowEncoder(1, width, generator), torch.from_numpy(entries), n_labels, 10.0, 0.15, generator)
    logits = rng.normal(0, 1.5, entries.shape).astype(np.float32) + is_own
    model.adjacency = torch.nn.Parameter(torch.from_numpy(logits))
    with torch.no_grad():
        model.label_weight.copy_(torch.from_numpy(2 * direction[home] + 8 * own))
        model.label_bias.copy_(torch.from_numpy(rng.normal(-5, 1, n_labels)))
        model.cluster_weight.copy_(torch.from_numpy(8 * direction))
    centre = rng.integers(0, n_clusters, ROWS)
    first = np.searchsorted(home, centre)
    true = first[:, None] + rng.integers(0, n_labels // n_clusters, (ROWS, 5))
    queries = direction[centre] + np.float32(0.6) * own[true].sum(axis=1) + np.float32(0.5) * unit(rng, ROWS, width)
    return World(model, torch.from_numpy(queries), shape.size)


def index(
    rng: np.random.Generator, home: NDArray[np.int64], shape: Shape
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(C, κ) distinct labels in a row, own ones first; and which are own."""
    entries = np.empty((shape.clusters, shape.kappa), np.int64)
    around = min(64, shape.clusters // 4)
    for c in range(shape.clusters):
        mine = np.flatnonzero(home == c)
        near = np.flatnonzero(home // around == c // around)
        far = rng.integers(0, shape.n_labels, 2 * shape.kappa)
        wanted = np.concatenate([mine, rng.permutation(near)[: int(0.6 * shape.kappa)], far])
        first = np.sort(np.unique(wanted, return_index=True)[1])
        entries[c] = wanted[first[: shape.kappa]]
    return entries, home[entries] == np.arange(shape.clusters)[:, None]


def trained(file: Path, dataset: str) -> World:
    """A saved model, and the embeddings of test rows."""
    from xmcbench.data import load

    weights = read_npz(file)
    model = rebuild(weights, EliasParams(), Source.load(file.parent, EliasParams(), weights))
    rows = model.encoder.rows(load(dataset).test_inputs().rows(slice(0, ROWS)))
    with torch.no_grad():
        queries = model.encoder(rows.batch(np.arange(len(rows)), "cpu"))
    return World(model, queries, sizes(EliasParams(), model.n_labels).shortlist)


def straight(world: World, log_entries: Tensor, k: int, rows: int) -> tuple[Tensor, Tensor]:
    """(n, k) labels and scores, as one writes it in torch."""
    model = world.model
    shown = []
    for queries in world.queries.split(rows):
        logits = queries @ model.cluster_weight.T + model.cluster_bias
        log_s, clusters = (logits.log_softmax(dim=1) + math.log(model.alpha)).clamp(max=0).topk(BEAM, dim=1)
        labels = model.entries[clusters].flatten(1)
        paths = (log_s[:, :, None] + log_entries[clusters]).flatten(1)
        table = paths.new_full((len(queries), model.n_labels + 1), -torch.inf)
        table.scatter_reduce_(1, labels, paths, "amax")
        log_q, labels = table[:, :-1].topk(world.size, dim=1)
        z = torch.bmm(model.label_weight[labels], queries[:, :, None])[:, :, 0] + model.label_bias[labels]
        p, best = (log_q + F.logsigmoid(z)).exp().topk(k, dim=1)
        shown.append((labels.gather(1, best), p))
    return torch.cat([labels for labels, _ in shown]), torch.cat([p for _, p in shown])


def in_chunks(world: World, k: int) -> tuple[Tensor, Tensor]:
    """The plugin's full form in torch: ours on a GPU, and what ours is checked against on a CPU."""
    shown = []
    for start in range(0, len(world.queries), 256):
        queries = world.queries[start : start + 256]
        batch = embedded_batch(len(queries), str(queries.device))
        labels, p = score(world.model, queries, batch, BEAM, world.size)
        p, best = torch.where(labels < world.model.n_labels, p, -1.0).topk(k, dim=1)
        shown.append((labels.gather(1, best), p))
    return torch.cat([labels for labels, _ in shown]), torch.cat([p for _, p in shown])


def check(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> None:
    """Assert the same scores, and the same labels but where a neighbour in the order scores the same."""
    (ids, p), (other_ids, other_p) = ([x.cpu() for x in side] for side in (one, other))
    torch.testing.assert_close(p, other_p, rtol=ROUNDING, atol=1e-30)
    close = torch.zeros_like(ids, dtype=torch.bool)
    for step in (-1, 1):
        close |= torch.isclose(p, p.roll(step, 1), rtol=2 * ROUNDING, atol=1e-30)
    close[:, -1] = True  # its neighbour was cut off
    assert not bool(((ids != other_ids) & ~close).any()), "the two forms show different labels"


def seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall seconds of each call, in turns so that a slow spell of the machine meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def one_by_one(work: Callable[[int], object]) -> float:
    """p50 of a single query, in milliseconds."""
    works = [lambda i=i: work(i) for i in range(min(SINGLE, ROWS))]
    return statistics.median(seconds(works, 1)) * 1e3


@torch.no_grad()
def measure(world: World, repeats: int) -> dict[str, object]:
    model = world.model
    on_cpu = world.queries.device.type == "cpu"
    log_entries = model.log_entries()
    start = time.perf_counter()
    searcher = Searcher(model) if on_cpu else None
    result: dict[str, object] = {"name": "elias_search", "index_seconds": time.perf_counter() - start}

    def ours(queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        if searcher is None:
            return in_chunks(World(model, queries, world.size), k)
        top = searcher(queries.numpy(), k, BEAM, world.size)
        return torch.from_numpy(top.ids).long(), torch.from_numpy(top.scores)

    tries = [lambda rows=rows: straight(world, log_entries, 10, rows) for rows in (1, 8, 32, 128)]
    rows = (1, 8, 32, 128)[int(np.argmin(seconds(tries, 1)))]
    result["straight_rows"] = rows
    for k in (10, 100):
        shown = ours(world.queries, k)
        full = in_chunks(world, k)
        check(shown, full)
        result[f"rounded_places_{k}"] = float((shown[0].cpu() != full[0].cpu()).float().mean())
        other_places = (shown[0] != straight(world, log_entries, k, rows)[0]).float().mean()
        assert other_places < 0.01, f"{other_places:.1%} of the straight form's labels are others"
        result[f"other_places_{k}"] = float(other_places)
        mine, other = seconds(
            [lambda k=k: ours(world.queries, k), lambda k=k: straight(world, log_entries, k, rows)], repeats
        )
        result[f"ours_ms_{k}"], result[f"straight_ms_{k}"] = (1e3 * s / len(world.queries) for s in (mine, other))
        result[f"ratio_{k}"] = other / mine
        result[f"one_query_ms_{k}"] = one_by_one(lambda i, k=k: ours(world.queries[i : i + 1], k))
    result["ratio"] = result["ratio_10"]
    if searcher is not None:
        whole = searcher(world.queries.numpy(), world.size, BEAM, world.size)  # nothing to stop early for
        assert whole.share == 1
        for k in (5, 10, 100):
            top = searcher(world.queries.numpy(), k, BEAM, world.size)
            result[f"share_scored_{k}"] = top.share
            assert np.array_equal(top.ids, whole.ids[:, :k]), "the early stop changed a label"
    return result


def extra_memory(world: World, side: str, rows: int) -> int:
    """Most bytes held beyond world and code while all queries are searched at k = 100; Linux only."""
    with torch.no_grad():
        log_entries = world.model.log_entries()
    small = World(world.model, world.queries[:2], world.size)
    Searcher(world.model)(small.queries.numpy(), 100, BEAM, world.size)
    with torch.no_grad():
        straight(small, log_entries, 100, 1)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        if side == "ours":
            Searcher(world.model)(world.queries.numpy(), 100, BEAM, world.size)
        else:
            straight(world, log_entries, 100, rows)
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="large")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dataset")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-only", choices=("ours", "straight"), help="print the bytes of one side and stop")
    parser.add_argument("--rows", type=int, default=8, help="rows at a time of the straight form, for --memory-only")
    options = parser.parse_args()
    if (options.model is None) != (options.dataset is None):
        parser.error("--model and --dataset belong together")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here; leave it away, or install torch with CUDA")
    return options


def main() -> None:
    options = arguments()
    threads = min(options.threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    world = trained(options.model, options.dataset) if options.model else drawn(SHAPES[options.shape])
    if options.memory_only:
        print(extra_memory(world, options.memory_only, options.rows))
        return
    if options.device == "cuda":
        world.model.to("cuda")
        world = World(world.model, world.queries.to("cuda"), world.size)
    result = measure(world, options.repeats)
    if options.device == "cpu":
        again = [sys.executable, *sys.argv, "--rows", str(result["straight_rows"]), "--memory-only"]
        ours, other = (
            int(subprocess.run([*again, side], check=True, capture_output=True, text=True).stdout)
            for side in ("ours", "straight")
        )
        result |= {"ours_bytes": ours, "straight_bytes": other, "memory_ratio": other / ours}
    if options.json:
        print(json.dumps(result))
        return
    clusters, width = world.model.entries.shape
    print(f"L {world.model.n_labels:,}, D {world.queries.shape[1]}, C {clusters:,}, row {width:,}, K {world.size:,}")
    for name, value in result.items():
        print(f"{name:20s} {value:.4g}" if isinstance(value, float) else f"{name:20s} {value}")


if __name__ == "__main__":
    main()
