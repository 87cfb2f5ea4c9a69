"""Files of ELIAS runs made elsewhere: what they hold, and whether a file is one."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError

INPUTS = {
    **dict.fromkeys(("in/alpha", "in/beta", "in/loss_lambda", "in/beam_size", "in/K_stage1", "in/K_stage2"), ""),
    "in/y_inds": "n P",
}
WEIGHTS = {"WC.weight": "C D", "WC.bias": "C", "WL.weight": "L+1 D", "WL.bias": "L+1"}
LOGITS = {"A_nz_vals_param": "C width"}  # stage 2 only
RESULTS = {
    "param/A_nz_inds": "C width",
    "param/A_nz_vals": "C width",
    "eval/embs": "n D",
    "eval/cluster_scores": "n C",
    **{f"eval/cluster_{what}": "n beam" for what in ("inds", "vals")},
    **{f"train/cluster_{what}": "n w" for what in ("inds", "vals")},
    **{f"{part}/label_shortlist_{what}": f"n {part}-paths" for part in ("eval", "train") for what in ("inds", "vals")},
    **{f"{part}/topK_{what}": f"n {part}-K" for part in ("eval", "train") for what in ("inds", "vals")},
    "eval/top5_vals": "n top",
    **dict.fromkeys(("train/loss", "train/loss_classification", "train/loss_shortlist"), ""),
    "train/trace": "steps",
    "train/trace_final_WC.weight": "C D",
}
ARRAYS = {stage: WEIGHTS | LOGITS if stage == 2 else WEIGHTS for stage in (1, 2)}


def read(path: Path) -> list[dict[str, NDArray[Any]]]:
    """The arrays of both stages of a file: "in/…", and those of the stage without its prefix.

    Raises
    ------
    DataError : the file is missing, damaged or no such file; keys it lacks and shapes that don't fit are named.
    """
    try:
        with np.load(path, allow_pickle=False) as opened:
            numbers: dict[str, NDArray[Any]] = {key: opened[key] for key in opened.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: no npz file, or a damaged one ({error})", "Get it again.") from error
    return [_checked(path, numbers, stage) for stage in (1, 2)]


def _checked(path: Path, numbers: dict[str, NDArray[Any]], stage: int) -> dict[str, NDArray[Any]]:
    """A stage's arrays, if they are all there and fit together."""
    wanted = dict(INPUTS)
    for name, shape in ARRAYS[stage].items():
        wanted |= {f"elias{stage}/param/{name}": shape, f"elias{stage}/train/grad/{name}": shape}
    wanted |= {f"elias{stage}/{name}": shape for name, shape in RESULTS.items()}
    lacking = [key for key in wanted if key not in numbers]
    if lacking:
        some = ", ".join(lacking[:8]) + (f", … ({len(lacking)} in all)" if len(lacking) > 8 else "")
        raise DataError(
            f"{path}: not an ELIAS oracle, it lacks {some}", "tests/oracles/elias/file.py lists what one holds."
        )
    sizes: dict[str, int] = {}
    for key, shape in wanted.items():
        names, found = shape.split(), numbers[key].shape
        fits = len(names) == len(found) and all(
            sizes.setdefault(n, size) == size for n, size in zip(names, found, strict=True)
        )
        if not fits:
            known = ", ".join(f"{n} = {sizes[n]}" for n in names if n in sizes)
            raise DataError(
                f"{path}: {key} has shape {found}, must be ({', '.join(names)}) with {known or 'one number'}"
            )
    arrays = {key.removeprefix(f"elias{stage}/"): numbers[key] for key in wanted}
    if arrays["eval/embs"].dtype not in (np.float32, np.float64):
        raise DataError(f"{path}: eval/embs is {arrays['eval/embs'].dtype}, must be float32 or float64")
    bounds = {"param/A_nz_inds": "L+1", "in/y_inds": "L+1", "eval/cluster_inds": "C", "train/cluster_inds": "C"}
    for key, size in bounds.items():
        if arrays[key].size and not (arrays[key].min() >= 0 and arrays[key].max() < sizes[size]):
            raise DataError(f"{path}: {key} must lie in 0 … {sizes[size] - 1}")
    return arrays
