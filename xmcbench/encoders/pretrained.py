"""From a name or a folder to a model and its tokenizer: safetensors alone, no code of theirs, nothing printed."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from xmcbench.encoders.packages import VALID, minilm
from xmcbench.errors import DataError, XmcError

Pooling = Literal["mean", "cls"]
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
UNWANTED = ["onnx/*", "openvino/*"]
SECONDS = 5.0  # for the hub's first answer
# Where a tokenizer keeps its terms. Without any of these transformers makes one up that knows no word.
TERMS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def folder_of(encoder: str) -> Path:
    """The folder of a model: inside the minilm package, a user's own, or in Hugging Face's cache.

    What the cache has is taken without asking the hub, so that a run needs no network the second time.

    Raises
    ------
    XmcError : it isn't in the cache and can't be downloaded.
    """
    packaged = minilm() if encoder == "minilm" else None
    if packaged is not None:
        return packaged
    own = Path(encoder).expanduser()
    if own.is_dir():
        return own
    from huggingface_hub import snapshot_download

    def snapshot(offline: bool) -> Path:
        found = snapshot_download(
            encoder, allow_patterns=WANTED, ignore_patterns=UNWANTED, local_files_only=offline, etag_timeout=SECONDS
        )
        return Path(found)

    try:
        cached = snapshot(offline=True)
        if is_whole(cached):
            return cached
    except (OSError, ValueError):  # not in the cache
        pass
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise XmcError(
            f"encoder {encoder}: not a folder here, not whole in Hugging Face's cache, and the network is off",
            f"Valid are {VALID}. Leave --offline or HF_HUB_OFFLINE out, or give the folder of a copy.",
        )
    try:
        with quiet():
            return snapshot(offline=False)
    except Exception as error:  # of the hub, the network, the disk: nothing narrower covers all of them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise XmcError(
            f"encoder {encoder}: not a folder here, not in Hugging Face's cache, and can't be downloaded ({reason})",
            f"Valid are {VALID}. Check the name and the network, or give the folder of a copy.",
        ) from error


def is_whole(folder: Path) -> bool:
    """Does a snapshot have all it needs? A download that was cut short left some of its files out."""
    indexes = [json.loads(path.read_text()) for path in folder.glob("*.safetensors.index.json")]
    shards = {name for index in indexes for name in index.get("weight_map", {}).values()}
    weights = all((folder / name).exists() for name in shards) if shards else any(folder.glob("*.safetensors"))
    return weights and (folder / "config.json").exists() and has_terms(folder)


def has_terms(folder: Path) -> bool:
    """Are the tokenizer's own files there?"""
    return any((folder / name).is_file() for name in TERMS)


def load_model(folder: Path) -> Any:
    """A transformer in float32 on the CPU, with all dropout at 0 and without a pooling layer of its own.

    Attention without dropout can go the fused way, and nothing draws from torch's global generator.

    Raises
    ------
    DataError : a file is missing, damaged, or holds no weights for all of the model; or there is no safetensors file.
    """
    from transformers import AutoConfig, AutoModel

    if not (folder / "config.json").is_file():
        raise DataError(f"{folder / 'config.json'}: not there, so this is no folder of a model")
    if not any(folder.glob("*.safetensors")):
        raise DataError(
            f"{folder / 'model.safetensors'}: not there; weights are read from safetensors alone, never from a pickle",
            "Convert the model once: AutoModel.from_pretrained(…).save_pretrained(…).",
        )
    with quiet(), torch.random.fork_rng(devices=[]):  # weights that a file lacks would be drawn
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            for name, value in config.to_dict().items():
                if ("drop" in name) and isinstance(value, float):
                    setattr(config, name, 0.0)
            config.use_cache = False  # of decoders; with checkpointing it would only be warned of
            model, told = AutoModel.from_pretrained(
                folder,
                config=config,
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises whatever its parts do
            raise DataError(f"{folder}: not a model that can be read ({_named(folder)}{error})") from error
    if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
        raise DataError(f"{folder}: {type(model).__name__} is no plain encoder of texts", "Use one like BERT.")
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None  # weights no embedding of ours goes through
    lacking = [name for name in told["missing_keys"] if not name.startswith("pooler.")]
    lacking += [str(each[0]) for each in told["mismatched_keys"]]
    if lacking:
        raise DataError(f"{folder}: the weights lack {lacking[0]}, {len(lacking)} parameters in all")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model.

    Raises
    ------
    DataError : its files are missing or damaged, or it has no fast form.
    """
    from transformers import AutoTokenizer

    if not has_terms(folder):
        raise DataError(f"{folder / 'tokenizer.json'}: not there, nor any other file of a tokenizer's terms")
    with quiet():
        try:
            found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
        except Exception as error:  # transformers raises whatever its parts do
            raise DataError(f"{folder / 'tokenizer.json'}: no tokenizer that can be read ({error})") from error
    if not found.is_fast:
        raise DataError(f"{folder}: {type(found).__name__} has no fast form", "Save the model with a tokenizer.json.")
    return found


def pooling_of(folder: Path) -> Pooling:
    """What sentence-transformers' file in the folder says, else mean.

    Raises
    ------
    DataError : the file is damaged, or says neither mean nor cls.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.exists():
        return "mean"
    try:
        said = json.loads(path.read_text())
        modes = [name for name, value in said.items() if name.startswith("pooling_mode") and value]
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not readable ({error})") from error
    known: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise DataError(f"{path}: pools by {', '.join(modes) or 'nothing'}", "Say pooling=mean or pooling=cls.")
    return known[modes[0]]


@contextmanager
def quiet() -> Iterator[None]:
    """Bars and warnings of transformers and of the hub off, and as they were afterwards: methods print nothing."""
    from huggingface_hub import utils
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # neither is typed
    hub: Any = utils
    level, bar, hubs = logging.get_verbosity(), logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
        if hubs:
            hub.enable_progress_bars()


def _named(folder: Path) -> str:
    """Which file is the damaged one, where that can be told: transformers' own errors don't."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except (SafetensorError, OSError):
            return f"{path.name} is damaged: "
    return ""
