"""Nearest neighbours on sparse features: exact search, no training.

A strong baseline where labels have few rows. Sources: similarity-weighted votes as in Yang and Liu (SIGIR 1999), their
amplification as in Breese, Heckerman and Kadie (UAI 1998); SLEEC (Bhatia et al., NeurIPS 2015) and AnnexML (Tagami, KDD
2017) vote in the same way in a learned space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData, check_bounds, param
from xmcbench.methods.helpers import Best, features_of, not_a_model, not_fitted, predict_in_parts
from xmcbench.npz_files import map_npz
from xmcbench.reasons import Reason, Step, step
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.sparse.csr import Csr
    from xmcbench.sparse.inverted import InvertedIndex

SMALLEST_VOTE = np.finfo(np.float32).tiny  # lower bound of a vote, which can underflow to zero at a high power
ROWS = 512  # rows per search call
WORKING = 16 << 20  # bytes of a search call


@dataclass(frozen=True)
class KnnParams:
    """Measured values are P@1 in percent on validation rows: official ones for eurlex-4.3k, carved ones for icd10cm and
    wordnet. The best setting differs between the three; the defaults have the highest mean of all N and p tried.
    """

    neighbours: int = param(
        20,
        "training rows that vote, N",
        "measured at p = 3: N = 10, 20, 50 give 90.5, 90.2, 89.1 eurlex-4.3k; 86.6, 85.9, 83.2 icd10cm; "
        "55.4, 57.4, 59.0 wordnet",
        above=0,
        query=(5, 10, 20, 50, 100),
        tune=(10, 20, 50),
    )
    similarity: Literal["cosine", "bm25"] = param(
        "cosine",
        "cosine of the feature vectors, or BM25",
        "measured: cosine 90.2 eurlex-4.3k, 85.9 icd10cm, 57.4 wordnet; bm25 89.9, 86.0, 55.5",
    )
    power: float = param(
        3.0,
        "p, the exponent of a neighbour's similarity in its vote",
        "measured at N = 20: p = 1, 2, 3, 5 give 88.4, 89.4, 90.2, 90.6 eurlex-4.3k; 81.6, 84.7, 85.9, 86.6 icd10cm; "
        "56.9, 58.0, 57.4, 54.4 wordnet",
        least=0,
        tune=(1.0, 3.0, 5.0),
    )
    k1: float = param(1.2, "BM25: feature frequency of half saturation", "Robertson and Zaragoza 2009", least=0)
    b: float = param(
        0.75, "BM25: share of the normalisation by row length, 0 to 1", "Robertson and Zaragoza 2009", least=0, most=1
    )


class Knn:
    """Votes of the nearest training rows for their labels; exact search in an inverted index.

    Neighbours are the N training rows of largest similarity s₁ ≥ s₂ ≥ … > 0, ties by lower row id. The score of a label
    is s₁ Σ (sᵢ / s₁)^p over the neighbours that have it: the sum of their similarities if p = 1, with more weight on
    the nearest if p > 1. Labels of no neighbour are not predicted, so a row can have fewer than k labels, or none if
    it shares no feature with any training row.

    Scores order the labels of one row; how many votes a row has in all depends on its neighbourhood. Measured on titles
    of eurlex-4.3k: the best threshold for all rows gives a micro-F1 of 65.2 %, the best number of labels 64.7 % (for
    the tree preset xrlinear: 72.1 % and 66.3 %).

    For BM25 see `xmcbench.sparse.bm25`. Rows to predict for are scaled to length one, which changes no ranking.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="knn",
        summary="votes of the nearest training rows by cosine or BM25, on sparse features",
        family="neighbours",
        version="1",
        citation=(
            "@inproceedings{yang1999reexamination, title={A Re-examination of Text Categorization Methods}, "
            "author={Yang, Yiming and Liu, Xin}, booktitle={SIGIR}, year={1999}}"
        ),
        parameters=KnnParams,
        needs=("features",),
        deterministic=True,
        scores="votes of the neighbours that have the label: s₁ Σ (sᵢ / s₁)^p, more where more neighbours are near",
        seconds={"icd10cm": 5, "eurlex-4.3k": 20},
    )

    def __init__(self, params: KnnParams) -> None:
        check_bounds("knn", params)
        self.params = params
        self.rows: InvertedIndex | None = None
        self.labels: InvertedIndex | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Never skip: the method only needs features."""
        return None

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """Both indexes, the weights of training rows before they are sorted by feature, and scores of all rows."""
        index = 8 * data.entries + 8 * data.pairs + 12 * data.n_features
        scores = 4 * machine.threads * (data.n_train + data.n_labels)
        return Footprint(memory=index + 8 * data.entries + 8 * data.pairs + scores + WORKING, disk=index)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Build two inverted indexes: features → training rows to search, training rows → labels to count votes."""
        from xmcbench.sparse.bm25 import bm25_rows
        from xmcbench.sparse.csr import unit_rows
        from xmcbench.sparse.inverted import InvertedIndex

        assert train.features is not None
        p, features = self.params, train.features
        with ctx.phase("index"):
            # The inner product of a weighted training row with a row is their similarity, up to a factor per row.
            weighted = unit_rows(features) if p.similarity == "cosine" else bm25_rows(features, p.k1, p.b)
            self.rows = InvertedIndex.of(weighted)
            self.labels = InvertedIndex.of(train.labels.T)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k labels with most votes; `ctx.query["neighbours"]` overrides the number of neighbours."""
        from xmcbench.sparse.inverted import nearest

        if (rows := self.rows) is None or (labels := self.labels) is None:
            raise not_fitted("knn", "predict")
        features = features_of("knn", inputs, rows.width)
        count = min(int(ctx.query.get("neighbours", self.params.neighbours)), rows.size)
        k = min(k, labels.size)

        def best(queries: Csr) -> Best:
            return nearest(labels, votes(*nearest(rows, self._weighted(queries), count), self.params.power), k)

        return predict_in_parts(features, k, ROWS, best, ctx)

    def _weighted(self, queries: Csr) -> Csr:
        """Rows of unit length as the index takes them; BM25 counts no negative values."""
        from xmcbench.sparse.csr import read_only

        is_bm25 = self.params.similarity == "bm25"
        return queries._replace(data=read_only(queries.data.clip(min=0))) if is_bm25 else queries

    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        """The nearest training rows that have each label, with their votes."""
        from xmcbench.sparse.csr import Csr, of_unit_length
        from xmcbench.sparse.inverted import nearest, weights_of

        if (rows := self.rows) is None or (index := self.labels) is None:
            raise not_fitted("knn", "explain")
        queries = self._weighted(of_unit_length(Csr.of(features_of("knn", inputs, rows.width))))
        count = min(int(ctx.query.get("neighbours", self.params.neighbours)), rows.size)
        ids, similarities = nearest(rows, queries, count)
        voting = votes(ids, similarities, self.params.power)
        explained = []
        for label in labels:
            has = weights_of(index, voting.indices, label)
            notes = [f"similarity {similarity:.3f}" for similarity in similarities[0].tolist()]
            each = zip(voting.indices.tolist(), voting.data.tolist(), has.tolist(), notes, strict=False)
            reasons = [Reason("row", row, vote * number, note) for row, vote, number, note in each]
            title = f"votes of those that have the label, among the {len(has)} nearest training rows"
            explained.append([step(title, reasons, "the score")])
        return explained

    def save(self, folder: Path) -> None:
        """Write both indexes to one npz file."""
        if self.rows is None or self.labels is None:
            raise not_fitted("knn", "save")
        indexes = {"rows": self.rows, "labels": self.labels}
        arrays = {f"{name}_{part}": array for name, index in indexes.items() for part, array in index._asdict().items()}
        write_npz(folder / "knn.npz", arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Map what `save` wrote; DataError if the file is missing or damaged."""
        from xmcbench.sparse.inverted import InvertedIndex

        path = folder / "knn.npz"
        arrays = map_npz(path)
        try:
            self.rows, self.labels = (
                InvertedIndex(*(arrays[f"{name}_{part}"] for part in InvertedIndex._fields))
                for name in ("rows", "labels")
            )
        except KeyError as error:
            raise not_a_model("knn", path, f"no {error}") from error


def votes(ids: NDArray[np.int32], similarities: NDArray[np.float32], power: float) -> Csr:
    """(n, training rows) votes s₁ (sᵢ / s₁)^p, from the (n, N) arrays of `nearest`."""
    from xmcbench.sparse.csr import Csr, read_only

    valid = ids >= 0
    counts = valid.sum(axis=1)
    largest = np.repeat(similarities.max(axis=1, initial=0).astype(np.float64), counts)
    weights = (largest * (similarities[valid] / largest) ** power).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    arrays = indptr, ids[valid], np.maximum(weights, SMALLEST_VOTE)
    return Csr(*(read_only(array) for array in arrays))  # as `Csr.of`: one compilation
