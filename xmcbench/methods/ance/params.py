"""Parameters of `ance`, with the source of each default."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from xmcbench.encoders import params as encoders
from xmcbench.encoders.params import EncoderParams
from xmcbench.errors import UsageError
from xmcbench.method import param

DEV = "measured on 1,100 training notes of icd10cm, held out: P@1"
BY_ENCODER = "see `RATES` in xmcbench/methods/ance/params.py"
# bow: measured with ELIAS, its CHOICES.md; frozen: ours, as for a layer of bow; else: fine-tuning, Devlin et al. 2019,
# and DEXML's and NGAME's 1e-4 to 3e-4 for batches of thousands.
RATES: dict[str, dict[str, float]] = {
    "bow": {"rate": 3e-3, "table_rate": 2e-2, "batch": 512, "epochs": 12},
    "frozen": {"rate": 1e-3, "table_rate": 1e-2, "batch": 512, "epochs": 12},
    "transformer": {"rate": 1e-4, "table_rate": 1e-2, "batch": 128, "epochs": 5},
}


@dataclass(frozen=True)
class AnceParams(EncoderParams):
    """Parameters of `ance`, in addition to those of `EncoderParams`."""

    negatives: Literal["ance", "in-batch", "cluster"] = param(
        "ance",
        "ance: negatives of the batch and mined ones; in-batch: only those of the batch (DPR); "
        "cluster: those of batches of near documents (NGAME)",
        "Xiong et al., ICLR 2021",
    )
    hard: int = param(
        3, "mined labels per document in a step, drawn from its pool", f"{DEV} 70.1 with 3, 68.5 with none", least=0
    )
    pool: int = param(
        100, "labels nearest to a document, from which its hard negatives are drawn", "DEXML's configs: 100", above=0
    )
    refresh: int | None = param(
        None,
        "steps between refreshes of the pools",
        "ours: on a CPU a refresh costs an epoch",
        above=0,
        none="two epochs",
    )
    warm_up: int = param(
        1, "epochs of in-batch negatives before the first refresh", "ours; DEXML's configs: 5 of 100", least=0
    )
    loss: Literal["decoupled", "softmax", "triplet"] = param(
        "decoupled", "softmax without the document's other positives, with them, or triplet margin", "DEXML"
    )
    temperature: float = param(
        0.05, "similarities are divided by it in the softmax losses", "DEXML's configs", above=0, tune=(0.03, 0.05, 0.1)
    )
    margin: float = param(0.3, "triplet: margin between cosines", "NGAME's configs", least=0)
    hardest: int = param(10, "triplet: number of nearest negatives per document that count", "NGAME's configs", above=0)
    positives: int = param(
        8,
        "maximum number of a document's labels that are drawn into its step",
        "ours: all of nearly every document",
        above=0,
    )
    vectors: Literal["all", "missing"] = param(
        "all",
        "labels with a learned vector; missing: only labels without text, a pure dual encoder",
        f"{DEV} 70.1 after 8 epochs with, 57.1 after 6 without",
    )
    classifier: bool = param(
        False,
        "train a classifier on mined shortlists, and rank the nearest labels by similarity and margin",
        "ours: off, on request",
    )
    dropout: float = param(
        0.3,
        "dropout of the encoder's layers (bow) or of its output",
        "measured with ELIAS: CHOICES.md",
        least=0,
        below=1,
    )
    epochs: int | None = param(
        None, "passes over the training rows", BY_ENCODER, above=0, none="bow and frozen 12, transformer 5"
    )
    batch: int | None = param(
        None, "documents per step", BY_ENCODER, above=0, none="bow and frozen 512, transformer 128"
    )
    rate: float | None = param(
        None, "peak learning rate of dense layers", BY_ENCODER, above=0, none="bow 3e-3, frozen 1e-3, transformer 1e-4"
    )
    table_rate: float | None = param(
        None,
        "peak learning rate of feature and label tables (row-wise AdamW)",
        BY_ENCODER,
        above=0,
        none="bow 2e-2, others 1e-2",
    )
    decay: float = param(0.01, "AdamW's weight decay, except on biases", "ELIAS; BERT", least=0)
    search: Literal["auto", "exact", "hnsw", "lists"] = param(
        "auto",
        "exact; hnsw: faiss's graph; lists: inverted lists; auto: lists from 200,000 labels on, on a CPU",
        "ours: docs/dense.md",
    )
    ef: int = param(
        200,
        "hnsw: size of the candidate list during search; lists: 1/64 of the labels that are compared",
        "ours",
        above=0,
        query=(50, 100, 200, 400),
    )


@dataclass(frozen=True)
class Settled(AnceParams):
    """`AnceParams` with a value in place of every None."""

    epochs: int = 0
    batch: int = 0
    rate: float = 0.0
    table_rate: float = 0.0


def settled(params: AnceParams) -> Settled:
    """Resolve every None in `params` to the value for its encoder."""
    kind = "bow" if params.encoder == "bow" else "frozen" if params.frozen else "transformer"
    values = {field.name: getattr(params, field.name) for field in fields(params)}
    values |= {name: value for name, value in RATES[kind].items() if values[name] is None}
    return Settled(**values)


def check(params: AnceParams) -> None:
    """UsageError if a value is invalid; the message names the parameter and the valid values."""
    encoders.check("ance", params)
    resolved = settled(params)
    if resolved.decay * max(resolved.rate, resolved.table_rate) >= 1:
        raise UsageError(f"ance: decay is {resolved.decay}: times the learning rates it must stay below one")
