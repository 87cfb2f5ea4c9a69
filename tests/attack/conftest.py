"""The option --seed of the attacks."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="chooses points, mutations and moments of the attacks")
