"""Every parameter of ELIAS, with the source of its default, and the sizes derived from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from xmcbench.encoders.params import EncoderParams
from xmcbench.method import param

PAPER = "Gupta et al., NeurIPS 2022, appendix"
CHOICES = "measured on validation rows: see CHOICES.md"
OURS = "ours: by hand on validation rows, not searched"
BY_LABELS = "by the number of labels: `REGIMES` in params.py, see CHOICES.md"
TRANSFORMER_RATE = 1e-4
VISITS = "by the number of training rows: `VISITED` in params.py, see CHOICES.md"

# Sizes by the number of labels. MANY starts between the two measured label counts, 7,406 and 20,452. HUGE has the
# paper's sizes, K and κ in leaves, and starts at the label count of the paper's smallest index with leaves of 100.
FEW: dict[str, float] = {
    "width": 256,
    "dropout": 0.3,
    "leaf": 25,
    "train_beam": 20,
    "shortlist_leaves": 60,
    "batch": 256,
}
MANY = FEW | {"train_beam": 10, "shortlist_leaves": 40, "batch": 512}
HUGE = MANY | {"leaf": 100, "train_beam": 20, "shortlist_leaves": 20}
REGIMES = ((250_000, HUGE), (16_384, MANY), (0, FEW))

# Rows to visit in each stage, and the minimum and maximum number of epochs: small data sets need more epochs.
VISITED = {"dual_epochs": (400_000, 6, 24), "stage1_epochs": (150_000, 3, 10), "stage2_epochs": (300_000, 5, 15)}


def by_labels(doc: str, **bounds: Any) -> Any:
    """A parameter whose default depends on the number of labels."""
    return param(None, doc, BY_LABELS, none="by the number of labels", **bounds)


def by_rows(doc: str) -> Any:
    """A number of epochs whose default depends on the number of training rows."""
    return param(None, doc, VISITS, above=0, none="by the number of training rows")


@dataclass(frozen=True)
class EliasControls(EncoderParams):
    """Parameters for controls and ablations: what a study compares ELIAS with, not what a user of it sets."""

    index: Literal["graph", "tree", "random", "none"] = param(
        "graph",
        "index of stage 2: learned graph, clusters of stage 1, random entries, or all labels (no index)",
        PAPER,
        control=True,
    )
    recluster: int = param(
        0,
        "epochs of stage 1 after which labels are clustered again and stage 1 restarts; 0: never",
        "ours: off, since it trains stage 1 longer",
        least=0,
        control=True,
    )
    average: int = param(
        0,
        "number of last epochs of stage 2 whose weights are averaged; 0: none (SWA; all but the adjacency)",
        CHOICES,
        least=0,
        control=True,
    )


@dataclass(frozen=True)
class EliasParams(EliasControls):
    """Defaults for the bag-of-words encoder on a CPU. See also `EncoderParams`, whose parameters these are as well.

    The paper's sizes are proportional: leaves of 100 labels, a beam of 20, K = 2,000 = 20 · 100 labels in the
    shortlist, κ = 1,000 = 10 · 100 entries in a row of the adjacency, β = 150 = 0.15 κ. Below 250,000 labels leaves are
    smaller here; κ and β scale with the leaf, and K is a larger multiple of it (see `Sizes`).

    Preset `bow` has the defaults. `paper` and `minilm` have the encoders, sizes and schedules of the authors and of
    LEVER (`presets.py`), for a GPU.
    """

    width: int | None = by_labels("bow: D, length of an embedding", above=0)  # type: ignore[assignment]
    dropout: float | None = by_labels(
        "dropout after both layers of the encoder (bow) or of its output", least=0, below=1
    )
    label_texts: bool = param(
        True,
        "read the texts of rows and labels if both have them: the dual encoder embeds labels from their texts; "
        "bow then reads texts instead of features",
        CHOICES,
    )
    dual_epochs: int | None = param(
        None,
        "epochs of the dual encoder, which initialises encoder and label weights and is part of the final ranking; "
        "0: no dual encoder",
        VISITS,
        least=0,
        none="by the number of training rows; with a transformer as in `ance`",
    )
    alpha: float = param(10.0, "a cluster's score is min(1, α · softmax)", PAPER, above=0)
    beta_share: float = param(
        0.15,
        "β of a row of the adjacency, relative to its number of entries",
        f"β = 150 at κ = 1,000: {PAPER}",
        above=0,
    )
    leaf: int | None = param(
        None,
        "maximum number of labels per cluster",
        BY_LABELS,
        above=0,
        none="by the number of labels: 25 or, as in the paper, 100",
    )
    train_beam: int | None = by_labels("clusters searched per row in training", above=0)
    beam: int = param(20, "clusters searched per row in prediction", PAPER, above=0, query=(5, 10, 20, 40))
    extra: int = param(5, "additional clusters per training row beyond the beam, for its true labels", PAPER, least=0)
    shortlist_leaves: int | None = by_labels("K, labels per shortlist, in leaves", above=0)
    row_leaves: int = param(10, "κ, entries per row of the adjacency, in leaves", f"1,000 / 100: {PAPER}", above=0)
    shortlist_weight: float = param(
        0.0, "λ · K: weight of the shortlist loss relative to a true label's classification loss", CHOICES, least=0
    )
    stage1_epochs: int | None = by_rows("epochs with the clustering as the index")
    stage2_epochs: int | None = by_rows("epochs with the learned index")
    finish_epochs: int = param(
        2, "final epochs of dual encoder and network over all rows, including carved validation rows", CHOICES, least=0
    )
    effort: float = param(
        1.0,
        "factor on the epochs that the number of rows gives: 0.5 takes about half the time; epochs that are set, by a "
        "preset too, stay as they are",
        "ours",
        above=0,
    )
    batch: int | None = by_labels("rows per step", above=0)
    encoder_rate: float | None = param(
        None,
        "peak learning rate of the encoder's dense layers",
        "LEVER, Buvanesh et al., ICLR 2024, T17",
        above=0,
        none="1e-4 for a trained transformer, else `rate`",
    )
    rate: float = param(3e-3, "peak learning rate of dense layers and the cluster classifier", OURS, above=0)
    table_rate: float = param(2e-2, "peak learning rate of feature and label tables (row-wise AdamW)", OURS, above=0)
    adjacency_rate: float = param(3e-3, "peak learning rate of the adjacency's logits", OURS, above=0)
    stage2_rate: float = param(
        0.5, "factor on the learning rates in stage 2 of parameters that stage 1 trained", OURS, least=0
    )
    decay: float = param(0.01, "AdamW's weight decay, except on biases", PAPER, least=0)
    ranker: Literal["both", "trees", "all", "none"] | None = param(
        None,
        "linear classifiers on the features: three wide trees (Bonsai; from 250,000 labels on, of balanced clusters), "
        "one-vs-rest on all rows, or both",
        CHOICES,
        none="both if one-vs-rest takes minutes, else trees",
    )
    calibrate: bool = param(
        False,
        "rank the first labels by T + p · q, T a decision tree fitted on validation rows, instead of the fusion",
        f"the formula: {PAPER}; off: CHOICES.md",
    )
    members: int = param(1, "number of models whose scores are averaged; 3 in ELIAS(d) and ELIAS++", PAPER, above=0)
    output: Literal["final", "model", "ranker", "dual", "stage1"] = param(
        "final",
        "score that ranks predictions; model: the network; ranker: its trees, if there are any; dual: the dual "
        "encoder; stage1: the network before the graph",
        "ours: controls of the parts from one fit",
        query=("stage1", "model", "ranker", "dual", "final"),
    )


@dataclass(frozen=True)
class Settled(EliasParams):
    """`EliasParams` with all values resolved, except the ranker."""

    width: int = 0
    dropout: float = 0.0
    dual_epochs: int = 0
    leaf: int = 0
    train_beam: int = 0
    shortlist_leaves: int = 0
    stage1_epochs: int = 0
    stage2_epochs: int = 0
    batch: int = 0
    encoder_rate: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """Sizes derived from L: C clusters of at most `leaf` labels, rows of at most `kappa` entries, K = `shortlist`."""

    clusters: int
    leaf: int
    kappa: int
    beam: int
    shortlist: int


def settled(params: EliasParams, n_labels: int, n_rows: int = 1) -> Settled:
    """Resolve every None of `params` except the ranker from the numbers of labels and training rows."""
    from xmcbench.methods.ance.params import AnceParams
    from xmcbench.methods.ance.params import settled as settled_dual

    defaults = dict(next(regime for minimum, regime in REGIMES if n_labels >= minimum))
    defaults["encoder_rate"] = params.rate if params.encoder == "bow" or params.frozen else TRANSFORMER_RATE
    for name, (visits, min_epochs, max_epochs) in VISITED.items():
        epochs = min(max_epochs, max(min_epochs, round(visits / max(n_rows, 1))))
        if name == "dual_epochs" and params.encoder != "bow":
            epochs = settled_dual(AnceParams(encoder=params.encoder, frozen=params.frozen)).epochs
        defaults[name] = max(1, round(params.effort * epochs))
    values = {field.name: getattr(params, field.name) for field in fields(EliasParams)}
    values |= {name: value for name, value in defaults.items() if values[name] is None}
    return Settled(**values)


def sizes(params: EliasParams, n_labels: int) -> Sizes:
    """C = 2^ceil(log2(L / leaf)), leaf = ceil(L / C), κ and K in leaves.

    Without an index there is one cluster, and the shortlist has all labels: full one-vs-all.
    """
    from xmcbench.sparse.clustering import cluster_count

    params = settled(params, n_labels)
    if params.index == "none":
        return Sizes(1, n_labels, n_labels, 1, n_labels)
    clusters = cluster_count(n_labels, params.leaf)
    leaf = -(-n_labels // clusters)
    beam = min(params.train_beam, clusters)
    kappa, shortlist = (min(leaves * leaf, n_labels) for leaves in (params.row_leaves, params.shortlist_leaves))
    return Sizes(clusters, leaf, kappa, beam, shortlist)
