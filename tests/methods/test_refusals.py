"""What a method refuses is refused when the plan is made."""

from __future__ import annotations

import pytest

from xmcbench.errors import UsageError
from xmcbench.runs.plan import make_plan


@pytest.mark.parametrize(
    "wrong",
    ["tree[beam=0]", "parabel[beam=-1]", "knn[neighbours=10|-3]", "omikuji[beam=0]", "pecos[beam=0]", "tree[depth=2]"],
)
def test_before_any_work(wrong: str) -> None:
    """Query parameters too, which fits are never built with: a beam of 0 ended omikuji's process."""
    with pytest.raises(UsageError, match=r"beam is|neighbours is|depth is"):
        make_plan([wrong], ["icd10cm"])
