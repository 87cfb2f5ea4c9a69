"""ELIAS as an xmcbench method. This module is read by listings: torch and numba are imported where used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xmcbench.errors import UsageError
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Machine, MethodInfo, TrainData
from xmcbench_elias.params import EliasParams, sizes

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.data.spec import Facts
    from xmcbench.topk import TopK
    from xmcbench_elias.model import EliasModel

CITATION = """@inproceedings{gupta2022elias,
  title = {{ELIAS}: End-to-End Learning to Index and Search in Large Output Spaces},
  author = {Gupta, Nilesh and Chen, Patrick H. and Yu, Hsiang-Fu and Hsieh, Cho-Jui and Dhillon, Inderjit S.},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
}"""


class Elias:
    """Clusters of labels, then a graph over them learned together with encoder and ranker."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="elias",
        summary="learnable graph index over labels, both stages, bag-of-words encoder",
        family="graph-index",
        version="1",
        citation=CITATION,
        parameters=EliasParams,
        needs=("features",),
        wants_validation=True,
        devices=("cpu", "cuda"),
        seconds={"icd10cm": 200.0, "eurlex-4.3k": 190.0},
    )

    def __init__(self, params: EliasParams) -> None:
        self.params = params
        self.model: EliasModel | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        return None

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Phases cluster, stage 1, graph, stage 2; each goes on from its checkpoint."""
        from xmcbench_elias.stages import fit

        self.model = fit(train, ctx, self.params)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best of the K shortlisted labels; `ctx.query["beam"]` overrides the parameter."""
        from xmcbench_elias.predict import predict

        if self.model is None:
            raise UsageError("elias: predict before fit or load")
        self.model.to(ctx.device)
        beam = int(ctx.query.get("beam", self.params.beam))
        return predict(self.model, inputs, k, beam, sizes(self.params, self.model.n_labels).shortlist, ctx)

    def save(self, folder: Path) -> None:
        """`model.npz`: every weight and the index, float32 and int64."""
        if self.model is None:
            raise UsageError("elias: save before fit or load")
        weights = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        write_npz(folder / "model.npz", weights, compressed=False)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        from xmcbench_elias.stages import rebuild

        with np.load(folder / "model.npz", allow_pickle=False) as file:
            weights: dict[str, Any] = {name: file[name] for name in file.files}
        self.model = rebuild(weights, self.params)
