"""The example at the head of the contract does what it says, with either kind of encoder."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmcbench.context import RunContext
from xmcbench.encoders import encoder as contract
from xmcbench.encoders.params import EncoderParams
from xmcbench.testing import worlds


@pytest.mark.parametrize("kind", ["bow", "transformer", "frozen"])
def test_it_trains_and_embeds(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    name = "bow" if kind == "bow" else str(request.getfixturevalue("tiny"))
    train, ctx = worlds.tiny(n_train=64, n_test=1).train_data(), RunContext(tmp_path)
    target = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    losses: list[float] = []

    def loss(phi: torch.Tensor, which: np.ndarray) -> torch.Tensor:
        found = (phi - target[which]).square().mean()
        losses.append(float(found.detach()))
        return found

    said = (contract.__doc__ or "").split("\n\n")
    code = textwrap.dedent("\n".join(said[1:3]))
    names: dict[str, Any] = {"train": train, "ctx": ctx, "loss": loss}
    names["params"] = EncoderParams(encoder=name, frozen=kind == "frozen", width=16, max_length=16)
    exec(code, names)
    assert names["everything"].shape == (64, 16)
    assert np.isfinite(names["everything"]).all()
    assert len(losses) == 1
    after = (torch.from_numpy(names["everything"]) - target).square().mean()
    assert float(after) < losses[0]
