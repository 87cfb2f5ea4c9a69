"""Load a transformer and its tokenizer by name or folder: only safetensors, no remote code, nothing printed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from xmcbench import limits
from xmcbench.encoders.params import VALID, minilm
from xmcbench.errors import DataError, XmcError, cannot_read, counted
from xmcbench.files import user_path
from xmcbench.inputs import open_file, read_json, typed

Pooling = Literal["mean", "cls"]
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
UNWANTED = ["onnx/*", "openvino/*"]
SECONDS = 5.0  # timeout of Hugging Face's first answer
# Files with a tokenizer's terms. Without any of them, transformers creates a tokenizer with an empty vocabulary.
TERMS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def folder_of(encoder: str) -> Path:
    """The folder of a model: in the minilm package, given by the user, or in Hugging Face's cache.

    A cached model is used without a request to Hugging Face, so that later runs need no network.

    XmcError if the model is not cached and cannot be downloaded.
    """
    packaged = minilm() if encoder == "minilm" else None
    if packaged is not None:
        return packaged
    folder = user_path(encoder, "encoder ")
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    def snapshot(offline: bool) -> Path:
        path = snapshot_download(
            encoder, allow_patterns=WANTED, ignore_patterns=UNWANTED, local_files_only=offline, etag_timeout=SECONDS
        )
        return Path(path)

    try:
        cached = snapshot(offline=True)
        if is_whole(cached):
            return cached
    except (OSError, ValueError):  # not in the cache
        pass
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise XmcError(
            f"encoder {encoder}: not a folder, not complete in Hugging Face's cache, and the network is off",
            f"Valid are {VALID}. Omit --offline and HF_HUB_OFFLINE, or give the folder of a copy.",
        )
    try:
        with quiet():
            return snapshot(offline=False)
    except Exception as error:  # no narrower type covers the errors of the hub, the network and the disk
        reason = " ".join(str(error).split()) or type(error).__name__
        raise XmcError(
            f"encoder {encoder}: not a folder, not in Hugging Face's cache, and cannot be downloaded ({reason})",
            f"Valid are {VALID}. Check the name and the network, or give the folder of a copy.",
        ) from error


class _Index(msgspec.Struct, frozen=True):
    """The index of a model whose weights are in several files."""

    weight_map: dict[str, str] = {}


def is_whole(folder: Path) -> bool:
    """Whether a snapshot has all files it needs; an interrupted download lacks some."""
    try:
        paths = folder.glob("*.safetensors.index.json")
        indexes = [typed(read_json(path), _Index, str(path)) for path in paths]
    except DataError:
        return False
    shards = {name for index in indexes for name in index.weight_map.values()}
    weights = all((folder / name).exists() for name in shards) if shards else any(folder.glob("*.safetensors"))
    return weights and (folder / "config.json").exists() and has_terms(folder)


def has_terms(folder: Path) -> bool:
    """Whether the folder has a file with a tokenizer's terms."""
    return any((folder / name).is_file() for name in TERMS)


def check_files(folder: Path) -> None:
    """DataError if a file that transformers would read is no regular file, or is longer than its kind can be."""
    for path in sorted(path for pattern in WANTED for path in folder.glob(pattern)):
        try:
            with open_file(path) as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise cannot_read(path, error) from error
        if path.suffix != ".safetensors" and size > limits.WHOLE_TEXT:
            raise DataError(f"{path}: {size:,} bytes, at most {limits.WHOLE_TEXT:,} are read", "Get the model again.")


def load_model(folder: Path) -> Any:
    """A transformer in float32 on the CPU, with all dropout at 0 and without its pooling layer.

    Attention without dropout can use the fused kernels, and nothing draws from torch's global generator.

    DataError if a file is missing or damaged, or weights are missing; or there is no safetensors file.
    """
    from transformers import AutoConfig, AutoModel

    if not (folder / "config.json").is_file():
        raise DataError(f"{folder / 'config.json'}: missing, so this is not a model folder")
    check_files(folder)
    if not any(folder.glob("*.safetensors")):
        raise DataError(
            f"{folder / 'model.safetensors'}: missing; weights are read only from safetensors, never from a pickle",
            "Convert the model once: AutoModel.from_pretrained(…).save_pretrained(…).",
        )
    with quiet(), torch.random.fork_rng(devices=[]):  # missing weights would be drawn at random
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            for name, value in config.to_dict().items():
                if ("drop" in name) and isinstance(value, float):
                    setattr(config, name, 0.0)
            config.use_cache = False  # for decoders only; with checkpointing it causes warnings
            model, loading_info = AutoModel.from_pretrained(
                folder,
                config=config,
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:  # transformers has no common error type
            raise DataError(f"{folder}: not a readable model ({_damaged_file(folder)}{error})") from error
    if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
        raise DataError(f"{folder}: {type(model).__name__} is not a text encoder", "Use an encoder model such as BERT.")
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None  # its weights are not used
    missing = [name for name in loading_info["missing_keys"] if not name.startswith("pooler.")]
    missing += [str(mismatch[0]) for mismatch in loading_info["mismatched_keys"]]
    if missing:
        raise DataError(f"{folder}: the weights lack {missing[0]}, {counted(len(missing), 'parameter')} in all")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model; DataError if its files are missing or damaged, or there is no fast tokenizer."""
    from transformers import AutoTokenizer

    check_files(folder)
    if not has_terms(folder):
        raise DataError(f"{folder / 'tokenizer.json'}: missing, as is any other file with a tokenizer's terms")
    with quiet():
        try:
            options = {"local_files_only": True, "trust_remote_code": False, "use_fast": True}
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        except Exception as error:  # transformers has no common error type
            raise DataError(f"{folder / 'tokenizer.json'}: not a readable tokenizer ({error})") from error
    if not tokenizer.is_fast:
        kind = type(tokenizer).__name__
        raise DataError(f"{folder}: {kind} is not a fast tokenizer", "Save the model with a tokenizer.json.")
    return tokenizer


def pooling_of(folder: Path) -> Pooling:
    """The pooling in the folder's sentence-transformers file; mean without such a file.

    DataError if the file is damaged, or has neither mean nor cls.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.exists():
        return "mean"
    settings = typed(read_json(path), dict[str, object], str(path))
    modes = [name for name, value in settings.items() if name.startswith("pooling_mode") and value]
    poolings: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in poolings:
        raise DataError(f"{path}: pools by {', '.join(modes) or 'nothing'}", "Set pooling=mean or pooling=cls.")
    return poolings[modes[0]]


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off progress bars and warnings of transformers and of its hub, since methods print nothing."""
    from huggingface_hub import utils
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # untyped
    hub: Any = utils
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars = not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
        if hub_bars:
            hub.enable_progress_bars()


def _damaged_file(folder: Path) -> str:
    """Name the first damaged file, as a prefix of the message: transformers' errors do not. Empty if there is none."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except (SafetensorError, OSError):
            return f"{path.name} is damaged: "
    return ""
