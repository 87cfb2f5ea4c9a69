from __future__ import annotations

import pytest

from xmcbench.data.spec import Dataset
from xmcbench.testing import worlds


@pytest.fixture(scope="package")
def world() -> Dataset:
    """600 training rows and 200 test rows with 40 labels."""
    return worlds.tiny(n_train=600, n_test=200)
