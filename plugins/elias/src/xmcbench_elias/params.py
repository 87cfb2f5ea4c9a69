"""Every setting of ELIAS, with the source of its default, and the sizes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from xmcbench.method import param

PAPER = "Gupta et al., NeurIPS 2022, appendix"


@dataclass(frozen=True)
class EliasParams:
    """Settings for the bag-of-words encoder on a CPU.

    The paper's sizes belong together: leaves of 100 labels, a beam of 20, K = 2,000 = 20 · 100 labels in the
    shortlist, κ = 1,000 = 10 · 100 entries in a row of the adjacency, β = 150 = 0.15 κ. Here leaves are smaller, and
    K, κ and β follow from the leaf by the same ratios (see `Sizes`).
    """

    width: int = param(256, "width D of the embedding", "measured: see README")
    dropout: float = param(0.3, "dropout after both layers of the encoder", "measured: see README")
    alpha: float = param(10.0, "a cluster's score is min(1, α · softmax)", PAPER)
    beta_share: float = param(0.15, "β of a row of the adjacency over its entries", f"β = 150 at κ = 1,000: {PAPER}")
    leaf: int = param(
        25, "most labels a cluster", "measured: see README; 100 in the paper, for 100 times as many labels"
    )
    train_beam: int = param(10, "clusters searched in training; times the leaf it is K", "measured: see README")
    beam: int = param(20, "clusters searched for a prediction", PAPER, query=(5, 10, 20, 40))
    extra: int = param(5, "clusters a training row may have beyond the beam, for its true labels", PAPER)
    row_leaves: int = param(10, "κ, entries in a row of the adjacency, over the leaf", f"1,000 / 100: {PAPER}")
    shortlist_weight: float = param(
        0.0, "λ · K: weight of the shortlist loss beside a true label's own loss", "measured"
    )
    stage1_epochs: int = param(6, "epochs with the clustering as the index", "measured: see README")
    stage2_epochs: int = param(6, "epochs with the learned index", "measured: see README")
    batch: int = param(512, "rows a step", "measured: see README")
    rate: float = param(3e-3, "peak learning rate of dense layers and the cluster classifier", "measured: see README")
    table_rate: float = param(2e-2, "peak learning rate of feature and label tables (row-wise AdamW)", "measured")
    adjacency_rate: float = param(3e-3, "peak learning rate of the adjacency's logits", "measured: see README")
    stage2_rate: float = param(0.5, "stage 2's rates of what stage 1 trained, over stage 1's", "measured: see README")
    decay: float = param(0.01, "AdamW's weight decay, except on biases", PAPER)


@dataclass(frozen=True)
class Sizes:
    """What follows from L: C clusters of at most `leaf` labels, rows of at most `kappa` entries, K = `shortlist`."""

    clusters: int
    leaf: int
    kappa: int
    beam: int
    shortlist: int


def sizes(params: EliasParams, n_labels: int) -> Sizes:
    """C = 2^ceil(log2(L / leaf)), leaf = ceil(L / C), κ and K as many leaves as in the paper."""
    from xmcbench.sparse.clustering import cluster_count

    clusters = cluster_count(n_labels, params.leaf)
    leaf = -(-n_labels // clusters)
    beam = min(params.train_beam, clusters)
    return Sizes(clusters, leaf, min(params.row_leaves * leaf, n_labels), beam, params.train_beam * leaf)
