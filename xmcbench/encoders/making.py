"""From parameters, or from a folder, to an encoder; transformers are imported where one is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Progress
from xmcbench.encoders.packages import identity
from xmcbench.encoders.params import EncoderParams
from xmcbench.errors import DataError, XmcError
from xmcbench.files import write_json
from xmcbench.method import Inputs

FILE = "encoder.json"


def new_encoder(
    params: EncoderParams,
    train: Inputs,
    label_texts: Sequence[str] | None,
    seed: int,
    device: str,
    progress: Progress | None = None,
) -> Encoder:
    """An encoder to be trained, on the CPU: the caller moves it to its device.

    `bow` reads texts where both `train` and the labels have them, since only then can it read both alike; else it
    reads features. `device` is where a transformer's frozen embeddings are made; `progress` is told of that.

    Raises
    ------
    XmcError : a transformer is asked for, and what it needs isn't installed or isn't found.
    """
    if params.encoder != "bow":
        from xmcbench.encoders.transformer import new_transformer

        return new_transformer(params, seed, device, progress)
    generator = torch.Generator().manual_seed(seed)
    if label_texts is not None and train.texts is not None:
        return BowEncoder.reading([train.texts, label_texts], params.max_length, params.width, generator, progress)
    if train.features is None:
        raise XmcError("encoder bow: rows have neither features nor, with labels' texts beside them, texts")
    return BowEncoder(int(train.features.shape[1]), params.width, generator)


def facts(encoder: Encoder, params: EncoderParams) -> dict[str, Any]:
    """What an encoder is, for the record: `params` with what is left to it or to the machine decided."""
    told: dict[str, Any] = {"kind": encoder.kind, "width": encoder.width, **identity(params)}
    if isinstance(encoder, BowEncoder):
        return told | {"reads": "features" if encoder.vocabulary is None else "texts"}
    body: Any = getattr(encoder, "transformer", encoder)
    told |= {"pooling": body.pooling, "precision": "bfloat16" if body.halves else "float32"}
    revision = getattr(body.model.config, "_commit_hash", None)
    return told | ({"revision": revision} if revision else {})


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.save(folder)
    write_json(folder / FILE, {"kind": encoder.kind})


def load_encoder(folder: Path) -> Encoder:
    """Read what `save_encoder` wrote.

    Raises
    ------
    DataError : it is missing or damaged. XmcError : what a transformer needs isn't installed.
    """
    try:
        kind = json.loads((folder / FILE).read_text())["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / FILE}: not an encoder ({error})", "Fit again.") from error
    if kind == BowEncoder.kind:
        return BowEncoder.load(folder)
    from xmcbench.encoders.transformer import load_transformer

    return load_transformer(kind, folder)
