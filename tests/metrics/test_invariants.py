from __future__ import annotations

import pytest

from xmcbench.metrics import broken

GOOD = {
    "P@1": 0.8,
    "nDCG@1": 0.8,
    "RR@1": 0.8,
    "Success@1": 0.8,
    "P@3": 0.6,
    "P@5": 0.4,
    "Success@3": 0.9,
    "R@10": 0.5,
    "R@100": 0.7,
    "PSP@1": 0.4,
    "PSnDCG@1": 0.4,
    "PSP(norm=none)@1": 3.2,
    "RR@5": 0.85,
    "RR": 0.85,
    "P@1:tail": 0.1,
    "nDCG@1:tail": 0.1,
    "P(empty=skip)@1": 0.9,
    "Coverage@1": None,
    "MacroR@1": 0.1,
}


def test_good_values_break_nothing() -> None:
    assert broken(GOOD) == []
    assert broken({}) == []
    assert broken(GOOD, {"P@1": 0.8, "R@10": 1.0, "P@3": None}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nDCG@1": 0.81}, "P@1 = 0.8 but nDCG@1 = 0.81"),
        ({"RR@1": 0.7}, "P@1 = 0.8 but RR@1 = 0.7"),
        ({"Success@1": 0.79}, "Success@1 = 0.79"),
        ({"nDCG@1:tail": 0.2}, "nDCG@1:tail = 0.2"),
        ({"PSnDCG@1": 0.41}, "PSP@1 = 0.4 but PSnDCG@1 = 0.41"),
        ({"PSnDCG(like=attentionxml)@1": 0.5}, "PSnDCG(like=attentionxml)@1 = 0.5"),
        ({"R@100": 0.49}, "R@100 = 0.49 is too low for R@10"),
        ({"Success@3": 0.7}, "Success@3 = 0.7 is too low"),
        ({"RR@5": 0.79}, "RR@5 = 0.79 is too low"),
        ({"P@3": 0.2}, "P@3 = 0.2 is too low for P@1"),
        ({"P@3": 0.95}, "P@3 = 0.95 is too high for P@1"),
        ({"P@5": 1.2}, "outside 0 to 1"),
        ({"RR": -0.1}, "outside 0 to 1"),
        ({"RR": float("nan")}, "outside 0 to 1"),
        ({"PSP(norm=none)@1": float("inf")}, "outside 0 to any finite number"),
        ({"MacroR@3": 0.05}, "MacroR@3 = 0.05 is too low"),
    ],
)
def test_each_broken_identity_is_named(change: dict[str, float], said: str) -> None:
    assert any(said in sentence for sentence in broken({**GOOD, **change}))


def test_above_the_best_reachable() -> None:
    (sentence,) = broken(GOOD, {"R@10": 0.4})
    assert sentence == "R@10 = 0.5 is above the best reachable 0.4"
