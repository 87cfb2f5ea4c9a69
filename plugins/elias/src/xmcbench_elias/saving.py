"""All of ELIAS in files, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xmcbench.errors import DataError
from xmcbench.files import read_npz, write_npz
from xmcbench.sparse.csr import Parts
from xmcbench.sparse.inverted import InvertedWeights
from xmcbench_elias.building import rebuild
from xmcbench_elias.calibration import Calibration
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.ranker import Blend, Ranker
from xmcbench_elias.source import Source
from xmcbench_elias.whole import Whole


def save(whole: Whole, folder: Path) -> None:
    """`model.npz` (then `model-2.npz`, …), `stage1.npz`, and `rest.npz` with ranker, calibration and label counts.

    An encoder that weights and parameters don't make stands in `encoder`: a transformer, or the terms of texts.
    """
    whole.source.save(folder)
    for number, model in enumerate([whole.first, *whole.models]):
        weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        write_npz(folder / _file(number), weights, compressed=False)
    rest: dict[str, Any] = {"models": np.array(len(whole.models)), "seen": whole.seen}
    if whole.ranker is not None:
        weights = whole.ranker.weights
        rest |= {**weights.by_feature._asdict(), "bias": weights.bias}
        rest["blend"] = np.array(list(asdict(whole.ranker.blend).values()))
    if whole.calibration is not None:
        rest |= {f"tree/{name}": value for name, value in asdict(whole.calibration).items()}
    write_npz(folder / "rest.npz", rest, compressed=False)


def load(folder: Path, params: EliasParams) -> Whole:
    """Read what `save` wrote.

    Raises
    ------
    DataError : a file is missing or damaged. XmcError : what a transformer needs isn't installed.
    """
    rest = read_npz(folder / "rest.npz")
    path = folder / "rest.npz"
    try:
        paths = [folder / _file(number) for number in range(int(rest["models"]) + 1)]
        ranker = calibration = None
        if "blend" in rest:
            weights = InvertedWeights(Parts(rest["indptr"], rest["indices"], rest["data"]), rest["bias"])
            ranker = Ranker(weights, Blend(*rest["blend"].tolist()))
        tree = {name.removeprefix("tree/"): value for name, value in rest.items() if name.startswith("tree/")}
        if tree:
            calibration = Calibration(**tree)
        seen = rest["seen"]
        path = paths[0]
        kept = read_npz(path)
        params, source = settled(params, len(seen)), Source.load(folder, params, kept)
        first = rebuild(kept, params, source)
        models = []
        for path in paths[1:]:
            models.append(rebuild(read_npz(path), params, source))
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise DataError(f"{path}: not part of an elias model ({error})", "Fit again.") from error
    return Whole(models, first, ranker, calibration, seen, source)


def _file(number: int) -> str:
    return ("stage1.npz", "model.npz")[number] if number < 2 else f"model-{number}.npz"
