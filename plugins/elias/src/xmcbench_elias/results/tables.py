"""The sections of RESULTS.md."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from xmcbench.board.cells import NONE, cost, percent
from xmcbench.escaping import code, markdown
from xmcbench.metrics.deciles import PARTS, titles
from xmcbench_elias.results import plan as plans
from xmcbench_elias.results import text as texts
from xmcbench_elias.results.cells import below, difference, grid, interval, marked, mixed, name_of, plain, row
from xmcbench_elias.results.figure import CUTS, alt, draw, panel
from xmcbench_elias.results.plan import STEPS, Board, Plan, command, elias
from xmcbench_elias.results.report_file import Edges, Report
from xmcbench_elias.results.runs import METRICS, NOT_KEPT, NOT_RUN, Measured, Results

CONTROL = ("P@1", "PSP@5", "R@100")


class Document:
    """Builds RESULTS.md from one results folder."""

    def __init__(self, results: Results, plan: Plan) -> None:
        self.results, self.plan = results, plan
        self.machines: dict[tuple[str, int | None], int] = {}  # (machine class, threads) → number

    def text(self, figure: Path) -> str:
        """The text of the file; DataError if the figure cannot be written.

        The figure is written to `figure` if there are predictions for it.
        """
        body = [*self.stages(), *self.control(), *self.sweeps(), *self.edges(), *self.recall(figure)]
        return "\n".join([*self.head(), *body]).rstrip("\n") + "\n"

    def head(self) -> list[str]:
        """Sources of the file; call it last, since other sections register runs and machines."""
        used = self.results.used.values()
        elias_runs = [run for run in used if run.method.name == "elias"]
        versions = []
        for version in sorted({str(run.method.version) for run in elias_runs}):
            runs = [run for run in elias_runs if str(run.method.version) == version]
            commits = sorted({str(run.code.commit or "unknown")[:12] for run in runs})
            versions.append(markdown(f"{version} ({len(runs)} records, commits {', '.join(commits)})"))
        folder = self.results.store.folder
        source = code(f"python -m xmcbench_elias.results {folder.resolve().name}")
        lines = [
            "# ELIAS: results",
            "",
            f"Made by {source} from {len(used)} of {len(self.results.records)} records; `--runs` prints the commands "
            "that create them. Values from the paper are marked; all others are from these records.",
            "",
            f"- **Version** of elias: {'; '.join(versions) or NOT_RUN}.",
        ]
        if any(run.code.dirty for run in used):
            lines.append("- Some runs are from a source tree with uncommitted changes.")
        for (machine, threads), number in self.machines.items():
            lines.append(f"- **Machine {number}**: {markdown(machine)}" + (f", {threads} threads." if threads else "."))
        lines += texts.READING.split("\n")
        if self.results.left_out:
            lines += ["", "Left out:", ""]
            lines += [
                f"- {markdown(_without_folders(text.replace(f'{folder}/', '')))}" for text in self.results.left_out
            ]
        return [*lines, ""]

    def stages(self) -> list[str]:
        """Tables 3 and 8 of the paper, for every board."""
        lines = ["## What each part adds", "", "As tables 3 and 8 of the paper."]
        pairs = [*pairwise([*STEPS.values(), plans.MEMBERS]), (plans.NO_INDEX, STEPS["model"])]
        for board in self.plan.boards:
            everything = marked([self._measured(title, text, board) for title, text in plans.steps().items()])
            rows = dict(zip(plans.steps(), everything, strict=True))
            names = [name for name in METRICS if name != "R@20" or any(name in one.values for one in everything)]
            head = ["", "seeds", *names, "label scores", "fit s", "ms a row", "machine"]
            cells = [[*row(one, names), *(self._costs(one) if one.runs else [])] for one in everything]
            gaps = [difference(rows[a], rows[b], names) for a, b in pairs]
            lines += ["", f"### {name_of(board)}", "", *_counts(everything), *grid(head, cells), ""]
            lines += [*grid(["B − A", "seeds", *names], gaps), *self._equal_scores(board)]
            lines += _block([*mixed(everything), *below(everything, board, self.plan.seeds)])
        return [*lines, ""]

    def control(self) -> list[str]:
        """The learned graph compared with the tree's index."""
        wanted = {"clusters of the tree": plans.TREE, "learned graph": plans.GRAPH}
        boards = self.plan.control
        rows = [self._measured(title, text, board) for board in boards for title, text in wanted.items()]
        cells, under, rows = [], mixed(rows), marked(rows)
        for tree, graph in zip(rows[::2], rows[1::2], strict=True):
            lines = [row(tree, CONTROL), row(graph, CONTROL), difference(tree, graph, CONTROL)]
            cells += [[name_of(tree.board), *line] for line in lines]
            under += below([tree, graph], tree.board, self.plan.seeds)
        return [
            "## A learned graph or the clusters of the tree",
            "",
            f"The network alone, both stages of the same length: {code(plans.GRAPH)} against {code(plans.TREE)}, whose "
            "second stage searches the clusters of the first.",
            "",
            *grid(["data set", "", "seeds", *CONTROL], cells),
            *_block(under),
            "",
        ]

    def sweeps(self) -> list[str]:
        """Table 7 of the paper."""
        lines = ["## λ and κ", "", "As table 7 of the paper, the network alone.", "", texts.SWEEPS]
        for board in self.plan.studied:
            lines += self._sweep(board, "shortlist_weight", "λ", self.plan.weights, texts.BY_WEIGHT)
            lines += self._sweep(board, "row_leaves", "κ", self.plan.leaves, texts.BY_LEAVES)
        return [*lines, ""]

    def _sweep(
        self, board: Board, name: str, symbol: str, values: Sequence[float], printed: dict[float, tuple[float, ...]]
    ) -> list[str]:
        seeds = self.plan.sweep_seeds
        rows = marked([self.results.measured(f"{value:g}", plans.swept(name, value), board, seeds) for value in values])
        cells = []
        for value, one in zip(values, rows, strict=True):
            title, *ours = row(one, texts.SWEPT)
            empty = [""] * (1 + len(texts.SWEPT) - len(ours))
            paper = [f"{number:g}" if at == 0 else f"{number:.2f}" for at, number in enumerate(printed.get(value, ()))]
            cells.append([title, _own_value(one, name, value), *ours, *empty, *paper])
        paper_head = [f"{what} ({texts.OTHER})" for what in (symbol, *texts.SWEPT)]
        lines = grid([code(name), symbol, "seeds", *texts.SWEPT, *paper_head], cells)
        under = [*mixed(rows), *below(rows, board, seeds)]
        return ["", f"### {name_of(board)}: {code(name)}", "", *lines, *_block(under)]

    def edges(self) -> list[str]:
        """Table 9 of the paper, from reports."""
        lines = ["## Edges", "", "As table 9 of the paper.", "", texts.EDGES]
        for board in self.plan.studied:
            rows, reports = self._base(board)
            with_edges = [(seed, report.edges) for seed, report in reports.items() if report.edges and report.edges.cut]
            lines += ["", f"### {name_of(board)}: edges", ""]
            if with_edges:
                lines += _edge_tables(with_edges)
            elif any(one.runs for one in rows):
                lines.append(f"{NOT_KEPT}: the reports of these runs are missing, or lack these numbers.")
            else:
                lines.append(f"{NOT_RUN}: {code(command([elias()], board, self.plan.seeds))}")
        return [*lines, ""]

    def recall(self, figure: Path) -> list[str]:
        """Figure 5 of the paper, and its numbers."""
        lines = ["## Recall by how frequent labels are", "", texts.FIGURE, ""]
        wanted = {f"elias, {plain(title)}": elias(output=name) for name, title in STEPS.items()}
        wanted |= {name: name for name in plans.OTHERS}
        boards = self.plan.studied
        everything = [self._measured(title, text, board) for board in boards for title, text in wanted.items()]
        panels, under = [], []
        for board in boards:
            rows = [one for one in marked(everything) if one.board == board]
            panels.append(panel(self.results, board, rows))
            under.append(below(rows, board, self.plan.seeds))
        drawn = [one for one in panels if one.lines]
        if drawn:
            draw(drawn, figure)
            lines += [f"![{markdown(alt(drawn))}]({figure.name})", ""]
        else:
            lines += [f"No figure: the predictions of these runs are {NOT_KEPT}, or they were {NOT_RUN}.", ""]
        lines += [*mixed(everything), ""] if mixed(everything) else []
        for one, missing in zip(panels, under, strict=True):
            for k in CUTS:
                head = [f"{name_of(one.board)}, R@{k}", *_titles(one.ranges)]
                cells = [[markdown(t), *(percent(float(x)) for x in values[k])] for t, values in one.lines.items()]
                cells += [[markdown(title), markdown(why)] for title, why in one.absent.items()]
                lines += [*grid(head, cells), ""]
            lines += [*missing, ""] if missing else []
        return lines

    def _measured(self, title: str, text: str, board: Board) -> Measured:
        return self.results.measured(title, text, board, self.plan.seeds)

    def _base(self, board: Board) -> tuple[list[Measured], dict[int | None, Report]]:
        """The rows that share the fit of `elias`, and the reports of the newest version by seed."""
        rows = [self._measured(title, elias(output=name), board) for name, title in STEPS.items()]
        newest = max((one.version or "" for one in rows), key=lambda text: (len(text), text))
        reports: dict[int | None, Report] = {}
        for one in rows:
            if one.version == newest:
                reports |= {seed: report for seed, report in self.results.reports(one).items() if seed not in reports}
        return rows, dict(sorted(reports.items(), key=lambda item: item[0] or 0))

    def _equal_scores(self, board: Board) -> list[str]:
        """Stage 2 − stage 1 with a beam of stage 1 such that both score as many labels."""
        for seed, report in self._base(board)[1].items():
            if (gaps := report.stage2()) and report.stage1_searches:
                differences = ", ".join(f"{name} {interval(*gap)}" for name, gap in gaps.items())
                return [
                    "",
                    f"With {report.stage1_searches} clusters searched in stage 1, so that both score as many labels, "
                    f"stage 2 − stage 1 is {differences} (seed {seed}; intervals over single rows).",
                ]
        return []

    def _label_scores(self, one: Measured) -> str:
        parameters = one.runs[0].method.parameters
        if parameters.get("index") == "none":
            return f"{one.runs[0].dataset.n_labels:,}"
        output = parameters.get("output")
        if output not in STEPS:
            return NONE
        which = output if output in ("stage1", "model") else "shortlist"
        reports = self.results.reports(one).values()
        means = [report.label_scores[which] for report in reports if which in report.label_scores]
        return f"{statistics.fmean(means):,.0f}" if means else NOT_KEPT

    def _costs(self, one: Measured) -> list[str]:
        """Label scores, fit seconds, milliseconds per row, and the machine's number."""
        if one.costs is None:
            return [self._label_scores(one), *[NONE] * 3]
        number = self.machines.setdefault((one.costs.machine, one.costs.threads), len(self.machines) + 1)
        times = [text.replace("*", "\\*") for text in cost(one.costs)[:2]]
        return [self._label_scores(one), *times, str(number)]


