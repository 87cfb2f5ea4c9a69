"""Every setting of ELIAS, with the source of its default, and the sizes that follow from them."""

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

# Sizes by the number of labels, each from so many labels on. MANY begins between what was measured, 7,406 and 20,452;
# HUGE are the paper's sizes, K and κ as leaves, from the number of labels on that its smallest leaf-100 index had.
FEW: dict[str, Any] = {"width": 256, "dropout": 0.3, "leaf": 25, "train_beam": 20, "shortlist_leaves": 60, "batch": 256}
MANY: dict[str, Any] = FEW | {"train_beam": 10, "shortlist_leaves": 40, "batch": 512}
HUGE: dict[str, Any] = MANY | {"leaf": 100, "train_beam": 20, "shortlist_leaves": 20}
REGIMES = ((250_000, HUGE), (16_384, MANY), (0, FEW))

# Rows seen in each stage, and the fewest and most epochs that may take: small data needs steps, large data has them.
VISITED = {"dual_epochs": (400_000, 6, 24), "stage1_epochs": (150_000, 3, 10), "stage2_epochs": (300_000, 5, 15)}


@dataclass(frozen=True)
class EliasParams(EncoderParams):
    """Defaults for the bag-of-words encoder on a CPU. See also `EncoderParams`, whose parameters these are as well.

    The paper's sizes belong together: leaves of 100 labels, a beam of 20, K = 2,000 = 20 · 100 labels in the
    shortlist, κ = 1,000 = 10 · 100 entries in a row of the adjacency, β = 150 = 0.15 κ. Below 250,000 labels leaves are
    smaller here; κ and β follow from the leaf by the same ratios, and K is larger beside it (see `Sizes`).

    Preset `bow` is the defaults. `paper` and `minilm` have encoders, sizes and schedules of the authors and of LEVER
    (`presets.py`), made for a GPU.
    """

    width: int | None = param(  # type: ignore[assignment]
        None, "bow: D, numbers of an embedding", BY_LABELS, above=0, none="by the number of labels"
    )
    dropout: float | None = param(
        None,
        "dropout after both layers of the encoder (bow) or of its output",
        BY_LABELS,
        least=0,
        below=1,
        none="by the number of labels",
    )
    label_texts: bool = param(
        True,
        "where rows and labels have texts, read both: the dual encoder embeds labels from their texts; "
        "bow then reads texts in place of features",
        CHOICES,
    )
    dual_epochs: int | None = param(
        None,
        "epochs of the dual encoder that encoder and label weights start from, and that is part of the final ranking; "
        "0: no dual encoder",
        VISITS,
        least=0,
        none="by the number of training rows; with another encoder than bow those of `ance`",
    )
    alpha: float = param(10.0, "a cluster's score is min(1, α · softmax)", PAPER, above=0)
    beta_share: float = param(
        0.15, "β of a row of the adjacency over its entries", f"β = 150 at κ = 1,000: {PAPER}", above=0
    )
    leaf: int | None = param(
        None, "most labels a cluster", BY_LABELS, above=0, none="by the number of labels: 25 or, as in the paper, 100"
    )
    train_beam: int | None = param(
        None, "clusters searched in training", BY_LABELS, above=0, none="by the number of labels"
    )
    beam: int = param(20, "clusters searched for a prediction", PAPER, above=0, query=(5, 10, 20, 40))
    extra: int = param(5, "clusters a training row may have beyond the beam, for its true labels", PAPER, least=0)
    shortlist_leaves: int | None = param(
        None, "K, labels in a shortlist, over the leaf", BY_LABELS, above=0, none="by the number of labels"
    )
    row_leaves: int = param(10, "κ, entries in a row of the adjacency, over the leaf", f"1,000 / 100: {PAPER}", above=0)
    shortlist_weight: float = param(
        0.0, "λ · K: weight of the shortlist loss beside a true label's own", CHOICES, least=0
    )
    stage1_epochs: int | None = param(
        None, "epochs with the clustering as the index", VISITS, above=0, none="by the number of training rows"
    )
    stage2_epochs: int | None = param(
        None, "epochs with the learned index", VISITS, above=0, none="by the number of training rows"
    )
    finish_epochs: int = param(
        2,
        "epochs more for dual encoder and network over all rows, carved validation rows among them, once all is chosen",
        CHOICES,
        least=0,
    )
    effort: float = param(
        1.0,
        "epochs of every stage over those that the number of rows gives: 0.5 takes about half the time",
        "ours",
        above=0,
    )
    batch: int | None = param(None, "rows a step", BY_LABELS, above=0, none="by the number of labels")
    encoder_rate: float | None = param(
        None,
        "peak learning rate of the encoder's dense layers",
        "LEVER, Buvanesh et al., ICLR 2024, T17",
        above=0,
        none="1e-4 for a transformer that is trained, else `rate`",
    )
    rate: float = param(3e-3, "peak learning rate of dense layers and the cluster classifier", OURS, above=0)
    table_rate: float = param(2e-2, "peak learning rate of feature and label tables (row-wise AdamW)", OURS, above=0)
    adjacency_rate: float = param(3e-3, "peak learning rate of the adjacency's logits", OURS, above=0)
    stage2_rate: float = param(0.5, "stage 2's rates of what stage 1 trained, over stage 1's", OURS, least=0)
    decay: float = param(0.01, "AdamW's weight decay, except on biases", PAPER, least=0)
    average: int = param(
        0, "last epochs of stage 2 whose weights are averaged; 0: none (SWA; all but the adjacency)", CHOICES, least=0
    )
    recluster: int = param(
        0,
        "epochs of stage 1 after which labels are clustered anew and it starts again; 0: never",
        "ours: off, since it trains stage 1 longer",
        least=0,
    )
    index: Literal["graph", "tree", "random", "none"] = param(
        "graph", "what stage 2 searches: graph, clusters as they are, random entries, or all labels (no index)", PAPER
    )
    ranker: Literal["both", "trees", "all", "none"] | None = param(
        None,
        "linear classifiers on the features: three wide trees of them (Bonsai), one-vs-rest on all rows, or both",
        CHOICES,
        none="both where one-vs-rest takes minutes, else trees",
    )
    calibrate: bool = param(
        False,
        "rank the first labels by T + p · q, T a decision tree fitted on validation rows, in place of the fusion",
        f"the formula: {PAPER}; off: CHOICES.md",
    )
    members: int = param(1, "models whose scores are averaged; 3 in ELIAS(d) and ELIAS++", PAPER, above=0)
    output: Literal["final", "model", "ranker", "dual", "stage1"] = param(
        "final",
        "what predictions are sorted by; model: the network; ranker: its trees, where there are any; dual: the dual "
        "encoder; stage1: the network before the graph",
        "ours: one fit, many controls",
        query=("stage1", "model", "ranker", "dual", "final"),
    )


