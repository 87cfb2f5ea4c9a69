"""Parameter values that belong together, by the name users give for all of them."""

from __future__ import annotations

from typing import Any

# LF-AmazonTitles-131K in the authors' configurations: titles of 32 tokens, 20 + 50 epochs, weights averaged from epoch
# 8 on, λ = 0.05 over n · P, which beside a true label's own term over n · K weighs λ K / P, here at P = 10 true labels
# a row. Their encoder goes from 2e-4 to 3e-5 in stage 2, the rest from 5e-3 to 1e-4; here one factor takes both down.
_PAPER: dict[str, Any] = {
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

# `minilm`: D of all-MiniLM-L6-v2 and, on the same data, what LEVER (Buvanesh et al., ICLR 2024, T17) ran ELIAS with
# on an encoder of that kind: 60 epochs in all, 512 rows a step, rates of 1e-4 in the encoder and 2e-2 outside.
PRESETS: dict[str, dict[str, Any]] = {
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