def _own_value(one: Measured, name: str, value: float) -> str:
    """λ or κ of our run, from its record, since they depend on the number of labels."""
    settings = one.runs[0].notes.get("settings", {}) if one.runs else {}
    size = settings.get("kappa" if name == "row_leaves" else "shortlist")
    if not size:
        return NONE
    return f"{size:,}" if name == "row_leaves" else f"{value / size:.2g}"


def _edge_tables(by_seed: Sequence[tuple[int | None, Edges]]) -> list[str]:
    """The tables of one board from the statistics of its seeds."""
    everything, cells = [edges for _, edges in by_seed], []
    for cut in everything[0].cut:
        same = [other for edges in everything for other in edges.cut if other.threshold == cut.threshold]
        columns = zip(*((other.share_cut, other.p1, other.r10, other.r100) for other in same), strict=True)
        paper = [f"{number:g}" for number in texts.BY_THRESHOLD.get(cut.threshold, ())]
        means = [percent(_mean(column)) for column in columns]
        cells.append([f"{cut.threshold:g}" if cut.threshold else "none", *means, *paper])
    head = ["threshold", "edges cut", "P@1", "R@10", "R@100"]
    head += [f"{what} ({texts.OTHER})" for what in ("edges cut", "P@1", "R@100")]
    ranges = [(part.fewest, part.most) for part in everything[0].deciles]
    clusters = [_mean([edges.deciles[at].clusters for edges in everything]) for at in range(len(ranges))]
    numbers = ["clusters a label", *(NONE if mean is None else f"{mean:.2f}" for mean in clusters)]
    kept = percent(_mean([edges.stage1_kept for edges in everything]))
    return [
        *grid(head, cells),
        "",
        f"Percent, means over seeds {', '.join(str(seed) for seed, _ in by_seed)}. {kept} % of labels are still "
        "members of their stage-1 cluster. Clusters that a label is a member of, by its training rows, a column with "
        "one tenth of their label occurrences:",
        "",
        *grid(["training rows of a label", *_titles(ranges)], [numbers]),
    ]


def _titles(ranges: Sequence[tuple[int, int]]) -> list[str]:
    """Titles of ten columns: the range of training rows of their labels, if known."""
    if not ranges:
        return [f"decile {number}" for number in range(1, PARTS + 1)]
    return titles(ranges)


def _block(lines: Sequence[str]) -> list[str]:
    """Lines separated from the text above, if there are any."""
    return ["", *lines] if lines else []


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None


def _counts(rows: Sequence[Measured]) -> list[str]:
    data = next((one.runs[0].dataset for one in rows if one.runs), None)
    if data is None:
        return []
    return [f"{data.n_train:,} training rows, {data.n_test:,} test rows, {data.n_labels:,} labels.", ""]


def _without_folders(text: str) -> str:
    """Replace absolute paths by their last name: folders of one machine mean nothing on another."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/]+/)+", "", text)
