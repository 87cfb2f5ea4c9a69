"""All of ELIAS in files, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xmcbench.encoders.making import load_encoder, save_encoder
from xmcbench.errors import DataError
from xmcbench.files import read_npz, write_npz
from xmcbench_elias.building import rebuild
from xmcbench_elias.calibration import Calibration
from xmcbench_elias.dual import Dual
from xmcbench_elias.fusion import Fusion
from xmcbench_elias.linear import Linear
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.source import Source
from xmcbench_elias.whole import Whole

DUAL = "dual"  # folder of the dual encoder's encoder


def save(whole: Whole, folder: Path) -> None:
    """`model.npz` (then `model-2.npz`, …), `stage1.npz`, and `rest.npz` with all that is small.

    Linear classifiers, the dual encoder and an encoder that weights and parameters don't make (a transformer, or the
    terms of texts) have folders of their own.
    """
    whole.source.save(folder)
    for number, model in enumerate([whole.first, *whole.models]):
        weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        write_npz(folder / _file(number), weights, compressed=False)
    whole.linear.save(folder)
    rest: dict[str, Any] = {"models": np.array(len(whole.models)), "seen": whole.seen}
    if whole.dual is not None:
        save_encoder(whole.dual.encoder, folder / DUAL)
        rest |= {f"dual/{name}": getattr(whole.dual, name) for name in ("embeddings", "known")}
        rest["dual/length"] = np.array(whole.dual.length)
    if whole.fusion is not None:
        rest |= {"fusion/parts": np.array(whole.fusion.parts), "fusion/weights": whole.fusion.weights}
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
        fusion = calibration = dual = None
        if "fusion/parts" in rest:
            fusion = Fusion(tuple(rest["fusion/parts"].tolist()), rest["fusion/weights"])
        if "dual/length" in rest:
            given = rest["dual/embeddings"], rest["dual/known"], float(rest["dual/length"])
            dual = Dual(load_encoder(folder / DUAL), *given)
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
    whole = Whole(models, first, Linear.load(folder), dual, fusion, calibration, seen, source)
    if fusion is not None and fusion.parts != whole.parts():
        lost = ", ".join(sorted(set(fusion.parts) ^ set(whole.parts())))
        raise DataError(f"{folder}: parts of an elias model are missing or another's ({lost})", "Fit again.")
    return whole


def _file(number: int) -> str:
    return ("stage1.npz", "model.npz")[number] if number < 2 else f"model-{number}.npz"
