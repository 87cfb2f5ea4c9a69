"""ELIAS keeps the contract of methods."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from xmcbench_elias.params import EliasParams

from xmcbench.testing.contract import contract_cases

QUICK = EliasParams(
    width=32, leaf=5, train_beam=3, beam=5, batch=32, dual_epochs=2, stage1_epochs=2, stage2_epochs=2, finish_epochs=1
)


@pytest.mark.contract
@pytest.mark.parametrize("case", contract_cases("elias", params=QUICK), ids=lambda case: case.title)
def test_contract(case: Callable[[], str]) -> None:
    case()