@dataclass(frozen=True)
class Settled(EliasParams):
    """`EliasParams` with no value left open but the ranker's."""

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
    """What follows from L: C clusters of at most `leaf` labels, rows of at most `kappa` entries, K = `shortlist`."""

    clusters: int
    leaf: int
    kappa: int
    beam: int
    shortlist: int


def settled(params: EliasParams, n_labels: int, n_rows: int = 1) -> Settled:
    """`params` with a value in place of every None but the ranker's, from the numbers of labels and training rows."""
    from xmcbench.methods.ance.params import AnceParams
    from xmcbench.methods.ance.params import settled as settled_dual

    usual = dict(next(regime for border, regime in REGIMES if n_labels >= border))
    usual["encoder_rate"] = params.rate if params.encoder == "bow" or params.frozen else TRANSFORMER_RATE
    for name, (visits, least, most) in VISITED.items():
        epochs = min(most, max(least, round(visits / max(n_rows, 1))))
        if name == "dual_epochs" and params.encoder != "bow":
            epochs = settled_dual(AnceParams(encoder=params.encoder, frozen=params.frozen)).epochs
        usual[name] = max(1, round(params.effort * epochs))
    given = {field.name: getattr(params, field.name) for field in fields(EliasParams)}
    return Settled(**given | {name: value for name, value in usual.items() if given[name] is None})


def sizes(params: EliasParams, n_labels: int) -> Sizes:
    """C = 2^ceil(log2(L / leaf)), leaf = ceil(L / C), κ and K in leaves.

    Without an index there is one cluster, and the shortlist is all labels: full one-vs-all.
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
