"""What parameters mean, which are refused, and which data sets they can't be run on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.presets import PRESETS

from xmcbench.context import RunContext
from xmcbench.errors import UsageError
from xmcbench.method import Machine
from xmcbench.testing.worlds import tiny

DATA = tiny()
MACHINE = Machine(1, 8 << 30, "cpu")


def test_encoder_rate_follows_the_encoder() -> None:
    def rate(**values: Any) -> float | None:
        return settled(EliasParams(**values), 100).encoder_rate

    assert rate(rate=2e-3) == rate(encoder="minilm", frozen=True, rate=2e-3) == 2e-3
    assert rate(encoder="minilm") == 1e-4
    assert rate(**PRESETS["paper"]) == 2e-4
    assert rate(encoder_rate=5e-5) == 5e-5


def test_what_lacks_is_said(tmp_path: Path) -> None:
    def skip(data: Any = DATA, **values: Any) -> str | None:
        return Elias(EliasParams(**values)).skip(data.facts(), MACHINE)

    mute = dataclasses.replace(DATA, label_texts=None)
    silent = dataclasses.replace(DATA, train=dataclasses.replace(DATA.train, texts=None))
    assert skip() is skip(silent) is skip(mute) is skip(label_start="text") is None
    assert skip(silent, encoder="minilm") == "encoder minilm needs texts, which tiny does not have in view bow"
    assert "label_start=text needs texts" in (skip(silent, label_start="text") or "")
    assert "label_start=text needs label texts" in (skip(mute, label_start="text") or "")
    with pytest.raises(UsageError, match="needs label texts"):
        Elias(EliasParams(label_start="text")).fit(mute.train_data(), RunContext(tmp_path))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": 0}, "width is 0, must be above zero"),
        ({"encoder_rate": 0.0}, "encoder_rate is 0.0, must be above zero"),
        ({"beam": 0}, "beam is 0"),
        ({"rate": float("nan")}, "rate is nan, must be a finite number"),
        ({"shortlist_weight": -0.1}, "shortlist_weight is -0.1, must not be below zero"),
        ({"shortlist_weight": float("inf")}, "shortlist_weight is inf, must be a finite number"),
        ({"shortlist_leaves": 0}, "shortlist_leaves is 0, must be above zero"),
        ({"row_leaves": 0}, "row_leaves is 0, must be above zero"),
        ({"train_beam": -1}, "train_beam is -1, must be above zero"),
        ({"leaf": 0}, "leaf is 0, must be above zero"),
        ({"extra": -1}, "extra is -1, must not be below zero"),
        ({"alpha": float("inf")}, "alpha is inf, must be a finite number"),
        ({"decay": float("inf")}, "decay is inf, must be a finite number"),
        ({"folds": -1}, "folds is -1, must not be below zero"),
        ({"dropout": 1.0}, "dropout is 1.0, must be from 0 to below 1"),
        ({"max_length": 0}, "max_length is 0"),
        ({"encoder": ""}, "encoder is empty"),
        ({"frozen": True}, "frozen=true has no meaning"),
    ],
)
def test_values_it_cannot_be_trained_with(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"elias: {said}"):
        Elias(EliasParams(**values))
