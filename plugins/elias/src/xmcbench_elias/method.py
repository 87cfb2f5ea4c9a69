"""ELIAS as an xmcbench method. Listings import this module, so torch and numba are imported only where used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xmcbench.encoders import params as encoders
from xmcbench.errors import UsageError
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData, check_bounds
from xmcbench_elias.params import EliasParams, sizes
from xmcbench_elias.presets import PRESETS

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.metrics import Evaluation
    from xmcbench.reasons import Step
    from xmcbench.topk import TopK
    from xmcbench_elias.fitted import FittedModel

CITATION = """@inproceedings{gupta2022elias,
  title = {{ELIAS}: End-to-End Learning to Index and Search in Large Output Spaces},
  author = {Gupta, Nilesh and Chen, Patrick H. and Yu, Hsiang-Fu and Hsieh, Cho-Jui and Dhillon, Inderjit S.},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
}"""


class Elias:
    """Clusters of labels, then a graph over them, trained together with the encoder and the label classifier."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="elias",
        summary="learnable graph index over labels, both stages, bag-of-words or transformer encoder",
        family="graph-index",
        version="4",
        citation=CITATION,
        parameters=EliasParams,
        presets=PRESETS,
        needs=("features",),
        wants_validation=True,
        devices=("cpu", "cuda"),
        processes=True,
        scores="weighted sum of the scores of network, linear classifiers and dual encoder, learned to order one row",
        seconds={"icd10cm": 480.0, "eurlex-4.3k": 450.0},
    )

    def __init__(self, params: EliasParams) -> None:
        encoders.check("elias", params)
        if (params.output, params.ranker) == ("ranker", "none") or (params.output, params.dual_epochs) == ("dual", 0):
            off = "ranker=none" if params.output == "ranker" else "dual_epochs=0"
            raise UsageError(f"elias: output={params.output} needs what {off} leaves out", "Change one of the two.")
        self.params = params
        self.fitted: FittedModel | None = None

    def skip(self, data: Facts, machine: Machine) -> str | None:
        """The reason if the encoder's packages, or the inputs it reads, are missing."""
        return encoders.lacks(self.params, data)

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """See `xmcbench_elias.footprint`."""
        from xmcbench_elias.footprint import footprint

        return footprint(self.params, data, machine)

    def depends_on(self) -> dict[str, str]:
        """The identity of the encoder's model."""
        return encoders.identity(self.params)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Run the phases encode, dual encoder, cluster, stage 1, graph, stage 2, ranker, …; each resumes."""
        from xmcbench_elias.fit import fit

        self.fitted = fit(train, ctx, self.params)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best labels; `ctx.query` overrides query parameters.

        UsageError if nothing is fitted, or a query parameter is out of bounds.
        """
        params = self._with_query(ctx)
        shortlist = sizes(params, inputs.n_labels).shortlist
        return self._fitted().predict(inputs, k, shortlist, params.beam, params.output, ctx)

    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        """See `xmcbench_elias.explaining`."""
        from xmcbench_elias.explaining import explain

        params = self._with_query(ctx)
        shortlist = sizes(params, inputs.n_labels).shortlist
        return explain(self._fitted(), inputs, labels, shortlist, params.beam, params.output, ctx)

    def _with_query(self, ctx: RunContext) -> EliasParams:
        params = replace(self.params, **ctx.query)
        check_bounds("elias", params)
        return params

    def report(self, inputs: Inputs, score: Callable[[TopK], Evaluation], folder: Path, ctx: RunContext) -> None:
        """See `xmcbench_elias.results.report`."""
        from xmcbench_elias.results.report import report

        report(self._fitted(), inputs, score, folder, ctx, self.predict, sizes(self.params, inputs.n_labels))

    def save(self, folder: Path) -> None:
        """See `xmcbench_elias.saving.save`."""
        from xmcbench_elias.saving import save

        save(self._fitted(), folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        from xmcbench_elias.saving import load

        self.fitted = load(folder, self.params)

    def _fitted(self) -> FittedModel:
        if self.fitted is None:
            raise UsageError("elias: predict or save before fit or load")
        return self.fitted
