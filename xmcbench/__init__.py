"""Extreme multi-label classification, compared honestly and done fast.

The public names below are loaded on first use, so that `import xmcbench` is fast.
"""

from __future__ import annotations

import importlib
from typing import Any

from xmcbench.mkl import ask_for_equal_bits

__version__ = "0.1.0"

_MODULE_OF = {
    "Inputs": "xmcbench.method",
    "Method": "xmcbench.method",
    "MethodInfo": "xmcbench.method",
    "TrainData": "xmcbench.method",
    "param": "xmcbench.method",
    "RunContext": "xmcbench.context",
    "TopK": "xmcbench.topk",
    "Diverged": "xmcbench.errors",
    "XmcError": "xmcbench.errors",
    "evaluate": "xmcbench.metrics",
    "load": "xmcbench.data",
    "run": "xmcbench.api.run",
    "Run": "xmcbench.api.runs",
    "Runs": "xmcbench.api.runs",
    "RunsFailed": "xmcbench.api.run",
    "results": "xmcbench.api.runs",
    "compare": "xmcbench.api.comparing",
    "Comparison": "xmcbench.api.comparing",
    "dataset": "xmcbench.api.datasets",
    "import_data": "xmcbench.api.datasets",
    "load_model": "xmcbench.models.folder",
    "Model": "xmcbench.models.model",
    "Predictions": "xmcbench.models.model",
}
__all__ = ["__version__", *_MODULE_OF]
ask_for_equal_bits()  # before torch can be used


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'xmcbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """The public names, also before their first use, for completion in notebooks and shells."""
    return sorted(__all__)
