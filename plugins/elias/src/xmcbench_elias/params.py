"""Every setting of ELIAS, with the source of its default, and the sizes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from xmcbench.encoders.params import EncoderParams
from xmcbench.method import param

PAPER = "Gupta et al., NeurIPS 2022, appendix"
README = "measured on validation rows: see README"
OURS = "ours: by hand on validation rows, not searched"
BY_LABELS = "measured on validation rows, by the number of labels: `FEW` and `MANY` in params.py, see README"
TRANSFORMER_RATE = 1e-4
BORDER = 16_384  # labels; between what was measured, 4,271 and 46,881
FEW = {
    "width": 512,
    "dropout": 0.5,
    "train_beam": 20,
    "shortlist_leaves": 60,
    "stage1_epochs": 8,
    "stage2_epochs": 8,
    "batch": 256,
}
MANY = {
    "width": 256,
    "dropout": 0.3,
    "train_beam": 10,
    "shortlist_leaves": 40,
    "stage1_epochs": 6,
    "stage2_epochs": 6,
    "batch": 512,
}


@dataclass(frozen=True)
class EliasParams(EncoderParams):
    """Defaults for the bag-of-words encoder on a CPU. See also `EncoderParams`, whose parameters these are as well.

    The paper's sizes belong together: leaves of 100 labels, a beam of 20, K = 2,000 = 20 · 100 labels in the
    shortlist, κ = 1,000 = 10 · 100 entries in a row of the adjacency, β = 150 = 0.15 κ. Here leaves are smaller; κ and
    β follow from the leaf by the same ratios, and K is larger beside it (see `Sizes`).

    Preset `bow` is the defaults. `paper` and `minilm` have encoders, sizes and schedules of the authors and of LEVER
    (`presets.py`), made for a GPU.
    """

    width: int | None = param(  # type: ignore[assignment]
        None, "bow: D, numbers of an embedding; none: by the number of labels", BY_LABELS
    )
    dropout: float | None = param(
        None, "dropout after both layers of the encoder (bow) or of its output; none: by the labels", BY_LABELS
    )
    label_start: Literal["fresh", "text"] = param(
        "fresh",
        "what label weights start from in both stages: small random numbers, or embeddings of the label texts; "
        "bow then reads texts in place of features",
        f"fresh: {PAPER}; text: as SiameseXML's classifiers, Dahiya et al., ICML 2021",
    )
    alpha: float = param(10.0, "a cluster's score is min(1, α · softmax)", PAPER)
    beta_share: float = param(0.15, "β of a row of the adjacency over its entries", f"β = 150 at κ = 1,000: {PAPER}")
    leaf: int = param(25, "most labels a cluster; 100 in the paper, for 100 times as many labels", OURS)
    train_beam: int | None = param(None, "clusters searched in training; none: by the labels", BY_LABELS)
    beam: int = param(20, "clusters searched for a prediction", PAPER, query=(5, 10, 20, 40))
    extra: int = param(5, "clusters a training row may have beyond the beam, for its true labels", PAPER)
    shortlist_leaves: int | None = param(
        None, "K, labels in a shortlist, over the leaf; none: by the labels", BY_LABELS
    )
    row_leaves: int = param(10, "κ, entries in a row of the adjacency, over the leaf", f"1,000 / 100: {PAPER}")
    shortlist_weight: float = param(0.0, "λ · K: weight of the shortlist loss beside a true label's own", README)
    stage1_epochs: int | None = param(None, "epochs with the clustering as the index", BY_LABELS)
    stage2_epochs: int | None = param(None, "epochs with the learned index", BY_LABELS)
    batch: int | None = param(None, "rows a step", BY_LABELS)
    encoder_rate: float | None = param(
        None,
        "peak learning rate of the encoder's dense layers; none: 1e-4 for a transformer that is trained, else `rate`",
        "LEVER, Buvanesh et al., ICLR 2024, T17",
    )
    rate: float = param(3e-3, "peak learning rate of dense layers and the cluster classifier", OURS)
    table_rate: float = param(2e-2, "peak learning rate of feature and label tables (row-wise AdamW)", OURS)
    adjacency_rate: float = param(3e-3, "peak learning rate of the adjacency's logits", OURS)
    stage2_rate: float = param(0.5, "stage 2's rates of what stage 1 trained, over stage 1's", OURS)
    decay: float = param(0.01, "AdamW's weight decay, except on biases", PAPER)
    average: int = param(
        0, "last epochs of stage 2 whose weights are averaged; 0: none (SWA; all but the adjacency)", README
    )
    recluster: int = param(
        0,
        "epochs of stage 1 after which labels are clustered anew and it starts again; 0: never",
        "ours: off, since it trains stage 1 longer",
    )
    index: Literal["graph", "tree", "random", "none"] = param(
        "graph", "what stage 2 searches: graph, clusters as they are, random entries, or all labels (no index)", PAPER
    )
    ranker: Literal["all", "shortlist", "none"] | None = param(
        None,
        "negatives of the linear ranker: all rows, or those that show the label; none given: by the work",
        "shortlist: Gupta et al.'s code; all, where it takes minutes: README",
    )
    folds: int = param(0, "parts of train whose shortlists come from a model of the other parts; 0: in-sample", README)
    calibrate: bool = param(
        False,
        "mix in a decision tree fitted on validation rows",
        "ours: off, not compared with the blend",
    )
    members: int = param(1, "models whose scores are averaged; 3 in ELIAS(d) and ELIAS++", PAPER)
    output: Literal["final", "model", "ranker", "stage1"] = param(
        "final",
        "what predictions are sorted by; stage1: the model before the graph",
        "ours: one fit, many controls",
        query=("stage1", "model", "ranker", "final"),
    )


def reads_texts(params: EliasParams) -> bool:
    """Whether the encoder reads texts, not features."""
    return params.encoder != "bow" or params.label_start == "text"


@dataclass(frozen=True)
class Sizes:
    """What follows from L: C clusters of at most `leaf` labels, rows of at most `kappa` entries, K = `shortlist`."""

    clusters: int
    leaf: int
    kappa: int
    beam: int
    shortlist: int


def settled(params: EliasParams, n_labels: int) -> EliasParams:
    """`params` with a value in place of every None."""
    usual: dict[str, Any] = dict(FEW if n_labels <= BORDER else MANY)
    usual["encoder_rate"] = params.rate if params.encoder == "bow" or params.frozen else TRANSFORMER_RATE
    return replace(params, **{name: value for name, value in usual.items() if getattr(params, name) is None})


def sizes(params: EliasParams, n_labels: int) -> Sizes:
    """C = 2^ceil(log2(L / leaf)), leaf = ceil(L / C), κ and K as many leaves as in the paper.

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
