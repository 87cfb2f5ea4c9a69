"""The parameters of every method with an encoder; method parameters inherit from `EncoderParams`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xmcbench.errors import UsageError
from xmcbench.method import check_bounds, param


@dataclass(frozen=True)
class EncoderParams:
    """The encoder, and how it reads texts."""

    encoder: str = param(
        "bow",
        "bow, minilm, or a Hugging Face model by name or folder",
        "ours: bow runs anywhere in minutes; the others need the extra `text`",
    )
    width: int = param(256, "bow: D, length of an embedding", "measured with ELIAS, see its CHOICES.md", above=0)
    max_length: int = param(
        128,
        "words (bow) or tokens (others) after which a text is cut",
        "all-MiniLM-L6-v2 was trained on 128 tokens",
        above=0,
    )
    pooling: Literal["mean", "cls"] | None = param(
        None, "how tokens become one embedding", "sentence-transformers", none="as the model's files say, else mean"
    )
    frozen: bool = param(
        False,
        "freeze the transformer and train a layer on top of its embeddings, which are computed once",
        "ours: what a CPU can do in minutes",
    )
    precision: Literal["auto", "float32", "bfloat16"] = param(
        "auto",
        "number format of a transformer's products; auto: bfloat16 if the processor or GPU supports it",
        "measured, MiniLM on two cores with AVX-512 BF16: one text takes 16.7 ms, in float32 28.0",
    )
    checkpointing: bool = param(
        False,
        "recompute a transformer's activations in the backward pass: less memory, a third slower",
        "Chen 2016",
    )


def check(name: str, params: EncoderParams) -> None:
    """Refuse values out of bounds, and combinations that no encoder supports; `name` is the method's.

    UsageError with the value, and what is valid.
    """
    check_bounds(name, params)
    if not params.encoder.strip():
        raise UsageError(f"{name}: encoder is empty", "bow, minilm, or a Hugging Face model by name or folder.")
    path = Path(params.encoder).expanduser()
    if params.encoder.startswith(("/", "./", "../", "~")) and not path.is_dir():
        raise UsageError(
            f"{name}: encoder {params.encoder} is not a folder",
            "Give a model folder with config.json, weights and tokenizer.",
        )
    if params.frozen and params.encoder == "bow":
        raise UsageError(f"{name}: frozen=true has no meaning with encoder=bow", "Only a transformer can be frozen.")
