"""Hardware support for bfloat16, and a bfloat16 copy of a module for embedding."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["auto", "float32", "bfloat16"]
# names in torch.cpu.get_capabilities: two instruction sets of x86, and those of ARM
HALF = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


def in_half(precision: Precision, device: torch.device) -> bool:
    """Whether products are in bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and has_half(device))


def has_half(device: torch.device) -> bool:
    """Whether the device has bfloat16 in hardware; an emulation would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities: Any = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(capabilities().get(name, False) for name in HALF)
    supported: Any = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # torch before 2.11
    return bool(supported())


class Halved:
    """A bfloat16 copy of a module for embedding, created on demand and again when the weights have changed.

    It is faster than autocast, which casts weights for every batch and activations between operations.
    """

    def __init__(self) -> None:
        self._copy: nn.Module | None = None
        self._versions: tuple[tuple[int, int], ...] = ()

    def __call__(self, module: nn.Module) -> nn.Module:
        versions = tuple((p.data_ptr(), p._version) for p in module.parameters())
        if self._copy is None or versions != self._versions:
            with torch.inference_mode(False), torch.no_grad():
                self._copy = copy.deepcopy(module).to(torch.bfloat16).requires_grad_(False).eval()
            self._versions = versions
        return self._copy

    def forget(self) -> None:
        """Drop the copy. Call it before weights change, since not every write to them is detected."""
        self._copy = None
