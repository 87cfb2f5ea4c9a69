"""What each stage of ELIAS contributed: a sentence for each, from the steps and differences of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xmcbench.board.cells import percent
from xmcbench_elias.results.cells import interval

SHOWN = ("P@1", "R@100")
WHAT = {
    ("stage1", "model"): "Stage 2, which learns the graph, compared with stage 1 at equally many label scores",
    ("model", "ranker"): "The ranker, linear classifiers alone, compared with the network",
    ("model", "dual"): "The dual encoder alone, compared with the network",
    ("model", "final"): "The final ranking, which combines the parts, compared with the network",
}


def contributions(steps: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences in the order of the stages; `steps` and `differences` as in `report.json`."""
    first = steps[0]
    values = " and ".join(f"{metric} {percent(first[metric])}" for metric in SHOWN)
    sentences = [f"Stage 1, which trains the network with the clustering as its index, reaches {values}."]
    for pair in differences:
        parts = [_change(metric, pair[metric]) for metric in SHOWN]
        sentences.append(f"{WHAT[pair['from'], pair['to']]}: {'; '.join(parts)}.")
    return sentences


def _change(metric: str, gap: Sequence[float | None] | None) -> str:
    """The change of a metric in words: its direction is stated if 0 is outside the interval."""
    value, low, high = gap or (None, None, None)
    if value is None or low is None or high is None:
        return f"{metric} unknown"
    word = "higher" if low > 0 else "lower" if high < 0 else "not clearly different"
    return f"{metric} {word}, {interval(value, low, high)} points"
