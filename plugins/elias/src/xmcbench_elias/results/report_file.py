"""The form of a fit's `report.json`, which `report.py` writes and RESULTS.md is made from. Metrics are fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from xmcbench.inputs import read_json, typed

Gap = tuple[float | None, float | None, float | None]  # difference, low and high end of its 95 % interval


class Cut(Struct, frozen=True):
    """Metrics on test rows without the edges whose weight is below a threshold, and the share of these edges."""

    threshold: float
    share_cut: float = field(name="share cut")
    p1: float | None = field(name="P@1")
    r10: float | None = field(name="R@10")
    r100: float | None = field(name="R@100")


class Decile(Struct, frozen=True):
    """A tenth of the training rows' label occurrences: fewest and most training rows of a label, number of labels, and
    the mean number of clusters that a label is a member of."""

    fewest: int
    most: int
    labels: float
    clusters: float


class Edges(Struct, frozen=True):
    """The learned adjacency; `stage1_kept` is the share of labels that are still members of their stage-1 cluster."""

    cut: Sequence[Cut] = ()
    stage1_kept: float | None = field(name="stage-1 edges kept", default=None)
    deciles: Sequence[Decile] = field(name="by decile", default=())


class Report(Struct, frozen=True):
    """The whole file; parts that older reports lack are empty.

    Attributes
    ----------
    edges : None if the adjacency was not learned.
    label_scores : as `edges.label_scores`. shares : number of labels → scored share of the shortlist.
    stage1_searches : clusters that stage 1 searches to score as many labels as stage 2.
    steps, beams : metrics and milliseconds per row of each output, and of each beam width.
    differences : "from" and "to", two consecutive steps, and metric → gap.
    clamped : shares of clamped clusters and adjacency entries after each epoch.
    """

    edges: Edges | None = None
    label_scores: Mapping[str, float] = field(name="label scores", default_factory=dict)
    shares: Mapping[str, float] = field(name="share of the shortlist scored", default_factory=dict)
    stage1_searches: int | None = field(name="stage1 searches", default=None)
    steps: Sequence[Mapping[str, object]] = ()
    beams: Sequence[Mapping[str, object]] = ()
    differences: Sequence[Mapping[str, str | Gap | None]] = ()
    index: Mapping[str, object] = field(default_factory=dict)
    clamped: Sequence[Mapping[str, object]] = ()

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read `report.json`; DataError if it is not a report."""
        return typed(read_json(path), cls, f"{path}: no report of a run")

    def stage2(self) -> dict[str, Gap]:
        """Metric → stage 2 − stage 1."""
        for pair in self.differences:
            if (pair.get("from"), pair.get("to")) == ("stage1", "model"):
                return {name: gap for name, gap in pair.items() if isinstance(gap, tuple)}
        return {}
