"""A few changes of each form of file; `tests/attack/mutations.py` tries thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.mutating import FORMS, check, mutated, outcome, valid
from xmcbench.errors import XmcError


def test_changes_depend_on_the_seed_alone() -> None:
    for form in FORMS:
        assert mutated(3, form) == mutated(3, form)
    assert len({mutated(seed, "xmc") for seed in range(20)}) > 15


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_file_is_read_right_or_refused(form: str, tmp_path: Path) -> None:
    path = tmp_path / FORMS[form].name
    path.write_bytes(valid(form))
    assert not isinstance(outcome(form, path), XmcError)
    for seed in range(6):
        check(seed, form, tmp_path)
