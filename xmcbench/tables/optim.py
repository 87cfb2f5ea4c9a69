"""AdamW for tables with row-sparse gradients: rows that are not in the batch are not read.

When a row is updated again, the decay of its moments and weights over the steps in between is applied, and bias
correction counts all steps. The only difference to dense AdamW: momentum does not move a row in steps without it.

Bytes per row of a float32 table of D columns: 4 D of weights, 4 D of the first moment, and 4 D of the second. A table
of `SHARED` bytes or more has one second moment per row instead, 4 bytes: 8 D in all instead of 12 D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.adamw import adamw

from xmcbench.tables import kernels, ops

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
STATE = ("step", "exp_avg", "exp_avg_sq")  # names of a parameter's arrays in checkpoints: those of torch

# Bytes of a table from which its rows share their second moment: 524,288 labels at D = 256, whose optimiser needs a
# third less memory and moves a quarter fewer bytes. Below, memory is no constraint. Quality: docs/scale_measured.md.
SHARED = 1 << 29


class RowAdamW:
    """AdamW for one table (N, D): two moments, the last step and the accumulated decay of each row."""

    def __init__(
        self, table: torch.nn.Parameter, rate: float, decay: float, shared: bool | None = None, whole: int | None = None
    ) -> None:
        """`shared`: one second moment per row, that of the mean squared gradient; None: if the table is large.

        `whole`: rows of the whole table, if `table` is the part of one process: all processes then decide alike.
        """
        parameter: Any = table
        parameter.factors = []  # `ops` appends gradients here
        self.table = parameter
        self.rate, self.decay = rate, decay
        rows = table.shape[0]
        if shared is None:
            shared = (whole or rows) * table.shape[1] * table.element_size() >= SHARED
        self.first = torch.zeros_like(table.data)
        self.second = torch.zeros_like(table.data[:, :1] if shared else table.data)
        self.last = torch.zeros(rows, dtype=torch.int64, device=table.device)
        self.shrunk = torch.zeros(rows, dtype=torch.float64, device=table.device)
        self.steps, self.shrink = 0, 0.0

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rate; the gradient is dropped."""
        self.steps += 1
        self.shrink += math.log1p(-self.rate * factor * self.decay)
        factors = self._gradient()
        self.table.factors.clear()
        self.table.grad = None
        if factors is None:
            return
        update = self._cpu if ops.on_cpu(self.table) else self._torch
        update(factors, self.rate * factor)

    def _gradient(self) -> ops.Factors | None:
        """The sum of the gradients of all backward passes since the last step."""
        gradients: list[ops.Factors] = list(self.table.factors)
        if self.table.grad is not None:  # a sparse gradient from before the table had this optimiser
            sparse = self.table.grad.coalesce()
            gradients.append(ops.Factors.of_rows(sparse.indices()[0], sparse.values()))
        return ops.merged(gradients) if gradients else None

    def _cpu(self, factors: ops.Factors, rate: float) -> None:
        groups = kernels.Groups(*(tensor.numpy() for tensor in factors.groups))
        tensors = self.table.data, self.first, self.second, self.last, self.shrunk
        state = kernels.TableState(*(tensor.numpy() for tensor in tensors))
        step = kernels.Step(self.steps, self.shrink, rate, BETA1, BETA2, EPSILON)
        kernels.adamw_rows(groups, factors.values.numpy(), factors.dense.numpy(), state, step)

    def _torch(self, factors: ops.Factors, rate: float) -> None:
        rows, values = factors.groups.rows, factors.multiplied()
        steps_since = (self.steps - self.last[rows])[:, None].to(values.dtype)
        first = self.first[rows] * BETA1**steps_since + (1 - BETA1) * values
        squares = values * values
        if self.second.shape[1] < squares.shape[1]:
            squares = squares.mean(dim=1, keepdim=True)
        second = self.second[rows] * BETA2**steps_since + (1 - BETA2) * squares
        decay = (self.shrink - self.shrunk[rows]).exp()[:, None].to(values.dtype)
        move = first / (1 - BETA1**self.steps) / ((second / (1 - BETA2**self.steps)).sqrt() + EPSILON)
        self.table.data[rows] = self.table.data[rows] * decay - rate * move
        self.first[rows], self.second[rows] = first, second
        self.last[rows], self.shrunk[rows] = self.steps, self.shrink

    def settle(self) -> None:
        """Apply the pending weight decay to every row; required before the table is read as a whole."""
        self.table.data.mul_((self.shrink - self.shrunk).exp()[:, None].to(self.table.dtype))
        self.shrunk.fill_(self.shrink)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays that `restore` reads."""
        tensors = {"first": self.first, "second": self.second, "last": self.last, "shrunk": self.shrunk}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return {**arrays, "count": np.array([self.steps, self.shrink])}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        for name in ("first", "second", "last", "shrunk"):
            getattr(self, name).copy_(torch.from_numpy(arrays[name]))
        self.steps, self.shrink = int(arrays["count"][0]), float(arrays["count"][1])


def warm_then_linear(step: int, total: int, warm_up: float = 0.1) -> float:
    """Factor of the learning rate at `step` (from 0): up over the first tenth, then down to zero."""
    warm = max(1, round(warm_up * total))
    return (step + 1) / warm if step < warm else max(0.0, (total - step) / max(1, total - warm))


class DenseAdamW:
    """AdamW for groups of parameters by a function of torch, whose class would import its compiler: 74 MiB.

    Attributes
    ----------
    groups : each with "params", "lr" and "weight_decay".
    state : (step, first, second moment) of each parameter that had a gradient.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        """`groups`: "weight_decay" is 0 where it is missing."""
        self.groups = [{"weight_decay": 0.0, **group} for group in groups]
        self.parameters: list[torch.nn.Parameter] = [p for group in self.groups for p in group["params"]]
        self.state: dict[torch.nn.Parameter, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rates; gradients are dropped."""
        for group in self.groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if p not in self.state:
                    steps = torch.zeros((), dtype=torch.float32, device=p.device)
                    self.state[p] = steps, torch.zeros_like(p.data), torch.zeros_like(p.data)
            steps_of, firsts, seconds = ([self.state[p][i] for p in moved] for i in range(3))
            with torch.no_grad():
                adamw(
                    moved, [p.grad for p in moved], firsts, seconds, [], steps_of, fused=True, amsgrad=False,
                    maximize=False, beta1=BETA1, beta2=BETA2, eps=EPSILON, lr=group["lr"] * factor,
                    weight_decay=group["weight_decay"],
                )  # fmt: skip
            for p in moved:
                p.grad = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays that `restore` reads, by "NUMBER/NAME"."""
        arrays = {}
        for number, p in enumerate(self.parameters):
            for name, value in zip(STATE, self.state.get(p, ()), strict=False):
                arrays[f"{number}/{name}"] = value.cpu().numpy()
        return arrays

    def restore(self, numbers: dict[int, dict[str, NDArray[Any]]]) -> None:
        """Resume from the arrays of each parameter, by its number over all groups."""
        for number, arrays in numbers.items():
            p = self.parameters[number]
            step, first, second = (torch.from_numpy(np.array(arrays[name])).to(p.device) for name in STATE)
            self.state[p] = step, first, second


class Optimisers:
    """AdamW for a whole model: row-wise for its tables, torch's for all other parameters."""

    def __init__(
        self,
        tables: Sequence[tuple[torch.nn.Parameter, float] | tuple[torch.nn.Parameter, float, int]],
        groups: Sequence[dict[str, Any]],
        decay: float,
    ) -> None:
        """`tables`: each with its learning rate, and with the rows of the whole table if it is a part. `decay`: their
        weight decay. `groups`: torch's parameter groups, with learning rates and optionally `weight_decay`.
        """
        self.tables = [RowAdamW(table, rate, decay, None, *whole) for table, rate, *whole in tables]
        self.dense = DenseAdamW(groups)

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rates; gradients are dropped."""
        self.dense.step(factor)
        for table in self.tables:
            table.step(factor)

    def settle(self) -> None:
        """See `RowAdamW.settle`."""
        for table in self.tables:
            table.settle()

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays that `restore` reads."""
        arrays = {f"table {i}/{key}": v for i, t in enumerate(self.tables) for key, v in t.state().items()}
        return arrays | {f"dense {key}": value for key, value in self.dense.arrays().items()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Resume from the arrays of `state`."""
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in arrays.items():
            part, _, rest = key.partition("/")
            parts.setdefault(part, {})[rest] = value
        for i, table in enumerate(self.tables):
            table.restore(parts[f"table {i}"])
        prefix = "dense "
        self.dense.restore({int(part[len(prefix) :]): parts[part] for part in parts if part.startswith(prefix)})
