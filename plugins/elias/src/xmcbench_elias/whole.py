"""All of ELIAS as it is saved and predicts: one or more models, their ranker and calibration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.files import write_npz
from xmcbench.topk import PAD, TopK
from xmcbench_elias.calibration import SHARE, Calibration
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams
from xmcbench_elias.predict import predict
from xmcbench_elias.ranker import POOL, Ranker, blend, ratings
from xmcbench_elias.stages import rebuild

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs


@dataclass
class Whole:
    """What is saved and predicts.

    Attributes
    ----------
    models : one, or several whose scores are averaged.
    first : the first of them as it was before the graph.
    seen : (L,) float32 rows of each label in train.
    """

    models: list[EliasModel]
    first: EliasModel
    ranker: Ranker | None
    calibration: Calibration | None
    seen: NDArray[np.float32]

    def predict(self, inputs: Inputs, k: int, shortlist: int, beam: int, output: str, ctx: RunContext) -> TopK:
        """The k best labels of each row by the chosen `output`, see `EliasParams.output`."""
        if output == "stage1":
            return predict(self.first, inputs, k, beam, shortlist, ctx)
        if output == "model" or self.ranker is None:
            return best(average([predict(m, inputs, k, beam, shortlist, ctx) for m in self.models]), k)
        top = average([predict(m, inputs, max(k, POOL), beam, shortlist, ctx) for m in self.models])
        r = ratings(self.ranker.weights, inputs, top.ids)
        if output == "ranker":
            return TopK.from_arrays(top.ids, blend(top, r, 1.0), k)
        return TopK.from_arrays(top.ids, final(top, r, self.ranker, self.calibration, self.seen), k)


def final(
    top: TopK, r: NDArray[np.float32], ranker: Ranker, calibration: Calibration | None, seen: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, m) final scores of candidates: the blend, with the tree's share of true labels where there is one."""
    scores = blend(top, r, ranker.share)
    if calibration is None:
        return scores
    real = top.ids != PAD
    told = calibration(candidates(top, r, seen)[real.ravel()])
    scores[real] = SHARE * told + (1 - SHARE) * scores[real]
    return scores


def candidates(top: TopK, r: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n · m, 3) what the calibration tree looks at."""
    return np.stack([r.ravel(), top.scores.ravel(), seen[np.maximum(top.ids, 0)].ravel()], axis=1)


def average(tops: list[TopK]) -> TopK:
    """Mean scores over several models, a label one of them does not show counting 0 there; columns in no order."""
    if len(tops) == 1:
        return tops[0]
    ids = np.concatenate([top.ids for top in tops], axis=1)
    scores = np.concatenate([np.where(top.ids == PAD, 0, top.scores) for top in tops], axis=1) / len(tops)
    order = np.argsort(ids, axis=1, kind="stable")
    ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    total = scores.copy()
    for step in range(1, len(tops)):
        total[:, :-step] += np.where(ids[:, step:] == ids[:, :-step], scores[:, step:], 0)
    again = np.zeros(ids.shape, bool)
    again[:, 1:] = ids[:, 1:] == ids[:, :-1]
    ids = np.where(again, PAD, ids)
    return TopK(ids, np.where(ids == PAD, -np.inf, total).astype(np.float32))


def best(top: TopK, k: int) -> TopK:
    """The k best of candidates in any order."""
    return TopK.from_arrays(top.ids, top.scores, k)


def save(whole: Whole, folder: Path) -> None:
    """`model.npz` (then `model-2.npz`, …), `stage1.npz`, and `rest.npz` with ranker, calibration and label counts."""
    for number, model in enumerate([whole.first, *whole.models]):
        weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        write_npz(folder / _file(number), weights, compressed=False)
    rest: dict[str, Any] = {"models": np.array(len(whole.models)), "seen": whole.seen}
    if whole.ranker is not None:
        w = whole.ranker.weights
        rest |= {"data": w.data, "indices": w.indices, "indptr": w.indptr, "shape": np.array(w.shape)}
        rest["share"] = np.array(whole.ranker.share)
    if whole.calibration is not None:
        rest |= {f"tree/{name}": value for name, value in asdict(whole.calibration).items()}
    write_npz(folder / "rest.npz", rest, compressed=False)


def load(folder: Path, params: EliasParams) -> Whole:
    """Read what `save` wrote."""
    rest = _arrays(folder / "rest.npz")
    first, *models = [rebuild(_arrays(folder / _file(i)), params) for i in range(int(rest["models"]) + 1)]
    ranker = calibration = None
    if "share" in rest:
        weights = sp.csr_matrix((rest["data"], rest["indices"], rest["indptr"]), shape=tuple(rest["shape"]))
        ranker = Ranker(weights, float(rest["share"]))
    tree = {name.removeprefix("tree/"): value for name, value in rest.items() if name.startswith("tree/")}
    if tree:
        calibration = Calibration(**tree)
    return Whole(models, first, ranker, calibration, rest["seen"])


def _file(number: int) -> str:
    return ("stage1.npz", "model.npz")[number] if number < 2 else f"model-{number}.npz"


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
