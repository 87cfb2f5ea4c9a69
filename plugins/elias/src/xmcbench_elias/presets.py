"""Named sets of parameter values."""

from __future__ import annotations

# The authors' configuration of LF-AmazonTitles-131K: titles of 32 tokens, 20 + 50 epochs, weights averaged from epoch 8
# on, and λ = 0.05 over n · P, which is the weight λ K / P here, with P = 10 true labels per row. Their rates drop from
# 2e-4 to 3e-5 in stage 2 for the encoder and from 5e-3 to 1e-4 for the rest; here one factor applies to both.
_PAPER: dict[str, object] = {
    "encoder": "distilbert-base-uncased",
    "max_length": 32,
    "encoder_rate": 2e-4,
    "width": 768,
    "dropout": 0.5,
    "leaf": 100,
    "train_beam": 20,
    "shortlist_leaves": 20,
    "batch": 1024,
    "shortlist_weight": 10.0,
    "stage1_epochs": 20,
    "stage2_epochs": 50,
    "average": 42,
    "recluster": 5,
    "rate": 5e-3,
    "table_rate": 5e-3,
    "adjacency_rate": 5e-3,
    "stage2_rate": 0.02,
    "label_texts": False,
    "dual_epochs": 0,
    "ranker": "trees",
    "calibrate": True,
}

# `minilm`: D of all-MiniLM-L6-v2 and the settings of LEVER (Buvanesh et al., ICLR 2024, T17) for ELIAS with a similar
# encoder on the same data: 60 epochs in all, 512 rows per step, rates of 1e-4 in the encoder and 2e-2 elsewhere.
PRESETS: dict[str, dict[str, object]] = {
    "bow": {},
    "minilm": _PAPER
    | {
        "encoder": "minilm",
        "encoder_rate": 1e-4,
        "width": 384,
        "batch": 512,
        "stage2_epochs": 40,
        "average": 32,
        "rate": 2e-2,
        "table_rate": 2e-2,
        "adjacency_rate": 2e-2,
    },
    "paper": _PAPER,
}
