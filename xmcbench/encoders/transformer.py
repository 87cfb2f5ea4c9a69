"""A transformer as an encoder: tokens through the model, pooled into one embedding, with dropout on top of that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xmcbench.encoders.bow import drop
from xmcbench.encoders.encoder import Encoder, Progress
from xmcbench.encoders.packages import require
from xmcbench.encoders.params import EncoderParams
from xmcbench.encoders.precision import Halved, Precision, in_half
from xmcbench.encoders.pretrained import Pooling, folder_of, load_model, load_tokenizer, pooling_of, quiet
from xmcbench.encoders.tokens import Tokeniser, TokenRows, Tokens
from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_json
from xmcbench.method import Inputs

FILE = "transformer.json"
OFFSET = (
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
# embedded at a time. MiniLM on two cores: 1024 tokens are 1.4 times as fast as 8192 (short texts; 1.2 times at 86
# tokens), since activations stay in the processor's caches; a GPU wants many
TOKENS = {"cpu": 1 << 10, "cuda": 1 << 17}


class TransformerEncoder(nn.Module):
    """φ(x) = drop(pool(model(x))), not normalised.

    Weights are float32, and so is φ. Products are in bfloat16 where `precision` says so: by autocast with gradients,
    by a copy of the model in bfloat16 without.

    Parameters
    ----------
    model, tokenizer : as `xmcbench.encoders.pretrained` loads them.
    max_length : tokens after which a text is cut.
    pooling : mean of all tokens, or the first one.
    checkpointing : activations are computed again in the backward pass.

    Attributes
    ----------
    progress : told texts done and in all by `rows` and `label_rows`; None: nobody is.

    Raises
    ------
    UsageError : the model can't read `max_length` tokens, or knows no checkpointing.
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
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.width = int(model.config.hidden_size)
        self.tokenise = Tokeniser(tokenizer, max_length, most_tokens(model, tokenizer))
        self.max_length, self.pooling, self.precision, self.checkpointing = (
            max_length,
            pooling,
            precision,
            checkpointing,
        )
        self.progress = progress
        self._halved = Halved()
        if checkpointing:
            if not getattr(model, "supports_gradient_checkpointing", False):
                raise UsageError(f"{type(model).__name__} knows no checkpointing", "Leave checkpointing=false.")
            old, new = "gradient_checkpointing_enable", "activation_checkpointing_enable"  # transformers before, from 5
            # nothing is drawn in the forward pass, so there is no generator's state to keep
            getattr(model, new if hasattr(model, new) else old)({"use_reentrant": False, "preserve_rng_state": False})
            model.train()  # which is when transformers checkpoints; all dropout is 0

    @property
    def part(self) -> int:
        """See `Encoder`: tokens."""
        return TOKENS.get(self.device.type, TOKENS["cpu"])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def halves(self) -> bool:
        """Whether products are in bfloat16 where the weights are."""
        return in_half(self.precision, self.device)

    def rows(self, inputs: Inputs) -> TokenRows:
        """Their texts' tokens; many are kept under HOME/tokens.

        Raises
        ------
        DataError : they have no texts.
        """
        return self.label_rows(texts_of(inputs))

    def label_rows(self, texts: Sequence[str]) -> TokenRows:
        """See `Encoder.label_rows`."""
        return self.tokenise(texts, self.progress)

    def forward(self, batch: Tokens, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """See `Encoder`."""
        if torch.is_grad_enabled():
            self._halved.forget()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
                states = _states(self.model, batch)
        else:
            states = _states(self._halved(self.model) if self.halves else self.model, batch)
        return drop(pool(states.float(), batch.mask, self.pooling), dropout, generator)

    def tables(self) -> list[nn.Parameter]:
        """None: a text touches few rows of the word embeddings, but the table is small."""
        return []

    def save(self, folder: Path) -> None:
        """Model and tokenizer as transformers keep them (safetensors, JSON), and what is ours beside them."""
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        ours = {"max_length": self.max_length, "pooling": self.pooling}
        write_json(folder / FILE, ours | {"precision": self.precision, "checkpointing": self.checkpointing})

    @classmethod
    def load(cls, folder: Path) -> TransformerEncoder:
        """Read what `save` wrote.

        Raises
        ------
        DataError : a file is missing or damaged.
        """
        try:
            said = json.loads((folder / FILE).read_text())
            values = {name: said[name] for name in ("max_length", "pooling", "precision", "checkpointing")}
            if values["pooling"] not in ("mean", "cls") or values["precision"] not in ("auto", "float32", "bfloat16"):
                raise ValueError("values that aren't known")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder / FILE}: not a transformer encoder ({error})", "Fit again.") from error
        return cls(load_model(folder), load_tokenizer(folder), **values)


def new_transformer(params: EncoderParams, seed: int, device: str, progress: Progress | None = None) -> Encoder:
    """The transformer that `params.encoder` names, on the CPU; or, where frozen, it on `device` and a layer on top.

    Raises
    ------
    XmcError : what it needs isn't installed, or the model isn't found. DataError : the model can't be read.
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
        progress,
    )
    if not params.frozen:
        return encoder
    from xmcbench.encoders.frozen import FrozenEncoder

    return FrozenEncoder(encoder.to(device), torch.Generator().manual_seed(seed))


def load_transformer(kind: str, folder: Path) -> Encoder:
    """Read what an encoder of that kind saved; see `xmcbench.encoders.making.load_encoder`."""
    from xmcbench.encoders.frozen import FrozenEncoder

    if kind not in (TransformerEncoder.kind, FrozenEncoder.kind):
        raise DataError(
            f"{folder / 'encoder.json'}: unknown kind of encoder {kind!r}", "Update xmcbench, or fit again."
        )
    require(EncoderParams(encoder=str(folder)))
    return TransformerEncoder.load(folder) if kind == TransformerEncoder.kind else FrozenEncoder.load(folder)


def pool(states: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """(n, D) from (n, T, D): the first token's, or the mean of all that aren't padding."""
    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        return states.mean(dim=1)
    kept = mask.to(states.dtype)[:, :, None]
    return (states * kept).sum(dim=1) / kept.sum(dim=1)


def texts_of(inputs: Inputs) -> Sequence[str]:
    """DataError where rows have none."""
    if inputs.texts is None:
        raise DataError("rows have no texts, and a transformer reads nothing else", "Use encoder=bow.")
    return inputs.texts


def most_tokens(model: Any, tokenizer: Any) -> int | None:
    """The longest text a model can read, where its files say so."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and model.config.model_type in OFFSET:  # theirs begin behind the padding's
        positions -= (model.config.pad_token_id or 0) + 1
    said = [tokenizer.model_max_length, positions]
    return min((int(n) for n in said if n is not None and 0 < n < 1 << 20), default=None)


def _states(model: nn.Module, batch: Tokens) -> Tensor:
    states: Tensor = model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    return states
