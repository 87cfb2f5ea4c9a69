"""Create encoders from parameters or from a folder; transformers are imported only if requested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder
from xmcbench.encoders.params import EncoderParams, identity, require
from xmcbench.errors import DataError, XmcError
from xmcbench.files import write_json
from xmcbench.inputs import read_json, typed
from xmcbench.method import Inputs, Progress

FILE = "encoder.json"


def new_encoder(
    params: EncoderParams,
    train: Inputs,
    label_texts: Sequence[str] | None,
    seed: int,
    device: str,
    progress: Progress | None = None,
) -> Encoder:
    """A new encoder to be trained, on the CPU; the caller moves it to its device.

    `bow` reads texts if both `train` and the labels have texts, so that it reads both in the same way; else it reads
    features. `device` is where a frozen transformer computes its embeddings; `progress` is called while `bow` reads
    texts.

    XmcError if a package or the model that a transformer needs is missing.
    """
    if params.encoder != "bow":
        from xmcbench.encoders.transformer import new_transformer

        return new_transformer(params, seed, device)
    generator = torch.Generator().manual_seed(seed)
    if label_texts is not None and train.texts is not None:
        return BowEncoder.reading([train.texts, label_texts], params.max_length, params.width, generator, progress)
    if train.features is None:
        raise XmcError("encoder bow: rows have neither features nor texts with label texts")
    return BowEncoder(int(train.features.shape[1]), params.width, generator)


def facts(encoder: Encoder, params: EncoderParams) -> dict[str, object]:
    """Description of an encoder for the record: resolved settings, including those that depend on the machine."""
    description: dict[str, object] = {"kind": encoder.kind, "width": encoder.width, **identity(params)}
    if isinstance(encoder, BowEncoder):
        return description | {"reads": "features" if encoder.vocabulary is None else "texts"}
    transformer: Any = getattr(encoder, "transformer", encoder)
    description |= {"pooling": transformer.pooling, "precision": "bfloat16" if transformer.halves else "float32"}
    revision = getattr(transformer.model.config, "_commit_hash", None)
    return description | ({"revision": revision} if revision else {})


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder into `folder`, creating it."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.save(folder)
    write_json(folder / FILE, {"kind": encoder.kind})


def load_encoder(folder: Path) -> Encoder:
    """Read what `save_encoder` wrote.

    DataError if it is missing or damaged; XmcError if a package that a transformer needs is not installed.
    """
    hint = "Fit again."
    settings = typed(read_json(folder / FILE, hint), dict[str, object], f"{folder / FILE}: not an encoder", hint)
    kind = settings.get("kind")
    if kind == BowEncoder.kind:
        return BowEncoder.load(folder)
    from xmcbench.encoders.frozen import FrozenEncoder
    from xmcbench.encoders.transformer import TransformerEncoder

    for transformer in (FrozenEncoder, TransformerEncoder):
        if kind == transformer.kind:
            require(EncoderParams(encoder=str(folder)))
            return transformer.load(folder)
    raise DataError(f"{folder / FILE}: unknown kind of encoder {kind!r}", "Update xmcbench, or fit again.")
