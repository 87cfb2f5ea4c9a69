"""Save a fitted ELIAS to files and load it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from xmcbench.encoders.making import load_encoder, save_encoder
from xmcbench.encoders.weights import Arrays, grouped, weights_of
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.npz_files import map_npz
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.network.source import Source
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.ranking.fusion import Calibration, Fusion
from xmcbench_elias.ranking.linear import Linear
from xmcbench_elias.training.building import rebuild
from xmcbench_elias.training.dual import Dual

DUAL = "dual"  # folder of the dual encoder


def save(fitted: FittedModel, folder: Path) -> None:
    """Write `model.npz` (and `model-2.npz`, …), `stage1.npz`, and `rest.npz` with all small arrays.

    Linear classifiers, the dual encoder and an encoder that cannot be rebuilt from weights and parameters (a
    transformer, or a vocabulary) have their own folders.
    """
    fitted.source.save(folder)
    for number, model in enumerate([fitted.first, *fitted.models]):
        write_npz(folder / _file(number), weights_of(model), compressed=False)
    fitted.linear.save(folder)
    rest: Arrays = {"models": np.array(len(fitted.models)), "seen": fitted.label_counts}
    if fitted.dual is not None:
        save_encoder(fitted.dual.encoder, folder / DUAL)
        assert fitted.dual.index is not None  # `fit` built it for its device, or it was loaded
        rest |= {f"dual/{name}": array for name, array in fitted.dual.index.arrays().items()}
        rest["dual/length"] = np.array(fitted.dual.length)
    if fitted.fusion is not None:
        rest |= {"fusion/parts": np.array(fitted.fusion.parts), "fusion/weights": fitted.fusion.weights}
    if fitted.calibration is not None:
        rest |= {f"tree/{name}": value for name, value in asdict(fitted.calibration).items()}
    write_npz(folder / "rest.npz", rest, compressed=False)


def load(folder: Path, params: EliasParams) -> FittedModel:
    """Read what `save` wrote. Large arrays are mapped, so that processes on one model share its memory.

    DataError if a file is missing or damaged, XmcError if a package that a transformer needs is not installed.
    """
    rest = map_npz(folder / "rest.npz")
    path = folder / "rest.npz"
    try:
        paths = [folder / _file(number) for number in range(int(rest["models"]) + 1)]
        groups, fusion, calibration, dual = grouped(rest), None, None, None
        if part := groups.get("fusion"):
            fusion = Fusion(tuple(part["parts"].tolist()), part["weights"])
        if part := groups.get("dual"):
            dual = Dual.read(load_encoder(folder / DUAL), part)
        if part := groups.get("tree"):
            calibration = Calibration(**part)
        label_counts = rest["seen"]
        path = paths[0]
        weights = map_npz(path)
        params, source = settled(params, len(label_counts)), Source.load(folder, params, weights)
        first = rebuild(weights, params, source)
        models = []
        for path in paths[1:]:
            models.append(rebuild(map_npz(path), params, source))
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise DataError(f"{path}: not part of an elias model ({error})", "Fit again.") from error
    linear = Linear.load(folder, len(label_counts))
    fitted = FittedModel(models, first, linear, dual, fusion, calibration, label_counts, source)
    if fusion is not None and fusion.parts != fitted.parts():
        parts = ", ".join(sorted(set(fusion.parts) ^ set(fitted.parts())))
        raise DataError(f"{folder}: parts of an elias model are missing or do not match ({parts})", "Fit again.")
    return fitted


def _file(number: int) -> str:
    return ("stage1.npz", "model.npz")[number] if number < 2 else f"model-{number}.npz"
