"""What a fitted ELIAS tells of itself: what each stage brought, where labels went, what a wider beam costs.

Everything here is measured on test rows after the run's own predictions were scored; nothing goes back into a model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.encoders.bow import BowEncoder
from xmcbench.files import atomic, write_json
from xmcbench.metrics import difference
from xmcbench_elias.edges import edge_facts, label_scores
from xmcbench_elias.params import Sizes
from xmcbench_elias.predict import SHARE
from xmcbench_elias.whole import Whole

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs
    from xmcbench.metrics import Evaluation
    from xmcbench.topk import TopK

METRICS = ("P@1", "P@5", "PSP@1", "PSP@5", "R@10", "R@100")
BEAMS = (1, 2, 5, 10, 20, 40, 80)
K = 100  # labels a row: R@100 needs them
REPEATS = 3  # predictions a beam; the fastest counts, so that a stall of the machine is not taken for a wide beam
SCORED_AT = (5, 10, 100)  # labels asked for, at which the search says how much of its shortlist it had to score

Score = Callable[["TopK"], "Evaluation"]


@dataclass(frozen=True)
class Shown:
    """One query setting: its name, its metrics on test rows, and milliseconds a row in batch, scoring left out."""

    name: str
    evaluation: Evaluation
    ms: float


def report(
    whole: Whole, inputs: Inputs, score: Score, folder: Path, ctx: RunContext, predict: Any, size: Sizes
) -> None:
    """Write `report.md`, `report.json` and `beam.svg` into `folder`; `predict(inputs, k, ctx)` is the method's.

    Before the graph a cluster is a leaf; so many are searched there that stage 1 scores as many labels as the model.
    """

    def shown(name: str, repeats: int = 1, **query: Any) -> Shown:
        asked = replace(ctx, query={**ctx.query, **query})
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            top = predict(inputs, min(K, inputs.n_labels), asked)
            seconds.append(time.perf_counter() - start)
        return Shown(name, score(top), 1e3 * min(seconds) / max(inputs.n_rows, 1))

    clusters = len(whole.models[0].entries)
    reached = min(size.shortlist, int(ctx.query["beam"]) * whole.models[0].entries.shape[1])
    leaves = min(-(-reached // size.leaf), clusters)
    steps = [shown("stage1", output="stage1", beam=leaves)]
    steps += [shown(name, output=name) for name in outputs(whole)]
    # With a transformer nearly all of the time is its own, whatever the beam: no point in measuring that thrice.
    repeats = REPEATS if isinstance(whole.source.template, BowEncoder) else 1
    curve = [shown(str(beam), repeats, output="model", beam=beam) for beam in BEAMS if beam <= clusters]
    for k in SCORED_AT:
        predict(inputs, min(k, inputs.n_labels), replace(ctx, query={**ctx.query, "output": "model"}))
    told = {
        "stage1 searches": leaves,
        "steps": [_entry(step) for step in steps],
        "differences": [_difference(a, b) for a, b in pairwise(steps)],
        "beams": [_entry(at) for at in curve],
        SHARE: {str(k): ctx.notes[SHARE][str(k)] for k in SCORED_AT if str(k) in ctx.notes.get(SHARE, {})},
        "label scores": label_scores(whole, inputs, size, ctx),
        "edges": edge_facts(whole, inputs, score, size, ctx),
        "index": index_facts(whole),
        "clamped": [{key: epoch[key] for key in epoch if key != "loss"} for epoch in ctx.notes.get("epochs", [])],
    }
    write_json(folder / "report.json", told)
    if len(curve) > 1:
        draw(curve, folder / "beam.svg")
    with atomic(folder / "report.md") as file:
        file.write(_markdown(told, len(curve) > 1).encode())


def outputs(whole: Whole) -> list[str]:
    """What of the model, its ranker, its dual encoder and the final ranking was trained."""
    found = {"ranker": bool(whole.linear.methods), "dual": whole.dual is not None, "final": whole.fusion is not None}
    return ["model", *(name for name, trained in found.items() if trained)]


def index_facts(whole: Whole) -> dict[str, Any]:
    """Clusters a label can be found in, labels whose best cluster is another than before the graph, clamped entries."""
    model, first = whole.models[0], whole.first
    entries = model.entries.cpu().numpy()
    paths = np.bincount(entries[entries < model.n_labels], minlength=model.n_labels)
    owners, before = model.owners().cpu().numpy(), first.owners().cpu().numpy()
    return {
        "clusters": len(entries),
        "clusters a label, mean": float(paths.mean()),
        "clusters a label, quartiles": np.quantile(paths, [0.25, 0.5, 0.75]).tolist(),
        "labels in one cluster alone": float((paths == 1).mean()),
        "labels whose best cluster changed": float((owners != before).mean()),
        "adjacency entries at the clamp": model.clamped_share(),
    }


def _entry(shown: Shown) -> dict[str, Any]:
    values = shown.evaluation.fractions()
    return {"name": shown.name, "ms a row": shown.ms} | {name: values.get(name) for name in METRICS}


def _difference(a: Shown, b: Shown) -> dict[str, Any]:
    """b − a for each metric, with the 95 % interval of paired resamples of the test rows."""
    out: dict[str, Any] = {"from": a.name, "to": b.name}
    for name in METRICS:
        gap = difference(b.evaluation.rows, a.evaluation.rows, name)
        out[name] = None if gap is None else [gap.value, gap.low, gap.high]
    return out


def draw(curve: list[Shown], path: Path) -> None:
    """R@100 and P@1 against milliseconds a row, one point a beam."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    times = [at.ms for at in curve]
    for metric, marker in (("R@100", "o"), ("P@1", "s")):
        values = [100 * (at.evaluation.fractions()[metric] or 0.0) for at in curve]
        axes.plot(times, values, marker=marker, label=metric)
        for at, x, y in zip(curve, times, values, strict=True):
            axes.annotate(at.name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    axes.set(xlabel="milliseconds a row, in batch", ylabel="percent", title="Wider beams (the numbers)")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_formatter("{x:.3g}")
    axes.tick_params(axis="x", which="both", labelrotation=45)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic(path) as file:
        figure.savefig(file, format="svg")


def _markdown(told: dict[str, Any], curve: bool) -> str:
    lines = ["# ELIAS on test rows, stage by stage", "", "Percent; all settings of one fit.", ""]
    lines += _table(["", *METRICS, "ms a row"], [_row(entry) for entry in told["steps"]])
    lines += [
        "",
        f"stage1: before the graph, searching {told['stage1 searches']} clusters, so that it scores as many "
        "labels as the model; model: after the graph; ranker: linear classifiers alone; dual: the dual encoder alone; "
        "final: all of them.",
    ]
    lines += ["", "Differences in points, with 95 % intervals of paired resamples:", ""]
    gaps = [[f"{gap['to']} − {gap['from']}", *(_gap(gap[name]) for name in METRICS)] for gap in told["differences"]]
    lines += _table(["", *METRICS], gaps)
    lines += ["", "## The index", "", *(f"- {name}: {_number(value)}" for name, value in told["index"].items())]
    if told[SHARE]:
        shares = [f"{100 * share:.0f} % at k = {k}" for k, share in told[SHARE].items()]
        lines += ["", f"Before the exact stop the search scores of its shortlist {', '.join(shares)}."]
    lines += ["", "## Beams", "", *_table(["beam", *METRICS, "ms a row"], [_row(entry) for entry in told["beams"]])]
    if curve:
        lines += ["", "![P@1 and R@100 against time](beam.svg)"]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _row(entry: dict[str, Any]) -> list[str]:
    shown = ["–" if entry[name] is None else f"{100 * entry[name]:.2f}" for name in METRICS]
    return [entry["name"], *shown, f"{entry['ms a row']:.3f}"]


def _gap(value: list[float] | None) -> str:
    if value is None or value[0] is None:
        return "–"
    gap, low, high = (100 * part for part in value)
    return f"{gap:+.2f} ({low:+.2f} to {high:+.2f})"


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_number(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
