"""Transformer encoder: the model's token states pooled into one embedding, with dropout."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from xmcbench.encoders.bow import drop
from xmcbench.encoders.encoder import Encoder
from xmcbench.encoders.params import EncoderParams, require
from xmcbench.encoders.pretrained import Pooling, folder_of, load_model, load_tokenizer, pooling_of, quiet
from xmcbench.encoders.tokens import Tokeniser, TokenRows, Tokens
from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_json
from xmcbench.method import Inputs, Progress

FILE = "transformer.json"
OFFSET = (  # model types whose position numbers start after the padding id
    "roberta",
    "xlm-roberta",
    "camembert",
    "xlm-roberta-xl",
    "data2vec-text",
    "mpnet",
    "longformer",
    "esm",
    "ibert",
)
# tokens per batch of `embed`: few on a CPU, so that activations fit into its caches; many on a GPU
TOKENS = {"cpu": 1 << 10, "cuda": 1 << 17}
Precision = Literal["auto", "float32", "bfloat16"]
# names in torch.cpu.get_capabilities: two instruction sets of x86, and those of ARM
HALF = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


class TransformerEncoder(Encoder):
    """φ(x) = drop(pool(model(x))), not normalised.

    Weights and φ are float32. Products are in bfloat16 if `precision` says so: by autocast with gradients, by a
    bfloat16 copy of the model without. The gradient of the word embeddings is sparse too, but their table is small.

    Parameters
    ----------
    model, tokenizer : as loaded by `xmcbench.encoders.pretrained`.
    max_length : tokens after which a text is cut.
    pooling : mean of all tokens, or the first one.
    checkpointing : recompute activations in the backward pass.

    UsageError if the model cannot read `max_length` tokens, or does not support checkpointing.
    """

    kind: ClassVar[str] = "transformer"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        max_length: int,
        pooling: Pooling = "mean",
        precision: Precision = "auto",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.width = int(model.config.hidden_size)
        self.tokenise = Tokeniser(tokenizer, max_length, max_tokens(model, tokenizer))
        self.max_length, self.pooling = max_length, pooling
        self.precision, self.checkpointing = precision, checkpointing
        self._halved = Halved()
        if checkpointing:
            if not getattr(model, "supports_gradient_checkpointing", False):
                raise UsageError(f"{type(model).__name__} does not support checkpointing", "Use checkpointing=false.")
            old, new = "gradient_checkpointing_enable", "activation_checkpointing_enable"  # transformers < 5, ≥ 5
            # The forward pass draws no random numbers, so no generator state has to be saved.
            getattr(model, new if hasattr(model, new) else old)({"use_reentrant": False, "preserve_rng_state": False})
            model.train()  # transformers checkpoints only in training mode; all dropout is 0

    @property
    def part(self) -> int:
        """See `Encoder`; in tokens."""
        return TOKENS.get(self.device.type, TOKENS["cpu"])

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def halves(self) -> bool:
        """Whether products are in bfloat16 on the device of the weights."""
        return in_half(self.precision, self.device)

    def rows(self, inputs: Inputs, progress: Progress | None = None) -> TokenRows:
        """Tokens of the rows' texts; those of many texts are cached under HOME/tokens.

        DataError if the rows have no texts.
        """
        return self.label_rows(texts_of(inputs), progress)

    def label_rows(self, texts: Sequence[str], progress: Progress | None = None) -> TokenRows:
        return self.tokenise(texts, progress)

    def forward(self, batch: Tokens, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        if torch.is_grad_enabled():
            self._halved.forget()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
                states = _states(self.model, batch)
        else:
            states = _states(self._halved(self.model) if self.halves else self.model, batch)
        return drop(pool(states.float(), batch.mask, self.pooling), dropout, generator)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer in the format of transformers (safetensors, JSON), and the settings as JSON."""
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        settings = {"max_length": self.max_length, "pooling": self.pooling}
        write_json(folder / FILE, settings | {"precision": self.precision, "checkpointing": self.checkpointing})

    @classmethod
    def load(cls, folder: Path) -> TransformerEncoder:
        """Read what `save` wrote; DataError if a file is missing or damaged."""
        try:
            settings = json.loads((folder / FILE).read_text(encoding="utf-8"))
            values = {name: settings[name] for name in ("max_length", "pooling", "precision", "checkpointing")}
            if values["pooling"] not in ("mean", "cls") or values["precision"] not in ("auto", "float32", "bfloat16"):
                raise ValueError("unknown values")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder / FILE}: not a transformer encoder ({error})", "Fit again.") from error
        return cls(load_model(folder), load_tokenizer(folder), **values)


def new_transformer(params: EncoderParams, seed: int, device: str) -> Encoder:
    """The transformer named by `params.encoder` on the CPU; if frozen, with a layer on top and itself on `device`.

    XmcError if a package or the model is missing; DataError if the model cannot be read.
    """
    require(params)
    folder = folder_of(params.encoder)
    encoder = TransformerEncoder(
        load_model(folder),
        load_tokenizer(folder),
        params.max_length,
        params.pooling or pooling_of(folder),
        params.precision,
        params.checkpointing and not params.frozen,
    )
    if not params.frozen:
        return encoder
    from xmcbench.encoders.frozen import FrozenEncoder

    return FrozenEncoder(encoder.to(device), torch.Generator().manual_seed(seed))


def pool(states: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """(n, D) from (n, T, D): the state of the first token, or the mean over all tokens without padding."""
    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        return states.mean(dim=1)
    weights = mask.to(states.dtype)[:, :, None]
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def texts_of(inputs: Inputs) -> Sequence[str]:
    """The texts of rows; DataError if they have none."""
    if inputs.texts is None:
        raise DataError("rows have no texts, and a transformer reads only texts", "Use encoder=bow.")
    return inputs.texts


def max_tokens(model: Any, tokenizer: Any) -> int | None:
    """The maximum number of tokens a model can read, or None if its files have no limit."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and model.config.model_type in OFFSET:  # positions start after the padding id
        positions -= (model.config.pad_token_id or 0) + 1
    limits = [tokenizer.model_max_length, positions]
    return min((int(n) for n in limits if n is not None and 0 < n < 1 << 20), default=None)


def _states(model: nn.Module, batch: Tokens) -> Tensor:
    states: Tensor = model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    return states


def in_half(precision: Precision, device: torch.device) -> bool:
    """Whether products are in bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and has_half(device))


def has_half(device: torch.device) -> bool:
    """Whether the device has bfloat16 in hardware; an emulation would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities: Any = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(capabilities().get(name, False) for name in HALF)
    supported: Any = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # torch before 2.11
    return bool(supported())


class Halved:
    """A bfloat16 copy of a module for embedding, created on demand and again when the weights have changed.

    It is faster than autocast, which casts weights for every batch and activations between operations.
    """

    def __init__(self) -> None:
        self._copy: nn.Module | None = None
        self._versions: tuple[tuple[int, int], ...] = ()

    def __call__(self, module: nn.Module) -> nn.Module:
        versions = tuple((p.data_ptr(), p._version) for p in module.parameters())
        if self._copy is None or versions != self._versions:
            with torch.inference_mode(False), torch.no_grad():
                self._copy = copy.deepcopy(module).to(torch.bfloat16).requires_grad_(False).eval()
            self._versions = versions
        return self._copy

    def forget(self) -> None:
        """Drop the copy. Call it before weights change, since not every write to them is detected."""
        self._copy = None
