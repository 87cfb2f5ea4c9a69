"""`python -m tests.oracles.elias FILE.npz …`: this implementation against runs of the method made elsewhere.

`file.py` says what such a file holds, `stage.py` what these runs do their own way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xmcbench_elias.search.search import beam_search

from tests.oracles.elias.file import read
from tests.oracles.elias.stage import Stage
from xmcbench.errors import XmcError


def apart(ours: Tensor, known: Tensor) -> float:
    """Largest |ours − known| over max(1, largest |known|); infinite where shapes differ or a number is NaN."""
    if ours.shape != known.shape:
        return float("inf")
    if not known.numel():
        return 0.0
    off = (ours.detach().double() - known.double()).abs().max() / known.double().abs().max().clamp(min=1)
    return float("inf") if off.isnan() else off.item()


def apart_by_label(ours: tuple[Tensor, Tensor], known: tuple[Tensor, Tensor], n_labels: int) -> float:
    """The same for (labels, values), both (n, K), whatever their order in a row; infinite where labels differ."""
    sides = [_by_label(*side, n_labels) for side in (ours, known)]
    if not np.array_equal(sides[0][0], sides[1][0]):
        return float("inf")
    return apart(*(torch.from_numpy(values) for _, values in sides))


def _by_label(labels: Tensor, values: Tensor, n_labels: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(m, 2) row and label, and (m,) values, ascending, without padding."""
    ids, numbers = labels.numpy(), values.detach().numpy()
    rows, columns = np.nonzero(ids < n_labels)
    ids, numbers = ids[rows, columns], numbers[rows, columns]
    order = np.lexsort((numbers, ids, rows))
    return np.stack([rows, ids], axis=1)[order], numbers[order]


def differences(stage: Stage) -> Iterator[tuple[str, float]]:
    """(quantity, largest difference), the cheap ones first; the weights are the trained ones afterwards."""
    yield from of_scores(stage)
    yield from of_paths(stage)
    yield from of_losses(stage)
    yield from of_steps(stage)


def of_scores(stage: Stage) -> Iterator[tuple[str, float]]:
    """Cluster scores, the best of them, and the adjacency."""
    log_clusters, log_entries = stage.log_scores()
    scores, held = log_clusters.exp(), stage.entries < stage.n_labels
    yield "cluster scores", apart(scores, stage["eval/cluster_scores"])
    beam = beam_search(stage.logits().detach(), int(stage.numbers["in/beam_size"]))
    yield (
        "beam: scores of the best clusters",
        apart(scores.gather(1, beam), stage["eval/cluster_vals"].sort(1, True)[0]),
    )
    for part in ("eval", "train"):
        given = scores.gather(1, stage[f"{part}/cluster_inds"])
        yield f"beam: scores of the clusters given, {part}", apart(given, stage[f"{part}/cluster_vals"])
    yield "adjacency", apart(log_entries.exp()[held], stage["param/A_nz_vals"][held])


def of_paths(stage: Stage) -> Iterator[tuple[str, float]]:
    """Labels that the beam reaches with their path scores, labels kept with their probabilities, the five best."""
    for part in ("eval", "train"):
        clusters = stage[f"{part}/cluster_inds"]
        labels, log_paths, _ = stage.all_paths(clusters)
        known = stage[f"{part}/label_shortlist_inds"], stage[f"{part}/label_shortlist_vals"]
        yield f"paths, {part}", apart_by_label((labels, log_paths.exp()), known, stage.n_labels)
        if stage.number == 2:
            best = stage.best_paths(clusters)
            scores = torch.where(known[0] < stage.n_labels, known[1], 0).topk(best.shape[1], dim=1).values
            yield f"scores of the K best paths, {part}", apart(best, scores)
        kept = stage.probabilities(clusters)
        known = stage[f"{part}/topK_inds"], stage[f"{part}/topK_vals"]
        yield f"p of the labels kept, {part}", apart_by_label(kept, known, stage.n_labels)
        if part == "eval":
            top = stage["eval/top5_vals"].sort(1, True)[0]
            p = torch.where(kept[0] < stage.n_labels, kept[1], 0)
            yield "p of the five best", apart(p.topk(min(top.shape[1], p.shape[1]), dim=1).values, top)


def of_losses(stage: Stage) -> Iterator[tuple[str, float]]:
    """Both losses, their sum, and its gradients."""
    first, second = stage.losses()
    yield "classification loss", apart(first, stage["train/loss_classification"])
    yield "shortlist loss", apart(second, stage["train/loss_shortlist"])
    loss = stage.total()
    yield "loss", apart(loss, stage["train/loss"])
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in stage.weights.items():
        yield f"gradient of {name}", apart(_dense_gradient(weight), stage[f"train/grad/{name}"])
        weight.grad = None


def of_steps(stage: Stage) -> Iterator[tuple[str, float]]:
    """Losses on the way, and the weights at the end of it: torch's AdamW on the one batch, decay on all but biases."""
    weights = stage.weights
    groups = [
        {"params": [weight for name, weight in weights.items() if "bias" not in name], "weight_decay": 0.01},
        {"params": [weight for name, weight in weights.items() if "bias" in name], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.999), eps=1e-8)
    trace = []
    for _ in range(len(stage.numbers["train/trace"])):
        loss = stage.total()
        trace.append(loss.item())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for weight in weights.values():
            weight.grad = _dense_gradient(weight)
        optimiser.step()
    yield f"losses of {len(trace)} steps", apart(torch.tensor(trace, dtype=torch.float64), stage["train/trace"])
    yield "WC.weight after them", apart(weights["WC.weight"], stage["train/trace_final_WC.weight"])


def _dense_gradient(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad.to_dense()


def show(path: Path) -> bool:
    """Print a line a quantity; are all within tolerance?"""
    good = True
    for stage in (Stage(number, arrays) for number, arrays in enumerate(read(path), start=1)):
        print(f"{path.name}, stage {stage.number}, {str(stage.dtype)[6:]}, tolerance {stage.tolerance:g}")
        for name, off in differences(stage):
            good &= off <= stage.tolerance
            print(f"  {name:<44}{off:10.1e}{'' if off <= stage.tolerance else '   past tolerance'}")
    return good


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 all within tolerance, 1 something past it, 2 wrong usage, 4 not such a file."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.oracles.elias",
        description="Largest difference of every quantity of ELIAS from runs made elsewhere: |ours - theirs| over "
        "max(1, largest |theirs|). Tolerance 1e-6 where a file is in float32, 1e-10 in float64, all steps included.",
        epilog="Exit codes: 0 within tolerance, 1 past it, 2 wrong usage, 4 a file is missing, damaged or no oracle.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    files = parser.parse_args(arguments).files
    try:
        return 0 if all([show(path) for path in files]) else 1
    except XmcError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
