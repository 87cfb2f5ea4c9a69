"""The report of a fitted ELIAS: the gain of each stage, statistics of the index, and the cost of wider beams.

Everything here is measured on test rows after the run's predictions were scored and does not affect the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from xmcbench.board.cells import NONE, percent
from xmcbench.context import RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.escaping import markdown
from xmcbench.files import atomic, write_json
from xmcbench.method import Inputs
from xmcbench.metrics import Evaluation, difference
from xmcbench.topk import TopK
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.params import Sizes
from xmcbench_elias.results.cells import grid, interval
from xmcbench_elias.results.contributions import contributions
from xmcbench_elias.results.edges import edge_facts, index_facts, label_scores
from xmcbench_elias.results.report_figures import draw_beams, draw_learning
from xmcbench_elias.results.report_file import Gap, Report
from xmcbench_elias.search.predict import SHARE

METRICS = ("P@1", "P@5", "PSP@1", "PSP@5", "R@10", "R@100")
BEAMS = (2, 5, 10, 20, 40)
K = 100  # labels per row, for R@100
REPEATS = 3  # predictions per beam; the fastest counts, which removes interruptions by other processes
SCORED_AT = (5, 10, 100)  # numbers of labels for which the scored share of the shortlist is reported

Score = Callable[[TopK], Evaluation]
Predict = Callable[[Inputs, int, RunContext], TopK]


@dataclass(frozen=True)
class QuerySetting:
    """One query setting: its name, its metrics on test rows, and milliseconds per row in batch without evaluation."""

    name: str
    evaluation: Evaluation
    ms: float

    def values(self) -> dict[str, float | None]:
        """`METRICS`, as fractions."""
        fractions = self.evaluation.fractions()
        return {name: fractions.get(name) for name in METRICS}

    def entry(self) -> dict[str, str | float | None]:
        """The entry of `report.json`."""
        return {"name": self.name, "ms a row": self.ms, **self.values()}


def report(
    fitted: FittedModel, inputs: Inputs, score: Score, folder: Path, ctx: RunContext, predict: Predict, size: Sizes
) -> None:
    """Write `report.md`, `report.json`, `beam.svg` and `learning.svg` into `folder`; `predict` is the method's.

    In stage 1 a cluster is a leaf; its beam is chosen so that it scores as many labels as the model.
    """

    def evaluated(name: str, repeats: int = 1, **query: object) -> QuerySetting:
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
    trained = {"ranker": fitted.linear.methods, "dual": fitted.dual, "final": fitted.fusion}
    outputs = ["model", *(name for name, part in trained.items() if part)]
    steps = [evaluated("stage1", output="stage1", beam=leaves), *(evaluated(name, output=name) for name in outputs)]
    # The network alone is fast enough to repeat, unless a transformer takes nearly all of its time.
    output, default = steps[-1].name, int(ctx.query["beam"])
    repeats = REPEATS if output == "model" and isinstance(fitted.source.template, BowEncoder) else 1
    curve = [
        replace(steps[-1], name=str(beam))
        if (beam, repeats) == (default, 1)
        else evaluated(str(beam), repeats, output=output, beam=beam)
        for beam in sorted({default, *BEAMS})
        if beam <= clusters
    ]
    for k in SCORED_AT:
        predict(inputs, min(k, inputs.n_labels), replace(ctx, query={**ctx.query, "output": "model"}))
    content = Report(
        edges=edge_facts(fitted, inputs, score, size, ctx),
        label_scores=label_scores(fitted, inputs, size, ctx),
        shares={str(k): ctx.notes[SHARE][str(k)] for k in SCORED_AT if str(k) in ctx.notes.get(SHARE, {})},
        stage1_searches=leaves,
        steps=[step.entry() for step in steps],
        beams=[setting.entry() for setting in curve],
        differences=[_difference(steps[0], steps[1]), *(_difference(steps[1], step) for step in steps[2:])],
        index=index_facts(fitted),
        clamped=[{key: epoch[key] for key in epoch if key != "loss"} for epoch in ctx.notes.get("epochs", [])],
    )
    write_json(folder / "report.json", msgspec.to_builtins(content))
    subject = ctx.run_name or "elias"
    if len(curve) > 1:
        draw_beams(content.beams, subject, folder / "beam.svg")
    learned = draw_learning(ctx.notes, subject, folder / "learning.svg")
    with atomic(folder / "report.md") as file:
        file.write(_markdown(content, steps, curve, subject, learned).encode())


def _difference(a: QuerySetting, b: QuerySetting) -> dict[str, str | Gap | None]:
    """b − a for each metric, with the 95 % interval of paired resamples of the test rows."""
    gaps = {name: difference(b.evaluation.rows, a.evaluation.rows, name) for name in METRICS}
    values = {name: None if gap is None else (gap.value, gap.low, gap.high) for name, gap in gaps.items()}
    return {"from": a.name, "to": b.name, **values}


def _markdown(
    content: Report, steps: Sequence[QuerySetting], curve: Sequence[QuerySetting], subject: str, learned: bool
) -> str:
    n_rows = len(steps[0].evaluation.rows["P@1"])

    def rows(settings: Sequence[QuerySetting]) -> list[list[str]]:
        return [[one.name, *map(percent, one.values().values()), f"{one.ms:.3f}"] for one in settings]

    def gap(value: str | Gap | None) -> str:
        return interval(*value) if isinstance(value, tuple) else NONE

    differences = [
        [f"{pair['to']} − {pair['from']}", *(gap(pair[name]) for name in METRICS)] for pair in content.differences
    ]
    shares = [f"{100 * share:.0f} % at k = {k}" for k, share in content.shares.items()]
    scored = f"Share of the shortlist that the search scores before it stops: {', '.join(shares)}."
    lines = [
        f"# ELIAS, stage by stage: {markdown(subject)}",
        "",
        *(f"- {sentence}" for sentence in contributions(content.steps, content.differences)),
        "",
        f"Values are percent, on {n_rows:,} test rows; all settings share one fit.",
        "",
        *grid(["", *METRICS, "ms per row"], rows(steps)),
        "",
        f"stage1: the network before the graph, searching {content.stage1_searches} clusters, so that it scores as "
        "many labels as the model; model: the network after the graph; ranker: linear classifiers alone; dual: the "
        "dual encoder alone; final: all of them.",
        "",
        "Differences in points, with 95 % intervals of paired resamples:",
        "",
        *grid(["", *METRICS], differences),
        "",
        *(["## Learning curve", "", "![Loss and validation score of each epoch](learning.svg)", ""] if learned else []),
        "## The index",
        "",
        *(f"- {name}: {_number(value)}" for name, value in content.index.items()),
        *(["", scored] if shares else []),
        "",
        "## Beams",
        "",
        f"Output: {steps[-1].name}. A beam is the number of clusters that are searched for a row.",
        "",
        *grid(["beam", *METRICS, "ms per row"], rows(curve)),
        *(["", "![P@1 and R@100 against time](beam.svg)"] if len(curve) > 1 else []),
    ]
    return "\n".join(lines) + "\n"


def _number(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_number, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
