"""napkinXC: probabilistic label trees and one-vs-rest in C++, through its Python binding.

Sources: the program itself, version 0.7.2; Jasinska-Kobus et al., Probabilistic Label Trees for Extreme Multi-label
Classification (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xmcbench.errors import DataError, XmcError
from xmcbench.method import Inputs, MethodInfo, param
from xmcbench.peers import rows
from xmcbench.peers.rows import quiet
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext

SOURCE = "napkinXC 0.7.2"
ROWS = 4096  # rows per call: Ctrl-C and the deadline are checked between calls


@dataclass(frozen=True)
class NapkinxcParams:
    """napkinXC's names and defaults, except for loss and cost.

    Its default, logistic loss with C = 10, is 3 points of P@1 worse on eurlex-4.3k than squared hinge with C = 1, and a
    peer is compared at its best. The preset `own` has napkinXC's defaults.
    """

    model: Literal["plt", "br"] = param("plt", "label tree, or one-vs-rest over all labels", "ours: the quick one")
    loss: Literal["l2", "log"] = param("l2", "squared hinge or logistic loss", "measured: 3 points of P@1 over log")
    liblinear_c: float = param(1.0, "C, weight of the loss against the L2 penalty", "measured with loss l2", above=0)
    liblinear_eps: float = param(0.1, "classifiers stop at this spread of projected gradients", SOURCE, above=0)
    liblinear_max_iter: int = param(100, "maximum number of rounds per classifier", SOURCE, above=0)
    weights_threshold: float = param(0.1, "weights of smaller magnitude are dropped", SOURCE)
    arity: int = param(2, "children of a node above the leaves, tree only", SOURCE, least=2)
    max_leaves: int = param(100, "maximum number of labels in a node above the leaves, tree only", SOURCE, least=2)
    ensemble: int = param(1, "trees whose probabilities are averaged, tree only", SOURCE, above=0)


class Napkinxc(rows.PeerMethod):
    """napkinXC in this process, all rows at L2 norm one.

    The tree is searched exactly, as by default in napkinXC, since its beam search returns more labels than requested.
    Labels without a training row are never predicted. Scores are probabilities. The run's seed determines the tree, but
    two fits differ: LIBLINEAR shuffles with C's rand(), which all threads share and which napkinXC does not seed.
    Training can't be interrupted: Ctrl-C and time limits take effect when it ends.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="napkinxc",
        summary="the peer napkinXC: probabilistic label trees, or one-vs-rest",
        family="tree",
        version="1",
        citation=(
            "@article{jasinska2020plt, title={Probabilistic Label Trees for Extreme Multi-label Classification}, "
            "author={Jasinska-Kobus, Kalina and Wydmuch, Marek and Dembczynski, Krzysztof and Kuznetsov, Mikhail and "
            "Busa-Fekete, Robert}, journal={arXiv:2009.11218}, year={2020}}"
        ),
        parameters=NapkinxcParams,
        presets={"plt": {}, "br": {"model": "br"}, "own": {"loss": "log", "liblinear_c": 10.0}},
        needs=("features",),
        scores="estimated probability of the label, 0 to 1",
        comparable=True,
        seeded=False,
        seconds={"icd10cm": 40, "eurlex-4.3k": 25},
    )

    def __init__(self, params: NapkinxcParams) -> None:
        super().__init__(params)
        self.model: Any = None

    def _build(self, folder: Path, threads: int, seed: int) -> Any:
        from napkinxc.models import BR, PLT

        p, names = self.params, ("loss", "liblinear_c", "liblinear_eps", "liblinear_max_iter", "weights_threshold")
        arguments = {name: getattr(p, name) for name in names} | {"seed": seed, "threads": threads, "verbose": 0}
        if p.model == "br":
            return BR(str(folder), **arguments)
        return PLT(str(folder), arity=p.arity, max_leaves=p.max_leaves, ensemble=p.ensemble, **arguments)

    def trees(self) -> int:
        return int(self.params.ensemble)

    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, folder: Path, ctx: RunContext) -> None:
        """Train into the run's folder."""
        with ctx.phase("train"), quiet():
            model = self._build(folder, ctx.threads, ctx.seed("napkinxc"))
            try:
                model.fit(features, labels)
            except (RuntimeError, ValueError) as error:
                raise XmcError(f"napkinxc: {error}", rows.parameters_of(self.params)) from error

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Exact search for the k best labels."""
        features = rows.queries("napkinxc", inputs, self.n_features)
        n, k = inputs.n_rows, min(k, len(self.seen))  # for a larger k, one-vs-rest repeats label 0
        self.model.set_params(threads=ctx.threads)
        blocks = (features[start : start + ROWS] for start in range(0, n, ROWS))
        predicted = (pairs for block in blocks for pairs in self.model.predict_proba(block, top_k=k))
        return self.ranked(predicted, n, k, ctx)

    def read(self, folder: Path) -> None:
        """Read napkinXC's binary files."""
        with quiet():
            model = self._build(folder, 0, 0)
            try:
                model.load()
            except (RuntimeError, ValueError) as error:
                raise DataError(f"{folder}: napkinXC can't read its model ({error})", "Fit again.") from error
        self.model = model
