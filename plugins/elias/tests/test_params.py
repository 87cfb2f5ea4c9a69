"""What parameters mean, which are refused, and which data sets they can't be run on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.presets import PRESETS

from xmcbench.errors import UsageError
from xmcbench.method import Machine
from xmcbench.testing.worlds import tiny

DATA = tiny()
MACHINE = Machine(1, "cpu")


def test_encoder_rate_follows_the_encoder() -> None:
    def rate(**values: Any) -> float | None:
        return settled(EliasParams(**values), 100).encoder_rate

    assert rate(rate=2e-3) == rate(encoder="minilm", frozen=True, rate=2e-3) == 2e-3
    assert rate(encoder="minilm") == 1e-4
    assert rate(**PRESETS["paper"]) == 2e-4
    assert rate(encoder_rate=5e-5) == 5e-5


def test_epochs_follow_the_number_of_rows_and_effort() -> None:
    def epochs(n_rows: int, **values: Any) -> list[int]:
        found = settled(EliasParams(**values), 100, n_rows)
        return [found.dual_epochs, found.stage1_epochs, found.stage2_epochs]

    assert epochs(1) == epochs(0) == [24, 10, 15]  # the most
    assert epochs(25_000) == [16, 6, 12]
    assert epochs(10**7) == [6, 3, 5]  # the fewest
    assert epochs(25_000, effort=0.5) == [8, 3, 6]
    assert epochs(10**7, effort=0.1) == [1, 1, 1]
    given = {"dual_epochs": 0, "stage1_epochs": 7, "stage2_epochs": 2}
    assert epochs(15_000, **given, effort=2.0) == [0, 7, 2]


def test_a_transformers_dual_encoder_is_trained_as_long_as_that_of_ance() -> None:
    def epochs(**values: Any) -> int:
        return settled(EliasParams(encoder="minilm", **values), 100, 15_000).dual_epochs

    assert (epochs(), epochs(frozen=True), epochs(effort=2.0), epochs(dual_epochs=3)) == (5, 12, 10, 3)
    assert settled(EliasParams(**PRESETS["paper"]), 100, 15_000).dual_epochs == 0


def test_sizes_follow_the_number_of_labels() -> None:
    def chosen(n_labels: int, **values: Any) -> tuple[Any, ...]:
        found = settled(EliasParams(**values), n_labels)
        return found.leaf, found.train_beam, found.shortlist_leaves, found.batch, found.width, found.dropout

    assert chosen(1) == chosen(16_383) == (25, 20, 60, 256, 256, 0.3)
    assert chosen(16_384) == chosen(249_999) == (25, 10, 40, 512, 256, 0.3)
    assert chosen(250_000) == (100, 20, 20, 512, 256, 0.3)
    assert chosen(250_000, leaf=50, dropout=0.0, width=8) == (50, 20, 20, 512, 8, 0.0)


def test_settling_twice_changes_nothing_and_leaves_none_open_but_the_ranker() -> None:
    once = settled(EliasParams(dual_epochs=0), 5_000, 10_000)
    assert settled(once, 10**6, 1) == once
    assert [field.name for field in dataclasses.fields(once) if getattr(once, field.name) is None] == [
        "pooling",  # a transformer's own files say
        "ranker",
    ]


def test_what_lacks_is_said() -> None:
    def skip(data: Any = DATA, **values: Any) -> str | None:
        return Elias(EliasParams(**values)).skip(data.facts(), MACHINE)

    mute = dataclasses.replace(DATA, label_texts=None)
    silent = dataclasses.replace(DATA, train=dataclasses.replace(DATA.train, texts=None))
    assert skip() is skip(silent) is skip(mute) is skip(label_texts=False) is None
    assert skip(silent, encoder="minilm") == "encoder minilm needs texts, which tiny does not have in view bow"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": 0}, "width is 0, must be above 0"),
        ({"encoder_rate": 0.0}, "encoder_rate is 0.0, must be above 0"),
        ({"beam": 0}, "beam is 0"),
        ({"rate": float("nan")}, "rate is nan, must be a finite number"),
        ({"shortlist_weight": -0.1}, "shortlist_weight is -0.1, must be at least 0"),
        ({"shortlist_weight": float("inf")}, "shortlist_weight is inf, must be a finite number"),
        ({"shortlist_leaves": 0}, "shortlist_leaves is 0, must be above 0"),
        ({"row_leaves": 0}, "row_leaves is 0, must be above 0"),
        ({"train_beam": -1}, "train_beam is -1, must be above 0"),
        ({"leaf": 0}, "leaf is 0, must be above 0"),
        ({"extra": -1}, "extra is -1, must be at least 0"),
        ({"alpha": float("inf")}, "alpha is inf, must be a finite number"),
        ({"decay": float("inf")}, "decay is inf, must be a finite number"),
        ({"dual_epochs": -1}, "dual_epochs is -1, must be at least 0"),
        ({"finish_epochs": -1}, "finish_epochs is -1, must be at least 0"),
        ({"effort": 0.0}, "effort is 0.0, must be above 0"),
        ({"stage1_epochs": 0}, "stage1_epochs is 0, must be above 0"),
        ({"batch": 0}, "batch is 0, must be above 0"),
        ({"dropout": 1.0}, "dropout is 1.0, must be at least 0 and below 1"),
        ({"max_length": 0}, "max_length is 0"),
        ({"encoder": ""}, "encoder is empty"),
        ({"frozen": True}, "frozen=true has no meaning"),
        ({"output": "ranker", "ranker": "none"}, "output=ranker needs what ranker=none leaves out"),
        ({"output": "dual", "dual_epochs": 0}, "output=dual needs what dual_epochs=0 leaves out"),
    ],
)
def test_values_it_cannot_be_trained_with(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"elias: {said}"):
        Elias(EliasParams(**values))
