"""The report of a fitted ELIAS: the gain of each stage, statistics of the index, and the cost of wider beams.

Everything here is measured on test rows after the run's predictions were scored and does not affect the model.
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
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.params import Sizes
from xmcbench_elias.results.edges import edge_facts, label_scores
from xmcbench_elias.search.predict import SHARE

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs
    from xmcbench.metrics import Evaluation
    from xmcbench.topk import TopK

METRICS = ("P@1", "P@5", "PSP@1", "PSP@5", "R@10", "R@100")
BEAMS = (1, 2, 5, 10, 20, 40, 80)
K = 100  # labels per row, for R@100
REPEATS = 3  # predictions per beam; the fastest counts, which removes interruptions by other processes
SCORED_AT = (5, 10, 100)  # numbers of labels for which the scored share of the shortlist is reported

Score = Callable[["TopK"], "Evaluation"]


@dataclass(frozen=True)
class QuerySetting:
    """One query setting: its name, its metrics on test rows, and milliseconds per row in batch without evaluation."""

    name: str
    evaluation: Evaluation
    ms: float


def report(
    fitted: FittedModel, inputs: Inputs, score: Score, folder: Path, ctx: RunContext, predict: Any, size: Sizes
) -> None:
    """Write `report.md`, `report.json` and `beam.svg` into `folder`; `predict(inputs, k, ctx)` is the method's.

    In stage 1 a cluster is a leaf; its beam is chosen so that it scores as many labels as the model.
    """

    def evaluated(name: str, repeats: int = 1, **query: Any) -> QuerySetting:
        query_ctx = replace(ctx, query={**ctx.query, **query})
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            top = predict(inputs, min(K, inputs.n_labels), query_ctx)
            seconds.append(time.perf_counter() - start)
        return QuerySetting(name, score(top), 1e3 * min(seconds) / max(inputs.n_rows, 1))

    clusters = len(fitted.models[0].entries)
    reached = min(size.shortlist, int(ctx.query["beam"]) * fitted.models[0].entries.shape[1])
    leaves = min(-(-reached // size.leaf), clusters)
    steps = [evaluated("stage1", output="stage1", beam=leaves)]
    steps += [evaluated(name, output=name) for name in outputs(fitted)]
    # A transformer takes nearly all of the time, whatever the beam, so its predictions are not repeated.
    repeats = REPEATS if isinstance(fitted.source.template, BowEncoder) else 1
    curve = [evaluated(str(beam), repeats, output="model", beam=beam) for beam in BEAMS if beam <= clusters]
    for k in SCORED_AT:
        predict(inputs, min(k, inputs.n_labels), replace(ctx, query={**ctx.query, "output": "model"}))
    content = {
        "stage1 searches": leaves,
        "steps": [_entry(step) for step in steps],
        "differences": [_difference(a, b) for a, b in pairwise(steps)],
        "beams": [_entry(setting) for setting in curve],
        SHARE: {str(k): ctx.notes[SHARE][str(k)] for k in SCORED_AT if str(k) in ctx.notes.get(SHARE, {})},
        "label scores": label_scores(fitted, inputs, size, ctx),
        "edges": edge_facts(fitted, inputs, score, size, ctx),
        "index": index_facts(fitted),
        "clamped": [{key: epoch[key] for key in epoch if key != "loss"} for epoch in ctx.notes.get("epochs", [])],
    }
    write_json(folder / "report.json", content)
    if len(curve) > 1:
        draw(curve, folder / "beam.svg")
    with atomic(folder / "report.md") as file:
        file.write(_markdown(content, len(curve) > 1).encode())


def outputs(fitted: FittedModel) -> list[str]:
    """Names of the outputs whose parts were trained."""
    parts = {"ranker": bool(fitted.linear.methods), "dual": fitted.dual is not None, "final": fitted.fusion is not None}
    return ["model", *(name for name, trained in parts.items() if trained)]


def index_facts(fitted: FittedModel) -> dict[str, Any]:
    """Statistics of the index: clusters per label, labels whose best cluster has changed, clamped entries."""
    model, first = fitted.models[0], fitted.first
    entries = model.entries.cpu().numpy()
    paths = np.bincount(entries[entries < model.n_labels], minlength=model.n_labels)
    owners, stage_1_owners = model.owners().cpu().numpy(), first.owners().cpu().numpy()
    return {
        "clusters": len(entries),
        "clusters a label, mean": float(paths.mean()),
        "clusters a label, quartiles": np.quantile(paths, [0.25, 0.5, 0.75]).tolist(),
        "labels in one cluster alone": float((paths == 1).mean()),
        "labels whose best cluster changed": float((owners != stage_1_owners).mean()),
        "adjacency entries at the clamp": model.clamped_share(),
    }


def _entry(setting: QuerySetting) -> dict[str, Any]:
    values = setting.evaluation.fractions()
    return {"name": setting.name, "ms a row": setting.ms} | {name: values.get(name) for name in METRICS}


def _difference(a: QuerySetting, b: QuerySetting) -> dict[str, Any]:
    """b − a for each metric, with the 95 % interval of paired resamples of the test rows."""
    out: dict[str, Any] = {"from": a.name, "to": b.name}
    for name in METRICS:
        gap = difference(b.evaluation.rows, a.evaluation.rows, name)
        out[name] = None if gap is None else [gap.value, gap.low, gap.high]
    return out


def draw(curve: list[QuerySetting], path: Path) -> None:
    """Plot R@100 and P@1 against milliseconds per row, one point per beam."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    times = [setting.ms for setting in curve]
    for metric, marker in (("R@100", "o"), ("P@1", "s")):
        values = [100 * (setting.evaluation.fractions()[metric] or 0.0) for setting in curve]
        axes.plot(times, values, marker=marker, label=metric)
        for setting, x, y in zip(curve, times, values, strict=True):
            axes.annotate(setting.name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    axes.set(xlabel="milliseconds per row, in batch", ylabel="percent", title="Beam widths")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_formatter("{x:.3g}")
    axes.tick_params(axis="x", which="both", labelrotation=45)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic(path) as file:
        figure.savefig(file, format="svg")


def _markdown(content: dict[str, Any], curve: bool) -> str:
    lines = ["# ELIAS on test rows, stage by stage", "", "Values are percent; all settings share one fit.", ""]
    lines += _table(["", *METRICS, "ms per row"], [_row(entry) for entry in content["steps"]])
    lines += [
        "",
        f"stage1: the network before the graph, searching {content['stage1 searches']} clusters, so that it scores as "
        "many labels as the model; model: the network after the graph; ranker: linear classifiers alone; dual: the "
        "dual encoder alone; final: all of them.",
    ]
    lines += ["", "Differences in points, with 95 % intervals of paired resamples:", ""]
    gaps = [[f"{gap['to']} − {gap['from']}", *(_gap(gap[name]) for name in METRICS)] for gap in content["differences"]]
    lines += _table(["", *METRICS], gaps)
    lines += ["", "## The index", "", *(f"- {name}: {_number(value)}" for name, value in content["index"].items())]
    if content[SHARE]:
        shares = [f"{100 * share:.0f} % at k = {k}" for k, share in content[SHARE].items()]
        lines += ["", f"Share of the shortlist that the search scores before it stops: {', '.join(shares)}."]
    lines += [
        "",
        "## Beams",
        "",
        *_table(["beam", *METRICS, "ms per row"], [_row(entry) for entry in content["beams"]]),
    ]
    if curve:
        lines += ["", "![P@1 and R@100 against time](beam.svg)"]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _row(entry: dict[str, Any]) -> list[str]:
    values = ["–" if entry[name] is None else f"{100 * entry[name]:.2f}" for name in METRICS]
    return [entry["name"], *values, f"{entry['ms a row']:.3f}"]


def _gap(value: list[float] | None) -> str:
    if value is None or value[0] is None:
        return "–"
    gap, low, high = (100 * part for part in value)
    return f"{gap:+.2f} ({low:+.2f} to {high:+.2f})"


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_number(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
